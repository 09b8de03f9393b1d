"""Diversity: entropies and distinct answers against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_audit_retention import NAN, by_key, check_against, make, mean

from rlguard.audit.reasoning import diversity_figures, entropy
from rlguard.audit.samples import Score

VALUES = {"1": 1, "1.0": 1, "2": 2, "2/4": 0.5, "0.5": 0.5}


def drawn(seed, **kinds):
    rng, samples = np.random.default_rng(seed), []
    for n in rng.integers(0, 7, size=12):
        answers = [None if a == "-" else str(a) for a in rng.choice([*VALUES, "-"], size=n)]
        scores = [Score(-1.0, 3, e) if e < 2 else None for e in rng.choice([0.0, 0.5, 1.5, NAN, 3.0], size=n).tolist()]
        scores = [Score(-1.0, 3, NAN) if rng.random() < 0.1 else score for score in scores]
        samples.append(make(rng.choice([0.0, 1.0, NAN], size=n).tolist(), answers, scores=scores, **kinds))
    return samples


def slow_entropy(sample):
    values = [VALUES[r.answer] for r in sample.rollouts if r.answer is not None]
    if len(values) < 2:
        return NAN
    shares = [values.count(value) / len(values) for value in set(values)]
    return -sum(share * math.log(share) for share in shares) + (len(shares) - 1) / (2 * len(values))


def slow_distinct(sample):
    values = {VALUES[r.answer] for r in sample.rollouts if r.answer is not None}
    return len(values) / len(sample.rollouts) if len(sample.rollouts) > 1 else NAN


def slow_right(sample):
    trials = sum(math.isfinite(r.outcome) for r in sample.rollouts)
    right = {VALUES[r.answer] for r in sample.rollouts if r.answer is not None and r.outcome == 1}
    return len(right) / trials if trials > 1 else NAN


@pytest.mark.parametrize("seed", range(4))
def test_figures_agree_with_plain_loops(seed):
    samples = drawn(seed, open_ended=True)
    found = by_key(diversity_figures(samples))
    check_against(
        found["token entropy", "all"],
        samples,
        lambda part: mean([score.entropy for s in part for score in s.scores if score is not None]),
    )
    check_against(found["answer entropy", "all"], samples, lambda part: mean([slow_entropy(s) for s in part]))
    check_against(found["distinct answers", "all"], samples, lambda part: mean([slow_distinct(s) for s in part]))
    right = found["distinct right answers", "open-ended"]
    check_against(right, samples, lambda part: mean([slow_right(s) for s in part]))


def test_entropy_by_hand():
    assert entropy(["a"] * 5) == 0
    assert entropy(["a", "b"]) == pytest.approx(math.log(2) + 1 / 4)
    assert math.isnan(entropy(["a"]))
    assert math.isnan(entropy([]))


def test_the_correction_removes_most_of_the_bias_of_few_rollouts():
    rng, corrected, plain = np.random.default_rng(0), [], []
    for answers in rng.integers(0, 4, (2000, 16)).astype(str).tolist():
        corrected.append(entropy(answers))
        shares = [answers.count(answer) / 16 for answer in set(answers)]
        plain.append(-sum(share * math.log(share) for share in shares))
    assert abs(mean(corrected) - math.log(4)) < 0.25 * abs(mean(plain) - math.log(4))


def test_open_ended_questions_have_a_figure_of_their_own():
    open_ended = make([1.0, 1.0, 1.0, 0.0, NAN], ["1", "1.0", "2", "3", "4"], open_ended=True)
    found = by_key(diversity_figures([open_ended, make([1.0, 1.0], ["4", "4"])]))
    figure = found["distinct right answers", "open-ended"]
    assert (figure.questions, figure.value) == (1, 2 / 4)
    assert found["distinct answers", "all"].value == pytest.approx((4 / 5 + 1 / 2) / 2)
    assert ("distinct right answers", "open-ended") not in by_key(diversity_figures([make([1.0, 1.0])]))


def test_figures_that_were_not_measured_are_left_out():
    assert diversity_figures([]) == []
    assert diversity_figures([make(), make()]) == []
    assert diversity_figures([make([1.0], open_ended=True)]) == []  # one rollout is not diverse or uniform
    assert [f.name for f in diversity_figures([make([0.0], scores=[Score(-1.0, 1, 0.5)])])] == ["token entropy"]
    others = [make([1.0, 0.0], variant="confidence"), make([1.0, 0.0], answerable=False)]
    assert diversity_figures(others) == []


def test_nothing_known_is_nan_and_keeps_its_questions():
    samples = [make([NAN] * 2, [None] * 2, open_ended=True, scores=[Score(NAN, 0, NAN), None])] * 2
    found = by_key(diversity_figures(samples))
    values = {name: figure.value for (name, _), figure in found.items()}
    assert values.pop("distinct answers") == 0
    assert len(values) == 3
    assert all(math.isnan(value) for value in values.values())
    assert {figure.questions for figure in found.values()} == {2}


def test_nats_are_compared_relatively():
    samples = [make([1.0, 0.0], scores=[Score(-1.0, 2, 0.4)] * 2)]
    assert {figure.name: (figure.relative, figure.better) for figure in diversity_figures(samples)} == {
        "token entropy": (True, 0),
        "answer entropy": (True, 0),
        "distinct answers": (False, 0),
    }
