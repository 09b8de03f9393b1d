"""The picture at the top of the README: three seeds, three arms.

    python benchmarks/readme/run.py           # trains what rows.csv lacks: nine runs, 2 core-minutes each
    python benchmarks/readme/run.py --draw    # only draws docs/guarded-{light,dark}.svg and prints the figures

Every run is `recipes/train_guarded.py`: 31 of 32 training problems are nearly impossible for the model,
and every ten steps it is measured on skills that it had before. The third arm is a sceptic's: plain GRPO at the mean
learning rate that rlguard left of it in the run of the same seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROWS = Path(__file__).with_name("rows.csv")
SEEDS = (11, 12, 13)  # no earlier figure or choice used them
STEPS = 60
RATE = 2e-4  # train_guarded.py's own
ARMS = {"rlguard": [], "GRPO": ["--unguarded"], "GRPO, slower": ["--unguarded"]}
NAMES = {
    "rlguard": "with rlguard",
    "GRPO": "GRPO",
    "GRPO, slower": "GRPO at the mean learning rate that rlguard leaves",
}
PANELS = {"prior_accuracy": "Accuracy on skills held before", "prior_bare_share": "Answers without any computation"}
FIELDS = ["arm", "seed", "rate", "step", *PANELS, "rlguard/step_scale"]
COLOURS = {  # Okabe and Ito's, of which no two look alike to a colour-blind eye
    "light": {"rlguard": "#0072b2", "GRPO": "#d55e00", "GRPO, slower": "#7f7f7f", "ink": "#1f2328"},
    "dark": {"rlguard": "#56b4e9", "GRPO": "#e69f00", "GRPO, slower": "#a0a0a0", "ink": "#e6edf3"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="train nothing")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    if not arguments.draw:
        train_missing(arguments.steps)
    rows = read_rows()
    for theme in COLOURS:
        draw(rows, theme, ROOT / "docs" / f"guarded-{theme}.svg")
    print("\n".join(describe(rows)))


def read_rows() -> list[dict[str, Any]]:
    """The committed rows, one a measurement."""
    if not ROWS.exists():
        return []
    with ROWS.open() as file:
        return [row | {name: float(row[name] or "nan") for name in FIELDS[1:]} for row in csv.DictReader(file)]


def train_missing(steps: int) -> None:
    """Trains the runs that have no rows yet, two at a time; the slower arm waits for the guarded run of its seed."""
    for arms in (("rlguard", "GRPO"), ("GRPO, slower",)):
        have = {(row["arm"], row["seed"]) for row in read_rows()}
        todo = [(arm, seed) for seed in SEEDS for arm in arms if (arm, seed) not in have]
        for pair in (todo[i : i + 2] for i in range(0, len(todo), 2)):
            running = [(arm, seed, *start_run(arm, seed, steps)) for arm, seed in pair]
            for arm, seed, rate, process, folder in running:
                if process.wait() != 0:
                    raise SystemExit(
                        f"{arm}, seed {seed}: training ended with {process.returncode}; see {folder}/log.txt"
                    )
                write_run(arm, seed, rate, folder)


def start_run(arm: str, seed: int, steps: int) -> tuple[float, subprocess.Popen, Path]:
    """One run in a process of its own: its learning rate, the process and its folder."""
    scales = [row["rlguard/step_scale"] for row in read_rows() if (row["arm"], row["seed"]) == ("rlguard", seed)]
    rate = RATE * (statistics.mean(scales[1:]) if arm == "GRPO, slower" else 1)
    folder = ROOT / "out" / "readme" / f"{arm.replace(', ', '-')}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "recipes/train_guarded.py"), "--out", str(folder), "--seed", str(seed)]
    command += ["--steps", str(steps), "--learning-rate", str(rate), *ARMS[arm]]
    with (folder / "log.txt").open("w") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return rate, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment), folder


def write_run(arm: str, seed: int, rate: float, folder: Path) -> None:
    """Adds a finished run to rows.csv."""
    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        for line in (folder / "metrics.jsonl").read_text().splitlines():
            row = {name: round(value, 4) for name, value in json.loads(line).items()}
            writer.writerow(row | {"arm": arm, "seed": seed, "rate": f"{rate:.3g}"})


def describe(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each arm: first and last measurement, the mean and each seed."""
    for arm in ARMS:
        for panel, title in PANELS.items():
            first, last = ends(rows, arm, panel)
            each = ", ".join(f"{value:.2f}" for value in last)
            yield f"{arm}: {title.lower()} {statistics.mean(first):.2f} → {statistics.mean(last):.2f} ({each})"


def ends(rows: list[dict[str, Any]], arm: str, panel: str) -> tuple[list[float], list[float]]:
    """A figure before the first and after the last step, for each seed."""
    mine = [row for row in rows if row["arm"] == arm]
    last = max(row["step"] for row in mine)
    return tuple([row[panel] for row in mine if row["step"] == step] for step in (0, last))  # type: ignore[return-value]


def draw(rows: list[dict[str, Any]], theme: str, path: Path) -> None:
    """Both panels: the mean over seeds, each seed as a thin line, the arms named at their lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours = COLOURS[theme]
    pyplot.rcParams.update(
        {
            "svg.fonttype": "path", "svg.hashsalt": "rlguard", "font.size": 10.5, "text.color": colours["ink"],
            "axes.labelcolor": colours["ink"], "axes.edgecolor": colours["ink"], "xtick.color": colours["ink"],
            "ytick.color": colours["ink"],
        }
    )  # fmt: skip
    figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 3.7), layout="constrained")
    for axis, (panel, title) in zip(axes, PANELS.items(), strict=True):
        for arm in reversed(ARMS):
            by_step: dict[float, list[float]] = {}
            for seed in SEEDS:
                line = [row for row in rows if row["arm"] == arm and row["seed"] == seed]
                axis.plot([r["step"] for r in line], [r[panel] for r in line], color=colours[arm], lw=0.8, alpha=0.45)
                for row in line:
                    by_step.setdefault(row["step"], []).append(row[panel])
            means = [statistics.mean(values) for values in by_step.values()]
            axis.plot(list(by_step), means, color=colours[arm], lw=2.6, label=NAMES[arm])
        axis.set_title(title, loc="left", fontweight="bold")
        axis.set(xlabel="GRPO step", ylim=(0, 1))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.2)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
