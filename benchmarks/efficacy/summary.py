"""What the efficacy benchmark says: whether the goals are met, what is missed first, and all tables.

python benchmarks/efficacy/summary.py --seeds 1 2 3 4 5 > summary.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.run import OUT  # noqa: E402
from benchmarks.efficacy.sweep import ABLATIONS, SEEDS  # noqa: E402
from benchmarks.efficacy.table import (  # noqa: E402
    DIFFERENCES,
    GAIN,
    GUARDED,
    QUESTIONS,
    RARE,
    RETENTION,
    Mix,
    Row,
    bootstrap,
    choose,
    find_best,
    find_harm,
    find_warning,
    list_mixes,
    name_mix,
    read_runs,
    subtract,
    write_cell,
    write_table,
)


@dataclass(frozen=True)
class Check:
    """One goal in one mix."""

    goal: str
    where: str
    met: bool
    sure: bool
    """The whole interval says so."""
    figure: str

    def __str__(self) -> str:
        status = "met" if self.met else "**missed**"
        return f"- {status}{'' if self.sure else ' (the interval reaches across)'}: {self.where}: {self.figure}"


GOALS = {
    "a": "Unguarded GRPO keeps under half of its prior skills on 100% unlearnable problems.",
    "b": "rlguard keeps at least 98% of them on 100% near-impossible problems of every kind.",
    "c": "With learnable problems in the mix it gains at least what the best other arm gains, within the interval.",
    "d": "On rare but valid problems it is within 2 points of GRPO and MaxRL, in computed pass@1 and pass@64.",
    "e": "It warns before accuracy on prior skills has fallen by 5 points.",
}


def check_goals(rows: Sequence[Row]) -> list[Check]:
    """Every goal in every mix that has the runs it needs."""
    return [check for mix in list_mixes(rows) for check in _check_mix(rows, mix)]


def _check_mix(rows: Sequence[Row], mix: Mix) -> Iterator[Check]:
    _, kind, share = mix
    if mix[1:] == ("unlearnable", 1.0):
        kept = [-RETENTION(row) for row in choose(rows, mix, "grpo")]
        yield from _compare("a", f"{name_mix(mix)}, grpo", kept, -0.5, shown=[-value for value in kept])
    best = find_best(rows, mix, GAIN)
    for arm in GUARDED:
        where = f"{name_mix(mix)}, {arm}"
        if share == 1:
            yield from _compare("b", where, [RETENTION(row) for row in choose(rows, mix, arm)], 0.98)
        elif best:
            more = subtract(rows, mix, arm, best, GAIN)
            yield from _compare("c", f"{where} less {best}", more, 0.0, lenient=True, sign=True)
        for other in ("grpo", "max_rl") if kind == "rare_valid" and share else ():
            for k, measure in RARE.items():
                less = subtract(rows, mix, arm, other, measure)
                yield from _compare("d", f"{where} less {other}, pass@{k}", less, -0.02, sign=True)
    yield from _check_warnings(rows, mix)


def _compare(
    goal: str,
    where: str,
    values: Sequence[float],
    least: float,
    lenient: bool = False,
    sign: bool = False,
    shown: Sequence[float] | None = None,
) -> Iterator[Check]:
    """Is the mean at least that much? With `lenient` it is enough that the interval reaches there."""
    if not values:
        return
    low, high = bootstrap(values)
    mean = float(np.mean(values))
    met = mean >= least or (lenient and high >= least)
    sure = not isnan(low) and (low >= least or high < least)
    count = f", {len(values)} seed{'s' if len(values) > 1 else ''}"
    yield Check(goal, where, met, sure, write_cell(values if shown is None else shown, sign=sign) + count)


def _check_warnings(rows: Sequence[Row], mix: Mix) -> Iterator[Check]:
    """Of the runs that the guard watched: who was harmed, and was it said before?"""
    for arm in ("grpo", *GUARDED):
        runs = [(find_harm(row["curve"]), find_warning(row["curve"])) for row in choose(rows, mix, arm)]
        harmed = [(harm, warned) for harm, warned in runs if not isnan(harm)]
        before = sum(warned < harm for harm, warned in harmed)
        if harmed:
            figure = f"warned before in {before} of {len(harmed)} harmed runs, at {_span([w for _, w in harmed])}"
            figure += f"; harm measured at {_span([harm for harm, _ in harmed])}"
            yield Check("e", f"{name_mix(mix)}, {arm}", before == len(harmed), True, figure)


def _span(steps: Sequence[float]) -> str:
    known = sorted(int(step) for step in steps if not isnan(step))
    return f"steps {known[0]} to {known[-1]}" if known else "no step"


def count_alarms(rows: Sequence[Row]) -> str:
    """How often there was a warning without harm, in words, by arm."""
    lines = []
    for arm in ("grpo", *GUARDED):
        calm = [row["curve"] for row in rows if row["arm"] == arm and isnan(find_harm(row["curve"]))]
        healthy = [row["curve"] for row in rows if row["arm"] == arm and not row["share"]]
        warned, false = (sum(not isnan(find_warning(curve)) for curve in curves) for curves in (calm, healthy))
        lines.append(
            f"- {arm}: a warning in {warned} of {len(calm)} runs without harm, in {false} of {len(healthy)} without "
            "near-impossible problems"
        )
    return "\n".join(lines)


def write_goals(rows: Sequence[Row]) -> str:
    """The goals in Markdown: those that are missed somewhere first, and within each what is missed first."""
    checks = check_goals(rows)
    parts = []
    for goal, text in GOALS.items():
        own = sorted((check for check in checks if check.goal == goal), key=lambda check: check.met)
        missed = sum(not check.met for check in own)
        status = f"**missed** in {missed} of {len(own)}" if missed else f"met in {len(own)} of {len(own)}"
        head = f"({goal}) {text} {status if own else 'Not run.'}"
        parts.append((missed == 0, "\n".join([head, *([""] if own else []), *map(str, own)])))
    return "\n\n".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def write_summary(rows: Sequence[Row]) -> str:
    """Goals, warnings and every table, in Markdown."""
    parts = [write_goals(rows), "Warnings where nothing was lost:", count_alarms(rows)]
    for question in QUESTIONS:
        parts += [f"## {question}", *(write_table(rows, mix, question) for mix in list_mixes(rows))]
    ablated = [mix for mix in list_mixes(rows) if any(row["arm"] in ABLATIONS for row in choose(rows, mix))]
    parts.append("## Ablations")
    parts += [write_table(rows, mix, question, ablations=True) for mix in ablated for question in DIFFERENCES]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    print(write_summary(read_runs(arguments.out, arguments.seeds)))


if __name__ == "__main__":
    main()
