"""Logs of any trainer as rows of numbers: JSONL, CSV, a `trainer_state.json`, and what a trainer printed."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlguard.monitor.watches import to_number
from rlguard.tables.columns import check_columns
from rlguard.tables.files import read_object
from rlguard.tables.read import iter_rows
from rlguard.types import InputError

Rows = list[tuple[int, dict[str, float]]]
"""Step and figures, in the order of the log."""

STATE = "trainer_state.json"
STEPS = (
    "step", "global_step", "train/global_step", "training/global_step", "progress/step", "progress/batch", "_step",
    "iteration", "iter", "update", "global_step/max_steps", "rollout/step", "train/step", "training_step", "trainstep",
)  # fmt: skip
"""Names of the step, in small letters; the first in a row counts, and a row without any is one step after the last."""
PRINTED = re.compile(r"\{[^{}]*'[^{}]*\}")
"""A dictionary in a line, as TRL and ms-swift print one."""
PAIR = re.compile(r"([A-Za-z_][\w./@-]*)\s*[:=]\s*(?:np\.float\d+\()?(-?\d[\d.]*(?:e[+-]?\d+)?)(?![\w:/.])")
"""A name and a number in a line, as verl prints them: `step:12 - actor/entropy:0.4 - critic/score/mean:0.1`."""
BARE_STEP = re.compile(r"\b(?:step|iter(?:ation)?|update)\s+(\d+)\b", re.IGNORECASE)
WANDB = re.compile(r"^.* - (?=\S+$)")
"""What an export of Weights & Biases puts before a name: the run's."""
LOGS = ("metrics.jsonl", "metrics.csv", "progress.csv", "*metrics*.jsonl", "*log*.jsonl", "log_history.json",
        "*trainer_state.json", "*.csv", "*.tsv", "*.log", "*.out", "*.txt")  # fmt: skip
"""Names of logs in a folder, the likeliest first."""
EXPECTED = "figures.jsonl of a monitor, a checkpoint with trainer_state.json, metrics.jsonl, metrics.csv, or a *.log"


def find_state(folder: Path) -> Path | None:
    """The state of a `transformers` trainer's newest checkpoint, or the one in the folder itself."""
    numbered = [
        (int(match[1]), path)
        for path in folder.glob(f"checkpoint-*/{STATE}")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.parent.name))
    ]
    own = folder / STATE
    return max(numbered)[1] if numbered else own if own.exists() else None


def find_log(run: Path) -> Path | None:
    """The log of a run: the file itself, or the likeliest one in a folder that has rows of numbers."""
    if run.is_file():
        return run
    state = find_state(run)
    found = [state] if state else [path for name in LOGS for path in sorted(run.glob(name))]
    return next((path for path in found if has_numbers(path)), None)


def has_numbers(path: Path) -> bool:
    """Whether a log can be read and holds any number."""
    try:
        return bool(read_log(path))
    except InputError:
        return path.name == STATE  # says what is wrong with it


def read_log(path: str | Path, torn: list[int] | None = None, columns: Mapping[str, str] | None = None) -> Rows:
    """The numbers that a trainer logged, a row for each step; what one step has in several rows is put together.

    A step that is smaller than the one before stays where it is: a log that starts over.

    Args:
        path: The log.
        torn: As in `iter_json_lines`.
        columns: Figure, or `step` -> what this log calls it.

    Raises:
        InputError: If the file cannot be read as a log; names it, and the line. If it has no such column.
    """
    rows: Rows = []
    names: dict[str, Any] = {}
    for row in _iter_raw(Path(path), [] if torn is None else torn):
        flat = {WANDB.sub("", name): value for name, value in _flatten(row) if not name.endswith(("__MIN", "__MAX"))}
        names |= flat
        flat |= {figure: flat.pop(name) for figure, name in (columns or {}).items() if name in flat}
        steps = {name.lower(): value for name, value in flat.items() if name.lower() in STEPS}
        known = next((to_number(str(steps[name]).partition("/")[0]) for name in STEPS if name in steps), math.nan)
        numbers = {name: to_number(value) for name, value in flat.items() if not isinstance(value, bool)}
        figures = {name: v for name, v in numbers.items() if math.isfinite(v) and name.lower() not in STEPS}
        step = int(known) if math.isfinite(known) else rows[-1][0] + 1 if rows else 0
        if rows and rows[-1][0] == step:
            rows[-1][1].update(figures)
        elif figures:
            rows.append((step, figures))
    if names:  # else nothing is logged yet
        check_columns(names, columns or {}, str(path))
    return rows


def _iter_raw(path: Path, torn: list[int]) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".json":
        try:
            history = read_object(path)["log_history"]
        except (InputError, KeyError) as error:
            raise InputError(f"{path}: expected a trainer's state with its log_history ({error!r})") from error
        if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
            raise InputError(f"{path}: expected log_history to be a list of objects, got {history!r:.60}")
        yield from (row for row in history if "step" in row)
    elif path.suffix in (".log", ".txt", ".out", ""):
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from _read_printed(part for line in file for part in line.split("\r"))
    else:
        yield from iter_rows(path, torn, allow_empty=True)


def _read_printed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        printed = PRINTED.findall(line)
        pairs: dict[str, Any] = {} if printed else dict(PAIR.findall(line))
        if bare := BARE_STEP.search(line):
            pairs.setdefault("step", bare[1])
        if len(pairs) > 1 and any(name.lower() in STEPS for name in pairs):
            yield pairs
        for text in printed:
            try:
                row = ast.literal_eval(re.sub(r"\b(nan|inf)\b", "None", text))
            except (ValueError, SyntaxError):
                continue
            if isinstance(row, dict) and any(math.isfinite(to_number(value)) for value in row.values()):
                yield row


def _flatten(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values, those under `data` or `metrics` as if they stood in the row."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flatten(value)
        else:
            yield str(name), value
