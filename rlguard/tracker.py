"""What training has learnt of each prompt: pass rates that follow the policy, and the population they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlguard.advantage import CHANCE_FLOOR, genuine_probability
from rlguard.stats import GRID_POINTS, beta_weights, skill_posterior


class PassRateTracker:
    """Judges groups by evidence that excludes them, then learns from them.

    Evidence on a prompt: its offline pass rate and its earlier visits, both fading by `decay` a visit because the
    policy moves; and the population of all other prompts, as a prior over skill rates (empirical Bayes).

    >>> tracker = PassRateTracker()
    >>> before = tracker.judge(["a"], [1], [8], [0.1])[0]  # first visit, nothing known: the benefit of the doubt
    >>> after = tracker.judge(["a"], [1], [8], [0.1])[0]  # now 1 of 8 is known, about what luck would give
    >>> bool(after < before)
    True
    """

    def __init__(
        self,
        decay: float = 0.8,
        prior: tuple[float, float] = (0.5, 0.5),
        prior_groups: float = 1.0,
        population_memory: float = 0.98,
        max_offline_trials: float = 32.0,
        chance_floor: float = CHANCE_FLOOR,
    ) -> None:
        """
        Args:
            decay: What a prompt's earlier counts keep at each new visit, in [0, 1].
            prior: Beta parameters of the skill rate before any group was seen.
            prior_groups: How many groups that prior weighs.
            population_memory: What the population keeps at each call of `judge`, in [0, 1].
            max_offline_trials: An offline estimate weighs at most this many trials: the policy has moved since.
            chance_floor: Smallest chance rate.
        """
        self.decay = decay
        self.population_memory = population_memory
        self.max_offline_trials = max_offline_trials
        self.chance_floor = chance_floor
        self._base = beta_weights(*prior) * prior_groups
        self._population = np.zeros(GRID_POINTS)
        self._counts: dict[str, tuple[float, float]] = {}

    def judge(
        self,
        prompt_ids_P: Sequence[str],
        successes_P: Any,
        trials_P: Any,
        chance_P: Any,
        offline_successes_P: Any = None,
        offline_trials_P: Any = None,
    ) -> np.ndarray:
        """P(a success is genuine) for each group of a batch; then the batch is learnt.

        Args:
            prompt_ids_P: Prompt of each group; a prompt may occur in several groups.
            successes_P: Correct rollouts of each group, now. They bear on the other groups, never on their own.
            trials_P: Scored rollouts of each group, now.
            chance_P: Chance rate of each group; NaN when unknown.
            offline_successes_P: Offline counts of each prompt, used at its first visit; NaN or None when unknown.
            offline_trials_P: As above.

        Returns:
            (P,) probabilities in [0, 1].
        """
        now_k, now_n = np.asarray(successes_P, float), np.asarray(trials_P, float)
        chance = np.nan_to_num(np.asarray(chance_P, float)).clip(self.chance_floor, 1.0)
        self._seed_offline(prompt_ids_P, offline_successes_P, offline_trials_P)
        past = np.array([self._counts.get(prompt_id, (0.0, 0.0)) for prompt_id in prompt_ids_P]).reshape(-1, 2)

        shared = self._base + self._population
        seen = skill_posterior(past[:, 0] + now_k, past[:, 1] + now_n, chance, shared / shared.sum())
        _, who = np.unique(np.asarray(prompt_ids_P, dtype=object).astype(str), return_inverse=True)
        own = np.zeros((who.max(initial=-1) + 1, GRID_POINTS))
        np.add.at(own, who, seen)
        others = shared + seen.sum(axis=0) - own[who]  # (P, GRID_POINTS): every group but those of the same prompt
        genuine = genuine_probability(
            past[:, 0], past[:, 1], chance, others / others.sum(axis=1, keepdims=True), self.chance_floor
        )
        self._learn(prompt_ids_P, now_k, now_n)
        self._population = self._population * self.population_memory + seen.sum(axis=0)
        return genuine

    def _seed_offline(self, prompt_ids_P: Sequence[str], successes_P: Any, trials_P: Any) -> None:
        if successes_P is None or trials_P is None:
            return
        for prompt_id, k, n in zip(
            prompt_ids_P, np.asarray(successes_P, float), np.asarray(trials_P, float), strict=True
        ):
            if prompt_id not in self._counts and n > 0 and k >= 0:
                shrink = min(1.0, self.max_offline_trials / n)
                self._counts[prompt_id] = (float(k) * shrink, float(n) * shrink)

    def _learn(self, prompt_ids_P: Sequence[str], successes_P: np.ndarray, trials_P: np.ndarray) -> None:
        for prompt_id, k, n in zip(prompt_ids_P, successes_P, trials_P, strict=True):
            old_k, old_n = self._counts.get(prompt_id, (0.0, 0.0))
            self._counts[prompt_id] = (old_k * self.decay + float(k), old_n * self.decay + float(n))

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state: what a resumed run needs to judge as the interrupted one would have."""
        return {"population": self._population.tolist(), "counts": {k: list(v) for k, v in self._counts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            ValueError: If the population has another number of cells than this version keeps.
        """
        population = np.asarray(state["population"], float)
        if population.shape != (GRID_POINTS,):
            raise ValueError(
                f"population has shape {population.shape}, expected ({GRID_POINTS},): another version's state"
            )
        self._population = population
        self._counts = {prompt_id: (float(k), float(n)) for prompt_id, (k, n) in state["counts"].items()}
