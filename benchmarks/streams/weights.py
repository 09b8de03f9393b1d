"""How should a success count, given P(genuine)? The oracle's own, so that no error of an estimate enters.

python benchmarks/streams/weights.py        # tuning seeds 1000 and 1001; the table of docs/rewrite.md
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.streams.draw import draw_batches, list_streams
from benchmarks.streams.measures import add, figures, measure
from benchmarks.streams.methods import judge_grpo, make_oracle, say

SEEDS = (1000, 1001)
STREAMS = ("integers, half impossible, 1 visit", "code, half impossible, 1 visit", "integers, healthy, Beta(.3,6)")
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "`genuine` itself": lambda p: p,
    "min(1, odds)": lambda p: np.minimum(1, p / np.maximum(1 - p, 1e-12)),
    "**min(1, odds²)**": lambda p: np.minimum(1, p / np.maximum(1 - p, 1e-12)) ** 2,
    "cut at ½": lambda p: (p > 0.5).astype(float),
}


def main() -> None:
    sums: dict[tuple[str, str], list[dict]] = {}
    for stream in (stream for stream in list_streams() if stream.name in STREAMS):
        for seed in SEEDS:
            oracle = make_oracle(stream)
            for batch in draw_batches(stream, seed):
                genuine = oracle(batch).genuine_PG
                sums.setdefault((stream.name, "GRPO"), []).append(measure(batch, judge_grpo(batch)))
                for name, rule in RULES.items():
                    sums.setdefault((stream.name, name), []).append(measure(batch, say(batch, rule(genuine))))
    for name in ("GRPO", *RULES):
        found = [figures(add(sums[stream, name])) for stream in STREAMS]
        print(f"| {name} | " + " | ".join(f"{one['kept']:.2f} / {one['lucky']:.3f}" for one in found) + " |")


if __name__ == "__main__":
    main()
