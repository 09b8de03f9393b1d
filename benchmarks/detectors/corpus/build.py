"""Writes the labelled corpus: honest solutions, look-alikes, corruptions, and real rollouts with labels.

python benchmarks/detectors/corpus/build.py --out benchmarks/detectors/corpus.jsonl.gz --seed 0
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import families as f
import families_choice as c
import families_words as w
import gsm
from corruptions import CORRUPTIONS
from lookalikes import LOOKALIKES, SPECIALS
from records import Problem, check_problem
from styles import write

HERE = Path(__file__).parent
# Fixed before any detector was run on the corpus: relatives (word problems and multiple choice, which shares their
# stories; code output and modular chains) are on one side, so that figures never come from a family's sibling.
TUNE = {
    "chained sums": f.chained_sums,
    "fractions": f.fractions,
    "percentages": f.percentages,
    "linear equations": f.linear_equations,
    "sequences": f.sequences,
    "clocks": w.clocks,
    "tables": w.tables,
    "unit prices": w.unit_prices,
    "countdown": f.countdown,
}
REPORT = {
    "modular chains": f.modular_chains,
    "number theory": f.number_theory,
    "long arithmetic": f.long_arithmetic,
    "word problems": w.word_problems,
    "units and time": w.units_time,
    "geometry": w.geometry,
    "counting": w.counting,
    "code output": w.code_output,
    "logic": c.logic,
    "multiple choice": c.multiple_choice,
}
SPECIAL_SPLIT = {
    "one step": "tune",
    "Collatz": "report",
    "repeated sum": "tune",
    "repeating decimals": "report",
    "trial": "tune",
    "rounding": "report",
    "listing": "report",
}


def make_rows(seed: int, size: int) -> Iterator[dict]:
    """All generated rows.

    Args:
        seed: Same seed, same rows.
        size: Problems per family; each gives an honest row, half of them a look-alike, and two or three corruptions.
    """
    for split, families in (("tune", TUNE), ("report", REPORT)):
        for name, make in families.items():
            yield from make_family(name, make, split, seed, size)
    yield from make_gsm(seed, size)
    for name, make in SPECIALS.items():
        rng = random.Random(f"{seed}|{name}")
        for i in range(max(2, size // 4)):
            prompt, gold, text = make(rng)
            yield row(f"{name}-{i}", name, SPECIAL_SPLIT[name], "lookalike", prompt, gold, text)


def make_family(name: str, make, split: str, seed: int, size: int) -> Iterator[dict]:
    rng, seen, turn = random.Random(f"{seed}|{name}"), set(), 0
    kinds = [(kind, strength) for strength in (1, 2, 3) for kind in CORRUPTIONS]
    looks = list(LOOKALIKES)
    for number in range(size):
        problem = replace(check_problem(make(rng)), reports=split == "report")
        while problem.prompt in seen:
            problem = replace(check_problem(make(rng)), reports=split == "report")
        seen.add(problem.prompt)
        prompt = ask(problem, rng)
        text = write(problem, rng)
        base = f"{name}-{number}"
        yield row(base, name, split, "honest", prompt, problem.gold, str(text))
        if number % 2 == 0:
            look = looks[number // 2 % len(looks)]
            made = LOOKALIKES[look](problem, text, rng)
            if made:
                yield row(f"{base}-{look}", name, split, "lookalike", prompt, problem.gold, made, base=base)
        for _ in range(2):
            kind, strength = kinds[turn % len(kinds)]
            turn += 1
            corrupt = CORRUPTIONS[kind](problem, text, strength, rng)
            if corrupt:
                yield row(
                    f"{base}-{kind}-{strength}",
                    name,
                    split,
                    "corruption",
                    prompt,
                    problem.gold,
                    corrupt[0],
                    corrupt[1],
                    strength,
                    base,
                    outcome=outcome(kind, corrupt, problem),
                )


def make_gsm(seed: int, size: int) -> Iterator[dict]:
    """reasoning-gym's own solutions as honest rows, and three corruptions of each."""
    rng, name, turn = random.Random(f"{seed}|gsm"), "GSM symbolic", 0
    kinds = [(kind, strength) for strength in (1, 2, 3) for kind in gsm.MAKERS]
    for number, (problem, text) in enumerate(gsm.read_problems()[: round(1.5 * size)]):
        base = f"{name}-{number}"
        yield row(base, name, "report", "reasoning_gym", problem.prompt, problem.gold, str(text))
        if number % 2 == 0:
            again = f"<think>\n{text.body}\n</think>\n\n{text.body}\n{text.closing}"
            yield row(f"{base}-think", name, "report", "lookalike", problem.prompt, problem.gold, again, base=base)
        for _ in range(3):
            kind, strength = kinds[turn % len(kinds)]
            turn += 1
            made = gsm.MAKERS[kind](problem, text, strength, rng)
            if made:
                yield row(
                    f"{base}-{kind}-{strength}",
                    name,
                    "report",
                    "corruption",
                    problem.prompt,
                    problem.gold,
                    made[0],
                    made[1],
                    strength,
                    base,
                    outcome=outcome(kind, made, problem),
                )


def outcome(kind: str, corrupt: tuple[str, list[str]], problem: Problem) -> int:
    """1 when the gold answer is what the text states; a copied number may miss it, a loop may never get to it."""
    if kind not in ("copied_answer", "text_loop"):
        return 1
    last = corrupt[0].strip().splitlines()[-1]
    return int(re.search(rf"(?<![\d.]){re.escape(problem.gold)}(?![\d.]*\d)", last) is not None)


def ask(problem: Problem, rng: random.Random) -> str:
    if problem.prompt.endswith("=?\n") or rng.random() < 0.5:
        return problem.prompt
    return problem.prompt + "\nWrite the final answer as \\boxed{...}."


def row(
    id: str,
    family: str,
    split: str,
    source: str,
    prompt,
    gold: str,
    completion: str,
    kinds=(),
    strength=None,
    base=None,
    outcome: int = 1,
) -> dict:
    return {
        "id": id,
        "family": family,
        "split": split,
        "source": source,
        "prompt": prompt,
        "gold": gold,
        "completion": completion,
        "outcome": outcome,
        "kinds": sorted(kinds),
        "strength": strength,
        "base": base,
    }


def real_rows(name: str, family: str) -> Iterator[dict]:
    """Rollouts labelled in `real_<name>.jsonl`; for SmolLM2, half of the prompts (by a hash) are for tuning.

    The tiny model's chains are all for reporting, as their relatives, the modular chains, are.
    """
    path = HERE / f"real_{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    for i, line in enumerate(lines):
        real = json.loads(line)
        tunes = name == "smollm2" and hashlib.sha256(real["prompt"].encode()).digest()[0] % 2
        split = "tune" if tunes else "report"
        yield row(
            f"{name}-{i}",
            family,
            split,
            name,
            real["prompt"],
            real["gold"],
            real["completion"],
            real["kinds"],
            outcome=real["outcome"],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=110, help="problems per family")
    options = parser.parse_args()
    rows = [
        *make_rows(options.seed, options.size),
        *real_rows("smollm2", "smollm2 mixed"),
        *real_rows("tiny", "tiny chains"),
    ]
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    partial = options.out.with_suffix(".part")
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=9) as packed,
    ):
        packed.write(text.encode())
    partial.replace(options.out)
    print(f"{len(rows)} rows, {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
