"""The curriculum benchmark: every run that is not there yet, then tables and a figure.

    python benchmarks/curriculum/sweep.py --workers 16          # 60 runs
    python benchmarks/curriculum/sweep.py --ladders short       # a part
    python benchmarks/curriculum/sweep.py --seeds 1000 1001     # seeds from 1000 on are for tuning

It stops and goes on; where all runs are there, only tables and figure are made. A run that failed leaves its log and is
said at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.curriculum.run import ARMS, LADDERS, OUT, Run, build_base, run  # noqa: E402
from benchmarks.efficacy.stats import t_interval, write_cell  # noqa: E402
from benchmarks.efficacy.sweep import work_off  # noqa: E402

SEEDS = (1, 2, 3, 4, 5)
COLOURS = dict(zip(ARMS, ("#0072B2", "#999999", "#E69F00", "#D55E00", "#009E73", "#CC79A7"), strict=True))
"""Okabe and Ito, told apart by the colour-blind."""

Row = dict[str, Any]


def mean_end(row: Row) -> float:
    """Accuracy at the end, all levels alike."""
    return float(np.mean(row["after"]["accuracy"]))


def computed_end(row: Row) -> float:
    """Share computed step by step at the end, all levels alike."""
    return float(np.mean(row["after"]["computed"]))


def area(row: Row) -> float:
    """Mean accuracy over the run: the area under its curve by the trapezoid rule, divided by its steps."""
    steps = [point["step"] for point in row["curve"]]
    means = [float(np.mean(point["accuracy"])) for point in row["curve"]]
    return float(np.trapezoid(means, steps) / (steps[-1] - steps[0]))


MEASURES: dict[str, Callable[[Row], float]] = {
    "accuracy": mean_end, "computed": computed_end, "area under the curve": area
}  # fmt: skip


def read_runs(out: Path, seeds: Sequence[int]) -> dict[tuple[str, str], dict[int, Row]]:
    """Ladder and arm -> seed -> row."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for path in sorted((out / "runs").glob("*.json")):
        row = json.loads(path.read_text())
        if row["seed"] in seeds:
            found.setdefault((row["ladder"], row["arm"]), {})[row["seed"]] = row
    return found


def write_summary(found: dict[tuple[str, str], dict[int, Row]]) -> str:
    """Tables of each ladder. Intervals are 95%, by Student's t over seeds; differences are of the same seeds."""
    parts = []
    for ladder, levels in LADDERS.items():
        own = {arm: found[ladder, arm] for arm in ARMS if (ladder, arm) in found}
        if not own:
            continue
        heads = ["arm", "seeds", *MEASURES, *(f"{name}: curriculum less this" for name in MEASURES)]
        lines = [f"## {ladder}: 2 to {levels[-1].config} terms", "", *_head(heads)]
        for arm, rows in own.items():
            cells = [arm, str(len(rows)), *(write_cell([of(row) for row in rows.values()]) for of in MEASURES.values())]
            for of in MEASURES.values():
                shared = sorted(rows.keys() & own.get("curriculum", {}).keys()) if arm != "curriculum" else []
                cells.append(write_cell([of(own["curriculum"][s]) - of(rows[s]) for s in shared], sign=True))
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", "Accuracy at the end, by the number of terms:", ""]
        lines += _head(["arm", *(str(level.config) for level in levels)])
        first = next(iter(own.values()))
        before = np.mean([row["curve"][0]["accuracy"] for row in first.values()], axis=0)
        lines.append("| before | " + " | ".join(f"{value:.2f}" for value in before) + " |")
        for arm, rows in own.items():
            means = np.mean([row["after"]["accuracy"] for row in rows.values()], axis=0)
            lines.append(f"| {arm} | " + " | ".join(f"{value:.2f}" for value in means) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _head(names: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]


def draw_figure(found: dict[tuple[str, str], dict[int, Row]], path: Path) -> None:
    """Mean accuracy over the steps, and accuracy by level at the end; bands are intervals over seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10})
    ladders = [ladder for ladder in LADDERS if any(key[0] == ladder for key in found)]
    figure, grid = plt.subplots(len(ladders), 2, figsize=(9, 3 * len(ladders)), layout="constrained", squeeze=False)
    for (curves, ends), ladder in zip(grid, ladders, strict=True):
        for arm in ARMS:
            rows = list(found.get((ladder, arm), {}).values())
            if rows:
                steps = [point["step"] for point in rows[0]["curve"]]
                _draw_line(curves, steps, [[np.mean(p["accuracy"]) for p in row["curve"]] for row in rows], arm)
                terms = [level.config for level in LADDERS[ladder]]
                _draw_line(ends, terms, [row["after"]["accuracy"] for row in rows], arm)
        curves.set(
            title=f"{ladder}: 2 to {LADDERS[ladder][-1].config} terms", xlabel="step", ylabel="accuracy, all levels"
        )
        ends.set(title="at the end", xlabel="terms", ylabel="accuracy", ylim=(0, 1.03))
    names = dict(zip(*reversed(grid[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(names.values(), names.keys(), loc="outside lower center", ncols=len(ARMS), frameon=False)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def _draw_line(axes: Any, places: Sequence[int], values: Sequence[Sequence[float]], arm: str) -> None:
    columns = np.transpose(values)
    low, high = np.transpose([t_interval(column.tolist()) for column in columns])
    axes.plot(places, columns.mean(axis=1), color=COLOURS[arm], lw=2.2 if arm == "curriculum" else 1.4, label=arm)
    axes.fill_between(places, low, high, color=COLOURS[arm], alpha=0.15, lw=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", nargs="+", default=list(LADDERS), choices=LADDERS)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--workers", type=int, default=1, help="runs at once, a core each")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    todo = [Run(ladder, arm, seed) for seed, ladder, arm in product(options.seeds, options.ladders, options.arms)]
    todo = [one for one in todo if not (options.out / "runs" / f"{one.name}.json").exists()]
    if todo:
        build_base(options.out)
    failed = work_off(todo, options.out, options.workers, run)
    for name in failed:
        print(f"failed: {name}, see {options.out / 'logs' / (name + '.txt')}")
    found = read_runs(options.out, options.seeds)
    (options.out / "summary.md").write_text(write_summary(found) + "\n")
    draw_figure(found, options.out / "curriculum.png")
    print(f"written: {options.out / 'summary.md'}, {options.out / 'curriculum.png'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
