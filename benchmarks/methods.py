"""Advantages of the methods that rlguard is compared with: from groups of rewards, (P, G), to advantages, (P, G)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

Rule = Callable[[np.ndarray], np.ndarray]


def dr_grpo(rewards_PG: np.ndarray) -> np.ndarray:
    """A = r − mean (arXiv 2503.20783)."""
    return rewards_PG - rewards_PG.mean(axis=1, keepdims=True)


def grpo(rewards_PG: np.ndarray) -> np.ndarray:
    """A = (r − mean) / std, as TRL and verl compute it: sample std, 1e-4 beside it."""
    return dr_grpo(rewards_PG) / (rewards_PG.std(axis=1, ddof=1, keepdims=True) + 1e-4)


def s_grpo(rewards_PG: np.ndarray, flip_rate: float = 0.15) -> np.ndarray:
    """GRPO's advantages times w = (1 − 2p)·√(t(1 − t) / (r̄(1 − r̄))), t = clip((r̄ − p)/(1 − 2p)) (arXiv 2508.05928)."""
    mean = rewards_PG.mean(axis=1, keepdims=True)
    t = ((mean - flip_rate) / (1 - 2 * flip_rate)).clip(0, 1)
    spread = mean * (1 - mean)
    weight = (1 - 2 * flip_rate) * np.sqrt(np.divide(t * (1 - t), spread, where=spread > 0, out=np.zeros_like(spread)))
    return weight * grpo(rewards_PG)


def threshold(rewards_PG: np.ndarray, least: float = 0.26) -> np.ndarray:
    """GRPO in the groups whose own pass rate is above `least`, nothing in the others."""
    return grpo(rewards_PG) * (rewards_PG.mean(axis=1, keepdims=True) > least)


def max_rl(rewards_PG: np.ndarray) -> np.ndarray:
    """A = (r − mean) / mean, 0 where nothing was earned (arXiv 2602.02710): up-weights rare wins."""
    mean = rewards_PG.mean(axis=1, keepdims=True)
    return np.divide(rewards_PG - mean, mean, where=mean > 0, out=np.zeros_like(rewards_PG))


def noise_corrected(rewards_PG: np.ndarray, chance_P: np.ndarray) -> np.ndarray:
    """A = (r − ρ₀) / (1 − ρ₀): the backward correction for false passes at a rate ρ₀ (arXiv 2510.00915).

    Its mean is 0 where only luck passes. It stands for the advantage itself: a group's own mean and std would undo it,
    as they undo every affine map of the rewards. False fails are taken not to occur.

    Args:
        rewards_PG: 0 or 1.
        chance_P: ρ₀ of each prompt, in [0, 1).
    """
    chance_P1 = np.asarray(chance_P, float)[:, None]
    return (rewards_PG - chance_P1) / (1 - chance_P1)


def make_ha_dw(rate: float = 0.1, scale: float = 1.3, window: int = 10) -> Rule:
    """History-aware difficulty weighting (arXiv 2601.08521) of GRPO's advantages; remembers the batches of one run.

    A·Φ with Φ = λ·exp(−sign(A)·(r̄ − C)): successes of groups that do worse than the anchor C, and failures of those
    that do better, count for more. C moves towards each batch's mean reward by η·σ, where σ is the standard deviation
    of the last `window` anchors; while there are fewer than two of them σ is 1.

    Args:
        rate: η, the paper's 0.1.
        scale: λ, the paper's 1.3.
        window: Of anchors.
    """
    anchors: deque[float] = deque(maxlen=window)

    def ha_dw(rewards_PG: np.ndarray) -> np.ndarray:
        seen = float(rewards_PG.mean())
        step = rate * (float(np.std(anchors)) if len(anchors) > 1 else 1.0)
        anchors.append((1 - step) * anchors[-1] + step * seen if anchors else seen)
        advantages_PG = grpo(rewards_PG)
        gap_P1 = rewards_PG.mean(axis=1, keepdims=True) - anchors[-1]
        return advantages_PG * scale * np.exp(-np.sign(advantages_PG) * gap_P1)

    return ha_dw


def make_shuffled(seed: int) -> Rule:
    """GRPO with each group's rewards dealt out anew: as many successes, steps of the same size, nothing to learn."""
    rng = np.random.default_rng(seed)
    return lambda rewards_PG: grpo(rng.permuted(rewards_PG, axis=1))
