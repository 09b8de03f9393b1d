"""Is RL on this data worth starting? A few shares and one sentence, from pass rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlguard.difficulty.stopping import RATES, Population
from rlguard.types import PassRate

GUESSABLE = 0.95
"""A prompt is guessable when its pass rate is above its chance rate with less than this probability."""
MANY = 0.3
"""Where more rollouts than this share are cut off, or hold no answer, the rates say little."""


@dataclass(frozen=True)
class Preflight:
    """Whether training is worth a GPU hour. Shares are of the prompts with a pass rate."""

    prompts: int
    learnable: float
    mastered: float
    pass_1: float
    """Mean pass rate."""
    pass_k: float
    """Mean probability that one of `k` rollouts is correct."""
    k: int
    guessable: float
    """Of the learnable prompts with a known chance rate: those whose pass rate cannot be told from it. NaN: unknown."""
    wrong_labels: float
    """Prompts on which the model agrees with itself on another answer at least half of the time."""
    truncated: float
    """Share of all rollouts that were truncated."""
    unanswered: float = 0.0
    """Share of all rollouts in which no final answer was found, empty ones among them."""

    @property
    def verdict(self) -> str:
        """One sentence. The rule: what counts is the share of prompts that are learnable and more than guessing."""
        share = self.learnable * (1 - (0.0 if math.isnan(self.guessable) else self.guessable))
        if self.prompts == 0:
            return "no pass rate is known: nothing can be said"
        if self.truncated > MANY:
            return "not yet: many rollouts are cut off, so the rates say little; allow more tokens first"
        if self.unanswered > MANY:
            return (
                f"not yet: {self.unanswered:.0%} of the rollouts are empty or hold no final answer, so the rates say "
                "little; ask as the model was trained to be asked, an instruct model in chat messages"
            )
        if share >= 0.5:
            return "worth starting: most prompts are learnable"
        if share >= 0.1:
            return "worth starting on the learnable prompts: filter first, the rest teaches nothing or does harm"
        if self.mastered > 0.5:
            return "little to learn: the model has mastered most of this; find harder prompts"
        return "not worth starting: hardly any prompt is learnable; find easier prompts or a stronger model"

    def describe(self) -> str:
        """The preflight line."""
        parts = [
            f"learnable {self.learnable:.0%}",
            f"pass@{self.k} − pass@1 = {self.pass_k:.2f} − {self.pass_1:.2f} = {self.pass_k - self.pass_1:.2f}",
            "guessable unknown" if math.isnan(self.guessable) else f"guessable {self.guessable:.0%} of the learnable",
            f"wrong labels suspected {self.wrong_labels:.1%}",
        ]
        return f"{' · '.join(parts)}: {self.verdict}"


def check_preflight(rates: Sequence[PassRate], k: int = 8) -> Preflight:
    """Summarises pass rates.

    Args:
        rates: As `estimate_pass_rates` gives them.
        k: Rollouts a group will have in training.

    pass@1 and pass@k are means over the population of pass rates fitted to all prompts (`stopping.Population`):
    prompts with few rollouts say little alone, and their number depends on what they showed.
    """
    known = [rate for rate in rates if not math.isnan(rate.rate)]
    if not known:
        return Preflight(0, 0.0, 0.0, 0.0, 0.0, k, math.nan, 0.0, 0.0)
    bands = [rate.band for rate in known]
    counted = [rate for rate in known if rate.trials]
    if counted:
        population = Population.fit(
            np.array([rate.successes for rate in counted]), np.array([rate.trials for rate in counted])
        )
        pass_1, pass_k = float(population.masses @ RATES), float(population.masses @ (1 - (1 - RATES) ** k))
    else:  # published rates without counts
        plain = np.array([rate.rate for rate in known])
        pass_1, pass_k = float(plain.mean()), float((1 - (1 - plain) ** k).mean())
    comparable = [rate for rate in known if rate.band == "learnable" and not math.isnan(rate.above_chance)]
    rollouts = sum(rate.trials + rate.unscored for rate in known)
    return Preflight(
        prompts=len(known),
        learnable=bands.count("learnable") / len(known),
        mastered=bands.count("mastered") / len(known),
        pass_1=pass_1,
        pass_k=pass_k,
        k=k,
        guessable=_share([rate.above_chance < GUESSABLE for rate in comparable]),
        wrong_labels=_share([rate.suspects_label() for rate in known]),
        truncated=sum(rate.truncated for rate in known) / rollouts if rollouts else 0.0,
        unanswered=sum(rate.unanswered for rate in known) / rollouts if rollouts else 0.0,
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan
