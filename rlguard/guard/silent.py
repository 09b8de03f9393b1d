"""Silent groups: all right, all wrong, or all luck. What they have left teaches nothing, yet they stay in the loss.

Their advantages are 0, but a KL or entropy term still acts on their tokens, and where a loss divides by a count of
tokens theirs are in it. `GuardConfig.mask_silent` masks them, as a trainer masks a completion that was cut off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlguard.guard.rewrite import as_float

SILENT = 0.01
"""A group is silent if no advantage in it is larger than this share of the batch's largest: what stands below it is
rounding, or a success that is at least ten times as likely lucky, beside the others, as genuine."""


def find_silent(host_B: Any, advantages_B: Any, groups_B: np.ndarray) -> np.ndarray:
    """(B,) whether a rollout's group carries no signal.

    Args:
        host_B: (B,) the host's advantages.
        advantages_B: (B,) what the guard left of them.
        groups_B: (B,) numbers of the groups, 0..P-1.

    >>> find_silent([1, -1, 1, -1, 0, 0], [1, -1, 0.001, -0.001, 0, 0], np.array([0, 0, 1, 1, 2, 2])).tolist()
    [False, False, True, True, True, True]
    """
    host, left = (np.abs(np.nan_to_num(as_float(v), posinf=0.0, neginf=0.0)) for v in (host_B, advantages_B))
    largest_P = np.zeros(groups_B.max(initial=-1) + 1)
    np.maximum.at(largest_P, groups_B, left)
    return (largest_P <= SILENT * host.max(initial=0.0))[groups_B]
