"""Intervals and tests of the benchmarks: few runs, of seeds and models, compared in pairs, many times.

Runs that share a model are not independent of it, and a percentile bootstrap of five seeds covers 83% and not 95%. So:
`t_interval` for the seeds of one model; `stratified` for a family, whose two models are averaged with equal weight
(Welch and Satterthwaite); `t_interval` over the models' means for a claim about all families; `template_interval`,
a BCa bootstrap, where problems come from templates; `holm` for the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error, the degrees of freedom of that, and how many figures it comes of."""

    mean: float
    error: float
    freedom: float
    n: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Low and high by Student's t; NaN where there is no spread to go by."""
        if not self.freedom > 0:
            return nan, nan
        reach = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach

    def p_above(self, bound: float) -> float:
        """One-sided p of the hypothesis that the truth is at most `bound`; NaN where there is no spread."""
        if not self.freedom > 0:
            return nan
        if self.error == 0:
            return float(self.mean <= bound)
        return float(stats.t.sf((self.mean - bound) / self.error, self.freedom))

    def p_below(self, bound: float) -> float:
        """One-sided p of the hypothesis that the truth is at least `bound`."""
        return Estimate(-self.mean, self.error, self.freedom, self.n).p_above(-bound)


def estimate(values: Sequence[float]) -> Estimate:
    """Of independent figures; NaN are left out.

    >>> found = estimate([1.0, 2.0, 3.0])
    >>> found.mean, round(found.error, 3), found.freedom
    (2.0, 0.577, 2)
    """
    known = np.array([value for value in values if not isnan(value)])
    if not len(known):
        return Estimate(nan, nan, 0, 0)
    error = float(known.std(ddof=1)) / sqrt(len(known)) if len(known) > 1 else nan
    return Estimate(float(known.mean()), error, len(known) - 1, len(known))


def stratified(strata: Mapping[str, Sequence[float]]) -> Estimate:
    """The mean of the strata's means (a family's models, whose runs are its seeds), with equal weight.

    Error from the spread within each stratum, degrees of freedom by Welch and Satterthwaite. It speaks of these
    models, not of models that were not built.

    >>> stratified({"llama": [1.0, 3.0], "neox": [2.0, 2.0]}).mean
    2.0
    """
    parts = [part for part in map(estimate, strata.values()) if part.n]
    if not parts:
        return Estimate(nan, nan, 0, 0)
    mean, n = sum(part.mean for part in parts) / len(parts), sum(part.n for part in parts)
    if any(part.n < 2 for part in parts):
        return Estimate(mean, nan, 0, n)
    variances = [(part.error / len(parts)) ** 2 for part in parts]
    total = sum(variances)
    below = sum(variance**2 / part.freedom for variance, part in zip(variances, parts, strict=True))
    freedom = total**2 / below if below else sum(part.freedom for part in parts)
    return Estimate(mean, sqrt(total), freedom, n)


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """For the mean of independent figures; NaN are left out, and with fewer than two figures there is none."""
    return estimate(values).interval(level)


def template_interval(
    differences: Mapping[str, float], level: float = 0.95, draws: int = 9_999, seed: int = 0
) -> tuple[float, float]:
    """BCa bootstrap of a mean over templates, which are drawn whole: problems of one template are alike.

    Args:
        differences: Of each template, the mean difference between two arms.
        level: Of the interval.
        draws: Bootstrap samples.
        seed: Of the draws.

    Returns:
        Low and high; NaN with fewer than three templates or no spread between them.
    """
    values = np.array(list(differences.values()))
    if len(values) < 3 or np.ptp(values) == 0:
        return nan, nan
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=draws, rng=np.random.default_rng(seed), method="BCa"
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given; NaN stay and are not counted.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not isnan(p))
    corrected, highest = [nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


def fit_square(x: Sequence[float], y: Sequence[float]) -> float:
    """R² of a second-degree polynomial, as RL's Razor reports it (arXiv 2509.04259); NaN with fewer than 4 points."""
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return nan
    residual = np.asarray(y) - np.polynomial.Polynomial.fit(x, y, 2)(np.asarray(x))
    return 1 - float((residual**2).sum() / ((y - np.mean(y)) ** 2).sum())


def write_cell(values: Sequence[float] | Estimate, digits: int = 3, sign: bool = False) -> str:
    """Mean and 95% interval; how many had a figure, where some had none.

    >>> write_cell([0.5, 0.7, 0.6]), write_cell([0.5]), write_cell([])
    ('0.600 [0.352, 0.848]', '0.500', '–')
    """
    found = values if isinstance(values, Estimate) else estimate(values)
    if not found.n:
        return "–"
    low, high = found.interval()
    shape = f"{'+' if sign else ''}.{digits}f"
    interval = "" if isnan(low) else f" [{low:{shape}}, {high:{shape}}]"
    total = found.n if isinstance(values, Estimate) else len(values)
    missing = f" ({found.n} of {total})" if found.n < total else ""
    return f"{found.mean:{shape}}{interval}{missing}"
