"""The arms of the efficacy benchmark: each is TRL's GRPOTrainer with one thing changed.

| arm | what is changed |
|---|---|
| grpo | nothing |
| dr_grpo | `scale_rewards="none"`, `loss_type="dr_grpo"` (arXiv 2503.20783) |
| dapo_filter | all-right and all-wrong groups are masked (arXiv 2503.14476; no others are drawn instead) |
| balanced_filter | trained only on problems with an offline pass rate in 0.2–0.8 (arXiv 2504.03380) |
| s_grpo, max_rl, threshold | the advantages, by `benchmarks/methods.py` |
| rlguard_filter | trained only on what `rlguard.filter_dataset` keeps by the same offline rates |
| rlguard_rewrite | `GuardedGRPOTrainer`, no offline rates |
| rlguard | both: the filtered set with its rates, and the guard |
| random_reward | rewards are coin flips with the reward's own frequency: what training does without any signal |
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from trl import GRPOTrainer

from benchmarks.methods import max_rl, s_grpo, threshold
from rlguard.integrations.trl import GuardedGRPOTrainer

Rule = Callable[[np.ndarray], np.ndarray]


class RuledGRPOTrainer(GRPOTrainer):
    """GRPO with the advantages of `rule`: from the rewards of all groups, (P, G), to advantages, (P, G)."""

    rule: Rule

    def _calculate_rewards(self, *args: Any) -> Any:
        self._rewards = super()._calculate_rewards(*args)
        return self._rewards

    def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            rewards = (self._rewards * self.reward_weights.to(self._rewards.device)).nansum(dim=1)
            ruled = type(self).rule(rewards.double().cpu().numpy().reshape(-1, self.num_generations)).ravel()
            start = self.accelerator.process_index * len(inputs)
            output["advantages"] = output["advantages"].new_tensor(ruled[start : start + len(inputs)])
        return output


class MaskFlatGRPOTrainer(GRPOTrainer):
    """GRPO in which groups without both right and wrong rollouts are out of the loss and its token count."""

    def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            host = self.accelerator.gather(output["advantages"]).view(-1, self.num_generations)
            mixed = (host != 0).any(dim=1).repeat_interleave(self.num_generations)
            start = self.accelerator.process_index * len(inputs)
            output["completion_mask"] = output["completion_mask"] * mixed[start : start + len(inputs), None]
            output["num_items_in_batch"] = self.accelerator.gather(output["completion_mask"].sum()).sum()
        return output


def ruled(rule: Rule) -> type:
    """A trainer with the advantages of a rule."""
    return type(f"{rule.__name__}_trainer", (RuledGRPOTrainer,), {"rule": staticmethod(rule)})


@dataclass(frozen=True)
class Arm:
    """What an arm changes."""

    trainer: type = GRPOTrainer
    settings: dict[str, Any] = field(default_factory=dict)
    """Of GRPOConfig."""
    keep: str | None = None
    """Which problems to train on, by their offline rates: `balanced`, `rlguard`, or None for all."""
    random_reward: bool = False


ARMS = {
    "grpo": Arm(),
    "dr_grpo": Arm(settings={"scale_rewards": "none", "loss_type": "dr_grpo"}),
    "dapo_filter": Arm(MaskFlatGRPOTrainer),
    "balanced_filter": Arm(keep="balanced"),
    "s_grpo": Arm(ruled(s_grpo)),
    "max_rl": Arm(ruled(max_rl)),
    "threshold": Arm(ruled(threshold)),
    "rlguard_filter": Arm(keep="rlguard"),
    "rlguard_rewrite": Arm(GuardedGRPOTrainer),
    "rlguard": Arm(GuardedGRPOTrainer, keep="rlguard"),
    "random_reward": Arm(random_reward=True),
}


def make_coin(rate: float, seed: int) -> Callable[..., list[float]]:
    """A reward function of coin flips.

    Args:
        rate: How often it pays 1.
        seed: With a completion's place in the run, what decides a flip.
    """
    seen = 0

    def coin(completions: Sequence[str], **_: Any) -> list[float]:
        nonlocal seen
        places = range(seen, seen + len(completions))
        seen += len(completions)
        return [float(random.Random(zlib.crc32(f"{seed}|{place}".encode())).random() < rate) for place in places]

    return coin
