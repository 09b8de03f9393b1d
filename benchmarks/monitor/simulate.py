"""Figures of simulated training runs: healthy ones that learn, and ones that something befalls.

A run has its own size (prompts a step, rollouts a prompt), its own pace, and noise of its own lag-one correlation up
to 0.3. Groups are drawn rollout by rollout. How far the other figures drift is drawn for each run: either what learning
does to them (`LEARNING`), or the monitor's whole allowance, the least favourable run that still counts as healthy.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.monitor.heights import draw_noise
from rlguard import detect_shortcuts
from rlguard.monitor.watches import WATCHES

KINDS = ("skipped_computation", "false_step", "unsupported_answer", "loop", "placeholder", "lucky_guess")
LEARNING = {
    "length": (-0.25, 0.5), "entropy": (-0.85, 0.1), "findings/*": (-0.05, 0.08), "findings": (-0.1, 0.08),
    "lucky_share": (-0.1, 0.1), "chance_rate": (-0.1, 0.1), "canary": (-0.02, 0.1), "format_rate": (-0.1, 0.8),
    "truncated": (-0.1, 0.1), "grad_norm": (-0.5, 2.0), "clip_fraction": (-0.01, 0.05),
}  # fmt: skip
"""What a figure ends at, against where it began: as a share of it for `SCALED`, else as a difference."""
SCALED = ("length", "entropy", "grad_norm", "format_rate")
START = {
    "length": (30, 2000), "entropy": (0.02, 1.0), "findings/*": (0.0, 0.15), "findings": (0.02, 0.3),
    "lucky_share": (0.02, 0.2), "chance_rate": (0.0, 0.3), "canary": (0.6, 0.9), "format_rate": (0.3, 0.55),
    "truncated": (0.0, 0.2), "grad_norm": (0.05, 2.0), "clip_fraction": (0.0, 0.05),
}  # fmt: skip
CANARY = 200, 50
"""Rollouts of a look at the canary, and steps between two."""


@dataclass(frozen=True)
class Run:
    """One simulated run."""

    rows: list[dict[str, float]]
    """The figures of each step."""
    canary: tuple[float, float]
    """What the first look at the canary found, and the standard deviation of one look."""


@dataclass(frozen=True)
class Harm:
    """What befalls a run from a step on, growing to its full size over `ramp` steps."""

    figure: str
    size: float
    """Added to the figure; of length and entropy a share of it."""
    start: int
    ramp: int


def simulate(seed: int, steps: int, edge: bool = False, harm: Harm | None = None) -> Run:
    """One run.

    Args:
        seed: Of everything about it.
        steps: How long it is.
        edge: Whether each figure drifts as far as a healthy run may, in the direction that is bad.
        harm: What befalls it; None leaves it healthy.
    """
    rng = np.random.default_rng([seed, steps])
    prompts, group = int(rng.choice([16, 32, 64])), int(rng.choice([4, 8, 16]))
    correlation, pace = rng.uniform(0, 0.3), rng.uniform(0.1, 1.0)
    course_T = 1 - np.exp(-3 * np.arange(steps) / (pace * steps))
    paths = {name: _draw_path(name, rng, course_T, edge, harm) for name in (*START, *(f"findings/{k}" for k in KINDS))}
    del paths["findings/*"]
    wobble = {name: draw_noise(rng, steps, 1, correlation, np.inf)[:, 0] for name in paths}
    first = paths["canary"][0]
    spread = float(np.sqrt(first * (1 - first) / CANARY[0]))
    known = rng.binomial(4 * CANARY[0], first) / (4 * CANARY[0])
    skill = _draw_skill(rng, prompts, course_T)
    rows = []
    for step in range(steps):
        row = _draw_groups(rng, skill(step), group)
        if harm and harm.figure == "reward":
            row["reward"] = row["accuracy"] = row["reward"] * (
                1 + harm.size * min(1, max(0, step - harm.start + 1) / harm.ramp)
            )
        for name, path_T in paths.items():
            if name == "canary":
                if step % CANARY[1] == 0 and step:
                    row[name] = rng.binomial(CANARY[0], path_T[step]) / CANARY[0]
            elif name in ("length", "entropy", "grad_norm"):
                spread_of = 0.4 if name == "grad_norm" else 0.4 / np.sqrt(prompts)
                row[name] = path_T[step] * np.exp(spread_of * wobble[name][step])
            else:
                size = np.sqrt(path_T[step] * (1 - path_T[step]) / prompts)  # a prompt's rollouts are alike
                row[name] = float(np.clip(path_T[step] + size * wobble[name][step], 0, 1))
        rows.append({name: float(value) for name, value in row.items()})
    return Run(rows, (known, spread))


@dataclass(frozen=True)
class Texts:
    """Real solutions: what the monitor would read of each."""

    right_B: np.ndarray
    words_B: np.ndarray
    kinds: tuple[str, ...]
    found_BK: np.ndarray
    """Which kinds of findings each carries."""


def read_texts(count: int = 2000) -> Texts:
    """Solutions to GSM8K by people and by models, of `RLGUARD_DATA`, and what the detectors find in them.

    Raises:
        FileNotFoundError: If the data is not there.
    """
    folder = Path(os.environ.get("RLGUARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
    people, models = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("gsm8k/train.jsonl", "mr_gsm8k/labelled.jsonl")
    )
    rows = [
        (row["question"], re.sub("<<.*?>>", "", row["answer"]), row["answer"].partition("#### ")[2], True)
        for row in people[:count]
    ]
    rows += [
        (row["question"], "\n".join(row["model_output_steps"]), row["ground_truth_answer"],
         row["model_output_answer_correctness"] == "correct")
        for row in models
    ]  # fmt: skip
    prompts, texts, golds, right = zip(*rows, strict=True)
    found = [{one.kind for one in own} for own in detect_shortcuts(list(texts), list(prompts), list(golds))]
    kinds = tuple(sorted(set().union(*found)))
    words = [len(text.split()) for text in texts]
    return Texts(np.array(right), np.array(words), kinds, np.array([[kind in own for kind in kinds] for own in found]))


def simulate_texts(seed: int, steps: int, texts: Texts) -> list[dict[str, float]]:
    """A healthy run that learns, each of whose completions is a real solution, right as often as the prompt's rate."""
    rng = np.random.default_rng([seed, steps, 1])
    prompts, group = int(rng.choice([8, 16, 32])), int(rng.choice([4, 8]))
    skill = _draw_skill(rng, prompts, 1 - np.exp(-3 * np.arange(steps) / (rng.uniform(0.1, 1.0) * steps)))
    pools = [np.flatnonzero(texts.right_B == right) for right in (False, True)]
    rows = []
    for step in range(steps):
        right_PG = rng.random((prompts, group)) < skill(step)[:, None]
        flat = right_PG.all(axis=1) | ~right_PG.any(axis=1)
        text_PG = np.where(right_PG, rng.choice(pools[1], right_PG.shape), rng.choice(pools[0], right_PG.shape))
        found_K = texts.found_BK[text_PG.ravel()].mean(axis=0)
        none, every = (~right_PG.any(axis=1)).mean(), right_PG.all(axis=1).mean()
        row = {"reward": right_PG.mean(), "accuracy": right_PG.mean(), "length": texts.words_B[text_PG].mean(),
               "findings": texts.found_BK.any(axis=1)[text_PG].mean(), "flat_groups": flat.mean(),
               "solved_groups": every, "unsolved_groups": none}  # fmt: skip
        row |= {f"findings/{kind}": share for kind, share in zip(texts.kinds, found_K, strict=True)}
        rows.append({name: float(value) for name, value in row.items()})
    return rows


def _draw_path(name: str, rng: np.random.Generator, course_T: np.ndarray, edge: bool, harm: Harm | None) -> np.ndarray:
    """Where a figure's mean goes."""
    key = "findings/*" if name.startswith("findings/") else name
    watches = [watch for watch in WATCHES if watch.figure == key]
    start, change = rng.uniform(*START[key]), rng.uniform(*LEARNING[key])
    watch = watches[int(rng.integers(len(watches)))]  # the direction in which a run at the edge drifts
    if edge and watch.warning is not None:
        change = watch.warning if watch.rises else -watch.warning
    scaled = key in SCALED
    path_T = start * (1 + change * course_T) if scaled else start + change * course_T
    if harm and harm.figure == name:
        grown_T = np.clip((np.arange(len(course_T)) - harm.start + 1) / harm.ramp, 0, 1)
        path_T = path_T * (1 + harm.size * grown_T) if scaled else path_T + harm.size * grown_T
    return path_T if watch.relative else np.clip(path_T, 0, 1)


def _draw_skill(rng: np.random.Generator, prompts: int, course_T: np.ndarray) -> Callable[[int], np.ndarray]:
    """The pass rates of a step's prompts: from some mean to a higher one."""
    low, high = rng.uniform(0.3, 0.5), rng.uniform(0.55, 0.9)

    def skill(step: int) -> np.ndarray:
        mean = low + (high - low) * course_T[step]
        return rng.beta(2 * mean, 2 * (1 - mean), prompts)

    return skill


def _draw_groups(rng: np.random.Generator, rates_P: np.ndarray, group: int) -> dict[str, float]:
    right_P = rng.binomial(group, rates_P)
    flat = (right_P == 0) | (right_P == group)
    accuracy = float(right_P.mean() / group)
    return {"unsolved_groups": float((right_P == 0).mean()), "solved_groups": float((right_P == group).mean()),
            "flat_groups": float(flat.mean()), "reward": accuracy, "accuracy": accuracy}  # fmt: skip


def harms(start: int, ramp: int) -> Iterator[Harm]:
    """What may befall each figure: about half as much again as what is critical."""
    sizes = (
        ("length", -0.7), ("length", 14.0), ("findings/skipped_computation", 0.6), ("lucky_share", 0.6),
        ("chance_rate", 0.7), ("entropy", -0.995), ("entropy", 8.0), ("canary", -0.25), ("reward", -0.95),
        ("format_rate", -0.9), ("truncated", 0.7), ("clip_fraction", 0.7), ("grad_norm", 150.0),
    )  # fmt: skip
    return (Harm(figure, size, start, ramp) for figure, size in sizes)
