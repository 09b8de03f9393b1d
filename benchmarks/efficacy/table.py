"""Tables of the efficacy benchmark: one row an arm, mean and 95% interval over seeds.

    python benchmarks/efficacy/table.py --out out/efficacy --seeds 1 2 3 4 5

Intervals are bootstrapped over seeds (10,000 draws). With fewer than two seeds there is none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MEASURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "retention": lambda row: row["after"]["prior"]["accuracy"] / row["before"]["prior"]["accuracy"],
    "retention, computed": lambda row: (
        row["after"]["prior"]["share_computed"] / row["before"]["prior"]["share_computed"]
    ),
    "gain on learnable": lambda row: row["after"]["learnable"]["accuracy"] - row["before"]["learnable"]["accuracy"],
    "rare, computed pass@1": lambda row: row["after"]["rare_valid"]["computed_pass@1"],
    "rare, computed pass@64": lambda row: row["after"]["rare_valid"]["computed_pass@64"],
    "bare answers": lambda row: row["after"]["prior"]["share_bare"],
    "harm begins at": lambda row: find_harm(row["curve"]),
}


def find_harm(curve: Sequence[dict[str, Any]], points: float = 0.05) -> float:
    """The first measured step at which accuracy on prior skills is `points` below the start; NaN if it never is."""
    start = curve[0]["prior_accuracy"]
    return next((float(row["step"]) for row in curve if row["prior_accuracy"] <= start - points), float("nan"))


def bootstrap(values: Sequence[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """A 95% percentile interval for the mean.

    Args:
        values: One figure a seed; NaN are left out.
        draws: Bootstrap samples.
        seed: Of the draws.

    Returns:
        Low and high; NaN with fewer than two figures.
    """
    known = np.array([value for value in values if not np.isnan(value)])
    if len(known) < 2:
        return float("nan"), float("nan")
    means = np.random.default_rng(seed).choice(known, (draws, len(known))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def read_runs(out: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of these seeds, in the order of their names."""
    rows = [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]
    return [row for row in rows if row["seed"] in seeds]


def write_table(rows: list[dict[str, Any]], kind: str, share: float) -> str:
    """A Markdown table of one mix."""
    chosen = [row for row in rows if (row["kind"], row["share"]) == (kind, share)]
    lines = [f"| {kind}, {share:.0%} | seeds | " + " | ".join(MEASURES) + " |", "|---" * (len(MEASURES) + 2) + "|"]
    for arm in dict.fromkeys(row["arm"] for row in chosen):
        own = [row for row in chosen if row["arm"] == arm]
        cells = [write_cell([measure(row) for row in own]) for measure in MEASURES.values()]
        lines.append(f"| {arm} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_cell(values: Sequence[float]) -> str:
    """Mean and interval; how many had a figure, where some had none."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return "–"
    low, high = bootstrap(known)
    shape = ".0f" if max(map(abs, known)) >= 10 else ".3f"
    interval = "" if np.isnan(low) else f" [{low:{shape}}, {high:{shape}}]"
    return f"{np.mean(known):{shape}}{interval}" + (
        f" ({len(known)} of {len(values)})" if len(known) < len(values) else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/efficacy"))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    rows = read_runs(arguments.out, arguments.seeds)
    for kind, share in sorted({(row["kind"], row["share"]) for row in rows}):
        print(write_table(rows, kind, share), end="\n\n")


if __name__ == "__main__":
    main()
