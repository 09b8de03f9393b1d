"""The arms of the efficacy benchmark: each is TRL's GRPOTrainer with one thing changed.

| arm | what is changed |
|---|---|
| grpo | nothing |
| dr_grpo | `scale_rewards="none"`, `loss_type="dr_grpo"` (arXiv 2503.20783) |
| dapo_filter | all-right and all-wrong groups are masked (arXiv 2503.14476; no others are drawn instead) |
| s_grpo, max_rl, ha_dw, noise_corrected | the advantages, by `benchmarks/methods.py` |
| threshold | no advantages in groups of which at most a quarter passes: one line of NumPy |
| random_reward | each group's rewards are dealt out anew: what as many updates do without any signal |
| rlguard | `GuardedGRPOTrainer`, all defaults |
| rlguard_sampler | the same, and it chooses the prompts (`SamplerConfig()`) |
| sampler_alone | prompts chosen like that, and GRPO's own advantages and steps (`mode="observe"`) |
| constant_rate | rlguard's weights, but its learning rate stays constant (`scale_steps=False`, nothing cut) |
| mean_rate | GRPO at the mean learning rate of rlguard's run of the same cell and seed |
| random_weights | rlguard with its weights dealt out anew among a batch's successes, steps scaled as in that run |

`noise_corrected` is told each prompt's true chance rate, which nobody knows outside a benchmark: the best that such a
correction can do. The last two follow rlguard's trace of step scales, so its run must be there (`Arm.follows`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from trl import GRPOTrainer

from benchmarks.methods import make_ha_dw, make_shuffled, max_rl, noise_corrected, s_grpo, threshold
from rlguard import rewrite_advantages
from rlguard.guard import Guard, GuardConfig, Judged
from rlguard.integrations.trl import GuardedGRPOTrainer
from rlguard.sampling import SamplerConfig

CHANCE = "chance"
"""Column of the training set with each prompt's true chance rate."""


class RuledGRPOTrainer(GRPOTrainer):
    """GRPO with the advantages of `rule`: from the rewards of all groups, (P, G), and their prompts' chance rates."""

    rule: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def _calculate_rewards(self, *args: Any) -> Any:
        self._rewards = super()._calculate_rewards(*args)
        return self._rewards

    def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            rewards = (self._rewards * self.reward_weights.to(self._rewards.device)).nansum(dim=1)
            chance_P = np.array([row[CHANCE] for row in inputs[:: self.num_generations]])
            ruled = self.rule(rewards.double().cpu().numpy().reshape(-1, self.num_generations), chance_P)
            output["advantages"] = output["advantages"].new_tensor(ruled.ravel())
        return output


class MaskFlatGRPOTrainer(GRPOTrainer):
    """GRPO in which groups without both right and wrong rollouts are out of the loss and its token count."""

    def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            host = output["advantages"].view(-1, self.num_generations)
            mixed = (host != 0).any(dim=1).repeat_interleave(self.num_generations)
            output["completion_mask"] = output["completion_mask"] * mixed[:, None]
            output["num_items_in_batch"] = output["completion_mask"].sum()
        return output


class DealtGuard(Guard):
    """Deals its weights out anew among a batch's successes, and scales the steps as another run did."""

    def __init__(self, config: GuardConfig, scales: Sequence[float], seed: int) -> None:
        super().__init__(config)
        self._scales, self._rng = iter(scales), np.random.default_rng(seed)

    def judge(self, evidence_B: Sequence[Any], advantages_B: Any, rewards_B: Any, *rest: Any, **more: Any) -> Judged:
        judged = super().judge(evidence_B, advantages_B, rewards_B, *rest, **more)
        outcomes_B, groups_B = np.asarray(rest[0], float), rest[1]
        success_B, weights_B = outcomes_B > 0, judged.weights_B.copy()
        weights_B[success_B] = self._rng.permutation(weights_B[success_B])
        dealt_B = rewrite_advantages(advantages_B, rewards_B, outcomes_B, groups_B, weights_B)
        size, dealt = (float((values**2).mean()) ** 0.5 for values in (judged.advantages_B, dealt_B))
        dealt_B = dealt_B * (size / dealt if dealt else 0.0)
        return replace(judged, advantages_B=dealt_B, weights_B=weights_B, step_scale=next(self._scales))


def mean_rate(scales: Sequence[float], seed: int) -> tuple[type, float]:
    """A trainer, and what to multiply its learning rate with: GRPO at the mean of these step scales."""
    return GRPOTrainer, float(np.mean(scales))


def random_weights(scales: Sequence[float], seed: int) -> tuple[type, float]:
    """A trainer, and what to multiply its learning rate with: weights that know nothing, with these step scales."""

    class Trainer(GuardedGRPOTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.guard = DealtGuard(self.guard.config, scales, seed)

    return Trainer, 1.0


Maker = Callable[[int], Callable[[np.ndarray, np.ndarray], np.ndarray]]


def ruled(make: Maker) -> Callable[[int], type]:
    """What gives a trainer for a seed, whose advantages are those of a rule made anew."""
    return lambda seed: type("Ruled", (RuledGRPOTrainer,), {"rule": staticmethod(make(seed))})


def plain(rule: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A rule that does not ask for chance rates."""
    return lambda rewards_PG, _: rule(rewards_PG)


@dataclass(frozen=True)
class Arm:
    """What an arm changes."""

    make: Callable[[int], type] = lambda seed: GRPOTrainer
    """The trainer of a seed."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of GRPOConfig."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the trainer, beside what all are given."""
    follows: Callable[[Sequence[float], int], tuple[type, float]] | None = None
    """For an arm that needs the step scales of rlguard's run: what makes its trainer of them, in place of `make`."""


def _guarded(**options: Any) -> Arm:
    return Arm(lambda seed: GuardedGRPOTrainer, options=options)


ARMS: dict[str, Arm] = {
    "grpo": Arm(),
    "dr_grpo": Arm(settings={"scale_rewards": "none", "loss_type": "dr_grpo"}),
    "dapo_filter": Arm(lambda seed: MaskFlatGRPOTrainer),
    "s_grpo": Arm(ruled(lambda seed: plain(s_grpo))),
    "max_rl": Arm(ruled(lambda seed: plain(max_rl))),
    "ha_dw": Arm(ruled(lambda seed: plain(make_ha_dw()))),
    "noise_corrected": Arm(ruled(lambda seed: noise_corrected)),
    "threshold": Arm(ruled(lambda seed: plain(threshold))),
    "random_reward": Arm(ruled(lambda seed: plain(make_shuffled(seed)))),
    "rlguard": _guarded(),
    "rlguard_sampler": _guarded(sampler=SamplerConfig()),
    "sampler_alone": _guarded(sampler=SamplerConfig(), guard=GuardConfig(mode="observe")),
    "constant_rate": _guarded(guard=GuardConfig(scale_steps=False, min_weight=0.0)),
    "mean_rate": Arm(follows=mean_rate),
    "random_weights": Arm(follows=random_weights),
}
