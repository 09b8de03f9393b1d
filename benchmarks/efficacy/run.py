"""One run of the efficacy benchmark: an arm, a mix, a seed and a learning rate; one row.

    python benchmarks/efficacy/run.py --arm rlguard --family sums --kind unlearnable --share 0.75 --seed 1001

Training problems are `share` of one kind and otherwise the family's learnable `mix`, which the model half masters. Its
prior skills are not trained on. Everything measured is held-out problems at T=1. `sweep.py` keeps rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
from benchmarks.efficacy.records import find_commit, lock, write_whole  # noqa: E402
from benchmarks.efficacy.settings import (  # noqa: E402
    FAMILIES,
    KINDS,
    LEARNING_RATES,
    OUT,
    SHAPE_WEIGHT,
    SHAPES,
    Run,
)

CODE = (
    "rlguard",
    "recipes/tiny_reasoner",
    "benchmarks/methods.py",
    "benchmarks/efficacy/*.py",
    "benchmarks/efficacy/families",
)
"""What a row depends on."""
KL_PROMPTS = 200


def make_problems(settings: Run) -> list[dict[str, Any]]:
    """What a run trains on; every row has the true chance rate of a guess."""
    from benchmarks.efficacy.families import FAMILIES

    family = FAMILIES[settings.family]
    kind = "unlearnable" if settings.kind in SHAPES else settings.kind
    mix = {kind: settings.share, family.learnable: 1 - settings.share}
    rows = family.make_problems({name: part for name, part in mix.items() if part}, settings.problems, settings.seed)
    kept = ("prompt", "answer", "family", "length")
    return [{name: row[name] for name in kept} | {"chance": 1 / family.count_answers(row["prompt"])} for row in rows]


def run(settings: Run, out: Path, scales: Sequence[float] = (), keep_model: bool = False) -> dict[str, Any]:
    """Trains and measures.

    Args:
        settings: What to run.
        out: Folder for models and what arms share.
        scales: Step scales of rlguard's run of the same cell, for an arm that follows them.
        keep_model: Write the trained model to `out/final`.

    Returns:
        The row.
    """
    import torch
    from datasets import Dataset, disable_progress_bars
    from tiny_reasoner.training import grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    from benchmarks.efficacy.arms import ARMS
    from benchmarks.efficacy.build import build_model, find_digest
    from benchmarks.efficacy.families import FAMILIES
    from benchmarks.efficacy.measures import Recorder, measure_ends, measure_kl
    from benchmarks.efficacy.rewards import make_rewards

    torch.set_num_threads(1)
    disable_progress_bars()
    start, arm, family = time.time(), ARMS[settings.arm], FAMILIES[settings.family]
    folder = out / "models" / f"{settings.family}-{settings.design}"
    with lock(folder):
        folder = build_model(settings.family, folder, settings.design)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base, model = (AutoModelForCausalLM.from_pretrained(folder) for _ in range(2))
    measure = partial(measure_ends, model, tokenizer, family, settings)
    sizes, digest = f"{settings.evaluate_on}-{settings.sampled}-{settings.samples}", find_digest(folder)[:12]
    before = remember(out / "before" / f"{settings.family}-{digest}-{settings.seed}-{sizes}.json", measure)
    problems = make_problems(settings)
    make, factor = (arm.make(settings.seed), 1.0) if arm.follows is None else arm.follows(scales, settings.seed)
    recorder = Recorder(settings, tokenizer, family)
    rewards = make_rewards(family, settings.kind if settings.share else "", recorder.see)
    options = {
        "max_steps": settings.steps,
        "learning_rate": LEARNING_RATES[settings.family] * settings.rate * factor,
        "logging_steps": 1,
        "reward_weights": [1.0, SHAPE_WEIGHT][: len(rewards)],
    }
    trainer = make(
        model=model,
        args=grpo_config(str(out / "trl" / settings.name), settings.seed, **options, **arm.settings),
        processing_class=tokenizer,
        reward_funcs=rewards,
        train_dataset=Dataset.from_list(problems),
        callbacks=[recorder],
        **arm.options,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    row = asdict(settings) | {"design": settings.design, "learning_rate": options["learning_rate"], "before": before}
    row |= {"after": measure(), "curve": recorder.curve, "scales": recorder.scales, "saved": recorder.saved}
    held_out = family.make_problems(family.prior, KL_PROMPTS, settings.seed, held_out=True)
    for name, asked in {"kl_prior": held_out, "kl_trained": problems[:KL_PROMPTS]}.items():
        row[name] = measure_kl(base, model, tokenizer, [one["prompt"] for one in asked], settings)
    if keep_model:
        model.save_pretrained(out / "final" / settings.name)
        tokenizer.save_pretrained(out / "final" / settings.name)
    return row | {"seconds": time.time() - start, "torch": torch.__version__, "commit": find_commit(*CODE)}


def remember(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before, or is measured now and kept: all arms of a seed begin with the same model."""
    with lock(path):
        if not path.exists():
            write_whole(path, measure())
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--family", choices=FAMILIES, default="sums")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True, help="from 1000 on for tuning and trying")
    parser.add_argument("--rate", type=float, default=1.0, help="of the family's learning rate")
    parser.add_argument("--steps", type=int, default=Run.steps)
    parser.add_argument("--scales", type=float, nargs="+", default=(), help="for an arm that follows rlguard's run")
    parser.add_argument("--out", type=Path, default=OUT)
    options = vars(parser.parse_args())
    out, scales = options.pop("out"), options.pop("scales")
    row = run(Run(**options), out, scales or [1.0] * options["steps"])
    print(json.dumps(row))


if __name__ == "__main__":
    main()
