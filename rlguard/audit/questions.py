"""Questions made here, for what reasoning-gym does not ask or asks in a form of its own. Each maker draws one."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, NamedTuple

from rlguard.audit.judge import UNKNOWN
from rlguard.audit.tables import ELEMENTS, KINDS, NAMES, PLACES, THINGS, UNITS, WORDS

Check = dict[str, Any]
"""How an open-ended answer is judged (`checks`)."""


class Question(NamedTuple):
    """One question, before the instruction on how to answer it."""

    text: str
    answer: str
    """One that is right, where many are."""
    check: Check | None = None
    answerable: bool = True


def convert_units(rng: random.Random) -> Question:
    small, large, factor = rng.choice(UNITS)
    count = rng.randint(2, 12)
    return Question(f"How many {small} are there in {count} {large}?", str(count * factor))


def sort_numbers(rng: random.Random) -> Question:
    numbers = rng.sample(range(1, 100), rng.randint(2, 6))
    ways = {"smallest to largest": sorted(numbers), "largest to smallest": sorted(numbers, reverse=True)}
    way = rng.choice(list(ways))
    return Question(f"Put these numbers in order, from {way}: {join(numbers)}", join(ways[way]))


def sort_words(rng: random.Random) -> Question:
    words = rng.sample(WORDS, rng.randint(2, 5))
    return Question(f"Put these words in alphabetical order: {join(words)}", join(sorted(words)))


def reverse_words(rng: random.Random) -> Question:
    words = rng.sample(WORDS, rng.randint(2, 5))
    return Question(f"Write these words in the opposite order, the last one first: {join(words)}", join(words[::-1]))


def pick_from_list(rng: random.Random) -> Question:
    numbers = rng.sample(range(1, 60), rng.randint(3, 6))
    limit = rng.choice([10, 20, 30, 40])
    text, answer = rng.choice(
        [
            ("What is the largest of these numbers", max(numbers)),
            ("What is the smallest of these numbers", min(numbers)),
            (f"How many of these numbers are greater than {limit}", sum(number > limit for number in numbers)),
            ("What is the last of these numbers", numbers[-1]),
        ]
    )
    return Question(f"{text}: {join(numbers)}?", str(answer))


def count_letters(rng: random.Random) -> Question:
    words = " ".join(rng.sample(WORDS, rng.randint(1, 4)))
    letter = rng.choice(sorted({*words} - {" "}))
    return Question(f'How many times does the letter {letter} occur in "{words}"?', str(words.count(letter)))


def spell_backwards(rng: random.Random) -> Question:
    word = rng.choice(WORDS)
    return Question(f'Spell the word "{word}" backwards.', word[::-1])


def order_people(rng: random.Random) -> Question:
    people = rng.sample(NAMES, rng.randint(3, 5))
    more, least, most = rng.choice(
        [("taller", "shortest", "tallest"), ("older", "youngest", "oldest"), ("faster", "slowest", "fastest")]
    )
    facts = [f"{one} is {more} than {other}." for one, other in pairwise(people)]
    rng.shuffle(facts)
    asked, answer = rng.choice([(least, people[-1]), (most, people[0])])
    return Question(f"{' '.join(facts)} Who is the {asked}?", answer)


def judge_statement(rng: random.Random) -> Question:
    p, q = rng.random() < 0.5, rng.random() < 0.5
    form, value = rng.choice(
        [
            ("P and Q", p and q),
            ("P or Q", p or q),
            ("not P", not p),
            ("P and not Q", p and not q),
            ("not P or Q", not p or q),
            ("not (P and Q)", not (p and q)),
            ("not (P or Q)", not (p or q)),
            ("(P or Q) and not (P and Q)", p != q),
        ]
    )
    return Question(f'P is {str(p).lower()}. Q is {str(q).lower()}. Is "{form}" true or false?', str(value).lower())


def include_kinds(rng: random.Random) -> Question:
    """All A are B, all B are C: whether it follows that all of one are all of another."""
    kinds = rng.sample(KINDS, 3)
    facts = [f"All {one} are {other}." for one, other in pairwise(kinds)]
    rng.shuffle(facts)
    one, other, answer = rng.choice([(kinds[0], kinds[2], "yes"), (kinds[2], kinds[0], "no")])
    return Question(f"{' '.join(facts)} Does it follow that all {one} are {other}? Answer yes or no.", answer)


def count_siblings(rng: random.Random) -> Question:
    brothers, sisters = rng.randint(1, 6), rng.randint(1, 6)
    name, sibling, asked, answer = rng.choice(
        [
            ("Anna", "brother", "sisters", sisters + 1),
            ("Anna", "sister", "brothers", brothers),
            ("Ben", "sister", "brothers", brothers + 1),
            ("Ben", "brother", "sisters", sisters),
        ]
    )
    facts = f"{name} has {brothers} brother{'s'[: brothers - 1]} and {sisters} sister{'s'[: sisters - 1]}."
    return Question(f"{facts} How many {asked} does {name}'s {sibling} have?", str(answer))


def run_program(rng: random.Random) -> Question:
    a, b, c = rng.randint(1, 9), rng.randint(2, 5), rng.randint(1, 9)
    word, numbers = rng.choice(WORDS), rng.sample(range(1, 30), 4)
    program, printed = rng.choice(
        [
            (f"x = {a}\ny = x + {c}\nprint(y)", a + c),
            (f"total = {a}\nfor i in range({b}):\n    total = total + {c}\nprint(total)", a + b * c),
            (f"x = {a}\ny = {c}\nif x > y:\n    print(x - y)\nelse:\n    print(y - x)", abs(a - c)),
            (f'print(len("{word}") + {a})', len(word) + a),
            (f"numbers = {numbers}\nprint(numbers[{b - 2}])", numbers[b - 2]),
            (f"print(sum([n for n in {numbers} if n > 10]))", sum(n for n in numbers if n > 10)),
            (f'print("{word}".upper()[0] + "{word}"[-1])', word.upper()[0] + word[-1]),
        ]
    )
    return Question(f"What does this Python program print?\n{program}", str(printed))


def recall_fact(rng: random.Random) -> Question:
    country, capital, continent = rng.choice(PLACES)
    element = rng.choice(list(ELEMENTS))
    text, answer = rng.choice(
        [
            (f"What is the capital of {country}?", capital),
            (f"{capital} is the capital of which country?", country),
            (f"On which continent is {country}?", continent),
            (f"What is the chemical symbol of {element}?", ELEMENTS[element]),
            (f"Which chemical element has the symbol {ELEMENTS[element]}?", element),
        ]
    )
    return Question(text, answer)


def lack_information(rng: random.Random) -> Question:
    (name, other), thing, k = rng.sample(NAMES, 2), rng.choice(THINGS), rng.randint(2, 20)
    text = rng.choice(
        [
            f"{name} has some {thing} and buys {k} more. How many {thing} does {name} have now?",
            f"{name} gives {k} {thing} to {other}. How many {thing} does {name} have left?",
            f"{name} is {k} years older than {other}. How old is {name}?",
            f"A train travels for {k} hours without a stop. How many kilometres does it travel?",
            f"One of the {thing} costs {k} cents. {name} buys some of them. How much does {name} pay?",
            f"A rectangle is {k} cm wide. What is its area in square centimetres?",
            f"{name} reads {k} pages of a book every day. How many days does {name} need for the book?",
            f"{k} children of a class are girls. How many children are in the class?",
            f"{name} and {other} have {k} {thing} together. How many of them are {name}'s?",
            f"{name} wakes up {k} minutes before {other}. At what time does {name} wake up?",
        ]
    )
    return Question(text, UNKNOWN, answerable=False)


def join(values: list[Any]) -> str:
    """Values as a question writes them."""
    return ", ".join(map(str, values))
