"""Writes a JSONL of verifiable problems, from trivial to near-impossible for a 135M-parameter model.

    python recipes/make_problems.py out/problems.jsonl          # 56 problems, 2 s

A quarter is simple arithmetic made here; the rest comes from reasoning-gym at several sizes, with the metadata that
its own `score_answer` needs.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from rlguard.tables import write_rows

INSTRUCTION = "\nPut the final answer into \\boxed{}."
GYM_TASKS: list[tuple[str, dict[str, Any]]] = [
    ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}),
    ("chain_sum", {"min_terms": 3, "max_terms": 4, "min_digits": 1, "max_digits": 2}),
    ("products", {"min_digits": 1, "max_digits": 2}),
    ("simple_equations", {"min_value": 1, "max_value": 9, "min_terms": 2, "max_terms": 2}),
    ("gcd", {"min_value": 2, "max_value": 30}),
    ("letter_counting", {"min_words": 2, "max_words": 4}),
    ("number_sequence", {}),
    ("leg_counting", {"min_animals": 1, "max_animals": 2, "min_instances": 1, "max_instances": 3}),
    ("calendar_arithmetic", {}),
    ("fraction_simplification", {}),
    ("count_primes", {}),
    ("base_conversion", {}),
]


def make_problems(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows with chat `prompt`, `answer`, `task` and (for reasoning-gym) `metadata`; the same for the same arguments."""
    import reasoning_gym

    rng, distinct = random.Random(seed), {}
    while len(distinct) < count // 4:
        question, answer = _arithmetic(rng, len(distinct))
        distinct[question] = _row(question, answer, "arithmetic") | {"metadata": None}
    tasks = [reasoning_gym.create_dataset(task, size=count, seed=seed, **options) for task, options in GYM_TASKS]
    for number in range(count):
        for (task, _), data in zip(GYM_TASKS, tasks, strict=True):
            entry = data[number]
            row = _row(entry["question"], entry["answer"], task) | {"metadata": entry["metadata"]}
            if len(distinct) < count:
                distinct.setdefault(entry["question"], row)
    return list(distinct.values())


def _arithmetic(rng: random.Random, number: int) -> tuple[str, str]:
    size, sign = [(3, "+"), (9, "+"), (9, "*"), (50, "+")][number % 4]
    a, b = rng.randint(1, size), rng.randint(1, size)
    answer = a + b if sign == "+" else a * b
    return f"What is {a} {sign} {b}?", str(answer)


def _row(question: str, answer: str, task: str) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": question + INSTRUCTION}], "answer": str(answer), "task": task}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the JSONL file to write")
    parser.add_argument("--count", type=int, default=56, help="how many problems (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the problems (default %(default)s)")
    arguments = parser.parse_args()
    write_rows(make_problems(arguments.count, arguments.seed), arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
