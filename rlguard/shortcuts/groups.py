"""Signs that only a batch shows: one answer or one text for every prompt, groups that guess.

Each compares final answers with the batch's own gold answers: genuine answers are spread as the golds are, so what is
given far more often than it is right is given for another reason. A prompt counts once, however many completions it
has: completions of one prompt resemble each other.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rlguard.answers import answer_type, extract_answer, normalise_answer, read_gold
from rlguard.shortcuts.judge import READ_LIMIT, check_length, read_text
from rlguard.shortcuts.ratios import LIMIT, quote
from rlguard.types import Finding, InputError, Messages

FALSE_ALARM = 1e-3
LEAST_RATIO = 2 / 3
_PROMPTS, _SHORTEST = 3, 80
"""Prompts with one text, and its characters, from which it is no coincidence; a short one is judged by its answer."""
_SAME_TEXT = 0.05
"""Likelihood ratio set by hand: who writes one text for different tasks solves at most one of them."""
_GUESSES = 0.01
"""Probability of so much agreement on a wrong answer among guesses, below which a group follows some method."""
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")
_OPTION = re.compile(r"\(?([a-z])(?:[).:]+(?:\s.*)?)?")


@dataclass(slots=True)
class Row:
    """One completion, its prompt's name and what is known of it."""

    number: int
    text: str
    prompt_id: Hashable
    span: tuple[int, int]
    """Of the final answer, else of all."""
    given: str | None
    """Final answer, normalised; spelled as the gold answer where it was judged right."""
    gold: str | None
    outcome: float


@dataclass(slots=True)
class Kind:
    """The prompts whose gold answers are of one type."""

    prompts: int = 0
    golds: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, float] = field(default_factory=dict)
    """Answer -> sum, over prompts whose gold is another, of the share of their completions that give it."""


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
    rows = read_rows(completions, prompt_ids, answers, outcomes)
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.prompt_id, []).append(row)
    kinds = _count_kinds(groups)
    found: list[list[Finding]] = [[] for _ in rows]
    for row, finding in _same_text(rows):
        found[row.number].append(finding)
    lacking = "gold answers" if not kinds else "more than one prompt" if len(groups) < 2 else ""
    pairs = any(len(_scored(group)) > 1 for group in groups.values())
    alone = "" if pairs else "two or more scored completions of a prompt"
    detectors = {
        "same_answer": (lacking, _same_answer(rows, kinds, false_alarm)),
        "lucky_guess": (lacking or alone, _lucky_guess(groups, kinds)),
    }
    skipped = {name: f"SKIPPED: needs {lack}" for name, (lack, _) in detectors.items() if lack}
    for lack, detected in detectors.values():
        for row, finding in detected if not lack else ():
            if least_ratio is None or finding.likelihood_ratio <= least_ratio:
                found[row.number].append(finding)
    return GroupResult(found, skipped)


def read_rows(
    completions: Sequence[Any], ids: Sequence[Hashable], answers: Sequence[Any] | None, outcomes: Sequence[float] | None
) -> list[Row]:
    size = len(completions)
    golds: Sequence[Any] = [None] * size if answers is None else answers
    judged: Sequence[Any] = [None] * size if outcomes is None else outcomes
    for name, column in (("prompt_ids", ids), ("answers", golds), ("outcomes", judged)):
        check_length(name, column, size)
    rows, first_gold = [], dict[Hashable, str | None]()
    for number in range(size):
        text = read_text(completions[number], "completion", number)
        gold = None if read_gold(golds[number]) is None else normalise_answer(golds[number])
        if first_gold.setdefault(ids[number], gold) != gold:
            expected = first_gold[ids[number]]
            raise InputError(f"row {number}: prompt {ids[number]!r} has gold {expected!r} elsewhere, given {gold!r}")
        skip = max(0, len(text) - READ_LIMIT)
        answer = extract_answer(text[skip:])
        given = None if answer is None else _spell(answer[0], gold)
        right = math.nan if gold is None else float(given == gold)
        outcome = right if judged[number] is None else float(judged[number])
        if outcome not in (0.0, 1.0) and not math.isnan(outcome):
            raise InputError(f"outcome in row {number}: expected 1, 0 or NaN, given {outcome}")
        span = (0, len(text)) if answer is None else (answer[1] + skip, answer[2] + skip)
        given = gold if outcome == 1.0 and gold is not None and given is not None else given
        rows.append(Row(number, text, ids[number], span, given, gold, outcome))
    return rows


def _spell(answer: str, gold: str | None) -> str:
    r"""A final answer as answers are compared; an option as the gold answer spells it ("(a)", "A. four" as "a").

    >>> _spell("(B) Paris", "b"), _spell("\\text{Yes}", "yes"), _spell("a cat", "dog")
    ('b', 'yes', 'a cat')
    """
    spelled = normalise_answer(_TEXT.sub(r"\1", answer))
    option = _OPTION.fullmatch(spelled) if gold and _OPTION.fullmatch(gold) else None
    if option is None:
        return spelled
    return gold if option[1] == _OPTION.fullmatch(gold)[1] else option[1]  # type: ignore[index, return-value, arg-type]


def _count_kinds(groups: dict[Hashable, list[Row]]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for group in groups.values():
        gold = group[0].gold
        if gold is None:
            continue
        kind = kinds.setdefault(answer_type(gold), Kind())
        kind.prompts += 1
        kind.golds[gold] += 1
        for answer, count in Counter(row.given for row in group).items():
            if answer is not None and answer != gold:
                kind.wrong[answer] = kind.wrong.get(answer, 0.0) + count / len(group)
    return kinds


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


def _finding(kind: str, reason: str, row: Row, ratio: float) -> tuple[Row, Finding]:
    ratio = min(max(ratio, 1 / LIMIT), LIMIT)
    return row, Finding(kind, reason, *row.span, ratio, "error" if ratio <= 0.2 else "warn")


def _same_answer(rows: list[Row], kinds: dict[str, Kind], false_alarm: float) -> Iterator[tuple[Row, Finding]]:
    """One final answer for many prompts, where the gold answers are others."""
    flagged: dict[tuple[str, str | None], tuple[float, str]] = {}
    tested = sum(len(kind.wrong) for kind in kinds.values())
    for name, kind in kinds.items():
        for answer, given in kind.wrong.items():
            right, others = kind.golds[answer], kind.prompts - kind.golds[answer]
            ratio, bound = _compare(right, kind.prompts, given, others)
            if bound * tested <= false_alarm:
                reason = f"answer {quote(answer)} given to {100 * given / others:.0f} % of prompts where it is wrong"
                flagged[name, answer] = ratio, f"{reason}; it is right for {100 * right / kind.prompts:.0f} %"
    for row in rows:
        key = (answer_type(row.gold), row.given) if flagged and row.gold is not None else None
        if key in flagged:
            ratio, reason = flagged[key]
            yield _finding("same_answer", reason, row, ratio)


def _same_text(rows: list[Row]) -> Iterator[tuple[Row, Finding]]:
    """One and the same text for `_PROMPTS` prompts or more, whose gold answers differ if they are known."""
    said: dict[str, list[Row]] = {}
    for row in rows:
        if len(row.text) >= _SHORTEST:
            said.setdefault(row.text.strip(), []).append(row)
    for same in said.values():
        golds = {row.prompt_id: row.prompt_id if row.gold is None else row.gold for row in same}
        if len(set(golds.values())) >= _PROMPTS:
            for row in same:
                yield _finding("same_text", f"the same text for {len(golds)} prompts", row, _SAME_TEXT)


def _scored(group: list[Row]) -> list[Row]:
    return [row for row in group if not math.isnan(row.outcome)]


def _lucky_guess(groups: dict[Hashable, list[Row]], kinds: dict[str, Kind]) -> Iterator[tuple[Row, Finding]]:
    """Groups whose answers are spread as answers to other prompts are, and whose successes chance explains."""
    for group in groups.values():
        scored, gold = _scored(group), group[0].gold
        right = int(sum(row.outcome for row in scored))
        if gold is None or not 0 < right < len(scored):
            continue
        kind = kinds[answer_type(gold)]
        others = kind.prompts - kind.golds[gold]  # none of them is this prompt
        answers = Counter(row.given for row in scored if row.given is not None)
        if others < 1 or len(answers) < 2 or _agrees(answers, gold, len(group), kind):
            continue
        matched = min(kind.wrong.get(gold, 0.0), others)
        ratio = luck_ratio(right, len(scored), round(matched, 3), others)
        reason = f"{right} of {len(scored)} right among {len(answers)} different answers; where it is wrong, the model"
        reason += f" answers {quote(gold)!r} in {100 * matched / others:.0f} % all the same"
        for row in scored:
            if row.outcome == 1.0:
                yield _finding("lucky_guess", reason, row, ratio)


def _agrees(answers: Counter[str], gold: str, size: int, kind: Kind) -> bool:
    """Whether a group agrees on a wrong answer more than guesses do: then it follows some method, if a wrong one."""
    from scipy.special import bdtrc

    total, wrong = sum(answers.values()), [answer for answer in answers if answer != gold]
    for answer in wrong:
        elsewhere = max(0.0, kind.wrong.get(answer, 0.0) - answers[answer] / size)
        share = min(1.0, (elsewhere + 0.5) / (kind.prompts - kind.golds[answer]))
        if float(bdtrc(answers[answer] - 1, total, share)) * len(wrong) < _GUESSES:
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
    from scipy.special import betaincinv

    from rlguard.stats import skill_likelihood

    chance = betaincinv(matched + 0.5, others - matched + 0.5, (np.arange(64) + 0.5) / 64)
    likelihood = skill_likelihood(np.full(64, right), np.full(64, scored), chance).mean(axis=0)  # by skill, from 0 on
    return float(min(max(likelihood.mean() / max(likelihood[0], 1e-300), 1 / LIMIT), LIMIT))
