"""GRPO with verl and the guard, from a table of prompts and gold answers.

    python recipes/make_problems.py out/problems.jsonl --count 512        # or what `rlguard filter` kept
    python recipes/train_guarded_verl.py out/problems.jsonl --model Qwen/Qwen2.5-1.5B-Instruct --out out/verl

Needs a GPU, and has not run on one here: what was run is everything before the first rollout, on verl 0.9.1 (the data
set, the reward function, the configuration and the guarded trainer; tests/test_recipes.py). `--dry-run` writes the
data, prints the command and starts nothing. verl logs `rlguard/lucky_share`, `rlguard/weight_mean` and more each step.

The rows are written in verl's layout, with the `rlguard_*` columns of a filtered file in `extra_info`, where the guard
finds them. `algorithm.adv_estimator=rlguard` is the whole difference to an unguarded run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlguard.tables import iter_rows, write_rows
from rlguard.types import Problem
from rlguard.verify import Auto


def to_verl_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `prompt` (text or chat messages) and `answer` as verl wants it."""
    prompt = row["prompt"]
    return {
        "data_source": "rlguard",
        "prompt": [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
        "reward_model": {"style": "rule", "ground_truth": str(row["answer"])},
        "extra_info": {name: value for name, value in row.items() if name.startswith("rlguard_")} | {"split": "train"},
    }


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **_: Any) -> float:
    """verl's reward function: 1.0 where the answer is right by rlguard's verifier, else 0.0."""
    verifier = Auto()
    verifier.prepare()
    return float(verifier.score(solution_str, Problem("", "", ground_truth)) == 1.0)


def make_command(model: str, data: Path, out: Path, steps: int) -> list[str]:
    """The command line of verl's trainer."""
    return [
        sys.executable, "-m", "verl.trainer.main_ppo",
        "algorithm.adv_estimator=rlguard",  # for GRPO unguarded: grpo
        f"data.train_files={data}",
        f"data.val_files={data}",
        "data.train_batch_size=64",
        "data.max_prompt_length=512",
        "data.max_response_length=1024",
        f"actor_rollout_ref.model.path={model}",
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.n=8",
        "actor_rollout_ref.rollout.gpu_memory_utilization=0.5",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16",
        "actor_rollout_ref.actor.ppo_mini_batch_size=64",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
        f"reward.custom_reward_function.path={Path(__file__).resolve()}",
        "trainer.n_gpus_per_node=1",
        "trainer.nnodes=1",
        f"trainer.total_training_steps={steps}",
        "trainer.val_before_train=False",
        "trainer.logger=[console]",
        f"trainer.rollout_data_dir={out / 'rollouts'}",  # `rlguard scan` reads them
        f"trainer.default_local_dir={out / 'checkpoints'}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="table with the columns prompt and answer")
    parser.add_argument("--model", required=True, help="the model to train")
    parser.add_argument("--out", type=Path, required=True, help="folder for data, rollouts and checkpoints")
    parser.add_argument("--steps", type=int, default=100, help="optimiser steps (default %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="write the data, print the command, start nothing")
    args = parser.parse_args()

    data = args.out.resolve() / "train.parquet"
    write_rows([to_verl_row(row) for row in iter_rows(args.data)], data)
    command = make_command(args.model, data, args.out.resolve(), args.steps)
    print(" ".join(command))
    if not args.dry_run:
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
