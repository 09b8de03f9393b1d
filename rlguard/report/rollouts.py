"""Rollouts in one form, wherever they come from: a store, TRL's tables of completions, a table of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlguard.report.files import Row, finite, read_rows, show_prompt
from rlguard.rollouts.segments import ROLLOUTS, list_sealed
from rlguard.shortcuts.scan import Scanned, read_any_rollouts

REQUIRED = ("prompt_id", "completion")
NOT_REWARDS = {"step", "index", "advantage", "outcome", "tokens", "num_tokens", "rlguard_weight", "level", "length"}


def read_store(store: Path, name: str, notes: list[str]) -> list[Row]:
    """The rollouts of a store, each once, with their prompts' texts where the store has those.

    Raises:
        InputError: If a file of it cannot be read.
    """
    rows: list[Row] = []
    for path in [*list_sealed(store), store / ROLLOUTS]:
        if path.exists():
            where = path.name if name == store.name else f"{name}/{path.name}"
            rows += read_rows(path, where, notes, REQUIRED)
    problems = store / "problems.jsonl"
    known = {row["id"]: row for row in read_rows(problems, problems.name, notes, ("id",))} if problems.exists() else {}
    for row in rows:
        problem = known.get(str(row["prompt_id"]), {})
        prompt = show_prompt(row.get("prompt") or problem.get("prompt"))
        row |= {"prompt": prompt, "gold": problem.get("answer"), "source": name}
    return keep_first(rows, ROLLOUTS, notes)


def keep_first(rows: list[Row], where: str, notes: list[str]) -> list[Row]:
    """Each rollout once, as the store reads itself: a resumed run may have written one again."""
    first: dict[str, Row] = {}
    for number, row in enumerate(rows):
        first.setdefault(f"{row.get('prompt_id')} {row.get('index', f'row {number}')}", row)
    again = len(rows) - len(first)
    if again:
        notes.append(f"{where}: {again} rollouts stand there twice; the first of each was read.")
    return list(first.values())


def read_tables(paths: Sequence[Path], name: str, notes: list[str]) -> list[Row]:
    """The rollouts of tables of completions, those of TRL or one's own.

    Args:
        paths: The tables, in their order.
        name: Where they come from, for the reader.
        notes: What such a reader should know is added here.

    Raises:
        InputError: If a table cannot be read or has no column of completions; names its columns.
    """
    rows: list[Row] = []
    judges: set[str | None] = set()
    for path in paths:
        schema, scanned = read_any_rollouts(path)
        for one in scanned:
            judge = _find_reward(one.row, schema)
            judges.add(judge)
            rows.append(_describe(one, judge, name))
    judges.discard(None)
    if judges and all(row["outcome"] is None and row["reward"] in (0, 1, None) for row in rows):
        rows = [row | {"outcome": row["reward"]} for row in rows]
        notes.append(f"{name}: a completion is correct where its reward {', '.join(sorted(map(str, judges)))} is 1.")
    return rows


def _find_reward(row: Mapping[str, Any], schema: str) -> str | None:
    """The first column of rewards in TRL's table, which the guard takes for correctness; in others one of that name."""
    if not schema.startswith("TRL"):
        return next((column for column in ("reward", "score") if finite(row.get(column)) is not None), None)
    for column, value in row.items():
        if column not in NOT_REWARDS and not column.startswith("rlguard_") and finite(value) is not None:
            return column
    return None


def _describe(one: Scanned, judge: str | None, source: str) -> Row:
    row = one.row
    return {
        "prompt_id": one.prompt_id,
        "prompt": one.prompt,
        "gold": one.answer,
        "index": one.index,
        "step": one.step,
        "completion": one.completion,
        "outcome": finite(one.outcome),
        "reward": finite(row.get(judge)) if judge else None,
        "advantage": finite(row.get("advantage")),
        "weight": finite(row.get("rlguard_weight")),
        "tokens": finite(row.get("tokens")),
        "finish_reason": row.get("finish_reason"),
        "source": source,
    }


def to_scanned(row: Row, golds: Mapping[str, str]) -> Scanned:
    """A rollout as the detectors read it."""
    outcome, step = finite(row.get("outcome")), finite(row.get("step"))
    prompt_id = None if row.get("prompt_id") is None else str(row["prompt_id"])
    return Scanned(
        completion=str(row.get("completion") or ""),
        prompt=str(row.get("prompt") or ""),
        answer=golds.get(prompt_id or ""),
        prompt_id=prompt_id,
        step=None if step is None else int(step),
        outcome=math.nan if outcome is None else outcome,
    )
