"""Figures of two models on the same questions -> rows with a paired interval and a verdict.

The interval of a change is a bootstrap over questions: both models are resampled together, so what makes a question
hard cancels. Three things keep it honest where questions are few: the percentiles are widened as Hesterberg (2015,
"What Teachers Should Know about the Bootstrap", expanded percentile) does for small n; a bounded figure's interval is
at least as wide as what n questions can have missed altogether; and losses and gains are called at a level divided by
the number of rows (Bonferroni), so that an audit of two equal models calls any at most as often as one row should.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["kept", "lost", "gained", "changed", "too few"]
Statistic = Callable[[np.ndarray], np.ndarray]
"""(R, P) weights of questions, how often each was drawn -> (R,) values; NaN where it is undefined."""

CHUNK = 1 << 22
"""Number of weights drawn at once."""


@dataclass(frozen=True)
class Figure:
    """One figure of one model over P questions."""

    group: str
    """`retention`, `calibration`, `coverage`, `reasoning`, `format` or `diversity`."""
    name: str
    domain: str
    """A domain, or `all`."""
    questions: int
    """P: the same questions, in the same order, for every model."""
    statistic: Statistic
    better: Literal[1, 0, -1] = 1
    """1 if more is better, -1 if less is, 0 if that depends: answers vary less as they become right."""
    relative: bool = False
    """Whether it has no natural range (nats, tokens): the tolerance is then a share of its size before training."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The key by which figures of two models are matched."""
        return self.group, self.name, self.domain

    @property
    def value(self) -> float:
        """Its value over all questions, each once."""
        return float(self.statistic(np.ones((1, self.questions)))[0])


@dataclass(frozen=True)
class Row:
    """One figure before and after."""

    group: str
    name: str
    domain: str
    better: Literal[1, 0, -1]
    questions: int
    before: float
    after: float
    change: float
    """after − before."""
    low: float
    high: float
    """Bounds of the interval of the change, at the level asked for, for this row alone."""
    tolerance: float
    """Largest loss that still counts as `kept`, in the figure's own unit."""
    verdict: Verdict


def mean_statistic(values_P: Any) -> Statistic:
    """The mean of one value per question; NaN values are left out.

    >>> mean_statistic([1.0, 0.0, float("nan")])(np.array([[1, 1, 1], [2, 1, 5]])).round(2).tolist()
    [0.5, 0.67]
    """
    return ratio_statistic(values_P, np.isfinite(np.asarray(values_P, float)))


def ratio_statistic(numerators_P: Any, denominators_P: Any) -> Statistic:
    """The sum of one value over the sum of another; questions with a value that is not finite do not vote."""
    numerators, denominators = np.asarray(numerators_P, float), np.asarray(denominators_P, float)
    known = np.isfinite(numerators) & np.isfinite(denominators)
    numerators, denominators = np.where(known, numerators, 0.0), np.where(known, denominators, 0.0)

    def statistic(weights_RP: np.ndarray) -> np.ndarray:
        return divide(weights_RP @ numerators, weights_RP @ denominators)

    return statistic


def macro_statistic(values_P: Sequence[float], domains_P: Sequence[str]) -> Statistic:
    """The mean over domains of a domain's mean; a domain without a value, or not drawn, does not vote.

    >>> macro_statistic([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])(np.ones((1, 4))).tolist()
    [0.5]
    """
    values, domains = np.asarray(values_P, float), np.asarray(domains_P, object)
    means = [mean_statistic(np.where(domains == domain, values, np.nan)) for domain in dict.fromkeys(domains_P)]

    def statistic(weights_RP: np.ndarray) -> np.ndarray:
        found_DR = np.array([mean(weights_RP) for mean in means])
        return divide(np.nansum(found_DR, axis=0), np.isfinite(found_DR).sum(axis=0))

    return statistic


def divide(numerators_R: np.ndarray, denominators_R: np.ndarray) -> np.ndarray:
    """The ratios; NaN where a denominator is 0."""
    return np.divide(numerators_R, denominators_R, out=np.full(len(numerators_R), np.nan), where=denominators_R != 0)


def compare_figures(
    before: Sequence[Figure],
    after: Sequence[Figure],
    tolerance: float = 0.05,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    comparisons: int = 1,
) -> list[Row]:
    """Compares the figures that both have.

    Args:
        before: Of the model before training.
        after: Of the model after.
        tolerance: Largest loss that counts as `kept`; for a `relative` figure a share of its value before.
        confidence: Of each row's interval, and that two equal models get neither `lost` nor `gained` in any row.
        resamples: Bootstrap draws.
        seed: Of the draws.
        comparisons: How many models are compared with the first one: the level is divided by it too.

    Returns:
        One row per figure, in the order of `before`. The verdict is `lost` or `gained` where the change exceeds the
        tolerance and sure (`changed`, where neither is better), `kept` where the interval rules out a loss (a change)
        beyond the tolerance, else `too few`.

    Raises:
        ValueError: If a figure was computed over different numbers of questions, or confidence is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number in (0, 1), got {confidence!r}")
    others = {figure.key: figure for figure in after}
    pairs = [(figure, others[figure.key]) for figure in before if figure.key in others]
    return [
        _compare_pair(one, other, tolerance, 1 - confidence, len(pairs) * comparisons, resamples, seed)
        for one, other in pairs
    ]


def _compare_pair(
    before: Figure, after: Figure, tolerance: float, level: float, rows: int, resamples: int, seed: int
) -> Row:
    if before.questions != after.questions:
        raise ValueError(
            f"{' / '.join(before.key)}: expected the same questions for both models, "
            f"got {before.questions} before and {after.questions} after"
        )
    value, other = before.value, after.value
    change, n = other - value, before.questions
    if before.relative:
        tolerance *= abs(value)
    low = high = sure_low = sure_high = math.nan
    if math.isfinite(change) and n > 1:
        changes = np.sort(_resample(before, after, resamples, seed) - change)
        known = changes[np.isfinite(changes)]
        if len(known) >= 0.95 * resamples:
            unseen = 0.0 if before.relative else min(1.0, math.log(2 / level) / n)
            low, high = _bounds(known, change, n, level, unseen)
            sure_low, sure_high = _bounds(known, change, n, level / rows, unseen)
    verdict: Verdict = "too few"
    if (sure_high < 0 or sure_low > 0) and abs(change) > tolerance:
        verdict = "changed" if not before.better else "gained" if change * before.better > 0 else "lost"
    elif (before.better < 0 or low >= -tolerance) and (before.better > 0 or high <= tolerance):
        verdict = "kept"
    return Row(*before.key, before.better, n, value, other, change, low, high, tolerance, verdict)


def _resample(before: Figure, after: Figure, resamples: int, seed: int) -> np.ndarray:
    """(resamples,) changes, each over questions drawn with replacement, the same for both models."""
    rng, n = np.random.default_rng(seed), before.questions
    share, found = np.full(n, 1 / n), []
    for start in range(0, resamples, step := max(1, CHUNK // n)):
        weights = rng.multinomial(n, share, min(step, resamples - start)).astype(float)
        found.append(after.statistic(weights) - before.statistic(weights))
    return np.concatenate(found)


def _bounds(deviations: np.ndarray, change: float, n: int, level: float, unseen: float) -> tuple[float, float]:
    """Expanded percentile bounds, at least `unseen` from the change.

    What happens to a share s of all questions happens to none of n with probability (1 − s)^n, less than level / 2 for
    s > ln(2 / level) / n: that much n questions can have missed.
    """
    from scipy.stats import norm, t

    tail = float(norm.cdf(math.sqrt(n / (n - 1)) * t.ppf(level / 2, n - 1)))
    low, high = np.quantile(deviations, [tail, 1 - tail])
    return change + min(float(low), -unseen), change + max(float(high), unseen)
