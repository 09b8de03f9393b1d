"""The README's figure, from whatever runs there are.

    python benchmarks/efficacy/plot.py --out out/efficacy --seeds 1 2 3 4 5 --figure docs/efficacy.png

Lines are means over seeds, bands their 95% bootstrap intervals. Only what all arms shown have run enters a comparison.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.table import RARE, RETENTION, Row, bootstrap, read_runs  # noqa: E402

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import PercentFormatter  # noqa: E402

STYLES: dict[str, tuple[str, str, str]] = {
    "grpo": ("#D55E00", "o", "GRPO"),
    "max_rl": ("#CC79A7", "s", "MaxRL"),
    "rlguard_rewrite": ("#0072B2", "D", "rlguard, rewrite only"),
    "rlguard": ("#009E73", "^", "rlguard with filter"),
}
"""Colour (Okabe and Ito, told apart by the colour-blind), marker and name of each arm."""
KINDS = ("unlearnable", "mislabelled", "guessable")

PERCENT = PercentFormatter(1.0, decimals=0)

Points = list[tuple[float, float, float, float]]
"""Place, mean, low, high."""


def average(rows: Sequence[Row], measure: Callable[[Row], float]) -> tuple[float, float, float]:
    """Mean over seeds, each the mean of its runs, and its interval; without two seeds just the mean."""
    seeds: dict[int, list[float]] = {}
    for row in rows:
        seeds.setdefault(row["seed"], []).append(measure(row))
    means = [float(np.nanmean(values)) for values in seeds.values() if not np.isnan(values).all()]
    if not means:
        return (np.nan,) * 3
    low, high = bootstrap(means)
    mean = float(np.mean(means))
    return mean, *((mean, mean) if np.isnan(low) else (low, high))


def keep_common(rows: Sequence[Row]) -> list[Row]:
    """The rows of those kinds, shares and seeds that every arm among them has; all where there are none."""
    runs: dict[str, set] = {}
    for row in rows:
        runs.setdefault(row["arm"], set()).add((row["kind"], row["share"], row["seed"]))
    common = set.intersection(*runs.values()) if runs else set()
    return [row for row in rows if not common or (row["kind"], row["share"], row["seed"]) in common]


def follow(rows: Sequence[Row]) -> Points:
    """Share of the prior skills that is kept, over the steps. A run that trained on nothing stays as it was."""
    steps = sorted({point["step"] for row in rows for point in row["curve"]} | {row["steps"] for row in rows})

    def kept(row: Row, step: int) -> float:
        curve = {point["step"]: point["prior_accuracy"] for point in row["curve"]}
        return curve.get(step, curve[0] if len(curve) == 1 else np.nan) / curve[0]

    return [(step, *average(rows, lambda row, step=step: kept(row, step))) for step in steps]


def by_share(rows: Sequence[Row]) -> Points:
    """Share of the prior skills that is kept, over the share of near-impossible problems."""
    shares = sorted({row["share"] for row in rows})
    return [(100 * share, *average([row for row in rows if row["share"] == share], RETENTION)) for share in shares]


def draw_line(axes: Any, points: Points, arm: str, marked: bool = False) -> None:
    """A mean with its band."""
    colour, marker, name = STYLES[arm]
    x, mean, low, high = np.array(points, float).T
    known = ~np.isnan(mean)
    axes.plot(x[known], mean[known], color=colour, lw=1.8, marker=marker if marked else None, ms=5, label=name)
    axes.fill_between(x[known], low[known], high[known], color=colour, alpha=0.18, lw=0)


def draw_rare(axes: Any, rows: Sequence[Row]) -> None:
    """Computed pass@1 on rare but valid problems, after training on mixes with them; dashed before."""
    chosen = keep_common([r for r in rows if r["kind"] == "rare_valid" and r["share"] == 1 and r["arm"] in STYLES])
    arms = [arm for arm in STYLES if any(row["arm"] == arm for row in chosen)]
    for place, arm in enumerate(arms):
        mean, low, high = average([row for row in chosen if row["arm"] == arm], RARE[1])
        axes.errorbar([place], [mean], [[mean - low], [high - mean]], color=STYLES[arm][0], fmt=STYLES[arm][1], ms=7)
    before = average(chosen, lambda row: row["before"]["rare_valid"]["computed_pass@1"])[0]
    axes.axhline(before, color="0.4", ls="--", lw=1)
    axes.annotate("before", (len(arms) - 0.5, before), (0, 3), textcoords="offset points", ha="right", color="0.4")
    axes.set_xticks(range(len(arms)), [STYLES[arm][2].replace(", ", ",\n") for arm in arms])
    axes.set_xlim(-0.6, len(arms) - 0.4)
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_title("Trained on rare but valid problems")
    axes.set_ylabel("solved step by step, pass@1")
    axes.yaxis.set_major_formatter(PERCENT)


def draw_figure(rows: Sequence[Row], path: Path) -> None:
    """Kept skills over steps for each kind at 100%; below, over the share of unlearnable, and the rare but valid."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10})
    figure = plt.figure(figsize=(9, 5.6), layout="constrained")
    kinds = [kind for kind in KINDS if any((row["kind"], row["share"]) == (kind, 1.0) for row in rows)] or KINDS[:1]
    width = 6 // len(kinds)
    grid = figure.add_gridspec(2, 6)
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(grid[0, width * place : width * (place + 1)])
        for arm in STYLES:
            own = [r for r in rows if (r["arm"], r["kind"], r["share"]) == (arm, kind, 1.0)]
            if own:
                draw_line(axes, follow(own), arm)
        axes.set_title(f"Only {kind} problems")
        axes.set_xlabel("step")
        axes.set_ylim(0, 1.25)
        axes.yaxis.set_major_formatter(PERCENT)
        if not place:
            axes.set_ylabel("prior skills kept")
    axes = figure.add_subplot(grid[1, :3])
    mixed = [row for row in rows if row["arm"] in STYLES and (row["kind"] == KINDS[0] or not row["share"])]
    seeds = Counter((row["arm"], row["share"]) for row in mixed)
    most = {share: max(n for (_, other), n in seeds.items() if other == share) for _, share in seeds}
    fair = [row for row in mixed if seeds[row["arm"], row["share"]] == most[row["share"]]]  # all seeds, or not shown
    for arm in STYLES:
        own = [row for row in fair if row["arm"] == arm]
        if own:
            draw_line(axes, by_share(own), arm, marked=True)
    axes.set_title("Mixed with learnable problems")
    axes.set_xlabel(f"{KINDS[0]} problems in the training data (%)")
    axes.set_ylabel("prior skills kept")
    axes.set_ylim(0, 1.25)
    axes.yaxis.set_major_formatter(PERCENT)
    draw_rare(figure.add_subplot(grid[1, 3:]), rows)
    names = {name: line for part in figure.axes for line, name in zip(*part.get_legend_handles_labels(), strict=True)}
    figure.legend(names.values(), names.keys(), loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/efficacy"))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--family", default="sums")
    parser.add_argument("--figure", type=Path, default=Path("docs/efficacy.png"))
    arguments = parser.parse_args()
    rows = [row for row in read_runs(arguments.out, arguments.seeds) if row["family"] == arguments.family]
    if not rows:
        sys.exit(f"{arguments.out / 'runs'}: no runs of {arguments.family} and seeds {arguments.seeds}")
    draw_figure(rows, arguments.figure)


if __name__ == "__main__":
    main()
