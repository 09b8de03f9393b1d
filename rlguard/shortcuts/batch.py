"""A batch as the group detectors see it: its completions with their final answers, and what is given by answer type."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlguard.answers import answer_type, extract_answer, normalise_answer, read_gold
from rlguard.shortcuts.judge import READ_LIMIT
from rlguard.types import InputError, completion_text

_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")
_OPTION = re.compile(r"\(?([a-z])(?:[).:]+(?:\s.*)?)?")


@dataclass(slots=True)
class Row:
    """One completion, its prompt's name and what is known of it."""

    text: str
    prompt_id: Hashable
    answer: tuple[str, int, int] | None
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


def check_size(name: str, column: Sequence[Any], size: int) -> Sequence[Any]:
    if len(column) != size:
        raise InputError(f"{name}: expected {size}, one per completion, given {len(column)}")
    return column


def read_batch(
    completions: Sequence[Any], ids: Sequence[Hashable], answers: Sequence[Any] | None, outcomes: Sequence[float] | None
) -> list[Row]:
    size = len(completions)
    check_size("prompt_ids", ids, size)
    golds = [None] * size if answers is None else check_size("answers", answers, size)
    judged = [None] * size if outcomes is None else check_size("outcomes", outcomes, size)
    rows, first_gold = [], dict[Hashable, str | None]()
    for number in range(size):
        text = completions[number]
        if not isinstance(text, str):
            if not isinstance(text, list) or not all(isinstance(part, dict) for part in text):
                raise InputError(f"completion in row {number}: expected text or chat messages, given {text!r:.40}")
            text = completion_text(text)
        gold = None if read_gold(golds[number]) is None else normalise_answer(golds[number])
        if first_gold.setdefault(ids[number], gold) != gold:
            expected = first_gold[ids[number]]
            raise InputError(f"row {number}: prompt {ids[number]!r} has gold {expected!r} elsewhere, given {gold!r}")
        skip = max(0, len(text) - READ_LIMIT)
        answer = extract_answer(text[skip:])
        given = None if answer is None else _spell(answer[0], gold)
        right = math.nan if gold is None else float(given == gold)
        outcome = right if judged[number] is None else float(judged[number])  # type: ignore[arg-type]
        if outcome not in (0.0, 1.0) and not math.isnan(outcome):
            raise InputError(f"outcome in row {number}: expected 1, 0 or NaN, given {outcome}")
        span = None if answer is None else (answer[0], answer[1] + skip, answer[2] + skip)
        given = gold if outcome == 1.0 and gold is not None and given is not None else given
        rows.append(Row(text, ids[number], span, given, gold, outcome))
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


def count_kinds(rows: list[Row], groups: dict[Hashable, list[int]]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for numbers in groups.values():
        gold = rows[numbers[0]].gold
        if gold is None:
            continue
        kind = kinds.setdefault(answer_type(gold), Kind())
        kind.prompts += 1
        kind.golds[gold] += 1
        for answer, count in Counter(rows[number].given for number in numbers).items():
            if answer is not None and answer != gold:
                kind.wrong[answer] = kind.wrong.get(answer, 0.0) + count / len(numbers)
    return kinds
