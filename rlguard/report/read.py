"""Find what a run holds and read it, whether it is a folder or one file; nothing here knows about HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rlguard.report.files import Row, check_columns, read_table
from rlguard.report.training import (
    EVENTS,
    LINES,
    Arm,
    collect_curves,
    find_trainings,
    follow_rollouts,
    read_arm,
    read_events,
)
from rlguard.rollouts.logs import list_tables, read_any_rollouts
from rlguard.rollouts.segments import ROLLOUTS, is_store
from rlguard.rollouts.store import META
from rlguard.tables.files import read_object
from rlguard.tables.read import FORMATS, find_format
from rlguard.types import InputError, Rollout

REQUIRED = {
    "rates": ("prompt_id",),
    "kept": ("rlguard_id",),
    "dropped": ("rlguard_id", "rlguard_drop_reason"),
    "findings": ("kind", "start", "end"),
}
RATES, FINDINGS, AUDIT, CHECKPOINTS = "rates.parquet", "findings.jsonl", "audit.json", "checkpoint-*"
TAKEN = "a folder or file of pass rates, a filtered set, rollouts, a training, findings or an audit"


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
    events: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader of the page should know about the reading: half-written lines, files left aside."""
    columns: Mapping[str, str] | None = None
    """Where the parts of a rollout stand, if a user said so."""

    @property
    def name(self) -> str:
        """What the run is called: its folder, or its file without the ending."""
        path = self.path.resolve()
        return path.name if path.is_dir() else path.stem

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
    """Reads every known part of a run.

    Args:
        path: A folder whose parts lie in it or in a direct subfolder; or one file of it.
        columns: Where the parts of a rollout stand (`read_any_rollouts`).

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
    _check_spans(run)
    if not run.arms and all(getattr(run, part) is None for part in (*REQUIRED, "rollouts", "audit")):
        raise InputError(f"{path}: nothing to report on; expected {TAKEN}, found {_describe_folder(path)}")
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
            setattr(run, part, read_object(found[0]) if part == "audit" else run.read(part, found[0]))
    _read_trainings(run)


def _note_others(run: Run, found: Iterable[Path | None]) -> None:
    first, *others = [path for path in found if path is not None] or [run.path]
    run.notes += [f"{run.show(other)} is not shown: {run.show(first)} was read instead." for other in others]


def _read_rates(run: Run, store: Path) -> None:
    """Pass rates and the rollouts they come from."""
    if (store / RATES).is_file():
        run.rates = run.read("rates", store / RATES)
    if is_store(store):
        name = run.show(store)
        run.add_rollouts(store, name, "" if store == run.path else f"{name}/")
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
        run.events += read_events(folder, name, run.notes)
        if list_tables(folder):
            arm.curves |= follow_rollouts(run.add_rollouts(folder, name, f"{name}: "))
        run.arms[name] = arm
    run.arms = dict(sorted(run.arms.items(), key=lambda item: item[0] != "unguarded"))  # the harm, then the protection


def _read_file(run: Run) -> None:
    """One file, known by its name or its columns."""
    path = run.path
    if path.suffix == ".json":
        with suppress(InputError):  # else a table, or what reading it as one says
            if "comparisons" in (audit := read_object(path)):
                run.audit = audit
                return
    pair = _pair(path.with_name(path.name.replace(".dropped", "")))
    if pair[1] is not None:
        _read_filtered(run, *pair)
        return
    if find_format(path) is None and path.is_file():
        raise InputError(f"{path}: expected {TAKEN}, found a file ending in {path.suffix or 'nothing known'}")
    notes: list[str] = []
    rows = read_table(path, path.name, notes)
    columns = set().union(*rows[:100])
    if path.name in (*LINES, EVENTS):
        run.arms[path.resolve().parent.name] = Arm(collect_curves(rows, path.name, notes))
    elif {*REQUIRED["findings"]} <= columns:
        run.findings = check_columns(rows, path, REQUIRED["findings"])
    elif {"prompt_id", "successes", "trials"} <= columns:
        run.rates = check_columns(rows, path, REQUIRED["rates"])
    elif "rlguard_id" in columns and "completion" not in columns:
        run.kept = check_columns(rows, path, REQUIRED["kept"])
    else:
        run.add_rollouts(path, run.name, f"{run.name}: ")
        return
    run.notes += notes


def _describe_folder(path: Path) -> str:
    """The first names in a folder, for an error message."""
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else [path.name]
    return (", ".join(names[:8]) + (", …" if len(names) > 8 else "")) or "an empty directory"


def _check_spans(run: Run) -> None:
    for number, finding in enumerate(run.findings or [], 1):
        for name in ("start", "end"):
            if not isinstance(finding[name], int):
                raise InputError(f"{FINDINGS}, finding {number}: expected {name} as int, got {finding[name]!r}")
