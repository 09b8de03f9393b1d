"""The difficulty filter, live: each batch takes the prompts that are expected to teach most now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlguard.luck.model import LuckModel, SkillPosterior, signal_probability
from rlguard.stats import SKILL_GRID
from rlguard.types import InputError


@dataclass(frozen=True)
class SamplerConfig:
    """How prompts are chosen while training."""

    half_life: float = 40.0
    """Batches after which what was seen of a prompt counts half: the policy moves. It bounds how long a prompt that
    failed is left alone; infinity never forgets."""
    candidates: int = 4_096
    """Of a larger data set so many prompts, drawn at random, compete for each batch."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("half_life", "candidates"):
            if not getattr(self, name) > 0:
                raise InputError(f"SamplerConfig.{name}: expected a positive number, got {getattr(self, name)!r}")


class PromptSampler:
    """Chooses the next batch by Thompson sampling from the posterior that the guard's model of luck has of each prompt.

    It keeps no counts: what a prompt's visits showed, its chance rate and the population are the model's, by which the
    guard also judges successes. A prompt's skill rate q is how often the model really solves it, c how often it passes
    without. For each batch one q is drawn for each prompt, and those are taken whose group of G rollouts would most
    likely hold a genuine success and a failure:

        V(q) = 1 − (1 − q)^G − p^G + (p − q)^G,   p = q + (1 − q)·c

    V is 0 for a prompt that only luck solves (q = 0) and for one that is mastered (p = 1). Uncertain prompts sometimes
    draw a high V, so they are tried; what is known of a prompt fades with `half_life`, so none is left out for good.

    >>> from rlguard.luck.evidence import Evidence
    >>> luck, prompts = LuckModel(), ["never", "half", "always"]
    >>> sampler = PromptSampler(3, group_size=8, luck=luck)
    >>> evidence, groups = [Evidence(name) for name in prompts for _ in range(8)], np.repeat(range(3), 8)
    >>> for _ in range(5):
    ...     places = sampler.choose(3)
    ...     _ = luck.observe(evidence, np.array([0] * 8 + [0, 1] * 4 + [1] * 8), groups)
    ...     sampler.observe([0, 1, 2], prompts)
    >>> taken = np.concatenate([sampler.choose(1) for _ in range(20)])
    >>> bool((taken == 1).mean() > 0.8)
    True
    """

    rule = "thompson"

    def __init__(
        self,
        count: int,
        group_size: int,
        config: SamplerConfig | None = None,
        luck: LuckModel | None = None,
        offline_successes_N: Any = None,
        offline_trials_N: Any = None,
        chance_N: Any = None,
    ) -> None:
        """
        Args:
            count: N, how many prompts there are; they go by their place 0..N-1.
            group_size: G, rollouts of a prompt in a batch.
            config: Settings; None takes the defaults.
            luck: What knows the prompts: the guard's (`guard.luck`), which observes each batch. None makes a new one.
            offline_successes_N: (N,) what an estimate before training found; NaN where nothing is known.
            offline_trials_N: (N,) of how many rollouts.
            chance_N: (N,) chance rates before a prompt's first visit; None or NaN takes the usual one.

        Raises:
            InputError: For fewer than one prompt or two rollouts, or columns of another length.
        """
        if count < 1 or group_size < 2:
            raise InputError(f"expected at least 1 prompt and 2 rollouts of each, got {count} and {group_size}")
        self.config, self.luck = config or SamplerConfig(), LuckModel() if luck is None else luck
        self.count, self.group_size = count, group_size
        self.batches = 0
        self._random = np.random.default_rng(self.config.seed)
        self._ids: dict[int, str] = {}  # of the prompts visited, by place
        self._visit_N = np.full(count, -1, np.int32)  # the batch after which a prompt was seen last; -1 never
        self._offline: dict[str, np.ndarray] = {}
        columns = {
            "offline_successes_P": offline_successes_N, "offline_trials_P": offline_trials_N, "chance_P": chance_N,
        }  # fmt: skip
        for name, values_N in columns.items():
            if values_N is not None:
                column = np.array([np.nan if value is None else value for value in values_N], np.float32)
                if column.shape != (count,):
                    raise InputError(f"{name[:-1]}N has shape {column.shape}, expected ({count},), one per prompt")
                self._offline[name] = column

    def choose(self, size: int) -> np.ndarray:
        """The (size,) different prompts of the next batch, by their places.

        Raises:
            InputError: If there are fewer prompts than that.
        """
        if not 0 < size <= self.count:
            raise InputError(f"expected a batch of 1 to {self.count} prompts (all there are), got {size}")
        pool = max(self.config.candidates, size)
        places = self._random.choice(self.count, pool, replace=False) if pool < self.count else np.arange(self.count)
        known = self.posterior(places)
        if self.rule == "thompson":
            below_PS = known.mass_PS.cumsum(axis=1)
            drawn = (below_PS < self._random.random((len(places), 1))).sum(axis=1).clip(max=len(SKILL_GRID) - 1)
            value = signal_probability(SKILL_GRID[drawn], known.chance_P, self.group_size)
            order = np.lexsort((self._random.random(len(places)), -value))
        elif self.rule[0] == "thompson_m":
            v = 0
            for _ in range(self.rule[1]):
                below_PS = known.mass_PS.cumsum(axis=1)
                drawn = (below_PS < self._random.random((len(places), 1))).sum(axis=1).clip(max=len(SKILL_GRID) - 1)
                v = v + signal_probability(SKILL_GRID[drawn], known.chance_P, self.group_size)
            order = np.lexsort((self._random.random(len(places)), -v))
        elif self.rule[0] == "share":
            order = np.argsort(self.rule[1] * np.log(known.informative(self.group_size)) + self._random.gumbel(size=len(places)))[::-1]
        elif self.rule[0] == "var":
            below_PS = known.mass_PS.cumsum(axis=1)
            drawn = (below_PS < self._random.random((len(places), 1))).sum(axis=1).clip(max=len(SKILL_GRID) - 1)
            q = SKILL_GRID[drawn]; p = q + (1 - q) * known.chance_P
            value = q * (1 - p) ** self.rule[1]
            order = np.lexsort((self._random.random(len(places)), -value))
        self.batches += 1
        return places[order[:size]]

    def observe(self, places_P: Any, prompt_ids_P: Sequence[str]) -> None:
        """Notes a batch that the model of luck has observed.

        Args:
            places_P: (P,) prompt of each group.
            prompt_ids_P: (P,) what the model of luck calls it.
        """
        places = np.asarray(places_P, int)
        self._ids.update(zip(places.tolist(), prompt_ids_P, strict=True))
        self._visit_N[places] = self.batches

    def posterior(self, places_P: Any) -> SkillPosterior:
        """What is known of some prompts now: the model's posterior, moved towards its population since the last visit.

        Tempering F·L^a, with what is left of the evidence L as the power a, is what fading its counts would give.
        """
        places = np.asarray(places_P, int)
        known = self.luck.skill_posterior(
            [self._ids.get(place, "") for place in places.tolist()],
            **{name: values_N[places] for name, values_N in self._offline.items()},
        )
        age = np.where(self._visit_N[places] < 0, 0, self.batches - self._visit_N[places])
        left = (0.5 ** (age / self.config.half_life))[:, None]
        mass_PS = known.mass_PS**left * self.luck.population ** (1 - left)
        return SkillPosterior(mass_PS / mass_PS.sum(axis=1, keepdims=True), known.chance_P)

    def predict(self, places_P: Any) -> np.ndarray:
        """(P,) expected pass rate of some prompts, luck included."""
        known = self.posterior(places_P)
        return known.mean_P + (1 - known.mean_P) * known.chance_P

    def value(self, places_P: Any) -> np.ndarray:
        """(P,) expected V of some prompts: how likely a group of them holds a genuine success and a failure."""
        return self.posterior(places_P).informative(self.group_size)
