"""Ways to choose the prompts of a batch, each with what it expects of them.

| arm | how prompts are chosen |
|---|---|
| uniform | each once an epoch, in random order |
| dapo | uniform; silent groups are generated anew with other prompts, up to ten times (arXiv 2503.14476) |
| greso | a prompt that was silent z times in a row is skipped with probability 1 − p^z, p moved by 1% \
towards a quarter of silent groups; then as dapo (arXiv 2506.02177) |
| mopps | a Beta posterior of each prompt's pass rate, whose counts halve at each visit; the draws nearest to ½ \
among 16 times as many candidates (arXiv 2507.04632) |
| rlguard | `rlguard.sampling.PromptSampler`; plain GRPO trains on what it chooses |
| rewrite | uniform, trained with the guard's advantages: the control of the next |
| both | rlguard's sampler and rlguard's advantages |
"""

from __future__ import annotations

from typing import Any

import numpy as np

ARMS = ("uniform", "dapo", "greso", "mopps", "rlguard", "rewrite", "both")
RESAMPLED = ("dapo", "greso")
"""Arms that generate silent groups anew."""
ATTEMPTS = 10
"""So many times; what is still silent then is trained on."""


class Uniform:
    """Each prompt once an epoch."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.count, self.rng, self._left = count, rng, np.zeros(0, int)

    def choose(self, size: int) -> np.ndarray:
        if len(self._left) < size:
            self._left = np.concatenate([self._left, self.rng.permutation(self.count)])
        chosen, self._left = self._left[:size], self._left[size:]
        return chosen

    def observe(self, places_P: np.ndarray, rates_P: np.ndarray) -> None:
        """Learns nothing."""


class Greso(Uniform):
    """Skips prompts that were silent, the surer the more often in a row; solved and failed ones at their own rates."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        super().__init__(count, rng)
        self._silent = np.zeros((2, count), int)  # how often in a row all failed; all were solved
        self._explore = np.array([0.5, 0.5])
        self._wanted = np.array([0.167, 0.083])

    def choose(self, size: int) -> np.ndarray:
        chosen: list[int] = []
        while len(chosen) < size:
            (place,) = super().choose(1)
            keep = (self._explore ** self._silent[:, place])[self._silent[:, place] > 0]
            if place not in chosen and (not len(keep) or self.rng.random() < keep[0]):
                chosen.append(int(place))
        return np.array(chosen)

    def observe(self, places_P: np.ndarray, rates_P: np.ndarray) -> None:
        for kind, silent in enumerate((rates_P == 0, rates_P == 1)):
            self._silent[kind, places_P] = np.where(silent, self._silent[kind, places_P] + 1, 0)
            self._explore[kind] += 0.01 if silent.mean() < self._wanted[kind] else -0.01
        self._explore = self._explore.clip(0.05, 0.95)


class Mopps:
    """Beta posteriors that forget; the draws nearest to one half."""

    def __init__(self, count: int, rng: np.random.Generator, group: int, candidates: int = 16) -> None:
        self.rng, self.group, self.candidates = rng, group, candidates
        self._counts_N2 = np.ones((count, 2))

    def choose(self, size: int) -> np.ndarray:
        count = len(self._counts_N2)
        places = self.rng.choice(count, min(count, self.candidates * size), replace=False)
        return places[np.argsort(np.abs(self.rng.beta(*self._counts_N2[places].T) - 0.5))[:size]]

    def observe(self, places_P: np.ndarray, rates_P: np.ndarray) -> None:
        seen = self.group * np.stack([rates_P, 1 - rates_P], axis=1)
        self._counts_N2[places_P] = 0.5 * self._counts_N2[places_P] + 0.5 + seen

    def predict(self, places_P: np.ndarray) -> np.ndarray:
        return self._counts_N2[places_P, 0] / self._counts_N2[places_P].sum(axis=1)


def make_chooser(arm: str, count: int, rng: np.random.Generator, mopps: Mopps, sampler: Any) -> Any:
    """What chooses in an arm; the two that predict are made by the caller, for all arms are predicted by both."""
    if arm in ("rlguard", "both"):
        return sampler
    return mopps if arm == "mopps" else (Greso if arm == "greso" else Uniform)(count, rng)
