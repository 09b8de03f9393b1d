"""pass@k before and after: training may make likely what was possible, and impossible what was rare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlguard.audit.paired import Figure, mean_statistic
from rlguard.audit.samples import Sample, select
from rlguard.stats import binomial_interval
from rlguard.types import InputError

GROUP = "coverage"
MOST = 256
_ROUNDING = 1e-12


def pass_at_k(successes: int, trials: int, k: int) -> float:
    """Probability that one of k rollouts is correct, unbiased (Chen et al. 2021, arXiv 2107.03374, eq. 1).

    Args:
        successes: Correct rollouts, 0 ≤ successes ≤ trials.
        trials: Scored rollouts.
        k: At least 1; NaN where it is more than trials.

    >>> pass_at_k(1, 4, 2), pass_at_k(0, 4, 4), pass_at_k(1, 4, 8)
    (0.5, 0.0, nan)
    """
    return 1 - math.comb(trials - successes, k) / math.comb(trials, k) if k <= trials else math.nan


def largest_k(*models: Sequence[Sample]) -> int:
    """The largest k at which all figures are over the same questions: the least number of scored rollouts, up to 256.

    Args:
        models: The samples of each model. A question of which no rollout was scored has no figure at any k, and does
            not count; 0 where that is true of all.
    """
    trials = [sample.counts[1] for samples in models for sample in select(samples)]
    return min(MOST, min((n for n in trials if n), default=0))


def figures(samples: Sequence[Sample], most: int) -> list[Figure]:
    """pass@k for k = 1, 2, 4, …, over all questions: each weighs the same, whatever its domain.

    Args:
        samples: Of one model; plain answerable questions are used. Those with fewer than k scored rollouts do not vote.
        most: Largest k, the same for both models: `largest_k(before, after)`.
    """
    counts = [sample.counts for sample in select(samples)]
    if not counts:
        return []
    return [
        Figure(GROUP, f"pass@{k}", "all", len(counts), mean_statistic([pass_at_k(c, n, k) for c, n in counts]))
        for k in _ladder(most)
    ]


def _ladder(most: int) -> list[int]:
    return [1 << power for power in range(max(0, most).bit_length())]


@dataclass(frozen=True)
class Crossing:
    """Where the curve of pass@k after training, first above the one before, falls below it."""

    k: int | None
    """The smallest such k of 1, 2, 4, …; None where the curves do not cross in this way."""
    probability: float
    """Share of paired bootstrap resamples of the questions in which they do; between two equal models it may be
    anything up to about 0.8, so that only a share near 1 speaks for a crossing."""


def find_crossing(
    before: Sequence[Sample], after: Sequence[Sample], most: int, resamples: int = 2000, seed: int = 0
) -> Crossing:
    """Finds the k from which the model after training covers less than the one before, though it is better at small k.

    Args:
        before: Of the model before training.
        after: Of the model after, to the same questions.
        most: As for `figures`.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Raises:
        InputError: If the questions are not the same; names the first that differs.
    """
    count = len(_pair(before, after))
    curves = list(zip(figures(before, most), figures(after, most), strict=True))
    if not curves:
        return Crossing(None, math.nan)

    def cross(weights_RP: np.ndarray) -> np.ndarray:
        gain_RK = np.stack([other.statistic(weights_RP) - one.statistic(weights_RP) for one, other in curves], axis=1)
        best_RK = np.fmax.accumulate(gain_RK, axis=1)
        return (gain_RK < -_ROUNDING) & (best_RK > _ROUNDING)

    places = np.flatnonzero(cross(np.ones((1, count)))[0])
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples).astype(float)
    return Crossing(_ladder(most)[places[0]] if len(places) else None, float(cross(weights).any(axis=1).mean()))


@dataclass(frozen=True)
class Change:
    """A question that one model solved and the other never did."""

    id: str
    failures: int
    """Scored rollouts of the model that never solved it."""
    successes: int
    trials: int
    """Scored rollouts of the other model."""
    bound: float
    """Upper end of the 95% interval for the pass rate of the model that never solved it."""
    probability: float
    """Probability of at least as many successes if the other model also had that pass rate; small if it is not luck."""


def newly_solved(before: Sequence[Sample], after: Sequence[Sample]) -> list[Change]:
    """The questions that no rollout before training solved, and one or more after did; the surest first.

    With the models the other way round, the questions that are lost.

    Raises:
        InputError: If the questions are not the same; names the first that differs.
    """
    from scipy.special import betainc

    found = []
    for never, ever in _pair(before, after):
        (none, failures), (successes, trials) = never.counts, ever.counts
        if failures and not none and successes:
            bound = binomial_interval(0, failures)[1]
            probability = float(betainc(successes, trials - successes + 1, bound))  # upper tail of the binomial
            found.append(Change(never.item.id, failures, successes, trials, bound, probability))
    return sorted(found, key=lambda change: change.probability)


def _pair(before: Sequence[Sample], after: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    one, other = select(before), select(after)
    if len(one) != len(other):
        raise InputError(f"samples: expected the same questions of both models, got {len(one)} and {len(other)}")
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.item.id != b.item.id:
            raise InputError(f"question {number}: expected the same of both models, got {a.item.id} and {b.item.id}")
    return list(zip(one, other, strict=True))
