"""What the page carries: columns to filter and sort by, texts cut at the spans of findings, curves; all compressed.

Spans count code points, as Python does, and JavaScript counts UTF-16 units: so the cutting is done here.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from rlguard.report.findings import Owned
from rlguard.report.load import Row, Run, find_figure, finite
from rlguard.report.prompt_rows import FACTS, count_drops, place_rate
from rlguard.report.runs import name_arms, name_runs
from rlguard.report.verdict import METRICS, show_ends
from rlguard.types import Rollout

LONGEST_PART = 6000
"""Characters of one piece of text that are embedded; the middle of a longer one is left out, and the page says so."""

NUMBERS = ("index", "step", "outcome", "reward", "advantage", "weight", "tokens")
CHUNK = 200_000
"""Characters of text after which a chunk is full: what is inflated to show one completion."""
POINTS = 1000
"""Points of one curve that are embedded; a longer one is thinned evenly."""

HEAD = 300
"""Characters of a prompt that tables and searches of them have; the rest is inflated with its group."""

LONGEST_PROMPT = 20_000
"""Characters of a prompt that are embedded."""


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


def embed_rollouts(runs: Sequence[list[Owned]], places: dict[str, int], limit: int, models: dict[str, str]) -> Embedded:
    """Chooses at most `limit` completions: correct ones with a finding, then wrong ones with one, then of every prompt.

    Those of one prompt stand together, so a group is quick to open. `places` are those of the prompts in the page;
    `models` that of each source ("" where it is not known), named where they differ.
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
    if len(set(filter(None, models.values()))) > 1:
        page.sources = [f"{source} ({models.get(source) or 'model unknown'})" for source in page.sources]
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
            "kinds": sorted({kinds[str(finding["kind"])] for finding in found}) or None,
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
        ranks.append((0 if found and rollout.outcome == 1 else 1 if found else 2, 0 if found else seen[group]))
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
    """Kept and dropped rows of each run, by reason; None where there are none."""
    return [
        None
        if run.kept is None and run.dropped is None
        else {"kept": None if run.kept is None else len(run.kept)} | count_drops(run)
        for run in runs
    ]


def describe_training(runs: list[Run]) -> Row:
    """The arms, and every metric with one curve an arm and the means at its ends; the important metrics first."""
    arms = name_arms(runs)
    found = (arm.find(figure) for figure in METRICS for arm in arms.values())
    first = list(dict.fromkeys(metric for metric in found if metric))
    order = [*first, *sorted({metric for arm in arms.values() for metric in arm.curves} - set(first))]
    fixed = {"guarded": 0, "unguarded": 1}  # the same colour and shape in every report
    free = iter(range(2 if fixed.keys() & arms.keys() else 0, len(arms) + 2))
    return {
        "arms": [{"name": name, "style": fixed[name] if name in fixed else next(free)} for name in arms],
        "metrics": [
            {
                "name": metric,
                "label": METRICS[find_figure(metric)] if metric in first else metric,
                "first": metric in first,
                "curves": [thin(arm.curves.get(metric, [])) for arm in arms.values()],
                "ends": [show_ends(arm.curves.get(metric, [])) for arm in arms.values()],
            }
            for metric in order
        ],
    }


def describe_events(runs: list[Run]) -> list[Row]:
    """All alarms, each under the name its training has in the page; the most severe first."""
    events = []
    for number, (run, name) in enumerate(zip(runs, name_runs(runs), strict=True)):
        for own, arm in run.arms.items():
            full = own if len(runs) == 1 else name if len(run.arms) == 1 else f"{name}/{own}"
            for event in arm.events:
                row = {key: finite(v) if isinstance(v, float) else v for key, v in asdict(event).items()}
                events.append(row | {"run": number, "source": own, "arm": full})
    grave = {"critical": 0, "warning": 1}
    return sorted(events, key=lambda event: (grave.get(event["severity"], 2), event["step"]))


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


def shelve(items: Sequence[Any]) -> tuple[list[int], list[str]]:
    """A long list in packed chunks, of which the page inflates only those it shows; and the first number of each.

    >>> shelve(["a", "b"])[0]
    [0]
    """
    starts, chunks = [], []
    texts: list[str] = []
    size = 0
    for number, item in enumerate(items, 1):
        texts.append(encode(item))
        size += len(texts[-1])
        if size >= CHUNK or number == len(items):
            starts.append(number - len(texts))
            chunks.append(_squeeze(f"[{','.join(texts)}]"))
            texts, size = [], 0
    return starts, chunks


def pack(data: Any) -> str:
    """JSON, compressed, in letters and digits that mean nothing in HTML."""
    return _squeeze(encode(data))


def _squeeze(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def encode(data: Any) -> str:
    r"""JSON without lone surrogates, which no UTF-8 holds: each becomes U+FFFD, as a browser would show it.

    >>> encode({"text": "a\ud83d"})
    '{"text":"a�"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
