"""Seconds and peak memory of `rlguard.difficulty.filter.filter_file` on a large data set.

    python benchmarks/throughput/filter_memory.py --rows 1000000

Each filter runs in a process of its own, whose peak is the largest resident set the kernel saw.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rlguard.difficulty.filter import filter_file
from rlguard.difficulty.rates import read_rates, write_rates
from rlguard.stats import binomial_interval
from rlguard.tables.read import iter_problems, iter_rows
from rlguard.tables.write import RowWriter
from rlguard.types import PassRate, Problem, name_band

WORDS = ("train", "leaves", "platform", "apples", "seven", "hours", "every", "baker", "twice", "river")
ROW_BYTES = 500
CASES = (("data.jsonl", "kept.parquet"), ("data.parquet", "kept2.parquet"), ("data.jsonl", "kept3.jsonl"))


def make(folder: Path, rows: int) -> None:
    """Data in both formats and a rate for each row; one in fifty is a duplicate, one in a hundred contradictory."""
    rng = random.Random(0)
    with RowWriter(folder / "data.jsonl") as text, RowWriter(folder / "data.parquet") as table:
        for number in range(rows):
            source = number - 1 if number % 50 == 49 else number
            words = " ".join(rng.choice(WORDS) for _ in range((ROW_BYTES - 90) // 6))
            prompt = f"Problem {source}: how many?" if source % 50 in (48, 24) else f"Problem {number}: {words}"
            if number % 100 == 25:
                prompt = f"Problem {number - 1}: how many?"
            row = {
                "prompt": prompt,
                "answer": str(source % 1000),
                "level": number % 5,
                "source": "made up",
                "score": None,
            }
            text.write(row)
            table.write(row)
    intervals = [(k, *binomial_interval(k, 16)) for k in range(17)]

    def problems() -> Iterator[Problem]:
        seen = set()
        for problem in iter_problems(iter_rows(folder / "data.parquet")):
            if problem.id not in seen:
                seen.add(problem.id)
                yield problem

    def rate(problem: Problem) -> PassRate:
        k, low, high = rng.choice(intervals)
        return PassRate(problem.id, k, 16, low, high, name_band(k / 16), chance_rate=0.01, model="made/up")

    write_rates(map(rate, problems()), problems(), folder / "rates.parquet")


def measure(command: str, *paths: Path) -> None:
    """Runs one case in this process and prints its figures."""
    start = time.perf_counter()
    if command == "rates":
        found = read_rates(paths[0])
        result = f"{len(found)} rates"
    else:
        summary = filter_file(paths[0], paths[1].parent / "rates.parquet", paths[1])
        result = f"{summary.rows} rows, {summary.kept} kept, {summary.reasons}"
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent before exec
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(f"{' -> '.join(path.name for path in paths)}: {seconds:.1f} s, peak {peak:.0f} MB ({result})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        measure(arguments.case[0], *map(Path, arguments.case[1:]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.rows)
        for file in ("data.jsonl", "data.parquet", "rates.parquet"):
            print(f"{file}: {(folder / file).stat().st_size / 1e6:.0f} MB on disk")
        cases = [("rates", folder / "rates.parquet"), *(("filter", folder / a, folder / b) for a, b in CASES)]
        for case in cases:
            subprocess.run([sys.executable, __file__, "--case", *map(str, case)], check=True)


if __name__ == "__main__":
    main()
