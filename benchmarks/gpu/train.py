"""One run in a process of its own: trains or samples, measures, and gives back what its row says."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # runs lie beside each other
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

import torch  # noqa: E402
from datasets import Dataset, disable_progress_bars  # noqa: E402
from tiny_reasoner.training import grpo_config  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from benchmarks.gpu.models import find_model  # noqa: E402
from benchmarks.gpu.problems import (  # noqa: E402
    Problem,
    generate,
    list_held_out,
    list_rewards,
    measure,
    mix_problems,
    reward_correct,
    sample_gsm8k,
)
from benchmarks.gpu.runs import FACTORS, LEARNING_RATES, Run, Size, list_needs  # noqa: E402
from rlguard.integrations.trl import GuardedGRPOTrainer  # noqa: E402

GIB = 2**30
CONTEXT_GB = 0.8
"""GiB that CUDA takes for a process beside what torch allocates."""


@dataclass(frozen=True)
class Context:
    """What a run is given beside its settings."""

    size: Size
    needs: dict[str, dict[str, Any]]
    """The rows it reads, by name."""
    scratch: Path


def limit_memory(gb: float) -> None:
    """This process gets no more than so many GiB: of the card, or of addresses on a CPU."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory / GIB
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(gb - CONTEXT_GB, 0.1) / total))
    else:
        resource.setrlimit(resource.RLIMIT_AS, (int(gb * GIB),) * 2)


def read_peak_gb() -> float:
    """The most this process has taken, in GiB, of what `limit_memory` limits."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() / GIB + CONTEXT_GB
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmPeak:")[1].split()[0]) / 2**20


def load_model(family: str) -> tuple[Any, Any]:
    """The tokenizer, which pads on the left, and the model in float32, on the GPU where there is one."""
    folder = find_model(family)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu")


class Recorder(TrainerCallback):
    """Measures at the start, every few steps and at the end; keeps the means of TRL's figures between, and times."""

    def __init__(self, tokenizer: Any, run: Run, size: Size) -> None:
        self.rows: list[dict[str, Any]] = []
        self.scales: list[float] = []
        """The guard's step scale, of every step."""
        self.step_s: list[float] = []
        self.evaluate_s: list[float] = []
        self._problems = list_held_out(run, size)
        self._tokenizer, self._run, self._size = tokenizer, run, size
        self._logged: dict[str, list[float]] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.add(0, model)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._start = time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.step_s.append(time.time() - self._start)
        print(f"step {state.global_step}/{self._run.steps}", flush=True)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        for name, value in logs.items():
            if isinstance(value, int | float):
                self._logged.setdefault(name, []).append(float(value))
        self.scales += [logs["rlguard/step_scale"]] if "rlguard/step_scale" in logs else []
        if state.global_step % self._size.evaluate_every == 0 or state.global_step == self._run.steps:
            self.add(state.global_step, model)

    def add(self, step: int, model: Any) -> None:
        """Measures and adds a point of the curve."""
        start, row = time.time(), {"step": step}
        for kind, problems in self._problems.items():
            found = measure(model, self._tokenizer, problems, self._run, self._size)
            row |= {f"{kind}_{name}": value for name, value in found.items()}  # type: ignore[misc]
        means = {name: sum(values) / len(values) for name, values in self._logged.items()}
        self.rows.append(row | means)
        self._logged.clear()
        self.evaluate_s.append(time.time() - start)


def find_factor(run: Run, needs: dict[str, dict[str, Any]]) -> float:
    """What the learning rate is multiplied by; for the control, the mean step scale of the same seed's guarded run."""
    if run.arm != "grpo_mean_rate":
        return FACTORS[run.arm]
    scales = needs[list_needs(run)[0]]["scales"]
    if not scales:
        raise ValueError(f"{run.name}: the guarded run's row has no step scales")
    return sum(scales) / len(scales)


def train(run: Run, context: Context) -> dict[str, Any]:
    """Trains by one arm; the curve, the guard's trace and the times."""
    start, size = time.time(), context.size
    passes = context.needs[f"rates-{run.family}"]["passes"] if run.task == "gsm8k" else None
    problems = mix_problems(run, size, passes)
    tokenizer, model = load_model(run.family)
    recorder, factor = Recorder(tokenizer, run, size), find_factor(run, context.needs)
    rewards, weights = list_rewards(run, size)
    rate = LEARNING_RATES[run.family] * factor
    trainer = (GuardedGRPOTrainer if run.arm == "rlguard" else GRPOTrainer)(
        model=model,
        args=grpo_config(
            str(context.scratch), run.seed, max_steps=run.steps, logging_steps=1, learning_rate=rate,
            use_cpu=not torch.cuda.is_available(), per_device_train_batch_size=size.prompts * size.rollouts,
            num_generations=size.rollouts, max_completion_length=size.tokens(run), reward_weights=weights,
        ),
        processing_class=tokenizer,
        reward_funcs=rewards,
        train_dataset=Dataset.from_list(problems),
        callbacks=[recorder],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    ready = time.time() - start
    trainer.train()
    return {
        "curve": recorder.rows,
        "scales": recorder.scales,
        "learning_rate": rate,
        "rate_factor": factor,
        "near_impossible": sum(row["kind"] == "unlearnable" for row in problems) / len(problems),
        "problems": len(problems),
        "start_s": ready,
        "step_s": statistics.median(recorder.step_s[1:] or recorder.step_s),  # the first one warms up
        "evaluate_s": statistics.median(recorder.evaluate_s),
        "evaluations": len(recorder.rows),
    }


def measure_rates(run: Run, context: Context) -> dict[str, Any]:
    """How often the base model solves each of some GSM8K problems; a step is a batch of rollouts."""
    start, size = time.time(), context.size
    tokenizer, model = load_model(run.family)
    problems = sample_gsm8k(size, run.family)
    asked: list[tuple[str, Problem]] = [item for item in problems.items() for _ in range(size.rate_samples)]
    passes, step_s, ready = dict.fromkeys(problems, 0), [], time.time() - start
    for step in range(run.steps):
        start, batch = time.time(), asked[step * size.rate_batch : (step + 1) * size.rate_batch]
        rows = [row for _, row in batch]
        texts, _ = generate(model, tokenizer, rows, size.long, seed=step)
        for (number, _), passed in zip(batch, reward_correct(texts, [row["answer"] for row in rows]), strict=True):
            passes[number] += int(passed)
        step_s.append(time.time() - start)
        print(f"step {step + 1}/{run.steps}", flush=True)
    times = {"start_s": ready, "step_s": statistics.median(step_s[1:] or step_s), "evaluate_s": 0.0, "evaluations": 0}
    return {"passes": passes, "rollouts": size.rate_samples} | times


def prepare() -> None:
    """What every run sets in its process."""
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    disable_progress_bars()
