"""Rewards paid beside correctness, where most prompts are near-impossible: which failure does training teach?

    python benchmarks/shaped/run.py --seeds 1000                 # tuning: as often as you like
    python benchmarks/shaped/run.py --seeds 1 2 3                # the report
    python benchmarks/shaped/run.py --table                      # the table of the rows that are there

The tiny reasoner of the efficacy benchmark (family `sums`) is trained with TRL on a share of hash problems, which no
method solves, and learnable ones. Beside correctness (1) a second reward is paid, at a weight of 0.05, 0.2 or 0.5:

- `format`: 1 where steps are written before the answer, which the untrained model does four times in five;
- `length`: 1 less the share of the 40 characters that are used, for failures only;
- `partial`: 1 less the distance to the gold answer over 10, for failures only.

One row of JSON a run goes to `rows.jsonl` beside this file; a run that has its row is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

ROWS = Path(__file__).with_name("rows.jsonl")
SHAPES = ("format", "length", "partial")
WEIGHTS = (0.05, 0.2, 0.5)
SHARES = (0.75, 1.0)
ARMS = ("grpo", "dr_grpo", "gate", "std_gate", "as_paid", "rlguard", "rlguard_host")
MEASURES = ("prior", "learnable", "paid", "characters")
STD_GATE = 0.1
"""A group whose rewards have a smaller standard deviation is not trained on, in the arm `std_gate`."""


def shape(kind: str, text: str, gold: str, found: str | None) -> float:
    """What is paid beside correctness, in [0, 1]."""
    if kind == "format":
        return float(";answer" in text)
    if found == gold:
        return 0.0 if kind == "partial" else 1.0
    if kind == "length":
        return 1 - min(len(text), 40) / 40
    return 0.0 if found is None else max(0.0, 1 - abs(int(found) - int(gold)) / 10)


def make_trainer(arm: str) -> tuple[type, dict[str, Any], dict[str, Any]]:
    """The arm's trainer, what it changes in GRPOConfig, and its further arguments."""
    import numpy as np
    from trl import GRPOTrainer

    from rlguard.guard import GuardConfig
    from rlguard.guard.shaped import keep_paid_size
    from rlguard.integrations.trl import GuardedGRPOTrainer

    if arm in ("grpo", "dr_grpo"):
        return GRPOTrainer, {"scale_rewards": "none", "loss_type": "dr_grpo"} if arm == "dr_grpo" else {}, {}
    if arm.startswith("rlguard"):
        return GuardedGRPOTrainer, {}, {"guard": GuardConfig(success_reward=0.0 if arm == "rlguard_host" else None)}

    class Sized(GRPOTrainer):
        def _calculate_rewards(self, *args: Any) -> Any:
            self._seen = super()._calculate_rewards(*args)
            return self._seen

        def _generate_and_score_completions(self, inputs: list) -> dict[str, Any]:
            output = super()._generate_and_score_completions(inputs)
            total = (self._seen * self.reward_weights).sum(dim=1).double().numpy()
            groups = np.arange(len(total)) // self.num_generations
            if arm == "std_gate":
                spread = total.reshape(-1, self.num_generations).std(axis=1, ddof=1)[groups]
                output["advantages"] = output["advantages"] * output["advantages"].new_tensor(spread >= STD_GATE)
            else:
                pay = float("inf") if arm == "gate" else 1.0
                outcome = (self._seen[:, 0] > 0.5).double().numpy()
                output["advantages"] = keep_paid_size(output["advantages"], total, outcome, groups, pay)
            return output

    return Sized, {}, {}


def run(arm: str, kind: str, weight: float, share: float, seed: int, steps: int, rate: float = 1.0) -> dict[str, Any]:
    """Trains and measures one run, at `rate` times the learning rate."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from tiny_reasoner.training import generate_texts, grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    from benchmarks.efficacy.build import build_model
    from benchmarks.efficacy.families import FAMILIES
    from benchmarks.efficacy.records import find_commit

    torch.set_num_threads(1)
    disable_progress_bars()
    start, family = time.time(), FAMILIES["sums"]
    folder = build_model("sums", ROOT / "out/efficacy/models/sums-llama")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    mix = {"unlearnable": share, family.learnable: 1 - share}
    rows = family.make_problems({name: part for name, part in mix.items() if part}, 512, seed)

    def correct(completions: list[str], answer: list[str], **_: Any) -> list[float]:
        return [float(family.find_answer(text) == gold) for text, gold in zip(completions, answer, strict=True)]

    def shaped(completions: list[str], answer: list[str], **_: Any) -> list[float]:
        return [
            shape(kind, text, gold, family.find_answer(text)) for text, gold in zip(completions, answer, strict=True)
        ]

    def measure() -> dict[str, float]:
        found = {}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for name, kinds in {"prior": family.prior, "learnable": (family.learnable,)}.items():
                problems = family.make_problems(kinds, 200 * len(kinds), seed, held_out=True)
                texts = generate_texts(model, tokenizer, [row["prompt"] for row in problems], temperature=1.0)
                right = [family.find_answer(t) == row["answer"] for t, row in zip(texts, problems, strict=True)]
                found[name] = sum(right) / len(right)
                if name == "prior":
                    paid = [shape(kind, t, row["answer"], None) for t, row in zip(texts, problems, strict=True)]
                    found |= {"paid": sum(paid) / len(paid), "characters": sum(map(len, texts)) / len(texts)}
        return found

    before = measure()
    made, settings, options = make_trainer(arm)
    trainer = made(
        model=model,
        args=grpo_config(
            str(ROOT / "out/shaped"), seed, max_steps=steps, learning_rate=rate * 5e-4, logging_steps=5,
            reward_weights=[1.0, weight], **settings,
        ),
        processing_class=tokenizer, reward_funcs=[correct, shaped], train_dataset=Dataset.from_list(rows), **options,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    curve = [log["rewards/shaped/mean"] for log in trainer.state.log_history if "rewards/shaped/mean" in log]
    row = {"arm": arm, "shape": kind, "weight": weight, "share": share, "seed": seed, "rate": rate, "steps": steps}
    return row | {
        "before": before, "after": measure(), "paid_curve": curve, "seconds": round(time.time() - start, 1),
        "torch": torch.__version__, "commit": find_commit(),
    }  # fmt: skip


def write_table(rows: list[dict[str, Any]]) -> str:
    """A line a shape, weight, share and arm: means over seeds, and the standard deviation over seeds."""
    import numpy as np

    cells = defaultdict(list)
    for row in rows:
        cells[row["shape"], row["weight"], row["share"], ARMS.index(row["arm"]), -row.get("rate", 1.0)].append(row)
    lines = ["| shape | weight | impossible | arm | seeds | " + " | ".join(MEASURES) + " | paid at step 25 |"]
    lines.append("|---" * (len(MEASURES) + 6) + "|")
    for (kind, weight, share, arm, rate), found in sorted(cells.items()):
        after = np.array([[row["after"][name] for name in MEASURES] for row in found])
        early = np.mean([row["paid_curve"][min(4, len(row["paid_curve"]) - 1)] for row in found])
        shown = [f"{m:.2f} ± {s:.2f}" for m, s in zip(after.mean(0), after.std(0), strict=True)]
        name = ARMS[arm] + ("" if rate == -1 else f", lr × {-rate:g}")
        lines.append(
            f"| {kind} | {weight:g} | {share:.0%} | {name} | {len(found)} | {' | '.join(shown)} | {early:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000])
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1.0, help="times the learning rate")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()] if args.rows.exists() else []
    if not args.table:
        done = {
            (r["arm"], r["shape"], r["weight"], r["share"], r["seed"], r["steps"], r.get("rate", 1.0)) for r in rows
        }
        for seed, kind, weight, share, arm in itertools.product(
            args.seeds, args.shapes, args.weights, args.shares, args.arms
        ):
            if (arm, kind, weight, share, seed, args.steps, args.rate) not in done:
                row = run(arm, kind, weight, share, seed, args.steps, args.rate)
                with args.rows.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(arm, kind, weight, share, seed, row["after"], row["seconds"], flush=True)
    print(write_table([json.loads(line) for line in args.rows.read_text().splitlines()]))


if __name__ == "__main__":
    main()
