"""Accuracy before and after, domain by domain, and whether it falls with the distance from the training domain."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlguard.audit.compare import Figure, Row, Statistic, mean_statistic
from rlguard.audit.samples import Sample, by_domain, select
from rlguard.types import InputError

GROUP = "retention"
ACCURACY = "accuracy"
INSIDE, OUTSIDE = "accuracy in the training domains", "accuracy outside the training domains"


def figures(samples: Sequence[Sample], trained: Collection[str] = ()) -> list[Figure]:
    """Accuracy by domain and over all, truncated completions, and completions without a final answer.

    In `all` every domain weighs the same, however many questions it has.

    Args:
        samples: Of one model; plain answerable questions are used.
        trained: Domains that were trained on: accuracy is then also given over them and over the rest, where there are
            both.
    """
    plain = select(samples)
    if not plain:
        return []
    domains = [sample.item.domain for sample in plain]
    truncated = [_share([rollout.truncated for rollout in sample.rollouts]) for sample in plain]
    unanswered = [_share([rollout.answer is None for rollout in sample.rollouts]) for sample in plain]
    rates = macro_statistic([sample.pass_rate for sample in plain], domains)
    return [
        Figure(GROUP, ACCURACY, "all", len(plain), rates),
        *_split_figures(plain, trained),
        *(
            Figure(GROUP, ACCURACY, domain, len(members), mean_statistic([sample.pass_rate for sample in members]))
            for domain, members in by_domain(plain).items()
        ),
        Figure(GROUP, "truncated completions", "all", len(plain), macro_statistic(truncated, domains), better=-1),
        Figure(
            GROUP, "completions without an answer", "all", len(plain), macro_statistic(unanswered, domains), better=-1
        ),
    ]


def _split_figures(plain: Sequence[Sample], trained: Collection[str]) -> Iterator[Figure]:
    """Accuracy inside and outside of the training domains."""
    parts = {
        name: [sample for sample in plain if (sample.item.domain in trained) == inside]
        for name, inside in ((INSIDE, True), (OUTSIDE, False))
    }
    for name, part in parts.items() if all(parts.values()) else ():
        rates = macro_statistic([sample.pass_rate for sample in part], [sample.item.domain for sample in part])
        yield Figure(GROUP, name, "all", len(part), rates)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan


def macro_statistic(values_P: Sequence[float], domains_P: Sequence[str]) -> Statistic:
    """The mean over domains of a domain's mean; a domain without a value, or not drawn, does not vote.

    >>> macro_statistic([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])(np.ones((1, 4))).tolist()
    [0.5]
    """
    values, domains = np.asarray(values_P, float), np.asarray(domains_P, object)
    means = [mean_statistic(np.where(domains == domain, values, np.nan)) for domain in dict.fromkeys(domains_P)]

    def statistic(weights_RP: np.ndarray) -> np.ndarray:
        found_DR = np.array([mean(weights_RP) for mean in means])
        votes_R = np.isfinite(found_DR).sum(axis=0)
        total_R = np.nansum(found_DR, axis=0)
        return np.divide(total_R, votes_R, out=np.full(len(weights_RP), np.nan), where=votes_R > 0)

    return statistic


@dataclass(frozen=True)
class CliffPoint:
    """What became of one domain's accuracy."""

    domain: str
    distance: float
    """From the training domain, in [0, 1]."""
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Cliff:
    """The change of accuracy over the distance from the training domain."""

    points: tuple[CliffPoint, ...]
    """By distance, nearest first."""
    slope: float
    """Change at distance 1 less that at distance 0; NaN where it cannot be told."""
    low: float
    high: float
    sentence: str
    """What it says, in plain words."""


def cliff(rows: Sequence[Row], distances: Mapping[str, float], confidence: float = 0.95) -> Cliff:
    """Fits the change of accuracy to the distance, by weighted least squares over domains.

    A domain weighs by the inverse square of its interval's width. Domains differ by more than chance, so that the
    slope's variance is multiplied by the mean weighted square of the residuals where that is above 1, and its interval
    is from Student's t with two degrees of freedom fewer than domains: meta-regression as of Knapp and Hartung (2003).

    Args:
        rows: Of `compare`; those of the accuracy of a domain that has a distance are used.
        distances: Of domains, in [0, 1].
        confidence: Of the rows' intervals, and of the slope's.

    Raises:
        InputError: If a distance is not in [0, 1]; names the domain.
    """
    for domain, distance in distances.items():
        if not 0 <= distance <= 1:
            raise InputError(f"distance of domain {domain!r}: expected a number in [0, 1], got {distance!r}")
    points = [
        CliffPoint(row.domain, distances[row.domain], row.change, row.low, row.high)
        for row in rows
        if (row.group, row.name) == (GROUP, ACCURACY) and row.domain in distances
    ]
    points.sort(key=lambda point: (point.distance, point.domain))
    slope, low, high = _fit_slope([point for point in points if point.high > point.low], confidence)
    return Cliff(tuple(points), slope, low, high, _describe(slope, low, high))


def _fit_slope(points: Sequence[CliffPoint], confidence: float) -> tuple[float, float, float]:
    if len(points) < 3 or len({point.distance for point in points}) < 2:
        return math.nan, math.nan, math.nan
    from scipy.stats import norm, t

    x, y, width = np.array([(point.distance, point.change, point.high - point.low) for point in points]).T
    weight = (2 * norm.ppf((1 + confidence) / 2) / width) ** 2
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    spread = float(weight @ x**2)
    slope = float(weight @ (x * y)) / spread
    free = len(points) - 2
    excess = max(1.0, float(weight @ (y - slope * x) ** 2) / free)
    half = float(t.ppf((1 + confidence) / 2, free)) * math.sqrt(excess / spread)
    return slope, slope - half, slope + half


def _describe(slope: float, low: float, high: float) -> str:
    if math.isnan(slope):
        return "Whether accuracy falls with the distance cannot be told: that needs three domains at two distances."
    fit = f"From distance 0 to distance 1 the change of accuracy differs by {slope:+.2f} ({low:+.2f} to {high:+.2f})"
    fit = fit.replace("-", "−")
    if high < 0:
        return f"{fit}: the farther from the training domain, the more is lost."
    if low > 0:
        return f"{fit}: the nearer to the training domain, the more is lost."
    return f"{fit}: no trend with distance can be told from chance."
