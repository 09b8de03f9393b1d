"""One run of the efficacy benchmark: an arm, a mix and a seed; one row of JSON.

    python benchmarks/efficacy/run.py --arm rlguard --family sums --kind unlearnable --share 0.75 --seed 1

Training problems are `share` of one near-impossible kind and otherwise the family's learnable `mix`, which the model
half masters. Its prior skills are not trained on. Everything measured is held-out problems at T=1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

OUT = Path("out/efficacy")
KINDS = ("unlearnable", "mislabelled", "guessable", "rare_valid")
BATCH = 16
"""Prompts a step; fewer kept problems than that are not trained on."""


@dataclass(frozen=True)
class Run:
    """What is run."""

    arm: str
    family: str
    kind: str
    share: float
    """Share of training problems of that kind, in [0, 1]."""
    seed: int
    steps: int = 100
    learning_rate: float = 5e-4
    """Of 2e-4, 5e-4 and 1e-3 the one at which GRPO on `mix` alone went best (sums, tuning seed 1000)."""
    problems: int = 512
    """Distinct training problems."""
    evaluate_every: int = 10
    evaluate_on: int = 200
    """Held-out problems a measurement: of the prior skills together in training, of each kind at the ends."""
    pass_problems: int = 24
    """Held-out problems of each group with `samples` rollouts, for pass@k, at the ends."""
    samples: int = 64

    @property
    def name(self) -> str:
        return f"{self.family}-{self.arm}-{self.kind}-{self.share:g}-{self.seed}"


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


def load_problems(settings: Run, out: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of the untrained model, and what the arm trains it on."""
    from benchmarks.efficacy.arms import ARMS
    from benchmarks.efficacy.build import build_model
    from benchmarks.efficacy.families import FAMILIES

    family = FAMILIES[settings.family]
    folder = build_model(settings.family, out / "models" / settings.family)
    mix = {settings.kind: settings.share, family.learnable: 1 - settings.share}
    rows = family.make_problems({kind: part for kind, part in mix.items() if part}, settings.problems, settings.seed)
    store = out / "rates" / settings.name.replace(f"-{settings.arm}-", "-")
    return folder, keep_problems(rows, ARMS[settings.arm].keep, folder, store)


def remember(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before, or is measured now and kept: all arms of a seed begin with the same model."""
    with lock(path):
        if not path.exists():
            write_whole(path, measure())
    return json.loads(path.read_text())


def _fingerprint(settings: Run) -> str:
    return f"{settings.evaluate_on}-{settings.pass_problems}-{settings.samples}"


def lock(path: Path) -> FileLock:
    """For what runs beside each other share."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(path.name + ".lock"))


def write_whole(path: Path, row: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_suffix(f".{os.getpid()}")
    partial_file.write_text(json.dumps(row))
    partial_file.replace(path)


@cache
def find_commit() -> str:
    """The commit that is checked out, with + where files differ from it; empty outside a repository."""
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return done.stdout.strip() + ("+" if dirty.strip() else "")


def keep_problems(rows: list[dict[str, Any]], rule: str | None, model: Path, store: Path) -> list[dict[str, Any]]:
    """The problems to train on, by offline pass rates of the untrained model; all arms of a mix and seed share them."""
    if rule is None:
        return rows
    from rlguard import Plan, Rules, Sampling, estimate_pass_rates, filter_dataset

    with lock(store):
        rates = estimate_pass_rates(
            rows, str(model.resolve()), out=store, engine="transformers", verifier="exact", plan=Plan(max_n=32),
            sampling=Sampling(temperature=1.0, max_tokens=40),
        )  # fmt: skip
    balanced = Rules(keep=(0.2, 0.8), max_truncated=None, chance_confidence=None, wrong_label_share=None)
    kept = filter_dataset(rows, rates, balanced if rule == "balanced" else Rules()).kept
    return list(kept) if rule == "rlguard" else [{name: row[name] for name in rows[0]} for row in kept]


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
