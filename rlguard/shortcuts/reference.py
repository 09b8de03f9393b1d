"""Length collapse: completions far shorter than the same prompt, or its band, took before training.

Lengths are compared on a log scale, as z values: how many scales a completion lies below what its prompt took in the
reference run. A prompt's location is shrunk towards its band's, or the whole run's, by how much prompts vary there
(normal-normal model; Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.4), with medians and MADs within a
prompt. What counts as short is a quantile of the reference run's own z values, each taken without the rollout it is
for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlguard.shortcuts.ratios import LIMIT
from rlguard.types import Finding, InputError, Rollout

_NORMAL = 1.4826  # MAD of a normal distribution -> its standard deviation
_FLOOR = 0.1
"""Least scale on the log axis: lengths within 10 % never differ, also where the reference run was greedy."""
_WORDING = 8.0
"""Tokens by which ways to state one answer differ ("4", "The answer is 4."): added to each length at least."""
_OWN = 10.0
"""Rollouts that a prompt needs until its own scale weighs as much as the run's."""
_LEFT_OUT = 64
"""Rollouts of one prompt that give z values: quantiles need no more."""

_Level = tuple[float, float]
"""Location and scale on the axis of log(length + offset)."""


@dataclass(frozen=True, slots=True)
class LengthResult:
    """Completion lengths against a reference run."""

    findings_B: list[list[Finding]]
    ratio_B: np.ndarray
    """(B,) P(length | as in the reference) / P(length | collapsed), in [1/50, 50]; 1 where not judged."""


@dataclass(frozen=True, slots=True)
class LengthReference:
    """What completions of each prompt took in a reference run: before training, or in its first steps.

    >>> reference = LengthReference.fit({"sum": [90, 100, 110, 120], "short": [3, 4, 4, 5]})
    >>> result = reference.judge([100, 4, 5], ["sum", "short", "sum"])
    >>> [[finding.kind for finding in row] for row in result.findings_B]
    [[], [], ['length_collapse']]
    """

    prompts: dict[str, _Level]
    """Of one new completion of each prompt."""
    bands: dict[str, _Level]
    """Of one of a new prompt of each band; "" is the whole run."""
    offset: float
    z: np.ndarray
    """The reference run's own z values."""

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
        # what an answer alone takes: the run's own shortest completions, so that "4" for "answer 4" is no collapse
        offset = max(_WORDING, float(np.quantile(np.concatenate(list(runs.values())), 0.05)))
        logs = {name: np.log(run + offset) for name, run in runs.items()}
        within = _spread(np.concatenate([_deviations(run) for run in logs.values()]))
        groups: dict[str, list[float]] = {"": [float(np.median(run)) for run in logs.values()]}
        for name, run in logs.items():
            if bands and name in bands:
                groups.setdefault(bands[name], []).append(float(np.median(run)))
        between = _vary(np.array(groups[""]))
        around = {band: (float(np.median(own)), _vary(np.array(own), between)) for band, own in groups.items()}
        prompts, z = {}, []
        for name, run in logs.items():
            prior = around[(bands or {}).get(name, "")]
            prompts[name] = _predict(run, within, prior)
            for rank in {int((i + 0.5) * len(run) / min(len(run), _LEFT_OUT)) for i in range(min(len(run), _LEFT_OUT))}:
                location, scale = _predict(np.delete(run, rank), within, prior)
                z.append((run[rank] - location) / scale)
        levels = {band: (location, math.hypot(within, apart)) for band, (location, apart) in around.items()}
        return cls(prompts, levels, offset, np.sort(z))

    def judge(
        self,
        lengths: Sequence[float],
        prompt_ids: Sequence[str],
        bands: Sequence[str | None] | None = None,
        completions: Sequence[str] | None = None,
        quantile: float | None = 0.01,
        least_ratio: float | None = 0.5,
    ) -> LengthResult:
        """Compares completions with the reference run.

        Args:
            lengths: B lengths, in the reference's unit; NaN is not judged.
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
        whole, asked = self.bands[""], bands or [None] * len(lengths)
        levels = [
            self.prompts.get(str(p)) or self.bands.get(b or "", whole) for p, b in zip(prompt_ids, asked, strict=True)
        ]
        location, scale = np.array(levels, float).reshape(-1, 2).T
        value = np.log(np.maximum(np.asarray(lengths, float), 0) + self.offset)
        z = (value - location) / scale
        below = value < location  # never for NaN
        density = 2 / (math.pi * math.sqrt(3)) / (1 + z**2 / 3) ** 2 / scale
        room = np.maximum(location - math.log(self.offset), 1e-9)
        ratio = np.where(below, np.clip(density * room, 1 / LIMIT, LIMIT), 1.0)
        # Weibull's plotting positions: a new value falls below the k-th of n with probability k / (n + 1)
        least = math.inf if quantile is None else float(np.quantile(self.z, quantile, method="weibull"))
        flagged = below & (z < least) & (ratio <= (math.inf if least_ratio is None else least_ratio))
        found: list[list[Finding]] = [[] for _ in levels]
        for i in np.flatnonzero(flagged):
            usual = math.exp(location[i]) - self.offset
            reason = f"length {lengths[i]:.0f} where the reference run took about {usual:.0f}"
            end = len(completions[i]) if completions else 0
            severity = "error" if ratio[i] <= 0.2 else "warn"
            found[i].append(Finding("length_collapse", reason, 0, end, float(ratio[i]), severity))  # type: ignore[arg-type]
        return LengthResult(found, ratio)


def _spread(deviations: np.ndarray) -> float:
    """Robust standard deviation around 0, at least `_FLOOR`."""
    known = deviations[~np.isnan(deviations)]
    return max(_FLOOR, _NORMAL * float(np.median(np.abs(known)))) if len(known) else _FLOOR


def _vary(medians: np.ndarray, prior: float = _FLOOR) -> float:
    """Standard deviation of prompts, with one more at `prior`: not robust, as the few that differ are no outliers."""
    return max(_FLOOR, math.sqrt((((medians - np.median(medians)) ** 2).sum() + prior**2) / (len(medians) + 1)))


def _deviations(run: np.ndarray) -> np.ndarray:
    """Deviations from a run's own median, widened by what the median takes from them in a short run; NaN of one."""
    return (run - np.median(run)) * math.sqrt(len(run) / (len(run) - 1)) if len(run) > 1 else run * math.nan


def _predict(run: np.ndarray, within: float, prior: _Level) -> _Level:
    """Where one more completion of a prompt lies, given its run and where prompts like it lie."""
    n, (centre, apart) = len(run), prior
    if not n:
        return centre, math.hypot(within, apart)
    scale = math.sqrt((n * _spread(_deviations(run)) ** 2 + _OWN * within**2) / (n + _OWN))
    precision, prior_precision = n / scale**2, 1 / apart**2
    location = (precision * float(np.median(run)) + prior_precision * centre) / (precision + prior_precision)
    return location, math.hypot(scale, (precision + prior_precision) ** -0.5)
