"""The truncation test: is the reasoning needed for the answer? An offline audit with any engine.

TRACE (arXiv 2510.01367): cut the reasoning of a success at fractions of its length, make the model answer at once, and
take the area under the curve of reward over fraction. Reasoning that carries its answer earns little until it is
nearly complete; a shortcut earns from the start. So does an easy prompt, honestly: areas are compared with those of
other prompts of the same band.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.answers import begin_answer, end_answer
from rlguard.rollouts.logs import read_any_rollouts
from rlguard.shortcuts.computation import steps_needed
from rlguard.shortcuts.cutting import cut_reasoning, find_cue, find_reasoning_end
from rlguard.shortcuts.ratios import LIMIT
from rlguard.types import Engine, Finding, InputError, Problem, Request, Rollout, Sampling, Verifier
from rlguard.verify.pool import VerifierPool

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST_OTHERS, LEAST_RATIO = 10, 0.2
"""Curves that one is compared with at least, and the likelihood ratio that a finding has at most."""
SAMPLING = Sampling(max_tokens=16)
"""Room for an answer, none for reasoning."""


@dataclass(frozen=True, slots=True)
class TruncationCurve:
    """Reward over the share of the reasoning that the model was given, of one rollout."""

    prompt_id: str
    index: int
    fractions: tuple[float, ...]
    cuts: tuple[int, ...] = ()
    """Characters of the completion that the model was given, per fraction."""
    successes: tuple[int, ...] = ()
    trials: tuple[int, ...] = ()
    """Answers per fraction that could be judged."""
    area: float = math.nan
    """Under the curve, over the span of the fractions: in [0, 1]."""
    band: str = ""
    likelihood_ratio: float = 1.0
    """P(early rewards | the reasoning was needed, as for the others of its band) / P(same | it was not: the reward is
    as good without as with all of it), in [1/50, 50]."""
    finding: Finding | None = None
    skipped: str | None = None
    """"SKIPPED: " and why there is no curve, or nothing to compare it with."""

    @property
    def rewards(self) -> tuple[float, ...]:
        """Mean reward per fraction; NaN where nothing could be judged."""
        return tuple(k / n if n else math.nan for k, n in zip(self.successes, self.trials, strict=True))


def truncation_test(
    rollouts: Iterable[Rollout],
    problems: Iterable[Problem],
    engine: Engine,
    verifier: Verifier,
    fractions: Sequence[float] = FRACTIONS,
    n: int = 4,
    cue: str | None = None,
    sampling: Sampling | None = None,
) -> list[TruncationCurve]:
    """Cuts the reasoning of each success, has the model answer at once, and compares the areas.

    Args:
        rollouts: Only successes are tested.
        problems: Those that the rollouts are of.
        engine: Usually the model that wrote the rollouts.
        verifier: Judges the forced answers, as `cue` and the first line of what the model says.
        fractions: Shares of the reasoning, ascending, in [0, 1].
        n: Answers per fraction; one where the sampling is greedy, as all would be the same.
        cue: How an answer begins, in words that the verifier's extraction knows; None takes those with which the
            completion itself begins its answer (`find_cue`).
        sampling: How answers are drawn; None is `SAMPLING`, 16 tokens.

    Returns:
        A curve per rollout, in the order given; those that could not be tested say why in `skipped`.

    Raises:
        InputError: If a rollout's problem is missing, a rollout comes twice, or fractions are not ascending in [0, 1].
    """
    rows, known = list(rollouts), {problem.id: problem for problem in problems}
    _check(rows, known, fractions, n)
    sampling = sampling or SAMPLING
    n = n if sampling.temperature > 0 else 1
    with VerifierPool(verifier) as pool:
        curves, asked = list[TruncationCurve](), dict[str, tuple[int, int]]()
        # without the space at its end, which most tokenizers keep with the answer
        cues = [cue or (find_cue(rollout.completion) or ("",))[0].rstrip(" ") for rollout in rows]
        for number, rollout in enumerate(rows):
            band = f"{steps_needed(known[rollout.prompt_id].text)} steps"
            curve = TruncationCurve(rollout.prompt_id, rollout.index, tuple(fractions), band=band)
            curves.append(_prepare(curve, rollout.completion, rollout.outcome, cues[number]))
            if curves[-1].skipped is None:
                asked |= {_cut_id(rollout, fraction): (number, place) for place, fraction in enumerate(fractions)}

        def order() -> Iterator[Request]:
            for key, (number, place) in asked.items():
                problem, shown = known[rows[number].prompt_id], rows[number].completion[: curves[number].cuts[place]]
                yield Request(replace(problem, id=key, prompt=begin_answer(problem.prompt, cues[number], shown)), n)

        for request, generations in engine.generate(order(), sampling):
            number, place = asked[request.problem.id]
            texts = [end_answer(cues[number], generation.text) for generation in generations]
            pool.submit((number, place), texts, known[rows[number].prompt_id])
        counts = np.zeros((len(rows), len(fractions), 2), int)
        while pool.pending:
            for (number, place), results in pool.collect(block=True):
                scores = [score for score, _ in results]
                counts[number, place] = sum(score == 1 for score in scores), sum(not math.isnan(s) for s in scores)
    curves = [curve if curve.skipped else _measure(curve, counts[i]) for i, curve in enumerate(curves)]
    tested = [curve for curve in curves if not curve.skipped]
    return [curve if curve.skipped else _judge(curve, tested) for curve in curves]


def _check(rows: Sequence[Rollout], known: Mapping[str, Problem], fractions: Sequence[float], n: int) -> None:
    if not fractions or list(fractions) != sorted(set(fractions)) or fractions[0] < 0 or fractions[-1] > 1:
        raise InputError(f"fractions: expected ascending values in [0, 1], given {list(fractions)}")
    if n < 1:
        raise InputError(f"n: expected at least one answer per fraction, given {n}")
    seen = set()
    for number, rollout in enumerate(rows):
        if rollout.prompt_id not in known:
            raise InputError(f"rollout in row {number}: its problem {rollout.prompt_id!r} is not among the problems")
        if (rollout.prompt_id, rollout.index) in seen:
            raise InputError(f"rollout in row {number}: {rollout.prompt_id!r} has a number {rollout.index} already")
        seen.add((rollout.prompt_id, rollout.index))


def _cut_id(rollout: Rollout, fraction: float) -> str:
    return f"{rollout.prompt_id}/{rollout.index}@{fraction!r}"


def _prepare(curve: TruncationCurve, completion: str, outcome: float, cue: str) -> TruncationCurve:
    if outcome != 1.0:
        return replace(curve, skipped="SKIPPED: needs a success")
    end = find_reasoning_end(completion)
    if end is None:
        return replace(curve, skipped="SKIPPED: needs a final answer to cut before")
    if not cue:
        return replace(curve, skipped="SKIPPED: needs a cue, or an answer that the completion marks in its own words")
    return replace(curve, cuts=tuple(cut_reasoning(completion, end, f) for f in curve.fractions))


def _measure(curve: TruncationCurve, counts: np.ndarray) -> TruncationCurve:
    successes, trials = counts.T
    curve = replace(curve, successes=tuple(successes.tolist()), trials=tuple(trials.tolist()))
    if not trials.all():
        return replace(curve, skipped="SKIPPED: needs judged answers at every fraction")
    if curve.fractions[-1] == 1 and not successes[-1]:
        return replace(curve, skipped="SKIPPED: needs a right answer after all of the reasoning; the cue may not fit")
    steps, rewards = np.diff(curve.fractions), np.array(curve.rewards)
    area = (steps * (rewards[1:] + rewards[:-1]) / 2).sum() / steps.sum() if len(steps) else rewards[0]
    return replace(curve, area=float(area))


def _judge(curve: TruncationCurve, tested: Sequence[TruncationCurve]) -> TruncationCurve:
    others = [c for c in tested if c.band == curve.band and c.prompt_id != curve.prompt_id]
    if others:
        curve = replace(curve, likelihood_ratio=_ratio(curve, others))
    if curve.band == "1 steps":
        return replace(curve, skipped="SKIPPED: needs a prompt of more than one step to judge")
    if len(others) < LEAST_OTHERS:
        found = f"{len(others)} other curves in band {curve.band!r}"
        return replace(curve, skipped=f"SKIPPED: needs {LEAST_OTHERS} to compare with, has {found}")
    if curve.likelihood_ratio > LEAST_RATIO:
        return curve
    early = ", ".join(f"{reward:.2f} at {f:.0%}" for f, reward in zip(curve.fractions, curve.rewards, strict=True))
    larger = sum(c.area < curve.area for c in others) / len(others)
    reason = f"right before the reasoning is there: reward {early}, a larger area than {larger:.0%} of {curve.band}"
    finding = Finding(
        "truncation_test", reason, 0, curve.cuts[-1], curve.likelihood_ratio, "error", curve.prompt_id, curve.index
    )
    return replace(curve, finding=finding)


def _ratio(curve: TruncationCurve, others: Sequence[TruncationCurve]) -> float:
    """Marginal likelihood of the rewards before all the reasoning is there, against those without need of it.

    Needed: early successes are beta-binomial as the others' are, fitted by moments (a guess that happens to be right is
    right at every cut, so rollouts differ more than draws). Not needed: they come at the rate with all the reasoning,
    of which Jeffreys' posterior is known. Half a rollout of those who need none is taken to be among the others, so
    that few of them prove little: with m others the ratio is at least 1 / (2m + 1).
    """
    from scipy.special import betaln

    same = [c for c in others if c.fractions == curve.fractions]
    if len(curve.fractions) < 2 or not same:
        return 1.0
    seen, drawn = (np.array([sum(getattr(c, name)[:-1]) for c in same], float) for name in ("successes", "trials"))
    mean = float((seen.sum() + 0.5) / (drawn.sum() + 1))
    once = float((1 / drawn).mean())
    excess = (float(np.var(seen / drawn)) / (mean * (1 - mean)) - once) / max(1 - once, 1e-9)
    weight = 1 / min(max(excess, 0.05), 0.95) - 1
    right, wrong = sum(curve.successes[:-1]), sum(curve.trials[:-1]) - sum(curve.successes[:-1])
    full, short = 0.5 + curve.successes[-1], 0.5 + curve.trials[-1] - curve.successes[-1]
    alpha, beta = weight * mean, weight * (1 - mean)
    needed = betaln(alpha + right, beta + wrong) - betaln(alpha, beta)
    unneeded = betaln(full + right, short + wrong) - betaln(full, short)
    ratio = (len(same) * math.exp(min(float(needed - unneeded), 50.0)) + 0.5) / (len(same) + 0.5)
    return min(max(ratio, 1 / LIMIT), LIMIT)


def truncate_store(
    store: str | Path,
    load: Callable[[], Engine],
    verifier: Verifier,
    most: int = 200,
    n: int = 4,
    cue: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[TruncationCurve]:
    """Tests the correct rollouts of a store, or of any other source with prompts and gold answers.

    Args:
        store: Folder that `rlguard estimate` wrote, or what else `read_any_rollouts` reads.
        load: Makes the engine, once it is sure that there is something to test.
        verifier: Judges the forced answers.
        most: How many rollouts are tested: the first of every prompt, then the second, and so on.
        n: Answers at each cut.
        cue: How the answer is begun; None takes each completion's own words.
        columns: Where the parts of a rollout stand (`read_any_rollouts`).

    Raises:
        InputError: If there is no correct rollout, or its prompt or gold answer is missing.
    """
    problems: dict[str, Problem] = {}
    by_prompt: dict[str, list[Rollout]] = {}
    for rollout in read_any_rollouts(store, columns=columns)[1]:
        if rollout.outcome != 1.0:
            continue
        if not rollout.prompt or rollout.gold is None:
            lacking = "gold answer" if rollout.prompt else "prompt"
            raise InputError(
                f"{store}: expected the {lacking} of every correct rollout, {rollout.prompt_id!r} has none"
            )
        asked = rollout.prompt, rollout.gold
        row = {"prompt": rollout.prompt, "answer": rollout.gold}
        problems.setdefault(rollout.prompt_id, Problem(rollout.prompt_id, *asked, row, len(problems)))
        by_prompt.setdefault(rollout.prompt_id, []).append(rollout)
    rounds = max(map(len, by_prompt.values()), default=0)
    chosen = [own[turn] for turn in range(rounds) for own in by_prompt.values() if turn < len(own)][:most]
    if not chosen:
        raise InputError(f"{store}: holds no correct rollout, and only those are tested")
    return truncation_test(chosen, problems.values(), load(), verifier, n=n, cue=cue)


def summarise_curves(curves: Sequence[TruncationCurve]) -> list[tuple[str, int, list[float], int]]:
    """(band, curves, mean reward at each fraction, findings) of each band, by name."""
    bands: dict[str, list[TruncationCurve]] = {}
    for curve in curves:
        if curve.trials:
            bands.setdefault(curve.band, []).append(curve)
    return [
        (
            band,
            len(members),
            np.nanmean([curve.rewards for curve in members], axis=0).tolist(),
            sum(curve.finding is not None for curve in members),
        )
        for band, members in sorted(bands.items())
    ]


def to_record(curve: TruncationCurve) -> dict[str, Any]:
    """A JSON-serialisable curve; NaN is null."""
    record = asdict(curve) | {"rewards": [None if reward != reward else reward for reward in curve.rewards]}
    return {name: None if value != value else value for name, value in record.items()}
