"""An automatic curriculum: which level of difficulty the next prompts come from, by the pass rates seen so far.

Levels are configurations of a task, the easier before the harder; reasoning-gym's curricula are one source of them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlguard.stats import SKILL_GRID, beta_weights
from rlguard.types import BOUNDS, InputError

logger = logging.getLogger(__name__)

SEEDS = 32
"""Tries at a reasoning-gym question: for some seeds a task finds none."""


@dataclass(frozen=True)
class Level:
    """One degree of difficulty of a task."""

    task: str
    config: Any = None
    """What makes a prompt of it, in the terms of whoever makes it."""
    chance_rate: float = 0.0
    """How often a guess passes, in [0, 1)."""


MakeRow = Callable[[Level, int], Mapping[str, Any]]
"""From a level and a number, the data row of a prompt: at least its `prompt`. Same level and number, same row."""


class LevelCurriculum:
    """Chooses the levels of the next prompts so that the policy finds them learnable.

    What GRPO can learn from a prompt of skill rate q is the variance of its outcomes, q(1 − q), largest at ½ (Foster et
    al., "Learning to Reason at the Frontier of Learnability", arXiv 2502.12272; Bae et al., arXiv 2504.03380, bound the
    gain by it). The rate is not known, so a level's share of the next prompts is proportional to what can be expected:

        E[ q(1 − q) · 1{low ≤ q ≤ high} | all outcomes ]

    with the learnable band for low and high. A level that is surely mastered or surely out of reach gets nothing; one
    of which little is known gets its share and so becomes known. `rehearse` of all prompts go evenly to the levels
    easier than their task's best one, so that they are not forgotten, or it is seen that they are.

    The skill rate of a level is how often it passes beyond guessing: a rollout passes with q + (1 − q)·chance. The
    rates of a task's levels are judged together: a priori a harder level's is uniform between 0 and that of the level
    before it (the first one's between 0 and 1), so it is never easier, and what is seen at one level tells of all
    others. The posterior is exact on `SKILL_GRID`, by the forward–backward recursion. As the policy moves, all counts
    fade by `decay` an update, and levels not visited become uncertain again.

    >>> curriculum = LevelCurriculum([Level("sums", terms) for terms in (2, 3, 4)])
    >>> curriculum.update([0] * 32 + [1] * 32, [1.0] * 32 + [0.0, 1.0] * 16)  # the first mastered, the second half
    >>> curriculum.shares.round(2).tolist()
    [0.11, 0.54, 0.35]
    """

    def __init__(
        self,
        levels: Sequence[Level],
        band: tuple[float, float] = BOUNDS[1:],
        rehearse: float = 0.1,
        decay: float = 0.8,
        seed: int = 0,
    ) -> None:
        """
        Args:
            levels: Those of one task from easy to hard; of several tasks in any order among each other.
            band: Skill rates between which a level is learnable.
            rehearse: Share of prompts, in [0, 1), for levels easier than the best one.
            decay: What earlier counts keep at each update, in [0, 1].
            seed: Of the draws.

        Raises:
            InputError: If there are no levels, or a setting is out of its range.
        """
        _check(bool(levels), "levels: expected at least one, got none")
        for row, level in enumerate(levels):
            fine = 0 <= level.chance_rate < 1
            _check(fine, f"levels, row {row}: expected a chance_rate in [0, 1), got {level.chance_rate!r}")
        _check(0 <= band[0] < band[1] <= 1, f"band: expected 0 ≤ low < high ≤ 1, got {band!r}")
        _check(0 <= rehearse < 1, f"rehearse: expected a number in [0, 1), got {rehearse!r}")
        _check(0 <= decay <= 1, f"decay: expected a number in [0, 1], got {decay!r}")
        self.levels, self.rehearse, self.decay, self.seed = tuple(levels), rehearse, decay, seed
        tasks_L = np.array([level.task for level in levels])
        self._ladders = [np.flatnonzero(tasks_L == task) for task in dict.fromkeys(tasks_L.tolist())]
        chance_L1 = np.array([[level.chance_rate] for level in levels])
        self._pass_LS = chance_L1 + (1 - chance_L1) * SKILL_GRID
        with np.errstate(divide="ignore"):
            inside = np.clip(SKILL_GRID, *band) == SKILL_GRID
            self._log_signal_S = np.log(SKILL_GRID * (1 - SKILL_GRID) * inside)
        _check(bool(inside.any()), f"band: expected one that is not as narrow, got {band!r}")
        self._set_counts(np.zeros(len(levels)), np.zeros(len(levels)))

    def choose(self, number: int) -> int:
        """The level of the prompt of some number, as its place in `levels`: a draw from `shares`.

        It depends on nothing but the seed, the number and the outcomes so far, so the ranks of a distributed run agree.
        """
        draw = np.random.default_rng([self.seed, number]).random()
        return int(np.searchsorted(np.cumsum(self.shares)[:-1], draw, side="right"))

    def update(self, levels_B: Sequence[int], outcomes_B: Sequence[float]) -> None:
        """Learns the outcomes of a batch; older ones fade.

        Args:
            levels_B: Place in `levels` of each rollout's level.
            outcomes_B: 1 correct, 0 wrong, NaN could not be judged. Where none could, nothing is learnt and none fade.

        Raises:
            InputError: If the two differ in length, or hold something else; nothing was learnt then.
        """
        levels, outcomes = np.asarray(levels_B), np.asarray(outcomes_B, float)
        if levels.shape != outcomes.shape or levels.ndim != 1:
            raise InputError(f"update: expected a level for each outcome, got {levels.shape} and {outcomes.shape}")
        for row, level in enumerate(levels.tolist()):
            fine = isinstance(level, int) and 0 <= level < len(self.levels)
            _check(fine, f"levels, row {row}: expected a place in 0..{len(self.levels) - 1}, got {level!r}")
        for row, outcome in enumerate(outcomes.tolist()):
            fine = math.isnan(outcome) or 0 <= outcome <= 1
            _check(fine, f"outcomes, row {row}: expected 1, 0 or NaN, got {outcome!r}")
        scored = ~np.isnan(outcomes)
        if scored.any():
            levels, outcomes, count = levels[scored], outcomes[scored], len(self.levels)
            self._set_counts(
                self._successes_L * self.decay + np.bincount(levels, outcomes, count),
                self._trials_L * self.decay + np.bincount(levels, minlength=count),
            )

    @property
    def shares(self) -> np.ndarray:
        """Share of the next prompts that each level gets, (L,); they sum to 1. Another rule overrides it."""
        return self._shares_L

    def _set_counts(self, successes_L: np.ndarray, trials_L: np.ndarray) -> None:
        """Takes the counts, and works out what they say. Logarithms, for thousands of rollouts."""
        self._successes_L, self._trials_L = successes_L, trials_L
        k, n = successes_L[:, None], trials_L[:, None]
        log_likelihood_LS = k * np.log(self._pass_LS) + (n - k) * np.log1p(-self._pass_LS)
        log_posterior_LS = np.empty_like(log_likelihood_LS)
        for ladder in self._ladders:
            log_posterior_LS[ladder] = _judge_ladder(log_likelihood_LS[ladder])
        signal_L = np.logaddexp.reduce(log_posterior_LS + self._log_signal_S, axis=1)
        shares_L = np.exp(signal_L - np.logaddexp.reduce(signal_L))
        easier = np.concatenate([ladder[: int(signal_L[ladder].argmax())] for ladder in self._ladders])
        if len(easier):
            shares_L *= 1 - self.rehearse
            shares_L[easier] += self.rehearse / len(easier)
        self._shares_L = shares_L
        self.skill_rates = np.exp(log_posterior_LS) @ SKILL_GRID
        """Expected skill rate of each level, (L,): how often it passes beyond guessing."""

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state: the counts."""
        tasks = [level.task for level in self.levels]
        return {"tasks": tasks, "successes": self._successes_L.tolist(), "trials": self._trials_L.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            InputError: If it is the state of other levels, or none at all; nothing is restored then.
        """
        expected = [level.task for level in self.levels]
        tasks, successes, trials = (state.get(name, []) for name in ("tasks", "successes", "trials"))
        if tasks != expected or not len(successes) == len(trials) == len(tasks):
            raise InputError(f"state of a curriculum: expected that of the levels of {expected}, got {dict(state)}")
        for row, (k, n) in enumerate(zip(successes, trials, strict=True)):
            _check(0 <= k <= n < math.inf, f"state of a curriculum, row {row}: expected counts, got {k!r} of {n!r}")
        self._set_counts(np.array(successes, float), np.array(trials, float))


def _judge_ladder(log_likelihood_LS: np.ndarray) -> np.ndarray:
    """Log posterior of each level's skill rate, given that each is uniform below the one before it; (L, S)."""
    log_mass_S = np.log(beta_weights(1, 1))
    below_SS = np.where(np.tri(len(log_mass_S), dtype=bool), log_mass_S, -np.inf)  # from a rate, to those not above it
    below_SS = below_SS - np.logaddexp.reduce(below_SS, axis=1, keepdims=True)
    forward_LS, backward_LS = np.empty_like(log_likelihood_LS), np.zeros_like(log_likelihood_LS)
    forward_LS[0] = log_mass_S + log_likelihood_LS[0]
    for level in range(1, len(log_likelihood_LS)):
        reached_S = np.logaddexp.reduce(forward_LS[level - 1][:, None] + below_SS, axis=0)
        forward_LS[level] = reached_S + log_likelihood_LS[level]
    for level in range(len(log_likelihood_LS) - 2, -1, -1):
        harder_S = log_likelihood_LS[level + 1] + backward_LS[level + 1]
        backward_LS[level] = np.logaddexp.reduce(below_SS + harder_S, axis=1)
    log_joint_LS = forward_LS + backward_LS
    return log_joint_LS - np.logaddexp.reduce(log_joint_LS, axis=1, keepdims=True)


def reasoning_gym_levels(
    task: str,
    attributes: Sequence[str] = (),
    highest: int | None = None,
    chance_rate: float = 0.0,
    inclusive: bool = False,
    **fixed: Any,
) -> list[Level]:
    """The levels of a reasoning-gym task, from its curriculum; levels of which it cannot make a question are left out.

    Args:
        task: Name of the task, such as `chain_sum`.
        attributes: Which attributes of its curriculum are raised, together and each as far as it goes; all by default.
            The others stay at their first level.
        highest: The highest of the curriculum's levels to take, counted from 0; all by default. A question of each is
            made here, and at their last levels some tasks take minutes for one, or search for ever.
        chance_rate: How often a guess passes.
        inclusive: Whether a level also draws from the ranges of those before it.
        **fixed: Settings of the task that hold at all levels.

    Raises:
        InputError: If there is no such task, curriculum or attribute, or no level is left.

    >>> [level.config["max_terms"] for level in reasoning_gym_levels("chain_sum", ["num_terms"])][:4]
    [2, 3, 4, 5]
    """
    from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext, RangeAttributeMode
    from reasoning_gym.factory import create_curriculum

    try:
        curriculum = create_curriculum(task)
    except ValueError as error:
        raise InputError(f"task: expected one with a curriculum in reasoning-gym, got {task!r} ({error})") from error
    known = curriculum.attributes
    for name in attributes:
        _check(name in known, f"attributes: expected some of {', '.join(known)} of {task}, got {name!r}")
    raised = list(attributes) or list(known)
    mode = RangeAttributeMode.INCLUSIVE if inclusive else RangeAttributeMode.UPPER_BOUND
    levels: list[Level] = []
    top = max((len(known[name].levels) for name in raised), default=1) - 1
    for height in range(1 + (top if highest is None else min(top, highest))):
        for name in known:
            curriculum.set_attr_level(name, min(height, len(known[name].levels) - 1) if name in raised else 0)
        config = vars(curriculum.generate_configuration(context=DefaultCurriculumContext(mode))) | fixed
        level = Level(
            task, {name: value for name, value in config.items() if name not in ("seed", "size")}, chance_rate
        )
        if level not in levels:
            try:
                make_reasoning_gym_row(level, 0)
                levels.append(level)
            except InputError as error:
                logger.warning("%s: level %d of its curriculum is left out: %s", task, height, error)
    _check(bool(levels), f"task {task}: expected levels of which it can make questions, got none with {fixed}")
    return levels


def make_reasoning_gym_row(level: Level, number: int) -> dict[str, Any]:
    """A question of a level of `reasoning_gym_levels`: `prompt`, `answer`, and `task` and `metadata` for its scorer.

    Raises:
        InputError: If the task can make none with the level's settings.

    >>> level = Level("chain_sum", {"min_terms": 3, "max_terms": 3, "max_digits": 1})
    >>> make_reasoning_gym_row(level, 0)["prompt"]
    'State the final answer to the following arithmetic problem: 0 - 4 - 8 ='
    """
    from reasoning_gym import create_dataset

    for attempt in range(SEEDS):
        try:
            entry = create_dataset(level.task, size=1, seed=number * SEEDS + attempt, **level.config)[0]
        except Exception as error:  # tasks raise whatever they like, some for a few seeds only
            last = error
        else:
            found = {"task": level.task, "metadata": entry["metadata"]}
            return {"prompt": entry["question"], "answer": entry["answer"]} | found
    raise InputError(f"{level}: expected settings with which {level.task} makes a question, got {last!r}") from last


def _check(fine: bool, message: str) -> None:
    if not fine:
        raise InputError(message)
