"""Reads and writes the tables that users have: JSONL, CSV, Parquet, a saved `datasets` folder, a hub name."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rlguard.types import InputError, Problem, make_prompt_id

FORMATS = (".jsonl", ".json", ".csv", ".parquet")


def read_rows(source: str | Path) -> list[dict[str, Any]]:
    """Reads a table as one dict a row, columns and rows in their order.

    Args:
        source: A .jsonl, .csv or .parquet file, a folder written by `Dataset.save_to_disk`, or a hub name (its
            `train` split).

    Raises:
        InputError: If there is no such table, it is empty, or a row cannot be read; names file and line.
    """
    path = Path(source)
    if path.is_dir():
        rows = _read_dataset(path)
    elif path.suffix in FORMATS:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        reader = {".csv": _read_csv, ".parquet": _read_parquet}.get(path.suffix, _read_jsonl)
        rows = reader(path)
    elif path.exists():
        raise InputError(f"{path}: expected a file ending in {', '.join(FORMATS)}, or a saved data set folder")
    else:
        rows = _read_dataset(str(source))
    if not rows:
        raise InputError(f"{source}: the data set is empty")
    return rows


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):  # a JSON array is what many scripts write under this name
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
        numbered = list(enumerate(rows, 1))
    else:
        numbered = []
        for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON strings may hold U+2028
            if not line.strip():
                continue
            try:
                numbered.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: expected one JSON object a line: {error.msg}") from error
    for number, row in numbered:
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
    return [row for _, row in numbered]


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}:{reader.line_num}: expected {len(reader.fieldnames or [])} cells")
            rows.append(row)
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pylist()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error


def _read_dataset(source: str | Path) -> list[dict[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{source}: reading a data set folder or hub name needs: pip install datasets") from error
    try:
        if isinstance(source, Path):
            data = datasets.load_from_disk(str(source))
            data = data["train"] if isinstance(data, datasets.DatasetDict) else data
        else:
            data = datasets.load_dataset(source, split="train")
    except Exception as error:  # datasets raises many kinds here, none of them ours
        raise InputError(
            f"{source}: neither a file, nor a saved data set, nor a hub name that loads: {error}"
        ) from error
    return data.to_list()


def write_rows(rows: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Writes a table in the format of its ending (.jsonl, .csv, .parquet; anything else: a data set folder), whole or
    not at all.

    Raises:
        InputError: If the rows do not fit the format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in FORMATS:
        import datasets

        datasets.Dataset.from_list(list(rows)).save_to_disk(str(path))
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        writer = {".csv": _write_csv, ".parquet": _write_parquet}.get(path.suffix, _write_jsonl)
        writer(rows, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write_jsonl(rows: Iterable[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def _write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.Table.from_pylist(list(rows))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path}: the rows do not fit one Parquet schema ({error}); write .jsonl instead") from error
    pq.write_table(table, path)


def read_problems(
    rows: Sequence[dict[str, Any]], prompt_column: str = "prompt", answer_column: str = "answer"
) -> list[Problem]:
    """Turns data rows into problems, one a row and in order; ids are content hashes, so duplicates share theirs.

    Raises:
        InputError: If a column is missing (names those there are), or a prompt is neither text nor chat messages, or
            an answer is missing (names the row).
    """
    if not rows:
        raise InputError("the data set is empty")
    for column in (prompt_column, answer_column):
        if column not in rows[0]:
            raise InputError(
                f"column {column!r} is missing; the data set has: {', '.join(map(repr, rows[0]))}. "
                "Choose with --prompt-column and --answer-column"
            )
    problems = []
    for number, row in enumerate(rows):
        prompt: Any = row.get(prompt_column)
        answer = row.get(answer_column)
        is_chat = isinstance(prompt, list) and prompt and all(isinstance(m, dict) and "role" in m for m in prompt)
        if not (is_chat or (isinstance(prompt, str) and prompt.strip())):
            raise InputError(f"row {number}: {prompt_column!r} must be text or chat messages, got {prompt!r:.80}")
        if answer is None or not str(answer).strip():
            raise InputError(f"row {number}: {answer_column!r} must be a gold answer, got {answer!r}")
        problems.append(Problem(make_prompt_id(prompt, answer), prompt, answer, row, number))
    return problems
