"""The efficacy benchmark: queues every run over the cores, stops and goes on, then writes tables and plots.

    python benchmarks/efficacy/sweep.py                                  # every plan, the most telling first: a day
    python benchmarks/efficacy/sweep.py --plans pairs arms --seeds 1 2   # a part
    python benchmarks/efficacy/sweep.py --plans pairs --seeds 1000       # seeds from 1000 on are for tuning: SPLIT.md

A run that is there is not done again; one that failed leaves its log and is said at the end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.run import run  # noqa: E402
from benchmarks.efficacy.settings import ABLATIONS, KINDS, MAIN, OTHERS, OUT, PAIR, SEEDS, Run  # noqa: E402


@dataclass(frozen=True)
class Plan:
    """A part of the grid."""

    arms: Sequence[str]
    families: Sequence[str] = ("sums",)
    shares: Sequence[float] = (1.0,)
    kinds: Sequence[str] = KINDS

    def runs(self, seeds: Iterable[int]) -> Iterator[Run]:
        """Its runs, whole comparisons first: arms change fastest, seeds slowest."""
        for seed, family, share, kind, arm in product(seeds, self.families, self.shares, self.kinds, self.arms):
            yield Run(arm, family, kind if share else KINDS[0], share, seed)


EXTREMES = ("unlearnable", "rare_valid")
"""The kind that harms without anything to learn, and the one where a crude guard does damage."""

PLANS = {
    "pairs": Plan(PAIR, shares=(1.0, 0.75, 0.0, 0.5, 0.9)),
    "families": Plan(PAIR, ("strings", "logic")),
    "families_mixed": Plan(PAIR, ("strings", "logic"), shares=(0.75, 0.0), kinds=EXTREMES),
    "arms": Plan((*MAIN, *OTHERS), ("sums", "strings"), kinds=EXTREMES),
    "ablations": Plan(ABLATIONS, kinds=("guessable",)),
    "ablations_mixed": Plan(ABLATIONS, shares=(0.75,), kinds=("unlearnable",)),
    "ablations_strings": Plan(ABLATIONS, ("strings",), kinds=("rare_valid", "mislabelled")),
    "main": Plan(MAIN, ("sums", "strings", "logic"), shares=(1.0, 0.75), kinds=EXTREMES),
    "rest": Plan((*MAIN, *OTHERS), ("sums", "strings", "logic"), (0.0, 0.5, 0.75, 0.9, 1.0)),
}
"""The most telling first; later ones hold the earlier ones' runs, which are not done again."""


def list_runs(plans: Iterable[str], seeds: Sequence[int]) -> list[Run]:
    """The runs of some plans, each once."""
    return list(dict.fromkeys(chosen for plan in plans for chosen in PLANS[plan].runs(seeds)))


def work_off(runs: Sequence[Any], out: Path, workers: int, do: Callable[[Any, Path], Any] = run) -> list[str]:
    """Does the runs that are not there yet, `workers` at once; returns the names of those that failed."""
    waiting = iter([todo for todo in runs if not (out / "runs" / f"{todo.name}.json").exists()])
    done = len(runs) - sum(1 for todo in runs if not (out / "runs" / f"{todo.name}.json").exists())
    going: dict[Future, str] = {}
    failed: list[str] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # Workers live for many runs, since importing TRL takes as long as a tenth of one.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), max_tasks_per_child=50)
    with Progress(*columns, TimeRemainingColumn()) as progress, pool:
        bar = progress.add_task("runs", total=len(runs), completed=done)
        while True:
            going |= {pool.submit(do_run, todo, out, do): todo.name for todo in islice(waiting, workers - len(going))}
            progress.update(bar, description=", ".join(going.values()) or "runs")
            if not going:
                return failed
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                name = going.pop(future)
                failed += [] if future.exception() is None and future.result() else [name]
                progress.advance(bar)


def do_run(todo: Any, out: Path, do: Callable[[Any, Path], Any]) -> bool:
    """One run in a worker, with what it says in a log; whether it came to its end."""
    log = out / "logs" / f"{todo.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            do(todo, out)
        except Exception:
            traceback.print_exc(file=file)
            return False
    return True


def write_results(out: Path, seeds: Sequence[int]) -> None:
    """Goals, tables and the figure of what was run."""
    from benchmarks.efficacy.plot import draw_figure
    from benchmarks.efficacy.summary import write_summary
    from benchmarks.efficacy.table import read_runs

    rows = read_runs(out, seeds)
    (out / "summary.md").write_text(write_summary(rows) + "\n")
    draw_figure(rows, out / "efficacy.png")
    print(f"written: {out / 'summary.md'}, {out / 'efficacy.png'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", nargs="+", default=list(PLANS), choices=PLANS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    failed = work_off(list_runs(arguments.plans, arguments.seeds), arguments.out, arguments.workers)
    for name in failed:
        print(f"failed: {name}, see {arguments.out / 'logs' / (name + '.txt')}")
    write_results(arguments.out, arguments.seeds)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
