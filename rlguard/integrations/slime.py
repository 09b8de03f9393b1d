"""slime: two flags and the run is guarded.

    --custom-reward-post-process-path rlguard.integrations.slime.post_process_rewards
    --custom-config-path guard.yaml        # settings, if any: `rlguard: {mode: observe, outcome_reward: acc}`

slime calls such a function in place of its own group normalisation, so this one normalises first: as slime does, but
always by prompt, also where the groups' sizes differ (there slime would take the whole batch for one group). The gold
answer is `Sample.label`; `rlguard_*` columns are read from `Sample.metadata`. slime logs nothing from here: the metrics
go to Python's log, and to wandb where slime uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.guard.rewrite import as_float
from rlguard.integrations.seams import STATE_FILE, check_estimator

DIVIDED = ("grpo", "gspo", "cispo")
CENTRED = (*DIVIDED, "reinforce_plus_plus_baseline")


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

    guard: Guard | None = None

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
        groups_B = np.arange(len(samples)) // args.n_samples_per_prompt
        if samples[0].group_index is not None:
            groups_B = np.array([sample.group_index for sample in samples])
        divide = args.advantage_estimator in DIVIDED and args.grpo_std_normalization
        name = guard.config.outcome_reward
        correct = [(sample.reward or {}).get(name) for sample in samples] if isinstance(name, str) else raw
        judged = guard.apply(
            group_advantages(as_float(raw), groups_B, divide),
            raw,
            prompts_B=[sample.prompt for sample in samples],
            completions_B=[sample.response for sample in samples],
            rows_B=[{**(sample.metadata or {}), guard.config.answer_column: sample.label} for sample in samples],
            outcomes_B=guard.read_outcomes(correct),
            group_ids_B=groups_B,
        )
        if args.use_wandb:
            import wandb  # slime has started the run; it draws everything under rollout/ by its own step

            wandb.log({f"rollout/{name}": value for name, value in judged.metrics.items()})
        return raw, judged.advantages_B.tolist()


post_process_rewards = PostProcessRewards()


def _start(args: Any) -> Guard:
    normalised = "reward normalisation", args.rewards_normalization
    check_estimator("--advantage-estimator", CENTRED, args.advantage_estimator, *normalised)
    state = Path(args.save) / STATE_FILE if args.save else None
    config = GuardConfig.from_options(getattr(args, "rlguard", None))
    guard = Guard(config, scales_steps=False, state_file=state, resume=False)
    if args.load:
        guard.load(Path(args.load) / STATE_FILE)
    return guard
