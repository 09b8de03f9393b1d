"""The main job for real: estimate, filter, scan, train unguarded and guarded, report.

    make demo                           # sets everything up, then runs this; under 15 minutes on two cores
    python recipes/demo.py --out out/demo

Ends with a table of what was kept and flagged, one of the accuracy on skills held before, unguarded and guarded, and
a list of what was written; out/demo/report.html shows it all.

Stops and goes on: rollouts that were sampled and arms that were trained are not done again. `--fresh` starts over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table

RECIPES = Path(__file__).parent
ARMS = {"unguarded": ["--unguarded"], "guarded": []}
MAX_ROLLOUTS, MAX_TOKENS, STEPS, EVALUATE_EVERY = 48, 96, 120, 10

console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="run directory (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of problems, rollouts and training")
    parser.add_argument("--fresh", action="store_true", help="forget an earlier run in the same directory")
    arguments = parser.parse_args()
    out: Path = arguments.out
    if arguments.fresh:
        shutil.rmtree(out, ignore_errors=True)
    start = time.time()
    seed = str(arguments.seed)

    console.print(Rule("1 Estimate: SmolLM2-135M-Instruct on 56 problems, by vLLM"))
    problems, smollm2 = out / "problems.jsonl", out.parent / "smollm2"
    run_recipe("make_problems.py", str(problems), "--seed", seed)
    run_recipe("export_smollm2.py", str(smollm2))
    run_rlguard(
        "estimate", str(problems), "--model", str(smollm2), "--out", str(out / "rates"), "--max-n", str(MAX_ROLLOUTS),
        "--error-rate", "0.08", "--max-tokens", str(MAX_TOKENS), "--temperature", "0.7", "--seed", seed,
    )  # fmt: skip
    console.print(Rule("2 Filter"))
    run_rlguard("filter", str(problems), "--rates", str(out / "rates"), "--out", str(out / "kept.jsonl"))
    console.print(Rule("3 Scan"))
    run_rlguard("scan", str(out / "rates"), "--out", str(out / "findings.jsonl"))
    console.print(Rule("4 Train the tiny reasoner with TRL's GRPO: 31 of 32 problems are near-impossible for it"))
    metrics = train_arms(out / "training", seed)
    write_curves(metrics, out / "curves.png")
    console.print(Rule("5 Report"))
    run_rlguard("report", str(out), "--out", str(out / "report.html"), "--title", "rlguard demo")
    show_summary(metrics, out, time.time() - start)


def run_rlguard(*arguments: str) -> None:
    """One command of the command line, as a user would type it."""
    console.print(f"$ rlguard {' '.join(arguments)}", style="dim", soft_wrap=True, highlight=False)
    code = subprocess.run([sys.executable, "-m", "rlguard", *arguments]).returncode
    if code:  # it has said why
        raise SystemExit(code)


def run_recipe(name: str, *arguments: str) -> None:
    """One recipe, in its own process."""
    console.print(f"$ python recipes/{name} {' '.join(arguments)}", style="dim", soft_wrap=True, highlight=False)
    subprocess.run([sys.executable, str(RECIPES / name), *arguments], check=True, stdout=subprocess.DEVNULL)


def train_arms(folder: Path, seed: str) -> dict[str, list[dict[str, Any]]]:
    """Both arms at once, a core each; returns the rows of their metrics."""
    running = {}
    for arm, flags in ARMS.items():
        if last_step(folder / arm) >= STEPS:
            continue
        shutil.rmtree(folder / arm, ignore_errors=True)
        (folder / arm).mkdir(parents=True)
        command = [sys.executable, str(RECIPES / "train_guarded.py"), "--out", str(folder / arm), *flags]
        command += ["--steps", str(STEPS), "--evaluate-every", str(EVALUATE_EVERY), "--seed", seed]
        with (folder / arm / "log.txt").open("w") as log:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            running[arm] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    columns = TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps")
    with Progress(*columns, TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console) as progress:
        bars = {arm: progress.add_task(arm, total=STEPS, note="") for arm in ARMS}
        while True:
            waiting = [arm for arm, process in running.items() if process.poll() is None]
            for arm, bar in bars.items():
                rows = read_metrics(folder / arm)
                note = f"accuracy on prior skills {rows[-1]['prior_accuracy']:.2f}" if rows else "loading"
                progress.update(bar, completed=max(last_step(folder / arm), 0), note=note)
            if not waiting:
                break
            time.sleep(1)
    for arm, process in running.items():
        if process.returncode != 0:
            log = (folder / arm / "log.txt").read_text().splitlines()
            raise SystemExit("\n".join([f"training of the arm {arm} failed; its log ends:", *log[-15:]]))
    return {arm: read_metrics(folder / arm) for arm in ARMS}


def read_metrics(arm: Path) -> list[dict[str, Any]]:
    """Rows of an arm's metrics so far; a line being written is left for the next look."""
    path = arm / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def last_step(arm: Path) -> int:
    rows = read_metrics(arm)
    return rows[-1]["step"] if rows else -1


def write_curves(metrics: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """The demo's picture: accuracy on prior skills, and answers without computation, by step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    panels = {"prior_accuracy": "accuracy on skills held before", "prior_bare_share": "answers without any computation"}
    style = {"unguarded": ("#d55e00", "--", "o"), "guarded": ("#0072b2", "-", "s")}
    for axis, (metric, title) in zip(axes, panels.items(), strict=True):
        for arm, rows in metrics.items():
            color, line, marker = style[arm]
            steps = [row["step"] for row in rows]
            axis.plot(steps, [row[metric] for row in rows], line, color=color, marker=marker, markersize=4, label=arm)
        axis.set(title=title, xlabel="GRPO step, 31 of 32 problems near-impossible", ylim=(0, 1))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=144)


def show_summary(metrics: dict[str, list[dict[str, Any]]], out: Path, seconds: float) -> None:
    """The short table at the end, and where everything lies."""
    count = {name: sum(1 for _ in (out / name).open()) for name in ("kept.jsonl", "kept.dropped.jsonl")}
    kept, dropped = count.values()
    findings = [json.loads(line) for line in (out / "findings.jsonl").open()]
    flagged = len({(finding["prompt_id"], finding["index"]) for finding in findings})
    found = Table(title="What was found", show_header=False)
    found.add_row("problems worth training on", f"{kept} of {kept + dropped}")
    found.add_row("rollouts with a finding", f"{flagged} of {sum(1 for _ in (out / 'rates/rollouts.jsonl').open())}")
    console.print(found)
    table = Table("", *metrics, title="What became of the skills held before training")
    for metric, name in {"prior_accuracy": "accuracy", "prior_bare_share": "answers without computation"}.items():
        table.add_row(name, *(f"{rows[0][metric]:.2f} → {rows[-1][metric]:.2f}" for rows in metrics.values()))
    console.print(table)
    written = ["rates/rates.parquet", "rates/rollouts.jsonl", "kept.jsonl", "kept.dropped.jsonl", "findings.jsonl"]
    written += [f"training/{arm}/metrics.jsonl" for arm in metrics] + ["curves.png", "report.html"]
    for name in written:
        console.print(f"  {out / name}", soft_wrap=True, highlight=False)
    console.print(f"{seconds / 60:.1f} minutes. Open {out / 'report.html'} in a browser.", soft_wrap=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("stopped: the same command goes on from here") from None
