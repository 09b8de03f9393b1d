"""What the command line shows: progress, and pass rates as tables."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from rlguard.cli.app import errors, visible
from rlguard.difficulty.sampling import Progress as Sampled
from rlguard.report.prompt_rows import bin_rates
from rlguard.types import BANDS, PassRate, count_reasons

BAR = 30
MINUTE = 60.0
"""Seconds between two lines where there is no terminal."""


class Bar(Progress):
    """Progress: a live line in a terminal, elsewhere one line per minute."""

    def __init__(self, what: str, unit: str = "") -> None:
        """
        Args:
            what: What is going on first.
            unit: What is counted.
        """
        columns = TextColumn("{task.description}", markup=False), BarColumn(BAR), MofNCompleteColumn()
        super().__init__(*columns, TextColumn("{task.fields[note]}", markup=False), console=errors, transient=True)
        self._bar, self._unit, self._told = self.add_task(what, total=None, note=""), unit, time.monotonic()

    def show(self, what: str, done: int, of: int, note: str = "") -> None:
        """Takes a new state."""
        note = f"{self._unit} {note}".strip()
        self.update(self._bar, description=visible(what), completed=done, total=of, note=note)
        if not self.console.is_terminal and time.monotonic() - self._told >= MINUTE:
            self._told = time.monotonic()
            self.console.print(f"{what}: {done} of {of} {note}", soft_wrap=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows that work of unknown length goes on: in a terminal, elsewhere by a line a minute."""
    start, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(MINUTE):
            errors.print(f"{what}: {format_seconds(time.monotonic() - start)} so far", soft_wrap=True)

    with errors.status(what) if errors.is_terminal else nullcontext():
        if not errors.is_terminal:
            threading.Thread(target=tell, daemon=True).start()
        try:
            yield
        finally:
            done.set()


class SamplingBar(Bar):
    """Progress of sampling: prompts decided, rollouts taken and saved, tokens per second, time left."""

    def __init__(self, engine: str, fixed: bool) -> None:
        """
        Args:
            engine: Name of what is loading first.
            fixed: Whether every prompt gets the same number of rollouts, so that nothing can be saved.
        """
        super().__init__(f"loading {engine}", "prompts decided")
        self._fixed, self._start, self._phase = fixed, 0.0, ""
        self.sampled: Sampled | None = None
        """The last state of the sampling proper, before the answer-only rollouts."""

    def take(self, now: Sampled) -> None:
        """Takes a new state of the sampling."""
        if now.phase != self._phase:
            self._phase, self._start = now.phase, time.monotonic()
        self.sampled = self.sampled if now.phase == "answer only" else now
        self.show(now.phase, now.decided, now.prompts, self._note(now))

    def _note(self, now: Sampled) -> str:
        parts = [f"{now.rollouts} rollouts"]
        if not self._fixed and now.decided:
            parts.append(f"{now.saved} saved")
        seconds = time.monotonic() - self._start
        if now.drawn and seconds > 0:
            parts.append(f"{now.tokens / seconds:.0f} tokens/s")
            parts.append(f"{format_seconds(now.to_come * seconds / now.drawn)} left")
        return " · ".join(parts)


def format_seconds(seconds: float) -> str:
    """A duration as people say it.

    >>> format_seconds(42), format_seconds(600), format_seconds(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def describe_saving(done: Sampled) -> str:
    """What adaptive sampling took, compared with the most for every prompt.

    >>> describe_saving(Sampled('sampling', 10, 10, 300, 128, 980, 0.0, 5000, 300))
    '300 rollouts for 10 decided prompts, where 128 each would be 1280: 77% saved'
    """
    fixed = done.decided * done.most
    return (
        f"{fixed - done.saved} rollouts for {done.decided} decided prompts, where {done.most} each would be {fixed}: "
        f"{done.saved / max(fixed, 1):.0%} saved"
    )


def describe_totals(rates: Sequence[PassRate]) -> str:
    """All rollouts in one line, and how many prompts may be in a wrong band."""
    names = ("successes", "trials", "truncated", "unscored")
    successes, trials, truncated, unscored = (sum(getattr(rate, name) for rate in rates) for name in names)
    line = f"{successes} of {trials} rollouts correct, {truncated} truncated, {unscored} unscored"
    wrong = [rate.band_error for rate in rates if not math.isnan(rate.band_error)]
    return f"{line}; expected in a wrong band: {sum(wrong) / len(wrong):.1%} of the prompts" if wrong else line


def band_table(rates: Sequence[PassRate]) -> Table:
    """Prompts by band."""
    counts = count_reasons(rate.band for rate in rates)
    bands = {band: counts[band] for band in (*BANDS, "unscored") if band in counts}
    return _bars("band", "Pass rates", bands, len(rates))


def histogram(rates: Sequence[PassRate]) -> Table:
    """Prompts by successes / trials: none, tenths, all."""
    fields = ("successes", "trials", "rate", "band")
    known = [{name: getattr(rate, name) for name in fields} for rate in rates if not math.isnan(rate.rate)]
    bins = {each["label"]: sum(count for _, count in each["bands"]) for each in bin_rates(known)}
    return _bars("successes / trials", "Histogram", bins, max(bins.values(), default=1))


def _bars(head: str, title: str, counts: Mapping[str, int], whole: int) -> Table:
    """One bar per row; even the smallest count shows."""
    table = Table(head, "prompts", "", title=title)
    for name, count in counts.items():
        table.add_row(name, str(count), "█" * -(-BAR * count // max(whole, 1)))
    return table


def chance_table(kinds: Mapping[str, Mapping[str, Any]]) -> Table:
    """Chance rates by answer type."""
    table = Table("answer type", "prompts", "a guess passes", "95% interval", title="Chance rates")
    for kind, row in kinds.items():
        low, high = row["chance_low"], row["chance_high"]
        table.add_row(kind, str(row["prompts"]), f"{row['chance_rate']:.3f}", f"{low:.3f} to {high:.3f}")
    return table
