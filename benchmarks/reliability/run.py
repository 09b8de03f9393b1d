"""The reliability campaign: random kills, malformed inputs, bombs. README.md says what each counts.

    python -m benchmarks.reliability.run --out out/reliability        # about 25 minutes of one core; goes on if stopped
    python -m benchmarks.reliability.run --out out/reliability --table

Every case is drawn from its number and `--seed`, and its record is a line of a file in OUT; what has a record is not
done again. Full disks are a small tmpfs where mounting is allowed, else a limit on the size of files.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

KILLS, TRAININGS, ROWS = 190, 10, 10_000
BATCH = 250
"""Malformed inputs that one process reads."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/reliability"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("kills", "trainings", "malformed", "bombs"))
    parser.add_argument("--table", action="store_true", help="Only print what the records say.")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.table:
        parts = {"kills": run_kills, "trainings": run_trainings, "malformed": run_malformed, "bombs": run_bombs}
        for name, part in parts.items():
            if args.only in (None, name):
                begin = time.monotonic()
                part(args.out, args.seed)
                print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    for line in tabulate(args.out):
        print(line)


class Records:
    """The records of one part, a line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = read(path)
        self.done = {row["number"] for row in self.rows if "number" in row}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        with self.path.open("a") as file:
            file.write(text)


def read(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def run_kills(out: Path, seed: int) -> None:
    import duckdb  # noqa: F401 - here, so that the children that are forked need not load it
    import pyarrow.parquet  # noqa: F401

    import rlguard.audit.run
    import rlguard.cli.main
    import rlguard.difficulty.estimate
    import rlguard.difficulty.filter
    import rlguard.difficulty.published  # noqa: F401
    from benchmarks.reliability import kills

    records = Records(out / f"kills-{seed}.jsonl")
    hits, number = sum(row["hit"] for row in records.rows), 0
    with tempfile.TemporaryDirectory() as folder:
        references = kills.measure_references(Path(folder)) if hits < KILLS else {}
        while hits < KILLS:
            if number not in records.done:
                found = kills.interrupt_twice(number, Path(folder), references, seed)
                records.add(found)
                hits += sum(row["hit"] for row in found)
            number += 1


def run_trainings(out: Path, seed: int) -> None:
    from benchmarks.reliability import trainings

    records = Records(out / f"trainings-{seed}.jsonl")
    todo = [number for number in range(TRAININGS) if number not in records.done]
    with tempfile.TemporaryDirectory() as folder:
        reference = trainings.measure_reference(Path(folder)) if todo else {}
        for number in todo:
            records.add([trainings.interrupt_training(number, Path(folder), reference, seed)])


def run_malformed(out: Path, seed: int) -> None:
    from benchmarks.reliability import malformed

    records = Records(out / f"malformed-{seed}.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, ROWS, BATCH):
            numbers = range(first, min(first + BATCH, ROWS))
            if any(number not in records.done for number in numbers):
                found: list[dict[str, Any]] = []
                fork(lambda n=numbers: _read_batch(malformed, n, seed, Path(folder) / "here", out / "batch.json"))  # type: ignore[misc]
                found = read(out / "batch.json")
                records.add(found)
    (out / "batch.json").unlink(missing_ok=True)


def _read_batch(malformed: Any, numbers: range, seed: int, folder: Path, to: Path) -> None:
    rows: list[dict[str, Any]] = []
    peak = malformed.read_many(numbers, seed, folder, rows.extend)
    rows[-1]["peak MB"] = peak
    to.write_text("".join(json.dumps(row) + "\n" for row in rows))


def fork(work: Callable[[], None]) -> None:
    """Runs something in a child; raises SystemExit if it fails."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the campaign's own process failed")


def run_bombs(out: Path, seed: int) -> None:
    from benchmarks.reliability import bombs

    records = Records(out / f"bombs-{seed}.jsonl")
    if not records.rows:
        records.add([*bombs.bomb_readers(), *bombs.bomb_verifiers()])


def tabulate(out: Path) -> list[str]:
    """The counts, as RESULTS.md has them."""
    lines = ["| interrupted | how | times | lost | twice | traceback | other |", "|---|---|---|---|---|---|---|"]
    rows = [
        row for name in ("kills", "trainings") for path in sorted(out.glob(f"{name}-*.jsonl")) for row in read(path)
    ]
    for job, kind in sorted({(row["job"], row["kind"]) for row in rows}):
        own = [row for row in rows if (row["job"], row["kind"]) == (job, kind)]
        counts = Counter(_sort_fault(" ".join(row["wrong"])) for row in own)
        lines.append(f"| {job} | {kind} | {len(own)} | " + " | ".join(
            str(counts[fault]) for fault in ("lost", "twice", "traceback", "other")) + " |")  # fmt: skip
    lines.append(f"\n{len(rows)} interruptions, {sum(bool(row['wrong']) for row in rows)} with a fault; largest process "
                 f"{max((row.get('peak MB', 0) for row in rows), default=0):.0f} MB.\n")  # fmt: skip
    lines += ["| command | inputs | 0 | 1 | 2 | fault | 2 without the file's name |", "|---|---|---|---|---|---|---|"]
    rows = [row for path in sorted(out.glob("malformed-*.jsonl")) for row in read(path)]
    for command in sorted({row["command"] for row in rows}):
        own = [row for row in rows if row["command"] == command]
        counts = Counter(row["status"] for row in own if not row["wrong"])
        lines.append(f"| {command} | {len(own)} | {counts[0]} | {counts[1]} | {counts[2]} | "
                     f"{sum(bool(row['wrong']) for row in own)} | {sum(not row['names it'] for row in own)} |")  # fmt: skip
    lines.append(f"\n{len({row['number'] for row in rows})} inputs, {len(rows)} readings, largest process "
                 f"{max((row.get('peak MB', 0) for row in rows), default=0):.0f} MB.\n")  # fmt: skip
    faults = Counter((row["command"], row["wrong"]) for row in rows if row["wrong"])
    lines += [f"- {count} {command}: {wrong}" for (command, wrong), count in faults.most_common()]
    lines += ["", "| under a bomb | bombs | slowest, s | unscored | fault |", "|---|---|---|---|---|"]
    rows = [row for path in sorted(out.glob("bombs-*.jsonl")) for row in read(path)]
    for what in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == what and "seconds" in row]
        unscored = sum(row.get("outcome", 0) is None for row in own)
        faults_here = [row for row in rows if row["what"] == what and row["wrong"]]
        lines.append(f"| {what} | {len(own)} | {max(row['seconds'] for row in own):.1f} | "
                     f"{unscored if what.startswith('verifier') else ''} | {len(faults_here)} |")  # fmt: skip
    lines += [
        "",
        *(f"- {row['what']}, {row['bomb']} {row.get('ending', '')}: {row['wrong']}" for row in rows if row["wrong"]),
    ]
    return lines


def _sort_fault(wrong: str) -> str:
    if "Traceback" in wrong:
        return "traceback"
    return next((fault for fault in ("lost", "twice") if fault in wrong), "other" if wrong else "")


if __name__ == "__main__":
    main()
