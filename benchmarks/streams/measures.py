"""What is measured on a stream: sums over its batches, and the figures that come of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.streams.draw import Batch
from benchmarks.streams.methods import Said, grpo_advantages

BINS = 8
"""Group sizes above it are read in eighths: k of n is the bin ⌈8k/n⌉."""
ENOUGH = 50
"""Successes that a bin needs to count for the worst gap."""
SUMS = ("weight", "genuine", "lucky_push", "genuine_push", "host_lucky", "host_genuine", "scale", "batches")


def measure(batch: Batch, said: Said) -> dict[str, float | list[float]]:
    """Sums over one batch.

    A success's push is its advantage where that is positive. `bins` hold, by k of n, the successes, the sum of what
    P(genuine) was said, and how many of them were genuine.
    """
    host, changed = grpo_advantages(batch).clip(0), said.advantages_PG.clip(0)
    genuine, success = batch.genuine_PG, batch.passed_PG > 0
    n = success.shape[1]
    bins = np.broadcast_to(np.ceil(success.sum(axis=1, keepdims=True) * min(BINS / n, 1.0)), success.shape)
    which = bins[success].astype(int)
    size = min(n, BINS) + 1
    return {
        "weight": float(said.weights_PG[genuine].sum()),
        "genuine": float(genuine.sum()),
        "lucky_push": float(changed[batch.lucky_PG].sum()),
        "genuine_push": float(changed[genuine].sum()),
        "host_lucky": float(host[batch.lucky_PG].sum()),
        "host_genuine": float(host[genuine].sum()),
        "scale": said.scale,
        "batches": 1.0,
        "counts": np.bincount(which, minlength=size).astype(float).tolist(),
        "said": np.bincount(which, said.genuine_PG[success], size).tolist(),
        "true": np.bincount(which, genuine[success], size).tolist(),
    }


def add(measured: Sequence[dict]) -> dict:
    """The sums of several batches, or of several seeds."""
    return {
        name: np.sum([one[name] for one in measured], axis=0).tolist() for name in (*SUMS, "counts", "said", "true")
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def figures(sums: dict) -> dict[str, float]:
    """What a seed's sums come to; NaN where there is nothing to divide by.

    `weight`: mean weight of genuine successes; `lucky`: lucky successes' share of the push; `kept`: genuine push over
    GRPO's; `scale`: mean of what the learning rate is multiplied with.
    """
    return {
        "weight": _share(sums["weight"], sums["genuine"]),
        "lucky": _share(sums["lucky_push"], sums["lucky_push"] + sums["genuine_push"]),
        "pushed": _share(sums["lucky_push"], sums["host_lucky"]),
        "kept": _share(sums["genuine_push"], sums["host_genuine"]),
        "scale": _share(sums["scale"], sums["batches"]),
    }


def gaps(sums: dict) -> tuple[float, float, int]:
    """Calibration: the worst gap over k, with its sign and where, and the mean size of gaps over successes.

    Returns:
        Worst of (said − true share) by size among bins with `ENOUGH` successes, the mean, and the worst's bin.
    """
    counts, said, true = (np.array(sums[name], float) for name in ("counts", "said", "true"))
    gap = np.divide(said - true, counts, out=np.zeros_like(counts), where=counts > 0)
    enough = counts >= ENOUGH
    if not enough.any():
        return float("nan"), float("nan"), 0
    worst = int(np.argmax(np.where(enough, abs(gap), -1.0)))
    return float(gap[worst]), float((abs(gap) * counts).sum() / counts.sum()), worst
