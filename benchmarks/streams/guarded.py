"""The one place where the benchmark calls the guard: a batch in, what a trainer would get out."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.streams.draw import Batch, Stream, draw_batches
from benchmarks.streams.methods import Said, grpo_advantages
from rlguard import Guard, GuardConfig
from rlguard.luck.evidence import Evidence


def read_batches(stream: Stream, seed: int, folder: Path | None = None) -> list[tuple[Batch, list[Evidence]]]:
    """A stream's batches, and what a guard reads in their texts. It takes most of the time: `folder` keeps it."""
    path = folder and folder / f"{stream.name.replace('/', '_')}-{seed}.pkl"
    if path and path.exists():
        return pickle.loads(path.read_bytes())[1]
    reader, read = Guard(GuardConfig(workers=0)).reader, []
    for batch in draw_batches(stream, seed):
        evidence = reader.read(batch.asked_B, batch.texts_B, batch.rows_B)
        read.append((replace(batch, texts_B=[], asked_B=[]), evidence))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps((stream, read)))
    return read


def make_guard(config: GuardConfig | None = None) -> Callable[[Batch, list[Evidence]], Said]:
    """A new guard, which learns from batch to batch; with default settings unless told otherwise."""
    guard = Guard(config or GuardConfig(workers=0))

    def judge(batch: Batch, evidence: list[Evidence]) -> Said:
        rewards = batch.passed_PG.ravel()
        groups = np.repeat(np.arange(len(batch.prompts_P)), batch.passed_PG.shape[1])
        start = time.perf_counter()
        judged = guard.judge(evidence, grpo_advantages(batch).ravel(), rewards, rewards, groups)
        seconds = time.perf_counter() - start
        if judged.metrics["rlguard/faults"]:
            raise RuntimeError("the guard gave a batch back to the trainer; its log says why")
        shape = batch.passed_PG.shape
        return Said(
            genuine_PG=np.nan_to_num(judged.genuine_B).reshape(shape),
            weights_PG=np.asarray(judged.weights_B).reshape(shape),
            advantages_PG=np.asarray(judged.advantages_B).reshape(shape) * judged.step_scale,  # what the two come to
            scale=judged.step_scale,
            seconds=seconds,
        )

    return judge
