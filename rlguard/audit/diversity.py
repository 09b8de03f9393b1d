"""How varied are the rollouts to one question: token by token, and in where they end?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rlguard.answers import normalise_answer
from rlguard.audit.compare import Figure, mean_statistic, ratio_statistic
from rlguard.audit.samples import Sample, select
from rlguard.types import Rollout

GROUP = "diversity"


def figures(samples: Sequence[Sample]) -> list[Figure]:
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
        found.append(Figure(GROUP, "token entropy", "all", len(plain), mean, better=0, relative=True))
    if any(len(sample.rollouts) > 1 for sample in plain):
        entropies = mean_statistic([entropy(_answers(sample.rollouts)) for sample in plain])
        shares = mean_statistic([_distinct(sample.rollouts, len(sample.rollouts)) for sample in plain])
        found.append(Figure(GROUP, "answer entropy", "all", len(plain), entropies, better=0, relative=True))
        found.append(Figure(GROUP, "distinct answers", "all", len(plain), shares, better=0))
    open_ended = [sample for sample in plain if sample.item.open_ended]
    if any(len(sample.rollouts) > 1 for sample in open_ended):
        rights = mean_statistic([_distinct_right(sample) for sample in open_ended])
        found.append(Figure(GROUP, "distinct right answers", "open-ended", len(open_ended), rights))
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
