"""Settings of the guard in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from rlguard.luck.settings import LuckSettings
from rlguard.types import check_types

MODES = ("rewrite", "observe")
MIN_WEIGHT_UNSCALED = 0.5


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
    """Data set column with the gold answer, for chance rates; without it they come from `rlguard_chance_rate`. A field
    within a column is named `reward_model.ground_truth`."""
    detectors: bool = True
    """Read the completions for shortcuts; if false, only pass rates and chance rates count."""
    success_reward: float | None = None
    """By how much a success is paid more than a failure. Where all rollouts of a group fail, or all succeed, other
    rewards (format, length) keep their size relative to it instead of being normalised to full size. None reads it off
    the batches; 0 leaves such groups to the trainer, infinity silences them."""
    mask_silent: bool = False
    """Mask groups that teach nothing (all right, all wrong, or all luck) out of the loss: a KL or entropy term no
    longer acts on their tokens, and no count of tokens has them in it."""
    min_weight: float | None = None
    """A success less likely genuine than this gets weight 0. None takes 0, or 0.5 where the learning rate does not
    carry the step scale: there Adam turns whatever is left into full steps, so only a cut protects."""
    decay: float = 0.8
    """What a prompt's earlier outcomes keep at each new visit."""
    luck: LuckSettings = field(default_factory=LuckSettings)
    """The other constants of the model of luck; in a trainer's configuration a section of its own."""
    max_prompts: int = 250_000
    """How many prompts are remembered, those visited last; 0.4 kB each."""
    workers: int | None = None
    """Processes that read the completions for shortcuts, per trainer process; 0 reads here, None decides by how long
    the completions of the first batches are (`reading.EvidenceReader`)."""
    scale_steps: bool = True
    """Let the learning rate carry the size of a step: what the rewrite took out of the advantages, by a slow reference,
    and less where most of the push is luck (`size.StepSize`). Otherwise Adam rescales what is left."""
    on_fault: Literal["warn", "raise"] = "warn"
    """When the guard fails, or cannot read a completion: `warn` says so once and goes on with the trainer's own
    advantages; `raise` ends the run, for a first try."""

    def __post_init__(self) -> None:
        check_types(self)
        if not isinstance(self.luck, LuckSettings):
            raise ValueError(f"GuardConfig.luck: expected LuckSettings, got {self.luck!r:.60}")
        if self.mode == "drop":
            raise ValueError(
                "GuardConfig.mode: 'drop' was removed; use 'rewrite', which gives a group without a genuine success "
                "the advantage 0, or 'observe', which only logs"
            )
        if self.mode not in MODES:
            raise ValueError(f"GuardConfig.mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        if self.on_fault not in ("warn", "raise"):
            raise ValueError(f"GuardConfig.on_fault: expected warn or raise, got {self.on_fault!r}")
        for name, value in {"decay": self.decay, "min_weight": self.min_weight or 0.0}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"GuardConfig.{name}: expected a number in [0, 1], got {value!r}")
        if self.success_reward is not None and not self.success_reward >= 0:
            raise ValueError(f"GuardConfig.success_reward: expected at least 0, or None, got {self.success_reward!r}")
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
        known, options = [setting.name for setting in fields(cls)], options or {}
        if not isinstance(options, Mapping):
            raise ValueError(f"rlguard settings: expected names with values, got {options!r:.60}")
        if "chance_floor" in options:
            raise ValueError("rlguard settings: 'chance_floor' was removed; the floor is estimated from the pass rates")
        for name in options:
            if name not in known:
                raise ValueError(f"rlguard settings: expected {', '.join(known)}, got {name!r}")
        chosen = dict(options)
        if isinstance(luck := chosen.get("luck"), Mapping):
            constants = [setting.name for setting in fields(LuckSettings)]
            if unknown := set(luck) - set(constants):
                told = ", ".join(sorted(unknown))
                raise ValueError(f"rlguard settings: luck has no {told}, expected {', '.join(constants)}")
            chosen["luck"] = LuckSettings(**luck)
        return cls(**chosen)
