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
from itertools import count, islice
from typing import Any, NamedTuple

from rlguard.audit import questions as made
from rlguard.audit.questions import Question
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
        made.spell_backwards,
        made.count_letters,
        _gym("spell_backward", min_word_len=3, max_word_len=9),
        made.count_letters,
    ),
    "lists": (made.pick_from_list, made.sort_words, made.sort_numbers, made.reverse_words),
    "logic": (made.order_people, made.judge_statement, made.count_siblings, made.include_kinds),
    "relations": (
        _gym("family_relationships", min_family_size=4, max_family_size=5),
        _gym("color_cube_rotation", min_rotations=1, max_rotations=1),
    ),
    "time and units": (
        made.convert_units,
        _gym("calendar_arithmetic", tasks=["weekday_offset", "weekday_of_date", "count_days", "is_leap_year"]),
        made.convert_units,
        _gym("time_intervals", task_types=["time", "date"]),
    ),
    "code": (
        made.run_program,
        _gym("base_conversion", max_base=10, min_value=1, max_value=40),
        made.run_program,
        _gym("count_bits", max_n=300),
    ),
    "facts": (made.recall_fact,),
    "puzzles": (_gym("number_sequence", max_complexity=1, min_value=-20, max_value=20), made.make_expression),
    "naming": (made.name_integer, made.name_word, made.name_integers, made.name_member),
    "writing": (made.write_sentence,),
    "unanswerable": (made.lack_information,),
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
        raise InputError("the built-in suite needs reasoning-gym: pip install 'rlguard[demo]'") from error
    # The gym seeds its i-th question with seed + i: seeds that lie close to each other would share questions.
    digest = hashlib.sha256(f"{seed}/{task.name}/{sorted(task.options.items())}".encode()).digest()
    data = create_dataset(task.name, seed=int.from_bytes(digest[:4], "big") >> 1, size=SIZE, **task.options)
    return task.name, lambda index: _clean(data[index])


def _clean(entry: dict[str, Any]) -> Question:
    """The question without words on the form of the answer, of which the suite has its own."""
    text = _ASKS_FORM.sub("", entry["question"]).strip()
    return Question(_STATES_TASK.sub(r"What is \1?", text), str(entry["answer"]).strip())
