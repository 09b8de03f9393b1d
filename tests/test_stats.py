from __future__ import annotations

import math

import numpy as np
import pytest

from rlguard.stats import SKILL_GRID, beta_weights, binomial_interval, skill_likelihood, skill_posterior


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Clopper–Pearson by its closed forms at the ends: 1 − (α/2)^(1/n), and tables for the middle
        (0, 8, 0.0, 1 - 0.025 ** (1 / 8)),
        (0, 16, 0.0, 1 - 0.025 ** (1 / 16)),
        (16, 16, 0.025 ** (1 / 16), 1.0),
        (5, 10, 0.1871, 0.8129),
        (1, 10, 0.0025, 0.4450),
        (0, 0, 0.0, 1.0),
    ],
)
def test_interval_table(successes, trials, low, high):
    assert binomial_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.93])
def test_interval_covers(rate):
    """Exact coverage, summed over all outcomes of 16 trials, is at least 95%."""
    covered = 0.0
    for k in range(17):
        low, high = binomial_interval(k, 16)
        covered += math.comb(16, k) * rate**k * (1 - rate) ** (16 - k) * (low <= rate <= high)
    assert covered >= 0.95


@pytest.mark.parametrize(("successes", "trials"), [(-1, 4), (5, 4)])
def test_interval_rejects_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} of {trials}"):
        binomial_interval(successes, trials)


def test_interval_rejects_a_confidence_of_one():
    with pytest.raises(ValueError, match="confidence"):
        binomial_interval(1, 2, 1.0)


def test_beta_weights_are_masses():
    for alpha, beta in [(0.5, 0.5), (1, 1), (2, 8)]:
        masses = beta_weights(alpha, beta)
        assert masses.sum() == pytest.approx(1)
        assert masses @ SKILL_GRID == pytest.approx(alpha / (alpha + beta), abs=1e-3)
    np.testing.assert_allclose(beta_weights(0.5, 0.5), 1 / len(SKILL_GRID), rtol=1e-9)  # Jeffreys is flat on the grid


def test_posterior_without_chance_is_the_beta_posterior():
    likelihood = skill_likelihood([3], [10])
    mean = skill_posterior(likelihood, beta_weights(1, 1)) @ SKILL_GRID
    assert mean[0] == pytest.approx(4 / 12, abs=2e-3)


def test_posterior_subtracts_luck():
    # 50 of 100 with chance 0.5 is no skill at all; with chance 0 it is skill 0.5
    likelihood = skill_likelihood([50, 50], [100, 100], [0.5, 0.0])
    lucky, skilled = skill_posterior(likelihood, beta_weights(1, 1)) @ SKILL_GRID
    assert lucky < 0.12
    assert skilled == pytest.approx(0.5, abs=0.01)
