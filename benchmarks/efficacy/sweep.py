"""The queue of the efficacy benchmark: works off the plan over the cores, stops and goes on, keeps rows as they come.

    python benchmarks/efficacy/sweep.py                   # all that is left: tuning first, then the reported seeds
    python benchmarks/efficacy/sweep.py --hours 2         # starts nothing after two hours
    python benchmarks/efficacy/sweep.py --tuning          # the tuning runs alone

A run whose row is in rows.jsonl is not done again. One that failed leaves its log in out/efficacy/logs and is tried
again by the next call. out/efficacy/progress.html says how far it is. Reported seeds are refused while code that a row
depends on is not committed. A model that is missing is built first; one that is not that of the rows is refused.
"""

from __future__ import annotations

import argparse
import html
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.plan import FOLLOWING, SECONDS, choose_rates, list_runs, list_tuning  # noqa: E402
from benchmarks.efficacy.records import ROWS, Row, append_row, find_commit, key, lock, read_rows  # noqa: E402
from benchmarks.efficacy.run import CODE, run  # noqa: E402
from benchmarks.efficacy.settings import OUT, Run  # noqa: E402
from rlguard.tables.files import replace_file  # noqa: E402

Do = Callable[[Any, Path], Any]
KEPT = {("unlearnable", 0.75), ("unlearnable", 1.0)}
"""Mixes whose final models of GRPO and rlguard are kept, for the audit of calibration."""


def work_off(
    runs: Iterable[Any], out: Path, workers: int, do: Do, tell: Callable[[list[str], list[str]], None] | None = None
) -> list[str]:
    """Does runs, `workers` at once, in the order in which they come; returns the names of those that failed.

    Args:
        runs: With a `name` each; asked for the next one whenever a worker is free. None: nothing to do just now.
        out: Folder that `do` is given; logs go there.
        workers: Processes.
        do: One run.
        tell: Told the names of those that are under way and of those that failed, whenever that changes.
    """
    waiting, going, failed = iter(runs), {}, []  # type: tuple[Iterator[Any], dict[Future, str], list[str]]
    # Workers live for many runs, since importing TRL takes as long as a tenth of one.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), max_tasks_per_child=50) as pool:
        while True:
            while len(going) < workers and (todo := next(waiting, None)) is not None:
                going[pool.submit(do_run, todo, out, do)] = todo.name
            if tell:
                tell(list(going.values()), failed)
            if not going:
                return failed
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                name = going.pop(future)
                failed += [] if future.exception() is None and future.result() else [name]


def do_run(todo: Any, out: Path, do: Do) -> bool:
    """One run in a worker, with what it says in a log; whether it came to its end."""
    log = out / "logs" / f"{todo.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            do(todo, out)
        except Exception:
            traceback.print_exc(file=file)
            return False
    return True


def find_scales(run: Run, rows: Iterable[Row]) -> list[float] | None:
    """The step scales of rlguard's run of the same cell and rate; None while it is not there."""
    wanted = key(Run("rlguard", *run.cell, run.rate))
    return next((row["scales"] for row in rows if key(row) == wanted), None)


def do_and_keep(todo: Run, out: Path, rows: Path = ROWS) -> None:
    """Does a run and appends its row.

    Raises:
        ValueError: The model is not the one that the rows are of.
    """
    from benchmarks.efficacy.build import build_model, check_digest

    folder = out / "models" / f"{todo.family}-{todo.design}"
    with lock(folder):
        check_digest(build_model(todo.family, folder, todo.design))
    scales = find_scales(todo, read_rows(rows)) if todo.arm in FOLLOWING else []
    keep = todo.arm in ("grpo", "rlguard") and (todo.kind, todo.share) in KEPT
    append_row(run(todo, out, scales or [], keep_model=keep), rows)


class Queue:
    """What is left of the plan, asked again when a row has come: the rates of reported runs come of the tuning rows."""

    def __init__(self, rows: Path, until: float, tuning_only: bool) -> None:
        self._rows, self._until, self._tuning_only = rows, until, tuning_only
        self._given: set[Any] = set()
        self._size = -1
        self._done: list[Row] = []
        self._plan: list[Run] = []

    def list(self) -> list[Run]:
        """All runs of the plan; of the reported ones none before the rates that they need are chosen."""
        return list_tuning() if self._tuning_only else list_runs(choose_rates(read_rows(self._rows)))

    def __iter__(self) -> Iterator[Run]:
        return self

    def __next__(self) -> Run:
        """The most telling run that can be done now."""
        size = self._rows.stat().st_size if self._rows.exists() else 0
        if size != self._size:  # a row has come
            self._size, self._done, self._plan = size, read_rows(self._rows), self.list()
        known = {key(row) for row in self._done} | self._given
        for todo in self._plan:
            ready = todo.arm not in FOLLOWING or find_scales(todo, self._done) is not None
            if key(todo) not in known and ready and time.time() < self._until:
                self._given.add(key(todo))
                return todo
        raise StopIteration


def write_progress(runs: list[Run], rows: list[Row], going: list[str], failed: list[str], workers: int) -> str:
    """The progress page."""
    done = {key(row): row for row in rows}
    seconds: dict[str, list[float]] = {}
    for row in rows:
        seconds.setdefault(row["family"], []).append(row["seconds"])
    took = {family: sum(own) / len(own) for family, own in seconds.items()}
    left = [run for run in runs if key(run) not in done]
    hours = sum(took.get(run.family, SECONDS[run.family]) for run in left) / 3600 / workers
    parts = Counter((run.family, "tuning" if run.seed > 1000 else "reported") for run in runs)
    missing = Counter((run.family, "tuning" if run.seed > 1000 else "reported") for run in left)
    lines = [f"{len(runs) - len(left)} of {len(runs)} runs done, about {hours:.1f} hours left ({time.ctime()})"]
    lines += [f"{' '.join(part)}: {total - missing[part]} of {total}" for part, total in sorted(parts.items())]
    lines += [f"{family}: {own:.0f} s a run" for family, own in sorted(took.items())]
    lines += ["", "under way: " + ", ".join(going), "failed: " + (", ".join(failed) or "none"), "", "last rows:"]
    for row in rows[-10:][::-1]:
        ends = [f"{group} {row['before'][group]['accuracy']} -> {row['after'][group]['accuracy']}"
                for group in ("prior", "learnable")]  # fmt: skip
        told = f"{row['family']} {row['share']:.0%} {row['kind']} {row['arm']} x{row['rate']:g} seed {row['seed']}"
        lines.append(f"{told}: {', '.join(ends)}")
    body = html.escape("\n".join(lines))
    return f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="30"><pre>{body}</pre>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--hours", type=float, default=1e6, help="starts nothing after so many")
    parser.add_argument("--tuning", action="store_true", help="the tuning runs alone")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    if not arguments.tuning and find_commit(*CODE).endswith("+"):
        parser.error(f"reported seeds run committed code alone; commit first, or pass --tuning ({', '.join(CODE)})")
    queue = Queue(ROWS, time.time() + 3600 * arguments.hours, arguments.tuning)
    page = arguments.out / "progress.html"

    def tell(going: list[str], failed: list[str]) -> None:
        replace_file(page, write_progress(queue.list(), read_rows(), going, failed, arguments.workers))

    print(f"progress: {page}", flush=True)
    failed = work_off(queue, arguments.out, arguments.workers, do_and_keep, tell)
    for name in failed:
        print(f"failed: {name}, see {arguments.out / 'logs' / (name + '.txt')}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
