"""Pass rates: sample every problem, verify, keep every rollout, report successes of trials with an interval."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlguard.chance import ChanceRates
from rlguard.data import read_problems, read_rows, write_rows
from rlguard.rollouts import RolloutStore, read_rollouts
from rlguard.stats import binomial_interval
from rlguard.types import Engine, Generation, InputError, PassRate, Problem, Request, Rollout, Sampling, Verifier
from rlguard.verifiers import check_gold, pick_verifier, score_safely

logger = logging.getLogger(__name__)

RATES = "rates.parquet"
PROBLEMS = "problems.jsonl"
BOUNDS = (0.1, 0.9)


def name_band(successes: int, trials: int, bounds: tuple[float, float] = BOUNDS) -> str:
    """The difficulty band of a prompt.

    Args:
        successes: Correct rollouts.
        trials: Scored rollouts.
        bounds: Pass rates (low, high): below is near-impossible, above is mastered, both ends are learnable.

    >>> [name_band(k, 16) for k in (0, 1, 8, 16)] + [name_band(0, 0)]
    ['impossible', 'near-impossible', 'learnable', 'mastered', 'unscored']
    """
    if trials == 0:
        return "unscored"
    if successes == 0:
        return "impossible"
    rate = successes / trials
    return "near-impossible" if rate < bounds[0] else "learnable" if rate <= bounds[1] else "mastered"


def estimate_pass_rates(
    data: str | Path | Iterable[Mapping[str, Any]],
    model: str | None = None,
    *,
    out: str | Path,
    n: int = 16,
    engine: str | Engine = "vllm",
    verifier: str | Verifier = "auto",
    sampling: Sampling | None = None,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    bounds: tuple[float, float] = BOUNDS,
    on_progress: Callable[[int, int, int], None] | None = None,
) -> list[PassRate]:
    """Estimates how often a model solves each problem of a data set.

    Every rollout is appended to the store `out` as soon as it is scored; the same call after a crash goes on where it
    stopped. Problems whose gold answer its own verifier rejects are not sampled. `out/rates.parquet` gets the table.

    Args:
        data: A path or hub name (`data.read_rows`), or rows as dicts.
        model: Folder or hub name; may be left out when `engine` is an engine.
        out: Folder of the rollout store.
        n: Rollouts a problem.
        engine: `vllm`, `transformers`, or an engine of your own.
        verifier: A name in `verifiers.VERIFIERS`, or a verifier of your own.
        sampling: How to draw; None takes the defaults of `Sampling`.
        prompt_column: Column with text or chat messages.
        answer_column: Column with the gold answer.
        bounds: Pass rates at which prompts become learnable and mastered.
        on_progress: Called after each request with (rollouts done, rollouts wanted, tokens so far).

    Returns:
        One pass rate a distinct problem, in the order of the data.

    Raises:
        InputError: For unusable data, a store of another run, an engine that is not installed.

    The interval is exact binomial (`stats.binomial_interval`).
    """
    if n < 1:
        raise InputError(f"n: expected at least 1 rollout a problem, got {n}")
    sampling = sampling or Sampling()
    if sampling.temperature == 0 and n > 1:
        raise InputError(f"temperature 0 draws the same completion {n} times: set n to 1, or a temperature")
    rows = read_rows(data) if isinstance(data, str | Path) else [dict(row) for row in data]
    problems = _distinct(read_problems(rows, prompt_column, answer_column))
    verifier = pick_verifier(verifier) if isinstance(verifier, str) else verifier
    rejected = _reject_gold(problems, verifier)
    engine, key = _open_engine(engine, model, sampling, verifier)
    with RolloutStore(out, key) as store:
        _keep_problems(problems, Path(out) / PROBLEMS)
        wanted = [problem for problem in problems if problem.id not in rejected]
        _sample(engine, wanted, n, sampling, verifier, store, on_progress)
    rates = count_rates(problems, read_rollouts(out), bounds, rejected)
    write_rates(rates, problems, Path(out) / RATES)
    return rates


def count_rates(
    problems: Sequence[Problem],
    rollouts: Iterable[Rollout],
    bounds: tuple[float, float] = BOUNDS,
    rejected: Iterable[str] = (),
) -> list[PassRate]:
    """Pass rates from stored rollouts, with chance rates from the answers to the other problems.

    Args:
        problems: The problems, each id once.
        rollouts: Rollouts in any order; those of other problems are ignored.
        bounds: As in `name_band`.
        rejected: Ids of problems whose gold answer is unusable.
    """
    tallies: dict[str, dict[str, int]] = {p.id: {"k": 0, "n": 0, "truncated": 0, "unscored": 0} for p in problems}
    answers: dict[str, list[str | None]] = {p.id: [] for p in problems}
    for rollout in rollouts:
        tally = tallies.get(rollout.prompt_id)
        if tally is None:
            continue
        tally["truncated"] += rollout.truncated
        if math.isnan(rollout.outcome):
            tally["unscored"] += 1
        else:
            tally["n"] += 1
            tally["k"] += int(rollout.outcome)
        answers[rollout.prompt_id].append(rollout.answer)
    chance = ChanceRates()
    for problem in problems:
        chance.add(problem.answer, answers[problem.id])
    out = set(rejected)
    rates = []
    for problem in problems:
        tally = tallies[problem.id]
        low, high = binomial_interval(tally["k"], tally["n"])
        status = "gold_rejected" if problem.id in out else "ok" if answers[problem.id] else "not_sampled"
        rates.append(
            PassRate(
                problem.id, tally["k"], tally["n"], low, high, name_band(tally["k"], tally["n"], bounds),
                tally["truncated"], tally["unscored"], chance.rate(problem.answer), status,
            )
        )  # fmt: skip
    return rates


def write_rates(rates: Sequence[PassRate], problems: Sequence[Problem], path: str | Path) -> None:
    """Writes the table of pass rates, one row a problem, with its prompt's text and gold answer."""
    table = []
    for rate, problem in zip(rates, problems, strict=True):
        row = dataclasses.asdict(rate) | {"prompt": problem.text, "answer": str(problem.answer), "pass_rate": rate.rate}
        table.append({name: None if value != value else value for name, value in row.items()})  # NaN is absent
    write_rows(table, path)


def read_rates(source: str | Path) -> dict[str, PassRate]:
    """Pass rates by prompt id, from a store folder or a file of rates.

    Raises:
        InputError: If there are none, or a column is missing.
    """
    path = Path(source)
    path = path / RATES if path.is_dir() else path
    if not path.exists():
        raise InputError(f"{path}: no pass rates here; make them with `rlguard estimate`")
    names = [field.name for field in dataclasses.fields(PassRate)]
    rates = {}
    for number, row in enumerate(read_rows(path)):
        missing = [name for name in names if name not in row]
        if missing:
            raise InputError(f"{path}: row {number}: columns {', '.join(missing)} are missing; not rates by rlguard")
        row["chance_rate"] = math.nan if row["chance_rate"] is None else row["chance_rate"]
        rates[row["prompt_id"]] = PassRate(**{name: row[name] for name in names})
    return rates


def _keep_problems(problems: Sequence[Problem], path: Path) -> None:
    """Keeps the prompts beside their rollouts; those of earlier data sets sampled into the same store stay."""
    known = {row["id"]: row for row in read_rows(path)} if path.exists() else {}
    new = {p.id: {"id": p.id, "prompt": p.prompt, "answer": str(p.answer)} for p in problems if p.id not in known}
    if new:
        write_rows([*known.values(), *new.values()], path)


def _distinct(problems: Sequence[Problem]) -> list[Problem]:
    """Each problem once; says how many were duplicates, and how many prompts have contradictory gold answers."""
    by_id: dict[str, Problem] = {}
    golds: dict[str, set[str]] = {}
    for problem in problems:
        by_id.setdefault(problem.id, problem)
        golds.setdefault(problem.text, set()).add(str(problem.answer))
    if len(by_id) < len(problems):
        logger.warning("%d duplicate rows: their prompts are sampled once", len(problems) - len(by_id))
    contradictory = [text for text, answers in golds.items() if len(answers) > 1]
    if contradictory:
        logger.warning(
            "%d prompts stand with different gold answers, the first one: %.80r", len(contradictory), contradictory[0]
        )
    return list(by_id.values())


def _reject_gold(problems: Sequence[Problem], verifier: Verifier) -> set[str]:
    rejected = check_gold(problems, verifier)
    if len(rejected) == len(problems):
        raise InputError(
            f"verifier {verifier.name!r} rejects every gold answer; row {rejected[0].number} has "
            f"{rejected[0].answer!r}. Choose another with --verifier, or another --answer-column"
        )
    if rejected:
        shown = ", ".join(f"row {p.number} ({str(p.answer)[:30]!r})" for p in rejected[:5])
        more = f" and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        logger.warning("%d gold answers fail their own verifier and are not sampled: %s%s", len(rejected), shown, more)
    return {problem.id for problem in rejected}


def _open_engine(
    engine: str | Engine, model: str | None, sampling: Sampling, verifier: Verifier
) -> tuple[Engine, dict[str, Any]]:
    from rlguard.engines import load_engine

    if isinstance(engine, str):
        if model is None:
            raise InputError("model: expected a folder or a hub name")
        engine = load_engine(engine, model)
    key = {
        "engine": engine.describe(),
        "sampling": dataclasses.asdict(sampling),
        "verifier": {"name": verifier.name, "version": verifier.version},
    }
    return engine, key


def _sample(
    engine: Engine,
    problems: Sequence[Problem],
    n: int,
    sampling: Sampling,
    verifier: Verifier,
    store: RolloutStore,
    on_progress: Callable[[int, int, int], None] | None,
) -> None:
    missing = [(problem, store.counts.get(problem.id, 0)) for problem in problems]
    requests = [Request(problem, n - have, have) for problem, have in missing if have < n]
    done, wanted, tokens = sum(min(have, n) for _, have in missing), n * len(problems), 0
    if on_progress:
        on_progress(done, wanted, tokens)
    for request, generations in engine.generate(requests, sampling):
        store.append(_score(generation, request, i, verifier) for i, generation in enumerate(generations))
        done, tokens = done + request.n, tokens + sum(generation.tokens for generation in generations)
        if on_progress:
            on_progress(done, wanted, tokens)


def _score(generation: Generation, request: Request, number: int, verifier: Verifier) -> Rollout:
    return Rollout(
        prompt_id=request.problem.id,
        index=request.first + number,
        completion=generation.text,
        outcome=score_safely(verifier, generation.text, request.problem),
        answer=verifier.extract(generation.text),
        tokens=generation.tokens,
        finish_reason=generation.finish_reason,
    )
