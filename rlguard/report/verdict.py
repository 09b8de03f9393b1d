"""The run in plain words: a figure, and the sentence it belongs to."""

from __future__ import annotations

from rlguard.report.documents import Documents
from rlguard.report.prompts import count_bands, count_drops
from rlguard.report.read import Arm, Row, Run

METRICS = {
    "prior_accuracy": "Accuracy on skills held before",
    "prior_bare_share": "Answers given without computation",
    "reward": "Reward",
    "rlguard/lucky_share": "Lucky successes",
    "rlguard/weight_mean": "Mean weight of a success",
    "rlguard/flagged_share": "Flagged completions",
    "rlguard/chance_rate": "Chance rate",
    "completions/mean_length": "Mean length (tokens)",
    "entropy": "Entropy",
}
"""The curves that matter most, in the order they are shown, with their names in words."""

Line = tuple[str, str]


def say_verdict(run: Run, prompts: list[Row], documents: Documents) -> list[Line]:
    """What the run shows, as (figure, sentence) pairs; a part that is not in the run says nothing."""
    return [*say_prompts(run, prompts), *say_findings(run, documents), *say_training(run.arms)]


def say_prompts(run: Run, prompts: list[Row]) -> list[Line]:
    """How many prompts are worth training on, and what became of the others."""
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
    learnable = bands.pop("learnable", 0)
    return [(f"{learnable} of {len(prompts)}", f"prompts are in the learnable band{detail(bands, '; the others: ')}.")]


def say_findings(run: Run, documents: Documents) -> list[Line]:
    """How many completions show a shortcut, and how many of the successes."""
    if run.findings is None:
        return []
    if not documents.total_findings:
        return [("0", "findings: no completion shows a known shortcut.")]
    kinds = documents.kinds
    many = plural(documents.total_findings, "finding")
    if run.rollouts is None:
        where = f"{many} in {documents.flagged} {plural(documents.flagged, 'completion')}"
        return [(str(documents.total_findings), f"{where}{detail(kinds)}.")]
    where = f"{many} in {documents.flagged} of {documents.total_texts} completions{detail(kinds)}."
    lines = [(str(documents.total_findings), where)]
    if documents.correct:
        figure = f"{documents.flagged_correct} of {documents.correct}"
        lines.append((figure, "correct completions carry a finding: they may be right without having been solved."))
    return lines


def say_training(arms: dict[str, Arm]) -> list[Line]:
    """What each training did to the skills held before; to its reward where those were not measured."""
    lines = []
    for name, arm in arms.items():
        for metric in ("prior_accuracy", "reward"):
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
