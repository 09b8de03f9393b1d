"""Length collapse: completions far shorter than the same prompt, or its band, took before training.

Lengths are compared on a log scale, as z values: how many scales a completion lies below the median of what its prompt
took in the reference run. All prompts share one scale, a MAD: most have too few rollouts for one of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rlguard.shortcuts.judge import check_length
from rlguard.shortcuts.ratios import LIMIT
from rlguard.types import Finding, InputError

_NORMAL = 1.4826  # MAD of a normal distribution -> its standard deviation
_FLOOR = 0.1
"""Least scale on the log axis: lengths within 10 % never differ, also where the reference run was greedy."""
_WORDING = 8.0
"""Characters by which ways to state one answer differ ("4", "answer 4"): added to each length at least."""


def find_collapsed(
    lengths: Sequence[float],
    prompt_ids: Sequence[str],
    reference: Mapping[str, Sequence[float]],
    bands: Mapping[str, str] | None = None,
    least_scales: float = 2.5,
    least_ratio: float | None = 0.2,
) -> list[list[Finding]]:
    """Finds completions that are far shorter than a reference run's: before training, or in its first steps.

    Args:
        lengths: B lengths (characters or tokens), at least 0; NaN is not judged.
        prompt_ids: B prompt ids; one that the reference lacks is compared with its band, else with the whole run.
        reference: Prompt id -> lengths in the reference run, in the same unit.
        bands: Prompt id -> band, as far as known.
        least_scales: A finding lies so many scales below, as under 1% of a normal run do.
        least_ratio: A finding has at most this P(length | as in the reference) / P(length | collapsed). The first is
            Student's with 3 degrees of freedom, as outliers prove little; a collapsed completion is anywhere, on the
            log axis, between nothing and what the prompt took. None turns the threshold off.

    Returns:
        B lists of findings, whose spans are `lengths` long.

    Raises:
        InputError: If columns differ in length, there is no reference length, or one is negative or NaN.

    >>> run = {"sum": [90, 100, 110, 120], "short": [3, 4, 4, 5]}
    >>> [[finding.kind for finding in row] for row in find_collapsed([100, 4, 5], ["sum", "short", "sum"], run)]
    [[], [], ['length_collapse']]
    """
    check_length("prompt_ids", prompt_ids, len(lengths))
    runs = {name: np.asarray(run, float) for name, run in reference.items() if len(run)}
    for name, run in runs.items():
        if not (np.isfinite(run).all() and run.min() >= 0):
            raise InputError(f"prompt {name}: expected lengths of at least 0, given {run[~(run >= 0)][:1]}")
    if not runs:
        raise InputError("reference run: expected lengths of at least one prompt, given none")
    # what an answer alone takes: the run's own shortest completions, so that "4" for "answer 4" is no collapse
    offset = max(_WORDING, float(np.quantile(np.concatenate(list(runs.values())), 0.05)))
    logs = {name: np.log(run + offset) for name, run in runs.items()}
    medians = {name: float(np.median(run)) for name, run in logs.items()}
    # a short run's median takes a part of its deviations with it
    several = [(run - medians[name]) / math.sqrt(1 - 1 / len(run)) for name, run in logs.items() if len(run) > 1]
    within = max(_FLOOR, _NORMAL * float(np.median(np.abs(np.concatenate(several))))) if several else _FLOOR
    groups: dict[str, list[float]] = {"": list(medians.values())}
    for name, band in (bands or {}).items():
        if name in medians:
            groups.setdefault(band, []).append(medians[name])
    found: list[list[Finding]] = [[] for _ in lengths]
    for row, name, length in zip(found, prompt_ids, lengths, strict=True):
        if name in medians:
            location, apart = medians[name], within / math.sqrt(len(logs[name]))
        else:
            known = groups.get((bands or {}).get(name, ""), groups[""])
            location = float(np.median(known))
            around = np.array(known if len(known) > 1 else groups[""]) - location
            apart = max(_FLOOR, math.sqrt((around**2).mean()))  # not robust: the few that differ are no outliers
        scale = math.hypot(within, apart)
        z = (math.log(max(length, 0.0) + offset) - location) / scale
        if z < -least_scales:  # never for NaN
            density = 2 / (math.pi * math.sqrt(3)) / (1 + z**2 / 3) ** 2 / scale
            ratio = min(max(density * max(location - math.log(offset), 1e-9), 1 / LIMIT), LIMIT)
            if least_ratio is None or ratio <= least_ratio:
                usual = math.exp(location) - offset
                reason = f"length {length:.0f} where the reference run took about {usual:.0f}"
                row.append(Finding("length_collapse", reason, 0, int(length), ratio, "error"))
    return found
