"""How likely a success is genuine: Bayes' rule over the skill of its prompt, the chance rate and the text.

A success is *lucky* when the completion is correct but not by solving. Let q be how often the model really solves a
prompt (its skill rate) and c how often a rollout that does not solve it passes anyway (its chance rate). Then

    P(pass) = q + (1 − q)·c        P(genuine | pass) = E[q] / (E[q] + (1 − E[q])·c) = g₀

with E[q] the posterior mean of q from evidence that *excludes the group being judged*: a group judged by its own pass
rate lets the luckiest groups through. The text of the completion multiplies the odds by a likelihood ratio, so a rare
success that shows its computation stays probable and a bare lucky number does not:

    P(genuine | pass, text) = odds / (1 + odds),    odds = g₀ / (1 − g₀) · likelihood_ratio
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlguard.stats import SKILL_GRID, pass_likelihood, weigh_luck

CHANCE_FLOOR = 0.01
"""Smallest chance rate: verifiers err and flawed reasoning sometimes lands on the answer, so luck is never 0."""


def genuine_probability(
    successes_P: Any,
    trials_P: Any,
    chance_P: Any,
    prior: np.ndarray,
    chance_floor: float = CHANCE_FLOOR,
    correlation_P: Any = 0.0,
) -> np.ndarray:
    """P(a success is genuine) for each prompt, before looking at the completion.

    Args:
        successes_P: (P,) successes of earlier rollouts; the group being judged must not be among them.
        trials_P: (P,) earlier rollouts.
        chance_P: (P,) chance rate in [0, 1]; NaN means unknown and takes the floor.
        prior: (GRID_POINTS,) or (P, GRID_POINTS) masses over the skill rate (`stats.beta_weights`).
        chance_floor: Smallest chance rate.
        correlation_P: (P,) or one intraclass correlation of luck within a prompt, in [0, 1] (`stats.skill_likelihood`).

    Returns:
        (P,) probabilities in [0, 1].

    >>> from rlguard.stats import beta_weights
    >>> genuine_probability([0, 8], [64, 16], [0.1, 0.1], beta_weights(0.5, 0.5)).round(2).tolist()
    [0.07, 0.89]
    """
    chance = np.nan_to_num(np.asarray(chance_P, float), nan=0.0).clip(chance_floor, 1.0)
    likelihood = pass_likelihood(successes_P, trials_P)
    mass = prior * weigh_luck(likelihood, chance, correlation_P) + 1e-300
    skill = mass @ SKILL_GRID / mass.sum(axis=1)
    passing = (prior * weigh_luck(likelihood * SKILL_GRID, chance, correlation_P)).sum(axis=1) / mass.sum(axis=1)
    return skill / np.maximum(passing, skill + (1 - skill) * chance)  # its own luck so far, or anew: the larger


def genuine_given_text(genuine_B: Any, likelihood_ratio_B: Any = 1.0) -> np.ndarray:
    """P(a success is genuine) once its text is read: Bayes' rule on the odds.

    Args:
        genuine_B: (B,) the probability before, from `genuine_probability`, in [0, 1].
        likelihood_ratio_B: (B,) or scalar P(text | genuine) / P(text | lucky), > 0.

    Returns:
        (B,) probabilities in [0, 1].

    >>> genuine_given_text([0.5, 0.6, 0.02], [9.0, 1.0, 1.0]).round(2).tolist()
    [0.9, 0.6, 0.02]
    """
    genuine = np.asarray(genuine_B, float)
    likelihood_ratio = np.asarray(likelihood_ratio_B, float)
    return genuine * likelihood_ratio / (genuine * likelihood_ratio + (1 - genuine))
