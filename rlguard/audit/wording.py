"""What an audit found, in plain words: from the record of `run.to_record` to sentences, losses first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, get_args

from rlguard.audit.compare import Verdict
from rlguard.report.verdict import Line, plural

Record = dict[str, Any]

GROUPS = ("retention", "calibration", "coverage", "reasoning", "format", "diversity")
"""The groups of figures in the order in which they are shown; any other comes after."""

UNKNOWN_DISTANCES = "it is not known how far the domains are from what was trained on"

NAMED = 8
"""Figures that are kept, or cannot be told, which a sentence names; the rest it counts."""

LUCK = 0.05
"""Probability of a question's turn by luck alone, under which it is said to be unlikely."""


def show(value: float | None, places: int = 2, signed: bool = False) -> str:
    """A number with a real minus; a dash where there is none.

    >>> show(-0.214, signed=True), show(0.5), show(None)
    ('−0.21', '0.50', '–')
    """
    return "–" if value is None else format(value, f"{'+' * signed}.{places}f").replace("-", "−")


def capitalise(text: str) -> str:
    """A text with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def find_places(row: Record) -> int:
    """Decimals with which a row is shown: two, more where the change would round away, one for large values.

    >>> find_places({"before": 0.62, "after": 0.41, "change": -0.21}), find_places({"before": 0.5, "change": 0.004})
    (2, 3)
    """
    size = max(abs(row.get(name) or 0.0) for name in ("before", "after"))
    change = abs(row.get("change") or 0.0)
    return max(2 if size < 10 else 1, min(6, -math.floor(math.log10(change))) if change else 0)


def name_figure(row: Record) -> str:
    """A figure and what it is of.

    >>> name_figure({"name": "accuracy", "domain": "logic"}), name_figure({"name": "pass@4", "domain": "all"})
    ('accuracy on logic', 'pass@4')
    """
    name, domain = row["name"], row["domain"]
    if domain == "all":
        return f"{name} over all domains" if name == "accuracy" else name
    return f"{name} ({domain})" if "," in name else f"{name} on {domain}"


class Part(NamedTuple):
    """What is said of the figures with one verdict."""

    verdict: Verdict
    figure: str
    """How many there are."""
    sentence: str
    lines: list[Line]
    """(change, sentence) of each, where each is worth one."""


def say_verdict(comparison: Record, settings: Record) -> list[Part]:
    """What was lost, gained, kept and what cannot be told, in this order; what was lost is always said."""
    rows = comparison.get("rows") or []
    found = {verdict: [row for row in rows if row["verdict"] == verdict] for verdict in get_args(Verdict)}
    lost, gained, changed = found["lost"], found["gained"], found["changed"]
    kept, unclear = found["kept"], found["too few"]
    of = f"of {len(rows)} {plural(len(rows), 'figure')}"
    parts = [
        Part("lost", f"{len(lost)} lost", of + "." if lost else _say_no_loss(rows, unclear), _say_each(lost, settings)),
        Part("gained", f"{len(gained)} gained", of + ".", _say_each(gained, settings)),
        Part("changed", f"{len(changed)} changed", f"{of}; neither direction is better.", _say_each(changed, settings)),
        Part("kept", f"{len(kept)} kept", _sum_up(map(name_figure, kept)), []),
        Part("too few", f"{len(unclear)} too few", _say_unclear(unclear), []),
    ]
    return [part for part in parts if found[part.verdict] or part.verdict == "lost"]


def _say_each(rows: Sequence[Record], settings: Record) -> list[Line]:
    """The rows by group, in each accuracy first, over all domains before one, then the largest by their tolerance."""

    def place(row: Record) -> tuple[int, bool, bool, bool, float]:
        group = GROUPS.index(row["group"]) if row["group"] in GROUPS else len(GROUPS)
        size = abs(row["change"]) / (row["tolerance"] or 1.0)
        name = row["name"]
        return group, not name.startswith("accuracy"), row["domain"] != "all", name != "accuracy", -size

    return [say_change(row, settings) for row in sorted(rows, key=place)]


def say_change(row: Record, settings: Record) -> Line:
    """The change of one figure with its interval."""
    places = find_places(row)
    before, after = (show(row[name], places) for name in ("before", "after"))
    verb = "fell" if row["change"] < 0 else "rose"
    sentence = f"{capitalise(name_figure(row))} {verb} from {before} to {after}, {say_interval(row, settings)}."
    return show(row["change"], places, signed=True), sentence


def say_interval(row: Record, settings: Record) -> str:
    """The interval of a change in words."""
    confidence = settings.get("confidence")
    lead = f"{100 * confidence:.4g}% interval" if confidence else "interval"
    if row["low"] is None or row["high"] is None:
        return f"no {lead}"
    low, high = (show(row[name], find_places(row), signed=True) for name in ("low", "high"))
    return f"{lead} {low} to {high}"


def _say_no_loss(rows: Sequence[Record], unclear: Sequence[Record]) -> str:
    """That nothing is lost, no stronger than it is known."""
    if not rows:
        return "Nothing was compared: the two models share no figure."
    if not unclear:
        return "No figure has lost more than the tolerance."
    return f"No figure is known to have lost more than the tolerance; {len(unclear)} of {len(rows)} cannot be told."


def _say_unclear(rows: Sequence[Record]) -> str:
    """The figures that may have lost, the one that may have lost most first."""

    def worst(row: Record) -> float:
        bounds = [row["better"] * row[name] or -abs(row[name]) for name in ("low", "high") if row[name] is not None]
        return min(bounds) / (row["tolerance"] or 1.0) if bounds else -math.inf

    def name(row: Record) -> str:
        bounds = [show(row[side], find_places(row), signed=True) for side in ("low", "high") if row[side] is not None]
        return f"{name_figure(row)} ({' to '.join(bounds) or 'no interval'})"

    return f"Cannot be told with so few questions: {_sum_up(map(name, sorted(rows, key=worst)), str)}"


def _sum_up(names: Iterable[str], begin: Callable[[str], str] = capitalise) -> str:
    listed = list(names)
    rest = len(listed) - NAMED
    return begin("; ".join(listed[:NAMED]) + (f"; and {rest} more" if rest > 0 else "")) + "."


def read_coverage(comparison: Record) -> list[Record]:
    """The rows of pass@k with their k, smallest first."""
    rows = [row for row in comparison.get("rows") or [] if row["group"] == "coverage"]
    found = [row | {"k": int(row["name"][5:])} for row in rows if row["name"].startswith("pass@")]
    return sorted((row for row in found if None not in (row["before"], row["after"])), key=lambda row: row["k"])


def say_crossing(comparison: Record) -> str:
    """Where the curves of pass@k cross, and how sure that is."""
    curve, crossing = read_coverage(comparison), comparison.get("crossing") or {}
    if not curve:
        return "Coverage was not measured."
    k, probability, last = crossing.get("k"), crossing.get("probability"), curve[-1]
    places = find_places(last)
    ends = f"pass@{last['k']} is {show(last['before'], places)} before and {show(last['after'], places)} after"
    share = "" if probability is None else f" {probability:.0%} of resamples of the questions cross in this way."
    if k is not None:
        return f"The curve after training, first above the one before, is below it at k = {k}; {ends}.{share}"
    gains = [row["change"] for row in curve]
    if max(gains) <= 0 > min(gains):
        return f"The curve after training is nowhere above the one before; {ends}.{share}"
    return f"The curve after training does not fall from above to below the one before; {ends}.{share}"


def say_turned(comparison: Record) -> str:
    """How many questions only one of the models ever solved."""
    solved, lost = (comparison.get(name) or [] for name in ("newly_solved", "lost"))
    sure = [sum(change["probability"] < LUCK for change in changes) for changes in (lost, solved)]
    told = (
        f"{len(lost)} {plural(len(lost), 'question')} solved before and never after; "
        f"{len(solved)} never before and solved after."
    )
    return told + (f" Luck alone is unlikely (under {LUCK:.0%}) in {sure[0]} and {sure[1]}." if lost or solved else "")


def say_unmeasured(record: Record) -> list[Line]:
    """What was not measured, and why."""
    lines = [(str(what), str(why)) for what, why in (record.get("skipped") or {}).items()]
    comparisons = record.get("comparisons") or []
    for group in GROUPS:
        without = [one for one in comparisons if all(row["group"] != group for row in one.get("rows") or [])]
        lines += _say_missing(group, "no figure that both models have", without, comparisons)
    without = [one for one in comparisons if not (one.get("cliff") or {}).get("points")]
    return lines + _say_missing("distance from training", UNKNOWN_DISTANCES, without, comparisons)


def _say_missing(what: str, why: str, without: Sequence[Record], comparisons: Sequence[Record]) -> list[Line]:
    """Names the models where it is not all of them."""
    if not without:
        return []
    names = "" if len(without) == len(comparisons) else f" ({', '.join(one['name'] for one in without)})"
    return [(what + names, why)]
