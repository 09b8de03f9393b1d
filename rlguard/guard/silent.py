"""Silent groups: all right, all wrong, or all luck. What they have left teaches nothing, yet they stay in the loss.

Their advantages are 0, but a KL or entropy term still acts on their tokens, and where a loss divides by a count of
tokens theirs are in it. `GuardConfig.mask_silent` masks them, as a trainer masks a completion that was cut off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlguard.guard.rewrite import as_float

SILENT = 0.05
"""A group is all luck if the rewrite leaves no more than this share of its largest advantage: its successes are then,
beside the others, four times as likely lucky as genuine."""


def find_silent(sized_B: Any, rewritten_B: Any, rewards_B: Any, groups_B: np.ndarray) -> np.ndarray:
    """(B,) whether a rollout's group carries no signal: all its rewards are equal, or next to nothing is left of it.

    Args:
        sized_B: (B,) advantages before luck was taken out.
        rewritten_B: (B,) what is left of them.
        rewards_B: (B,) all rewards together.
        groups_B: (B,) numbers of the groups, 0..P-1.

    >>> groups = np.repeat([0, 1, 2], 2)
    >>> find_silent([1, -1, 1, -1, 0, 0], [1, -1, 0.01, -0.01, 0, 0], [1, 0, 1, 0, 1, 1], groups).tolist()
    [False, False, True, True, True, True]
    """
    before, left = (np.abs(np.nan_to_num(as_float(v), posinf=0.0, neginf=0.0)) for v in (sized_B, rewritten_B))
    rewards = as_float(rewards_B)
    known = np.isfinite(rewards)
    low_P, high_P, before_P, left_P = np.repeat([[np.inf], [-np.inf], [0], [0]], groups_B.max(initial=-1) + 1, axis=1)
    np.minimum.at(low_P, groups_B[known], rewards[known])
    np.maximum.at(high_P, groups_B[known], rewards[known])
    np.maximum.at(before_P, groups_B, before)
    np.maximum.at(left_P, groups_B, left)
    equal_P = np.isfinite(low_P) & np.isclose(low_P, high_P)
    return (equal_P | (left_P <= SILENT * before_P))[groups_B]
