"""Writes tables a row at a time, whole or not at all: JSONL, CSV, Parquet, a `datasets` folder."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rlguard.tables.arrow import ArrowSink
from rlguard.tables.files import name_partial, put_in_place, remove, writing
from rlguard.tables.read import FORMATS
from rlguard.types import InputError

_ENDING = re.compile(r"\.[A-Za-z]{1,5}")
"""Of a file's name; `qwen2.5-7b` has none."""


def write_rows(rows: Iterable[dict[str, Any]], path: str | Path) -> None:
    """Writes a table in the format of its ending (`RowWriter`), whole or not at all.

    Raises:
        InputError: If the rows do not fit the format.
    """
    with RowWriter(path) as writer:
        for row in rows:
            writer.write(row)


class RowWriter:
    """Writes a table row by row, whole or not at all: the file appears when the block ends without an error.

    The ending of the path is the format: .jsonl, .csv or .parquet; anything else is a folder that
    `datasets.load_from_disk` reads. Parquet and folders get one schema that fits all rows (nulls, ints and floats,
    struct fields that appear late): batches are spooled beside the path and rewritten at the end.

    >>> import tempfile
    >>> from rlguard.tables.read import read_rows
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RowWriter(f"{folder}/a.parquet") as writer:
    ...         writer.write({"level": None})
    ...         writer.write({"level": 2.5})
    ...     read_rows(f"{folder}/a.parquet")
    [{'level': None}, {'level': 2.5}]
    """

    def __init__(self, path: str | Path, types: Mapping[str, Any] | None = None) -> None:
        """Nothing is written yet.

        Args:
            path: What to write; an older file or data set of this name is replaced at the end.
            types: Arrow types of columns that are known, for Parquet and folders; the others are inferred.

        Raises:
            InputError: If the ending is that of another kind of file.
        """
        self.path = Path(path)
        if _ENDING.fullmatch(self.path.suffix) and self.path.suffix not in FORMATS and not self.path.is_dir():
            raise InputError(
                f"{path}: expected a name ending in {', '.join(FORMATS)}, or one without an ending: a folder"
            )
        self.rows = 0
        self._types = dict(types or {})
        self._partial = name_partial(self.path)
        self._whole: Path | None = None

    def __enter__(self) -> RowWriter:
        if self.path.is_dir() and (self.path.suffix in FORMATS or not _is_replaceable(self.path)):
            raise InputError(f"{self.path}: expected a new name or an old table, got a folder of other things")
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove(self._partial)
            if self.path.suffix == ".parquet" or self.path.suffix not in FORMATS:
                self._sink: _TextSink | ArrowSink = ArrowSink(self.path, self._partial, self._types)
            else:
                self._sink = _TextSink(self.path, self._partial)
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row.

        Raises:
            InputError: If the row does not fit the rows before it; names row and column. Parquet and folders notice
                it up to a batch later, or when the block ends.
        """
        with writing(self.path):
            self._sink.write(row)
        self.rows += 1

    def finish(self) -> None:
        """Writes the whole table beside its place, into which the end of the block then only moves it.

        Raises:
            InputError: If the rows do not fit the format.
        """
        with writing(self.path):
            self._whole = self._sink.finish()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with writing(self.path):
            try:
                if kind is not None:
                    self._sink.close()
                    return
                put_in_place(self._whole or self._sink.finish(), self.path)
            finally:
                remove(self._partial)


def _is_replaceable(folder: Path) -> bool:
    return (folder / "dataset_info.json").exists() or not any(folder.iterdir())


class _TextSink:
    """JSONL and CSV: rows go straight into the file."""

    def __init__(self, path: Path, partial: Path) -> None:
        self._path, self._partial, self._number = path, partial, 0
        halves = "replace" if path.suffix == ".csv" else "strict"  # surrogates, which JSON can escape
        self._file = partial.open("w", newline="", encoding="utf-8", errors=halves)
        self._csv: csv.DictWriter[str] | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        if self._path.suffix != ".csv":
            line = json.dumps(row, ensure_ascii=False, default=str)
            try:
                self._file.write(line + "\n")
            except UnicodeEncodeError:  # half a surrogate pair, which only an escape can hold
                self._file.write(json.dumps(row, default=str) + "\n")
            return
        if self._csv is None:
            self._csv = csv.DictWriter(self._file, fieldnames=list(row))
            self._csv.writeheader()
        late = [name for name in row if name not in self._csv.fieldnames]
        if late:
            raise InputError(f"{self._path}: row {self._number} has columns that row 0 lacks: {', '.join(late)}")
        self._number += 1
        self._csv.writerow({n: json.dumps(v, default=str) if isinstance(v, dict | list) else v for n, v in row.items()})

    def close(self) -> None:
        self._file.close()

    def finish(self) -> Path:
        self._file.close()
        return self._partial
