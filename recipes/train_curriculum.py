"""GRPO with TRL on levels that follow the pass rates: chains of 2 to 6 terms, guarded, on the tiny reasoner.

    python recipes/train_curriculum.py --out out/course        # about a minute on one core

It prints, for every 10 steps, the mean length of the chains that were trained on, and the skill rates as the curriculum
sees them. With reasoning-gym in place of the chains: `levels = reasoning_gym_levels("chain_sum", ["num_terms"])` and
`make_reasoning_gym_row` as the second argument of `TrainingCurriculum`.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parent))

from tiny_reasoner import tasks
from tiny_reasoner.training import correctness_reward, grpo_config
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlguard.curriculum import Level, LevelCurriculum
from rlguard.integrations.trl import GuardedGRPOTrainer
from rlguard.integrations.trl_curriculum import TrainingCurriculum

MODEL = Path(__file__).parent / "tiny_reasoner" / "model"
LEVELS = [Level("sums", terms, chance_rate=0.1) for terms in (2, 3, 4, 5, 6)]
PROMPTS, ROLLOUTS = 16, 8


def make_row(level: Level, number: int) -> dict[str, str]:
    """A chain of the level's length: the same for the same number."""
    return tasks.make_problem("add", random.Random(f"{level.config} {number}"), lengths=(level.config,), moduli=(10,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()

    curriculum = LevelCurriculum(LEVELS)
    course = TrainingCurriculum(curriculum, make_row, prompts=(options.steps + 1) * PROMPTS)
    trainer = GuardedGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(MODEL),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
        args=grpo_config(
            str(options.out), seed=0, max_steps=options.steps, num_generations=ROLLOUTS,
            per_device_train_batch_size=PROMPTS * ROLLOUTS, logging_steps=10,
        ),
        reward_funcs=course.reward(correctness_reward),
        train_dataset=course.dataset,
        callbacks=[course],
    )  # fmt: skip
    trainer.train()
    for row in trainer.state.log_history:
        if "rlguard/level" in row:
            print(
                f"step {row['step']}: {row['rlguard/level'] + LEVELS[0].config:.1f} terms, reward {row['reward']:.2f}"
            )
    rates = dict(zip((level.config for level in LEVELS), curriculum.skill_rates.round(2).tolist(), strict=True))
    print("skill rates, by terms:", rates)


if __name__ == "__main__":
    main()
