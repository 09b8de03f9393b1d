"""docs/rewrite.md, statement by statement: a test's number is the statement's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.methods import dr_grpo, grpo
from benchmarks.rewrite.simulate import G, lucky_share, simulate
from rlguard.guard.rewrite import rewrite_advantages
from rlguard.guard.size import StepSize
from rlguard.luck.chance import ChanceRates
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel, genuine_probability
from rlguard.stats import SKILL_GRID, beta_weights


def draw_rollouts(rng, groups, q, c):
    """Genuine and lucky successes of many groups of one prompt, and a score per rollout with mean 0 over the policy.

    The scores stand for ∇log π in three directions: solving, passing by luck, failing.
    """
    genuine = rng.random((groups, G)) < q
    lucky = ~genuine & (rng.random((groups, G)) < c)
    shares = np.array([q, (1 - q) * c, (1 - q) * (1 - c)])
    kind = np.where(genuine, 0, np.where(lucky, 1, 2))
    return genuine, lucky, np.eye(3)[kind] - shares, shares


def expected_gradient(q, c, weights=None, groups=40_000, seed=0):
    """(1/G) Σ A ∇log π of Dr. GRPO, rewritten with weights (of genuine, of lucky) if given; and its standard error."""
    genuine, lucky, scores, shares = draw_rollouts(np.random.default_rng(seed), groups, q, c)
    passed = (genuine | lucky).astype(float)
    advantages = dr_grpo(passed)
    if weights is not None:
        flat = passed.ravel()
        worth = np.where(genuine, weights[0], weights[1]).ravel()
        advantages = rewrite_advantages(advantages.ravel(), flat, flat, np.repeat(np.arange(groups), G), worth)
        advantages = advantages.reshape(passed.shape)
    gradients = (advantages[:, :, None] * scores).mean(axis=1)
    u_S, u_L = np.eye(3)[0] - shares, np.eye(3)[1] - shares
    return gradients.mean(axis=0), gradients.std(axis=0) / math.sqrt(groups), u_S, u_L


def half_impossible(steps=24, own=True):
    """P(genuine), truth and k of each success of 32 groups a step; half of the prompts are never solved, c = 0.1.

    With `own` false a group is judged before it is learnt: at the mean of its population.
    """
    rng, model, found = np.random.default_rng(0), LuckModel(), []
    groups = np.repeat(np.arange(32), G)
    for step in range(steps):
        skill = np.where(np.arange(32) % 2, rng.random(32), 0.0)[groups]
        solved = rng.random(32 * G) < skill
        passed = solved | (rng.random(32 * G) < 0.1)
        evidence = [Evidence(f"{step}-{group}", chance_rate=0.1) for group in groups]
        genuine = model.observe(evidence, passed.astype(float), groups)
        if not own:
            mean = float(model.population @ SKILL_GRID)
            genuine = np.full(len(groups), mean / (mean + (1 - mean) * 0.1))
        k = np.bincount(groups, passed)[groups]
        found.append(np.stack([genuine, solved, k])[:, passed])
    return np.concatenate(found[steps // 4 :], axis=1)


def test_1_one_skill_rate_and_many_trials():
    sure = np.zeros(len(SKILL_GRID))
    sure[20] = 1
    q, c = SKILL_GRID[20], 0.2
    assert genuine_probability([4], [8], [c], sure)[0] == pytest.approx(q / (q + (1 - q) * c), abs=0.02)
    p = 0.4
    many = genuine_probability([p * 400], [400], [c], beta_weights(0.5, 0.5))[0]
    assert many == pytest.approx((p - c) / (p * (1 - c)), abs=0.02)


def test_2_genuine_is_calibrated_by_itself_and_by_k():
    genuine, solved, k = half_impossible()
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (genuine >= low) & (genuine < low + 0.2 + 0.01 * (low == 0.8))
        if inside.sum() > 100:
            assert solved[inside].mean() == pytest.approx(genuine[inside].mean(), abs=0.1)
    for right in range(1, G + 1):
        assert solved[k == right].mean() == pytest.approx(genuine[k == right].mean(), abs=0.1)


def test_3_the_own_outcome_tells_lone_successes_apart():
    genuine, solved, k = half_impossible()
    without, *_ = half_impossible(own=False)
    true = solved[k == 1].mean()
    assert true < 0.35
    assert genuine[k == 1].mean() == pytest.approx(true, abs=0.1)
    assert without.mean() > true + 0.3


def test_4_the_chance_rate_does_not_depend_on_skill():
    for skill in (0.0, 0.5, 0.8):
        rng, chance = np.random.default_rng(0), ChanceRates()
        for gold in list("0123456789") * 40:
            guesses = [str(rng.integers(10)) for _ in range(G) if rng.random() >= skill]
            chance.add(gold, [guess for guess in guesses if guess != gold])
        assert chance.rate("3") == pytest.approx(0.1, abs=0.03)


def test_5_wrong_is_what_the_verifier_rejects():
    model, groups = LuckModel(), np.repeat(np.arange(8), G)
    evidence = [Evidence(str(g), gold="C", answer="(C) city") for g in groups]
    for _ in range(2):
        model.observe(evidence, np.ones(len(groups)), groups)
    assert model.chance.state_dict()["wrong"]["choice"] == {}
    rejected = [Evidence(str(g), gold="C", answer="Paris") for g in groups]
    model.observe(rejected, np.zeros(len(groups)), groups)
    state = model.chance.state_dict()
    assert sum(state["wrong"]["choice"].values()) * state["unit"] == pytest.approx(len(groups))


def test_6_what_failures_show_too_says_nothing():
    rng, model, groups = np.random.default_rng(0), LuckModel(), np.repeat(np.arange(32), G)
    for step in range(10):
        evidence = [Evidence(f"{step}-{g}", likelihood_ratio=0.05 if rng.random() < 0.5 else 18.75) for g in groups]
        model.observe(evidence, (rng.random(len(groups)) < 0.5).astype(float), groups)
    assert 0.8 < model.sign_ratios()[0] < 1.2
    assert 0.8 < model.sign_ratios()[4] < 1.2


def test_7_order_does_not_matter():
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(12), G)
    evidence = [Evidence(str(g), gold=str(g % 5), answer=str(rng.integers(5))) for g in groups]
    outcomes, order = (rng.random(len(groups)) < 0.4).astype(float), rng.permutation(len(groups))
    straight = LuckModel().observe(evidence, outcomes, groups)
    mixed = LuckModel().observe([evidence[i] for i in order], outcomes[order], groups[order])
    np.testing.assert_allclose(mixed, straight[order], rtol=1e-6)


@pytest.mark.parametrize(("size", "advantage"), [(8, 2.47), (64, 7.88)])
def test_8_a_lone_success_towers(size, advantage):
    lone = np.eye(size)[:1]
    assert (
        grpo(lone)[0, 0] == pytest.approx((size - 1) / math.sqrt(size), rel=1e-3) == pytest.approx(advantage, abs=0.01)
    )


def test_9_std_normalisation_undoes_a_discount_of_the_reward():
    group = np.array([[1.0, 0, 0, 1, 0, 0, 0, 0]])
    normalise = lambda r: (r - r.mean()) / r.std(ddof=1)  # noqa: E731
    np.testing.assert_allclose(normalise(0.01 * group), normalise(group), rtol=1e-12)
    host = normalise(group).ravel()
    out = rewrite_advantages(host, group[0], group[0], [0] * 8, np.full(8, 0.01))
    np.testing.assert_allclose(out, 0.01 * host, rtol=1e-9)


@pytest.mark.parametrize(("c", "let_through"), [(0.1, 0.09), (0.5, 0.88)])
def test_10_a_threshold_on_the_own_group_lets_the_luckiest_through(c, let_through):
    k = np.arange(G + 1)
    push = np.sqrt(np.clip(k * (G - k), 0, None))  # Σ of the successes' advantages, up to a factor
    chances = binom.pmf(k, G, c)
    share = (chances * push * (k / G > 0.25)).sum() / (chances * push).sum()
    assert share == pytest.approx(let_through, abs=0.005)


def test_11_adam_does_not_feel_the_size_of_gradients():
    torch = pytest.importorskip("torch")
    moved = []
    for factor in (1.0, 0.01):
        weight = torch.nn.Parameter(torch.zeros(3))
        optimizer = torch.optim.Adam([weight], lr=0.1)
        for gradient in ([1.0, -2.0, 0.5], [0.3, -1.0, 0.7]):
            weight.grad = factor * torch.tensor(gradient)
            optimizer.step()
        moved.append(weight.detach().clone())
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=0)


@pytest.mark.parametrize("genuine", [0.02, 0.3, 0.5, 0.9, 1.0])
def test_12_where_nothing_tells_successes_apart_nothing_changes(genuine):
    rng, size, ids = np.random.default_rng(0), StepSize(), np.repeat(np.arange(50), G)
    for _ in range(3):
        flat = (rng.random(50 * G) < 0.3).astype(float)
        host = grpo(flat.reshape(-1, G)).ravel()
        weights = size.weigh(np.full(len(flat), genuine), flat > 0, host)
        np.testing.assert_allclose(weights, 1, rtol=1e-9)
        assert (rewrite_advantages(host, flat, flat, ids, np.ones(len(flat))) == host).all()


def test_13_contract():
    rng = np.random.default_rng(0)
    passed = (rng.random((50, G)) < 0.3).astype(float)
    host, flat, ids = grpo(passed).ravel(), passed.ravel(), np.repeat(np.arange(50), G)
    assert (rewrite_advantages(host, flat, flat, ids, np.zeros(len(flat))) == 0)[passed.sum(1)[ids] > 0].all()
    weights = rng.random(len(flat))
    out = rewrite_advantages(host, flat, flat, ids, weights)
    for group in range(50):
        failures = out[(ids == group) & (flat == 0)]
        assert np.ptp(failures) == pytest.approx(0, abs=1e-12)
        assert out[ids == group].sum() == pytest.approx(0, abs=1e-9)
    order = rng.permutation(len(flat))
    mixed = rewrite_advantages(host[order], flat[order], flat[order], ids[order], weights[order])
    np.testing.assert_allclose(mixed, out[order], atol=1e-12)


@pytest.mark.parametrize(
    ("q", "c", "w_S", "w_L"), [(0.0, 0.1, 1, 1), (0.3, 0.1, 1, 1), (0.3, 0.2, 0.9, 0.3), (0.05, 0.4, 0.6, 0.2)]
)
def test_14_expected_gradient(q, c, w_S, w_L):
    found, error, u_S, u_L = expected_gradient(q, c, None if w_S == w_L == 1 else (w_S, w_L))
    expected = (1 - 1 / G) * (q * w_S * u_S + (1 - q) * c * w_L * u_L)
    assert (np.abs(found - expected) < 4 * error + 1e-9).all()
    assert np.abs(expected).max() > 20 * error.max()  # so that the line above could fail


def test_15_size_goes_by_the_odds_of_all_push():
    def size_of(genuine_B):
        rng, size, ids = np.random.default_rng(0), StepSize(), np.repeat(np.arange(50), G)
        for _ in range(5):
            flat = (rng.random(50 * G) < 0.3).astype(float)
            host = grpo(flat.reshape(-1, G)).ravel()
            weights = size.weigh(genuine_B, flat > 0, host)
            found = size.measure(genuine_B, host, rewrite_advantages(host, flat, flat, ids, weights))
        return found[0]

    assert size_of(np.full(50 * G, 0.03)) < 0.01
    assert size_of(np.full(50 * G, 0.55)) == 1
    assert 0.2 < size_of(np.full(50 * G, 0.4)) < 1


@pytest.mark.parametrize("kind", ["mixed", "luck alone"])
def test_16_under_adam_luck_moves_what_was_meant(kind):
    pytest.importorskip("torch")
    from benchmarks.streams.adam import simulate

    assert 0.8 < simulate(kind, "slow", 1000) < 1.2
    assert simulate(kind, "none", 1000) > 1.2
    assert simulate("turns", "slow", 1000) < 0.1 * simulate("turns", "own", 1000)


def test_17_simulated_groups():
    run = simulate(seed=1)
    for method, first, last in (
        ("GRPO", 0.61, 0.61), ("Dr. GRPO", 0.61, 0.61), ("S-GRPO", 0.61, 0.61),
        ("threshold on the own group", 0.57, 0.56), ("rlguard", 0.22, 0.15),
    ):  # fmt: skip
        assert lucky_share(run, method, 0) == pytest.approx(first, abs=0.07)
        assert lucky_share(run, method, 7) == pytest.approx(last, abs=0.07)
    kept = [run[method]["rare but valid"]["genuine"].sum() for method in ("rlguard", "GRPO")]
    assert kept[0] > 0.97 * kept[1]
