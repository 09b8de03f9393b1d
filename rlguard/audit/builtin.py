"""The built-in suite: domains from structured to open-ended, made anew from a seed, by reasoning-gym and here.

Every other question of a domain is easy, so that small models are not at 0 everywhere. Left out of reasoning-gym are
tasks whose answer takes several lines or a form of its own, and those of whose gold answers some are wrong or in doubt
(in 0.1.25 from "All ants are dolphins" and "Some dolphins are not spiders" should follow "Some ants are not spiders").
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
from collections.abc import Callable, Iterator
from itertools import count, islice, pairwise
from typing import Any, NamedTuple

from rlguard.audit.marking import UNKNOWN, is_right
from rlguard.types import InputError

logger = logging.getLogger(__name__)

SIZE = 1_000_000
"""Size of reasoning-gym's data sets: the same for every n, so that the first questions do not depend on n."""
PATIENCE = 300
"""A domain is exhausted after this many draws without a new question."""
SHORT = 'Give the answer at the end, after "The answer is".'
INSTRUCTIONS = {"writing": "Write the sentence and nothing else."}
"""How to answer, in the domains in which it is not `SHORT`."""

_ASKS_FORM = re.compile(r"\s*(?:Give|Provide|Return|Reply)\b[^.\n]*\bfinal answer\.", re.IGNORECASE)
_STATES_TASK = re.compile(r"^State the final answer to the following arithmetic problem: (.*) =$")


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jonas Kate Leo Maria Nils Olga Paul Rosa Sam Tina Victor"
)
THINGS = _words(
    "apples books candles coins eggs flowers lemons marbles nails pears pencils shells stamps stones tickets"
)
WORDS = _words(
    "boat bread bridge bucket castle chair cloud corn desk door farm field fish forest garden glass grass hammer hand "
    "harbour horse island jacket kitchen ladder lamp letter market milk mirror mountain mouse music night ocean paper "
    "plant pocket rabbit rain river road salt school shadow shirt silver snow spring stone street summer sugar table "
    "tower train tree valley village wagon water window winter wood"
)
KINDS = _words("blips dobs gorks lems mips norts plims quabs rils snogs tams vorps wugs zants")
"""Words without a meaning."""

COUNTRIES = """
Argentina/Buenos Aires/South America, Austria/Vienna/Europe, Bangladesh/Dhaka/Asia, Belgium/Brussels/Europe,
Bulgaria/Sofia/Europe, Canada/Ottawa/North America, Chile/Santiago/South America, China/Beijing/Asia,
Croatia/Zagreb/Europe, Cuba/Havana/North America, Denmark/Copenhagen/Europe, Ecuador/Quito/South America,
Ethiopia/Addis Ababa/Africa, Finland/Helsinki/Europe, France/Paris/Europe, Germany/Berlin/Europe, Ghana/Accra/Africa,
Greece/Athens/Europe, Hungary/Budapest/Europe, India/New Delhi/Asia, Iran/Tehran/Asia, Iraq/Baghdad/Asia,
Ireland/Dublin/Europe, Italy/Rome/Europe, Japan/Tokyo/Asia, Kenya/Nairobi/Africa, Mexico/Mexico City/North America,
Morocco/Rabat/Africa, Nepal/Kathmandu/Asia, Norway/Oslo/Europe, Pakistan/Islamabad/Asia, Peru/Lima/South America,
Poland/Warsaw/Europe, Portugal/Lisbon/Europe, Romania/Bucharest/Europe, Senegal/Dakar/Africa, Serbia/Belgrade/Europe,
South Korea/Seoul/Asia, Spain/Madrid/Europe, Sweden/Stockholm/Europe, Syria/Damascus/Asia, Thailand/Bangkok/Asia,
Tunisia/Tunis/Africa, Uganda/Kampala/Africa, Uruguay/Montevideo/South America, Venezuela/Caracas/South America,
Vietnam/Hanoi/Asia, Zambia/Lusaka/Africa, Zimbabwe/Harare/Africa
"""
"""Country, capital and continent, where none is spelt or named in two ways."""
PLACES = [entry.split("/") for entry in " ".join(COUNTRIES.split()).split(", ")]
ELEMENTS = dict(
    entry.split("/")
    for entry in _words(
        "hydrogen/H helium/He carbon/C nitrogen/N oxygen/O fluorine/F neon/Ne sodium/Na magnesium/Mg "
        "silicon/Si phosphorus/P sulfur/S chlorine/Cl argon/Ar potassium/K calcium/Ca iron/Fe nickel/Ni "
        "copper/Cu zinc/Zn silver/Ag tin/Sn iodine/I gold/Au mercury/Hg lead/Pb uranium/U"
    )
)
GROUPS = {
    "a planet of our solar system": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune",
    "a day of the weekend": "Saturday Sunday",
    "a day of the week whose name begins with T": "Tuesday Thursday",
    "a month that has exactly 30 days": "April June September November",
    "a month that has 31 days": "January March May July August October December",
    "a month whose name ends with the letter r": "September October November December",
    "a colour of the rainbow": "red orange yellow green blue indigo violet purple",
    "a season of the year": "spring summer autumn fall winter",
    "one of the four points of the compass": "north south east west",
    "a vowel": "a e i o u y",
    "a digit that is odd": "1 3 5 7 9 one three five seven nine",
    "a piece in the game of chess": "king queen rook bishop knight pawn castle",
    "a suit in a pack of cards": "hearts diamonds clubs spades heart diamond club spade",
    "one of the five human senses": "sight hearing touch smell taste vision",
}
UNITS = (
    ("minutes", "hours", 60), ("seconds", "minutes", 60), ("hours", "days", 24), ("days", "weeks", 7),
    ("months", "years", 12), ("centimetres", "metres", 100), ("metres", "kilometres", 1000),
    ("grams", "kilograms", 1000),
)  # fmt: skip

Check = dict[str, Any]
"""How an open-ended answer is judged (`marking.CHECKS`)."""


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


# Questions with many right answers, each with the check that tells them.


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


# The domains, and their questions in turn.


class Gym(NamedTuple):
    """A task of reasoning-gym."""

    name: str
    options: dict[str, Any]


Task = Gym | Callable[[random.Random], Question]


def _gym(name: str, **options: Any) -> Gym:
    return Gym(name, options)


DOMAINS: dict[str, tuple[Task, ...]] = {
    "arithmetic": (
        _gym("chain_sum", min_terms=2, max_terms=2, min_digits=1, max_digits=1),
        _gym("basic_arithmetic", min_terms=2, max_terms=3, min_digits=1, max_digits=2),
        _gym("chain_sum", min_terms=2, max_terms=3, min_digits=1, max_digits=2),
        _gym("products", min_digits=1, max_digits=2),
    ),
    "algebra": (
        _gym("simple_equations", min_value=1, max_value=9, min_terms=2, max_terms=2),
        _gym("simple_equations", min_value=1, max_value=50),
    ),
    "number theory": (
        _gym("gcd", min_value=2, max_value=30),
        _gym("gcd", min_value=10, max_value=300),
        _gym("lcm", min_value=2, max_value=12),
        _gym("count_primes", max_n=40),
    ),
    "word problems": (
        _gym("leg_counting", min_animals=1, max_animals=2, max_instances=5),
        _gym("gsm_symbolic"),
    ),
    "letters": (
        spell_backwards,
        count_letters,
        _gym("spell_backward", min_word_len=3, max_word_len=9),
        count_letters,
    ),
    "lists": (pick_from_list, sort_words, sort_numbers, reverse_words),
    "logic": (order_people, judge_statement, count_siblings, include_kinds),
    "relations": (
        _gym("family_relationships", min_family_size=4, max_family_size=5),
        _gym("color_cube_rotation", min_rotations=1, max_rotations=1),
    ),
    "time and units": (
        convert_units,
        _gym("calendar_arithmetic", tasks=["weekday_offset", "weekday_of_date", "count_days", "is_leap_year"]),
        convert_units,
        _gym("time_intervals", task_types=["time", "date"]),
    ),
    "code": (
        run_program,
        _gym("base_conversion", max_base=10, min_value=1, max_value=40),
        run_program,
        _gym("count_bits", max_n=300),
    ),
    "facts": (recall_fact,),
    "puzzles": (_gym("number_sequence", max_complexity=1, min_value=-20, max_value=20), make_expression),
    "naming": (name_integer, name_word, name_integers, name_member),
    "writing": (write_sentence,),
    "unanswerable": (lack_information,),
}


def make_rows(n: int, seed: int) -> Iterator[dict[str, Any]]:
    """The first n questions of every domain as rows of a suite; fewer, and a line in the log, where there are no more.

    The same arguments give the same rows in every process, and a larger n begins with those of a smaller one.

    Raises:
        InputError: If n is not positive, or reasoning-gym is not installed.
    """
    if n < 1:
        raise InputError(f"questions: expected at least 1 a domain of the built-in suite, got {n}")
    for domain, tasks in DOMAINS.items():
        found = list(islice(_draw(tasks, seed), n))
        if len(found) < n:
            logger.warning("the built-in suite has %d questions of the domain %r, not %d", len(found), domain, n)
        for name, question in found:
            yield _make_row(domain, name, question)


def _make_row(domain: str, task: str, question: Question) -> dict[str, Any]:
    instruction = INSTRUCTIONS.get(domain, SHORT)
    row: dict[str, Any] = {"prompt": f"{question.text}\n{instruction}", "answer": question.answer, "domain": domain}
    row |= {"task": task, "instruction": instruction, "answerable": question.answerable}
    return row if question.check is None else row | {"check": question.check}


def _draw(tasks: tuple[Task, ...], seed: int) -> Iterator[tuple[str, Question]]:
    """Distinct questions of the tasks in turn, each with its task's name, until none is new."""
    drawn, seen, idle = [_open(task, seed) for task in tasks], set[str](), 0
    for index in count():
        for name, draw in drawn:
            question = draw(index)
            idle += 1
            if question.text not in seen:
                seen.add(question.text)
                idle = 0
                yield name, question
        if idle > PATIENCE:
            return


def _open(task: Task, seed: int) -> tuple[str, Callable[[int], Question]]:
    """A task's name, and its question of each number."""
    if not isinstance(task, Gym):
        return task.__name__, lambda index: task(random.Random(f"{seed}/{task.__name__}/{index}"))
    try:
        from reasoning_gym import create_dataset
    except ImportError as error:
        raise InputError("the built-in suite needs reasoning-gym: pip install reasoning-gym") from error
    # The gym seeds its i-th question with seed + i: seeds that lie close to each other would share questions.
    digest = hashlib.sha256(f"{seed}/{task.name}/{sorted(task.options.items())}".encode()).digest()
    data = create_dataset(task.name, seed=int.from_bytes(digest[:4], "big") >> 1, size=SIZE, **task.options)
    return task.name, lambda index: _clean(data[index])


def _clean(entry: dict[str, Any]) -> Question:
    """The question without words on the form of the answer, of which the suite has its own."""
    text = _ASKS_FORM.sub("", entry["question"]).strip()
    return Question(_STATES_TASK.sub(r"What is \1?", text), str(entry["answer"]).strip())
