"""What each part and each constant of the model of luck does: one row for each that is off, halved or doubled.

    python benchmarks/streams/ablate.py --read out/streams --into benchmarks/RESULTS.md      # seeds 1000 and 1001

Only tuning seeds, and none of the streams that are held out.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))
import numpy as np

from benchmarks.streams.draw import list_streams
from benchmarks.streams.guarded import make_guard, read_batches
from benchmarks.streams.measures import add, figures, gaps, measure
from benchmarks.streams.run import _cell, put
from benchmarks.streams.texts import FAMILIES, find_missing
from rlguard.guard.settings import GuardConfig
from rlguard.luck import model
from rlguard.luck.chance import ChanceRates

FREE = r"^(integers|GSM8K|code)"
ROWS: dict[str, tuple[str, str]] = {
    "healthy, U and Beta(.5,2): scale": (FREE + r", healthy, (U|Beta\(.5)", "scale"),
    "Beta(.3,6): scale": (FREE + r", healthy, Beta\(.3", "scale"),
    "options, yes/no, U: scale": (r"^(four|yes).*healthy, (U|guesses)", "scale"),
    "half impossible: lucky push left": (FREE + ", half impossible, 1 visit", "pushed"),
    "kept": (FREE + ", half impossible, 1 visit", "kept"),
    "worst gap": (FREE + ", half impossible, 1 visit", "gap"),
    "options, yes/no: lucky push left": (r"^(four|yes).*half impossible, 1 visit", "pushed"),
    "options, yes/no: kept": (r"^(four|yes).*half impossible, 1 visit", "kept"),
    "4 visits: lucky push left": (FREE + ", half impossible, 4 visits", "pushed"),
    "stale, hard: kept": ("integers, hard, stale", "kept"),
    "all impossible: scale": (FREE + ", all impossible", "scale"),
    "rare: kept": ("rare but valid", "kept"),
}
"""Columns: streams by name, and what is averaged over them."""


def list_changes() -> Iterator[tuple[str, Any]]:
    """What is changed, and how: a config, or what to patch."""
    yield "**as it is**", GuardConfig(workers=0)
    plain = GuardConfig(workers=0)
    for name in ("smoothing", "chance", "offline_trials", "unseen", "healthy", "keep", "sharpness"):
        value = getattr(plain.luck, name)
        below = value in (plain.luck.healthy, plain.luck.keep)  # of these, what is left to 1 is halved and doubled
        values = [1 - (1 - value) / 2, 1 - (1 - value) * 1.9] if below else [value / 2, value * 2]
        for other in values:
            yield f"`{name}` {other:g}", replace(plain, luck=replace(plain.luck, **{name: other}))
    for decay in (0.4, 0.9, 1.0):
        yield f"`decay` {decay:g}", replace(plain, decay=decay)
    yield "`offline_trials` off", replace(plain, luck=replace(plain.luck, offline_trials=1e-9))
    yield "`unseen` off", replace(plain, luck=replace(plain.luck, unseen=1e-12))
    yield "no impossible prompts", replace(plain, luck=replace(plain.luck, healthy=1 - 1e-12))
    yield "levels .1 and .01 off", {"LEVELS": ((1.0, 0.0), (0.0, 0.1))}
    yield "options by their agreement off", (ChanceRates, "rate", _plain_rate)
    yield "no chance rate of single answers", (ChanceRates, "_of", lambda self, kind, gold: self._solve(kind)[2])
    yield "no signs of texts", (model.LuckModel, "_read_signs", lambda self, genuine, *_: genuine)
    yield "signs as the table has them", (model.LuckModel, "sign_ratios", lambda self: model.RATIOS)
    yield "sizes .7, 2", {"SIZES": (0.7, 2.0)}
    yield "other means", {"MEANS": (0.04, 0.15, 0.4, 0.65, 0.9)}
    yield "shares 0, ½, 1", {"IMPOSSIBLE": np.array([0.0, 0.5, 1.0])}
    yield "window 256", {"WINDOW": 256}
    yield "window 1,024", {"WINDOW": 1024}


def _plain_rate(self: ChanceRates, gold: Any, offered: bool = False, rate: Any = ChanceRates.rate) -> float:
    return rate(self, gold)


@contextmanager
def changed(change: Any) -> Iterator[GuardConfig]:
    """The guard's settings while a change is in force."""
    if isinstance(change, GuardConfig):
        yield change
    elif isinstance(change, dict):
        with patch.multiple(model, **change):
            yield GuardConfig(workers=0)
    else:
        with patch.object(*change):
            yield GuardConfig(workers=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000, 1001])
    parser.add_argument("--read", type=Path, default=Path("out/streams"), help="default %(default)s")
    parser.add_argument("--changes", default="", help="a regular expression that names of changes contain; default all")
    parser.add_argument("--into", type=Path, help="a page with a place for the table")
    arguments = parser.parse_args()
    if min(arguments.seeds) < 1000:
        parser.error("--seeds: nothing is chosen by seeds under 1000")
    wanted = [s for s in list_streams() if any(re.search(pattern, s.name) for pattern, _ in ROWS.values())]
    streams = [s for s in wanted if not find_missing(FAMILIES[s.family])]
    data = [(s, [read_batches(s, seed, arguments.read) for seed in arguments.seeds]) for s in streams]
    lines = ["| | " + " | ".join(ROWS) + " |", "|" + "---|" * (len(ROWS) + 1)]
    for name, change in list_changes():
        if not re.search(arguments.changes, name):
            continue
        with changed(change) as config:
            found = {stream.name: _judge(stream.visits, runs, config) for stream, runs in data}
        cells = [np.nanmean([found[s][what] for s in found if re.search(pattern, s)] or [np.nan])
                 for pattern, what in ROWS.values()]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(_cell(round(float(cell), 3)) for cell in cells) + " |")
        print(lines[-1], flush=True)
    text = f"Seeds {', '.join(map(str, arguments.seeds))}.\n\n" + "\n".join(lines)
    if arguments.into:
        put(arguments.into, text, "ablation")


def _judge(visits: int, runs: list, config: GuardConfig, make: Callable = make_guard) -> dict[str, float]:
    """Figures of one stream, all seeds together."""
    measured = []
    for batches in runs:
        guard = make(config)
        said = [(batch, guard(batch, evidence)) for batch, evidence in batches]
        measured += [measure(batch, one) for batch, one in said if batch.visit == visits - 1]
    sums = add(measured)
    return figures(sums) | {"gap": abs(gaps(sums)[0])}


if __name__ == "__main__":
    main()
