"""What the efficacy benchmark runs: the settings of a run, and the arms and seeds of the whole grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAIR = ("grpo", "rlguard_rewrite")
MAIN = (*PAIR, "max_rl", "rlguard")
OTHERS = (
    "rlguard_filter", "balanced_filter", "dr_grpo", "s_grpo", "threshold", "dapo_filter", "random_reward",
)  # fmt: skip
ABLATIONS = (
    "no_chance", "no_levels", "no_tracker", "no_detectors", "weight_before", "no_step_scale", "no_size",
    "independent_luck",
)  # fmt: skip
SEEDS = (1, 2, 3, 4, 5)
OUT = Path("out/efficacy")
KINDS = ("unlearnable", "mislabelled", "guessable", "rare_valid")
BATCH = 16
"""Prompts a step; fewer kept problems than that are not trained on."""


@dataclass(frozen=True)
class Run:
    """What is run."""

    arm: str
    family: str
    kind: str
    share: float
    """Share of training problems of that kind, in [0, 1]."""
    seed: int
    steps: int = 100
    learning_rate: float = 5e-4
    """Of 2e-4, 5e-4 and 1e-3 the one at which GRPO on `mix` alone went best (sums, tuning seed 1000)."""
    problems: int = 512
    """Distinct training problems."""
    evaluate_every: int = 10
    evaluate_on: int = 200
    """Held-out problems a measurement: of the prior skills together in training, of each kind at the ends."""
    pass_problems: int = 24
    """Held-out problems of each group with `samples` rollouts, for pass@k, at the ends."""
    samples: int = 64

    @property
    def name(self) -> str:
        return f"{self.family}-{self.arm}-{self.kind}-{self.share:g}-{self.seed}"
