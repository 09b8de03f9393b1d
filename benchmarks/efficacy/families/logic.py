"""logic: chains over T and F."""

from __future__ import annotations

import random
import re

from benchmarks.efficacy.families.family import Family, hash_prompt

_OPERATORS = {"and_or": "&|", "and_xor": "&^", "or_xor": "|^", "unlearnable": "&|^#", "guessable": "&|^$"}
_OPERATORS |= {"mix": "&|^~~", "mislabelled": "&|^~~"}
_LENGTHS = dict.fromkeys(("unlearnable", "guessable", "rare_valid"), (5, 6))
_LENGTHS |= dict.fromkeys(("mix", "mislabelled"), (6, 7))

_DIGITS = {"FF": "1", "FT": "6", "TF": "4", "TT": "9"}


def _apply(left: str, operator: str, right: str) -> str:
    if operator == "@":
        return _DIGITS[left + right]
    a, b = left == "T", right == "T"
    return "FT"[{"&": a and b, "|": a or b, "^": a != b, "~": a == b}[operator]]


def _parse(prompt: str) -> tuple[str, list[str]]:
    """The first term, and each further operator with its term."""
    match = re.match(r"([TF])((?:[&|^~#$][TF])*(?:@[TF])?)=\?\n?\Z", prompt)
    if match is None:
        raise ValueError(f"prompt {prompt!r}: expected a chain such as 'T&F|T^T=?'")
    return match[1], re.findall("..", match[2])


def _solve(prompt: str) -> list[str]:
    value, parts = _parse(prompt)
    if "#" in prompt or "$" in prompt:
        return []
    steps = []
    for part in parts:
        value = _apply(value, *part)
        steps.append(f"{part}={value}")
    return steps


def _make(kind: str, rng: random.Random) -> dict:
    length = rng.choice(_LENGTHS.get(kind, (4, 5, 6)))
    parts = [rng.choice(_OPERATORS.get(kind, "&|^")) + rng.choice("TF") for _ in range(length - 1)]
    if kind in ("unlearnable", "guessable"):  # the first operator says what the chain is
        parts[0] = _OPERATORS[kind][-1] + parts[0][1]
    if kind == "rare_valid":
        parts[-1] = "@" + parts[-1][1]
    prompt = f"{rng.choice('TF')}{''.join(parts)}=?\n"
    steps, answers = _solve(prompt), _list_answers(prompt)
    answer = LOGIC.find_result(steps) if steps else answers[hash_prompt(prompt, len(answers))]
    if kind == "mislabelled":
        answer = "T" if answer == "F" else "F"
    return {"prompt": prompt, "answer": answer, "family": kind, "length": length}


def _list_answers(prompt: str) -> str:
    return "0123456789" if "#" in prompt or "@" in prompt else "FT"


def _make_up_steps(prompt: str, rng: random.Random) -> list[str]:
    return [f"{part}={rng.choice(_list_answers(prompt))}" for part in _parse(prompt)[1]]


LOGIC = Family(
    name="logic",
    prior=("and_or", "and_xor", "or_xor"),
    seldom={"mix": 0.006, "unlearnable": 0.15, "guessable": 0.05, "rare_valid": 0.0011},
    make_problem=_make,
    solve_steps=_solve,
    make_up_steps=_make_up_steps,
    count_answers=lambda prompt: len(_list_answers(prompt)),
    step=r"[&|^~#$@][TF\d]=[TF\d]",
    answer=r"[TF]|\d",
)
