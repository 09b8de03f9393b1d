"""Groups that carry no signal, and how the guard takes them out of the loss."""

from __future__ import annotations

import numpy as np
import pytest

from rlguard.guard import Guard, GuardConfig
from rlguard.luck.evidence import Evidence

G = 4
REWARDS = np.array([1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0], float)
GROUPS = np.repeat(["mixed", "right", "wrong", "lucky"], G)


def advantages(rewards):
    grouped = rewards.reshape(-1, G)
    return (grouped - grouped.mean(1, keepdims=True)).ravel() * 2


def judge(config, rewards=REWARDS, ratio=1e-9, total=None, **options):
    """The last group's success is all but surely lucky by its text."""
    evidence = [Evidence(prompt_id=name, likelihood_ratio=ratio if name == "lucky" else 1.0) for name in GROUPS]
    paid = rewards if total is None else total
    host = advantages(paid)
    return host, Guard(config, **options).judge(evidence, host, rewards, rewards, GROUPS, total_rewards_B=paid)


def test_all_right_all_wrong_and_all_luck_are_masked():
    _, judged = judge(GuardConfig(mask_silent=True))
    assert set(GROUPS[judged.trained_B]) == {"mixed"}
    assert (judged.advantages_B[~judged.trained_B] == 0).all()
    assert judged.metrics["rlguard/silent_groups"] == 0.75


def test_they_stay_unless_the_setting_is_on():
    for config in (GuardConfig(), GuardConfig(mode="observe", mask_silent=True)):
        _, judged = judge(config)
        assert judged.trained_B.all()
        assert judged.metrics["rlguard/silent_groups"] == 0.75


def test_a_success_that_may_be_genuine_keeps_its_group():
    _, judged = judge(GuardConfig(mask_silent=True), ratio=0.5)
    assert set(GROUPS[judged.trained_B]) == {"mixed", "lucky"}


def test_a_reward_beside_correctness_is_a_signal():
    total = REWARDS.copy()
    total[8] = 0.2
    _, judged = judge(GuardConfig(mask_silent=True), total=total)
    assert set(GROUPS[judged.trained_B]) == {"mixed", "wrong"}


def test_rounding_is_none():
    total = REWARDS + np.where(GROUPS == "lucky", 0, 1e-9 * np.arange(16))
    _, judged = judge(GuardConfig(mask_silent=True, success_reward=0.0), total=total)
    assert set(GROUPS[judged.trained_B]) == {"mixed"}


def test_a_row_that_is_left_to_the_host_is_trained_on():
    config, speaker = GuardConfig(mask_silent=True), np.array([0, 0, 1, 2, 3, -1])
    evidence = [Evidence(prompt_id=name) for name in "aaaabb"]
    outcomes = np.array([0, 0, 0, 0, 0, 1.0])
    judged = Guard(config).judge(evidence, np.zeros(6), outcomes, outcomes, list("aaaabb"), speaker_B=speaker)
    assert judged.trained_B.tolist() == [False] * 5 + [True]


def test_after_a_fault_all_are_trained_on():
    judged = Guard(GuardConfig(mask_silent=True)).judge([None] * 4, np.zeros(4), np.zeros(4), np.zeros(4), [0] * 4)
    assert judged.trained_B.all()


def test_a_trainer_that_cannot_mask_refuses_by_name():
    with pytest.raises(ValueError, match="mask_silent: NeMo"):
        Guard(GuardConfig(mask_silent=True), cannot_mask="NeMo cannot")
