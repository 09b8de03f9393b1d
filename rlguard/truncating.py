"""The truncation test on a rollout store: picks successes, runs it, sums it up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.answers import ANSWER_CUE
from rlguard.data import read_rows
from rlguard.difficulty import PROBLEMS
from rlguard.segments import read_rollouts
from rlguard.shortcuts.truncation import TruncationCurve, truncation_test
from rlguard.types import Engine, InputError, Problem, Rollout, Verifier


def truncate_store(
    store: str | Path,
    load: Callable[[], Engine],
    verifier: Verifier,
    most: int = 200,
    n: int = 4,
    cue: str = ANSWER_CUE,
) -> list[TruncationCurve]:
    """Tests the correct rollouts of a store.

    Args:
        store: Folder that `rlguard estimate` wrote.
        load: Makes the engine, once it is sure that there is something to test.
        verifier: Judges the forced answers.
        most: How many rollouts are tested: the first of every prompt, then the second, and so on.
        n: Answers at each cut.
        cue: How the answer is begun.

    Raises:
        InputError: If the store holds no correct rollout, or its problems are missing.
    """
    path = Path(store) / PROBLEMS
    if not path.exists():
        raise InputError(f"{store}: expected a folder that `rlguard estimate` wrote, {PROBLEMS} is missing")
    problems = [Problem(row["id"], row["prompt"], row["answer"], row, i) for i, row in enumerate(read_rows(path))]
    by_prompt: dict[str, list[Rollout]] = {}
    for rollout in read_rollouts(store):
        if rollout.outcome == 1.0:
            by_prompt.setdefault(rollout.prompt_id, []).append(rollout)
    rounds = max(map(len, by_prompt.values()), default=0)
    chosen = [own[turn] for turn in range(rounds) for own in by_prompt.values() if turn < len(own)][:most]
    if not chosen:
        raise InputError(f"{store}: holds no correct rollout, and only those are tested")
    return truncation_test(chosen, problems, load(), verifier, n=n, cue=cue)


def summarise_curves(curves: Sequence[TruncationCurve]) -> list[tuple[str, int, list[float], int]]:
    """(band, curves, mean reward at each fraction, findings) of each band, by name."""
    bands: dict[str, list[TruncationCurve]] = {}
    for curve in curves:
        if curve.trials:
            bands.setdefault(curve.band, []).append(curve)
    return [
        (
            band,
            len(members),
            np.nanmean([curve.rewards for curve in members], axis=0).tolist(),
            sum(curve.finding is not None for curve in members),
        )
        for band, members in sorted(bands.items())
    ]


def to_record(curve: TruncationCurve) -> dict[str, Any]:
    """A JSON-serialisable curve; NaN is null."""
    record = dataclasses.asdict(curve) | {"rewards": [None if reward != reward else reward for reward in curve.rewards]}
    return {name: None if value != value else value for name, value in record.items()}
