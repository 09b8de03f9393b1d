"""Runs against the first of them in plain words: what each kept, lost and gained."""

from __future__ import annotations

import math

import numpy as np

from rlguard.report.audits import list_comparisons, list_figures, name_figure
from rlguard.report.load import Arm, Row, Run
from rlguard.report.prompt_rows import count_bands
from rlguard.report.verdict import METRICS, Line, Tally, measure_ends, plural, show
from rlguard.stats import binomial_interval, probability_above

FEW = 10
"""Fewest prompts for an interval of a mean."""

SURE = 0.99
"""Probability above which a prompt is said to be solved more, or less, often in one run."""


def say_comparison(runs: list[Run], prompts: list[Row], counts: list[Tally]) -> list[Line]:
    """What changed from the first run to each of the others, as (figure, sentence) pairs.

    Args:
        runs: Two or more.
        prompts: Of `merge_prompts`: each with its row in every run.
        counts: Of the completions of each run.
    """
    lines: list[Line] = []
    names = name_runs(runs)
    for other in range(1, len(runs)):
        two = [runs[0], runs[other]]
        both = [{"of": [row["of"][0], row["of"][other]]} for row in prompts]
        found = [
            *_say_rates(both),
            *_say_bands(two, both),
            *_say_kept(both),
            *_say_findings(two, [counts[0], counts[other]]),
            *_say_skills(two),
            *_say_alarms(two),
            *_say_audits(two),
        ]
        lead = f"{names[other]} against {names[0]}: " if len(runs) > 2 else ""
        lines += [(figure, f"{lead}{words}") for figure, words in found]
    return lines


def _say_rates(prompts: list[Row]) -> list[Line]:
    """The mean pass rate on the prompts that both runs have, and which of those prompts moved."""
    both = [row["of"] for row in prompts if all(one and one["trials"] and one["rate"] is not None for one in row["of"])]
    if not both:
        return []
    rates_PR = np.array([[one["rate"] for one in pair] for pair in both])
    before, after = rates_PR.mean(axis=0)
    change, where = rates_PR[:, 1] - rates_PR[:, 0], f"{len(both)} {plural(len(both), 'prompt')} in both runs"
    interval, shift = "", float(change.mean())
    if len(both) >= FEW:
        half = 1.96 * change.std(ddof=1) / math.sqrt(len(both))
        interval = f", 95% interval {sign(shift - half)} to {sign(shift + half)}"
    lines = [(f"{before:.2f} → {after:.2f}", f"mean pass rate on the {where}: {sign(shift)}{interval}.")]
    k_R, n_R = (np.array([[one[name] for one in pair] for pair in both]).T for name in ("successes", "trials"))
    more = probability_above(k_R[1], n_R[1], k_R[0], n_R[0])
    lost, gained = int((more < 1 - SURE).sum()), int((more > SURE).sum())
    chance = round(2 * (1 - SURE) * len(both))
    return [
        *lines,
        (
            str(lost),
            f"{plural(lost, 'prompt')} solved less often, {gained} more often, each with {SURE:.0%} probability by "
            f"itself: two equal runs would show up to {chance} of both.",
        ),
    ]


def _say_bands(runs: list[Run], prompts: list[Row]) -> list[Line]:
    bands = [count_bands([row["of"][number] for row in prompts if row["of"][number]]) for number in range(len(runs))]
    if not all(bands):
        return []
    words = [f"{band} {bands[0].get(band, 0)} → {bands[1].get(band, 0)}" for band in bands[0] | bands[1]]
    figure = f"{bands[0].get('learnable', 0)} → {bands[1].get('learnable', 0)}"
    return [(figure, f"prompts in the learnable band. All bands: {', '.join(words)}.")]


def _say_kept(prompts: list[Row]) -> list[Line]:
    """Which prompts both filters kept."""
    decided = [[one and one["decision"] for one in row["of"]] for row in prompts]
    if not all(any(pair[number] for pair in decided) for number in (0, 1)):
        return []
    first, second = ({i for i, pair in enumerate(decided) if pair[number] == "kept"} for number in (0, 1))
    figure = f"{len(first)} → {len(second)}"
    return [(figure, f"prompts kept by the filter: {len(first & second)} by both, {len(first - second)} only by the "
                     f"first, {len(second - first)} only by the second.")]  # fmt: skip


def _say_findings(runs: list[Run], counts: list[Tally]) -> list[Line]:
    """The share of completions with a finding, and whether it surely changed."""
    if any(run.findings is None or run.rollouts is None for run in runs) or not all(one.total for one in counts):
        return []

    (a, b), (low_a, high_a), (low_b, high_b) = (
        [one.flagged / one.total for one in counts],
        *(binomial_interval(one.flagged, one.total) for one in counts),
    )
    # Newcombe's interval for a difference of shares, from Wilson's or any other interval of each.
    low = (b - a) - math.hypot(b - low_b, high_a - a)
    high = (b - a) + math.hypot(high_b - b, a - low_a)
    sure = "more" if low > 0 else "fewer" if high < 0 else f"too few to tell, {_ask_for(a, b, counts)} of each would do"
    interval = f"by {sign(100 * low, 1)} to {sign(100 * high, 1)} points, 95% interval"
    return [(f"{a:.1%} → {b:.1%}", f"of completions carry a finding: {sure} ({interval}).")]


def _ask_for(a: float, b: float, counts: list[Tally]) -> str:
    """Completions of each run after which a difference like this one, or of 5 points, could be told."""
    size, spread = max(abs(b - a), 0.05), max(a * (1 - a) + b * (1 - b), 2 * 0.05 * 0.95)
    needed = math.ceil((1.96 + 0.84) ** 2 * spread / size**2)  # at 5%, with a power of 80%
    return f"{max(needed, 2 * min(one.total for one in counts)):,}"


def _say_skills(runs: list[Run]) -> list[Line]:
    """What each kept of the skills held before, and where its other curves ended."""
    lines: list[Line] = []
    arms = name_arms(runs)
    for metric in ("prior_accuracy", "reward", "accuracy", "rollouts/correct", "entropy", "length"):
        known = {name: measure_ends(arm, metric) for name, arm in arms.items()}
        ends = {name: change for name, change in known.items() if change is not None}
        if len(ends) < 2:
            continue
        told = "; ".join(f"{name} {change}" for name, change in ends.items())
        if metric == "prior_accuracy" and all(change.first > 0 for change in ends.values()):
            figure = " / ".join(f"{change.last / change.first:.0%}" for change in ends.values())
            lines.append((figure, f"of the {METRICS[metric][0].lower()}{METRICS[metric][1:]} was kept: {told}."))
        else:
            figure = " / ".join(show(change.last) for change in ends.values())
            lines.append((figure, f"{METRICS[metric].lower()} at the end: {told}."))
    return lines


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


def sign(value: float, places: int = 2) -> str:
    """A number with its sign, and no sign where it is 0 as shown.

    >>> sign(-0.123), sign(0.001), sign(2.34, 1)
    ('−0.12', '0.00', '+2.3')
    """
    text = f"{abs(value):.{places}f}"
    return text if not float(text) else f"{'−' if value < 0 else '+'}{text}"


def _say_alarms(runs: list[Run]) -> list[Line]:
    kinds = [[e.severity for arm in run.arms.values() for e in arm.events if e.severity != "note"] for run in runs]
    if not any(kinds):
        return []
    critical = [own.count("critical") for own in kinds]
    figure = " → ".join(str(len(own)) for own in kinds)
    return [(figure, f"alarms in training, {critical[0]} and {critical[1]} of them critical.")]


def _say_audits(runs: list[Run]) -> list[Line]:
    """The figures that the last model of each audit lost."""
    lost = []
    for run in runs:
        comparisons = list_comparisons(run.audit)
        if not comparisons:
            return []
        lost.append({name_figure(row) for row in list_figures(comparisons[-1]) if row["verdict"] == "lost"})
    new, back = sorted(lost[1] - lost[0]), sorted(lost[0] - lost[1])
    told = [f"{lead}: {', '.join(names[:6])}" for lead, names in (("Lost only by the second", new),
            ("only by the first", back)) if names]  # fmt: skip
    return [(f"{len(lost[0])} → {len(lost[1])}", f"audited figures lost. {'; '.join(told) or 'The same ones'}.")]
