r"""Mathematical equality by math-verify, and the few things that are mended around it.

Its faults that are mended here: numbers are equal that differ by less than 1e-6, however small they are; `2*x**2` and
`\varnothing` are refused; what ran out of time or stack is wrong. Only its LaTeX reader is used: the other one takes
the first number of an expression that neither can read.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import accumulate, product
from typing import Any

NESTING_LIMIT = 60
"""Brackets in brackets; the parser takes a few thousand frames of Python for each hundred."""
PRECISION = 1e-6
_FUNCTIONS = re.compile(r"(?<![\\A-Za-z])(sqrt|pi|sin|cos|tan|ln|log|exp|infinity)(?![A-Za-z])")
_SIGN_OF_ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z])")
_ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_POWER = re.compile(r"\*\*\s*(-?\d+|\([^()]*\)|[A-Za-z])")
_ROWS = re.compile(
    r"\\begin\{(?:aligned|align\*?|cases|gathered|array|split)\}(?:\{[^{}]*\})?(.*?)\\end\{\w+\*?\}", re.DOTALL
)
_UNEQUAL = re.compile(r"[<>≤≥]|\\[lg](?:eq?|t|eqslant)(?![A-Za-z])")
_JOINED = re.compile(r",|\band\b|\\land(?![A-Za-z])|\\cup(?![A-Za-z])|\\lor(?![A-Za-z])|∪|\bor\b")
_BUILT = re.compile(  # {x | x > 3}
    r"\\?\{\s*[A-Za-z]\s*(?:\\in\s*(?:\\mathbb\s*\{?R\}?|ℝ)\s*)?(?:\\mid|\\vert|\||:)\s*(.+?)\s*\\?\}\Z"
)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_UNIT = re.compile(  # after an expression, where math-verify does not know it
    r"(?<=[\w})])(?:\s|\\[,;: ])+(?:(?:[cdkm]?m|in|ft|yd|units?)\s*\^\s*\{?[23]\}?|rad(?:ian)?s?)\Z"
)
_HUGE = re.compile(r"\d{4,}\s*!")


def compare_mathematics(gold: str, given: str, limit: int | None = 5) -> float:
    r"""1.0 if two expressions are equal, 0.0 if not, NaN where that could not be found out.

    Args:
        gold: LaTeX or a plain expression.
        given: The same. What is no expression is not equal; only a gold answer that is none makes it NaN.
        limit: Seconds for each step, None for none; kept by a signal, so only in the main thread.

    >>> compare_mathematics(r"(x+1)^2", "x**2 + 2*x + 1"), compare_mathematics("6", r"6\sqrt(2)")
    (1.0, 0.0)
    """
    gold, given = clean_expression(gold), clean_expression(given)
    given = given if _UNIT.search(gold) else _UNIT.sub("", given)
    if _modulo(gold) == _modulo(given):
        return 1.0
    if "\\equiv" in gold or "≡" in gold:
        return _compare_congruences(gold, given)
    if _HUGE.fullmatch(given) and not re.search(r"[!^A-Za-z]", gold):
        return 0.0  # longer than any number that is written out
    if max(map(_nesting, (gold, given))) > NESTING_LIMIT:
        return math.nan
    parse, verify, timeout = load_math_verify()
    limit = limit if threading.current_thread() is threading.main_thread() else None
    try:
        golds, givens = parse(gold, limit), parse(given, limit)
        right, said = _read_inequalities(gold, golds, parse, limit), _read_inequalities(given, givens, parse, limit)
    except (timeout, RecursionError, MemoryError):
        return math.nan
    if not golds:
        return math.nan
    if right and said and right[0] != said[0]:
        return 0.0
    if _UNEQUAL.search(given) and not said and re.search(r"[(\[]", gold):
        return math.nan  # math-verify solves it, and the problem said again would be its answer
    golds, givens = [right[1]] if right else golds, [said[1]] if said else givens
    unknown = False
    for pair in product(golds, givens):
        try:
            if verify(*pair, timeout_seconds=limit, raise_on_error=True, allow_set_relation_comp=True) and (
                "%" in gold + given or not _differ(*pair)
            ):
                return 1.0
        except (timeout, RecursionError, MemoryError):
            unknown = True
        except Exception:  # what sympy cannot compare is not equal
            continue
    return math.nan if unknown else 0.0


def clean_expression(text: str) -> str:
    r"""An expression in the LaTeX that math-verify reads.

    >>> clean_expression("2*x**10 - sqrt(3)"), clean_expression(r"\begin{aligned}x&=2\\y&=3\end{aligned}")
    ('2*x^{10} - \\sqrt{3}', 'x=2, y=3')
    """
    rows = _ROWS.search(text)
    if rows and "=" in rows[1]:
        text = ", ".join(row.replace("&", "").strip() for row in rows[1].split("\\\\") if row.strip(" &\n"))
    text = " ".join(text.replace("$", "").replace("\\varnothing", "\\emptyset").replace("∅", "\\emptyset").split())
    text = _SIGN_OF_ROOT.sub(r"\\sqrt{\1}", text).replace("√", "\\sqrt")
    text = text.replace("π", "\\pi ").replace("∞", "\\infty ").replace("±", "\\pm ")
    text = _BUILT.sub(r"\1", text)
    if len(_PLUS_MINUS.findall(text)) == 1 and "," not in text:
        text = ", ".join(_PLUS_MINUS.sub(sign, text) for sign in "+-")
    text = text.replace("\\langle", "(").replace("\\rangle", ")")
    text = _POWER.sub(lambda match: f"^{{{match[1].strip('()')}}}", text)
    text = _FUNCTIONS.sub(lambda match: "\\" + {"infinity": "infty"}.get(match[1], match[1]), text)
    return _ROOT.sub(r"\\sqrt{\1}", text)


def _read_inequalities(text: str, whole: list, parse: Callable[..., list], limit: int | None) -> tuple[Any, Any] | None:
    """The variable of "x < -1 \\lor x > 4" and the set that it may be in; None for other texts, as "x^2 < 4".

    A comma is "and", or "or" where nothing is in both.
    """
    from sympy import And, Float, Intersection, Rational, Union
    from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

    if not _UNEQUAL.search(text):
        return None
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    parts = [whole] if not _JOINED.search(text) else [parse(part.strip(), limit) for part in _JOINED.split(text)]
    variables, sets = set(), []
    for part in parts:
        relations = part[0].args if part and isinstance(part[0], And) else part[:1]
        for relation in relations:
            if not isinstance(relation, (GreaterThan, LessThan, StrictGreaterThan, StrictLessThan)):
                return None
            variables |= relation.free_symbols
            if not any(side in variables for side in relation.args):
                return None
        if len(variables) != 1 or not relations:
            return None
        exact = {number: Rational(str(number)) for number in part[0].atoms(Float)}
        sets.append(part[0].xreplace(exact).as_set())
    both = Intersection(*sets)
    return variables.pop(), Union(*sets) if both.is_empty or re.search(r"\bor\b|\\lor|\\cup|∪", text) else both


def _modulo(text: str) -> str:
    """The same spelling of congruences, which math-verify does not read."""
    text = re.sub(r"\\left|\\right|\\[,;:! ]|\\text|[\s{}()]", "", text.replace("≡", "\\equiv"))
    return re.sub(r"\\?[pb]?mod(?=\d)", r"\\mod", text)


def _compare_congruences(gold: str, given: str) -> float:
    right, said = (re.fullmatch(r"(.*\\equiv)?(-?\d+)\\mod(\d+)", _modulo(text)) for text in (gold, given))
    if not right or not said or not int(right[3]):
        return math.nan
    return float(
        said[1] in (right[1], None) and said[3] == right[3] and (int(right[2]) - int(said[2])) % int(right[3]) == 0
    )


def _nesting(text: str) -> int:
    return max(accumulate((1 if bracket in "([{" else -1 for bracket in re.findall(r"[()\[\]{}]", text)), initial=0))


def _differ(gold: Any, given: Any) -> bool:
    """Whether two numbers differ by more than their size allows; math-verify's limit takes no account of it."""
    if getattr(gold, "free_symbols", True) or getattr(given, "free_symbols", True):
        return False
    try:
        first, second = gold.doit().evalf(30), given.doit().evalf(30)
        if not (first.is_number and second.is_number):
            return False
        return bool(abs(first - second) > PRECISION * max(abs(first), abs(second)))
    except (AttributeError, TypeError):
        return False


@cache
def load_math_verify() -> tuple[Callable[[str, int | None], list], Callable[..., bool], type[BaseException]]:
    """math-verify's `parse` of a whole expression, `verify`, and what they raise when they run out of time."""
    from math_verify import LatexExtractionConfig, parse, verify
    from math_verify.errors import TimeoutException

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of every comparison without a limit

    def parse_whole(text: str, limit: int | None) -> list:
        try:
            return parse(
                f"${text}$",
                extraction_config=[LatexExtractionConfig()],  # its other reader takes a number out of the middle
                fallback_mode="no_fallback",
                parsing_timeout=limit,
                raise_on_error=True,
            )
        except (RecursionError, MemoryError):
            raise
        except Exception:
            return []

    return lru_cache(maxsize=4096)(parse_whole), verify, TimeoutException
