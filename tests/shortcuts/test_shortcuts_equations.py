"""Stated equations are found and checked: hand-worked lines, and agreement with Python on random expressions."""

import random

import pytest

from rlguard.shortcuts.text import find_equations


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


HONEST = [
    "A = 255, 80 = 8*16",
    "one of 7, 7 * 2 = 15",
    "22 / 7 ≈ 3",
    "387 + 295 = 700 (rounded)",
    "is about 3 * 4 = 12",
    "1/3 = 0.333...",
    "0.333... * 3 = 1",
    "5/3 = 1.666...",
    "12 + 30 = 43. Wait, 12 + 30 = 42",
    "12 + 30 = 43\nWait, that is not right",
    "Suppose x = 3. Then 2 * 3 = 7, a contradiction.",
    "A student wrote 3 + 4 = 8.",
    '"3 + 4 = 8" is a typo',
    "17 = 3*5 + 2",
    "17 / 5 = 3 remainder 2",
    "17 ÷ 5 = 3 R 2",
    "1,234 + 6 = 1,240",
    "1.200 + 300 = 1.500",
    "1 200 + 300 = 1 500",
    "12:30 = 12:30",
    "2024-05-03 = 3 May 2024",
    "05/03/2024 = 2024-05-03",
    "Step 1 = 3 + 4",
    "Step 1 - 12 + 30 = 42",
    "x = x + 1",
    "7 + 6 = 15 in base 8",
    "In base 8, 7 + 6 = 15",
    "3 + 4 ≠ 8",
    "3 + 4 <= 8",
    "45 + 30 = 1 hour 15 minutes",
    "24 + 24 = 2 days",
    "5 * 100 cm = 5 m",
    "3 h * 2 = 360 min",
    "3 + 5 = 8 / 2 = 4",
    "$k = 1$ gives $1 - 6 + 12 - 35 = -28$",
    "38 - 47 = -9\n-9 + 63 = 54",
    "\\frac{1}{2} (\\frac{15}{8}+\\frac{1}{8}) = 1",
    "$\\frac{1}{2} (3+5) = 4$",
    "n = 5 gives 6 * 5 + 6 = 36",
    "12 - 5 is 2 more than 5",
    "(1) -12 + 30 = 18",
    "a \\cdot 3 + 4 = 10",
    "$12 - 13 = -1$ $-1 - 5 = -6$",
    "3x + 4 = 10",
    "|3 - 5| + 1 = 3",
    "20% of 50 is 10",
    "12 + 30 = 44?",
    "15 + 5 = 4 m, so m = 5",
    "100 - 20% = 80",
    "2\\,000 + 5 = 2\\,005",
    "12 - 3\n-5 + 3 = 7",
    "assert 3 * 2 == 7",
    "17 = 2 (mod 5)",
    "3^2 = 9",
    "√16 + 9 = 13",
    "10 + 5 = 3 pm",
    "2 + 2 = 5 is wrong",
    "The claim 2+2=5 fails",
    "3 4 + 5 = 39",
    "log 100 + 1 = 3",
    "f (3) + 2 = 11",
    "f(3) + 2 = 11",
    "a_1 + 3 = 7",
    "90 / 60 = 1.5 hours",
    "5 (3 + 4 = 7)",
    "1 + 2 + ... + 10 = 55",
    "1 + 2 + \\dots + 10 = 55",
    "C(5,2) = 10",
    "5! / 3! = 20",
    "6! / 2 = 360",
    "3 + 4i = 5",
    "\\binom{5}{2} = 10",
    "10 mod 3 = 1",
    "-7 % 3 = 2",
    "2 + 3 =\n5",
    "2 + 3\n= 5",
    "100 = 1 m * 1",
    "\\frac{7}{2} = 3\\frac{1}{2}",
    "7/2 = 3 1/2",
    "12 + 5 = 5 on a clock",
]
FALSE = [
    "3 + 4 = 7, 7 * 2 = 15, 15 + 1 = 16",
    "5-8 = 6 (mod 7)",
    "387 × 80 = 30959",
    "1 * 1000 = 1070 m",
    "3 hours * 60 = 190 minutes",
    "20% of 50 is 12",
    "| a | 3 + 4 = 8 |",
    "which is 3 + 4 = 8.",
    "**3 + 4 = 8**",
    "-> 3 + 4 = 8",
    "<think>\n3 + 4 = 8\n</think>",
    "$\\frac{11}{2} = 4$",
    "\\(3 + 4 = 8\\)",
    "9 * 8 equals 64.",
    "\\frac{1}{2} (3+5) = 5",
    "12 + 3 = 16\\text{ dollars}$",
    "12 plus 30 gives 44.",
    "$3 + 4$ is $8$.",
    "3 + 4 = 8\n- Next",
    "3 + 4 = 8 km",
    "9 + 49 = 57 \\times 18 = 97",
    "3 + 4 &= 8 \\\\\n-8 + 2 &= -6",
    "17 mod 5 = 3.",
    "x = 3 + 4 = 8.",
    "2 * (3 + 4) = 15",
    "1/4 + 1/4 = 1/3",
    "5.5 + 2 = 8.5",
    "1,200 + 300 = 1,600",
]


@pytest.mark.parametrize("ending", ["", "\nNext"])
@pytest.mark.parametrize("text", HONEST)
def test_honest_equations_are_never_false(text, ending):
    assert False not in [e.holds for e in find_equations(text + ending)]


@pytest.mark.parametrize("text", FALSE)
def test_false_equations_are_found(text):
    assert False in [e.holds for e in find_equations(text + "\nNext")]


def test_a_chain_ends_with_its_line_and_its_formula():
    lines = find_equations("38 - 47 = -9\n-9 + 63 = 54")
    assert [(e.left, e.right, e.holds) for e in lines] == [(-9, -9, True), (54, 54, True)]
    aligned = find_equations(r"12 - 13 &= -1 \\ -1 - 51 &= -52 \\ -52 - 60 &= -112")
    assert [e.holds for e in aligned] == [True] * 3
    assert [e.holds for e in find_equations("2 + 3\n= 5")] == [True]
    assert [e.left for e in find_equations("$k = 1$ gives $1 - 6 + 12 - 35 = -28$")] == [-28]


def test_plain_reading_agrees_with_the_parser():
    """Plain equations are read without the parser; in brackets they go through it."""
    rng = random.Random(1)
    for _ in range(1000):
        text = " ".join(f"{rng.randint(1, 99)} {rng.choice('+-*/')}" for _ in range(rng.randint(1, 4))) + " 7"
        plain, parsed = find_equations(f"{text} = 5"), find_equations(f"({text}) = 5")
        assert [(e.left, e.operands) for e in plain] == [(e.left, e.operands) for e in parsed], text
