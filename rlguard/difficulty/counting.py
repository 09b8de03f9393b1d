"""From a store's rollouts to pass rates: intervals, bands, chance rates, suspected wrong labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlguard.answers import answer_type, normalise_answer
from rlguard.difficulty.stopping import Population
from rlguard.luck.chance import ChanceRates
from rlguard.luck.settings import LuckSettings
from rlguard.rollouts.segments import Group, Tally
from rlguard.stats import binomial_interval, confidence_sequence, probability_above
from rlguard.types import BOUNDS, PassRate, Problem, name_band

AGREEMENT_BY_CHANCE = 0.01
"""A wrong answer given so often that guessing explains it with less than this probability is one the model holds."""
RIGHT_WHERE_AGREED = 4
"""A model's agreement casts doubt on labels only if it agrees on gold answers this many times as often as on others: a
weak model makes the same mistake again and again."""


@dataclass(slots=True)
class _Seen:
    """Summary of one prompt's rollouts: its tally and its most frequent wrong answer."""

    tally: Tally
    other: str | None = None
    other_count: int = 0
    unanswered: int = 0


def count_rates(
    problems: Sequence[Problem],
    groups: Iterable[Group],
    fixed: bool,
    bounds: tuple[float, float, float] = BOUNDS,
    rejected: Iterable[str] = (),
    guesses: Mapping[str, Tally] | None = None,
    model: str | None = None,
) -> list[PassRate]:
    """Pass rates of problems from the groups of a store.

    Args:
        problems: The problems, each id once.
        groups: Tallies and answers by prompt (`segments.group_rollouts`); those of other problems are ignored.
        fixed: Whether all prompts were to get the same number of rollouts: then the rate is k/n with an exact binomial
            interval, else it is corrected for the stopping (see `sequential`).
        bounds: Where near-impossible, learnable and mastered begin.
        rejected: Ids of problems whose gold answer is unusable.
        guesses: Tallies of answer-only rollouts by prompt; they give the chance rate where there are any. Without them
            it comes from the wrong answers to the other prompts (`chance.ChanceRates`).
        model: Whose rollouts they are.

    Returns:
        One pass rate per problem, in their order.
    """
    seen, chance = _read_groups(problems, groups)
    k_P, n_P = (np.array([getattr(seen[p.id].tally, name) for p in problems]) for name in ("successes", "trials"))
    guesses_P = [(guesses or {}).get(problem.id) for problem in problems]
    chance_P, weighed_P = (
        [_chance(problem, chance, asked, prior) for problem, asked in zip(problems, guesses_P, strict=True)]
        for prior in (0.0, LuckSettings.smoothing)
    )
    above_P = _above_chance(k_P, n_P, weighed_P)
    population = Population.fit(k_P[n_P > 0], n_P[n_P > 0])
    find_interval = binomial_interval if fixed else confidence_sequence
    known: dict[tuple[int, int], tuple[float, str, float]] = {}  # most prompts share their counts with others
    others_P = _agreed_answers(problems, seen, chance)
    out, rates = set(rejected), []
    for problem, (matches, others), above in zip(problems, chance_P, above_P, strict=True):
        found = seen[problem.id]
        k, n = found.tally.successes, found.tally.trials
        if (k, n) not in known:
            rate = k / n if fixed and n else population.rate(k, n)
            band = name_band(rate, bounds)
            known[k, n] = rate, band, population.band_error(k, n, band, bounds)
        rate, band, error = known[k, n]
        low, high = find_interval(k, n)
        chance_low, chance_high = binomial_interval(round(matches), round(others)) if others else (math.nan, math.nan)
        other = others_P[problem.id]
        rates.append(
            PassRate(
                problem.id, k, n, low, high, band, unanswered=found.unanswered,
                truncated=found.tally.truncated, unscored=found.tally.drawn - found.tally.trials,
                rate=rate, band_error=error,
                chance_rate=matches / others if others else math.nan, chance_low=chance_low, chance_high=chance_high,
                above_chance=float(above), other_answer=other, other_count=found.other_count if other else 0,
                status="gold_rejected" if problem.id in out else "ok" if found.tally.drawn else "not_sampled",
                model=model,
            )
        )  # fmt: skip
    return rates


def _read_groups(problems: Sequence[Problem], groups: Iterable[Group]) -> tuple[dict[str, _Seen], ChanceRates]:
    by_id = {problem.id: problem for problem in problems}
    seen: dict[str, _Seen] = {}
    chance = ChanceRates()
    extracts = True
    for prompt_id, tally, answers in groups:
        problem = by_id.get(prompt_id)
        if problem is None:
            continue
        gold = normalise_answer(problem.answer)
        failed: dict[str | None, float] = {}
        for answer, (count, right) in answers.items():
            spelled = None if answer is None else normalise_answer(answer)
            failed[spelled] = failed.get(spelled, 0) + count - right
        chance.add(problem.answer, failed)
        wrong = {answer: int(count) for answer, count in failed.items() if answer is not None and answer != gold}
        other = max(wrong, key=lambda answer: (wrong[answer], answer), default=None)
        silent, right = answers.get(None, (0, 0))
        extracts = extracts and not right  # else the verifier needs no final answer
        seen[prompt_id] = _Seen(tally, other, wrong[other] if other is not None else 0, silent)
    if not extracts:
        seen = {name: dataclasses.replace(found, unanswered=0) for name, found in seen.items()}
    return {problem.id: seen.get(problem.id) or _Seen(Tally()) for problem in problems}, chance


def _chance(problem: Problem, chance: ChanceRates, guesses: Tally | None, prior: float) -> tuple[float, float]:
    """Guesses that passed, and all guesses; where nobody asked for guesses, `prior` more at the smoothed rate.

    A model that seldom fails shows few guesses: without a prior, its clear successes could not be told from luck.
    """
    if guesses is not None and guesses.trials:
        return guesses.successes, guesses.trials
    matches, others = chance.counts(problem.answer)
    if not (prior and others):
        return matches, others
    return chance.rate(problem.answer) * (others + prior), others + prior


def _above_chance(k_P: np.ndarray, n_P: np.ndarray, chance_P: Sequence[tuple[float, float]]) -> np.ndarray:
    m_P, others_P = np.array(chance_P, float).reshape(-1, 2).T
    above = probability_above(k_P, n_P, np.minimum(m_P, others_P), others_P) if len(k_P) else np.zeros(0)
    return np.where((n_P > 0) & (others_P > 0), above, math.nan)


def _agreed_answers(
    problems: Sequence[Problem], seen: Mapping[str, _Seen], chance: ChanceRates
) -> dict[str, str | None]:
    """By prompt the other answer that the model agrees on; none at all where its agreement is not worth much."""
    others = {problem.id: _agreed_answer(problem, seen[problem.id], chance) for problem in problems}
    tallies = [(name, found.tally, found.other_count) for name, found in seen.items() if found.tally.trials]
    right = sum(2 * tally.successes >= tally.trials for _, tally, _ in tallies)
    wrong = sum(others[name] is not None and 2 * count >= tally.trials for name, tally, count in tallies)
    return others if right >= RIGHT_WHERE_AGREED * wrong else dict.fromkeys(others)


def _agreed_answer(problem: Problem, found: _Seen, chance: ChanceRates) -> str | None:
    """The wrong answer that the model gives more often here than it gives it elsewhere; None without one."""
    if found.other is None or found.other_count < 2:
        return None
    from scipy.special import bdtrc

    matches, others = chance.counts(found.other)
    own = found.tally.trials - found.tally.successes  # its own rollouts are no evidence
    matches, others = matches - found.other_count, others - own
    elsewhere = (max(matches, 0.0) + 0.5) / (others + 1) if others > 0 else 0.0
    by_chance = float(bdtrc(found.other_count - 1, found.tally.trials, min(elsewhere, 1.0))) if elsewhere else 0.0
    return found.other if by_chance < AGREEMENT_BY_CHANCE else None


def summarise_chance(golds: Sequence[Any], rates: Sequence[PassRate]) -> dict[str, dict[str, Any]]:
    """Chance rates by answer type: how many prompts, and the means of their chance rates and of the bounds.

    Args:
        golds: Gold answers.
        rates: Their pass rates, as many.
    """
    kinds: dict[str, list[PassRate]] = {}
    for gold, rate in zip(golds, rates, strict=True):
        if not math.isnan(rate.chance_rate):
            kinds.setdefault(answer_type(gold), []).append(rate)
    return {
        kind: {"prompts": len(members)}
        | {
            name: float(np.mean([getattr(r, name) for r in members]))
            for name in ("chance_rate", "chance_low", "chance_high")
        }
        for kind, members in sorted(kinds.items())
    }
