import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlguard.audit.paired import Figure, compare_figures, mean_statistic, ratio_statistic


def figure(values, name="accuracy", **changes):
    return Figure("retention", name, "all", len(values), mean_statistic(values), **changes)


def verdict(before, after, **options):
    changes = {name: options.pop(name) for name in ("better", "relative") if name in options}
    return compare_figures([figure(before, **changes)], [figure(after, **changes)], **options)[0].verdict


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=20))
def test_weights_stand_for_repeated_questions(drawn):
    values, weights = np.array(drawn).T
    repeated = np.repeat(values, weights.astype(int))
    found = mean_statistic(values)(weights[None])[0]
    assert math.isnan(found) if not len(repeated) else found == pytest.approx(repeated.mean())


def test_what_is_unknown_does_not_vote():
    assert mean_statistic([1.0, math.nan])(np.ones((1, 2))) == [1.0]
    assert ratio_statistic([3.0, 1.0, math.inf], [4.0, 0.0, 1.0])(np.ones((1, 3))) == [1.0]
    assert np.isnan(mean_statistic([math.nan])(np.ones((1, 1))))


def test_each_verdict():
    rng = np.random.default_rng(0)
    before = rng.uniform(size=200)
    assert verdict(before, before + rng.normal(-0.2, 0.1, 200)) == "lost"
    assert verdict(before, before + rng.normal(0.2, 0.1, 200)) == "gained"
    assert verdict(before, before + rng.normal(0.0, 0.1, 200)) == "kept"
    assert verdict(before, before + rng.normal(-0.02, 0.03, 200)) == "kept"  # a sure loss, but within the tolerance
    assert verdict(before, before + rng.normal(-0.04, 0.03, 200), tolerance=0.01) == "lost"
    assert verdict(before[:12], before[:12] + rng.normal(0.0, 0.3, 12)) == "too few"


def test_less_can_be_better():
    before, after = np.full(100, 0.2), np.full(100, 0.5)
    assert (verdict(before, after), verdict(before, after, better=-1)) == ("gained", "lost")
    assert verdict(after, before, better=-1) == "gained"


def test_what_is_neither_better_nor_worse_only_changes():
    before, after = np.full(100, 0.2), np.full(100, 0.5)
    assert verdict(before, after, better=0) == verdict(after, before, better=0) == "changed"
    assert verdict(before, before + 0.01, better=0) == "kept"
    assert verdict(before[:9], before[:9], better=0) == "too few"


def test_questions_that_all_agree_prove_little_when_they_are_few():
    assert verdict(np.ones(10), np.ones(10)) == "too few"
    assert verdict(np.ones(100), np.ones(100)) == "kept"


def test_a_figure_without_a_range_is_measured_by_its_own_size():
    before = np.random.default_rng(1).normal(100, 5, 100)
    assert verdict(before, before - 2, relative=True) == "kept"
    assert verdict(before, before - 20, relative=True) == "lost"


def test_pairs_see_what_means_do_not():
    rng = np.random.default_rng(2)
    before = rng.uniform(size=60)
    row = compare_figures([figure(before)], [figure(before - 0.1)], tolerance=0.05)[0]
    assert row.verdict == "lost"
    assert row.high - row.low < 2 * math.log(40) / 60 + 1e-9  # no wider than what 60 questions can have missed


def test_an_undefined_figure_is_no_verdict():
    row = compare_figures([figure([math.nan] * 5)], [figure([1.0] * 5)])[0]
    assert row.verdict == "too few"
    assert math.isnan(row.low)


def test_figures_pair_by_key_and_the_same_questions():
    rows = compare_figures([figure([1.0] * 9, "a"), figure([1.0] * 9, "b")], [figure([1.0] * 9, "b")])
    assert [row.name for row in rows] == ["b"]
    with pytest.raises(ValueError, match="same questions for both models, got 9 before and 8 after"):
        compare_figures([figure([1.0] * 9)], [figure([1.0] * 8)])
    with pytest.raises(ValueError, match="confidence"):
        compare_figures([], [], confidence=95)


def test_equal_models_are_seldom_told_apart():
    """Both sample from the same pass rates: over 20 figures, lost or gained at most about once in 20 audits."""
    rng, alarms, covered, rows_seen = np.random.default_rng(3), 0, 0, 0
    for _ in range(60):
        rates = rng.beta(0.5, 0.5, (20, 24))  # few questions, many at 0 and 1: the hard case
        one, other = (rng.binomial(8, rates) / 8 for _ in range(2))
        rows = compare_figures(
            [figure(v, str(i)) for i, v in enumerate(one)],
            [figure(v, str(i)) for i, v in enumerate(other)],
            tolerance=0.0,
            resamples=4000,
        )
        alarms += any(row.verdict in ("lost", "gained") for row in rows)
        covered += sum(row.low <= 0 <= row.high for row in rows)
        rows_seen += len(rows)
    assert alarms <= 6  # 60 audits at 5%: 3 expected, 6 is the 97th percentile
    assert covered / rows_seen > 0.94


def test_a_real_loss_is_found():
    rng, found = np.random.default_rng(4), 0
    for _ in range(40):
        rates = rng.beta(1, 1, 64)
        one, other = rng.binomial(8, rates) / 8, rng.binomial(8, 0.6 * rates) / 8
        found += verdict(one, other, resamples=4000) == "lost"
    assert found >= 38
