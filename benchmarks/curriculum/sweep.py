"""The whole curriculum benchmark: every arm and seed over the cores, then the tables and the figure.

    python benchmarks/curriculum/sweep.py        # 30 runs of about a minute; start it again to go on

Tuning (the base model, the curriculum) was done on seeds 1000 and up; reported are 1 to 5.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

import numpy as np  # noqa: E402

from benchmarks.curriculum.run import ARMS, LEVELS, OUT, Run, build_base, run  # noqa: E402
from benchmarks.efficacy.sweep import work_off  # noqa: E402
from benchmarks.efficacy.table import bootstrap  # noqa: E402

Row = dict[str, Any]
COLOURS = dict(zip(ARMS, ("#0072B2", "#999999", "#56B4E9", "#D55E00", "#E69F00", "#009E73"), strict=True))


def read_runs(out: Path, seeds: Sequence[int]) -> dict[str, list[Row]]:
    """The rows of each arm, by seed; only seeds that every arm has run."""
    found = {arm: {} for arm in ARMS}
    for path in sorted((out / "runs").glob("*.json")):
        row = json.loads(path.read_text())
        found[row["arm"]][row["seed"]] = row
    common = [seed for seed in seeds if all(seed in by_seed for by_seed in found.values())]
    return {arm: [by_seed[seed] for seed in common] for arm, by_seed in found.items()}


def at_level(level: int) -> Callable[[Row], float]:
    """Accuracy at a level after the run."""
    return lambda row: row["after"]["accuracy"][level]


def area(row: Row) -> float:
    """Mean over the run of the mean accuracy over levels."""
    return float(np.trapezoid([np.mean(look["accuracy"]) for look in row["curve"]]) / (len(row["curve"]) - 1))


MEASURES: dict[str, Callable[[Row], float]] = {
    "mean over levels": lambda row: float(np.mean(row["after"]["accuracy"])),
    "mean, computed": lambda row: float(np.mean(row["after"]["computed"])),
    "mean over the run": area,
    **{f"{level.config} terms": at_level(place) for place, level in enumerate(LEVELS)},
}


def write_summary(arms: dict[str, list[Row]]) -> str:
    """Every arm at the end, and the curriculum against each, paired by seed."""
    before = np.mean([row["curve"][0]["accuracy"] for rows in arms.values() for row in rows], axis=0)
    lines = [
        f"Seeds {', '.join(str(row['seed']) for row in arms['curriculum'])}; 95% bootstrap intervals over seeds, "
        f"differences paired by seed. Before training, by level: {', '.join(f'{rate:.2f}' for rate in before)}.", "",
        "| | " + " | ".join(arms) + " |", "|---|" + "---|" * len(arms),
        *(f"| {name} | " + " | ".join(_cell([m(row) for row in rows]) for rows in arms.values()) + " |"
          for name, m in MEASURES.items()),
        "", "| curriculum less ... | " + " | ".join(ARMS[1:]) + " |", "|---|" + "---|" * (len(ARMS) - 1),
        *(f"| {name} | " + " | ".join(_cell([m(a) - m(b) for a, b in zip(arms["curriculum"], arms[arm], strict=True)])
                                      for arm in ARMS[1:]) + " |" for name, m in MEASURES.items()),
        "", f"Seconds a run: {np.mean([row['seconds'] for rows in arms.values() for row in rows]):.0f}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float]) -> str:
    low, high = bootstrap(values)
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"


def draw_figure(arms: dict[str, list[Row]], path: Path) -> None:
    """Accuracy over the run, mean and at the hardest level that any arm learns; and the level of the prompts."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    for arm, rows in arms.items():
        steps = [look["step"] for look in rows[0]["curve"]]
        accuracy_SL = np.array([[np.mean(look["accuracy"]) for look in row["curve"]] for row in rows])
        axes[0].plot(steps, accuracy_SL.mean(axis=0), color=COLOURS[arm], label=arm)
        axes[0].fill_between(
            steps, accuracy_SL.min(axis=0), accuracy_SL.max(axis=0), color=COLOURS[arm], alpha=0.12, lw=0
        )
        terms = np.array([row["levels"] for row in rows]).mean(axis=0) + LEVELS[0].config
        axes[1].plot(np.arange(1, len(terms) + 1), terms, color=COLOURS[arm])
    axes[0].set(xlabel="step", ylabel="accuracy, mean over levels", title="Held-out questions of all levels")
    axes[1].set(xlabel="step", ylabel="terms, mean over prompts", title="What is trained on")
    axes[0].legend(fontsize=8)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    build_base(options.out)
    failed = work_off([Run(arm, seed) for seed in options.seeds for arm in ARMS], options.out, options.workers, run)
    arms = read_runs(options.out, options.seeds)
    if arms["curriculum"]:
        (options.out / "summary.md").write_text(write_summary(arms))
        draw_figure(arms, options.out / "curriculum.png")
        print(options.out / "summary.md")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see {options.out / 'logs'}")


if __name__ == "__main__":
    main()
