"""Does the reasoning lead to the answer, and how varied are reasoning and answers?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import mean, stdev

from rlguard.answers import normalise_answer
from rlguard.audit.paired import Figure, mean_statistic, ratio_statistic
from rlguard.audit.samples import Sample, select
from rlguard.shortcuts.judge import judge_completion
from rlguard.shortcuts.truncation import TruncationCurve
from rlguard.types import Rollout, prompt_text

GROUP, DIVERSITY = "reasoning", "diversity"
REPETITION = frozenset({"answer_repetition", "text_loop"})
UNSUPPORTED = frozenset({"skipped_computation", "unsupported_answer", "answer_first", "false_step"})


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


def doubt_gain(samples: Sequence[Sample]) -> str | None:
    """Why a model's information gain says nothing of its reasoning; None where it may.

    A right rollout was drawn by way of its steps, so that on average they cannot have made its answer less likely. If
    they seem to, by two standard errors, the answer was scored behind words that are not the model's own.

    Args:
        samples: Of one model, scored.
    """
    closed = [sample for sample in select(samples) if not sample.item.open_ended]
    pairs = [
        (rollout.outcome, score.gold_logprobs)
        for sample in closed
        for rollout, score in zip(sample.rollouts, sample.scores, strict=bool(sample.scores))
        if score is not None
    ]
    if not any(gold for _, gold in pairs):
        return "no completion states its final answer behind words of its own" if pairs else None
    if all(len(gold) < 2 for _, gold in pairs):
        return "no completion has a step before its final answer"
    right = [gain for outcome, gold in pairs if outcome == 1 and math.isfinite(gain := _information_gain(gold)[0])]
    if len(right) > 1 and mean(right) + 2 * stdev(right) / math.sqrt(len(right)) < 0:
        found = f"{mean(right):+.2f} nats in {len(right)} rollouts"
        return f"not even right reasoning makes the gold answer likelier ({found}): it was scored in words not its own"
    return None


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


def diversity_figures(samples: Sequence[Sample]) -> list[Figure]:
    """Entropy of tokens, entropy and number of final answers, and for open-ended questions the number of right ones.

    A model that learns the right answer varies less for that: only the number of right answers is better the more.
    How many answers are distinct depends on how many rollouts there are: the same number for both models.

    Args:
        samples: Of one model; plain answerable questions are used.
    """
    plain, found = select(samples), []
    if any(score is not None for sample in plain for score in sample.scores):
        known = [[s.entropy for s in sample.scores if s is not None and math.isfinite(s.entropy)] for sample in plain]
        mean = ratio_statistic([sum(row) for row in known], [len(row) for row in known])
        found.append(Figure(DIVERSITY, "token entropy", "all", len(plain), mean, better=0, relative=True))
    if any(len(sample.rollouts) > 1 for sample in plain):
        entropies = mean_statistic([entropy(_answers(sample.rollouts)) for sample in plain])
        shares = mean_statistic([_distinct(sample.rollouts, len(sample.rollouts)) for sample in plain])
        found.append(Figure(DIVERSITY, "answer entropy", "all", len(plain), entropies, better=0, relative=True))
        found.append(Figure(DIVERSITY, "distinct answers", "all", len(plain), shares, better=0))
    open_ended = [sample for sample in plain if sample.item.open_ended]
    if any(len(sample.rollouts) > 1 for sample in open_ended):
        rights = mean_statistic([_distinct_right(sample) for sample in open_ended])
        found.append(Figure(DIVERSITY, "distinct right answers", "open-ended", len(open_ended), rights))
    return found


def entropy(answers: Sequence[str]) -> float:
    """Entropy in nats of where answers come from, estimated by that of their shares and Miller's (1955) correction.

    The shares of n answers of which k differ have (k − 1) / 2n too little entropy, to first order.

    Returns:
        NaN for fewer than two answers.

    >>> round(entropy(["1", "1", "2", "2"]), 3) == round(math.log(2) + 1 / 8, 3)
    True
    """
    counts, n = Counter(answers).values(), len(answers)
    if n < 2:
        return math.nan
    return -sum(count / n * math.log(count / n) for count in counts) + (len(counts) - 1) / (2 * n)


def _answers(rollouts: Sequence[Rollout]) -> list[str]:
    return [normalise_answer(rollout.answer) for rollout in rollouts if rollout.answer is not None]


def _distinct(rollouts: Sequence[Rollout], of: int) -> float:
    """Distinct final answers a rollout; NaN for fewer than two rollouts."""
    return len(set(_answers(rollouts))) / of if of > 1 else math.nan


def _distinct_right(sample: Sample) -> float:
    right = [rollout for rollout in sample.rollouts if rollout.outcome == 1]
    return _distinct(right, sum(not math.isnan(rollout.outcome) for rollout in sample.rollouts))
