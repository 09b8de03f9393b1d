"""Calibration: vectorised figures against plain loops over repeated questions, and cases done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_audit_retention import NAN, by_key, check_against, draw_weights, make, mean

from rlguard.audit import calibration
from rlguard.audit.calibration import Confidences, auroc, calibration_error, gather
from rlguard.audit.samples import Score

GIVES_UP = "It cannot be determined."


def judged(confidences, outcomes, questions=None):
    """Confidences of rollouts, one a question unless said otherwise."""
    owners = np.arange(len(outcomes)) if questions is None else np.asarray(questions)
    count = int(owners.max(initial=-1)) + 1
    return Confidences(count, owners, np.asarray(confidences, float), np.asarray(outcomes, float))


def over_all(statistic, questions):
    return float(statistic(np.ones((1, questions)))[0])


def slow_error(pairs):
    """Over bins (0, 0.1], (0.1, 0.2], …; 0 is in the first."""
    error = 0.0
    for number in range(10):
        members = [(c, y) for c, y in pairs if max(0, math.ceil(round(c * 10, 9)) - 1) == number]
        error += abs(sum(c - y for c, y in members))
    return error / len(pairs) if pairs else NAN


def slow_auroc(pairs):
    right, wrong = [c for c, y in pairs if y == 1], [c for c, y in pairs if y == 0]
    return mean([float(a > b) + 0.5 * (a == b) for a in right for b in wrong])


def scored(seed, questions=10):
    """Samples with a confidence each rollout, with ties, 0, 1 and what is missing."""
    rng, samples = np.random.default_rng(seed), []
    for _ in range(questions):
        outcomes = rng.choice([0.0, 1.0, NAN], size=rng.integers(0, 5), p=[0.45, 0.45, 0.1]).tolist()
        levels = rng.choice([0.0, 0.1, 0.25, 0.3, 0.7, 1.0, NAN], size=len(outcomes)).tolist()
        levels = [level if rng.random() < 0.6 else round(float(rng.random()), 6) for level in levels]
        texts = ["none" if math.isnan(level) else f"Confidence: {level * 100:.6f}%" for level in levels]
        answers = rng.choice(["1", "2", "3", ""], size=len(outcomes)).tolist()
        samples.append(make(outcomes, [a or None for a in answers], texts, variant="confidence", scores=levels))
    return samples


def pairs_of(samples):
    return [
        (confidence, outcome)
        for sample in samples
        for confidence, outcome in zip(sample.scores, sample.outcomes, strict=True)
        if math.isfinite(confidence) and math.isfinite(outcome)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_stated_confidence_agree_with_plain_loops(seed):
    samples = scored(seed)
    bare = [make(s.outcomes, texts=[r.completion for r in s.rollouts], variant="confidence") for s in samples]
    found = by_key(calibration.figures(bare))
    references = {
        "calibration error": slow_error,
        "AUROC": slow_auroc,
        "Brier score": lambda pairs: mean([(c - y) ** 2 for c, y in pairs]),
        "confidence when wrong": lambda pairs: mean([c for c, y in pairs if y == 0]),
    }
    assert set(found) == {(f"{name}, stated", "all") for name in references} | {
        ("states a confidence when asked", "all")
    }
    for name, reference in references.items():
        wanted = check_against(found[f"{name}, stated", "all"], samples, lambda s, f=reference: f(pairs_of(s)))
        assert np.isfinite(wanted).any()


def test_a_model_that_stops_saying_how_sure_it_is_loses_that():
    texts = ["Confidence: 80%", "I think so.", "Confidence: 150%", "Confidence: 0%"]
    found = by_key(calibration.figures([make([1.0] * 4, texts=texts, variant="confidence")]))
    assert found["states a confidence when asked", "all"].value == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_agreement_is_the_share_of_the_other_rollouts(seed):
    rng = np.random.default_rng(seed)
    samples = [
        make(
            rng.choice([0.0, 1.0, NAN], size=n).tolist(),
            [None if a == "-" else str(a) for a in rng.choice(["1", "1.0", "2", "-"], size=n)],
        )
        for n in rng.integers(0, 6, size=12)
    ]

    def reference(drawn):
        values = {None: None, "1": 1, "1.0": 1, "2": 2}
        pairs = []
        for sample in drawn:
            for one in sample.rollouts:
                others = [values[r.answer] for r in sample.rollouts if r is not one]
                same = [other is not None and other == values[one.answer] for other in others]
                pairs += [(mean(same), one.outcome)] if others and math.isfinite(one.outcome) else []
        return slow_auroc(pairs)

    found = by_key(calibration.figures(samples))
    check_against(found["AUROC, agreement", "all"], samples, reference)


def test_agreement_by_hand_and_not_for_open_ended_questions():
    sample = make([1.0, 1.0, 0.0, 0.0], ["4", "4.0", "5", None])
    found = by_key(calibration.figures([sample, make([1.0, 0.0], open_ended=True)]))
    # confidences 1/3, 1/3, 0, 0
    assert found["AUROC, agreement", "all"].value == 1
    assert found["calibration error, agreement", "all"].value == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)
    assert found["Brier score, agreement", "all"].value == pytest.approx(2 * (2 / 3) ** 2 / 4)
    assert found["confidence when wrong, agreement", "all"].value == 0
    assert {figure.questions for figure in found.values()} == {1}
    assert calibration.figures([make([1.0])]) == []  # nobody to agree with


def test_sequence_confidence_is_the_mean_over_tokens():
    scores = [Score(2 * math.log(0.25), 2, 1.0), Score(0.5, 3, 0.0), None]
    broken = [Score(-math.inf, 4, 0.0), Score(NAN, 4, 0.0), Score(0.0, 0, NAN)]
    samples = [make([1.0, 0.0, 1.0], scores=scores), make([0.0, 0.0, 1.0], scores=broken)]
    found = by_key(calibration.figures(samples))
    # 0.25 right, 1 wrong, 0 wrong; the others have no confidence
    assert found["Brier score, sequence log-probability", "all"].value == pytest.approx((0.75**2 + 1 + 0) / 3)
    assert found["confidence when wrong, sequence log-probability", "all"].value == pytest.approx(0.5)
    assert found["AUROC, sequence log-probability", "all"].value == 0.5


def test_calibration_error_by_hand_with_certain_confidences_and_edges():
    known = judged([0.0, 1.0, 1.0, 0.95, 0.3], [0, 1, 0, 1, 1])
    # bins: {0}, {0.3}, {1, 1, 0.95}: |0| + |0.3 − 1| + |2.95 − 2|
    assert over_all(calibration_error(known), 5) == pytest.approx((0.7 + 0.95) / 5)
    edges = judged([0.1, 0.2, 0.3, 0.6, 0.7, 0.9], [0, 0, 0, 1, 1, 1])  # each edge in a bin of its own, the lower one
    assert over_all(calibration_error(edges), 6) == pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.3 + 0.1) / 6)
    neighbours = judged([0.3, 0.25], [1, 0])
    assert over_all(calibration_error(neighbours), 2) == pytest.approx(abs(0.55 - 1) / 2)


@pytest.mark.parametrize(
    ("confidences", "outcomes", "wanted"),
    [
        ([0.1, 0.9], [0, 1], 1.0),
        ([0.9, 0.1], [0, 1], 0.0),
        ([0.5, 0.5, 0.5], [0, 1, 1], 0.5),
        ([0.0, 1.0, 0.0, 1.0], [0, 0, 1, 1], 0.5),
        ([0.2, 0.3], [1, 1], NAN),
        ([0.2, 0.3], [0, 0], NAN),
        ([], [], NAN),
    ],
)
def test_auroc_by_hand(confidences, outcomes, wanted):
    known = judged(confidences, outcomes)
    assert over_all(auroc(known), known.questions) == pytest.approx(wanted, nan_ok=True)


def test_auroc_is_undefined_where_only_one_class_is_drawn():
    statistic = auroc(judged([0.1, 0.9, 0.5], [0, 1, 1]))
    found = statistic(np.array([[0.0, 1, 1], [2, 0, 1], [0, 0, 0]]))
    assert found.tolist() == pytest.approx([NAN, 1.0, NAN], nan_ok=True)


def test_auroc_is_the_same_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    known = judged(rng.random(40).round(1), rng.integers(0, 2, 40), rng.integers(0, 10, 40))
    weights = draw_weights(10, 50, rng)
    whole = auroc(known)(weights)
    monkeypatch.setattr(calibration, "_CHUNK", 70)
    np.testing.assert_array_equal(auroc(known)(weights), whole)
    assert auroc(known)(weights[:0]).shape == (0,)


def test_trained_and_other_domains_are_told_apart_where_there_are_both():
    samples = [make([1.0, 1.0], domain="a"), make([0.0, 0.0], domain="b"), make([0.0, 0.0], domain="c")]
    found = by_key(calibration.figures(samples, trained=["a", "unknown"]))
    one, other = (found["calibration error, agreement", name] for name in ("trained", "other"))
    assert (one.questions, one.value, other.questions, other.value) == (1, 0.0, 2, 1.0)
    for trained in ((), ("a", "b", "c"), ("unknown",)):
        assert {figure.domain for figure in calibration.figures(samples, trained)} == {"all"}


def test_abstention_is_good_only_where_there_is_no_answer():
    asked = [
        make([0.0, 0.0], texts=[GIVES_UP, "The answer is 4"], variant="abstain", answerable=False),
        make([0.0, 0.0], texts=[GIVES_UP, GIVES_UP], variant="abstain", answerable=False),
        make([1.0, 0.0, NAN], texts=["The answer is 4", "The answer is 4", GIVES_UP], variant="abstain"),
        make(variant="abstain"),
    ]
    found = by_key(calibration.figures(asked))
    known, unknown = found["abstains on answerable", "all"], found["abstains on unanswerable", "all"]
    assert (unknown.value, unknown.better, unknown.questions) == (0.75, 1, 2)
    assert (known.value, known.better, known.questions) == (pytest.approx(1 / 3), -1, 2)
    assert unknown.statistic(np.array([[2.0, 0], [1, 3]])).tolist() == pytest.approx([0.5, 7 / 8])
    assert [f.name for f in calibration.figures(asked[:1])] == ["abstains on unanswerable"]


def test_the_same_questions_whatever_the_model_did():
    def asked(outcome, text):
        scores = [Score(-1.0, 2, 0.1)] * 2
        kinds = [{"variant": "confidence"}, {"variant": "abstain"}, {"scores": scores}]
        return [make([outcome] * 2, [None] * 2, [text] * 2, **kind) for kind in kinds]

    shapes = [
        [(figure.key, figure.questions) for figure in calibration.figures(asked(outcome, text))]
        for outcome in (1.0, 0.0, NAN)
        for text in ("Confidence: 80%", GIVES_UP)
    ]
    assert len(shapes[0]) == 14
    assert all(shape == shapes[0] for shape in shapes)
    unscored = calibration.figures(asked(NAN, "Confidence: 80%"))
    values = {figure.name: figure.value for figure in unscored}
    assert (values.pop("abstains on answerable"), values.pop("states a confidence when asked")) == (0, 1)
    assert all(math.isnan(value) for value in values.values())
    assert calibration.figures([]) == []


def test_gather_keeps_only_rollouts_with_a_confidence_and_an_outcome():
    known = gather([make([1.0, NAN, 0.0]), make(), make([0.0])], [[0.5, 0.5, NAN], [], [0.0]])
    assert known.questions == 3
    assert known.question_B.tolist() == [0, 2]
    assert known.confidence_B.tolist() == [0.5, 0.0]
    assert known.outcome_B.tolist() == [1.0, 0.0]
