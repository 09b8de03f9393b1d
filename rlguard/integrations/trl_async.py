"""TRL's asynchronous GRPO: change one import and the run is guarded.

    from rlguard.integrations.trl_async import GuardedAsyncGRPOTrainer as AsyncGRPOTrainer

TRL generates and scores in a separate process and queues the training rows one by one. So the guard lives in that
process and wraps `_AsyncRolloutLoop._score_group`, the only place that sees a whole group: texts, data row, advantages.
Figures to log travel in each row's `metrics`, which TRL averages over the rows that it trains on. A step mixes rows of
many groups, so two of these figures are the squares of a row's advantage before and after the guard; the learning rate
of a step shrinks by their ratio over its rows. The guard writes its state to a file that checkpoints copy. Like TRL's
own position in the data, it may be a few groups ahead of the rows trained on.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import STATE_FILE, Anything, check_overrides, check_seam, find_reward, needing
from rlguard.tables.files import replace_file
from rlguard.types import InputError

KNOWN = "pip install 'trl>=1.10,<1.17' aiohttp"
with needing("TRL's asynchronous GRPO", f": {KNOWN}"):
    import torch
    import trl
    from trl.experimental.async_grpo import AsyncGRPOTrainer
    from trl.experimental.async_grpo.async_grpo_trainer import DataCollatorForRollout
    from trl.experimental.async_grpo.async_rollout_worker import (
        AsyncRolloutWorker,
        RolloutGroup,
        RolloutSample,
        TrainingSequence,
        _AsyncRolloutLoop,
    )

    from rlguard.integrations.hf_trainer import StepScaler, warn_of_other_model

logger = logging.getLogger(__name__)

ADVICE = f"This is TRL {trl.__version__}; install one that rlguard knows: {KNOWN}"

READ = {
    RolloutGroup: {"prompts", "completions", "completions_sequences", "reward_kwargs", "group_id"},
    RolloutSample: {"input_ids", "completion_mask", "advantage", "metrics"},
}
HOST_SQUARE, KEPT_SQUARE = "rlguard/host_square", "rlguard/kept_square"
SQUARES = "rlguard_squares"
NO_ROWS = [TrainingSequence([], [], [], "")]


def check_signatures() -> None:
    """Raises RuntimeError if the installed TRL is not built like the one that this adapter was written for."""
    check_overrides(_AsyncRolloutLoop, ADVICE, GuardLoopMixin)
    check_overrides(AsyncGRPOTrainer, ADVICE, GuardAsyncMixin)
    check_seam("DataCollatorForRollout.torch_call", DataCollatorForRollout.torch_call, "self examples", ADVICE)
    known = {record: {field.name for field in fields(record)} for record in READ}
    faults = [f"{r.__name__}.{name} is missing" for r, names in READ.items() for name in sorted(names - known[r])]
    if getattr(AsyncRolloutWorker, "_loop_cls", None) is not _AsyncRolloutLoop:
        faults.append("AsyncRolloutWorker does not start its `_loop_cls`")
    if faults:
        raise RuntimeError(f"rlguard does not know this TRL: {'; '.join(faults)}. {ADVICE}")


class GuardLoopMixin(Anything):
    """Puts the guard into a rollout loop, where groups are scored; stands in front of the loop's class."""

    def __init__(self, *, guard: GuardConfig | None = None, guard_state: Path | None = None, **kwargs: Any) -> None:
        """
        Args:
            guard: Settings of the guard; None takes the defaults.
            guard_state: File of the guard's state: read if it exists, and rewritten as the guard learns.
            **kwargs: As for the loop.

        Raises:
            ValueError: If `guard.outcome_reward` names no reward of the loop.
        """
        super().__init__(**kwargs)
        self.guard = Guard(guard, state_file=guard_state)
        names = self.reward_func_names
        self._guard_outcome = "rewards/" + names[find_reward(names, self.guard.config.outcome_reward)]
        self._guard_failed = False

    async def _score_group(self, group: RolloutGroup) -> list[RolloutSample]:
        # A rollout without a training row gives no sample, but it counts in the baseline: lend it an empty row.
        rows_of = [rows or NO_ROWS for rows in group.completions_sequences]
        samples = await super()._score_group(replace(group, completions_sequences=rows_of))
        try:
            await asyncio.to_thread(self._guard_samples, group, samples, [len(rows) for rows in rows_of])
        except Exception:  # a fault of ours must not end a training run
            if not self._guard_failed:
                logger.exception("rlguard: the guard failed at group %s, which is trained on as it is", group.group_id)
            self._guard_failed = True
        return [sample for sample in samples if len(sample.input_ids)]

    def _guard_samples(self, group: RolloutGroup, samples: list[RolloutSample], rows_of: list[int]) -> None:
        """Judges a group and marks its samples: `rows_of` says how many, one after another, belong to each rollout."""
        heads = [samples[first] for first in np.cumsum([0, *rows_of[:-1]])]
        columns = group.reward_kwargs
        judged = self.guard.apply(
            np.array([head.advantage for head in heads]),
            np.array([head.metrics[self._guard_outcome] for head in heads]),
            prompts_B=group.prompts,
            completions_B=group.completions,
            rows_B=[{name: values[i] for name, values in columns.items()} for i in range(len(heads))],
            group_ids_B=np.zeros(len(heads)),
            total_rewards_B=np.array([head.metrics["reward"] for head in heads]),
        )
        metrics = dict(judged.metrics)
        left = metrics.pop("rlguard/step_scale", 1.0) ** 2  # of the group's squares; a step has a scale of its own
        for sample, rollout in zip(samples, np.repeat(np.arange(len(heads)), rows_of), strict=True):
            square = sample.advantage**2 if math.isfinite(sample.advantage) else 0.0
            sample.completion_mask = sample.completion_mask * int(judged.trained_B[rollout])
            sample.advantage = float(judged.advantages_B[rollout]) * judged.step_scale  # rows scale their own step
            # Where nothing acts, the log still says what would have been left.
            kept = left * square if self.guard.config.mode == "observe" else sample.advantage**2
            told = {"rlguard/weight": float(judged.weights_B[rollout]), HOST_SQUARE: square, KEPT_SQUARE: kept}
            sample.metrics |= metrics | told


def build_loop(loop_class: type, guard: GuardConfig | None, guard_state: Path, **kwargs: Any) -> Any:
    """The guarded loop. Made in the worker's process, because a class made at run time cannot be sent there."""
    guarded = type(f"Guarded{loop_class.__name__}", (GuardLoopMixin, loop_class), {})
    return guarded(guard=guard, guard_state=guard_state, **kwargs)


def guard_worker(worker: Any, guard: GuardConfig | None, guard_state: Path) -> None:
    """Makes a worker that has not started yet start a guarded loop. TypeError if it is not TRL's worker."""
    if not isinstance(worker, AsyncRolloutWorker):
        raise TypeError(
            f"rollout_worker: expected TRL's AsyncRolloutWorker or a subclass, got {type(worker).__name__}. "
            "For a worker of another kind, put GuardLoopMixin in front of the class that scores its groups"
        )
    made: Any = functools.partial(build_loop, worker._loop_cls, guard, guard_state)
    worker._loop_cls = made


class SampleScaler(StepScaler):
    """Scales a step by what is left of the advantages of the rows that feed it, as a root mean square."""

    def __init__(self, acts: bool, metrics: dict[str, list]) -> None:
        super().__init__()
        self.acts, self._metrics = acts, metrics
        self._squares = np.zeros(2)

    def add_rows(self, squares: Any) -> None:
        """Adds a micro-batch: sums of squares of its host and of its rewritten advantages, (2,)."""
        self._squares = self._squares + np.asarray(squares, float)

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        """Rows count, not micro-batches."""

    def take_scale(self) -> float:
        host, kept = self._squares
        scale = min(1.0, math.sqrt(kept / host)) if host > 0 else 1.0
        self._squares = np.zeros(2)
        self._metrics["rlguard/step_scale"].append(scale)
        return scale if self.acts else 1.0


def collate(collator: Any, examples: list[Any]) -> dict[str, Any]:
    """TRL's batch, with the sums of squares for `SampleScaler` added, the same for each rank."""
    (rows,) = examples
    squares = [
        [sample["metrics"].pop(name, sample["advantage"] ** 2) for name in (HOST_SQUARE, KEPT_SQUARE)]
        for row in rows
        for sample in row.samples
    ]
    return collator(examples) | {SQUARES: torch.tensor(squares).sum(0).repeat(len(rows), 1)}


class GuardAsyncMixin(Anything):
    """Puts the guard into an asynchronous GRPO trainer; stands in front of the trainer's class."""

    def __init__(self, *args: Any, guard: GuardConfig | None = None, **kwargs: Any) -> None:
        """
        Args:
            *args: As for the trainer.
            guard: Settings of the guard; None takes the defaults.
            **kwargs: As for the trainer.

        Raises:
            RuntimeError: If the installed TRL is not one that rlguard knows.
            TypeError: If `rollout_worker` is one whose scoring rlguard does not know.
        """
        check_signatures()
        super().__init__(*args, **kwargs)
        config = guard or GuardConfig()
        self._guard_steps = SampleScaler(config.scale_steps and config.mode == "rewrite", self._metrics["train"])
        self.add_callback(self._guard_steps)
        self._guard_folder = tempfile.TemporaryDirectory(prefix="rlguard_")
        self._guard_state = Path(self._guard_folder.name) / STATE_FILE
        if self.rollout_worker is not None:  # on rank 0
            guard_worker(self.rollout_worker, config, self._guard_state)
        warn_of_other_model(self.train_dataset, self.model)

    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        inner = getattr(loader, "base_dataloader", loader)  # accelerate's dispatcher iterates over the one within
        if not isinstance(inner.collate_fn, DataCollatorForRollout):
            came = type(inner.collate_fn).__name__
            raise RuntimeError(f"rlguard expected TRL to collate with DataCollatorForRollout, got {came}. {ADVICE}")
        inner.collate_fn = functools.partial(collate, inner.collate_fn)
        return loader

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        host, kept = inputs.pop(SQUARES)[0].tolist()
        self._guard_steps.add_rows((host, kept))
        if self._guard_steps.acts and 0 < kept < host:  # at the host's size: the learning rate carries what is gone
            inputs = inputs | {"advantages": inputs["advantages"] * math.sqrt(host / kept)}
        return super().training_step(model, inputs, num_items_in_batch)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.accelerator.is_main_process and self._guard_state.exists():
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            copy_state(self._guard_state, folder / STATE_FILE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.accelerator.is_main_process:  # TRL starts the worker, which reads it, later
            copy_state(Path(checkpoint) / STATE_FILE, self._guard_state)


def copy_state(source: Path, target: Path) -> None:
    """Copies the guard's state; a failure is logged, and training goes on."""
    try:
        replace_file(target, source.read_bytes())
    except (OSError, InputError) as error:
        logger.warning("the guard's state was not copied to %s, it resumes knowing nothing: %s", target, error)


class GuardedAsyncGRPOTrainer(GuardAsyncMixin, AsyncGRPOTrainer):
    """TRL's AsyncGRPOTrainer with the guard in it; a drop-in replacement."""
