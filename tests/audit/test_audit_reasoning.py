"""What the reasoning adds: gains by hand and by plain loops, unsupported answers, cut reasoning."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_audit_retention import NAN, by_key, check_against, make, mean

from rlguard.audit import reasoning
from rlguard.audit.reasoning import truncation_figures
from rlguard.audit.samples import Score
from rlguard.shortcuts.truncation import TruncationCurve

PROMPT = "7 + 8 + 5 = ?"
SOLVED = "7 + 8 = 15, then 15 + 5 = 20. The answer is 20."
BARE = "answer 20"
LOOPED = "answer 20;" * 40


def gold(*logprobs):
    return Score(-1.0, 3, 0.1, tuple(logprobs))


def test_gain_by_hand_the_sum_is_what_the_ends_say():
    samples = [make([1.0, 0.0, 1.0], scores=[gold(-5.0, -9.0, -1.0), gold(-2.0, -3.0), None]), make()]
    found = by_key(reasoning.figures(samples))
    total, step = found["information gain, total", "all"], found["information gain, per step", "all"]
    assert (total.value, step.value) == (pytest.approx((4 - 1) / 2), pytest.approx((2 - 1) / 2))
    assert (total.relative, total.better, total.questions) == (True, 1, 2)


def test_more_steps_of_the_same_worth_lower_only_the_mean():
    short, long = (
        by_key(reasoning.figures([make([1.0], scores=[gold(*logprobs)])]))
        for logprobs in ((-4.0, 0.0), (-4.0, -3.0, -2.0, -1.0, 0.0))
    )
    assert short["information gain, total", "all"].value == long["information gain, total", "all"].value == 4
    assert long["information gain, per step", "all"].value == 1


@pytest.mark.parametrize("seed", range(3))
def test_gains_agree_with_plain_loops(seed):
    rng, samples = np.random.default_rng(seed), []
    for n in rng.integers(0, 5, size=10):
        scores = [gold(*rng.normal(-3, 1, size=rng.integers(0, 5)).tolist()) for _ in range(n)]
        samples.append(make([0.0] * n, scores=[score if rng.random() < 0.8 else None for score in scores]))

    def slow(part, per_step):
        curves = [s.gold_logprobs for sample in part for s in sample.scores if s is not None]
        gains = [np.diff(curve) for curve in curves if len(curve) > 1]
        return mean([float(gain.mean() if per_step else gain.sum()) for gain in gains])

    found = by_key(reasoning.figures(samples))
    check_against(found["information gain, total", "all"], samples, lambda part: slow(part, False))
    check_against(found["information gain, per step", "all"], samples, lambda part: slow(part, True))


def test_gains_that_were_not_measured():
    def names(*scores, **item):
        return [f.name for f in reasoning.figures([make([1.0] * len(scores), scores=scores, **item)])]

    signs = ["correct answers without support", "completions with repetition"]
    assert names(None, gold()) == signs
    assert names(gold(-1.0, 0.0), open_ended=True) == signs  # its gold answer is only one of many
    assert len(names(gold(-1.0))) == 4
    hopeless = [make([1.0] * 3, scores=[gold(-math.inf, -1.0), gold(NAN, 0.0), gold(-1.0)])]
    assert math.isnan(by_key(reasoning.figures(hopeless))["information gain, total", "all"].value)
    partly = [make([1.0] * 2, scores=[gold(-math.inf, -1.0), gold(-2.0, -1.0)])]
    assert by_key(reasoning.figures(partly))["information gain, total", "all"].value == 1


def test_correct_answers_without_support_are_counted_among_the_correct():
    asked = {"prompt": PROMPT, "answer": "20"}
    samples = [
        make([1.0, 1.0, 0.0, NAN], texts=[SOLVED, BARE, BARE, BARE], **asked),
        make([1.0, 1.0], texts=[SOLVED, SOLVED], **asked),
        make([0.0], texts=[BARE], **asked),
    ]
    figure = by_key(reasoning.figures(samples))["correct answers without support", "all"]
    assert (figure.value, figure.better, figure.questions) == (1 / 4, -1, 3)
    weights = np.array([[2.0, 1, 0], [0, 0, 3], [1, 0, 2]])
    assert figure.statistic(weights).tolist() == pytest.approx([2 / 6, NAN, 1 / 2], nan_ok=True)


def test_repetition_is_counted_among_all_completions():
    samples = [
        make([1.0, 0.0, NAN], texts=[SOLVED, LOOPED, LOOPED], prompt=PROMPT, answer="20"),
        make([1.0], texts=[""], prompt=[{"role": "user", "content": PROMPT}]),
        make(),
    ]
    figure = by_key(reasoning.figures(samples))["completions with repetition", "all"]
    assert (figure.value, figure.better) == (2 / 4, -1)
    assert figure.statistic(np.array([[1.0, 2, 0], [0, 0, 3]])).tolist() == pytest.approx([2 / 5, NAN], nan_ok=True)


def test_the_same_questions_whatever_the_model_did():
    shapes = [
        [(figure.key, figure.questions) for figure in reasoning.figures([make([outcome], scores=[score]), make()])]
        for outcome in (0.0, 1.0, NAN)
        for score in (gold(-1.0, 0.0), gold(-1.0), gold(NAN, NAN))
    ]
    assert len(shapes[0]) == 4
    assert all(shape == shapes[0] for shape in shapes)
    assert reasoning.figures([make(), make()]) == []
    assert reasoning.figures([make([1.0], variant="prompt:last"), make([1.0], answerable=False)]) == []


def curve(name, successes, trials=(4, 4, 4), fractions=(0.0, 0.5, 1.0), index=0):
    return TruncationCurve(name, index, fractions, (), successes, trials)


def test_what_is_still_right_with_half_of_the_reasoning():
    samples = [make([1.0], name=name) for name in "abcd"]
    curves = [
        curve("a", (0, 1, 4)),
        curve("a", (0, 3, 4), index=1),
        curve("b", (0, 4, 4)),
        curve("c", (0, 0, 4), trials=(4, 0, 4)),  # no judged answer there
        TruncationCurve("d", 0, (0.0, 0.5, 1.0), skipped="SKIPPED: needs a success"),
        curve("elsewhere", (0, 4, 4)),
    ]
    (figure,) = truncation_figures(samples, curves)
    assert (figure.value, figure.better, figure.questions) == (pytest.approx((0.5 + 1) / 2), 0, 4)
    weights = np.array([[2.0, 1, 1, 0], [0, 0, 2, 2]])
    assert figure.statistic(weights).tolist() == pytest.approx([2 / 3, NAN], nan_ok=True)


def test_without_a_curve_at_half_there_is_no_figure():
    samples = [make([1.0], name="a")]
    for curves in ([], [curve("a", (0, 4), (4, 4), (0.0, 1.0))], [curve("b", (0, 4, 4))]):
        assert truncation_figures(samples, curves) == []
