"""What rows say: measures of a run, arms compared seed by seed, and the goals with their verdicts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan, nan
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.efficacy.plan import LEARNABLE, MAIN, Mix, choose_rates
from benchmarks.efficacy.records import Row
from benchmarks.efficacy.settings import FAMILIES, SEEDS
from benchmarks.efficacy.stats import Estimate, estimate, holm, stratified

Measure = Callable[[Row], float]
MARGIN, COST, LEVEL = 0.02, 0.01, 0.05
"""Points that count, points that the guard may cost where there is nothing to guard, and the level of all tests."""


def end(group: str, name: str, when: str = "after") -> Measure:
    """A figure of a group of held-out problems; NaN where it is not defined."""

    def read(row: Row) -> float:
        value = row[when][group].get(name)
        return nan if value is None else float(value)

    return read


def change(group: str, name: str) -> Measure:
    """After less before."""
    after, before = end(group, name), end(group, name, "before")
    return lambda row: after(row) - before(row)


def kept(row: Row) -> float:
    """Share of the accuracy on prior skills that is left."""
    return end("prior", "accuracy")(row) / end("prior", "accuracy", "before")(row)


gained = change("learnable", "accuracy")
RARE = {k: end("rare_valid", f"computed_pass@{k}") for k in (1, 64)}


class Rows:
    """The reported rows, found by what was run; arms at their own best rates unless a rate is given."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.all = list(rows)
        self.rates = choose_rates(rows)
        self._found: dict[tuple[str, Mix, str, float], dict[int, Row]] = {}
        for row in rows:
            if row["seed"] in SEEDS:
                mix = (row["kind"], row["share"]) if row["share"] else LEARNABLE
                self._found.setdefault((row["family"], mix, row["arm"], row["rate"]), {})[row["seed"]] = row

    def get(self, family: str, mix: Mix, arm: str, rate: float | None = None) -> dict[int, Row]:
        """By seed."""
        best = self.rates.get((family, arm), nan) if rate is None else rate
        return self._found.get((family, mix, arm, best), {})

    def mixes(self, family: str | None = None) -> list[Mix]:
        """What was trained on."""
        return sorted({mix for own, mix, _, _ in self._found if family in (None, own)})

    def arms(self, family: str, mix: Mix) -> list[str]:
        """Those that ran at their best rate: the guarded one, GRPO, others by name."""
        found = {arm for own, other, arm, _ in self._found if (own, other) == (family, mix) and self.get(own, mix, arm)}
        return sorted(found, key=lambda arm: (arm not in MAIN, MAIN.index(arm) if arm in MAIN else 0, arm))


def summarise(runs: dict[int, Row], measure: Measure) -> Estimate:
    """Over the seeds of a family's two models."""
    return stratified(_by_design({seed: measure(row) for seed, row in runs.items()}, runs))


def subtract(ours: dict[int, Row], theirs: dict[int, Row], measure: Measure) -> Estimate:
    """Ours less theirs, seed by seed, over the seeds of a family's two models that both have."""
    shared = {seed: measure(ours[seed]) - measure(theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())}
    return stratified(_by_design(shared, ours))


def _by_design(values: dict[int, float], runs: dict[int, Row]) -> dict[str, list[float]]:
    strata: dict[str, list[float]] = {}
    for seed in sorted(values):
        strata.setdefault(runs[seed]["design"], []).append(values[seed])
    return strata


def pool(rows: Rows, mix: Mix, arm: str, other: str, measure: Measure) -> Estimate:
    """An arm less another over all families: the models are the clusters, each with the mean of its seeds."""
    means = []
    for family in FAMILIES:
        ours, theirs = (rows.get(family, mix, name) for name in (arm, other))
        shared = {seed: measure(ours[seed]) - measure(theirs[seed]) for seed in ours.keys() & theirs.keys()}
        means += [estimate(values).mean for values in _by_design(shared, ours).values()]
    return estimate(means)


@dataclass(frozen=True)
class Check:
    """One comparison of a goal."""

    goal: str
    where: str
    found: Estimate
    bound: float
    """The goal is that the truth lies above it."""
    shown: float = nan
    """p, corrected, of the hypothesis that it does not."""
    refuted: float = nan
    """p, corrected, of the hypothesis that it does."""

    @property
    def verdict(self) -> str:
        """`met` or `missed` where a test says so after correction, else `open` and which side the estimate is on."""
        if self.shown < LEVEL:
            return "met"
        if self.refuted < LEVEL:
            return "missed"
        return "open, estimate met" if self.found.mean > self.bound else "open, estimate missed"


GOALS = {
    "a": "At each arm's own best learning rate no arm keeps or gains more than rlguard by over 2 points, in any mix.",
    "b": "rlguard keeps more than GRPO in half of the mixes.",
    "c": "It costs less than one point where nothing is near-impossible.",
    "d": "On rare but valid problems it is within 2 points of GRPO, in computed pass@1 and pass@64.",
    "e": "With the sampler it gets to within a point of rlguard's end with half the rollouts, in mixes of 50 to 90%.",
    "f": "GRPO's harm is harm by luck: it keeps less than with a random reward, and than where all can be learnt.",
}


def at_half(row: Row) -> float:
    """Accuracy on learnable problems at half the steps."""
    return next((point["learnable"] for point in row["curve"] if 2 * point["step"] == row["steps"]), nan)


def list_checks(rows: Rows) -> Iterator[Check]:
    """Every comparison, not yet corrected."""
    both: dict[str, Measure] = {"kept": kept, "gained": gained}
    for family in FAMILIES:
        for mix in rows.mixes(family):
            guarded, plain = rows.get(family, mix, "rlguard"), rows.get(family, mix, "grpo")
            place = name_mix(family, mix)
            for arm, (name, measure) in product(rows.arms(family, mix), both.items()):
                if arm not in ("rlguard", "rlguard_sampler", "sampler_alone", "random_reward"):
                    found = subtract(guarded, rows.get(family, mix, arm), measure)
                    yield Check("a", f"{place}: {name}, less {arm}", found, -MARGIN)
            if mix == LEARNABLE:
                for name, measure in both.items():
                    yield Check("c", f"{place}: {name}, less GRPO", subtract(guarded, plain, measure), -COST)
                continue
            yield Check("b", f"{place}: kept, less GRPO", subtract(guarded, plain, kept), 0.0)
            if mix[0] == "rare_valid":
                for k, measure in RARE.items():
                    yield Check("d", f"{place}: pass@{k}, less GRPO", subtract(guarded, plain, measure), -MARGIN)
            chosen = rows.get(family, mix, "rlguard_sampler")
            if chosen and 0.5 <= mix[1] <= 0.9:
                full = {seed: end("learnable", "accuracy")(row) for seed, row in guarded.items()}
                shared = {seed: at_half(chosen[seed]) - full[seed] for seed in chosen.keys() & full.keys()}
                yield Check("e", f"{place}: sampler at half", stratified(_by_design(shared, chosen)), -COST)
        mix = ("unlearnable", 1.0)
        plain = rows.get(family, mix, "grpo")
        random, healthy = rows.get(family, mix, "random_reward"), rows.get(family, LEARNABLE, "grpo")
        for name, control in {"random reward": random, "all learnable": healthy}.items():
            if plain and control:
                yield Check("f", f"{family}: kept with {name}, less with luck", subtract(control, plain, kept), 0.0)


def check_goals(rows: Rows) -> list[Check]:
    """All comparisons, corrected by Holm within each goal; those without a spread are left out."""
    found = [check for check in list_checks(rows) if not isnan(check.found.error)]
    corrected = []
    for goal in GOALS:
        own = [check for check in found if check.goal == goal]
        shown = holm([check.found.p_above(check.bound) for check in own])
        refuted = holm([check.found.p_below(check.bound) for check in own])
        corrected += [
            Check(c.goal, c.where, c.found, c.bound, s, r) for c, s, r in zip(own, shown, refuted, strict=True)
        ]
    return corrected


def name_mix(family: str, mix: Mix) -> str:
    """In words.

    >>> name_mix("sums", ("rare_valid", 0.75)), name_mix("sums", ("unlearnable", 0.0))
    ('sums, 75% rare_valid', 'sums, all learnable')
    """
    return f"{family}, {mix[1]:.0%} {mix[0]}" if mix[1] else f"{family}, all learnable"
