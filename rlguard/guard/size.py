"""Direction and size of a step: how a success counts relative to the others, and how large a step its batch deserves.

Both follow one rule: a push counts in full as long as it is more likely genuine than lucky, below that by a power of
its odds g/(1 − g): `sharpness` for a success, twice that for the size, whose leaks add up over the steps. For a success
the odds are taken relative to those of all push: where `genuine` cannot tell successes apart, every weight is 1, and
whether the step should be smaller is the size's decision alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlguard.luck.settings import LuckSettings


class StepSize:
    """Running sums over batches: genuine and lucky push before and after weighing, and the advantages' energy.

    `reference`: the root mean square of rewritten advantages over the host's. It divides the advantages and
    multiplies the learning rate: Adam's running size of the gradient stays the host's, and old momentum is applied at
    the rate it was made for.
    `size`: min(1, odds)^(2·sharpness) of genuine against lucky push after weighing, the lucky share taken one standard
    error low.
    """

    def __init__(self, settings: LuckSettings | None = None) -> None:
        self.settings = settings or LuckSettings()
        # Push before: genuine, lucky; after: genuine, lucky, squares; energy: host's, rewritten.
        self._sums = np.zeros(7)

    def weigh(self, genuine_B: np.ndarray, success_B: np.ndarray, advantages_B: np.ndarray) -> np.ndarray:
        """(B,) weights in [0, 1] of successes, 1 for others; the batch's push is learnt.

        Args:
            genuine_B: (B,) P(genuine) of successes; of failures, whether what pushes them (format, length) was meant.
            success_B: (B,) which rollouts passed.
            advantages_B: (B,) the host's advantages; 0 for rollouts that could not be judged.
        """
        push = np.nan_to_num(advantages_B, posinf=0.0).clip(0)
        self._sums *= self.settings.keep
        self._sums[:2] += push @ genuine_B, push @ (1 - genuine_B)
        usual = min(1.0, _odds(*self._sums[:2]))
        odds = genuine_B / np.maximum(1 - genuine_B, 1e-12)
        return np.where(success_B, np.minimum(1.0, odds / max(usual, 1e-12)) ** self.settings.sharpness, 1.0)

    def measure(self, genuine_B: np.ndarray, host_B: Any, rewritten_B: Any) -> tuple[float, float]:
        """`(size, reference)` after this batch, both in [0, 1]; 0 where nothing was left of any batch."""
        host, after = (np.nan_to_num(v, posinf=0.0, neginf=0.0) for v in (host_B, rewritten_B))
        push = after.clip(0)
        self._sums[2:] += push @ genuine_B, push @ (1 - genuine_B), push @ push, host @ host, after @ after
        genuine, lucky, squares, whole, left = self._sums[2:]
        total = genuine + lucky
        share = lucky / total if total > 0 else 0.0
        share -= np.sqrt(share * (1 - share) * squares) / total if total > 0 else 0.0
        size = min(1.0, _odds(1 - share, share)) ** (2 * self.settings.sharpness)
        return float(size), float(min(1.0, np.sqrt(left / whole))) if whole > 0 else 1.0

    def state_dict(self) -> list[float]:
        """JSON-serialisable state."""
        return self._sums.tolist()

    def load_state_dict(self, state: list[float]) -> None:
        """Restores what `state_dict` gave."""
        self._sums = np.array(state, float).reshape(7)


def _odds(genuine: float, lucky: float) -> float:
    return genuine / lucky if lucky > 0 else np.inf
