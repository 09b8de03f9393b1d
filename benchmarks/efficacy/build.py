"""Trains a family's model from scratch with plain SFT: `python benchmarks/efficacy/build.py --family strings`.

About 0.1M parameters and two to four minutes on one core; the same seed gives the same model.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[2] / "recipes"))

import torch
from tiny_reasoner.build import CONTEXT, build_tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.efficacy.families import FAMILIES, Family

MODELS = Path(__file__).parents[2] / "out" / "efficacy" / "models"
STEPS = {"sums": 5000, "strings": 4000, "logic": 4000}
"""Optimiser steps of 32 examples."""


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
            tokenizer = build_tokenizer()
            model = _make_model(tokenizer)
            _train(model, tokenizer, task, seed, STEPS[family] if steps is None else steps)
        model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
        )
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        try:
            partial.rename(out)
        except OSError:  # someone else was first
            if not (out / "model.safetensors").exists():
                raise
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of 0.1M parameters; head_dim 32, as vLLM's CPU attention wants."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


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


def _train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, task: Family, seed: int, steps: int, size: int = 32
) -> None:
    """AdamW with a short warmup and a cosine to zero."""
    rng, peak, start = random.Random(f"sft {task.name} {seed}"), 3e-3, time.time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    for step in range(steps):
        rate = peak * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model(**_make_batch(tokenizer, task, rng, size)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 500 == 0 or step == steps - 1:
            print(f"{task.name}: step {step:5d}  loss {loss.item():.3f}  {time.time() - start:.0f} s", flush=True)


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
