"""What a monitor leaves in a run's folder, written as it goes and read back: `figures.jsonl` and `events.jsonl`.

Their rows are described in `rlguard.monitor`. A line is written at once and whole; a last line cut off by a crash is
left out in reading, and cut away before more is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlguard.monitor.core import Event, Monitor
from rlguard.monitor.logs import Rows
from rlguard.tables.files import cut_tail, iter_json_lines, replace_file, writing
from rlguard.types import InputError

FIGURES, EVENTS = "figures.jsonl", "events.jsonl"


class Journal:
    """A monitor and the two files of a run.

        journal = Journal("out/run")
        for step, metrics in training():
            journal.see(step, metrics)

    Started at step 0, it puts the files of an earlier run in the folder aside (`.old`); `resume` goes on with them.
    """

    def __init__(self, folder: str | Path, monitor: Monitor | None = None) -> None:
        self.folder, self.monitor = Path(folder), monitor or Monitor()
        self._begun = False

    def resume(self, step: int) -> None:
        """Goes on after a step: the monitor sees the figures up to it again, and rows beyond it are taken back.

        Raises:
            InputError: If a file cannot be read.
        """
        figures, events = self.folder / FIGURES, self.folder / EVENTS
        rows = [(at, row) for at, row in (read_figures(figures) if figures.exists() else []) if at <= step]
        told = [event for event in (read_events(events) if events.exists() else []) if event.step <= step]
        for at, row in rows:
            if at > self.monitor.step:
                self.monitor.see(at, row)
        for path, lines in ((figures, [{"step": at} | row for at, row in rows]), (events, [e.to_row() for e in told])):
            if path.exists():
                replace_file(path, "".join(map(_to_line, lines)))
        self._begun = True

    def see(self, step: int, figures: Mapping[str, Any]) -> list[Event]:
        """As `Monitor.see`, and writes down the figures that are watched and what was said of them."""
        found = self.monitor.read(figures)
        events = self.monitor.see(step, found)
        self.write(int(step), found, events)
        return events

    def write(self, step: int, figures: Mapping[str, float], events: Sequence[Event]) -> None:
        """Adds a step to the files."""
        if not self._begun:
            with writing(self.folder / FIGURES):
                self.folder.mkdir(parents=True, exist_ok=True)
            for path in (self.folder / FIGURES, self.folder / EVENTS):
                if path.exists():
                    path.replace(path.with_name(path.name + ".old"))
            self._begun = True
        if figures:
            _append(self.folder / FIGURES, [{"step": step, **figures}])
        if events:
            _append(self.folder / EVENTS, [event.to_row() for event in events])


def read_figures(path: str | Path) -> Rows:
    """The rows of a `figures.jsonl`; of those with one step the last.

    Raises:
        InputError: If a line is no such row; names it.
    """
    found: dict[int, dict[str, float]] = {}
    for number, row in iter_json_lines(path, torn=[]):
        step = row.pop("step", None)
        whole = [value for value in (step, *row.values()) if not isinstance(value, float)]
        if isinstance(step, float) or not all(isinstance(value, int) and value.bit_length() < 64 for value in whole):
            raise InputError(f"{path}, line {number}: expected a step and figures, got {row!r:.100}")
        found[step] = row
    return sorted(found.items())


def read_events(path: str | Path, torn: list[int] | None = None) -> list[Event]:
    """The events of an `events.jsonl`; the number of a half-written last line goes to `torn`.

    Raises:
        InputError: If a line is no event; names it.
    """
    events = []
    for number, row in iter_json_lines(path, torn=[] if torn is None else torn):
        try:
            events.append(Event.from_row(row))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    return events


def replay(rows: Rows, monitor: Monitor | None = None) -> list[Event]:
    """What a monitor says of a run whose figures are known."""
    monitor = monitor or Monitor()
    return [event for step, figures in rows for event in monitor.see(step, figures)]


def _append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    cut_tail(path)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(map(_to_line, rows)))


def _to_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
