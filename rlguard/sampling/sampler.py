"""The difficulty filter, live: each batch takes the prompts that are expected to teach most now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlguard.luck.model import LuckModel, SkillPosterior
from rlguard.types import InputError, check_types

CANDIDATES = 16_384
"""So many of the prompts seen, chosen at random, compete at most: more change nothing that counts."""


@dataclass(frozen=True)
class SamplerConfig:
    """How prompts are chosen while training."""

    half_life: float = 100.0
    """Batches after which what was seen of a prompt counts half: the policy moves. It bounds how long a prompt that
    failed is left alone; infinity never forgets."""
    fresh: float = 4.0
    """So many prompts never seen compete for each place in a batch. More explore faster, fewer come back sooner to what
    is known to teach."""
    replace: int = 0
    """Groups that are all right or all wrong are generated anew with other prompts, so many times at most, before a
    step; groups that have both take their place (DAPO's dynamic sampling). 0 trains on what was generated. TRL only."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        for name, least in {"half_life": 0.0, "fresh": 1.0}.items():
            if not (getattr(self, name) > 0 and getattr(self, name) >= least):
                raise InputError(
                    f"SamplerConfig.{name}: expected a number above {least:g}, got {getattr(self, name)!r}"
                )
        if not (isinstance(self.replace, int) and self.replace >= 0):
            raise InputError(f"SamplerConfig.replace: expected how many times, 0 or more, got {self.replace!r}")


class PromptSampler:
    """Chooses the next batch by Thompson sampling from the posterior that the guard's model of luck has of each prompt.

    It keeps no counts: what a prompt's visits showed, its chance rate and the population are the model's, by which the
    guard also judges successes. A prompt's skill rate q is how often the model really solves it, c how often it passes
    without. For each batch one q is drawn for each prompt, and those are taken whose group of G rollouts would most
    likely hold a genuine success and a failure:

        V(q) = 1 − (1 − q)^G − p^G + (p − q)^G,   p = q + (1 − q)·c

    V is 0 for a prompt that only luck solves (q = 0) and for one that is mastered (p = 1). Uncertain prompts sometimes
    draw a high V, so they are tried; what is known of a prompt fades with `half_life`, so none is left out for good. Of
    prompts never seen a few compete for each place: among very many, some would always draw the highest V.

    >>> from rlguard.luck.evidence import Evidence
    >>> luck, prompts = LuckModel(), ["never", "half", "always"]
    >>> sampler = PromptSampler(3, group_size=8, luck=luck)
    >>> evidence, groups = [Evidence(name) for name in prompts for _ in range(8)], np.repeat(range(3), 8)
    >>> for _ in range(5):
    ...     _ = luck.observe(evidence, np.array([0] * 8 + [0, 1] * 4 + [1] * 8), groups)
    >>> sampler.observe([0, 1, 2], prompts)
    >>> taken = np.concatenate([sampler.choose(1) for _ in range(20)])
    >>> bool((taken == 1).mean() > 0.8)
    True
    """

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
            offline_successes_N: (N,) what an estimate before training found; NaN or None where nothing is known.
            offline_trials_N: (N,) of how many rollouts; they weigh as little as they do in the guard.
            chance_N: (N,) chance rates before a prompt's first visit; NaN or None takes the usual one.

        Raises:
            InputError: For fewer than one prompt or two rollouts, columns of another length, or rates out of [0, 1].
        """
        if count < 1 or group_size < 2:
            raise InputError(f"expected at least 1 prompt and 2 rollouts of each, got {count} and {group_size}")
        # An empty model is false: `luck or LuckModel()` would part the sampler from the guard.
        self.config, self.luck = config or SamplerConfig(), LuckModel() if luck is None else luck
        self.count, self.group_size = count, group_size
        self.expected = float("nan")
        """Expected V of prompts drawn evenly, when a batch was chosen last."""
        self._random = np.random.default_rng(self.config.seed)
        self._ids: dict[int, str] = {}  # what the model calls the prompts seen, by place
        self._unseen_N = np.ones(count, bool)
        self._before_N = _read_columns(count, offline_successes_N, offline_trials_N, chance_N)
        trials_N = self._before_N[:, 1]
        self._before_N[:, :2] *= np.minimum(1.0, self.luck.settings.offline_trials / np.maximum(trials_N, 1e-9))[
            :, None
        ]

    def choose(self, size: int, without: Sequence[int] = ()) -> np.ndarray:
        """The (size,) different prompts of the next batch, by their places.

        Args:
            size: How many.
            without: Places that are not to be taken.

        Raises:
            InputError: If there are fewer prompts than that.
        """
        barred_N = np.zeros(self.count, bool)
        barred_N[list(without)] = True
        free = self.count - int(barred_N.sum())
        if not 0 < size <= free:
            raise InputError(f"expected a batch of 1 to {free} prompts (all there are), got {size}")
        seen, unseen = np.flatnonzero(~(self._unseen_N | barred_N)), np.flatnonzero(self._unseen_N & ~barred_N)
        few = max(int(self.config.fresh * size), size - len(seen))
        places = np.concatenate([self._draw(seen, max(CANDIDATES, size)), self._draw(unseen, few)])
        known = self.posterior(places)
        # Rounded: a model that was saved and restored fits its population anew, which may differ in the last bits.
        value_P = self._value(known.draw_P, known.chance_P).round(6)
        # Ties are many among the unseen, whose draws come from one distribution: broken at random, not by place.
        order = np.lexsort((self._random.random(len(places)), -value_P))
        even = self._draw(np.arange(self.count), 512)
        self.expected = float(self.value(even).mean())
        return places[order[:size]]

    def _draw(self, places: np.ndarray, most: int) -> np.ndarray:
        return places if len(places) <= most else self._random.choice(places, most, replace=False)

    def observe(self, places_P: Any, prompt_ids_P: Sequence[str]) -> None:
        """Notes a batch that the model of luck has observed.

        Args:
            places_P: (P,) prompt of each group.
            prompt_ids_P: (P,) what the model of luck calls it.
        """
        places = np.asarray(places_P, int)
        self._ids.update(zip(places.tolist(), prompt_ids_P, strict=True))
        self._unseen_N[places] = False

    def posterior(self, places_P: Any) -> SkillPosterior:
        """What is known of some prompts now: by their counts, which fade while they are not visited, else by what was
        known before training."""
        return self.luck.posterior(*self._known(places_P).T, random=self._random)

    def _known(self, places_P: Any) -> np.ndarray:
        """(P, 4) faded successes and trials, chance rates and the floors under them."""
        places = np.asarray(places_P, int)
        rows = self.luck.find(self._ids.get(place, "") for place in places.tolist())
        known = np.zeros((len(places), 4))  # successes, trials, chance rate, floor
        known[:, :3] = self._before_N[places] if len(self._before_N) else (0.0, 0.0, np.nan)
        seen, (*counts, visit) = rows >= 0, self.luck.table[rows[rows >= 0]].T
        known[seen] = np.stack(counts, axis=1)
        known[seen, :2] *= 0.5 ** ((self.luck.batches - visit) / self.config.half_life)[:, None]
        return known

    def predict(self, places_P: Any) -> np.ndarray:
        """(P,) expected pass rate of some prompts, luck included.

        The model gives all prompts with one sort of answer the same luck, which may not be their own. That shows in
        their counts: (k + G·p̂)/(n + G), where what the model expects, p̂, counts as one group.
        """
        counts = self._known(places_P)
        known = self.luck.posterior(*counts.T, random=self._random)
        expected_P = known.mean_P + (1 - known.mean_P) * known.chance_P
        return (counts[:, 0] + self.group_size * expected_P) / (counts[:, 1] + self.group_size)

    def value(self, places_P: Any) -> np.ndarray:
        """(P,) V of the skill drawn for some prompts; its mean over prompts is what groups of them are expected to hold
        of a genuine success and a failure."""
        known = self.posterior(places_P)
        return self._value(known.draw_P, known.chance_P)

    def _value(self, skill_P: np.ndarray, chance_P: np.ndarray) -> np.ndarray:
        passing_P = skill_P + (1 - skill_P) * chance_P
        none_P = (1 - skill_P) ** self.group_size + passing_P**self.group_size
        return 1 - none_P + (passing_P - skill_P) ** self.group_size

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, beside the guard's state, to choose as the interrupted one would have; JSON."""
        return {
            "count": self.count, "expected": self.expected, "random": self._random.bit_generator.state,
            "places": list(self._ids), "ids": list(self._ids.values()),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            InputError: If it is of another number of prompts.
        """
        if state["count"] != self.count:
            raise InputError(f"the state is of {state['count']} prompts, the data set has {self.count}")
        self._random.bit_generator.state = state["random"]
        self._ids, self._unseen_N[:], self.expected = {}, True, float(state["expected"])
        self.observe(state["places"], state["ids"])


def _read_columns(count: int, *columns_N: Any) -> np.ndarray:
    """(N, 3) successes, trials and chance rates; (0, 3) where no column is given.

    Raises:
        InputError: If a column has another length, or holds what is no number or no rate.
    """
    found = np.full((count if any(column is not None for column in columns_N) else 0, 3), np.nan, np.float32)
    for place, (name, values_N) in enumerate(
        zip(("offline_successes_N", "offline_trials_N", "chance_N"), columns_N, strict=True)
    ):
        if values_N is None:
            continue
        column = np.array([np.nan if value is None else value for value in values_N], float)
        if column.shape != (count,):
            raise InputError(f"{name} has shape {column.shape}, expected ({count},), one per prompt")
        found[:, place] = column
    successes, trials, chance = found.T
    for row in np.flatnonzero((chance < 0) | (chance > 1) | (successes < 0) | (successes > trials)):
        raise InputError(f"row {row}: expected 0 <= successes <= trials and a chance rate in [0, 1], got "
                         f"{successes[row]:g} of {trials[row]:g} and {chance[row]:g}")  # fmt: skip
    found[:, :2] = np.where(np.isnan(found[:, :2]).any(axis=1, keepdims=True), 0.0, found[:, :2])
    return found
