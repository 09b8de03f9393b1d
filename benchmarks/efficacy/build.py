"""Trains a family's model from scratch with plain SFT: `python benchmarks/efficacy/build.py --family strings`.

About 0.1M parameters and two to four minutes on one core; the same seed gives the same model.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[2] / "recipes"))

import torch
from tiny_reasoner import build
from transformers import PreTrainedTokenizerFast

from benchmarks.efficacy.families import FAMILIES, Family

MODELS = Path(__file__).parents[2] / "out" / "efficacy" / "models"
STEPS, BATCH = {"sums": 5000, "strings": 4000, "logic": 4000}, 32
"""Optimiser steps, and examples of each."""


def build_model(family: str, out: Path, seed: int = 0, steps: int | None = None) -> Path:
    """The folder of a family's model; trained first, in a temporary folder beside it, where `out` is not there yet.

    Args:
        family: Name in `FAMILIES`.
        out: Folder for the model and its tokenizer.
        seed: Of the weights and the data.
        steps: Optimiser steps; by default `STEPS` of the family.

    Raises:
        KeyError: There is no such family.
    """
    task, out = FAMILIES[family], Path(out)
    if (out / "model.safetensors").exists():
        return out
    partial = out.with_name(f".{out.name}-{os.getpid()}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # also makes the result repeatable: sums are taken in one order
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            tokenizer = build.build_tokenizer()
            model = build.build_model(tokenizer, hidden_size=64, layers=2)
            rng = random.Random(f"sft {family} {seed}")
            batch = lambda: _make_batch(tokenizer, task, rng, BATCH)  # noqa: E731
            build.train(model, batch, STEPS[family] if steps is None else steps, peak=3e-3)
        build.save(model, tokenizer, partial)
        try:
            partial.rename(out)
        except OSError:  # someone else was first
            if not (out / "model.safetensors").exists():
                raise
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _make_batch(
    tokenizer: PreTrainedTokenizerFast, task: Family, rng: random.Random, size: int
) -> dict[str, torch.Tensor]:
    """A batch padded on the right; prompt and padding carry the label -100."""
    prompts, completions = zip(*(task.make_example(rng) for _ in range(size)), strict=True)
    pairs = list(zip(tokenizer(list(prompts))["input_ids"], tokenizer(list(completions))["input_ids"], strict=True))
    width = 1 + max(len(prompt) + len(completion) for prompt, completion in pairs)
    tokens_BT = torch.full((size, width), tokenizer.pad_token_id)
    labels_BT = torch.full((size, width), -100)
    for i, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion) + 1
        tokens_BT[i, :end] = torch.tensor([*prompt, *completion, tokenizer.eos_token_id])
        labels_BT[i, len(prompt) : end] = tokens_BT[i, len(prompt) : end]
    # Padding stands on the right, so a causal model needs no mask for it.
    return {"input_ids": tokens_BT, "labels": labels_BT}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=tuple(FAMILIES), required=True)
    parser.add_argument("--out", type=Path, help=f"folder for the model; by default {MODELS}/FAMILY")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and of the data")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    args = parser.parse_args()
    print(build_model(args.family, args.out or MODELS / args.family, args.seed, args.steps))


if __name__ == "__main__":
    main()
