"""Which completions go into the page, and their text cut at the spans of the findings.

Spans count code points, as Python does, and JavaScript counts UTF-16 units: so the cutting is done here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rlguard.report.read import Row, Run, finite

LONGEST_PART = 6000
"""Characters of one piece of text that are embedded; the middle of a longer one is left out, and the page says so."""


@dataclass
class Documents:
    """The completions and findings that the page embeds, and how many there are in all."""

    texts: list[Row]
    findings: list[Row]
    total_texts: int
    total_findings: int
    flagged: int
    """Completions with a finding, embedded or not."""
    flagged_correct: int
    correct: int
    kinds: dict[str, int]
    """Findings by kind, most frequent first, embedded or not."""


def embed_documents(run: Run, max_rollouts: int) -> Documents:
    """Choose at most `max_rollouts` completions: those with findings first, then the first ones of every prompt.

    Args:
        run: A run with rollouts, findings, both or neither.
        max_rollouts: The most completions to embed; the findings embedded are those on them.
    """
    owned = attach_findings([name_text(row) for row in run.rollouts or []], run.findings or [])
    flagged = [rollout for rollout, found in owned if found]
    seen: Counter[Any] = Counter()
    ranks = []
    for rollout, found in owned:
        ranks.append((not found, 0 if found else seen[rollout["prompt_id"]]))
        seen[rollout["prompt_id"]] += not found
    order = sorted(range(len(owned)), key=ranks.__getitem__)[:max_rollouts]

    texts: list[Row] = []
    findings: list[Row] = []
    for number, (rollout, found) in enumerate(owned[i] for i in order):
        first = len(findings)
        findings += [describe_finding(finding, number) for finding in found]
        texts.append(describe_text(rollout, found, first))
    kinds = Counter(str(finding["kind"]) for finding in run.findings or [])
    return Documents(
        texts=texts,
        findings=findings,
        total_texts=len(owned),
        total_findings=len(run.findings or []),
        flagged=len(flagged),
        flagged_correct=sum(finite(rollout.get("outcome")) == 1 for rollout in flagged),
        correct=sum(finite(rollout.get("outcome")) == 1 for rollout, _ in owned),
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    )


def name_text(row: Row) -> Row:
    """A row with its prompt's id, its number and its completion in the types they should have."""
    named = {name: None if row.get(name) is None else str(row[name]) for name in ("prompt_id", "completion")}
    return {**row, **named, "index": finite(row.get("index"))}


def attach_findings(rollouts: Sequence[Row], findings: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Pair every completion with its findings.

    A finding belongs to the stored rollout with its prompt and number, if that has the text the finding was made on.
    Otherwise (a completion sampled in training, or no store) its own completion becomes a document of its own.
    """
    owned: list[tuple[Row, list[Row]]] = [(rollout, []) for rollout in rollouts]
    places: dict[Any, int] = {}
    for number, rollout in enumerate(rollouts):
        places.setdefault((rollout["prompt_id"], rollout["index"]), number)
    for finding in findings:
        text = name_text(finding)
        step, completion = finite(finding.get("step")), text["completion"]
        place = None if step is not None else places.get((text["prompt_id"], text["index"]))
        if place is None or completion not in (None, owned[place][0]["completion"]):
            place = places.setdefault((text["prompt_id"], text["index"], step, completion), len(owned))
            if place == len(owned):
                owned.append((text, []))
        owned[place][1].append(finding)
    return owned


def describe_finding(finding: Row, text: int) -> Row:
    """The fields of a finding that the page shows; `text` is the place of its completion."""
    return {
        "kind": str(finding["kind"]),
        "reason": str(finding.get("reason") or ""),
        "ratio": finite(finding.get("likelihood_ratio")),
        "severity": str(finding.get("severity") or "warn"),
        "text": text,
    }


def describe_text(rollout: Row, findings: Sequence[Row], first: int) -> Row:
    """The fields of a completion that the page shows, its text cut where the findings numbered from `first` begin."""
    completion = rollout["completion"]
    spans = [(finding["start"], finding["end"], first + i) for i, finding in enumerate(findings)]
    return {
        "prompt": rollout["prompt_id"],
        "question": str(rollout.get("prompt") or "")[:LONGEST_PART],
        "index": rollout["index"],
        "step": finite(rollout.get("step")),
        "outcome": finite(rollout.get("outcome")),
        "answer": None if rollout.get("answer") is None else str(rollout["answer"])[:LONGEST_PART],
        "tokens": finite(rollout.get("tokens")),
        "truncated": rollout.get("finish_reason") == "length",
        "findings": [number for _, _, number in spans],
        "parts": None if completion is None else [shorten(*part) for part in cut_at_spans(completion, spans)],
    }


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


def shorten(text: str, marks: list[int]) -> Row:
    """One piece of text for the page; of a very long one only both ends, and how much lies between.

    >>> shorten("4 = 4", [7])
    {'text': '4 = 4', 'marks': [7]}
    """
    if len(text) <= LONGEST_PART:
        return {"text": text, "marks": marks}
    half = LONGEST_PART // 2
    return {"text": text[:half], "marks": marks, "omitted": len(text) - 2 * half, "tail": text[-half:]}
