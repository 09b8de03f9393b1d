"""Rollouts that adaptive sampling takes, against a fixed number for the same share of prompts in a wrong band.

    python benchmarks/throughput/adaptive.py --out out/adaptive.json       # about 8 minutes on one core

Prompts are simulated (their pass rate is known), the rule is rlguard's own. For each population and set of bounds:
fixed n = 64 with the band of k/n; rlguard's rule at several error rates, from which the number of rollouts at the same
share of wrong bands is read off by interpolation; the same rule when it knows the population (nobody does: it shows how
far any rule can get); and sampling until the 95% confidence sequence lies inside one band, the textbook way.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from rlguard.difficulty.estimate import REFINEMENTS
from rlguard.difficulty.stopping import RATES, Plan, Population, refine_plan
from rlguard.stats import confidence_sequence
from rlguard.types import name_band

POPULATIONS = {  # share at 0, share at 1, Beta parameters of the rest
    "many at 0 and 1, Beta(1, 1) between": (0.4, 0.3, 1.0, 1.0),
    "many at 0 and 1, Beta(2, 2) between": (0.4, 0.3, 2.0, 2.0),
    "many at 0 and 1, Beta(0.8, 0.8) between": (0.4, 0.3, 0.8, 0.8),
    "very many at 0 and 1, Beta(1, 1) between": (0.5, 0.35, 1.0, 1.0),
    "at the bounds: Beta(9, 1)": (0.0, 0.0, 9.0, 1.0),
    "hard: half at 0, Beta(1, 2) between": (0.5, 0.1, 1.0, 2.0),
}
BOUNDS = ((0.02, 0.1, 0.9), (0.05, 0.2, 0.8))
ERROR_RATES = (0.004, 0.008, 0.012, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/adaptive.json"))
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rows = []
    for name, shape in POPULATIONS.items():
        for bounds in BOUNDS:
            rows.append({"population": name, "bounds": bounds} | compare(shape, bounds, args.prompts, args.seed))
            print(json.dumps(rows[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"prompts": args.prompts, "seed": args.seed, "rows": rows}, indent=1))


def compare(shape, bounds, prompts: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    p = draw_population(shape, prompts, rng)
    truth = np.array([name_band(rate, bounds) for rate in p])
    successes = (rng.random((prompts, 128)) < p[:, None]).cumsum(axis=1)
    target = float(np.mean([name_band(k / 64, bounds) for k in successes[:, 63]] != truth))
    known = tuple(histogram(draw_population(shape, 200_000, rng)).tolist())
    plans = {"rlguard": Plan(bounds=bounds), "knows the population": Plan(bounds=bounds, population=known)}
    default = stop(successes, plans["rlguard"], refine=True)
    return {
        "wrong at fixed 64": target,
        "rollouts at the same share": {who: at_share(target, successes, truth, plan) for who, plan in plans.items()},
        "default plan": judge(successes, default, truth, bounds),
        "until the interval fits a band (at most 128)": until_interval_fits(successes, truth, bounds),
    }


def draw_population(shape, prompts: int, rng: np.random.Generator) -> np.ndarray:
    at_0, at_1, alpha, beta = shape
    which = rng.random(prompts)
    return np.where(which < at_0, 0.0, np.where(which < at_0 + at_1, 1.0, rng.beta(alpha, beta, prompts)))


def histogram(p: np.ndarray) -> np.ndarray:
    """The population on the grid of the rule."""
    cells = np.clip((np.arcsin(np.sqrt(p)) / (np.pi / 2) * (len(RATES) - 2)).astype(int), 0, len(RATES) - 3) + 1
    cells = np.where(p == 0, 0, np.where(p == 1, len(RATES) - 1, cells))
    masses = np.bincount(cells, minlength=len(RATES)) + 1e-6
    return masses / masses.sum()


def at_share(target: float, successes: np.ndarray, truth: np.ndarray, plan: Plan) -> float:
    """Rollouts a prompt at which a share `target` of the bands is wrong, between the error rates tried."""
    points = []
    for error_rate in ERROR_RATES:
        trials = stop(successes, replace(plan, error_rate=error_rate), refine=False)
        found = judge(successes, trials, truth, plan.bounds)
        points.append((found["wrong"], found["n"]))
    return float(np.interp(target, *zip(*sorted(points), strict=True)))


def stop(successes: np.ndarray, plan: Plan, refine: bool) -> np.ndarray:
    """(prompts,) rollouts that each prompt takes, with the plan refined as the estimator refines it."""
    taken = np.zeros(len(successes), int)
    going: Plan | None = plan
    for _ in range(1 + REFINEMENTS * refine):
        if going is None:
            break
        for row, counts in enumerate(successes):
            n = int(taken[row])
            while (look := going.next_look(int(counts[n - 1]) if n else 0, n)) is not None:
                n = look
            taken[row] = n
        going = refine_plan(plan, successes[np.arange(len(taken)), taken - 1], taken)
    return taken


def judge(successes: np.ndarray, trials: np.ndarray, truth: np.ndarray, bounds) -> dict:
    """Rollouts a prompt, the share of bands that are wrong, and what the estimator expects that share to be."""
    k = successes[np.arange(len(trials)), trials - 1]
    population = Population.fit(k, trials)
    states, which = np.unique(np.stack([k, trials], axis=1), axis=0, return_inverse=True)
    named = [name_band(population.rate(*state), bounds) for state in states]
    errors = [population.band_error(*state, band, bounds) for state, band in zip(states, named, strict=True)]
    bands, errors = np.array(named)[which.ravel()], np.array(errors)[which.ravel()]
    return {
        "n": float(trials.mean()),
        "wrong": float(np.mean(bands != truth)),
        "expected wrong": float(errors.mean()),
    }


def until_interval_fits(successes: np.ndarray, truth: np.ndarray, bounds) -> dict:
    taken = np.full(len(truth), 128)
    still = np.ones(len(truth), bool)
    for look in Plan().looks:
        for row in np.flatnonzero(still):
            low, high = confidence_sequence(int(successes[row, look - 1]), look)
            if name_band(low, bounds) == name_band(high, bounds):
                taken[row], still[row] = look, False
    bands = [name_band(k / n, bounds) for k, n in zip(successes[np.arange(len(taken)), taken - 1], taken, strict=True)]
    return {"n": float(taken.mean()), "wrong": float(np.mean(bands != truth))}


if __name__ == "__main__":
    main()
