"""A TRL trainer of the tiny model, for every test that trains one."""

from __future__ import annotations

import torch
from conftest import TINY
from datasets import Dataset
from tiny_reasoner.tasks import make_problems
from tiny_reasoner.training import correctness_reward, grpo_config
from transformers import AutoModelForCausalLM, AutoTokenizer

PROBLEMS = make_problems({"add": 1, "unlearnable": 1}, 16, 5)


def build(trainer_class, folder, rows=PROBLEMS, rewards=correctness_reward, config=None, tokenizer=None, **options):
    settings = {"max_steps": 2, "per_device_train_batch_size": 32, "num_generations": 4, "logging_steps": 1}
    return trainer_class(
        model=AutoModelForCausalLM.from_pretrained(TINY),
        args=grpo_config(str(folder), 1, **(settings | (config or {}))),
        processing_class=tokenizer or AutoTokenizer.from_pretrained(TINY),
        reward_funcs=rewards,
        train_dataset=Dataset.from_list(rows),
        **options,
    )


def weights_of(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
