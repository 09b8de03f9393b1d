"""One run of the curriculum benchmark: a ladder of levels, an arm and a seed; one row of JSON.

    python benchmarks/curriculum/run.py --ladder long --arm curriculum --seed 1

A level is a chain of so many terms, `7+8*5 mod 10=?`, with written steps (`recipes/tiny_reasoner`). The base model
was shown chains whose steps are the more often false the later they stand: it solves two terms mostly, three half the
time, and from six on none. A guess is right one time in ten, and so is a chain with false steps. The ladder `short`
ends where the base model still solves one in a hundred, `long` has as many levels again above that. All arms see as
many rollouts of fresh prompts, and the same prompt for the same number and level. Everything measured is held-out
questions at T=1.
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

from benchmarks.efficacy.records import find_commit, lock, write_whole  # noqa: E402
from rlguard.curriculum.levels import Level, LevelCurriculum  # noqa: E402

OUT = Path("out/curriculum")
LADDERS = {
    name: [Level("sums", terms, chance_rate=0.1) for terms in range(2, longest + 1)]
    for name, longest in (("short", 6), ("long", 10))
}
LEVELS = LADDERS["long"]
MAX_TOKENS = 64
"""A step of a chain has 6 tokens, the answer and the end 9."""
FALSE_STEPS = (0.1, 0.45, 0.7, 0.8, *[0.85] * 5)
"""Of the base model's examples: how often the first step is false, the second, and so on."""
SFT_STEPS, SFT_BATCH = 2500, 32
"""Optimiser steps, and examples of each."""
PROMPTS, ROLLOUTS = 16, 8
"""Prompts a step, and rollouts of each."""


Plan = Callable[[int, float], np.ndarray]


@dataclass(frozen=True)
class Run:
    """What is run."""

    ladder: str
    arm: str
    seed: int
    steps: int = 100
    learning_rate: float = 2e-4
    """Of 2e-4 and 5e-4 the one at which `uniform` went better (tuning seeds 1000 and 1001)."""
    evaluate_every: int = 10
    evaluate_on: int = 40
    """Rollouts a level at each measurement in training."""
    evaluate_end: int = 200
    """Rollouts a level at the end."""

    @property
    def name(self) -> str:
        return f"{self.ladder}-{self.arm}-{self.seed}"


class Planned(LevelCurriculum):
    """Levels by a plan that no outcome changes."""

    def __init__(self, levels: Sequence[Level], seed: int, plan: Plan, steps: int) -> None:
        """
        Args:
            levels: From easy to hard.
            seed: Of the draws.
            plan: From the number of levels and the share of the run that is over, to the share of each level.
            steps: Of the run.
        """
        super().__init__(levels, seed=seed)
        self._plan, self._steps, self._updates = plan, steps, 0

    def update(self, *batch: Any) -> None:
        super().update(*batch)
        self._updates += 1

    @property
    def shares(self) -> np.ndarray:  # type: ignore[override]
        return self._plan(len(self.levels), min(1.0, self._updates / self._steps))


PLANS: dict[str, Plan] = {
    "easiest": lambda count, _: np.eye(count)[0],
    "middle": lambda count, _: np.eye(count)[count // 2],
    "hardest": lambda count, _: np.eye(count)[-1],
    "uniform": lambda count, _: np.full(count, 1 / count),
    "linear": lambda count, done: np.eye(count)[min(int(done * count), count - 1)],
}
"""The arms beside `curriculum`; `linear` spends equal parts of the run at each level, from easy to hard."""
ARMS = ("curriculum", *PLANS)


def make_row(level: Level, number: int, seed: int = 0, held_out: bool = False) -> dict[str, Any]:
    """A chain of a level; its prompt lies in the held-out tenth or outside of it."""
    rng = random.Random(f"{seed} {held_out} {level.config} {number}")
    while True:
        row = tasks.make_problem("mix", rng, lengths=(level.config,), moduli=(10,))
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
    """The folder of the base model, 0.1M parameters; trained first, six minutes on one core, where it is not there.

    It is the model of the efficacy benchmark's family `sums`, trained on with careless examples of all levels.
    """
    import torch
    from tiny_reasoner import build
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.efficacy.build import build_model

    folder = out / "models" / f"careless-{seed}"
    with lock(folder):
        if not folder.exists():
            careful = build_model("sums", out / "models" / "sums")
            torch.manual_seed(seed)
            tokenizer, rng = AutoTokenizer.from_pretrained(careful), random.Random(f"careless {seed}")
            model = AutoModelForCausalLM.from_pretrained(careful)
            build.train(model, lambda: _make_batch(tokenizer, rng), SFT_STEPS, peak=1e-3)
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


def measure(model: Any, tokenizer: Any, levels: Sequence[Level], rollouts: int, seed: int) -> dict[str, list[float]]:
    """Share of right answers, and of those that were computed step by step, at each level on held-out questions."""
    import torch

    rows = [make_row(level, number, seed, held_out=True) for level in levels for number in range(rollouts)]
    with torch.random.fork_rng():  # training must not notice
        torch.manual_seed(seed)
        texts = generate_texts(model, tokenizer, [row["prompt"] for row in rows])
    pairs = list(zip(rows, texts, strict=True))
    return {
        "accuracy": _mean_levels([tasks.find_answer(text) == row["answer"] for row, text in pairs], len(levels)),
        "computed": _mean_levels(
            [tasks.check_steps(row["prompt"], text) == "computed" for row, text in pairs], len(levels)
        ),
    }


def _mean_levels(found: Sequence[bool], count: int) -> list[float]:
    return np.reshape(found, (count, -1)).mean(axis=1).tolist()


def generate_texts(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """A completion of each prompt at T=1."""
    import torch

    was_training = model.training
    model.eval()
    texts: list[str] = []
    for start in range(0, len(prompts), 256):
        batch = tokenizer(list(prompts[start : start + 256]), return_tensors="pt", padding=True)
        with torch.no_grad():
            tokens_BT = model.generate(**batch, max_new_tokens=MAX_TOKENS, do_sample=True, temperature=1.0, top_k=0)
        texts += tokenizer.batch_decode(tokens_BT[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    model.train(was_training)
    return texts


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
    folder, levels = build_base(out), LADDERS[settings.ladder]
    start = time.time()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    if settings.arm == "curriculum":
        curriculum = LevelCurriculum(levels, seed=settings.seed)
    else:
        curriculum = Planned(levels, settings.seed, PLANS[settings.arm], settings.steps)
    course = TrainingCurriculum(
        curriculum, lambda level, number: make_row(level, number, settings.seed), settings.steps * PROMPTS
    )
    curve: list[dict[str, Any]] = []

    class Recorder(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.record(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % settings.evaluate_every == 0:
                self.record(state.global_step)

        def record(self, step: int) -> None:
            found = measure(model, tokenizer, levels, settings.evaluate_on, settings.seed)
            curve.append({"step": step, "shares": curriculum.shares.tolist(), **found})

    trainer = GRPOTrainer(
        model=model,
        args=grpo_config(
            str(out / "trl" / settings.name), settings.seed, max_steps=settings.steps, shuffle_dataset=False,
            learning_rate=settings.learning_rate, num_generations=ROLLOUTS,
            per_device_train_batch_size=PROMPTS * ROLLOUTS, max_completion_length=MAX_TOKENS, logging_steps=1,
        ),
        processing_class=tokenizer,
        reward_funcs=course.reward(correctness_reward),
        train_dataset=course.dataset,
        callbacks=[course, Recorder()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    after = measure(model, tokenizer, levels, settings.evaluate_end, settings.seed + 10_000)
    served = [row["rlguard/level"] for row in trainer.state.log_history if "loss" in row]
    row = asdict(settings) | {"after": after, "curve": curve, "levels": served}
    row |= {"seconds": time.time() - start, "torch": torch.__version__, "commit": find_commit()}
    write_whole(out / "runs" / f"{settings.name}.json", row)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladder", choices=tuple(LADDERS), required=True)
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
