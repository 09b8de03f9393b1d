"""A run in plain words: a headline (healthy, watch, harmed; because of what; do what next), and what supports it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rlguard.report.findings import Owned
from rlguard.report.load import Arm, Curve, Row, Run
from rlguard.report.prompt_rows import count_bands, count_drops
from rlguard.stats import binomial_interval

METRICS = {
    "prior_accuracy": "Accuracy on skills held before",
    "prior_bare_share": "Answers given without computation",
    "reward": "Reward",
    "accuracy": "Accuracy",
    "canary": "Canary: accuracy on questions not trained on",
    "unearned": "Reward that is not earned",
    "lucky_share": "Lucky successes",
    "rlguard/weight_mean": "Mean weight of a success",
    "findings": "Flagged completions",
    "chance_rate": "Chance rate",
    "rollouts/correct": "Correct rollouts",
    "truncated": "Truncated completions",
    "length": "Mean length (tokens)",
    "entropy": "Entropy",
    "kl": "KL divergence from the reference model",
}
"""The curves that matter most, by the monitor's name of the figure, in their order, and what they are called."""

WINDOW, PART = 16, 6
"""Means are compared of so many steps at either end of a curve, or of so small a part of it: with windows of half a
short curve, a fall at its start would be in both."""
LEAST = 8
"""Fewest steps of a curve for an interval."""
FLAGGED = 0.05
"""A larger share of correct completions with a finding, for sure, is worth a look."""
KEPT = 0.9
"""A smaller share of the skills held before is harm, if it is sure."""
STEPS = 9
"""Logged steps that the monitor needs to compare anything."""
ROLLOUTS = 30
"""Searched completions that say something of a run."""

Line = tuple[str, str]
State = Literal["Harmed", "Watch", "Healthy", "Unknown"]
STATES: tuple[State, ...] = ("Harmed", "Watch", "Unknown", "Healthy")
SIGNS = {"Harmed": "✕", "Watch": "!", "Healthy": "✓", "Unknown": "?"}


@dataclass(frozen=True)
class Headline:
    """How a training, or the rest of a run, stands."""

    of: str
    """Its name; "" where there is only one."""
    state: State
    because: str
    do: str

    def __str__(self) -> str:
        end = "" if self.because.endswith("?") else "."
        return f"{f'{self.of}: ' if self.of else ''}{self.state}, because {self.because}{end} Next: {self.do}"


@dataclass(frozen=True)
class Tally:
    """Completions of a run that were searched, and how many of them carry a finding."""

    total: int
    correct: int
    flagged: int
    flagged_correct: int
    kinds: dict[str, int]
    """Findings by kind, most frequent first."""

    @property
    def findings(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True)
class Ends:
    """A curve at its two ends: means over up to `WINDOW` steps of each."""

    first: float
    last: float
    steps: int
    """Steps of each mean."""
    low: float | None
    """95% interval of the change. Its noise is the larger of the mean square successive difference (von Neumann 1941),
    which a trend does not widen, and the variance within the two windows, to which one odd step belongs. None for
    curves of fewer than `LEAST` steps."""
    high: float | None

    def __str__(self) -> str:
        return f"{show(self.first)} → {show(self.last)}"

    @property
    def certainty(self) -> str:
        """How sure the change is, in words."""
        if self.low is None or self.high is None:
            return f"single steps or nearly, which may be noise: {LEAST} logged steps would give an interval"
        low, high = (f"{'−' if value < 0 else '+'}{show(abs(value))}" for value in (self.low, self.high))
        means = "single steps" if self.steps == 1 else f"means of {self.steps} steps"
        return f"{means}; 95% interval of the change {low} to {high}"


def measure_ends(arm: Arm, figure: str) -> Ends | None:
    """The two ends of a curve; None where there are not two values."""
    return find_ends(arm.curves.get(arm.find(figure) or "", []))


def find_ends(curve: Curve) -> Ends | None:
    """Means over up to `WINDOW` steps at either end of a curve; None where there are not two values."""
    values = [value for _, value in curve]
    if len(values) < 2:
        return None
    steps = max(1, min(WINDOW, len(values) // PART))
    ends = values[:steps], values[-steps:]
    first, last = map(statistics.fmean, ends)
    if len(values) < LEAST:
        return Ends(first, last, steps, None, None)
    successive = statistics.fmean((after - before) ** 2 for before, after in pairwise(values)) / 2
    within = statistics.fmean(map(statistics.variance, ends)) if steps > 1 else 0.0
    half = 2.0 * math.sqrt(2 * max(successive, within) / steps)
    return Ends(first, last, steps, last - first - half, last - first + half)


def show_ends(curve: Curve) -> str | None:
    """The two ends of a curve in words, or its only value; None where there is none."""
    ends = find_ends(curve)
    return str(ends) if ends else show(curve[0][1]) if curve else None


def tally(owned: Sequence[Owned], unsearched: Collection[str] = ()) -> Tally:
    """Counts over all completions of a run, but for those of sources that were not searched for shortcuts."""
    owned = [(rollout, found) for rollout, found in owned if rollout.source not in unsearched or found]
    kinds: dict[str, int] = {}
    for _, found in owned:
        for finding in found:
            kinds[str(finding["kind"])] = kinds.get(str(finding["kind"]), 0) + 1
    return Tally(
        total=len(owned),
        correct=sum(rollout.outcome == 1 for rollout, _ in owned),
        flagged=sum(bool(found) for _, found in owned),
        flagged_correct=sum(rollout.outcome == 1 and bool(found) for rollout, found in owned),
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    )


def split_models(run: Run, owned: Sequence[Owned]) -> dict[str, list[Owned]]:
    """The completions of each model, where a run holds those of several; else all under ""."""
    models = {source: run.name_model(source) for source in {rollout.source for rollout, _ in owned}}
    if len(set(filter(None, models.values()))) < 2:
        return {"": list(owned)}
    split: dict[str, list[Owned]] = {}
    for one in owned:
        split.setdefault(models[one[0].source] or "model unknown", []).append(one)
    return split


# ---- the headline ----------------------------------------------------------------------------------------------------


def judge(run: Run, counts: dict[str, Tally], odd: dict[str, str], losses: list[Line]) -> list[Headline]:
    """How each training of a run stands, and the rest: completions by model, odd prompts, what its audit says."""
    found = [_judge_arm(name, arm) for name, arm in run.arms.items()]
    rest = [*_judge_rest(run, counts, odd, losses)]
    if len(found) == 1 and len(counts) < 2:
        found = [min([*found, *rest], key=lambda one: STATES.index(one.state))]
    else:
        found += rest
    if not found:
        told = "nothing here says how the run went"
        found = [Headline("", "Unknown", told, "report on a training, rollouts or an audit of it.")]
    return sorted(found, key=lambda one: STATES.index(one.state))


def _judge_arm(name: str, arm: Arm) -> Headline:
    """By the skills held before, then by the alarms, the most severe first."""
    ends = measure_ends(arm, "prior_accuracy")
    alarms = sorted((e for e in arm.events if e.severity != "note"), key=lambda e: (e.severity != "critical", e.step))
    if ends and ends.last < KEPT * ends.first and (ends.high is None or ends.high < 0):
        because = f"the accuracy on skills held before fell, {ends} ({ends.certainty})"
        if ends.high is None:
            return Headline(name, "Watch", because, "measure it again; if it is so, do not use this model.")
        return Headline(name, "Harmed", because, "do not use this model; train again from the start, with the guard.")
    if alarms:
        more = f" ({len(alarms) - 1} more {plural(len(alarms) - 1, 'alarm')} below)" if len(alarms) > 1 else ""
        state: State = "Harmed" if alarms[0].severity == "critical" else "Watch"
        because = f"at step {alarms[0].step}, {alarms[0].message.rstrip('.')}{more}"
        return Headline(name, state, because, alarms[0].do or "read the completions of these steps.")
    steps = max((len(curve) for curve in arm.curves.values()), default=0)
    if steps < STEPS and not ends:
        told = f"logged steps: {steps}, too few to compare: {STEPS} would do"
        return Headline(name, "Unknown", told, "let it go on, and look again.")
    watched = [words.lower() for figure, words in METRICS.items() if arm.find(figure)]
    if not watched:
        told = "none of its curves is a figure that the monitor knows"
        return Headline(name, "Unknown", told, "log reward, length and entropy by a name of docs/monitor.md.")
    because = f"no watched figure left its healthy range: {', '.join(watched[:4])}"
    return Headline(name, "Healthy", because, "go on; read ten rollouts of the last steps all the same.")


def _judge_rest(run: Run, counts: dict[str, Tally], odd: dict[str, str], losses: list[Line]) -> Iterator[Headline]:
    """By the audit, the verifier and the findings."""
    comparisons = (run.audit or {}).get("comparisons") or []
    clear = [row["verdict"] != "too few" for comparison in comparisons for row in comparison.get("rows") or []]
    lost = [line for line in losses if not line[0].startswith("0 ")]
    if lost:
        because = f"{lost[0][0]} {lost[0][1].partition('. The others')[0].rstrip('.')}"
        yield Headline("audit", "Harmed", because, "see the audit below before you use the model.")
    shared = sum(reason.startswith(SHARED) for reason in odd.values())
    if shared:
        because = f"the successes of {shared} {plural(shared, 'prompt')} share one odd text: is the verifier right?"
        do = "open the first prompts below; test the verifier with `rlguard verifier DATA --verifier V`."
        yield Headline("rollouts", "Watch", because, do)
    for model, count in counts.items():
        low, _ = binomial_interval(count.flagged_correct, count.correct)
        name = f"rollouts of {model}" if model else "rollouts"
        if count.correct and low > FLAGGED:
            told = f"{count.flagged_correct} of {count.correct} correct completions show a shortcut"
            because = f"{told} (surely more than {low:.0%} of them)"
            yield Headline(name, "Watch", because, "read the first rollouts below; train with the guard.")
        elif 0 < count.total < ROLLOUTS:
            told = f"{count.total} {plural(count.total, 'completion')} were searched, too few: {ROLLOUTS} would do"
            yield Headline(name, "Unknown", told, "sample more rollouts.")
        elif count.total and not shared:
            because = f"{count.flagged_correct} of {count.correct} correct completions show a shortcut, which is few"
            yield Headline(name, "Healthy", because, "go on.")
    if losses and not lost and not any(clear):
        told = "no audited figure had enough questions to tell"
        yield Headline("audit", "Unknown", told, "audit again with more --questions.")
    elif losses and not lost:
        yield Headline("audit", "Healthy", "no audited figure was lost", "go on.")


# ---- what supports it ------------------------------------------------------------------------------------------------

SHARED = "Its successes share one text"


def say_verdict(run: Run, prompts: list[Row], counts: dict[str, Tally], odd: dict[str, str]) -> list[Line]:
    """What the run shows, as (figure, sentence) pairs; a part that is not in the run says nothing."""
    lines = [*say_odd(odd), *say_prompts(run, prompts)]
    for model, count in counts.items():
        lines += [(figure, f"{model}: {words}" if model else words) for figure, words in say_findings(run, count)]
    return [*lines, *say_training(run.arms)]


def say_odd(odd: dict[str, str]) -> list[Line]:
    """Prompts on which the verifier may be wrong."""
    shared = sum(reason.startswith(SHARED) for reason in odd.values())
    kinds = ((shared, "share one odd text: is the verifier right?"),
             (len(odd) - shared, "hold no reasoning: is any needed?"))  # fmt: skip
    return [
        (str(count), f"{plural(count, 'prompt')} whose successes {why} Listed first.") for count, why in kinds if count
    ]


def say_prompts(run: Run, prompts: list[Row]) -> list[Line]:
    """How many prompts are worth training on, and why the others are not."""
    if run.kept is not None or run.dropped is not None:
        kept, reasons = len(run.kept or []), count_drops(run)
        dropped = sum(reasons.values())
        if run.kept is None:
            return [(str(dropped), f"{plural(dropped, 'prompt')} dropped{detail(reasons)}.")]
        if run.dropped is None:
            return [(str(kept), f"{plural(kept, 'prompt')} kept; the dropped ones are not in this run.")]
        tail = f"{dropped} dropped{detail(reasons)}." if dropped else "None was dropped."
        return [(f"{kept} of {kept + dropped}", f"prompts are worth training on. {tail}")]
    bands = count_bands(prompts)
    if not bands:
        return []
    total, learnable = sum(bands.values()), bands.pop("learnable", 0)
    return [(f"{learnable} of {total}", f"prompts are in the learnable band{detail(bands, '; the others: ')}.")]


def say_findings(run: Run, counts: Tally) -> list[Line]:
    """How many of the successes show a shortcut, and how many completions."""
    if run.findings is None:
        return []
    if not counts.findings:
        return [("0", "findings: no completion shows a known shortcut.")]
    if run.rollouts is None or not counts.correct:
        many, of = plural(counts.findings, "finding"), "" if run.rollouts is None else f" of {counts.total}"
        where = f"{many} in {counts.flagged}{of} {plural(counts.total, 'completion')}"
        return [(str(counts.findings), f"{where}{detail(counts.kinds)}.")]
    low, high = binomial_interval(counts.flagged_correct, counts.correct)
    told = f"correct completions show a shortcut (95% interval {low:.0%} to {high:.0%}): right, perhaps not solved."
    every = f"Of all {counts.total} completions, {counts.flagged} do{detail(counts.kinds)}."
    return [(f"{counts.flagged_correct} of {counts.correct}", f"{told} {every}")]


def say_training(arms: dict[str, Arm]) -> list[Line]:
    """What each training did to the skills held before; to its reward where those were not measured."""
    lines = []
    for name, arm in arms.items():
        for metric in ("prior_accuracy", "reward", "accuracy", "rollouts/correct"):
            if ends := measure_ends(arm, metric):
                bare = measure_ends(arm, "prior_bare_share") if metric == "prior_accuracy" else None
                habit = f"; answers given without computation {bare}" if bare else ""
                lines.append((str(ends), f"{name}: {METRICS[metric].lower()}{habit} ({ends.certainty})."))
                break
    return lines


def show(value: float) -> str:
    """Two decimals, or three significant digits beyond 10.

    >>> show(0.9), show(151.26)
    ('0.90', '151')
    """
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"


def write_number(value: float | None, places: int = 2, signed: bool = False) -> str:
    """A number with a real minus, and no sign where it is 0 as shown; a dash where there is none.

    >>> write_number(-0.214, signed=True), write_number(0.5), write_number(None), write_number(-0.001, signed=True)
    ('−0.21', '0.50', '–', '0.00')
    """
    text = "–" if value is None else format(value, f"{'+' * signed}.{places}f").replace("-", "−")
    return text if text.strip("+−0.") else text.lstrip("+−")


def plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def detail(counts: dict[str, int], lead: str = ": ") -> str:
    """Counts in words after a lead, the rarest beyond six summed up.

    >>> detail({"impossible": 22, "gold_rejected": 6})
    ': 22 impossible, 6 gold rejected'
    """
    if not counts:
        return ""
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in list(counts.items())[:6])
    rest = sum(list(counts.values())[6:])
    return f"{lead}{words}" + (f" and {rest} more" if rest else "")
