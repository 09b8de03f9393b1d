"""The monitor: figures in, events (the lines of `events.jsonl`) out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from rlguard.monitor.change import CLIP, LEAST, Reference, summarise
from rlguard.monitor.watches import WATCHES, Watch
from rlguard.types import InputError

Severity = Literal["critical", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note")
Rule = Literal["change", "state", "reference"]


@dataclass(frozen=True)
class Event:
    """One alarm or note of the monitor."""

    step: int
    severity: Severity
    figure: str
    rule: Rule
    value: float
    """Mean of the figure's last steps."""
    reference: float | None
    """Mean in the run's first steps, or before the run; None if not known yet."""
    bound: float
    """The last healthy value."""
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


Alarms = dict[Severity, tuple[Rule, float]]
"""Severity -> the rule that raised it and the bound that was passed."""


@dataclass(frozen=True)
class MonitorConfig:
    """Settings of a monitor."""

    watches: tuple[Watch, ...] = WATCHES
    false_alarm: float = 0.01
    """Share of healthy runs in which any figure alarms for a change, all figures together."""
    steps: int = 1000
    """Number of logged steps over which `false_alarm` holds."""
    figures: int = 16
    """Number of figures that share `false_alarm`."""
    reference: int = 32
    """Number of first steps that make the reference; in a shorter run its first half."""
    cooldown: int = 50
    """Steps without another event of the same figure, unless it is more severe."""

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm < 1:
            raise InputError(f"MonitorConfig.false_alarm: expected a number in (0, 1), got {self.false_alarm!r}")
        for name, least in (("steps", 1), ("figures", 1), ("reference", LEAST), ("cooldown", 0)):
            if getattr(self, name) < least:
                raise InputError(f"MonitorConfig.{name}: expected at least {least}, got {getattr(self, name)!r}")


@dataclass
class Track:
    """State of one figure."""

    first: list[float] = field(default_factory=list)
    """Its first values, on the scale of its watch."""
    last: list[float] = field(default_factory=list)
    """Its last values, as they are."""
    seen: int = 0
    reference: Reference | None = None
    """On the scale of its watch."""
    heights: dict[str, float] = field(default_factory=dict)
    """Severity -> height of its CUSUM."""
    said: dict[str, int] = field(default_factory=dict)
    """Severity -> step at which it was last said."""


class Monitor:
    """Sees the figures of one run step by step.

    >>> monitor = Monitor()
    >>> lengths = [100 + step % 3 for step in range(40)] + [20] * 20
    >>> events = [event for step, length in enumerate(lengths) for event in monitor.see(step, {"length": length})]
    >>> [str(event) for event in events]
    ['step 46: critical: length fell to 20 from 101, past 50.5']
    """

    def __init__(self, config: MonitorConfig | None = None) -> None:
        self.config = config or MonitorConfig()
        self.step = -1
        """Number of the last step seen."""
        self.tracks: dict[str, Track] = {}
        self.standing: dict[str, Severity] = {}
        """Figures that are in alarm now, and how badly."""
        self._looks = 0

    @property
    def references(self) -> dict[str, float]:
        """What each figure is compared with by now."""
        known = ((figure, track.reference) for figure, track in self.tracks.items())
        return {figure: self._watch(figure).from_scale(base.mean) for figure, base in known if base}

    def read(self, logs: Mapping[str, Any]) -> dict[str, float]:
        """The figures that are watched, by their names here, in what a trainer logged."""
        found: dict[str, float] = {}
        for watch in self.config.watches:
            found |= {name: value for name, value in watch.find(logs).items() if name not in found}
        return found

    def refer(self, figure: str, mean: float, sd: float, steps: float) -> None:
        """Takes a reference from before the run in place of its first steps.

        Args:
            figure: Name of the figure here.
            mean: Its mean before.
            sd: Standard deviation of one step's figure, known well.
            steps: How many steps' worth of data the mean is of, at least 1.

        Raises:
            InputError: If a number cannot be used, or nothing watches such a figure.
        """
        watch = self._watch(figure)
        if not (math.isfinite(mean) and math.isfinite(sd) and sd >= 0 and steps >= 1):
            raise InputError(f"{figure}: expected a finite mean, sd ≥ 0 and steps ≥ 1, got {mean}, {sd}, {steps}")
        spread = sd / max(mean, 1e-9) if watch.relative else sd
        known = Reference(watch.to_scale(mean), max(spread, watch.noise), steps, known=True)
        self.tracks.setdefault(figure, Track()).reference = known

    def see(self, step: int, figures: Mapping[str, Any]) -> list[Event]:
        """Reads the figures of a step.

        Args:
            step: Its number; larger than the last.
            figures: Numbers by name: those here (`WATCHES`) or the trainer's own. What is no finite number is left out.

        Returns:
            Events of this step, the most severe first.

        Raises:
            InputError: If the step is not larger than the last.
        """
        if step <= self.step:
            raise InputError(f"step: expected one after {self.step}, got {step}")
        self.step, self._looks = step, self._looks + 1
        found, events = self.read(figures), []
        for figure in self.tracks:  # those that are 0 where they are not named
            if self._watch(figure).beside in found:
                found.setdefault(figure, 0.0)
        for figure, value in found.items():
            events += self._see(self._watch(figure), figure, value)
        return sorted(events, key=lambda event: SEVERITIES.index(event.severity))

    def _see(self, watch: Watch, figure: str, value: float) -> list[Event]:
        track = self.tracks.get(figure) or self._begin(watch, figure)
        base, taken = self._refer(watch, track, watch.to_scale(value))
        track.last = [*track.last, value][-max(watch.window, LEAST) :]
        alarms = _hold(watch, track.last) | (self._test(watch, track, base, value) if base else {})
        self.standing.pop(figure, None)
        said: Alarms = {}
        if base and taken and watch.warning is not None:
            said["note"] = "reference", watch.bound(base.mean, watch.warning)
        severity = next((name for name in SEVERITIES if name in alarms), None)
        if severity:
            self.standing[figure] = severity
            if not self._is_quiet(track, severity):
                track.said[severity] = self.step
                said[severity] = alarms[severity]
        before = None if base is None else watch.from_scale(base.mean)
        events = []
        for name, (rule, bound) in said.items():
            mean = _mean(track.last, watch.window if rule == "state" else LEAST)
            message = describe(watch, figure, rule, mean, before, bound)
            events.append(Event(self.step, name, figure, rule, mean, before, bound, message))
        return events

    def _begin(self, watch: Watch, figure: str) -> Track:
        """A new figure, which was 0 in the steps in which it might have been named."""
        seen = self.tracks[watch.beside].seen - 1 if watch.beside in self.tracks else 0
        zeros = [0.0] * min(seen, self.config.reference)
        self.tracks[figure] = Track(first=[*map(watch.to_scale, zeros)], last=zeros[-watch.window :], seen=seen)
        return self.tracks[figure]

    def _refer(self, watch: Watch, track: Track, value: float) -> tuple[Reference | None, bool]:
        """The reference for this step, which excludes it; and whether it is final from now on."""
        count = min(self.config.reference, track.seen // 2)
        track.seen += 1
        if track.reference and track.reference.final:
            return track.reference, track.seen == 1
        if len(track.first) < self.config.reference:
            track.first.append(value)
        if count < LEAST:
            return None, False
        track.reference = summarise(track.first[:count], watch.noise, count == self.config.reference)
        return track.reference, track.reference.final

    def _test(self, watch: Watch, track: Track, base: Reference, value: float) -> Alarms:
        """One step of the CUSUM of each severity; those that are sure."""
        found: Alarms = {}
        looks = self.config.steps * min(1.0, track.seen / self._looks)  # some figures are seen rarely
        most = base.threshold(self.config.false_alarm / self.config.figures, looks)
        changes: dict[Severity, float | None] = {"critical": watch.critical, "warning": watch.warning}
        for severity, change in changes.items():
            if change is None:
                continue
            bound = watch.bound(base.mean, change)
            excess = watch.to_scale(value) - watch.to_scale(bound)
            height = base.climb(track.heights.get(severity, 0.0), excess if watch.rises else -excess)
            track.heights[severity] = min(height, most + CLIP)  # so that an alarm ends soon after its cause
            if height > most:
                found[severity] = "change", bound
        return found

    def _is_quiet(self, track: Track, severity: Severity) -> bool:
        """Whether the figure had an event this severe, or more so, within the cooldown."""
        worse = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return any(self.step - track.said[name] <= self.config.cooldown for name in worse if name in track.said)

    def _watch(self, figure: str) -> Watch:
        for watch in self.config.watches:
            if watch.covers(figure):
                return watch
        known = ", ".join(watch.figure for watch in self.config.watches)
        raise InputError(f"figure: expected one of {known}, got {figure!r}")

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state, for a checkpoint."""
        tracks = {figure: asdict(track) for figure, track in self.tracks.items()}
        return {"step": self.step, "looks": self._looks, "tracks": tracks, "standing": dict(self.standing)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.step, self._looks, self.standing = int(state["step"]), int(state["looks"]), dict(state["standing"])
        self.tracks = {}
        for figure, row in state["tracks"].items():
            base = row["reference"]
            self.tracks[figure] = Track(**(dict(row) | {"reference": base and Reference(**base)}))


def _hold(watch: Watch, last: list[float]) -> Alarms:
    """Which limits the mean of the last steps is beyond."""
    found: Alarms = {}
    if len(last) >= min(watch.window, LEAST):
        mean = _mean(last, watch.window)
        for severity, limit in zip(SEVERITIES, reversed(watch.limit), strict=False):
            if limit is not None and (mean > limit if watch.rises else mean < limit):
                found[severity] = "state", limit
    return found


def _mean(last: list[float], steps: int) -> float:
    recent = last[-steps:]
    return sum(recent) / len(recent)
