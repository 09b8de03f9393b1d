"""Does the monitor hold what it states? Alarms in healthy runs, simulated and real, and how soon harm is seen.

    python benchmarks/monitor/false_alarms.py                              # simulated: 200 runs of 1,000 steps and more
    python benchmarks/monitor/false_alarms.py --texts                      # completions are real texts (RLGUARD_DATA)
    python benchmarks/monitor/false_alarms.py --real out/efficacy --seeds 1 2 3 4 5

A real run is a row of the first efficacy benchmark (../archive), which kept what the monitor saw of each step. Seeds
from 1000 on were for tuning.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
from benchmarks.gpu.table import find_harm  # noqa: E402
from benchmarks.monitor.simulate import Run, harms, read_texts, simulate, simulate_texts  # noqa: E402
from rlguard.monitor import Monitor, MonitorConfig  # noqa: E402
from rlguard.monitor.core import Event  # noqa: E402
from rlguard.stats import binomial_interval  # noqa: E402

HARM_AT, LONG_AFTER = 100, 200
"""When something befalls a simulated run, and how many steps later it must have been seen."""


def write_share(count: int, total: int) -> str:
    """A share with its exact interval, in words.

    >>> write_share(2, 200)
    '2 of 200 (1.0%, 0.1% to 3.6%)'
    """
    low, high = binomial_interval(count, total)
    return f"{count} of {total} ({count / total:.1%}, {low:.1%} to {high:.1%})" if total else "none of 0"


def listen(run: Run, config: MonitorConfig) -> list[Event]:
    """The alarms of a simulated run."""
    monitor = Monitor(config)
    monitor.refer("canary", *run.canary, steps=4)
    events = [event for step, row in enumerate(run.rows) for event in monitor.see(step, row)]
    return [event for event in events if event.severity != "note"]


def count_healthy(runs: int, steps: int, first_seed: int, edge: bool) -> str:
    """Simulated healthy runs with an alarm, of each rule."""
    config = MonitorConfig(steps=steps)
    changed, stood, who = 0, 0, Counter[str]()
    for seed in range(first_seed, first_seed + runs):
        alarms = listen(simulate(seed, steps, edge), config)
        changed += any(event.rule in ("change", "collapse") for event in alarms)
        stood += any(event.rule == "state" for event in alarms)
        who.update({f"{event.figure} ({event.rule})" for event in alarms})
    told = ", ".join(f"{name} {count}" for name, count in who.most_common())
    name = "at the edge of what is allowed" if edge else "as learning goes"
    return f"{steps} steps, drift {name}: change {write_share(changed, runs)}; state {write_share(stood, runs)}  {told}"


def count_texts(runs: int, steps: int, first_seed: int) -> str:
    """Healthy runs with an alarm whose completions are real solutions."""
    texts, alarmed, who = read_texts(), 0, Counter[str]()
    for seed in range(first_seed, first_seed + runs):
        monitor = Monitor(MonitorConfig(steps=steps))
        events = [e for step, row in enumerate(simulate_texts(seed, steps, texts)) for e in monitor.see(step, row)]
        alarms = {f"{event.figure} ({event.rule})" for event in events if event.severity != "note"}
        alarmed += bool(alarms)
        who.update(alarms)
    told = ", ".join(f"{name} {count}" for name, count in who.most_common())
    flagged = texts.found_BK.any(axis=1).mean()
    kinds = f"{len(texts.right_B)} texts, {flagged:.1%} with a finding of {len(texts.kinds)} kinds"
    return f"{steps} steps, completions drawn from {kinds}: {write_share(alarmed, runs)}  {told}"


def measure_delays(runs: int, first_seed: int, ramp: int) -> list[str]:
    """For each harm, in how many of the runs it was seen, and after how many steps."""
    lines = []
    for harm in harms(HARM_AT, ramp):
        delays, early = [], 0
        for seed in range(first_seed, first_seed + runs):
            run = simulate(seed, HARM_AT + LONG_AFTER, harm=harm)
            at = [event.step for event in listen(run, MonitorConfig()) if event.figure == harm.figure]
            early += any(step < HARM_AT for step in at)
            delays += [min(step for step in at if step >= HARM_AT) - HARM_AT] if max(at, default=0) >= HARM_AT else []
        middle = "never" if not delays else " / ".join(f"{np.quantile(delays, q):.0f}" for q in (0.5, 0.9))
        lines.append(f"| {harm.figure} {harm.size:+g} | {ramp} | {len(delays)} of {runs} | {middle} | {early} |")
    return lines


def count_real(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Alarms in runs of the efficacy benchmark: as they were told, and by the run's own first steps alone."""
    healthy: dict[str, Callable[[dict[str, Any]], bool]] = {
        "only learnable problems": lambda row: not row["share"],
        "other runs without harm": lambda row: bool(row["share"]) and isnan(find_harm(row["curve"])),
    }
    lines = []
    for name, belongs in healthy.items():
        runs = [row for row in rows if belongs(row) and any(point.get("figures") for point in row["curve"])]
        told = sum(not isnan(find_warning(row["curve"])) for row in runs)
        alarms = [replay_row(row) for row in runs]
        rules = (("change", "collapse"), ("state",))
        changed, stood = (sum(any(e.rule in rule for e in own) for own in alarms) for rule in rules)
        lines.append(f"{name}: warned {write_share(told, len(runs))}")
        lines.append(f"    by its own first steps: change {write_share(changed, len(runs))}; state {stood}")
    harmed = [row for row in rows if not isnan(find_harm(row["curve"]))]
    before = sum(find_warning(row["curve"]) < find_harm(row["curve"]) for row in harmed)
    return [*lines, f"harmed runs: warned before in {write_share(before, len(harmed))}"]


def read_runs(out: Path, seeds: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """The rows of these seeds, or of all, in the order of their names."""
    rows = [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]
    return [row for row in rows if seeds is None or row["seed"] in seeds]


def find_warning(curve: Sequence[dict[str, Any]]) -> float:
    """The first step at which a figure was in alarm; NaN if none ever was."""
    return float(min((step for row in curve for step in row.get("warnings", {}).values()), default=nan))


def replay_row(row: dict[str, Any]) -> list[Event]:
    """What a monitor without rollouts of the untrained model says of a run."""
    monitor = Monitor(MonitorConfig(steps=row["steps"]))
    figures = [dict(figures) for point in row["curve"] for figures in point.get("figures", ())]
    events = [event for row in figures for event in monitor.see(int(row.pop("step")), row)]
    return [event for event in events if event.severity != "note"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--real", type=Path, help="output folder of the efficacy benchmark")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the real runs; by default all")
    parser.add_argument("--texts", action="store_true", help="simulated runs whose completions are real solutions")
    settings = parser.parse_args()
    if settings.texts:
        for steps in (1000, 100):
            print(count_texts(settings.runs, steps, settings.first_seed), flush=True)
        return
    if settings.real:
        print("\n".join(count_real(read_runs(settings.real, settings.seeds))))
        return
    for steps, edge in ((1000, False), (1000, True), (100, False), (100, True)):
        print(count_healthy(settings.runs, steps, settings.first_seed, edge), flush=True)
    print("| harm | grows over | seen | steps until seen, median / 90% | too early |\n|---|---|---|---|---|")
    for ramp in (1, 50):
        print("\n".join(measure_delays(max(1, settings.runs // 4), settings.first_seed, ramp)), flush=True)


if __name__ == "__main__":
    main()
