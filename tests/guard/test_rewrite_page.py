"""docs/rewrite.md, statement by statement: a test's number is the statement's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.methods import dr_grpo, grpo
from benchmarks.rewrite.simulate import G, lucky_share, simulate
from rlguard.guard import Guard, GuardConfig
from rlguard.guard.rewrite import rewrite_advantages
from rlguard.guard.settings import MIN_WEIGHT
from rlguard.luck.chance import ChanceRates
from rlguard.luck.evidence import Evidence
from rlguard.luck.genuine import CHANCE_FLOOR, genuine_given_text, genuine_probability
from rlguard.luck.tracker import PassRateTracker
from rlguard.stats import SKILL_GRID, beta_weights

JEFFREYS = beta_weights(0.5, 0.5)


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


def test_1_posterior_of_genuine_and_its_limit():
    sure = np.zeros(len(SKILL_GRID))
    sure[20] = 1
    q, c = SKILL_GRID[20], 0.2
    assert genuine_probability([0], [0], [c], sure)[0] == pytest.approx(q / (q + (1 - q) * c))
    p = 0.4
    many = genuine_probability([p * 400], [400], [c], JEFFREYS)[0]
    assert many == pytest.approx((p - c) / (p * (1 - c)), abs=0.02)


def test_2_weights_are_calibrated_where_the_model_holds():
    rng, tracker = np.random.default_rng(0), PassRateTracker(decay=1.0)
    prompts = 1200
    q = np.where(rng.random(prompts) < 0.5, 0.0, rng.beta(1, 3, prompts))
    c, names = np.full(prompts, 0.15), [str(number) for number in range(prompts)]
    weights, truth = [], []
    for _ in range(4):
        genuine = rng.random((prompts, G)) < q[:, None]
        lucky = ~genuine & (rng.random((prompts, G)) < c[:, None])
        shows = rng.random((prompts, G)) < np.where(genuine, 0.8, 0.1)
        passed = genuine | lucky
        g = tracker.judge(names, passed.sum(axis=1), np.full(prompts, G), c)
        w = genuine_given_text(np.repeat(g, G), np.where(shows, 8.0, 0.2 / 0.9).ravel()).reshape(passed.shape)
        weights.append(w[passed])
        truth.append(genuine[passed])
    weights, truth = np.concatenate(weights), np.concatenate(truth)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (weights >= low) & (weights < low + 0.2)
        assert inside.sum() > 200
        assert truth[inside].mean() == pytest.approx(weights[inside].mean(), abs=0.06)


def test_3_own_outcome_never_enters():
    for name in ("a", "new"):
        found = []
        for own in range(G + 1):
            tracker, now = PassRateTracker(), {"a": 2, "b": 3, "new": 1} | {name: own}
            tracker.judge(["a", "b", "c"], [1, 4, 0], [G] * 3, [0.1] * 3)
            found.append(tracker.judge(list(now), list(now.values()), [G] * 3, [0.1] * 3)[list(now).index(name)])
        np.testing.assert_allclose(found, found[0], rtol=1e-12)


@pytest.mark.parametrize(("size", "advantage"), [(8, 2.47), (64, 7.88)])
def test_4_a_lone_success_towers(size, advantage):
    lone = np.eye(size)[:1]
    assert (
        grpo(lone)[0, 0] == pytest.approx((size - 1) / math.sqrt(size), rel=1e-3) == pytest.approx(advantage, abs=0.01)
    )


def test_5_std_normalisation_undoes_a_discount_of_the_reward():
    group = np.array([[1.0, 0, 0, 1, 0, 0, 0, 0]])
    normalise = lambda r: (r - r.mean()) / r.std(ddof=1)  # noqa: E731
    np.testing.assert_allclose(normalise(0.01 * group), normalise(group), rtol=1e-12)
    host = normalise(group).ravel()
    out = rewrite_advantages(host, group[0], group[0], [0] * 8, np.full(8, 0.01))
    np.testing.assert_allclose(out, 0.01 * host, rtol=1e-9)


@pytest.mark.parametrize(("c", "let_through"), [(0.1, 0.09), (0.5, 0.88)])
def test_6_self_judging_lets_the_luckiest_through_and_evidence_from_elsewhere_does_not(c, let_through):
    k = np.arange(G + 1)
    push = np.sqrt(np.clip(k * (G - k), 0, None))  # Σ of the successes' advantages, up to a factor
    chances = binom.pmf(k, G, c)
    share = (chances * push * (k / G > 0.25)).sum() / (chances * push).sum()
    assert share == pytest.approx(let_through, abs=0.005)

    rng, tracker = np.random.default_rng(0), PassRateTracker()
    for _ in range(8):  # the tracker's own weights, in every group, however lucky it was
        successes = rng.binomial(G, c, 64)
        weights = tracker.judge([str(n) for n in range(64)], successes, np.full(64, G), np.full(64, c))
    assert (weights < MIN_WEIGHT).all()


def test_7_adam_does_not_feel_the_size_of_gradients():
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


@pytest.mark.parametrize(
    ("q", "c", "w_S", "w_L"), [(0.0, 0.1, 1, 1), (0.3, 0.1, 1, 1), (0.3, 0.2, 0.9, 0.3), (0.05, 0.4, 0.6, 0.2)]
)
def test_8_expected_gradient(q, c, w_S, w_L):
    found, error, u_S, u_L = expected_gradient(q, c, None if w_S == w_L == 1 else (w_S, w_L))
    expected = (1 - 1 / G) * (q * w_S * u_S + (1 - q) * c * w_L * u_L)
    assert (np.abs(found - expected) < 4 * error + 1e-9).all()
    assert np.abs(expected).max() > 20 * error.max()  # so that the line above could fail


def test_9_all_lucky_ends_in_no_gradient():
    c, least = 0.1, MIN_WEIGHT
    bound = c / (3 + c)
    assert bound / (bound + (1 - bound) * c) == pytest.approx(least)
    known = genuine_probability([2], [32], [c], JEFFREYS)  # 2 of 32: no more than luck gives
    assert genuine_given_text(known)[0] < least
    found, *_ = expected_gradient(0.0, c, (0.0, 0.0), groups=200)
    assert (found == 0).all()


def test_10_all_genuine_costs_a_few_per_cent():
    for k, n in ((16, 100), (40, 100), (80, 100)):
        assert genuine_probability([k], [n], [0.0], JEFFREYS)[0] >= 0.945
    assert 0.16 / (0.16 + 0.84 * CHANCE_FLOOR) >= 0.95
    w = 0.95
    found, error, u_S, _ = expected_gradient(0.3, 0.0, (w, w))
    assert (np.abs(found - (1 - 1 / G) * 0.3 * w * u_S) < 4 * error + 1e-9).all()


def test_11_without_text_the_direction_stays():
    host, *_ = expected_gradient(0.3, 0.3)
    kept, *_ = expected_gradient(0.3, 0.3, (0.6, 0.6))
    np.testing.assert_allclose(kept, 0.6 * host, rtol=1e-9)


def test_12_with_text_the_direction_turns_to_solving():
    g, shown, bare = 0.5, 8.0, 0.2
    w_S, w_L = genuine_given_text([g, g], [shown, bare])
    assert w_S > 0.85 > 0.2 > w_L
    host, *_ = expected_gradient(0.3, 0.3)
    turned, _, u_S, _ = expected_gradient(0.3, 0.3, (w_S, w_L))
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    assert cosine(turned, u_S) > cosine(host, u_S) + 0.1


def test_13_contract():
    rng = np.random.default_rng(0)
    passed = (rng.random((50, G)) < 0.3).astype(float)
    host, flat, ids = grpo(passed).ravel(), passed.ravel(), np.repeat(np.arange(50), G)
    assert (rewrite_advantages(host, flat, flat, ids, np.ones(len(flat))) == host).all()
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


def test_14_simulated_groups():
    run = simulate(seed=1)
    for method, first, last in (
        ("GRPO", 0.61, 0.61), ("Dr. GRPO", 0.61, 0.61), ("S-GRPO", 0.61, 0.61),
        ("threshold on the own group", 0.57, 0.56), ("rlguard", 0.24, 0.11),
    ):  # fmt: skip
        assert lucky_share(run, method, 0) == pytest.approx(first, abs=0.07)
        assert lucky_share(run, method, 7) == pytest.approx(last, abs=0.07)


def test_15_a_repeated_guess_is_no_skill_as_long_as_luck_explains_it():
    rng, c, names = np.random.default_rng(1), 0.3, [str(n) for n in range(128)]
    for share, weights_low in ((c, True), (0.7, False)):  # of prompts that always pass: as luck would have it, or more
        passes = G * (rng.random(128) < share)
        alike, apart = PassRateTracker(), PassRateTracker()
        for _ in range(6):
            correlated = alike.judge(names, passes, np.full(128, G), np.full(128, c), correlation_P=0.95)
            independent = apart.judge(names, passes, np.full(128, G), np.full(128, c))
        assert (correlated[passes > 0] < 0.5).all() == weights_low
        assert (independent[passes > 0] > 0.5).all()


def test_16_answers_that_the_prompt_itself_offers():
    rng = np.random.default_rng(0)
    options = [[f"{letter}{number}" for letter in "xyz"] for number in range(64)]  # no two prompts share an answer
    guesses = [rng.choice(given, G).tolist() for given in options]
    found = []
    for answers, offered in (
        (guesses, True),
        (guesses, False),
        ([[given[1]] * 7 + [given[0]] for given in options], True),
        ([[given[0]] * 6 + given[1:] for given in options], True),
    ):
        chance = ChanceRates()
        for given, rollouts in zip(options, answers, strict=True):
            chance.add(given[0], rollouts)
        for given, rollouts in zip(options, answers, strict=True):
            chance.compare(given[0], rollouts, given if offered else ())
        assert chance.rate("x0") == 0
        found.append(chance.smooth_rates(["x0"], [0.0], [G])[0])
    assert found == pytest.approx([1 / 3, 0, 0, 0], abs=0.06)


def test_17_what_passes_without_computation_is_no_rarer_among_guesses():
    rng, found = np.random.default_rng(0), {}
    for bare_share in (0.0, 0.25):  # 300 prompts of answers that no two share; 3 in 100 rollouts pass, by luck
        guard, kept = Guard(GuardConfig(min_weight=0.0)), []
        for step in range(20):
            groups = np.repeat(np.arange(16), G)
            evidence = [
                Evidence(f"{step} {group}", f"w{step}x{group}", "other", bare=bool(rng.random() < bare_share))
                for group in groups
            ]
            outcomes = (rng.random(16 * G) < 0.03).astype(float)
            judged = guard.judge(evidence, outcomes - outcomes.mean(), outcomes, outcomes, groups)
            kept += judged.weights_B[outcomes > 0].tolist() if step >= 10 else []
        found[bare_share] = float(np.mean(kept))
    assert found[0.0] > 0.6
    assert found[0.25] < 0.5
