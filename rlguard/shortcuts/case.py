"""One completion as the rules of skipped computation see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rlguard.shortcuts.arithmetic import Number, tokenize
from rlguard.shortcuts.equations import Equation
from rlguard.shortcuts.prompts import PromptFacts
from rlguard.shortcuts.sides import read_side
from rlguard.shortcuts.wording import NAMING, STATING

NUMBERS = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*+")
WORDS = re.compile(r"[^\W\d_]+")
LABELS = re.compile(r"(?m)^[ \t|*#]*+\(?\d{1,3}[.):|](?=\s)|\b[Ss]tep\s+\d+")
_SEGMENT = re.compile(r"(?:[^\n.;!?]|[.!?](?=[^\s*$]))++")
_IN_ANSWER = frozenset(" 0123456789+-*/×÷·^().:")
_CALCULATES = re.compile(r"\d[\s)]*+(?:[+*/×÷·^-]|\*\*)[\s(]*+\d")
_FRACTION = re.compile(r"-?\d+\s?/\s?\d+")
_CLOCK = re.compile(r"\d{1,2}:\d\d")
_VALUE = re.compile(r"-?\d[\d.,:/]*+")
_MARKUP = re.compile(r"\\boxed\s?\{|\\(?:d?frac|text)|</?answer>|####|[*$}{|]")
_STATEMENT_LIMIT = 90


class Case(NamedTuple):
    """One completion as the rules see it."""

    text: str
    facts: PromptFacts
    prompted: bool
    answer: tuple[str, int, int] | None
    value: Number | None
    equations: list[Equation]
    supported: bool
    """Whether a step produces the answer."""
    lead_end: int = 0
    """Where an answer at the very start ends; 0: there is none."""


def read_value(answer: str) -> Number | None:
    r"""The number an answer states, units and signs of currency left aside; None when it is not one number.

    >>> read_value("$42"), read_value("\\frac{1}{2}"), read_value("12 apples"), read_value("7:30")
    (42, 0.5, 12, None)
    """
    if answer.isdigit() and answer.isascii() and len(answer) < 16:
        return int(answer)
    tokens = tokenize(answer[-80:].lstrip("$£€ ").rstrip(". "))
    if not tokens:
        return None
    side, after = read_side(tokens, 0)
    return side.value if side is not None and after == len(tokens) else None


def matches(value: Number, produced: Number | None, moduli: tuple[int, ...]) -> bool:
    """Whether an answer states a produced number: equal, rounded, as a percentage, or modulo."""
    if produced is None:
        return False
    if value == produced:
        return True
    if isinstance(value, int) and isinstance(produced, int):
        if any((value - produced) % modulus == 0 for modulus in moduli):
            return True
        return value * 100 == produced or value == produced * 100
    try:
        gap = abs(value - produced)
        if isinstance(produced, int):
            near = gap <= min(0.006 * max(1.0, abs(produced)), 0.05)
        else:
            near = gap <= min(0.006 * max(1.0, abs(produced)), 0.51 if isinstance(value, int) else 0.06)
        return near or round(produced) == value or _is_percent(value, produced)
    except OverflowError:
        return False


def _is_percent(value: Number, produced: Number) -> bool:
    """Whether one of two numbers is the other as a percentage, rounded to a whole one at worst."""
    if isinstance(produced, int) or abs(produced) <= 1:
        return abs(value - 100 * produced) <= 0.6
    return abs(100 * value - produced) <= 0.6 and abs(value) <= 1


def is_produced(value: Number, equation: Equation, moduli: tuple[int, ...]) -> bool:
    return matches(value, equation.left, moduli) or matches(value, equation.right, moduli)


def segments(text: str) -> Iterator[tuple[int, int]]:
    """The sentences and lines of a text, as spans; a point inside a number ends none.

    >>> [("It is 0.5. So 2!")[a:b] for a, b in segments("It is 0.5. So 2!")]
    ['It is 0.5', ' So 2']
    """
    for match in _SEGMENT.finditer(text):
        yield match.span()


def read_statement(segment: str) -> tuple[str, bool] | None:
    """The value that a sentence states as the answer, and whether it calls it so; None for any other sentence.

    >>> read_statement("So the final answer is 12"), read_statement("That leaves 40 apples and 2 pears")
    (('12', True), None)
    """
    if len(segment) > _STATEMENT_LIMIT or not any(map(str.isdigit, segment)):
        return None
    plain = _MARKUP.sub(" ", segment)
    words = [word.lower() for word in WORDS.findall(plain)]
    if sum(word not in STATING for word in words) > 1 or any(sign in segment for sign in "≈→&"):
        return None
    values = list(_VALUE.finditer(plain))
    if not values:
        return None
    before, equals, _ = plain.partition("=")
    if equals and (any(map(str.isdigit, before)) or len(values) > 1):
        return None
    first, last = values[0], values[-1]
    stated = plain[first.start() : last.end()]
    if len(values) > 1 and not set(stated) <= _IN_ANSWER:
        return None
    if len(values) > 1 and plain[: first.start()].rstrip().endswith("("):
        stated = "(" + stated
    named = not NAMING.isdisjoint(words) or "boxed" in segment or "####" in segment or "<answer>" in segment
    return stated.strip().rstrip(".,:"), named


def widen_answer(text: str, answer: tuple[str, int, int] | None) -> tuple[str, int, int] | None:
    """An answer that is a time or an expression as a whole, where only a part of it was read.

    >>> widen_answer("It ends at 17:35.", ("35", 14, 16)), widen_answer("12 + 3 = 15", ("15", 9, 11))
    (('17:35', 11, 16), ('15', 9, 11))
    """
    if answer is None or len(answer[0]) > 60:
        return answer
    start, end = answer[1], answer[2]
    before, after = text[max(0, start - 3) : start].rstrip()[-1:], text[end : end + 3].lstrip()[:1]
    if not ((before and before in ":+*/×÷^-(") or (after and after in ":+*/×÷^-)")):
        return answer
    while start > 0 and text[start - 1] in _IN_ANSWER and answer[1] - start < 80:
        start -= 1
    while end < len(text) and text[end] in _IN_ANSWER and end - answer[2] < 80:
        end += 1
    for clock in _CLOCK.finditer(text, start, end):
        if clock.start() <= answer[1] and clock.end() >= answer[2]:
            return clock[0], clock.start(), clock.end()
    whole = text[start:end]
    start += len(whole) - len(whole.lstrip(" .*:-"))
    end -= len(whole) - len(whole.rstrip(" .*:-"))
    beside = text[max(0, start - 2) : start] + text[end : end + 2]
    if "=" in beside or ":" in text[start:end] or not _CALCULATES.search(text, start, end):
        return answer
    return (text[start:end], start, end) if start <= answer[1] and end >= answer[2] else answer


def is_expression(answer: str) -> bool:
    """Whether an answer is an expression rather than a number or a fraction.

    >>> is_expression("3 * 4 + 2"), is_expression("13/10")
    (True, False)
    """
    return bool(_CALCULATES.search(answer)) and not _FRACTION.fullmatch(answer)


def blank(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())
