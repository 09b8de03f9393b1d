"""TRL: change one import and the run is guarded.

    from rlguard.integrations.trl import GuardedGRPOTrainer as GRPOTrainer

`GuardMixin` does the same for a trainer class of your own; put it in front: `class Mine(GuardMixin, MyGRPOTrainer)`.

It wraps two methods of TRL 1.16 through `super()` and copies none: `_calculate_rewards`, which returns the gathered
rewards, and `_generate_and_score_completions`, whose advantages it rewrites before TRL shuffles the batch.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import STATE_FILE, check_seam, find_reward
from rlguard.types import is_same_model

try:
    import torch
    import trl
    from accelerate.utils import gather_object
    from transformers import TrainerCallback
    from trl import GRPOTrainer
except ImportError as error:
    raise ImportError(f"rlguard.integrations.trl needs TRL: pip install 'rlguard[trl]' ({error})") from error

logger = logging.getLogger(__name__)

WRAPPED = {
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
}


ADVICE = f"This is TRL {trl.__version__}; install one that rlguard knows: pip install 'trl>=1.16,<1.17'"


def check_signatures(trainer_class: type) -> None:
    """Raises RuntimeError when the trainer's private methods are not those that this adapter was written for."""
    for name, expected in WRAPPED.items():
        check_seam(f"{trainer_class.__name__}.{name}", getattr(trainer_class, name, None), expected, ADVICE)


class StepScaler(TrainerCallback):
    """Multiplies the learning rate of one optimiser step by what the guard left of the batches that feed it.

    A generated batch may feed several steps, and a step may take micro-batches of several: the step's scale is the root
    mean square over its micro-batches.
    """

    def __init__(self) -> None:
        self._scale = 1.0  # of the batch generated last, from which the micro-batch at hand comes
        self._fed: list[float] = []
        self._rates: list[float] = []

    def add_batch(self, scale: float) -> None:
        """Notes the scale of a batch that was just generated."""
        self._scale = scale

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        self._fed.append(self._scale)

    def take_scale(self) -> float:
        """The scale of the step that is about to be made; what has fed it is forgotten."""
        fed = [*self._fed, self._scale]
        self._fed = []
        return math.sqrt(sum(scale**2 for scale in fed) / len(fed))

    def on_pre_optimizer_step(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
        scale = self.take_scale()
        self._rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * scale

    def on_optimizer_step(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate


class GuardMixin:
    """Puts the guard into a GRPO trainer. Takes one more argument, `guard`, and is otherwise the trainer."""

    # What the trainer in front of which it stands has.
    accelerator: Any
    args: Any
    model: Any
    multi_objective_aggregation: str
    num_generations: Any
    reward_func_names: list[str]
    reward_weights: torch.Tensor
    state: Any
    train_dataset: Any
    add_callback: Any
    _get_output_dir: Any
    _logs: Any
    _metrics: Any
    _guard_seen: tuple[list | None, torch.Tensor]

    def __init__(self, *args: Any, guard: GuardConfig | None = None, **kwargs: Any) -> None:
        """
        Args:
            *args: As for the trainer.
            guard: Settings of the guard; None takes the defaults.
            **kwargs: As for the trainer.

        Raises:
            RuntimeError: If the installed TRL is not one whose methods rlguard knows.
            ValueError: If `guard.outcome_reward` names no reward function of the trainer.
        """
        check_signatures(GRPOTrainer)
        super().__init__(*args, **kwargs)
        self.guard = Guard(guard)
        self._guard_steps = StepScaler()
        self.add_callback(self._guard_steps)
        self._guard_outcome = find_reward(self.reward_func_names, self.guard.config.outcome_reward)
        warn_of_other_model(self.train_dataset, self.model)

    def _calculate_rewards(self, inputs: list, prompts: list, completions: list, completion_ids_list: list) -> Any:
        training = self.model.training
        read = self.guard.reader.begin(prompts, completions, inputs) if training else None
        rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)  # type: ignore[misc]
        self._guard_seen = gather_object(read()) if read else None, rewards_per_func
        if self.guard.config.mode == "observe":
            return rewards_per_func
        # TRL leaves NaN out of its baseline, while one infinite reward would turn the advantages of all into NaN.
        return torch.where(torch.isinf(rewards_per_func), torch.nan, rewards_per_func)

    def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        evidence, rewards_per_func = self._guard_seen
        if evidence is None:  # evaluation: no gradient, but the completions table wants a cell in every row
            count = len(rewards_per_func)
            self._log_columns([float("nan")] * count, [""] * count)
            return output
        host = self.accelerator.gather(output["advantages"])
        judged = self.guard.judge(evidence, host, *self._read_rewards(rewards_per_func))
        self._guard_steps.add_batch(judged.step_scale)
        for name, value in judged.metrics.items():  # from the gathered batch: the same on every rank
            self._metrics["train"][name].append(value)
        self._log_columns(judged.weights_B.tolist(), judged.kinds_B)
        own = slice(self.accelerator.process_index * len(inputs), (self.accelerator.process_index + 1) * len(inputs))
        if self.guard.config.mode == "rewrite":
            output["advantages"] = judged.step_advantages_B[own]
            logged = list(self._logs["advantages"])[: -len(host)]
            self._logs["advantages"].clear()
            self._logs["advantages"].extend([*logged, *judged.advantages_B.tolist()])
        elif self.guard.config.mode == "drop":
            self._mask(output, judged.kept_B[own])
        return output

    def _mask(self, output: dict[str, Any], kept: np.ndarray) -> None:
        """Takes rollouts out of the loss, its token count and the KL term, as TRL does with truncated completions."""
        mask = torch.as_tensor(kept, device=output["completion_mask"].device).unsqueeze(1)
        for name in ("completion_mask", "tool_mask"):
            if name in output:
                output[name] = output[name] * mask.to(output[name].dtype)
        counted = output["completion_mask"] * output.get("tool_mask", 1)
        output["num_items_in_batch"] = self.accelerator.gather(counted.sum()).sum()

    def _log_columns(self, weights: list[float], kinds: list[str]) -> None:
        self._logs["extra"]["rlguard_weight"].extend(weights)
        self._logs["extra"]["rlguard_findings"].extend(kinds)

    def _read_rewards(self, rewards_per_func: torch.Tensor) -> tuple[Any, ...]:
        """The outcome's rewards, outcomes, group ids, its divisor (None: read it off), all rewards; each (B,)."""
        per_func = rewards_per_func.double().cpu().numpy()
        weights = self.reward_weights.double().cpu().numpy()
        raw = per_func[:, self._guard_outcome]
        outcome_rewards = raw * weights[self._guard_outcome]
        outcomes = self.guard.read_outcomes(raw)
        group_ids = np.arange(len(raw)) // self.num_generations
        scale = None
        if self.multi_objective_aggregation == "normalize_then_sum":
            seen = np.where(np.isinf(per_func), np.nan, per_func)
            scale = _gdpo_scale(seen, weights, self._guard_outcome, self.num_generations)
        return outcome_rewards, outcomes, group_ids, scale, np.nansum(per_func * weights, axis=1)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            self.guard.save(folder / STATE_FILE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None:
            self.guard.load(Path(checkpoint) / STATE_FILE)


class GuardedGRPOTrainer(GuardMixin, GRPOTrainer):
    """TRL's GRPOTrainer with the guard in it; a drop-in replacement."""


def warn_of_other_model(dataset: Any, model: Any) -> None:
    """Says so when the data set's pass rates are those of another model than the one that is trained."""
    trained = getattr(model.config, "_name_or_path", "")
    if not trained or "rlguard_model" not in (getattr(dataset, "column_names", None) or ()):
        return
    rated = next((row["rlguard_model"] for row in dataset if row["rlguard_model"]), None)
    if rated and not is_same_model(rated, trained):
        logger.warning(
            "the data set's pass rates (rlguard_*) are those of %r, and a rate does not carry over to %r: "
            "estimate them anew, or drop those columns", rated, trained,
        )  # fmt: skip


def _gdpo_scale(rewards_per_func: np.ndarray, weights: np.ndarray, outcome: int, num_generations: int) -> np.ndarray:
    """TRL's divisor of the outcome's reward under `normalize_then_sum`: per-function group std, then batch std."""
    grouped = rewards_per_func.reshape(-1, num_generations, rewards_per_func.shape[1])
    with np.errstate(invalid="ignore"):
        std = np.nanstd(grouped, axis=1, keepdims=True, ddof=1)
        normalised = ((grouped - np.nanmean(grouped, axis=1, keepdims=True)) / (std + 1e-4)).reshape(
            rewards_per_func.shape
        )
    total = np.where(np.isnan(rewards_per_func).all(axis=1), np.nan, np.nansum(normalised * weights, axis=1))
    batch_std = np.nanstd(total, ddof=1) + 1e-4
    return np.repeat(std[:, 0, outcome] + 1e-4, num_generations) * batch_std
