"""The constants of the model of luck. All else is estimated; the ablation in benchmarks/RESULTS.md moves each."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rlguard.types import check_types


@dataclass(frozen=True)
class LuckSettings:
    """What the guard takes as given about luck (`GuardConfig(luck=...)`)."""

    healthy: float = 0.5
    """Prior probability that no prompt is impossible. Larger: healthy runs on hard data lose less at first, and luck
    is seen later."""
    unseen: float = 0.1
    """Prior probability that luck is more frequent than wrong answers show. Larger: luck without gold answers is seen
    sooner, and rare skill is taken for it more often."""
    chance: float = 0.005
    """Chance rate where nothing is known. Larger: healthy hard prompts lose weight until their answers have spoken."""
    smoothing: float = 8.0
    """Observations that a prior weighs: failures for a chance rate, comparisons for the number of options, texts for a
    sign's ratio. Larger: rare gold answers come closer to their type's rate, refuted signs last longer."""
    offline_trials: float = 2.0
    """An offline estimate weighs at most so many rollouts: the policy has moved since."""
    keep: float = 0.95
    """What answers, signs and the push keep at each batch. Nearer 1: steadier, for Adam too; nearer 0: faster."""
    sharpness: float = 2.0
    """Power of the odds in weights, and half that of the size of a step. At 1 more of the lucky push is left; a hard
    cut leaves less of both."""

    def __post_init__(self) -> None:
        check_types(self)
        for name, top in {"healthy": 1.0, "unseen": 1.0, "chance": 1.0, "keep": 1.0}.items():
            if not 0 < getattr(self, name) < top:
                raise ValueError(f"LuckSettings.{name}: expected a number in (0, 1), got {getattr(self, name)!r}")
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                value = getattr(self, field.name)
                raise ValueError(f"LuckSettings.{field.name}: expected a positive number, got {value!r}")
