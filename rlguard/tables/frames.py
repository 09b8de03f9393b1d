"""Tables in memory: frames of pandas and Polars, Arrow, `datasets`, dicts; and results as a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from rlguard.tables.columns import check_distinct
from rlguard.tables.read import iter_rows
from rlguard.types import InputError

Data = Any
"""A path or hub name (`iter_rows`), a frame of pandas or Polars, an Arrow table, a data set, or rows as dicts."""
SHOWN = 20
"""Rows of a result that a notebook shows."""


def iter_data(data: Data, torn: list[int] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a table, wherever it is; what is missing in a pandas frame is None.

    Args:
        data: The table.
        torn: As in `iter_rows`.

    Raises:
        InputError: If it holds no rows, or cannot be read.
    """
    if isinstance(data, str | Path):
        yield from iter_rows(data, torn)
        return
    kind = _library(data)
    if kind in ("pandas", "pyarrow"):
        check_distinct(list(getattr(data, "column_names", getattr(data, "columns", ()))), f"the {kind} table")
    if kind == "pandas" and hasattr(data, "columns"):
        data = data.astype(object).where(data.notna(), None).to_dict("records")
    elif kind == "polars":
        data = data.lazy().collect().to_dicts()
    elif kind == "pyarrow":
        data = data.to_pylist()
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        of = f" of {', '.join(map(repr, data))}: take one of its parts" if isinstance(data, Mapping) else ""
        raise InputError(f"expected a path, a frame, a data set or rows as dicts, got {type(data).__name__}{of:.200}")
    number = -1
    for number, row in enumerate(data):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number}: expected a row as a dict, got {row!r:.60}")
        yield {str(name): _to_lists(value) for name, value in row.items()}
    if number < 0:
        raise InputError("the data set is empty")


def _to_lists(value: Any, inner: bool = False) -> Any:
    """Lists for tuples and arrays, numbers for scalars; inner arrays of numbers stay as they are: they are pictures."""
    inner_list = str(getattr(value, "dtype", "")) == "object" or getattr(value, "shape", None) == ()
    if hasattr(value, "tolist") and (not inner or inner_list):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [each if isinstance(each, str | int | float) else _to_lists(each, True) for each in value]
    return {name: _to_lists(each, True) for name, each in value.items()} if isinstance(value, dict) else value


def rows_like(data: Data, rows: list[dict[str, Any]]) -> Any:
    """Rows in the form in which the data came: a frame for a frame, else the list of dicts."""
    kind = _library(data)
    if kind == "pandas":
        return import_module(kind).DataFrame(rows)
    if kind == "polars":
        return import_module(kind).DataFrame(rows, infer_schema_length=None)
    if kind == "datasets":
        return import_module(kind).Dataset.from_list(rows)
    return import_module(kind).Table.from_pylist(rows) if kind == "pyarrow" else rows


def _library(data: Any) -> str:
    return "" if isinstance(data, str | Path) else type(data).__module__.partition(".")[0]


class Shown:
    """What results offer in Python and in a notebook, from their `records`."""

    def records(self) -> Iterable[Mapping[str, Any]]:
        """One dict per row."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """The records as a pandas frame.

        Raises:
            InputError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("to_pandas needs: pip install pandas") from error
        return pandas.DataFrame(list(self.records()))

    def _repr_html_(self) -> str:
        """The result in a line, and its first records as a table."""
        rows = [row for row, _ in zip(self.records(), range(SHOWN), strict=False)]
        return f"<p>{escape(repr(self))}</p>{_to_html(rows)}"


def _to_html(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    lines = [["th", *rows[0]], *(["td", *(_write(value) for value in row.values())] for row in rows)]
    cells = ("".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in line) for tag, *line in lines)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def _write(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value!s:.80}"
