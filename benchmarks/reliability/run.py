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

from benchmarks.reliability.jobs import TRACEBACK

BATCH = 250
"""Malformed inputs that one process reads."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/reliability"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=190, help="Interruptions of commands that hit a running one.")
    parser.add_argument("--trainings", type=int, default=10, help="Trainings that are killed and resumed.")
    parser.add_argument("--rows", type=int, default=10_000, help="Malformed inputs.")
    parser.add_argument("--only", choices=("kills", "trainings", "malformed", "bombs"))
    parser.add_argument("--table", action="store_true", help="Only print what the records say.")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.table:
        parts = {"kills": run_kills, "trainings": run_trainings, "malformed": run_malformed, "bombs": run_bombs}
        for name, part in parts.items():
            if args.only in (None, name):
                begin = time.monotonic()
                part(args)
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


def run_kills(args: argparse.Namespace) -> None:
    import duckdb  # noqa: F401 - here, so that the children that are forked need not load it
    import pyarrow.parquet  # noqa: F401

    import rlguard.audit.run
    import rlguard.cli.main
    import rlguard.difficulty.estimate
    import rlguard.difficulty.filter
    import rlguard.difficulty.published  # noqa: F401
    from benchmarks.reliability import kills

    records = Records(args.out / f"kills-{args.seed}.jsonl")
    hits, number = sum(row["hit"] for row in records.rows), 0
    with tempfile.TemporaryDirectory() as folder:
        references = kills.References(Path(folder))
        while hits < args.kills:
            if number not in records.done:
                found = kills.interrupt_twice(number, Path(folder), references, args.seed)
                records.add(found)
                hits += sum(row["hit"] for row in found)
            number += 1


def run_trainings(args: argparse.Namespace) -> None:
    from benchmarks.reliability import trainings

    records = Records(args.out / f"trainings-{args.seed}.jsonl")
    todo = [number for number in range(args.trainings) if number not in records.done]
    with tempfile.TemporaryDirectory() as folder:
        reference = trainings.measure_reference(Path(folder)) if todo else {}
        for number in todo:
            records.add([trainings.interrupt_training(number, Path(folder), reference, args.seed)])


def run_malformed(args: argparse.Namespace) -> None:
    from benchmarks.reliability import malformed

    records = Records(args.out / f"malformed-{args.seed}.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, args.rows, BATCH):
            numbers = range(first, min(first + BATCH, args.rows))
            if any(number not in records.done for number in numbers):
                found: list[dict[str, Any]] = []
                fork(
                    lambda n=numbers: _read_batch(
                        malformed, n, args.seed, Path(folder) / "here", args.out / "batch.json"
                    )
                )  # type: ignore[misc]
                found = read(args.out / "batch.json")
                records.add(found)
    (args.out / "batch.json").unlink(missing_ok=True)


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


def run_bombs(args: argparse.Namespace) -> None:
    from benchmarks.reliability import bombs

    records = Records(args.out / f"bombs-{args.seed}.jsonl")
    if not records.rows:
        records.add([*bombs.bomb_readers(), *bombs.bomb_verifiers()])


def tabulate(out: Path) -> list[str]:
    """The counts, as RESULTS.md has them."""
    hits = [row for name in ("kills", "trainings") for row in read_all(out, name) if row["hit"]]
    lines = ["| interrupted | how | times | lost | twice | traceback | other |", "|---|---|---|---|---|---|---|"]
    for job, kind in sorted({(row["job"], row["kind"]) for row in hits}):
        own = [row for row in hits if (row["job"], row["kind"]) == (job, kind)]
        counts = Counter(_sort_fault(" ".join(row["wrong"])) for row in own)
        faults = " | ".join(str(counts[fault]) for fault in ("lost", "twice", "traceback", "other"))
        lines.append(f"| {job} | {kind} | {len(own)} | {faults} |")
    late = sum(len(read_all(out, name)) for name in ("kills", "trainings")) - len(hits)
    faults = sum(bool(row["wrong"]) for row in hits)
    lines += ["", f"{len(hits)} interruptions, {faults} with a fault ({late} more came "
              f"after the job was done); largest process {peak(hits)} MB.", ""]  # fmt: skip

    rows = read_all(out, "malformed")
    lines += ["| command | inputs | 0 | 1 | 2 | fault | 2 without the file's name |", "|---|---|---|---|---|---|---|"]
    for command in sorted({row["command"] for row in rows}):
        own = [row for row in rows if row["command"] == command]
        statuses = Counter(row["status"] for row in own if not row["wrong"])
        counted = [len(own), statuses[0], statuses[1], statuses[2], sum(bool(row["wrong"]) for row in own),
                   sum(not row["names it"] for row in own)]  # fmt: skip
        lines.append(f"| {command} | " + " | ".join(map(str, counted)) + " |")
    inputs = len({row["number"] for row in rows})
    lines += ["", f"{inputs} inputs, {len(rows)} readings; largest process {peak(rows)} MB.", ""]
    sites = Counter((row["command"], row["wrong"]) for row in rows if row["wrong"])
    lines += [f"- {count} {command}: {wrong}" for (command, wrong), count in sites.most_common()]

    rows = read_all(out, "bombs")
    lines += ["", "| under a bomb | bombs | slowest, s | unscored | fault |", "|---|---|---|---|---|"]
    for what in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == what and "seconds" in row]
        unscored = str(sum(row["outcome"] is None for row in own)) if "outcome" in own[0] else "–"
        wrong = sum(bool(row["wrong"]) for row in rows if row["what"] == what)
        lines.append(f"| {what} | {len(own)} | {max(row['seconds'] for row in own):.1f} | {unscored} | {wrong} |")
    wrong = [row for row in rows if row["wrong"]]
    return [*lines, "", *(f"- {row['what']}, {row['bomb']} {row.get('ending', '')}: {row['wrong']}" for row in wrong)]


def read_all(out: Path, name: str) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob(f"{name}-*.jsonl")) for row in read(path)]


def peak(rows: list[dict[str, Any]]) -> int:
    return round(max((row.get("peak MB", 0) for row in rows), default=0))


def _sort_fault(wrong: str) -> str:
    if "Traceback" in wrong or f"ended with {TRACEBACK}" in wrong:
        return "traceback"
    return next((fault for fault in ("lost", "twice") if fault in wrong), "other" if wrong else "")


if __name__ == "__main__":
    main()
