"""What the monitor shows on a terminal: a line while training, a table of the whole run in `rlguard watch`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.table import Table
from rich.text import Text

from rlguard.monitor.core import Event, Severity

STYLES: dict[Severity, str] = {"critical": "bold red", "warning": "yellow", "note": "dim"}
WIDTH = 18
SHOWN = 12
"""Names of the log that nothing watches, of which so many are told."""
BARS = "▁▂▃▄▅▆▇█"


def draw_sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Values as bars between their smallest and largest; of many, the means of `width` stretches.

    >>> draw_sparkline([0, 1, 2, 3]), draw_sparkline([5, 5]), draw_sparkline(range(100), 4), draw_sparkline([])
    ('▁▃▆█', '▁▁', '▁▃▆█', '')
    """
    count = min(width, len(values))
    cuts = [i * len(values) // count for i in range(count)] + [len(values)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(cuts)]
    low, span = min(means, default=0.0), max(means, default=0.0) - min(means, default=0.0)
    return "".join(BARS[int((mean - low) / span * (len(BARS) - 1) + 0.5) if span else 0] for mean in means)


def write_line(step: int, figures: Mapping[str, float], standing: Mapping[str, Severity]) -> Text:
    """A step's figures in one line; those in alarm are coloured and first."""
    line = Text(f"rlguard {step:>5}", style="dim", no_wrap=True, overflow="ellipsis")
    for figure in sorted(figures, key=lambda figure: (figure not in standing, "/" in figure)):
        if "/" in figure and figure not in standing:
            continue  # there may be many kinds of findings
        sign = {"critical": "‼ ", "warning": "! "}.get(standing.get(figure, ""), "")
        style = STYLES[standing[figure]] if figure in standing else ""
        line.append(f"  {sign}{figure} {figures[figure]:.3g}", style=style or "default")
    return line


def write_event(event: Event) -> Text:
    """An event in words; an alarm with its usual cause and what to do in a second line."""
    text = Text(str(event), style=STYLES[event.severity])
    return text.append(f"\n    {event.advice}", style="default") if event.advice else text


def make_table(
    rows: Sequence[tuple[int, Mapping[str, float]]],
    references: Mapping[str, float],
    standing: Mapping[str, Severity],
    title: str,
) -> Table:
    """The figures of a run: how each went, where it stands, what it was at first."""
    table = Table("figure", "", "last", "reference", "change", "steps", title=title, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    series: dict[str, list[float]] = {}
    for _, figures in rows:
        for figure, value in figures.items():
            series.setdefault(figure, []).append(value)
    for figure in sorted(series, key=lambda figure: ("/" in figure, figure)):
        values, before = series[figure], references.get(figure)
        change = 0.0 if before is None or math.isclose(values[-1], before) else values[-1] - before
        known = ["–", "–"] if before is None else [f"{before:.3g}", f"{change:+.3g}"]
        cells = [draw_sparkline(values), f"{values[-1]:.3g}", *known, str(len(values))]
        table.add_row(figure, *cells, style=STYLES[standing[figure]] if figure in standing else "")
    return table


def list_events(
    events: Sequence[Event],
    watched: int,
    unread: Sequence[str] = (),
    early: bool = False,
    most: int = 10,
    notes: Sequence[str] = (),
) -> Text:
    """The last alarms, the newest last; how many came before; what was not watched.

    Args:
        events: All of a run.
        watched: Number of figures that were read: without any, "no alarm" would mean nothing.
        unread: The trainer's names that nothing watches.
        early: Whether there are too few steps to compare anything.
        most: Alarms that are shown.
        notes: What else could not be read.
    """
    alarms: list[Any] = [event for event in events if event.severity != "note"]
    lines = [write_event(event) for event in alarms[-most:]]
    if len(alarms) > most:
        lines.insert(0, Text(f"{len(alarms) - most} earlier alarms", style="dim"))
    if not alarms and watched:
        told = "; too early to compare: that takes 9 steps" if early else ""
        lines.append(Text(f"no alarm in {watched} figure{'s' * (watched > 1)}{told}", style="" if early else "green"))
    if not watched:
        lines.append(Text("NOTHING IS WATCHED: no figure of the log is known; docs/monitor.md lists names, "
                          "and `Watch` adds one", style=STYLES["critical"]))  # fmt: skip
    if unread:
        more = f" and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
        lines.append(Text(f"not watched: {', '.join(unread[:SHOWN])}{more}", style="dim"))
    lines += [Text(note, style=STYLES["warning"]) for note in notes]
    return Text("\n").join(lines)
