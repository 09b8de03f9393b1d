"""Which completion each finding is on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rlguard.report.files import Row, finite
from rlguard.report.read import Run
from rlguard.report.rollouts import to_scanned
from rlguard.shortcuts.scan import search

Owned = tuple[Row, list[Row]]
"""A completion and the findings on it."""

SEARCHED = 2_000_000
"""The most characters of rollouts that are searched for shortcuts where a run has no findings: some seconds' work."""


def pair_findings(run: Run, scan: bool | None) -> list[Owned]:
    """Every completion of a run with its findings.

    Where none of the rollouts from one source (the store, a training) has a finding, they are searched for shortcuts;
    what is found becomes the run's. Rollouts that were not searched get `searched`: False.

    Args:
        run: A run.
        scan: Whether to search; None does it up to `SEARCHED` characters.

    Returns:
        The stored rollouts first, in their order; then completions that only findings know.
    """
    rollouts = [_name(row) for row in run.rollouts or []]
    owned = attach_findings(rollouts, run.findings or [])
    flagged = {rollout.get("source") for rollout, found in owned if found}
    places: dict[Any, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        if rollout.get("source") not in flagged and run.findings != []:  # an empty file is the word of a search
            places.setdefault(rollout.get("source"), []).append(place)
    golds = {str(row["prompt_id"]): str(row["answer"]) for row in run.rates or [] if row.get("answer") is not None}
    golds |= {row["prompt_id"]: str(row["gold"]) for row in rollouts if row.get("gold") is not None}
    for source, own in places.items():
        size = sum(len(rollouts[place]["completion"] or "") for place in own)
        if size <= SEARCHED if scan is None else scan:
            found, _ = search([to_scanned(rollouts[place], golds) for place in own])
            for place, more in zip(own, found, strict=True):
                owned[place][1].extend(map(dataclasses.asdict, more))
            run.findings = [*(run.findings or []), *(finding for place in own for finding in owned[place][1])]
            run.notes.append(f"{source or run.name}: findings were made for this page, as `rlguard scan` makes them.")
        else:
            for place in own:
                rollouts[place]["searched"] = False
            run.notes.append(f"{source or run.name}: not searched for findings; --scan, or `rlguard scan`, does that.")
    return owned


def _name(row: Row) -> Row:
    """A row with its prompt's id, its number and its completion in the types they should have."""
    named = {name: None if row.get(name) is None else str(row[name]) for name in ("prompt_id", "completion")}
    return {**row, **named, "index": finite(row.get("index"))}


def attach_findings(rollouts: Sequence[Row], findings: Sequence[Row]) -> list[Owned]:
    """Pair every completion with its findings.

    A finding belongs to the stored rollout with its prompt and number, if that has the text the finding was made on.
    In training rollouts have no number: it belongs to the next one of its prompt and step with its text, for equal
    texts have equal findings. Otherwise its own completion becomes a document of its own.
    """
    owned: list[Owned] = [(rollout, []) for rollout in rollouts]
    numbered: dict[Any, int] = {}
    worded: dict[Any, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        if rollout["index"] is not None:
            numbered.setdefault((rollout["prompt_id"], rollout["index"], finite(rollout.get("step"))), place)
        worded.setdefault(_words(rollout), []).append(place)
    seen: Counter[Any] = Counter()
    for finding in findings:
        text = _name(finding)
        at = numbered.get((text["prompt_id"], text["index"], finite(finding.get("step"))))
        if at is None or text["completion"] not in (None, owned[at][0]["completion"]):
            words = _words(text)
            if words not in worded:
                worded[words] = [len(owned)]
                owned.append((text, []))
            same = (words, text["index"], finding["kind"], finding["start"], finding["end"], finding.get("reason"))
            places = worded[words]
            at = places[min(seen[same], len(places) - 1)]
            seen[same] += 1
        owned[at][1].append(finding)
    return owned


def _words(row: Row) -> tuple[Any, ...]:
    number = row["index"] if row["completion"] is None else None
    return row["prompt_id"], finite(row.get("step")), row["completion"], number
