"""When to stop sampling a prompt, and what may be said of its pass rate after stopping.

Three facts carry this module.

1. *Where to stop* is a decision, and its best rule can be computed: by backward induction over the counts (k of n) from
   the last look to the first, one more batch is drawn wherever it lowers the probability of a wrong band by more than
   it costs (Arrow, Blackwell & Girshick 1949). The price of a rollout is set so that the expected share of prompts in a
   wrong band is the error rate asked for, in a population that nobody need know: half Jeffreys' prior, a quarter at 0
   and a quarter at 1 (`REFERENCE`). If the prompts turn out to lie elsewhere, at the bounds for instance, so that more
   bands than that are probably wrong, a second plan for the population as it was found goes on from there.
2. *the interval* is a confidence sequence (`stats.confidence_sequence`): it covers at all times at once, so at whatever
   time the sampling stopped. And
3. *the rate* is the posterior mean in the population that was fitted to all prompts. k/n is biased: who stops when it
   looks clear, reports too extreme a rate. A posterior does not mind why sampling stopped (the stopping rule cancels
   from the likelihood), so among prompts that are reported alike the true rates average to the reported one, and
   averages over the prompts are unbiased. (An estimate unbiased for each single prompt exists: Girshick, Mosteller &
   Savage 1946, the share of ways to k of n that begin with a success. It reports 1.0 for 21 of 24 when only perfect
   starts go on: true on average, useless for the prompt.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.rollouts.store import read_design
from rlguard.stats import fit_mixture, skill_posterior
from rlguard.types import BANDS, BOUNDS, InputError, check_types, name_band

LOOKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Numbers of rollouts at which the rule decides; deciding after each one would gain little and keep engines waiting."""

LEAST_PRICE = 1e-4
"""A rollout that lowers the probability of a wrong band by less than this is never worth drawing."""

_CELLS = 256
RATES = np.concatenate([[0.0], np.sin((np.arange(_CELLS) + 0.5) / _CELLS * np.pi / 2) ** 2, [1.0]])
"""Pass rates on which populations are described: 0, 1, and cells in which Jeffreys' prior has equal mass."""
REFERENCE = np.concatenate([[0.25], np.full(_CELLS, 0.5 / _CELLS), [0.25]])


@dataclass(frozen=True)
class Plan:
    """How many rollouts a prompt gets: from `min_n` to `max_n`, as its outcomes demand; equal for a fixed number."""

    min_n: int = 4
    """Fewest rollouts per prompt."""
    max_n: int = 128
    """Most rollouts per prompt, drawn only while its band is open."""
    error_rate: float = 0.05
    """Share of prompts that may end in a wrong band; 1 for no limit."""
    bounds: tuple[float, float, float] = BOUNDS
    """Pass rates at which near-impossible, learnable and mastered begin."""
    population: tuple[float, ...] | None = None
    """Masses over `RATES` in which the error rate is to hold; None is `REFERENCE`."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.min_n <= self.max_n <= LOOKS[-1]:
            raise InputError(
                f"rollouts per prompt: expected 1 <= min <= max <= {LOOKS[-1]}, got {self.min_n} to {self.max_n}"
            )
        if not 0 < self.error_rate <= 1:
            raise InputError(f"error_rate: expected a number above 0, up to 1, got {self.error_rate!r}")
        if not (len(self.bounds) == 3 and 0 < self.bounds[0] < self.bounds[1] < self.bounds[2] < 1):
            raise InputError(f"bounds: expected three growing rates between 0 and 1, got {self.bounds!r}")

    @property
    def is_fixed(self) -> bool:
        return self.min_n == self.max_n

    @property
    def masses(self) -> np.ndarray:
        return REFERENCE if self.population is None else np.array(self.population)

    @property
    def looks(self) -> tuple[int, ...]:
        return tuple(sorted({self.min_n, self.max_n, *(n for n in LOOKS if self.min_n < n < self.max_n)}))

    def next_look(self, successes: int, trials: int) -> int | None:
        """How many trials a prompt should have next; None when it is decided."""
        if trials >= self.max_n or (trials in self.looks and not _solve(self)[0][trials][successes]):
            return None
        return next(look for look in self.looks if look > trials)

    def expected_more(self, successes: int, trials: int) -> float:
        """Further trials that a prompt takes on average, in the plan's population."""
        look = next((look for look in self.looks if look >= trials), None)
        if look is None or self.next_look(successes, trials) is None:
            return 0.0
        more = _solve(self)[1][look]
        if trials == 0:  # before the first look: what any prompt of the population takes
            return look + _solve(self)[2]
        return look - trials + float(more[round(successes * look / trials)])  # between looks: after unscored rollouts


@dataclass(frozen=True, eq=False)
class Population:
    """How pass rates are spread over the prompts of a run: masses over `RATES`, and what they say of one prompt.

    >>> population = Population.fit(np.array([0] * 50 + [8] * 50), np.array([8] * 100))
    >>> [round(population.rate(k, 8), 2) for k in (0, 8)]
    [0.0, 1.0]
    """

    masses: np.ndarray

    @classmethod
    def fit(cls, successes_P: np.ndarray, trials_P: np.ndarray, rounds: int = 200) -> Population:
        """Nonparametric maximum likelihood by EM (empirical Bayes); `REFERENCE` enters with the weight of two prompts.

        Args:
            successes_P: Successes per prompt.
            trials_P: Trials per prompt; the rule by which they stopped does not matter to a likelihood.
            rounds: EM steps.
        """
        states, counts = np.unique(np.stack([successes_P, trials_P], axis=1), axis=0, return_counts=True)
        return cls(fit_mixture(_likelihood(states[:, 0], states[:, 1]), 2 * REFERENCE, counts, rounds))

    def rate(self, successes: int, trials: int) -> float:
        """The mean of a prompt's pass rate, given its counts; NaN without trials."""
        return float(self._posterior(successes, trials) @ RATES) if trials else math.nan

    def band_error(self, successes: int, trials: int, band: str, bounds: tuple[float, float, float] = BOUNDS) -> float:
        """Probability that a prompt's true pass rate lies in another band than `band`; NaN without trials."""
        if not trials:
            return math.nan
        return float(self._posterior(successes, trials)[_bands(bounds) != BANDS.index(band)].sum())

    def _posterior(self, successes: int, trials: int) -> np.ndarray:
        return skill_posterior(_likelihood(np.array([successes]), np.array([trials])), self.masses)[0]


def read_plans(folder: str | Path) -> list[Plan]:
    """The plans by which a store was sampled; none where there is no record of them.

    Raises:
        InputError: If the record cannot be read.
    """
    fields: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in plan.items()} for plan in read_design(folder)
    ]
    try:
        return [Plan(**plan) for plan in fields]
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder}: not a sampling design by rlguard: {error}") from error


def refine_plan(plan: Plan, successes_P: np.ndarray, trials_P: np.ndarray) -> Plan | None:
    """A plan that goes on where more prompts than were asked for are probably in a wrong band.

    Args:
        plan: By which was sampled.
        successes_P: Successes per prompt.
        trials_P: Trials per prompt, ≥ 1.

    Returns:
        The same plan for the population that was found; None when the error rate holds there.
    """
    if plan.is_fixed or not len(trials_P):
        return None
    population = Population.fit(successes_P, trials_P)
    states, counts = np.unique(np.stack([successes_P, trials_P], axis=1), axis=0, return_counts=True)
    bands = [name_band(population.rate(k, n), plan.bounds) for k, n in states]
    errors = [population.band_error(k, n, band, plan.bounds) for (k, n), band in zip(states, bands, strict=True)]
    if counts @ errors / counts.sum() <= plan.error_rate:
        return None
    return replace(plan, population=tuple(population.masses.round(9).tolist()))


@lru_cache(maxsize=32)
def _solve(plan: Plan) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], float]:
    """For each look and number of successes whether to go on and how many more trials that takes on average; and how
    many any prompt takes after the first look."""
    if plan.is_fixed:
        nothing = np.zeros(plan.max_n + 1)
        return {plan.max_n: nothing.astype(bool)}, {plan.max_n: nothing}, 0.0
    steps = _Induction(plan)
    low, high = LEAST_PRICE, 0.1
    for _ in range(25):
        price = math.sqrt(low * high)
        low, high = (price, high) if steps.run(price) <= plan.error_rate else (low, price)
    steps.run(low)
    return steps.goes_on, steps.more, float(steps.first @ steps.more[plan.min_n])


class _Induction:
    """Backward induction for one plan: everything that does not depend on the price is computed once."""

    def __init__(self, plan: Plan) -> None:
        self.looks = plan.looks
        bands = _bands(plan.bounds)
        self.wrong: dict[int, np.ndarray] = {}  # look -> probability of a wrong band, by successes
        self.ahead: dict[int, np.ndarray] = {}  # look -> (successes now, successes among the next batch) probabilities
        for number, look in enumerate(self.looks):
            likelihood = _likelihood(np.arange(look + 1), np.full(look + 1, look))
            posterior = skill_posterior(likelihood, plan.masses)
            if number == 0:
                self.first = likelihood @ plan.masses * [math.comb(look, k) for k in range(look + 1)]
            named = np.array([BANDS.index(name_band(rate, plan.bounds)) for rate in posterior @ RATES])
            self.wrong[look] = (posterior * (bands != named[:, None])).sum(axis=1)
            if number + 1 < len(self.looks):
                batch = self.looks[number + 1] - look
                ways = np.array([math.comb(batch, k) for k in range(batch + 1)], float)
                drawn = _likelihood(np.arange(batch + 1), np.full(batch + 1, batch)) * ways[:, None]
                self.ahead[look] = posterior @ drawn.T

    def run(self, price: float) -> float:
        """Fills `goes_on` and `more` for a price of one rollout; returns the expected share of wrong bands."""
        last = self.looks[-1]
        self.goes_on = {last: np.zeros(last + 1, bool)}
        self.more = {last: np.zeros(last + 1)}
        error = self.wrong[last]
        for look, following in zip(self.looks[-2::-1], self.looks[:0:-1], strict=True):
            batch, now = following - look, np.arange(look + 1)[:, None]
            then = now + np.arange(batch + 1)
            error_on = (self.ahead[look] * error[then]).sum(axis=1)
            more_on = batch + (self.ahead[look] * self.more[following][then]).sum(axis=1)
            goes_on = error_on + price * more_on < self.wrong[look]
            self.goes_on[look] = goes_on
            self.more[look] = np.where(goes_on, more_on, 0.0)
            error = np.where(goes_on, error_on, self.wrong[look])
        return float(self.first @ error)


def _likelihood(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """(states, len(RATES)) likelihoods p^k (1 − p)^(n − k)."""
    from scipy.special import xlog1py, xlogy

    k, n = np.asarray(successes, float)[:, None], np.asarray(trials, float)[:, None]
    return np.exp(xlogy(k, RATES) + xlog1py(n - k, -RATES))


@lru_cache(maxsize=32)
def _bands(bounds: tuple[float, float, float]) -> np.ndarray:
    return np.array([BANDS.index(name_band(rate, bounds)) for rate in RATES])
