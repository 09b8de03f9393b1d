"""The files of a rollout store: a log of lines, sealed Parquet segments, and how both are read in bounded memory."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlguard.rollouts.record import FIELDS, from_record, to_record
from rlguard.tables.files import iter_json_lines, replacing
from rlguard.tables.read import iter_rows
from rlguard.types import InputError, Rollout

ROLLOUTS = "rollouts.jsonl"
_SEALED = re.compile(r"rollouts-(\d{5})\.(parquet|jsonl)")


@dataclass(slots=True)
class Tally:
    """What a store holds of one prompt."""

    successes: int = 0
    trials: int = 0
    """Scored rollouts."""
    drawn: int = 0
    """All rollouts; the next one has this number."""
    truncated: int = 0

    def add(self, rollout: Rollout) -> None:
        self.drawn = rollout.index + 1
        self.truncated += rollout.truncated
        if not math.isnan(rollout.outcome):
            self.trials += 1
            self.successes += int(rollout.outcome)


Group = tuple[str, Tally, dict[str | None, tuple[int, int]]]


def is_store(folder: str | Path) -> bool:
    """Whether a folder holds rollouts."""
    return (Path(folder) / ROLLOUTS).exists() or bool(list_sealed(Path(folder)))


def read_rollouts(folder: str | Path, torn: list[int] | None = None) -> Iterator[Rollout]:
    """Streams a store's rollouts in the order in which they were written.

    A last line that is half-written, now or when a run was killed, is left out.

    Args:
        folder: The store.
        torn: The number of such a line goes here.

    Raises:
        InputError: If a line cannot be read; names file and line.
    """
    folder = Path(folder)
    if not is_store(folder):
        raise InputError(f"{folder}: not a rollout store, {ROLLOUTS} is missing")
    for path in [*list_sealed(folder), folder / ROLLOUTS]:
        yield from _read_sealed(path) if path.suffix == ".parquet" else read_log(path, torn)


def group_rollouts(folder: str | Path, memory: str = "1GB") -> Iterator[Group]:
    """Every prompt of a store with its tally and its final answers, in bounded memory: DuckDB groups, and spills.

    Args:
        folder: The store.
        memory: What DuckDB may take.

    Yields:
        (prompt id, tally, final answer -> how often it was given and how often it was right), ordered by prompt id.
    """
    import duckdb
    import pyarrow as pa

    folder = Path(folder)
    sealed = [path for path in list_sealed(folder) if path.suffix == ".parquet"]
    logs = [path for path in [*list_sealed(folder), folder / ROLLOUTS] if path.suffix == ".jsonl" and path.exists()]
    columns = "prompt_id, answer, outcome, index, finish_reason"
    log = pa.Table.from_pylist([to_record(r) for path in logs for r in read_log(path)], _schema())
    sources = [f"SELECT {columns} FROM log"]
    if sealed:
        sources.append(f"SELECT {columns} FROM read_parquet({[str(path) for path in sealed]})")
    with tempfile.TemporaryDirectory() as spill:
        base = duckdb.connect(config={"memory_limit": memory, "temp_directory": spill, "threads": os.cpu_count() or 1})
        base.execute("SET enable_progress_bar = false")  # it goes to stdout
        base.register("log", log)
        rows = base.execute(
            "SELECT prompt_id, answer, sum(outcome)::BIGINT, count(outcome), max(index) + 1, count(*), "
            f"count(*) FILTER (finish_reason = 'length') FROM ({' UNION ALL '.join(sources)}) "
            "GROUP BY prompt_id, answer ORDER BY prompt_id"
        )
        yield from _by_prompt(rows)
        base.close()


def _by_prompt(rows: Any) -> Iterator[Group]:
    current: str | None = None
    tally: Tally = Tally()
    answers: dict[str | None, tuple[int, int]] = {}
    while batch := rows.fetchmany(10_000):
        for prompt_id, answer, successes, trials, drawn, count, truncated in batch:
            if prompt_id != current:
                if current is not None:
                    yield current, tally, answers
                current, tally, answers = prompt_id, Tally(), {}
            tally.successes += successes or 0
            tally.trials += trials
            tally.drawn = max(tally.drawn, drawn)
            tally.truncated += truncated
            answers[answer] = (count, successes or 0)
    if current is not None:
        yield current, tally, answers


def list_sealed(folder: Path) -> list[Path]:
    """Sealed segments in their order; a log whose sealing was cut short stands for itself."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("rollouts-*.*"), reverse=True):  # .parquet before .jsonl
        match = _SEALED.fullmatch(path.name)
        if match:
            found.setdefault(match[1], path)
    return [found[number] for number in sorted(found)]


def _schema() -> Any:
    import pyarrow as pa

    types = [pa.string(), pa.int32(), pa.string(), pa.float32(), pa.string(), pa.int32(), pa.string()]
    return pa.schema(list(zip(FIELDS, types, strict=True)))


def seal(log: Path) -> None:
    """Turns a full log into Parquet; whatever the instant of a kill, one of the two is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(log.with_suffix(".parquet")) as partial:
        records = [to_record(rollout) for rollout in read_log(log)]
        pq.write_table(pa.Table.from_pylist(records, _schema()), partial, compression="zstd")
    log.unlink()


def _read_sealed(path: Path) -> Iterator[Rollout]:
    for number, record in enumerate(iter_rows(path)):
        yield from_record(record, f"{path}: row {number}")


def read_log(path: Path, torn: list[int] | None = None) -> Iterator[Rollout]:
    """The rollouts of a log, which may be missing; `torn` as in `iter_json_lines`, but never an error."""
    if path.exists():
        for number, record in iter_json_lines(path, [] if torn is None else torn):
            yield from_record(record, f"{path}, line {number}")


def write_lines(file: Any, rollouts: Iterable[Rollout]) -> None:
    file.write("".join(map(to_line, rollouts)).encode())
    file.flush()


def clean(rollout: Rollout) -> Rollout:
    """Without lone surrogates, which no UTF-8 file can hold; tokenizers give none, scripts may."""
    if rollout.completion.isascii() and (rollout.answer or "").isascii():
        return rollout
    text, answer = (
        value and value.encode("utf-8", "replace").decode() for value in (rollout.completion, rollout.answer)
    )
    return dataclasses.replace(rollout, completion=text or "", answer=answer)


def to_line(rollout: Rollout) -> str:
    return json.dumps(to_record(rollout)) + "\n"
