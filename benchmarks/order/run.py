"""The order benchmark: does the planned order of domains forget less than joint training and other orders?

    python benchmarks/order/run.py --workers 16        # all of it: model, probes, plan, runs, summary.md, figure
    python benchmarks/order/run.py --seeds 1000 1001   # tuning seeds: 1000 and up; reported ones: 1 and up

A part that is there is not done again; where all runs are there, only summary and figure are made. The plan comes from
probes on tuning problems; a reported run has problems and questions of its own. All arms of a seed train on the same
problems for as many steps, with the guarded trainer.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[2] / "recipes"))

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.efficacy.records import find_commit, write_whole
from benchmarks.efficacy.sweep import work_off
from benchmarks.order.domains import DOMAINS, DomainVerifier, make_rows
from rlguard.order.plan import OrderPlan, plan_order
from rlguard.order.probe import ProbeSettings, probe
from rlguard.order.schedule import order_rows
from rlguard.order.transfer import Transfer, read_transfer, write_json, write_transfer
from rlguard.tables.read import read_problems
from rlguard.types import InputError, Problem

OUT = Path("out/order")
ARMS = ("planned", "joint", "reversed", "random")
SEEDS = (1, 2, 3, 4, 5, 6, 7, 8)
PROBE_SEED = 1000
QUESTIONS = 192
"""Held-out questions a domain of the probes."""
PROMPTS, GROUP, MAX_TOKENS, LEARNING_RATE = 16, 8, 40, 2e-4
"""Chosen on tuning seed 1000, a domain at a time: from 4e-4 on, or with 8 prompts, training on `parts` lowers it."""
PROBES = ProbeSettings(
    steps=30, trainings=3, prompts=PROMPTS, group_size=GROUP, n=2, max_tokens=MAX_TOKENS,
    learning_rate=LEARNING_RATE, seed=PROBE_SEED,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What is run."""

    arm: str
    seed: int
    order: tuple[str, ...]
    """Of the domains; joint training has one too, which is not used."""
    steps: int = 80
    """A domain; joint training takes as many in all."""
    questions: int = 250
    """Held-out questions a domain."""
    rollouts: int = 4
    """Of each of them, at T=1."""

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.seed}"


def find_transfer(out: Path) -> Transfer:
    """The matrix of transfer by probes on tuning problems; run first where it is not there yet."""
    if not (out / "transfer.json").exists():
        from benchmarks.order.build import build_model

        model = build_model(out / "model")
        training = {name: _read(make_rows(name, PROBES.steps * PROMPTS, PROBE_SEED)) for name in DOMAINS}
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
            task = bar.add_task("probes", total=None)
            found = probe(
                str(model), training, probe_questions(), out / "probes", PROBES, DomainVerifier(),
                lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
            )  # fmt: skip
        write_transfer(found, out / "transfer.json")
    return read_transfer(out / "transfer.json")


def probe_questions() -> dict[str, list[Problem]]:
    """The held-out questions of the probes, by domain."""
    return {name: _read(make_rows(name, QUESTIONS, PROBE_SEED, held_out=True)) for name in DOMAINS}


def make_questions(count: int, seed: int) -> list[Problem]:
    """Held-out questions of all domains, none of which the probes asked."""
    asked = {problem.text for problems in probe_questions().values() for problem in problems}
    found = []
    for name in DOMAINS:
        rows = make_rows(name, count + QUESTIONS, seed, held_out=True)
        found += [row for row in rows if row["prompt"] not in asked][:count]
    return _read(found)


def list_runs(plan: OrderPlan, seeds: Sequence[int]) -> list[Run]:
    """All runs, whole comparisons first."""
    runs: list[Run] = []
    for seed in seeds:
        shuffled = list(DOMAINS)
        random.Random(f"order {seed}").shuffle(shuffled)
        orders = {"reversed": plan.order[::-1], "random": tuple(shuffled)}
        runs += [Run(arm, seed, orders.get(arm, plan.order)) for arm in ARMS]
    return runs


def check_rows(runs: Sequence[Run], out: Path) -> None:
    """Checks that the rows that are there are of just these settings.

    Raises:
        InputError: If one is not; names it and what differs.
    """
    for todo in runs:
        path = out / "runs" / f"{todo.name}.json"
        row = json.loads(path.read_text()) if path.exists() else {}
        wanted = json.loads(json.dumps(asdict(todo)))
        differing = [
            f"{name} {row[name]!r}, now {value!r}" for name, value in wanted.items() if row and row[name] != value
        ]
        if differing:
            raise InputError(f"{path} was run with {'; '.join(differing)}: move it away, or choose another --out")


def run(settings: Run, out: Path) -> dict[str, Any]:
    """Trains `out/model` and measures; writes and returns the row."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from tiny_reasoner.training import grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    from rlguard.integrations.trl import GuardedGRPOTrainer
    from rlguard.order.probe import make_reward

    torch.set_num_threads(1)
    disable_progress_bars()
    start, model = time.time(), out / "model"
    domains = {name: make_rows(name, settings.steps * PROMPTS, settings.seed) for name in DOMAINS}
    rows = order_rows(domains, settings.order, seed=settings.seed)
    if settings.arm == "joint":
        random.Random(settings.seed).shuffle(rows)
    tokenizer = AutoTokenizer.from_pretrained(model)
    recorder = make_recorder(settings, tokenizer)
    trainer = GuardedGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=grpo_config(
            str(out / "trl" / settings.name), settings.seed, max_steps=settings.steps * len(DOMAINS),
            per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP, max_completion_length=MAX_TOKENS,
            learning_rate=LEARNING_RATE, shuffle_dataset=False,
        ),
        processing_class=tokenizer,
        reward_funcs=make_reward(_read(rows), DomainVerifier()),
        train_dataset=Dataset.from_list([row | {"number": number} for number, row in enumerate(rows)]),
        callbacks=[recorder],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    row = asdict(settings) | {"domains": list(DOMAINS), "accuracy": recorder.accuracy_SD}
    row |= {"seconds": time.time() - start, "torch": torch.__version__, "commit": find_commit()}
    write_whole(out / "runs" / f"{settings.name}.json", row)
    return row


def make_recorder(settings: Run, tokenizer: Any) -> Any:
    """A callback that measures accuracy on every domain before training and after each stage: `accuracy_SD`."""
    import torch
    from tiny_reasoner.training import generate_texts
    from transformers import TrainerCallback

    questions, verifier = make_questions(settings.questions, settings.seed), DomainVerifier()
    asked = [problem for problem in questions for _ in range(settings.rollouts)]  # a domain's lie together

    class Recorder(TrainerCallback):
        def __init__(self) -> None:
            self.accuracy_SD: list[list[float]] = []

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.measure(model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step % settings.steps == 0:
                self.measure(model)

        def measure(self, model: Any) -> None:
            with torch.random.fork_rng():  # training must not notice
                torch.manual_seed(settings.seed)
                texts = generate_texts(model, tokenizer, [problem.text for problem in asked], temperature=1.0)
            scores = [verifier.score(text, problem) for text, problem in zip(texts, asked, strict=True)]
            count = settings.questions * settings.rollouts
            self.accuracy_SD.append(
                [sum(scores[i : i + count]) / count for i in range(0, len(scores), count)]
            )  # fmt: skip

    return Recorder()


def _read(rows: Sequence[dict[str, str]]) -> list[Problem]:
    return read_problems(rows)


def main() -> None:
    from benchmarks.order.summary import draw_figure, read_runs, write_summary

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--workers", type=int, default=1, help="runs at once, a core each")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    out, seeds = arguments.out, arguments.seeds
    transfer = find_transfer(out)
    plan = plan_order(transfer)
    write_json(plan.to_record(), out / "order.json")
    runs = list_runs(plan, seeds)
    check_rows(runs, out)
    missing = [todo for todo in runs if not (out / "runs" / f"{todo.name}.json").exists()]
    if missing:
        from benchmarks.order.build import build_model

        build_model(out / "model")
    failed = work_off(missing, out, arguments.workers, run)
    for name in failed:
        print(f"failed: {name}, see {out / 'logs' / (name + '.txt')}")
    if not read_runs(out, seeds)["planned"]:
        sys.exit("no summary: no seed has the runs of all arms")
    text = write_summary(out, seeds)
    (out / "summary.md").write_text(text)
    draw_figure(out, seeds, out / "order.png")
    print(text)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
