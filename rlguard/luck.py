"""What luck passes in each group of a batch: chance rates from all rollouts of the run, learnt as they come."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from rlguard.answers import answer_type
from rlguard.chance import ChanceRates
from rlguard.evidence import Evidence

KEEP, STEP = 0.9, 128
"""What counts of the past keep at each batch; a batch of fewer rollouts than `STEP` takes its share."""


def fading(rollouts: int) -> float:
    """What counts of the past keep at a batch of so many rollouts, in (0, 1]."""
    return KEEP ** min(1.0, rollouts / STEP)


def estimate_luck(
    chance: ChanceRates,
    heads_P: Sequence[Evidence],
    evidence_B: Sequence[Evidence],
    outcomes_B: np.ndarray,
    groups_B: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Chance rate of each group and correlation of luck within it; then the batch is learnt.

    Args:
        chance: What is known so far; learns the batch.
        heads_P: One rollout of each group, for the prompt's gold answer and offline chance rate.
        evidence_B: All rollouts.
        outcomes_B: (B,) 1 correct, 0 wrong, NaN unknown.
        groups_B: (B,) number of each rollout's group, from 0.

    Returns:
        (P,) chance rates, from other prompts' answers on top of the offline ones and no smaller than how often answers
        without computation passed before this batch, NaN where nothing is known; and (P,) correlations in [0, 1].
    """
    golds = [head.gold for head in heads_P]
    answers_P: list[list[str | None]] = [[] for _ in heads_P]
    offered_P: list[set[str | None]] = [set() for _ in heads_P]
    for group, evidence in zip(groups_B.tolist(), evidence_B, strict=True):
        answers_P[group].append(evidence.answer)
        if evidence.offered:
            offered_P[group].add(evidence.answer)
    known = [given for given in zip(golds, answers_P, offered_P, strict=True) if given[0] is not None]
    for gold, answers, _ in known:
        chance.add(gold, answers)
    for gold, answers, offered in known:
        chance.compare(gold, answers, offered)
    rates_P = chance.smooth_rates(golds, [head.chance_rate for head in heads_P], list(map(len, answers_P)))
    kinds = list(map(answer_type, golds))
    examples = dict(zip(kinds, golds, strict=True))  # a gold answer of each type
    bare = {kind: chance.bare_rate(gold) for kind, gold in examples.items()}
    bare_P = np.array([0.0 if gold is None else bare[kind] for kind, gold in zip(kinds, golds, strict=True)])
    passes_P, given_P = _count_bare(evidence_B, outcomes_B, groups_B, len(golds))
    for asked, passes, given in zip(golds, passes_P, given_P, strict=True):
        if asked is not None:
            chance.add_bare(asked, passes, given)
    alike = {kind: chance.correlation(gold) for kind, gold in examples.items()}
    chance_P = np.where(bare_P > 0, np.fmax(rates_P, bare_P), rates_P)
    return chance_P, np.array([alike[kind] for kind in kinds])


def _count_bare(
    evidence_B: Sequence[Evidence], outcomes_B: np.ndarray, groups_B: np.ndarray, count: int
) -> tuple[list[float], list[float]]:
    """Answers without computation in each group: how many passed, and how many there were.

    One counts the less the more of the other rollouts of its prompt pass: (1 − their share)², so that problems that the
    model can do in its head are left out.
    """
    scored = ~np.isnan(outcomes_B)
    right = np.where(scored, outcomes_B > 0, 0.0)
    others = np.bincount(groups_B, scored, count)[groups_B] - 1
    passing = (np.bincount(groups_B, right, count)[groups_B] - right) / np.maximum(others, 1)
    bare = np.fromiter(map(attrgetter("bare"), evidence_B), bool, len(evidence_B)) & scored & (others > 0)
    worth = bare * (1 - passing) ** 2
    return np.bincount(groups_B, worth * right, count).tolist(), np.bincount(groups_B, worth, count).tolist()
