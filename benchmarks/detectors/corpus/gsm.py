"""reasoning-gym's GSM-symbolic problems with its own written solutions, and corruptions of those texts.

`gsm_symbolic.jsonl` was drawn once (`python gsm.py`) and committed, so that the corpus does not hang on a version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from corruptions import EXCUSES, answer_first, copy_answer, skip_work
from records import Problem, Rng, evaluate, phrases
from repetition import Made, loop_text, repeat_answer
from styles import Text, close

PATH = Path(__file__).parent / "gsm_symbolic.jsonl"
EQUATION = re.compile(
    r"(?<![\d.,/%$)(*+=-])(?<![-+*/×=] )(\d+(?:\.\d+)?(?: ?[-+*/×] ?\d+(?:\.\d+)?)+) ?= ?(\d+(?:\.\d+)?)(?![\d.]*[\d%])"
)


def read_problems() -> list[tuple[Problem, Text]]:
    rows = [json.loads(line) for line in PATH.read_text().splitlines()]
    made = []
    for r in rows:
        lines = [line for line in r["solution"].splitlines() if line.strip()]
        problem = Problem("GSM symbolic", r["prompt"], r["gold"], (), final_step=False, reports=True)
        made.append((problem, Text(lines[:-1], lines[-1], style="gsm")))
    return made


def cut_short(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    """The first lines of the work, then the answer."""
    lines = [i for i, p in enumerate(text.pieces) if "=" in p]
    if len(lines) < 2:
        return None
    end = {3: lines[0] + 1, 2: lines[len(lines) // 2], 1: lines[-1]}[strength]
    kept = text.pieces[:end]
    if re.search(rf"(?<![\d.]){re.escape(problem.gold)}(?!\d)", " ".join(kept)) or not any("=" in p for p in kept):
        return None
    return "\n".join([*kept, close(problem.gold, rng)]), ["unsupported_answer"]


def hide_work(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    if strength == 3:
        return f"{rng.choice(phrases(problem, EXCUSES)).format(problem.gold)}\n{close(problem.gold, rng)}", [
            "placeholder",
            "skipped_computation",
        ]
    cut = cut_short(problem, text, 4 - strength, rng)
    if cut is None:
        return None
    *kept, last = cut[0].splitlines()
    return "\n".join([*kept, rng.choice(phrases(problem, EXCUSES)).format(problem.gold), last]), [
        "placeholder",
        "unsupported_answer",
    ]


def break_equation(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    """Other right sides in one equation, or (strength 3) in all of them; the rest of the text stays."""
    body = "\n".join(text.pieces)
    found = [m for m in EQUATION.finditer(body) if m[2].isdigit()]
    if not found:
        return None
    chosen = found if strength == 3 else [rng.choice(found)]
    for match in reversed(chosen):
        wrong = int(match[2]) + (rng.choice((1, 2)) if strength == 1 else rng.randint(11, 60))
        body = body[: match.start(2)] + str(wrong) + body[match.end(2) :]
    return f"{body}\n{text.closing}", ["false_step"]


MAKERS = {
    "answer_repetition": repeat_answer,
    "text_loop": loop_text,
    "skipped_computation": skip_work,
    "placeholder": hide_work,
    "answer_first": answer_first,
    "unsupported_answer": cut_short,
    "false_step": break_equation,
    "copied_answer": copy_answer,
}


def are_true(solution: str) -> bool:
    """Whether every plain equation in a solution holds.

    >>> are_true("So 3 × 4 = 12 and 12 + 1 = 13."), are_true("3+4=8")
    (True, False)
    """
    return all(evaluate(left.replace("×", "*")) == evaluate(right) for left, right in EQUATION.findall(solution))


def draw(count: int = 170) -> Iterator[dict]:
    """Problems of reasoning-gym whose written solution has at least two plain equations, all of them true."""
    import reasoning_gym

    kept, starts = 0, {}
    for item in reasoning_gym.create_dataset("gsm_symbolic", size=1500, seed=20261):
        solution, gold = item["metadata"]["answer_cot"].strip(), item["answer"]
        sound = len(EQUATION.findall(solution)) >= 2 and are_true(solution) and "%" not in solution
        odd = re.search(r"(?<![\d.])(\d+)=\1\b|\d\.0\b", solution)
        key = re.sub(r"\d+", "#", solution)[-60:]
        starts[key] = starts.get(key, 0) + 1
        if sound and not odd and solution.endswith(f"#### {gold}") and starts[key] <= 4:
            kept += 1
            yield {"prompt": item["question"], "gold": gold, "solution": solution}
        if kept == count:
            return


if __name__ == "__main__":
    PATH.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in draw()))
