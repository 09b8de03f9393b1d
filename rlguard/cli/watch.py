"""`rlguard watch`: a training run followed from another terminal."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rlguard.cli.app import app, console, errors, read_columns
from rlguard.types import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rlguard.monitor.core import Event


RECENT = 50
"""Steps for which a figure with an alarm is coloured."""


PATIENCE = 5
"""Reads in a row that may fail of a log that could be read before: it may be just being written."""


class NothingThere(InputError):
    """The folder holds no run yet."""


@app.command()
def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its log: figures.jsonl, JSONL, CSV, printed lines.")],
    once: Annotated[bool, typer.Option("--once", help="Print once and exit.")] = False,
    fail_on: Annotated[
        Literal["warning", "critical"] | None, typer.Option(help="Exit with 1 on an alarm this severe.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two reads of the files.")] = 2.0,
    webhook: Annotated[str | None, typer.Option(help="Post each alarm to this address, in Slack's format.")] = None,
    serve: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Also serve the report on this port of 127.0.0.1; 0 picks one.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE=NAME", help="What the log calls a figure or the step, as entropy=my/h; repeat."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; without --once, one for each alarm and note.")
    ] = False,
) -> None:
    """Follow a training run: its figures, and alarms with what to do.

    Reads figures.jsonl and events.jsonl as MonitorCallback writes them; else the trainer's own log, of TRL, verl,
    tinker, OpenRLHF or a loop of yours. What nothing watches is named. Ctrl-C leaves.
    """
    from rlguard.monitor import Webhook
    from rlguard.monitor.watches import WATCHES

    figures = dict.fromkeys(watch.figure for watch in WATCHES if "*" not in watch.figure)
    columns = read_columns(column, ("step", *figures))
    tell: Callable[[Event], None] = Webhook(webhook, run.resolve().name) if webhook else lambda event: None
    if once:
        found = look(run, columns)
        events = found.events
        for event in events:
            tell(event)
        if as_json:
            print(json.dumps({"step": found.step, "figures": found.figures, "unread": found.unread,
                              "notes": found.notes, "events": [event.to_row() for event in events]}))  # fmt: skip
        else:
            console.print(found.shown)
    else:
        with nullcontext() if serve is None else _serving(run, serve, every):
            events = _follow(run, columns, every, tell, as_json)
    if once and fail_on and not found.figures:
        raise InputError(f"{run}: --fail-on {fail_on}: no figure of the log is known, so no alarm could be raised")
    severe = {None: (), "warning": ("warning", "critical"), "critical": ("critical",)}[fail_on]
    if any(event.severity in severe for event in events):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Look:
    """A run so far."""

    step: int
    events: list[Event]
    figures: list[str]
    """The figures that are watched."""
    unread: list[str]
    """The trainer's names that nothing watches."""
    notes: list[str]
    """What could not be read."""
    shown: RenderableType


def look(run: Path, columns: Mapping[str, str]) -> Look:
    """The events of a run so far, and what there is to show; `columns` as in `read_log`.

    Raises:
        NothingThere: If the folder holds nothing to watch.
        InputError: If a file cannot be read.
    """
    from rich.console import Group

    from rlguard.monitor import Monitor
    from rlguard.monitor.journal import EVENTS, FIGURES, read_events, read_figures, replay
    from rlguard.monitor.logs import EXPECTED, find_log, read_log
    from rlguard.monitor.view import list_events, make_table

    monitor = Monitor()
    torn: list[int] = []
    lost: dict[str, list[int]] = {}
    folder = run.parent if run.name == FIGURES else run
    if (folder / FIGURES).exists() and not columns:
        rows = logged = read_figures(folder / FIGURES)
        replay(rows[: 2 * monitor.config.reference + 1], monitor)  # later references are among the events
        events = read_events(folder / EVENTS) if (folder / EVENTS).exists() else []
    elif log := find_log(run):
        logged = read_log(log, torn, columns, lost)
        events = replay(logged, monitor)
        rows = [(step, figures) for step, logs in logged if (figures := monitor.read(logs))]
    else:
        raise NothingThere(
            f"{run}: {'found no log' if run.exists() else 'no such file or folder'}; expected {EXPECTED}"
        )
    last = rows[-1][0] if rows else 0
    references = monitor.references | {e.figure: e.reference for e in events if e.reference is not None}
    recent = {e.figure: e.severity for e in events if e.severity != "note" and e.step > last - RECENT}
    known, unread = sorted({name for _, row in rows for name in row}), list(monitor.unread)
    notes = [f"{name} is no number at {len(steps)} of the steps, the last of them {steps[-1]}"
             for name, steps in lost.items() if name in columns or monitor.knows(name)]  # fmt: skip
    notes += [f"line {line} is half-written and was left out" for line in torn]
    if not logged:
        notes.append("no step with a number in it was found")
    words = list_events(events, len(known), unread, early=not monitor.references, notes=notes)
    shown = Group(make_table(rows, references, recent, f"{run}, step {last}"), words) if rows else words
    return Look(last, events, known, unread, notes, shown)


def _follow(
    run: Path, columns: Mapping[str, str], every: float, tell: Callable[[Event], None], as_json: bool
) -> list[Event]:
    """Shows the run until Ctrl-C: as a table, or line by line in JSON and where there is no terminal.

    Returns:
        The events by then.
    """
    from rich.live import Live

    from rlguard.cli.console import MINUTE
    from rlguard.monitor.view import write_event

    events: list[Event] = []
    lines, said = as_json or not console.is_terminal, -math.inf
    first, step, failed = True, -1, 0
    shown: RenderableType = ""
    with suppress(KeyboardInterrupt), nullcontext() if lines else Live(console=console, auto_refresh=False) as live:
        while True:
            fresh: list[Event] = []
            try:
                found = look(run, columns)
                fresh = [event for event in found.events if event not in events]
                events, shown, step = found.events, found.shown, found.step
                for event in () if first else fresh:  # those from before the watching are no news
                    tell(event)
                first, failed = False, 0
            except NothingThere as nothing:
                shown = f"waiting: {nothing}"
            except InputError:
                failed += 1
                if first or failed > PATIENCE:
                    raise
            except OSError as error:
                errors.print(f"{run}: {error}", markup=False)
            if live:
                live.update(shown, refresh=True)
            for event in fresh if lines else ():
                if as_json:
                    print(json.dumps(event.to_row()), flush=True)
                else:
                    console.print(write_event(event), soft_wrap=True)
            if lines and not as_json and time.monotonic() - said >= MINUTE:
                said = time.monotonic()
                errors.print(f"step {step}: {len(events)} alarms and notes" if step >= 0 else shown, soft_wrap=True)
            time.sleep(every)
    if lines and not as_json:
        console.print(shown)
    return events


@contextmanager
def _serving(run: Path, port: int, every: float) -> Iterator[None]:
    """Serves the run's report beside."""
    from rlguard.report.serve import serve_report

    server = serve_report(run, port, every)
    console.print(f"report: http://127.0.0.1:{server.server_port}/", highlight=False, soft_wrap=True)
    try:
        yield
    finally:
        server.shutdown()
