"""Advantages of the methods that rlguard is compared with: from groups of rewards, (P, G), to advantages, (P, G)."""

from __future__ import annotations

import numpy as np


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
