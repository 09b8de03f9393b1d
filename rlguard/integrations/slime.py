"""slime: two flags and the run is guarded.

    --custom-reward-post-process-path rlguard.integrations.slime.post_process_rewards
    --custom-config-path guard.yaml        # settings, if any: `rlguard: {mode: observe, outcome_reward: acc}`

slime calls such a function in place of its own group normalisation, so this one normalises first: as slime does, but
always by prompt, also where the groups' sizes differ (there slime would take the whole batch for one group). The gold
answer is `Sample.label`, a data set's `rlguard_*` columns are read from `Sample.metadata`. In `drop` mode the rollouts
get `remove_sample`, which slime turns into an empty loss mask. `step_scale` is only logged: the optimiser lives in
other processes. Metrics go to slime's log, and to wandb where slime uses it. Read at slime 0.3.1 and commit 624b824.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard
from rlguard.guard.rewrite import as_float
from rlguard.guard.settings import GuardConfig
from rlguard.integrations.seams import STATE_FILE

logger = logging.getLogger(__name__)

CENTRED = ("grpo", "gspo", "cispo", "reinforce_plus_plus_baseline")
DIVIDED = ("grpo", "gspo", "cispo")


def group_advantages(rewards_B: np.ndarray, groups_B: np.ndarray, divide: bool) -> np.ndarray:
    """The rewards minus their group's mean, over its standard deviation if asked; NaN rewards do not vote and get 0."""
    advantages = np.zeros(len(rewards_B))
    for group in np.unique(groups_B):
        rows = np.flatnonzero((groups_B == group) & ~np.isnan(rewards_B))
        if len(rows):
            centred = rewards_B[rows] - rewards_B[rows].mean()
            spread = centred.std(ddof=1) if len(rows) > 1 else 0.0
            advantages[rows] = centred / (spread + 1e-6) if divide else centred
    return advantages


class PostProcessRewards:
    """slime's reward post-processing with the guard in it. It lives in one process, which sees every rollout."""

    def __init__(self) -> None:
        self.guard: Guard | None = None

    def __call__(self, args: Any, samples: Sequence[Any]) -> tuple[list, list[float]]:
        """
        Args:
            args: slime's arguments.
            samples: All samples of one rollout step.

        Returns:
            The raw rewards, and what slime trains on: the guarded advantages. One each per sample.

        Raises:
            RuntimeError: If slime would not normalise the rewards by group.
            ValueError: If `rlguard` in the custom config has a setting that there is not.
        """
        guard = self.guard = self.guard or _start(args)
        raw = [sample.get_reward_value(args) for sample in samples]
        rewards_B = as_float(raw)
        groups_B = np.array([_group(sample, row, args) for row, sample in enumerate(samples)])
        divide = args.advantage_estimator in DIVIDED and args.grpo_std_normalization
        judged = guard.apply(
            group_advantages(rewards_B, groups_B, divide),
            rewards_B,
            prompts_B=[sample.prompt for sample in samples],
            completions_B=[sample.response for sample in samples],
            rows_B=[{**(sample.metadata or {}), guard.config.answer_column: sample.label} for sample in samples],
            outcomes_B=guard.read_outcomes(_correctness(samples, guard.config.outcome_reward, rewards_B)),
            group_ids_B=groups_B,
        )
        for sample, kept in zip(samples, judged.kept_B, strict=True):
            sample.remove_sample = sample.remove_sample or not kept
        _log(args, judged.metrics)
        if getattr(args, "save", None):
            guard.save(Path(args.save) / STATE_FILE)
        return raw, as_float(judged.advantages_B).tolist()


post_process_rewards = PostProcessRewards()


def _start(args: Any) -> Guard:
    if args.advantage_estimator not in CENTRED or not args.rewards_normalization:
        raise RuntimeError(
            "rlguard guards advantages that are relative to a prompt's other rollouts: slime's --advantage-estimator "
            f"{', '.join(CENTRED)} with reward normalisation, not {args.advantage_estimator!r} with "
            f"rewards_normalization={args.rewards_normalization}"
        )
    guard = Guard(GuardConfig.from_options(getattr(args, "rlguard", None)), scales_steps=False)
    if getattr(args, "load", None):
        guard.load(Path(args.load) / STATE_FILE)
    return guard


def _group(sample: Any, row: int, args: Any) -> int:
    return row // args.n_samples_per_prompt if sample.group_index is None else sample.group_index


def _correctness(samples: Sequence[Any], name: str | int, rewards_B: np.ndarray) -> np.ndarray:
    """What tells correctness: the reward, or the value of that name where rewards are dicts."""
    return as_float([(sample.reward or {}).get(name) for sample in samples]) if isinstance(name, str) else rewards_B


def _log(args: Any, metrics: dict[str, float]) -> None:
    logger.info("%s", metrics)
    if getattr(args, "use_wandb", False):
        import wandb  # slime has started the run; it draws everything under rollout/ by its own step

        wandb.log({f"rollout/{name}": value for name, value in metrics.items()})
