"""Rows and objects from files; a line cut off in writing is left out and said. Nothing here knows about HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlguard.tables.read import iter_rows
from rlguard.types import InputError, prompt_text

Row = dict[str, Any]


def read_table(path: Path, where: str, notes: list[str], required: Sequence[str] = ()) -> list[Row]:
    """Reads a table, which may be empty, and checks that the columns needed are there.

    Args:
        path: What `tables.iter_rows` reads.
        where: Its name for the reader of the page.
        notes: What such a reader should know is added here.
        required: Columns without which it is of no use.

    Raises:
        InputError: If it cannot be read, or a column is missing in a row; names file and row.
    """
    torn: list[int] = []
    rows = list(iter_rows(path, torn, allow_empty=True))
    notes += [f"{where}: the last line ({number}) is half-written and was left out." for number in torn]
    for number, row in enumerate(rows):
        for name in required:
            if name not in row:
                raise InputError(f"{path}: row {number}: expected the column {name!r}, found {', '.join(row)}")
    return rows


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
