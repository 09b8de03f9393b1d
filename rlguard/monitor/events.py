"""What a monitor says: the lines of `events.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from rlguard.monitor.watches import Watch
from rlguard.types import InputError

Severity = Literal["critical", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note")
Rule = Literal["change", "state", "reference"]


@dataclass(frozen=True)
class Event:
    """What the monitor says."""

    step: int
    severity: Severity
    figure: str
    rule: Rule
    value: float
    """Mean of the figure's last steps."""
    reference: float | None
    """What it was in the run's first steps, or before; None where that is not known yet."""
    bound: float
    """What is still healthy."""
    message: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.severity}: {self.message}"

    def to_row(self) -> dict[str, Any]:
        """A line of `events.jsonl`."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Event:
        """From such a line; fields that are not known are left aside.

        Raises:
            InputError: If a field is missing, or the severity is none.
        """
        names = [item.name for item in fields(cls)]
        if any(name not in row for name in names) or row["severity"] not in SEVERITIES:
            raise InputError(f"expected an event with {', '.join(names)}, got {dict(row)!r:.200}")
        return cls(**{name: row[name] for name in names})


def describe(watch: Watch, figure: str, rule: Rule, value: float, before: float | None, bound: float) -> str:
    """An event in words."""
    if rule == "reference":
        return f"{figure}: the reference is {before:.3g}, healthy {'up' if watch.rises else 'down'} to {bound:.3g}"
    if rule == "state":
        return f"{figure} stands at {value:.3g}, {'above' if watch.rises else 'below'} {bound:.3g}"
    return f"{figure} {'rose' if watch.rises else 'fell'} to {value:.3g} from {before:.3g}, past {bound:.3g}"
