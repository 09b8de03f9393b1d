"""Trains a family's models from scratch with plain SFT, and says what they can do.

    python benchmarks/efficacy/build.py --family strings --design neox

Two designs a family, of 0.1M to 0.2M parameters (words: 1M), each with its own seed of weights and data: a Llama
(RMSNorm, gated MLP, tied embeddings) and a GPT-NeoX (LayerNorm, attention and MLP side by side, embeddings apart). Both
have rotary positions, so that TRL's padding on the left moves nothing. Minutes on one core; the same seed gives the
same model, on processors with the same instructions. models.sha256 names those that rows.jsonl is of; three of them
were built on another processor, and come out of the archive.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are too small for more
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[2] / "recipes"))

import torch
from tiny_reasoner import build
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from benchmarks.efficacy.families import FAMILIES, Family
from benchmarks.efficacy.families.words import list_texts
from benchmarks.efficacy.settings import DESIGNS

MODELS = Path(__file__).parents[2] / "out" / "efficacy" / "models"
ARCHIVE = Path(__file__).parents[1] / "archive" / "rows.tar.xz"
ARCHIVED = {"sums-llama", "strings-llama", "logic-llama"}
"""Built for the benchmark of 2026-11-26, on a processor on which the same code gives other last digits."""
DIGESTS = Path(__file__).with_name("models.sha256")
"""For `sha256sum --check`, in the folder `MODELS`."""
STEPS = {"sums": 5000, "strings": 4000, "logic": 4000, "words": 9000}
BATCH = 32
SIZES = {"llama": (64, 2), "neox": (64, 4)}
"""Hidden size and layers. A GPT-NeoX of two layers solves a third of the prior skills of `sums`, one of four .84."""
WORD_SIZES = {"llama": (160, 3), "neox": (128, 5)}
"""The same for `words`."""
WORD = r" ?[A-Za-z]+| ?\d+|\n| ?[^\w\s]"
"""A token of `words`: a word, a whole number or a mark, with the space before it."""


def build_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A token a character; for `words` a token a word or number, of those that the family has."""
    if family != "words":
        return build.build_tokenizer()
    splitter = pre_tokenizers.Split(Regex(WORD), behavior="isolated")
    found = {piece for text in list_texts() for piece, _ in splitter.pre_tokenize_str(text)}
    numbers = {f"{space}{n}" for space in ("", " ") for n in range(100)}
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *sorted(found | numbers)])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left",
        model_max_length=build.CONTEXT, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def make_model(design: str, tokenizer: PreTrainedTokenizerFast, hidden_size: int, layers: int) -> Any:
    """An untrained model."""
    if design == "llama":
        return build.build_model(tokenizer, hidden_size, layers)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        max_position_embeddings=build.CONTEXT,
        rotary_pct=0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPTNeoXForCausalLM(config)


def build_model(family: str, out: Path, design: str = "llama", steps: int | None = None) -> Path:
    """The folder of a family's model, which is unpacked or trained where `out` is not there yet.

    Args:
        family: Name in `FAMILIES`.
        out: Folder for the model and its tokenizer.
        design: One of `DESIGNS`; its place there is the seed of the weights and the data.
        steps: Train for so many optimiser steps. By default an archived model is unpacked, any other trained for
            `STEPS` of the family.

    Raises:
        KeyError: There is no such family.
        ValueError: There is no such design.
    """
    if design not in DESIGNS:
        raise ValueError(f"design {design!r}: expected one of {', '.join(DESIGNS)}")
    task, out, seed = FAMILIES[family], Path(out), DESIGNS.index(design)
    if (out / "model.safetensors").exists():
        return out
    partial = out.with_name(f".{out.name}-{os.getpid()}")
    try:
        if steps is None and f"{family}-{design}" in ARCHIVED:
            unpack(family, partial)
        else:
            train(family, task, design, seed, steps or STEPS[family], partial)
        try:
            partial.rename(out)
        except OSError:  # someone else was first
            if not (out / "model.safetensors").exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def unpack(family: str, out: Path) -> None:
    """Writes a family's archived model to a folder."""
    out.mkdir(parents=True)
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.isfile() and Path(member.name).parent == Path("efficacy/models", family):
                (out / Path(member.name).name).write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]


def train(family: str, task: Family, design: str, seed: int, steps: int, out: Path) -> None:
    """Trains a model from scratch on one thread, and writes it to a folder."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # also makes the result repeatable: sums are taken in one order
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            tokenizer = build_tokenizer(family)
            model = make_model(design, tokenizer, *(WORD_SIZES if family == "words" else SIZES)[design])
            rng = random.Random(f"sft {family} {seed}")
            if family == "words":
                batches = sort_batches(tokenizer, task, rng)
                build.train(model, lambda: next(batches), steps, peak=2e-3)
            else:
                build.train(model, lambda: make_batch(tokenizer, task, rng, BATCH), steps, peak=3e-3)
        build.save(model, tokenizer, out)
    finally:
        torch.set_num_threads(threads)


def find_digest(folder: Path) -> str:
    """SHA-256 of a model's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def check_digest(folder: Path) -> None:
    """Checks that a model is the one that the rows are of.

    Raises:
        ValueError: It is another one.
    """
    wanted = dict(line.split()[::-1] for line in DIGESTS.read_text().splitlines())
    found, expected = find_digest(folder), wanted.get(f"{folder.name}/model.safetensors", "none")
    if found != expected:
        raise ValueError(
            f"{folder}: SHA-256 {found[:12]}, expected {expected[:12]} of {DIGESTS.name}. Rows of two models are not "
            f"compared: start rows and digests of your own, or build it on a processor like that of the rows"
        )


def sort_batches(tokenizer: PreTrainedTokenizerFast, task: Family, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Batches of examples of like length: stories differ threefold in it, and padding would be a third of the work."""
    while True:
        pool = sorted((task.make_example(rng) for _ in range(16 * BATCH)), key=lambda pair: len(pair[0]) + len(pair[1]))
        for place in rng.sample(range(16), 16):
            yield pad_batch(tokenizer, pool[place * BATCH : (place + 1) * BATCH])


def make_batch(
    tokenizer: PreTrainedTokenizerFast, task: Family, rng: random.Random, size: int
) -> dict[str, torch.Tensor]:
    """A batch of examples."""
    return pad_batch(tokenizer, [task.make_example(rng) for _ in range(size)])


def pad_batch(tokenizer: PreTrainedTokenizerFast, examples: Sequence[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Prompts and completions, padded on the right; prompt and padding carry the label -100."""
    prompts, completions = zip(*examples, strict=True)
    pairs = list(zip(tokenizer(list(prompts))["input_ids"], tokenizer(list(completions))["input_ids"], strict=True))
    width = 1 + max(len(prompt) + len(completion) for prompt, completion in pairs)
    tokens_BT = torch.full((len(pairs), width), tokenizer.pad_token_id)
    labels_BT = torch.full((len(pairs), width), -100)
    for i, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion) + 1
        tokens_BT[i, :end] = torch.tensor([*prompt, *completion, tokenizer.eos_token_id])
        labels_BT[i, len(prompt) : end] = tokens_BT[i, len(prompt) : end]
    # Padding stands on the right, so a causal model needs no mask for it.
    return {"input_ids": tokens_BT, "labels": labels_BT}


def check_model(family: str, folder: Path, count: int = 200) -> dict[str, tuple[float, float]]:
    """Of each kind of held-out problems the share of right answers, and of right and computed ones, at T=1."""
    from tiny_reasoner.training import generate_texts
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task, found = FAMILIES[family], {}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    for kind in task.kinds:
        rows = task.make_problems([kind], count, seed=0, held_out=True)
        texts = generate_texts(model, tokenizer, [row["prompt"] for row in rows], temperature=1.0)
        right = [task.find_answer(text) == row["answer"] for row, text in zip(rows, texts, strict=True)]
        ways = [task.check(row["prompt"], text) == "computed" for row, text in zip(rows, texts, strict=True)]
        computed = sum(ok and way for ok, way in zip(right, ways, strict=True))
        found[kind] = sum(right) / count, computed / count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=tuple(FAMILIES), required=True)
    parser.add_argument("--design", choices=DESIGNS, default=DESIGNS[0])
    parser.add_argument("--out", type=Path, help=f"folder for the model; by default {MODELS}/FAMILY-DESIGN")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    args = parser.parse_args()
    out = args.out or MODELS / f"{args.family}-{args.design}"
    print(build_model(args.family, out, args.design, args.steps))
    for kind, (right, computed) in check_model(args.family, out).items():
        print(f"{kind:12} right {right:.2f}, computed {computed:.2f}")


if __name__ == "__main__":
    main()
