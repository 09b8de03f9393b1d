"""Does the reasoning lead to the answer: what its steps add, what supports it, and what is left when it is cut?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlguard.audit.compare import Figure, mean_statistic, ratio_statistic
from rlguard.audit.samples import Sample, select
from rlguard.shortcuts.judge import judge_completion
from rlguard.types import prompt_text

if TYPE_CHECKING:
    from rlguard.shortcuts.truncation import TruncationCurve

GROUP = "reasoning"
REPETITION = frozenset({"answer_repetition", "text_loop"})
UNSUPPORTED = frozenset(
    {"skipped_computation", "unsupported_answer", "answer_first", "placeholder", "false_step"}
)


def figures(samples: Sequence[Sample]) -> list[Figure]:
    """Information gain of the reasoning, correct answers that nothing supports, and completions that repeat themselves.

    The information gain of a completion is how much its steps add to the log-probability of the gold answer's tokens,
    and nothing but those (arXiv 2506.02126 takes the mean over steps). The sum over steps is that after the last less
    that after none, whatever lies between, so the mean falls where only the number of steps grows: both are given.
    Questions with many right answers have none.

    Args:
        samples: Of one model; plain answerable questions are used.
    """
    plain = select(samples)
    return [*_gain_figures([sample for sample in plain if not sample.item.open_ended]), *_sign_figures(plain)]


def _gain_figures(plain: Sequence[Sample]) -> list[Figure]:
    scores = [[score for score in sample.scores if score is not None] for sample in plain]
    if not any(score.gold_logprobs for row in scores for score in row):
        return []
    gains = [[_information_gain(score.gold_logprobs) for score in row] for row in scores]
    known = [[(gain, steps) for gain, steps in row if math.isfinite(gain)] for row in gains]
    counts = [len(row) for row in known]
    total = ratio_statistic([sum(gain for gain, _ in row) for row in known], counts)
    mean = ratio_statistic([sum(gain / steps for gain, steps in row) for row in known], counts)
    return [
        Figure(GROUP, "information gain, total", "all", len(plain), total, relative=True),
        Figure(GROUP, "information gain, per step", "all", len(plain), mean, relative=True),
    ]


def _information_gain(gold_logprobs: Sequence[float]) -> tuple[float, int]:
    """Nats that all steps add, and how many steps there are; NaN where there is none."""
    steps = len(gold_logprobs) - 1
    return (gold_logprobs[-1] - gold_logprobs[0] if steps > 0 else math.nan), steps


def _sign_figures(plain: Sequence[Sample]) -> list[Figure]:
    """Shares of completions in which the detectors find signs."""
    if not any(sample.rollouts for sample in plain):
        return []
    kinds = [_find_kinds(sample) for sample in plain]
    correct = [[found for found, outcome in row if outcome == 1] for row in kinds]
    unsupported = [sum(bool(found & UNSUPPORTED) for found in row) for row in correct]
    repeating = [sum(bool(found & REPETITION) for found, _ in row) for row in kinds]
    without = ratio_statistic(unsupported, [len(row) for row in correct])
    repeated = ratio_statistic(repeating, [len(row) for row in kinds])
    return [
        Figure(GROUP, "correct answers without support", "all", len(plain), without, better=-1),
        Figure(GROUP, "completions with repetition", "all", len(plain), repeated, better=-1),
    ]


def _find_kinds(sample: Sample) -> list[tuple[set[str], float]]:
    """The kinds of findings in each rollout, and its outcome."""
    prompt, answer = prompt_text(sample.item.prompt), sample.item.answer
    return [
        ({finding.kind for finding in judge_completion(r.completion, prompt, answer).findings}, r.outcome)
        for r in sample.rollouts
    ]


def truncation_figures(samples: Sequence[Sample], curves: Sequence[TruncationCurve]) -> list[Figure]:
    """Share of correct answers that are still right when the model sees half of its reasoning and must answer.

    Args:
        samples: Of one model; plain answerable questions are used. Those without a curve do not vote.
        curves: Of `shortcuts.truncation.truncation_test`, of any of their rollouts.
    """
    plain = select(samples)
    rewards: dict[str, list[float]] = {}
    for curve in curves:
        reward = dict(zip(curve.fractions, curve.rewards, strict=False)).get(0.5, math.nan)
        if math.isfinite(reward):
            rewards.setdefault(curve.prompt_id, []).append(reward)
    found = [rewards.get(sample.item.id, []) for sample in plain]
    if not any(found):
        return []
    half = mean_statistic([sum(row) / len(row) if row else math.nan for row in found])
    return [Figure(GROUP, "right with half of the reasoning", "all", len(plain), half, better=0)]
