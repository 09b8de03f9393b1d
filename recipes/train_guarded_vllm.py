"""GRPO with TRL and the guard, rollouts by vLLM: in the trainer's own process, or from a server on another GPU.

    python recipes/train_guarded_vllm.py --out out/vllm

    CUDA_VISIBLE_DEVICES=0 trl vllm-serve --model recipes/tiny_reasoner/model      # or: this server, and then
    CUDA_VISIBLE_DEVICES=1 python recipes/train_guarded_vllm.py --out out/vllm --server http://localhost:8000

The problems are those of train_guarded.py: the tiny reasoner can solve one in 32. Prints what TRL logs each step, with
`rlguard/lucky_share`, `rlguard/step_scale` and more; completions go to the folder.

Needs a GPU, and has not run on one here: vLLM's CPU build takes no new weights from TRL. What was run is the same
without that hand-over: two steps with vLLM in the process (110 s on a busy core, most of it loading).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

MODEL = Path(__file__).parent / "tiny_reasoner" / "model"
MIX = {"unlearnable": 16, "long": 15, "mix": 1}


def make_settings(out: Path, steps: int, server: str | None = None, **overrides: Any) -> Any:
    """TRL's settings. Nothing in them is about the guard, and nothing in the guard is about vLLM."""
    from tiny_reasoner.training import grpo_config

    vllm = {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3}
    if server is not None:
        vllm = {"vllm_mode": "server", "vllm_server_base_url": server}
    settings = {"use_vllm": True, "use_cpu": False, "max_steps": steps, "logging_steps": 1, "log_completions": True}
    return grpo_config(str(out), seed=0, num_completions_to_print=0, **(settings | vllm | overrides))


def make_trainer(settings: Any) -> Any:
    """The guarded trainer."""
    from datasets import Dataset
    from tiny_reasoner.tasks import make_problems
    from tiny_reasoner.training import correctness_reward
    from transformers import AutoTokenizer

    from rlguard.integrations.trl import GuardedGRPOTrainer as GRPOTrainer  # was: from trl import GRPOTrainer

    return GRPOTrainer(
        model=str(MODEL),
        args=settings,
        processing_class=AutoTokenizer.from_pretrained(MODEL),
        reward_funcs=correctness_reward,
        train_dataset=Dataset.from_list(make_problems(MIX, 512, seed=0)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the completions and checkpoints")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps (default %(default)s)")
    parser.add_argument("--server", help="address of `trl vllm-serve`; without it vLLM runs in this process")
    args = parser.parse_args()
    make_trainer(make_settings(args.out, args.steps, args.server)).train()


if __name__ == "__main__":
    main()
