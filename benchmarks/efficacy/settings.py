"""The settings of a run of the efficacy benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "efficacy"
FAMILIES = ("sums", "strings", "logic", "words")
DESIGNS = ("llama", "neox")
NEAR_IMPOSSIBLE = ("unlearnable", "mislabelled", "guessable", "rare_valid")
SHAPES = ("format", "length")
"""Kinds that are `unlearnable` problems with a second reward, for written steps or for short failures."""
KINDS = (*NEAR_IMPOSSIBLE, *SHAPES)
SHAPE_WEIGHT = 0.2
"""Of the second reward, beside 1 for correctness."""
LEARNING_RATES = {"sums": 5e-4, "strings": 5e-4, "logic": 5e-4, "words": 5e-4}
"""At rate 1: where GRPO on `mix` alone goes best or the largest that is still healthy (tuning seeds, LOG.md)."""
RATES = (1.0, 0.5, 0.25, 0.1)
"""What learning rates are multiplied with."""
TUNING = (1001, 1002)
SEEDS = tuple(range(101, 109))


@dataclass(frozen=True)
class Run:
    """What is run."""

    arm: str
    family: str
    kind: str
    share: float
    """Share of training problems of that kind, in [0, 1]; the rest is the family's learnable kind."""
    seed: int
    rate: float = 1.0
    """Of the family's learning rate."""
    steps: int = 100
    problems: int = 512
    """Distinct training problems."""
    evaluate_every: int = 25
    evaluate_on: int = 480
    """Held-out problems of each group."""
    sampled: int = 24
    """Held-out problems of each group that are sampled often, for pass@k and calibration."""
    samples: int = 64

    @property
    def design(self) -> str:
        """The model's build: seeds take turns."""
        return DESIGNS[(self.seed + 1) % 2]

    @property
    def cell(self) -> tuple[str, str, float, int]:
        """What arms are compared in: family, kind, share, seed. Without any of it the kind is only a name."""
        return self.family, self.kind if self.share else KINDS[0], self.share, self.seed

    @property
    def name(self) -> str:
        """Of the run, as a file's."""
        return f"{self.family}-{self.kind}-{self.share:g}-{self.arm}-{self.rate:g}-{self.seed}"
