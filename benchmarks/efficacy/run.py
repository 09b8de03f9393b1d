"""One run of the efficacy benchmark: an arm, a mix and a seed; one row of JSON.

    python benchmarks/efficacy/run.py --arm rlguard --family sums --kind unlearnable --share 0.75 --seed 1

Training problems are `share` of one near-impossible kind and otherwise the family's learnable `mix`, which the model
half masters. Its prior skills are not trained on. Everything measured is held-out problems at T=1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
from benchmarks.efficacy.problems import load_problems  # noqa: E402
from benchmarks.efficacy.records import find_commit, lock, write_whole  # noqa: E402
from benchmarks.efficacy.settings import BATCH, KINDS, OUT, Run  # noqa: E402


def run(settings: Run, out: Path) -> dict[str, Any]:
    """Trains and measures; writes and returns the row."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from tiny_reasoner.training import grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    from benchmarks.efficacy.arms import ARMS
    from benchmarks.efficacy.families import FAMILIES
    from benchmarks.efficacy.measures import Recorder, make_reward, measure_ends

    torch.set_num_threads(1)
    disable_progress_bars()
    start, arm, family = time.time(), ARMS[settings.arm], FAMILIES[settings.family]
    folder, kept = load_problems(settings, out)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    measure = partial(measure_ends, model, tokenizer, family, settings)
    before = remember(out / "before" / f"{settings.family}-{settings.seed}-{_fingerprint(settings)}.json", measure)
    recorder = Recorder(settings, tokenizer, family)
    reward = make_reward(family, recorder, random_rate=0.1 if arm.random_reward else None, seed=settings.seed)
    if len(kept) >= BATCH:
        options = {"max_steps": settings.steps, "learning_rate": settings.learning_rate, "logging_steps": 1}
        trainer = arm.trainer(
            model=model,
            args=grpo_config(str(out / "trl" / settings.name), settings.seed, **options, **arm.settings),
            processing_class=tokenizer,
            reward_funcs=reward,
            train_dataset=Dataset.from_list(kept),
            callbacks=[recorder],
            **arm.options,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    else:  # nothing to train on: the model stays as it is
        recorder.measure(0, model)
    row = asdict(settings) | {"kept": len(kept), "before": before, "after": measure(), "curve": recorder.rows}
    row |= {"seconds": time.time() - start, "torch": torch.__version__, "commit": find_commit()}
    write_whole(out / "runs" / f"{settings.name}.json", row)
    return row


def remember(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before, or is measured now and kept: all arms of a seed begin with the same model."""
    with lock(path):
        if not path.exists():
            write_whole(path, measure())
    return json.loads(path.read_text())


def _fingerprint(settings: Run) -> str:
    return f"{settings.evaluate_on}-{settings.pass_problems}-{settings.samples}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--family", default="sums")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=Run.steps)
    parser.add_argument("--out", type=Path, default=OUT)
    options = vars(parser.parse_args())
    out = options.pop("out")
    row = run(Run(**options), out)
    print(json.dumps({"before": row["before"], "after": row["after"], "seconds": row["seconds"]}))


if __name__ == "__main__":
    main()
