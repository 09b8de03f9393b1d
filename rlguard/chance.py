"""How often a guess would pass: the chance rate, from the answers a model gives where they are wrong.

A model that does not solve a prompt still answers something. How often that would match the gold answer shows in the
*other* prompts of the same answer type: c(a) is the share of completions of prompts whose gold answer is not `a` that
answer `a` all the same. Yes/no and small integers get a high rate, free-form answers almost none, and a model that
has collapsed onto one answer gets a rate of 1 for it. Right answers never enter, so a good model is not called lucky.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from rlguard.answers import answer_type, normalise_answer
from rlguard.stats import binomial_interval

FORGET = 0.05
"""Counts under this may be forgotten: one completion after 28 fadings by 0.9, when 10 times as many have come."""
CORRELATION, WEIGHT = 0.2, 16.0
"""How far rollouts of a prompt are thought to guess alike before any were seen, and how many wrong ones that weighs."""


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
        self._repeats: dict[str, tuple[float, float]] = {}  # type -> excess of repeated wrong answers, and its limit
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

    def compare(self, gold: Any, answers: Sequence[str | None]) -> None:
        """Counts how the rollouts of one prompt repeat each other's wrong answers, after `add` of its batch.

        Given a wrong answer, how often does another rollout of the prompt give it too, and how often do other prompts'?
        Answers in common with other prompts are chance; those beyond are this prompt's own guess.
        """
        target, kind = normalise_answer(gold), answer_type(gold)
        given = Counter(normalise_answer(answer) for answer in answers if answer is not None)
        excess = limit = 0.0
        for answer, count in given.items():
            others = (self._totals[kind] - self._golds[kind].get(answer, 0.0)) * self._unit - len(answers)
            if answer == target or others <= 0 or len(answers) < 2:
                continue
            elsewhere = max(self._misses[kind].get(answer, 0.0) * self._unit - count, 0.0) / others
            excess += count * ((count - 1) / (len(answers) - 1) - elsewhere)
            limit += count * (1 - elsewhere)
        old_excess, old_limit = self._repeats.get(kind, (0.0, 0.0))
        self._repeats[kind] = (old_excess + excess / self._unit, old_limit + limit / self._unit)

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
        excess, limit = self._repeats.get(answer_type(gold), (0.0, 0.0))
        excess, limit = excess * self._unit + CORRELATION * WEIGHT, limit * self._unit + WEIGHT
        return min(max(excess / limit, 0.0), 1.0)

    def rate(self, gold: Any) -> float:
        """The chance rate of a gold answer in [0, 1]; NaN when no other prompt has an answer of its type."""
        matches, others = self.counts(gold)
        return matches / others if others > 0 else math.nan

    def smooth_rates(
        self, golds: Sequence[Any], expected: Sequence[float], own: Sequence[int], weight: float = 8.0
    ) -> list[float]:
        """Chance rates in which an expectation speaks as well as the counts, so that few counts cannot say 0 or 1.

        Never less than the share of other prompts that have the same gold answer: a policy that has learnt which
        answers are common guesses so well, whatever it answers where it is wrong.

        Args:
            golds: Gold answers; None is a prompt without one, whose rate is what was expected.
            expected: Chance rates known beforehand; NaN takes how often answers of this type match other golds.
            own: How many of the completions counted last are the prompt's own.
            weight: How many completions the expectation weighs.

        Returns:
            One rate per gold; NaN where nothing is known.
        """
        means: dict[str, float] = {}
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
            rates.append(
                max((matches + weight * known) / (others + weight), (alike + weight * known) / (all_others + weight))
            )
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
        self._repeats = {kind: (a * self._unit, b * self._unit) for kind, (a, b) in self._repeats.items()}
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
            "repeats": {kind: list(counts) for kind, counts in self._repeats.items()},
            "unit": self._unit,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._totals = dict(state["totals"])
        self._golds = {kind: dict(counts) for kind, counts in state["golds"].items()}
        self._misses = {kind: dict(counts) for kind, counts in state["misses"].items()}
        self._repeats = {kind: (float(a), float(b)) for kind, (a, b) in state.get("repeats", {}).items()}
        self._unit = float(state["unit"])
