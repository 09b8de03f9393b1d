"""What the guard costs: of a TRL step on the tiny model, and on a batch of 4,096 long completions.

    python benchmarks/throughput/guard.py --out out/guard.json          # about 4 minutes; leave the machine alone

The tiny model's CPU run is the worst case: the model is smaller than any user's. There the time that the adapter adds
around TRL's own methods is compared with the time of the steps, in one run. The batch of 4,096 completions of 2,000
characters is timed without a trainer: judging it, and reading it here and in other processes while this one sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))


def time_steps(steps: int, seed: int) -> dict[str, float]:
    """Trains the tiny model with the guard: seconds of a step, and what of them the adapter added."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from tiny_reasoner.tasks import make_problems
    from tiny_reasoner.training import correctness_reward, grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    from rlguard.integrations.trl import GuardMixin

    disable_progress_bars()
    torch.set_num_threads(1)
    spent = {"guarded": 0.0, "host": 0.0}  # in the two wrapped methods, with the adapter and beneath it
    table: list[tuple[float, float]] = []

    def make_timed(part: str, base: type, *bases: type) -> type:
        class Timed(base, *bases):  # type: ignore[valid-type,misc]
            def _calculate_rewards(self, *args: Any) -> Any:
                start = time.perf_counter()
                result = super()._calculate_rewards(*args)
                spent[part] += time.perf_counter() - start
                return result

            def _generate_and_score_completions(self, inputs: Any) -> Any:
                start = time.perf_counter()
                result = super()._generate_and_score_completions(inputs)
                spent[part] += time.perf_counter() - start
                return result

        return Timed

    trainer_class = make_timed("guarded", GuardMixin, make_timed("host", GRPOTrainer))

    class Steps(TrainerCallback):
        def on_step_begin(self, *args: Any, **_: Any) -> None:
            self.start = time.perf_counter()
            spent.update(guarded=0.0, host=0.0)

        def on_step_end(self, *args: Any, **_: Any) -> None:
            table.append((time.perf_counter() - self.start, spent["guarded"] - spent["host"]))

    model = Path(__file__).parents[2] / "recipes" / "tiny_reasoner" / "model"
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_class(
            model=AutoModelForCausalLM.from_pretrained(model),
            args=grpo_config(folder, seed, max_steps=steps, logging_steps=1),
            processing_class=AutoTokenizer.from_pretrained(model),
            reward_funcs=correctness_reward,
            train_dataset=Dataset.from_list(make_problems({"unlearnable": 16, "long": 15, "mix": 1}, 512, seed)),
            callbacks=[Steps()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    whole, added = np.array(table[2:]).T  # the first steps load and compile
    share = added / whole
    return {
        "seed": seed,
        "step_s": float(np.median(whole)),
        "guard_s": float(np.median(added)),
        "share": float(added.sum() / whole.sum()),
        "share_90th": float(np.quantile(share, 0.9)),
    }


def write_completion(rng: random.Random, characters: int, total: int) -> str:
    """A long sum, step by step, that ends in `total`."""
    start, parts, length = rng.randint(1, 99), [], 0
    while length < characters:
        term = rng.randint(1, 99)
        parts.append(
            f"Now we add the next number: {start} + {term} = {start + term}, so we have {start + term} so far. "
        )
        start, length = start + term, length + len(parts[-1])
    return "".join(parts) + f"The answer is \\boxed{{{total}}}."


def time_batch(rollouts: int = 4096, characters: int = 2000, repeats: int = 24) -> list[dict[str, Any]]:
    """Milliseconds to judge a batch of groups of 8, and to read it with several numbers of processes."""
    from rlguard.guard import Guard, GuardConfig

    rng, noise = random.Random(0), np.random.default_rng(0)
    golds = np.repeat(noise.integers(1000, size=rollouts // 8), 8)
    correct = noise.random(rollouts) < np.repeat(noise.random(rollouts // 8), 8)
    answers = np.where(correct, golds, golds + noise.integers(1, 1000, rollouts))
    outcomes = correct.astype(float)
    texts = [write_completion(rng, characters, int(answer)) for answer in answers]
    prompts = [f"What is the sum of the numbers of list {n // 8}?" for n in range(rollouts)]
    rows = [{"answer": str(gold), "rlguard_id": f"prompt {n // 8}"} for n, gold in enumerate(golds)]
    advantages, groups = noise.normal(size=rollouts), np.arange(rollouts) // 8
    found = []
    for workers in (0, 1, 2):
        reader = Guard(GuardConfig(workers=workers)).reader
        reader.read(prompts[:64], texts[:64], rows[:64])  # processes start
        start = time.perf_counter()
        collect = reader.begin(prompts, texts, rows)
        begun = time.perf_counter()
        evidence = collect()
        found.append(
            {
                "what": "read",
                "workers": workers,
                "begin_ms": (begun - start) * 1e3,
                "all_ms": (time.perf_counter() - start) * 1e3,
            }
        )
    guard, took, busy = Guard(), [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        guard.judge(evidence, advantages, outcomes, outcomes, groups)
        took.append((time.perf_counter() - start) * 1e3)
        busy.append((time.process_time() - cpu) * 1e3)
    found.append(
        {"what": "judge", "median_ms": float(np.median(took)), "max_ms": max(took), "cpu_ms": float(np.median(busy))}
    )
    return found


def measure_memory(prompts: int = 250_000) -> dict[str, Any]:
    """Growth of this process while a guard comes to remember as many prompts as it may, and the size of its state."""
    from rlguard.guard import Guard
    from rlguard.luck.evidence import Evidence

    guard, batch = Guard(), 5000
    before = read_memory_mb()
    for start in range(0, 2 * prompts, batch):  # twice as many as it may
        evidence = [Evidence(f"{number:016x}", chance_rate=0.1) for number in range(start, start + batch)]
        guard.luck.observe(evidence, np.arange(batch) % 2.0, np.arange(batch))
    grown = read_memory_mb() - before
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        guard.save(Path(folder) / "state.json")
        seconds = time.perf_counter() - began
        size = (Path(folder) / "state.json").stat().st_size / 2**20
    return {"what": "memory", "prompts": len(guard.luck), "grown_mb": grown, "state_mb": size, "save_s": seconds}


def read_memory_mb() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/guard.json"), help="default %(default)s")
    parser.add_argument("--steps", type=int, default=40, help="training steps per seed (default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for row in [measure_memory(), *time_batch()]:
        rows.append(row)
        print(json.dumps(row), flush=True)
    for seed in arguments.seeds:
        rows.append({"what": "TRL step"} | time_steps(arguments.steps, seed))
        print(json.dumps(rows[-1]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
