"""Rows on disk: a line of JSON a run, appended as runs end; locked where runs share, and with the commit behind it."""

from __future__ import annotations

import json
import math
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from rlguard.tables.files import cut_tail, replace_file

ROOT = Path(__file__).parents[2]
ROWS = Path(__file__).with_name("rows.jsonl")
"""Every run that has ended, tuning seeds included; committed."""
Row = dict[str, Any]
Key = tuple[str, str, str, float, int, float]
DIGITS = 4


def lock(path: Path) -> FileLock:
    """For what runs beside each other share."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(path.name + ".lock"))


def write_whole(path: Path, row: Row) -> None:
    """Writes JSON, whole or not at all."""
    replace_file(path, json.dumps(row))


def shorten(value: Any) -> Any:
    """The same with floats of `DIGITS` significant digits; NaN and infinite ones become None.

    >>> shorten({"a": [0.123456, 3], "b": float("nan")})
    {'a': [0.1235, 3], 'b': None}
    """
    if isinstance(value, dict):
        return {name: shorten(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shorten(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def append_row(row: Row, path: Path = ROWS) -> None:
    """Adds a line; half a line that a crash left is cut first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            cut_tail(path)
        with path.open("a") as file:
            file.write(json.dumps(shorten(row), separators=(",", ":")) + "\n")


def read_rows(path: Path = ROWS) -> list[Row]:
    """All whole lines; none where there is no file."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def key(run: Any) -> Key:
    """What tells runs apart, of a `Run` or of a row. Without any share the kind is only a name."""
    get = run.get if isinstance(run, dict) else lambda name: getattr(run, name)
    return get("arm"), get("family"), get("kind") if get("share") else "", get("share"), get("seed"), get("rate")


@cache
def find_commit(*paths: str) -> str:
    """The commit that is checked out, with + where files differ from it; empty outside a repository.

    Args:
        *paths: Where differences count; by default everywhere.
    """
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    status = [*git, "status", "--porcelain", "--", *(paths or (".",))]
    dirty = subprocess.run(status, capture_output=True, text=True, check=False).stdout
    return done.stdout.strip() + ("+" if dirty.strip() else "")
