"""Turns minutes of a GPU into rows: a queue of runs, each a child process with a memory limit, in slices.

    python benchmarks/gpu/plan.py --list                                       # what would run, and how long it takes
    python benchmarks/gpu/plan.py --minutes 9 --archive rows.tar.xz            # one slice; the next goes on after it
    python benchmarks/gpu/plan.py --minutes 2 --dry --rows out/gpu/dry/rows    # the same path on a CPU, tiny model

Before the first run of a kind two of its steps run alone: the second gives its time, both its memory. Runs lie beside
each other while their limits fit into the memory together. One starts only if it should end within the slice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.efficacy.records import find_commit, write_whole  # noqa: E402
from benchmarks.gpu.child import NO_CUDA, OUT_OF_MEMORY, shorten, work  # noqa: E402
from benchmarks.gpu.models import SITE  # noqa: E402
from benchmarks.gpu.runs import (  # noqa: E402
    DRY,
    FULL,
    QUESTIONS,
    Run,
    Size,
    list_dry_queue,
    list_needs,
    list_queue,
    read_guard_version,
)

Row = dict[str, Any]

PATHS = [str(ROOT), str(ROOT / "recipes"), str(SITE)]
sys.path[:0] = PATHS
ROWS, COMMITTED = ROOT / "out" / "gpu" / "rows", Path(__file__).parent / "rows"
SLICE_MIN = 9.0
"""A slice is no longer: a command on the machine ends after ten."""
HEADROOM = 1.25
"""Of a limit over what was measured."""
SLOWER = 1.3
"""How much longer a run may take than its measured step says: others lie beside it."""
GUESSES_S = {"probe": 60.0, "alone": 240.0}
"""Seconds to have left for what has not been measured."""
RESERVE_S = 15.0
"""For the end of a slice: stopping children, writing the archive."""
USABLE = 0.95
"""Of a card's memory."""
NO_VLLM = "vLLM is not installed: with what it needs it is 1.1 GiB, 26 pieces (README.md)"


@dataclass(frozen=True)
class Machine:
    """What is run on."""

    card: str
    memory_gb: float
    software: dict[str, str]

    @property
    def key(self) -> str:
        """Changes with card and software."""
        return sha256(json.dumps([self.card, self.software], sort_keys=True).encode()).hexdigest()[:8]


def find_machine() -> Machine:
    """The card and its memory, asked of the driver: this process leaves CUDA alone. Without one, the CPU's memory."""
    software = {"python": platform.python_version()}
    for name in ("torch", "transformers", "trl"):
        try:
            software[name] = version(name)
        except PackageNotFoundError:
            software[name] = "missing"
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return Machine("cpu", psutil.virtual_memory().available / 2**30, software)
    card, memory = said.rsplit(",", 1)
    return Machine(card.strip(), float(memory) / 1024 * USABLE, software)


@dataclass(frozen=True)
class Job:
    """A run that may start now."""

    run: Run
    memory_gb: float
    seconds: float
    """Measured, or a guess where nothing was."""
    probe: bool = False
    whole: bool = False
    """It runs alone."""


class Plan:
    """The queue and what is known of it. Rows are files; nothing else is remembered between slices."""

    def __init__(self, queue: Sequence[Run], machine: Machine, rows: Path, committed: Path | None = None) -> None:
        """`rows` is written; `committed` are rows of earlier days, which are read too."""
        self.queue, self.machine, self.folder = list(queue), machine, rows
        self.guard = read_guard_version()
        self.rows: dict[str, Row] = {}
        for folder in filter(None, (committed, rows)):
            for path in sorted(folder.glob("*.json")):
                row = json.loads(path.read_text())
                if path.stem not in self.rows or row["date"] >= self.rows[path.stem]["date"]:
                    self.rows[path.stem] = row

    def read(self, name: str) -> None:
        """Takes in a row that was just written."""
        self.rows[name] = json.loads((self.folder / f"{name}.json").read_text())

    def find_state(self, run: Run) -> str:
        """`done`, `stale` (of another guard, or other settings), or `to do`."""
        row = self.rows.get(run.name)
        if row is None:
            return "to do"
        same = all(row.get(name) == value for name, value in asdict(run).items() if name != "item")
        return "done" if same and (not run.guarded or row["guard"] == self.guard) else "stale"

    def name_probe(self, run: Run) -> str:
        """Name of the row that says what a kind of run needs on this machine."""
        return f"probe-{run.kind}-{self.machine.key}"

    def find_seconds(self, run: Run, any_card: bool = False) -> float | None:
        """How long a run takes: the longest of what runs of its kind took here a step, its probe's included.

        `any_card` takes rows of other cards where there are none of this one.
        """
        own = [row for row in self.rows.values() if row["kind"] == run.kind]
        rows = [row for row in own if row["machine"] == self.machine.key] or (own if any_card else [])
        if not rows:
            return None
        every = max(row["steps"] / max(row["evaluations"] - 1, 1) for row in rows)  # steps from one point to the next
        slow = {name: max(row[name] for row in rows) for name in ("start_s", "step_s", "evaluate_s")}
        points = 1 + run.steps / every if slow["evaluate_s"] else 0
        return SLOWER * (slow["start_s"] + run.steps * slow["step_s"] + points * slow["evaluate_s"])

    def is_possible(self, run: Run) -> bool:
        """Whether what a run takes is installed."""
        return run.what != "vllm" or find_spec("vllm") is not None

    def list_waiting(self) -> list[Run]:
        """What is not done, in order."""
        return [run for run in self.queue if self.find_state(run) != "done" and self.is_possible(run)]

    def choose(self, waiting: Iterable[Run], going: Mapping[str, Job], seconds_left: float) -> Job | None:
        """The first run that may start now: its rows are there, and it fits into memory and time.

        What runs alone, a measurement of a kind included, waits until nothing runs, and nothing starts before it.
        """
        for run in waiting:
            job = self._make_job(run)
            if self._explain(job, going, seconds_left) is None:
                return None if going and job.whole else job
        return None

    def _make_job(self, run: Run) -> Job:
        """What a run takes: the whole machine where it runs alone or its kind was not measured yet."""
        probe, seconds = self.rows.get(self.name_probe(run)), self.find_seconds(run)
        if run.alone:
            return Job(run, self.machine.memory_gb, seconds or GUESSES_S["alone"], whole=True)
        if probe is None or seconds is None:
            return Job(run, self.machine.memory_gb, GUESSES_S["probe"], probe=True, whole=True)
        return Job(run, HEADROOM * probe["memory_gb"], seconds)

    def _explain(self, job: Job, going: Mapping[str, Job], seconds_left: float) -> str | None:
        """Why a job cannot start; None where it can, or could if nothing else ran and it needs the whole machine."""
        states = {run.name: self.find_state(run) for run in self.queue}
        missing = [name for name in list_needs(job.run) if states.get(name) != "done"]
        free = self.machine.memory_gb - sum(other.memory_gb for other in going.values())
        if missing:
            return f"waits for {', '.join(missing)}"
        if not job.whole and job.memory_gb > free:
            return f"takes {job.memory_gb:.1f} GiB, {free:.1f} are there"
        if job.seconds > seconds_left:
            return f"takes {job.seconds:.0f} s, {max(seconds_left, 0):.0f} are left"
        return None

    def explain(self, waiting: Iterable[Run], seconds_left: float) -> dict[str, str]:
        """Why none of a kind starts, though nothing runs: the first reason of each kind."""
        found: dict[str, str] = {}
        for run in waiting:
            why = self._explain(self._make_job(run), {}, seconds_left)
            if why is not None:
                found.setdefault(run.kind, why)
        return found


def write_list(plan: Plan) -> str:
    """What would run, in order: states, minutes, and what each item answers."""
    lines = [f"guard {plan.guard} on {plan.machine.card}; minutes are a run's own, several lie beside each other"]
    for item, found in groupby(plan.queue, key=lambda run: run.item):
        lines += ["", f"{item}. {QUESTIONS[item]}"]
        for run in found:
            seconds = plan.find_seconds(run, any_card=True)
            time_said = "unmeasured" if seconds is None else f"{seconds / 60:.1f} min"
            state = plan.find_state(run) if plan.is_possible(run) else f"skipped: {NO_VLLM}"
            lines.append(f"   {run.name:<58} {run.steps:>4} steps {time_said:>11}  {state}")
    waiting = plan.list_waiting()
    known = [plan.find_seconds(run, any_card=True) for run in waiting]
    total = sum(seconds for seconds in known if seconds is not None) / 60
    unknown = sum(seconds is None for seconds in known)
    lines.append(f"\n{len(waiting)} of {len(plan.queue)} runs to do: {total:.0f} min one by one, {unknown} unmeasured")
    return "\n".join(lines)


class Stopped(BaseException):
    """The slice was told to stop."""


def run_slice(
    plan: Plan, size: Size, seconds: float, beside: int, facts: Row, say: Callable[[str], None] = print
) -> list[str]:
    """Works the queue off for so many seconds; returns the names of the runs that failed.

    A child that is not done at the end, or when SIGTERM comes, is ended: it leaves no row, and the next slice begins
    it again.
    """

    def stop(*_: Any) -> None:
        raise Stopped

    deadline = time.monotonic() + seconds - RESERVE_S
    # Children are forked off a process that has imported torch and TRL, which a run alone would need 20 s for.
    os.environ["PYTHONPATH"] = os.pathsep.join([*PATHS, os.environ.get("PYTHONPATH", "")])
    # Where an import touches the card there, no child could use it: then each is started afresh.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    multiprocessing.set_forkserver_preload(["benchmarks.gpu.train"])
    method = "forkserver"
    waiting, failed = plan.list_waiting(), []
    going: dict[str, Job] = {}
    children: dict[str, Any] = {}
    before = signal.signal(signal.SIGTERM, stop)
    said = 0.0
    try:
        while True:
            left = deadline - time.monotonic()
            while len(going) < beside and (job := plan.choose(waiting, going, left)) is not None:
                waiting.remove(job.run)
                name = plan.name_probe(job.run) if job.probe else job.run.name
                children[name], going[name] = start_child(method, plan, job, name, size, facts, len(going)), job
                say(f"{_clock(left)} left: starts {name} ({job.memory_gb:.1f} GiB)")
            if not going:
                for kind, why in plan.explain(waiting, left).items():
                    say(f"left: {kind}: {why}")
                return failed
            if left <= 0:
                say(f"the slice is over: {', '.join(going)} will begin again in the next")
                return failed
            for name in [name for name, child in children.items() if not child.is_alive()]:
                job, code = going.pop(name), children.pop(name).exitcode
                if code == 0:
                    plan.read(name)
                    if job.probe:
                        waiting.insert(0, job.run)
                elif code == NO_CUDA and method == "forkserver":
                    method = "spawn"
                    waiting.insert(0, job.run)
                    say(f"{name}: CUDA does not start in a forked process; each imports for itself from now on")
                else:
                    failed.append(name)
                    if job.probe:  # whatever is wrong, the others of its kind would meet it too
                        waiting = [run for run in waiting if run.kind != job.run.kind]
                    elif code == OUT_OF_MEMORY and not job.run.alone:
                        raise_limit(plan, job.run)
                    say(f"failed: {name}, see {plan.folder.parent / 'logs' / (name + '.txt')}")
            if time.monotonic() - said > 15:
                said = time.monotonic()
                say(f"{_clock(left)} left: {len(waiting)} wait; " + ", ".join(map(plan_progress(plan), going)))
            time.sleep(0.1)
    except (Stopped, KeyboardInterrupt):
        say(f"stopped: {', '.join(going) or 'nothing'} will begin again")
        return failed
    finally:
        signal.signal(signal.SIGTERM, before)
        end_children(list(children.values()))


def start_child(method: str, plan: Plan, job: Job, name: str, size: Size, facts: Row, others: int) -> Any:
    """Starts the process of a job."""
    run = shorten(job.run) if job.probe else job.run
    needs = {need: plan.rows[need] for need in list_needs(job.run) if need in plan.rows}
    said = facts | {"kind": job.run.kind, "machine": plan.machine.key, "beside": others, "guard": plan.guard}
    said |= {"card": plan.machine.card, "software": plan.machine.software, "name": name, "size": asdict(size)}
    said["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    log = plan.folder.parent / "logs" / f"{name}.txt"
    arguments = (run, size, needs, said, job.memory_gb, plan.folder / f"{name}.json", log)
    child = multiprocessing.get_context(method).Process(target=work, args=arguments)
    child.start()
    return child


def raise_limit(plan: Plan, run: Run) -> None:
    """A kind that came up against its limit gets half as much again."""
    name = plan.name_probe(run)
    write_whole(plan.folder / f"{name}.json", plan.rows[name] | {"memory_gb": 1.5 * plan.rows[name]["memory_gb"]})
    plan.read(name)


def end_children(children: Sequence[Any]) -> None:
    """Ends processes, those that do not go included."""
    for child in children:
        child.terminate()
    for child in children:
        child.join(5)
        if child.is_alive():
            child.kill()
            child.join()


def plan_progress(plan: Plan) -> Callable[[str], str]:
    """What a run's log says of its step."""

    def progress(name: str) -> str:
        log = plan.folder.parent / "logs" / f"{name}.txt"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        steps = [line for line in lines if line.startswith("step ")]
        return f"{name} {steps[-1] if steps else 'loads'}"

    return progress


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02}"


def write_archive(rows: Path, archive: Path) -> None:
    """All rows and the logs beside them in one file, whole or not at all."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(archive.name + ".partial")
    with tarfile.open(partial, "w:xz") as tar:
        for path in sorted([*rows.glob("*.json"), *(rows.parent / "logs").glob("*.txt")]):
            tar.add(path, f"{path.parent.name}/{path.name}")
    partial.replace(archive)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the plan and stop")
    parser.add_argument("--minutes", type=float, default=SLICE_MIN, help="of this slice (default and most %(default)s)")
    parser.add_argument("--items", nargs="+", type=int, choices=QUESTIONS, help="only these of the queue")
    parser.add_argument("--beside", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="runs at once, at most")
    parser.add_argument("--commit", default=find_commit(), help="where there is no repository: of the code that runs")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--archive", type=Path, help="where to write all rows and logs as one file at the end")
    parser.add_argument("--dry", action="store_true", help="a few runs of the tiny model")
    args = parser.parse_args()
    queue = [
        run
        for run in (list_dry_queue() if args.dry else list_queue())
        if args.items in (None, []) or run.item in args.items
    ]
    plan = Plan(queue, find_machine(), args.rows, None if args.dry else COMMITTED)
    if args.list:
        print(write_list(plan))
        return
    if not 0 < args.minutes <= SLICE_MIN:
        parser.error(f"--minutes: expected more than 0 and at most {SLICE_MIN:g}, got {args.minutes:g}")
    if not args.commit:
        parser.error("--commit: there is no repository here, so say which commit this is; rows name it")
    facts = {"commit": args.commit, "command": shlex.join(sys.argv)}
    size = DRY if args.dry else FULL
    failed = run_slice(plan, size, 60 * args.minutes, args.beside, facts, lambda text: print(text, flush=True))
    if args.archive:
        write_archive(args.rows, args.archive)
    waiting = plan.list_waiting()
    print(f"{len(queue) - len(waiting)} of {len(queue)} done, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
