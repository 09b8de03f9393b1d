"""pass@k against counting every subset, crossings of curves, and questions that turned."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom
from test_audit_retention import NAN, check_against, make, mean, random_samples

from rlguard.audit import coverage
from rlguard.audit.coverage import find_crossing, largest_k, newly_solved, pass_at_k
from rlguard.stats import binomial_interval
from rlguard.types import InputError


def counted(rate, n):
    """Outcomes with this many successes."""
    return [1.0] * rate + [0.0] * (n - rate)


def suite_of(counts, n):
    return [make(counted(count, n), name=f"p{number}") for number, count in enumerate(counts)]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_pass_at_k_is_the_share_of_subsets_with_a_success(n):
    for successes in range(n + 1):
        for k in range(1, n + 1):
            subsets = [any(s) for s in itertools.combinations(counted(successes, n), k)]
            assert pass_at_k(successes, n, k) == pytest.approx(mean(subsets))


def test_pass_at_k_is_unbiased_and_exact_for_many_rollouts():
    rate, n, k = 0.05, 20, 8
    expected = sum(binom.pmf(c, n, rate) * pass_at_k(c, n, k) for c in range(n + 1))
    assert expected == pytest.approx(1 - (1 - rate) ** k, abs=1e-12)
    assert pass_at_k(1, 10_000, 256) == pytest.approx(256 / 10_000, abs=1e-14)
    assert math.isnan(pass_at_k(1, 3, 4))


@pytest.mark.parametrize("seed", range(3))
def test_figures_agree_with_plain_loops(seed):
    samples = random_samples(seed)
    found = coverage.figures(samples, most=4)
    assert [figure.name for figure in found] == ["pass@1", "pass@2", "pass@4"]

    def reference(drawn, k):
        values = []
        for sample in drawn:
            known = [outcome for outcome in sample.outcomes if math.isfinite(outcome)]
            values.append(mean([float(any(s)) for s in itertools.combinations(known, k)]))
        return mean(values)

    for figure, k in zip(found, (1, 2, 4), strict=True):
        check_against(figure, samples, lambda drawn, k=k: reference(drawn, k))


def test_k_goes_as_far_as_every_question_of_both_models():
    before, after = suite_of([1, 2], 8), suite_of([1, 2], 6)
    assert largest_k(before, after) == 6
    assert [figure.name for figure in coverage.figures(before, 6)] == ["pass@1", "pass@2", "pass@4"]
    assert largest_k(before, [*after, make([NAN, NAN]), make()]) == 6  # without any outcome there is no k to wait for
    assert largest_k(before, [make([NAN])], []) == 8
    assert largest_k([make([NAN])], []) == 0
    assert largest_k(suite_of([0], 300)) == 256
    assert largest_k(before, [make([1.0], variant="abstain")]) == 8
    assert coverage.figures(before, 0) == []
    assert coverage.figures([], 8) == []
    assert coverage.figures(suite_of([0], 256), 256)[-1].name == "pass@256"


def test_unscored_questions_stay_in_place():
    figure = coverage.figures([make([NAN] * 4), *suite_of([2], 4)], 2)[1]
    assert (figure.questions, figure.value) == (2, pytest.approx(5 / 6))
    assert math.isnan(coverage.figures([make([NAN])], 1)[0].value)


def test_a_crossing_is_found_where_the_curve_after_falls_below():
    # before: every question rarely; after: half of them always, half never (pass@k = 0.5)
    before, after = suite_of([2] * 40, 16), suite_of([16, 0] * 20, 16)
    found = find_crossing(before, after, 16)
    assert pass_at_k(2, 16, 4) < 0.5 < pass_at_k(2, 16, 8)
    assert found.k == 8
    assert found.probability > 0.99
    assert find_crossing(after, before, 16).k is None  # the other way round it rises above
    assert find_crossing(before, after, 16) == found


def test_no_crossing_where_one_model_is_better_at_every_k():
    weak, strong = suite_of([1] * 10, 8), suite_of([4] * 10, 8)
    for before, after in ((weak, strong), (strong, weak), (weak, weak)):
        assert find_crossing(before, after, 8) == coverage.Crossing(None, 0.0)


def test_the_probability_of_a_crossing_is_that_of_paired_resamples():
    rng = np.random.default_rng(0)
    counts, others = rng.integers(0, 5, 12).tolist(), rng.choice([0, 0, 1, 4], 12).tolist()
    before, after = suite_of(counts, 4), suite_of(others, 4)
    weights = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12), 200)
    crossed = []
    for row in weights:
        gains = [
            sum(w * (pass_at_k(b, 4, k) - pass_at_k(a, 4, k)) for w, a, b in zip(row, counts, others, strict=True))
            for k in (1, 2, 4)
        ]
        crossed.append(any(gains[j] > 1e-9 and gains[i] < -1e-9 for i in range(3) for j in range(i)))
    found = find_crossing(before, after, 4, resamples=200, seed=3)
    assert 0 < found.probability < 1
    assert found.probability == pytest.approx(mean(crossed))


def test_crossing_without_anything_to_compare():
    nothing = find_crossing([], [], 4)
    assert nothing.k is None
    assert math.isnan(nothing.probability)
    unscored = [make([NAN], name="p0")]
    assert find_crossing(unscored, unscored, 1) == coverage.Crossing(None, 0.0)


def test_newly_solved_and_the_other_way_round_lost():
    before, after = suite_of([0, 0, 3, 4, 0], 8), suite_of([8, 1, 0, 2, 0], 8)
    new = newly_solved(before, after)
    assert [change.id for change in new] == ["p0", "p1"]  # the surest first
    bound = binomial_interval(0, 8)[1]
    for change, successes in zip(new, (8, 1), strict=True):
        assert (change.failures, change.successes, change.trials) == (8, successes, 8)
        assert change.bound == bound
        assert change.probability == pytest.approx(binom.sf(successes - 1, 8, bound))
    assert [change.id for change in newly_solved(after, before)] == ["p2"]


def test_one_success_of_many_after_few_failures_may_well_be_luck():
    lucky, genuine = (newly_solved(suite_of([0], 4), suite_of([c], 64))[0].probability for c in (1, 60))
    assert lucky > 0.99
    assert genuine < 1e-6


def test_a_question_that_was_never_scored_did_not_turn():
    assert newly_solved([make([NAN], name="q")], [make([1.0], name="q")]) == []
    assert newly_solved([make(name="q")], [make([1.0], name="q")]) == []
    partly = newly_solved([make([NAN, 0.0], name="q")], [make([1.0, NAN], name="q")])[0]
    assert (partly.failures, partly.successes, partly.trials) == (1, 1, 1)


def test_other_questions_are_refused_by_name():
    one = suite_of([0, 1], 4)
    with pytest.raises(InputError, match="2 and 1"):
        newly_solved(one, one[:1])
    with pytest.raises(InputError, match=r"question 1: .*p1 and other"):
        newly_solved(one, [one[0], make([1.0], name="other")])
    with pytest.raises(InputError, match="question 0"):
        find_crossing(one, one[::-1], 4)
