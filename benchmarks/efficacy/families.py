"""The three families of the efficacy benchmark: kinds of problems whose difficulty is known. Pure Python, no torch.

All are chains read strictly left to right, with written steps and a closing answer; all fits `MAX_COMPLETION` tokens.

| family    | a prompt         | a full completion            | a guess is right ...             |
|-----------|------------------|------------------------------|----------------------------------|
| `sums`    | `7+8-5 mod 10=?` | `7+8=5;5-5=0;answer 0`       | 1 in 7 or 10                     |
| `strings` | `abcd rl=?`      | `r:dcba;l:cbad;answer cbad`  | 1 in 24: a shuffle of 4 letters  |
| `logic`   | `T&F^T=?`        | `&F=F;^T=T;answer T`         | 1 in 2: the extreme case         |

Each has three *prior* kinds, held before and never trained on in RL; `mix`, longer chains of all their operators, which
the model half masters; and the four near-impossible kinds:

| kind          | what it is                                                           | a right answer is ...     |
|---------------|----------------------------------------------------------------------|---------------------------|
| `unlearnable` | `#`: a keyed hash of the prompt, in 0..9 (strings: one of the 24)    | always luck               |
| `mislabelled` | a `mix` chain whose gold answer is wrong                             | luck or a false step      |
| `guessable`   | a hash with 2 or 3 answers: `#` mod 2 or 3 (sums), `$` (the others)  | always luck               |
| `rare_valid`  | one `@`, hardly seen in SFT, in a chain otherwise known              | rare, computed, learnable |

`@` is 2a+b mod 10 in sums, swaps the halves in strings, and in logic ends a chain with one of four digits. What makes
`mix` hard is length in sums and strings, and `~` (equal), which the prior kinds lack, in logic. Its `rare_valid` is
not rare yet: a table of four is learned all or nothing, so its built model computes about half of these.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "recipes"))
from tiny_reasoner import tasks
from tiny_reasoner.tasks import MAX_COMPLETION

__all__ = ["FAMILIES", "MAX_COMPLETION", "NEAR_IMPOSSIBLE", "Family"]

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
    shares: Mapping[str, float]
    """Share of each kind in SFT."""
    make_problem: Callable[[str, random.Random], dict] = field(repr=False)
    """A problem of a kind: `prompt`, `answer` (gold), `family` (the kind), `length` (terms, or edits)."""
    solve_steps: Callable[[str], list[str]] = field(repr=False)
    """The steps of a prompt that has a method, none for a hash."""
    find_answer: Callable[[str], str | None] = field(repr=False)
    """The answer at the end of a completion, or None."""
    make_up_steps: Callable[[str, random.Random], list[str]] = field(repr=False)
    """Steps of the right form for a hash prompt; the last one ends in the made-up answer."""
    step: re.Pattern[str] = field(repr=False)
    """What a written step looks like."""

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

        >>> FAMILIES["strings"].make_problems(["swap"], 1, seed=0)[0]["answer"]
        'bhad'
        """
        shares = kinds if isinstance(kinds, Mapping) else dict.fromkeys(kinds, 1.0)
        total, rows, seen = sum(shares.values()), list[dict](), set[str]()
        edges = [round(count * sum(list(shares.values())[:i]) / total) for i in range(len(shares) + 1)]
        for kind, (low, high) in zip(shares, itertools.pairwise(edges), strict=True):
            if kind not in self.kinds:
                raise ValueError(f"kind {kind!r}: {self.name} has {', '.join(self.kinds)}")
            rng, wanted = random.Random(f"{seed}|{held_out}|{kind}"), len(rows) + high - low
            for _ in range(1000 * (high - low + 1)):
                if len(rows) == wanted:
                    break
                row = self.make_problem(kind, rng)
                if row["prompt"] not in seen and tasks.is_held_out(row["prompt"]) == held_out:
                    seen.add(row["prompt"])
                    rows.append(row)
            if len(rows) < wanted:
                raise ValueError(f"kind {kind!r} of {self.name} has fewer than {high - low} distinct prompts")
        random.Random(seed).shuffle(rows)
        return rows

    def check(self, prompt: str, completion: str) -> str:
        """Ground truth: is the answer of this completion computed? It does not look at the gold answer.

        Returns:
            `computed`: every step is written and true, and the answer is the last result; `bare`: an answer with no
            step; `false_steps`: any other answer, and every one of a hash with steps; `unanswered`: no final answer.

        >>> logic = FAMILIES["logic"]
        >>> [logic.check("T&F|T=?", text) for text in ("&F=F;|T=T;answer T", "answer T", "&F=T;|T=T;answer T", "&F=F")]
        ['computed', 'bare', 'false_steps', 'unanswered']
        """
        completion = completion.strip()
        answer = self.find_answer(completion)
        if answer is None:
            return "unanswered"
        if not self.step.search(completion):
            return "bare"
        steps = self.solve_steps(prompt)
        computed = bool(steps) and completion == ";".join([*steps, f"answer {_result(steps)}"])
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
        bare = rng.random() < BARE_SHARE
        return prompt, ";".join([*(() if bare else steps), f"answer {_result(steps)}"])


def _result(steps: Sequence[str]) -> str:
    return re.split("[=:]", steps[-1])[-1]


def _hash(prompt: str, size: int) -> int:
    """Uniform in 0..size-1; no method finds it."""
    digest = hashlib.sha256(f"rlguard|{prompt.rstrip()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % size


# sums: the recipe's arithmetic, with longer mix chains and a single `@`.


def _make_sum(kind: str, rng: random.Random) -> dict:
    if kind in ("mix", "mislabelled"):
        return tasks.make_problem(kind, rng, lengths=(5, 6))
    if kind != "rare_valid":
        return tasks.make_problem(kind, rng)
    row = tasks.make_problem("add", rng, lengths=(3, 4), moduli=(10,))
    place = rng.choice([i for i, c in enumerate(row["prompt"]) if c == "+"])
    # Only three right operands: a table of 30 results is what GRPO can find by trial in 100 steps.
    prompt = f"{row['prompt'][:place]}@{rng.randint(1, 3)}{row['prompt'][place + 2 :]}"
    return row | {"prompt": prompt, "answer": tasks.solve(prompt), "family": kind}


def _make_up_sums(prompt: str, rng: random.Random) -> list[str]:
    terms, operators, modulus = tasks.parse_prompt(prompt)
    steps, value = [], terms[0]
    for operator, term in zip(operators, terms[1:], strict=True):
        result = rng.randrange(modulus)
        steps.append(f"{value}{operator}{term}={result}")
        value = result
    return steps


# strings: edits of four different letters.

_LETTERS = "abcdefgh"
_EDITS: dict[str, Callable[[str], str]] = {
    "r": lambda text: text[::-1],
    "l": lambda text: text[1:] + text[0],
    "s": lambda text: text[1] + text[0] + text[2:],
    "@": lambda text: text[2:] + text[:2],
}
_STRING_OPERATORS = {"turn": "rl", "swap": "rs", "roll": "ls", "mix": "rls", "mislabelled": "rls", "rare_valid": "rls"}
_STRING_OPERATORS |= {"unlearnable": "#", "guessable": "$"}
_STRING_LENGTHS = {"mix": (4,), "mislabelled": (4,), "unlearnable": (2, 3), "guessable": (2, 3), "rare_valid": (2,)}


def _solve_string(prompt: str) -> list[str]:
    match = re.match(r"([a-h]{4}) ([rls@]+|#+|\$+)=\?\n?\Z", prompt)
    if match is None:
        raise ValueError(f"prompt {prompt!r}: expected a chain such as 'abcd rls=?'")
    text, steps = match[1], []
    for operator in match[2]:
        if operator in "#$":
            return []
        text = _EDITS[operator](text)
        steps.append(f"{operator}:{text}")
    return steps


def _string_answers(prompt: str) -> list[str]:
    """All answers a prompt's kind may have: every shuffle of its letters, or for `$` them as they are or reversed."""
    if "$" in prompt:
        return [prompt[:4], prompt[:4][::-1]]
    return ["".join(letters) for letters in itertools.permutations(prompt[:4])]


def _make_string(kind: str, rng: random.Random) -> dict:
    length = rng.choice(_STRING_LENGTHS.get(kind, (1, 2, 3)))
    operators = [rng.choice(_STRING_OPERATORS[kind]) for _ in range(length)]
    if kind == "rare_valid":
        operators[rng.randrange(length)] = "@"
    prompt = f"{''.join(rng.sample(_LETTERS, 4))} {''.join(operators)}=?\n"
    steps, answers = _solve_string(prompt), _string_answers(prompt)
    answer = _result(steps) if steps else answers[_hash(prompt, len(answers))]
    if kind == "mislabelled":
        answer = rng.choice([other for other in answers if other != answer])
    return {"prompt": prompt, "answer": answer, "family": kind, "length": length}


def _make_up_strings(prompt: str, rng: random.Random) -> list[str]:
    return [f"{operator}:{rng.choice(_string_answers(prompt))}" for operator in prompt[5:].split("=")[0]]


# logic: T and F.

_LOGIC_OPERATORS = {"and_or": "&|", "and_xor": "&^", "or_xor": "|^", "unlearnable": "&|^#", "guessable": "&|^$"}
_LOGIC_OPERATORS |= {"mix": "&|^~~", "mislabelled": "&|^~~"}
_LOGIC_LENGTHS = dict.fromkeys(("unlearnable", "guessable", "rare_valid"), (5, 6))
_LOGIC_LENGTHS |= dict.fromkeys(("mix", "mislabelled"), (6, 7))

_DIGITS = {"FF": "1", "FT": "6", "TF": "4", "TT": "9"}


def _apply_logic(left: str, operator: str, right: str) -> str:
    if operator == "@":
        return _DIGITS[left + right]
    a, b = left == "T", right == "T"
    return "FT"[{"&": a and b, "|": a or b, "^": a != b, "~": a == b}[operator]]


def _parse_logic(prompt: str) -> tuple[str, list[str]]:
    """The first term, and each further operator with its term."""
    match = re.match(r"([TF])((?:[&|^~#$][TF])*(?:@[TF])?)=\?\n?\Z", prompt)
    if match is None:
        raise ValueError(f"prompt {prompt!r}: expected a chain such as 'T&F|T^T=?'")
    return match[1], re.findall("..", match[2])


def _solve_logic(prompt: str) -> list[str]:
    value, parts = _parse_logic(prompt)
    if "#" in prompt or "$" in prompt:
        return []
    steps = []
    for part in parts:
        value = _apply_logic(value, *part)
        steps.append(f"{part}={value}")
    return steps


def _make_logic(kind: str, rng: random.Random) -> dict:
    length = rng.choice(_LOGIC_LENGTHS.get(kind, (4, 5, 6)))
    parts = [rng.choice(_LOGIC_OPERATORS.get(kind, "&|^")) + rng.choice("TF") for _ in range(length - 1)]
    if kind in ("unlearnable", "guessable"):  # the first operator says what the chain is
        parts[0] = _LOGIC_OPERATORS[kind][-1] + parts[0][1]
    if kind == "rare_valid":
        parts[-1] = "@" + parts[-1][1]
    prompt = f"{rng.choice('TF')}{''.join(parts)}=?\n"
    steps, answers = _solve_logic(prompt), _logic_answers(prompt)
    answer = _result(steps) if steps else answers[_hash(prompt, len(answers))]
    if kind == "mislabelled":
        answer = "T" if answer == "F" else "F"
    return {"prompt": prompt, "answer": answer, "family": kind, "length": length}


def _logic_answers(prompt: str) -> str:
    return "0123456789" if "#" in prompt or "@" in prompt else "FT"


def _make_up_logic(prompt: str, rng: random.Random) -> list[str]:
    return [f"{part}={rng.choice(_logic_answers(prompt))}" for part in _parse_logic(prompt)[1]]


def _finder(answer: str) -> Callable[[str], str | None]:
    pattern = re.compile(rf"answer ({answer})\Z")

    def find_answer(completion: str) -> str | None:
        match = pattern.search(completion.strip())
        return match[1] if match else None

    return find_answer


def _shares(
    prior: Sequence[str], mix: float, rare_valid: float, unlearnable: float = 0.05, guessable: float = 0.05
) -> dict[str, float]:
    """SFT shares: what is named, and the rest for the prior kinds in equal parts."""
    rest = 1 - mix - unlearnable - guessable - rare_valid
    shares = {**dict.fromkeys(prior, rest / len(prior)), "mix": mix}
    return shares | {"unlearnable": unlearnable, "guessable": guessable, "rare_valid": rare_valid}


_SUM_KINDS, _STRING_KINDS = ("add", "sub", "mul"), ("turn", "swap", "roll")
_LOGIC_KINDS = ("and_or", "and_xor", "or_xor")

FAMILIES: dict[str, Family] = {
    "sums": Family(
        name="sums",
        prior=_SUM_KINDS,
        shares=_shares(_SUM_KINDS, mix=0.025, rare_valid=0.002),
        make_problem=_make_sum,
        solve_steps=tasks.solve_steps,
        find_answer=tasks.find_answer,
        make_up_steps=_make_up_sums,
        step=re.compile(r"\d+[-+*#@]\d+=\d+"),
    ),
    "strings": Family(
        name="strings",
        prior=_STRING_KINDS,
        shares=_shares(_STRING_KINDS, mix=0.0055, rare_valid=0.004, guessable=0.12),
        make_problem=_make_string,
        solve_steps=_solve_string,
        find_answer=_finder("[a-h]+"),
        make_up_steps=_make_up_strings,
        step=re.compile(r"[rls@#$]:[a-h]+"),
    ),
    "logic": Family(
        name="logic",
        prior=_LOGIC_KINDS,
        shares=_shares(_LOGIC_KINDS, mix=0.006, rare_valid=0.0011, unlearnable=0.15),
        make_problem=_make_logic,
        solve_steps=_solve_logic,
        find_answer=_finder(r"[TF]|\d"),
        make_up_steps=_make_up_logic,
        step=re.compile(r"[&|^~#$@][TF\d]=[TF\d]"),
    ),
}
"""The families by name."""
