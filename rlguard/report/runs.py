"""Runs against the first of them in plain words: what each kept, lost and gained."""

from __future__ import annotations

import math

import numpy as np

from rlguard.report.audits import list_comparisons, list_figures, name_figure
from rlguard.report.load import Arm, Row, Run
from rlguard.report.prompt_rows import count_bands
from rlguard.report.verdict import METRICS, Line, Tally, measure_ends, plural, show, write_number
from rlguard.stats import binomial_interval, probability_above

FEW = 10
"""Fewest prompts for an interval of a mean."""

SURE = 0.99
"""Probability above which a prompt is said to be solved more, or less, often in one run."""


def say_comparison(runs: list[Run], prompts: list[Row], counts: list[Tally]) -> list[Line]:
    """What changed from the first run to each of the others: a (figure, sentence) pair for each thing measured in all.

    Args:
        runs: Two or more.
        prompts: Of `merge_prompts`: each with its row in every run.
        counts: Of the completions of each run.
    """
    names = name_runs(runs)
    return [
        *_say_rates(names, prompts),
        *_say_bands(prompts, len(runs)),
        *_say_kept(names, prompts),
        *_say_findings(names, runs, counts),
        *_say_skills(runs),
        *_say_alarms(runs),
        *_say_audits(names, runs),
    ]


def _pick(known: list[bool]) -> list[int]:
    """The first run and the others of which something is known; none where that is nothing to compare."""
    return [number for number, one in enumerate(known) if one] if known[0] and any(known[1:]) else []


def _tell(names: list[str], picked: list[int], told: list[str]) -> str:
    """What is said of each run picked but the first; by name where there are several."""
    named = (f"{names[number]} {words}" for number, words in zip(picked[1:], told, strict=True))
    return told[0] if len(names) == 2 else "; ".join(named)


def _say_rates(names: list[str], prompts: list[Row]) -> list[Line]:
    """The mean pass rate on the prompts that the runs share, and how many of those prompts moved."""
    rated: list[list[Row]] = [
        [one if one and one["trials"] and one["rate"] is not None else {} for one in row["of"]] for row in prompts
    ]
    picked = _pick([any(of[number] for of in rated) for number in range(len(names))])
    shared = [[of[number] for number in picked] for of in rated if all(of[number] for number in picked)]
    if not picked or not shared:
        return []
    k_PR, n_PR, rates_PR = (
        np.array([[one[n] for one in of] for of in shared]) for n in ("successes", "trials", "rate")
    )
    shifts, moved, losses = [], [], []
    for other in range(1, len(picked)):
        change_P = rates_PR[:, other] - rates_PR[:, 0]
        shift, interval = float(change_P.mean()), ""
        if len(shared) >= FEW:
            half = 1.96 * float(change_P.std(ddof=1)) / math.sqrt(len(shared))
            interval = f", 95% interval {_span(shift - half, shift + half)}"
        shifts.append(f"{write_number(shift, signed=True)}{interval}")
        more_P = probability_above(k_PR[:, other], n_PR[:, other], k_PR[:, 0], n_PR[:, 0])
        losses.append(str(int((more_P < 1 - SURE).sum())))
        moved.append(f"{losses[-1]} less often and {int((more_P > SURE).sum())} more often")
    chance = round(2 * (1 - SURE) * len(shared))
    where = f"{len(shared)} {plural(len(shared), 'prompt')} in {'both' if len(picked) == 2 else 'all'} runs"
    told = f"of these prompts solved less often: {_tell(names, picked, moved)}, each with {SURE:.0%} probability"
    return [
        (" → ".join(f"{mean:.2f}" for mean in rates_PR.mean(axis=0)),
         f"mean pass rate on the {where}: {_tell(names, picked, shifts)}."),
        (" / ".join(losses), f"{told} by itself; two equal runs would show up to {chance} of both."),
    ]  # fmt: skip


def _span(low: float, high: float, places: int = 2) -> str:
    return " to ".join(write_number(value, places, signed=True) for value in (low, high))


def _say_bands(prompts: list[Row], runs: int) -> list[Line]:
    bands = [count_bands([row["of"][number] for row in prompts if row["of"][number]]) for number in range(runs)]
    bands = [bands[number] for number in _pick([bool(own) for own in bands])]
    moves = {band: " → ".join(str(own.get(band, 0)) for own in bands) for own in bands for band in own}
    told = ", ".join(f"{band} {move}" for band, move in moves.items())
    return [(moves.get("learnable", "0"), f"prompts in the learnable band. All bands: {told}.")] if moves else []


def _say_kept(names: list[str], prompts: list[Row]) -> list[Line]:
    """How many prompts each filter kept, and all of them."""
    decided = [{row["id"]: row["of"][n]["decision"] for row in prompts if row["of"][n]} for n in range(len(names))]
    kept = [{name for name, decision in decided[number].items() if decision == "kept"}
            for number in _pick([any(own.values()) for own in decided])]  # fmt: skip
    shared = f"prompts kept by the filter, {len(set.intersection(*kept or [set()]))} of them in every run."
    return [(" → ".join(str(len(own)) for own in kept), shared)] if kept else []


def _say_findings(names: list[str], runs: list[Run], counts: list[Tally]) -> list[Line]:
    """The share of completions with a finding, and whether it surely changed."""
    known = [run.findings is not None and run.rollouts is not None for run in runs]
    picked = _pick([one and count.total > 0 for one, count in zip(known, counts, strict=True)])
    if not picked:
        return []
    shares, told = [counts[number].flagged / counts[number].total for number in picked], []
    intervals = [binomial_interval(counts[number].flagged, counts[number].total) for number in picked]
    for number, b, (low_b, high_b) in zip(picked[1:], shares[1:], intervals[1:], strict=True):
        a, (low_a, high_a) = shares[0], intervals[0]
        # Newcombe's interval for a difference of shares, from Wilson's or any other interval of each.
        low = (b - a) - math.hypot(b - low_b, high_a - a)
        high = (b - a) + math.hypot(high_b - b, a - low_a)
        needed = f"too few to tell, {_ask_for(a, b, [counts[0], counts[number]])} of each would do"
        sure = "more" if low > 0 else "fewer" if high < 0 else needed
        told.append(f"{sure} (by {_span(100 * low, 100 * high, 1)} points, 95% interval)")
    figure = " → ".join(f"{share:.1%}" for share in shares)
    return [(figure, f"of completions show a shortcut: {_tell(names, picked, told)}.")]


def _ask_for(a: float, b: float, counts: list[Tally]) -> str:
    """Completions of each run after which a difference like this one, or of 5 points, could be told."""
    size, spread = max(abs(b - a), 0.05), max(a * (1 - a) + b * (1 - b), 2 * 0.05 * 0.95)
    needed = math.ceil((1.96 + 0.84) ** 2 * spread / size**2)  # at 5%, with a power of 80%
    return f"{max(needed, 2 * min(one.total for one in counts)):,}"


def _say_skills(runs: list[Run]) -> list[Line]:
    """What each training kept of the skills held before, and where its other curves ended."""
    lines: list[Line] = []
    for metric in ("prior_accuracy", "reward", "accuracy", "rollouts/correct", "entropy", "length"):
        known = {name: measure_ends(arm, metric) for name, arm in name_arms(runs).items()}
        ends = {name: change for name, change in known.items() if change is not None}
        if len(ends) < 2:
            continue
        told = "; ".join(f"{name} {change}" for name, change in ends.items())
        label = METRICS[metric][0].lower() + METRICS[metric][1:]
        if metric == "prior_accuracy" and all(change.first > 0 for change in ends.values()):
            figure = " / ".join(f"{change.last / change.first:.0%}" for change in ends.values())
            lines.append((figure, f"of the {label} was kept: {told}."))
        else:
            lines.append((" / ".join(show(change.last) for change in ends.values()), f"{label} at the end: {told}."))
    return lines


def _say_alarms(runs: list[Run]) -> list[Line]:
    kinds = [[e.severity for arm in run.arms.values() for e in arm.events if e.severity != "note"] for run in runs]
    critical = " → ".join(str(own.count("critical")) for own in kinds)
    told = f"alarms in training; critical ones: {critical}."
    return [(" → ".join(str(len(own)) for own in kinds), told)] if any(kinds) else []


def _say_audits(names: list[str], runs: list[Run]) -> list[Line]:
    """The figures that the last model of each audit lost."""
    audits = [list_comparisons(run.audit) for run in runs]
    picked = _pick([bool(own) for own in audits])
    figures = [list_figures(audits[number][-1]) for number in picked]
    lost = [{name_figure(row) for row in rows if row["verdict"] == "lost"} for rows in figures]
    told = []
    for own in lost[1:]:
        only = (("lost only here", sorted(own - lost[0])), ("only in the first run", sorted(lost[0] - own)))
        told.append("; ".join(f"{lead}: {', '.join(of[:6])}" for lead, of in only if of) or "the same ones")
    figure = " → ".join(str(len(own)) for own in lost)
    return [(figure, f"audited figures lost; {_tell(names, picked, told)}.")] if picked else []


def name_arms(runs: list[Run]) -> dict[str, Arm]:
    """The trainings of all runs, each under its run's name, and its own where a run has several."""
    if len(runs) == 1:
        return runs[0].arms
    names = name_runs(runs)
    return {
        name if len(run.arms) == 1 else f"{name}/{arm_name}": arm
        for name, run in zip(names, runs, strict=True)
        for arm_name, arm in run.arms.items()
    }


def name_runs(runs: list[Run]) -> list[str]:
    """A short name for each run; folders of one name are told apart by those above them.

    >>> from pathlib import Path
    >>> name_runs([Run(Path("/a/out")), Run(Path("/b/out"))])
    ['a/out', 'b/out']
    """
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{run.path.resolve().parent.name}/{run.name}" for run in runs]
    return names if len(set(names)) == len(names) else [f"{number} {name}" for number, name in enumerate(names, 1)]
