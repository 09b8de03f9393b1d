"""Prompts chosen by their posterior, without any trainer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rlguard import InputError
from rlguard.sampling import PromptSampler, SamplerConfig

G = 8


def run(sampler, rates_N, batches, size, rng, chance=None):
    """Trains nothing: prompts keep their rates. Returns (batches, size) the prompts that were chosen."""
    chosen = []
    for _ in range(batches):
        places = sampler.choose(size)
        sampler.observe(places, rng.binomial(G, rates_N[places]), np.full(size, G), chance)
        chosen.append(places)
    return np.array(chosen)


def make(count, **settings):
    return PromptSampler(count, G, SamplerConfig(**settings))


def test_no_prompt_is_left_out_for_good():
    rates = np.repeat([0.0, 0.5, 1.0], 20)
    chosen = run(make(60, half_life=10.0), rates, 600, 4, np.random.default_rng(0))
    late = chosen[300:]  # long after each was first tried
    assert set(late.ravel()) == set(range(60))


def test_a_prompt_that_becomes_learnable_is_found():
    rng, sampler = np.random.default_rng(1), make(30, half_life=10.0)
    rates = np.repeat([0.0, 0.5, 1.0], 10)
    run(sampler, rates, 100, 4, rng)
    rates = np.repeat([0.5, 1.0, 1.0], 10)  # the impossible have become middling, the middling are mastered
    chosen = run(sampler, rates, 150, 4, rng)[50:]
    assert (chosen < 10).mean() > 0.6  # a third would be chance


def test_the_middle_is_found():
    rng = np.random.default_rng(2)
    rates = rng.permutation(np.repeat([0.0, 0.5, 1.0], [40, 10, 10]))
    chosen = run(make(60), rates, 80, 4, rng)[40:]
    assert (rates[chosen] == 0.5).mean() > 0.6  # a sixth would be chance


def test_what_was_never_seen_is_explored_evenly():
    chosen = run(make(64), np.zeros(64), 120, 4, np.random.default_rng(3))  # nothing is ever solved
    assert set(chosen.ravel()) == set(range(64))
    firsts = [make(64, seed=seed).choose(4) for seed in range(200)]
    counts = np.bincount(np.concatenate(firsts), minlength=64)
    assert counts.max() < 12.5 + 5 * 12.5**0.5  # not by place: 12.5 are expected of each


def test_offline_counts_are_a_prior_of_bounded_weight():
    k, n = [0.0, 300, 600, np.nan], [600.0, 600, 600, np.nan]
    sampler = PromptSampler(4, G, SamplerConfig(max_offline_trials=16), k, n)
    assert sampler._seen_N[:3, 1] == pytest.approx(16)
    assert sampler._seen_N[:3, 0] == pytest.approx([0, 8, 16])
    assert sampler.value(range(4)).argmax() == 1
    assert list(sampler._visit_N) == [0, 0, 0, -1]
    assert sampler.predict([0, 1, 2]) == pytest.approx([0, 0.5, 1], abs=0.1)
    for _ in range(3):  # training says otherwise
        sampler.observe([0], [5], [G])
    assert sampler.predict([0])[0] > 0.25


def test_a_prompt_of_pure_luck_is_left_out():
    chance = np.array([0.5] * 10 + [0.0] * 10)
    sampler = PromptSampler(20, G, None, chance_N=chance)
    rng = np.random.default_rng(4)
    chosen = run(sampler, np.full(20, 0.5), 60, 4, rng)[20:]  # all pass half the time: ten of them by guessing
    assert (chosen >= 10).mean() > 0.85
    assert sampler.value(range(10)).max() < sampler.value(range(10, 20)).min()
    told = make(2)
    for _ in range(5):
        told.observe([0, 1], [4, 4], [G, G], [0.5, np.nan])  # a chance rate that was learnt in training counts too
    assert told.value([0])[0] < 0.5 * told.value([1])[0]


def test_a_state_gives_the_same_choices():
    rng, rates = np.random.default_rng(5), np.linspace(0, 1, 50)
    sampler = make(50, candidates=32)
    run(sampler, rates, 10, 4, rng)
    state = sampler.state_dict()
    json.dumps(state["random"])
    restored = make(50, candidates=32, seed=9)
    run(restored, rates, 3, 4, np.random.default_rng(6))  # what it saw before is forgotten
    restored.load_state_dict({name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in state.items()})
    for _ in range(5):
        first, second = sampler.choose(4), restored.choose(4)
        assert (first == second).all()
        outcomes = rng.binomial(G, rates[first])
        sampler.observe(first, outcomes, np.full(4, G))
        restored.observe(second, outcomes, np.full(4, G))


def test_the_state_holds_chance_rates_of_prompts_never_seen():
    sampler = PromptSampler(10, G, None, chance_N=np.linspace(0, 0.5, 10))
    sampler.observe([3], [4], [G])
    restored = make(10)
    restored.load_state_dict(sampler.state_dict())
    assert restored.predict(range(10)) == pytest.approx(sampler.predict(range(10)))


def test_counts_fade_by_half():
    sampler = make(2, half_life=10.0)
    sampler.observe([0], [4], [G])
    sampler.batches += 10
    assert sampler._fading(np.array([0, 1])) == pytest.approx([0.5, 1.0])


def test_groups_of_one_prompt_add_up_and_what_was_not_scored_teaches_nothing():
    sampler = make(3)
    sampler.observe([1, 1, 2, 7, -1], [2, 3, 0, 1, 1], [8, 8, 0, 8, 8])
    assert sampler._seen_N[:, :2].tolist() == [[0, 0], [5, 16], [0, 0]]
    assert list(sampler._visit_N) == [-1, 0, -1]


def test_a_batch_of_all_prompts_is_a_permutation():
    assert sorted(make(12, candidates=4).choose(12)) == list(range(12))


@pytest.mark.parametrize("name", ["half_life", "candidates", "max_offline_trials"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_bad_settings_are_named(name, value):
    with pytest.raises(InputError, match=f"SamplerConfig.{name}"):
        SamplerConfig(**{name: value})


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: PromptSampler(0, G), "at least 1 prompt"),
        (lambda: PromptSampler(3, 1), "2 rollouts"),
        (lambda: PromptSampler(3, G, chance_N=[0.1]), r"chance_N has shape \(1,\), expected \(3,\)"),
        (lambda: PromptSampler(3, G, None, [1, 2], [4, 4, 4]), "offline_successes_N has shape"),
        (lambda: make(3).choose(4), "1 to 3 prompts"),
        (lambda: make(3).choose(0), "1 to 3 prompts"),
        (lambda: make(3).load_state_dict(make(4).state_dict()), "of 4 prompts, the data set has 3"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(InputError, match=message):
        act()
