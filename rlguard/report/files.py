"""Rows and objects from files; a line cut off in writing is left out and said. Nothing here knows about HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlguard.tables.read import iter_rows
from rlguard.types import InputError, prompt_text

Row = dict[str, Any]


def read_rows(path: Path, where: str, notes: list[str], required: Sequence[str] = ()) -> list[Row]:
    """Reads a table, which may be empty, and checks that the columns needed are there.

    Args:
        path: JSONL, Parquet, CSV or a saved data set folder.
        where: Its name for the reader of the page.
        notes: What such a reader should know is added here.
        required: Columns without which it is of no use.

    Raises:
        InputError: If it cannot be read, or a column is missing; names file and line.
    """
    if path.suffix == ".jsonl":
        return read_jsonl(path, where, notes, required)
    if path.suffix == ".parquet":
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: expected a Parquet file, could not read it ({error})") from error
        rows, columns = table.to_pylist(), table.column_names
    else:
        rows = list(iter_rows(path))
        columns = list(rows[0])
    missing = [name for name in required if name not in columns]
    if missing and rows:  # a file without rows may have no columns either
        raise InputError(f"{path}: expected the column {missing[0]!r}, found {', '.join(columns)}")
    return rows


def read_jsonl(path: Path, where: str, notes: list[str], required: Sequence[str] = ()) -> list[Row]:
    """Reads one JSON object a line, as `read_rows` does. Lines end at bytes: a raw U+2028 in a completion is no end."""
    rows: list[Row] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    notes.append(f"{where}: the last line ({number}) is half-written and was left out.")
                    return rows
                shown = line[:60].decode("utf-8", "replace").rstrip()
                raise InputError(f"{path}, line {number}: expected one JSON object, got {shown!r} ({error})") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: expected one JSON object, got {type(row).__name__}")
            for name in required:
                if name not in row:
                    raise InputError(f"{path}, line {number}: expected the field {name!r}, found {', '.join(row)}")
            rows.append(row)
    return rows


def read_object(path: Path) -> Row:
    """Reads a JSON object; a file that is not there is an empty one."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON object ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def finite(value: Any) -> float | None:
    """A finite number as float; None for anything else (JSON has no NaN, and text is no number)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def show_prompt(prompt: Any) -> str:
    """The words of a prompt column, whatever its type."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    try:
        return prompt_text(prompt)
    except (InputError, TypeError, AttributeError):
        return str(prompt)
