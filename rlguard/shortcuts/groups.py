"""Signs that only a batch shows: one answer or one text for every prompt, groups that guess.

Each compares final answers with the batch's own gold answers: genuine answers are spread as the golds are, so what is
given far more often than it is right is given for another reason. A prompt counts once, however many completions it
has: completions of one prompt resemble each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rlguard.answers import answer_type
from rlguard.shortcuts.batch import Kind, Row, count_kinds, read_batch
from rlguard.shortcuts.ratios import LIMIT, quote
from rlguard.types import Finding, Messages

FALSE_ALARM = 1e-3
LEAST_RATIO = 2 / 3
_PROMPTS, _SHORTEST = 3, 80
"""Prompts with one text, and its characters, from which it is no coincidence; a short one is judged by its answer."""
_SAME_TEXT = 0.05
"""Likelihood ratio set by hand: who writes one text for different tasks solves at most one of them."""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What a batch shows beyond its single completions."""

    findings_B: list[list[Finding]]
    """One list per completion, in the order given; spans are those of the final answers."""
    skipped: dict[str, str]
    """Detectors that could not run, with "SKIPPED: " and what they lacked."""


def detect_group_shortcuts(
    completions: Sequence[str | Messages],
    prompt_ids: Sequence[Hashable],
    answers: Sequence[Any] | None = None,
    outcomes: Sequence[float] | None = None,
    false_alarm: float = FALSE_ALARM,
    least_ratio: float | None = LEAST_RATIO,
) -> GroupResult:
    """Finds `same_answer`, `same_text` and `lucky_guess` in a batch.

    Args:
        completions: B completions, text or chat messages, of as many prompts as there are distinct ids.
        prompt_ids: B names of their prompts; groups may be ragged and in any order.
        answers: B gold answers; a None among them is not known.
        outcomes: B outcomes, 1, 0 or NaN; without them a final answer is right that equals the gold answer.
        false_alarm: Bound on the probability that a batch without shortcuts has a `same_answer`.
        least_ratio: A finding needs a likelihood ratio of at most this; None turns the threshold off.

    Returns:
        Findings per completion, and what was skipped. Ratios lie in [1/50, 50]. They hold for a success; on a wrong
        completion they only show the pattern.

    Raises:
        InputError: Lengths differ, an outcome is no outcome, or a prompt has two gold answers; names the row.

    >>> said = ["so the answer is 0"] * 10
    >>> result = detect_group_shortcuts(said, list(range(10)), answers=list(range(10)))
    >>> result.findings_B[3][0].kind, round(result.findings_B[3][0].likelihood_ratio, 2), sorted(result.skipped)
    ('same_answer', 0.14, ['lucky_guess'])
    """
    rows = read_batch(completions, prompt_ids, answers, outcomes)
    groups: dict[Hashable, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row.prompt_id, []).append(number)
    kinds = count_kinds(rows, groups)
    found: list[list[Finding]] = [[] for _ in rows]
    for number, finding in _same_text(rows):
        found[number].append(finding)
    skipped: dict[str, str] = {}
    if not kinds:
        skipped = dict.fromkeys(("same_answer", "lucky_guess"), "SKIPPED: needs gold answers")
        return GroupResult(found, skipped)
    detectors: dict[str, Iterator[tuple[int, Finding]] | str] = {
        "same_answer": _same_answer(rows, kinds, false_alarm) if len(groups) > 1 else "needs more than one prompt",
        "lucky_guess": _lucky_guess(rows, groups, kinds) if len(groups) > 1 else "needs more than one prompt",
    }
    if not isinstance(detectors["lucky_guess"], str) and not any(len(_scored(rows, g)) > 1 for g in groups.values()):
        detectors["lucky_guess"] = "needs two or more scored completions of a prompt"
    for name, detector in detectors.items():
        if isinstance(detector, str):
            skipped[name] = f"SKIPPED: {detector}"
            continue
        for number, finding in detector:
            if least_ratio is None or finding.likelihood_ratio <= least_ratio:
                found[number].append(finding)
    return GroupResult(found, skipped)


def _compare(gold_hits: int, prompts: int, given: float, others: int) -> tuple[float, float]:
    """How a property of final answers speaks for luck, and whether it is more frequent than the golds allow.

    Args:
        gold_hits: Prompts whose gold answer has the property.
        prompts: All prompts.
        given: Sum of the shares, over prompts whose gold lacks it, of completions whose answer has it.
        others: The number of those prompts.

    Returns:
        `(ratio, bound)`. The ratio is P(property | genuine) / P(property | lucky): genuine answers have it as often as
        golds do, lucky ones as often as it is given where it is wrong (both by Jeffreys' estimate). The bound is on
        the probability of so much of it if answers were drawn like golds (Hoeffding 1963, theorem 1: shares in [0, 1],
        independent between prompts, whatever their spread within).
    """
    ratio = (gold_hits + 0.5) / (prompts + 1) * (others + 1) / (given + 0.5)
    mean, expected = min(1.0, given / others) if others else 0.0, (gold_hits + 1) / (prompts + 1)
    if mean <= expected:
        return ratio, 1.0
    distance = mean * math.log(mean / expected)
    distance += (1 - mean) * math.log((1 - mean) / (1 - expected)) if mean < 1 else 0.0
    return ratio, math.exp(-others * distance)


def _finding(kind: str, reason: str, row: Row, ratio: float) -> Finding:
    start, end = row.answer[1:] if row.answer else (0, len(row.text))
    ratio = min(max(ratio, 1 / LIMIT), LIMIT)
    return Finding(kind, reason, start, end, ratio, "error" if ratio <= 0.2 else "warn")


def _same_answer(rows: list[Row], kinds: dict[str, Kind], false_alarm: float) -> Iterator[tuple[int, Finding]]:
    """One final answer for many prompts, where the gold answers are others."""
    flagged: dict[tuple[str, str], tuple[float, str]] = {}
    tested = sum(len(kind.wrong) for kind in kinds.values())
    for name, kind in kinds.items():
        for answer, given in kind.wrong.items():
            right, others = kind.golds[answer], kind.prompts - kind.golds[answer]
            ratio, bound = _compare(right, kind.prompts, given, others)
            if bound * tested <= false_alarm:
                reason = f"answer {quote(answer)} given to {100 * given / others:.0f} % of prompts where it is wrong"
                flagged[name, answer] = ratio, f"{reason}; it is right for {100 * right / kind.prompts:.0f} %"
    for number, row in enumerate(rows):
        key = (answer_type(row.gold), row.given) if flagged and row.gold is not None else None
        if key in flagged:
            ratio, reason = flagged[key]
            yield number, _finding("same_answer", reason, row, ratio)


def _same_text(rows: list[Row]) -> Iterator[tuple[int, Finding]]:
    """One and the same text for `_PROMPTS` prompts or more, whose gold answers differ if they are known."""
    said: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if len(row.text) >= _SHORTEST:
            said.setdefault(row.text.strip(), []).append(number)
    for numbers in said.values():
        golds = {
            row.prompt_id: row.prompt_id if row.gold is None else row.gold for row in map(rows.__getitem__, numbers)
        }
        if len(set(golds.values())) >= _PROMPTS:
            for number in numbers:
                yield number, _finding("same_text", f"the same text for {len(golds)} prompts", rows[number], _SAME_TEXT)


def _scored(rows: list[Row], numbers: list[int]) -> list[Row]:
    return [rows[number] for number in numbers if not math.isnan(rows[number].outcome)]


def _lucky_guess(
    rows: list[Row], groups: dict[Hashable, list[int]], kinds: dict[str, Kind]
) -> Iterator[tuple[int, Finding]]:
    """Groups whose answers are spread as answers to other prompts are, and whose successes chance explains."""
    for numbers in groups.values():
        scored = _scored(rows, numbers)
        gold, right = rows[numbers[0]].gold, int(sum(row.outcome for row in scored))
        if gold is None or len(scored) < 2 or not 0 < right < len(scored):
            continue
        kind = kinds[answer_type(gold)]
        others = kind.prompts - kind.golds[gold]  # none of them is this prompt
        answers = Counter(row.given for row in scored if row.given is not None)
        if others < 1 or len(answers) < 2 or _agrees(answers, gold, len(numbers), kind):
            continue
        matched = min(kind.wrong.get(gold, 0.0), others)
        ratio = luck_ratio(right, len(scored), round(matched, 3), others)
        reason = f"{right} of {len(scored)} right among {len(answers)} different answers; where it is wrong, the model"
        reason += f" answers {quote(gold)!r} in {100 * matched / others:.0f} % all the same"
        for number in numbers:
            if rows[number].outcome == 1.0:
                yield number, _finding("lucky_guess", reason, rows[number], ratio)


def _agrees(answers: Counter[str], gold: str, size: int, kind: Kind, level: float = 0.01) -> bool:
    """Whether a group agrees on a wrong answer more than guesses do: then it follows some method, if a wrong one."""
    from scipy.special import bdtrc

    total = sum(answers.values())
    wrong = [(count, answer) for answer, count in answers.items() if answer != gold]
    for count, answer in wrong:
        elsewhere = max(0.0, kind.wrong.get(answer, 0.0) - count / size)
        others = kind.prompts - kind.golds[answer] - 1
        share = min(1.0, (elsewhere + 0.5) / (others + 1))
        if float(bdtrc(count - 1, total, share)) * len(wrong) < level:
            return True
    return False


@lru_cache(maxsize=100_000)
def luck_ratio(right: int, scored: int, matched: float, others: float) -> float:
    """P(so many right | the model has some skill here) / P(so many right | it guesses).

    Both are marginal likelihoods: a guess passes with the chance rate c, known from the other prompts up to its
    posterior Beta(matched + ½, others − matched + ½); a skill q, with Jeffreys' prior, passes with q + (1 − q)·c.

    Args:
        right: Successes of the group, 0..scored.
        scored: Scored completions of the group.
        matched: Other prompts (shares of them) whose answers would have passed here.
        others: Number of other prompts.

    >>> round(luck_ratio(1, 8, 10, 100), 2), luck_ratio(8, 8, 10, 100)
    (0.33, 50.0)
    """
    import numpy as np
    from scipy.special import betaincinv, xlog1py, xlogy

    from rlguard.stats import SKILL_GRID

    chance = betaincinv(matched + 0.5, others - matched + 0.5, (np.arange(64) + 0.5) / 64)
    skilled = SKILL_GRID[:, None] + (1 - SKILL_GRID[:, None]) * chance

    def marginal(rates: np.ndarray) -> float:
        return float(np.exp(xlogy(right, rates) + xlog1py(scored - right, -rates)).mean())

    return min(max(marginal(skilled) / max(marginal(chance), 1e-300), 1 / LIMIT), LIMIT)
