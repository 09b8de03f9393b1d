"""The one place where the benchmark calls the guard: a batch in, what a trainer would get out."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.streams.draw import Batch
from benchmarks.streams.methods import Said, grpo_advantages
from rlguard import Guard, GuardConfig


def make_guard() -> Callable[[Batch], Said]:
    """A new guard with default settings, which learns from batch to batch."""
    guard = Guard(GuardConfig(workers=0))

    def judge(batch: Batch) -> Said:
        rewards = batch.passed_PG.ravel()
        groups = np.repeat(np.arange(len(batch.prompts_P)), batch.passed_PG.shape[1])
        evidence = guard.reader.read(batch.asked_B, batch.texts_B, batch.rows_B)
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
