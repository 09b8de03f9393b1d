"""Reads the evidence of rollouts: one rollout, or a batch, in processes of its own while the trainer goes on.

The detectors take about a millisecond for 2,000 characters. That is nothing for short completions and seconds for a
batch of thousands of long ones, so those are dealt out to a few processes. Fresh interpreters are used: a trainer's
process holds threads and a GPU and is not to be forked, and the user's script is not to be imported again.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import IO, Any

from rlguard.answers import extract_answer, read_gold
from rlguard.luck.evidence import Evidence
from rlguard.shortcuts.judge import judge_completion
from rlguard.shortcuts.wording import is_bare
from rlguard.types import Messages, completion_text, make_prompt_id, prompt_text

logger = logging.getLogger(__name__)

MANY_CHARACTERS = 200_000
"""A batch with more of them, a tenth of a second's reading, is read in other processes unless told otherwise."""
CHUNK = 32
"""Rollouts handed over at once."""
PATIENCE = 60.0
"""Seconds that a process may take for them: some ten times what the longest texts need."""
BOOT = "import sys; sys.path[:] = sys.argv[1:]; from rlguard.guard.reading import answer_requests; answer_requests()"

Rows = list[tuple[Any, Any, dict[str, Any]]]
"""Prompt, completion and the few columns that are read, of each rollout."""


class EvidenceReader:
    """Turns texts into evidence; the processes start when there is enough to read, and end with this one."""

    def __init__(self, answer_column: str = "answer", detectors: bool = True, workers: int | None = None) -> None:
        """
        Args:
            answer_column: Column of the gold answer.
            detectors: Whether to look for shortcuts in the texts.
            workers: Processes; 0 reads in this one, None takes up to four for batches of long completions.
        """
        self._options = answer_column, detectors
        self.columns = (answer_column, "rlguard_id", "rlguard_successes", "rlguard_trials", "rlguard_chance_rate")
        self._workers = min(4, max(1, (os.cpu_count() or 2) // 2)) if workers is None else workers
        self._eager = workers is not None
        self._threads: ThreadPoolExecutor | None = None
        self._said = False
        self._idle: SimpleQueue[subprocess.Popen] = SimpleQueue()

    def read(self, *columns_B: Any) -> list[Evidence]:
        """The evidence of each rollout; arguments and errors as for `begin`."""
        return self.begin(*columns_B)()

    def begin(
        self,
        prompts_B: Sequence[str | Messages],
        completions_B: Sequence[str | Messages | None],
        rows_B: Sequence[Mapping[str, Any]],
    ) -> Callable[[], list[Evidence]]:
        """Begins to read B rollouts, and returns at once where other processes do the work.

        Args:
            prompts_B: Text or chat messages.
            completions_B: The same; None where there is none.
            rows_B: The data set's rows.

        Returns:
            What to call for the evidence.

        Raises:
            ValueError: If lengths differ.
        """
        found = [{name: find_column(row, name) for name in self.columns} for row in rows_B]
        columns = [{name: value for name, value in row.items() if value is not None} for row in found]
        rows = list(zip(prompts_B, completions_B, columns, strict=True))
        if not self._workers or not (self._eager or sum(len(str(c or "")) for c in completions_B) > MANY_CHARACTERS):
            evidence = _read_rows(rows, self._options)
            return lambda: evidence
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="rlguard reader")
        chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
        futures: list[Future[list[Evidence]]] = [self._threads.submit(self._ask, chunk) for chunk in chunks]
        return lambda: [evidence for future in futures for evidence in future.result()]

    def _ask(self, rows: Rows) -> list[Evidence]:
        """Has one chunk read by a process; should that die, or not start, reads it here. One that does not answer is
        ended, and what it was to read stays unread: the texts themselves may be why."""
        process, start = None, time.monotonic()
        try:
            process = self._take_process()
            ending = threading.Timer(PATIENCE, process.kill)
            ending.start()
            try:
                _send(process.stdin, (rows, self._options))
                evidence: list[Evidence] = pickle.load(process.stdout)  # type: ignore[arg-type]
            finally:
                ending.cancel()
        except Exception as error:
            if not self._said:
                self._said = True
                logger.warning("rlguard: a reading process failed, the trainer's reads in its place: %r", error)
            if process is not None:
                process.kill()
                process.wait()
            if time.monotonic() - start >= PATIENCE:
                return [leave_unread(prompt, TimeoutError(f"no answer in {PATIENCE:g} s")) for prompt, *_ in rows]
            return _read_rows(rows, self._options)
        self._idle.put(process)
        return evidence

    def _take_process(self) -> subprocess.Popen:
        """One that has nothing to do, or a new one; there are never more than threads."""
        with suppress(Empty):
            return self._idle.get_nowait()
        command = [sys.executable, "-c", BOOT, *sys.path]
        # In a group of its own: Ctrl-C is for the trainer.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)


def answer_requests() -> None:
    """The life of a reading process: chunks of rows on standard input, their evidence on standard output."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not end up among the replies
    while True:
        try:
            rows, options = pickle.load(requests)
        except (EOFError, KeyboardInterrupt):  # the trainer has ended
            return
        _send(replies, _read_rows(rows, options))


def _send(pipe: IO[bytes] | None, value: Any) -> None:
    assert pipe is not None
    pipe.write(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))  # first pickled, then sent: never half of it
    pipe.flush()


def _read_rows(rows: Rows, options: tuple[str, bool]) -> list[Evidence]:
    return [_read_row(*row, options) for row in rows]


def _read_row(prompt: Any, completion: Any, row: dict[str, Any], options: tuple[str, bool]) -> Evidence:
    try:
        return read_evidence(prompt, completion, row, *options)
    except (Exception, SystemExit) as error:  # a column that holds no number, say: it must not end a training run
        return leave_unread(prompt, error)


def leave_unread(prompt: Any, error: BaseException) -> Evidence:
    """The evidence of a rollout that could not be read: the guard leaves it to the trainer."""
    return Evidence(prompt_id=f"unread {prompt!r:.200}", fault=f"{type(error).__name__}: {error!s:.200}")


def find_column(row: Mapping[str, Any], name: str) -> Any:
    """A column, or a field within one: `reward_model.ground_truth`. None where there is none."""
    if name in row or "." not in name:
        return row.get(name)
    outer, _, inner = name.partition(".")
    return find_column(row[outer], inner) if isinstance(row.get(outer), Mapping) else None


def read_evidence(
    prompt: str | Messages,
    completion: str | Messages | None,
    row: Mapping[str, Any],
    answer_column: str = "answer",
    detectors: bool = True,
) -> Evidence:
    """Reads one rollout: its prompt's id and offline columns, its final answer, the detectors' evidence.

    Args:
        prompt: Text or chat messages.
        completion: Text or chat messages; None where the trainer has none to show.
        row: The data set row; uses `rlguard_*` columns (written by `rlguard filter`) and the answer column if present.
        answer_column: Where the gold answer stands.
        detectors: Whether to look for shortcuts in the text.

    Raises:
        TypeError, ValueError: If a `rlguard_*` column holds no number. A detector's fault is not raised but noted.
    """
    written = find_column(row, answer_column)
    gold = read_gold(written)
    answer: str | None = None
    ratio, bare, offered, fault = 1.0, False, False, ""
    kinds: tuple[str, ...] = ()
    if completion is not None:
        try:
            for value in (prompt, completion):
                messages = isinstance(value, Sequence) and all(isinstance(turn, Mapping) for turn in value)
                if not messages and not isinstance(value, str):
                    raise TypeError(f"expected text or chat messages, got {value!r:.60}")
            asked, said = prompt_text(prompt), completion_text(completion)
            read = _judge_text if detectors else _read_text
            answer, ratio, kinds, bare, offered = read(said, asked, gold)
        except (Exception, SystemExit) as error:  # must not end a training run; the guard logs and counts it
            fault = f"{type(error).__name__}: {error!s:.200}"
    successes, trials = (_number(row.get(f"rlguard_{name}")) for name in ("successes", "trials"))
    possible = 0 <= successes <= trials < math.inf  # counts that cannot be are none
    return Evidence(
        prompt_id=str(row.get("rlguard_id") or _prompt_id(prompt, None if written is None else str(written))),
        gold=gold,
        answer=answer,
        likelihood_ratio=ratio,
        kinds=kinds,
        offline_successes=successes if possible else math.nan,
        offline_trials=trials if possible else math.nan,
        chance_rate=_number(row.get("rlguard_chance_rate")),
        bare=bare,
        offered=offered,
        fault=fault,
    )


Read = tuple[str | None, float, tuple[str, ...], bool, bool]
"""Answer, likelihood ratio, kinds of findings, whether it is bare and whether it is offered."""


@lru_cache(maxsize=1024)  # the rollouts of an easy prompt are often the same text
def _judge_text(completion: str, prompt: str, gold: str | None) -> Read:
    judgement = judge_completion(completion, prompt, gold)
    kinds = tuple(sorted({item.kind for item in judgement.findings}))
    offered = _names_one(prompt, judgement.answer, gold)
    return judgement.answer, judgement.likelihood_ratio, kinds, is_bare(completion), offered


@lru_cache(maxsize=1024)
def _read_text(completion: str, prompt: str, gold: str | None) -> Read:
    found = extract_answer(completion)
    answer = found and found[0]
    return answer, 1.0, (), is_bare(completion), _names_one(prompt, answer, gold)


def _names_one(prompt: str, *answers: str | None) -> bool:
    """Whether one of the answers stands in a prompt, as a word or number of its own."""
    text = prompt.casefold()
    named = [answer.casefold() for answer in answers if answer]
    return any(name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in named)


def _prompt_id(prompt: str | Messages, gold: str | None) -> str:
    return _text_id(prompt, gold) if isinstance(prompt, str) else make_prompt_id(prompt, gold)


_text_id = lru_cache(maxsize=1024)(make_prompt_id)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
