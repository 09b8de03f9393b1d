"""Find what a run directory holds and read it; nothing here knows about HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlguard.segments import list_sealed
from rlguard.types import InputError

Row = dict[str, Any]

PARTS = {
    "rates": ("rates.parquet",),
    "rollouts": ("rollouts.jsonl",),
    "kept": ("kept.jsonl", "kept.parquet"),
    "dropped": ("kept.dropped.jsonl", "kept.dropped.parquet"),
    "findings": ("findings.jsonl",),
}
REQUIRED = {
    "rates": ("prompt_id",),
    "rollouts": ("prompt_id", "completion"),
    "kept": ("rlguard_id",),
    "dropped": ("rlguard_id", "rlguard_drop_reason"),
    "findings": ("kind", "start", "end"),
}
MOST_SEALED = 20_000
"""Rollouts after which no further segment is read."""
ARM_PATTERNS = ("metrics.jsonl", "*/metrics.jsonl", "training/*/metrics.jsonl", "*/training/*/metrics.jsonl")


@dataclass
class Arm:
    """One training: its curves and the settings it ran with."""

    curves: dict[str, list[tuple[float, float | None]]]
    """Metric -> (step, value), in order of the step; None where the value was not a finite number."""
    config: Row = field(default_factory=dict)


@dataclass
class Run:
    """What a run directory held; None where a part was not there."""

    path: Path
    meta: Row = field(default_factory=dict)
    rates: list[Row] | None = None
    rollouts: list[Row] | None = None
    kept: list[Row] | None = None
    dropped: list[Row] | None = None
    findings: list[Row] | None = None
    arms: dict[str, Arm] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a reader of the page should know about the reading: half-written lines, files left aside."""


def read_run(path: Path) -> Run:
    """Read every known part of a run directory.

    Args:
        path: The run; its parts lie in it or in a direct subfolder.

    Raises:
        InputError: The directory is missing, holds nothing known, or a file in it cannot be read.
    """
    if not path.is_dir():
        raise InputError(f"{path}: expected a run directory, found {'a file' if path.exists() else 'nothing'}")
    run = Run(path)
    beside: Path | None = None  # a store keeps its files together, so look next to the last part first
    for part, names in PARTS.items():
        found = find_part(run, names, beside)
        if found is not None:
            beside = found.parent
            rows = read_sealed(run, beside) if part == "rollouts" else []
            setattr(run, part, rows + read_rows(run, found, REQUIRED[part]))
            if part in ("rates", "rollouts") and not run.meta:
                run.meta = read_object(found.parent / "meta.json")
    keep_first_rollouts(run)
    check_spans(run)
    read_arms(run)
    if not run.arms and all(getattr(run, part) is None for part in PARTS):
        known = ", ".join(name for names in PARTS.values() for name in names)
        raise InputError(
            f"{path}: nothing to report on; expected one of {known} or training/<arm>/metrics.jsonl, "
            f"found {describe_folder(path)}"
        )
    return run


def describe_folder(path: Path) -> str:
    """The first names in a folder, for an error message."""
    names = sorted(entry.name for entry in path.iterdir())
    return (", ".join(names[:8]) + (", …" if len(names) > 8 else "")) or "an empty directory"


def find_part(run: Run, names: Sequence[str], beside: Path | None) -> Path | None:
    """The file of one part: next to the last one, in the run, or in a direct subfolder; others are noted."""
    folders = [run.path, *sorted(p for p in run.path.iterdir() if p.is_dir() and not p.name.startswith("."))]
    folders = [folder for folder in folders if folder.name != "answer_only"]  # guesses are no rollouts to look at
    if beside in folders:
        folders = [beside, *(folder for folder in folders if folder != beside)]
    found = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    for other in found[1:]:
        first, second = found[0].relative_to(run.path), other.relative_to(run.path)
        run.notes.append(f"{second} is not shown: {first} was read instead.")
    return found[0] if found else None


def read_rows(run: Run, path: Path, required: Sequence[str]) -> list[Row]:
    """Read a JSONL or Parquet file and check that the columns needed are there."""
    if path.suffix != ".parquet":
        return read_jsonl(run, path, required)
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: expected a Parquet file, could not read it ({error})") from error
    missing = [name for name in required if name not in table.column_names]
    if missing and table.num_rows:  # a file without rows may have no columns either
        raise InputError(f"{path}: expected the column {missing[0]!r}, found {', '.join(table.column_names)}")
    return table.to_pylist()


def read_sealed(run: Run, store: Path) -> list[Row]:
    """The first rollouts of a store's sealed segments; what goes beyond `MOST_SEALED` is noted."""
    rows: list[Row] = []
    for path in list_sealed(store):
        if len(rows) >= MOST_SEALED:
            run.notes.append(f"{path.relative_to(run.path)} and later segments are not shown.")
            break
        rows += read_rows(run, path, REQUIRED["rollouts"])
    return rows


def read_jsonl(run: Run, path: Path, required: Sequence[str] = ()) -> list[Row]:
    """Read one JSON object a line. A last line cut off in writing is left out and noted.

    Lines are split on bytes: a raw U+2028 inside a completion is no line end.
    """
    rows: list[Row] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    where = path.relative_to(run.path)
                    run.notes.append(f"{where}: the last line ({number}) is half-written and was left out.")
                    return rows
                shown = line[:60].decode("utf-8", "replace").rstrip()
                raise InputError(f"{path}, line {number}: expected one JSON object, got {shown!r} ({error})") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: expected one JSON object, got {type(row).__name__}")
            for name in required:
                if name not in row:
                    raise InputError(f"{path}, line {number}: expected the field {name!r}, found {', '.join(row)}")
            rows.append(row)
    return rows


def read_object(path: Path) -> Row:
    """Read a JSON object; a file that is not there is an empty one."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON object ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def keep_first_rollouts(run: Run) -> None:
    """Each rollout once, as the store reads itself: a resumed run may have written one again."""
    first: dict[str, Row] = {}
    for row in run.rollouts or []:
        first.setdefault(f"{row['prompt_id']} {row.get('index', len(first))}", row)
    again = len(run.rollouts or []) - len(first)
    if again:
        run.rollouts = list(first.values())
        run.notes.append(f"rollouts.jsonl: {again} rollouts stand there twice; the first of each was read.")


def check_spans(run: Run) -> None:
    """A finding's span is two whole numbers.

    Raises:
        InputError: One of them is something else; the message names the finding.
    """
    for number, finding in enumerate(run.findings or [], 1):
        for name in ("start", "end"):
            if not isinstance(finding[name], int):
                raise InputError(f"findings.jsonl, finding {number}: expected {name} as int, got {finding[name]!r}")


def read_arms(run: Run) -> None:
    """Read the curves and the settings of every training arm into `run.arms`."""
    for pattern in ARM_PATTERNS:
        for path in sorted(run.path.glob(pattern)):
            name = path.parent.resolve().name
            if name in run.arms:  # the same arm's name in two folders
                name = str(path.parent.relative_to(run.path))
            curves = read_curves(run, path)
            if name not in run.arms:
                run.arms[name] = Arm(curves, read_object(path.parent / "config.json"))
    run.arms = dict(sorted(run.arms.items(), key=lambda item: item[0] != "unguarded"))  # the harm, then the protection


def read_curves(run: Run, path: Path) -> dict[str, list[tuple[float, float | None]]]:
    """The curves in one metrics.jsonl; rows may carry any subset of the metrics, and text fields are no metrics."""
    curves: dict[str, dict[float, float | None]] = {}
    stepless = 0
    for row in read_jsonl(run, path):
        step = finite(row.get("step"))
        stepless += step is None
        if step is None:
            continue
        for metric, value in row.items():
            if metric != "step" and (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
                curves.setdefault(metric, {})[step] = finite(value)
    if stepless:
        run.notes.append(f"{path.relative_to(run.path)}: {stepless} rows without a step were left out.")
    return {
        metric: sorted(points.items())
        for metric, points in curves.items()
        if any(value is not None for value in points.values())
    }


def finite(value: Any) -> float | None:
    """A finite number as float; None for anything else (JSON has no NaN, and text is no number)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
