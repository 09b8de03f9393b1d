"""Searches rollouts of any origin for shortcuts: each by itself, its batch, its length against a reference run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlguard.difficulty.rates import RATES, read_rates
from rlguard.rollouts.logs import read_any_rollouts
from rlguard.shortcuts.computation import shown_steps
from rlguard.shortcuts.groups import detect_group_shortcuts
from rlguard.shortcuts.judge import judge_completion
from rlguard.shortcuts.reference import find_collapsed
from rlguard.tables.frames import Data, Shown
from rlguard.types import Finding, InputError, Rollout, count_reasons, prompt_text


@dataclass(frozen=True, repr=False)
class ScanResult(Shown):
    """Findings, and of how many rollouts."""

    findings: list[tuple[Finding, Rollout]]
    rollouts: int
    schema: str
    """What the file was recognised as."""
    skipped: dict[str, str]
    """Checks that could not run fully, and what they lacked."""
    notes: list[str] = field(default_factory=list)
    """What a user should know of the reading: a torn last line, rewards taken for outcomes."""

    @property
    def kinds(self) -> dict[str, int]:
        """Findings by kind, most frequent first."""
        return count_reasons(finding.kind for finding, _ in self.findings)

    @property
    def flagged(self) -> int:
        """Rollouts with at least one finding."""
        return len({id(rollout) for _, rollout in self.findings})

    def __repr__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.items()) or "no finding"
        return f"ScanResult({self.flagged} of {self.rollouts} rollouts flagged: {kinds})"

    def records(self) -> list[dict[str, Any]]:
        """JSON-serialisable findings, each with its prompt, completion and outcome."""
        return [
            dataclasses.asdict(finding)
            | {"prompt": prompt_text(rollout.prompt), "completion": rollout.completion}
            | {"outcome": None if math.isnan(rollout.outcome) else rollout.outcome}
            for finding, rollout in self.findings
        ]


def scan_rollouts(source: Data, reference: Data | None = None, columns: Mapping[str, str] | None = None) -> ScanResult:
    """Searches stored rollouts for shortcuts: each completion alone, then the batch, then lengths against a reference.

    Args:
        source: A rollout store, a trainer's folder of completions, a table, a frame: what `read_any_rollouts` reads.
        reference: Rollouts to the same prompts before training, for `length_collapse`; the same kinds of source.
        columns: Part of a rollout -> the column that holds it, where a table calls it otherwise.

    Raises:
        InputError: If the source holds no rollouts in a form that is known; names the columns it has.
    """
    notes: list[str] = []
    schema, read = read_any_rollouts(source, notes, columns=columns)
    rollouts = list(read)
    if not rollouts:
        raise InputError(f"{source if isinstance(source, str | Path) else 'the rows'}: no rollouts in it")
    found, skipped = search(rollouts)
    skipped |= _search_lengths(rollouts, found, source, reference, columns)
    findings = [
        (dataclasses.replace(finding, prompt_id=one.prompt_id or None, index=one.index, step=one.step), one)
        for one, row in zip(rollouts, found, strict=True)
        for finding in row
    ]
    return ScanResult(findings, len(rollouts), schema, skipped, notes)


def search(rollouts: Sequence[Rollout]) -> tuple[list[list[Finding]], dict[str, str]]:
    """Findings on each completion, first by itself and then in its batch; and the checks that could not run fully."""
    steps = _show_steps(rollouts)
    found = [
        list(judge_completion(r.completion, prompt_text(r.prompt), r.gold, steps.get(r.prompt_id)).findings)
        for r in rollouts
    ]
    without_prompt = sum(not rollout.prompt for rollout in rollouts)
    skipped = {}
    if without_prompt:
        which = f"SKIPPED for {without_prompt} of {len(rollouts)} rollouts: their prompt is missing"
        skipped["skipped_computation"] = which
    return found, skipped | _search_batch(rollouts, found)


def _show_steps(rollouts: Sequence[Rollout]) -> dict[str, int | None]:
    """By prompt: how many operations its rollouts show, which tells what it takes better than its words do."""
    groups: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        if rollout.prompt_id:
            groups.setdefault(rollout.prompt_id, []).append(rollout)
    return {
        name: shown_steps([r.completion for r in group], [r.outcome for r in group]) for name, group in groups.items()
    }


def _search_batch(rollouts: Sequence[Rollout], found: list[list[Finding]]) -> dict[str, str]:
    """Adds what only the batch shows, step by step where the rollouts have steps: the policy moves."""
    batches: dict[int | None, list[int]] = {}
    for number, rollout in enumerate(rollouts):
        if rollout.prompt_id:
            batches.setdefault(rollout.step, []).append(number)
    if not batches:
        return dict.fromkeys(("same_answer", "lucky_guess"), "SKIPPED: the rollouts do not say which prompt is theirs")
    skipped = []
    for numbers in batches.values():
        batch = [rollouts[number] for number in numbers]
        outcomes = [rollout.outcome for rollout in batch]
        result = detect_group_shortcuts(
            [rollout.completion for rollout in batch],
            [rollout.prompt_id for rollout in batch],
            [rollout.gold for rollout in batch],
            None if all(map(math.isnan, outcomes)) else outcomes,  # else the gold answers decide
        )
        skipped.append(result.skipped)
        for number, more in zip(numbers, result.findings_B, strict=True):
            found[number] += more
    return {name: why for name, why in skipped[0].items() if all(name in batch for batch in skipped)}


def _search_lengths(
    rollouts: list[Rollout],
    found: list[list[Finding]],
    source: Data,
    reference: Data | None,
    columns: Mapping[str, str] | None,
) -> dict[str, str]:
    """Adds completions that are far shorter, in characters, than the reference run's on the same prompt or band."""
    if reference is None:
        return {"length_collapse": "SKIPPED: needs a reference run (--reference)"}
    lengths: dict[str, list[float]] = {}
    for rollout in read_any_rollouts(reference, columns=columns)[1]:
        if rollout.prompt_id:
            lengths.setdefault(rollout.prompt_id, []).append(len(rollout.completion))
    numbers = [number for number, rollout in enumerate(rollouts) if rollout.prompt_id]
    if not lengths or not numbers:
        return {"length_collapse": "SKIPPED: the rollouts do not say which prompt is theirs"}
    names = [rollouts[number].prompt_id for number in numbers]
    sizes = [len(rollouts[number].completion) for number in numbers]
    judged = find_collapsed(sizes, names, lengths, _read_bands(source) | _read_bands(reference))
    for number, more in zip(numbers, judged, strict=True):
        found[number] += more
    return {}


def _read_bands(source: Data) -> dict[str, str]:
    """Band of each prompt, where pass rates lie beside the rollouts."""
    if not isinstance(source, str | Path) or not (Path(source) / RATES).exists():
        return {}
    return {name: rate.band for name, rate in read_rates(source).items()}
