"""What one model answers to a suite: rollouts in a store, cut reasoning and scores beside them, each kept once."""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlguard.audit.samples import Item, Sample, Score, select
from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.difficulty.sampling import Progress
from rlguard.rollouts.segments import read_rollouts
from rlguard.shortcuts.truncation import TruncationCurve, truncation_test
from rlguard.tables.read import read_rows
from rlguard.tables.write import write_rows
from rlguard.types import Engine, InputError, Problem, Rollout, Sampling, Verifier

SCORES, TRUNCATION = "scores.jsonl", "truncation.jsonl"


@dataclasses.dataclass(frozen=True)
class Taking:
    """How much is taken of a model."""

    n: int = 16
    """Rollouts a question; pass@k goes as far as this, at most to 256."""
    scored: int = 4
    """Rollouts a question whose log-probabilities are taken, with transformers; 0 for none."""
    truncated: int = 32
    """Correct rollouts whose reasoning is cut (the truncation test), one a question; 0 for none."""
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    """How completions are drawn."""


@dataclasses.dataclass(frozen=True)
class Taken:
    """What one model answered."""

    samples: list[Sample]
    curves: list[TruncationCurve]
    skipped: dict[str, str]
    """Measures that could not be taken, and why."""


def take(
    model: str,
    items: Sequence[Item],
    folder: Path,
    taking: Taking,
    load: Callable[[str], Engine],
    verifier: Verifier,
    on_progress: Callable[[Progress], None] | None = None,
) -> Taken:
    """Asks a model every item, or goes on where an earlier call stopped.

    Args:
        model: Folder or hub name.
        items: The suite.
        folder: The model's rollout store.
        taking: How much.
        load: Makes an engine for a model.
        verifier: Judges the answers.
        on_progress: Called after each change of the sampling.

    Raises:
        InputError: If the folder holds rollouts drawn in another way, or the model cannot be loaded.
    """
    engine = load(model)
    rows = [item.row | {"prompt": item.prompt, "answer": item.answer} for item in items]
    estimate_pass_rates(
        rows, model, out=folder, n=taking.n, engine=engine, verifier=verifier, sampling=taking.sampling,
        on_progress=on_progress,
    )  # fmt: skip
    samples = read_samples(items, folder)
    curves = _truncate(samples, folder / TRUNCATION, engine, verifier, taking.truncated)
    del engine  # its memory is wanted for the scores
    gc.collect()
    samples, why = _score(model, samples, folder / SCORES, taking.scored)
    return Taken(samples, curves, {} if why is None else {"scores": why})


def read_samples(items: Sequence[Item], folder: Path) -> list[Sample]:
    """The items with their rollouts from a store, in the order of the items."""
    by_id: dict[str, list[Rollout]] = {item.id: [] for item in items}
    for rollout in read_rollouts(folder):
        if rollout.prompt_id in by_id:
            by_id[rollout.prompt_id].append(rollout)
    return [Sample(item, sorted(by_id[item.id], key=lambda rollout: rollout.index)) for item in items]


def _truncate(
    samples: Sequence[Sample], path: Path, engine: Engine, verifier: Verifier, most: int
) -> list[TruncationCurve]:
    """The truncation test of the first correct rollout of up to `most` plain questions."""
    correct = [
        (sample.item, next(rollout for rollout in sample.rollouts if rollout.outcome == 1.0))
        for sample in select(samples)
        if not sample.item.open_ended and (sample.outcomes_N == 1.0).any()
    ][:most]
    if not correct:
        return []
    wanted = [[rollout.prompt_id, rollout.index] for _, rollout in correct]
    kept = _read_kept(path, wanted)
    if kept is None:
        problems = [Problem(item.id, item.prompt, item.answer, item.row) for item, _ in correct]
        curves = truncation_test([rollout for _, rollout in correct], problems, engine, verifier)
        kept = [_to_json(curve) for curve in curves]
        write_rows([{"of": wanted, "kept": kept}], path)
    return [_to_curve(record) for record in kept]


def _score(model: str, samples: list[Sample], path: Path, most: int) -> tuple[list[Sample], str | None]:
    """The samples with the scores of their first `most` rollouts; or as they are, and why."""
    if not most:
        return samples, "not asked for"
    wanted = [[most, len(samples)], [sample.item.id for sample in samples]]
    kept = _read_kept(path, wanted)
    if kept is None:
        from rlguard.audit.scoring import Scorer

        try:
            scored = Scorer(model).score_samples(samples, most=most)
        except InputError as error:  # a model behind a server has no weights here
            return samples, str(error)
        kept = [[score and _to_json(score) for score in sample.scores] for sample in scored]
        write_rows([{"of": wanted, "kept": kept}], path)
    return [
        dataclasses.replace(sample, scores=[score and _to_score(score) for score in scores])
        for sample, scores in zip(samples, kept, strict=True)
    ], None


def _read_kept(path: Path, wanted: Any) -> Any:
    """What was written there for just this, or None."""
    rows = read_rows(path) if path.exists() else []
    return rows[0]["kept"] if rows and rows[0]["of"] == wanted else None


def _to_json(record: Any) -> dict[str, Any]:
    return without_nan(dataclasses.asdict(record))


def without_nan(value: Any) -> Any:
    """The same with null for numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _to_score(record: dict[str, Any]) -> Score:
    return Score(**record | {"gold_logprobs": tuple(record["gold_logprobs"])})


def _to_curve(record: dict[str, Any]) -> TruncationCurve:
    values: dict[str, Any] = {
        k: math.nan if v is None and k in ("area", "low", "high", "score") else v for k, v in record.items()
    }
    values |= {name: tuple(values[name]) for name in ("fractions", "cuts", "successes", "trials")}
    return TruncationCurve(**values | {"finding": None})
