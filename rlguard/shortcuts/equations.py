r"""Finds the equations a text states and checks each: true, false, or not for us to say.

Saying "false" of a true step costs more than missing a false one, so whatever makes a reading doubtful (a variable
beside it, mixed units, a question mark, a later correction) turns "false" into "cannot say".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from rlguard.shortcuts.arithmetic import Number, Side, Token, apply, tokenize
from rlguard.shortcuts.sides import read_side

MAX_MATH = 100_000
"""Characters of arithmetic read per completion (thousands of steps); a hostile megabyte must not stop training."""

_MAY_HOLD_EQUATION = re.compile(r"[=≈≡]|\\equiv|\\approx|\d\s{1,3}(?:equals|gives|makes|is)\s")
_SIMPLE = re.compile(r"(\d{1,15})\s?([-+*/×÷])\s?(\d{1,15})\s?=\s?(-?\d{1,15})[\s.,$]*")
_RUN = re.compile(  # starts at a number, bracket or fraction; every branch consumes, all repeats are possessive
    r"""(?:(?<![\w.])[-−]?[\d(\[{.]|\\[dt]?frac)
    (?:[\s\d.,+\-*/×·÷^%()={}\[\]$−–≈≡&⋅∗]++
      |\\(?:[dt]?frac|times|cdot|div|left|right|p?mod|bmod|equiv|approx|q?quad|boxed)(?![a-z])
      |\\(?:text|mathrm|textbf|mathbf)\{[^{}]{0,40}\}
      |\\[,;!:%$\ \\]
      |(?:mod(?:ulo)?|plus|minus|times|divided\s+by|multiplied\s+by|is\s+equal\s+to|equals|gives|makes|is|of|[xX])
       (?=\s{0,2}[-\d$(\\{*])
      |(?:(?<=\d)|(?<=[\d}%)]\ ))[A-Za-z]{1,15}(?:\ [a-z]{1,15})?(?=\s?(?:[+*/×÷=−–]|-\s|(?:is|equals)\s[-\d$]))
    )*+""",
    re.VERBOSE,
)
_DOUBT_BEFORE = re.compile(
    r"(?:[A-Za-z_)\]}^]|\d[:,./]|[-+*/×·÷^<>≠≤≥−–%]\s*|[<>!]=\s*|[√∛∑∏∫π…′°|]\s*|_\w+\s+|_\{\w+\}\s*"
    r"|\b(?:if|elif|while|assert|return|when|suppose|assume|not|guess|isn't|wrong|claim|whether|does|is|of|half|twice|double|root|sqrt|log|sin|cos|tan"
    r"|gcd|lcm|max|min|remainder|average|mean|base)\s+(?:that\s+)?[$(\\*]*)$",
    re.IGNORECASE,
)
_LIST_ITEM = re.compile(r"(?:^|\n)\s*[-*+]\s+$")
_WORD_BEFORE = re.compile(r"[A-Za-z]['\w]*\s+$")
_DOUBT_AFTER = re.compile(
    r"(?:\w|[_(^:]|,\d|\s*(?:[?≠<>^]|[-+*/×·÷]\s*\w|\\[a-z])"
    r"|\s*\(?(?:in\s+(?:base|binary|hex|octal)|r|rem|remainder|mod|hours?|dozens?|km|kg|weeks?|years?|days?|minutes?|months?|hundred|thousand|million"
    r"|billion|percent|degrees?|[a-zA-Z])\b)",
    re.IGNORECASE,
)
_TAKEN_BACK = (
    *("wait", "oops", "wrong", "incorrect", "false", "mistake", "actually", "isn't"),
    *("not right", "not correct", "not true", "not equal"),
)


class Equation(NamedTuple):
    """One stated equality. A chain `a = b = c` holds two."""

    start: int
    end: int
    left: Number | None
    right: Number | None
    operators: int
    """Operations on both sides."""
    operands: tuple[Number | None, ...]
    """Numbers of the sides that calculate."""
    holds: bool | None
    """True, False, or None: cannot be said."""


def find_equations(text: str, moduli: tuple[int, ...] = ()) -> list[Equation]:
    r"""The equations with at least one operation that a text states, in order, each checked.

    Args:
        text: Any text, with plain or LaTeX arithmetic.
        moduli: An equation of whole numbers also holds when its sides agree modulo one of these.

    >>> [(e.left, e.right, e.holds) for e in find_equations(r"Add: $12 \\times 2 = 24$, then 24 + 1 = 26.")]
    [(24, 24, True), (25, 26, False)]
    >>> find_equations("7+8=5", moduli=(10,))[0].holds
    True
    """
    equations: list[Equation] = []
    if not _MAY_HOLD_EQUATION.search(text):
        return equations
    budget = MAX_MATH
    for run in _RUN.finditer(text):
        start, end = run.span()
        simple = _SIMPLE.fullmatch(text, start, end) if end - start < 70 else None
        if budget < end - start:
            break
        if simple:
            budget -= end - start
            equations.append(_read_simple(text, simple, moduli))
            continue
        if end - start < 5 or not _MAY_HOLD_EQUATION.search(text, start, end):
            continue
        budget -= end - start
        for chain, local in _read_chains(tokenize(text[start:end], start)):
            equations += _check_chain(text, chain, moduli + local)
    return _drop_corrected(equations)


def _read_simple(text: str, match: re.Match[str], moduli: tuple[int, ...]) -> Equation:
    """The commonest shape, `a op b = c` in whole numbers, without the full parser."""
    left, operator, right, stated = match.groups()
    operator = {"×": "*", "÷": "/"}.get(operator, operator)
    operands = (int(left), int(right))
    value, result = apply(operator, *operands), int(stated)
    start, end = match.start(1), match.end(4)
    holds: bool | None = value == result or _congruent(value, result, moduli)
    if not holds and (value is None or not isinstance(value, int) or _in_doubt(text, start, end, plain=False)):
        close = isinstance(value, float) and abs(value - result) < 1
        holds = None if close or not isinstance(value, float) or _in_doubt(text, start, end, plain=False) else False
    return Equation(start, end, value, result, 1, operands, holds)


def _read_chains(tokens: list[Token]) -> Iterator[tuple[list[Side], tuple[int, ...]]]:
    """Sides joined by equals signs, with the moduli named beside them ("5 (mod 10)")."""
    i = 0
    while i < len(tokens):
        side, after = read_side(tokens, i)
        if side is None or after >= len(tokens):
            i = max(after, i + 1)
            continue
        chain = [side]
        while after < len(tokens) and tokens[after].kind == "rel":
            side, after = read_side(tokens, after + 1)
            if side is None:
                break
            chain.append(side)
        if len(chain) > 1:
            named = [modulus for part in chain for modulus in part.moduli]
            if [token.kind for token in tokens[after : after + 3]] == ["open", "mod", "num"]:
                named.append(int(str(tokens[after + 2].value)[:15].replace(",", "").replace(".", "") or 0))
            yield chain, tuple(named)
        i = max(after, i + 1)


def _check_chain(text: str, chain: list[Side], moduli: tuple[int, ...]) -> Iterator[Equation]:
    for number, (left, right) in enumerate(pairwise(chain)):
        operators = left.operators + right.operators
        if not operators:
            continue
        holds = _compare(left, right, moduli)
        if holds is False and (
            _in_doubt(text, left.start, right.end, plain=number == 0 and not left.operators)
            or _units_differ(left, right)
        ):
            holds = None
        operands = (left.numbers if left.operators else ()) + (right.numbers if right.operators else ())
        yield Equation(left.start, right.end, left.value, right.value, operators, operands, holds)


def _congruent(left: Number | None, right: Number | None, moduli: tuple[int, ...]) -> bool:
    whole = isinstance(left, int) and isinstance(right, int)
    return whole and any(modulus > 1 and (left - right) % modulus == 0 for modulus in moduli)  # type: ignore[operator]


def _compare(left: Side, right: Side, moduli: tuple[int, ...]) -> bool | None:
    """Whether two sides are equal, up to the rounding their decimals allow; None in the grey zone beyond it."""
    a, b = left.value, right.value
    if a is None or b is None:
        return None
    if a == b or _congruent(a, b, moduli):
        return True
    scales_a, scales_b = ((1, 0.01) if left.percents else (1,)), ((1, 0.01) if right.percents else (1,))
    slack = 0.5 * 10.0**-right.decimals  # the right side is where people round
    grey = 0.0
    if left.decimals or right.decimals or isinstance(a, float) or isinstance(b, float):
        size = max(abs(a), abs(b))
        terms = len(left.numbers) + len(right.numbers)
        if left.decimals or right.decimals:
            rough = 0.5 * terms * 10.0**-left.decimals if left.decimals > right.decimals else 0.0
            grey = 0.01 * size if left.products or right.products else rough
        if isinstance(a, float) and isinstance(b, int) and not right.operators:
            grey = max(grey, 1.0)  # 7 / 2 = 3: whole-number division, or a slip
    rounded = right.decimals or not isinstance(a, int)
    for scale_a in scales_a:
        for scale_b in scales_b:
            gap = abs(a * scale_a - b * scale_b)
            exact = isinstance(a, int) and isinstance(b, int) and scale_a == scale_b == 1
            if (not exact and gap <= 1e-9 * max(abs(a), abs(b))) or (
                rounded and right.decimals and gap <= slack * 1.0001
            ):
                return True
            if not math.isfinite(gap) or gap <= grey:
                return None
    mixed = (left.percents or right.percents) and not (left.products or left.percents == len(left.numbers))
    return None if mixed else False


def _units_differ(left: Side, right: Side) -> bool:
    """Whether terms carry different units, so that unequal numbers may still be equal amounts."""
    units = {unit.lower().split()[-1].strip("}").rstrip("s") for unit in (*left.units, *right.units)}
    if len(units) > 1 or any(len(unit) <= 2 for unit in units):  # one or two letters may be a variable
        return True
    return bool(units) and not left.products and 0 < len(left.units) < len(left.numbers)


def _in_doubt(text: str, start: int, end: int, plain: bool) -> bool:
    """Whether the words around `text[start:end]` make it doubtful that it is stated as true."""
    before = text[max(0, start - 30) : start]
    if _DOUBT_BEFORE.search(before) and not _LIST_ITEM.search(before):
        return True
    if plain and _WORD_BEFORE.search(before):
        return True
    if _DOUBT_AFTER.match(text, end, min(len(text), end + 80)):
        return True
    after = text[end : end + 60].partition("\n")[0].lower()
    return any(word in after for word in _TAKEN_BACK)


def _drop_corrected(equations: list[Equation]) -> list[Equation]:
    """A false step that the next one works out again rightly is a slip put right, not a shortcut."""
    for i in range(len(equations) - 1):
        step, following = equations[i], equations[i + 1]
        again = (step.left, step.operands) == (following.left, following.operands)
        if again and step.holds is False and following.holds and step.right not in following.operands:
            equations[i] = step._replace(holds=None)
    return equations
