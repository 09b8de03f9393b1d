"""Tasks of the streams: a prompt, how a solution reads, how a failure reads, and how answers are guessed.

A lucky success carries a failure's text that states the gold answer. Scripted texts say little: a detector finds about
the same in solutions as in failures, as it does in real ones, so these streams test counts and answers. Real texts come
from the folder that RLGUARD_DATA names: GSM8K's solutions, failures that stop short of their end, and for prompts that
nobody solves MR-GSM8K's flawed solutions of real models.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
RARE_CHANCE, COMMON_CHANCE = 0.01, 0.1
"""Chance rates where answers are many, and where few are common, for families whose luck is one flat rate."""
COMMON_ANSWERS, MANY_ANSWERS = 30, 100
"""Free-form answers that are guessed by Zipf's law (a gold answer passes a guess in .1 on average), or evenly (.01)."""
LONG_WORDS = 2_000, 8_000
SHOWS = 0.84, 0.76
"""How often solutions and failures show a step that speaks for them, as real ones do (GSM8K's of four models)."""


@dataclass(frozen=True)
class Task:
    """One prompt."""

    prompt: str
    gold: str | None
    """What the trainer's row holds; None where tests decide."""
    solve: Callable[[np.random.Generator, str], str]
    """A solution that states an answer."""
    fail: Callable[[np.random.Generator, str], str]
    """A failure that states an answer; an empty one asks for a wrong one of its own, where the family lists none."""
    accepted: str = ""
    """Another spelling of the gold answer, which the verifier accepts; empty where there is none."""


@dataclass(frozen=True)
class Answers:
    """What a rollout that does not solve its prompt answers."""

    values: list[str]
    """Empty: guesses pass with `flat`, and what they answer says nothing (tests, real texts)."""
    shares: np.ndarray
    flat: float = 0.0

    @property
    def bounds(self) -> np.ndarray:
        """Cumulated shares."""
        return np.cumsum(self.shares) / self.shares.sum()

    def chance(self, gold: int) -> float:
        """How often a guess passes for the gold answer with this number."""
        return float(self.shares[gold]) if self.values else self.flat


def free_form(values: list[str], common: bool) -> Answers:
    """A few common answers, by Zipf's law, or many equal ones."""
    size = COMMON_ANSWERS if common else MANY_ANSWERS
    shares = 1 / np.arange(1, size + 1) if common else np.ones(size)
    return Answers(values[:size], shares / shares.sum())


def flat(common: bool) -> Answers:
    """One chance rate for every prompt."""
    return Answers([], np.ones(1), COMMON_CHANCE if common else RARE_CHANCE)


@dataclass(frozen=True)
class Family:
    """Tasks of one kind."""

    answers: Callable[[bool], Answers]
    """By whether few answers are common."""
    make: Callable[[np.random.Generator, int, str, bool], Task]
    """From a generator, the prompt's number, its gold answer and whether nobody solves it."""
    needs: tuple[str, ...] = ()
    """Files under RLGUARD_DATA."""


def _beads(rng: np.random.Generator, total: int) -> tuple[int, int, int]:
    """x + y − z = total."""
    x, y = (int(n) for n in rng.integers(total // 2 + 11, total // 2 + 90, 2))
    return x, y, x + y - total


def _solved(x: int, y: int, z: int) -> str:
    return f"Red and blue beads: {x} + {y} = {x + y}. Without those that are lost: {x + y} - {z} = {x + y - z}. "


def _failed(x: int, z: int, total: int, rng: np.random.Generator) -> str:
    """True steps to `total` with a number that the prompt does not hold."""
    first = int(rng.integers(2, 30))
    return f"First we take {x} + {first} = {x + first}. Then {x + first} - {x + first - total} = {total}. "


def _ask(number: int, x: int, y: int, z: int) -> str:
    return f"Box {number} holds {x} red beads and {y} blue beads, and {z} of them are lost."


def make_integers(rng: np.random.Generator, number: int, gold: str, _: bool) -> Task:
    x, y, z = _beads(rng, int(gold))
    return Task(
        f"{_ask(number, x, y, z)} How many beads are left?",
        gold,
        lambda rng, answer: f"{_solved(x, y, z)}The answer is \\boxed{{{answer}}}.",
        lambda rng, answer: f"{_failed(x, z, int(answer.split()[0]), rng)}The answer is \\boxed{{{answer}}}.",
        accepted=f"{gold} beads",
    )


def make_bare(rng: np.random.Generator, number: int, gold: str, impossible: bool) -> Task:
    task = make_integers(rng, number, gold, impossible)
    return Task(
        task.prompt, gold, lambda rng, answer: f"\\boxed{{{answer}}}", lambda rng, answer: f"\\boxed{{{answer}}}"
    )


def make_long(rng: np.random.Generator, number: int, gold: str, impossible: bool) -> Task:
    task = make_integers(rng, number, gold, impossible)
    return Task(
        task.prompt,
        gold,
        lambda rng, answer: _ponder(rng) + task.solve(rng, answer),
        lambda rng, answer: _ponder(rng) + task.fail(rng, answer),
    )


def _ponder(rng: np.random.Generator) -> str:
    """Some thousand words of reasoning."""
    count = int(rng.integers(*LONG_WORDS)) // 16
    pairs = rng.integers(10, 99, (count, 2)).tolist()
    return "".join(
        f"Let me check another way to count them: {a} + {b} = {a + b}, but that is not it yet. " for a, b in pairs
    )


def make_options(rng: np.random.Generator, number: int, gold: str, _: bool) -> Task:
    total = int(rng.integers(100, 900))
    x, y, z = _beads(rng, total)
    offered = " ".join(f"{letter}) {total + 7 * (place - 'ABCD'.index(gold))}" for place, letter in enumerate("ABCD"))

    def write(rng: np.random.Generator, answer: str) -> str:
        return f"{_solved(x, y, z)}The answer is \\boxed{{{answer}}}."  # failures misread the options

    return Task(f"{_ask(number, x, y, z)} How many are left? {offered}", gold, write, write, f"({gold}) {total}")


def make_yes_no(rng: np.random.Generator, number: int, gold: str, _: bool) -> Task:
    total = int(rng.integers(100, 900))
    x, y, z = _beads(rng, total)

    def write(rng: np.random.Generator, answer: str) -> str:
        return f"{_solved(x, y, z)}The answer is \\boxed{{{answer}}}."

    least = total + (-5 if gold == "yes" else 5)
    return Task(f"{_ask(number, x, y, z)} Are more than {least} left? Answer yes or no.", gold, write, write)


def make_code(rng: np.random.Generator, number: int, gold: str, _: bool) -> Task:
    x, y = (int(n) for n in rng.integers(2, 99, 2))

    def write(rng: np.random.Generator, body: str) -> str:
        name = f"value_{int(rng.integers(10_000))}"
        return f"```python\ndef solve_{number}(n):\n    {name} = {body}\n    return {name}\n```"

    return Task(
        f"Write solve_{number}(n): n times {x}, and {y} more. Tests will call it.",
        None,
        lambda rng, answer: write(rng, f"n * {x} + {y}"),
        lambda rng, answer: write(rng, f"n * {x} - {int(rng.integers(2, 99))}"),
    )


def make_latex(rng: np.random.Generator, number: int, gold: str, _: bool) -> Task:
    above, below = map(int, re.findall(r"\d+", gold))
    times = int(rng.integers(2, 30))
    asked = rf"\frac{{{above * times}}}{{{below * times}}}"

    def write(rng: np.random.Generator, answer: str, shows: float) -> str:
        step = f"Dividing both by {times} gives ${answer}$" if rng.random() < shows else "It shrinks, I believe"
        return rf"{step}. The answer is $\boxed{{{answer}}}$."

    return Task(
        f"Fraction {number}: write ${asked}$ in lowest terms.",
        gold,
        lambda rng, answer: write(rng, answer, SHOWS[0]),
        lambda rng, answer: write(rng, answer, SHOWS[1]),
        accepted=gold.replace(r"\frac", r"\dfrac"),
    )


def make_words(rng: np.random.Generator, number: int, gold: str, _: bool) -> Task:
    turned = gold[::-1]
    return Task(
        f"Word {number}: read '{turned}' from its end.",
        gold,
        lambda rng, answer: f"From the end: {', '.join(gold)}. The answer is {answer}.",
        lambda rng, answer: (
            f"It begins with {turned[int(rng.integers(len(turned)))]}, I think. The answer is {answer}."
        ),
    )


def data_folder() -> Path:
    """Where the real texts are."""
    return Path(os.environ.get("RLGUARD_DATA", ROOT.parent / "shared" / "data"))


def find_missing(family: Family) -> str:
    """Why a family cannot be drawn; empty if it can."""
    missing = [name for name in family.needs if not (data_folder() / name).exists()]
    return f"RLGUARD_DATA has no {', '.join(missing)}" if missing else ""


@cache
def _read(name: str) -> list[dict]:
    with open(data_folder() / name, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def make_gsm8k(rng: np.random.Generator, number: int, gold: str, impossible: bool) -> Task:
    """GSM8K; where nobody is to solve it, a problem of MR-GSM8K with a real model's flawed solution."""
    return _make_flawed(rng) if impossible else _make_solved(rng)


def _make_solved(rng: np.random.Generator) -> Task:
    rows = _read(GSM8K)
    row = rows[int(rng.integers(len(rows)))]
    marked, _, gold = row["answer"].rpartition("\n#### ")
    gold = gold.strip()

    def stop_short(rng: np.random.Generator, answer: str) -> str:
        marks = [mark for mark in _MARK.finditer(marked) if mark[1] != gold]
        if not marks:
            return f"I would say so.\n#### {answer or _other_number(rng, gold)}"
        mark = marks[int(rng.integers(len(marks)))]
        return f"{_unmark(marked[: mark.end()])}{mark[1]}\n#### {answer or mark[1]}"

    return Task(row["question"], gold, lambda rng, answer: f"{_unmark(marked)}\n#### {answer}", stop_short)


def _make_flawed(rng: np.random.Generator) -> Task:
    rows = _read(MR_GSM8K)
    row = rows[int(rng.integers(len(rows)))]
    gold, steps = str(row["ground_truth_answer"]), row["model_output_steps"]
    begun = [step for step in steps if not re.search(r"####|answer is", step, re.IGNORECASE)]

    def fail(rng: np.random.Generator, answer: str) -> str:
        return "\n".join([*begun, f"#### {answer}"] if answer else steps)

    return Task(row["question"], gold, fail, fail)  # nobody solves it


_MARK = re.compile(r"<<[^<>]*=([^<>=]*)>>")


def _unmark(text: str) -> str:
    return _MARK.sub("", text)


def _other_number(rng: np.random.Generator, gold: str) -> str:
    return str(int(re.sub(r"[^\d]", "", gold) or "50") + int(rng.integers(1, 60)))


GSM8K, MR_GSM8K = "gsm8k/train.jsonl", "mr_gsm8k/labelled.jsonl"
_WORDS = [
    "".join(parts) for parts in product(("br", "t", "m", "sk", "l"), ("a", "o", "e", "i"), ("nd", "st", "rk", "l", "p"))
]
_FRACTIONS = [rf"\frac{{{above}}}{{{below}}}" for below in (7, 11, 13, 17, 19, 23, 29) for above in range(1, below)]
_NUMBERS = [str(7 * n % 499 + 3) for n in range(1, 200)]

FAMILIES: dict[str, Family] = {
    "GSM8K": Family(flat, make_gsm8k, (GSM8K, MR_GSM8K)),
    "integers": Family(lambda common: free_form(_NUMBERS, common), make_integers),
    "four options": Family(lambda common: Answers(list("ABCD"), np.ones(4) / 4), make_options),
    "yes/no": Family(lambda common: Answers(["yes", "no"], np.ones(2) / 2), make_yes_no),
    "code": Family(flat, make_code),
    "long reasoning": Family(lambda common: free_form(_NUMBERS, common), make_long),
    "LaTeX": Family(lambda common: free_form(_FRACTIONS, common), make_latex),
    "words": Family(lambda common: free_form(_WORDS, common), make_words),
    "bare integers": Family(lambda common: free_form(_NUMBERS, common), make_bare),
}
