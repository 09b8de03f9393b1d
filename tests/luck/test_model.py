"""The one model: it observes a batch and says how likely each success is genuine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rlguard.guard.settings import GuardConfig
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel, genuine_given_text, genuine_probability
from rlguard.luck.settings import LuckSettings
from rlguard.stats import GRID_POINTS, SKILL_GRID, beta_weights

G = 8


def batch(successes, chance=0.1, prefix="p", ratio=1.0, names=None):
    """Groups of eight with so many successes each: evidence, outcomes, groups."""
    outcomes = np.array([float(i < k) for k in successes for i in range(G)])
    groups = np.repeat(np.arange(len(successes)), G)
    names = names or [f"{prefix}{n}" for n in range(len(successes))]
    return [Evidence(names[g], chance_rate=chance, likelihood_ratio=ratio) for g in groups], outcomes, groups


def observe(model, successes, **options):
    """(P,) P(genuine) of each group's first success."""
    return model.observe(*batch(successes, **options))[::G]


def plain_formula(k, n, chance, masses):
    """w of one prompt by a plain loop, with L = c."""
    above = below = 0.0
    for q, mass in zip(SKILL_GRID, masses, strict=True):
        p = q + (1 - q) * chance
        above += mass * q * p ** (k - 1) * (1 - p) ** (n - k)
        below += mass * p**k * (1 - p) ** (n - k)
    return above / below


def test_the_formula_against_a_plain_loop():
    masses = beta_weights(0.5, 2)
    for k, n, chance in ((1, 8, 0.1), (3, 8, 0.25), (8, 8, 0.5), (2, 64, 0.02)):
        found = genuine_probability([k], [n], [chance], masses)[0]
        assert found == pytest.approx(plain_formula(k, n, chance, masses), abs=0.025)  # pass rates lie on a grid


def test_one_skill_rate_gives_the_share_that_solved():
    sure = np.zeros(GRID_POINTS)
    sure[20] = 1
    q, c = SKILL_GRID[20], 0.2
    found = genuine_probability([1, 5, 8], [8, 8, 8], [c] * 3, sure)
    np.testing.assert_allclose(found, q / (q + (1 - q) * c), atol=0.02)


def test_text_multiplies_the_odds():
    np.testing.assert_allclose(genuine_given_text([0.5, 0.25], [9, 1 / 3]), [0.9, 0.1])
    np.testing.assert_allclose(genuine_given_text([0.0, 1.0], [9, 1 / 9]), [0, 1])


def test_order_of_rollouts_and_groups_does_not_matter():
    one, other, rng = LuckModel(), LuckModel(), np.random.default_rng(1)
    for step in range(3):
        evidence, outcomes, groups = batch(rng.binomial(G, 0.3, 12), prefix=f"{step}-")
        order = rng.permutation(len(groups))
        straight = one.observe(evidence, outcomes, groups)
        mixed = other.observe([evidence[i] for i in order], outcomes[order], rng.permutation(12)[groups[order]])
        np.testing.assert_allclose(mixed, straight[order], rtol=1e-6)


def test_half_impossible_is_told_apart_at_the_first_visit_by_the_groups_own_counts():
    rng, model = np.random.default_rng(0), LuckModel()
    for step in range(8):
        skill = np.where(np.arange(32) % 2, rng.random(32), 0.0)
        k = rng.binomial(G, skill + (1 - skill) * 0.1)
        genuine = observe(model, k, prefix=f"{step}-")
    assert genuine[k == 1].max() < 0.4
    assert genuine[k >= 5].min() > 0.9


def test_luck_that_nothing_shows_is_read_off_pass_rates_that_meet():
    """No gold answers, and half of the prompts pass one time in ten, neither more nor less: that is no skill."""
    rng, model = np.random.default_rng(0), LuckModel()
    for step in range(10):
        skill = np.where(np.arange(32) % 2, rng.random(32), 0.0)
        observe(model, rng.binomial(G, skill + (1 - skill) * 0.1), chance=float("nan"), prefix=f"{step}-")
    assert model.chance_rate > 0.06
    able = LuckModel()
    for step in range(10):
        observe(able, rng.binomial(G, rng.beta(0.3, 6, 32)), chance=float("nan"), prefix=f"{step}-")
    assert able.chance_rate < 0.02


def test_luck_that_answers_show_but_pass_rates_refute():
    rng, model = np.random.default_rng(0), LuckModel()
    for step in range(6):
        genuine = observe(model, rng.binomial(G, rng.random(32)), chance=0.5, prefix=f"{step}-")
    assert model.chance_rate < 0.2
    assert genuine.min() > 0.4


def test_population_speaks_for_prompts_never_seen():
    hopeless, able = LuckModel(), LuckModel()
    for step in range(10):
        observe(hopeless, [1] * 16, chance=0.125, prefix=f"{step}-")
        observe(able, [6] * 16, chance=0.125, prefix=f"{step}-")
    assert observe(hopeless, [1], chance=0.125, prefix="new")[0] < 0.3
    assert observe(able, [6], chance=0.125, prefix="new")[0] > 0.9
    assert hopeless.population @ SKILL_GRID < 0.1 < 0.6 < able.population @ SKILL_GRID


def test_offline_counts_speak_at_the_first_visit_and_weigh_little():
    evidence, outcomes, groups = batch([1, 1])
    evidence = [Evidence(e.prompt_id, chance_rate=0.1, offline_successes=900.0 * (g == 1), offline_trials=1000.0)
                for e, g in zip(evidence, groups, strict=True)]  # fmt: skip
    model = LuckModel()
    hard, easy = model.observe(evidence, outcomes, groups)[::G]
    assert hard < easy
    assert model.table[model.rows["p1"], :2] == pytest.approx((1.8 * 0.8 + 1, 2 * 0.8 + 8))


def test_the_past_fades_and_memory_is_bounded():
    model = LuckModel(decay=0.5, max_prompts=24)
    for step in range(6):
        observe(model, [4] * 9, names=["often", *(f"{step}-{i}" for i in range(8))])
    assert model.table[model.rows["often"], 1] < 16.1
    assert len(model) == 24
    assert "0-0" not in model.rows
    observe(model, [0] * 40, prefix="many")
    assert len(model) == 40  # a batch counts whole


def test_two_groups_of_one_prompt_in_a_batch_are_one_visit():
    model = LuckModel()
    found = observe(model, [1, 7], names=["a", "a"])
    assert found[0] == found[1]
    assert model.table[model.rows["a"], :2].tolist() == [8, 16]


def test_what_failures_show_too_says_nothing_and_a_sign_that_only_failures_have_convicts():
    rng, blurred, clear = np.random.default_rng(0), LuckModel(), LuckModel()
    for step in range(10):
        k = rng.binomial(G, 0.3, 32)
        evidence, outcomes, groups = batch(k, chance=0.1, prefix=f"{step}-")
        for model, told in ((blurred, np.ones(len(outcomes), bool)), (clear, outcomes > 0)):
            seen = [Evidence(e.prompt_id, chance_rate=0.1, likelihood_ratio=18.75 if t else 0.05)
                    for e, t in zip(evidence, told, strict=True)]  # fmt: skip
            model.observe(seen, outcomes, groups)
    assert blurred.sign_ratios()[4] == pytest.approx(1, abs=0.1)
    assert clear.sign_ratios()[4] > 5
    assert clear.sign_ratios()[0] < 0.2
    assert LuckModel().sign_ratios()[0] < 0.05 / 0.9 * 4  # the table, before anything was seen


def test_state_survives_json():
    model, twin = LuckModel(), LuckModel()
    observe(model, [1, 5, 3])
    twin.load_state_dict(json.loads(json.dumps(model.state_dict())))
    np.testing.assert_array_equal(observe(model, [2, 2], prefix="n"), observe(twin, [2, 2], prefix="n"))
    assert model.state_dict() == twin.state_dict()


def bare_batch(rng, batch, share_bare=0.25, pass_bare=0.06, pass_computed=0.0, prompts=16):
    """Prompts with an answer of their own each, so that no wrong answer shows how often a guess passes."""
    bare = rng.random(prompts * G) < share_bare
    outcomes = (rng.random(prompts * G) < np.where(bare, pass_bare, pass_computed)).astype(float)
    names = [f"{batch}-{i // G}" for i in range(prompts * G)]
    found = [
        Evidence(name, gold=f"w{name}", answer=f"w{name}" if right else f"v{name}{i % G}", bare=is_bare)
        for i, (name, right, is_bare) in enumerate(zip(names, outcomes, bare.tolist(), strict=True))
    ]
    return found, outcomes, np.arange(prompts * G) // G


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({}, 0.0, 0.1),  # luck alone: only answers without computation pass
        ({"pass_computed": 0.06}, 0.0, 0.1),  # computing does not help
        ({"pass_bare": 0.0, "pass_computed": 0.06}, 0.6, 1.0),  # rare skill
        ({"pass_bare": 0.9, "pass_computed": 0.9}, 0.75, 1.0),  # easy: done in one's head
    ],
)
def test_answers_without_computation_show_luck_that_no_wrong_answer_shows(options, least, most):
    rng, model, genuine = np.random.default_rng(3), LuckModel(), []
    for step in range(30):
        evidence, outcomes, groups = bare_batch(rng, step, **options)
        found = model.observe(evidence, outcomes, groups)
        if step >= 20:
            genuine += found[outcomes > 0].tolist()
    assert least <= np.mean(genuine) <= most


def test_answers_without_computation_say_nothing_where_nobody_computes():
    rng, model = np.random.default_rng(3), LuckModel()
    model.observe(*bare_batch(rng, 0, share_bare=1.0, pass_bare=0.5))
    assert model.chance.bare_rate("w0-0") == 0
    model.observe(*bare_batch(rng, 1, share_bare=0.5, pass_bare=0.5))
    assert 0.2 < model.chance.bare_rate("w0-0") < 0.6


def test_posterior_of_many_prompts_is_the_one_of_each():
    rng, model = np.random.default_rng(0), LuckModel()
    for step in range(4):
        skill = np.where(np.arange(32) % 2, rng.random(32), 0.0)
        observe(model, rng.binomial(G, skill + (1 - skill) * 0.1), prefix=f"{step}-")
    k, n = np.array([0.0, 0, 1, 7, 8]), np.array([0.0, 8, 8, 8, 8])
    told = model.posterior(np.tile(k, 2000), np.tile(n, 2000), np.full(10_000, np.nan), random=rng)
    alone = [model.posterior(k[i : i + 1], n[i : i + 1], [np.nan]) for i in range(5)]
    np.testing.assert_allclose(told.mean_P[:5], [one.mean_P[0] for one in alone], rtol=1e-5)
    assert told.mean_P[0] == pytest.approx(model.population @ SKILL_GRID, abs=0.01)  # never seen
    assert (np.diff(told.mean_P[1:5]) > 0).all()
    assert (np.diff(told.impossible_P[1:5]) < 0).all()
    np.testing.assert_allclose(told.draw_P.reshape(-1, 5).mean(axis=0), told.mean_P[:5], atol=0.03)
    rows = model.find(["0-0", "never seen", "3-31"])
    assert rows[1] == -1
    assert model.table[rows[2], 1] == G
    assert model.table[rows[[0, 2]], 4].tolist() == [1, 4]


def test_settings_are_checked_and_read_from_a_section():
    config = GuardConfig.from_options({"luck": {"unseen": 0.3}})
    assert config.luck == LuckSettings(unseen=0.3)
    assert LuckModel(settings=config.luck).chance.settings.unseen == 0.3
    with pytest.raises(ValueError, match=r"LuckSettings\.keep: expected a number in \(0, 1\), got 1"):
        LuckSettings(keep=1)
    with pytest.raises(ValueError, match=r"LuckSettings\.smoothing: expected a positive number, got 0"):
        LuckSettings(smoothing=0)
    with pytest.raises(ValueError, match="luck has no unsean"):
        GuardConfig.from_options({"luck": {"unsean": 0.3}})


def test_more_prior_on_unseen_luck_says_less_genuine_where_no_answer_is_known():
    rng, found = np.random.default_rng(0), []
    k = rng.binomial(G, np.where(np.arange(32) % 2, rng.random(32), 0.0) * 0.9 + 0.1)
    for unseen in (0.02, 0.5):
        model = LuckModel(settings=LuckSettings(unseen=unseen))
        found.append(observe(model, k, chance=float("nan"))[k == 1].mean())
    assert found[1] < found[0] - 0.05
