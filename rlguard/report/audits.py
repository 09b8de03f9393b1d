"""The record of an audit (`audit.json`): what it says in words, and what the page's script reads of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from rlguard.report.load import VERDICTS, Row, finite
from rlguard.report.verdict import Line, detail, plural, write_number

GROUPS = ("retention", "calibration", "coverage", "reasoning", "format", "diversity")
"""Groups of figures in the order in which they are listed; any other comes after."""

NAMED = 8
"""Figures that a sentence names; the rest it counts."""

LUCK = 0.05
"""A question's turn is called unlikely to be luck below this probability."""

LISTED = 1000
"""Questions of one list that are embedded, the surest first; counts are over all."""

LONGEST_QUESTION = 2000
"""Characters of a question that are embedded."""

NUMBERS = ("before", "after", "change", "low", "high", "tolerance", "questions", "better")


def list_comparisons(audit: Row | None) -> list[Row]:
    """The audited models, each with its figures; none where there was no audit."""
    return (audit or {}).get("comparisons") or []


def list_figures(comparison: Row) -> list[Row]:
    """The figures of one audited model, with numbers that are finite or None."""
    rows = comparison.get("rows") or []
    words = ("group", "name", "domain", "verdict")
    return [{k: str(row.get(k)) for k in words} | {k: finite(row.get(k)) for k in NUMBERS} for row in rows]


def name_figure(row: Row) -> str:
    """A figure and what it is of.

    >>> name_figure({"name": "accuracy", "domain": "logic"}), name_figure({"name": "pass@4", "domain": "all"})
    ('accuracy on logic', 'pass@4')
    """
    name, domain = row["name"], row["domain"]
    if domain == "all":
        return f"{name} over all domains" if name == "accuracy" else name
    return f"{name} ({domain})" if "," in name else f"{name} on {domain}"


def say_losses(audit: Row | None) -> list[Line]:
    """One line for each audited model: what it lost against the first."""
    lines = []
    for comparison in list_comparisons(audit):
        rows = list_figures(comparison)
        lost = [name_figure(row) for row in rows if row["verdict"] == "lost"]
        counts = {word: sum(row["verdict"] == word for row in rows) for word in VERDICTS[1:]}
        told = f": {_sum_up(lost)}" if lost else ""
        others = detail({word: count for word, count in counts.items() if count}, ". The others: ")
        name = f"{comparison['name']} against {(audit or {}).get('before')}"
        lines.append((f"{len(lost)} lost", f"of {len(rows)} figures, {name}{told}{others}."))
    return lines


def say_comparison(comparison: Row) -> list[Line]:
    """What the audit of one model found, as (figure, sentence) pairs, losses first; its table has every figure."""
    rows = list_figures(comparison)
    if not rows:
        return [("0 lost", "Nothing was compared: the two models share no figure.")]
    lost, few = ([row for row in rows if row["verdict"] == verdict] for verdict in ("lost", "too few"))
    named = _sum_up(f"{name_figure(row)} {_write_change(row)}" for row in lost)
    lines = [(f"{len(lost)} lost", f"of {len(rows)} figures{f': {named}' if lost else ''}.")]
    if few:
        names = _sum_up(map(name_figure, few))
        lines.append(
            (f"{len(few)} too few", f"of {len(rows)} figures, too few questions to tell: {names}.{_ask_for(few)}")
        )
    turned = len(comparison.get("lost") or []), len(comparison.get("newly_solved") or [])
    return [
        *lines,
        ("distance", _say_distance(comparison)),
        ("coverage", say_crossing(comparison)),
        (f"{turned[0]} / {turned[1]}", say_turned(comparison)),
    ]


def _ask_for(rows: Sequence[Row]) -> str:
    """How many questions would do: an interval shrinks with the root of their number, to the tolerance."""
    wide = [((row["high"] - row["low"]) / 2 / row["tolerance"], row["questions"]) for row in rows
            if row["tolerance"] and row["questions"] and None not in (row["low"], row["high"])]  # fmt: skip
    needed = max((math.ceil(questions * max(1.0, ratio) ** 2) for ratio, questions in wide), default=0)
    return f" Up to {needed:,} questions a figure would do." if needed else ""


def _write_change(row: Row) -> str:
    """A change with its interval.

    >>> _write_change({"change": -0.2, "low": -0.3, "high": -0.12})
    '−0.20 (−0.30 to −0.12)'
    """
    places = 2 if abs(row["change"] or 0.0) >= 0.01 else 4  # which would else round away
    told, low, high = (write_number(row[name], places, signed=True) for name in ("change", "low", "high"))
    return told if None in (row["low"], row["high"]) else f"{told} ({low} to {high})"


def _sum_up(names: Iterable[str]) -> str:
    listed = list(names)
    return "; ".join(listed[:NAMED]) + (f"; and {len(listed) - NAMED} more" if len(listed) > NAMED else "")


def _say_distance(comparison: Row) -> str:
    sentence = str((comparison.get("cliff") or {}).get("sentence") or "The distance from training is not known.")
    return re.sub(r"-(?=[0-9])", "−", sentence)


def _read_coverage(comparison: Row) -> list[Row]:
    """The rows of pass@k with their k, smallest first."""
    rows = [row for row in list_figures(comparison) if row["group"] == "coverage"]
    found = [(row, re.fullmatch(r"pass@([0-9]{1,9})", row["name"])) for row in rows]
    known = [row | {"k": int(k[1])} for row, k in found if k and None not in (row["before"], row["after"])]
    return sorted(known, key=lambda row: row["k"])


def say_crossing(comparison: Row) -> str:
    """Where the curves of pass@k cross, and how sure that is."""
    curve, crossing = _read_coverage(comparison), comparison.get("crossing") or {}
    if not curve:
        return "Coverage was not measured."
    k, probability, last = crossing.get("k"), crossing.get("probability"), curve[-1]
    ends = f"pass@{last['k']} is {write_number(last['before'])} before and {write_number(last['after'])} after"
    share = "" if probability is None else f" {probability:.0%} of resamples of the questions cross in this way."
    if k is not None:
        return f"The curve after training starts above the one before and is below it from k = {k}; {ends}.{share}"
    gains = [row["change"] or 0.0 for row in curve]
    if max(gains) <= 0 > min(gains):
        return f"The curve after training is nowhere above the one before; {ends}.{share}"
    return f"The curve after training does not fall from above to below the one before; {ends}.{share}"


def say_turned(comparison: Row) -> str:
    """How many questions only one of the models ever solved."""
    solved, lost = (comparison.get(name) or [] for name in ("newly_solved", "lost"))
    known = [[finite(change.get("probability")) for change in changes] for changes in (lost, solved)]
    sure = [sum(p is not None and p < LUCK for p in probabilities) for probabilities in known]
    told = (
        f"{len(lost)} {plural(len(lost), 'question')} solved before and never after; "
        f"{len(solved)} never before and solved after."
    )
    return told + (f" Luck alone is unlikely (under {LUCK:.0%}) in {sure[0]} and {sure[1]}." if lost or solved else "")


def say_unmeasured(audit: Row) -> list[str]:
    """What was not measured, and why."""
    told = [f"{what} was not measured: {why}." for what, why in (audit.get("skipped") or {}).items()]
    found = {row["group"] for comparison in list_comparisons(audit) for row in list_figures(comparison)}
    lacking = ", ".join(group for group in GROUPS if found and group not in found)
    return [*told, *([f"No figure that both models have: {lacking}."] if lacking else [])]


def describe_audits(named: list[tuple[str, Row]]) -> Row | None:
    """What the page draws and lists of each run's audit: figures, distances, coverage, trends, questions that turned.

    Args:
        named: The name of each audited run, "" where it stands alone, and its audit.
    """
    models = [
        (f"{run}: {one['name']}" if run else str(one["name"]), one)
        for run, audit in named
        for one in list_comparisons(audit)
    ]
    if not models:
        return None
    rows = [{"model": name} | row for name, one in models for row in _list_sorted(one)]
    last = {run: list_comparisons(audit)[-1] for run, audit in named if list_comparisons(audit)}
    return {
        "rows": sorted(rows, key=lambda row: _place(VERDICTS, row["verdict"])),
        "distances": [
            {"name": f"{run}: {one['name']}" if run else str(one["name"]), "points": points}
            for run, one in last.items()
            if (points := _list_distances(one))
        ],
        "coverage": _describe_coverage(models),
        "trends": _describe_trends(named),
        "turned": [{"model": name} | change for name, one in models for change in _list_turned(one)],
    }


def _list_sorted(comparison: Row) -> list[Row]:
    """The figures of a model by group, those on its distance from training with that distance."""
    points = (comparison.get("cliff") or {}).get("points") or []
    distances = {str(point.get("domain")): finite(point.get("distance")) for point in points}
    rows = [
        row | {"distance": distances.get(row["domain"]) if row["group"] == "retention" else None}
        for row in list_figures(comparison)
    ]
    return sorted(rows, key=lambda row: _place(GROUPS, row["group"]))


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _list_distances(comparison: Row) -> list[Row]:
    """The change of each domain's accuracy by its distance from training, nearest first."""
    rows = [row for row in _list_sorted(comparison) if row["name"] == "accuracy"]
    known = [row for row in rows if None not in (row["distance"], row["change"])]
    return sorted(known, key=lambda row: row["distance"])


def _describe_coverage(models: list[tuple[str, Row]]) -> Row | None:
    """pass@k of the model before and of each audited one, as curves over k."""
    curves = [(name, curve) for name, one in models if (curve := _read_coverage(one))]
    if not curves:
        return None
    before = [[row["k"], row["before"]] for row in curves[0][1]]
    drawn = [before, *([[row["k"], row["after"]] for row in curve] for _, curve in curves)]
    return {"arms": ["before", *(name for name, _ in curves)], "curves": drawn}


def _describe_trends(named: list[tuple[str, Row]]) -> Row | None:
    """Every figure over the audited checkpoints, for each run that has several; by the step in a checkpoint's name."""
    runs = [(run or "audited model", list_comparisons(audit)) for run, audit in named]
    runs = [(run, comparisons) for run, comparisons in runs if len(comparisons) > 1]
    figures: dict[str, list[list[list[float | None]]]] = {}
    for number, (_, comparisons) in enumerate(runs):
        found = [re.search(r"-(\d+)$", str(one["name"])) for one in comparisons]
        steps = [float(step[1]) if step and all(found) else place for place, step in enumerate(found, 1)]
        for step, comparison in zip(steps, comparisons, strict=True):
            for row in _list_sorted(comparison):
                curve = figures.setdefault(name_figure(row), [[] for _ in runs])[number]
                curve += [] if curve else [[0.0, row["before"]]]
                curve.append([step, row["after"]])
    metrics = [{"name": name, "label": name, "curves": curves} for name, curves in figures.items()]
    return {"arms": [name for name, _ in runs], "metrics": metrics} if runs else None


def _list_turned(comparison: Row) -> list[Row]:
    """Questions that only one of the two models ever solved."""
    return [
        {"kind": kind.replace("_", " ")}
        | {name: str(change.get(name)) for name in ("domain", "answer")}
        | {"prompt": str(change.get("prompt"))[:LONGEST_QUESTION]}
        | {name: finite(change.get(name)) for name in ("successes", "trials", "failures", "bound", "probability")}
        for kind in ("lost", "newly_solved")
        for change in (comparison.get(kind) or [])[:LISTED]
    ]
