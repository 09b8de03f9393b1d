"""Problems whose difficulty is known: written-step modular arithmetic over characters. Pure Python, no torch.

A prompt is a chain read strictly left to right, `7+8+5 mod 10=?` and a newline. A full completion writes every step
modulo the modulus, then the answer: `7+8=5;5+5=0;answer 0`. A bare one only says `answer 0`. Because each step can be
checked, whether a success was *computed* is a fact here (`check_steps`), not an opinion: detectors and guards are
measured against it.

| kind        | what it is                                                          | a correct answer is ...      |
|-------------|---------------------------------------------------------------------|------------------------------|
| the skills  | add, sub, mul, mix: 2 to 5 terms, mod 7 or 10                       | mostly computed              |
| unlearnable | `#`: a keyed hash of the whole prompt, mod 10; no method exists     | always luck, 1 in 10         |
| long        | `+`, `-` chains of 14 to 16 terms: the steps do not fit the budget  | luck, about 1 in 10          |
| mislabelled | a skill problem whose gold answer is wrong                          | luck or a false step         |
| guessable   | `#` mod 2 or 3                                                      | always luck, 1 in 2 or 3     |
| rare_valid  | `@`, defined as a@b = 2a+b mod m: hardly seen in training           | rare, computed and learnable |
"""

from __future__ import annotations

import hashlib
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence

SKILLS = ("add", "sub", "mul", "mix")
NEAR_IMPOSSIBLE = ("unlearnable", "long")
KINDS = (*SKILLS, "unlearnable", "long", "mislabelled", "guessable", "rare_valid")
MAX_COMPLETION = 40
"""Tokens (= characters, and one for the end) that a completion may have: enough for 6 terms, never for `long`."""

_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "mix": "+-*", "unlearnable": "#", "guessable": "#"}
_OPERATORS |= {"long": "+-", "mislabelled": "+-*", "rare_valid": "@"}
_LENGTHS = {"long": (14, 15, 16), "rare_valid": (3, 4), "unlearnable": (3, 4), "guessable": (3, 4)}
_MODULI = {"unlearnable": (10,), "long": (10,), "guessable": (2, 3), "rare_valid": (10,)}

_PROMPT = re.compile(r"(\d+(?:[-+*#@]\d+)*) mod (\d+)=\?\n?\Z")
_STEP = re.compile(r"(\d+)([-+*#@])(\d+)=(\d+)")
_ANSWER = re.compile(r"answer (\d+)\Z")


def apply_operator(left: int, operator: str, right: int, modulus: int) -> int:
    """One step, in 0..modulus-1.

    >>> apply_operator(7, "+", 8, 10), apply_operator(2, "-", 5, 7), apply_operator(3, "@", 2, 10)
    (5, 4, 8)
    """
    if operator == "+":
        return (left + right) % modulus
    if operator == "-":
        return (left - right) % modulus
    if operator == "*":
        return (left * right) % modulus
    if operator == "@":
        return (2 * left + right) % modulus
    raise ValueError(f"operator {operator!r} has no steps; expected one of + - * @")


def parse_prompt(prompt: str) -> tuple[list[int], list[str], int]:
    """The terms, the operators between them, and the modulus.

    >>> parse_prompt("7+8*5 mod 10=?")
    ([7, 8, 5], ['+', '*'], 10)
    """
    match = _PROMPT.match(prompt)
    if match is None:
        raise ValueError(f"prompt {prompt!r}: expected a chain such as '7+8+5 mod 10=?'")
    return [int(t) for t in re.findall(r"\d+", match[1])], re.findall(r"\D", match[1]), int(match[2])


def solve_steps(prompt: str) -> list[str]:
    """The steps of a chain that has a method, none for a `#` chain.

    >>> solve_steps("7+8+5 mod 10=?")
    ['7+8=5', '5+5=0']
    """
    terms, operators, modulus = parse_prompt(prompt)
    if "#" in operators:
        return []
    steps, value = [], terms[0]
    for operator, term in zip(operators, terms[1:], strict=True):
        result = apply_operator(value, operator, term, modulus)
        steps.append(f"{value}{operator}{term}={result}")
        value = result
    return steps


def solve(prompt: str, key: str = "rlguard") -> str:
    """The true answer. That of a `#` chain is a hash of the key and the whole prompt, uniform in 0..modulus-1.

    >>> solve("7+8+5 mod 10=?")
    '0'
    """
    terms, operators, modulus = parse_prompt(prompt)
    if "#" in operators:
        digest = hashlib.sha256(f"{key}|{prompt.rstrip()}".encode()).digest()
        return str(int.from_bytes(digest[:8], "big") % modulus)
    steps = solve_steps(prompt)
    return steps[-1].split("=")[1] if steps else str(terms[0] % modulus)


def write_completion(prompt: str, bare: bool = False) -> str:
    """The completion a careful (or, with `bare`, a hasty) solver would write.

    >>> write_completion("7+8+5 mod 10=?"), write_completion("7+8+5 mod 10=?", bare=True)
    ('7+8=5;5+5=0;answer 0', 'answer 0')
    """
    steps = [] if bare else solve_steps(prompt)
    return ";".join([*steps, f"answer {solve(prompt)}"])


def find_answer(completion: str) -> str | None:
    """The number after a closing `answer `, or None.

    >>> find_answer("7+8=5;answer 5"), find_answer("7+8=5")
    ('5', None)
    """
    match = _ANSWER.search(completion.strip())
    return match[1] if match else None


def check_steps(prompt: str, completion: str) -> str:
    """Ground truth: is the answer of this completion computed? It does not look at the gold answer.

    Returns:
        `computed`: every step of the chain is written and true, and the answer is the last result;
        `bare`: an answer with no step at all;
        `false_steps`: steps are written, but one is false, missing or superfluous, or the answer does not follow.
        A `#` chain has no method, so whatever is written for it is `false_steps`;
        `unanswered`: no final answer (truncated, for instance).

    >>> check_steps("7+8+5 mod 10=?", "7+8=5;5+5=0;answer 0")
    'computed'
    >>> check_steps("7+8+5 mod 10=?", "7+8=5;answer 0")
    'false_steps'
    """
    completion = completion.strip()
    answer = find_answer(completion)
    if answer is None:
        return "unanswered"
    if not _STEP.search(completion):
        return "bare"
    steps = solve_steps(prompt)
    computed = bool(steps) and completion == ";".join([*steps, f"answer {steps[-1].split('=')[1]}"])
    return "computed" if computed else "false_steps"


def is_held_out(prompt: str) -> bool:
    """Whether a prompt belongs to the tenth that no training (SFT or RL) may see: a fixed hash of its text."""
    return zlib.crc32(prompt.encode()) % 10 == 0


def make_problem(kind: str, rng: random.Random, lengths: Sequence[int] = (), moduli: Sequence[int] = ()) -> dict:
    """One problem of a kind (see the module's table) as a row.

    Args:
        kind: One of `KINDS`.
        rng: Source of randomness.
        lengths: Numbers of terms to draw from; by default those of the kind.
        moduli: Moduli to draw from; by default those of the kind.

    Returns:
        `prompt`, `answer` (the gold answer, a string; for `mislabelled` a wrong one), `family` (the kind), `length`.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    length = rng.choice(list(lengths) or list(_LENGTHS.get(kind, (2, 3, 4, 5))))
    modulus = rng.choice(list(moduli) or list(_MODULI.get(kind, (7, 10))))
    # The operands of a `#` chain are digits under any modulus: a mod-2 chain of bits has too few different prompts.
    limit = 10 if "#" in _OPERATORS[kind] else modulus
    lowest = 1 if "*" in _OPERATORS[kind] else 0  # a factor 0 would make most products 0, and 0 a good guess
    terms = [str(rng.randrange(lowest, limit)) for _ in range(length)]
    chain = terms[0] + "".join(rng.choice(_OPERATORS[kind]) + term for term in terms[1:])
    prompt = f"{chain} mod {modulus}=?\n"
    answer = solve(prompt)
    if kind == "mislabelled":
        answer = str((int(answer) + rng.randrange(1, modulus)) % modulus)
    return {"prompt": prompt, "answer": answer, "family": kind, "length": length}


def make_problems(
    kinds: Sequence[str] | Mapping[str, float],
    count: int,
    seed: int,
    held_out: bool = False,
    lengths: Sequence[int] = (),
    moduli: Sequence[int] = (),
) -> list[dict]:
    """Distinct problems in a seeded random order.

    Args:
        kinds: Kinds in equal shares, or a mapping from kind to share (any positive numbers).
        count: How many problems.
        seed: Same seed, same list.
        held_out: Draw from the tenth of prompts no training may see, or (by default) from the rest.
        lengths: Numbers of terms to draw from; by default those of the kind.
        moduli: Moduli to draw from; by default those of the kind.

    >>> make_problems(["add"], 1, seed=0)[0]
    {'prompt': '2+0+1 mod 7=?\\n', 'answer': '3', 'family': 'add', 'length': 3}
    """
    return draw_problems(lambda kind, rng: make_problem(kind, rng, lengths, moduli), kinds, count, seed, held_out)


def draw_problems(
    make: Callable[[str, random.Random], dict],
    kinds: Sequence[str] | Mapping[str, float],
    count: int,
    seed: int,
    held_out: bool = False,
) -> list[dict]:
    """Distinct problems in a seeded random order, of whatever makes one of a kind.

    Args:
        make: From a kind and a source of randomness, a row with a `prompt`.
        kinds: Kinds in equal shares, or a mapping from kind to share (any positive numbers).
        count: How many problems.
        seed: Same seed, same list.
        held_out: Draw from the tenth of prompts no training may see, or (by default) from the rest.

    Raises:
        ValueError: For a kind that has too few distinct prompts.
    """
    shares = kinds if isinstance(kinds, Mapping) else dict.fromkeys(kinds, 1.0)
    # Quotas, not draws: a quarter means a quarter, also in a short list.
    total, rows, seen = sum(shares.values()), [], set()
    edges = [round(count * sum(list(shares.values())[:i]) / total) for i in range(len(shares) + 1)]
    for kind, low, high in zip(shares, edges, edges[1:], strict=False):
        made = tries = 0
        rng = random.Random(f"{seed}|{held_out}|{kind}")
        while made < high - low:
            row = make(kind, rng)
            tries += 1
            if tries > 1000 * (high - low + 1):
                raise ValueError(f"kind {kind!r} has fewer than {high - low} distinct prompts of these lengths")
            if row["prompt"] in seen or is_held_out(row["prompt"]) != held_out:
                continue
            seen.add(row["prompt"])
            rows.append(row)
            made += 1
    random.Random(seed).shuffle(rows)
    return rows
