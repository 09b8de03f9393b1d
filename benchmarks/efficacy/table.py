"""Tables of the efficacy benchmark, one a question and family (`summary.py` writes them all).

Intervals are 95%, bootstrapped over seeds (10,000 draws); differences are of the same seeds. With fewer than two seeds
there is none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.settings import ABLATIONS  # noqa: E402

Row = dict[str, Any]
Mix = tuple[str, str, float]
"""Family, kind, share."""
Measure = Callable[[Row], float]

GUARDED = ("rlguard", "rlguard_rewrite")
FULL = "rlguard_rewrite"
"""What the ablations take one thing from."""
GUARDS_OWN = ("lucky_share", "chance_rate", "unsolved_groups")
"""Figures of the monitor that come of pass rates and chance; the others are read off texts, or the trainer's own."""
FALL = 0.05
"""Points of accuracy on prior skills whose loss is harm."""


def end(group: str, name: str, when: str = "after") -> Measure:
    """A figure of a group of held-out problems; NaN where it is not defined."""
    return lambda row: nan if row[when][group].get(name) is None else float(row[when][group][name])


def change(group: str, name: str, ratio: bool = False) -> Measure:
    """After less before, or over it."""
    after, before = end(group, name), end(group, name, "before")
    return (lambda row: after(row) / before(row)) if ratio else (lambda row: after(row) - before(row))


def find_harm(curve: Sequence[Row]) -> float:
    """The first measured step at which accuracy on prior skills is `FALL` below the start; NaN if it never is.

    The next measurement, where there is one, must agree: a single one may be the luck of sampling.
    """
    low = [row["prior_accuracy"] <= curve[0]["prior_accuracy"] - FALL for row in curve]
    return next((float(curve[i]["step"]) for i in range(len(curve)) if all(low[i : i + 2])), nan)


def find_warning(curve: Sequence[Row], guard: bool | None = None) -> float:
    """The first step at which a figure was in alarm: one that the guard alone knows, another, or (None) any."""
    steps = [
        step
        for row in curve
        for name, step in row.get("warnings", {}).items()
        if guard is None or (name in GUARDS_OWN) == guard
    ]
    return float(min(steps, default=nan))


def find_lucky_share(row: Row) -> float:
    """Share of all successes in training that were lucky."""
    seen = [(point["lucky_share_true"], point["successes"]) for point in row["curve"] if "lucky_share_true" in point]
    total = sum(count for _, count in seen)
    return sum(share * count for share, count in seen) / total if total else nan


RETENTION, GAIN = change("prior", "accuracy", ratio=True), change("learnable", "accuracy")
RARE = {k: end("rare_valid", f"computed_pass@{k}") for k in (1, 64)}
QUESTIONS: dict[str, dict[str, Measure]] = {
    "What is kept and gained": {
        "prior skills kept": RETENTION,
        "kept, computed": change("prior", "share_computed", ratio=True),
        "gain on learnable": GAIN,
        "learnable, computed pass@64": end("learnable", "computed_pass@64"),
    },
    "Rare but valid": {
        "correct": end("rare_valid", "accuracy"),
        "computed pass@1": RARE[1],
        "computed pass@64": RARE[64],
        "change of pass@1": change("rare_valid", "computed_pass@1"),
        "change of pass@64": change("rare_valid", "computed_pass@64"),
    },
    "How it looks inside": {
        "bare answers": end("prior", "share_bare"),
        "lucky successes in training": find_lucky_share,
        "entropy (nats)": end("prior", "entropy"),
        "ECE, learnable": end("learnable", "ece"),
        "overconfidence, learnable": end("learnable", "overconfidence"),
        "characters": end("prior", "mean_characters"),
    },
    "When it shows": {
        "harm measured at step": lambda row: find_harm(row["curve"]),
        "guard warns at step": lambda row: find_warning(row["curve"], guard=True),
        "others warn at step": lambda row: find_warning(row["curve"], guard=False),
    },
}
DIFFERENCES: dict[str, list[tuple[str, Measure, str | None]]] = {
    "What is kept and gained": [("kept", RETENTION, "grpo"), ("gain", GAIN, None)],
    "Rare but valid": [("pass@1", RARE[1], "grpo")],
}
"""What is compared seed by seed, and with which arm; None is the best that is not rlguard's."""


def bootstrap(values: Sequence[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """A 95% percentile interval for the mean.

    Args:
        values: One figure a seed; NaN are left out.
        draws: Bootstrap samples.
        seed: Of the draws.

    Returns:
        Low and high; NaN with fewer than two figures.
    """
    known = np.array([value for value in values if not np.isnan(value)])
    if len(known) < 2:
        return nan, nan
    means = np.random.default_rng(seed).choice(known, (draws, len(known))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def read_runs(out: Path, seeds: Sequence[int] | None = None) -> list[Row]:
    """The rows of these seeds, or of all, in the order of their names."""
    rows = [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]
    return [row for row in rows if seeds is None or row["seed"] in seeds]


def list_mixes(rows: Sequence[Row]) -> list[Mix]:
    """What was trained on."""
    return sorted({(row["family"], row["kind"], row["share"]) for row in rows})


def choose(rows: Sequence[Row], mix: Mix, arm: str | None = None) -> list[Row]:
    """The rows of a mix, and of an arm."""
    return [row for row in rows if (row["family"], row["kind"], row["share"]) == mix and arm in (None, row["arm"])]


def subtract(rows: Sequence[Row], mix: Mix, arm: str, other: str, measure: Measure) -> list[float]:
    """An arm's figure less another's, of each seed that both have."""
    ours, theirs = ({row["seed"]: measure(row) for row in choose(rows, mix, name)} for name in (arm, other))
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def find_best(rows: Sequence[Row], mix: Mix, measure: Measure) -> str | None:
    """The arm that has the highest mean, of those that are not rlguard's; None where none ran."""
    means: dict[str, list[float]] = {}
    for row in choose(rows, mix):
        if row["arm"] not in (*ABLATIONS, *GUARDED, "rlguard_filter"):
            means.setdefault(row["arm"], []).append(measure(row))
    return max(means, key=lambda arm: float(np.mean(means[arm]))) if means else None


def name_mix(mix: Mix) -> str:
    """In words.

    >>> name_mix(("sums", "unlearnable", 0.75)), name_mix(("sums", "unlearnable", 0.0))
    ('sums, 75% unlearnable', 'sums, all learnable')
    """
    family, kind, share = mix
    return f"{family}, {share:.0%} {kind}" if share else f"{family}, all learnable"


def write_overview(rows: Sequence[Row]) -> str:
    """GRPO and `FULL` side by side, one line a mix that both have run.

    What is kept of the prior skills, gained on learnable problems, and, of rare but valid ones, solved by computing.
    """
    columns = {"kept": RETENTION, "gain": GAIN, "rare": RARE[1]}
    names = ["mix", "seeds", *(f"{name}, {arm}" for name in columns for arm in ("GRPO", "guarded"))]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for mix in list_mixes(rows):
        pair = [choose(rows, mix, arm) for arm in ("grpo", FULL)]
        if all(pair):
            count = "/".join(dict.fromkeys(str(len(own)) for own in pair))
            cells = [write_cell([measure(row) for row in own]) for measure in columns.values() for own in pair]
            lines.append("| " + " | ".join([name_mix(mix), count, *cells]) + " |")
    return "\n".join(lines)


def write_table(rows: Sequence[Row], mixes: Sequence[Mix], question: str, ablations: bool = False) -> str:
    """A Markdown table of some mixes for one question: the methods, or what is taken from the full one."""
    measures, compared = QUESTIONS[question], DIFFERENCES.get(question, [])
    others = [FULL if ablations else base or "the best other arm" for _, _, base in compared]
    differences = [f"{name}, less {other}'s" for (name, _, _), other in zip(compared, others, strict=True)]
    names = ["mix", "arm", "seeds", *measures, *differences]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for mix in mixes:
        own = choose(rows, mix)
        chosen = [r for r in own if (r["arm"] in ABLATIONS) == ablations or (ablations and r["arm"] == FULL)]
        arms = sorted({row["arm"] for row in chosen}, key=lambda arm: (arm not in ("grpo", FULL), arm))
        bases = [FULL if ablations else base or find_best(rows, mix, measure) for _, measure, base in compared]
        for arm in arms:
            seeds = choose(chosen, mix, arm)
            shown = [(measure, find_digits(name)) for name, measure in measures.items()]
            cells = [write_cell([measure(row) for row in seeds], digits) for measure, digits in shown]
            for (_, measure, _), base in zip(compared, bases, strict=True):
                less = subtract(chosen, mix, arm, base, measure) if base in arms and base != arm else []
                cells.append(write_cell(less, sign=True) if less else "")
            lines.append("| " + " | ".join([name_mix(mix), arm, str(len(seeds)), *cells]) + " |")
    return "\n".join(lines)


def find_digits(name: str) -> int:
    """Decimals of a column."""
    return 0 if "step" in name else 1 if name == "characters" else 3


def write_cell(values: Sequence[float], digits: int = 3, sign: bool = False) -> str:
    """Mean and interval; how many had a figure, where some had none."""
    known = [value for value in values if not isnan(value)]
    if not known:
        return "–"
    low, high = bootstrap(known)
    shape = f"{'+' if sign else ''}.{digits}f"
    interval = "" if isnan(low) else f" [{low:{shape}}, {high:{shape}}]"
    missing = f" ({len(known)} of {len(values)})" if len(known) < len(values) else ""
    return f"{np.mean(known):{shape}}{interval}{missing}"
