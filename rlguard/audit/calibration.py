"""Does confidence tell right from wrong, and does the model say so when it cannot know?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rlguard.answers import normalise_answer
from rlguard.audit.marking import is_abstention, read_confidence
from rlguard.audit.paired import Figure, Statistic, divide, ratio_statistic
from rlguard.audit.samples import Sample, select, split_trained

GROUP = "calibration"
BINS = 10
_CHUNK = 1 << 22
"""Weights of rollouts that are held at once."""


@dataclass(frozen=True)
class Confidences:
    """B rollouts of P questions, each with a confidence and an outcome."""

    questions: int
    question_B: np.ndarray
    """Number of the question, from 0."""
    confidence_B: np.ndarray
    """In [0, 1]."""
    outcome_B: np.ndarray
    """1 or 0."""

    def sum_questions(self, values_B: np.ndarray) -> np.ndarray:
        """Sum of a value over each question's rollouts, (P,)."""
        return np.bincount(self.question_B, values_B, minlength=self.questions)


def figures(samples: Sequence[Sample], trained: Collection[str] = ()) -> list[Figure]:
    """Calibration of each source of confidence that was measured, and abstention.

    Confidence is the sequence's probability at the mean over its tokens; the share of the question's other rollouts
    with the same final answer (not for questions with many right answers); or what the model states when asked to.
    Every rollout with a confidence and an outcome counts once.

    Args:
        samples: Of one model, in the variants `plain`, `confidence` and `abstain`; answerable questions are used, and
            those that are not for abstention.
        trained: Domains that were trained on: the calibration of agreement is then also given for them (`trained`)
            and for the rest (`other`), where there are both.
    """
    plain, stated = select(samples), select(samples, "confidence")
    closed = [sample for sample in plain if not sample.item.open_ended]
    found: list[Figure] = []
    if any(score is not None for sample in plain for score in sample.scores):
        found += _confidence_figures("sequence log-probability", plain, [_sequence_confidence(s) for s in plain])
    if any(len(sample.rollouts) > 1 for sample in closed):
        found += _confidence_figures("agreement", closed, [_agreement(sample) for sample in closed])
        found += _domain_figures(closed, trained)
    if stated:
        confidences = [_stated_confidence(sample) for sample in stated]
        shares = ratio_statistic(
            [sum(map(math.isfinite, row)) for row in confidences], [len(row) for row in confidences]
        )
        found.append(Figure(GROUP, "states a confidence when asked", "all", len(stated), shares))
        found += _confidence_figures("stated", stated, confidences)
    return [*found, *_abstention_figures(samples)]


def _confidence_figures(source: str, samples: Sequence[Sample], confidences: Sequence[Sequence[float]]) -> list[Figure]:
    known = gather(samples, confidences)
    ones_P = known.sum_questions(np.ones_like(known.confidence_B))
    wrong_B = 1 - known.outcome_B
    brier = ratio_statistic(known.sum_questions((known.confidence_B - known.outcome_B) ** 2), ones_P)
    overconfidence = ratio_statistic(known.sum_questions(known.confidence_B * wrong_B), known.sum_questions(wrong_B))
    count = len(samples)
    return [
        Figure(GROUP, f"calibration error, {source}", "all", count, calibration_error(known), better=-1),
        Figure(GROUP, f"AUROC, {source}", "all", count, auroc(known)),
        Figure(GROUP, f"Brier score, {source}", "all", count, brier, better=-1),
        Figure(GROUP, f"confidence when wrong, {source}", "all", count, overconfidence, better=-1),
    ]


def _domain_figures(closed: Sequence[Sample], trained: Collection[str]) -> Iterator[Figure]:
    for name, part in zip(("trained", "other"), split_trained(closed, trained), strict=False):
        statistic = calibration_error(gather(part, [_agreement(sample) for sample in part]))
        yield Figure(GROUP, "calibration error, agreement", name, len(part), statistic, better=-1)


def _abstention_figures(samples: Sequence[Sample]) -> Iterator[Figure]:
    """How often the model says that it does not know, of completions that may say so."""
    for name, answerable in (("abstains on unanswerable", False), ("abstains on answerable", True)):
        if asked := select(samples, "abstain", answerable):
            abstained = [sum(is_abstention(rollout.completion) for rollout in s.rollouts) for s in asked]
            share = ratio_statistic(abstained, [len(sample.rollouts) for sample in asked])
            yield Figure(GROUP, name, "all", len(asked), share, better=-1 if answerable else 1)


def _sequence_confidence(sample: Sample) -> list[float]:
    scores = sample.scores or [None] * len(sample.rollouts)
    means = [s.logprob / s.tokens if s is not None and s.tokens else math.nan for s in scores]
    return [math.exp(min(mean, 0.0)) for mean in means]  # rounding may lift a sure token above 0; NaN stays


def _agreement(sample: Sample) -> list[float]:
    answers = [None if rollout.answer is None else normalise_answer(rollout.answer) for rollout in sample.rollouts]
    counts, others = Counter(answers), len(answers) - 1
    if others < 1:
        return [math.nan] * len(answers)
    return [0.0 if answer is None else (counts[answer] - 1) / others for answer in answers]


def _stated_confidence(sample: Sample) -> list[float]:
    stated = [read_confidence(rollout.completion) for rollout in sample.rollouts]
    return [math.nan if confidence is None else confidence for confidence in stated]


def gather(samples: Sequence[Sample], confidences: Sequence[Sequence[float]]) -> Confidences:
    """The rollouts that have both a confidence and an outcome.

    Args:
        samples: P of them.
        confidences: One a rollout of each, in [0, 1] or NaN.
    """
    rows = [
        (number, confidence, outcome)
        for number, (sample, row) in enumerate(zip(samples, confidences, strict=True))
        for confidence, outcome in zip(row, sample.outcomes, strict=True)
        if math.isfinite(confidence) and math.isfinite(outcome)
    ]
    question_B, confidence_B, outcome_B = np.array(rows, float).reshape(-1, 3).T
    return Confidences(len(samples), question_B.astype(int), confidence_B, outcome_B)


def calibration_error(known: Confidences, bins: int = BINS) -> Statistic:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, eq. 3): bins of equal width, closed above.

    It is above 0 even for a calibrated model, the more so the fewer rollouts there are; both models alike.

    >>> seen = Confidences(1, np.array([0, 0]), np.array([0.9, 0.9]), np.array([1.0, 0.0]))
    >>> calibration_error(seen)(np.ones((1, 1))).round(3).tolist()
    [0.4]
    """
    bin_B = np.clip(np.ceil(np.round(known.confidence_B * bins, 9)) - 1, 0, bins - 1).astype(int)
    excess_PK = np.zeros((known.questions, bins))
    np.add.at(excess_PK, (known.question_B, bin_B), known.confidence_B - known.outcome_B)
    counts_P = known.sum_questions(np.ones_like(known.confidence_B))

    def statistic(weights_RP: np.ndarray) -> np.ndarray:
        return divide(np.abs(weights_RP @ excess_PK).sum(axis=1), weights_RP @ counts_P)

    return statistic


def auroc(known: Confidences) -> Statistic:
    """Probability that a correct rollout has more confidence than a wrong one, ties half; NaN without both kinds.

    >>> seen = Confidences(1, np.array([0, 0, 0]), np.array([0.9, 0.5, 0.5]), np.array([1.0, 1.0, 0.0]))
    >>> auroc(seen)(np.ones((1, 1))).tolist()
    [0.75]
    """
    from scipy.sparse import csr_array

    levels, level_B = np.unique(known.confidence_B, return_inverse=True)
    shape = len(levels), known.questions
    right_LP = csr_array((known.outcome_B, (level_B, known.question_B)), shape)
    wrong_LP = csr_array((1 - known.outcome_B, (level_B, known.question_B)), shape)

    def statistic(weights_RP: np.ndarray) -> np.ndarray:
        step = max(1, _CHUNK // max(1, len(levels)))
        parts = [part(weights_RP[start : start + step].T) for start in range(0, len(weights_RP), step)]
        return np.concatenate([np.empty(0), *parts])

    def part(weights_PR: np.ndarray) -> np.ndarray:
        right_LR, wrong_LR = right_LP @ weights_PR, wrong_LP @ weights_PR
        below_LR = np.cumsum(wrong_LR, axis=0) - wrong_LR / 2
        return divide((right_LR * below_LR).sum(axis=0), right_LR.sum(axis=0) * wrong_LR.sum(axis=0))

    return statistic
