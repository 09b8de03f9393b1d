"""`keep_paid_size`, statement by statement, and how the guard uses it."""

from __future__ import annotations

import numpy as np
import pytest

from rlguard.guard import Guard, GuardConfig
from rlguard.guard.shaped import keep_paid_size, read_success_reward
from rlguard.luck.evidence import Evidence

G = 8
LONE, FORMAT, LENGTH, MIXED = (
    np.array(rows, float)
    for rows in (
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0.05, 0, 0, 0, 0, 0, 0, 0],
        [1, 0.98, 0.95, 1, 1, 0.97, 1, 1],
        [1.05, 1, 1, 0, 0.05, 0, 0, 0],
    )
)
OUTCOMES = {"lone": LONE, "format": np.zeros(G), "length": np.ones(G), "mixed": (MIXED >= 1).astype(float)}
REWARDS = {"lone": LONE, "format": FORMAT, "length": LENGTH, "mixed": MIXED}


def batch(*names):
    """Rewards, outcomes and group ids of some groups."""
    return (
        np.concatenate([REWARDS[name] for name in names]),
        np.concatenate([OUTCOMES[name] for name in names]),
        np.repeat(np.arange(len(names)), G),
    )


def grpo(rewards, eps=0.0):
    grouped = rewards.reshape(-1, G)
    std = grouped.std(axis=1, ddof=1, keepdims=True)
    return ((grouped - grouped.mean(axis=1, keepdims=True)) / (std + eps)).ravel()


def centred(rewards, divisor=1.0):
    """Dr. GRPO's advantages, or those of one divisor for the whole batch."""
    grouped = rewards.reshape(-1, G)
    return ((grouped - grouped.mean(axis=1, keepdims=True)) / divisor).ravel()


@pytest.mark.parametrize("paid", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("d", [0.001, 0.05, 0.2])
def test_a_difference_weighs_its_share_of_a_lone_success(paid, d):
    rewards = np.concatenate([paid * LONE, d * LONE])
    host = grpo(rewards)
    assert host[0] == pytest.approx(host[G])  # the blow-up: both are 2.5
    kept = keep_paid_size(host, rewards, np.concatenate([LONE, np.zeros(G)]), np.repeat([0, 1], G), paid)
    assert kept[G] - kept[G + 1] == pytest.approx(d / paid * (kept[0] - kept[1]))


def test_without_a_solved_group_the_lone_success_is_the_yardstick():
    kept = keep_paid_size(grpo(FORMAT), FORMAT, np.zeros(G), np.zeros(G), 1.0)
    assert kept[0] - kept[1] == pytest.approx(0.05 * np.sqrt(G))  # a lone success is √G above its failures


def test_a_group_of_successes_keeps_the_size_of_its_penalty_too():
    kept = keep_paid_size(grpo(LENGTH), LENGTH, np.ones(G), np.zeros(G), 1.0)
    assert kept == pytest.approx(centred(LENGTH) * np.sqrt(G))


def test_a_divisor_smaller_than_a_lone_success_has_is_the_yardstick():
    mixed = np.array([0.1, 0, 0, 0, 0, 0, 0, 0])  # a success that is paid little: less than the R that is told
    rewards, groups = np.concatenate([mixed, FORMAT]), np.repeat([0, 1], G)
    kept = keep_paid_size(grpo(rewards), rewards, np.concatenate([LONE, np.zeros(G)]), groups, 1.0)
    assert kept[G] / kept[0] == pytest.approx(0.5)


def test_a_wide_group_is_not_blown_up():
    rewards = np.array([3.0, 0, 0, 2, 0, 0, 1, 0])  # beside correctness more is paid than for it
    host = grpo(rewards)
    assert (keep_paid_size(host, rewards, np.zeros(G), np.zeros(G), 1.0) == host).all()


@pytest.mark.parametrize("success_reward", [1.0, 10.0])
@pytest.mark.parametrize("names", [["format"], ["lone", "format", "length", "mixed"]], ids=["unsolved", "all kinds"])
def test_dr_grpo_keeps_its_numbers(names, success_reward):
    rewards, outcomes, groups = batch(*names)
    host = centred(rewards).astype(np.float32)
    assert (keep_paid_size(host, rewards, outcomes, groups, success_reward) == host).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_divisor_for_the_batch_keeps_its_numbers(dtype):
    rewards, outcomes, groups = batch("lone", "format", "length", "mixed")
    for divisor in np.linspace(0.1, 0.3, 20):  # each is read off another rounding
        host = centred(rewards, divisor).astype(dtype)
        assert (keep_paid_size(host, rewards, outcomes, groups) == host).all()


def test_one_divisor_of_a_batch_without_contrast_is_a_blow_up():
    rewards, outcomes, groups = batch("format", "format")
    host = centred(rewards, rewards.std(ddof=1))
    kept = keep_paid_size(host, rewards, outcomes, groups)
    assert kept == pytest.approx(centred(rewards) * np.sqrt(G))


def test_groups_of_both_outcomes_without_any_or_of_equal_rewards_stay_bit_for_bit():
    rewards, outcomes, groups = batch("lone", "format", "mixed", "format", "length")
    outcomes[3 * G : 4 * G] = np.nan
    rewards[4 * G :] = 1.0
    host = grpo(rewards, eps=1e-4)
    kept = keep_paid_size(host, rewards, outcomes, groups)
    assert set(groups[kept != host]) == {1}


def test_infinity_silences_groups_of_one_outcome_and_no_others():
    rewards, outcomes, groups = batch("lone", "format", "length", "mixed")
    for host in (grpo(rewards), centred(rewards)):
        kept = keep_paid_size(host, rewards, outcomes, groups, np.inf)
        assert (kept[G : 3 * G] == 0).all()
        assert (kept[:G] == host[:G]).all()
        assert (kept[3 * G :] == host[3 * G :]).all()


def test_0_leaves_everything():
    rewards, outcomes, groups = batch("lone", "format", "length")
    host = grpo(rewards)
    assert (keep_paid_size(host, rewards, outcomes, groups, 0.0) == host).all()


def test_what_could_not_be_judged_has_no_vote_and_keeps_its_number():
    rewards, outcomes = FORMAT.copy(), np.zeros(G)
    outcomes[[3, 7]] = np.nan
    host = grpo(rewards)
    kept = keep_paid_size(host, rewards, outcomes, np.zeros(G))
    assert (kept[[3, 7]] == host[[3, 7]]).all()
    assert kept[0] - kept[1] == pytest.approx(0.05 * np.sqrt(6))


def test_a_group_with_a_right_and_an_unjudged_rollout_is_one_of_one_outcome():
    outcomes = np.array([np.nan, *[1] * 7])
    host = grpo(LENGTH)
    assert np.abs(keep_paid_size(host, LENGTH, outcomes, np.zeros(G)))[1:].sum() < np.abs(host[1:]).sum()


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
def test_torch_keeps_its_dtype(name):
    torch = pytest.importorskip("torch")
    rewards, outcomes, groups = batch("lone", "format", "mixed")
    host = torch.tensor(grpo(rewards), dtype=getattr(torch, name))
    kept = keep_paid_size(host, torch.tensor(rewards), torch.tensor(outcomes), groups)
    assert kept.dtype == host.dtype
    assert torch.equal(kept[:G], host[:G])
    assert torch.equal(kept[2 * G :], host[2 * G :])
    assert float(kept[G]) == pytest.approx(0.05 * float(host[0]), rel=0.02)


def test_success_reward_is_read_off():
    assert read_success_reward([2.0, 2.5, 0.5, 9], [1, 1, 0, np.nan]) == 1.75
    assert np.isnan(read_success_reward([1.0, 1.0], [1, 1]))


def judge(guard, names, weight=1.0):
    """The guard's verdict on groups, host GRPO, of which correctness pays `weight`."""
    rewards, outcomes, groups = batch(*names)
    total = rewards + (weight - 1) * outcomes
    evidence = [Evidence(f"{name}-{row}", likelihood_ratio=1.0) for row, name in enumerate(names) for _ in range(G)]
    host = grpo(total, eps=1e-4)
    return host, guard.judge(evidence, host, weight * outcomes, outcomes, groups, total_rewards_B=total)


def test_the_guard_sizes_an_unsolved_group_and_leaves_its_step_alone():
    host, judged = judge(Guard(GuardConfig(scale_steps=True)), ["format", "format"])
    assert judged.advantages_B[0] == pytest.approx(0.05 * host[0], rel=0.02)
    assert judged.metrics["rlguard/step_scale"] == judged.step_scale == 1.0


@pytest.mark.parametrize("bare", [False, True])
def test_beside_what_a_format_pays_luck_weighs_little_and_the_step_keeps_its_size(bare):
    rng, guard, seen = np.random.default_rng(0), Guard(), []
    for step in range(30):
        groups = np.repeat(np.arange(16), 8)
        outcomes = (rng.random(128) < 0.1).astype(float)  # nothing is solved: one guess in ten passes
        golds, answers = [str(g % 10) for g in groups], [str(n) for n in rng.integers(10, size=128)]
        paid = rng.random(128) < 0.5
        evidence = [
            Evidence(f"{step} {g}", gold, gold if right else answer if answer != gold else "x", bare=bare and bool(pay))
            for g, gold, answer, right, pay in zip(groups, golds, answers, outcomes, paid, strict=True)
        ]
        total = outcomes + 0.2 * paid
        spread = total.reshape(16, 8)
        host = (spread - spread.mean(1, keepdims=True)) / (spread.std(1, ddof=1, keepdims=True) + 1e-6)
        judged = guard.judge(evidence, host.ravel(), outcomes, outcomes, groups, total_rewards_B=total)
        seen.append([judged.metrics["rlguard/size"], judged.metrics["rlguard/weight_mean"]])
    size, weight = np.mean(seen[10:], axis=0)
    if bare:  # what is paid is an answer without computation
        assert size < 0.1
    else:
        assert size > 0.9
        assert weight < 0.1


def test_the_guard_reads_off_what_a_success_pays():
    guard = Guard(GuardConfig(scale_steps=False))
    judge(guard, ["lone", "mixed"], weight=2.0)
    host, judged = judge(guard, ["format"], weight=2.0)
    assert judged.advantages_B[0] == pytest.approx(0.025 * host[0], rel=0.02)


def test_the_setting_decides():
    for reward, share in ((0.0, 1.0), (0.5, 0.1), (np.inf, 0.0)):
        host, judged = judge(Guard(GuardConfig(success_reward=reward)), ["format"])
        assert judged.advantages_B[0] == pytest.approx(share * host[0], rel=0.02)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="success_reward"):
            GuardConfig(success_reward=wrong)


def test_observe_leaves_the_host():
    host, judged = judge(Guard(GuardConfig(mode="observe")), ["format", "lone"])
    assert (judged.advantages_B == host).all()
