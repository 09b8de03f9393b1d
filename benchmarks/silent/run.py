"""What `mask_silent` changes in each loss of TRL: `python benchmarks/silent/run.py --seeds 1 2 3 4 5`.

The repository's tiny reasoner, moved a little from its reference so that there is a KL term, samples 16 prompts x 8
rollouts: half learnable, half near-impossible. TRL's own loss is differentiated with all rollouts in it, and with the
all-right and all-wrong groups masked (tests/integrations/test_trl_matrix.py shows that the guard masks just these):

- push: norm of the policy's part of the gradient (beta 0), masked over not;
- pull: norm of the KL's part, masked over not;
- KL share: norm of the KL's part over the policy's, before and after, at beta 0.04.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from tiny_reasoner.tasks import make_problems
from tiny_reasoner.training import correctness_reward, grpo_config
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer

MODEL = Path(__file__).parents[2] / "recipes" / "tiny_reasoner" / "model"
LOSSES = ("grpo", "sapo", "luspo", "dr_grpo", "bnpo", "dapo", "cispo", "vespo")
BETA, NOISE = 0.04, 0.01


def sample(seed: int, folder: str) -> tuple[GRPOTrainer, dict[str, Any]]:
    """A trainer, and its batch of 16 groups with their advantages and reference log-probabilities."""
    rows = make_problems({"add": 1, "unlearnable": 1}, 16, seed)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(MODEL),
        args=grpo_config(folder, seed, beta=BETA),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
        reward_funcs=correctness_reward,
        train_dataset=Dataset.from_list(rows),
    )
    with torch.no_grad():
        for number, weight in enumerate(trainer.model.parameters()):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)), alpha=NOISE)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer, trainer._generate_and_score_completions(next(iter(trainer.get_train_dataloader())))


def differentiate(trainer: GRPOTrainer, inputs: dict[str, Any], loss_type: str, beta: float) -> torch.Tensor:
    """The gradient of one of TRL's losses, flat."""
    trainer.loss_type, trainer.beta = loss_type, beta
    trainer.importance_sampling_level = "sequence" if loss_type == "luspo" else "token"
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, inputs).backward()
    return torch.cat([weight.grad.flatten() for weight in trainer.model.parameters()])


def measure(seed: int) -> tuple[float, dict[str, list[float]]]:
    """The share of tokens in silent groups, and for each loss: push, pull, KL share before and after."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, inputs = sample(seed, folder)
    told = (inputs["advantages"].view(-1, 8).abs().amax(1) > 0).repeat_interleave(8)
    mask = inputs["completion_mask"] * told[:, None]
    masked = inputs | {"completion_mask": mask, "num_items_in_batch": mask.sum()}
    found = {}
    for loss_type in LOSSES:
        push, both, left, whole = (
            differentiate(trainer, batch, loss_type, beta) for batch in (inputs, masked) for beta in (0.0, BETA)
        )
        pull, rest = both - push, whole - left
        found[loss_type] = [
            float(one.norm() / other.norm()) for one, other in ((left, push), (rest, pull), (pull, push), (rest, left))
        ]
    return 1 - float(mask.sum() / inputs["completion_mask"].sum()), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000])
    args = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bars()
    shares, results = zip(*map(measure, args.seeds), strict=True)
    print(f"tokens in silent groups: {np.mean(shares):.2f} ± {np.std(shares):.2f} ({len(shares)} seeds)\n")
    print("| `loss_type` | push | pull | KL share before | after |\n|---|---|---|---|---|")
    for loss_type in LOSSES:
        values = np.array([result[loss_type] for result in results])
        cells = [f"{mean:.3f} ± {std:.3f}" for mean, std in zip(values.mean(0), values.std(0), strict=True)]
        print(f"| {loss_type} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
