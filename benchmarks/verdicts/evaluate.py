"""Verdicts of rlguard's `auto`, math-verify and TRL's `accuracy_reward`: `python benchmarks/verdicts/evaluate.py`.

Judges blind.jsonl, adversarial.jsonl, unseen.jsonl, pairs.jsonl and, where RLGUARD_DATA (by default ../shared/data) has
it, GSM8K; writes the table into RESULTS.md. `--work` prints instead the failures of the half to work on. Each verifier
runs in a VerifierPool, so that none hangs.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import platform
import random
import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlguard.tables.read import read_rows
from rlguard.types import Problem
from rlguard.verify.pool import VerifierPool
from rlguard.verify.verifiers import Auto

HERE = Path(__file__).parent
RESULTS = HERE.parent / "RESULTS.md"
MARK = "<!-- verdicts -->", "<!-- verdicts end -->"
LIMIT_S = 10.0
THIRDS = "variant", "near miss", "hostile"
SEED = 7


def wrap(gold: Any) -> str:
    """A gold answer as math-verify asks for it: LaTeX in dollars, plain numbers bare."""
    gold = str(gold[0] if isinstance(gold, list) else gold)
    return gold if re.fullmatch(r"-?[\d.]+", gold) or "####" in gold else f"${gold}$"


class MathVerify:
    """math-verify's `parse` and `verify` as they come."""

    name, version = "math-verify", "1"

    def score(self, completion: str, problem: Problem) -> float:
        from math_verify import parse, verify

        gold = parse(wrap(problem.answer))
        return float(verify(gold, parse(completion))) if gold else math.nan

    def extract(self, completion: str) -> None:
        return None


class Trl:
    """TRL's `accuracy_reward`; its None is unscored."""

    name, version = "accuracy_reward", "1"

    def prepare(self) -> None:
        import trl.rewards  # noqa: F401

    def score(self, completion: str, problem: Problem) -> float:
        from trl.rewards import accuracy_reward

        [reward] = accuracy_reward([[{"role": "assistant", "content": completion}]], [wrap(problem.answer)])
        return math.nan if reward is None else reward

    def extract(self, completion: str) -> None:
        return None


VERIFIERS = {"rlguard `auto`": Auto, "math-verify": MathVerify, "TRL `accuracy_reward`": Trl}


def judge(verifier: Any, pairs: Sequence[dict[str, Any]]) -> list[float]:
    """The outcome of each pair."""
    outcomes = [math.nan] * len(pairs)
    with VerifierPool(verifier, workers=2, timeout_s=LIMIT_S) as pool:
        for number, pair in enumerate(pairs):
            pool.submit(number, [pair["completion"]], Problem(str(number), pair.get("prompt", "?"), pair["gold"]))
        while pool.pending:
            for number, [(outcome, _)] in pool.collect(block=True):
                outcomes[number] = outcome
    return outcomes


def count(pairs: Sequence[dict[str, Any]], outcomes: Sequence[float]) -> Counter[str]:
    """How many verdicts are right, falsely passed, falsely failed, and unscored."""

    def name(right: int, outcome: float) -> str:
        if math.isnan(outcome):
            return "unscored"
        return "right" if outcome == right else "false pass" if outcome else "false fail"

    return Counter(name(pair["right"], outcome) for pair, outcome in zip(pairs, outcomes, strict=True))


def read_gsm8k(count: int = 60) -> list[dict[str, Any]]:
    """Human solutions judged against their own gold answer, and against that of another problem."""
    path = Path(os.environ.get("RLGUARD_DATA", HERE.parents[2] / "shared" / "data")) / "gsm8k" / "train.jsonl"
    if not path.exists():
        return []
    rows = read_rows(path)
    draw, pairs = random.Random(SEED), []
    for row, another in zip(draw.sample(rows, count), draw.sample(rows, count), strict=True):
        said = re.sub(r"<<[^>]*>>", "", row["answer"])
        number = said.rpartition("####")[2].strip()
        solution = said.rpartition("####")[0].strip()
        endings = (
            f"{solution}\n#### {number}",
            f"{solution}\nThe answer is {number}.",
            f"{solution}\n\\boxed{{{number}}}",
        )
        for ending in endings:
            pairs.append({"gold": row["answer"], "completion": ending, "right": 1})
            wrong = int(another["answer"].rpartition("####")[2].strip() != number)
            pairs.append({"gold": another["answer"], "completion": ending, "right": 1 - wrong})
    return pairs


def read_table(text: str) -> dict[tuple[str, str], str]:
    """The lines of the table that stands in RESULTS.md, by set and verifier."""
    lines = text.partition(MARK[0])[2].partition(MARK[1])[0].splitlines()
    return {(cells[1].strip(), cells[2].strip()): line for line in lines if len(cells := line.split("|")) == 8}


def write_line(title: str, verifier: str, counts: Counter[str]) -> str:
    cells = " | ".join(str(counts[name]) for name in ("right", "false pass", "false fail", "unscored"))
    return f"| {title} | {verifier} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", action="store_true", help="print the failures of the half to work on, write nothing")
    parser.add_argument("--only", choices=list(VERIFIERS), help="one verifier; the lines of the others stay")
    parser.add_argument("--sets", default="", help="those whose name has this in it; the lines of the others stay")
    arguments = parser.parse_args()
    logging.getLogger("rlguard").setLevel(logging.ERROR)
    pairs = read_rows(HERE / "pairs.jsonl")
    if arguments.work:
        pairs = [pair for pair in pairs if pair["half"] == "work"]
        outcomes = judge(Auto(), pairs)
        for pair, outcome in zip(pairs, outcomes, strict=True):
            if outcome != pair["right"]:
                print(outcome, pair["template"], repr(pair["gold"]), repr(pair["completion"][:200]))
        print(
            {
                third: count(
                    *zip(
                        *[(p, o) for p, o in zip(pairs, outcomes, strict=True) if p["template"].startswith(third)],
                        strict=True,
                    )
                )
                for third in THIRDS
            }
        )
        return
    written = {name: read_rows(HERE / f"{name}.jsonl") for name in ("blind", "adversarial", "unseen")}
    sets = {f"{t}, {name}": [p for p in rows if p["third"] == t] for name, rows in written.items() for t in THIRDS} | {
        f"{third}, {half}": [p for p in pairs if p["half"] == half and p["template"].startswith(third)]
        for half in ("report", "work") for third in THIRDS
    } | {"GSM8K": read_gsm8k()}  # fmt: skip
    first = (*(f"{third}, {name}" for name in (*written, "report") for third in THIRDS), "GSM8K")
    sets = {title: sets[title] for title in (*first, *(t for t in sets if t not in first)) if sets[title]}
    titles = {title: f"{title} ({len(chosen)})" for title, chosen in sets.items()}
    for title, chosen in sets.items():  # written after each set: texts that hang a verifier take minutes
        if arguments.sets not in title:
            continue
        lines = read_table(RESULTS.read_text())
        for name, make in VERIFIERS.items():
            if arguments.only in (None, name):
                lines[titles[title], name] = write_line(titles[title], name, count(chosen, judge(make(), chosen)))
        known = [
            lines[key] for title in titles.values() for key in ((title, name) for name in VERIFIERS) if key in lines
        ]
        head = ["| pairs | verifier | right | false pass | false fail | unscored |", "|---|---|---|---|---|---|"]
        RESULTS.write_text(write_section("\n".join(head + known), RESULTS.read_text()))


def write_section(table: str, text: str) -> str:
    """RESULTS.md with this table between its markers."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("math-verify", "latex2sympy2-extended", "sympy", "trl"))
    where = f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores, no GPU."
    before, _, rest = text.partition(MARK[0])
    after = rest.partition(MARK[1])[2]
    return f"{before}{MARK[0]}\n\n{table}\n\n{where}\n\n{MARK[1]}{after}"


if __name__ == "__main__":
    main()
