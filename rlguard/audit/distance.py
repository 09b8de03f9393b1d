"""Does a model lose more, the farther a domain's questions lie from what it was trained on, by their wording alone?"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlguard.audit.paired import Row
from rlguard.audit.retention import ACCURACY, GROUP
from rlguard.audit.samples import PLAIN, Item
from rlguard.types import InputError, Messages, prompt_text

SIZES = (3, 4, 5)
"""Characters of the n-grams."""
MOST_PROMPTS, MOST_CHARACTERS = 500, 2000
"""What is read: so many prompts of a domain or of training, evenly spaced, and so much of each."""


def domain_distances(items: Iterable[Item], trained: Sequence[str | Messages]) -> dict[str, float]:
    """Distance of each domain's plain questions from what was trained on, in [0, 1].

    It is 1 − the cosine of two mean vectors, of the domain's prompts and of the training prompts. A prompt's vector is
    its character 3- to 5-grams, lower case and every digit a 0, weighted by TF-IDF (1 + ln tf, and ln of the share of
    prompts that have the n-gram) and of length 1. Wording is all that it sees: the same task in other words is far.

    Args:
        items: A suite.
        trained: Training prompts; or names of domains, which stand for their prompts: their distance is 0, and that of
            the others is to the nearest of them.

    Returns:
        The domains in the order in which they come; 1 where nothing is in common, or nothing was trained on.

    >>> items = [Item("a", "What is 2 + 3?", "5", "sums"), Item("b", "Name a colour.", "red", "naming")]
    >>> domain_distances(items, ["What is 7 + 1?"])
    {'sums': 0.0, 'naming': 1.0}
    """
    prompts: dict[str, list[str | Messages]] = defaultdict(list)
    for item in items:
        if item.variant == PLAIN:
            prompts[item.domain].append(item.prompt)
    domains = list(prompts)
    named = [domains.index(name) for name in trained if isinstance(name, str) and name in prompts]
    texts = [prompt for prompt in trained if not (isinstance(prompt, str) and prompt in prompts)]
    pools = [*prompts.values(), *([texts] if texts else [])]
    targets = [*named, *range(len(domains), len(pools))]
    if not targets:
        return dict.fromkeys(domains, 1.0)
    nearest_D = _cosines(pools)[:, targets].max(axis=1)
    return {
        name: round(min(1.0, max(0.0, 1 - near)), 9) for name, near in zip(domains, nearest_D.tolist(), strict=False)
    }


def _cosines(pools: Sequence[Sequence[str | Messages]]) -> np.ndarray:
    """The cosines of the pools' mean vectors, (D, D); B prompts, V n-grams."""
    from scipy.sparse import csr_array

    thinned = [pool[:: max(1, math.ceil(len(pool) / MOST_PROMPTS))] for pool in pools]
    grams_B = [_count_grams(prompt) for pool in thinned for prompt in pool]
    places = {gram: place for place, gram in enumerate({gram: None for grams in grams_B for gram in grams})}
    prompt_N = np.repeat(np.arange(len(grams_B)), [len(grams) for grams in grams_B])
    gram_N = np.array([places[gram] for grams in grams_B for gram in grams], int)
    count_N = np.array([count for grams in grams_B for count in grams.values()], float)
    # above 0 even where all prompts have it
    rarity_V = np.log((1 + len(grams_B)) / (0.5 + np.bincount(gram_N, minlength=len(places))))
    value_N = (1 + np.log(count_N)) * rarity_V[gram_N]
    value_N /= np.sqrt(np.bincount(prompt_N, value_N**2, minlength=len(grams_B)))[prompt_N]
    pool_B = np.repeat(np.arange(len(pools)), [len(pool) for pool in thinned])
    sums_DV = csr_array((value_N, (pool_B[prompt_N], gram_N)), (len(pools), len(places)))
    dot_DD = (sums_DV @ sums_DV.T).toarray()
    length_D = np.sqrt(dot_DD.diagonal())
    return dot_DD / np.maximum(np.outer(length_D, length_D), 1e-300)


def _count_grams(prompt: str | Messages) -> Counter[str]:
    text = " ".join(re.sub(r"\d", "0", prompt_text(prompt)[:MOST_CHARACTERS].lower()).split())
    return Counter(text[at : at + size] for size in SIZES for at in range(len(text) - size + 1))


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


def fit_cliff(rows: Sequence[Row], distances: Mapping[str, float], confidence: float = 0.95) -> Cliff:
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
    precision, free = 2 * norm.ppf((1 + confidence) / 2) / width, len(points) - 2
    line, covariance = np.polyfit(x, y, 1, w=precision, cov="unscaled")
    excess = max(1.0, float(((precision * (y - np.polyval(line, x))) ** 2).sum()) / free)
    half = float(t.ppf((1 + confidence) / 2, free)) * math.sqrt(excess * covariance[0, 0])
    return float(line[0]), float(line[0]) - half, float(line[0]) + half


def _describe(slope: float, low: float, high: float) -> str:
    if math.isnan(slope):
        return "Whether accuracy falls with the distance cannot be told: that needs three domains at two distances."
    fit = f"From distance 0 to distance 1 the change of accuracy differs by {slope:+.2f} ({low:+.2f} to {high:+.2f})"
    fit = fit.replace("-", "−")
    if low <= 0 <= high:
        return f"{fit}: no trend with distance can be told from chance."
    return f"{fit}: the {'farther from' if high < 0 else 'nearer to'} the training domain, the more is lost."
