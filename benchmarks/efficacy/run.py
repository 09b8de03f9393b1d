"""One run of the efficacy benchmark: an arm, a mix and a seed; one row of JSON.

    python benchmarks/efficacy/run.py --arm rlguard --kind unlearnable --share 0.75 --seed 1 --out out/efficacy

Training problems are `share` of one near-impossible kind and otherwise `mix` chains, which the model half masters. The
skills add, sub and mul are held before and not trained on. Everything measured is held-out problems at T=1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

MODEL = ROOT / "recipes" / "tiny_reasoner" / "model"
KINDS = ("unlearnable", "mislabelled", "guessable", "rare_valid")
BATCH = 16
"""Prompts a step; fewer kept problems than that are not trained on."""


@dataclass(frozen=True)
class Run:
    """What is run."""

    arm: str
    kind: str
    share: float
    """Share of training problems of that kind, in [0, 1]."""
    seed: int
    steps: int = 120
    problems: int = 512
    """Distinct training problems."""
    evaluate_every: int = 10
    evaluate_on: int = 300
    """Held-out problems of the prior skills a measurement, and of the learnable skill at the ends."""
    samples: int = 64
    """Rollouts a problem for pass@k, on 40 problems of each group, at the ends."""

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.kind}-{self.share:g}-{self.seed}"


def run(settings: Run, out: Path) -> dict[str, Any]:
    """Trains and measures; writes and returns the row."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from tiny_reasoner.tasks import make_problems
    from tiny_reasoner.training import grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    from benchmarks.efficacy.arms import ARMS
    from benchmarks.efficacy.measures import LEARNABLE, Recorder, make_reward, measure_ends

    torch.set_num_threads(1)
    disable_progress_bars()
    start, arm = time.time(), ARMS[settings.arm]
    mix = {settings.kind: settings.share, LEARNABLE: 1 - settings.share}
    rows = make_problems({kind: part for kind, part in mix.items() if part}, settings.problems, settings.seed)
    kept = keep_problems(rows, arm.keep, out / "rates" / f"{settings.kind}-{settings.share:g}-{settings.seed}")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    ends = [measure_ends(model, tokenizer, settings)]
    recorder = Recorder(settings, tokenizer)
    reward = make_reward(recorder, random_rate=0.1 if arm.random_reward else None, seed=settings.seed)
    if len(kept) >= BATCH:
        options = {"max_steps": settings.steps, "logging_steps": 1} | arm.settings
        trainer = arm.trainer(
            model=model,
            args=grpo_config(str(out / "trl" / settings.name), settings.seed, **options),
            processing_class=tokenizer,
            reward_funcs=reward,
            train_dataset=Dataset.from_list(kept),
            callbacks=[recorder],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    else:  # nothing to train on: the model stays as it is
        recorder.measure(0, model)
    ends.append(measure_ends(model, tokenizer, settings))
    row = asdict(settings) | {"kept": len(kept), "before": ends[0], "after": ends[1], "curve": recorder.rows}
    row |= {"seconds": time.time() - start, "torch": torch.__version__}
    path = out / "runs" / f"{settings.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(row))
    partial.replace(path)
    return row


def keep_problems(rows: list[dict[str, Any]], rule: str | None, store: Path) -> list[dict[str, Any]]:
    """The problems to train on, by offline pass rates of the untrained model; all arms of a mix and seed share them."""
    if rule is None:
        return rows
    from rlguard import Plan, Rules, Sampling, estimate_pass_rates, filter_dataset

    rates = estimate_pass_rates(
        rows, str(MODEL), out=store, engine="transformers", verifier="exact", plan=Plan(max_n=32),
        sampling=Sampling(temperature=1.0, max_tokens=40),
    )  # fmt: skip
    balanced = Rules(keep=(0.2, 0.8), max_truncated=None, chance_confidence=None, wrong_label_share=None)
    kept = filter_dataset(rows, rates, balanced if rule == "balanced" else Rules()).kept
    return list(kept) if rule == "rlguard" else [{name: row[name] for name in rows[0]} for row in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=Run.steps)
    parser.add_argument("--out", type=Path, default=Path("out/efficacy"))
    options = vars(parser.parse_args())
    out = options.pop("out")
    row = run(Run(**options), out)
    print(json.dumps({"before": row["before"], "after": row["after"], "seconds": row["seconds"]}))


if __name__ == "__main__":
    main()
