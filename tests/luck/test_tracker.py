from __future__ import annotations

import json

import numpy as np
import pytest

from rlguard.luck.tracker import PassRateTracker


def test_a_group_is_never_judged_by_itself():
    """Whatever a group's own outcome, its verdict is the same: only other evidence counts."""
    verdicts = []
    for own in range(9):
        tracker = PassRateTracker()
        tracker.judge(["a", "b", "c"], [1, 4, 0], [8, 8, 8], [0.1] * 3)
        verdicts.append(tracker.judge(["new", "b"], [own, 3], [8, 8], [0.1, 0.1])[0])
    np.testing.assert_allclose(verdicts, verdicts[0], rtol=1e-12)


def test_two_groups_of_one_prompt_in_a_batch_do_not_vouch_for_each_other():
    alone = PassRateTracker().judge(["a", "b"], [8, 0], [8, 8], [0.1, 0.1])
    twice = PassRateTracker().judge(["a", "a", "b"], [8, 8, 0], [8, 8, 8], [0.1] * 3)
    assert twice[0] == twice[1] == pytest.approx(alone[0], rel=1e-12)


def test_order_of_the_batch_does_not_matter():
    ids, successes = [f"p{i}" for i in range(12)], np.arange(12) % 9
    trackers = PassRateTracker(), PassRateTracker()
    order = np.random.default_rng(1).permutation(12)
    for _ in range(2):
        straight = trackers[0].judge(ids, successes, np.full(12, 8), np.full(12, 0.1))
        mixed = trackers[1].judge([ids[i] for i in order], successes[order], np.full(12, 8), np.full(12, 0.1))
        np.testing.assert_allclose(mixed, straight[order], rtol=1e-9)


def test_luck_is_recognised_and_skill_kept():
    rng = np.random.default_rng(0)
    tracker, ids = PassRateTracker(), [f"p{i}" for i in range(64)]
    skill = np.where(np.arange(64) < 32, 0.0, 0.7)
    for _ in range(30):
        rows = rng.choice(64, 16, replace=False)
        passing = skill[rows] + (1 - skill[rows]) * 0.1
        genuine = tracker.judge([ids[i] for i in rows], rng.binomial(8, passing), np.full(16, 8), np.full(16, 0.1))
    assert genuine[rows < 32].mean() < 0.25
    assert genuine[rows >= 32].mean() > 0.9


def test_population_speaks_for_prompts_never_seen():
    hopeless, able = PassRateTracker(), PassRateTracker()
    for step in range(10):
        ids = [f"{step}-{i}" for i in range(16)]
        hopeless.judge(ids, np.full(16, 1), np.full(16, 8), np.full(16, 0.125))
        able.judge(ids, np.full(16, 6), np.full(16, 8), np.full(16, 0.125))
    assert hopeless.judge(["new"], [1], [8], [0.125])[0] < 0.3
    assert able.judge(["new"], [1], [8], [0.125])[0] > 0.9


def test_offline_counts_are_used_at_the_first_visit_and_capped():
    tracker = PassRateTracker()
    found = tracker.judge(["hard", "easy"], [1, 1], [8, 8], [0.1, 0.1], [100, 900], [1000, 1000])
    assert found[0] < 0.5 < 0.9 < found[1]
    assert tracker.counts("hard")[1] == pytest.approx(32 * 0.8 + 8)
    unknown = PassRateTracker().judge(["x"], [1], [8], [0.1], [float("nan")], [float("nan")])
    assert unknown == PassRateTracker().judge(["x"], [1], [8], [0.1])


def test_the_past_fades_as_the_policy_moves():
    tracker = PassRateTracker(decay=0.5)
    for _ in range(5):
        tracker.judge(["a"], [0], [8], [0.0])
    before = tracker.judge(["a"], [8], [8], [0.0])
    for _ in range(5):
        after = tracker.judge(["a"], [8], [8], [0.0])
    assert after[0] > before[0]
    assert tracker.counts("a")[1] < 16.1


def test_memory_is_bounded_and_the_prompt_not_visited_for_longest_is_forgotten_first():
    tracker = PassRateTracker(max_prompts=24)
    for step in range(4):
        genuine = tracker.judge(["often"] + [f"{step}-{i}" for i in range(8)], [4] * 9, [8] * 9, [0.1] * 9)
    assert np.isfinite(genuine).all()
    assert len(tracker) == 24
    assert tracker.counts("often")[1] > 8
    assert tracker.counts("0-0") == (0, 0)
    assert tracker.counts("3-7") == (4, 8)
    tracker.judge([f"many-{i}" for i in range(40)], np.zeros(40), np.zeros(40), np.full(40, np.nan))
    assert len(tracker) == 40  # a batch counts whole


def test_a_prompt_that_was_forgotten_starts_from_its_offline_rate_again():
    tracker = PassRateTracker(max_prompts=2)
    first = tracker.judge(["a"], [0], [8], [0.1], [20], [20])
    tracker.judge(["x", "y"], [4, 4], [8, 8], [0.1, 0.1])
    again = PassRateTracker(max_prompts=2)
    again.judge(["x", "y"], [4, 4], [8, 8], [0.1, 0.1])
    known = tracker.judge(["a"], [0], [8], [0.1], [20], [20])
    assert known == again.judge(["a"], [0], [8], [0.1], [20], [20])
    assert first[0] > 0.9


def test_state_survives_json():
    tracker = PassRateTracker()
    tracker.judge(["a", "b"], [1, 5], [8, 8], [0.1, 0.1])
    twin = PassRateTracker()
    twin.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
    np.testing.assert_array_equal(
        tracker.judge(["b", "c"], [2, 2], [8, 8], [0.1, 0.1]), twin.judge(["b", "c"], [2, 2], [8, 8], [0.1, 0.1])
    )


def test_where_a_prompt_gets_one_guess_each_time_eight_of_eight_are_no_skill():
    rng = np.random.default_rng(0)
    lucky = rng.random(64) < 0.3  # whether the policy's one guess at a prompt is right
    ids, trials, chance = [str(i) for i in range(64)], np.full(64, 8), np.full(64, 0.3)
    alike, apart = PassRateTracker(), PassRateTracker()
    for _ in range(4):
        together = alike.judge(ids, 8 * lucky, trials, chance, correlation_P=0.9)
        independent = apart.judge(ids, 8 * lucky, trials, chance)
    assert together[lucky].max() < 0.5 < independent[lucky].min()


def test_skill_survives_correlated_luck():
    ids, trials = [str(i) for i in range(64)], np.full(64, 8)
    tracker, able = PassRateTracker(), np.arange(64) < 48  # more than luck can explain
    for _ in range(3):
        genuine = tracker.judge(ids, np.where(able, 6, 0), trials, np.full(64, 0.1), correlation_P=0.9)
    assert genuine[able].min() > 0.85


def test_state_of_an_earlier_version_has_no_correlation():
    tracker = PassRateTracker()
    tracker.load_state_dict({"seen": {"a": [3, 8, 0.1]}})
    assert tracker.state_dict() == {"seen": {"a": [3.0, 8.0, 0.1, 0.0]}}
