"""The rewrite: hand-worked tables, a slow plain loop, and what must never happen."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.guard.rewrite import rewrite_advantages

NAN = math.nan


def host_scale(rewards, mean, std, kind):
    scored = [r for r in rewards if not math.isnan(r)]
    batch_std = np.std(scored, ddof=1) if len(scored) > 1 else 0.0
    return {"group": std + 1e-4, "none": 1.0, "batch": batch_std + 1e-4, "maxrl": mean or 1.0}[kind]


def host_advantages(rewards, groups, kind="group"):
    """A trainer's own advantages, by a plain loop. Unscored rows (NaN reward) do not vote and get 0."""
    rewards, groups = np.asarray(rewards, float), np.asarray(groups)
    out = np.zeros(len(rewards))
    for group in set(groups.tolist()):
        rows = [i for i in range(len(rewards)) if groups[i] == group and not math.isnan(rewards[i])]
        values = [rewards[i] for i in rows]
        mean = sum(values) / max(len(values), 1)
        std = np.std(values, ddof=1) if len(values) > 1 else 0.0
        scale = host_scale(rewards, mean, std, kind)
        for i in rows:
            out[i] = (rewards[i] - mean) / scale
    return out


def slow_rewrite(rewards, outcomes, groups, weights, kind):
    """DESIGN's formula, row by row: discounted rewards, centred, at the scale of the original rewards."""
    rewards = np.asarray(rewards, float)
    out = np.zeros(len(rewards))
    for group in set(groups):
        rows = [i for i in range(len(rewards)) if groups[i] == group and not math.isnan(outcomes[i])]
        if not rows:
            continue
        failed = [rewards[i] for i in rows if outcomes[i] == 0]
        floor = sum(failed) / len(failed) if failed else min(rewards[i] for i in rows)
        worth = {}
        for i in rows:
            gain = max(rewards[i] - floor, 0) if outcomes[i] else 0
            worth[i] = rewards[i] - (1 - weights[i]) * gain if outcomes[i] else rewards[i]
        mean = sum(worth.values()) / len(rows)
        values = [rewards[i] for i in rows]
        std = np.std(values, ddof=1) if len(rows) > 1 else 0.0
        if std == 0:
            continue
        scale = host_scale(rewards, np.mean(values), std, kind)
        for i in rows:
            out[i] = (worth[i] - mean) / scale
    return out


@pytest.mark.parametrize(
    ("rewards", "outcomes", "weights", "expected"),
    [
        # Dr. GRPO's scale (divisor 1), one group each; worked by hand.
        ([1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]),
        ([1, 0, 0, 0], [1, 0, 0, 0], [0.5, 1, 1, 1], [0.375, -0.125, -0.125, -0.125]),
        ([1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1], [0.75, -0.25, -0.25, -0.25]),
        ([1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]),
        ([1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]),
        ([1, -1, -1, -1], [1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]),  # failures are paid -1: luck earns no more
        ([1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0.75, -0.25, -0.25, -0.25]),  # weights of failures do not count
    ],
)
def test_worked_by_hand(rewards, outcomes, weights, expected):
    groups = [0] * len(rewards)
    out = rewrite_advantages(host_advantages(rewards, groups, "none"), rewards, outcomes, groups, weights)
    np.testing.assert_allclose(out, expected, atol=1e-12)


def test_unscored_row_does_not_vote_even_where_the_host_let_it():
    # rewards [1,1,0,0] with the second invalid must give [.667, 0, -.333, -.333]
    host = [0.5, 0.5, -0.5, -0.5]
    out = rewrite_advantages(host, [1, 1, 0, 0], [1, None, 0, 0], [0] * 4, [1] * 4)
    np.testing.assert_allclose(out, [2 / 3, 0, -1 / 3, -1 / 3])


def test_a_group_paid_for_something_else_is_left_to_the_host():
    """TRL's way with several tasks: a task's reward function returns None for the rows of the others."""
    host = [0.5, 0.5, -0.5, -0.5, 0.75, -0.25, -0.25, -0.25]
    outcomes = [NAN] * 4 + [1, 0, 0, 0]
    out = rewrite_advantages(host, outcomes, outcomes, [0] * 4 + [1] * 4, [1, 1, 1, 1, 0, 1, 1, 1])
    np.testing.assert_allclose(out, [0.5, 0.5, -0.5, -0.5, 0, 0, 0, 0])


def test_discounted_and_unscored_together():
    host = host_advantages([1, 1, NAN, 0], [0] * 4, "none")
    out = rewrite_advantages(host, [1, 1, NAN, 0], [1, 1, NAN, 0], [0] * 4, [1, 0.5, 1, 1])
    np.testing.assert_allclose(out, [0.5, 0.0, 0.0, -0.5], atol=1e-12)


def test_shaped_reward_loses_only_what_the_success_earned():
    # correctness 1 beside a format reward of 0.2 for rows 0 and 2; the lucky row keeps its format reward
    outcome, total = [1, 0, 0, 0], [1.2, 0, 0.2, 0]
    host = host_advantages(total, [0] * 4, "none")
    out = rewrite_advantages(host, outcome, outcome, [0] * 4, [0, 1, 1, 1], total_rewards_B=total)
    np.testing.assert_allclose(out, host_advantages([0.2, 0, 0.2, 0], [0] * 4, "none"), atol=1e-12)


def test_a_lone_failure_does_not_hide_that_something_else_paid():
    outcome, total = [1, 1, 1, 0], [1.2, 1.0, 1.1, 0.3]
    host = host_advantages(total, [0] * 4, "none")
    out = rewrite_advantages(host, outcome, outcome, [0] * 4, [0, 0, 0, 1], total_rewards_B=total)
    np.testing.assert_allclose(out, host_advantages([0.2, 0, 0.1, 0.3], [0] * 4, "none"), atol=1e-12)


def test_normalising_after_the_discount_would_undo_it():
    """Why the rewrite works at the host's scale: a lone success scaled to 0.01 is normalised back to full size."""
    before = host_advantages([1, 0, 0, 0], [0] * 4)
    naive = host_advantages([0.01, 0, 0, 0], [0] * 4)
    ours = rewrite_advantages(before, [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4, [0.01, 1, 1, 1])
    assert naive[0] > 0.95 * before[0]
    assert ours[0] == pytest.approx(0.01 * before[0], rel=1e-6)


batches = st.integers(1, 5).flatmap(
    lambda groups: st.lists(
        st.tuples(
            st.integers(0, groups - 1),
            st.sampled_from([0.0, 0.0, 1.0, NAN]),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=24,
    )
)


@settings(max_examples=150, deadline=None)
@given(batches, st.sampled_from(["group", "none", "batch", "maxrl"]))
def test_agrees_with_the_slow_loop_on_ragged_groups(rows, kind):
    groups, outcomes, weights = (list(column) for column in zip(*rows, strict=True))
    out = rewrite_advantages(host_advantages(outcomes, groups, kind), outcomes, outcomes, groups, weights)
    np.testing.assert_allclose(out, slow_rewrite(outcomes, outcomes, groups, weights, kind), atol=1e-8)


@settings(max_examples=100, deadline=None)
@given(batches, st.randoms(use_true_random=False))
def test_what_never_happens(rows, rng):
    groups, outcomes, weights = (np.array(column) for column in zip(*rows, strict=True))
    host = host_advantages(outcomes, groups)
    out = rewrite_advantages(host, outcomes, outcomes, groups, weights)
    np.testing.assert_array_equal(
        rewrite_advantages(host, outcomes, outcomes, groups, np.ones(len(host))), host
    )  # w = 1 is the host, bit for bit
    assert (out[outcomes == 0] <= 1e-9).all()  # no failure is ever rewarded
    assert (out[np.isnan(outcomes)] == 0).all()
    for group in np.unique(groups):
        assert abs(out[groups == group].sum()) < 1e-9
        successes = (groups == group) & (outcomes == 1)
        if not (weights[successes] > 0).any():
            assert (out[groups == group] == 0).all()  # no genuine success, no gradient
    order = list(range(len(host)))
    rng.shuffle(order)
    shuffled = rewrite_advantages(host[order], outcomes[order], outcomes[order], groups[order], weights[order])
    np.testing.assert_allclose(shuffled, out[order], atol=1e-12)


def test_torch_gives_what_numpy_gives_in_the_dtype_it_came_in():
    torch = pytest.importorskip("torch")
    rewards, groups, weights = [1.0, 0, 0, 0, 1, 1, 0, 0], [0] * 4 + [1] * 4, [0.3, 1, 1, 1, 1, 0, 1, 1]
    host = host_advantages(rewards, groups)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        tensor = torch.tensor(host, dtype=dtype)
        out = rewrite_advantages(tensor, torch.tensor(rewards), rewards, torch.tensor(groups), weights)
        assert out.dtype == dtype
        expected = rewrite_advantages(host, rewards, rewards, groups, weights)
        np.testing.assert_allclose(out.double().numpy(), expected, atol=0.02 if dtype == torch.bfloat16 else 1e-6)
        same = rewrite_advantages(tensor, rewards, rewards, groups, [1] * 8)
        assert torch.equal(same, tensor)


def test_whole_numbers_of_torch_are_not_cut_off():
    torch = pytest.importorskip("torch")
    out = rewrite_advantages(torch.tensor([3, -1, -1, -1]), [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4, [0.7, 1, 1, 1])
    assert out.tolist() == pytest.approx([2.1, -0.7, -0.7, -0.7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights_B": [0.5, 1, 1]}, "weights_B has shape"),
        ({"rewards_B": [1, 0]}, "rewards_B has shape"),
        ({"group_ids_B": [0]}, "group_ids_B has 1 rows"),
        ({"weights_B": [1.5, 1, 1, 1]}, "row 0 is 1.5"),
        ({"weights_B": [NAN, 1, 1, 1]}, "row 0 is nan"),
        ({"scale_B": [1.0, 1.0]}, "scale_B has shape (2,)"),
        ({"total_rewards_B": [1.0, 0.0]}, "total_rewards_B has shape (2,)"),
        ({"total_rewards_B": 1.0}, "total_rewards_B has shape ()"),
        ({"advantages_B": [[1.5], [-0.5], [-0.5], [-0.5]]}, "advantages_B has shape (4, 1)"),
        ({"advantages_B": 1.0}, "advantages_B has shape ()"),
        ({"group_ids_B": [[0], [0], [0], [0]]}, "group_ids_B: expected .*its shape is (4, 1)"),
        ({"group_ids_B": [0, NAN, 0, 0]}, "group_ids_B: expected .*it holds NaN"),
        ({"group_ids_B": [0, None, 0, 0]}, "group_ids_B: expected a number or name"),
        ({"rewards_B": ["a", "0", "0", "0"]}, "rewards_B: expected numbers, got ['a'"),
        ({"outcomes_B": [[1], [0, 0], [0], [0]]}, "outcomes_B: expected numbers"),
        ({"outcomes_B": [1, 0, 0.5, 0]}, "outcomes_B: row 2 is 0.5, expected 1, 0 or NaN"),
        ({"outcomes_B": [1, 0, 0, -1]}, "outcomes_B: row 3 is -1, expected 1, 0 or NaN"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    arguments = {
        "advantages_B": [1.5, -0.5, -0.5, -0.5],
        "rewards_B": [1, 0, 0, 0],
        "outcomes_B": [1, 0, 0, 0],
        "group_ids_B": [0] * 4,
        "weights_B": [1] * 4,
    }
    with pytest.raises(ValueError, match=re.sub(r"([()\[])", r"\\\1", message)):
        rewrite_advantages(**(arguments | change))


def test_infinite_reward_is_not_trained_on():
    out = rewrite_advantages([0.5, 0.5, -0.5, -0.5], [math.inf, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [1] * 4)
    assert out[0] == 0
    assert np.isfinite(out).all()
