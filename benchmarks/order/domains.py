"""The four domains of the order benchmark, over characters. Pure Python, no torch.

| domain  | kind       | a prompt             | a right completion                    |
|---------|------------|----------------------|---------------------------------------|
| sums    | structured | `7+8-5 mod 10=?`     | `7+8=5;5-5=0;answer 0`                |
| strings | structured | `abcd rls=?`         | `r:dcba;l:cbad;s:bcad;answer bcad`    |
| parts   | open-ended | `22 in 4 4+9+?`      | `answer 4+9+1+8`, or another sum      |
| words   | open-ended | `b_k 6 letters 2v=?` | `answer bontak`, or another such word |

A sum in `parts` has that many digits, begins with the two given and comes to 22. A word has no letter twice, so many
letters and so many vowels, and begins and ends as given. Both have several to many thousands of right answers, given
at once. In the structured domains the model knows two habits before RL: writing the steps, and guessing at once.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[2] / "recipes"))
from tiny_reasoner import tasks

from benchmarks.efficacy.families import FAMILIES
from rlguard.types import Problem, prompt_text

VOWELS = "aeiou"
GUESSES = 0.45
CONSONANTS = "".join(sorted(set("abcdefghijklmnopqrstuvwxyz") - set(VOWELS)))


@dataclass(frozen=True)
class Domain:
    """One kind of tasks."""

    name: str
    open_ended: bool
    make: Callable[[random.Random], tuple[str, str]]
    """A prompt, and a right completion to it."""
    check: Callable[[str, str], bool]
    """Whether an answer is right for a prompt."""
    share: float
    """Of the examples from which the model learns before RL."""
    guess: Callable[[str, random.Random], str] | None = None
    """A completion that guesses, which `GUESSES` of those examples have."""

    def make_example(self, rng: random.Random) -> tuple[str, str]:
        """A prompt outside the held-out tenth, and a completion to imitate."""
        while True:
            prompt, completion = self.make(rng)
            if not tasks.is_held_out(prompt):
                guesses = self.guess is not None and rng.random() < GUESSES
                return prompt, self.guess(prompt, rng) if guesses and self.guess else completion


def _make_chain(family: str, lengths: Sequence[int]) -> Callable[[random.Random], tuple[str, str]]:
    def make(rng: random.Random) -> tuple[str, str]:
        if family == "sums":
            prompt = tasks.make_problem(rng.choice(("add", "sub")), rng, lengths=lengths)["prompt"]
        else:
            letters, edits = rng.sample("abcdefgh", 4), rng.choices("rls", k=rng.choice(lengths))
            prompt = f"{''.join(letters)} {''.join(edits)}=?\n"
        return prompt, FAMILIES[family].write(FAMILIES[family].solve_steps(prompt))

    return make


def _guess(family: str) -> Callable[[str, random.Random], str]:
    return lambda prompt, rng: f"answer {FAMILIES[family].find_result(FAMILIES[family].make_up_steps(prompt, rng))}"


def _check_chain(family: str) -> Callable[[str, str], bool]:
    return lambda prompt, answer: answer == FAMILIES[family].find_result(FAMILIES[family].solve_steps(prompt))


def _make_parts(rng: random.Random) -> tuple[str, str]:
    digits = [str(rng.randint(1, 9)) for _ in range(rng.randint(4, 6))]
    return f"{sum(map(int, digits))} in {len(digits)} {digits[0]}+{digits[1]}+?\n", f"answer {'+'.join(digits)}"


def check_parts(prompt: str, answer: str) -> bool:
    """Whether it is a sum of as many digits from 1 on as wanted, of which the first two are those given.

    >>> [check_parts("22 in 4 4+9+?", text) for text in ("4+9+1+8", "4+9+9", "9+4+1+8", "4+9+9+0")]
    [True, False, False, False]
    """
    total, count, *first = map(int, re.findall(r"\d+", prompt))
    if not re.fullmatch(r"[1-9](\+[1-9])*", answer):
        return False
    parts = list(map(int, answer.split("+")))
    return len(parts) == count and parts[:2] == first and sum(parts) == total


def _make_word(rng: random.Random) -> tuple[str, str]:
    length, vowels = rng.randint(4, 7), rng.randint(1, 3)
    letters = rng.sample(VOWELS, min(vowels, length - 2)) + rng.sample(CONSONANTS, length - min(vowels, length - 2))
    rng.shuffle(letters)
    word = "".join(letters)
    return f"{word[0]}_{word[-1]} {length} letters {sum(c in VOWELS for c in word)}v=?\n", f"answer {word}"


def check_word(prompt: str, answer: str) -> bool:
    """Whether it is a word as wanted; it need not be an English one.

    >>> [check_word("b_k 6 letters 2v=?", text) for text in ("bontak", "bonntk", "bontk", "bontka", "bbotak")]
    [True, False, False, False, False]
    """
    match = re.match(r"(\w)_(\w) (\d+) letters (\d)v", prompt)
    if match is None or not re.fullmatch("[a-z]+", answer):
        return False
    ends = answer[0] == match[1] and answer[-1] == match[2]
    counts = len(answer) == len(set(answer)) == int(match[3]) and sum(c in VOWELS for c in answer) == int(match[4])
    return ends and counts


DOMAINS = {
    domain.name: domain
    for domain in (
        Domain("sums", False, _make_chain("sums", (2, 3, 4)), _check_chain("sums"), 0.38, _guess("sums")),
        Domain("strings", False, _make_chain("strings", (2, 3, 4)), _check_chain("strings"), 0.22, _guess("strings")),
        Domain("parts", True, _make_parts, check_parts, 0.2),
        Domain("words", True, _make_word, check_word, 0.2),
    )
}


def make_rows(domain: str, count: int, seed: int, held_out: bool = False) -> list[dict[str, str]]:
    """Distinct problems: `prompt`, `answer` (one of the right ones) and `domain`.

    Args:
        domain: A name in `DOMAINS`.
        count: How many.
        seed: Same seed, same list.
        held_out: Draw from the tenth of prompts that no training may see, or (by default) from the rest.
    """

    def make(name: str, rng: random.Random) -> dict[str, str]:
        prompt, completion = DOMAINS[name].make(rng)
        return {"prompt": prompt, "answer": completion.rpartition("answer ")[2], "domain": name}

    return tasks.draw_problems(make, [domain], count, seed, held_out)


class DomainVerifier:
    """Judges an answer by the rules of its row's domain: any right answer is right."""

    name, version = "order benchmark", "1"

    def extract(self, completion: str) -> str | None:
        """What stands after `answer `, or in a box."""
        match = re.search(r"(?:answer |\\boxed\{)(\S+?)\}?\Z", completion.strip())
        return match[1] if match else None

    def score(self, completion: str, problem: Problem) -> float:
        """1.0 or 0.0."""
        answer = self.extract(completion)
        check = DOMAINS[str(problem.row["domain"])].check
        return float(answer is not None and check(prompt_text(problem.prompt), answer))
