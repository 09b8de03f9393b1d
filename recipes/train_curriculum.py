"""GRPO with TRL, a curriculum and the guard: reasoning-gym's chain_sum, more terms as the policy learns.

    python recipes/train_curriculum.py --out out/curriculum_recipe       # 66 s on one core

It ends with what the curriculum knows of each level, and which ones it would ask next (seed 0):

    terms  skill  share of the next prompts
        2   0.99  0.03
        3   0.97  0.03
        4   0.96  0.05
        5   0.94  0.25
        6   0.02  0.65

The model is the tiny reasoner, which writes modular arithmetic character by character; so `make_row` says each sum in
its language. With a model that reads English, `make_reasoning_gym_row` itself is the `make_row`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parent))

PROMPTS = 16
"""Prompts a step."""


def make_row(level: Any, number: int) -> dict[str, str]:
    """The question of a level and a number, in the words of the tiny reasoner."""
    from rlguard.curriculum import make_reasoning_gym_row

    row = make_reasoning_gym_row(level, number)
    expression = row["metadata"]["expression"].replace(" ", "")
    return {"prompt": f"{expression} mod 10=?\n", "answer": str(int(row["answer"]) % 10)}


def train(out: Path, steps: int = 60, seed: int = 0) -> Any:
    """Trains; returns the trainer."""
    from tiny_reasoner.training import correctness_reward, grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlguard.curriculum import LevelCurriculum, reasoning_gym_levels
    from rlguard.integrations.trl import GuardedGRPOTrainer
    from rlguard.integrations.trl_curriculum import TrainingCurriculum

    levels = reasoning_gym_levels("chain_sum", ["num_terms"], highest=4, chance_rate=0.1)  # 2 to 6 terms
    course = TrainingCurriculum(LevelCurriculum(levels, seed=seed), make_row, prompts=steps * PROMPTS)
    model = Path(__file__).parent / "tiny_reasoner" / "model"
    trainer = GuardedGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=grpo_config(str(out), seed, max_steps=steps, logging_steps=1, save_strategy="steps", save_steps=20),
        processing_class=AutoTokenizer.from_pretrained(model),
        reward_funcs=course.reward(correctness_reward),
        train_dataset=course.dataset,
        callbacks=[course],
    )
    trainer.train()
    print("terms  skill  share of the next prompts")
    rates_and_shares = zip(course.curriculum.skill_rates, course.curriculum.shares, strict=True)
    for level, (rate, share) in zip(levels, rates_and_shares, strict=True):
        print(f"{level.config['max_terms']:5d}  {rate:5.2f}  {share:.2f}")
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
