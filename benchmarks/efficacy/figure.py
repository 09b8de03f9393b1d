"""The figure of the README: what is kept and gained, each arm at its own best learning rate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import PercentFormatter

from benchmarks.efficacy.compare import RARE, Rows, gained, kept, summarise
from benchmarks.efficacy.plan import LEARNABLE, MAIN
from benchmarks.efficacy.records import Row
from benchmarks.efficacy.settings import FAMILIES, SEEDS

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"grpo": "#D55E00", "rlguard": "#0072B2", "sampler_alone": "#CC79A7", "rlguard_sampler": "#009E73"}
"""Okabe and Ito, told apart by the colour-blind."""
NAMES = {
    "grpo": "GRPO", "rlguard": "rlguard",
    "sampler_alone": "GRPO, prompts chosen", "rlguard_sampler": "rlguard, prompts chosen",
}  # fmt: skip
ASIDE = 1.5
"""Percent of problems by which an arm stands beside the one before it, so that bars do not hide each other."""
PERCENT = PercentFormatter(1.0, decimals=0)


def draw_shares(axes: Any, rows: Rows, family: str, measure: Callable[[Row], float], kind: str = "unlearnable") -> None:
    """A measure over the share of problems of a kind; bars are 95% intervals."""
    for place, arm in enumerate(NAMES):
        points = []
        for mix in [LEARNABLE, *(mix for mix in rows.mixes(family) if mix[0] == kind and mix[1])]:
            runs = rows.get(family, mix, arm)
            if runs:
                found = summarise(runs, measure)
                points.append((100 * mix[1] + ASIDE * place, found.mean, *found.interval()))
        if points:
            x, mean, low, high = np.array(points).T
            bars = np.nan_to_num(np.stack([mean - low, high - mean]))
            axes.errorbar(x, mean, bars, color=COLOURS[arm], marker="o", ms=4, capsize=2, label=NAMES[arm])
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel(f"% {kind.replace('_', ' but ')} problems")


def draw_razor(axes: Any, rows: Rows) -> None:
    """What is kept against the forward KL on prior prompts, one point a run."""
    for arm in MAIN:
        own = [row for row in rows.all if row["arm"] == arm and row["seed"] in SEEDS]
        if own:
            axes.plot([row["kl_prior"] for row in own], list(map(kept, own)), ".", color=COLOURS[arm], alpha=0.4)
    axes.set_xscale("symlog", linthresh=0.01)  # some runs move nothing, and one moved 14 nats
    axes.set_xlabel("forward KL on prior prompts, nats")
    axes.set_ylabel("prior skills kept")
    axes.yaxis.set_major_formatter(PERCENT)


def draw_figure(rows: Rows, path: Path) -> None:
    """Above what is kept, below what is gained, a column a family; then wrong labels, rare problems, and KL."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10})
    families = [family for family in FAMILIES if rows.mixes(family)]
    figure, grid = plt.subplots(2, len(families) + 2, figsize=(3 * len(families) + 6, 5), layout="constrained")
    for place, family in enumerate(families):
        draw_shares(grid[0][place], rows, family, kept)
        draw_shares(grid[1][place], rows, family, gained)
        grid[0][place].set_title(family)
    grid[0][0].set_ylabel("prior skills kept")
    grid[1][0].set_ylabel("gained on learnable, points")
    draw_shares(grid[0][-2], rows, "sums", kept, "mislabelled")
    draw_shares(grid[1][-2], rows, "sums", RARE[64], "rare_valid")
    grid[0][-2].set_title("sums")
    grid[1][-2].set_ylabel("rare ones solved in 64 tries")
    draw_razor(grid[0][-1], rows)
    grid[1][-1].set_axis_off()
    names = {name: line for part in figure.axes for line, name in zip(*part.get_legend_handles_labels(), strict=True)}
    figure.legend(names.values(), names.keys(), loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200, metadata={"Software": None})
    plt.close(figure)
