"""Rows on disk: whole or not there, locked where runs share them, and each with the commit that made it."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

ROOT = Path(__file__).parents[2]


def lock(path: Path) -> FileLock:
    """For what runs beside each other share."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(path.name + ".lock"))


def write_whole(path: Path, row: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_suffix(f".{os.getpid()}")
    partial_file.write_text(json.dumps(row))
    partial_file.replace(path)


@cache
def find_commit() -> str:
    """The commit that is checked out, with + where files differ from it; empty outside a repository."""
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return done.stdout.strip() + ("+" if dirty.strip() else "")
