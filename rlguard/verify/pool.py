"""A pool of processes that run a verifier, so that it may hang, die or print without harm to the run.

What could not be judged in time is unscored (NaN) and counted by cause; it is never wrong.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

import cloudpickle

from rlguard.types import InputError, Problem, Verifier
from rlguard.verify.process import START_S, Job, Message, Results, Worker, explain, pickle_verifier

logger = logging.getLogger(__name__)

CAUSES = ("timeout", "raised", "junk", "died", "nan")
FIRST_S = 60.0
"""Least limit for the first completion of all, which may import a lot. Processes that start later get the limit and
twice what a first completion took."""
TICK_S = 1.0
"""How often the pool looks at its processes when none of them says anything."""


class VerifierPool:
    """Scores completions in processes of their own, within a time limit. A context manager; POSIX only.

    A thread of the pool serves the processes, so they go on while the caller is busy, and `submit` never blocks.

    >>> from rlguard.verify.verifiers import Exact
    >>> with VerifierPool(Exact(), workers=1) as pool:
    ...     pool.submit("job", ["answer 4", "answer 5"], Problem("p", "2+2?", "4"))
    ...     pool.collect(block=True)
    [('job', [(1.0, '4'), (0.0, '5')])]
    """

    def __init__(
        self,
        verifier: Verifier,
        workers: int | None = None,
        timeout_s: float | None = 10.0,
        memory_gb: float | None = 4.0,
    ) -> None:
        """
        Args:
            verifier: Anything with `score` and `extract` that cloudpickle can send; each process has its own copy. A
                method `prepare`, if it has one, is called there before the clock runs: the place for slow imports.
            workers: Most processes at once, None for one per CPU and at most 4. They start when there are jobs.
            timeout_s: Limit per completion in seconds, None for none.
            memory_gb: What a process may take, in GB, beyond what it has once the verifier is loaded; None for no
                limit. It is the system's (RLIMIT_DATA): an allocation over it fails with MemoryError or ends the
                process, and a child has the same limit for itself. Linux only.

        Raises:
            InputError: If the verifier cannot be pickled, or a limit is not positive.
        """
        workers = min(4, os.cpu_count() or 1) if workers is None else workers
        if workers < 1:
            raise InputError(f"workers: expected at least 1, got {workers}")
        if timeout_s is not None and not timeout_s > 0:
            raise InputError(f"timeout_s: expected seconds above 0, or None for no limit, got {timeout_s}")
        if memory_gb is not None and not memory_gb > 0:
            raise InputError(f"memory_gb: expected GB above 0, or None for no limit, got {memory_gb}")
        self.workers, self.timeout_s = workers, timeout_s
        self._memory_bytes = None if memory_gb is None else int(memory_gb * 1e9)
        self._name = str(getattr(verifier, "name", type(verifier).__name__))
        self._blob = pickle_verifier(verifier, self._name)
        self._changed = threading.Condition()  # guards what the caller and the thread share, down to `_closed`
        self._waiting: deque[Job] = deque()
        self._finished: list[tuple[Any, Results]] = []
        self._pending = 0
        self._error: BaseException | None = None
        self._closed = False
        self._counts = dict.fromkeys(CAUSES, 0)
        self._said: set[tuple[str, str]] = set()
        self._staff: list[Worker] = []
        self._first_s: float | None = None
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="rlguard verifier pool", daemon=True)

    def __enter__(self) -> VerifierPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet collected."""
        return self._pending

    @property
    def counts(self) -> dict[str, int]:
        """Unscored completions so far by cause: `timeout`, `raised`, `junk`, `died`, `nan` (the verifier's own NaN)."""
        return dict(self._counts)

    def submit(self, token: Any, completions: Sequence[str], problem: Problem) -> None:
        """Hands in a job, all completions of one engine request, and returns at once.

        Raises:
            InputError: If the problem's data row cannot be pickled.
        """
        try:
            blob = cloudpickle.dumps((list(completions), replace(problem, row=dict(problem.row))))
        except Exception as error:
            raise InputError(f"row {problem.number}: cannot go to a verifier process ({explain(error)})") from error
        with self._changed:
            if self._closed:
                raise ValueError("the verifier pool is closed")
            if self._thread.ident is None:
                self._thread.start()
            self._pending += 1
            self._waiting.append(Job(token, blob, len(completions), problem.number))
        self._ring()

    def collect(self, block: bool) -> list[tuple[Any, Results]]:
        """The jobs that finished since the last call, each with its token.

        Args:
            block: Whether to wait until one is finished; [] when none is pending.

        Raises:
            InputError: What the verifier finds wrong with the input; or that it does not load in a process.
        """
        with self._changed:
            while block and self._pending and not (self._finished or self._error or self._closed):
                self._changed.wait()
            if self._error and not self._finished:
                raise self._error
            finished, self._finished = self._finished, []
            self._pending -= len(finished)
            return finished

    def close(self) -> None:
        """Ends the processes; jobs that are not finished are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._ring()
        if self._thread.ident is not None:
            self._thread.join()
        self._bell.close()
        self._ear.close()

    def _ring(self) -> None:
        with suppress(OSError):  # full: there is enough in it to wake the thread; or closed
            self._bell.send(b".")

    # What follows runs in the pool's thread.

    def _run(self) -> None:
        try:
            while not self._closed:
                self._assign()
                self._watch()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            for worker in self._staff:
                worker.end()

    def _assign(self) -> None:
        """Gives waiting jobs to free processes, and starts as many more as there are jobs left."""
        free = [worker for worker in self._staff if not worker.busy]
        while self._waiting and (free or not self._waiting[0].size):
            job = self._waiting.popleft()
            if not job.size:
                self._finish(job)
                continue
            worker = free.pop()
            try:
                worker.begin(job)
            except OSError:  # it died with nothing to do: no completion's fault
                self._waiting.appendleft(job)
                self._end(worker)
        starting = sum(not worker.ready for worker in self._staff)
        for _ in range(min(self.workers - len(self._staff), len(self._waiting) - starting)):
            self._staff.append(Worker(self._blob, self._memory_bytes))

    def _watch(self) -> None:
        """Waits for messages and ends who is overdue; a result that has come meanwhile is in time."""
        now = time.monotonic()
        left = [worker.since + self._limit(worker) - now for worker in self._staff if worker.busy]
        ready = wait([self._ear, *(worker.socket for worker in self._staff)], max(0.0, min([TICK_S, *left])))
        if self._ear in ready:
            self._ear.recv(4096)
        for worker in list(self._staff):
            overdue = worker.busy and time.monotonic() >= worker.since + self._limit(worker)
            if worker.socket in ready or (overdue and wait([worker.socket], 0)):
                messages, alive = worker.read()
                for message in messages:
                    if message[0] == "forged":
                        self._lose(worker, "junk", message[3])
                        break
                    self._take(worker, message)
                else:
                    if not alive:
                        self._lose(worker, "died")
            elif (overdue or not ready) and worker.is_dead():
                self._lose(worker, "died")
            elif overdue:
                self._lose(worker, "timeout", f"no result in {self._limit(worker):g} s")

    def _limit(self, worker: Worker) -> float:
        """Seconds for what the process is doing: starting, its first completion, or another one."""
        if self.timeout_s is None:
            return math.inf
        if not worker.ready:
            return max(START_S, self.timeout_s)
        if not worker.fresh:
            return self.timeout_s
        return max(FIRST_S, self.timeout_s) if self._first_s is None else self.timeout_s + 2 * self._first_s

    def _take(self, worker: Worker, message: Message) -> None:
        cause, outcome, answer, detail = message
        now = time.monotonic()
        if cause == "input":
            raise InputError(detail)
        if cause == "ready":
            worker.ready = True
        else:
            if worker.fresh:
                self._first_s, worker.fresh = max(self._first_s or 0.0, now - worker.since), False
            self._record(worker, cause, outcome, answer, detail)
        worker.since = now

    def _record(self, worker: Worker, cause: str | None, outcome: float, answer: str | None, detail: str) -> None:
        """Adds one result to the job; a process whose job is finished is free for another."""
        job = worker.job
        assert job is not None
        job.results.append((outcome, answer))
        if cause is not None:
            self._counts[cause] += 1
            kind = (cause, detail.split(":")[0] if cause == "raised" else "")
            if cause != "nan" and kind not in self._said:
                self._said.add(kind)
                logger.warning("verifier %s, row %d: unscored, %s (%s)", self._name, job.row, cause, detail)
        if len(job.results) == job.size:
            worker.job = None
            self._finish(job)

    def _finish(self, job: Job) -> None:
        with self._changed:
            self._finished.append((job.token, job.results))
            self._changed.notify_all()

    def _lose(self, worker: Worker, cause: str, detail: str = "") -> None:
        """Ends a process that hangs, lies or is dead: the completion at hand is unscored, the rest of its job waits."""
        status = self._end(worker)
        detail = detail or f"the process ended with status {status}"
        if not worker.ready:
            raise InputError(f"verifier {self._name!r} does not load in a process of its own ({cause}: {detail})")
        if worker.job is not None:
            self._record(worker, cause, math.nan, None, detail)
        if worker.job is not None:
            self._waiting.appendleft(worker.job)

    def _end(self, worker: Worker) -> int | None:
        self._staff.remove(worker)
        return worker.end()
