"""Train the tiny reasoner from scratch with plain SFT: `python recipes/tiny_reasoner/build.py --out DIR`."""

from __future__ import annotations

import argparse
import math
import random
import string
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_reasoner.card import write_card
from tiny_reasoner.tasks import SKILLS, is_held_out, make_problem, write_completion

BARE_SHARE = 0.18
"""Share of training examples without written steps: real models have both habits."""
SHARES = {**dict.fromkeys(SKILLS, 0.22), "unlearnable": 0.05, "guessable": 0.05, "rare_valid": 0.02}
HASH_MODULI = {"unlearnable": (10, 50), "guessable": (2, 3)}
CONTEXT = 128


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character of printable ASCII and newline; decoding gives back the exact text."""
    letters = ["\n", *(c for c in string.printable if " " <= c <= "~")]
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *letters])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, hidden_size: int = 128, layers: int = 3) -> LlamaForCausalLM:
    """A Llama, by default of 0.6M parameters; head_dim 32, as vLLM's CPU attention wants."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=hidden_size // 32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def make_example(rng: random.Random) -> tuple[str, str]:
    """A prompt outside the held-out tenth, and the completion to imitate.

    A `#` chain has no method; its example makes up the steps, so that the model attempts such prompts the way a real
    model attempts what it cannot do.
    """
    while True:
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        row = make_problem(kind, rng, moduli=HASH_MODULI.get(kind, ()))
        if not is_held_out(row["prompt"]):
            break
    bare = rng.random() < BARE_SHARE
    if "#" not in row["prompt"] or bare:
        return row["prompt"], write_completion(row["prompt"], bare)
    chain, modulus = row["prompt"].split(" mod ")
    value, *others = chain.split("#")
    steps = []
    for other in others:
        result = str(rng.randrange(int(modulus.split("=")[0])))
        steps.append(f"{value}#{other}={result}")
        value = result
    return row["prompt"], ";".join([*steps, f"answer {value}"])


def make_batch(tokenizer: PreTrainedTokenizerFast, rng: random.Random, size: int) -> dict[str, torch.Tensor]:
    """A batch padded on the right; prompt and padding carry the label -100."""
    tokens, labels = [], []
    for _ in range(size):
        prompt, completion = (tokenizer(text)["input_ids"] for text in make_example(rng))
        completion = [*completion, tokenizer.eos_token_id]
        tokens.append(prompt + completion)
        labels.append([-100] * len(prompt) + completion)
    width = max(map(len, tokens))
    return {
        "input_ids": torch.tensor([t + [tokenizer.pad_token_id] * (width - len(t)) for t in tokens]),
        "attention_mask": torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in tokens]),
        "labels": torch.tensor([x + [-100] * (width - len(x)) for x in labels]),
    }


def train(model: LlamaForCausalLM, next_batch: Callable[[], dict[str, torch.Tensor]], steps: int, peak: float) -> None:
    """AdamW with a short warmup to the learning rate `peak` and a cosine to zero."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    start = time.time()
    for step in range(steps):
        rate = peak * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model(**next_batch()).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.3f}  {time.time() - start:.0f} s", flush=True)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes both; the model answers greedily unless told otherwise."""
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and of the data")
    parser.add_argument("--steps", type=int, default=1200, help="optimiser steps")
    parser.add_argument("--batch-size", type=int, default=64, help="examples a step")
    args = parser.parse_args()
    torch.set_num_threads(1)  # also makes the result repeatable: sums are taken in one order
    torch.manual_seed(args.seed)
    start = time.time()
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    rng = random.Random(f"sft {args.seed}")
    train(model, lambda: make_batch(tokenizer, rng, args.batch_size), args.steps, peak=2e-3)
    save(model, tokenizer, args.out)
    write_card(args.out, model, tokenizer, vars(args) | {"seconds": time.time() - start, "bare_share": BARE_SHARE})


if __name__ == "__main__":
    main()
