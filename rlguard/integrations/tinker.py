"""tinker-cookbook 0.6: two lines before its `main`, and the run is guarded.

    from rlguard.integrations.tinker import guard_training
    guard_training(state_file="rlguard_state")  # then: asyncio.run(tinker_cookbook.rl.train.main(config))

It replaces three functions of `tinker_cookbook.rl.train` by ones that call them: `prepare_minibatch`, where texts, gold
answers (of a `ProblemGroupBuilder`; pass `read_row` for a builder of your own) and the logged metrics are at hand,
`compute_advantages`, and `train_step`, whose learning rate is scaled. `compute_advantages` alone would not do: the
cookbook also calls it to print a few rollouts.

Limits: with `stream_minibatch_config` the cookbook makes its optimiser steps elsewhere, and nothing scales them. Leave
`remove_constant_reward_groups` off: it hides failed groups from the guard, so that pass rates look too high, and in the
synchronous loop of 0.6.1 it shifts the builders against their groups, which costs the gold answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig, Judged
from rlguard.integrations.seams import center_groups, check_seam, needing

with needing("the cookbook", ": pip install 'tinker-cookbook>=0.6,<0.7'"):
    import torch
    from tinker_cookbook.rl import train

WRAPPED = {
    "prepare_minibatch": "env_group_builders_P trajectory_groups_P tokenizer kl_reference_client ...",
    "compute_advantages": "trajectory_groups_P ...",
    "train_step": "data_D training_client learning_rate num_substeps ...",
}
CANNOT_MASK = "the cookbook's loss is a sum, where a rollout of advantage 0 has no part: leave it off"


def read_problem(builder: Any) -> dict[str, Any]:
    """The question and gold answer of a `ProblemGroupBuilder`, under `prompt` and `answer`; nothing of others."""
    if not hasattr(builder, "env_thunk"):
        return {}
    problem = builder.env_thunk()
    return {"prompt": problem.get_question(), "answer": problem.get_reference_answer()}


def guard_training(
    config: GuardConfig | None = None,
    state_file: str | Path | None = None,
    read_row: Callable[[Any], Mapping[str, Any]] = read_problem,
) -> Guard:
    """Puts the guard into the cookbook's training loop, for this process.

    Args:
        config: Settings of the guard. `outcome_reward` names the metric that tells correctness, "correct" by default;
            rollouts without it are successes above the threshold by their total reward.
        state_file: Where the guard keeps what it has learnt, read at the start and written after each batch.
        read_row: Gives a group's data row, `prompt` and the answer column, from its `EnvGroupBuilder`.

    Raises:
        RuntimeError: If the functions are not those of a version that rlguard knows, or are guarded already.
        ValueError: For `mask_silent`.
    """
    advice = "Either it is guarded already, or this is not tinker-cookbook 0.6."
    for name, expected in WRAPPED.items():
        check_seam(f"tinker_cookbook.rl.train.{name}", getattr(train, name, None), expected, advice)
    guarded = GuardedTraining(Guard(config, cannot_mask=CANNOT_MASK, state_file=state_file), read_row)
    for name in WRAPPED:
        setattr(train, name, getattr(guarded, name))
    return guarded.guard


class GuardedTraining:
    """The wrapped functions, and what one hands to the next."""

    def __init__(self, guard: Guard, read_row: Callable[[Any], Mapping[str, Any]]) -> None:
        self.guard = guard
        self._read_row = read_row
        self._host = {name: getattr(train, name) for name in WRAPPED}
        self._judged: tuple[Any, list[torch.Tensor], float] = (None, [], 1.0)  # groups, advantages, step scale

    async def prepare_minibatch(self, builders_P: Any, groups_P: Any, tokenizer: Any, *args: Any, **kwargs: Any) -> Any:
        host_P = self._host["compute_advantages"](groups_P)
        judged = self._judge(torch.cat(host_P), builders_P, groups_P, tokenizer)
        advantages_P = list(judged.advantages_B.split([len(host_G) for host_G in host_P]))
        self._judged = groups_P, advantages_P, judged.step_scale
        data_D, metrics, usage = await self._host["prepare_minibatch"](builders_P, groups_P, tokenizer, *args, **kwargs)
        metrics.update(judged.metrics)
        return data_D, metrics, usage

    def compute_advantages(self, trajectory_groups_P: Any) -> list[torch.Tensor]:
        groups_P, advantages_P, _ = self._judged
        known = trajectory_groups_P is groups_P
        return advantages_P if known else self._host["compute_advantages"](trajectory_groups_P)

    async def train_step(self, data_D: Any, training_client: Any, learning_rate: float, *args: Any, **kw: Any) -> Any:
        scaled = learning_rate * self._judged[2]
        return await self._host["train_step"](data_D, training_client, scaled, *args, **kw)

    def _judge(self, host_B: torch.Tensor, builders_P: Any, groups_P: Any, tokenizer: Any) -> Judged:
        aligned = len(builders_P) == len(groups_P)
        rows_P = [self._read_row(builder) for builder in builders_P] if aligned else [{}] * len(groups_P)
        group_ids_B = np.repeat(np.arange(len(groups_P)), [len(group.trajectories_G) for group in groups_P])
        rollouts_B = [rollout for group in groups_P for rollout in group.trajectories_G]
        rewards_B = np.array([reward for group in groups_P for reward in group.get_total_rewards()], float)
        rows_B = [rows_P[group] for group in group_ids_B]
        seen_B = [_decode(tokenizer, rollout.transitions[:1], "ob") for rollout in rollouts_B]
        named = self.guard.config.outcome_reward
        metric = named if isinstance(named, str) else "correct"
        told_B = [rollout.transitions[-1].metrics if rollout.transitions else {} for rollout in rollouts_B]
        scores_B = [told.get(metric, reward) for told, reward in zip(told_B, rewards_B, strict=True)]
        return self.guard.apply(
            # One NaN among the rewards makes the cookbook's advantages of its group all NaN.
            host_B.where(host_B.isfinite(), host_B.new_tensor(center_groups(rewards_B, group_ids_B))),
            rewards_B,
            prompts_B=[row.get("prompt") or prompt for row, prompt in zip(rows_B, seen_B, strict=True)],
            completions_B=[_decode(tokenizer, rollout.transitions, "ac") for rollout in rollouts_B],
            rows_B=rows_B,
            outcomes_B=self.guard.read_outcomes(scores_B),
            group_ids_B=group_ids_B,
            scale_B=np.ones(len(rewards_B)),  # the cookbook centres rewards and divides by nothing
        )


def _decode(tokenizer: Any, transitions: Sequence[Any], part: str) -> str:
    """The text of the observations (`ob`) or the actions (`ac`) of a rollout's turns."""
    if part == "ac":
        return "\n".join(tokenizer.decode(transition.ac.tokens) for transition in transitions)
    chunks = (chunk for transition in transitions for chunk in transition.ob.chunks)
    return tokenizer.decode([token for chunk in chunks for token in getattr(chunk, "tokens", ())])  # images have none
