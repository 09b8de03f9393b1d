"""A prototype of the next estimate: one posterior from counts that include the group's own; it reads no text.

A rollout is genuine with probability q, lucky with (1 − q)·L, else it fails. A prompt's q comes from a population F,
which nonparametric maximum likelihood fits to the counts of all prompts seen so far; its L from a Beta with the mean
chance rate and an intraclass correlation. These two are given, so it shows what one posterior brings by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import beta

from benchmarks.streams.draw import Batch
from benchmarks.streams.methods import Said, say

SKILL = np.concatenate([[0.0], (np.arange(40) + 0.5) ** 2 / 1600])
"""Skill rates that F has masses on: denser near 0, where prompts are impossible or nearly so."""
LUCK_POINTS = 16
"""Quantiles that stand for the Beta of L."""
PSEUDO_PROMPTS, ROUNDS = 1.0, 50
"""How many prompts an even F weighs beside those seen, and EM's rounds."""


def luck_points(chance: float, correlation: float) -> np.ndarray:
    """Equally likely values of L, (LUCK_POINTS,), or one where luck is the same for all."""
    if correlation <= 0 or not 0 < chance < 1:
        return np.array([chance])
    size = 1 / correlation - 1
    points = beta(chance * size, (1 - chance) * size).ppf((np.arange(LUCK_POINTS) + 0.5) / LUCK_POINTS)
    return points * (chance / points.mean())


def posterior(k_P: np.ndarray, n_P: np.ndarray, chance: float, correlation: float, judged: np.ndarray) -> np.ndarray:
    """P(genuine) of a success of each judged prompt, from the counts of all prompts.

    With p = q + (1 − q)·L:  w = Σ F(q)·q·E_L[p^(k−1)·(1−p)^(n−k)] / Σ F(q)·E_L[p^k·(1−p)^(n−k)].

    Args:
        k_P: Successes of each prompt so far, those of the group to be judged included, (P,).
        n_P: Rollouts, (P,).
        chance: Mean chance rate.
        correlation: Intraclass correlation of luck.
        judged: Which prompts are asked for, (J,) indices.

    Returns:
        (J,) probabilities; 1 for prompts without success.
    """
    luck = luck_points(chance, correlation)
    passing = SKILL[:, None] + (1 - SKILL[:, None]) * luck  # (Q, L)
    kinds, kind_P = np.unique(np.stack([k_P, n_P], axis=1), axis=0, return_inverse=True)
    kind_P = kind_P.ravel()
    k, n = kinds[:, 0, None, None], kinds[:, 1, None, None]
    seen = (passing**k * (1 - passing) ** (n - k)).mean(axis=2)  # (kinds, Q)
    mass = fit(seen, np.bincount(kind_P, minlength=len(kinds)))
    solved = SKILL * (passing ** np.maximum(k - 1, 0) * (1 - passing) ** (n - k)).mean(axis=2)
    whole = seen @ mass
    genuine = np.where((kinds[:, 0] > 0) & (whole > 0), (solved @ mass) / np.where(whole > 0, whole, 1.0), 1.0)
    return genuine[kind_P[judged]]


def fit(likelihood: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """F by EM, (Q,) masses that sum to 1.

    Args:
        likelihood: Of what was seen, (R, Q).
        counts: How many prompts each row stands for, (R,).
    """
    start = np.full(likelihood.shape[1], PSEUDO_PROMPTS / likelihood.shape[1])
    mass = start
    for _ in range(ROUNDS):
        mass = start + mass * (likelihood.T @ (counts / np.maximum(likelihood @ mass, 1e-300)))
    return mass / mass.sum()


def make_prototype() -> Callable[[Batch], Said]:
    """Counts of every prompt so far in; the mean and the spread of the batches' chance rates are told."""
    counts: dict[int, np.ndarray] = {}
    told: dict[int, float] = {}

    def judge(batch: Batch) -> Said:
        size = batch.passed_PG.shape[1]
        for prompt, k, chance in zip(
            batch.prompts_P.tolist(), batch.passed_PG.sum(axis=1), batch.chance_P, strict=True
        ):
            counts[prompt] = counts.get(prompt, np.zeros(2)) + np.array([k, size])
            told[prompt] = float(chance)
        k_P, n_P = np.stack(list(counts.values())).T
        places = {prompt: place for place, prompt in enumerate(counts)}
        judged = np.array([places[prompt] for prompt in batch.prompts_P.tolist()])
        rates = np.array(list(told.values()))
        mean = float(rates.mean())
        spread = float(rates.var()) / (mean * (1 - mean)) if 0 < mean < 1 else 0.0
        genuine = posterior(k_P, n_P, mean, spread if spread > 1e-6 else 0.0, judged)
        return say(batch, np.repeat(genuine[:, None], size, axis=1))

    return judge
