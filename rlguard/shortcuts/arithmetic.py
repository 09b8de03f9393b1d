r"""Reads arithmetic in running text and works it out, in one pass and without `eval`.

A piece of text becomes tokens, tokens become *sides* (what stands left or right of an equals sign). Anything that is
not understood ends a side rather than being guessed at. Every step is linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_DIGITS = 40
"""Longer numbers are not read: their arithmetic is never what a completion is judged by."""
MAX_BITS = 512
MAX_EXPONENT = 128

Number = int | float

_TOKEN = re.compile(
    r"""
    (?P<num>\.?\d+(?:(?:[.,]|\{,\}|\\[,!])\d+)*+)
  | (?P<brk>\n\s*+(?:[-*+•]\s|\n)|\n(?=\s*(?:\d+[.)]|\(\d+\))\s)|(?<=[\d)}\]])\$\s+\$)
  | (?P<nl>\n|\\\\(?![a-z])\s*+)
  | (?P<shortfrac>\\[dt]?frac\s?\d\s?\d)
  | (?P<frac>\\[dt]?frac\s?\{)
  | (?P<rel>==?(?![=>])|≈|≡|\\(?:approx|equiv)|(?:is\s+equal\s+to|equals|gives|makes|is)\b)
  | (?P<pow>(?<=[\d)])\*\*(?=[\d(])|\s\*\*\s|\^)
  | (?P<skip>(?:[^\S\n]|\$|&|\\[,;!:$\ ]|\\\\(?=[a-z])|\\(?:left|right|q?quad)(?![a-z])|\*\*)+)
  | (?P<op>[-+*/×·÷−–⋅∗]|\\(?:times|cdot|div)(?![a-z])|[xX](?=\s?[\d(])|of\b|times\b|plus\b|minus\b
      |divided\s+by\b|multiplied\s+by\b)
  | (?P<mod>\\p?mod\b|\\bmod\b|mod(?:ulo)?\b)
  | (?P<pct>\\?%)
  | (?P<open>[([{]|\\boxed\s?\{)
  | (?P<close>[)\]}])
  | (?P<unit>\\(?:text|mathrm|textbf|mathbf)\{[^{}]{0,40}\}|[A-Za-z]+(?:\ [a-z]+)?)
    """,
    re.VERBOSE,
)
_OPERATORS = {"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-", "–": "-", "x": "*", "X": "*"}
_OPERATORS |= {"\\times": "*", "\\cdot": "*", "\\div": "/", "times": "*", "of": "*", "plus": "+", "minus": "-"}
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Token(NamedTuple):
    """One sign of arithmetic; `value` is the number, or the operator's plain form."""

    kind: str
    value: Number | str | None
    start: int
    end: int


class Side(NamedTuple):
    """What stands on one side of an equals sign."""

    value: Number | None
    """None when it cannot be worked out (odd numbers, division by zero, too large)."""
    start: int
    end: int
    operators: int
    numbers: tuple[Number | None, ...]
    decimals: int
    """Most digits after a decimal point among its numbers."""
    percents: int
    units: tuple[str, ...]
    products: bool
    """Whether it multiplies, divides or raises: rounding errors then grow with the size of the numbers."""
    moduli: tuple[int, ...]
    relation: str = "="
    """The sign or word that joins it to the side before it."""


def read_number(text: str) -> tuple[Number | None, int]:
    r"""The value of a written number and its digits after the point; None when it is not one number.

    >>> read_number("1,234.50"), read_number("1.2.3")
    ((1234.5, 2), (None, 0))
    """
    if text.isdigit() and text.isascii():
        return (int(text), 0) if len(text) <= MAX_DIGITS else (None, 0)
    if len(text) > MAX_DIGITS:
        return None, 0
    text = text.replace("{,}", ",").replace("\\,", ",").replace("\\!", "")
    if "," in text:
        if not _THOUSANDS.fullmatch(text):
            return None, 0
        text = text.replace(",", "")
    whole, point, digits = text.partition(".")
    if not text.isascii() or "." in digits or not (whole + digits).isdigit():
        return None, 0
    return (float(text), len(digits)) if point else (int(text), 0)


def apply(operator: str, left: Number | None, right: Number | None) -> Number | None:
    """Works out one operation; None when there is no result or it would be too large.

    >>> apply("/", 6, 3), apply("/", 1, 0), apply("^", 10, 10**9)
    (2, None, None)
    """
    if left is None or right is None:
        return None
    try:
        if operator == "+":
            return left + right
        if operator == "-":
            return left - right
        if operator == "*":
            value: Number = left * right
        elif operator == "/":
            value = (
                left // right if isinstance(left, int) and isinstance(right, int) and not left % right else left / right
            )
        elif operator == "%":
            value = left % right
        elif operator == "mix":  # 2\frac{1}{2} is two and a half
            return left + right
        else:
            if abs(right) > MAX_EXPONENT or (isinstance(left, int) and left.bit_length() * abs(right) > MAX_BITS):
                return None
            value = left**right
    except (ArithmeticError, ValueError):
        return None
    if isinstance(value, complex) or (isinstance(value, int) and value.bit_length() > MAX_BITS):
        return None
    return value


def tokenize(text: str, offset: int = 0) -> list[Token]:
    """Signs of arithmetic in `text`, positions counted from `offset`; what is not arithmetic is a `brk` token.

    The end of a line (`nl`, also LaTeX's) ends a side, unless an equals sign stands before or after it.
    """
    tokens: list[Token] = []
    position, length = 0, len(text)
    match = _TOKEN.match
    while position < length:
        found = match(text, position)
        if found is None:
            tokens.append(Token("brk", None, offset + position, offset + position + 1))
            position += 1
            continue
        kind, end = found.lastgroup or "brk", found.end()
        if kind != "skip":
            word = found[0]
            value: Number | str | None = word
            if kind == "num":
                value = word
            elif kind == "op":
                value = _OPERATORS.get(word, word if len(word) == 1 else "*" if word[0] == "m" else "/")
            elif kind == "shortfrac":
                top, bottom = [int(sign) for sign in word if sign.isdigit()]
                value = apply("/", top, bottom)
            tokens.append(Token(kind, value, offset + position, offset + end))
        position = end
    return tokens
