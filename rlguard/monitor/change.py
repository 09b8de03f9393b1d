"""When has a figure changed? A CUSUM against what a run's first steps, or rollouts before it, say of it.

S ← max(0, S + min(z, clip) − ½ − c/√m): z is how far a step's figure lies beyond reference and allowance, in standard
deviations (Page 1954), and c/√m what the m steps of the reference leave open: c = 5 where their spread is estimated
from them, 3 where it is known well. The clip is 12, less while the reference is short: against a reference that is
estimated, a single step, however far out, is no alarm; against one that is known, as a canary's is, a huge drop is.

The threshold was simulated (`benchmarks/monitor/heights.py`) for figures at the edge of their allowance whose noise has
a lag-one correlation of 0.3; in real runs of the efficacy benchmark it was about 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

CLIP, SLACK = 12.0, 0.5
"""One step adds at most `CLIP` standard deviations, less `SLACK`."""
FULL = 16
"""Reference steps for the whole of `CLIP`: the spread of fewer is too uncertain to trust in a step far out."""
ESTIMATED, KNOWN = 5.0, 3.0
"""c if the spread is estimated from the reference steps, and if it is known."""
TAILS = {ESTIMATED: (13.5, 11.2), KNOWN: (8.0, 3.4)}
"""For each c: the height that S reaches in 1,000 healthy steps with a probability of 1%, and what more it takes to make
that ten times rarer."""
WINSORISED = 1.3
"""Ratio of a normal standard deviation to that of the same values after winsorising."""
LEAST = 4
"""Fewest reference steps for a comparison."""


@dataclass(frozen=True)
class Reference:
    """Mean and spread of a figure in the reference steps."""

    mean: float
    sd: float
    """Standard deviation of one step."""
    steps: float
    """Number of steps behind the mean."""
    known: bool = False
    """Whether `sd` is known, rather than estimated from these steps."""
    final: bool = True
    """Whether it stays as it is in later steps."""

    @property
    def clip(self) -> float:
        """The most that one step adds, in standard deviations."""
        return CLIP if self.known else clip_at(self.steps)

    def climb(self, height: float, excess: float) -> float:
        """S after one more step, whose figure lies `excess` beyond what is allowed."""
        unsure = (KNOWN if self.known else ESTIMATED) / math.sqrt(self.steps)
        return max(0.0, height + min(excess / self.sd, self.clip) - SLACK - unsure)

    def roughen(self, grain: float) -> Reference:
        """As it is for a share that moves in steps of `grain`: its spread is at least that of as many draws.

        One success and one failure are added (Laplace): none in a few draws is no proof of a rate of 0.
        """
        draws = self.steps / grain
        rate = (min(max(self.mean, 0.0), 1.0) * draws + 1) / (draws + 2)
        return replace(self, sd=max(self.sd, math.sqrt(rate * (1 - rate) * grain)))

    def threshold(self, false_alarm: float, looks: float) -> float:
        """Height of S that a healthy figure reaches in so many looks with at most that probability.

        >>> round(Reference(0, 1, 32).threshold(0.01, 1000), 6), Reference(0, 1, 32, known=True).threshold(1e-3, 1000)
        (13.5, 11.4)
        """
        usual, decade = TAILS[KNOWN if self.known else ESTIMATED]
        floor = CLIP / 2 if self.known else CLIP  # a single step is no alarm against a spread that is estimated
        return max(floor, usual + decade * math.log10(0.01 / false_alarm * looks / 1000))


def clip_at(steps: float) -> float:
    """The most that one step adds, for a reference whose spread is estimated from so many steps.

    >>> clip_at(8), clip_at(32)
    (6.0, 12.0)
    """
    return CLIP * min(1.0, steps / FULL)


def summarise(values: Sequence[float], least_sd: float, final: bool = True, share: bool = False) -> Reference:
    """Mean and spread of the first steps, of which the lowest and the highest eighth are drawn in (Winsorised).

    A `share` has no value far out, and the few that are not 0 may be all there is to it: it is taken as it is.

    >>> summarise([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 800.0], 0.1).mean
    4.5
    """
    drawn = values if share else np.clip(values, *np.quantile(values, [1 / 8, 7 / 8], method="nearest"))
    sd = (1.0 if share else WINSORISED) * float(np.std(drawn, ddof=1))
    return Reference(float(np.mean(drawn)), max(sd, least_sd), len(values), final=final)
