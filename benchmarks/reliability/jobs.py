"""The commands that the campaign interrupts, each in a forked child: rlguard's own command line over a stub engine.

What the stub says depends on the prompt and the number of the rollout alone, so every rollout that is kept can be
checked, and what is resumed must end as what was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlguard.types import Generation, Request, Sampling

PROMPTS, SEGMENT_BYTES = 48, 30_000
TRACEBACK = 99  # exit status of a child in which an exception went through the command line


class Stub:
    """An engine that reasons at length and is right as often as the prompt is easy."""

    def __init__(self, model: str, pause: float = 0.004) -> None:
        self.model, self.pause = model, pause

    def describe(self) -> dict[str, Any]:
        return {"name": "stub", "version": "1", "model": self.model}

    def generate(self, requests: Any, sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        for request in requests:
            time.sleep(self.pause)
            numbers = range(request.first, request.first + request.n)
            said = [say(request.problem.text, str(request.problem.answer), number) for number in numbers]
            yield request, [Generation(text, len(text) // 4, "stop") for text in said]


def say(prompt: str, gold: str, number: int) -> str:
    digest = hashlib.sha256(f"{prompt} {number}".encode("utf-8", "surrogatepass")).hexdigest()
    easy = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[0] / 255
    right = int(digest[:8], 16) / 0xFFFFFFFF < easy
    return f"Attempt {number}: {digest * 8}\nThe answer is {gold if right else '-7'}."


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    status: int
    """Exit status; negative for the signal that killed it."""
    seconds: float
    peak_mb: float
    said: str
    """Standard output and error."""


def start(argv: Sequence[str] | Callable[[], Any], log: Path, limit: Callable[[], None] = lambda: None) -> int:
    """Forks a child that runs a command line, or a function; its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = TRACEBACK
    try:
        os.setpgid(0, 0)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL if name == signal.SIGTERM else signal.default_int_handler)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(out, number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        limit()
        status = argv() or 0 if callable(argv) else run_line(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run_line(argv: Sequence[str]) -> int:
    """`rlguard ARGV` in this process, with the stub for an engine; its exit status."""
    import rlguard.cli.audit
    import rlguard.engines
    from rlguard.cli.main import main
    from rlguard.rollouts.store import RolloutStore

    rlguard.engines.load_engine = lambda name, model, **options: Stub(model)  # type: ignore[assignment]
    rlguard.cli.audit.check_hub_name = lambda name, kind: None  # no hub knows a stub
    RolloutStore.__init__.__defaults__ = (SEGMENT_BYTES,)  # type: ignore[misc]
    sys.argv = ["rlguard", *map(str, argv)]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def wait(pid: int, log: Path, limit_s: float = 60.0) -> Ended:
    """Waits for a child; one that hangs is killed, and its status is None's: the time limit's own signal, SIGALRM."""
    begin = time.monotonic()
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            break
        if time.monotonic() - begin > limit_s:
            os.killpg(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
            status = signal.SIGALRM
            break
        time.sleep(0.005)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    text = log.read_text(errors="replace") if log.exists() else ""
    return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - begin, usage.ru_maxrss / 1024, text)


def limit_files(size: int) -> Callable[[], None]:
    """No file of the child grows over `size` bytes: the next best to a full disk where nothing can be mounted."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def write_data(folder: Path) -> None:
    """Prompts, a table of published rates, and a suite."""
    draw = random.Random(0)
    rows = [{"prompt": f"What is {a} + {b}?", "answer": str(a + b)}
            for a, b in [(draw.randrange(1000), draw.randrange(1000)) for _ in range(PROMPTS)]]  # fmt: skip
    write(folder / "data.jsonl", rows)
    write(folder / "rated.jsonl", [
        {"prompt": f"What is {n} + {n}?", "answer": str(2 * n), "rate": n % 17 / 16, "note": "x" * 200}
        for n in range(4000)
    ])  # fmt: skip
    write(folder / "suite.jsonl", [row | {"domain": "sums"} for row in rows[:24]])


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def command(job: str, data: Path, out: Path) -> list[str]:
    """The command line of a job."""
    if job == "filter":
        return ["filter", f"{data}/rated.jsonl", "--rate-column", "rate", "--scale", "pass_rate", "--trials", "16",
                "--out", f"{out}/kept.jsonl"]  # fmt: skip
    if job == "audit":
        return ["audit", "before", "after", "--suite", f"{data}/suite.jsonl", "--varied", "0", "--n", "4",
                "--scored", "0", "--truncated", "4", "--no-chat", "--engine", "transformers",
                "--out", str(out)]  # fmt: skip
    how = ["--n", "8"] if job == "estimate" else ["--min-n", "4", "--max-n", "16"]
    return ["estimate", f"{data}/data.jsonl", "--model", "stub", "--engine", "transformers", "--verifier", "exact",
            *how, "--out", str(out)]  # fmt: skip
