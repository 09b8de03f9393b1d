"""A problem with its worked steps, and the exact check that those steps are true. Pure Python."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Rng = random.Random


@dataclass(frozen=True)
class Step:
    """One step of a solution: words, and (unless it is a step of pure reasoning) an equation `left = right`."""

    words: str
    left: str = ""
    """An expression over + - * / ( ) and numbers, perhaps with `x`; empty for a step in words."""
    right: str = ""
    modulus: int = 0
    """When set, the equation holds modulo this number and is written without saying so."""
    unit: str = ""
    """Written after the right side."""
    tail: str = ""
    """A name for the right side, such as `the remainder`."""


@dataclass(frozen=True)
class Problem:
    """A prompt, its gold answer and the steps an honest solver takes."""

    family: str
    prompt: str
    gold: str
    steps: tuple[Step, ...]
    x: Fraction | None = None
    """Value of the unknown in the steps' equations."""
    final_step: bool = True
    """Whether the last equation's right side is the gold answer."""
    reports: bool = False
    """Whether the problem is on the report side, whose stock phrases the tune side never sees."""

    @property
    def equations(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.left)


def phrases(problem: Problem, texts: Sequence[str]) -> Sequence[str]:
    """The half of some stock phrases that belongs to the problem's split."""
    return texts[1::2] if problem.reports else texts[::2]


def parse_value(text: str) -> Fraction:
    """The number in a right side: `12`, `-3`, `1.50`, `2/4`, `1,200`.

    >>> parse_value("1,200.5")
    Fraction(2401, 2)
    """
    text = text.replace(",", "")
    top, _, bottom = text.partition("/")
    return Fraction(top) / (Fraction(bottom) if bottom else 1)


def evaluate(expression: str, x: Fraction | None = None) -> Fraction:
    """The exact value of an expression over + - * / ** ( ) and numbers, with `x` for the unknown.

    >>> evaluate("3 * (4 + 5) / 2")
    Fraction(27, 2)
    """
    code = re.sub(r"(\d)\s*(?=[x(])", r"\1*", expression.replace(",", ""))
    if not re.fullmatch(r"[-+*/(). \dx]+", code):
        raise ValueError(f"expression {expression!r}: expected numbers, + - * / ( ) and x")
    code = re.sub(r"\d+(?:\.\d+)?", lambda m: f"Fraction('{m[0]}')", code)
    # Only digits, operators and x can reach this point.
    return Fraction(eval(code, {"__builtins__": {}, "Fraction": Fraction, "x": x}))


def is_true(step: Step, x: Fraction | None = None) -> bool:
    """Whether a step's equation holds (a step in words counts as true).

    >>> is_true(Step("", "7 + 8", "5", modulus=10)), is_true(Step("", "3x + 1", "7"), Fraction(2))
    (True, True)
    """
    if not step.left:
        return True
    right = evaluate(step.right, x)
    difference = evaluate(step.left, x) - right
    return difference % step.modulus == 0 if step.modulus else difference == 0


def check_problem(problem: Problem) -> Problem:
    """The problem itself, when its steps are true and lead to the gold answer.

    Raises:
        ValueError: Names the step that is false.
    """
    for step in problem.steps:
        if not is_true(step, problem.x):
            raise ValueError(f"{problem.family}: {problem.prompt!r}: expected a true step, got {step}")
    if problem.final_step and problem.equations:
        last, gold = problem.equations[-1].right, problem.gold
        if parse_value(last) != parse_value(gold):
            raise ValueError(f"{problem.family}: {problem.prompt!r}: steps end at {last}, gold is {gold}")
    return problem


def show_number(value: Fraction | int) -> str:
    """An integer, a decimal that ends, or a fraction.

    >>> show_number(Fraction(5, 2)), show_number(Fraction(1, 3)), show_number(7)
    ('2.5', '1/3', '7')
    """
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    bottom = value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    if bottom == 1 and value.denominator <= 1000:
        return f"{float(value):.10g}"
    return f"{value.numerator}/{value.denominator}"
