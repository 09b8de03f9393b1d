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
from rlguard.shortcuts.doubts import DATE, GOES_ON, LABEL, SEPARATED, in_doubt, units_differ
from rlguard.shortcuts.sides import read_side

MAX_MATH = 100_000
"""Characters of arithmetic read per completion (thousands of steps); a hostile megabyte must not stop training."""

_RELATION = re.compile(  # starts with one set of signs, which `re` skips to quickly
    r"[=≈≡\\\ ](?:(?<=[=≈≡])|(?<=\\)(?:equiv|approx)(?![a-z])"
    r"|(?<=[\d)}\]$%*]\ )(?:is\s+equal\s+to|equals|gives|makes|is)\s{1,3}(?=[-−$\\({*\d]))"
)
_BEFORE_SIGN = re.compile(r"[\d)}\]%$*&\\]\Z|\d[)}]?\s?[A-Za-z]{1,15}(?:\ [a-z]{1,15})?$")
_PLAIN_NUMBER = r"\d{1,15}+(?:\.\d{1,9}+)?+(?![\d.,]*+\d)"
_PLAIN_REST = rf"(?:\ ?(?:[-+*/×÷·−]|\\times|\\cdot|\\div)\ ?{_PLAIN_NUMBER})*+"
_PLAIN_SIDE = rf"[-−]?{_PLAIN_NUMBER}{_PLAIN_REST}"
_PLAIN = re.compile(  # whole equations of plain numbers, with nothing beside them that could belong to them
    r"[-−\d](?<![\w.,!:)\]}%^√|−·×÷*/+<>=≈≡≠≤≥-].)(?<![-+*/×÷·−^%=<>≈≡≠≤≥)\]}\d\ \t][ \t].)"
    r"(?<![-+*/×÷·−=\d)}\]]\$.)(?<![-+*/×÷·−=]\ \$.)"
    r"(?<![xX]\ .)(?<![xX]\ \$.)"
    r"(?<!times\ .)(?<!cdot\ .)(?<!div\ .)(?<!plus\ .)(?<!minus\ .)(?<!\bby\ .)(?<!\bof\ .)(?<!mod\ .)(?<!modulo\ .)"
    rf"(?:(?<=\d)\d{{0,14}}+(?:\.\d{{1,9}}+)?+(?![\d.,]*+\d)|{_PLAIN_NUMBER}){_PLAIN_REST}"
    rf"(?:\ ?&?=\ ?{_PLAIN_SIDE})++"
    r"(?!\s*(?:&\s*)?[=≈≡]|[ \t$*]*(?:[-−+/×÷·^%!(\[{:<>≠≤≥_~\d]|\\(?!\\|text|q?quad)"
    r"|(?:mod|times|plus|minus|divided|multiplied|of|is|equals|gives|makes|[a-zA-Z])\b)"
    r"|[\w.,]\w|[ \t]*\*)"
)
_SIMPLE = re.compile(r"(\d{1,15})\ ?([-+*×])\ ?(\d{1,15})\ ?&?=\ ?(\d{1,15})")
_OPERATOR = re.compile(r"[-+*/×÷·−\\]")
_PLAIN_TOKEN = re.compile(r"\d+(?:\.\d+)?|[-+*/×÷·−]|\\[a-z]+")
_WORD_RELATION = frozenset("iegm")
_ABOUT = frozenset("≈\\")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s?\\?%(?!\s?\d)")
_JOINED = re.compile(r"\n[ \t&$]*[=≈≡]")
_SIGNS = {"×": "*", "·": "*", "÷": "/", "−": "-", "\\times": "*", "\\cdot": "*", "\\div": "/"}
_RUN = re.compile(  # starts at a number, bracket or fraction; every branch consumes, all repeats are possessive
    r"""(?:(?<![\w.])[-−]?[\d(\[{.]|\\[dt]?frac)
    (?:[\s\d.,+\-*/×·÷^%()={}\[\]$−–≈≡&⋅∗]++
      |\\(?:[dt]?frac|times|cdot|div|left|right|p?mod|bmod|equiv|approx|q?quad|boxed)(?![a-z])
      |\\(?:text|mathrm|textbf|mathbf)\{[^{}]{0,40}\}
      |\\[,;!:%$\ \\](?![\[(])
      |(?:mod(?:ulo)?|plus|minus|times|divided\s+by|multiplied\s+by|is\s+equal\s+to|equals|gives|makes|is|of|[xX])
       (?=\s{0,2}[-\d$(\\{*])
      |(?:(?<=\d)|(?<=[\d}%)]\ ))[A-Za-z]{1,15}(?:\ [a-z]{1,15})?(?=\s?(?:[+*/×÷=−–]|-\s|(?:is|equals)\s[-\d$]))
    )*+""",
    re.VERBOSE,
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
    budget = MAX_MATH
    plain = _PLAIN.finditer(text)
    following = next(plain, None)
    done = 0
    for sign in _RELATION.finditer(text):
        place = sign.start()
        if place < done or text[place - 1 : place] == "=":
            continue
        while following and following.end() <= place:  # a longer reading has swallowed it
            following = next(plain, None)
        if following and following.start() <= place:
            start, end = following.span()
            if start >= done and (budget := budget - (end - start)) >= 0:
                done = end
                if true := _read_simple(text, start, end, moduli):
                    equations.append(true)
                elif _OPERATOR.search(text, start, end):
                    equations += _check_chain(text, _read_plain(text, start, end), moduli)
                continue
        if not _BEFORE_SIGN.search(text[max(done, place - 36) : place].rstrip()):
            continue
        stop = following.start() if following and following.start() > place else len(text)
        start, end = _find_lines(text, done, place, stop)
        done = end
        for run in _RUN.finditer(text, start, end):
            start, end = run.span()
            if end - start < 5 or not _RELATION.search(text, start, end):
                continue
            if (budget := budget - (end - start)) < 0:
                return _drop_corrected(equations)
            for chain, local in _read_chains(tokenize(text[start:end], start)):
                equations += _check_chain(text, chain, moduli + local, bool(local))
    return _drop_corrected(equations)


def _find_lines(text: str, done: int, place: int, stop: int) -> tuple[int, int]:
    """The line around `place`, within `done` and `stop`, with those that an equals sign at either end joins to it."""
    start = max(done, text.rfind("\n", done, place) + 1)
    if start > done and text[start:place].strip(" \t&$\\") == "":
        start = max(done, text.rfind("\n", done, start - 1) + 1)
    end = text.find("\n", place, stop)
    while end >= 0 and (_JOINED.match(text, end) or text[max(place, end - 3) : end].rstrip(" &$").endswith("=")):
        end = text.find("\n", end + 1, stop)
    return start, stop if end < 0 else end


def _read_simple(text: str, start: int, end: int, moduli: tuple[int, ...]) -> Equation | None:
    """The commonest shape, `a op b = c` in whole numbers, if it is true or true by a modulus."""
    simple = _SIMPLE.fullmatch(text, start, end)
    if simple is None:
        return None
    left, right, stated = int(simple[1]), int(simple[3]), int(simple[4])
    sign = simple[2]
    value = left + right if sign == "+" else left - right if sign == "-" else left * right
    true = value == stated or _congruent(value, stated, moduli)
    return Equation(start, end, value, stated, 1, (left, right), True) if true else None


def _read_plain(text: str, start: int, end: int) -> list[Side]:
    """The sides of an equation of plain numbers, which needs no parser."""
    sides = []
    for part in text[start:end].split("="):
        read = [_SIGNS.get(word, word) for word in _PLAIN_TOKEN.findall(part)]
        negative = read[0] == "-"
        numbers, decimals = [], 0
        for word in read[negative::2]:
            _, point, digits = word.partition(".")
            numbers.append(float(word) if point else int(word))
            decimals = max(decimals, len(digits))
        operators = read[negative + 1 :: 2]
        value: Number | None = -numbers[0] if negative else numbers[0]
        total: Number | None = None  # the terms before the last one
        sum_sign = "+"
        for operator, number in zip(operators, numbers[1:], strict=True):
            if operator in "+-":
                total = value if total is None else apply(sum_sign, total, value)
                value, sum_sign = number, operator
            else:
                value = apply(operator, value, number)
        if total is not None:
            value = apply(sum_sign, total, value)
        stop = start + len(part.rstrip(" &"))
        begin = start + len(part) - len(part.lstrip())
        products = "*" in operators or "/" in operators
        sides.append(Side(value, begin, stop, len(operators), tuple(numbers), decimals, 0, (), products, ()))
        start += len(part) + 1
    return sides


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
            word = str(tokens[after].value)
            side, beyond = read_side(tokens, after + 1)
            if side is None:
                after = beyond
                break
            if word[0] in _WORD_RELATION and not chain[-1].operators:  # "k = 1 gives 2 * 3 = 6": two statements
                if len(chain) > 1:
                    yield chain, ()
                chain = []
            chain.append(side._replace(relation=word))
            after = beyond
        if len(chain) > 1:
            named = [modulus for part in chain for modulus in part.moduli]
            if [token.kind for token in tokens[after : after + 3]] == ["open", "mod", "num"]:
                named.append(int(str(tokens[after + 2].value)[:15].replace(",", "").replace(".", "") or 0))
            yield chain, tuple(named)
        i = max(after, i + 1)


def _check_chain(text: str, chain: list[Side], moduli: tuple[int, ...], named: bool = False) -> Iterator[Equation]:
    for number, (left, right) in enumerate(pairwise(chain)):
        operators = left.operators + right.operators
        if not operators and not (left.products or right.products):
            continue
        holds = (left.value is not None and left.value == right.value) or _compare(left, right, moduli)
        if holds is False:
            holds = _reconsider(text, left, right, number == 0, named)
        operands = (left.numbers if left.products or left.operators else ()) + (
            right.numbers if right.products or right.operators else ()
        )
        yield Equation(left.start, right.end, left.value, right.value, operators or 1, operands, holds)


def _reconsider(text: str, left: Side, right: Side, first: bool, named: bool) -> bool | None:
    """False, or None where something beside an equation or in its writing makes it doubtful that it is meant so."""
    a, b = left.value, right.value
    if a is None or b is None:
        return None
    if right.operators and right.numbers and right.numbers[0] == a:  # 3 + 5 = 8 / 2: the equals sign as "and then"
        return None
    if right.relation[0] in _ABOUT and abs(a - b) <= max(1.0, 0.1 * max(abs(a), abs(b))):
        return None
    if right.end >= len(text) and str(a).startswith(str(b)):  # cut off in the middle of the number
        return None
    written = text[left.start : right.end]
    if DATE.search(written) or LABEL.match(written):
        return None
    if _PERCENT.search(written):  # 120 * (1 - 20%) = 96, 75% * 80% = 60%
        chains = [chain for chain, _ in _read_chains(tokenize(_PERCENT.sub(r"(\1/100)", written)))]
        if any(_compare(one, other, ()) is not False for chain in chains for one, other in pairwise(chain)):
            return None
    if SEPARATED.search(written):  # 1.200 + 300 = 1.500
        joined = [chain for chain, _ in _read_chains(tokenize(SEPARATED.sub("", written)))]
        if joined and joined[0][0].value == joined[0][-1].value:
            return None
    if right.relation[0] in _WORD_RELATION and (
        GOES_ON.match(text, right.end) or text[max(0, left.start - 9) : left.start].rstrip(" $")[-1:] == "="
    ):
        return None
    if units_differ(text, left, right) or in_doubt(text, left, right.end, first, named):
        return None
    return False


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
        if isinstance(a, float) and not a.is_integer() and isinstance(b, int) and not right.operators:
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


def _drop_corrected(equations: list[Equation]) -> list[Equation]:
    """A false step that the next one works out again rightly is a slip put right, not a shortcut."""
    for i in range(len(equations) - 1):
        step, following = equations[i], equations[i + 1]
        again = (step.left, step.operands) == (following.left, following.operands)
        if again and step.holds is False and following.holds and step.right not in following.operands:
            equations[i] = step._replace(holds=None)
    return equations
