"""The files of a rollout store: a log of lines, sealed Parquet segments, and how both are read in bounded memory."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlguard.rollouts.record import FIELDS, as_record, from_record
from rlguard.tables.files import iter_json_lines, replacing
from rlguard.tables.read import iter_rows
from rlguard.types import InputError, Rollout

if TYPE_CHECKING:
    import pyarrow as pa

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


_PARQUET = "read_parquet(?, filename = true, file_row_number = true)"
_ROWS = """
    SELECT prompt_id, index, {{'log': {log}, 'file': filename, 'row': {row}, 'answer': answer, 'outcome': outcome,
        'reason': finish_reason}} AS one
    FROM {source}"""
_GROUP = """
    SELECT prompt_id, one.answer, sum(one.outcome)::BIGINT, count(one.outcome), max(index) + 1, count(*),
        count(*) FILTER (one.reason = 'length')
    FROM (SELECT prompt_id, index, min(one) AS one FROM ({}) GROUP BY prompt_id, index)
    GROUP BY prompt_id, one.answer ORDER BY prompt_id"""
"""A rollout that stands there twice counts once: `min` takes the one that was written first."""

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
        InputError: If a line or a segment cannot be read; names file and line.
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
        (prompt id, tally, final answer -> how often it was given and how often it was right), ordered by prompt id. A
        rollout that is there twice counts once.

    Raises:
        InputError: As `read_rollouts`.
    """
    import duckdb

    files = [*list_sealed(Path(folder)), Path(folder) / ROLLOUTS]
    sealed = [str(path) for path in files if path.suffix == ".parquet"]
    logs = [as_record(rollout) for path in files if path.suffix == ".jsonl" for rollout in read_log(path)]
    sources = [_ROWS.format(log=True, row="row", source="(SELECT '' AS filename, * FROM log)")]
    if sealed:
        sources.append(_ROWS.format(log=False, row="file_row_number", source=_PARQUET))
    limits: dict[str, Any] = {"memory_limit": memory, "threads": os.cpu_count() or 1}
    with tempfile.TemporaryDirectory() as spill, duckdb.connect(config=limits | {"temp_directory": spill}) as base:
        base.execute("SET enable_progress_bar = false")  # it goes to stdout
        log = _to_table(logs, Path(folder) / ROLLOUTS)
        base.register("log", log.append_column("row", [list(range(len(log)))]))
        try:
            yield from _by_prompt(base.execute(_GROUP.format(" UNION ALL ".join(sources)), [sealed] if sealed else []))
        except duckdb.Error as error:
            for path in sealed:  # which one is it?
                deque(_read_sealed(Path(path)), maxlen=0)
            raise InputError(f"{folder}: its segments cannot be read ({error})") from error
        except RuntimeError as error:
            if "interrupted" in str(error):  # by a signal, of which DuckDB makes this
                raise KeyboardInterrupt from error
            raise


def _by_prompt(rows: Any) -> Iterator[Group]:
    batches = iter(lambda: rows.fetchmany(10_000), [])
    for prompt_id, group in groupby(chain.from_iterable(batches), itemgetter(0)):
        tally, answers = Tally(), {}
        for _, answer, successes, trials, drawn, count, truncated in group:
            tally.successes += successes or 0
            tally.trials += trials
            tally.drawn = max(tally.drawn, drawn)
            tally.truncated += truncated
            answers[answer] = count, successes or 0
        yield prompt_id, tally, answers


def list_sealed(folder: Path) -> list[Path]:
    """Sealed segments in their order; a log whose sealing was cut short stands for itself."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("rollouts-*.*"), reverse=True):  # .parquet before .jsonl
        match = _SEALED.fullmatch(path.name)
        if match:
            found.setdefault(match[1], path)
    return [found[number] for number in sorted(found)]


def _to_table(records: list[dict[str, Any]], source: Path) -> pa.Table:
    import pyarrow as pa

    types = [pa.string(), pa.int32(), pa.string(), pa.float32(), pa.string(), pa.int32(), pa.string()]
    try:
        return pa.Table.from_pylist(records, pa.schema(list(zip(FIELDS, types, strict=True))))
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise InputError(f"{source}: a number or text that no rollout has ({error})") from error


def seal(log: Path) -> None:
    """Turns a full log into Parquet; whatever the instant of a kill, one of the two is whole."""
    import pyarrow.parquet as pq

    with replacing(log.with_suffix(".parquet")) as partial:
        table = _to_table([as_record(rollout) for rollout in read_log(log)], log)
        pq.write_table(table, partial, compression="zstd")
    log.unlink()


def _read_sealed(path: Path) -> Iterator[Rollout]:
    """The rollouts of a segment; the error for a damaged one says how to go on without it."""
    try:
        for number, record in enumerate(iter_rows(path)):
            yield from_record(record, f"{path}: row {number}")
    except (InputError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); move that file away to go on without its rollouts") from error


def read_log(path: Path, torn: list[int] | None = None) -> Iterator[Rollout]:
    """The rollouts of a log, which may be missing; `torn` as in `iter_json_lines`, but never an error."""
    if path.exists():
        for number, record in iter_json_lines(path, [] if torn is None else torn):
            if "prompt_id" not in record:
                raise InputError(
                    f"{path}, line {number}: expected the field 'prompt_id', found {', '.join(record)}; a folder's "
                    f"{ROLLOUTS} is taken for what `rlguard estimate` writes: name a table of your own otherwise"
                )
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
    return json.dumps(as_record(rollout)) + "\n"
