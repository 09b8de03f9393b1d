"""Reads the tables that users have, a row at a time: JSONL, CSV, Parquet, a saved `datasets` folder, a hub name."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlguard.tables.columns import check_columns, check_distinct, pick, read_text
from rlguard.tables.files import PACKED, iter_json_lines, open_bytes, read_json
from rlguard.tables.hub import check_hub_name
from rlguard.types import InputError, Messages, Problem, make_prompt_id, prompt_text

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
"""What is read and written; .tsv, and text that is packed, is only read."""
BATCH = 512
_CHAT = re.compile(r"\s*\[\s*\{\s*['\"]")
"""How a list of messages begins as text."""


def read_rows(source: str | Path) -> list[dict[str, Any]]:
    """Reads a whole table; `iter_rows` as a list, with its errors."""
    return list(iter_rows(source))


def iter_rows(source: str | Path, torn: list[int] | None = None, allow_empty: bool = False) -> Iterator[dict[str, Any]]:
    """Streams a table as one dict a row, columns and rows in their order.

    Args:
        source: A .jsonl, .csv, .tsv or .parquet file, the texts packed with gzip or zstd or not (.jsonl.gz); a folder
            written by `Dataset.save_to_disk`; or a hub name (its `train` split). Only a JSON array under the name of
            JSONL is held in memory whole.
        torn: For a file that may still be written: `files.iter_json_lines` says what goes here.
        allow_empty: Whether a table without rows is one.

    Raises:
        InputError: If there is no such table, it is empty, or a row cannot be read; names file and line. Like any
            generator it raises when rows are drawn, not when it is called.
    """
    path = Path(source)
    if path.is_dir():
        rows = _iter_dataset(path)
    elif form := find_format(path):
        if not path.exists():
            raise InputError(f"{path}: no such file")
        streams = {".csv": _iter_csv, ".tsv": _iter_csv, ".parquet": _iter_parquet}
        rows = streams.get(form, _iter_jsonl)(path, torn)
    elif path.exists():
        raise InputError(
            f"{path}: expected a file ending in {', '.join((*FORMATS, '.tsv'))}, packed or not "
            f"({', '.join(PACKED)}), or a saved data set folder"
        )
    else:
        check_hub_name(str(source), "dataset")
        rows = _iter_dataset(str(source))
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty and not allow_empty:
        why = f"its only line ({torn[-1]}) is half-written" if torn else "the data set is empty"
        raise InputError(f"{source}: {why}")


def find_format(path: Path) -> str | None:
    """The ending that says how a file is read; None where it is no table.

    >>> find_format(Path("a.jsonl.gz")), find_format(Path("a.NDJSON")), find_format(Path("a.txt"))
    ('.jsonl', '.jsonl', None)
    """
    path = Path(path.name.lower())
    packed = path.suffix in PACKED
    form = path.with_suffix("").suffix if packed else path.suffix
    form = ".jsonl" if form == ".ndjson" else form
    return form if form in (*FORMATS, ".tsv") and not (packed and form == ".parquet") else None


def read_schema(source: str | Path) -> pa.Schema | None:
    """The Arrow schema of a Parquet file, data set folder or hub name; None for text formats, which have no types."""
    path = Path(source)
    if find_format(path) == ".parquet" and not path.is_dir():
        import pyarrow.parquet as pq

        return pq.read_schema(path).remove_metadata()
    if find_format(path) and not path.is_dir():
        return None
    return _open_dataset(path if path.is_dir() else str(source)).features.arrow_schema.remove_metadata()


def _iter_jsonl(path: Path, torn: list[int] | None) -> Iterator[dict[str, Any]]:
    """JSON lines; or what many scripts write under that name: one array of objects, or one object around it."""
    with open_bytes(path) as file:
        first = next((line for line in file if line.strip()), b"").removeprefix(codecs.BOM_UTF8).strip()
    whole = first.startswith(b"[") or (first.startswith(b"{") and find_format(path) == ".json" and not _is_json(first))
    rows = _read_array(path) if whole else (row for _, row in iter_json_lines(path, torn))
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number}: expected a JSON object, got {type(row).__name__}")
        yield from _unfold_table(row, path)


def _unfold_table(row: dict[str, Any], path: Path) -> Iterable[dict[str, Any]]:
    """The rows of a table of W&B, one object with `columns` and `data`; any other row as it is."""
    if any(isinstance(value, dict) and value.get("_type") == "table-file" for value in row.values()):
        raise InputError(f"{path}: holds W&B's reference to a table, not the table: download its .table.json")
    columns, data = row.get("columns"), row.get("data")
    if not (isinstance(columns, list) and isinstance(data, list) and all(isinstance(cells, list) for cells in data)):
        return [row]
    check_distinct(list(map(str, columns)), path)
    if any(len(cells) != len(columns) for cells in data):
        raise InputError(f"{path}: expected {len(columns)} cells in each row of the table's data")
    return [dict(zip(map(str, columns), cells, strict=True)) for cells in data]


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read_array(path: Path) -> list[Any]:
    value = read_json(path, object, "a JSON array")
    if isinstance(value, list):
        return value
    if "columns" in value and "data" in value:  # of W&B
        return [value]
    tables = [name for name, rows in value.items() if isinstance(rows, list)]
    if len(tables) != 1:
        raise InputError(f"{path}: expected a JSON array, or an object with one in it, found {', '.join(value)}")
    rows = value[tables[0]]
    return rows if all(isinstance(row, dict) for row in rows) else [value]  # n completions of one prompt


def _iter_csv(path: Path, torn: list[int] | None) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)  # test cases and solutions are longer than csv's 128 KiB
    last = "\n"

    def draw(file: Iterable[str]) -> Iterator[str]:
        nonlocal last
        for last in file:  # noqa: UP028  (its value is kept)
            yield last

    with open_bytes(path) as data, io.TextIOWrapper(data, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(draw(file), delimiter="\t" if find_format(path) == ".tsv" else ",", strict=True)
        try:
            names = reader.fieldnames or []
            check_distinct(names, path)
            if len(names) == 1 and ";" in names[0]:
                raise InputError(f"{path}: expected commas between cells, got semicolons: {names[0]!r:.60}")
            for row in reader:
                if None in row or None in row.values():
                    if torn is not None and not last.endswith("\n"):
                        torn.append(reader.line_num)
                        return
                    raise InputError(f"{path}:{reader.line_num}: expected {len(names)} cells")
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}:{reader.line_num + 1}: not a line of CSV in UTF-8: {error}") from error


def _iter_parquet(path: Path, torn: list[int] | None) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.stat().st_size:
        return
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            check_distinct(file.schema_arrow.names, path)
            for batch in file.iter_batches(BATCH):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file that can be read: {error}") from error


def import_datasets(source: str | Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{source}: no file; a data set folder or a hub name needs: pip install datasets") from error
    return datasets


def _open_dataset(source: str | Path) -> Any:
    datasets = import_datasets(source)
    try:
        if isinstance(source, Path):
            data = datasets.load_from_disk(str(source))
            if isinstance(data, datasets.DatasetDict) and "train" not in data:
                raise ValueError(f"it has no split 'train' but {', '.join(data)}: name that one's folder")
            return data["train"] if isinstance(data, datasets.DatasetDict) else data
        return datasets.load_dataset(source, split="train")
    except Exception as error:  # datasets raises many kinds here, none of them ours
        raise InputError(
            f"{source}: neither a file, nor a saved data set, nor a hub name that loads: {error}"
        ) from error


def _iter_dataset(source: str | Path) -> Iterator[dict[str, Any]]:
    for batch in _open_dataset(source).with_format("arrow").iter(BATCH):
        yield from batch.to_pylist()


def _mend(prompt: str | Messages, number: int) -> str | Messages:
    """A prompt without half surrogate pairs (broken emoji), which no tokenizer and no UTF-8 file takes."""
    try:
        prompt_text(prompt).encode()
    except UnicodeEncodeError:
        logger.warning("row %d: the prompt holds half a character, which is asked as '?'", number)
        return json.loads(json.dumps(prompt, ensure_ascii=False, default=str).encode("utf-8", "replace"))
    return prompt


def read_problems(
    rows: Iterable[Mapping[str, Any]], prompt_column: str = "prompt", answer_column: str = "answer", source: Any = None
) -> list[Problem]:
    """`iter_problems` as a list, with its errors."""
    return list(iter_problems(rows, prompt_column, answer_column, source))


def iter_problems(
    rows: Iterable[Mapping[str, Any]], prompt_column: str = "prompt", answer_column: str = "answer", source: Any = None
) -> Iterator[Problem]:
    """Turns data rows into problems, one per row and in order; ids are content hashes, so duplicates share theirs.

    Args:
        rows: Rows as dicts.
        prompt_column: Column with text or chat messages; `pick` says how to name a nested one.
        answer_column: Column with the gold answer, likewise.
        source: Where the rows come from; a path is named in errors.

    Raises:
        InputError: If a column is missing (names those there are), or a prompt is neither text nor chat messages (names
            the row). Raised when problems are drawn. A row without a gold answer is left to `check_gold`.

    >>> [p.answer for p in iter_problems([{"q": "2+2?", "gold": {"value": 4}}], "q", "gold.value")]
    [4]
    """
    number, where = -1, f"{source}: " if isinstance(source, str | Path) else ""
    for number, row in enumerate(rows):
        if number == 0:
            check_columns(row, {"prompt": prompt_column, "answer": answer_column}, where[:-2])
        prompt = parse_chat(pick(row, prompt_column))
        answer = pick(row, answer_column)
        if not (prompt.strip() if isinstance(prompt, str) else prompt and is_chat(prompt)):
            raise InputError(
                f"{where}row {number}: {prompt_column!r} must be text or chat messages, got {prompt!r:.80}"
            )
        yield Problem(make_prompt_id(prompt, answer), _mend(prompt, number), answer, row, number)
    if number < 0:
        raise InputError(f"{where}the data set is empty")


def is_chat(value: Any) -> bool:
    """Whether a value is chat messages, whose content is text, nothing, or typed blocks.

    >>> is_chat([{"role": "user", "content": "2+2?"}]), is_chat(["2+2?"])
    (True, False)
    """
    return isinstance(value, list) and all(
        isinstance(each, Mapping) and bool({"role", "content"} & set(each)) and _is_content(each.get("content"))
        for each in value
    )


def parse_chat(value: Any) -> Any:
    """Chat messages where one stands alone, or a CSV holds them as text (`read_text`); anything else as it is.

    >>> parse_chat('[{"role": "user", "content": "2+2?"}]'), parse_chat("[4]")
    ([{'role': 'user', 'content': '2+2?'}], '[4]')
    """
    chat = value
    if isinstance(value, str) and _CHAT.match(value) and "role" in value:
        chat = read_text(value)
    chat = [chat] if isinstance(chat, Mapping) else chat
    return chat if is_chat(chat) else value


def _is_content(value: Any) -> bool:
    blocks = isinstance(value, list) and all(isinstance(block, Mapping) for block in value)
    return value is None or isinstance(value, str) or blocks
