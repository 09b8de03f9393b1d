"""What the efficacy benchmark says: whether the goals are met, what is missed first, and all tables.

    python benchmarks/efficacy/summary.py                                 # on the screen
    python benchmarks/efficacy/summary.py --into benchmarks/RESULTS.md    # in the places that are marked there

A place begins with `<!-- efficacy NAME -->` and ends with `<!-- end -->`; names are `overview`, `goals` and `tables`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.settings import ABLATIONS, OUT, SEEDS  # noqa: E402
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
    write_overview,
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
    """The goals in Markdown: those that are missed somewhere first; where they are met is folded away."""
    checks = check_goals(rows)
    parts = []
    for goal, text in GOALS.items():
        own = [check for check in checks if check.goal == goal]
        met, missed = ([str(check) for check in own if check.met == way] for way in (True, False))
        status = f"**missed in {len(missed)} of {len(own)}**" if missed else f"met in {len(own)} of {len(own)}"
        head = f"({goal}) {text} {status if own else 'Not run.'}"
        folded = [f"<details><summary>met in {len(met)}</summary>", "\n".join(met), "</details>"] if met else []
        parts.append((not missed, "\n\n".join(filter(None, [head, "\n".join(missed), *folded]))))
    return "\n\n".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def write_tables(rows: Sequence[Row]) -> str:
    """Every table, in Markdown: one a question and family, then what each part of the method is worth."""
    parts, mixes = [], list_mixes(rows)
    families = list(dict.fromkeys(family for family, _, _ in mixes))
    ablated = [mix for mix in mixes if any(row["arm"] in ABLATIONS for row in choose(rows, mix))]
    for question in QUESTIONS:
        parts.append(f"### {question}")
        parts += [write_table(rows, [mix for mix in mixes if mix[0] == family], question) for family in families]
    parts.append("### Ablations")
    parts += [write_table(rows, ablated, question, ablations=True) for question in DIFFERENCES]
    return "\n\n".join(parts)


def write_blocks(rows: Sequence[Row]) -> dict[str, str]:
    """What stands in each place of a page."""
    warnings = f"Warnings where nothing was lost:\n\n{count_alarms(rows)}"
    goals = f"{write_goals(rows)}\n\n{warnings}"
    return {"overview": write_overview(rows), "goals": goals, "tables": write_tables(rows)}


def fill(page: str, blocks: Mapping[str, str]) -> str:
    """The page with new blocks in their places; `ValueError` where one has none.

    >>> fill("a <!-- efficacy goals -->old<!-- end --> b", {"goals": "new"})
    'a <!-- efficacy goals -->\\n\\nnew\\n\\n<!-- end --> b'
    """
    for name, block in blocks.items():
        begin = f"<!-- efficacy {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition("<!-- end -->")
        if not (found and closed):
            raise ValueError(f"the page has no place for {name}: expected {begin} and then <!-- end -->")
        page = f"{before}{begin}\n\n{block}\n\n<!-- end -->{after}"
    return page


def write_summary(rows: Sequence[Row]) -> str:
    """All blocks below each other."""
    blocks = write_blocks(rows)
    return "\n\n".join(["### At a glance", blocks["overview"], "### Goals", blocks["goals"], blocks["tables"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--into", type=Path, help="a page with marked places")
    arguments = parser.parse_args()
    rows = read_runs(arguments.out, arguments.seeds)
    if arguments.into:
        arguments.into.write_text(fill(arguments.into.read_text(), write_blocks(rows)))
    else:
        print(write_summary(rows))


if __name__ == "__main__":
    main()
