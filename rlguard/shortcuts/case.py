"""One completion as the rules of skipped computation see it."""

from __future__ import annotations

import re
from typing import NamedTuple

from rlguard.shortcuts.arithmetic import Number, tokenize
from rlguard.shortcuts.equations import Equation
from rlguard.shortcuts.prompts import PromptFacts
from rlguard.shortcuts.sides import read_side

NUMBERS = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*+")


class Case(NamedTuple):
    """One completion as the rules see it."""

    text: str
    facts: PromptFacts
    prompted: bool
    answer: tuple[str, int, int] | None
    value: Number | None
    equations: list[Equation]
    supported: bool


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
        near = abs(value - produced) <= 0.006 * max(1.0, abs(produced)) or round(produced) == value
        return near or abs(value - 100 * produced) <= 0.6 or abs(100 * value - produced) <= 0.6
    except OverflowError:
        return False


def blank(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())
