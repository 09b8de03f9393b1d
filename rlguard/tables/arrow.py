"""Rows into Parquet or a `datasets` folder: spooled in batches, under a schema that only ever widens."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlguard.tables.read import BATCH, import_datasets
from rlguard.types import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_SHARD = "data-00000-of-00001.arrow"
_GROUP, _GROUP_BYTES = 100, 64 << 20  # batches and bytes of a Parquet row group, whichever is reached first


class ArrowSink:
    """Takes rows one at a time; the whole table is written at the end."""

    def __init__(self, path: Path, folder: Path, types: Mapping[str, Any]) -> None:
        import pyarrow as pa

        if path.suffix != ".parquet":
            import_datasets(path)  # before the work, not after it
        folder.mkdir()
        self._path, self._folder, self._types = path, folder, types
        self._spool = folder / "spool"
        self._file = self._spool.open("wb")
        self._schema: pa.Schema = pa.schema([])
        self._rows: list[Mapping[str, Any]] = []
        self._number = 0

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        try:
            table = _to_table(self._rows, self._types)
            schema = pa.unify_schemas([self._schema, table.schema], promote_options="permissive")
            _fit(table, schema)
        except _arrow_errors() as error:
            raise self._explain(error) from error
        self._schema, self._number = schema, self._number + len(self._rows)
        pickle.dump(table, self._file)
        self._rows = []

    def _explain(self, error: Exception) -> InputError:
        """Names the first row and column that do not fit what came before them."""
        import pyarrow as pa

        form = "Parquet" if self._path.suffix == ".parquet" else "data set"
        text = f"{self._path}: the rows do not fit one {form} schema"
        known = {field.name: field.type for field in self._schema}
        for number, row in enumerate(self._rows, self._number):
            for name, value in row.items():
                try:
                    kind = pa.array([value]).type
                except _arrow_errors() as fault:
                    return InputError(f"{text}: row {number}, column {name!r}: {fault}; write .jsonl instead")
                try:
                    known[name] = _unify(known.get(name, pa.null()), kind)
                except _arrow_errors():
                    return InputError(
                        f"{text}: row {number}, column {name!r}: expected {known[name]} as in the rows before, got "
                        f"{kind} ({value!r:.60}); write .jsonl instead"
                    )
        return InputError(f"{text} ({error}); write .jsonl instead")

    def close(self) -> None:
        self._file.close()

    def finish(self) -> Path:
        self._flush()
        self.close()
        if not self._number:
            import pyarrow as pa

            self._schema = pa.schema(self._types)
        whole = self._folder / "whole"
        try:
            (self._write_parquet if self._path.suffix == ".parquet" else self._write_dataset)(whole)
        except _arrow_errors() as error:
            raise self._explain(error) from error
        return whole

    def _tables(self) -> Iterator[pa.Table]:
        """The spooled rows under the last schema, in pieces fit for a row group."""
        import pyarrow as pa

        batches: list[pa.Table] = []
        size = 0
        with self._spool.open("rb") as file:
            while file.peek(1):
                batches.append(_fit(pickle.load(file), self._schema))
                size += batches[-1].nbytes
                if len(batches) == _GROUP or size > _GROUP_BYTES:
                    yield pa.concat_tables(batches)
                    batches, size = [], 0
        if batches or not self._number:
            yield pa.concat_tables(batches) if batches else self._schema.empty_table()

    def _write_parquet(self, whole: Path) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(whole, self._schema) as file:
            for table in self._tables():
                file.write_table(table)

    def _write_dataset(self, whole: Path) -> None:
        import pyarrow as pa

        datasets = import_datasets(self._path)
        quiet = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            datasets.Dataset(self._schema.empty_table()).save_to_disk(str(whole))  # all but the rows
        finally:
            if not quiet:
                datasets.enable_progress_bars()
        with pa.ipc.new_stream(whole / _SHARD, self._schema) as file:
            for table in self._tables():
                file.write_table(table)
        state = json.loads((whole / "state.json").read_text())
        (whole / "state.json").write_text(json.dumps(state | {"_data_files": [{"filename": _SHARD}]}, indent=2))


def _arrow_errors() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError)


def _unify(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    schemas = [pa.schema([("", one)]), pa.schema([("", other)])]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _to_table(rows: list[Mapping[str, Any]], types: Mapping[str, Any]) -> pa.Table:
    """A column each for every name in any row, of its known type."""
    import pyarrow as pa

    names = {name: None for row in rows for name in row}
    return pa.table({name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names})


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    if table.schema == schema:
        return table
    have = set(table.column_names)
    columns = []
    for field in schema:
        try:
            nulls = field.name not in have
            columns.append(pa.nulls(len(table), field.type) if nulls else table[field.name].cast(field.type))
        except pa.ArrowException as error:
            raise pa.ArrowInvalid(f"column {field.name!r}: {error}") from error
    return pa.table(columns, schema=schema)
