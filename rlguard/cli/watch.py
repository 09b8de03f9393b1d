"""`rlguard watch`: a training run followed from another terminal."""

from __future__ import annotations

import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlguard.cli.app import app, console
from rlguard.types import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rlguard.monitor.core import Event


RECENT = 50
"""Steps for which a figure with an alarm is coloured."""


class NothingThere(InputError):
    """The folder holds no run yet."""


class Severe(StrEnum):
    """Severities of an alarm."""

    warning = "warning"
    critical = "critical"


@app.command()
def watch(
    run: Annotated[Path, typer.Argument(help="Folder with figures.jsonl, or a trainer's output folder.")],
    once: Annotated[bool, typer.Option("--once", help="Print and leave.")] = False,
    fail_on: Annotated[Severe | None, typer.Option(help="Leave with 1 if there was an alarm this severe.")] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the files.")] = 2.0,
) -> None:
    """Follow a run: each figure's course, its last value against the first steps, and the alarms.

    Reads figures.jsonl and events.jsonl as MonitorCallback writes them. Where there is only a trainer's
    trainer_state.json, the monitor looks at what was logged there. Ctrl-C leaves.
    """
    if once:
        events, shown = look(run)
        console.print(shown)
    else:
        events = _follow(run, every)
    severe = {"warning": ("warning", "critical"), "critical": ("critical",)}[fail_on.value] if fail_on else ()
    if any(event.severity in severe for event in events):
        raise typer.Exit(1)


def look(run: Path) -> tuple[list[Event], RenderableType]:
    """The events of a run so far, and what there is to show.

    Raises:
        NothingThere: If the folder holds nothing to watch.
        InputError: If a file cannot be read.
    """
    from rich.console import Group

    from rlguard.monitor import Monitor
    from rlguard.monitor.journal import EVENTS, FIGURES, find_state, read_events, read_figures, read_logs, replay
    from rlguard.monitor.view import list_events, make_table

    monitor, state = Monitor(), find_state(run)
    if (run / FIGURES).exists():
        rows = read_figures(run / FIGURES)
        replay(rows[: 2 * monitor.config.reference + 1], monitor)  # later references are among the events
        events = read_events(run / EVENTS) if (run / EVENTS).exists() else []
    elif state:
        found = [(step, monitor.read(logs)) for step, logs in read_logs(state)]
        rows = [(step, figures) for step, figures in found if figures]
        events = replay(rows, monitor)
    else:
        raise NothingThere(f"{run}: expected {FIGURES} of a monitor, or a checkpoint with trainer_state.json")
    last = rows[-1][0] if rows else 0
    references = monitor.references | {e.figure: e.reference for e in events if e.reference is not None}
    recent = {e.figure: e.severity for e in events if e.severity != "note" and e.step > last - RECENT}
    return events, Group(make_table(rows, references, recent, f"{run}, step {last}"), list_events(events))


def _follow(run: Path, every: float) -> list[Event]:
    """Shows the run until Ctrl-C; the events by then."""
    from rich.live import Live

    events: list[Event] = []
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                events, shown = look(run)
            except NothingThere as nothing:
                shown = f"waiting: {nothing}"
            live.update(shown, refresh=True)
            time.sleep(every)
    return events
