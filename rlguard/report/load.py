"""Finds what a run holds and reads it, a folder or one file. Nothing here knows about HTML."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rlguard.monitor.core import Event, Monitor
from rlguard.monitor.journal import EVENTS, read_events, replay
from rlguard.monitor.logs import STATE, STEPS, find_state, has_numbers, read_log
from rlguard.monitor.watches import to_number
from rlguard.rollouts.logs import list_tables, read_any_rollouts
from rlguard.rollouts.segments import ROLLOUTS, is_store
from rlguard.rollouts.store import META
from rlguard.tables.columns import COLUMNS
from rlguard.tables.files import read_object
from rlguard.tables.read import FORMATS, find_format, iter_rows
from rlguard.types import InputError, Rollout, prompt_text

Row = dict[str, Any]
Curve = list[tuple[int, float]]
"""(step, value) in order of the step; values that are no finite numbers are left out."""

LINES = ("metrics.jsonl", "metrics.csv", "figures.jsonl")
"""One row of figures a line: a trainer's or a recipe's measurements, and what the guard's monitor wrote."""
CONFIG = "config.json"
INNER = ("checkpoint-", "completions", "rlguard")
FOLDERS = ("", "*", "training/*", "*/training/*")
"""Where trainings lie, seen from the folder of a run."""

REQUIRED = {
    "rates": ("prompt_id",),
    "kept": ("rlguard_id",),
    "dropped": ("rlguard_id", "rlguard_drop_reason"),
    "findings": ("kind", "start", "end"),
}
RATES, FINDINGS, AUDIT = "rates.parquet", "findings.jsonl", "audit.json"
AUDIT_SHAPE = {
    "domains": {}, "settings": {}, "skipped": {}, "models": [{}],
    "comparisons": [
        {"name": "", "rows": [{"name": "", "verdict": ""}], "cliff": {"points": [{}]},
         "crossing": {"k": 0.0, "probability": 0.0}, "lost": [{}], "newly_solved": [{}]}
    ],
}  # fmt: skip
"""What is read of an audit, by example."""
VERDICTS = ("lost", "gained", "changed", "too few", "kept")
"""Verdicts of an audit's figures, in the order in which they are told and listed."""
TAKEN = "a folder or file of pass rates, a filtered set, rollouts, a training, findings or an audit"


@dataclass
class Arm:
    """One training: its curves, its alarms, and the settings it ran with."""

    curves: dict[str, Curve]
    config: Row = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The model that was trained, as far as the settings say; else ""."""
        known = (self.config.get(name) for name in ("model", "model_name", "model_name_or_path", "_name_or_path"))
        return next((str(name) for name in known if name), "")

    def find(self, figure: str) -> str | None:
        """The trainer's name for a figure of the monitor, or the name itself; None where there is no such curve."""
        return figure if figure in self.curves else next((n for n in self.curves if find_figure(n) == figure), None)


@dataclass
class Run:
    """What a run held; None where a part was not there."""

    path: Path
    meta: Row = field(default_factory=dict)
    rates: list[Row] | None = None
    rollouts: list[Rollout] | None = None
    unsearched: set[str] = field(default_factory=set)
    """Sources of rollouts that were not searched for findings."""
    kept: list[Row] | None = None
    dropped: list[Row] | None = None
    findings: list[Row] | None = None
    audit: Row | None = None
    arms: dict[str, Arm] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a reader of the page should know about the reading: half-written lines, files left aside."""
    columns: Mapping[str, str] | None = None
    """Where the parts of a rollout stand, if a user said so."""
    judge: str = ""
    """Whose judgement the skill of its prompts is."""

    @property
    def name(self) -> str:
        """What the run is called: its folder, or its file without the ending."""
        path = self.path.resolve()
        return path.name if path.is_dir() else path.stem

    @property
    def model(self) -> str:
        """The model that the rates and rollouts of the store are of; "" if it is not known."""
        engine = self.meta.get("engine")
        return str(self.meta.get("model") or (engine.get("model") if isinstance(engine, dict) else "") or "")

    def name_model(self, source: str) -> str:
        """The model whose rollouts come from a source: a training's own, else the store's; "" if it is not known."""
        return self.arms[source].model if source in self.arms else self.model

    def read(self, part: str, path: Path) -> list[Row]:
        """The rows of one file of the run."""
        return read_table(path, self.show(path), self.notes, REQUIRED[part])

    def add_rollouts(self, source: Path, name: str, lead: str) -> list[Rollout]:
        """Reads rollouts of whatever origin; notes of the reading begin with `lead`."""
        notes: list[str] = []
        found = list(read_any_rollouts(source, notes, name, self.columns)[1])
        self.notes += [lead + note for note in notes]
        self.rollouts = [*(self.rollouts or []), *found]
        return found

    def show(self, path: Path) -> str:
        """A path as seen from the run."""
        inside = path != self.path and path.is_relative_to(self.path)
        return str(path.relative_to(self.path)) if inside else path.name


def read_run(path: Path, columns: Mapping[str, str] | None = None) -> Run:
    """Reads every known part of a run: a folder, in it or in its direct subfolders; or one file.

    Raises:
        InputError: If it is missing, holds nothing known, or a file in it cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path}: expected {TAKEN}, found nothing")
    run = Run(path, columns=columns)
    if path.is_file() or (path / "dataset_info.json").exists():
        _read_file(run)
    else:
        _read_folder(run)
    for number, finding in enumerate(run.findings or [], 1):
        if not (isinstance(finding["start"], int) and isinstance(finding["end"], int)):
            raise InputError(f"{FINDINGS}, finding {number}: expected start and end as int, got {finding!r:.100}")
    if not run.arms and all(getattr(run, part) is None for part in (*REQUIRED, "rollouts", "audit")):
        names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else [path.name]
        held = (", ".join(names[:8]) + ", …" * (len(names) > 8)) or "an empty directory"
        raise InputError(f"{path}: nothing to report on; expected {TAKEN}, found {held}")
    return run


def _read_folder(run: Run) -> None:
    folders = [run.path, *sorted(p for p in run.path.iterdir() if p.is_dir() and not p.name.startswith("."))]
    folders = [folder for folder in folders if folder.name != "answer_only"]  # guesses are no rollouts to look at
    stores = [folder for folder in folders if is_store(folder) or (folder / RATES).is_file()]
    if stores:
        _note_others(run, [store / (ROLLOUTS if is_store(store) else RATES) for store in stores])
        _read_rates(run, stores[0])
    pairs = list(_find_filtered(folders))
    if pairs:
        _note_others(run, [kept or dropped for kept, dropped in pairs])
        _read_filtered(run, *pairs[0])
    for name, part in ((FINDINGS, "findings"), (AUDIT, "audit")):
        found = [folder / name for folder in [*stores[:1], *folders] if (folder / name).is_file()]
        found = list(dict.fromkeys(found))
        _note_others(run, found)
        if found:
            setattr(run, part, read_audit(found[0]) if part == "audit" else run.read(part, found[0]))
    _read_trainings(run)


def read_audit(path: Path) -> Row:
    """The record of an audit.

    Raises:
        InputError: If a part of it is not what the page reads; names it.
    """
    audit = read_object(path)
    check_shape(audit, AUDIT_SHAPE, str(path))
    for number, comparison in enumerate(audit.get("comparisons") or []):
        for place, row in enumerate(comparison.get("rows") or []):
            if row["verdict"] not in VERDICTS:
                where = f"{path}: comparisons {number}: rows {place}: verdict"
                raise InputError(f"{where}: expected one of {', '.join(VERDICTS)}, got {row['verdict']!r}")
    return audit


def check_shape(value: Any, shape: Any, where: str) -> None:
    """Compares JSON with an example, of which all but text may be missing or null.

    Raises:
        InputError: At the first value of another kind.

    >>> check_shape({"rows": [{"k": 4}, {"k": None}]}, {"rows": [{"k": 0.0}]}, "audit.json")
    """
    if value is None and not isinstance(shape, str):
        return
    kinds: Any = (int, float) if isinstance(shape, float) else type(shape)
    if not isinstance(value, kinds):
        words = {dict: "an object", list: "a list", str: "text", float: "a number"}
        raise InputError(f"{where}: expected {words[type(shape)]}, got {value!r:.60}")
    if isinstance(shape, list):
        for number, each in enumerate(value):
            check_shape(each, shape[0], f"{where} {number}")
    if isinstance(shape, dict):
        for name, inner in shape.items():
            check_shape(value.get(name), inner, f"{where}: {name}")


def _note_others(run: Run, found: Iterable[Path | None]) -> None:
    first, *others = [path for path in found if path is not None] or [run.path]
    run.notes += [f"{run.show(other)} is not shown: {run.show(first)} was read instead." for other in others]


def _read_rates(run: Run, store: Path) -> None:
    """Pass rates and the rollouts they come from."""
    if (store / RATES).is_file():
        run.rates = run.read("rates", store / RATES)
    if is_store(store):
        name = run.show(store)
        found = {each.prompt_id for each in run.add_rollouts(store, name, "" if store == run.path else f"{name}/")}
        if found and run.rates and found.isdisjoint(str(row["prompt_id"]) for row in run.rates):
            run.notes.append(f"{run.show(store / RATES)}: none of its prompts has a rollout in {store.name}.")
    if (store / META).is_file():
        run.meta = read_object(store / META)


def _find_filtered(folders: Iterable[Path]) -> Iterator[tuple[Path | None, Path | None]]:
    """Filtered sets as `rlguard filter` writes them: KEPT.jsonl, KEPT.dropped.jsonl, in any format; or one of both."""
    for folder in folders:
        stems = {path.name.replace(".dropped", "") for path in folder.glob("*.dropped*")}
        stems |= {path.name for path in folder.glob("kept.*") if path.suffix in FORMATS and "." not in path.stem}
        for stem in sorted(stems):
            kept, dropped = _pair(folder / stem)
            if kept or dropped:
                yield kept, dropped


def _pair(kept: Path) -> tuple[Path | None, Path | None]:
    """The kept rows' file and the dropped rows' beside it, each None where it is not there."""
    stem, suffix = (kept.stem, kept.suffix) if kept.suffix in FORMATS else (kept.name, "")
    dropped = kept.with_name(f"{stem}.dropped{suffix}")
    return kept if kept.exists() else None, dropped if dropped.exists() else None


def _read_filtered(run: Run, kept: Path | None, dropped: Path | None) -> None:
    run.kept = run.read("kept", kept) if kept else None
    run.dropped = run.read("dropped", dropped) if dropped else None


def _read_trainings(run: Run) -> None:
    """The curves, alarms and rollouts of every training arm."""
    for name, folder in find_trainings(run.path):
        arm = read_arm(folder, name, run.notes)
        if list_tables(folder):
            arm.curves |= follow_rollouts(run.add_rollouts(folder, name, f"{name}: "))
        run.arms[name] = arm
    run.arms = dict(sorted(run.arms.items(), key=lambda item: item[0] != "unguarded"))  # the harm, then the protection


def _read_file(run: Run) -> None:
    """One file, known by its name or its columns."""
    path, is_audit = run.path, False
    if path.suffix == ".json" and path.name != STATE:
        with suppress(InputError):  # else a table, or what reading it as one says
            is_audit = "comparisons" in read_object(path)
        if is_audit:
            run.audit = read_audit(path)
            return
    pair = _pair(path.with_name(path.name.replace(".dropped", "")))
    if pair[1] is not None:
        _read_filtered(run, *pair)
        return
    if path.name in (*LINES, STATE) or (path.suffix == ".log" and has_numbers(path)):
        name = path.resolve().parent.name
        run.arms[name] = _make_arm([path], path.parent, name, run.notes)
        return
    if find_format(path) is None and path.is_file():
        raise InputError(f"{path}: expected {TAKEN}, found a file ending in {path.suffix or 'nothing known'}")
    notes: list[str] = []
    rows = read_table(path, path.name, notes)
    columns = set().union(*rows[:100])
    if {*REQUIRED["findings"]} <= columns:
        run.findings = check_columns(rows, path, REQUIRED["findings"])
    elif {"prompt_id", "successes", "trials"} <= columns:
        run.rates = check_columns(rows, path, REQUIRED["rates"])
    elif "rlguard_id" in columns and "completion" not in columns:
        run.kept = check_columns(rows, path, REQUIRED["kept"])
    elif _is_log(rows[:100], columns):
        run.arms[run.name] = _make_arm([path], path.parent, run.name, run.notes)
    else:
        run.add_rollouts(path, run.name, f"{run.name}: ")
        return
    run.notes += notes


def _is_log(rows: Iterable[Row], names: set[str]) -> bool:
    """Whether a table counts steps and holds nothing but numbers; answers such as `4` are completions all the same."""
    low = {name.strip().lower() for name in names}
    if low.isdisjoint(STEPS) or not low.isdisjoint(COLUMNS["completion"]):
        return False
    return all(value in (None, "") or math.isfinite(to_number(value)) for row in rows for value in row.values())


def find_trainings(path: Path) -> Iterator[tuple[str, Path]]:
    """The folders of a run that hold a training, each with a name of its own."""
    taken: set[str] = set()
    for pattern in FOLDERS:
        for folder in sorted(path.glob(pattern)) if pattern else [path]:
            inner = folder != path and folder.name.startswith(INNER)  # the training is the folder above
            if inner or not folder.is_dir() or not (_find_logs(folder) or _find_events(folder) or list_tables(folder)):
                continue
            name = folder.resolve().name
            if name in taken:  # the same name in two folders
                name = str(folder.relative_to(path))
            if name not in taken:
                taken.add(name)
                yield name, folder


def _find_logs(folder: Path) -> list[Path]:
    """The logs of a training, the guard's own last, for of two values of one figure and step the later counts."""
    state = find_state(folder)
    own = [place / name for place in (folder, folder / "rlguard") for name in LINES]
    printed = [path for path in sorted(folder.glob("*.log")) if has_numbers(path)]
    return [*printed, *([state] if state else []), *(path for path in own if path.is_file())]


def _find_events(folder: Path) -> Path | None:
    return next((path for path in (folder / EVENTS, folder / "rlguard" / EVENTS) if path.is_file()), None)


def read_arm(folder: Path, name: str, notes: list[str]) -> Arm:
    """One training; `name` is what `notes` call it."""
    arm = _make_arm(_find_logs(folder), folder, name, notes)
    config = read_object(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    saved = {"_name_or_path": config["_name_or_path"]} if config.get("_name_or_path") else {}
    arm.config = saved if "model_type" in config else config
    return arm


def _make_arm(logs: Iterable[Path], folder: Path, name: str, notes: list[str]) -> Arm:
    """The curves of a training, and what the monitor said of it; where none watched it, what one says of its logs."""
    rows: dict[int, dict[str, float]] = {}
    for path in logs:
        torn: list[int] = []
        for step, figures in read_log(path, torn):
            rows.setdefault(step, {}).update(figures)
        notes += _note_torn(f"{name}/{path.relative_to(folder)}", torn)
    curves: dict[str, Curve] = {}
    for step, figures in sorted(rows.items()):
        for metric, value in figures.items():
            if metric != "epoch" and not math.isnan(value):
                curves.setdefault(metric, []).append((step, value))
    if told := _find_events(folder):
        torn = []
        events = read_events(told, torn)
        notes += _note_torn(f"{name}/{EVENTS}", torn)
        return Arm(curves, events=events)
    monitor = Monitor()
    events = replay(sorted(rows.items()), monitor)
    if monitor.references:
        notes.append(f"{name}: alarms were made for this page, as `rlguard watch` makes them; nothing watched the run.")
    return Arm(curves, events=events)


def _note_torn(where: str, torn: list[int]) -> list[str]:
    return [f"{where}: the last line ({line}) is half-written and was left out." for line in torn]


@cache
def find_figure(metric: str) -> str:
    """The monitor's name for what a trainer logs under a name; the name itself where nothing watches it.

    >>> find_figure("critic/score/mean"), find_figure("loss")
    ('reward', 'loss')
    """
    return next(iter(Monitor().read({metric: 0.5})), metric)


def follow_rollouts(rollouts: Iterable[Rollout]) -> dict[str, Curve]:
    """Curves from the rollouts of a training themselves: what each step's completions have in common.

    >>> follow_rollouts([Rollout("p", 0, "ab", outcome=1.0, step=3), Rollout("p", 1, "", outcome=0.0, step=3)])
    {'rollouts/correct': [(3, 0.5)], 'rollouts/characters': [(3, 1.0)]}
    """
    values: dict[str, dict[int, list[float]]] = {}
    for rollout in rollouts:
        if rollout.step is not None:
            characters = float(len(rollout.completion))
            figures = {"correct": rollout.outcome, "weight": rollout.weight, "characters": characters}
            for name, value in figures.items():
                if not math.isnan(value):
                    values.setdefault(f"rollouts/{name}", {}).setdefault(rollout.step, []).append(value)
    return {name: [(step, statistics.fmean(own[step])) for step in sorted(own)] for name, own in values.items()}


def read_table(path: Path, where: str, notes: list[str], required: Sequence[str] = ()) -> list[Row]:
    """Reads a table, which may be empty; `where` is its name in `notes`, which tell what a reader should know.

    Raises:
        InputError: If it cannot be read, or a required column is missing in a row; names file and row.
    """
    torn: list[int] = []
    rows = list(iter_rows(path, torn, allow_empty=True))
    notes += _note_torn(where, torn)
    if path.suffix == ".parquet" and path.is_file() and not path.stat().st_size:
        notes.append(f"{where}: 0 bytes, so nothing was read.")
    return check_columns(rows, path, required)


def check_columns(rows: list[Row], path: Path, required: Sequence[str]) -> list[Row]:
    """The rows, each of which has the columns; else an InputError names file, row and column."""
    for number, row in enumerate(rows):
        for name in required:
            if name not in row:
                raise InputError(f"{path}: row {number}: expected the column {name!r}, found {', '.join(row)}")
    return rows


def finite(value: Any) -> float | None:
    """A finite number as float; None for anything else (JSON has no NaN, and text is no number)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def show_prompt(prompt: Any) -> str:
    """The words of a prompt column, whatever its type."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    try:
        return prompt_text(prompt)
    except (InputError, TypeError, AttributeError):
        return str(prompt)
