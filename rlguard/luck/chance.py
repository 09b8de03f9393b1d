"""How often a guess passes: the chance rate, from the answers that failed completions give.

A rollout that does not solve its prompt draws an answer from guesses that the prompts of an answer type share (or is
even over the options that a prompt names). The gold answer is one guess among others, so a rollout that does not solve
passes with the share of guesses that are the gold answer: the *chance rate*. A failure is *wrong by the verifier's
verdict*, however it is spelled.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlguard.answers import answer_type, normalise_answer
from rlguard.luck.settings import LuckSettings

FORGET, ROUNDS = 0.05, 8
"""Answers that count less are forgotten; rounds of EM. Neither shows in a figure."""

BARE_SHARE = 0.1
"""Answers without computation speak in full where they are so large a share of the rollouts."""


class ChanceRates:
    """Counts of failed completions and their answers, by answer type. The order of calls does not matter.

    >>> chance = ChanceRates()
    >>> chance.add("a", {"b": 4, "c": 4})
    >>> chance.add("b", {"a": 4, "c": 4})
    >>> chance.add("c", {"a": 4, "b": 4})
    >>> round(chance.rate("a"), 2)  # a third, drawn a little towards the prior
    0.33
    """

    def __init__(self, settings: LuckSettings | None = None) -> None:
        self.settings = settings or LuckSettings()
        self._failed: dict[str, dict[str, float]] = {}  # type -> gold -> failed completions of prompts with that gold
        self._wrong: dict[str, dict[str, float]] = {}  # type -> answer -> failed completions that gave it
        self._pairs: dict[str, list[float]] = {}  # type -> failed options compared within their prompt, and equal ones
        self._bare: dict[str, list[float]] = {}  # type -> bare answers: right and given (weighed), all; rollouts
        self._unit = 1.0  # what a count of 1 in the tables stands for: fading all of them is one multiplication
        self._rates: dict[str, tuple[dict[str, float], float, float]] = {}  # what `_solve` found since `add`

    def add(self, gold: Any, wrong: Sequence[str | None] | Mapping[str | None, float], offered: bool = False) -> None:
        """Counts the answers of one prompt's failed completions.

        Args:
            gold: Its gold answer.
            wrong: Answers of the failed completions: a list, or each with how often it was given. None is no answer.
            offered: Whether the prompt itself names the answers, as it does with options.
        """
        target, kind, new = normalise_answer(gold), answer_type(gold), 1 / self._unit
        answers, failed = self._wrong.setdefault(kind, {}), self._failed.setdefault(kind, {})
        given: dict[str, float] = {}
        failures = 0.0
        for answer, count in wrong.items() if isinstance(wrong, Mapping) else Counter(wrong).items():
            failures += count
            if answer is None:
                continue
            spelled = answer if answer in answers else normalise_answer(answer)  # what is there is spelled as we spell
            if spelled != target:
                given[spelled] = given.get(spelled, 0.0) + count
        failed[target] = failed.get(target, 0.0) + failures * new
        for answer, count in given.items():
            answers[answer] = answers.get(answer, 0.0) + count * new
        size = sum(given.values())
        if offered and size > 1:  # a failure counts once, however many others there are to compare it with
            pairs = self._pairs.setdefault(kind, [0.0] * 2)
            pairs[0] += size * new
            pairs[1] += sum(count * (count - 1) for count in given.values()) / (size - 1) * new
        self._rates.pop(kind, None)

    def add_bare(self, gold: Any, passed: float, given: float, bare: float, rollouts: float) -> None:
        """Counts answers without computation to one prompt: those that passed and all, weighed by how hard the prompt
        is; then all of them and all rollouts."""
        counts = self._bare.setdefault(answer_type(gold), [0.0] * 4)
        for place, count in enumerate((passed, given, bare, rollouts)):
            counts[place] += count / self._unit

    def bare_rate(self, gold: Any) -> float:
        """How often an answer without computation passes where the model mostly fails: a floor under the chance rate.

        The upper end of what the counts allow, by one standard error, since to take luck for skill costs more than to
        wait; less where few rollouts are such answers, for then they are special.
        """
        counts = self._bare.get(answer_type(gold), [0.0] * 4)
        passed, given, bare, rollouts = (count * self._unit for count in counts)
        usual = min(1.0, bare / (BARE_SHARE * rollouts)) if rollouts > 0 else 0.0
        return min(usual * (passed + math.sqrt(passed)) / (given + self.settings.smoothing), 0.99)

    def counts(self, gold: Any) -> tuple[float, float]:
        """`(matches, completions)`: of completions of other prompts that did *not* solve, those that gave this."""
        target, kind = normalise_answer(gold), answer_type(gold)
        unsolved = self._solve(kind)[1]
        own = self._failed.get(kind, {}).get(target, 0.0) / (1 - self._of(kind, target)) * self._unit
        return self._wrong.get(kind, {}).get(target, 0.0) * self._unit, max(unsolved - own, 0.0)

    def rate(self, gold: Any, offered: bool = False) -> float:
        """The chance rate of a gold answer in [0, 1), shrunk to its type's mean; NaN where no completion has failed.

        Where the prompt offers its answers, two failures agree with 1/(m − 1) for m even options; so the rate is 1/m.
        """
        kind = answer_type(gold)
        if not self._failed.get(kind):
            return math.nan
        found = self._of(kind, normalise_answer(gold))
        pairs, equal = (count * self._unit for count in self._pairs.get(kind, [0.0] * 2))
        if offered and pairs > 0:
            share = pairs / (pairs + self.settings.smoothing)
            repeated = equal / pairs
            found = max(found, share * repeated / (1 + repeated))
        return found

    def _of(self, kind: str, target: str) -> float:
        rates, unsolved, mean = self._solve(kind)
        if target in rates:
            return rates[target]
        matches = self._wrong.get(kind, {}).get(target, 0.0) * self._unit
        weight = self.settings.smoothing
        return min((matches + weight * mean) / (unsolved + weight), 0.99)

    def _solve(self, kind: str) -> tuple[dict[str, float], float, float]:
        """Rates by gold answer, unsolved completions and the type's mean rate.

        By EM, since lucky successes are unseen: of prompts with gold b, F failures are seen of the F/(1 − c_b)
        completions that did not solve.
        """
        if kind not in self._rates:
            golds = self._failed.get(kind, {})
            failed = np.fromiter(golds.values(), float, len(golds)) * self._unit
            wrong = self._wrong.get(kind, {})
            matches = np.array([wrong.get(gold, 0.0) for gold in golds]) * self._unit
            others = (failed.sum() - failed).sum()
            prior, weight = self.settings.chance, self.settings.smoothing
            odds = (matches.sum() + weight * prior) / (others + weight)
            mean = odds / (1 + odds)
            rates = np.full(len(golds), mean)
            for _ in range(ROUNDS):
                unsolved = failed / (1 - rates)
                rest = unsolved.sum() - unsolved
                mean = (matches.sum() + weight * prior) / (rest.sum() + weight)
                rates = np.minimum((matches + weight * mean) / (rest + weight), 0.99)
            total = float((failed / (1 - rates)).sum())
            self._rates[kind] = dict(zip(golds, rates.tolist(), strict=True)), total, float(mean)
        return self._rates[kind]

    def fade(self) -> None:
        """Old counts lose weight before a batch. Answers with next to no weight are forgotten."""
        self._unit *= self.settings.keep
        self._rates.clear()
        if self._unit >= FORGET:
            return
        for table in (self._failed, self._wrong):
            for kind, counts in table.items():
                scaled = ((answer, count * self._unit) for answer, count in counts.items())
                table[kind] = {answer: count for answer, count in scaled if count >= FORGET}
        self._pairs, self._bare = (
            {kind: [count * self._unit for count in counts] for kind, counts in table.items()}
            for table in (self._pairs, self._bare)
        )
        self._unit = 1.0

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state."""
        return {
            "failed": self._failed, "wrong": self._wrong, "pairs": self._pairs, "bare": self._bare, "unit": self._unit,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._failed = {kind: dict(counts) for kind, counts in state["failed"].items()}
        self._wrong = {kind: dict(counts) for kind, counts in state["wrong"].items()}
        self._pairs = {kind: np.array(pairs, float).reshape(2).tolist() for kind, pairs in state["pairs"].items()}
        self._bare = {kind: np.array(counts, float).reshape(4).tolist() for kind, counts in state["bare"].items()}
        self._unit = float(state["unit"])
        self._rates = {}
