"""What the command line shows: progress of the sampling, and pass rates as tables."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from rlguard.difficulty.sampling import Progress as Sampled
from rlguard.report.prompt_rows import bin_rates
from rlguard.types import BANDS, PassRate, count_reasons

BAR = 30


class SamplingView:
    """A live line: prompts decided, rollouts taken and saved, tokens a second, time left."""

    def __init__(self, console: Console, engine: str, fixed: bool) -> None:
        """
        Args:
            console: Where it is shown.
            engine: Name of what is loading first.
            fixed: Whether every prompt gets the same number of rollouts, so that nothing can be saved.
        """
        columns = TextColumn("{task.description}"), BarColumn(BAR), MofNCompleteColumn(), TextColumn("prompts decided")
        self._progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True)
        self._bar = self._progress.add_task(f"loading {engine}", total=None, note="")
        self._fixed = fixed
        self._start = 0.0
        self.last: Sampled | None = None
        self.sampled: Sampled | None = None
        """The last state of the sampling proper, before the answer-only rollouts."""

    def show(self, now: Sampled) -> None:
        """Takes a new state of the sampling."""
        if self.last is None or now.phase != self.last.phase:
            self._start = time.monotonic()
            self._progress.reset(self._bar, total=now.prompts, description=now.phase)
        self.last = now
        self.sampled = self.sampled if now.phase == "answer only" else now
        self._progress.update(self._bar, completed=now.decided, note=self._note(now))

    def _note(self, now: Sampled) -> str:
        parts = [f"{now.rollouts} rollouts"]
        if not self._fixed and now.decided:
            parts.append(f"{now.saved} saved")
        seconds = time.monotonic() - self._start
        if now.drawn and seconds > 0:
            parts.append(f"{now.tokens / seconds:.0f} tokens/s")
            parts.append(f"{format_seconds(now.to_come * seconds / now.drawn)} left")
        return " · ".join(parts)

    def __enter__(self) -> SamplingView:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()


def format_seconds(seconds: float) -> str:
    """A duration as people say it.

    >>> format_seconds(42), format_seconds(600), format_seconds(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def describe_saving(done: Sampled) -> str:
    """What adaptive sampling took, against the most for every prompt.

    >>> describe_saving(Sampled('sampling', 10, 10, 300, 128, 980, 0.0, 5000, 300))
    '300 rollouts for 10 decided prompts, where 128 each would be 1280: 77% saved'
    """
    fixed = done.decided * done.most
    return (
        f"{fixed - done.saved} rollouts for {done.decided} decided prompts, where {done.most} each would be {fixed}: "
        f"{done.saved / max(fixed, 1):.0%} saved"
    )


def band_table(rates: Sequence[PassRate]) -> Table:
    """Prompts by band, with the totals below."""
    table = Table("band", "prompts", "", title="Pass rates")
    bands = count_reasons(rate.band for rate in rates)
    for band in (*BANDS, "unscored"):
        if band in bands:
            table.add_row(band, str(bands[band]), bar(bands[band], len(rates)))
    return table


def describe_totals(rates: Sequence[PassRate]) -> str:
    """All rollouts in a line, and how many prompts may stand in a wrong band."""
    names = ("successes", "trials", "truncated", "unscored")
    successes, trials, truncated, unscored = (sum(getattr(rate, name) for rate in rates) for name in names)
    line = f"{successes} of {trials} rollouts correct, {truncated} truncated, {unscored} unscored"
    errors = [rate.band_error for rate in rates if not math.isnan(rate.band_error)]
    return f"{line}; expected in a wrong band: {sum(errors) / len(errors):.1%} of the prompts" if errors else line


def histogram(rates: Sequence[PassRate]) -> Table:
    """Prompts by successes / trials: none, tenths, all."""
    fields = ("successes", "trials", "rate", "band")
    known = [{name: getattr(rate, name) for name in fields} for rate in rates if not math.isnan(rate.rate)]
    bins = [(each["label"], sum(count for _, count in each["bands"])) for each in bin_rates(known)]
    table = Table("successes / trials", "prompts", "", title="Histogram")
    for name, count in bins:
        table.add_row(name, str(count), bar(count, max(count for _, count in bins)))
    return table


def chance_table(kinds: Mapping[str, Mapping[str, Any]]) -> Table:
    """Chance rates by answer type."""
    table = Table("answer type", "prompts", "a guess passes", "95% interval", title="Chance rates")
    for kind, row in kinds.items():
        table.add_row(
            kind,
            str(row["prompts"]),
            f"{row['chance_rate']:.3f}",
            f"{row['chance_low']:.3f} to {row['chance_high']:.3f}",
        )
    return table


def bar(count: int, whole: int) -> str:
    """A bar that shows even the smallest count."""
    return "█" * -(-BAR * count // max(whole, 1))
