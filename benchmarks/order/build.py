"""The order benchmark's model, trained from scratch on all four domains so far that it half masters them.

    python benchmarks/order/build.py --out out/order/model      # 0.1M parameters, some minutes on one core

Structured tasks are shown solved step by step, and guessed at (`domains.GUESSES`).
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

from benchmarks.efficacy.build import make_batch
from benchmarks.order.domains import DOMAINS

STEPS, BATCH = 5000, 32


class Mixture:
    """Examples of all domains, by their shares."""

    def make_example(self, rng: random.Random) -> tuple[str, str]:
        """A prompt and a completion to imitate."""
        chosen = rng.choices(list(DOMAINS.values()), [domain.share for domain in DOMAINS.values()])[0]
        return chosen.make_example(rng)


def build_model(out: Path, seed: int = 0, steps: int = STEPS) -> Path:
    """The folder of the model; trained first, in a temporary folder beside it, where it is not there yet."""
    if (out / "model.safetensors").exists():
        return out
    partial = out.with_name(f".{out.name}-{os.getpid()}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer = build.build_tokenizer()
        model = build.build_model(tokenizer, hidden_size=64, layers=2)
        rng = random.Random(f"order {seed}")
        build.train(model, lambda: make_batch(tokenizer, Mixture(), rng, BATCH), steps, peak=3e-3)
    build.save(model, tokenizer, partial)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/order/model"))
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(build_model(arguments.out, steps=arguments.steps))


if __name__ == "__main__":
    main()
