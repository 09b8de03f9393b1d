"""Prompts chosen by the guard's posterior, without any trainer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rlguard import InputError
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel
from rlguard.sampling import PromptSampler, SamplerConfig

G = 8


def visit(sampler, places, successes, chance=None):
    """The guard's model observes a batch of groups, and the sampler notes it."""
    evidence = [
        Evidence(f"p{place}", chance_rate=np.nan if chance is None else float(chance[place]))
        for place in places for _ in range(G)
    ]  # fmt: skip
    outcomes = np.array([i < k for k in successes for i in range(G)], float)
    sampler.luck.observe(evidence, outcomes, np.repeat(range(len(places)), G))
    sampler.observe(places, [f"p{place}" for place in places])


def run(sampler, rates_N, batches, size, rng, chance=None):
    """Trains nothing: prompts keep their rates. Returns (batches, size) the prompts that were chosen."""
    chosen = []
    for _ in range(batches):
        places = sampler.choose(size)
        visit(sampler, places, rng.binomial(G, rates_N[places]), chance)
        chosen.append(places)
    return np.array(chosen)


def make(count, luck=None, **settings):
    return PromptSampler(count, G, SamplerConfig(**settings), luck)


def test_no_prompt_is_left_out_for_good():
    rates = np.repeat([0.0, 0.5, 1.0], 20)
    chosen = run(make(60, half_life=10.0), rates, 500, 4, np.random.default_rng(0))
    late = chosen[250:]  # long after each was first tried
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


def test_exploration_is_bounded():
    """Of ten thousand prompts never seen some would always draw the highest V; a few compete, and what teaches comes
    back."""
    rng = np.random.default_rng(7)
    rates = rng.permutation(np.repeat([0.0, 0.5], [9_000, 1_000]))
    chosen = run(make(10_000), rates, 60, 8, rng)[30:]
    assert (rates[chosen] == 0.5).mean() > 0.4  # a tenth would be chance
    all_compete = run(make(10_000, fresh=1e6), rates, 60, 8, np.random.default_rng(7))[30:]
    assert (rates[all_compete] == 0.5).mean() < (rates[chosen] == 0.5).mean() - 0.1


def test_offline_counts_are_a_prior_of_the_weight_they_have_in_the_guard():
    k, n = [0.0, 300, 600, None], [600.0, 600, 600, np.nan]
    luck = LuckModel()
    sampler = PromptSampler(4, G, None, luck, k, n)
    predicted = sampler.predict(range(4))
    assert predicted[0] < predicted[1] < predicted[2]
    assert predicted[0] > 0.02  # of 2 rollouts, not of 600
    luck.observe([Evidence("p1", offline_successes=300, offline_trials=600)] * G, np.full(G, np.nan), np.zeros(G, int))
    assert luck.table[luck.find(["p1"])[0], :2] == pytest.approx((0.8 * 1, 0.8 * 2))  # the guard's own weight
    for _ in range(3):  # training says otherwise
        visit(sampler, [0], [5])
    assert sampler.predict([0])[0] > 0.25


def test_a_prompt_of_pure_luck_is_left_out_by_the_judgement_that_discounts_it():
    chance = np.array([0.25] * 10 + [0.0] * 10)
    luck = LuckModel()
    sampler = PromptSampler(20, G, None, luck, chance_N=chance)
    rates = np.repeat([0.25, 0.5], 10)  # the first ten pass by guessing
    chosen = run(sampler, rates, 60, 4, np.random.default_rng(4), chance)[20:]
    assert (chosen >= 10).mean() > 0.8
    value = np.mean([sampler.value(range(20)) for _ in range(50)], axis=0)
    assert value[:10].mean() < 0.9 * value[10:].mean()
    batch = [Evidence(f"p{place}", chance_rate=chance[place]) for place in (0, 10) for _ in range(G)]
    genuine = luck.observe(batch, np.tile([1.0, 0, 0, 0], G // 2), np.repeat([0, 1], G))
    assert genuine[0] < genuine[G]


def test_a_prompts_own_counts_correct_what_the_model_expects():
    sampler = make(30, half_life=np.inf)
    visit(sampler, range(20), [1] * 10 + [8] * 10, np.full(20, 0.6))  # by chance the first ten should pass more often
    known = sampler.posterior(range(30))
    by_model = known.mean_P + (1 - known.mean_P) * known.chance_P
    predicted = sampler.predict(range(30))
    assert predicted[:20] == pytest.approx((np.repeat([1, 8], 10) + G * by_model[:20]) / (2 * G))
    assert predicted[20:] == pytest.approx(by_model[20:])  # of those never seen nothing else is known


def test_what_is_known_fades_while_a_prompt_is_not_visited():
    sampler = make(40, half_life=4.0)
    visit(sampler, range(10), [4] * 10)
    visit(sampler, [11], [0])
    fresh = sampler.predict([11])[0]
    for _ in range(16):
        visit(sampler, range(10), [4] * 10)
    assert sampler.predict([11])[0] > fresh + 0.1
    never = make(40, sampler.luck, half_life=np.inf)
    never.observe([11], ["p11"])
    assert never.predict([11])[0] == pytest.approx(fresh, abs=0.1)


def test_a_state_gives_the_same_choices():
    rng, rates = np.random.default_rng(5), np.linspace(0, 1, 50)
    sampler = make(50)
    run(sampler, rates, 10, 4, rng)
    state = json.loads(json.dumps([sampler.state_dict(), sampler.luck.state_dict()]))
    restored = make(50, seed=9)
    run(restored, rates, 3, 4, np.random.default_rng(6))  # what it saw before is forgotten
    restored.load_state_dict(state[0])
    restored.luck.load_state_dict(state[1])
    for _ in range(5):
        first, second = sampler.choose(4), restored.choose(4)
        assert (first == second).all()
        outcomes = rng.binomial(G, rates[first])
        visit(sampler, first, outcomes)
        visit(restored, second, outcomes)


def test_a_batch_of_all_prompts_is_a_permutation():
    assert sorted(make(12).choose(12)) == list(range(12))
    sampler = make(12)
    visit(sampler, range(6), [4] * 6)
    assert sorted(sampler.choose(12)) == list(range(12))
    assert sorted(sampler.choose(8, without=[0, 3, 9, 11])) == [1, 2, 4, 5, 6, 7, 8, 10]


def test_two_rows_of_one_prompt_share_what_is_known():
    sampler = make(3)
    visit(sampler, [0], [7])
    sampler.observe([1], ["p0"])
    assert sampler.predict([0]) == sampler.predict([1]) != sampler.predict([2])


def test_what_the_guard_has_forgotten_is_as_new():
    sampler = make(20, LuckModel(max_prompts=2))
    for place in range(10):
        visit(sampler, [place, place + 10], [0, 4])
    assert sampler.predict([0]) == make(20, sampler.luck).predict([0])
    assert sorted(sampler.choose(20)) == list(range(20))


@pytest.mark.parametrize(("name", "value"), [("half_life", 0), ("half_life", -1), ("half_life", float("nan")),
                                             ("fresh", 0.5), ("fresh", float("nan")),
                                             ("half_life", "50"), ("replace", True), ("seed", "a")])  # fmt: skip
def test_bad_settings_are_named(name, value):
    with pytest.raises(InputError, match=f"SamplerConfig.{name}"):
        SamplerConfig(**{name: value})


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: PromptSampler(0, G), "at least 1 prompt"),
        (lambda: PromptSampler(3, 1), "2 rollouts"),
        (lambda: PromptSampler(3, G, chance_N=[0.1]), r"chance_N has shape \(1,\), expected \(3,\)"),
        (lambda: PromptSampler(3, G, chance_N=[0.1, None, 1.5]), "row 2: .* got nan of nan and 1.5"),
        (lambda: PromptSampler(3, G, None, None, [1, 2], [4, 4, 4]), "offline_successes_N has shape"),
        (lambda: PromptSampler(2, G, None, None, [1, 5], [4, 4]), "row 1: .* got 5 of 4"),
        (lambda: make(3).choose(4), "1 to 3 prompts"),
        (lambda: make(3).choose(0), "1 to 3 prompts"),
        (lambda: make(3).choose(2, without=[0, 1]), "1 to 1 prompts"),
        (lambda: make(3).load_state_dict(make(4).state_dict()), "of 4 prompts, the data set has 3"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(InputError, match=message):
        act()
