"""Random interruptions: SIGKILL, SIGTERM, a full disk, a torn last line, two processes on one folder.

Each folder is interrupted twice, at moments drawn over the time that the job takes, then the job runs to its end. After
every step what is in the folder must be readable, each rollout once and as the stub said it, none lost; at the end all
must be as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.reliability.jobs import TRACEBACK, Ended, command, limit_files, say, start, wait, write_data
from rlguard.rollouts.segments import is_store, read_rollouts
from rlguard.tables.read import read_rows
from rlguard.types import InputError

KINDS = ("SIGKILL", "SIGTERM", "full disk", "torn line", "two processes")
JOBS = {"estimate": 7, "adaptive estimate": 4, "filter": 5, "audit": 3}
"""Jobs and their shares of the folders; trainings have a campaign of their own."""
CODES = {
    "SIGKILL": {-9, 0},
    "torn line": {-9, 0},
    "SIGTERM": {130, -15, 0},
    "full disk": {0, 2},
    "two processes": {0, 2},
}
"""How an interrupted process may end; 0 where it was done before."""


def interrupt_twice(number: int, work: Path, references: References, seed: int) -> list[dict[str, Any]]:
    """One folder: two interruptions, then the end. A record of each: did it hit a running job, and what was wrong?"""
    draw = random.Random(f"{seed} {number}")
    job = draw.choices(list(JOBS), list(JOBS.values()))[0]
    kinds = [draw.choice(KINDS) for _ in range(2)]
    records = []
    with folder_of(work / f"{number}", "full disk" in kinds) as folder:
        out = folder / "out"
        kept: dict[tuple[str, str, int], Any] = {}
        for kind in kinds:
            hit, wrong, ended = interrupt(job, kind, out, work, draw, references[job]["seconds"])
            references[job]["seconds"] *= 1.04 if hit else 0.92  # other load on the machine comes and goes
            before, kept = kept, look(out, work, wrong)
            cut = (
                len(before) < len(kept) < len(references[job]["rollouts"])
            )  # in sampling, not in the counting after it
            if kind == "SIGTERM" and cut and not list(out.rglob("rates.parquet")):
                wrong.append("SIGTERM wrote no rates")
            lost = sum(key not in kept for key in before)
            if lost > (1 if kind == "torn line" else 0):  # what was cut off by hand is not held against it
                wrong.append(f"{lost} rollouts were lost")
            records.append({"number": number, "job": job, "kind": kind, "hit": hit, "wrong": wrong, "kept": len(kept),
                            "status": [e.status for e in ended], "peak MB": max(e.peak_mb for e in ended)})  # fmt: skip
        records[-1]["wrong"] += finish(job, out, work, kept, references[job])
    return records


def interrupt(
    job: str, kind: str, out: Path, work: Path, draw: random.Random, seconds: float
) -> tuple[bool, list[str], list[Ended]]:
    """Starts a job and interrupts it: whether it was still running, what was wrong, how the processes ended."""
    log = work / "log.txt"
    log.unlink(missing_ok=True)
    argv, after = command(job, work, out), draw.uniform(0.1, 0.9) * seconds
    limit: Callable[[], None] = int  # which does nothing
    if kind == "full disk":
        size = int(draw.uniform(0.0, 1.0) * 400_000)
        if not resize(out.parent, size):
            limit = limit_files(max(size // 4, 1000))
    pids = [start(argv, log, limit)]
    if kind == "two processes":
        time.sleep(after)
        hit = is_running(pids[0])
        other = work / "log2.txt"
        other.unlink(missing_ok=True)
        ended = [wait(start(argv, other), other), wait(pids[0], log)]
        statuses = sorted(e.status for e in ended)
        wrong = [] if statuses in ([0, 0], [0, 2]) else [f"two processes ended with {statuses}"]
        if 2 in statuses and "another process is writing" not in ended[0].said + ended[1].said:
            wrong.append("refused without the reason")
    else:
        if kind != "full disk":
            time.sleep(after)
            os.kill(pids[0], signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL)
        ended = [wait(pids[0], log)]
        wrong, hit = [], ended[0].status != 0
    if kind == "full disk":
        resize(out.parent, 64 << 20)
        if ended[0].status == 2 and not any(word in ended[0].said for word in ("No space left", "File too large")):
            wrong.append("a full disk was not named: " + ended[0].said[-300:])
    if kind == "torn line":
        tear(out, draw)
    for one in ended:
        if one.status not in CODES[kind] or "Traceback" in one.said:
            wrong.append(f"ended with {one.status}: {one.said[-1500:]}")
    return hit, wrong, ended


def is_running(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def tear(out: Path, draw: random.Random) -> None:
    """Cuts the last line of a log somewhere, as a power cut does."""
    logs = [path for path in out.rglob("r*.jsonl") if path.name in ("rollouts.jsonl", "received.jsonl")]
    for path in logs:
        whole = path.read_bytes()
        last = len(whole.splitlines(True)[-1]) if whole else 0
        if last > 1:
            path.write_bytes(whole[: len(whole) - draw.randrange(1, last)])


def look(out: Path, work: Path, wrong: list[str]) -> dict[tuple[str, str, int], Any]:
    """The rollouts of every store in a folder; says what is wrong with them."""
    found: dict[tuple[str, str, int], Any] = {}
    golds = {row["prompt"]: row["answer"] for row in read_rows(work / "data.jsonl")}
    for store in sorted({path.parent for path in out.rglob("rollouts*") if not path.name.startswith(".")}):
        name = str(store.relative_to(out))
        try:
            if not is_store(store) or not any(True for _ in read_rollouts(store)):
                continue
            asked = {row["id"]: row["prompt"] for row in read_rows(store / "problems.jsonl")}
            for rollout in read_rollouts(store):
                key = name, rollout.prompt_id, rollout.index
                if key in found:
                    wrong.append(f"{key} stands there twice")
                found[key] = rollout.outcome, rollout.answer
                prompt = asked[rollout.prompt_id]
                if rollout.completion != say(prompt, golds[prompt], rollout.index):
                    wrong.append(f"{key} is not what was generated")
        except (InputError, KeyError) as error:
            wrong.append(f"{store.name} cannot be read: {error!r}")
    for prompt in {key[:2] for key in found}:
        indices = sorted(key[2] for key in found if key[:2] == prompt)
        if indices != list(range(len(indices))):
            wrong.append(f"{prompt} has the rollouts {indices}")
    return found


def finish(job: str, out: Path, work: Path, kept: dict[Any, Any], reference: dict[str, Any]) -> list[str]:
    """Runs the job to its end and compares it with the run that was not interrupted."""
    log = work / "log.txt"
    log.unlink(missing_ok=True)
    ended = wait(start(command(job, work, out), log), log)
    if ended.status == TRACEBACK or ended.status not in (0, 1):
        return [f"could not go on, {ended.status}: {ended.said[-1500:]}"]
    wrong: list[str] = []
    now = look(out, work, wrong)
    wrong += [f"{key} changed" for key, value in kept.items() if now.get(key) != value]
    if job == "adaptive estimate":  # what it draws when it goes on depends on where it stopped
        return wrong
    if now != reference["rollouts"]:
        wrong.append(f"{len(now)} rollouts, {len(reference['rollouts'])} without interruption")
    if results(out) != reference["results"]:
        wrong.append("the results differ from those without interruption")
    return wrong


def results(out: Path) -> dict[str, Any]:
    """What a job leaves for its user."""
    found: dict[str, Any] = {}
    for name in ("rates.parquet", "kept.jsonl", "kept.dropped.jsonl"):
        if (out / name).exists():
            found[name] = read_rows(out / name)
    if (out / "audit.json").exists():
        found["audit.json"] = json.loads((out / "audit.json").read_text())
    return found


class References(dict[str, dict[str, Any]]):
    """Each job once without interruption, when it is first asked for: its seconds, rollouts and results."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self.work = work
        write_data(work)

    def __missing__(self, job: str) -> dict[str, Any]:
        out, log = self.work / f"reference {job}" / "out", self.work / "log.txt"
        log.unlink(missing_ok=True)
        out.parent.mkdir(parents=True)
        ended, wrong = wait(start(command(job, self.work, out), log), log, 300.0), list[str]()
        rollouts = look(out, self.work, wrong)
        if ended.status not in (0, 1) or wrong:
            raise SystemExit(f"{job} fails without interruption: {ended.status} {wrong} {ended.said}")
        self[job] = {"rollouts": rollouts, "seconds": ended.seconds, "results": results(out)}
        return self[job]


@contextmanager
def folder_of(folder: Path, limited: bool) -> Iterator[Path]:
    """A folder of its own; one that may fill up is a file system of its own where that is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = limited and mount(folder, "size=64m")
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def resize(folder: Path, size: int) -> bool:
    """Leaves so many bytes free on the folder's own file system; False where it has none."""
    if not os.path.ismount(folder):
        return False
    used = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    return mount(folder, f"remount,size={(used + size) // 4096 * 4096 + 4096}")


def mount(folder: Path, options: str) -> bool:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    return done.returncode == 0


def try_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        mounted = mount(Path(folder), "size=1m")
        if mounted:
            subprocess.run(["umount", folder], check=False)
    return mounted
