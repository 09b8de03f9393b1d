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
from typing import Any

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import center_groups, check_estimator, start_logged

DIVIDED = ("grpo", "gspo", "cispo")
CENTRED = (*DIVIDED, "reinforce_plus_plus_baseline")


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
        size = args.n_samples_per_prompt
        groups = [row // size if s.group_index is None else s.group_index for row, s in enumerate(samples)]
        judged = guard.apply(
            center_groups(raw, groups, args.advantage_estimator in DIVIDED and args.grpo_std_normalization),
            raw,
            prompts_B=[sample.prompt for sample in samples],
            completions_B=[sample.response for sample in samples],
            rows_B=[{**(sample.metadata or {}), guard.config.answer_column: sample.label} for sample in samples],
            outcomes_B=guard.read_named(raw, [sample.reward for sample in samples]),
            group_ids_B=groups,
        )
        for sample, trained in zip(samples, judged.trained_B, strict=True):
            sample.remove_sample |= not trained  # slime masks it
        if getattr(args, "use_wandb", False):
            import wandb  # slime has started the run; it draws everything under rollout/ by its own step

            wandb.log({f"rollout/{name}": value for name, value in judged.metrics.items()})
        return raw, judged.advantages_B.tolist()


post_process_rewards = PostProcessRewards()


def _start(args: Any) -> Guard:
    normalised = "the reward normalisation on", args.rewards_normalization
    check_estimator("--advantage-estimator", CENTRED, args.advantage_estimator, *normalised)
    return start_logged(GuardConfig.from_options(getattr(args, "rlguard", None)), args.save, args.load)
