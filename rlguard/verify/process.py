"""One process that runs a verifier: `Worker` is the parent's end, `serve` the life of the process.

The parent holds torch and vLLM threads, so the process is not forked; the caller's script may have no `__main__` guard,
so the process does not import it either. It is a fresh interpreter on one end of a socket: it gets the verifier by
cloudpickle and then one job after the other, and answers with one line of JSON for each completion, as soon as it is
scored. So the parent knows which one hangs, and unpickles nothing that a verifier had a hand in.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import pickle
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

import cloudpickle

from rlguard.types import InputError, Problem, Verifier
from rlguard.verify.verifiers import read_score

BOOT = "import sys; sys.path[:] = sys.argv[2:]; from rlguard.verify.process import serve; serve(int(sys.argv[1]))"

Message = tuple[str | None, float, str | None, str]
"""What a worker says: a cause (None: scored; `raised`, `junk` and `nan`: unscored; `ready`: the verifier is loaded;
`input`: the user's to fix; `forged`: not said by `serve`), the outcome, the extracted answer, and why."""

START_S = 300.0
"""Least limit for a process to start and load the verifier."""
LONGEST_MESSAGE = 8 << 20
"""Bytes."""


Results = list[tuple[float, str | None]]
"""Outcome and extracted answer of each completion of a job, in order."""


@dataclass(eq=False)
class Job:
    """The completions of one request."""

    token: Any
    blob: bytes
    """Pickled completions and problem."""
    size: int
    row: int
    results: Results = field(default_factory=list)


class Worker:
    """The parent's end of a verifier process, and what the process is doing since when."""

    def __init__(self, verifier_blob: bytes, memory_bytes: int | None = None) -> None:
        """Starts the process and hands it the pickled verifier; `VerifierPool` says what `memory_bytes` is."""
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(START_S)  # for sending: a process that stands still reads nothing
        self._unread = b""
        self._sign = secrets.token_hex(8)  # of this process's own messages; a verifier can write to its socket too
        self.since = time.monotonic()
        self.job: Job | None = None
        self.ready = False
        self.fresh = True  # has not finished a completion yet
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the parent alone, and `end` takes the process's own children along
            )
        with suppress(OSError):  # it died at once, which `read` will tell
            self.socket.sendall(pickle.dumps((self._sign, memory_bytes)) + verifier_blob)

    @property
    def busy(self) -> bool:
        return self.job is not None or not self.ready

    def begin(self, job: Job) -> None:
        """Hands over a job, or what is left of it. Raises OSError if the process is dead or stands still."""
        self.socket.sendall(pickle.dumps((len(job.results), job.row)) + job.blob)
        self.job, self.since = job, time.monotonic()

    def read(self) -> tuple[list[Message], bool]:
        """All messages that are there, and whether the process still has its end open. Blocks when there is nothing."""
        try:
            said = self.socket.recv(1 << 16)  # many messages at once: each read may wait for the caller's thread
        except OSError:
            said = b""
        *lines, self._unread = (self._unread + said).split(b"\n")
        if len(self._unread) > LONGEST_MESSAGE:
            lines.append(self._unread)
        return [self._check(line) for line in lines], bool(said)

    def _check(self, line: bytes) -> Message:
        with suppress(ValueError, RecursionError, TypeError):
            sign, *message = json.loads(line)
            if sign == self._sign:
                return message[0], message[1], message[2], message[3]
        return "forged", math.nan, None, f"the verifier wrote {line!r:.60} to the pool"

    def is_dead(self) -> bool:
        """Whether the process has ended or stands still, even if a child of its own keeps the socket open."""
        ends = os.WEXITED | os.WSTOPPED
        return os.waitid(os.P_PID, self.process.pid, ends | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> int | None:
        """Kills the process and its children; the exit status."""
        self.socket.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(5.0)
        return None


def pickle_verifier(verifier: Verifier, name: str) -> bytes:
    """The verifier as bytes; by value where it stands in the caller's script."""
    try:
        return cloudpickle.dumps(verifier)
    except Exception as error:
        raise InputError(
            f"verifier {name!r} cannot be sent to a process of its own ({explain(error)}): let it open files, clients "
            "and models on first use or in a method `prepare`, not in `__init__` or the script"
        ) from error


def serve(fd: int) -> None:
    """Loads the verifier, then does jobs until the parent's end of the socket closes. Does not return."""
    os.set_inheritable(fd, False)
    signal.signal(signal.SIGINT, lambda *_: None)  # the parent decides; not SIG_IGN, which children would inherit
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it dies with its parent even where it hangs
    with suppress(OSError):
        os.dup2(2, 1)  # what verifiers print does not belong into the caller's output
    connection = socket.socket(fileno=fd)
    with suppress(EOFError, OSError), connection.makefile("rb") as jobs:
        _do_jobs(connection, jobs)
    os._exit(0)  # threads that the verifier left behind do not keep the process


def _do_jobs(connection: socket.socket, jobs: IO[bytes]) -> None:
    sign, memory_bytes = pickle.load(jobs)

    def say(message: Message) -> None:
        connection.sendall(json.dumps((sign, *message)).encode() + b"\n")

    try:
        verifier = pickle.load(jobs)
        getattr(verifier, "prepare", lambda: None)()
    except BaseException as error:
        return say(("input", 0.0, None, f"the verifier does not load in a process of its own ({explain(error)})"))
    _limit_memory(memory_bytes)
    say(("ready", 0.0, None, ""))
    while True:
        first, row = pickle.load(jobs)
        try:
            completions, problem = pickle.load(jobs)
        except Exception as error:
            return say(("input", 0.0, None, f"row {row}: does not load in a verifier process ({explain(error)})"))
        for completion in completions[first:]:
            say(_judge(verifier, completion, problem))


def _limit_memory(more: int | None) -> None:
    """Lets the process and its children take so many bytes more than it has; what is only reserved does not count."""
    if more is None or sys.platform != "linux":
        return
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    with suppress(ValueError):  # there is a lower one already
        resource.setrlimit(resource.RLIMIT_DATA, (held + more, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _judge(verifier: Verifier, completion: str, problem: Problem) -> Message:
    outcome, cause, detail = math.nan, "raised", ""
    try:
        score: Any = verifier.score(completion, problem)
        outcome, cause = read_score(score)  # type: ignore[assignment]
        if cause == "junk":
            detail = f"expected 0 or 1, got {score!r:.80}"
    except InputError as error:
        return "input", math.nan, None, str(error)
    except BaseException as error:  # SystemExit and math-verify's timeout are none of Exception's
        outcome, cause, detail = math.nan, "raised", explain(error)
    try:
        answer = verifier.extract(completion)
        return cause, outcome, None if answer is None else str(answer), detail
    except BaseException:
        return cause, outcome, None, detail


def explain(error: BaseException) -> str:
    """Kind and words of an error, at most a few hundred characters, even if it cannot be printed.

    >>> explain(KeyError("metadata"))
    "KeyError: 'metadata'"
    """
    try:
        words = str(error)
    except Exception:
        words = "(its message cannot be printed)"
    return f"{type(error).__name__}: {words:.300}"
