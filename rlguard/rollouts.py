"""The rollout store: a folder that only grows, can be resumed after a kill, and says where its rollouts come from.

`meta.json` holds the key: all that must be equal for two rollouts to be draws from one distribution (model, sampling,
verifier, …). `rollouts.jsonl` holds one rollout a line. A run that was killed in mid-line loses that line only.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rlguard.types import InputError, Rollout

logger = logging.getLogger(__name__)

META = "meta.json"
ROLLOUTS = "rollouts.jsonl"
_FIELDS = ("prompt_id", "index", "completion", "outcome", "answer", "tokens", "finish_reason")


class RolloutStore:
    """An open store; use it as a context manager.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RolloutStore(folder, {"model": "m"}) as store:
    ...         store.append([Rollout("p", 0, "4", 1.0)])
    ...         dict(store.counts)
    {'p': 1}
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any]) -> None:
        """Opens a store for appending, or makes it.

        Args:
            folder: Where it lies.
            key: What every rollout in it has in common; JSON-serialisable.

        Raises:
            InputError: If the folder holds rollouts of another key (names what differs), or another process writes.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self.folder / ROLLOUTS, "a+b")  # noqa: SIM115 - closed by close()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise InputError(f"{self.folder}: another process is writing to this store") from error
        try:
            self._check_key(key)
            self.dropped_tail = self._cut_tail()
            self.counts: dict[str, int] = {}
            for rollout in read_rollouts(self.folder):
                self.counts[rollout.prompt_id] = max(self.counts.get(rollout.prompt_id, 0), rollout.index + 1)
        except BaseException:
            self._file.close()
            raise

    def _check_key(self, key: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(key))
        meta = self.folder / META
        if not meta.exists():
            partial = meta.with_suffix(".partial")
            partial.write_text(json.dumps(wanted, indent=2, ensure_ascii=False))
            os.replace(partial, meta)
            return
        found = read_meta(self.folder)
        differing = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
        if differing:
            lines = [
                f"  {name}: the store has {found.get(name)!r}, this run {wanted.get(name)!r}" for name in differing
            ]
            raise InputError(
                f"{self.folder} holds rollouts drawn in another way, which do not mix with this run's:\n"
                + "\n".join(lines)
                + "\nChoose another --out."
            )

    def _cut_tail(self) -> bool:
        """Removes a last line that a killed run did not finish; True if there was one."""
        size = self._file.seek(0, os.SEEK_END)
        end = size
        while end > 0:  # back to the last newline, a block at a time
            start = max(0, end - 65536)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end == size:
            return False
        self._file.truncate(end)
        logger.warning("%s: cut a half-written last line of %d bytes", self.folder / ROLLOUTS, size - end)
        return True

    def append(self, rollouts: Iterable[Rollout]) -> None:
        """Writes rollouts and hands them to the disk before it returns."""
        rollouts = list(rollouts)
        self._file.write("".join(_to_line(rollout) for rollout in rollouts).encode("utf-8", "surrogatepass"))
        self._file.flush()
        os.fsync(self._file.fileno())
        for rollout in rollouts:
            self.counts[rollout.prompt_id] = max(self.counts.get(rollout.prompt_id, 0), rollout.index + 1)

    def close(self) -> None:
        """Ends writing and lets other processes in."""
        self._file.close()

    def __enter__(self) -> RolloutStore:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_meta(folder: str | Path) -> dict[str, Any]:
    """The key of a store.

    Raises:
        InputError: If there is none.
    """
    meta = Path(folder) / META
    if not meta.exists():
        raise InputError(f"{folder}: not a rollout store, {META} is missing")
    try:
        return json.loads(meta.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{meta}: not JSON: {error}") from error


def read_rollouts(folder: str | Path) -> Iterator[Rollout]:
    """Streams a store's rollouts in the order in which they were written, each (prompt, index) once.

    A last line without its newline is being written, or was when the run was killed: it is left out.

    Raises:
        InputError: If a line cannot be read; names file and line.
    """
    path = Path(folder) / ROLLOUTS
    if not path.exists():
        raise InputError(f"{folder}: not a rollout store, {ROLLOUTS} is missing")
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            rollout = _from_line(line, path, number)
            if rollout.index >= seen.get(rollout.prompt_id, 0):  # rollouts of a prompt are numbered as written
                seen[rollout.prompt_id] = rollout.index + 1
                yield rollout


def _to_line(rollout: Rollout) -> str:
    record = {name: getattr(rollout, name) for name in _FIELDS}
    record["outcome"] = None if math.isnan(rollout.outcome) else rollout.outcome
    return json.dumps(record) + "\n"


def _from_line(line: bytes, path: Path, number: int) -> Rollout:
    try:
        record = json.loads(line)
        outcome = math.nan if record["outcome"] is None else float(record["outcome"])
        return Rollout(**{name: record[name] for name in _FIELDS if name != "outcome"}, outcome=outcome)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}:{number}: not a rollout: {type(error).__name__}: {error}") from error
