"""Length collapse: completions far shorter than the same prompt, or its band, took before training.

Lengths are compared on a log scale, as z values: how many scales a completion lies below what its prompt took in the
reference run. A prompt's location is shrunk towards its band's and the band's towards the whole run's, by how much
they vary there (normal-normal model; Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.4), with medians and
MADs within a prompt. What counts as short is a quantile of the reference run's own z values, each taken
without the rollout it is for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlguard.shortcuts.ratios import LIMIT
from rlguard.types import Finding, InputError, Rollout

QUANTILE = 0.01
LEAST_RATIO = 0.5
_NORMAL = 1.4826  # MAD of a normal distribution -> its standard deviation
_FLOOR = 0.1
"""Least scale on the log axis: lengths within 10 % never differ, also where the reference run was greedy."""
_WORDING = 8.0
"""Tokens by which ways to state one answer differ ("4", "The answer is 4."): added to each length at least."""
_OWN = 10.0
"""Rollouts that a prompt needs until its own scale weighs as much as the run's."""
_TABLE = 401  # quantiles of the reference's z values that are kept


@dataclass(frozen=True, slots=True)
class LengthResult:
    """Completion lengths against a reference run."""

    findings_B: list[list[Finding]]
    quantile_B: np.ndarray
    """(B,) share of the reference run's completions that fell as far below their prompt's length; NaN not judged."""
    ratio_B: np.ndarray
    """(B,) P(length | as in the reference) / P(length | collapsed), in [1/50, 50]; 1 where not judged."""
    skipped: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Level:
    """Where lengths lie: of a prompt, a band, or the whole run; on the scale of log(length + offset)."""

    location: float
    scale: float
    """Of one new completion: its own spread, and how well the location is known."""


class LengthReference:
    """What completions of each prompt took in a reference run: before training, or in its first steps.

    >>> reference = LengthReference.fit({"sum": [90, 100, 110, 120], "short": [3, 4, 4, 5]})
    >>> result = reference.judge([100, 4, 5], ["sum", "short", "sum"])
    >>> [[finding.kind for finding in row] for row in result.findings_B]
    [[], [], ['length_collapse']]
    """

    def __init__(self) -> None:
        self._prompts: dict[str, _Level] = {}
        self._bands: dict[str, _Level] = {}
        self._whole = _Level(0.0, 1.0)
        self._offset = 0.0
        self._table: np.ndarray = np.zeros(0)

    @classmethod
    def fit(
        cls, lengths: Mapping[str, Sequence[float]] | Iterable[Rollout], bands: Mapping[str, str] | None = None
    ) -> LengthReference:
        """Learns from a reference run.

        Args:
            lengths: Lengths per prompt id (tokens or characters, ≥ 0, the same unit as in `judge`), or rollouts, of
                which the tokens count.
            bands: Band of each prompt id: prompts that the run does not have are compared with their band.

        Raises:
            InputError: If there is no length, or one is negative or NaN; names the prompt.
        """
        if not isinstance(lengths, Mapping):
            collected: dict[str, list[float]] = {}
            for rollout in lengths:
                collected.setdefault(rollout.prompt_id, []).append(rollout.tokens)
            lengths = collected
        runs = {str(name): np.sort(np.asarray(row, float)) for name, row in sorted(lengths.items()) if len(row)}
        for name, run in runs.items():
            if not (np.isfinite(run).all() and run[0] >= 0):
                raise InputError(f"prompt {name}: expected lengths of at least 0, given {run[~(run >= 0)][:1]}")
        if not runs:
            raise InputError("reference run: expected lengths of at least one prompt, given none")
        self = cls()
        # what an answer alone takes: the run's own shortest completions, so that "4" for "answer 4" is no collapse
        self._offset = max(_WORDING, float(np.quantile(np.concatenate(list(runs.values())), 0.05)))
        logs = {name: np.log(run + self._offset) for name, run in runs.items()}
        self._fit_levels(logs, bands or {})
        return self

    def _fit_levels(self, logs: dict[str, np.ndarray], bands: Mapping[str, str]) -> None:
        medians = {name: float(np.median(run)) for name, run in logs.items()}
        residuals = [_deviations(run) for run in logs.values() if len(run) > 1]
        within = _spread(np.concatenate(residuals)) if residuals else _FLOOR
        groups: dict[str, list[str]] = {}
        for name in logs:
            if name in bands:
                groups.setdefault(bands[name], []).append(name)
        centre = float(np.median(list(medians.values())))
        between = _variety(np.array(list(medians.values())) - centre)
        self._whole = _Level(centre, math.hypot(within, between))
        around: dict[str, tuple[float, float]] = {}  # band -> where its prompts lie, and how widely
        for band, names in groups.items():
            own = np.array([medians[name] for name in names])
            location, spread = _shrink(float(np.median(own)), len(own), between, centre, between)
            apart = math.sqrt((len(own) * _variety(own - location) ** 2 + between**2) / (len(own) + 1))
            around[band] = location, math.hypot(apart, spread)
            self._bands[band] = _Level(location, math.hypot(within, around[band][1]))
        z = []
        for name, run in logs.items():
            prior = around.get(bands.get(name, ""), (centre, between))
            self._prompts[name] = _predict(run, within, prior)
            z += [_judge_left_out(run, rank, within, prior) for rank in _spaced(len(run))]
        # Weibull's plotting positions: a new value falls below the k-th of n with probability k / (n + 1)
        self._table = np.quantile(z, np.linspace(0, 1, _TABLE), method="weibull")

    def judge(
        self,
        lengths: Sequence[float],
        prompt_ids: Sequence[str],
        bands: Sequence[str | None] | None = None,
        completions: Sequence[str] | None = None,
        quantile: float | None = QUANTILE,
        least_ratio: float | None = LEAST_RATIO,
    ) -> LengthResult:
        """Compares completions with the reference run.

        Args:
            lengths: B lengths, in the reference's unit.
            prompt_ids: B prompt ids; one that the reference lacks is compared with its band, else with the whole run.
            bands: B bands, or None.
            completions: B texts, which only give the findings their spans.
            quantile: A finding lies below this quantile of the reference run: its share of findings in a run like the
                reference. None turns the threshold off.
            least_ratio: And has at most this likelihood ratio. The density under the reference is Student's with 3
                degrees of freedom (its tails are heavy, so that outliers prove little); a collapsed completion is
                anywhere, on the log axis, between nothing and what the prompt took. None turns the threshold off.

        Raises:
            InputError: If columns differ in length.
        """
        for name, column in (("prompt_ids", prompt_ids), ("bands", bands), ("completions", completions)):
            if column is not None and len(column) != len(lengths):
                raise InputError(f"{name}: expected {len(lengths)}, one per length, given {len(column)}")
        lengths_B = np.asarray(lengths, float)
        levels = [self._level(str(name), bands[i] if bands else None) for i, name in enumerate(prompt_ids)]
        location = np.array([level.location for level in levels])
        scale = np.array([level.scale for level in levels])
        value = np.log(np.maximum(lengths_B, 0) + self._offset)
        z = (value - location) / scale
        known = np.isfinite(z)
        shares = np.interp(np.where(known, z, 0.0), self._table, np.linspace(0, 1, _TABLE), left=0.0)
        room = np.maximum(location - math.log(self._offset), 1e-9)
        density = 2 / (math.pi * math.sqrt(3)) / (1 + z**2 / 3) ** 2 / scale
        below = known & (value < location)
        ratio = np.where(below, np.clip(density * room, 1 / LIMIT, LIMIT), 1.0)
        least = -math.inf if quantile is None else float(np.interp(quantile, np.linspace(0, 1, _TABLE), self._table))
        flagged = below & ((z < least) if quantile is not None else True)
        flagged &= ratio <= (math.inf if least_ratio is None else least_ratio)
        found: list[list[Finding]] = [[] for _ in levels]
        for i in np.flatnonzero(flagged):
            usual = math.exp(location[i]) - self._offset
            reason = f"length {lengths_B[i]:.0f} where the reference run took about {usual:.0f}"
            end = len(completions[i]) if completions else 0
            severity = "error" if ratio[i] <= 0.2 else "warn"
            found[i].append(Finding("length_collapse", reason, 0, end, float(ratio[i]), severity))  # type: ignore[arg-type]
        return LengthResult(found, np.where(known, shares, np.nan), ratio, {})

    def _level(self, prompt_id: str, band: str | None) -> _Level:
        return self._prompts.get(prompt_id) or (self._bands.get(band) if band else None) or self._whole

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state."""
        return {
            "prompts": {name: [level.location, level.scale] for name, level in self._prompts.items()},
            "bands": {name: [level.location, level.scale] for name, level in self._bands.items()},
            "whole": [self._whole.location, self._whole.scale],
            "offset": self._offset,
            "quantiles": self._table.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._prompts = {name: _Level(*level) for name, level in state["prompts"].items()}
        self._bands = {name: _Level(*level) for name, level in state["bands"].items()}
        self._whole, self._offset = _Level(*state["whole"]), float(state["offset"])
        self._table = np.asarray(state["quantiles"], float)


def _spread(values: np.ndarray) -> float:
    """Robust standard deviation around 0, at least `_FLOOR`."""
    return max(_FLOOR, _NORMAL * float(np.median(np.abs(values)))) if len(values) else _FLOOR


def _variety(values: np.ndarray) -> float:
    """Standard deviation around 0, at least `_FLOOR`: not robust, as the few prompts that differ are no outliers."""
    return max(_FLOOR, math.sqrt(float((values**2).mean())))


def _deviations(run: np.ndarray) -> np.ndarray:
    """Deviations from a run's own median, widened by what the median takes from them in a short run."""
    return (run - np.median(run)) * math.sqrt(len(run) / max(1, len(run) - 1))


def _shrink(own: float, count: int, scale: float, prior: float, prior_spread: float) -> tuple[float, float]:
    """Posterior location and its standard deviation, of `count` values around `own` with a normal prior."""
    precision, prior_precision = count / scale**2, 1 / prior_spread**2
    total = precision + prior_precision
    return (precision * own + prior_precision * prior) / total, 1 / math.sqrt(total)


def _predict(run: np.ndarray, within: float, prior: tuple[float, float]) -> _Level:
    """Where one more completion of a prompt lies, given its run and where prompts like it lie."""
    if len(run) == 0:
        return _Level(prior[0], math.hypot(within, prior[1]))
    n, own = len(run), _spread(_deviations(run))
    scale = math.sqrt((n * own**2 + _OWN * within**2) / (n + _OWN))
    location, unsure = _shrink(float(np.median(run)), n, scale, *prior)
    return _Level(location, math.hypot(scale, unsure))


def _judge_left_out(run: np.ndarray, rank: int, within: float, prior: tuple[float, float]) -> float:
    level = _predict(np.delete(run, rank), within, prior)
    return float((run[rank] - level.location) / level.scale)


def _spaced(count: int, most: int = 64) -> list[int]:
    """At most `most` ranks, evenly spaced: the quantiles need no more of one prompt."""
    return sorted({int((i + 0.5) * count / min(count, most)) for i in range(min(count, most))})
