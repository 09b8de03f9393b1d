"""The table of pass rates: written in batches, read back as a mapping that holds columns, not a million objects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlguard.tables.frames import Shown
from rlguard.tables.read import iter_rows
from rlguard.tables.write import RowWriter
from rlguard.types import InputError, PassRate, Problem, count_reasons

if TYPE_CHECKING:
    import pyarrow as pa

RATES = "rates.parquet"
REQUIRED = ("prompt_id", "successes", "trials", "low", "high", "band")
_FIELDS = {field.name: field for field in dataclasses.fields(PassRate)}


class PassRates(list[PassRate], Shown):
    """Pass rates, one per problem."""

    def __repr__(self) -> str:
        bands = ", ".join(f"{band} {count}" for band, count in count_reasons(rate.band for rate in self).items())
        return f"PassRates({len(self)} prompts: {bands})"

    def records(self) -> Iterator[dict[str, Any]]:
        """One row per pass rate."""
        return map(dataclasses.asdict, self)


def write_rates(rates: Iterable[PassRate], problems: Iterable[Problem], path: str | Path) -> None:
    """Writes pass rates, one row per problem, with its prompt's text and gold answer; NaN becomes null.

    Args:
        rates: Pass rates in the order of the problems.
        problems: The problems, as many.
        path: What to write, in any format of `RowWriter`.

    Raises:
        InputError: If a rate stands beside another problem; names both ids.
        ValueError: If there are more of one than of the other.
    """
    import pyarrow as pa

    types = _types() | {"prompt": pa.string(), "answer": pa.string(), "pass_rate": pa.float64()}
    with RowWriter(path, types) as writer:
        for number, (rate, problem) in enumerate(zip(rates, problems, strict=True)):
            if rate.prompt_id != problem.id:
                raise InputError(f"row {number}: expected the rate of {problem.id}, got that of {rate.prompt_id}")
            row = {name: getattr(rate, name) for name in _FIELDS}
            row |= {"prompt": problem.text, "answer": str(problem.answer), "pass_rate": rate.rate}
            writer.write({name: _clean(value) for name, value in row.items()})


def read_rates(source: str | Path) -> RateTable:
    """Pass rates by prompt id, from a store folder or a file of rates.

    Columns that are newer than the file take their defaults.

    Raises:
        InputError: If there are none, a column in `REQUIRED` is missing or empty, or successes are more than trials.
    """
    path = Path(source)
    path = path / RATES if path.is_dir() else path
    if not path.exists():
        raise InputError(f"{path}: no pass rates here; make them with `rlguard estimate`")
    rates = RateTable(_read_table(path), str(path))
    successes, trials = (rates._columns[name].to_numpy() for name in ("successes", "trials"))
    if (wrong := (successes < 0) | (successes > trials)).any():
        row = int(wrong.argmax())
        raise InputError(f"{path}: row {row}: expected at most {trials[row]} successes, got {successes[row]}")
    return rates


class RateTable(Mapping[str, PassRate], Shown):
    """Pass rates by prompt id, a `PassRate` made at each look-up; of two rows with one id the later counts.

    >>> import pyarrow as pa
    >>> row = {"prompt_id": "a", "successes": 8, "trials": 16, "low": 0.25, "high": 0.75, "band": "learnable"}
    >>> table = RateTable(pa.Table.from_pylist([row]))
    >>> table["a"].rate, len(table), table == {"a": PassRate("a", 8, 16, 0.25, 0.75, "learnable")}
    (0.5, 1, True)
    """

    def __init__(self, table: pa.Table, name: str = "rates") -> None:
        """Takes a table with the columns of `PassRate`, or at least those in `REQUIRED`.

        Args:
            table: One row per problem.
            name: Where it comes from; errors name it.

        Raises:
            InputError: If a required column is missing, or a required value; names row and column.
        """
        missing = [column for column in REQUIRED if column not in table.column_names]
        if missing:
            raise InputError(f"{name}: row 0: columns {', '.join(missing)} are missing; not rates by rlguard")
        self._columns = {field: _check(table[field], field, name) for field in _FIELDS if field in table.column_names}
        self._rows = {prompt_id: row for row, prompt_id in enumerate(self._columns.pop("prompt_id").to_pylist())}

    def __getitem__(self, prompt_id: str) -> PassRate:
        row = self._rows[prompt_id]
        return PassRate(prompt_id, **{name: _fill(name, column[row].as_py()) for name, column in self._columns.items()})

    def __contains__(self, prompt_id: object) -> bool:
        return prompt_id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.keys() == other.keys() and all(_same(rate, other[key]) for key, rate in self.items())

    def __repr__(self) -> str:
        return f"RateTable({len(self)} pass rates)"

    def records(self) -> Iterator[dict[str, Any]]:
        """One row per pass rate."""
        return map(dataclasses.asdict, self.values())


def _clean(value: Any) -> Any:
    """NaN becomes null, and half a surrogate pair, which no Arrow string holds, a question mark."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    return None if value != value else value


def _same(one: Any, other: Any) -> bool:
    """Equal field by field, where NaN (unknown) equals NaN."""
    pairs = ((getattr(one, name), getattr(other, name, None)) for name in _FIELDS)
    return all(a == b or (a != a and b != b) for a, b in pairs)


def _types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    kinds = {"str": pa.string(), "str | None": pa.string(), "int": pa.int64(), "float": pa.float64()}
    return {name: kinds[str(field.type)] for name, field in _FIELDS.items()}


def _read_table(path: Path) -> pa.Table:
    """Of a Parquet file only the columns of `PassRate`: those of prompts are larger than all others."""
    if path.suffix != ".parquet":
        rows = list(iter_rows(path))
        if path.suffix == ".csv":  # where an empty cell is all there is for null
            rows = [{name: value or None for name, value in row.items()} for row in rows]
        return _build(rows, str(path))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=[name for name in pq.read_schema(path).names if name in _FIELDS])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error


def _build(rows: list[dict[str, Any]], name: str) -> pa.Table:
    """A table from rows; numbers may be text, as CSV has them."""
    import pyarrow as pa

    columns = {}
    for column, kind in _types().items():
        if not any(column in row for row in rows):
            continue
        values = [row.get(column) for row in rows]
        try:
            is_text = any(isinstance(value, str) for value in values)
            columns[column] = (pa.array(values) if is_text else pa.array(values, kind)).cast(kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{name}: expected {kind} in {column!r}: {error}") from error
    return pa.table(columns)


def _check(column: pa.ChunkedArray, name: str, source: str) -> pa.Array:
    """A column in its type, flat, as look-ups want it."""
    import pyarrow as pa

    kind = _types()[name]
    if column.null_count and name in REQUIRED and kind != pa.float64():
        row = column.is_null().to_pylist().index(True)
        raise InputError(f"{source}: row {row}: expected a value in column {name!r}, got none")
    try:
        return column.cast(kind).combine_chunks()
    except pa.ArrowException as error:
        raise InputError(f"{source}: expected {kind} in column {name!r}, got {column.type}: {error}") from error


def _fill(name: str, value: Any) -> Any:
    """A value of a column; the field's default for null."""
    if value is None:
        default = _FIELDS[name].default
        return math.nan if default is dataclasses.MISSING else default
    return value if value == value else math.nan  # the NaN that records compare equal by
