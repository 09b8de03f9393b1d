"""Queues runs of the efficacy benchmark over the cores; stops and goes on.

    python benchmarks/efficacy/sweep.py --arms grpo rlguard --shares 0.75 1 --seeds 1 2 3 4 5 --out out/efficacy

About four minutes a run on one core. A run that is there is not done again; one that failed leaves its log and is said
at the end. Seeds from 1000 on are for tuning, 1 to 5 for reporting: `SPLIT.md` was written before the runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.run import KINDS, Run  # noqa: E402

ARMS = (
    "grpo", "rlguard", "rlguard_rewrite", "rlguard_filter", "balanced_filter", "s_grpo", "max_rl", "threshold",
    "dr_grpo", "dapo_filter", "random_reward",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0, 0.5, 0.75, 0.9, 1.0])
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--steps", type=int, default=Run.steps)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("out/efficacy"))
    arguments = parser.parse_args()
    grid = product(arguments.seeds, arguments.shares, arguments.kinds, arguments.arms)  # whole comparisons first
    runs = [Run(arm, kind, share, seed, arguments.steps) for seed, share, kind, arm in grid]
    failed = work_off(runs, arguments.out, arguments.workers)
    for name in failed:
        print(f"failed: {name}, see {arguments.out / 'logs' / (name + '.txt')}")
    sys.exit(bool(failed))


def work_off(runs: list[Run], out: Path, workers: int) -> list[str]:
    """Does the runs that are not there yet, `workers` at once; returns the names of those that failed."""
    (out / "logs").mkdir(parents=True, exist_ok=True)
    waiting = [run for run in runs if not (out / "runs" / f"{run.name}.json").exists()]
    running: dict[str, subprocess.Popen] = {}
    failed: list[str] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn()) as progress:
        bar = progress.add_task("runs", total=len(runs), completed=len(runs) - len(waiting))
        while waiting or running:
            while waiting and len(running) < workers:
                run = waiting.pop(0)
                running[run.name] = start(run, out)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    failed += [name] if process.returncode else []
                    progress.advance(bar)
            progress.update(bar, description=", ".join(running) or "runs")
            time.sleep(0.5)
    return failed


def start(run: Run, out: Path) -> subprocess.Popen:
    """One run in a process of its own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "efficacy" / "run.py"), "--out", str(out)]
    command += ["--arm", run.arm, "--kind", run.kind, "--share", f"{run.share:g}", "--seed", str(run.seed)]
    command += ["--steps", str(run.steps)]
    with (out / "logs" / f"{run.name}.txt").open("w") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


if __name__ == "__main__":
    main()
