"""TRL: change one import and the run is guarded.

    from rlguard.integrations.trl import GuardedGRPOTrainer as GRPOTrainer

`GuardMixin` does the same for a trainer class of your own; put it in front: `class Mine(GuardMixin, MyGRPOTrainer)`.

It wraps two methods of TRL 1.8 to 1.16 through `super()` and copies none: `_calculate_rewards`, which returns the
gathered rewards, and `_generate_and_score_completions`, whose advantages it rewrites before TRL shuffles the batch. A
TRL that has `_transform_advantages` (its pull request 7298) is given them there. `_get_train_sampler` is replaced
where prompts are chosen while training (`sampler=SamplerConfig()`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlguard.guard import GuardConfig, Judged
from rlguard.integrations.seams import STATE_FILE, check_overrides, needing
from rlguard.version import how_to_install

with needing("TRL", f": {how_to_install('trl')}"):
    import torch
    import trl
    from accelerate.utils import gather_object
    from trl import GRPOTrainer

    from rlguard.integrations.hf_trainer import TrainerGuard, gdpo_scale, warn_of_other_model
    from rlguard.integrations.trl_sampler import ChoosesPrompts
    from rlguard.sampling import SamplerConfig

__all__ = ["STATE_FILE", "GuardMixin", "GuardedGRPOTrainer", "check_signatures"]

ADVICE = f"This is TRL {trl.__version__}; install one that rlguard knows: pip install 'trl>=1.8,<1.17'"


def check_signatures(trainer_class: type) -> None:
    """Raises RuntimeError when the trainer's private methods are not those that this adapter was written for."""
    check_overrides(trainer_class, ADVICE, GuardMixin, TrainerGuard, ChoosesPrompts, unless=["_transform_advantages"])


def refuse_unsloth(trainer_class: type) -> None:
    """Raises RuntimeError when `import unsloth` has put its own trainer into the place of TRL's."""
    if any("unsloth" in f"{base.__module__}.{base.__name__}".lower() for base in trainer_class.__mro__):
        raise RuntimeError(
            "rlguard does not guard Unsloth's GRPO: `import unsloth` replaces TRL's GRPOTrainer by source of its own, "
            "in which rlguard does not know how advantages reach the loss. Train with TRL's trainer, or call "
            "rlguard.Guard where you compute advantages"
        )


class GuardMixin(ChoosesPrompts, TrainerGuard):
    """Puts the guard into a GRPO trainer. Takes one more argument, `guard`, and is otherwise the trainer."""

    num_generations: Any
    _guard_seen: tuple[list | None, torch.Tensor]
    _guard_judged: Judged | None

    def __init__(
        self, *args: Any, guard: GuardConfig | None = None, sampler: SamplerConfig | None = None, **kwargs: Any
    ) -> None:
        """
        Args:
            *args: As for the trainer.
            guard: Settings of the guard; None takes the defaults.
            sampler: Choose each batch's prompts by what they are expected to teach; None keeps TRL's order.
            **kwargs: As for the trainer.

        Raises:
            RuntimeError: If the installed TRL is not one whose methods rlguard knows, or Unsloth's.
            ValueError: If `guard.outcome_reward` names no reward function of the trainer.
            InputError: If a sampler is asked for that cannot choose here.
        """
        refuse_unsloth(type(self))
        check_signatures(GRPOTrainer)
        super().__init__(*args, **kwargs)
        self._start_guard(guard)
        self._start_sampler(sampler)
        warn_of_other_model(self.train_dataset, self.model)

    def _calculate_rewards(self, inputs: list, prompts: list, completions: list, completion_ids_list: list) -> Any:
        read = self.guard.begin(prompts, completions, inputs) if self.model.training else None
        rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._guard_seen = gather_object(read()) if read else None, rewards_per_func
        return self.guard.clean_rewards(rewards_per_func)

    def _transform_advantages(self, advantages: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Called by TRL, where it has this hook, with the gathered advantages: before it logs and slices them."""
        host = super()._transform_advantages(advantages, *args, **kwargs)
        if self._guard_seen[0] is None:
            return host
        self._guard_judged = self._judge_batch(host)
        return self._guard_judged.advantages_B

    def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
        output, judged = self._generate_guarded(inputs)
        return output if judged is None or self._live is None else self._replace_silent(output, judged, inputs)

    def _generate_guarded(self, inputs: list) -> tuple[dict[str, Any], Judged | None]:
        """A batch as the trainer makes it, with the advantages that the guard leaves; None in evaluation."""
        self._guard_judged = None
        output = super()._generate_and_score_completions(inputs)
        evidence, rewards_per_func = self._guard_seen
        if evidence is None:  # evaluation: no gradient, but the completions table wants a cell in every row
            count = len(rewards_per_func)
            self._log_columns([float("nan")] * count, [""] * count)
            return output, None
        judged = self._guard_judged or self._judge_batch(self.accelerator.gather(output["advantages"]))
        first = self.accelerator.process_index * len(inputs)
        own = slice(first, first + len(inputs))
        output["advantages"] = judged.advantages_B[own]
        if not judged.trained_B.all():
            kept = torch.as_tensor(judged.trained_B[own], device=self.accelerator.device)
            output["completion_mask"] = output["completion_mask"] * kept[:, None]
            loss_mask = output["completion_mask"] * output.get("tool_mask", 1)
            output["num_items_in_batch"] = self.accelerator.gather(loss_mask.sum()).sum()
        self._log_columns(judged.weights_B.tolist(), judged.kinds_B)
        logged = list(self._logs["advantages"])[: -len(evidence)]
        self._logs["advantages"].clear()
        self._logs["advantages"].extend([*logged, *(judged.advantages_B * judged.step_scale).tolist()])  # what acts
        return output, judged

    def _log_columns(self, weights: list[float], kinds: list[str]) -> None:
        self._logs["extra"]["rlguard_weight"].extend(weights)
        self._logs["extra"]["rlguard_findings"].extend(kinds)

    def _judge_batch(self, host_B: torch.Tensor) -> Judged:
        evidence, rewards_per_func = self._guard_seen
        scale = None  # read off
        if self.multi_objective_aggregation == "normalize_then_sum":
            scale = gdpo_scale(rewards_per_func, self.reward_weights, self._guard_outcome, self.num_generations)
        groups = np.arange(len(host_B)) // self.num_generations
        return self._judge(evidence, host_B, rewards_per_func, groups, scale_B=scale)


class GuardedGRPOTrainer(GuardMixin, GRPOTrainer):
    """TRL's GRPOTrainer with the guard in it; a drop-in replacement."""
