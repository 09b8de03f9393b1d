"""How high the monitor's statistic climbs in healthy runs: many runs at once, for its threshold.

python benchmarks/monitor/heights.py        # the two numbers of rlguard.monitor.TAIL, and how far they carry
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from rlguard.monitor.change import ESTIMATED, LEAST, SLACK, WINSORISED, clip_at  # noqa: E402

REFERENCE = 32


def draw_noise(rng: np.random.Generator, steps: int, runs: int, correlation: float, freedom: float) -> np.ndarray:
    """Noise of unit variance with a lag-one correlation, (steps, runs): Student's with `freedom`, inf for normal."""
    if np.isinf(freedom):
        noise_TR = rng.standard_normal((steps, runs))
    else:
        noise_TR = rng.standard_t(freedom, (steps, runs)) / np.sqrt(freedom / (freedom - 2))
    for step in range(1, steps):
        noise_TR[step] = correlation * noise_TR[step - 1] + np.sqrt(1 - correlation**2) * noise_TR[step]
    return noise_TR


def find_heights(values_TR: np.ndarray, reference: int = REFERENCE) -> np.ndarray:
    """The largest S of each run, (runs,), as `Monitor` finds it for a figure that rises and is allowed no change."""
    steps, runs = values_TR.shape
    height_R, most_R = np.zeros(runs), np.zeros(runs)
    mean_R = sd_R = margin = clip = 0.0
    for step in range(2 * LEAST, steps):
        count = min(reference, step // 2)
        if step <= 2 * reference:
            first = values_TR[:count]
            drawn = np.clip(first, *np.quantile(first, [1 / 8, 7 / 8], axis=0, method="nearest"))
            mean_R, sd_R = drawn.mean(axis=0), WINSORISED * drawn.std(axis=0, ddof=1)
            margin, clip = ESTIMATED / np.sqrt(count), clip_at(count)
        excess_R = np.minimum((values_TR[step] - mean_R) / sd_R, clip)
        height_R = np.maximum(0, height_R + excess_R - SLACK - margin)
        most_R = np.maximum(most_R, height_R)
    return most_R


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1000)
    settings = parser.parse_args()
    print(f"{settings.runs} runs of {settings.steps} steps: height that S reaches in a share of them")
    print("correlation  noise       1%    0.1%   0.06%")
    for correlation, freedom in ((0.0, np.inf), (0.3, np.inf), (0.5, np.inf), (0.3, 4.0)):
        rng = np.random.default_rng(settings.seed)
        parts = [
            find_heights(draw_noise(rng, settings.steps, 5000, correlation, freedom))
            for _ in range(max(1, settings.runs // 5000))
        ]
        high = np.quantile(np.concatenate(parts), [0.99, 0.999, 1 - 0.01 / 16])
        name = "normal" if np.isinf(freedom) else f"Student {freedom:.0f}"
        print(f"{correlation:11.1f}  {name:9s} {high[0]:6.1f}  {high[1]:6.1f}  {high[2]:6.1f}", flush=True)


if __name__ == "__main__":
    main()
