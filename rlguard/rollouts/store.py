"""The rollout store: a folder that only grows, can be resumed after a kill, and says where its rollouts come from.

meta.json               the key: all that must be equal for two rollouts to be draws from one distribution
rollouts.jsonl          the log: one scored rollout per line; a run killed in mid-line loses that line only
rollouts-00000.parquet  sealed logs; a log is sealed when it has grown to `SEGMENT_BYTES`
received.jsonl          rollouts that came out of the engine and wait for their verifier
design.json             the plans by which it was decided how many rollouts a prompt gets
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rlguard.rollouts.segments import (
    ROLLOUTS,
    Tally,
    clean,
    group_rollouts,
    list_sealed,
    number_of,
    read_log,
    seal,
    to_line,
    write_lines,
)
from rlguard.tables.files import cut_tail, read_json, read_object, remove, replace_file, writing
from rlguard.types import InputError, Rollout

META = "meta.json"
PROBLEMS = "problems.jsonl"
RECEIVED = "received.jsonl"
DESIGN = "design.json"
SEGMENT_BYTES = 64 << 20


class RolloutStore:
    """An open store; use it as a context manager.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RolloutStore(folder, {"model": "m"}) as store:
    ...         store.append([Rollout("p", 0, "4", 1.0)])
    ...         store.tallies["p"]
    Tally(successes=1, trials=1, drawn=1, truncated=0)
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any], segment_bytes: int = SEGMENT_BYTES) -> None:
        """Opens a store for appending, or makes it.

        Args:
            folder: Where it lies.
            key: What every rollout in it has in common; JSON-serialisable.
            segment_bytes: Size at which the log is sealed.

        Raises:
            InputError: If the folder holds rollouts of another key (names what differs) or of one that is lost, cannot
                be written, or another process writes to it.
        """
        self.folder = Path(folder)
        self.segment_bytes = segment_bytes
        with ExitStack() as opened, writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = opened.enter_context(open(self.folder / ".lock", "ab"))
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"{self.folder}: another process is writing to this store") from error
            self._check_key(key)
            for partial in self.folder.glob(".rollouts-*.partial"):  # killed while it sealed
                remove(partial)
            for path in list_sealed(self.folder):
                if path.suffix == ".jsonl":  # the same, or the disk was full
                    seal(path)
            cut_tail(self.folder / ROLLOUTS)
            cut_tail(self.folder / RECEIVED)
            self._log = open(self.folder / ROLLOUTS, "ab")  # noqa: SIM115 - it and the next: closed by close()
            opened.callback(lambda: self._log.close())
            self.tallies = {prompt_id: tally for prompt_id, tally, _ in group_rollouts(self.folder)}
            self._waiting = self._read_received()
            self._received = open(self.folder / RECEIVED, "ab")  # noqa: SIM115
            opened.callback(lambda: self._received.close())
            self._synced = time.monotonic()
            self._opened = opened.pop_all()

    def _check_key(self, key: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(key))
        if not (self.folder / META).exists():
            logs = (self.folder / ROLLOUTS, self.folder / RECEIVED)
            if list_sealed(self.folder) or any(path.exists() and path.stat().st_size for path in logs):
                raise InputError(
                    f"{self.folder} holds rollouts, but {META}, which says how they were drawn, is missing. Put it "
                    "back, or choose another --out."
                )
            replace_file(self.folder / META, json.dumps(wanted, indent=2, ensure_ascii=False))
            return
        differing = list(_differences(read_meta(self.folder), wanted))
        if differing:
            lines = "\n".join(f"  {name}: the store has {old!r}, this run {new!r}" for name, old, new in differing)
            raise InputError(
                f"{self.folder} holds rollouts drawn in another way, which do not mix with this run's:\n{lines}\n"
                "Choose another --out."
            )

    def add_plan(self, plan: Mapping[str, Any]) -> None:
        """Records how many rollouts this run means to draw, beside the plans of earlier ones."""
        plans, new = read_design(self.folder), json.loads(json.dumps(plan))
        if new not in plans:
            replace_file(self.folder / DESIGN, json.dumps([*plans, new], indent=2))

    @property
    def received(self) -> list[Rollout]:
        """Rollouts that were generated and not scored yet, those of a killed run included."""
        return list(self._waiting.values())

    def receive(self, rollouts: Iterable[Rollout]) -> None:
        """Keeps rollouts that are still to be scored: a kill now costs no generation."""
        rollouts = [clean(rollout) for rollout in rollouts]
        self._waiting |= {(rollout.prompt_id, rollout.index): rollout for rollout in rollouts}
        with writing(self.folder):
            if self._received.tell() > self.segment_bytes:
                self._received.close()
                replace_file(self.folder / RECEIVED, "".join(map(to_line, self._waiting.values())))
                self._received = open(self.folder / RECEIVED, "ab")  # noqa: SIM115
            else:
                write_lines(self._received, rollouts)

    def append(self, rollouts: Iterable[Rollout]) -> None:
        """Writes scored rollouts; one that is there already, which its number says, is left out.

        They are in the hands of the system when this returns (a killed run loses none), and on the disk within a second
        of sampling or at `close` (a power cut).
        """
        new = []
        for rollout in sorted(map(clean, rollouts), key=lambda rollout: rollout.index):
            self._waiting.pop((rollout.prompt_id, rollout.index), None)
            tally = self.tallies.setdefault(rollout.prompt_id, Tally())
            if rollout.index >= tally.drawn:
                tally.add(rollout)
                new.append(rollout)
        with writing(self.folder):
            write_lines(self._log, new)
            if time.monotonic() - self._synced > 1.0:
                os.fsync(self._log.fileno())
                self._synced = time.monotonic()
            if self._log.tell() > self.segment_bytes:
                self._seal_log()

    def _seal_log(self) -> None:
        os.fsync(self._log.fileno())
        self._log.close()
        sealed = list_sealed(self.folder)
        full = self.folder / f"rollouts-{number_of(sealed[-1]) + 1 if sealed else 0:05d}.jsonl"
        os.replace(self.folder / ROLLOUTS, full)
        self._log = open(self.folder / ROLLOUTS, "ab")  # noqa: SIM115
        seal(full)

    def _read_received(self) -> dict[tuple[str, int], Rollout]:
        path, waiting = self.folder / RECEIVED, {}
        for rollout in read_log(path) if path.exists() else ():
            tally = self.tallies.get(rollout.prompt_id)
            if tally is None or rollout.index >= tally.drawn:
                waiting[rollout.prompt_id, rollout.index] = rollout
        return waiting

    def close(self) -> None:
        """Ends writing and lets other processes in."""
        with writing(self.folder), self._opened:
            if not self._log.closed:  # as it is where sealing failed
                os.fsync(self._log.fileno())
            if not self._waiting:
                (self.folder / RECEIVED).unlink(missing_ok=True)

    def __enter__(self) -> RolloutStore:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_meta(folder: str | Path) -> dict[str, Any]:
    """The key of a store.

    Raises:
        InputError: If there is none.
    """
    if not (Path(folder) / META).exists():
        raise InputError(f"{folder}: not a rollout store, {META} is missing")
    return read_object(Path(folder) / META)


def read_design(folder: str | Path) -> list[dict[str, Any]]:
    """The plans by which a store was sampled, as they were recorded; none where there is no record of them.

    Raises:
        InputError: If the record is no list of objects.
    """
    path, expected = Path(folder) / DESIGN, "a sampling design by rlguard, a list of objects"
    plans: list[dict[str, Any]] = read_json(path, list, expected) if path.exists() else []
    if not all(isinstance(plan, dict) for plan in plans):
        raise InputError(f"{path}: expected {expected}")
    return plans


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves in which two keys differ: dotted name, old, new."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in sorted({*old, *new}):
            yield from _differences(old.get(part), new.get(part), f"{name}.{part}" if name else part)
    elif old != new:
        yield name, old, new
