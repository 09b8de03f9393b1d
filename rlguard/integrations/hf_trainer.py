"""Shared by the adapters of TRL and ms-swift, whose trainers are built on the `transformers` Trainer."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from rlguard.guard import Guard, GuardConfig, Judged
from rlguard.integrations.seams import STATE_FILE, Anything, find_reward
from rlguard.integrations.trl_sampler import SAMPLER_FILE, LiveSampler
from rlguard.types import is_same_model

logger = logging.getLogger(__name__)


class StepScaler(TrainerCallback):
    """Multiplies an optimiser step's learning rate by the step scale of the batches that feed it.

    A generated batch may feed several steps, and a step may use micro-batches of several generated batches. The step's
    scale is the root mean square over its micro-batches.
    """

    def __init__(self) -> None:
        self._scale = 1.0  # of the batch generated last, from which the micro-batch at hand comes
        self._fed: list[float] = []
        self._rates: list[float] = []

    def add_batch(self, scale: float) -> None:
        """Sets the scale of the batch that was just generated."""
        self._scale = scale

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        self._fed.append(self._scale)

    def take_scale(self) -> float:
        """The scale of the coming step; its micro-batches are then forgotten."""
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


class TrainerGuard(Anything):
    """The guard of a trainer that steps its own optimiser: step scale, metrics, checkpoints."""

    train_dataset: Any = None  # ms-swift's trainer need not have one
    _live: LiveSampler | None = None  # set where prompts are chosen while training

    def _start_guard(self, config: GuardConfig | None, cannot_mask: str = "") -> None:
        """
        Raises:
            ValueError: If `outcome_reward` names no reward function of the trainer, or for `mask_silent` where the
                trainer cannot mask.
        """
        self.guard = Guard(config, cannot_mask=cannot_mask)
        self._guard_outcome = find_reward(self.reward_func_names, self.guard.config.outcome_reward)
        self.guard.outcome_name = f"the reward {self.reward_func_names[self._guard_outcome]!r}"
        self.guard.check_gold_column(getattr(self.train_dataset, "column_names", None) or ())
        self._guard_steps = StepScaler()
        self.add_callback(self._guard_steps)

    def _read_outcome(self, rewards_per_func: Any) -> tuple[Any, Any]:
        """The outcome's rewards as the trainer weighs them, and the outcomes; each (B,)."""
        raw = rewards_per_func[:, self._guard_outcome].double()
        return raw * float(self.reward_weights[self._guard_outcome]), self.guard.read_outcomes(raw)

    def _judge(self, evidence_B: Any, host_B: Any, rewards_per_func: Any, group_ids_B: Any, **columns: Any) -> Judged:
        """Judges a gathered batch, the same on every rank, and hands on its step scale and metrics."""
        total_B = (rewards_per_func.double() * self.reward_weights.to(rewards_per_func.device)).nansum(dim=1)
        outcome = self._read_outcome(rewards_per_func)
        judged = self.guard.judge(evidence_B, host_B, *outcome, group_ids_B, total_rewards_B=total_B, **columns)
        self._guard_steps.add_batch(judged.step_scale)
        self._note_metrics(judged.metrics)
        return judged

    def _note_metrics(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)

    def _save_checkpoint(self, model: Any, trial: Any) -> Any:
        result = super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            self.guard.save(folder / STATE_FILE)
            if self._live is not None:
                self._live.save(folder / SAMPLER_FILE)
        return result

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.guard.load(Path(checkpoint) / STATE_FILE)
            if self._live is not None:
                self._live.load(Path(checkpoint) / SAMPLER_FILE)


def warn_of_other_model(dataset: Any, model: Any) -> None:
    """Warns if the data set's pass rates were measured on another model than the one that is trained."""
    trained = getattr(model.config, "_name_or_path", "")
    if not trained or "rlguard_model" not in (getattr(dataset, "column_names", None) or ()):
        return
    rated = next((str(row["rlguard_model"]) for row in dataset if row["rlguard_model"]), None)
    if rated and not is_same_model(rated, trained):
        logger.warning(
            "the data set's pass rates (rlguard_*) are those of %r, and a rate does not carry over to %r: "
            "estimate them anew, or drop those columns", rated, trained,
        )  # fmt: skip


def gdpo_scale(rewards_per_func: Any, reward_weights: Any, outcome: int, num_generations: int) -> np.ndarray:
    """(B,) TRL's divisor of the outcome's reward under `normalize_then_sum`: its group's std, then the batch's.

    Args:
        rewards_per_func: (B, F) tensor, one column per reward function.
        reward_weights: (F,) tensor.
        outcome: Which function tells correctness.
        num_generations: Rollouts of a group, which stand one after another.
    """
    rewards, weights = (tensor.double().cpu().numpy() for tensor in (rewards_per_func, reward_weights))
    grouped = np.where(np.isinf(rewards), np.nan, rewards).reshape(-1, num_generations, len(weights))
    with np.errstate(invalid="ignore"):
        std = np.nanstd(grouped, axis=1, keepdims=True, ddof=1) + 1e-4
        normalised = (grouped - np.nanmean(grouped, axis=1, keepdims=True)) / std
    total = np.where(np.isnan(grouped).all(axis=2), np.nan, np.nansum(normalised * weights, axis=2))
    return np.repeat(std[:, 0, outcome], num_generations) * (np.nanstd(total, ddof=1) + 1e-4)
