"""The stopping rule and what is reported after stopping: exact sums over every way the sampling can go."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from rlguard.sequential import RATES, REFERENCE, Plan, StoppingRule, band_error, fit_population, refine_plan
from rlguard.stats import confidence_sequence
from rlguard.types import InputError, name_band

ADAPTIVE = StoppingRule([Plan()])
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
@pytest.mark.parametrize(
    "rule", [ADAPTIVE, StoppingRule([Plan(3, 50, 0.1, (0.05, 0.2, 0.8))])], ids=["default", "other"]
)
def test_reported_rate_is_unbiased_and_the_interval_covers(rule, p):
    ends = outcomes(rule, p)
    assert sum(ends.values()) == pytest.approx(1)
    assert sum(mass * rule.rate(*state) for state, mass in ends.items()) == pytest.approx(p, abs=1e-9)
    covered = sum(m for state, m in ends.items() if rule.interval(*state)[0] <= p <= rule.interval(*state)[1])
    assert covered >= 0.95


def test_the_plain_share_would_be_biased():
    ends = outcomes(ADAPTIVE, 0.3)
    assert abs(sum(mass * k / n for (k, n), mass in ends.items()) - 0.3) > 0.03


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
    """In the reference population; k/n names the band."""
    plan = Plan(error_rate=error_rate)
    rule = StoppingRule([plan])
    wrong = drawn = 0.0
    for p, mass in zip(RATES, REFERENCE, strict=True):
        for (k, n), chance in outcomes(rule, p).items():
            wrong += mass * chance * (name_band(k / n, plan.bounds) != name_band(p, plan.bounds))
            drawn += mass * chance * n
    assert wrong == pytest.approx(error_rate, abs=0.012)
    assert drawn == pytest.approx(rule.expected_more(0, 0), rel=1e-6)


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
    rule = StoppingRule([Plan(16, 16)])
    assert [rule.next_look(3, n) for n in (0, 5, 16)] == [16, 16, None]
    assert rule.rate(3, 16) == 3 / 16
    assert rule.interval(0, 16)[1] == pytest.approx(1 - 0.025 ** (1 / 16))
    assert math.isnan(rule.rate(0, 0))
    assert rule.interval(0, 0) == (0.0, 1.0)


def test_two_plans_in_one_store_stay_unbiased():
    """Sampled by a coarse plan first and by a finer one then: the finer one alone says where it goes on."""
    both = StoppingRule([Plan(error_rate=0.1), Plan(error_rate=0.05)])
    for p in (0.1, 0.5):
        ends = outcomes(both, p)
        assert sum(mass * both.rate(*state) for state, mass in ends.items()) == pytest.approx(p, abs=1e-9)


def test_a_state_off_the_rule_gets_the_plain_share():
    assert ADAPTIVE.rate(1, 128) == 1 / 128  # 0 or 1 of 64 would have stopped: whoever went on had another rule
    assert ADAPTIVE.rate(100, 300) == 1 / 3


def test_population_and_error_of_a_band():
    rng = np.random.default_rng(1)
    p = np.where(rng.random(3000) < 0.5, 0.0, rng.beta(2, 2, 3000))
    k = rng.binomial(12, p)
    population = fit_population(k, np.full(3000, 12))
    assert population.sum() == pytest.approx(1)
    assert population[RATES < 0.02].sum() == pytest.approx((p < 0.02).mean(), abs=0.04)
    assert population @ RATES == pytest.approx(p.mean(), abs=0.02)
    wrong = np.array([name_band(a / 12) for a in k]) != np.array([name_band(a) for a in p])
    expected = np.mean([band_error(int(a), 12, population) for a in k])
    assert expected == pytest.approx(wrong.mean(), abs=0.03)


def test_a_population_at_the_bounds_gets_a_second_plan_that_keeps_the_promise():
    """Rates around 0.9, where mastered begins: the first plan stops too soon, the refined one goes on."""
    rng = np.random.default_rng(3)
    p = rng.beta(27, 3, 1500)
    successes = (rng.random((1500, 128)) < p[:, None]).cumsum(axis=1)
    plan = Plan(error_rate=0.2)
    plans, taken = [plan], np.zeros(1500, int)
    wrong = []
    while True:
        for row in range(1500):
            n = taken[row]
            while (
                look := StoppingRule([plans[-1]]).next_look(int(successes[row, n - 1]) if n else 0, int(n))
            ) is not None:
                n = look
            taken[row] = n
        k = successes[np.arange(1500), taken - 1]
        wrong.append(np.mean([name_band(a / n) != name_band(b) for a, n, b in zip(k, taken, p, strict=True)]))
        refined = refine_plan(plan, k, taken)
        if refined is None or len(plans) == 3:
            break
        plans.append(refined)
    assert wrong[0] > 0.3
    assert wrong[-1] == pytest.approx(0.2, abs=0.04)
    assert 1 < len(plans) <= 3
    rule = StoppingRule.from_json(json.loads(json.dumps(StoppingRule(plans).to_json())))
    errors = np.array([rule.rate(int(a), int(n)) for a, n in zip(k, taken, strict=True)]) - p
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(1500)


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
        ({"error_rate": 0.0}, "error_rate: expected a number between 0 and 1, got 0.0"),
        ({"bounds": (0.1, 0.9)}, "bounds: expected three growing rates"),
        ({"bounds": (0.2, 0.1, 0.9)}, "bounds: expected three growing rates"),
    ],
)
def test_bad_plans(options, message):
    with pytest.raises(InputError, match=message):
        Plan(**options)


def test_plans_survive_json():
    rule = StoppingRule([Plan(), Plan(8, 8)])
    assert StoppingRule.from_json(rule.to_json()).plans == rule.plans
