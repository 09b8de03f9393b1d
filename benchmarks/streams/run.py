"""Batches of known luck through the guard as trainers call it.

    python benchmarks/streams/run.py --seeds 1000                              # tuning: look as often as you like
    python benchmarks/streams/run.py --into benchmarks/RESULTS.md              # the report, seeds 1 to 5

Prints one table. Rows, one a stream, seed and method, go to out/streams.jsonl; `--into` writes streams.csv beside this
file with the spread over seeds, and of it the tables between `<!-- streams -->` and `<!-- end -->` of that page and of
docs/rewrite.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
import numpy as np  # noqa: E402

from benchmarks.streams.draw import Stream, list_streams  # noqa: E402
from benchmarks.streams.guarded import make_guard, read_batches  # noqa: E402
from benchmarks.streams.measures import add, figures, gaps, measure  # noqa: E402
from benchmarks.streams.methods import Said, judge_evenly, judge_grpo, judge_randomly, make_oracle, make_ruled_oracle  # noqa: E402
from benchmarks.streams.texts import FAMILIES, find_missing  # noqa: E402

REPORTED, TUNING = range(1, 6), 1000
"""Seeds of reports, and the first of those that anything may be tuned on."""
METHODS = ("GRPO", "uniform", "random", "guard", "oracle", "rule")
TABLE = Path(__file__).with_name("streams.csv")
THEORY = ROOT / "docs" / "rewrite.md"
SHOWN = (
    "integers, healthy, U(0,1)", "integers, healthy, Beta(.3,6)", "integers, half impossible, 1 visit",
    "integers, half impossible, 4 visits", "code, half impossible, 1 visit", "GSM8K, half impossible, 1 visit",
    "four options, healthy, U(0,1)", "four options, half impossible, 1 visit", "yes/no, healthy, U(0,1)",
    "yes/no, half impossible, 1 visit", "integers, all impossible, 1 visit", "held out: integers, 80% impossible",
    "held out: code, a quarter impossible, Beta(.5,2)",
)  # fmt: skip
"""Streams on the page of the theory."""


def check_seeds(seeds: Sequence[int], reports: bool) -> None:
    """Raises ValueError where seeds of tuning and of reports are mixed, or a report is made of others than all five."""
    tuning = [seed for seed in seeds if seed >= TUNING]
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds: expected each once, got {list(seeds)}")
    if tuning and len(tuning) < len(seeds):
        raise ValueError(f"seeds: 1 to 5 are for reports and {TUNING} on for tuning, never both, got {list(seeds)}")
    if not tuning and any(seed not in REPORTED for seed in seeds):
        raise ValueError(f"seeds: expected 1 to 5 for a report, or {TUNING} on for tuning, got {list(seeds)}")
    if reports and sorted(seeds) != list(REPORTED):
        raise ValueError(f"seeds: a report takes all of 1 to 5, got {list(seeds)}")


def run_stream(stream: Stream, seed: int, folder: Path | None = None) -> list[dict]:
    """A row for each method. Of several visits only the last is measured; `folder` as for `read_batches`."""
    guard, oracle, ruled = make_guard(), make_oracle(stream), make_ruled_oracle(stream)
    shuffle = np.random.default_rng([seed, 1])
    measured: dict[str, list[dict]] = {method: [] for method in METHODS}
    took, rollouts = 0.0, 0
    for batch, evidence in read_batches(stream, seed, folder):
        guarded = guard(batch, evidence)
        said: dict[str, Said] = {
            "GRPO": judge_grpo(batch),
            "uniform": judge_evenly(batch, guarded),
            "random": judge_randomly(batch, guarded, shuffle),
            "guard": guarded,
            "oracle": oracle(batch),
            "rule": ruled(batch),
        }
        took, rollouts = took + guarded.seconds, rollouts + batch.passed_PG.size
        if batch.visit == stream.visits - 1:
            for method, one in said.items():
                measured[method].append(measure(batch, one))
    row = {"stream": stream.name, "seed": seed, "ms": 4096e3 * took / rollouts}
    return [row | {"method": method} | add(sums) for method, sums in measured.items()]


def summarise(rows: Sequence[dict]) -> list[dict]:
    """A row for each stream and method: means and standard deviations over seeds, calibration of all seeds together."""
    found = []
    for stream, method in dict.fromkeys((row["stream"], row["method"]) for row in rows):
        runs = [row for row in rows if (row["stream"], row["method"]) == (stream, method)]
        worst, mean, where = gaps(add(runs))
        row: dict = {"stream": stream, "method": method, "seeds": len(runs)}
        for name in ("weight", "lucky", "pushed", "kept", "scale"):
            values = np.array([figures(run)[name] for run in runs])
            values = values[~np.isnan(values)]
            row[name] = values.mean() if len(values) else np.nan
            row[f"{name}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
        row |= {"worst_gap": worst, "worst_k": where, "mean_gap": mean}
        row["ms"] = float(np.median([run["ms"] for run in runs])) if method == "guard" else np.nan
        found.append(row)
    return found


def write_table(summary: Sequence[dict]) -> str:
    """One Markdown row a stream; the methods stand side by side."""
    lines = [
        "| stream | weight of genuine: guard | lucky share of the push: GRPO, random, **guard**, rule, oracle "
        "| genuine push kept: **guard**, rule, oracle | scale: guard, rule "
        "| worst gap of P(genuine) by k (at k): guard, oracle | mean gap: guard, oracle | ms for 4,096 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for stream in dict.fromkeys(row["stream"] for row in summary):
        by = {row["method"]: row for row in summary if row["stream"] == stream}

        def cells(name: str, *methods: str, by: dict = by) -> str:
            found = {method: _cell(by[method][name]) for method in methods}
            if "rule" in methods and name != "scale":
                found["guard"] = f"**{found['guard']}** ± {_cell(by['guard'][name + '_sd'])}"
            return " ".join(found.values())

        columns = [
            cells("weight", "guard"), cells("lucky", "GRPO", "random", "guard", "rule", "oracle"),
            cells("kept", "guard", "rule", "oracle"), cells("scale", "guard", "rule"),
            " ".join(_signed(by[method]) for method in ("guard", "oracle")), cells("mean_gap", "guard", "oracle"),
            f"{by['guard']['ms']:.0f}",
        ]  # fmt: skip
        lines.append(f"| {stream} | {' | '.join(columns)} |")
    return "\n".join(lines)


def write_short(summary: Sequence[dict]) -> str:
    """The table on the page of the theory: one Markdown row for each of `SHOWN`."""
    lines = [
        "| stream | lucky share: GRPO → guard (rule) | genuine push kept: guard (rule) | step scale |",
        "|---|---|---|---|",
    ]
    for stream in SHOWN:
        by = {row["method"]: row for row in summary if row["stream"] == stream}
        lucky, kept = ([_cell(by[m][name]) for m in ("GRPO", "guard", "rule")] for name in ("lucky", "kept"))
        cells = [f"{lucky[0]} → {lucky[1]} ({lucky[2]})", f"{kept[1]} ({kept[2]})", _cell(by["guard"]["scale"])]
        lines.append(f"| {stream} | {' | '.join(cells)} |".replace("– (–)", "–").replace(" (–)", ""))
    return "\n".join(lines)


def _cell(value: float) -> str:
    """Three decimals; a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.3f}".removeprefix("0") if abs(value) < 1 else f"{value:.2f}"


def _signed(row: dict) -> str:
    return "–" if np.isnan(row["worst_gap"]) else f"{row['worst_gap']:+.2f} ({row['worst_k']})".replace("0.", ".", 1)


def find_commit() -> str:
    """The commit that is run, with a mark if the guard's files differ from it."""
    where = {"cwd": ROOT, "capture_output": True, "text": True}
    name = subprocess.run(["git", "log", "-1", "--format=%h", "--", "rlguard"], **where).stdout.strip()  # type: ignore[call-overload]
    changed = subprocess.run(["git", "status", "--short", "--", "rlguard"], **where).stdout.strip()  # type: ignore[call-overload]
    return (name or "unknown") + (" with changes" if changed else "")


def put(page: Path, text: str, place: str = "streams") -> None:
    """Writes what stands between the markers of a page.

    Raises:
        ValueError: The page has no such place.
    """
    old = page.read_text(encoding="utf-8")
    new, places = re.subn(
        rf"(<!-- {place} -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{text}\n\n{found[2]}",
        old,
        count=1,
        flags=re.DOTALL,
    )
    if not places:
        raise ValueError(f"{page}: expected a place between '<!-- {place} -->' and '<!-- end -->'")
    page.write_text(new, encoding="utf-8")


def write_csv(path: Path, summary: Sequence[dict], commit: str) -> None:
    """The table with every method's spread."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["commit", *summary[0]], lineterminator="\n")
        writer.writeheader()
        for row in summary:
            cells = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in row.items()}
            writer.writerow({"commit": commit} | cells)


def read_csv(path: Path = TABLE) -> list[dict]:
    """What `write_csv` wrote, as `summarise` gave it, to four decimals."""
    words = ("commit", "stream", "method", "seeds", "worst_k")
    with open(path, newline="", encoding="utf-8") as file:
        return [{k: v if k in words else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def choose(pattern: str) -> Iterator[tuple[Stream, str]]:
    """Streams whose name the pattern finds, each with why it is skipped, if it is."""
    for stream in list_streams():
        if re.search(pattern, stream.name):
            yield stream, find_missing(FAMILIES[stream.family])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(REPORTED))
    parser.add_argument("--streams", default="", help="a regular expression that their names contain; default all")
    parser.add_argument("--out", type=Path, default=Path("out/streams.jsonl"), help="default %(default)s")
    parser.add_argument("--read", type=Path, help="a folder that keeps what was read in the texts, and has it the next "
                        "time; to be emptied when texts or detectors change")  # fmt: skip
    parser.add_argument("--into", type=Path, help="a page with a place for the table")
    arguments = parser.parse_args()
    try:
        check_seeds(arguments.seeds, reports=arguments.into is not None)
    except ValueError as error:
        parser.error(str(error))
    if arguments.into and arguments.streams:
        parser.error("--into takes every stream: leave --streams out")
    rows, skipped = [], []
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out, "w", encoding="utf-8") as file:
        for stream, missing in choose(arguments.streams):
            if missing:
                skipped.append(f"Skipped: {stream.name} ({missing}).")
                continue
            for seed in arguments.seeds:
                found = run_stream(stream, seed, arguments.read)
                rows += found
                file.writelines(json.dumps(row) + "\n" for row in found)
            print(f"{stream.name}", file=sys.stderr, flush=True)
    if not rows:
        parser.error("no stream was run" + "".join(f"\n{line}" for line in skipped))
    summary, commit = summarise(rows), find_commit()
    text = "\n".join(
        [f"Guard at commit {commit}, seeds {', '.join(map(str, arguments.seeds))}.", "", write_table(summary), *skipped]
    )
    print(text)
    if arguments.into:
        write_csv(TABLE, summary, commit)
        put(arguments.into, text.replace(write_table(summary), write_table(read_csv())))
        put(THEORY, write_short(read_csv()))


if __name__ == "__main__":
    main()
