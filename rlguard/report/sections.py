"""What the page's script reads of each part of a run, apart from prompts and completions."""

from __future__ import annotations

import json
from typing import Any

from rlguard.report.files import Row
from rlguard.report.prompt_rows import FACTS, count_drops, place_rate
from rlguard.report.read import Run
from rlguard.report.runs import name_arms, name_runs
from rlguard.report.verdict import METRICS

POINTS = 1000
"""Points of one curve that are embedded; a longer one is thinned evenly."""

HEAD = 300
"""Characters of a prompt that tables and searches of them have; the rest is inflated with its group."""

LONGEST_PROMPT = 20_000
"""Characters of a prompt that are embedded."""


def describe_columns(prompts: list[Row], runs: int) -> Row:
    """The prompts as columns, and those of each run."""
    return {
        "id": [row["id"] for row in prompts],
        "head": [row["text"][:HEAD] for row in prompts],
        "omitted": [max(0, len(row["text"]) - LONGEST_PROMPT) for row in prompts],
        "answer": [row["answer"] and row["answer"][:HEAD] for row in prompts],
        "of": [
            {name: [row["of"][run] and row["of"][run][name] for row in prompts] for name in FACTS}
            | {"bin": [row["of"][run] and place_rate(row["of"][run]) for row in prompts]}
            for run in range(runs)
        ],
    }


def describe_filters(runs: list[Run]) -> list[Row | None]:
    """Kept and dropped rows of each run; None where there are none."""
    return [
        None
        if run.kept is None and run.dropped is None
        else {"kept": None if run.kept is None else len(run.kept), "reasons": list(count_drops(run).items())}
        for run in runs
    ]


def describe_training(runs: list[Run]) -> Row:
    """The arms with their settings, and every metric with one curve an arm; the important metrics first."""
    arms = name_arms(runs)
    metrics = {metric for arm in arms.values() for metric in arm.curves}
    order = [metric for metric in METRICS if metric in metrics] + sorted(metrics - METRICS.keys())
    fixed = {"guarded": 0, "unguarded": 1}  # the same colour and shape in every report
    free = iter(range(2 if fixed.keys() & arms.keys() else 0, len(arms) + 2))
    return {
        "arms": [
            {"name": name, "style": fixed[name] if name in fixed else next(free), "config": list(flatten(arm.config))}
            for name, arm in arms.items()
        ],
        "metrics": [
            {
                "name": metric,
                "label": METRICS.get(metric, metric),
                "first": metric in METRICS,
                "curves": [thin(arm.curves.get(metric, [])) for arm in arms.values()],
            }
            for metric in order
        ],
    }


def describe_events(runs: list[Run]) -> list[Row]:
    """All alarms, each under the name its arm has in the page."""
    events = []
    for number, (run, name) in enumerate(zip(runs, name_runs(runs), strict=True)):
        for event in run.events:
            full = event["arm"] if len(runs) == 1 else name if len(run.arms) == 1 else f"{name}/{event['arm']}"
            events.append(event | {"run": number, "source": event["arm"], "arm": full})
    grave = {"critical": 0, "warning": 1}
    return sorted(events, key=lambda event: (grave.get(event["severity"], 2), event["step"] or 0))


def thin(points: list[Any]) -> list[Any]:
    """At most POINTS points of a curve, evenly spread, with the first and the last."""
    if len(points) <= POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]


def flatten(value: Row, lead: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names with their values as text.

    >>> flatten({"engine": {"name": "vllm"}, "seed": 0})
    [('engine.name', 'vllm'), ('seed', '0')]
    """
    rows = []
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            rows += flatten(inner, f"{lead}{name}.")
        else:
            rows.append((f"{lead}{name}", inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)))
    return rows
