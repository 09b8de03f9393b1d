"""One run of the curriculum benchmark: an arm and a seed; one row of JSON.

    python benchmarks/curriculum/run.py --arm curriculum --seed 1

Levels are chains of 2 to 6 terms, `7+8*5 mod 10=?`, with written steps (`recipes/tiny_reasoner`). The base model has
seen two terms mostly, four seldom, five and six never: it solves the first level mostly and the last ones never. All
arms see fresh prompts, as many rollouts, and the same prompt for the same number and level. Everything measured is
held-out questions at T=1. A guess is right one time in ten.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

import numpy as np  # noqa: E402
from tiny_reasoner import tasks  # noqa: E402

from benchmarks.efficacy.run import find_commit, lock, write_whole  # noqa: E402
from rlguard.curriculum import Level, LevelCurriculum  # noqa: E402

OUT = Path("out/curriculum")
LEVELS = [Level("sums", terms, chance_rate=0.1) for terms in (2, 3, 4, 5, 6)]
FALSE_STEPS = (0.1, 0.3, 0.5, 0.7, 0.8)
"""Of the base model's examples: how often the first step is false, the second, and so on."""
SFT_STEPS, SFT_BATCH = 3000, 32
"""Optimiser steps, and examples of each."""
PROMPTS, ROLLOUTS = 16, 8
"""Prompts a step, and rollouts of each."""


@dataclass(frozen=True)
class Run:
    """What is run."""

    arm: str
    seed: int
    steps: int = 100
    learning_rate: float = 5e-4
    evaluate_every: int = 10
    evaluate_on: int = 40
    """Rollouts a level at each measurement in training."""
    evaluate_end: int = 200
    """Rollouts a level at the end."""

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.seed}"


class Planned(LevelCurriculum):
    """Levels by a plan that no outcome changes."""

    def __init__(self, seed: int, plan: Callable[[float], Sequence[float]], steps: int) -> None:
        """
        Args:
            seed: Of the draws.
            plan: From the share of the run that is over, in [0, 1], to the share of each level.
            steps: Of the run.
        """
        super().__init__(LEVELS, seed=seed)
        self._plan, self._steps, self._updates = plan, steps, 0

    def update(self, *batch: Any) -> None:
        super().update(*batch)
        self._updates += 1

    @property
    def shares(self) -> np.ndarray:  # type: ignore[override]
        return np.asarray(self._plan(min(1.0, self._updates / self._steps)), float)


def only(level: int) -> list[float]:
    """All prompts from one level."""
    return [float(place == level) for place in range(len(LEVELS))]


PLANS: dict[str, Callable[[float], Sequence[float]]] = {
    "easiest": lambda _: only(0),
    "middle": lambda _: only(len(LEVELS) // 2),
    "hardest": lambda _: only(len(LEVELS) - 1),
    "uniform": lambda _: [1 / len(LEVELS)] * len(LEVELS),
    "linear": lambda done: only(min(int(done * len(LEVELS)), len(LEVELS) - 1)),
}
"""The arms beside `curriculum`; `linear` spends a fifth of the run at each level, from easy to hard."""
ARMS = ("curriculum", *PLANS)


def make_row(level: Level, number: int, seed: int = 0, held_out: bool = False) -> dict[str, Any]:
    """A chain of a level; its prompt lies in the held-out tenth or outside of it."""
    rng = random.Random(f"{seed} {held_out} {level.config} {number}")
    while True:
        row = tasks.make_problem("add", rng, lengths=(level.config,), moduli=(10,))
        if tasks.is_held_out(row["prompt"]) == held_out:
            return row


def write_carelessly(prompt: str, rng: random.Random) -> str:
    """A full completion of which later steps are often false; what follows a false step goes on from its result."""
    terms, operators, modulus = tasks.parse_prompt(prompt)
    steps, value = [], terms[0]
    for operator, term, false in zip(operators, terms[1:], FALSE_STEPS, strict=False):
        result = tasks.apply_operator(value, operator, term, modulus)
        result = (result + (rng.random() < false) * rng.randrange(1, modulus)) % modulus
        steps.append(f"{value}{operator}{term}={result}")
        value = result
    return ";".join([*steps, f"answer {value}"])


def build_base(out: Path, seed: int = 0) -> Path:
    """The folder of the base model, 0.1M parameters; trained first, two minutes on one core, where it is not there."""
    import torch
    from tiny_reasoner import build

    folder = out / f"base-{seed}"
    with lock(folder):
        if not folder.exists():
            torch.manual_seed(seed)
            tokenizer, rng = build.build_tokenizer(), random.Random(f"sft {seed}")
            model = build.build_model(tokenizer, hidden_size=64, layers=2)
            build.train(model, lambda: _make_batch(tokenizer, rng), SFT_STEPS, peak=3e-3)
            partial = folder.with_name(f".{folder.name}")
            shutil.rmtree(partial, ignore_errors=True)
            build.save(model, tokenizer, partial)
            partial.rename(folder)
    return folder


def _make_batch(tokenizer: Any, rng: random.Random) -> dict[str, Any]:
    """Examples padded on the right; prompt and padding carry the label -100."""
    import torch

    pairs = []
    for level in rng.choices(LEVELS, k=SFT_BATCH):
        prompt = make_row(level, rng.getrandbits(60))["prompt"]
        completion = write_carelessly(prompt, rng)
        pairs.append((tokenizer(prompt)["input_ids"], [*tokenizer(completion)["input_ids"], tokenizer.eos_token_id]))
    width = max(len(prompt) + len(completion) for prompt, completion in pairs)
    tokens_BT = torch.full((SFT_BATCH, width), tokenizer.pad_token_id)
    labels_BT = torch.full((SFT_BATCH, width), -100)
    for row, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion)
        tokens_BT[row, :end] = torch.tensor(prompt + completion)
        labels_BT[row, len(prompt) : end] = torch.tensor(completion)
    return {"input_ids": tokens_BT, "labels": labels_BT}


def measure(model: Any, tokenizer: Any, rollouts: int, seed: int) -> dict[str, list[float]]:
    """Share of right answers, and of those that were computed step by step, at each level on held-out questions."""
    import torch
    from tiny_reasoner.training import generate_texts

    rows = [make_row(level, number, seed, held_out=True) for level in LEVELS for number in range(rollouts)]
    with torch.random.fork_rng():  # training must not notice
        torch.manual_seed(seed)
        texts = generate_texts(model, tokenizer, [row["prompt"] for row in rows], temperature=1.0)
    right = [tasks.find_answer(text) == row["answer"] for row, text in zip(rows, texts, strict=True)]
    computed = [tasks.check_steps(row["prompt"], text) == "computed" for row, text in zip(rows, texts, strict=True)]
    return {
        name: np.reshape(found, (len(LEVELS), rollouts)).mean(axis=1).tolist()
        for name, found in (("accuracy", right), ("computed", computed))
    }


def run(settings: Run, out: Path) -> dict[str, Any]:
    """Trains and measures; writes and returns the row."""
    import torch
    from datasets import disable_progress_bars
    from tiny_reasoner.training import correctness_reward, grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    from rlguard.integrations.trl_curriculum import TrainingCurriculum

    torch.set_num_threads(1)
    disable_progress_bars()
    start, folder = time.time(), build_base(out)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    if settings.arm == "curriculum":
        curriculum = LevelCurriculum(LEVELS, seed=settings.seed)
    else:
        curriculum = Planned(settings.seed, PLANS[settings.arm], settings.steps)
    course = TrainingCurriculum(
        curriculum, lambda level, number: make_row(level, number, settings.seed), (settings.steps + 1) * PROMPTS
    )
    curve: list[dict[str, Any]] = []

    class Recorder(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.record(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % settings.evaluate_every == 0:
                self.record(state.global_step)

        def record(self, step: int) -> None:
            found = measure(model, tokenizer, settings.evaluate_on, settings.seed)
            curve.append({"step": step, "shares": curriculum.shares.tolist(), **found})

    trainer = GRPOTrainer(
        model=model,
        args=grpo_config(
            str(out / "trl" / settings.name), settings.seed, max_steps=settings.steps, shuffle_dataset=False,
            learning_rate=settings.learning_rate, num_generations=ROLLOUTS,
            per_device_train_batch_size=PROMPTS * ROLLOUTS, logging_steps=1,
        ),
        processing_class=tokenizer,
        reward_funcs=course.reward(correctness_reward),
        train_dataset=course.dataset,
        callbacks=[course, Recorder()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    after = measure(model, tokenizer, settings.evaluate_end, settings.seed + 10_000)
    levels = [row["rlguard/level"] for row in trainer.state.log_history if "loss" in row]
    row = asdict(settings) | {"after": after, "curve": curve, "levels": levels}
    row |= {"seconds": time.time() - start, "torch": torch.__version__, "commit": find_commit()}
    write_whole(out / "runs" / f"{settings.name}.json", row)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=Run.steps)
    parser.add_argument("--learning-rate", type=float, default=Run.learning_rate)
    parser.add_argument("--out", type=Path, default=OUT)
    options = vars(parser.parse_args())
    out = options.pop("out")
    row = run(Run(**options), out)
    print(json.dumps({"before": row["curve"][0], "after": row["after"], "seconds": row["seconds"]}))


if __name__ == "__main__":
    main()
