"""One short training of a copy of a model with TRL, on one domain."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.order.transfer import write_json
from rlguard.tables.files import replacing
from rlguard.types import InputError, Problem, Verifier, prompt_text
from rlguard.verify.verifiers import score_safely

ENDS = 5
"""A fifth of the steps at each end is compared for the change of entropy."""


@dataclass(frozen=True)
class ProbeSettings:
    """How the model is trained and asked. Train for the order as you are going to train."""

    steps: int = 30
    """Optimiser steps of a training."""
    trainings: int = 1
    """On each domain, with one seed after the other. From two on, intervals include chance between trainings."""
    prompts: int = 8
    """Prompts a step."""
    group_size: int = 8
    """Rollouts a prompt in training."""
    n: int = 4
    """Rollouts a held-out question."""
    max_tokens: int = 512
    """Longest completion."""
    temperature: float = 1.0
    """Of all sampling."""
    learning_rate: float | None = None
    """Constant; None takes TRL's default."""
    seed: int = 0
    """Of the trainings and the sampling."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Further options of TRL's `GRPOConfig`, over those set here."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("trainings", 1), ("prompts", 1), ("group_size", 2), ("n", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)!r}")


def train(
    model: str,
    problems: Sequence[Problem],
    folder: Path,
    settings: ProbeSettings,
    seed: int,
    verifier: Verifier,
    on_step: Callable[[int], None],
) -> None:
    """Trains with the guarded GRPOTrainer; writes `folder/model`, with `entropy.json` in it, whole or not at all.

    Args:
        model: Folder or hub name.
        problems: What to train on.
        folder: Where.
        settings: How.
        seed: Of the training.
        verifier: The reward.
        on_step: Called with the number of steps done.

    Raises:
        InputError: If TRL is not installed, or does not take the settings.
    """
    try:
        import torch
        from datasets import Dataset
        from transformers import PrinterCallback

        from rlguard.integrations.trl import GuardedGRPOTrainer
    except ImportError as error:
        raise InputError(
            f"a probe trains with TRL, which is not installed: pip install 'rlguard[trl]' ({error})"
        ) from error
    rows = [{"prompt": p.prompt, "answer": str(p.answer), "number": number} for number, p in enumerate(problems)]
    trainer = GuardedGRPOTrainer(
        model=model,
        args=_make_config(folder / "trl", settings, seed, torch.cuda.is_available()),
        reward_funcs=make_reward(problems, verifier),
        train_dataset=Dataset.from_list(rows),
        callbacks=[_make_callback(on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    entropies = [row["entropy"] for row in trainer.state.log_history if "entropy" in row]
    with replacing(folder / "model") as partial:
        trainer.save_model(str(partial))
        write_json({"entropy_change": compare_ends(entropies)}, partial / "entropy.json")
    del trainer
    gc.collect()
    torch.cuda.empty_cache()
    shutil.rmtree(folder / "trl", ignore_errors=True)


def make_reward(problems: Sequence[Problem], verifier: Verifier) -> Callable[..., list[float | None]]:
    """A reward function for TRL: what the verifier says; None, which TRL leaves out, where it could not judge.

    Args:
        problems: The data set's column `number` is a place among them.
        verifier: Any.
    """

    def correctness(completions: Sequence[Any], number: Sequence[int], **_: Any) -> list[float | None]:
        pairs = zip(completions, number, strict=True)
        scores = [score_safely(verifier, prompt_text(text), problems[place]) for text, place in pairs]
        return [None if np.isnan(score) else score for score in scores]

    return correctness


def compare_ends(values: Sequence[float]) -> float | None:
    """The mean of the last fifth of the values less that of the first; None without values.

    >>> compare_ends([1.0, 0.9, 0.8, 0.7, 0.5])
    -0.5
    """
    if not values:
        return None
    window = max(1, len(values) // ENDS)
    return float(np.mean(values[-window:]) - np.mean(values[:window]))


def _make_config(folder: Path, settings: ProbeSettings, seed: int, has_gpu: bool) -> Any:
    from trl import GRPOConfig

    options: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "max_steps": settings.steps,
        "num_generations": settings.group_size,
        "per_device_train_batch_size": settings.prompts * settings.group_size,
        "gradient_accumulation_steps": 1,
        "max_completion_length": settings.max_tokens,
        "temperature": settings.temperature,
        "lr_scheduler_type": "constant",
        "bf16": has_gpu,
        "use_cpu": not has_gpu,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    if settings.learning_rate is not None:
        options["learning_rate"] = settings.learning_rate
    try:
        return GRPOConfig(**options | dict(settings.trainer))
    except (TypeError, ValueError) as error:
        raise InputError(f"TRL does not take these settings: {error}") from error


def _make_callback(on_step: Callable[[int], None]) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            on_step(state.global_step)

    return Steps()
