"""What the guard costs on a GPU step of long completions: milliseconds with and without it, and its detectors' time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from datasets import Dataset
from tiny_reasoner.training import grpo_config
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from benchmarks.gpu.models import ROOT
from benchmarks.gpu.problems import make_problems, reward_correct
from benchmarks.gpu.runs import LEARNING_RATES, Run
from benchmarks.gpu.train import Context, load_model
from rlguard import detect_shortcuts
from rlguard.integrations.trl import GuardMixin


class Watch:
    """Seconds spent in a trainer's methods, summed since the last step began."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def time(self, part: str, base: type, names: tuple[str, ...]) -> type:
        """A subclass whose methods of these names are timed."""

        def wrap(name: str) -> Any:
            def timed(trainer: Any, *args: Any) -> Any:
                start = self._now()
                result = getattr(super(made, trainer), name)(*args)
                self.spent[part] = self.spent.get(part, 0.0) + self._now() - start
                return result

            return timed

        made = type(f"Timed{base.__name__}", (base,), {name: wrap(name) for name in names})
        return made

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def measure_cost(run: Run, context: Context) -> dict[str, Any]:
    """Times steps of equal length: no completion may end early. The first step warms up."""
    start, size, watch = time.time(), context.size, Watch()
    wrapped = ("_calculate_rewards", "_generate_and_score_completions")
    trainer_class = watch.time("host", watch.time("generation", GRPOTrainer, ("_generate",)), wrapped)
    if run.arm == "rlguard":
        trainer_class = watch.time("guarded", type("Guarded", (GuardMixin, trainer_class), {}), wrapped)
    table: list[dict[str, float]] = []
    seen: dict[str, Any] = {}

    class Steps(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            watch.spent, self._start = {}, watch._now()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            table.append({"step": watch._now() - self._start} | watch.spent)
            print(f"step {state.global_step}/{run.steps}", flush=True)

    def reward(prompts: Any, completions: Any, answer: Any, **_: Any) -> list[float]:
        seen.update(completions=completions, prompts=prompts, answers=answer)
        return reward_correct(completions, answer)

    tokenizer, model = load_model(run.family)
    settings = {
        "max_steps": run.steps, "logging_steps": 1, "learning_rate": LEARNING_RATES[run.family],
        "use_cpu": not torch.cuda.is_available(), "per_device_train_batch_size": size.cost_micro,
        "gradient_accumulation_steps": size.cost_completions // size.cost_micro, "num_generations": size.rollouts,
        "max_completion_length": size.cost_tokens, "generation_kwargs": {"min_new_tokens": size.cost_tokens},
    }  # fmt: skip
    trainer = trainer_class(
        model=model,
        args=grpo_config(str(context.scratch), run.seed, **settings),
        processing_class=tokenizer,
        reward_funcs=reward,
        train_dataset=Dataset.from_list(make_problems("unlearnable", size.problems, 1, family=run.family)),
        callbacks=[Steps()],
    )
    trainer.remove_callback(PrinterCallback)
    ready = time.time() - start
    trainer.train()
    began = time.perf_counter()
    detect_shortcuts(seen["completions"], seen["prompts"], seen["answers"])
    detectors = time.perf_counter() - began
    measured = table[1:] or table
    added = [row["guarded"] - row["host"] for row in measured if "guarded" in row]
    return {
        "completions": size.cost_completions,
        "tokens": size.cost_tokens,
        "step_ms": [1e3 * row["step"] for row in measured],
        "generation_ms": [1e3 * row["generation"] for row in measured],
        "guard_ms": [1e3 * value for value in added],
        "detectors_ms": 1e3 * detectors,
        "characters": sum(len(_text(said)) for said in seen["completions"]) / len(seen["completions"]),
        "start_s": ready, "step_s": statistics.median(row["step"] for row in measured),
        "evaluate_s": 0.0, "evaluations": 0,
    }  # fmt: skip


def _text(said: Any) -> str:
    return said if isinstance(said, str) else said[-1]["content"]


def run_vllm(run: Run, context: Context) -> dict[str, Any]:
    """The recipe as a user starts it; what it printed."""
    start = time.time()
    recipe = [sys.executable, str(ROOT / "recipes" / "train_guarded_vllm.py"), "--out", str(context.scratch)]
    done = subprocess.run([*recipe, "--steps", str(run.steps)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the recipe ended with {done.returncode}:\n{done.stderr[-4000:]}")
    seconds = time.time() - start
    return {
        "said": done.stdout[-4000:],
        "start_s": 0.0,
        "step_s": seconds / run.steps,
        "evaluate_s": 0.0,
        "evaluations": 0,
    }
