"""Questions with many right answers, each with the check that tells them. Each maker draws one."""

from __future__ import annotations

import random

from rlguard.audit.checks import is_right
from rlguard.audit.questions import Check, Question, join
from rlguard.audit.tables import GROUPS, WORDS


def make_expression(rng: random.Random) -> Question:
    numbers = rng.sample(range(1, 13), rng.randint(2, 4))
    expression, value = str(numbers[0]), numbers[0]
    for number in numbers[1:]:
        sign = rng.choice("+-*") if value < 20 else rng.choice("+-")
        value = {"+": value + number, "-": value - number, "*": value * number}[sign]
        left = f"({expression})" if sign == "*" and " " in expression else expression
        expression = f"{left} {sign} {number}"
    check = {"kind": "expression", "numbers": sorted(numbers), "target": value}
    return Question(
        f"Use each of the numbers {join(sorted(numbers))} exactly once, with +, -, * or / and parentheses, to make "
        f"{value}. Give the expression.",
        expression,
        check,
    )


def name_integer(rng: random.Random) -> Question:
    low, step = rng.randint(2, 60), rng.randint(3, 9)
    high = low + 30
    between = {"kind": "integer", "low": low, "high": high}
    text, check = rng.choice(
        [
            (f"Name a whole number between {low} and {high}.", between),
            (f"Name an even number between {low} and {high}.", {**between, "multiple_of": 2}),
            (f"Name a multiple of {step} between {low} and {high}.", {**between, "multiple_of": step}),
            (f"Name a prime number below {high}.", {"kind": "integer", "low": 2, "high": high - 1, "prime": True}),
        ]
    )
    return Question(text, next(str(n) for n in range(low + 1, high) if is_right(check, str(n))), check)


def name_integers(rng: random.Random) -> Question:
    a, b, high = rng.randint(2, 12), rng.randint(2, 12), rng.randint(20, 90)
    primes: Check = {"kind": "integers", "count": 3, "low": 2, "high": high - 1, "prime": True, "different": True}
    pair: Check = {"kind": "integers", "count": 2}
    text, answer, check = rng.choice(
        [
            (f"two whole numbers whose product is {a * b}", [a, b], {**pair, "product": a * b}),
            (f"two whole numbers whose sum is {a + b}", [a, b], {**pair, "total": a + b}),
            (f"a list of three different prime numbers below {high}", [2, 3, 5], primes),
        ]
    )
    return Question(f"Give {text}.", join(answer), check)


def name_word(rng: random.Random) -> Question:
    word = rng.choice(WORDS)
    first, last, letters = word[0], word[-1], len(word)
    begins: Check = {"kind": "word", "starts": first}
    text, check = rng.choice(
        [
            (f"that begins with the letter {first}", begins),
            (f"that begins with {first} and ends with {last}", {**begins, "ends": last}),
            (f"of {letters} letters that begins with {first}", {**begins, "letters": letters}),
        ]
    )
    return Question(f"Give an English word {text}.", word, check)


def name_member(rng: random.Random) -> Question:
    group = rng.choice(list(GROUPS))
    values = GROUPS[group].split()
    return Question(f"Name {group}.", values[0], {"kind": "one_of", "values": values})


def write_sentence(rng: random.Random) -> Question:
    word, other = rng.sample(WORDS, 2)
    words, capital, absent = rng.randint(4, 8), word.capitalize(), _absent(word)
    sentences = {
        4: f"Here is the {word}.", 5: f"I once saw the {word}.", 6: f"I once saw the {word} there.",
        7: f"I once saw the {word} there too.", 8: f"Yesterday I saw the {word} that was old.",
    }  # fmt: skip
    contains: Check = {"kind": "text", "contains": [word]}
    text, answer, check = rng.choice(
        [
            (
                f'of exactly {words} words that contains the word "{word}"',
                sentences[words],
                {**contains, "words": words},
            ),
            (
                f'that contains the words "{word}" and "{other}"',
                f"I drew the {word} beside the {other}.",
                {"kind": "text", "contains": [word, other]},
            ),
            (f'that is a question and contains the word "{word}"', f"Is this the {word}?", {**contains, "ends": "?"}),
            (f'that begins with the word "{capital}"', f"{capital} is what I like.", {"kind": "text", "starts": word}),
            (
                f'that contains the word "{word}" and not the letter "{absent}"',
                f"I know the {word}.",
                {**contains, "without": absent},
            ),
        ]
    )
    return Question(f"Write a sentence {text}.", answer, check)


def _absent(word: str) -> str:
    """A letter that is neither in the word nor in the sentence that is its example."""
    return next(letter for letter in "rsdlum" if letter not in word)
