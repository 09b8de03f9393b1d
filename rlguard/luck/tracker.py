"""What training has learnt of each prompt: pass rates that follow the policy, and the population they come from."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from rlguard.luck.genuine import CHANCE_FLOOR, genuine_probability
from rlguard.stats import beta_weights, fit_mixture, skill_likelihood

EM_ROUNDS = 20
FOLDS = 4


class PassRateTracker:
    """Judges groups by evidence that excludes them, then learns from them.

    Evidence on a prompt: its offline pass rate and its earlier visits, both fading by `decay` a visit because the
    policy moves; and the other prompts, as a prior over skill rates. That prior is fitted by empirical Bayes
    (nonparametric maximum likelihood on a grid, by EM) to the counts of the prompts visited last, this batch included.

    Memory is bounded: beyond `max_prompts` the prompt not visited for longest is forgotten, about 0.4 kB each. If it
    comes again it starts from its offline rate, as at its first visit.

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
        max_prompts: int = 250_000,
    ) -> None:
        """
        Args:
            decay: What a prompt's earlier counts keep at each new visit, in [0, 1].
            prior: Beta parameters of the skill rate before any group was seen.
            prior_prompts: How many prompts that prior weighs.
            window: How many recently visited prompts the population is fitted to (a larger batch counts whole).
            max_offline_trials: An offline estimate weighs at most this many trials: the policy has moved since.
            chance_floor: Smallest chance rate.
            max_prompts: How many prompts are remembered (a larger batch counts whole).
        """
        self.decay = decay
        self.window = window
        self.max_offline_trials = max_offline_trials
        self.chance_floor = chance_floor
        self.max_prompts = max_prompts
        self._base = beta_weights(*prior) * prior_prompts
        self._seen: dict[str, tuple[float, float, float, float]] = {}
        """Prompt id -> successes and trials, faded, chance rate and correlation of luck; the latest visited last."""

    def __len__(self) -> int:
        return len(self._seen)

    def counts(self, prompt_id: str) -> tuple[float, float]:
        """Successes and trials remembered of a prompt, faded; (0, 0) when it is not known."""
        return self._seen.get(prompt_id, (0.0, 0.0))[:2]

    def judge(
        self,
        prompt_ids_P: Sequence[str],
        successes_P: Any,
        trials_P: Any,
        chance_P: Any,
        offline_successes_P: Any = None,
        offline_trials_P: Any = None,
        correlation_P: Any = 0.0,
    ) -> np.ndarray:
        """P(a success is genuine) for each group of a batch; then the batch is learnt.

        Args:
            prompt_ids_P: Prompt of each group; a prompt may occur in several groups.
            successes_P: Correct rollouts of each group, now. They bear on the other groups, never on their own.
            trials_P: Scored rollouts of each group, now.
            chance_P: Chance rate of each group; NaN when unknown.
            offline_successes_P: Offline counts of each prompt, used at its first visit; NaN or None when unknown.
            offline_trials_P: As above.
            correlation_P: Intraclass correlation of luck within a prompt, in [0, 1]; of each group or one for all.

        Returns:
            (P,) probabilities in [0, 1].
        """
        now_k, now_n = np.asarray(successes_P, float), np.asarray(trials_P, float)
        chance = np.nan_to_num(np.asarray(chance_P, float)).clip(self.chance_floor, 1.0)
        correlation = np.broadcast_to(np.asarray(correlation_P, float), chance.shape)
        offline = self._read_offline(len(prompt_ids_P), offline_successes_P, offline_trials_P)
        past = [self._seen.get(prompt_id, counts)[:2] for prompt_id, counts in zip(prompt_ids_P, offline, strict=True)]
        self._learn(prompt_ids_P, past, np.stack([now_k, now_n, chance, correlation], axis=1).tolist())
        prior = self._fit_others(prompt_ids_P)
        past_k, past_n = np.array(past, float).reshape(-1, 2).T
        return genuine_probability(past_k, past_n, chance, prior, self.chance_floor, correlation)

    def _read_offline(self, count: int, successes_P: Any, trials_P: Any) -> list[tuple[float, float]]:
        """Offline successes and trials of each prompt, capped; (0, 0) where none are known."""
        if successes_P is None or trials_P is None:
            return [(0.0, 0.0)] * count
        k, n = np.asarray(successes_P, float), np.asarray(trials_P, float)
        known = (n > 0) & (k >= 0)
        weight = np.where(known, np.minimum(1.0, self.max_offline_trials / np.where(known, n, 1.0)), 0.0)
        return list(zip((np.nan_to_num(k) * weight).tolist(), (np.nan_to_num(n) * weight).tolist(), strict=True))

    def _learn(self, prompt_ids_P: Sequence[str], past: list, now: list[list[float]]) -> None:
        visit: dict[str, tuple[float, float, float, float]] = {}
        for prompt_id, (old_k, old_n), (k, n, chance, correlation) in zip(prompt_ids_P, past, now, strict=True):
            keep = self.decay
            if prompt_id in visit:  # two groups of one batch are one visit
                old_k, old_n, keep = *visit[prompt_id][:2], 1.0
            visit[prompt_id] = (old_k * keep + k, old_n * keep + n, chance, correlation)
        for prompt_id in visit:
            self._seen.pop(prompt_id, None)
        self._seen.update(visit)  # at the end of the order
        surplus = len(self._seen) - max(self.max_prompts, len(visit))
        for prompt_id in list(islice(self._seen, max(surplus, 0))):
            del self._seen[prompt_id]

    def _fit_others(self, prompt_ids_P: Sequence[str]) -> np.ndarray:
        """For each group the skill rates of other prompts, (P, GRID_POINTS) masses.

        Cross-fitting: the prompts of the batch are dealt into folds by a hash of their id, and the mixture for a fold
        is fitted to the window without it. So a group's own outcome reaches its own prior by no way, not even through
        its neighbours, and the order of the batch does not matter.
        """
        fold_of = {prompt_id: zlib.crc32(prompt_id.encode()) % FOLDS for prompt_id in prompt_ids_P}
        recent = list(islice(reversed(self._seen.items()), max(self.window, len(fold_of))))
        counts = np.array([seen for _, seen in recent])
        folds = np.array([fold_of.get(prompt_id, -1) for prompt_id, _ in recent])
        others = folds[:, None] != np.arange(FOLDS)
        likelihood = skill_likelihood(*counts.T)
        priors = fit_mixture(likelihood, self._base, others, rounds=EM_ROUNDS)
        return priors[[fold_of[prompt_id] for prompt_id in prompt_ids_P]]

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state: what a resumed run needs to judge as the interrupted one would have."""
        return {"seen": {prompt_id: list(seen) for prompt_id, seen in self._seen.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._seen = {
            prompt_id: (float(k), float(n), float(chance), float(*correlation or (0.0,)))
            for prompt_id, (k, n, chance, *correlation) in state["seen"].items()  # before 0.2 there was no correlation
            if math.isfinite(k + n + chance)  # nor was a row with an infinite count kept out
        }
