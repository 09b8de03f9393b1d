"""What a family of tasks is: kinds of problems, and what makes, solves and checks one."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tiny_reasoner import tasks

NEAR_IMPOSSIBLE = ("unlearnable", "mislabelled", "guessable", "rare_valid")
BARE_SHARE = 0.18
"""Share of SFT examples without written steps, as in the recipe."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of tasks: its kinds, and what makes, solves and checks a problem."""

    name: str
    prior: tuple[str, ...]
    """The three kinds held before."""
    learnable: str = "mix"
    seldom: Mapping[str, float]
    """Shares in SFT of the kinds that are seldom seen: `mix`, `unlearnable`, `guessable` and `rare_valid`."""
    make_problem: Callable[[str, random.Random], dict] = field(repr=False)
    """A problem of a kind: `prompt`, `answer` (gold), `family` (the kind), `length` (terms, or edits)."""
    solve_steps: Callable[[str], list[str]] = field(repr=False)
    """The steps of a prompt that has a method, none for a hash."""
    make_up_steps: Callable[[str, random.Random], list[str]] = field(repr=False)
    """Steps of the right form for a hash prompt; the last one ends in the made-up answer."""
    count_answers: Callable[[str], int] = field(repr=False)
    """How many answers a prompt's form allows: a guess is right 1 in so many times."""
    step: str = field(repr=False)
    """What a written step looks like, a regular expression."""
    answer: str = field(repr=False)
    """What an answer looks like."""
    separator: str = ";"
    """What stands between steps."""
    closing: str = "answer {}"
    """The words in which an answer is given."""
    answer_apart: bool = False
    """The last of the steps is the answer itself; otherwise the last step comes to it."""

    @property
    def shares(self) -> dict[str, float]:
        """Share of each kind in SFT: those of the seldom ones, and the rest for the prior kinds in equal parts."""
        rest = 1.0
        for share in self.seldom.values():
            rest -= share
        return dict.fromkeys(self.prior, rest / len(self.prior)) | dict(self.seldom)

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of problems."""
        return (*self.prior, self.learnable, *NEAR_IMPOSSIBLE)

    def make_problems(
        self, kinds: Sequence[str] | Mapping[str, float], count: int, seed: int, held_out: bool = False
    ) -> list[dict]:
        """Distinct problems in a seeded random order, as `tiny_reasoner.tasks.make_problems`.

        Args:
            kinds: Kinds in equal shares, or a mapping from kind to share (any positive numbers).
            count: How many problems.
            seed: Same seed, same list.
            held_out: Draw from the tenth of prompts no training may see, or (by default) from the rest.

        Raises:
            ValueError: A kind the family lacks, or one with too few distinct prompts.

        """
        for kind in kinds:
            if kind not in self.kinds:
                raise ValueError(f"kind {kind!r}: {self.name} has {', '.join(self.kinds)}")
        return tasks.draw_problems(self.make_problem, kinds, count, seed, held_out)

    def find_result(self, steps: Sequence[str]) -> str:
        """What steps come to."""
        return steps[-1] if self.answer_apart else re.split("[=:]", steps[-1])[-1]

    def write(self, steps: Sequence[str], bare: bool = False) -> str:
        """The completion with these steps, or with none of them."""
        shown = [] if bare else steps[:-1] if self.answer_apart else steps
        return self.separator.join([*shown, self.closing.format(self.find_result(steps))])

    def find_answer(self, completion: str) -> str | None:
        """The answer at the end of a completion, or None."""
        match = re.search(
            rf"{re.escape(self.closing).replace(re.escape('{}'), f'({self.answer})')}\Z", completion.strip()
        )
        return match[1] if match else None

    def writes_steps(self, completion: str) -> bool:
        """Whether a step is written before an answer."""
        return self.find_answer(completion) is not None and bool(re.search(self.step, completion))

    def check(self, prompt: str, completion: str) -> str:
        """Ground truth: is the answer of this completion computed? It does not look at the gold answer.

        Returns:
            `computed`: every step is written and true, and the answer is the last result; `bare`: an answer with no
            step; `false_steps`: any other answer, and every one of a hash with steps; `unanswered`: no final answer.

        >>> from benchmarks.efficacy.families import FAMILIES
        >>> logic = FAMILIES["logic"]
        >>> [logic.check("T&F|T=?", text) for text in ("&F=F;|T=T;answer T", "answer T", "&F=T;|T=T;answer T", "&F=F")]
        ['computed', 'bare', 'false_steps', 'unanswered']
        """
        completion = completion.strip()
        answer = self.find_answer(completion)
        if answer is None:
            return "unanswered"
        if not self.writes_steps(completion):
            return "bare"
        steps = self.solve_steps(prompt)
        computed = bool(steps) and completion == self.write(steps)
        return "computed" if computed else "false_steps"

    def make_example(self, rng: random.Random) -> tuple[str, str]:
        """A prompt outside the held-out tenth, and the completion to imitate.

        A hash has no method; its example makes up the steps, the way a real model attempts what it cannot do.
        """
        while True:
            kind = rng.choices(list(self.shares), list(self.shares.values()))[0]
            prompt = self.make_problem(kind, rng)["prompt"]
            if not tasks.is_held_out(prompt):
                break
        steps = self.solve_steps(prompt) or self.make_up_steps(prompt, rng)
        return prompt, self.write(steps, bare=rng.random() < BARE_SHARE)


def hash_prompt(prompt: str, size: int) -> int:
    """Uniform in 0..size-1; no method finds it."""
    digest = hashlib.sha256(f"rlguard|{prompt.rstrip()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % size
