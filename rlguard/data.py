"""Reads and writes the tables that users have: JSONL, CSV, Parquet, a saved `datasets` folder, a hub name.

Both directions stream: a table of any length passes through in batches of `BATCH` rows.
"""

from __future__ import annotations

import codecs
import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rlguard.types import InputError, Problem, make_prompt_id

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
BATCH = 512
_SHARD = "data-00000-of-00001.arrow"
_GROUP, _GROUP_BYTES = 100, 64 << 20  # batches and bytes of a Parquet row group, whichever is reached first
_ABSENT = object()


def read_rows(source: str | Path) -> list[dict[str, Any]]:
    """Reads a whole table; `iter_rows` as a list, with its errors."""
    return list(iter_rows(source))


def iter_rows(source: str | Path) -> Iterator[dict[str, Any]]:
    """Streams a table as one dict a row, columns and rows in their order.

    Args:
        source: A .jsonl, .csv or .parquet file, a folder written by `Dataset.save_to_disk`, or a hub name (its
            `train` split). Only a JSON array under the name of JSONL is held in memory whole.

    Raises:
        InputError: If there is no such table, it is empty, or a row cannot be read; names file and line. Like any
            generator it raises when rows are drawn, not when it is called.
    """
    path = Path(source)
    if path.is_dir():
        rows = _iter_dataset(path)
    elif path.suffix in FORMATS:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        rows = {".csv": _iter_csv, ".parquet": _iter_parquet}.get(path.suffix, _iter_jsonl)(path)
    elif path.exists():
        raise InputError(f"{path}: expected a file ending in {', '.join(FORMATS)}, or a saved data set folder")
    else:
        rows = _iter_dataset(str(source))
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise InputError(f"{source}: the data set is empty")


def read_schema(source: str | Path) -> pa.Schema | None:
    """The Arrow schema of a Parquet file, data set folder or hub name; None for text formats, which have no types."""
    path = Path(source)
    if path.suffix == ".parquet" and not path.is_dir():
        import pyarrow.parquet as pq

        return pq.read_schema(path).remove_metadata()
    if path.suffix in FORMATS and not path.is_dir():
        return None
    return _open_dataset(path if path.is_dir() else str(source)).features.arrow_schema.remove_metadata()


def _iter_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:  # in bytes only \n ends a line: JSON strings may hold U+2028
        started = False
        for number, line in enumerate(file, 1):
            line = line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip()
            if line.startswith(b"[") and not started:
                break
            if line:
                started = True
                yield _check_object(_parse(line, f"{path}:{number}"), f"{path}:{number}")
        else:
            return
    yield from _iter_array(path)


def _iter_array(path: Path) -> Iterator[dict[str, Any]]:
    """A JSON array is what many scripts write under the name of JSONL."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    for number, row in enumerate(rows, 1):
        yield _check_object(row, f"{path}:{number}")


def _parse(line: bytes, where: str) -> Any:
    try:
        return json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: expected one JSON object a line: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 text: {error}") from error


def _check_object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(row).__name__}")
    return row


def _iter_csv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)  # test cases and solutions are longer than csv's 128 KiB
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path}:{reader.line_num}: expected {len(reader.fieldnames or [])} cells")
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}:{reader.line_num + 1}: not a line of CSV in UTF-8: {error}") from error


def _iter_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error


def _import_datasets(source: str | Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{source}: a data set folder or hub name needs: pip install datasets") from error
    return datasets


def _open_dataset(source: str | Path) -> Any:
    datasets = _import_datasets(source)
    try:
        if isinstance(source, Path):
            data = datasets.load_from_disk(str(source))
            return data["train"] if isinstance(data, datasets.DatasetDict) else data
        return datasets.load_dataset(source, split="train")
    except Exception as error:  # datasets raises many kinds here, none of them ours
        raise InputError(
            f"{source}: neither a file, nor a saved data set, nor a hub name that loads: {error}"
        ) from error


def _iter_dataset(source: str | Path) -> Iterator[dict[str, Any]]:
    for batch in _open_dataset(source).with_format("arrow").iter(BATCH):
        yield from batch.to_pylist()


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
        """
        self.path = Path(path)
        self.rows = 0
        self._types = dict(types or {})
        self._partial = self.path.with_name(f".{self.path.name}.partial")

    def __enter__(self) -> RowWriter:
        if self.path.is_dir() and (self.path.suffix in FORMATS or not _is_replaceable(self.path)):
            raise InputError(f"{self.path}: expected a new name or an old table, got a folder of other things")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _remove(self._partial)
        if self.path.suffix in (".parquet", "") or self.path.suffix not in FORMATS:
            self._sink: _TextSink | _ArrowSink = _ArrowSink(self.path, self._partial, self._types)
        else:
            self._sink = _TextSink(self.path, self._partial)
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row.

        Raises:
            InputError: If the row does not fit the rows before it; names row and column. Parquet and folders notice
                it up to a batch later, or when the block ends.
        """
        self._sink.write(row)
        self.rows += 1

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is not None:
                self._sink.close()
                return
            whole = self._sink.finish()
            if self.path.is_dir():
                shutil.rmtree(self.path)
            os.replace(whole, self.path)
        finally:
            _remove(self._partial)


def _is_replaceable(folder: Path) -> bool:
    return (folder / "dataset_info.json").exists() or not any(folder.iterdir())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class _TextSink:
    """JSONL and CSV: rows go straight into the file."""

    def __init__(self, path: Path, partial: Path) -> None:
        self._path, self._partial, self._number = path, partial, 0
        self._file = partial.open("w", newline="", encoding="utf-8")
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


class _ArrowSink:
    """Parquet and data set folders: batches are spooled under the schema so far, which only ever widens."""

    def __init__(self, path: Path, folder: Path, types: Mapping[str, Any]) -> None:
        import pyarrow as pa

        if path.suffix != ".parquet":
            _import_datasets(path)  # before the work, not after it
        folder.mkdir()
        self._path, self._folder, self._types = path, folder, types
        self._schema: pa.Schema = pa.schema([])
        self._rows: list[Mapping[str, Any]] = []
        self._number = 0
        self._segments: list[Path] = []
        self._file: Any = None

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
            table = _fit(table, schema)
        except _arrow_errors() as error:
            raise self._explain(error) from error
        if self._file is None or schema != self._schema:
            self.close()
            self._segments.append(self._folder / f"{len(self._segments)}.arrow")
            self._file = pa.ipc.new_stream(self._segments[-1], schema)
        self._file.write_table(table)
        self._schema, self._number, self._rows = schema, self._number + len(self._rows), []

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
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self) -> Path:
        import pyarrow as pa

        self._flush()
        self.close()
        if not self._segments:
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
        for segment in self._segments:
            with pa.ipc.open_stream(segment) as reader:
                for batch in reader:
                    batches.append(_fit(pa.Table.from_batches([batch]), self._schema))
                    size += batch.nbytes
                    if len(batches) == _GROUP or size > _GROUP_BYTES:
                        yield pa.concat_tables(batches)
                        batches, size = [], 0
        if batches or not self._segments:
            yield pa.concat_tables(batches) if batches else self._schema.empty_table()

    def _write_parquet(self, whole: Path) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(whole, self._schema) as file:
            for table in self._tables():
                file.write_table(table)

    def _write_dataset(self, whole: Path) -> None:
        import pyarrow as pa

        datasets = _import_datasets(self._path)
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
    """A column each for every name in any row, of its known type where the values fit it."""
    import pyarrow as pa

    names = {name: None for row in rows for name in row}
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values, types[name]) if name in types else pa.array(values)
        except _arrow_errors():
            kind = pa.null()
            for value in values:  # slow, and only for what pa.array does not mix, such as dates and times
                kind = _unify(kind, pa.array([value]).type)
            columns[name] = pa.array(values, kind)
    return pa.table(columns)


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


def pick(row: Mapping[str, Any], column: str, default: Any = None) -> Any:
    """The value of a column, or of one nested in it: `extra_info.model_difficulty.Qwen2.5-7B`, `prompt.0.content`.

    Names may hold dots themselves: the longest that fits is taken. A struct that is stored as JSON text is read.

    >>> pick({"info": {"rate.7b": 0.5}}, "info.rate.7b"), pick({"info": '{"gold": 4}'}, "info.gold")
    (0.5, 4)
    """
    if column in row:
        return row[column]
    end = column.rfind(".")
    while end > 0:
        inner = row.get(column[:end])
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            try:
                inner = json.loads(inner)
            except json.JSONDecodeError:
                inner = None
        if isinstance(inner, list):
            inner = {str(number): value for number, value in enumerate(inner)}
        if isinstance(inner, Mapping):
            found = pick(inner, column[end + 1 :], _ABSENT)
            if found is not _ABSENT:
                return found
        end = column.rfind(".", 0, end)
    return default


def read_problems(
    rows: Iterable[Mapping[str, Any]], prompt_column: str = "prompt", answer_column: str = "answer"
) -> list[Problem]:
    """`iter_problems` as a list, with its errors."""
    return list(iter_problems(rows, prompt_column, answer_column))


def iter_problems(
    rows: Iterable[Mapping[str, Any]], prompt_column: str = "prompt", answer_column: str = "answer"
) -> Iterator[Problem]:
    """Turns data rows into problems, one a row and in order; ids are content hashes, so duplicates share theirs.

    Args:
        rows: Rows as dicts.
        prompt_column: Column with text or chat messages; `pick` says how to name a nested one.
        answer_column: Column with the gold answer, likewise.

    Raises:
        InputError: If a column is missing (names those there are), or a prompt is neither text nor chat messages, or
            an answer is missing (names the row). Raised when problems are drawn.

    >>> [p.answer for p in iter_problems([{"q": "2+2?", "gold": {"value": 4}}], "q", "gold.value")]
    [4]
    """
    number = -1
    for number, row in enumerate(rows):
        if number == 0:
            _check_columns(row, (prompt_column, answer_column))
        prompt = pick(row, prompt_column)
        answer = pick(row, answer_column)
        is_chat = isinstance(prompt, list) and prompt and all(isinstance(m, dict) and "role" in m for m in prompt)
        if not (is_chat or (isinstance(prompt, str) and prompt.strip())):
            raise InputError(f"row {number}: {prompt_column!r} must be text or chat messages, got {prompt!r:.80}")
        if answer is None or not str(answer).strip():
            raise InputError(f"row {number}: {answer_column!r} must be a gold answer, got {answer!r}")
        yield Problem(make_prompt_id(prompt, answer), prompt, answer, row, number)
    if number < 0:
        raise InputError("the data set is empty")


def _check_columns(row: Mapping[str, Any], columns: Iterable[str]) -> None:
    for column in columns:
        if pick(row, column, _ABSENT) is _ABSENT:
            raise InputError(
                f"column {column!r} is missing; the data set has: {', '.join(map(repr, row))}. "
                "Choose with --prompt-column and --answer-column"
            )
