"""Rewards paid beside correctness (format, length, partial credit), in groups whose rollouts all fail or all succeed.

A trainer that divides by the group's standard deviation blows such rewards up there: of eight failures, the one that
earns 0.05 for its format gets the advantage of a lone success. The model is then taught which failure is best. Here a
shaped reward keeps the size at which it was paid, relative to a success. docs/shaped.md derives it, with a test for
each of its statements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlguard.guard.rewrite import _group_any, _host_scale, _like, as_float, number_groups

READ_OFF = 0.01
"""Divisors that differ by less are one: they are read off advantages that may be rounded to half precision."""


def keep_paid_size(
    advantages_B: Any, total_rewards_B: Any, outcomes_B: Any, group_ids_B: Any, success_reward: float = 1.0
) -> Any:
    """Advantages in which no group without contrast amplifies rewards more than a lone success is amplified.

    With s the divisor that the host applied to r − mean(r) in a group (`rewrite_advantages` tells how it is read off),
    a group of G rollouts of one outcome gets

        A' = A · s / max(s, s₁),   s₁ = min(R / √G, smallest s among the batch's groups of both outcomes)

    R / √G is the standard deviation of a group with one success that is paid R more than its failures: the most that
    normalisation amplifies a success. So a difference of d in shaped rewards weighs d/R of a lone success. It does so
    already, and the host's numbers stay, where the host divides by 1, and where it divides a batch that holds a group
    of both outcomes by one number.

    Groups of both outcomes, groups without any outcome and groups whose rewards are all equal keep the host's numbers
    bit for bit.

    Args:
        advantages_B: (B,) the host's advantages, numpy or torch.
        total_rewards_B: (B,) all rewards together, in the host's units.
        outcomes_B: (B,) 1 correct, 0 wrong, NaN could not be judged.
        group_ids_B: (B,) numbers or names.
        success_reward: R, by how much a success is paid more than a failure, in the host's units. 0 leaves every
            group to the host; infinity silences the groups of one outcome (a gate on the outcome).

    Returns:
        (B,) advantages, of the type, dtype and device of `advantages_B`.

    >>> half = 0.5**0.5
    >>> keep_paid_size([half, -half], [0.1, 0], [0, 0], [7, 7]).round(3).tolist()  # s is 0.1 · half, s₁ is half
    [0.071, -0.071]
    """
    host, total, outcomes = as_float(advantages_B), as_float(total_rewards_B), as_float(outcomes_B)
    groups, _ = number_groups(group_ids_B)
    scored = ~np.isnan(outcomes) & np.isfinite(total) & np.isfinite(host)
    solved, failed = (_group_any(scored & (side == (outcomes > 0)), groups) for side in (True, False))
    divisor = _host_scale(np.where(scored, host, 0.0), np.where(scored, total, 0.0), scored, groups)
    size = np.bincount(groups, scored)[groups]
    contrast = divisor[solved & failed & (divisor > 0)]
    least = np.minimum(success_reward / np.sqrt(np.maximum(size, 1)), contrast.min(initial=np.inf))
    if np.allclose(divisor[divisor > 0], 1.0, rtol=READ_OFF):  # Dr. GRPO: R may be more than √G
        least = np.zeros(len(host))
    if np.isinf(success_reward):
        least = np.full(len(host), np.inf)
    changed = (solved != failed) & (divisor > 0) & (divisor < least * (1 - READ_OFF))
    with np.errstate(invalid="ignore"):
        factor = np.where(changed, divisor / np.where(changed, least, 1.0), 1.0)
    return _like(advantages_B, np.where(scored, host * factor, host), changed & scored)


def read_success_reward(rewards_B: Any, outcomes_B: Any) -> float:
    """By how much the batch's successes are paid more than its failures, on average; NaN where it has not both.

    Args:
        rewards_B: (B,) the rewards paid for the outcome, in the host's units.
        outcomes_B: (B,) 1 correct, 0 wrong, NaN could not be judged.
    """
    rewards, outcomes = as_float(rewards_B), as_float(outcomes_B)
    solved, failed = (np.isfinite(rewards) & (outcomes == side) for side in (1, 0))
    if not (solved.any() and failed.any()):
        return float("nan")
    return float(rewards[solved].mean() - rewards[failed].mean())
