"""How often a guess would pass: the chance rate, from the answers a model gives where they are wrong.

A model that does not solve a prompt still answers something. How often that would match the gold answer shows in the
*other* prompts of the same answer type: c(a) is the share of completions of prompts whose gold answer is not `a` that
answer `a` all the same. Yes/no and small integers get a high rate, free-form answers almost none, and a model that
has collapsed onto one answer gets a rate of 1 for it. Right answers never enter, so a good model is not called lucky.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from rlguard.answers import answer_type, normalise_answer
from rlguard.luck.evidence import Evidence
from rlguard.stats import binomial_interval

FORGET = 0.05
"""Counts below this are dropped: one completion after 28 batches at 0.9, when 10 times as many have come."""
CORRELATION, WEIGHT = 0.2, 16.0
"""Prior of the intraclass correlation of guesses: its value, and its weight in wrong rollouts."""
COMMON = 0.1
"""Share of other prompts' rollouts from which an answer counts as an option, even if no prompt names it."""
BARE_FADES = 0.1, 0.2
"""Pass rates of answers without computation: guesses up to the first, known by heart from the second."""

KEEP, STEP = 0.9, 128
"""Old counts are multiplied by `KEEP` per `STEP` rollouts, by less for a smaller batch."""


class Rivals(NamedTuple):
    """What the other rollouts of a prompt did when one was wrong: shares, summed over wrong rollouts."""

    wrong: float = 0.0
    """Number of wrong rollouts."""
    repeated: float = 0.0
    """Share that gave the same answer."""
    right: float = 0.0
    """Share that gave the gold answer, where the wrong answer is an option: prompts name either, or it is common."""
    elsewhere: float = 0.0
    """Share of other prompts' rollouts that gave the same answer."""
    again: float = 0.0
    """Share that gave the same answer, where it is an option."""


class ChanceRates:
    """Counts of answers per answer type; old counts can fade as the policy moves.

    >>> chance = ChanceRates()
    >>> chance.add("5", ["5", "3", "3", None])
    >>> chance.add("3", ["5", "3"])
    >>> chance.rate("5"), chance.rate("3")
    (0.5, 0.5)
    """

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}  # answer type -> completions
        self._golds: dict[str, dict[str, float]] = {}  # type -> gold -> completions of prompts with that gold
        self._misses: dict[str, dict[str, float]] = {}  # type -> answer -> completions that gave it wrongly
        self._rivals: dict[str, Rivals] = {}  # type -> what other rollouts do where one is wrong
        self._bare: dict[str, tuple[float, float]] = {}  # type -> bare answers where others fail: right ones, all
        self._unit = 1.0  # what a count of 1 in the tables stands for: fading all of them is one multiplication

    def add(self, gold: Any, answers: Sequence[str | None] | Mapping[str | None, int]) -> None:
        """Counts the final answers of one prompt's completions: a list, or each with how often it was given.

        None is a completion without an answer.
        """
        target, kind = normalise_answer(gold), answer_type(gold)
        misses = self._misses.setdefault(kind, {})
        new, completions = 1 / self._unit, 0
        for answer, count in answers.items() if isinstance(answers, Mapping) else zip(answers, repeat(1), strict=False):
            completions += count
            if answer is None or answer == target:
                continue
            given = answer if answer in misses else normalise_answer(answer)  # what is there is spelled as we spell
            if given != target:
                misses[given] = misses.get(given, 0.0) + count * new
        golds = self._golds.setdefault(kind, {})
        golds[target] = golds.get(target, 0.0) + completions * new
        self._totals[kind] = self._totals.get(kind, 0.0) + completions * new

    def counts(self, gold: Any) -> tuple[float, float]:
        """`(matches, completions)` of other prompts for this gold answer."""
        target, kind = normalise_answer(gold), answer_type(gold)
        others = self._totals.get(kind, 0.0) - self._golds.get(kind, {}).get(target, 0.0)
        return self._misses.get(kind, {}).get(target, 0.0) * self._unit, max(others, 0.0) * self._unit

    def compare(self, gold: Any, answers: Sequence[str | None], offered: Collection[str | None] = ()) -> None:
        """Counts what other rollouts of a prompt do where one gives a wrong answer, after `add` of its batch.

        `offered` are those of the answers that the prompt names, or whose rival, the gold answer, it names.
        """
        target, kind, others = normalise_answer(gold), answer_type(gold), len(answers) - 1
        given: dict[str, int] = {}
        for answer in answers:
            if answer is not None:
                spelled = normalise_answer(answer)
                given[spelled] = given.get(spelled, 0) + 1
        right = given.pop(target, 0)
        if not given or not others:
            return
        total, golds, misses, unit = self._totals[kind], self._golds[kind], self._misses[kind], self._unit
        options = {normalise_answer(answer) for answer in offered if answer is not None}
        repeated = elsewhere = rivals = again = 0.0
        for answer, count in given.items():
            repeated += count * (count - 1)
            share = 0.0
            rest = (total - golds.get(answer, 0.0)) * unit - len(answers)
            if rest > 0:
                share = max(misses.get(answer, 0.0) * unit - count, 0.0) / rest
                elsewhere += count * share
            if share >= COMMON or answer in options:
                rivals += count
                again += count * (count - 1)
        wrong = sum(given.values())
        new = (wrong, repeated / others, rivals * right / others, elsewhere, again / others)
        seen = self._rivals.get(kind, Rivals())
        self._rivals[kind] = Rivals(*(old + more / unit for old, more in zip(seen, new, strict=True)))

    def correlation(self, gold: Any) -> float:
        """How far rollouts of one prompt guess alike, for answers of this type: an intraclass correlation in [0, 1].

        0 when they are as different as those of different prompts, 1 when a prompt always gets the same wrong answer.
        A few rollouts' worth of `CORRELATION` speaks as well.

        >>> chance, prompts = ChanceRates(), [(str(gold), [str(gold + 50)] * 8) for gold in range(40)]
        >>> for gold, answers in prompts:
        ...     chance.add(gold, answers)
        >>> for gold, answers in prompts:
        ...     chance.compare(gold, answers)
        >>> round(chance.correlation("7"), 2)
        0.96
        """
        seen = self._rivals_of(gold)
        usual = max(seen.elsewhere, self.rival_rate(gold) * seen.wrong)
        return min(max((seen.repeated - usual + CORRELATION * WEIGHT) / (seen.wrong - usual + WEIGHT), 0.0), 1.0)

    def rival_rate(self, gold: Any) -> float:
        """How often a guess passes if the gold answer is one of a few that its rollouts choose from.

        Given a wrong answer, another rollout repeats it with some frequency. Where guesses are drawn from a few
        options, the gold answer is given about as often as a wrong one is repeated: that is the chance rate, and other
        prompts' answers may not show it. Where the gold answer is given less than half as often, wrong answers repeat
        because they are the same error; where three times as often, prompts are solved; and where the frequency is
        under 0.15, there are many answers. There this is 0, and it fades in between. While a problem is being learnt,
        its usual mistake is as frequent as its right answer too: so a wrong answer counts only if the prompt names it
        or the gold answer, or other prompts' rollouts give it as well (`COMMON`).
        """
        seen = self._rivals_of(gold)
        if seen.again <= 0:
            return 0.0
        rate, ratio = seen.again / (seen.wrong + WEIGHT), seen.right / seen.again
        equal, few = np.interp(ratio, [0.5, 0.75, 1, 3], [0, 1, 1, 0]), np.interp(rate, [0.15, 0.25], [0, 1])
        return float(rate * equal * few)

    def _rivals_of(self, gold: Any) -> Rivals:
        return Rivals(*(count * self._unit for count in self._rivals.get(answer_type(gold), Rivals())))

    def add_bare(self, gold: Any, passes: float, answers: float) -> None:
        """Counts answers without computation to one prompt: how many were right, and how many there were."""
        if answers > 0:
            kind = answer_type(gold)
            old = self._bare.get(kind, (0.0, 0.0))
            self._bare[kind] = old[0] + passes / self._unit, old[1] + answers / self._unit

    def bare_rate(self, gold: Any) -> float:
        """How often an answer without computation passes where the model mostly fails: answer-only rollouts of the run.

        The upper end of what the counts allow, by one standard error: to take luck for skill costs more than to wait.
        Fading from 0.1 to 0 at 0.2: what passes more often without a computation may be known by heart.
        """
        right, given = (count * self._unit for count in self._bare.get(answer_type(gold), (0.0, 0.0)))
        rate = (right + math.sqrt(right)) / (given + WEIGHT)
        return float(rate * np.interp(rate, BARE_FADES, [1, 0]))

    def rate(self, gold: Any) -> float:
        """The chance rate of a gold answer in [0, 1]; NaN when no other prompt has an answer of its type."""
        matches, others = self.counts(gold)
        return matches / others if others > 0 else math.nan

    def smooth_rates(
        self, golds: Sequence[Any], expected: Sequence[float], own: Sequence[int], weight: float = 8.0
    ) -> list[float]:
        """Chance rates in which an expectation speaks as well as the counts, so that few counts cannot say 0 or 1.

        Never less than the share of other prompts that have the same gold answer: a policy that has learnt which
        answers are common guesses so well, whatever it answers where it is wrong. Nor less than `rival_rate`.

        Args:
            golds: Gold answers; None is a prompt without one, whose rate is what was expected.
            expected: Chance rates known beforehand; NaN takes how often answers of this type match other golds.
            own: How many of the completions counted last are the prompt's own.
            weight: How many completions the expectation weighs.

        Returns:
            One rate per gold; NaN where nothing is known.
        """
        means: dict[str, float] = {}
        rivals: dict[str, float] = {}
        rates = []
        for gold, known, count in zip(golds, expected, own, strict=True):
            if gold is None:
                rates.append(known)
                continue
            kind = answer_type(gold)
            if math.isnan(known):
                known = means[kind] if kind in means else means.setdefault(kind, self._mean_rate(kind))
            matches, others = self.counts(gold)
            all_others = self._totals.get(kind, 0.0) * self._unit - count
            alike = max(all_others - others, 0.0)
            rate, common = (
                (matches + weight * known) / (others + weight),
                (alike + weight * known) / (all_others + weight),
            )
            rival = rivals[kind] if kind in rivals else rivals.setdefault(kind, self.rival_rate(gold))
            rates.append(max(rate, common, rival))
        return rates

    def _mean_rate(self, kind: str) -> float:
        """How often an answer of this type matches the gold of another prompt, over all of them; NaN without two."""
        golds, misses = self._golds.get(kind, {}), self._misses.get(kind, {})
        others = sum(self._totals[kind] - own for own in golds.values())
        return sum(misses.get(answer, 0.0) for answer in golds) / others if others > 0 else math.nan

    def interval(self, gold: Any, confidence: float = 0.95) -> tuple[float, float]:
        """An exact binomial interval for the chance rate, as if the completions were independent; (0, 1) without any.

        Completions of one prompt resemble each other, so with few prompts it is too narrow.
        """
        matches, others = self.counts(gold)
        return binomial_interval(round(min(matches, others)), round(others), confidence)

    def fade(self, keep: float) -> None:
        """Scales every count by `keep` in (0, 1]. Answers whose count has become negligible are forgotten in time."""
        self._unit *= keep
        if self._unit >= FORGET:
            return
        self._totals = {kind: total * self._unit for kind, total in self._totals.items()}
        self._rivals = {kind: Rivals(*(c * self._unit for c in counts)) for kind, counts in self._rivals.items()}
        self._bare = {kind: (right * self._unit, given * self._unit) for kind, (right, given) in self._bare.items()}
        for table in (self._golds, self._misses):
            for kind, counts in table.items():
                scaled = ((answer, count * self._unit) for answer, count in counts.items())
                table[kind] = {answer: count for answer, count in scaled if count >= FORGET}
        self._unit = 1.0

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state."""
        return {
            "totals": self._totals,
            "golds": self._golds,
            "misses": self._misses,
            "rivals": {kind: list(counts) for kind, counts in self._rivals.items()},
            "bare": {kind: list(counts) for kind, counts in self._bare.items()},
            "unit": self._unit,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._totals = dict(state["totals"])
        self._golds = {kind: dict(counts) for kind, counts in state["golds"].items()}
        self._misses = {kind: dict(counts) for kind, counts in state["misses"].items()}
        self._rivals = {kind: Rivals(*map(float, counts)) for kind, counts in state.get("rivals", {}).items()}
        self._bare = {kind: (float(right), float(given)) for kind, (right, given) in state.get("bare", {}).items()}
        self._unit = float(state["unit"])


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
