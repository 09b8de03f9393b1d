"""GRPO with TRL, the guard and LoRA: only an adapter is trained.

    python recipes/train_guarded_peft.py --out out/peft

About a minute on one core. Prints the share of trained parameters and the guard's figures of the last step,

    trainable params: 59,136 || all params: 674,816 || trainable%: 8.7633
    {'rlguard/flagged_share': 0.234, ..., 'rlguard/lucky_share': 0.564, ..., 'rlguard/step_scale': 0.373, ...}

and writes the adapter, a merged model (`merged`) and all completions (`completions`) to the folder.

The problems are those of train_guarded.py: the tiny reasoner can solve one in 32. A
`lucky_share` over ½ says that successes are mostly luck; `step_scale` is what the guard left of the learning rate.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parent))

MODEL = Path(__file__).parent / "tiny_reasoner" / "model"
MIX = {"unlearnable": 16, "long": 15, "mix": 1}


def train(out: Path, steps: int) -> Any:
    """Trains the adapter; returns the trainer."""
    from datasets import Dataset
    from peft import LoraConfig
    from tiny_reasoner.tasks import make_problems
    from tiny_reasoner.training import correctness_reward, grpo_config
    from transformers import AutoTokenizer, PrinterCallback

    from rlguard.integrations.trl import GuardedGRPOTrainer as GRPOTrainer  # was: from trl import GRPOTrainer

    settings = grpo_config(
        str(out), seed=0, max_steps=steps, learning_rate=2e-3, logging_steps=1,
        log_completions=True, num_completions_to_print=0,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    trainer = GRPOTrainer(
        model=str(MODEL),
        args=settings,
        processing_class=tokenizer,
        reward_funcs=correctness_reward,
        train_dataset=Dataset.from_list(make_problems(MIX, 512, seed=0)),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.model.print_trainable_parameters()
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model()  # the adapter alone
    trainer.model.merge_and_unload().save_pretrained(out / "merged")  # a whole model, for vLLM and for an audit
    tokenizer.save_pretrained(out / "merged")
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the completions")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps (default %(default)s)")
    args = parser.parse_args()

    trainer = train(args.out, args.steps)
    last = next(row for row in reversed(trainer.state.log_history) if "rlguard/lucky_share" in row)
    print({name: round(value, 3) for name, value in last.items() if name.startswith("rlguard/")})


if __name__ == "__main__":
    main()
