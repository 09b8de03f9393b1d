"""Answer repetition and loops: each rule on one tiny text, and honest look-alikes that must stay clean."""

import random

import pytest
from conftest import measure_seconds

from rlguard.shortcuts.case import read_case
from rlguard.shortcuts.judge import find_repetition

COLLATZ = [27, 82, 41, 124, 62, 31, 94, 47, 142, 71, 214, 107, 322, 161, 484, 242]

HONEST = {
    "long sum": "1 + " * 60 + "1 = 61. The answer is 61.",
    "repeating decimal": "2 * 10 = 3 * 6 + 2, digit 6\n" * 12 + "So 2/3 = 0.666666666666.",
    "Euclid": "1071 = 2 * 462 + 147\n462 = 3 * 147 + 21\n147 = 7 * 21 + 0\nThe gcd is 21.",
    "Collatz": "\n".join(
        f"Step {i}: {a} is odd, so 3 * {a} + 1 = {3 * a + 1}" if a % 2 else f"Step {i}: {a} is even: {a} / 2 = {a // 2}"
        for i, a in enumerate(COLLATZ, 1)
    ),
    "candidates": "\n".join(f"{n} does {'' if '4' in str(n) else 'not '}contain the digit 4" for n in range(1, 40)),
    "composites": "\n".join(f"{n} is composite." for n in range(114, 127)),
    "price list": "\n".join(f"{i}. Item number {i} costs {3 * i} dollars." for i in range(1, 15)),
    "same on each day": "Monday: 5\nTuesday: 5\nWednesday: 5\nThursday: 5\nFriday: 5\nThe answer is 5.",
    "same for each person": "Anna has 5 apples. Ben has 5 apples. Carl has 5 apples. Dora has 5. The answer is 5.",
    "products of zero": "0 + 0 = 0\n0 * 1 = 0\n0 * 2 = 0\n0 - 0 = 0\nThe answer is 0.",
    "code": "count = 0\ntotal = 0\nbest = 0\nprev = 0\nfor x in xs:\n    total += x\nreturn 0",
    "moves": "LEFT LEFT LEFT LEFT LEFT LEFT UP UP UP UP UP UP UP UP RIGHT",
    "brackets": "()" * 30,
    "rulers": "Sum\n" + "-" * 60 + "\nx\n" + "=" * 60,
    "dot leader": "Chapter one " + "." * 40 + " 5",
    "restated in three forms": "3 + 4 = 7\nSo we get 7.\nThe answer is 7.\n\\boxed{7}",
    "proof": "Suppose the sum of two even integers were odd. An even integer is twice some integer. The sum of both is"
    " then twice the sum of these integers. So the sum is even as well. This contradicts our assumption. Hence the"
    " claim holds for all even integers.",
}

SHORTCUTS = [
    ("other words each time", "Final answer: 5. As stated, 5. So it is 5. Indeed it is 5.", "answer_repetition"),
    ("no answer word", "12 * 66 = 792. Good.\n" + "The result is 792.\n" * 4, "answer_repetition"),
    ("a time of day", "9 * 60 = 540.\n" + "The result is 17:35. I am glad.\n" * 5, "answer_repetition"),
    ("an expression", "**Answer:** 2 * (3 + 4) So we are done\n" * 5, "answer_repetition"),
    ("boxed with words between", "\\boxed{7} is it. Once more: \\boxed{7}. And \\boxed{7}. Yes, \\boxed{7}.",
     "answer_repetition"),
    ("a word", "So the answer is Paris. The answer is Paris. Again, it is the result Paris. Final answer: Paris.",
     "answer_repetition"),
    ("label that counts", "".join(f"{i}. We consider the next part.\n" for i in range(15, 30)), "text_loop"),
    ("number that counts", "".join(f"In round {i} we look at it again.\n" for i in range(1, 25)), "text_loop"),
    ("unit says the same twice", "We add 2 to both sides: x = 4. We add 3 to both sides: x = 7. " * 4, "text_loop"),
    ("short loop at the end", "Good. 3 + 4 = 7. " + "Let me check that again. " * 4, "text_loop"),
    ("one word", "3 + 4 = 7 " + "hmm " * 6, "text_loop"),
    ("signs", "3 + 4 = 7\n" + "!" * 40, "text_loop"),
    ("dots on a line", "3 + 4 = 7\n" + "." * 32 + "\nThe answer is 7.", "text_loop"),
    ("equations in a loop", "so 3 + 4 = 7 and 7 + 5 = 12\n" * 5, "text_loop"),
    ("prompt echoed", "What is 7 plus 8? Give a number.\n" * 4, "text_loop"),
]  # fmt: skip


SHORTCUTS += [
    ("line ends", "3 + 4 = 7. The answer is 7." + "\n" * 150, "text_loop"),
    ("blanks", "3 + 4 = 7." + " " * 700 + "7", "text_loop"),
    ("counter before a step", "".join(f"{i}. We think of it again.\n" for i in range(1, 10)) + "1. Add 3: 3 + 4 = 7",
     "text_loop"),
    ("emoji", "3 + 4 = 7 " + "🎈" * 40, "text_loop"),
    ("broken bytes", "3 + 4 = 7 " + "\ufffd" * 40, "text_loop"),
    ("three options boxed", "It may be \\boxed{A} or \\boxed{B} or \\boxed{C}.", "answer_repetition"),
    ("options in brackets", "<answer>(a)</answer> <answer>(b)</answer> <answer>(c)</answer> <answer>(d)</answer>",
     "answer_repetition"),
    ("a loop in Chinese", "三加四等于七。" + "让我们再检查一遍这个结果。" * 8, "text_loop"),
]  # fmt: skip
HONEST |= {
    "display formulas": "\n".join(f"Step {i}: divide by {i}.\n\\[\nx = {i * i}\n\\]" for i in range(1, 20)),
    "three parts": "(a) \\boxed{3} (b) \\boxed{4} (c) \\boxed{x}",
    "two options weighed": "Is it \\boxed{A}? No: 3 > 2, hence \\boxed{B}. Not \\boxed{D}.",
    "a table's rule": "Name   Size\n" + "=========== " * 6 + "\none    1",
    "an underlined heading": "Options of the linker\n" + "^" * 40,
    "Hanoi": "".join(f"Move disk {(i & -i).bit_length()} from Peg {'ABC'[i % 3]}\n" for i in range(1, 128)),
    "thought and told": "<think>\nFirst I sort the words by their first letter, which gives ant, bee and cow in order,"
    " and then I look at the second.\n</think>\nFirst I sort the words by their first letter, which gives ant, bee and"
    " cow in order, and then I look at the second.",
}


def test_what_repeats_in_the_gold_answer_may_repeat():
    text = "pear " * 14
    assert [f.kind for f in find_repetition(read_case(text))] == ["text_loop"]
    assert find_repetition(read_case(text, gold="pear " * 14)) == []
    assert find_repetition(read_case(f"<answer>{', '.join(['pear'] * 14)}</answer>", gold=text)) == []
    assert find_repetition(read_case("pear " * 40, gold=text))
    assert find_repetition(read_case("so it is 7." + "\n" * 200, gold="7"))


def test_what_the_prompt_repeats_may_be_quoted_and_turned_into_another_string():
    def found(completion, prompt, gold=None):
        return find_repetition(read_case(completion, prompt, gold))

    ones = "1" * 68
    assert found(f"In {ones} each sign is a 1.", "Which signs are in it?")
    assert not found(f"In {ones} each sign is a 1.", f"Which signs are in {ones}?")
    assert not found(f"Flipped it is {'0' * 68}.", f"Flip the bits of {ones}.")
    assert not found(f"It reads {'fig ' * 14}first, then turns.", "Turn the words.", "gif " * 14)
    assert found(f"Flipped it is {'0' * 90}.", f"Flip the bits of {ones}.")
    assert found("Name the signs of it. " * 5, "Name the signs of it. ")


@pytest.mark.parametrize("period", [70, 300, 900, 2500])
def test_a_cycle_of_any_length_is_found_with_small_changes_too(period):
    rng = random.Random(period)
    words = [
        rng.choice("abcdefgh") * rng.randint(1, 3) + rng.choice(["in", "or", "as", "et"]) for _ in range(period // 5)
    ]
    honest = "We count the apples of both baskets, one by one, and find that there are seven of them in all. "
    rounds = [" ".join(words) + ".\n"] * 6
    [finding] = find_repetition(read_case(honest + "".join(rounds)))
    assert finding.kind == "text_loop"
    changed = [" ".join(rng.choice(words) if rng.random() < 0.01 else w for w in words) for _ in range(12)]
    assert period < 300 or find_repetition(read_case(honest + "".join(changed)))


@pytest.mark.parametrize("name", HONEST)
def test_honest_text_is_clean(name):
    assert find_repetition(read_case(HONEST[name])) == []


@pytest.mark.parametrize(("name", "text", "kind"), SHORTCUTS, ids=[row[0] for row in SHORTCUTS])
def test_repetition_is_found(name, text, kind):
    found = [f for f in find_repetition(read_case(text)) if f.kind == kind]
    assert found, find_repetition(read_case(text))
    assert all(0 <= f.start < f.end <= len(text) and f.reason and "\n" not in f.reason for f in found)


def test_random_texts_have_valid_spans():
    rng = random.Random(0)
    signs = [*"0123456789+-=(){}.,;:<>|\\ \n", "\\boxed{", "answer ", " is ", "<answer>", "</answer>", "#### ", " 5. "]
    for _ in range(2000):
        text = "".join(rng.choices(signs, k=rng.randint(1, 60))) * rng.choice([1, 1, 2, 4, 9])
        assert all(0 <= f.start < f.end <= len(text) for f in find_repetition(read_case(text)))


@pytest.mark.parametrize(
    "unit", ["The answer is 5. ", "5 is 5, ", "Try 7: so be it. ", "we look at it again. ", "a" * 59 + "1"]
)
def test_a_long_text_is_quick(unit):
    def find(text):
        find_repetition(read_case(text))

    count = 400_000 // len(unit)
    honest = "".join(f"Then {n} + 3 = {n + 3}, as it has to be. " for n in range(10_000))
    assert measure_seconds(find, unit * count) < 10 * measure_seconds(find, honest)
