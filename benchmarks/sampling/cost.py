"""What choosing a batch costs, by the size of the data set: `python benchmarks/sampling/cost.py`.

Half of each data set, at most the 250,000 prompts that the guard remembers, was seen; a batch has 128 prompts of 8
rollouts. Prints milliseconds, the median of 20 batches: to choose it, and to note what it showed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel
from rlguard.sampling import BatchChooser, PromptSampler

BATCH, GROUP = 128, 8


def measure(count: int, rng: np.random.Generator) -> tuple[float, float]:
    """Milliseconds to choose and to note a batch of a data set of so many prompts."""
    luck = LuckModel()
    seen = rng.choice(count, min(count // 2, luck.max_prompts), replace=False)
    names = [f"prompt {place}" for place in seen]
    places_B = np.repeat(np.arange(len(seen)), GROUP)
    evidence = [Evidence(name) for name in names for _ in range(GROUP)]
    luck.observe(evidence, rng.integers(0, 2, len(places_B)).astype(float), places_B)
    chooser = BatchChooser(PromptSampler(count, GROUP, luck=luck))
    chooser.sampler.observe(seen, names)
    spent = []
    for _ in range(20):
        clock = [time.perf_counter()]
        places = chooser.choose(BATCH)
        clock.append(time.perf_counter())
        ids = [f"prompt {place}" for place in places for _ in range(GROUP)]
        chooser.observe(np.repeat(places, GROUP), ids, rng.integers(0, 2, BATCH * GROUP))
        clock.append(time.perf_counter())
        spent.append(np.diff(clock) * 1e3)
    return tuple(np.median(spent, axis=0))


def main() -> None:
    rng = np.random.default_rng(0)
    print("| prompts | choose, ms | note, ms |\n|---|---|---|")
    for count in (1_000, 10_000, 100_000, 1_000_000):
        print("| {:,} | {:.1f} | {:.1f} |".format(count, *measure(count, rng)))


if __name__ == "__main__":
    main()
