"""The difficulty filter, live: each batch takes the prompts that are expected to teach most now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlguard.stats import SKILL_GRID, beta_weights, fit_mixture, skill_likelihood, skill_posterior
from rlguard.types import InputError

UNSEEN = (0.5, 0.5)
"""Beta prior of the skill rate before any prompt was seen; it weighs one prompt."""
FITTED = 2_048
"""So many of the prompts seen, chosen at random, tell the population: more change nothing that counts."""
EM_ROUNDS = 20


@dataclass(frozen=True)
class SamplerConfig:
    """How prompts are chosen while training."""

    half_life: float = 40.0
    """Batches after which what was seen of a prompt counts half: the policy moves. It bounds how long a prompt that
    failed is left alone; infinity never forgets."""
    candidates: int = 16_384
    """Of a larger data set so many prompts, drawn at random, compete for each batch; choosing takes about 20 ms."""
    max_offline_trials: float = 16.0
    """An offline pass rate weighs at most this many rollouts: it was measured before training."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("half_life", "candidates", "max_offline_trials"):
            if not getattr(self, name) > 0:
                raise InputError(f"SamplerConfig.{name}: expected a positive number, got {getattr(self, name)!r}")


class PromptSampler:
    """Knows of each prompt what its last visits showed; chooses the next batch by Thompson sampling.

    A prompt's skill rate q (how often the model really solves it) has a posterior from the counts of its last visits,
    the guard's chance rate of its guesses, and the population of the prompts seen as prior; counts and population are
    kept here, beside the guard's own. For each batch one q is drawn for each prompt, and those are taken whose group
    of G rollouts would most likely hold a genuine success and a failure:

        V(q) = (1 − (1 − q)^G) · (1 − p^G),   p = q + (1 − q)·c

    V is 0 for a prompt that only luck solves (q = 0) and for one that is mastered (p = 1). Uncertain prompts sometimes
    draw a high V, so they are tried; counts fade with `half_life`, so no prompt is left out for good.

    >>> sampler = PromptSampler(3, group_size=8)
    >>> for _ in range(20):
    ...     sampler.observe([0, 1, 2], [0, 4, 8], [8, 8, 8])  # never, half, always solved
    >>> taken = np.concatenate([sampler.choose(1) for _ in range(50)])
    >>> bool((taken == 1).mean() > 0.9)
    True
    """

    def __init__(
        self,
        count: int,
        group_size: int,
        config: SamplerConfig | None = None,
        offline_successes_N: Any = None,
        offline_trials_N: Any = None,
        chance_N: Any = None,
    ) -> None:
        """
        Args:
            count: N, how many prompts there are; they go by their place 0..N-1.
            group_size: G, rollouts of a prompt in a batch.
            config: Settings; None takes the defaults.
            offline_successes_N: (N,) what an estimate before training found; NaN where nothing is known.
            offline_trials_N: (N,) of how many rollouts.
            chance_N: (N,) chance rates; None or NaN is 0.

        Raises:
            InputError: For fewer than one prompt or two rollouts, or columns of another length.
        """
        if count < 1 or group_size < 2:
            raise InputError(f"expected at least 1 prompt and 2 rollouts of each, got {count} and {group_size}")
        self.config = config or SamplerConfig()
        self.count, self.group_size = count, group_size
        self.batches = 0
        self._random = np.random.default_rng(self.config.seed)
        self._seen_N = np.zeros((count, 4), np.float32)  # successes, trials, chance rate, its correlation
        self._visit_N = np.full(count, -1, np.int32)  # the batch after which that was so; -1 never
        self._prior = beta_weights(*UNSEEN)
        if chance_N is not None:
            self._seen_N[:, 2] = np.nan_to_num(self._check("chance_N", chance_N)).clip(0, 1)
        if offline_trials_N is not None and offline_successes_N is not None:
            k = self._check("offline_successes_N", offline_successes_N)
            n = self._check("offline_trials_N", offline_trials_N)
            known = (n > 0) & (k >= 0) & (k <= n)
            share = np.minimum(1.0, self.config.max_offline_trials / n, where=known, out=np.ones(count))
            self._seen_N[known, :2] = np.stack([k, n], axis=1)[known] * share[known, None]
            self._visit_N[known] = 0
        self._fit()

    def _check(self, name: str, values: Any) -> np.ndarray:
        array = np.array([np.nan if value is None else value for value in values], float)
        if array.shape != (self.count,):
            raise InputError(f"{name} has shape {array.shape}, expected ({self.count},), one per prompt")
        return array

    def choose(self, size: int) -> np.ndarray:
        """The (size,) different prompts of the next batch, by their places.

        Raises:
            InputError: If there are fewer prompts than that.
        """
        if not 0 < size <= self.count:
            raise InputError(f"expected a batch of 1 to {self.count} prompts (all there are), got {size}")
        pool = max(self.config.candidates, size)
        places = self._random.choice(self.count, pool, replace=False) if pool < self.count else np.arange(self.count)
        unseen = self._visit_N[places] < 0
        posterior_PS = skill_posterior(self._likelihood(places), self._prior)
        below_PS = posterior_PS.cumsum(axis=1)
        drawn = (below_PS < self._random.random((len(places), 1))).sum(axis=1).clip(max=len(SKILL_GRID) - 1)
        value = self._value(SKILL_GRID[drawn], self._seen_N[places, 2])
        # Ties are many among the unseen, whose draws come from one distribution: broken at random, not by place.
        order = np.lexsort((self._random.random(len(places)), ~unseen, -value))
        self.batches += 1
        return places[order[:size]]

    def observe(
        self, places_P: Any, successes_P: Any, trials_P: Any, chance_P: Any = None, correlation_P: Any = 0.0
    ) -> None:
        """Learns what a batch's groups showed; groups of one prompt are added up.

        Args:
            places_P: (P,) prompt of each group.
            successes_P: (P,) correct rollouts.
            trials_P: (P,) scored rollouts; a group without any teaches nothing.
            chance_P: (P,) chance rates as now known; None or NaN keeps what was known.
            correlation_P: (P,) or one intraclass correlation of luck within a prompt.
        """
        places, k, n = np.asarray(places_P, int), np.asarray(successes_P, float), np.asarray(trials_P, float)
        fine = (n > 0) & (k >= 0) & (k <= n) & (places >= 0) & (places < self.count)
        places, k, n = places[fine], k[fine], n[fine]
        first = np.unique(places)
        self._seen_N[first, :2] *= self._fading(first)[:, None]
        self._visit_N[first] = self.batches
        np.add.at(self._seen_N[:, 0], places, k)
        np.add.at(self._seen_N[:, 1], places, n)
        if chance_P is not None:
            chance = np.asarray(chance_P, float)[fine]
            known = np.isfinite(chance)
            self._seen_N[places[known], 2] = chance[known].clip(0, 1)
            self._seen_N[places[known], 3] = np.broadcast_to(np.asarray(correlation_P, float), fine.shape)[fine][known]
        self._fit()

    def predict(self, places_P: Any) -> np.ndarray:
        """(P,) expected pass rate of some prompts, luck included, by what was seen before."""
        places = np.asarray(places_P, int)
        skill = skill_posterior(self._likelihood(places), self._prior) @ SKILL_GRID
        return skill + (1 - skill) * self._seen_N[places, 2]

    def value(self, places_P: Any) -> np.ndarray:
        """(P,) expected V of some prompts: how likely a group of them holds a genuine success and a failure."""
        places = np.asarray(places_P, int)
        value_PS = self._value(SKILL_GRID[None, :], self._seen_N[places, 2, None])
        return (skill_posterior(self._likelihood(places), self._prior) * value_PS).sum(axis=1)

    def mean_value(self) -> float:
        """Expected V of a prompt drawn evenly from the population of the prompts seen."""
        return float(self._prior @ self._value(SKILL_GRID, np.full(len(SKILL_GRID), self._seen_N[:, 2].mean())))

    def _value(self, skill: np.ndarray, chance: np.ndarray) -> np.ndarray:
        passing = skill + (1 - skill) * chance
        return (1 - (1 - skill) ** self.group_size) * (1 - passing**self.group_size)

    def _fading(self, places: np.ndarray) -> np.ndarray:
        """What is left of the prompts' counts."""
        age = np.where(self._visit_N[places] < 0, 0, self.batches - self._visit_N[places])
        return 0.5 ** (age / self.config.half_life)

    def _likelihood(self, places: np.ndarray) -> np.ndarray:
        """(P, GRID_POINTS) likelihood of each prompt's skill rate."""
        seen, left = self._seen_N[places].astype(float), self._fading(places)
        return skill_likelihood(seen[:, 0] * left, seen[:, 1] * left, seen[:, 2], seen[:, 3])

    def _fit(self) -> None:
        """Fits the population, the prior of each prompt, to the prompts seen."""
        seen = np.flatnonzero(self._visit_N >= 0)
        if len(seen) > FITTED:
            seen = seen[self._random.integers(0, len(seen), FITTED)]
        if len(seen):
            self._prior = fit_mixture(self._likelihood(seen), beta_weights(*UNSEEN), rounds=EM_ROUNDS)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to choose as the interrupted one would have: numpy arrays and JSON values."""
        return {
            "count": self.count, "batches": self.batches, "random": self._random.bit_generator.state,
            "seen": self._seen_N.copy(), "visits": self._visit_N.copy(), "prior": self._prior.copy(),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            InputError: If it is of another number of prompts.
        """
        if state["count"] != self.count:
            raise InputError(f"the state is of {state['count']} prompts, the data set has {self.count}")
        seen, visits, prior = np.array(state["seen"]), np.array(state["visits"]), np.array(state["prior"])
        self._seen_N[:], self._visit_N[:], self._prior = seen, visits, prior
        self.batches = int(state["batches"])
        self._random.bit_generator.state = state["random"]
