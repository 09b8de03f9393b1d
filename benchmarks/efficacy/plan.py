"""Which runs the plan has (PLAN.md says why), in order of worth, at the learning rates that the tuning runs chose.

python benchmarks/efficacy/plan.py    # how many runs of each part, and how long they take
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.efficacy.records import Row, key, read_rows
from benchmarks.efficacy.settings import (
    FAMILIES,
    NEAR_IMPOSSIBLE,
    RATES,
    SEEDS,
    SHAPES,
    TUNING,
    Run,
)

MAIN = ("rlguard", "grpo")
"""The guarded run stands first: others follow its step scales."""
RIVALS = ("dr_grpo", "dapo_filter", "s_grpo", "max_rl", "ha_dw", "noise_corrected")
COMPARED = (*RIVALS, "threshold")
"""The rivals and the simplest rule of all, one line of NumPy: each has a learning rate of its own."""
FOLLOWING = ("mean_rate", "random_weights")
CONTROLS = ("constant_rate", *FOLLOWING)
RATE_OF = dict.fromkeys(("rlguard_sampler", *CONTROLS), "rlguard")
RATE_OF |= dict.fromkeys(("sampler_alone", "random_reward"), "grpo")
"""Arms that are not tuned: whose rate they take."""
SYMBOLS = FAMILIES[:3]
FIRST = SEEDS[:4]
"""Of `words`: the seeds that are not left to the end."""
TUNED = {"sums": (*MAIN, *COMPARED), "strings": (*MAIN, *COMPARED), "logic": MAIN, "words": MAIN}
BUDGET = 1_500, 16 * 3600 * 2
"""Most runs, and most seconds of cores."""
SECONDS = {"sums": 66.8, "strings": 61.6, "logic": 67.5, "words": 233.0}
"""Of one run on one core of the machine, the other core busy too: means over the first 1,178 rows (PLAN.md)."""

Mix = tuple[str, float]
LEARNABLE: Mix = ("unlearnable", 0.0)


def _mixes(*kinds: str, shares: Sequence[float]) -> list[Mix]:
    return [(kind, share) for share in shares for kind in kinds]


ALL = [*_mixes(*NEAR_IMPOSSIBLE, shares=(1.0, 0.75, 0.5, 0.9)), LEARNABLE]
DECIDING = [*_mixes(*NEAR_IMPOSSIBLE, shares=(0.75, 1.0)), *_mixes("unlearnable", shares=(0.5, 0.9)), LEARNABLE]
FEW = [("unlearnable", 0.75), LEARNABLE, ("unlearnable", 1.0), ("mislabelled", 0.75)]
"""Of `words`: what is meant to be rare there is not, so it is left out (PLAN.md)."""


@dataclass(frozen=True)
class Part:
    """A part of the plan, with the question that it answers."""

    question: str
    arms: Sequence[str]
    family: str
    mixes: Sequence[Mix]
    rates: Sequence[float] | None = None
    """None: each arm's own best one."""


KEPT, ALONE, LUCK, HINDSIGHT, OTHERS, HALF, SHAPED = (
    "What is kept and gained?",
    "Is it the rate alone, the weights alone, the size of the steps?",
    "Does harm come of luck, or of any update?",
    "What would the best learning rate in hindsight do, and equal ones?",
    "Does another method do it?",
    "Does choosing prompts get there with half the rollouts?",
    "And with rewards beside correctness?",
)
CORE = [
    part
    for family in FAMILIES
    for part in (
        Part(KEPT, MAIN, family, [("unlearnable", 0.75), LEARNABLE, ("unlearnable", 1.0)]),
        Part(ALONE, ("mean_rate",), family, _mixes("unlearnable", shares=(0.75, 1.0))),
        Part(LUCK, ("random_reward",), family, _mixes("unlearnable", shares=(1.0,))),
    )
]
"""The question itself with its two plainest controls, in every family: needs no rate but those of `MAIN`."""
PARTS = [
    *CORE,
    Part(KEPT, MAIN, "sums", ALL),
    Part(ALONE, ("mean_rate",), "sums", _mixes("mislabelled", shares=(0.9, 1.0))),
    Part(ALONE, CONTROLS, "sums", _mixes("mislabelled", shares=(0.9,))),
    Part(KEPT, MAIN, "strings", _mixes("mislabelled", shares=(0.9,))),
    Part(ALONE, CONTROLS, "strings", _mixes("mislabelled", shares=(0.9,))),
    Part(ALONE, ("mean_rate",), "strings", _mixes("mislabelled", shares=(1.0,))),
    *(
        Part(HALF, ("rlguard_sampler",), family, _mixes("unlearnable", shares=(0.75, 0.5, 0.9)))
        for family in SYMBOLS[:2]
    ),
    *(Part(HALF, ("sampler_alone",), family, _mixes("unlearnable", shares=(0.75,))) for family in SYMBOLS[:2]),
    Part(ALONE, CONTROLS, "sums", _mixes("unlearnable", shares=(0.75, 1.0))),
    Part(ALONE, CONTROLS, "strings", _mixes("unlearnable", shares=(0.75,))),
    *(Part(OTHERS, RIVALS, family, _mixes("unlearnable", "rare_valid", shares=(0.75,))) for family in SYMBOLS[:2]),
    Part(OTHERS, RIVALS, "sums", _mixes("mislabelled", shares=(0.9,))),
    Part(SHAPED, ("rlguard", "grpo", "dr_grpo"), "sums", _mixes(*SHAPES, shares=(0.75,))),
    *(Part(OTHERS, ("threshold",), family, _mixes("mislabelled", shares=(0.9,))) for family in SYMBOLS[:2]),
    Part(KEPT, MAIN, "strings", DECIDING),
    Part(HINDSIGHT, ("grpo",), "sums", _mixes("unlearnable", shares=(0.75, 1.0)), RATES),
    Part(HINDSIGHT, ("grpo",), "strings", _mixes("unlearnable", shares=(1.0,)), RATES),
    Part(KEPT, MAIN, "logic", [mix for mix in DECIDING if mix not in (("guessable", 1.0), ("rare_valid", 1.0))]),
    Part(KEPT, MAIN, "words", FEW),
]
"""In order of worth."""


def list_tuning() -> list[Run]:
    """The runs that choose each arm's learning rate: all problems learnable, every rate, a seed a model.

    Those of `MAIN` stand first.
    """
    runs = [
        Run(arm, family, *LEARNABLE, seed, rate)
        for family, seed, rate in product(TUNED, TUNING, RATES)
        for arm in TUNED[family]
    ]
    return sorted(runs, key=lambda run: run.arm not in MAIN)


def choose_rates(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """The best rate of each family and arm: highest mean of prior and learnable accuracy over the tuning seeds.

    An arm has none while a run of its is missing. Of equal rates the higher one is taken.
    """
    done = {key(row): row for row in rows}
    chosen = {}
    for family, arms in TUNED.items():
        for arm in arms:
            runs = [[done.get(key(Run(arm, family, *LEARNABLE, seed, rate))) for seed in TUNING] for rate in RATES]
            if all(all(seeds) for seeds in runs):
                score = [sum(map(_score, seeds)) for seeds in runs]  # type: ignore[arg-type]
                chosen[family, arm] = RATES[score.index(max(score))]
    return chosen | {
        (family, arm): chosen[family, other]
        for family in TUNED for arm, other in RATE_OF.items() if (family, other) in chosen
    }  # fmt: skip


def _score(row: Row) -> float:
    return row["after"]["prior"]["accuracy"] + row["after"]["learnable"]["accuracy"]


def list_reported(rates: Mapping[tuple[str, str], float], parts: Sequence[Part] = PARTS) -> Iterator[Run]:
    """The reported runs, each once: parts in order of worth, whole comparisons first.

    A part has none before the rates of all its arms are chosen.
    """
    seen = set()
    for part in parts:
        if any((part.family, arm) not in rates for arm in part.arms):
            continue
        for seed, mix, arm in product(SEEDS, part.mixes, part.arms):
            for rate in part.rates or [rates[part.family, arm]]:
                run = Run(arm, part.family, *mix, seed, rate)
                if key(run) not in seen:
                    seen.add(key(run))
                    yield run


def list_runs(rates: Mapping[tuple[str, str], float]) -> list[Run]:
    """All runs that can be named with these rates, in the order in which they are done.

    First the rates of the main arms and what needs no others (`CORE`), of `words` for `FIRST` alone; then the rates of
    the rest, and all else. What is left of `words`, a run of which takes five of the others, comes last.
    """
    tuning, core = [run for run in list_tuning() if run.arm in MAIN], list(list_reported(rates, CORE))
    runs = [run for run in [*tuning, *core] if run.family in SYMBOLS]
    runs += [run for run in [*tuning, *core] if run.seed in (*TUNING, *FIRST)]
    return list(dict.fromkeys([*runs, *sorted([*list_tuning(), *list_reported(rates)], key=_is_slow)]))


def _is_slow(run: Run) -> bool:
    return run.family not in SYMBOLS


def count_parts() -> list[tuple[str, int, float]]:
    """Each question with its runs and seconds of a core, tuning first."""
    parts = [("Which learning rate is best for each arm?", list_tuning())]
    known: set[object] = set()
    for part in PARTS:
        arms = [Run(arm, part.family, *mix, seed, rate) for seed, mix, arm in product(SEEDS, part.mixes, part.arms)
                for rate in part.rates or [1.0]]  # fmt: skip
        fresh = [run for run in arms if key(run) not in known]
        known |= {key(run) for run in fresh}
        parts.append((part.question, fresh))
    counted: dict[str, tuple[int, float]] = {}
    for question, runs in parts:
        runs_before, seconds = counted.get(question, (0, 0.0))
        counted[question] = runs_before + len(runs), seconds + sum(SECONDS[run.family] for run in runs)
    return [(question, *figures) for question, figures in counted.items()]


def main() -> None:
    counted = count_parts()
    for question, runs, seconds in [*counted, ("all", sum(c[1] for c in counted), sum(c[2] for c in counted))]:
        print(f"| {question} | {runs} | {seconds / 7200:.1f} |")
    rates = choose_rates(read_rows())
    print(f"{len(rates)} rates chosen: {rates}")


if __name__ == "__main__":
    main()
