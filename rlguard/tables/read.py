"""Reads the tables that users have, a row at a time: JSONL, CSV, Parquet, a saved `datasets` folder, a hub name."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlguard.types import InputError, Problem, make_prompt_id

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
BATCH = 512
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


def import_datasets(source: str | Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{source}: a data set folder or hub name needs: pip install datasets") from error
    return datasets


def _open_dataset(source: str | Path) -> Any:
    datasets = import_datasets(source)
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
        InputError: If a column is missing (names those there are), or a prompt is neither text nor chat messages (names
            the row). Raised when problems are drawn. A row without a gold answer is left to `check_gold`.

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
