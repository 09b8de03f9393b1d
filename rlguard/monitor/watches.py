"""The figures of a training run that are watched, and how each is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlguard.types import InputError


@dataclass(frozen=True)
class Watch:
    """How one figure is judged."""

    figure: str
    """Its name here; `findings/*` stands for every name that begins so."""
    names: tuple[str, ...]
    """Names that trainers log it under; the first one found in a step counts."""
    rises: bool
    """Whether a rise is bad; if not, a fall is."""
    warning: float | None = None
    """Largest healthy change; a change that is surely larger is a warning. None: any change is healthy."""
    critical: float | None = None
    """Change beyond which the alarm is critical; None: never."""
    relative: bool = False
    """Whether changes are relative to the reference instead of differences."""
    limit: tuple[float | None, float | None] = (None, None)
    """Values beyond which the state is a warning and critical, whatever the reference."""
    window: int = 16
    """Number of last steps whose mean is compared with `limit`; early in a run all steps, at least 4."""
    noise: float = 0.02
    """Floor for the standard deviation from step to step; of the logarithm if `relative`."""
    beside: str = ""
    """A figure logged in the same steps: where it is logged and this one is not, this one is 0."""

    def __post_init__(self) -> None:
        most = 1.0 if self.relative and not self.rises else math.inf
        for name in ("warning", "critical"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < most:
                raise InputError(f"Watch {self.figure!r}: {name}: expected a change in [0, {most}), got {value!r}")
        if self.window < 1 or self.noise <= 0:
            raise InputError(f"Watch {self.figure!r}: expected a window of at least 1 and a noise above 0")

    def find(self, logs: Mapping[str, Any]) -> dict[str, float]:
        """Its figures in what a trainer logged: name here -> finite value."""
        found: dict[str, float] = {}
        for name in (self.figure, *self.names):
            if not name.endswith("*"):
                keys = [name] if name in logs else []
            else:
                keys = [key for key in logs if key.startswith(name[:-1])]
            for key in keys:
                figure = self.figure[:-1] + key[len(name) - 1 :] if name.endswith("*") else self.figure
                value = _number(logs[key])
                if math.isfinite(value):
                    found.setdefault(figure, value)
        return found

    def to_scale(self, value: float) -> float:
        """The value on the scale on which changes are differences."""
        return math.log(max(value, 1e-9)) if self.relative else value

    def from_scale(self, value: float) -> float:
        return math.exp(value) if self.relative else value

    def bound(self, mean: float, change: float) -> float:
        """Where a reference mean on the scale and a change that is allowed lead, as the figure is."""
        sign = 1 if self.rises else -1
        return self.from_scale(mean) * (1 + sign * change) if self.relative else mean + sign * change

    def covers(self, figure: str) -> bool:
        """Whether it judges the figure of that name."""
        return figure.startswith(self.figure[:-1]) if self.figure.endswith("*") else figure == self.figure


WATCHES = (
    Watch("length", ("completions/mean_length", "response_length/mean"), False, 0.3, 0.5, relative=True, noise=0.05),
    Watch("findings", ("rlguard/flagged_share",), True, 0.1, 0.4, noise=0.04),
    Watch("findings/*", ("rlguard/findings/*",), True, 0.15, 0.4, noise=0.04, beside="findings"),
    Watch("lucky_share", ("rlguard/lucky_share",), True, 0.15, 0.4, limit=(0.5, 0.8), noise=0.05),
    Watch("chance_rate", ("rlguard/chance_rate",), True, 0.3, 0.6, noise=0.05),
    Watch("unsolved_groups", ("rlguard/unsolved_groups",), True, 0.3, limit=(0.7, None), noise=0.05),
    Watch("flat_groups", ("rlguard/flat_groups", "frac_reward_zero_std"), True, limit=(0.98, None)),
    Watch("entropy", ("entropy", "actor/entropy"), False, 0.9, 0.98, relative=True, noise=0.1),
    Watch("canary", ("canary/accuracy", "audit/all/accuracy"), False, 0.05, 0.15, noise=0.005),
)
"""What is watched by default.

Mean completion length; share of completions with a finding, of any kind and of each; the guard's lucky share and chance
rate; groups without any right rollout; groups of zero variance, which right rollouts alone make too: little is left to
learn from; entropy of the policy; accuracy on a few questions that are not trained on.
"""


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
