"""Stated equations are found and checked: hand-worked lines, and agreement with Python on random expressions."""

import random

import pytest

from rlguard.shortcuts.equations import find_equations


@pytest.mark.parametrize(
    ("text", "moduli", "holds"),
    [
        ("7+8=5", (), [False]), ("7+8=5", (10,), [True]), ("7 - 9 = 8", (10,), [True]),
        ("3*4=12=2*6", (), [True, True]),
        ("2(3+4)=14", (), [True]), ("-5 + 3 = -2", (), [True]), ("3 - -2 = 5", (), [True]), ("2**3=8", (), [True]),
        ("7+8 \\equiv 5 \\pmod{10}", (), [True]), ("2\\frac{1}{2} + 1 = 3.5", (), [True]), ("10/3=3", (), [None]),
        ("10/3=3.33", (), [True]), ("1/0=5", (), [None]), ("9^999999999=1", (), [None]), ("5! = 120", (), []),
        ("3 >= 4 + 5", (), []), ("10:30 + 45 = 11:15", (), [None]), ("x - 12 + 30 = 18", (), [None]),
        ("f(3) = 3 + 4 = 8", (), [False]), ("the remainder of 17 + 5 is 2", (), [None]), ("3 + 4 =\n= 7", (), []),
        ("**12** + **30** = **42**", (), [True]), ("2^3^2 = 512", (), [True]), ("-2^2 = -4", (), [True]),
        ("8 / 4 / 2 = 1", (), [True]), ("2 + 3 * 4 = 14", (), [True]), ("2 + 3 * 4 = 20", (), [False]),
    ],
)  # fmt: skip
def test_equations(text, moduli, holds):
    assert [e.holds for e in find_equations(text, moduli)] == holds


def test_equations_agree_with_python():
    """Random expressions, worked out by our reader and by Python itself."""
    rng = random.Random(0)
    for _ in range(2000):
        text = str(rng.randint(0, 99))
        for _ in range(rng.randint(1, 5)):
            operator, number = rng.choice("+-*"), rng.randint(0, 99)
            text = f"({text}){operator}{number}" if rng.random() < 0.3 else f"{text} {operator} {number}"
        value = eval(text)
        (right,), (wrong,) = find_equations(f"{text} = {value}"), find_equations(f"{text} = {value + 1}")
        assert (right.left, right.holds, wrong.holds) == (value, True, False), text
