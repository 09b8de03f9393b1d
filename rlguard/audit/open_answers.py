"""How an open-ended answer is judged: predicates that a suite names as data, `{"kind": "integer", "low": 3}`.

Data never holds code: a check has a kind out of `CHECKS` and that predicate's parameters.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from rlguard.answers import normalise_answer, parse_number
from rlguard.types import InputError

LIMIT = 400
"""Characters of an answer; a longer one is no answer."""
PRIME_LIMIT = 10**9
_INTEGER = re.compile(r"(?<![\d.])(?<!\d-)-?\d+(?:\.\d+)?")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_OPERATORS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def is_right(check: Mapping[str, Any], answer: str) -> bool:
    """Whether an answer passes a check; parameters that are None are left out.

    Raises:
        InputError: If the check's kind or a parameter is unknown or does not fit.

    >>> is_right({"kind": "integer", "low": 30, "high": 60, "multiple_of": 2}, "42")
    True
    >>> is_right({"kind": "text", "words": 5, "contains": ["river"]}, "The river is not wide.")
    True
    """
    kind = str(check.get("kind"))
    if kind not in CHECKS:
        raise InputError(f"'check' must have a 'kind' out of {', '.join(CHECKS)}, got {dict(check)!r:.120}")
    parameters = {name: value for name, value in check.items() if name != "kind" and value is not None}
    try:
        return len(answer) <= LIMIT and CHECKS[kind](answer, **parameters)
    except (TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"'check' must hold what {kind!r} takes, got {dict(check)!r:.120} ({error})") from error


def is_integer(
    answer: str, low: float = -math.inf, high: float = math.inf, multiple_of: int = 1, prime: bool = False
) -> bool:
    """A whole number in [low, high]."""
    number = parse_number(answer)
    return number is not None and number.denominator == 1 and _fits(int(number), low, high, multiple_of, prime)


def are_integers(
    answer: str,
    count: int,
    low: float = -math.inf,
    high: float = math.inf,
    prime: bool = False,
    different: bool = False,
    total: int | None = None,
    product: int | None = None,
) -> bool:
    """`count` whole numbers in [low, high] in one line, with this sum and this product; what follows "=" is not read.

    >>> are_integers("4 and 9", 2, product=36), are_integers("4 * 9 = 36", 2, product=36), are_integers("3 * 9", 2, 36)
    (True, True, False)
    """
    found = _INTEGER.findall(answer.split("=")[0])
    if len(found) != count or any("." in number or len(number) > 15 for number in found):
        return False
    numbers = [int(number) for number in found]
    return (
        all(_fits(number, low, high, 1, prime) for number in numbers)
        and (not different or len(set(numbers)) == count)
        and total in (None, sum(numbers))
        and product in (None, math.prod(numbers))
    )


def is_word(answer: str, starts: str = "", ends: str = "", letters: int | None = None) -> bool:
    """One word that begins and ends with these letters. No dictionary is asked: 3 to 20 letters out of a to z, a vowel
    among them, and none three times in a row.

    >>> is_word("Boat", "b", "t"), is_word("bt", "b", "t"), is_word("a boat", ends="t")
    (True, False, False)
    """
    word = answer.strip(" .\"'").lower()
    return (
        re.fullmatch(r"[a-z]{3,20}", word) is not None
        and re.search(r"[aeiouy]", word) is not None
        and re.search(r"(.)\1\1", word) is None
        and word.startswith(starts.lower())
        and word.endswith(ends.lower())
        and letters in (None, len(word))
    )


def is_one_of(answer: str, values: Sequence[str]) -> bool:
    """One of the values; case and an article do not count.

    >>> is_one_of("The Atlantic", ["Atlantic", "Pacific"])
    True
    """
    return _bare(answer) in {_bare(value) for value in values}


def is_text(
    answer: str,
    words: int | None = None,
    contains: Sequence[str] = (),
    starts: str = "",
    ends: str = "",
    without: str = "",
) -> bool:
    """One line of at least three words, none more than twice: `words` of them, with those in `contains`, the first one
    `starts`, the last characters `ends`, and without the letter `without`.

    >>> is_text("Where is the old bridge?", contains=["bridge"], ends="?", without="u")
    True
    """
    found = [word.lower() for word in _WORD.findall(answer)]
    return (
        len(found) >= 3
        and "\n" not in answer.strip()
        and max(found.count(word) for word in found) <= 2
        and words in (None, len(found))
        and {word.lower() for word in contains} <= set(found)
        and (not starts or found[0] == starts.lower())
        and answer.rstrip(" \"'”").endswith(ends)
        and not (without and without.lower() in answer.lower())
    )


def is_expression(answer: str, numbers: Sequence[int], target: int) -> bool:
    """An expression of +, -, *, / and parentheses that uses each of the numbers once and has this value.

    >>> is_expression("(7 - 4) * 8 = 24", [4, 7, 8], 24), is_expression("4 * 6", [4, 7, 8], 24)
    (True, False)
    """
    text = answer.split("=")[0].translate(str.maketrans("×÷−·", "*/-*")).strip(" .")
    if len(text) > 100 or not re.fullmatch(r"[\d ()+*/-]+", text):
        return False
    used: list[int] = []
    try:
        value = _evaluate(ast.parse(text, mode="eval").body, used)
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        return False
    return value == target and sorted(used) == sorted(numbers)


CHECKS: dict[str, Callable[..., bool]] = {
    "integer": is_integer,
    "integers": are_integers,
    "word": is_word,
    "one_of": is_one_of,
    "text": is_text,
    "expression": is_expression,
}


def _fits(number: int, low: float, high: float, multiple_of: int, prime: bool) -> bool:
    return low <= number <= high and number % multiple_of == 0 and (not prime or _is_prime(number))


def _is_prime(number: int) -> bool:
    return 1 < number < PRIME_LIMIT and all(number % factor for factor in range(2, math.isqrt(number) + 1))


def _bare(value: str) -> str:
    return re.sub(r"^(?:the|an?) ", "", normalise_answer(value))


def _evaluate(node: ast.expr, used: list[int]) -> Fraction | None:
    """The value of an expression whose numbers go to `used`; None where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        used.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(node.left, used), _evaluate(node.right, used)
        return None if left is None or right is None else _OPERATORS[type(node.op)](left, right)
    return None
