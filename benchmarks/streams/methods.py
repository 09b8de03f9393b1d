"""What the guard is compared with: GRPO, its own mean as one learning rate, chance, and an oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from benchmarks.methods import dr_grpo, grpo
from benchmarks.streams.draw import OFFLINE_TRIALS, POPULATIONS, RARE, Batch, Stream, move
from rlguard.guard.rewrite import rewrite_groups
from rlguard.guard.size import StepSize

POINTS = 400
"""Quantiles that stand for a population's Beta."""


@dataclass(frozen=True)
class Said:
    """What a method makes of a batch of P groups of G rollouts; only successes count in the first two."""

    genuine_PG: np.ndarray
    """P(genuine)."""
    weights_PG: np.ndarray
    """What acts."""
    advantages_PG: np.ndarray
    scale: float
    """What the learning rate is multiplied with."""
    seconds: float = float("nan")


def grpo_advantages(batch: Batch) -> np.ndarray:
    """The host's advantages, (P, G)."""
    return grpo(batch.passed_PG)


def weigh(batch: Batch, weights_PG: np.ndarray) -> np.ndarray:
    """GRPO's advantages with each success worth its weight, at the scale that GRPO gives the group."""
    passed = batch.passed_PG
    spread = passed.std(axis=1, ddof=1, keepdims=True)
    return np.where(spread > 0, dr_grpo(passed * weights_PG) / (spread + 1e-4), 0.0)


def say(batch: Batch, weights_PG: np.ndarray) -> Said:
    """What weights come to without a guard: the rate shrinks as the root mean square of the advantages does."""
    host, changed = grpo_advantages(batch), weigh(batch, weights_PG)
    energy = (host**2).sum()
    return Said(weights_PG, weights_PG, changed, float(np.sqrt((changed**2).sum() / energy)) if energy else 1.0)


def judge_grpo(batch: Batch) -> Said:
    """Every success counts in full."""
    return say(batch, np.ones(batch.passed_PG.shape))


def judge_evenly(batch: Batch, guarded: Said) -> Said:
    """Every success counts the mean of the guard's weights: a smaller learning rate."""
    success = batch.passed_PG > 0
    mean = guarded.weights_PG[success].mean() if success.any() else 1.0
    return say(batch, np.full(success.shape, mean))


def judge_randomly(batch: Batch, guarded: Said, rng: np.random.Generator) -> Said:
    """The guard's weights, dealt out to the successes anew."""
    success = batch.passed_PG > 0
    weights = np.ones(success.shape)
    weights[success] = rng.permutation(guarded.weights_PG[success])
    return say(batch, weights)


def population(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Skill rates and masses, (Q,) each, that a stream's prompts come from."""
    points = beta(*POPULATIONS[stream.population]).ppf((np.arange(POINTS) + 0.5) / POINTS)
    parts = [(points, np.full(POINTS, 1 / POINTS))]
    if stream.population == "rare":
        parts = [(points, parts[0][1] / 2), (np.array([RARE]), np.array([0.5]))]
    parts = [(skill, mass * (1 - stream.impossible)) for skill, mass in parts]
    skills, masses = zip(*parts, (np.zeros(1), np.array([stream.impossible])), strict=True)
    return np.concatenate(skills), np.concatenate(masses)


def posterior(skill_Q: np.ndarray, prior_PQ: np.ndarray, chance_P: np.ndarray, k_P: np.ndarray, n: int) -> np.ndarray:
    """P(genuine) of each success of a group with k of n, given masses over skill from before it.

    With p = q + (1 − q)c and F the masses: Σ F·q·p^(k−1)·(1−p)^(n−k) / Σ F·p^k·(1−p)^(n−k).

    Args:
        skill_Q: Skill rates now, (Q,).
        prior_PQ: Masses, (P, Q); they need not sum to 1.
        chance_P: Chance rates, (P,).
        k_P: Successes, (P,), the group's own.
        n: Rollouts of a group.

    Returns:
        (P,) probabilities; 1 where nothing passed.
    """
    passing = skill_Q + (1 - skill_Q) * chance_P[:, None]
    k = k_P[:, None]
    rest = prior_PQ * passing ** np.maximum(k - 1, 0) * (1 - passing) ** (n - k)
    whole = (rest * passing).sum(axis=1)
    return np.where(k_P > 0, (rest * skill_Q).sum(axis=1) / np.where(whole > 0, whole, 1.0), 1.0)


def make_oracle(stream: Stream) -> Callable[[Batch], Said]:
    """Knows the population, each prompt's chance rate and how the policy moves; sees counts, not texts."""
    skill, mass = population(stream)
    seen: dict[int, np.ndarray] = {}

    def judge(batch: Batch) -> Said:
        n, k_P = batch.passed_PG.shape[1], batch.passed_PG.sum(axis=1)
        for place, prompt in enumerate(batch.prompts_P.tolist()):
            if prompt not in seen:
                seen[prompt] = mass * _offline_likelihood(stream, skill, batch, place)
        prior_PQ = np.stack([seen[prompt] for prompt in batch.prompts_P.tolist()])
        now = move(skill, batch.shift)
        genuine = posterior(now, prior_PQ, batch.chance_P, k_P, n)
        passing = now + (1 - now) * batch.chance_P[:, None]
        after = prior_PQ * passing ** k_P[:, None] * (1 - passing) ** (n - k_P)[:, None]
        for prompt, masses in zip(batch.prompts_P.tolist(), after / after.sum(axis=1, keepdims=True), strict=True):
            seen[prompt] = masses
        return say(batch, np.repeat(genuine[:, None], n, axis=1))

    return judge


def make_ruled_oracle(stream: Stream) -> Callable[[Batch], Said]:
    """What the oracle knows, through the guard's rules of direction and size: what an estimate can reach."""
    oracle, size = make_oracle(stream), StepSize()

    def judge(batch: Batch) -> Said:
        genuine, shape, passed = oracle(batch).genuine_PG, batch.passed_PG.shape, batch.passed_PG.ravel()
        host, groups = grpo_advantages(batch).ravel(), np.repeat(np.arange(shape[0]), shape[1])
        weights = size.weigh(genuine.ravel(), passed > 0, host)
        changed, _ = rewrite_groups(host, passed, passed, groups, weights)
        share, reference = size.measure(genuine.ravel(), host, changed)
        return Said(genuine, weights.reshape(shape), (changed * share).reshape(shape), share * reference)

    return judge


def _offline_likelihood(stream: Stream, skill_Q: np.ndarray, batch: Batch, place: int) -> np.ndarray:
    """Of a prompt's offline counts, (Q,); 1 where it has none."""
    row = batch.rows_B[place * batch.passed_PG.shape[1]]
    if "rlguard_successes" not in row:
        return np.ones(len(skill_Q))
    before = move(skill_Q, -stream.drift * stream.stale)
    passing = before + (1 - before) * batch.chance_P[place]
    return passing ** row["rlguard_successes"] * (1 - passing) ** (OFFLINE_TRIALS - row["rlguard_successes"])
