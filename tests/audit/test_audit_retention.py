"""Accuracy by domain, and its fall over the distance. The makers here also serve the tests of the other measures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rlguard.audit import retention
from rlguard.audit.distance import fit_cliff
from rlguard.audit.paired import Row, compare_figures, macro_statistic
from rlguard.audit.samples import Item, Sample
from rlguard.types import InputError, Rollout

NAN = math.nan
NUMBERS = itertools.count()


def make(outcomes=(), answers=None, texts=None, finish="stop", scores=(), name=None, **item):
    """A sample with a rollout an outcome; its answers and texts, unless given, are those of the outcomes."""
    name = name or f"q{next(NUMBERS)}"
    answers = answers if answers is not None else [str(outcome) for outcome in outcomes]
    texts = texts if texts is not None else [f"The answer is {answer}" for answer in answers]
    rollouts = [
        Rollout(name, index, text, outcome, answer, 1, finish)
        for index, (outcome, answer, text) in enumerate(zip(outcomes, answers, texts, strict=True))
    ]
    defaults = {"prompt": "2+2?", "answer": "4", "domain": "sums"}
    return Sample(Item(name, **{**defaults, **item}), rollouts, scores)


def draw_weights(questions, resamples, rng):
    return rng.multinomial(questions, np.full(questions, 1 / questions), resamples).astype(float)


def repeat(samples, weights):
    """Every sample as often as it was drawn."""
    return [sample for sample, weight in zip(samples, weights, strict=True) for _ in range(int(weight))]


def by_key(figures):
    assert len({figure.key for figure in figures}) == len(figures)
    return {(figure.name, figure.domain): figure for figure in figures}


def mean(values):
    values = [value for value in values if math.isfinite(value)]
    return sum(values) / len(values) if values else NAN


def check_against(figure, samples, reference, resamples=30, seed=0):
    """A figure over resamples is what a plain reference makes of the repeated samples."""
    assert figure.questions == len(samples)
    weights = draw_weights(len(samples), resamples, np.random.default_rng(seed))
    wanted = [reference(repeat(samples, row)) for row in weights]
    np.testing.assert_allclose(figure.statistic(weights), wanted, atol=1e-12)
    np.testing.assert_allclose(figure.value, reference(samples), atol=1e-12)
    return wanted


def random_samples(seed, questions=12, **kinds):
    rng = np.random.default_rng(seed)
    return [
        make(
            rng.choice([0.0, 1.0, NAN], size=rng.integers(0, 6), p=[0.4, 0.4, 0.2]).tolist(),
            domain=str(rng.choice(["a", "b", "c"])),
            finish=str(rng.choice(["stop", "length"])),
            **kinds,
        )
        for _ in range(questions)
    ]


def slow_macro(value):
    def reference(samples):
        domains = {sample.item.domain for sample in samples}
        return mean([mean([value(s) for s in samples if s.item.domain == domain]) for domain in domains])

    return reference


@pytest.mark.parametrize("seed", range(4))
def test_figures_agree_with_plain_loops(seed):
    samples = random_samples(seed)
    found = by_key(retention.figures(samples))
    check_against(found["accuracy", "all"], samples, slow_macro(lambda s: mean(s.outcomes)))
    truncated = slow_macro(lambda s: mean([float(r.finish_reason == "length") for r in s.rollouts]))
    check_against(found["truncated completions", "all"], samples, truncated)
    for domain in ("a", "b", "c"):
        members = [sample for sample in samples if sample.item.domain == domain]
        check_against(found["accuracy", domain], members, lambda part: mean([mean(s.outcomes) for s in part]))


def test_every_domain_weighs_the_same_and_only_plain_answerable_questions_count():
    samples = [make([1, 1], domain="a"), make([1, 0], domain="a"), make([0, 0], domain="b")]
    others = [make([0], variant="abstain"), make([0], answerable=False), make([0], variant="prompt:last")]
    found = by_key(retention.figures(samples + others))
    assert found["accuracy", "all"].value == pytest.approx((0.75 + 0) / 2)
    assert found["accuracy", "a"].questions == 2
    assert ("accuracy", "sums") not in found
    assert found["accuracy", "all"].statistic(np.array([[1.0, 1, 0], [0, 0, 0]])).tolist() == pytest.approx(
        [0.75, NAN], nan_ok=True
    )


def test_accuracy_inside_and_outside_of_the_training_domains():
    samples = [
        make([1, 1], domain="sums"),
        make([1, 0], domain="letters"),
        make([0, 0], domain="letters"),
        make([0, 0], domain="facts"),
    ]
    found = by_key(retention.figures(samples, {"sums"}))
    assert found[retention.INSIDE, "all"].value == 1.0
    outside = found[retention.OUTSIDE, "all"]
    check_against(outside, samples[1:], slow_macro(lambda s: mean(s.outcomes)))
    assert outside.value == 0.125  # of 1/4 on letters and 0 on facts
    for trained in ((), {"elsewhere"}, {"sums", "letters", "facts"}):  # nothing to set against each other
        names = {name for name, _ in by_key(retention.figures(samples, trained))}
        assert not {retention.INSIDE, retention.OUTSIDE} & names


def test_completions_without_an_answer_are_counted_and_less_of_them_is_better():
    samples = [make([0, 0], answers=[None, "4"]), make([0, NAN], answers=[None, None])]
    figure = by_key(retention.figures(samples))["completions without an answer", "all"]
    assert (figure.value, figure.better) == (0.75, -1)


def test_unscored_and_missing_rollouts_keep_their_questions():
    for samples in ([make([NAN, NAN]), make()], [make(), make()]):
        found = retention.figures(samples)
        assert [figure.questions for figure in found] == [2] * 4
        assert math.isnan(found[0].value)
    assert retention.figures([]) == []
    assert macro_statistic([], [])(np.ones((2, 0))).tolist() == pytest.approx([NAN, NAN], nan_ok=True)


def test_a_loss_in_one_domain_is_found_by_the_comparison():
    before = [make([1.0] * 4, domain=domain) for domain in "ab" for _ in range(40)]
    after = [make([0.0 if s.item.domain == "b" else 1.0] * 4, domain=s.item.domain) for s in before]
    rows = {
        row.domain: row for row in compare_figures(retention.figures(before), retention.figures(after), resamples=400)
    }
    assert (rows["b"].verdict, rows["b"].change) == ("lost", -1)
    assert rows["a"].change == 0


def row(domain, change, half=0.1, name="accuracy", group="retention"):
    return Row(group, name, domain, 1, 20, 0.8, 0.8 + change, change, change - half, change + half, 0.05, "too few")


def test_cliff_is_the_line_through_changes_that_lie_on_one():
    distances = {"near": 0.0, "far": 1.0, "middle": 0.5}
    rows = [row("far", -0.5), row("all", 9.0), row("near", 0.1), row("middle", -0.2), row("near", 5.0, name="else")]
    found = fit_cliff(rows, distances)
    assert [(point.domain, point.distance, point.change) for point in found.points] == [
        ("near", 0.0, 0.1),
        ("middle", 0.5, -0.2),
        ("far", 1.0, -0.5),
    ]
    assert found.slope == pytest.approx(-0.6)
    # no residuals: the variance is that of equal known errors, 0.1 / 1.96 over Sxx = 0.5, at t(1) = 12.706
    assert found.high - found.slope == pytest.approx(12.706 * 0.1 / 1.95996 / math.sqrt(0.5), rel=1e-3)
    assert "no trend" in found.sentence


@pytest.mark.parametrize(("sign", "words"), [(-1, "the farther"), (1, "the nearer")])
def test_cliff_says_which_way_it_goes(sign, words):
    distances = {str(i): i / 9 for i in range(10)}
    found = fit_cliff([row(str(i), sign * 0.05 * i, 0.02) for i in range(10)], distances)
    assert min(found.low * sign, found.high * sign) > 0
    assert words in found.sentence
    assert f"{'−' if sign < 0 else '+'}0.45" in found.sentence


def test_cliff_agrees_with_numpy_and_widens_with_the_residuals():
    rng = np.random.default_rng(0)
    x, noise, halves = rng.random(8), rng.normal(0, 0.3, 8), rng.uniform(0.01, 0.2, 8)
    rows = [row(str(i), float(0.3 * x[i] + noise[i]), float(halves[i])) for i in range(8)]
    found = fit_cliff(rows, {str(i): float(x[i]) for i in range(8)})
    line, covariance = np.polyfit(x, 0.3 * x + noise, 1, w=1.95996 / halves, cov=True)  # scales by the residuals
    assert found.slope == pytest.approx(line[0])
    assert found.high - found.slope == pytest.approx(2.4469 * math.sqrt(covariance[0, 0]), rel=1e-4)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("a", -0.1), row("b", -0.2)],
        [row("a", -0.1), row("b", -0.2), row("c", NAN)],
        [row("a", 0.1), row("c", 0.1, 0.0), row("d", 0.0)],
        [row("a", 0.1), row("d", 0.2), row("e", 0.3)],
    ],
    ids=["none", "two", "NaN", "no width", "one distance"],
)
def test_cliff_without_three_domains_at_two_distances_has_no_slope(rows):
    found = fit_cliff(rows, {"a": 0.2, "b": 0.5, "c": 1.0, "d": 0.2, "e": 0.2})
    assert len(found.points) == len(rows)
    assert np.isnan([found.slope, found.low, found.high]).all()
    assert "cannot be told" in found.sentence


@pytest.mark.parametrize("distance", [-0.1, 1.5, NAN])
def test_cliff_refuses_a_distance_outside_its_range(distance):
    with pytest.raises(InputError, match=r"domain 'far'.*\[0, 1\]"):
        fit_cliff([], {"far": distance})


def test_cliff_covers_the_slope_of_domains_that_differ_by_more_than_chance():
    rng, covered = np.random.default_rng(0), 0
    distances = {str(i): i / 5 for i in range(6)}
    for _ in range(400):
        rows = [row(str(i), float(-0.2 * i / 5 + rng.normal(0, 0.1)), 0.05) for i in range(6)]
        found = fit_cliff(rows, distances)
        covered += found.low <= -0.2 <= found.high
    assert covered >= 0.92 * 400
