"""The stopping rule and what is reported after stopping: exact sums over every way the sampling can go."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from rlguard.difficulty.stopping import RATES, REFERENCE, Plan, Population, refine_plan
from rlguard.stats import confidence_sequence
from rlguard.types import InputError, name_band

ADAPTIVE = Plan()
REFERENCES = Population(REFERENCE)
RATES_TRIED = (0.004, 0.02, 0.1, 0.3, 0.5, 0.77, 0.9, 0.98)


def outcomes(rule, p):
    """(successes, trials) -> probability of stopping there."""
    waiting, stopped = {0: {0: 1.0}}, {}
    while waiting:
        n = min(waiting)
        for k, mass in waiting.pop(n).items():
            look = rule.next_look(k, n)
            if look is None:
                stopped[k, n] = mass
                continue
            for more, chance in enumerate(batch(look - n, p)):
                there = waiting.setdefault(look, {})
                there[k + more] = there.get(k + more, 0.0) + mass * chance
    return stopped


@cache
def batch(n, p):
    return binom.pmf(range(n + 1), n, p).tolist()


@pytest.mark.parametrize("p", RATES_TRIED)
@pytest.mark.parametrize("plan", [ADAPTIVE, Plan(3, 50, 0.1, (0.05, 0.2, 0.8))], ids=["default", "other"])
def test_the_interval_covers_wherever_it_stops(plan, p):
    ends = outcomes(plan, p)
    assert sum(ends.values()) == pytest.approx(1)
    covered = sum(m for (k, n), m in ends.items() if confidence_sequence(k, n)[0] <= p <= confidence_sequence(k, n)[1])
    assert covered >= 0.95


def simulate(plan, p, seed):
    """Successes and trials of prompts of known rates after stopping."""
    successes = (np.random.default_rng(seed).random((len(p), plan.max_n)) < p[:, None]).cumsum(axis=1)
    trials = np.array([stop(plan, counts) for counts in successes])
    return successes[np.arange(len(p)), trials - 1], trials


def stop(plan, counts, n=0):
    while (look := plan.next_look(int(counts[n - 1]) if n else 0, n)) is not None:
        n = look
    return n


@pytest.mark.parametrize("shape", [(0.4, 0.3, 1, 1), (0.0, 0.0, 27, 3), (0.5, 0.0, 1, 4)], ids=str)
def test_reported_rates_are_unbiased_under_stopping_and_k_of_n_is_not(shape):
    """Over the prompts, and among the prompts that are reported alike: true rates average to the reported one."""
    rng = np.random.default_rng(7)
    u = rng.random(4000)
    p = np.where(u < shape[0], 0.0, np.where(u < shape[0] + shape[1], 1.0, rng.beta(*shape[2:], 4000)))
    k, n = simulate(Plan(), p, 8)
    population = Population.fit(k, n)
    rates = np.array([population.rate(*state) for state in zip(k, n, strict=True)])

    def is_unbiased(reported, chosen):
        errors = (reported - p)[chosen]
        return abs(errors.mean()) < 3.5 * errors.std() / np.sqrt(len(errors)) + 0.004

    everywhere = np.ones(4000, bool)
    bins = [(rates >= low) & (rates < low + 0.2) for low in np.arange(0, 1, 0.2)]
    assert is_unbiased(rates, everywhere)
    assert all(is_unbiased(rates, chosen) for chosen in bins if chosen.sum() > 100)
    plain = [(k / n >= low) & (k / n < low + 0.2) for low in np.arange(0, 1, 0.2)]
    if shape != (0.4, 0.3, 1, 1):  # there the biases at both ends cancel
        assert not all(is_unbiased(k / n, chosen) for chosen in [everywhere, *plain] if chosen.sum() > 100)


def test_a_fixed_interval_would_not_cover_under_continuous_looks():
    """What the confidence sequence is for: sampling until 0.5 is excluded ends there though 0.5 is true."""
    from rlguard.stats import binomial_interval

    rng = np.random.default_rng(0)
    missed = {binomial_interval: 0, confidence_sequence: 0}
    for _ in range(300):
        k = rng.integers(0, 2, 200).cumsum()
        for interval in missed:
            missed[interval] += any(
                not interval(int(k[n - 1]), n)[0] <= 0.5 <= interval(int(k[n - 1]), n)[1] for n in range(4, 201, 4)
            )
    assert missed[binomial_interval] / 300 > 0.1
    assert missed[confidence_sequence] / 300 <= 0.05


@pytest.mark.parametrize("error_rate", [0.04, 0.07, 0.12])
def test_expected_share_of_wrong_bands_is_what_was_asked_for(error_rate):
    """In the reference population."""
    plan = Plan(error_rate=error_rate)
    wrong = drawn = 0.0
    for p, mass in zip(RATES, REFERENCE, strict=True):
        for (k, n), chance in outcomes(plan, p).items():
            wrong += mass * chance * (name_band(REFERENCES.rate(k, n)) != name_band(p))
            drawn += mass * chance * n
    assert wrong == pytest.approx(error_rate, abs=0.012)
    assert drawn == pytest.approx(plan.expected_more(0, 0), rel=1e-6)


def test_clear_cases_stop_early_and_open_ones_go_on():
    assert ADAPTIVE.next_look(0, 0) == 4
    assert ADAPTIVE.next_look(2, 4) is None  # learnable
    assert ADAPTIVE.next_look(0, 4) == 6
    assert ADAPTIVE.next_look(0, 64) is None  # impossible
    assert ADAPTIVE.next_look(6, 64) is not None  # at the bound
    assert ADAPTIVE.next_look(13, 128) is None  # the end
    assert ADAPTIVE.expected_more(2, 4) == 0.0
    assert ADAPTIVE.expected_more(0, 4) > 2


def test_fixed_numbers_are_the_plain_case():
    plan = Plan(16, 16)
    assert [plan.next_look(3, n) for n in (0, 5, 16)] == [16, 16, None]
    assert plan.expected_more(3, 5) == 11


def test_population_and_error_of_a_band():
    rng = np.random.default_rng(1)
    p = np.where(rng.random(3000) < 0.5, 0.0, rng.beta(2, 2, 3000))
    k = rng.binomial(12, p)
    population = Population.fit(k, np.full(3000, 12))
    assert population.masses.sum() == pytest.approx(1)
    assert population.masses[RATES < 0.02].sum() == pytest.approx((p < 0.02).mean(), abs=0.04)
    assert population.masses @ RATES == pytest.approx(p.mean(), abs=0.02)
    bands = [name_band(population.rate(a, 12)) for a in range(13)]
    wrong = np.array([bands[a] for a in k]) != np.array([name_band(a) for a in p])
    expected = np.mean([population.band_error(a, 12, bands[a]) for a in k])
    assert expected == pytest.approx(wrong.mean(), abs=0.03)
    assert math.isnan(population.rate(0, 0))
    assert math.isnan(population.band_error(0, 0, "impossible"))


def test_a_population_at_the_bounds_gets_a_second_plan_that_keeps_the_promise():
    """Rates around 0.9, where mastered begins: the first plan stops too soon, the refined one goes on."""
    rng = np.random.default_rng(3)
    p = rng.beta(27, 3, 1500)
    successes = (rng.random((1500, 128)) < p[:, None]).cumsum(axis=1)
    plan = Plan(error_rate=0.2)
    going, wrong, taken = plan, [], np.zeros(1500, int)
    while going is not None and len(wrong) < 3:
        taken = np.array([stop(going, counts, int(n)) for counts, n in zip(successes, taken, strict=True)])
        k = successes[np.arange(1500), taken - 1]
        population = Population.fit(k, taken)
        named = [name_band(population.rate(*state)) for state in zip(k, taken, strict=True)]
        wrong.append(np.mean(np.array(named) != [name_band(rate) for rate in p]))
        going = refine_plan(plan, k, taken)
    assert wrong[0] > 0.24
    assert len(wrong) > 1
    assert wrong[-1] == pytest.approx(0.2, abs=0.04)


def test_no_second_plan_where_the_first_kept_its_promise():
    assert refine_plan(Plan(), np.array([0] * 50 + [64] * 50), np.full(100, 64)) is None
    assert refine_plan(Plan(8, 8), np.array([1]), np.array([8])) is None
    assert refine_plan(Plan(), np.array([], int), np.array([], int)) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_n": 0}, "1 <= min <= max <= 1024, got 0 to 128"),
        ({"min_n": 9, "max_n": 8}, "got 9 to 8"),
        ({"max_n": 2000}, "got 4 to 2000"),
        ({"error_rate": 0.0}, "error_rate: expected a number above 0, up to 1, got 0.0"),
        ({"error_rate": 1.1}, "error_rate: expected a number above 0, up to 1, got 1.1"),
        ({"bounds": (0.1, 0.9)}, "bounds: expected three growing rates"),
        ({"bounds": (0.2, 0.1, 0.9)}, "bounds: expected three growing rates"),
    ],
)
def test_bad_plans(options, message):
    with pytest.raises(InputError, match=message):
        Plan(**options)
