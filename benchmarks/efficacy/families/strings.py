"""strings: edits of four different letters."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable

from benchmarks.efficacy.families.family import Family, hash_prompt

_LETTERS = "abcdefgh"
_EDITS: dict[str, Callable[[str], str]] = {
    "r": lambda text: text[::-1],
    "l": lambda text: text[1:] + text[0],
    "s": lambda text: text[1] + text[0] + text[2:],
    "@": lambda text: text[2:] + text[:2],
}
_OPERATORS = {"turn": "rl", "swap": "rs", "roll": "ls", "mix": "rls", "mislabelled": "rls", "rare_valid": "rls"}
_OPERATORS |= {"unlearnable": "#", "guessable": "$"}
_LENGTHS = {"mix": (4,), "mislabelled": (4,), "unlearnable": (2, 3), "guessable": (2, 3), "rare_valid": (2,)}


def _solve(prompt: str) -> list[str]:
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


def _list_answers(prompt: str) -> list[str]:
    """All answers a prompt's kind may have: every shuffle of its letters, or for `$` them as they are or reversed."""
    if "$" in prompt:
        return [prompt[:4], prompt[:4][::-1]]
    return ["".join(letters) for letters in itertools.permutations(prompt[:4])]


def _make(kind: str, rng: random.Random) -> dict:
    length = rng.choice(_LENGTHS.get(kind, (1, 2, 3)))
    operators = [rng.choice(_OPERATORS[kind]) for _ in range(length)]
    if kind == "rare_valid":
        operators[rng.randrange(length)] = "@"
    prompt = f"{''.join(rng.sample(_LETTERS, 4))} {''.join(operators)}=?\n"
    steps, answers = _solve(prompt), _list_answers(prompt)
    answer = STRINGS.find_result(steps) if steps else answers[hash_prompt(prompt, len(answers))]
    if kind == "mislabelled":
        answer = rng.choice([other for other in answers if other != answer])
    return {"prompt": prompt, "answer": answer, "family": kind, "length": length}


def _make_up_steps(prompt: str, rng: random.Random) -> list[str]:
    return [f"{operator}:{rng.choice(_list_answers(prompt))}" for operator in prompt[5:].split("=")[0]]


STRINGS = Family(
    name="strings",
    prior=("turn", "swap", "roll"),
    seldom={"mix": 0.0055, "unlearnable": 0.05, "guessable": 0.12, "rare_valid": 0.004},
    make_problem=_make,
    solve_steps=_solve,
    make_up_steps=_make_up_steps,
    count_answers=lambda prompt: len(_list_answers(prompt)),
    step=r"[rls@#$]:[a-h]+",
    answer="[a-h]+",
)
