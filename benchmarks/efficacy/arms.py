"""The arms of the efficacy benchmark: each is TRL's GRPOTrainer with one thing changed.

| arm | what is changed |
|---|---|
| grpo | nothing: the guard looks on (`observe`, which leaves training bit-identical) so that its figures are logged |
| dr_grpo | `scale_rewards="none"`, `loss_type="dr_grpo"` (arXiv 2503.20783) |
| dapo_filter | all-right and all-wrong groups are masked (arXiv 2503.14476; no others are drawn instead) |
| balanced_filter | trained only on problems with an offline pass rate in 0.2–0.8 (arXiv 2504.03380) |
| s_grpo, max_rl, threshold | the advantages, by `benchmarks/methods.py` |
| rlguard_filter | trained only on what `rlguard.filter_dataset` keeps by the same offline rates |
| rlguard_rewrite | `GuardedGRPOTrainer`, no offline rates |
| rlguard | both: the filtered set with its rates, and the guard |
| random_reward | rewards are coin flips that pay one time in ten: what training does without any signal |

The ablations each take one thing from `rlguard_rewrite`:

| ablation | what is changed |
|---|---|
| no_chance | no chance rates from answers: one small rate for all |
| no_levels | chance rates are taken as the answers have them |
| no_tracker | a prompt's earlier visits are forgotten: the population, the group itself and the text speak |
| no_detectors | the text is not read |
| weight_before | the weight is multiplied into the reward before the host normalises |
| no_step_scale | full learning rate, however little is left |
| no_size | most of the push may be luck: the step stays as large as the weights make it |
| independent_luck | luck of a prompt's rollouts is taken as independent |
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from trl import GRPOTrainer

from benchmarks.methods import grpo, max_rl, s_grpo, threshold
from rlguard.guard import Guard, GuardConfig, Judged
from rlguard.guard.rewrite import as_float
from rlguard.guard.size import StepSize
from rlguard.integrations.trl import GuardedGRPOTrainer
from rlguard.luck.chance import ChanceRates
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel

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


class NoRates(ChanceRates):
    """Knows no chance rate."""

    def rate(self, gold: Any, offered: bool = False) -> float:
        return float("nan")


class IndependentLuck(ChanceRates):
    """Takes the rollouts of a prompt for independent."""

    def correlation(self, gold: Any) -> float:
        return 0.0


class NoLevels(LuckModel):
    """Takes chance rates as the answers have them."""

    def _fit(self) -> None:
        super()._fit()
        self._shares = np.eye(len(self._shares))[0]


class NoHistory(LuckModel):
    """Takes every visit for the first: the visits before it only speak as other prompts do."""

    _visits = 0

    def observe(self, evidence_B: Sequence[Evidence], *rest: Any) -> np.ndarray:
        self._visits += 1
        return super().observe([replace(e, prompt_id=f"{self._visits} {e.prompt_id}") for e in evidence_B], *rest)


class NoSize(StepSize):
    """Lets luck be most of the push."""

    def measure(self, *columns: Any) -> tuple[float, float]:
        return 1.0, super().measure(*columns)[1]


class WeightBefore(Guard):
    """Multiplies the weights into the rewards and normalises then, as TRL does by default."""

    def judge(self, evidence_B: Sequence[Any], advantages_B: Any, rewards_B: Any, *rest: Any, **more: Any) -> Judged:
        judged = super().judge(evidence_B, advantages_B, rewards_B, *rest, **more)
        outcomes, groups = as_float(rest[0]), rest[1]
        rewards = as_float(rewards_B) * np.where(outcomes > 0, judged.weights_B, 1.0)
        before = grpo(rewards.reshape(len(set(groups)), -1)).ravel()
        return replace(judged, advantages_B=advantages_B.new_tensor(before), step_scale=judged.metrics["rlguard/size"])


def make_guard(
    config: GuardConfig | None = None,
    guard: type[Guard] = Guard,
    chance: type[ChanceRates] = ChanceRates,
    luck: type[LuckModel] = LuckModel,
    size: type[StepSize] = StepSize,
) -> Guard:
    """A guard with some of its parts exchanged."""
    made = guard(config)
    made.luck, made.size = luck(made.config.decay), size()
    made.luck.chance = chance()
    return made


def guarded(**parts: Any) -> type:
    """A guarded trainer whose guard is made by `make_guard` of these parts."""

    class Trainer(GuardedGRPOTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.guard = make_guard(**parts)

    return Trainer


@dataclass(frozen=True)
class Arm:
    """What an arm changes."""

    trainer: type = GRPOTrainer
    settings: dict[str, Any] = field(default_factory=dict)
    """Of GRPOConfig."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the trainer, beside what all are given."""
    keep: str | None = None
    """Which problems to train on, by their offline rates: `balanced`, `rlguard`, or None for all."""
    random_reward: bool = False


ABLATED: dict[str, dict[str, Any]] = {
    "no_chance": {"chance": NoRates},
    "no_levels": {"luck": NoLevels},
    "no_tracker": {"luck": NoHistory},
    "no_detectors": {"config": GuardConfig(detectors=False)},
    "weight_before": {"guard": WeightBefore},
    "no_step_scale": {"config": GuardConfig(scale_steps=False, min_weight=0.0)},
    "no_size": {"size": NoSize},
    "independent_luck": {"chance": IndependentLuck},
}
"""What `make_guard` is given for each ablation."""
ABLATIONS = {name: Arm(guarded(**parts)) for name, parts in ABLATED.items()}

COMPARED = {
    "grpo": Arm(GuardedGRPOTrainer, options={"guard": GuardConfig(mode="observe")}),
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
"""The methods."""

ARMS = COMPARED | ABLATIONS
"""All that can be run."""


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
