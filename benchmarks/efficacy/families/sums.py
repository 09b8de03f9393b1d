"""sums: the recipe's arithmetic, with longer mix chains and a single `@`."""

from __future__ import annotations

import random

from tiny_reasoner import tasks

from benchmarks.efficacy.families.family import Family


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


SUMS = Family(
    name="sums",
    prior=("add", "sub", "mul"),
    seldom={"mix": 0.025, "unlearnable": 0.05, "guessable": 0.05, "rare_valid": 0.002},
    make_problem=_make_sum,
    solve_steps=tasks.solve_steps,
    make_up_steps=_make_up_sums,
    count_answers=lambda prompt: tasks.parse_prompt(prompt)[2],
    step=r"\d+[-+*#@]\d+=\d+",
    answer=r"\d+",
)
