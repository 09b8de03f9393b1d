"""Training runs as trainers and the guard write them: curves by step, alarms, settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rlguard.report.files import Row, finite, read_table
from rlguard.rollouts.logs import list_tables
from rlguard.tables.files import read_object
from rlguard.types import InputError, Rollout

Curve = list[tuple[float, float | None]]
"""(step, value) in order of the step; None where the value was not a finite number."""

LINES = ("metrics.jsonl", "figures.jsonl")
"""One row of figures a line: a recipe's measurements, and what the guard's monitor wrote."""
EVENTS, CONFIG = "events.jsonl", "config.json"
STATE = "trainer_state.json"
INNER = ("checkpoint-", "completions", "rlguard")
FOLDERS = ("", "*", "training/*", "*/training/*")
"""Where trainings lie, seen from the folder of a run."""


@dataclass
class Arm:
    """One training: its curves and the settings it ran with."""

    curves: dict[str, Curve]
    config: Row = field(default_factory=dict)
    folder: Path = Path()


def find_trainings(path: Path) -> Iterator[tuple[str, Path]]:
    """The folders of a run that hold a training, each with a name of its own."""
    taken: set[str] = set()
    for pattern in FOLDERS:
        for folder in sorted(path.glob(pattern)) if pattern else [path]:
            inner = folder != path and folder.name.startswith(INNER)  # the training is the folder above
            if inner or not folder.is_dir() or not any(_find_files(folder)):
                continue
            name = folder.resolve().name
            if name in taken:  # the same name in two folders
                name = str(folder.relative_to(path))
            if name not in taken:
                taken.add(name)
                yield name, folder


def _find_files(folder: Path) -> Iterator[Path]:
    """What a training left in its folder, the guard's own files in `rlguard/` included."""
    for place in (folder, folder / "rlguard"):
        yield from (place / name for name in (*LINES, EVENTS) if (place / name).is_file())
    state = find_state(folder)
    if state is not None:
        yield state
    yield from list_tables(folder)[:1]


def find_state(folder: Path) -> Path | None:
    """The log of a Hugging Face trainer: at the end of a run, or of its last checkpoint."""
    steps = {
        int(path.parent.name.rpartition("-")[2]): path
        for path in folder.glob(f"checkpoint-*/{STATE}")
        if path.parent.name.rpartition("-")[2].isdigit()
    }
    final = folder / STATE
    return final if final.is_file() else steps[max(steps)] if steps else None


def read_arm(folder: Path, name: str, notes: list[str]) -> Arm:
    """The curves and settings of one training; where two files have a metric, the guard's own is taken.

    Args:
        folder: Of the training.
        name: What notes call it.
        notes: What a reader of the page should know is added here.

    Raises:
        InputError: If a file cannot be read; names it.
    """
    curves: dict[str, Curve] = {}
    state = find_state(folder)
    if state is not None:
        history = read_object(state).get("log_history")
        if not isinstance(history, list):
            raise InputError(f"{state}: expected the list `log_history`, got {type(history).__name__}")
        where = f"{name}/{state.relative_to(folder)}"
        curves |= collect_curves((row for row in history if isinstance(row, dict)), where, notes)
    for path in _find_files(folder):
        if path.name in LINES:
            where = f"{name}/{path.relative_to(folder)}"
            curves |= collect_curves(read_table(path, where, notes), where, notes)
    config = read_object(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    return Arm(curves, {} if "model_type" in config else config, folder)  # a model that was saved here has its own


def collect_curves(rows: Iterable[Row], where: str, notes: list[str]) -> dict[str, Curve]:
    """The curves in rows that may carry any subset of the metrics; text fields and the epoch are no metrics."""
    curves: dict[str, dict[float, float | None]] = {}
    stepless = 0
    for row in rows:
        step = finite(row.get("step"))
        stepless += step is None
        if step is None:
            continue
        for metric, value in row.items():
            if metric not in ("step", "epoch") and (
                value is None or (isinstance(value, int | float) and not isinstance(value, bool))
            ):
                curves.setdefault(metric, {})[step] = finite(value)
    if stepless:
        notes.append(f"{where}: {stepless} rows without a step were left out.")
    return {
        metric: sorted(points.items())
        for metric, points in curves.items()
        if any(value is not None for value in points.values())
    }


def read_events(folder: Path, name: str, notes: list[str]) -> list[Row]:
    """What the monitor said of one training, each with `arm`, `step`, `kind`, `severity` and `message` as text.

    The severity is `critical`, `warning` or `note`: a note is no alarm.
    """
    events = []
    for path in _find_files(folder):
        for row in read_table(path, f"{name}/{path.name}", notes) if path.name == EVENTS else ():
            kind = str(row.get("kind") or row.get("figure") or "alarm")
            severity = str(row.get("severity") or "warning")
            message = str(row.get("message") or kind.replace("_", " "))
            step = finite(row.get("step"))
            events.append({"arm": name, "step": step, "kind": kind, "severity": severity, "message": message})
    return events


def follow_rollouts(rollouts: Iterable[Rollout]) -> dict[str, Curve]:
    """Curves from the rollouts of a training themselves: what each step's completions have in common.

    >>> follow_rollouts([Rollout("p", 0, "ab", outcome=1.0, step=3), Rollout("p", 1, "", outcome=0.0, step=3)])
    {'rollouts/correct': [(3.0, 0.5)], 'rollouts/characters': [(3.0, 1.0)]}
    """
    sums: dict[str, dict[float, list[float]]] = {}
    for rollout in rollouts:
        if rollout.step is None:
            continue
        characters = len(rollout.completion)
        figures = {"correct": rollout.outcome, "weight": rollout.weight, "characters": characters}
        for name, value in figures.items():
            if value == value:
                tally = sums.setdefault(f"rollouts/{name}", {}).setdefault(float(rollout.step), [0.0, 0])
                tally[0] += value
                tally[1] += 1
    return {name: [(step, total / n) for step, (total, n) in sorted(own.items())] for name, own in sums.items()}
