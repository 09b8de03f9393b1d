"""Whole logs of runs as trainers write them, healthy and harmed: what does the monitor say of each kind, and when?

    python benchmarks/monitor/traces.py                    # 20 runs of each kind, seeds from 10,000
    python benchmarks/monitor/traces.py --runs 5 --first-seed 0

Each run is drawn in plain figures, given the names of a trainer (TRL old and new, verl, tinker, OpenRLHF, a loop of
one's own), written as that trainer's log, and read back as `rlguard watch` reads it. Healthy runs last 500 to 2,400
steps; their entropy falls by 80% to 97%, at once or slowly, and their reward, length and KL drift. Seeds below 10,000
were for tuning.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from rlguard.monitor import Monitor
from rlguard.monitor.core import Event
from rlguard.monitor.logs import read_log
from rlguard.stats import binomial_interval

Figures = dict[str, np.ndarray]
"""Name -> (T,) values."""
NAMES = {
    "TRL": {"reward": "reward", "accuracy": "rewards/accuracy_reward/mean", "format": "rewards/format_reward/mean",
            "length": "completions/mean_length", "truncated": "completions/clipped_ratio", "entropy": "entropy",
            "kl": "kl", "grad_norm": "grad_norm", "clipped": "clip_ratio/region_mean", "flat": "frac_reward_zero_std"},
    "old TRL": {"reward": "reward", "accuracy": "rewards/accuracy_reward", "format": "rewards/format_reward",
                "length": "completion_length", "kl": "kl", "grad_norm": "grad_norm", "clipped": "clip_ratio"},
    "verl": {"reward": "critic/score/mean", "length": "response_length/mean", "truncated": "response_length/clip_ratio",
             "entropy": "actor/entropy", "kl": "actor/kl_loss", "grad_norm": "actor/grad_norm",
             "clipped": "actor/pg_clipfrac"},
    "tinker": {"reward": "env/all/reward/total", "accuracy": "env/all/correct", "format": "env/all/format",
               "length": "env/all/ac_tokens_per_turn", "entropy": "optim/entropy", "kl": "optim/kl_sample_train_v1"},
    "OpenRLHF": {"reward": "reward", "length": "response_length", "truncated": "truncate_ratio", "kl": "kl",
                 "entropy": "entropy_loss", "grad_norm": "actor_grad_norm", "clipped": "ppo_clip_ratio"},
    "own loop": {"reward": "avg_reward", "accuracy": "train_acc", "length": "gen_len_avg", "entropy": "ent",
                 "kl": "kl_to_ref", "truncated": "frac_truncated"},
}  # fmt: skip
FORMATS = {"TRL": "trainer_state.json", "old TRL": "train.log", "verl": "verl.log", "tinker": "metrics.jsonl",
           "OpenRLHF": "metrics.jsonl", "own loop": "metrics.csv"}  # fmt: skip


def draw_run(rng: np.random.Generator, steps: int) -> Figures:
    """A healthy run: learning at its own pace, batches of its own size, noise of its own."""
    step_T = np.arange(steps)
    prompts, group = int(rng.choice([2, 8, 16, 64])), int(rng.choice([4, 8]))
    pace = rng.uniform(0.1, 0.7) * steps
    learned_T = 1 - np.exp(-step_T / pace)
    low, high = rng.uniform(0.1, 0.5), rng.uniform(0.5, 0.9)
    rate_T = low + (high - low) * learned_T
    right_TP = rng.beta(2 * rate_T[:, None], 2 * (1 - rate_T[:, None]), (steps, prompts))
    count_TP = rng.binomial(group, right_TP)
    accuracy_T = count_TP.mean(axis=1) / group
    format_T = rng.binomial(prompts * group, 0.4 + 0.58 * (1 - np.exp(-step_T / 40))) / (prompts * group)
    left = rng.uniform(0.03, 0.2)  # of the entropy, at the end
    falling_T = left + (1 - left) * np.exp(-step_T / rng.uniform(60, 0.6 * steps))
    rough = 0.3 / np.sqrt(prompts)
    grown = rng.uniform(0.75, 2.2)
    return {
        "accuracy": accuracy_T, "format": format_T, "reward": accuracy_T + rng.choice([0.0, 0.2, 1.0]) * format_T,
        "length": rng.uniform(100, 1500) * (1 + (grown - 1) * learned_T) * np.exp(rough * rng.standard_normal(steps)),
        "truncated": rng.binomial(prompts * group, rng.uniform(0, 0.15) * np.ones(steps)) / (prompts * group),
        "entropy": rng.uniform(0.1, 1.5) * falling_T * np.exp(rough * rng.standard_normal(steps)),
        "kl": rng.uniform(0.02, 0.6) * learned_T * np.exp(0.3 * rng.standard_normal(steps)),
        "grad_norm": rng.uniform(0.05, 2) * np.exp(0.5 * rng.standard_normal(steps) + (rng.random(steps) < 0.01) * 3),
        "clipped": rng.uniform(0, 0.02) * np.exp(0.5 * rng.standard_normal(steps)),
        "flat": ((count_TP == 0) | (count_TP == group)).mean(axis=1),
    }  # fmt: skip


def grow(steps: int, start: int, over: int) -> np.ndarray:
    """(T,) 0 before `start`, 1 from `over` steps later on."""
    return np.clip((np.arange(steps) - start + 1) / over, 0, 1)


def gibberish(run: Figures, start: int) -> None:
    on_T = grow(len(run["reward"]), start, 40)
    run["entropy"] *= 1 + 14 * on_T
    run["length"] *= 1 + 1.5 * on_T
    for name in ("reward", "accuracy", "format"):
        run[name] *= 1 - grow(len(on_T), start + 20, 20)


def lengthen(run: Figures, start: int) -> None:
    on_T = grow(len(run["reward"]), start, 60)
    run["length"] *= 1 + 7 * on_T
    run["truncated"] = np.clip(run["truncated"] + 0.85 * grow(len(on_T), start + 20, 40), 0, 1)
    for name in ("reward", "accuracy"):
        run[name] *= 1 - 0.8 * grow(len(on_T), start + 20, 40)


def truncate(run: Figures, start: int) -> None:
    run["truncated"] = np.full(len(run["reward"]), 0.97)
    for name in ("reward", "accuracy", "format"):
        run[name] *= 0.02


def leave_reference(run: Figures, start: int) -> None:
    on_T = grow(len(run["reward"]), start, 10)
    run["kl"] += on_T * 12
    run["grad_norm"] *= 1 + 60 * on_T


def pay_empty(run: Figures, start: int) -> None:
    on_T = grow(len(run["reward"]), start, 10)
    run["length"] *= 1 - 0.97 * on_T
    for name in ("reward", "accuracy", "format"):
        run[name] = run[name] * (1 - on_T) + on_T


def collapse(run: Figures, start: int, over: int = 1) -> None:
    left_T = 1 - 0.97 * grow(len(run["reward"]), start, over)
    for name in ("reward", "accuracy", "format"):
        run[name] = run[name] * left_T


def harden(run: Figures, start: int) -> None:
    run["entropy"] *= 1 - 0.995 * grow(len(run["reward"]), start, 20)


HARMS: dict[str, tuple[Callable[[Figures, int], None], tuple[str, ...]]] = {
    "entropy rises, gibberish": (gibberish, ("entropy", "reward")),
    "length climbs to the cap": (lengthen, ("length", "truncated", "reward")),
    "97% truncated from the start": (truncate, ("truncated", "unsolved_groups")),
    "KL blows up": (leave_reference, ("kl", "grad_norm")),
    "empty answers are paid": (pay_empty, ("length",)),
    "reward collapses at once": (collapse, ("reward", "accuracy", "rewards/accuracy_reward")),
    "reward collapses over 4 steps": (lambda run, at: collapse(run, at, 4), ("reward", "accuracy")),
    "entropy collapses": (harden, ("entropy",)),
}
"""What befalls a run, and the figures that may say so first."""
SHOWN_BY = {"entropy": "entropy", "truncated": "truncated"}
"""A figure without which a harm cannot be seen; of the others the reward is enough."""


def write_log(run: Figures, trainer: str, folder: Path, restart: int = 0) -> Path:
    """The run as its trainer logs it; from `restart` on the steps start over."""
    path, names = folder / FORMATS[trainer], NAMES[trainer]
    rows = [{"step": step - restart if restart and step >= restart else step}
            | {names[figure]: float(f"{values[step]:.4g}") for figure, values in run.items() if figure in names}
            for step in range(len(run["reward"]))]  # fmt: skip
    if path.name.endswith("state.json"):
        path.write_text(json.dumps({"log_history": rows}))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    elif trainer == "verl":
        path.write_text("".join(" - ".join(f"{name}:{value}" for name, value in row.items()) + "\n" for row in rows))
    else:
        path.write_text("".join(f"{ {k: v for k, v in row.items() if k != 'step'} }\n" for row in rows))
    return path


def watch(run: Figures, trainer: str, restart: int = 0) -> tuple[list[tuple[int, Event]], Monitor]:
    """The alarms of a run, each with the place of its step in the log."""
    monitor, told = Monitor(), []
    with tempfile.TemporaryDirectory() as folder:
        rows = read_log(write_log(run, trainer, Path(folder), restart))
    for place, (step, row) in enumerate(rows):
        told += [(place, event) for event in monitor.see(step, row) if event.severity != "note"]
    return told, monitor


def draw_proxy(rng: np.random.Generator, names: tuple[str, str]) -> list[dict[str, float]]:
    """A proxy that rises while the truth stays at 0."""
    pace, noise = rng.uniform(10, 60), rng.uniform(0.02, 0.08)
    return [{names[0]: float(0.05 + 0.85 * (1 - np.exp(-step / pace)) + noise * rng.standard_normal()), names[1]: 0.0}
            for step in range(150)]  # fmt: skip


PROXIES = (("proxy_reward", "true_reward"), ("proxy", "truth"), ("reward", "gold_reward"), ("reward", "true_pass"),
           ("visible_tests", "hidden_tests"), ("reward_proxy_mean", "reward_true_mean"))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=10_000)
    settings = parser.parse_args()
    seeds = range(settings.first_seed, settings.first_seed + settings.runs)
    print("| healthy | runs with an alarm | which |\n|---|---|---|")
    for trainer, steps in (("TRL", 2400), ("old TRL", 1000), ("verl", 1000), ("tinker", 500), ("OpenRLHF", 1000),
                           ("own loop", 500)):  # fmt: skip
        alarmed, which = 0, Counter[str]()
        for seed in seeds:
            told, _ = watch(draw_run(np.random.default_rng([seed, steps]), steps), trainer)
            alarmed += bool(told)
            which.update({f"{event.figure} {event.rule}" for _, event in told})
        low, high = binomial_interval(alarmed, settings.runs)
        words = ", ".join(f"{name} {count}" for name, count in which.most_common())
        print(
            f"| {trainer}, {steps} steps | {alarmed} of {settings.runs} ({low:.0%} to {high:.0%}) | {words} |",
            flush=True,
        )
    print("| harm | trainer | seen | before it | steps until the first alarm, median / worst | first said by |")
    print("|---|---|---|---|---|---|")
    for kind, (harm, figures) in HARMS.items():
        for trainer, names in NAMES.items():
            if SHOWN_BY.get(figures[0], "reward") not in names:
                continue
            delays, early, first = [], 0, Counter[str]()
            for seed in seeds:
                rng = np.random.default_rng([seed, 300])
                run, start = draw_run(rng, 300), 0 if kind.startswith("97%") else int(rng.integers(19, 200))
                harm(run, start)
                told, _ = watch(run, trainer)
                early += any(place < start for place, _ in told)
                after = [(place - start, event.figure) for place, event in told if place >= start]
                delays += [delay for delay, _ in after[:1]]
                first.update(figure for _, figure in after[:1])
            middle = f"{np.median(delays):.0f} / {max(delays)}" if delays else "never"
            words = ", ".join(f"{name} {count}" for name, count in first.most_common(3))
            print(
                f"| {kind} | {trainer} | {len(delays)} of {settings.runs} | {early} | {middle} | {words} |", flush=True
            )
    for names in PROXIES:
        seen = 0
        for seed in seeds:
            monitor = Monitor()
            rows = draw_proxy(np.random.default_rng([seed, 7]), names)
            seen += any(e.figure == "unearned" for step, row in enumerate(rows) for e in monitor.see(step, row))
        print(f"| {names[0]} rises, {names[1]} stays at 0 | own loop | {seen} of {settings.runs} | | | |", flush=True)


if __name__ == "__main__":
    main()
