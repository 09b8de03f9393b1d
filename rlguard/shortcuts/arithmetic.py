"""Works out plain arithmetic, in one pass and without `eval`, and compares the two sides of an equation."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import NamedTuple

MAX_DIGITS = 40
"""Longer numbers are not read: their arithmetic is never what a completion is judged by."""
MAX_BITS = 512
MAX_EXPONENT = 128
Number = int | float
FILL = "\x1f"
SAID, NEAR, ALIKE = "\x01", "\x02", "\x03"
"""In plain text: a word that says equal, "≈" and "≡", each one byte: sets of ASCII signs are searched far sooner."""

_TOKEN = re.compile(r"\d[\d\x1f]*(?:\.\d+)?|\.\d+|\*\*|[^\s\x1f]")
_RANK = {"@": 0, "+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "neg": 3, "&": 4, "^": 5}


class Side(NamedTuple):
    """What stands on one side of an equals sign."""

    value: Number | None
    """None when it cannot be worked out (division by zero, too large)."""
    numbers: tuple[Number, ...] = ()
    operators: int = 0
    decimals: int = 0
    """Most digits after a decimal point among its numbers."""
    percents: int = 0
    products: bool = False
    """Whether it multiplies, divides or raises: rounding errors then grow with the size of the numbers."""
    moduli: tuple[int, ...] = ()


def apply(operator: str, left: Number | None, right: Number | None) -> Number | None:
    """Works out one operation; None when there is no result or it would be too large.

    >>> apply("/", 6, 3), apply("/", 1, 0), apply("^", 10, 10**9)
    (2, None, None)
    """
    if left is None or right is None:
        return None
    try:
        if operator in "+&":  # 2 & 1/2 is two and a half
            return left + right
        if operator == "-":
            return left - right
        if operator == "*":
            value: Number = left * right
        elif operator == "/":
            exact = isinstance(left, int) and isinstance(right, int) and not left % right
            value = left // right if exact else left / right
        elif operator in "@%":
            value = left % right
        else:
            if abs(right) > MAX_EXPONENT or (isinstance(left, int) and left.bit_length() * abs(right) > MAX_BITS):
                return None
            value = left**right
    except (ArithmeticError, ValueError):
        return None
    if isinstance(value, complex) or (isinstance(value, int) and value.bit_length() > MAX_BITS):
        return None
    return value


def read_side(text: str) -> Side | None:
    """Works out plain arithmetic; None where it is not well formed.

    >>> read_side("2 + 3*(4-1)").value, read_side("20% * 50").value, read_side("3 +"), read_side("3 4")
    (11, 10.0, None, None)
    """
    if text.isdigit():
        return Side(int(text), (int(text),)) if len(text) <= MAX_DIGITS and text.isascii() else None
    values: list[Number | None] = []
    ops: list[str] = []
    numbers: list[Number] = []
    moduli: list[int] = []
    operators = decimals = percents = 0
    products = False
    due = True  # whether a number must come next

    def reduce(rank: int) -> None:
        while ops and ops[-1] != "(" and _RANK[ops[-1]] >= rank:
            operator = ops.pop()
            right = values.pop()
            if operator == "neg":
                values.append(None if right is None else -right)
                continue
            if operator in "@%" and isinstance(right, int) and right > 1:
                moduli.append(right)
            values.append(apply(operator, values.pop(), right))

    tokens = _TOKEN.findall(text)
    for place, token in enumerate(tokens):
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            if not due or len(token) > MAX_DIGITS or not token.isascii():
                return None
            token = token.replace(FILL, "")
            whole, point, digits = token.partition(".")
            number: Number = float(token) if point else int(whole)
            decimals = max(decimals, len(digits))
            values.append(number)
            numbers.append(number)
            due = False
        elif token == "(":
            if not due:
                reduce(3)
                ops.append("*")
                operators, products = operators + 1, True
            ops.append("(")
            due = True
        elif due:
            if token != "-" and token != "+":
                return None
            if token == "-":
                ops.append("neg")
        elif token == ")":
            reduce(0)
            if not ops:
                return None
            ops.pop()
        elif token == "%" and not (place + 1 < len(tokens) and (tokens[place + 1] + " ")[0] in "(0123456789"):
            percents += 1
            values.append(apply("/", values.pop(), 100))
        elif token in "+-*/^@&%":
            reduce(_RANK[token] + (token == "^"))
            ops.append(token)
            if token != "&":
                operators += 1
                products = products or token not in "+-"
            due = True
        else:
            return None
    if due or "(" in ops:
        return None
    reduce(0)
    return Side(values[0], tuple(numbers), operators, decimals, percents, products, tuple(moduli))


def agree(written: str) -> bool:
    """Whether a chain holds, read afresh."""
    sides = [read_side(part.strip()) for part in re.split("[=\x01-\x03]", written)]
    return all(a is not None and b is not None and compare(a, b, ()) is not False for a, b in pairwise(sides))


def compare(left: Side, right: Side, moduli: tuple[int, ...]) -> bool | None:
    """Whether two sides are equal, up to the rounding their decimals allow; None in the grey zone beyond it."""
    a, b = left.value, right.value
    if a is None or b is None:
        return None
    if a == b:
        return True
    if isinstance(a, int) and isinstance(b, int) and any(m > 1 and (a - b) % m == 0 for m in moduli):
        return True
    slack = 0.5001 * 10.0**-right.decimals if right.decimals else 0.0  # the right side is where people round
    size, grey = max(abs(a), abs(b)), 0.0
    if left.decimals or right.decimals:
        terms = len(left.numbers) + len(right.numbers)
        rough = 0.5 * terms * 10.0**-left.decimals if left.decimals >= right.decimals else 0.0
        grey = max(rough, 0.01 * size if left.products or right.products else 0.0)
    if isinstance(a, float) and not a.is_integer() and isinstance(b, int) and not right.operators:
        grey = max(grey, 1.0)  # 7 / 2 = 3: whole-number division, or a slip
    whole = isinstance(a, int) and isinstance(b, int)
    for scale in (1, 100, 0.01) if left.percents or right.percents else (1,):
        gap = abs(a - b * scale)
        if (not whole and gap <= 1e-9 * size) or gap <= slack:
            return True
        if not math.isfinite(gap) or gap <= grey:
            return None
    return False
