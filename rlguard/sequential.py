"""When to stop sampling a prompt, and what may be said of its pass rate after stopping.

Three facts carry this module.

1. *Where to stop* is a decision, and its best rule can be computed: by backward induction over the counts (k of n) from
   the last look to the first, one more batch is drawn wherever it lowers the probability of a wrong band by more than
   it costs (Arrow, Blackwell & Girshick 1949). The price of a rollout is set so that the expected share of prompts in a
   wrong band is the error rate asked for, in a population that nobody need know: half Jeffreys' prior, a quarter at 0
   and a quarter at 1 (`REFERENCE`). If the prompts turn out to lie elsewhere, at the bounds for instance, so that more
   bands than that are probably wrong, a second plan for the population as it was found goes on from there.
2. *the interval* is a confidence sequence: it covers at all times at once, so at whatever time the sampling stopped
   (Ville's inequality for the likelihood ratio of the reference mixture; Robbins 1970). And
3. *the rate* is the unbiased estimate of Girshick, Mosteller & Savage (1946): among the ways to arrive at k of n under
   the rule, the share that begins with a success. k/n itself is biased: who stops when it looks good, reports too much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from rlguard.stats import binomial_interval, confidence_sequence, fit_mixture
from rlguard.types import BANDS, BOUNDS, InputError, name_band

LOOKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Counts at which the rule looks; a look every rollout would gain little and keep engines waiting."""

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
    max_n: int = 128
    error_rate: float = 0.05
    """Share of prompts that may end in a wrong band."""
    bounds: tuple[float, float, float] = BOUNDS
    population: tuple[float, ...] | None = None
    """Masses over `RATES` in which the error rate is to hold; None is `REFERENCE`."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_n <= self.max_n <= LOOKS[-1]:
            raise InputError(
                f"rollouts a prompt: expected 1 <= min <= max <= {LOOKS[-1]}, got {self.min_n} to {self.max_n}"
            )
        if not 0 < self.error_rate < 1:
            raise InputError(f"error_rate: expected a number between 0 and 1, got {self.error_rate!r}")
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


class StoppingRule:
    """The rule under which a store's rollouts were drawn: that of its plan, or of all its plans together.

    A store that was sampled by one plan and then by another holds prompts that either would have continued, so the rule
    of both continues wherever one of them does.

    >>> rule = StoppingRule([Plan()])
    >>> rule.next_look(0, 0), rule.next_look(2, 4), rule.next_look(64, 128)
    (4, None, None)
    >>> StoppingRule([Plan(16, 16)]).rate(3, 16)
    0.1875
    """

    def __init__(self, plans: Iterable[Plan]) -> None:
        self.plans = tuple(dict.fromkeys(plans))
        self._rate = lru_cache(maxsize=None)(self._share_beginning_with_success)

    @property
    def is_fixed(self) -> bool:
        """Whether the number of rollouts depends on no outcome."""
        return all(plan.is_fixed for plan in self.plans)

    def next_look(self, successes: int, trials: int) -> int | None:
        """How many trials the prompt should have next; None when it is decided."""
        waiting = [next_look for plan in self.plans if (next_look := _next_look(plan, successes, trials)) is not None]
        return min(waiting, default=None)

    def expected_more(self, successes: int, trials: int) -> float:
        """Further trials that the prompt will take on average, in the reference population."""
        known = [_expected_more(plan, successes, trials) for plan in self.plans]
        return max(known, default=0.0)

    def interval(self, successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
        """A confidence interval for the pass rate: exact binomial for fixed numbers, else a confidence sequence."""
        find = binomial_interval if self.is_fixed else confidence_sequence
        return find(successes, trials, confidence)

    def rate(self, successes: int, trials: int) -> float:
        """The unbiased estimate of the pass rate after stopping at `successes` of `trials`; NaN without trials."""
        if trials == 0:
            return math.nan
        return successes / trials if self.is_fixed else self._rate(successes, trials)

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(plan) for plan in self.plans]

    @classmethod
    def from_json(cls, plans: list[dict[str, Any]]) -> StoppingRule:
        fields = [{name: tuple(v) if isinstance(v, list) else v for name, v in plan.items()} for plan in plans]
        return cls(Plan(**plan) for plan in fields)  # type: ignore[arg-type]

    def _share_beginning_with_success(self, successes: int, trials: int) -> float:
        paths, begun = self._log_paths
        if trials >= len(paths) or paths[trials][successes] == -np.inf:  # not a place where this rule arrives
            return successes / trials
        return float(np.exp(begun[trials][successes] - paths[trials][successes]))

    @cached_property
    def _log_paths(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Log of the number of ways to arrive at (n, k), and of those that begin with a success."""
        none = np.full(1, -np.inf)
        paths, begun = [np.zeros(1), np.zeros(2)], [none, np.array([-np.inf, 0.0])]
        for n in range(1, max(plan.max_n for plan in self.plans)):
            goes_on = np.array([self.next_look(k, n) is not None for k in range(n + 1)])
            for counts in (paths, begun):
                going = np.where(goes_on, counts[n], -np.inf)
                counts.append(np.logaddexp(np.concatenate([going, none]), np.concatenate([none, going])))
        return paths, begun


def fit_population(successes_P: np.ndarray, trials_P: np.ndarray, rounds: int = 200) -> np.ndarray:
    """How pass rates are spread in a population of prompts: nonparametric maximum likelihood by EM (empirical Bayes).

    Args:
        successes_P: Successes per prompt.
        trials_P: Trials per prompt; the rule by which they stopped does not matter to a likelihood.
        rounds: EM steps.

    Returns:
        (len(RATES),) masses that sum to 1. `REFERENCE` enters with the weight of two prompts.
    """
    states, counts = np.unique(np.stack([successes_P, trials_P], axis=1).reshape(-1, 2), axis=0, return_counts=True)
    return fit_mixture(_likelihood(states[:, 0], states[:, 1]), 2 * REFERENCE, counts, rounds)


def band_error(
    successes: int, trials: int, population: np.ndarray, bounds: tuple[float, float, float] = BOUNDS
) -> float:
    """Probability that the true pass rate lies in another band than k/n, in a population over `RATES`."""
    mass = _likelihood(np.array([successes]), np.array([trials]))[0] * population
    band = BANDS.index(name_band(successes / trials, bounds))
    return 1.0 - float(mass[_bands(bounds) == band].sum() / mass.sum())


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
    population = fit_population(successes_P, trials_P)
    states, counts = np.unique(np.stack([successes_P, trials_P], axis=1), axis=0, return_counts=True)
    errors = [band_error(int(k), int(n), population, plan.bounds) for k, n in states]
    if counts @ errors / counts.sum() <= plan.error_rate:
        return None
    return replace(plan, population=tuple(population.round(9).tolist()))


def _next_look(plan: Plan, successes: int, trials: int) -> int | None:
    if trials >= plan.max_n:
        return None
    if trials in plan.looks and not _solve(plan)[0][trials][successes]:
        return None
    return next(look for look in plan.looks if look > trials)


def _expected_more(plan: Plan, successes: int, trials: int) -> float:
    _, more = _solve(plan)
    look = next((look for look in plan.looks if look >= trials), None)
    if look is None or _next_look(plan, successes, trials) is None:
        return 0.0
    if trials == 0:  # before the first look: what a prompt of the reference population takes
        J = _likelihood(np.arange(look + 1), np.full(look + 1, look)) @ plan.masses
        ways = np.array([math.comb(look, k) for k in range(look + 1)], float)
        return look + float((J * ways) @ more[look])
    nearest = round(successes * look / trials)  # between looks only after unscored rollouts
    return look - trials + float(more[look][nearest])


@lru_cache(maxsize=32)
def _solve(plan: Plan) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """For each look and number of successes: whether to go on, and how many more trials that takes on average."""
    if plan.is_fixed:
        nothing = np.zeros(plan.max_n + 1)
        return {plan.max_n: nothing.astype(bool)}, {plan.max_n: nothing}
    steps = _Induction(plan)
    low, high = LEAST_PRICE, 0.1
    for _ in range(25):
        price = math.sqrt(low * high)
        low, high = (price, high) if steps.run(price) <= plan.error_rate else (low, price)
    steps.run(low)
    return steps.goes_on, steps.more


class _Induction:
    """Backward induction for one plan: everything that does not depend on the price is computed once."""

    def __init__(self, plan: Plan) -> None:
        self.looks = plan.looks
        bands = _bands(plan.bounds)
        self.wrong: dict[int, np.ndarray] = {}  # look -> probability of a wrong band, by successes
        self.ahead: dict[int, np.ndarray] = {}  # look -> (successes now, successes among the next batch) probabilities
        for number, look in enumerate(self.looks):
            posterior = _likelihood(np.arange(look + 1), np.full(look + 1, look)) * plan.masses
            if number == 0:
                self.first = posterior.sum(axis=1) * [math.comb(look, k) for k in range(look + 1)]
            posterior /= posterior.sum(axis=1, keepdims=True) + 1e-300
            named = np.array([BANDS.index(name_band(k / look, plan.bounds)) for k in range(look + 1)])
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
