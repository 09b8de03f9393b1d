"""Which completion each finding is on, and whose successes look odd."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rlguard.answers import normalise_answer, read_golds
from rlguard.report.load import FINDINGS, Row, Run, finite, show_prompt
from rlguard.shortcuts.scan import search
from rlguard.types import Rollout

Owned = tuple[Rollout, list[Row]]
"""A completion and the findings on it."""

SEARCHED = 2_000_000
"""The most characters of rollouts that are searched for shortcuts where a run has no findings: some seconds' work."""
SUCCESSES, SAME, BARE = 3, 0.8, 3
"""Fewest successes of a prompt that are judged together; the share with one text; and the words of a bare answer."""
UNSPACED = re.compile(r"[=\u3040-\u9fff]")
"""What counts as a word without a space around it: the steps of `3+4=7;7+1=8`, characters of Chinese or Japanese."""
SKIPPED = ("skipped_computation",)
"""Findings that say that the reasoning is missing."""


def pair_findings(run: Run, scan: bool | None) -> list[Owned]:
    """Every completion of a run with its findings: the stored rollouts, then those that only findings know.

    Where none of the rollouts from one source (the store, a training) has a finding, they are searched for shortcuts if
    `scan` says so (None: up to `SEARCHED` characters); what is found becomes the run's. Sources that were not searched
    go into its `unsearched`.
    """
    rollouts = run.rollouts or []
    owned = attach_findings(rollouts, run.findings or [])
    flagged = {rollout.source for rollout, found in owned if found}
    strange = sum(len(found) for _, found in owned[len(rollouts) :])
    if rollouts and strange:
        told = "is on a completion" if strange == 1 else "are on completions"
        run.notes.append(f"{FINDINGS}: {strange} of {len(run.findings or [])} {told} that no rollout here has.")
    places: dict[str, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        if rollout.source not in flagged and run.findings != []:  # an empty file is the word of a search
            places.setdefault(rollout.source, []).append(place)
    golds = {str(row["prompt_id"]): str(row["answer"]) for row in run.rates or [] if row.get("answer") is not None}
    golds |= {rollout.prompt_id: str(rollout.gold) for rollout in rollouts if rollout.gold is not None}
    for source, own in places.items():
        size = sum(len(rollouts[place].completion) for place in own)
        if size <= SEARCHED if scan is None else scan:
            named = [rollouts[place] for place in own]
            found, _ = search([dataclasses.replace(one, gold=golds.get(one.prompt_id)) for one in named])
            for place, more in zip(own, found, strict=True):
                owned[place][1].extend(map(dataclasses.asdict, more))
            run.findings = [*(run.findings or []), *(finding for place in own for finding in owned[place][1])]
            run.notes.append(f"{source or run.name}: findings were made for this page, as `rlguard scan` makes them.")
        else:
            run.unsearched.add(source)
            run.notes.append(f"{source or run.name}: not searched for findings; --scan, or `rlguard scan`, does that.")
    return owned


def attach_findings(rollouts: Sequence[Rollout], findings: Sequence[Row]) -> list[Owned]:
    """Pair every completion with its findings.

    A finding belongs to the stored rollout with its prompt and number, if that has the text the finding was made on;
    else to the next one of its prompt and step with its text, for equal texts have equal findings. Otherwise its own
    completion becomes a document of its own.
    """
    owned: list[Owned] = [(rollout, []) for rollout in rollouts]
    numbered: dict[Any, int] = {}
    worded: dict[Any, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        numbered.setdefault((rollout.prompt_id, rollout.index, rollout.step), place)
        worded.setdefault(_words(rollout), []).append(place)
    seen: Counter[Any] = Counter()
    for finding in findings:
        named = _name(finding)
        at = numbered.get((named.prompt_id, named.index, named.step))
        if at is None or named.completion not in ("", owned[at][0].completion):
            words = _words(named)
            if words not in worded:
                worded[words] = [len(owned)]
                owned.append((named, []))
            same = (words, named.index, *(str(finding.get(name)) for name in ("kind", "start", "end", "reason")))
            places = worded[words]
            at = places[min(seen[same], len(places) - 1)]
            seen[same] += 1
        owned[at][1].append(finding)
    return owned


def _name(finding: Row) -> Rollout:
    """The rollout that a finding says it is on; its text and number may be unknown (empty, -1)."""
    words = ("" if finding.get(name) is None else str(finding[name]) for name in ("prompt_id", "completion"))
    prompt_id, completion = words
    index, step, outcome = (finite(finding.get(name)) for name in ("index", "step", "outcome"))
    return Rollout(
        prompt_id,
        -1 if index is None else int(index),
        completion,
        outcome=math.nan if outcome is None else outcome,
        prompt=show_prompt(finding.get("prompt")),
        step=None if step is None else int(step),
    )


def _words(rollout: Rollout) -> tuple[Any, ...]:
    return rollout.prompt_id, rollout.step, rollout.completion, None if rollout.completion else rollout.index


def _lacks_gold(rollout: Rollout, text: str) -> bool:
    """Whether a completion neither holds the gold answer in words nor gives it in another spelling."""
    golds = read_golds(rollout.gold)
    given = normalise_answer(rollout.answer or "")
    return bool(golds) and not any(gold.lower() in text or normalise_answer(gold) == given for gold in golds)


def _is_bare(text: str, found: Sequence[Row]) -> bool:
    words = len(text.split()) + len(UNSPACED.findall(text))
    return words <= BARE or any(finding["kind"] in SKIPPED for finding in found)


def find_odd(owned: Sequence[Owned]) -> dict[str, str]:
    """Prompts whose successes make one doubt the verifier, or the need for reasoning; and why.

    Of at least `SUCCESSES` successes, nearly all share one text that lacks the gold answer or passes on prompts with
    other golds as well; or all hold no reasoning.
    """
    right: dict[str, list[tuple[str, Owned]]] = {}
    golds: dict[str, set[str]] = {}  # of each text that succeeded
    for one in owned:
        rollout = one[0]
        if rollout.outcome == 1 and rollout.prompt_id:
            text = " ".join(rollout.completion.split()).lower()
            right.setdefault(rollout.prompt_id, []).append((text, one))
            golds.setdefault(text, set()).update(() if rollout.gold is None else (str(rollout.gold),))
    odd: dict[str, str] = {}
    for prompt_id, successes in right.items():
        if len(successes) < SUCCESSES:
            continue
        text, count = Counter(text for text, _ in successes).most_common(1)[0]
        lacks = _lacks_gold(next(one[0] for said, one in successes if said == text), text)
        if count >= SAME * len(successes) and (lacks or len(golds[text]) > SUCCESSES):
            why = "the gold answer is not in it" if lacks else f"it also passes on {len(golds[text]) - 1} other answers"
            odd[prompt_id] = f"Its successes share one text: {why}"
        elif all(_is_bare(text, found) for text, (_, found) in successes):
            odd[prompt_id] = "Its successes hold no reasoning"
    return odd
