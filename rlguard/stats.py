"""Intervals and posteriors for Bernoulli rates.

scipy is imported where it is used: `import rlguard` must stay fast.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

GRID_POINTS = 64
_GRID_EDGES = np.sin(np.linspace(0, np.pi / 2, GRID_POINTS + 1)) ** 2
SKILL_GRID = np.sin((np.arange(GRID_POINTS) + 0.5) / GRID_POINTS * np.pi / 2) ** 2
"""Midpoints of the cells of [0, 1] on which a posterior over the skill rate is kept: finest near 0 and 1, where
Jeffreys' prior Beta(½, ½) puts the same mass into every cell."""


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Clopper–Pearson, 1934) two-sided interval for a success rate; it covers at least `confidence`.

    Args:
        successes: Number of successes, 0 ≤ successes ≤ trials.
        trials: Number of trials; 0 gives (0, 1): nothing is known.
        confidence: Coverage in (0, 1).

    Raises:
        ValueError: If successes is not in 0..trials or confidence not in (0, 1).

    >>> tuple(round(bound, 3) for bound in binomial_interval(0, 16))
    (0.0, 0.206)
    """
    _check_counts(successes, trials, confidence)
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


@lru_cache(maxsize=100_000)
def confidence_sequence(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """An interval for a success rate that covers with `confidence` at all times at once.

    Args:
        successes: Number of successes, 0 ≤ successes ≤ trials.
        trials: Number of trials so far, however it came about that there are so many; 0 gives (0, 1).
        confidence: Coverage in (0, 1).

    Raises:
        ValueError: If successes is not in 0..trials or confidence not in (0, 1).

    The rates p whose likelihood is more than (1 − confidence) times that of a mixture: half Jeffreys' prior, a quarter
    at 0 and a quarter at 1, because so pass rates lie. Under p the ratio mixture / likelihood is a martingale that
    starts at 1: it ever reaches 1 / (1 − confidence) with probability at most 1 − confidence (Ville 1939; Robbins).

    >>> tuple(round(bound, 3) for bound in confidence_sequence(0, 16))
    (0.0, 0.228)
    """
    _check_counts(successes, trials, confidence)
    if trials == 0:
        return 0.0, 1.0
    from scipy.optimize import brentq
    from scipy.special import betaln, xlog1py, xlogy

    failures = trials - successes
    jeffreys = 0.5 * math.exp(betaln(successes + 0.5, failures + 0.5) - betaln(0.5, 0.5))
    least = math.log((0.25 * ((successes == 0) + (failures == 0)) + jeffreys) * (1 - confidence))

    def excess(rate: float) -> float:
        return float(xlogy(successes, rate) + xlog1py(failures, -rate)) - least

    top = successes / trials
    low = 0.0 if successes == 0 else brentq(excess, 1e-300, top)
    high = 1.0 if failures == 0 else brentq(excess, top, 1 - 1e-16)
    return low, high


def _check_counts(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be in 0..trials, got {successes} of {trials}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")


def probability_above(successes_P: Any, trials_P: Any, other_successes_P: Any, other_trials_P: Any) -> np.ndarray:
    """P(first rate > second rate), given independent counts of both and Jeffreys' prior for each.

    A posterior does not mind the rule by which sampling stopped.

    Args:
        successes_P: Successes of the first, (P,).
        trials_P: Trials of the first, ≥ successes.
        other_successes_P: Of the second.
        other_trials_P: Of the second.

    Returns:
        (P,) probabilities.

    >>> [round(float(p), 2) for p in probability_above([5, 5, 1], [10, 10, 10], [5, 0, 10], [10, 10, 100])]
    [0.5, 1.0, 0.55]
    """
    from scipy.special import betaincc, betaincinv

    k, n, m, other_n = (
        np.asarray(values, float)[:, None] for values in (successes_P, trials_P, other_successes_P, other_trials_P)
    )
    middles = (np.arange(64) + 0.5) / 64
    other_rates = betaincinv(m + 0.5, other_n - m + 0.5, middles)  # its posterior, in 64 equal parts
    return betaincc(k + 0.5, n - k + 0.5, other_rates).mean(axis=1)


def beta_weights(alpha: float, beta: float) -> np.ndarray:
    """A Beta(alpha, beta) prior on `SKILL_GRID`, as cell masses of shape (GRID_POINTS,) that sum to 1."""
    from scipy.special import betainc

    return np.diff(betainc(alpha, beta, _GRID_EDGES))


def skill_likelihood(successes_P: Any, trials_P: Any, chance_P: Any = 0.0) -> np.ndarray:
    """Likelihood of each prompt's counts at each *skill rate* of `SKILL_GRID`: classical test theory's correction for
    guessing. A rollout solves with the skill rate q, or else passes by luck: p = q + (1 − q)·chance.

    Args:
        successes_P: (P,) successes; fractions are fine (faded counts).
        trials_P: (P,) rollouts.
        chance_P: (P,) or one chance rate, in [0, 1].

    Returns:
        (P, GRID_POINTS) likelihoods relative to that of the best pass rate, k/n: at most 1, and comparable between
        chance rates.
    """
    from scipy.special import xlog1py, xlogy

    k, n = np.asarray(successes_P, float), np.asarray(trials_P, float)
    chance = np.broadcast_to(np.asarray(chance_P, float), k.shape).clip(0.0, 1 - 1e-9)[:, None]
    best = xlogy(k, k / np.maximum(n, 1e-9)) + xlog1py(n - k, -k / np.maximum(n, 1e-9))
    failing = np.log1p(-SKILL_GRID) + np.log1p(-chance)
    passing = np.log(chance + (1 - chance) * SKILL_GRID)
    return np.exp(k[:, None] * passing + (n - k)[:, None] * failing - best[:, None])


def skill_posterior(likelihood_PS: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Posterior over skill rates.

    Args:
        likelihood_PS: (P, GRID_POINTS), such as `skill_likelihood`.
        prior: Masses over `SKILL_GRID` of any sum, (GRID_POINTS,) shared or (P, GRID_POINTS) per prompt.

    Returns:
        (P, GRID_POINTS) cell masses; every row sums to 1.

    >>> seen = skill_likelihood([9], [10], 0.1)
    >>> float(round((skill_posterior(seen, beta_weights(1, 1)) @ SKILL_GRID)[0], 2))
    0.81
    """
    mass = likelihood_PS * prior + 1e-300  # a prior without mass where the data are falls back on the data's cells
    return mass / mass.sum(axis=1, keepdims=True)


def fit_mixture(
    likelihood_PS: np.ndarray, base: np.ndarray, counts_P: np.ndarray | None = None, rounds: int = 20
) -> np.ndarray:
    """A population over a grid, fitted to what was seen of its members by EM (nonparametric maximum likelihood).

    Args:
        likelihood_PS: (P, grid) likelihood of each member's data at each grid point.
        base: (grid,) masses of pseudo-members, > 0; their sum is how many members they weigh.
        counts_P: How many members each row stands for; None is one each. (P, F) fits F populations at once.
        rounds: EM steps.

    Returns:
        (grid,) masses that sum to 1, or (F, grid) for F populations.
    """
    counts = np.ones(len(likelihood_PS)) if counts_P is None else np.asarray(counts_P, float)
    start = base if counts.ndim == 1 else np.repeat(base[:, None], counts.shape[1], axis=1)
    total = start
    for _ in range(rounds):
        evidence = np.maximum(likelihood_PS @ total, 1e-300)
        total = start + total * (likelihood_PS.T @ (counts / evidence))
    return (total / total.sum(axis=0)).T
