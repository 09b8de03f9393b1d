"""Which completions go into the page, as columns to filter and sort by and texts cut at the spans of the findings.

Spans count code points, as Python does, and JavaScript counts UTF-16 units: so the cutting is done here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from rlguard.report.files import Row, finite
from rlguard.report.findings import Owned
from rlguard.types import Rollout

LONGEST_PART = 6000
"""Characters of one piece of text that are embedded; the middle of a longer one is left out, and the page says so."""

NUMBERS = ("index", "step", "outcome", "reward", "advantage", "weight", "tokens")


@dataclass
class Embedded:
    """The completions of all runs that the page holds."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    """One value a completion: what it is filtered and sorted by."""
    texts: list[Any] = field(default_factory=list)
    """[final answer, text or its pieces, findings] of each completion."""
    kinds: dict[str, list[int]] = field(default_factory=dict)
    """Findings by kind, in each run, embedded or not; most frequent first."""
    sources: list[str] = field(default_factory=list)
    total: int = 0


def embed_rollouts(runs: Sequence[list[Owned]], places: dict[str, int], limit: int) -> Embedded:
    """Choose at most `limit` completions, those with findings first, then the first ones of every prompt.

    Args:
        runs: The completions of each run, each with its findings.
        places: Prompt id -> its place in the page.
        limit: The most completions to embed. Those of one prompt stand together, so a group is quick to open.
    """
    everything = [(run, rollout, found) for run, owned in enumerate(runs) for rollout, found in owned]
    chosen = _choose(everything, limit)
    place = {id(rollout): places.get(rollout.prompt_id, -1) for _, rollout, _ in everything}
    chosen.sort(key=lambda i: (place[id(everything[i][1])] % (len(places) + 1), everything[i][0], i))
    page = Embedded(total=len(everything))
    page.kinds = _count_kinds(runs)
    page.sources = list(dict.fromkeys(rollout.source for _, rollout, _ in everything))
    kinds = {kind: number for number, kind in enumerate(page.kinds)}
    sources = {source: number for number, source in enumerate(page.sources)}
    names = ("prompt", "run", "source", *NUMBERS, "truncated", "characters", "ratio", "kinds")
    page.columns = {name: [] for name in names}
    for run, rollout, found in (everything[i] for i in chosen):
        ratios = [finite(finding.get("likelihood_ratio")) for finding in found]
        values = {name: _round(finite(getattr(rollout, name))) for name in NUMBERS} | {
            "index": rollout.index if rollout.index >= 0 else None,
            "tokens": rollout.tokens or None,
            "prompt": place[id(rollout)],
            "run": run,
            "source": sources[rollout.source],
            "truncated": int(rollout.truncated),
            "characters": len(rollout.completion),
            "ratio": min((ratio for ratio in ratios if ratio is not None), default=None),
            "kinds": sorted({kinds[str(finding["kind"])] for finding in found}) or 0,
        }
        for name, value in values.items():
            page.columns[name].append(value)
        page.texts.append(describe_text(rollout, found))
    return page


def _choose(everything: Sequence[tuple[int, Rollout, list[Row]]], limit: int) -> list[int]:
    if len(everything) <= limit:
        return list(range(len(everything)))
    seen: Counter[Any] = Counter()
    ranks = []
    for run, rollout, found in everything:
        group = run, rollout.prompt_id, rollout.step
        ranks.append((not found, 0 if found else seen[group]))
        seen[group] += not found
    return sorted(range(len(everything)), key=ranks.__getitem__)[:limit]


def _count_kinds(runs: Sequence[list[Owned]]) -> dict[str, list[int]]:
    counts = [Counter(str(finding["kind"]) for _, found in owned for finding in found) for owned in runs]
    kinds = {kind for count in counts for kind in count}
    order = sorted(kinds, key=lambda kind: (-sum(count[kind] for count in counts), kind))
    return {kind: [count[kind] for count in counts] for kind in order}


def _round(value: float | None) -> float | int | None:
    """A number at the length in which it is shown: 100,000 of them are embedded."""
    if value is None or value.is_integer():
        return None if value is None else int(value)
    return float(f"{value:.4g}")


def describe_text(rollout: Rollout, findings: Sequence[Row]) -> list[Any]:
    """[final answer, text, findings] of a completion, the text in pieces where findings have spans.

    >>> describe_text(Rollout("p", 0, "4", answer="4"), [])
    ['4', '4', []]
    """
    completion = rollout.completion
    found = [
        [str(one["kind"]), str(one.get("reason") or ""), finite(one.get("likelihood_ratio")), str(one.get("severity"))]
        for one in findings
    ]
    text: Any = None
    if completion or not findings:  # a finding may come without the completion it is on
        spans = [(finding["start"], finding["end"], number) for number, finding in enumerate(findings)]
        text = [shorten(*part) for part in cut_at_spans(completion, spans)]
        if len(text) == 1 and len(text[0]) == 2 and not text[0][1]:
            text = text[0][0]
    return [rollout.answer and rollout.answer[:LONGEST_PART], text, found]


def cut_at_spans(text: str, spans: Sequence[tuple[int, int, int]]) -> list[tuple[str, list[int]]]:
    """Cut a text where spans begin and end; each piece carries the numbers of the spans that cover it.

    >>> cut_at_spans("so 4 = 4", [(3, 4, 0), (3, 8, 1)])
    [('so ', []), ('4', [0, 1]), (' = 4', [1])]
    """
    changes: dict[int, list[tuple[bool, int]]] = {0: [], len(text): []}
    for start, end, number in spans:
        start, end = max(0, min(start, len(text))), max(0, min(end, len(text)))
        if start < end:
            changes.setdefault(start, []).append((True, number))
            changes.setdefault(end, []).append((False, number))
    borders = sorted(changes)
    active: set[int] = set()
    parts = []
    for start, end in pairwise(borders):
        for begins, number in changes[start]:
            (active.add if begins else active.discard)(number)
        parts.append((text[start:end], sorted(active)))
    return parts


def shorten(text: str, marks: list[int]) -> list[Any]:
    """One piece of text for the page; of a very long one only both ends, and how much lies between.

    >>> shorten("4 = 4", [7])
    ['4 = 4', [7]]
    """
    if len(text) <= LONGEST_PART:
        return [text, marks]
    half = LONGEST_PART // 2
    return [text[:half], marks, len(text) - 2 * half, text[-half:]]
