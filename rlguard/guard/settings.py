"""Settings of the guard in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

MODES = ("rewrite", "observe")


@dataclass(frozen=True)
class GuardConfig:
    """What the guard does in training."""

    mode: Literal["rewrite", "observe"] = "rewrite"
    """`rewrite` discounts lucky successes. `observe` logs what that would do and changes nothing."""
    outcome_reward: str | int = 0
    """Which reward function says whether the answer is correct: its name or its position. Groups in which it scores
    no row are left to the trainer."""
    success_threshold: float = 0.5
    """A reward of that function above this is a success."""
    answer_column: str = "answer"
    """Data set column with the gold answer, for chance rates; without it they come from `rlguard_chance_rate`."""
    detectors: bool = True
    """Read the completions for shortcuts; if false, only pass rates and chance rates count."""
    decay: float = 0.8
    """What a prompt's earlier outcomes keep at each new visit."""
    max_prompts: int = 250_000
    """How many prompts are remembered, those visited last; 0.4 kB each."""
    workers: int | None = None
    """Processes that read the completions for shortcuts, per trainer process; 0 reads here, None decides by how long
    the completions of the first batches are (`reading.EvidenceReader`)."""
    scale_steps: bool = True
    """Shrink a step's learning rate by what the rewrite took out of its advantages. Otherwise Adam rescales what is
    left, and a few groups move the policy like a full batch."""

    def __post_init__(self) -> None:
        if self.mode == "drop":
            raise ValueError(
                "GuardConfig.mode: 'drop' was removed; use 'rewrite', which gives a group without a genuine success "
                "the advantage 0, or 'observe', which only logs"
            )
        if self.mode not in MODES:
            raise ValueError(f"GuardConfig.mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"GuardConfig.decay: expected a number in [0, 1], got {self.decay!r}")
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
