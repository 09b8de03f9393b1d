"""One run in plain words: a figure, and the sentence it belongs to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rlguard.report.files import Row
from rlguard.report.findings import Owned
from rlguard.report.prompt_rows import count_bands, count_drops
from rlguard.report.read import Run
from rlguard.report.training import Arm

METRICS = {
    "prior_accuracy": "Accuracy on skills held before",
    "prior_bare_share": "Answers given without computation",
    "reward": "Reward",
    "rlguard/lucky_share": "Lucky successes",
    "rlguard/weight_mean": "Mean weight of a success",
    "rlguard/flagged_share": "Flagged completions",
    "rlguard/chance_rate": "Chance rate",
    "rollouts/correct": "Correct rollouts",
    "completions/mean_length": "Mean length (tokens)",
    "entropy": "Entropy",
}
"""The curves that matter most, in the order they are shown, with their names in words."""

Line = tuple[str, str]


@dataclass(frozen=True)
class Tally:
    """Completions of a run that were searched, and how many of them carry a finding."""

    total: int
    correct: int
    flagged: int
    flagged_correct: int
    kinds: dict[str, int]
    """Findings by kind, most frequent first."""

    @property
    def findings(self) -> int:
        return sum(self.kinds.values())


def tally(owned: list[Owned], unsearched: Collection[str] = ()) -> Tally:
    """Counts over all completions of a run, but for those of sources that were not searched for shortcuts."""
    owned = [(rollout, found) for rollout, found in owned if rollout.source not in unsearched or found]
    correct = [rollout.outcome == 1 for rollout, _ in owned]
    flagged = [bool(found) for _, found in owned]
    kinds: dict[str, int] = {}
    for _, found in owned:
        for finding in found:
            kinds[str(finding["kind"])] = kinds.get(str(finding["kind"]), 0) + 1
    return Tally(
        total=len(owned),
        correct=sum(correct),
        flagged=sum(flagged),
        flagged_correct=sum(a and b for a, b in zip(correct, flagged, strict=True)),
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    )


def say_verdict(run: Run, prompts: list[Row], counts: Tally) -> list[Line]:
    """What the run shows, as (figure, sentence) pairs; a part that is not in the run says nothing."""
    return [
        *say_events(run.events),
        *say_prompts(run, prompts),
        *say_findings(run, counts),
        *say_training(run.arms),
    ]


def say_events(events: list[Row]) -> list[Line]:
    """The number of alarms and the first of the most severe; notes do not count."""
    events = [event for event in events if event["severity"] != "note"]
    if not events:
        return []
    first = min(events, key=lambda event: (event["severity"] != "critical", event["step"] or 0))
    at = "" if first["step"] is None else f" at step {first['step']:g}"
    which = "The first critical one" if first["severity"] == "critical" else "The first"
    return [(str(len(events)), f"{plural(len(events), 'alarm')} in training. {which}{at}: {first['message']}")]


def say_prompts(run: Run, prompts: list[Row]) -> list[Line]:
    """How many prompts are worth training on, and why the others are not."""
    if run.kept is not None or run.dropped is not None:
        kept, reasons = len(run.kept or []), count_drops(run)
        dropped = sum(reasons.values())
        if run.kept is None:
            return [(str(dropped), f"{plural(dropped, 'prompt')} dropped{detail(reasons)}.")]
        if run.dropped is None:
            return [(str(kept), f"{plural(kept, 'prompt')} kept; the dropped ones are not in this run.")]
        tail = f"{dropped} dropped{detail(reasons)}." if dropped else "None was dropped."
        return [(f"{kept} of {kept + dropped}", f"prompts are worth training on. {tail}")]
    bands = count_bands(prompts)
    if not bands:
        return []
    total, learnable = sum(bands.values()), bands.pop("learnable", 0)
    return [(f"{learnable} of {total}", f"prompts are in the learnable band{detail(bands, '; the others: ')}.")]


def say_findings(run: Run, counts: Tally) -> list[Line]:
    """How many completions show a shortcut, and how many of the successes."""
    if run.findings is None:
        return []
    if not counts.findings:
        return [("0", "findings: no completion shows a known shortcut.")]
    many = plural(counts.findings, "finding")
    if run.rollouts is None:
        where = f"{many} in {counts.flagged} {plural(counts.flagged, 'completion')}"
        return [(str(counts.findings), f"{where}{detail(counts.kinds)}.")]
    where = f"{many} in {counts.flagged} of {counts.total} completions{detail(counts.kinds)}."
    lines = [(str(counts.findings), where)]
    if counts.correct:
        figure = f"{counts.flagged_correct} of {counts.correct}"
        lines.append((figure, "correct completions carry a finding: they may be right without having been solved."))
    return lines


def say_training(arms: dict[str, Arm]) -> list[Line]:
    """What each training did to the skills held before; to its reward where those were not measured."""
    lines = []
    for name, arm in arms.items():
        for metric in ("prior_accuracy", "reward", "rollouts/correct"):
            change = first_and_last(arm, metric)
            if change is not None:
                figure = f"{show(change[0])} → {show(change[1])}"
                lines.append((figure, f"{name}: {METRICS[metric].lower()}{say_bare(arm, metric)}."))
                break
    return lines


def say_bare(arm: Arm, metric: str) -> str:
    """The share of bare answers, after the accuracy on prior skills: the habit behind the figure."""
    change = first_and_last(arm, "prior_bare_share") if metric == "prior_accuracy" else None
    return f"; answers given without computation {show(change[0])} → {show(change[1])}" if change else ""


def first_and_last(arm: Arm, metric: str) -> tuple[float, float] | None:
    """The first and last value of a curve, or None where there are not two."""
    values = [value for _, value in arm.curves.get(metric, []) if value is not None]
    return (values[0], values[-1]) if len(values) > 1 else None


def show(value: float) -> str:
    """Two decimals, or three significant digits beyond 10.

    >>> show(0.9), show(151.26)
    ('0.90', '151')
    """
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"


def plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def detail(counts: dict[str, int], lead: str = ": ") -> str:
    """Counts in words after a lead, the rarest beyond six summed up.

    >>> detail({"impossible": 22, "gold_rejected": 6})
    ': 22 impossible, 6 gold rejected'
    """
    if not counts:
        return ""
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in list(counts.items())[:6])
    rest = sum(list(counts.values())[6:])
    return f"{lead}{words}" + (f" and {rest} more" if rest else "")
