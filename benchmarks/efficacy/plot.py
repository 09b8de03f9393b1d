"""The README's figure, from whatever runs there are.

    python benchmarks/efficacy/plot.py --out out/efficacy --seeds 1 2 3 4 5 --figure docs/efficacy.png

Lines are means over seeds, bands their 95% bootstrap intervals. An arm that has run fewer seeds than others is
left out of the comparison of mixes.
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
from benchmarks.efficacy.settings import ABLATIONS  # noqa: E402
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
    """Computed pass@1 after training on nothing but rare but valid problems, by family; a line where it was before."""
    chosen = [row for row in rows if (row["kind"], row["share"]) == ("rare_valid", 1.0) and row["arm"] in STYLES]
    families = [family for family in ("sums", "strings", "logic") if any(row["family"] == family for row in chosen)]
    for place, family in enumerate(families):
        own = [row for row in chosen if row["family"] == family]
        before = average(own, lambda row: row["before"]["rare_valid"]["computed_pass@1"])[0]
        axes.hlines(before, place - 0.4, place + 0.4, color="0.4", ls="--", lw=1)
        axes.annotate("before", (place + 0.4, before), (0, 2), textcoords="offset points", ha="right", color="0.4")
        arms = [arm for arm in STYLES if any(row["arm"] == arm for row in own)]
        for arm, x in zip(arms, np.linspace(place - 0.25, place + 0.25, len(arms)), strict=True):
            mean, low, high = average([row for row in own if row["arm"] == arm], RARE[1])
            axes.errorbar([x], [mean], [[mean - low], [high - mean]], color=STYLES[arm][0], fmt=STYLES[arm][1], ms=6)
    axes.set_xticks(range(len(families)), families)
    axes.set_ylim(-0.03, 1.05)
    axes.set_title("Only rare but valid problems")
    axes.set_ylabel("solved, pass@1")
    axes.yaxis.set_major_formatter(PERCENT)


def draw_trade(axes: Any, rows: Sequence[Row], family: str = "strings") -> None:
    """What is kept where nothing can be learnt, against what is learnt where it is rare but valid, by method.

    Training on coin flips, which loses all of both, would only squeeze the others together.
    """
    harmless, rare = (
        [row for row in rows if (row["family"], row["kind"], row["share"]) == (family, kind, 1.0)]
        for kind in ("unlearnable", "rare_valid")
    )
    arms = sorted({row["arm"] for row in harmless} & {row["arm"] for row in rare} - {*ABLATIONS, "random_reward"})
    for arm in arms:
        kept, low, high = average([row for row in harmless if row["arm"] == arm], RETENTION)
        learnt, least, most = average([row for row in rare if row["arm"] == arm], RARE[1])
        colour, marker, _ = STYLES.get(arm, ("0.55", "o", ""))
        bars = [[kept - low], [high - kept]], [[learnt - least], [most - learnt]]
        axes.errorbar([kept], [learnt], bars[1], bars[0], color=colour, fmt=marker, ms=6, elinewidth=0.8)
        if arm not in STYLES:  # beside its point, on the side where there is room
            left, below = kept > 0.6, arm == "dapo_filter"
            place = {"ha": "right" if left else "left", "va": "top" if below else "bottom"}
            offset = -5 if left else 5, -2 if below else 2
            axes.annotate(arm, (kept, learnt), offset, textcoords="offset points", color="0.4", fontsize=7, **place)
    axes.set_title(f"All methods, {family}")
    axes.set_xlabel("prior skills kept, only unlearnable")
    axes.set_ylabel("solved, only rare but valid")
    axes.set_xlim(0, 1.1)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)


def draw_figure(rows: Sequence[Row], path: Path, family: str = "sums") -> None:
    """Kept skills over steps for each kind at 100%; below, over the share of unlearnable, the rare but valid, and both.

    The last two panels show other families too.
    """
    everything, rows = rows, [row for row in rows if row["family"] == family]
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
    axes = figure.add_subplot(grid[1, :2])
    mixed = [row for row in rows if row["arm"] in STYLES and (row["kind"] == KINDS[0] or not row["share"])]
    seeds = Counter((row["arm"], row["share"]) for row in mixed)
    most = {share: max(n for (_, other), n in seeds.items() if other == share) for _, share in seeds}
    fair = [row for row in mixed if seeds[row["arm"], row["share"]] == most[row["share"]]]  # all seeds, or not shown
    for arm in STYLES:
        own = [row for row in fair if row["arm"] == arm]
        if own:
            draw_line(axes, by_share(own), arm, marked=True)
    axes.set_title("Mixed with learnable problems")
    axes.set_xlabel(f"% {KINDS[0]} problems")
    axes.set_ylabel("prior skills kept")
    axes.set_ylim(0, 1.25)
    axes.yaxis.set_major_formatter(PERCENT)
    draw_rare(figure.add_subplot(grid[1, 2:4]), everything)
    draw_trade(figure.add_subplot(grid[1, 4:]), everything)
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
    draw_figure(read_runs(arguments.out, arguments.seeds), arguments.figure, arguments.family)


if __name__ == "__main__":
    main()
