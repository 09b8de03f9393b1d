"""What training has learnt of each prompt: pass rates that follow the policy, and the population they come from."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlguard.advantage import CHANCE_FLOOR, genuine_probability
from rlguard.stats import beta_weights, fit_mixture, skill_likelihood

EM_ROUNDS = 20
FOLDS = 4


class PassRateTracker:
    """Judges groups by evidence that excludes them, then learns from them.

    Evidence on a prompt: its offline pass rate and its earlier visits, both fading by `decay` a visit because the
    policy moves; and the other prompts, as a prior over skill rates. That prior is fitted by empirical Bayes
    (nonparametric maximum likelihood on a grid, by EM) to the counts of the prompts visited last, this batch included.

    >>> tracker = PassRateTracker()
    >>> first = tracker.judge(["a"], [1], [8], [0.1])[0]  # nothing known: the benefit of the doubt
    >>> later = tracker.judge(["a"], [1], [8], [0.1])[0]  # now 1 of 8 is known, about what luck would give
    >>> bool(later < first)
    True
    """

    def __init__(
        self,
        decay: float = 0.8,
        prior: tuple[float, float] = (0.5, 0.5),
        prior_prompts: float = 1.0,
        window: int = 512,
        max_offline_trials: float = 32.0,
        chance_floor: float = CHANCE_FLOOR,
    ) -> None:
        """
        Args:
            decay: What a prompt's earlier counts keep at each new visit, in [0, 1].
            prior: Beta parameters of the skill rate before any group was seen.
            prior_prompts: How many prompts that prior weighs.
            window: How many recently visited prompts the population is fitted to.
            max_offline_trials: An offline estimate weighs at most this many trials: the policy has moved since.
            chance_floor: Smallest chance rate.
        """
        self.decay = decay
        self.window = window
        self.max_offline_trials = max_offline_trials
        self.chance_floor = chance_floor
        self._base = beta_weights(*prior) * prior_prompts
        self._counts: dict[str, tuple[float, float]] = {}  # prompt id -> successes, trials, faded
        self._recent: dict[str, float] = {}  # prompt id -> chance rate, the latest visited last

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
        self._learn(prompt_ids_P, now_k, now_n, chance)
        prior = self._fit_others(prompt_ids_P)
        return genuine_probability(past[:, 0], past[:, 1], chance, prior, self.chance_floor)

    def _learn(self, prompt_ids_P: Sequence[str], now_k: np.ndarray, now_n: np.ndarray, chance: np.ndarray) -> None:
        faded: set[str] = set()
        for prompt_id, k, n, c in zip(prompt_ids_P, now_k, now_n, chance, strict=True):
            keep = 1.0 if prompt_id in faded else self.decay  # two groups of one batch are one visit
            faded.add(prompt_id)
            old_k, old_n = self._counts.get(prompt_id, (0.0, 0.0))
            self._counts[prompt_id] = (old_k * keep + float(k), old_n * keep + float(n))
            self._recent.pop(prompt_id, None)
            self._recent[prompt_id] = float(c)
        for prompt_id in list(self._recent)[: -max(self.window, len(faded))]:
            del self._recent[prompt_id]

    def _fit_others(self, prompt_ids_P: Sequence[str]) -> np.ndarray:
        """For each group the skill rates of other prompts, (P, GRID_POINTS) masses.

        Cross-fitting: the prompts of the batch are dealt into folds by a hash of their id, and the mixture for a fold
        is fitted to the window without it. So a group's own outcome reaches its own prior by no way, not even through
        its neighbours, and the order of the batch does not matter.
        """
        batch, known = set(prompt_ids_P), list(self._recent)
        folds = np.array([zlib.crc32(name.encode()) % FOLDS if name in batch else -1 for name in known])
        counts = np.array([self._counts[name] for name in known])
        likelihood = skill_likelihood(counts[:, 0], counts[:, 1], np.array(list(self._recent.values())))
        priors = {
            fold: fit_mixture(likelihood[folds != fold], self._base, rounds=EM_ROUNDS)
            for fold in set(folds.tolist()) - {-1}
        }
        fold_of = dict(zip(known, folds.tolist(), strict=True))
        return np.stack([priors[fold_of[prompt_id]] for prompt_id in prompt_ids_P])

    def _seed_offline(self, prompt_ids_P: Sequence[str], successes_P: Any, trials_P: Any) -> None:
        if successes_P is None or trials_P is None:
            return
        successes, trials = np.asarray(successes_P, float), np.asarray(trials_P, float)
        for prompt_id, k, n in zip(prompt_ids_P, successes, trials, strict=True):
            if prompt_id not in self._counts and n > 0 and k >= 0:
                shrink = min(1.0, self.max_offline_trials / n)
                self._counts[prompt_id] = (float(k) * shrink, float(n) * shrink)

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state: what a resumed run needs to judge as the interrupted one would have."""
        return {"recent": dict(self._recent), "counts": {name: list(pair) for name, pair in self._counts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._recent = {name: float(chance) for name, chance in state["recent"].items()}
        self._counts = {name: (float(k), float(n)) for name, (k, n) in state["counts"].items()}
