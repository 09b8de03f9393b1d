"""The GPU table of RESULTS.md, from rows of several days and cards.

python benchmarks/gpu/table.py --take rows.tar.xz              # rows that came back, into benchmarks/gpu/rows
python benchmarks/gpu/table.py --into benchmarks/RESULTS.md    # between <!-- gpu --> and <!-- end -->
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.records import write_whole  # noqa: E402
from benchmarks.efficacy.stats import write_cell  # noqa: E402
from benchmarks.gpu.runs import FIVE, Run, read_guard_version  # noqa: E402

ROWS = Path(__file__).with_name("rows")
BEGIN, END = "<!-- gpu -->", "<!-- end -->"
FALL = 0.05
"""Points of accuracy on prior skills whose loss is harm."""
Row = dict[str, Any]


def read_rows(folder: Path = ROWS) -> list[Row]:
    """All rows, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def take(archive: Path, folder: Path = ROWS) -> int:
    """Adds an archive's rows, in place of older ones of the same name; how many."""
    count = 0
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            file, path = tar.extractfile(member), folder / Path(member.name).name
            if not member.name.startswith("rows/") or file is None:
                continue
            row = json.loads(file.read())
            if not path.exists() or json.loads(path.read_text())["date"] < row["date"]:
                write_whole(path, row)
                count += 1
    return count


def is_current(row: Row, guard: str) -> bool:
    """Whether a row is the present guard's, or no guard's."""
    return not Run(0, row["what"], row["family"], arm=row["arm"]).guarded or row["guard"] == guard


def find_harm(curve: Sequence[Row]) -> float:
    """The first measured step at which accuracy on prior skills is `FALL` below the start; NaN if it never is.

    The next measurement, where there is one, must agree: a single one may be the luck of sampling.
    """
    low = [row["prior_accuracy"] <= curve[0]["prior_accuracy"] - FALL for row in curve]
    return next((float(curve[i]["step"]) for i in range(len(curve)) if all(low[i : i + 2])), nan)


def write_training(rows: Sequence[Row]) -> str:
    """One line a mix and arm: accuracy of each kind before and after; means, and intervals over seeds."""
    names = ("trained on", "arm", "seeds", "prior kept", "held out: before → after", "most frequent answer, prior",
             "harm at step", "rate ×")  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for key, arm, found in _group(rows):
        curves = [row["curve"] for row in found]
        kinds = [name.removesuffix("_accuracy") for name in curves[0][0] if name.endswith("_accuracy")]
        ends = "; ".join(
            f"{kind} {write_cell([curve[0][f'{kind}_accuracy'] for curve in curves])} → "
            + write_cell([curve[-1][f"{kind}_accuracy"] for curve in curves])
            for kind in kinds
        )
        kept = [
            curve[-1]["prior_accuracy"] / curve[0]["prior_accuracy"] if curve[0]["prior_accuracy"] else nan
            for curve in curves
        ]
        top = write_cell([curve[-1]["prior_share_top"] for curve in curves])
        harm, rate = (
            write_cell([find_harm(curve) for curve in curves], 0),
            write_cell([row["rate_factor"] for row in found]),
        )
        lines.append("| " + " | ".join([key, arm, str(len(found)), write_cell(kept), ends, top, harm, rate]) + " |")
    return "\n".join(lines)


def write_curves(rows: Sequence[Row]) -> str:
    """Accuracy on prior skills at each measured step, one line a run."""
    lines = ["| trained on | arm | seed | prior skills at step |", "|---|---|---|---|"]
    for key, arm, found in _group(rows):
        for row in found:
            points = ", ".join(f"{point['step']}: {point['prior_accuracy']:.3f}" for point in row["curve"])
            lines.append(f"| {key} | {arm} | {row['seed']} | {points} |")
    return "\n".join(lines)


def _group(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        place = row["item"], row["family"], row["task"], row["rewards"], -row["share"], FIVE.index(row["arm"])
        groups.setdefault(place, []).append(row)
    named = []
    for place in sorted(groups):
        found = sorted(groups[place], key=lambda row: row["seed"])
        row = found[0]
        shaped = ", format reward, length penalty" if row["rewards"] == "three" else ""
        key = f"{row['family']}, {row['task']}, {row['share']:.0%} near-impossible{shaped}"
        named.append((key, row["arm"], found))
    return named


def write_cost(rows: Sequence[Row]) -> str:
    """Milliseconds of a step with and without the guard."""
    lines = ["| arm | card | completions x tokens | step | generation | added by the guard | detectors alone |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        cells = [write_cell(row[name], 0) for name in ("step_ms", "generation_ms", "guard_ms")]
        size = f"{row['completions']} x {row['tokens']}"
        lines.append("| " + " | ".join([row["arm"], row["card"], size, *cells, f"{row['detectors_ms']:.0f}"]) + " |")
    return "\n".join(lines)


def write_block(rows: Sequence[Row], guard: str) -> str:
    """All tables; rows of another guard are counted, not shown."""
    rows = [row for row in rows if not row["name"].startswith("probe-")]
    now = [row for row in rows if is_current(row, guard)]
    if not now:
        return f"No rows yet: no GPU was at hand. Guard {guard}; rows of another guard: {len(rows)}."
    trained = [row for row in now if row["what"] == "train"]
    costs = [row for row in now if row["what"] == "cost"]
    made = sorted({f"{row['card']}, {', '.join(f'{k} {v}' for k, v in row['software'].items())}, commit {row['commit']}"
                   for row in now})  # fmt: skip
    blocks = [f"Guard {guard}; {len(rows) - len(now)} rows of another guard are left out. Run on: {'; '.join(made)}."]
    if trained:
        blocks += [write_training(trained), "<details><summary>Curves</summary>", write_curves(trained), "</details>"]
    if costs:
        blocks.append(write_cost(costs))
    return "\n\n".join(blocks)


def fill(page: str, block: str) -> str:
    """The page with a new block in its place.

    Raises:
        ValueError: It has none.
    """
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"the page has no place for the table: expected {BEGIN} and then {END}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", type=Path, help="an archive of rows to add")
    parser.add_argument("--into", type=Path, help="a page to fill; without it the table is printed")
    args = parser.parse_args()
    if args.take:
        print(f"{take(args.take)} rows added to {ROWS}")
    block = write_block(read_rows(), read_guard_version())
    if args.into:
        args.into.write_text(fill(args.into.read_text(), block))
    else:
        print(block)


if __name__ == "__main__":
    main()
