"""Reads rollouts as trainers write them, and searches them for shortcuts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlguard.difficulty.rates import RATES, read_rates
from rlguard.rollouts.segments import ROLLOUTS, read_rollouts
from rlguard.rollouts.store import PROBLEMS
from rlguard.shortcuts.groups import detect_group_shortcuts
from rlguard.shortcuts.judge import judge_completion
from rlguard.shortcuts.reference import LengthReference
from rlguard.tables.read import read_rows
from rlguard.types import Finding, InputError, count_reasons, make_prompt_id, prompt_text

_COMPLETION_COLUMNS = ("completion", "completions", "output", "response", "generation")
_PROMPT_COLUMNS = ("prompt", "input", "question", "query")
_ANSWER_COLUMNS = ("answer", "gold", "gts", "ground_truth", "solution")


@dataclass(frozen=True, slots=True)
class Scanned:
    """One rollout of unknown origin: what the detectors need of it."""

    completion: str
    prompt: str = ""
    answer: str | None = None
    prompt_id: str | None = None
    index: int | None = None
    step: int | None = None
    outcome: float = math.nan
    row: Mapping[str, Any] = field(default_factory=dict)
    """Every column of the table's row, for readers that need more; empty for a store."""


@dataclass(frozen=True)
class ScanResult:
    """Findings, and of how many rollouts."""

    findings: list[tuple[Finding, Scanned]]
    rollouts: int
    schema: str
    """What the file was recognised as."""
    skipped: dict[str, str]
    """Checks that could not run fully, and what they lacked."""

    @property
    def kinds(self) -> dict[str, int]:
        """Findings by kind, most frequent first."""
        return count_reasons(finding.kind for finding, _ in self.findings)

    @property
    def flagged(self) -> int:
        """Rollouts with at least one finding."""
        return len({id(rollout) for _, rollout in self.findings})

    def records(self) -> list[dict[str, Any]]:
        """JSON-serialisable findings, each with its prompt, completion and outcome."""
        return [
            dataclasses.asdict(finding)
            | {"prompt": rollout.prompt, "completion": rollout.completion}
            | {"outcome": None if math.isnan(rollout.outcome) else rollout.outcome}
            for finding, rollout in self.findings
        ]


def scan_rollouts(source: str | Path, reference: str | Path | None = None) -> ScanResult:
    """Searches stored rollouts for shortcuts: each completion alone, then the batch, then lengths against a reference.

    Args:
        source: A rollout store, a folder with TRL's `completions/*.parquet`, or a JSONL, CSV or Parquet file with a
            column of completions.
        reference: Rollouts to the same prompts before training, for `length_collapse`; the same kinds of source.

    Raises:
        InputError: If the source holds no rollouts in a form that is known; names the columns it has.
    """
    schema, read = read_any_rollouts(source)
    rollouts = list(read)
    if not rollouts:
        raise InputError(f"{source}: holds no rollouts")
    found, skipped = search(rollouts)
    skipped |= _search_lengths(rollouts, found, source, reference)
    findings = [
        (dataclasses.replace(finding, prompt_id=rollout.prompt_id, index=rollout.index, step=rollout.step), rollout)
        for rollout, row in zip(rollouts, found, strict=True)
        for finding in row
    ]
    return ScanResult(findings, len(rollouts), schema, skipped)


def search(rollouts: Sequence[Scanned]) -> tuple[list[list[Finding]], dict[str, str]]:
    """Findings on each completion, first by itself and then in its batch; and the checks that could not run fully."""
    found = [list(judge_completion(r.completion, r.prompt, r.answer).findings) for r in rollouts]
    without_prompt = sum(not rollout.prompt for rollout in rollouts)
    skipped = {}
    if without_prompt:
        which = f"SKIPPED for {without_prompt} of {len(rollouts)} rollouts: their prompt is missing"
        skipped["skipped_computation"] = which
    return found, skipped | _search_batch(rollouts, found)


def _search_batch(rollouts: Sequence[Scanned], found: list[list[Finding]]) -> dict[str, str]:
    """Adds what only the batch shows, step by step where the rollouts have steps: the policy moves."""
    batches: dict[int | None, list[int]] = {}
    for number, rollout in enumerate(rollouts):
        if rollout.prompt_id is not None:
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
            [rollout.answer for rollout in batch],
            outcomes if any(outcome == outcome for outcome in outcomes) else None,  # else the gold answers decide
        )
        skipped.append(result.skipped)
        for number, more in zip(numbers, result.findings_B, strict=True):
            found[number] += more
    return {name: why for name, why in skipped[0].items() if all(name in batch for batch in skipped)}


def _search_lengths(
    rollouts: list[Scanned], found: list[list[Finding]], source: str | Path, reference: str | Path | None
) -> dict[str, str]:
    """Adds completions that are far shorter, in characters, than the reference run's on the same prompt or band."""
    if reference is None:
        return {"length_collapse": "SKIPPED: needs a reference run (--reference)"}
    lengths: dict[str, list[float]] = {}
    for rollout in read_any_rollouts(reference)[1]:
        if rollout.prompt_id is not None:
            lengths.setdefault(rollout.prompt_id, []).append(len(rollout.completion))
    numbers = [number for number, rollout in enumerate(rollouts) if rollout.prompt_id is not None]
    if not lengths or not numbers:
        return {"length_collapse": "SKIPPED: the rollouts do not say which prompt is theirs"}
    before = _read_bands(reference)
    bands = _read_bands(source) | before
    names = [str(rollouts[number].prompt_id) for number in numbers]
    texts = [rollouts[number].completion for number in numbers]
    result = LengthReference.fit(lengths, before).judge(
        [len(text) for text in texts], names, [bands.get(name) for name in names], texts
    )
    for number, more in zip(numbers, result.findings_B, strict=True):
        found[number] += more
    return result.skipped


def _read_bands(source: str | Path) -> dict[str, str]:
    """Band of each prompt, where pass rates lie beside the rollouts."""
    if not (Path(source) / RATES).exists():
        return {}
    return {name: rate.band for name, rate in read_rates(source).items()}


def read_any_rollouts(source: str | Path) -> tuple[str, Iterable[Scanned]]:
    """Recognises where rollouts come from; returns the name of the schema and the rollouts."""
    path = Path(source)
    if (path / ROLLOUTS).exists():
        return "rlguard store", _read_store(path)
    if path.is_dir():
        tables = sorted(path.glob("completions_*.parquet")) or sorted(path.glob("completions/completions_*.parquet"))
        if tables:
            return "TRL completions", _read_tables(tables)
        raise InputError(f"{path}: expected a rollout store ({ROLLOUTS}) or TRL's completions/*.parquet, found neither")
    rows = read_rows(path)
    is_trl = {"step", "prompt", "completion", "advantage"} <= set(rows[0])
    return ("TRL completions" if is_trl else "table"), list(_read_table(rows, str(path)))


def _read_store(folder: Path) -> Iterator[Scanned]:
    problems = {row["id"]: row for row in read_rows(folder / PROBLEMS)} if (folder / PROBLEMS).exists() else {}
    for rollout in read_rollouts(folder):
        problem = problems.get(rollout.prompt_id, {})
        yield Scanned(
            completion=rollout.completion,
            prompt=prompt_text(problem.get("prompt", "")),
            answer=problem.get("answer"),
            prompt_id=rollout.prompt_id,
            index=rollout.index,
            outcome=rollout.outcome,
        )


def _read_tables(paths: Sequence[Path]) -> Iterator[Scanned]:
    for path in paths:
        yield from _read_table(read_rows(path), str(path))


def _read_table(rows: Sequence[Mapping[str, Any]], name: str) -> Iterator[Scanned]:
    column = {kind: _find_column(rows[0], names) for kind, names in _COLUMNS.items()}
    if column["completion"] is None:
        raise InputError(
            f"{name}: no column of completions; expected one of {', '.join(_COMPLETION_COLUMNS)}, "
            f"the table has {', '.join(rows[0])}"
        )
    for number, row in enumerate(rows):
        completion, prompt = row[column["completion"]], row.get(column["prompt"] or "") or ""
        if not isinstance(completion, str | list):
            raise InputError(f"{name}: row {number}: expected a completion as text or chat, got {completion!r:.60}")
        answer = row.get(column["answer"] or "")
        yield Scanned(
            completion=prompt_text(completion),
            prompt=prompt_text(prompt),
            answer=None if answer is None else str(answer),
            prompt_id=row.get("rlguard_id")
            or row.get("prompt_id")
            or (make_prompt_id(prompt, answer) if prompt else None),
            index=row.get("index"),
            step=row.get("step"),
            outcome=math.nan if row.get("outcome") is None else float(row["outcome"]),
            row=row,
        )


_COLUMNS = {"completion": _COMPLETION_COLUMNS, "prompt": _PROMPT_COLUMNS, "answer": _ANSWER_COLUMNS}


def _find_column(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)
