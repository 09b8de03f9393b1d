"""Settings of the guard in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from rlguard.luck.genuine import CHANCE_FLOOR

MODES = ("rewrite", "observe", "drop")
MIN_WEIGHT, MIN_WEIGHT_UNSCALED = 0.25, 0.5


@dataclass(frozen=True)
class GuardConfig:
    """What the guard does in training."""

    mode: Literal["rewrite", "observe", "drop"] = "rewrite"
    """`rewrite` discounts lucky successes. `observe` logs what that would do and changes nothing. `drop` leaves
    advantages alone and masks the groups whose successes are more likely lucky than genuine."""
    strength: float = 1.0
    """How much of the discount `rewrite` applies, in [0, 1]: a weight w acts as 1 − strength·(1 − w)."""
    outcome_reward: str | int = 0
    """Which reward function says whether the answer is correct: its name or its position. Groups in which it scores
    no row are left to the trainer."""
    success_threshold: float = 0.5
    """A reward of that function above this is a success."""
    answer_column: str = "answer"
    """Data set column with the gold answer, for chance rates; without it they come from `rlguard_chance_rate`."""
    detectors: bool = True
    """Read the completions for shortcuts; without it only pass rates and chance rates speak."""
    min_weight: float | None = None
    """Smaller weights become 0: where luck is all there is, even small steps add up. None takes 0.25, or 0.5 where the
    learning rate does not carry the step scale: there Adam makes full steps of whatever is left."""
    chance_floor: float = CHANCE_FLOOR
    """Smallest chance rate: how often flawed reasoning or a verifier fault passes anyway."""
    decay: float = 0.8
    """What a prompt's earlier outcomes keep at each new visit."""
    max_prompts: int = 250_000
    """How many prompts are remembered, those visited last; 0.4 kB each."""
    workers: int | None = None
    """Processes that read the completions for shortcuts, per trainer process; 0 reads here, None decides by how long
    the completions of the first batches are (`reading.EvidenceReader`)."""
    scale_steps: bool = True
    """Shrink the learning rate of a step by what the rewrite took out of its advantages. Adam would blow the rest up to
    full size: the few groups that are left would move the policy like a full batch."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"GuardConfig.mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        for name in ("strength", "min_weight", "chance_floor", "decay"):
            value = getattr(self, name)
            if not (value is None and name == "min_weight") and not 0 <= value <= 1:
                raise ValueError(f"GuardConfig.{name}: expected a number in [0, 1], got {value!r}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"GuardConfig.workers: expected at least 0, or None to decide, got {self.workers!r}")
        if self.max_prompts < 1:
            raise ValueError(f"GuardConfig.max_prompts: expected at least 1, got {self.max_prompts!r}")

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None) -> GuardConfig:
        """From a section of a trainer's own configuration; None or {} takes the defaults.

        Raises:
            ValueError: For a name that is none of the settings, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in options or {}:
            if name not in known:
                raise ValueError(f"rlguard settings: expected {', '.join(known)}, got {name!r}")
        return cls(**dict(options or {}))
