"""Where final answers stand, what gold answers say, and that reading them stays linear."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from rlguard.answers import (
    answer_type,
    extract_answer,
    find_answer,
    normalise_answer,
    parse_number,
    read_gold,
    read_golds,
    read_quantity,
)
from rlguard.answers import final as final_answers
from rlguard.guard.reading import read_evidence
from rlguard.shortcuts.scan import search
from rlguard.types import Problem, Rollout
from rlguard.verify import Exact
from rlguard.verify.process import _judge


@pytest.fixture
def readings(monkeypatch):
    """How often each text is searched for its final answer."""
    count: Counter[str] = Counter()

    def find(text, start=final_answers._said_aloud):
        count[text] += 1
        return start(text)

    monkeypatch.setattr(final_answers, "_said_aloud", find)
    final_answers._find.cache_clear()
    return count


def test_the_guard_reads_a_final_answer_once(readings):
    texts = [f"First {n} + 2 = {n + 2}. So the answer is {n + 2}." for n in range(9)] + ["no number", "answer 4"]
    for text in texts:
        read_evidence("A sum?", text, {"answer": "4"})
        read_evidence("A sum?", text, {"answer": "4"}, detectors=False)
    assert readings == Counter(texts)


def test_the_scan_reads_a_final_answer_once(readings):
    texts = [f"First {n} + 3 = {n + 3}. So the answer is {n + 3}." for n in range(9)]
    search(
        [Rollout(completion=t, prompt="A sum?", prompt_id=str(n // 3), gold="5", index=n) for n, t in enumerate(texts)]
    )
    assert readings == Counter(texts)


def test_a_verifier_process_reads_a_final_answer_once(readings):
    assert _judge(Exact(), "The answer is 75.", Problem("p", "?", "75"))[1:3] == (1.0, "75")
    assert readings == Counter(["The answer is 75."])


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        # the whole expression, not its first token
        (r"The answer is $5\sqrt{7}$.", r"5\sqrt{7}"),
        (r"So the final answer is 3^{4}.", "3^{4}"),
        ("The answer is 6, 9.", "6, 9"),
        ("The answer is 2 million.", "2 million"),
        ("The answer is red panda.", "red panda"),
        ("The answer is not 4 but 9.", "9"),
        ("The answer is thus roughly 2.5.", "2.5"),
        ("The answer is no larger than before: 4.", "no larger than"),
        ("The answer is 8. (Which answer is asked for?)", "8"),
        ("The answer is yes, as 4 divides 8.", "yes"),
        # markers
        (r"Answer: \boxed 6", "6"),
        (r"\fbox{17}", "17"),
        (r"\boxed {17}", "17"),
        (r"\boxed{\boxed{4}}", "4"),
        ("#### Final Answer\n31", "31"),
        ("## Final Answer\n\n$31$", "31"),
        ("#### Step 2\nSo 3 + 4 = 7.\n\nThe answer is 7.", "7"),
        ('<answer id="a">9</answer>', "9"),
        ("<answer>9", "9"),
        ("所以答案是36。", "36"),
        ("最终答案：上海。", "上海"),
        ("Adding up:\n\nShe has **14 apples**.", "14 apples"),
        (r"We know \boxed{x < y}." + "\n\n**Answer: C**", "C"),
        ("The answer is 5.<|im_end|>", "5"),
        # thinking is not said
        (r"<think>\boxed{3}</think>The answer is 4.", "4"),
        ("<think>I write <answer>1</answer></think>\nThe answer is 2.", "2"),
        (r"<think>So \boxed{3}", None),
        (r"<think>So \boxed{3}</think>", None),
        ("I find 8.<answer></answer>", ""),
        ("I find 8.<answer> \n </answer>", ""),
        # several
        (r"\boxed{3} or \boxed{4}", r"\boxed{3} or \boxed{4}"),
        (r"\boxed{7}, \boxed{3}, \boxed{7}", r"\boxed{7}, \boxed{3}, \boxed{7}"),
        ("$$\\boxed{3}$$\n\n$\\boxed{3}$\n\\boxed{3}", "3"),
        (r"\boxed{3} is wrong, it is \boxed{4}", "4"),
        ("<answer>3</answer><answer>4</answer>", "4"),
        ("\\boxed{31}\n\nConfidence in the answer: 90%", "31"),
    ],
)
def test_final_answers(completion, answer):
    found = find_answer(completion)
    assert (found and found.text) == answer
    if found:
        assert found.marked
        assert completion[found.start : found.end] == found.text
        assert extract_answer(completion) == found[:3]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("the digits 0 to 9", "9"),
        ("so we need 14 cm", "14 cm"),
        ("that makes 14cm.", "14cm"),
        ("which leaves $25", "25"),
        (r"So we get $4\sqrt{2}$.", r"4\sqrt{2}"),
        ("hence x = -4", "-4"),
        ("so it is (a+3)*2", "(a+3)*2"),
        ("that is 6 groups, not 8", "not 8"),
        ("it is the 3rd of 5 and the 2nd", "5"),
    ],
)
def test_a_number_without_a_marker_is_a_guess(completion, answer):
    found = find_answer(completion)
    assert found.text == answer
    assert not found.marked


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("He has 2+3=<<2+3=5>>5.\n#### 5", "5"),
        (r"Thus $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("<answer>7</answer>", "7"),
        (7, "7"),
        (7.0, "7"),
        (1e16, "10000000000000000"),
        (0.25, "0.25"),
        (["7"], "7"),
        ('["7"]', "7"),
        ({"ground_truth": "7", "style": "rule"}, "7"),
        ({"target": ["7"]}, "7"),
        (True, "True"),
    ],
)
def test_gold_answers_are_read(gold, text):
    assert read_gold(gold) == text
    assert normalise_answer(gold) == normalise_answer(text)
    assert answer_type(gold) == answer_type(text)


@pytest.mark.parametrize("gold", [None, "", "  ", math.nan, math.inf, [], {}, {"value": "6"}, [None], "nan"])
def test_what_is_no_gold_answer(gold):
    assert read_gold(gold) is None
    assert read_golds(gold) == []


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("£1,250", "1250", "£"),
        ("12 345", "12345", ""),
        (r"12\,345", "12345", ""),
        ("12,34,567", "1234567", ""),
        ("1.234,5", "2469/2", ""),
        ("2 1/4", "9/4", ""),
        (r"2\frac{1}{4}", "9/4", ""),
        ("2¼", "9/4", ""),
        (r"\tfrac{-3}{4}", "-3/4", ""),
        (r"4.5 \times 10^{-3}", "9/2000", ""),
        (r"4.5{\times}10^{-3}", "9/2000", ""),
        ("7e3", "7000", ""),
        (r"0.1\overline{6}", "1/6", ""),
        ("40%", "40", "%"),
        (r"40\%", "40", "%"),
        ("18 metres", "18", "m"),
        (r"18 \text{ m}^2", "18", "m^2"),
        ("90 km/h", "90", "km/h"),
        ("3 dozen", "36", ""),
        ("2.5 million dollars", "2500000", "$"),
        ("thirty-two", "32", ""),
        ("25°", "25", "°"),
    ],
)
def test_quantities(text, number, unit):
    found = read_quantity(text)
    assert found is not None
    assert (str(found[0]), found[1]) == (number, unit)


@pytest.mark.parametrize(
    "text",
    [
        "5x",
        "3 or 4",
        "5 squared",
        "1 2 3",
        "2021-03-05",
        "4-2",
        "12:30",
        "3 halves",
        "5!",
        "1e99999",
        "3/0",
        "",
        "x",
        "6 and more",
    ],
)
def test_what_is_no_quantity(text):
    assert read_quantity(text) is None


def test_numbers_with_units_are_no_plain_numbers():
    assert parse_number("25 cm") is None
    assert parse_number("9" * 70) == int("9" * 70)


@pytest.mark.parametrize(
    "bomb",
    [
        "#### 4" + "$ " * 200_000,
        "\\boxed{" * 30_000,
        "{" * 400_000,
        "The answer is " * 30_000,
        "answer " * 60_000,
        "9" * 400_000,
        "#### " * 80_000,
        "<answer>" * 50_000,
        "**" * 200_000,
        "$" * 400_000,
        "1 " * 200_000,
        "<think></think>" * 30_000,
        "\\boxed{1} " * 40_000,
    ],
)
def test_hostile_texts_are_read(bomb):
    # Quadratic reading would take minutes here; how long linear reading takes is no test's business.
    found = extract_answer(bomb)
    normalise_answer(found[0] if found else bomb)
    assert isinstance(normalise_answer(bomb), str)
    assert answer_type(bomb)
    assert found is None or bomb[found[1] : found[2]] == found[0]
