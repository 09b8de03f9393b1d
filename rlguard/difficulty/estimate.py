"""Pass rates: sample every problem as often as its band needs, verify, keep every rollout, report with an interval."""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.answers import ANSWER_CUE, normalise_answer, read_gold
from rlguard.difficulty.counting import count_rates
from rlguard.difficulty.rates import RATES, PassRates, write_rates
from rlguard.difficulty.sampling import AnswerOnly, Progress, Sampler
from rlguard.difficulty.stopping import Plan, read_plans, refine_plan
from rlguard.rollouts.segments import Tally, group_rollouts
from rlguard.rollouts.store import PROBLEMS, RolloutStore
from rlguard.tables.frames import Data, iter_data
from rlguard.tables.read import read_problems, read_rows
from rlguard.tables.write import write_rows
from rlguard.types import BOUNDS, Engine, InputError, PassRate, Problem, Sampling, Verifier
from rlguard.verify.gold import check_gold
from rlguard.verify.pool import VerifierPool
from rlguard.verify.verifiers import pick_verifier

logger = logging.getLogger(__name__)

GUESSES = "answer_only"
GUESS_TOKENS = 32
REFINEMENTS = 2
"""Times the plan is refitted to the population while too many bands are uncertain."""


def estimate_pass_rates(
    data: Data,
    model: str | None = None,
    *,
    out: str | Path,
    n: int | None = None,
    plan: Plan | None = None,
    engine: str | Engine = "vllm",
    engine_options: Mapping[str, Any] | None = None,
    verifier: str | Verifier = "auto",
    timeout_s: float | None = 10.0,
    memory_gb: float | None = 4.0,
    sampling: Sampling | None = None,
    answer_only: int = 0,
    answer_cue: str = ANSWER_CUE,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    on_progress: Callable[[Progress], None] | None = None,
) -> PassRates:
    """Estimates how often a model solves each problem of a data set.

    Every rollout is kept in the store `out`; the same call after a crash goes on where it stopped, and an interrupted
    one (Ctrl-C) writes the rates of what there is before it raises. Problems whose gold answer its own verifier rejects
    are not sampled. `out/rates.parquet` gets the table.

    Args:
        data: A path or hub name, a frame, or rows as dicts (`tables.frames.iter_data`).
        model: Folder or hub name; may be left out when `engine` is an engine.
        out: Folder of the rollout store.
        n: A fixed number of rollouts per problem, short for `plan=Plan(n, n, error_rate=1)`.
        plan: How many rollouts a problem gets as its outcomes demand, and where the bands lie; None takes the defaults.
        engine: `vllm`, `transformers`, `server`, `ray`, or an engine of your own.
        engine_options: Passed on to the engine's class, such as `base_urls` of a server.
        verifier: A name in `verifiers.VERIFIERS`, or a verifier of your own.
        timeout_s: Seconds that the verifier may take for one completion, None for no limit; past it the rollout is
            unscored.
        memory_gb: GB that a verifier process may take (`VerifierPool`), None for no limit.
        sampling: How to draw; None takes the defaults of `Sampling`.
        answer_only: Rollouts per problem in which the model may only guess; they give its chance rate.
        answer_cue: How the answer begins in those rollouts.
        prompt_column: Column with text or chat messages.
        answer_column: Column with the gold answer.
        on_progress: Called after each change.

    Returns:
        One pass rate per distinct problem, in the order of the data: a list, which a notebook shows as a table.

    Raises:
        InputError: For unusable data, a store of another run, an engine that is not installed.
    """
    plan = plan or (Plan() if n is None else Plan(n, n, error_rate=1))
    sampling = sampling or Sampling()
    if sampling.temperature == 0 and plan.max_n > 1:
        raise InputError(f"temperature 0 draws the same completion {plan.max_n} times: set n to 1, or a temperature")
    problems = _distinct(read_problems(iter_data(data), prompt_column, answer_column, data))
    verifier = pick_verifier(verifier) if isinstance(verifier, str) else verifier
    with VerifierPool(verifier, timeout_s=timeout_s, memory_gb=memory_gb) as pool:
        rejected = _reject_gold(problems, verifier, pool)
        unscored = pool.counts
        wanted = [problem for problem in problems if problem.id not in rejected]
        engine = _open_engine(engine, model, engine_options or {})
        if engine.describe().get("chat_template") and any(isinstance(problem.prompt, str) for problem in wanted):
            logger.warning("the model has a chat template, but prompts are plain text: they are asked as they stand")
        with RolloutStore(out, _make_key(engine, sampling, verifier)) as store:
            try:
                _keep_problems(problems, Path(out) / PROBLEMS)
                _sample(engine, wanted, plan, sampling, pool, store, on_progress)
                if answer_only:
                    sampling = dataclasses.replace(sampling, max_tokens=min(sampling.max_tokens, GUESS_TOKENS))
                    guesser = AnswerOnly(engine, answer_cue)
                    guessing = Plan(answer_only, answer_only, bounds=plan.bounds)
                    with RolloutStore(Path(out) / GUESSES, _make_key(guesser, sampling, verifier)) as guesses:
                        guesses.add_plan(dataclasses.asdict(guessing))
                        Sampler(wanted, guessing, guesses, pool, on_progress, "answer only").run(guesser, sampling)
            finally:  # whatever happened, what is there is counted
                with _interrupted_late():
                    rates = count_store(out, problems, plan.bounds, rejected, str(engine.describe().get("model")))
                    write_rates(rates, problems, Path(out) / RATES)
        causes = {cause: count - unscored[cause] for cause, count in pool.counts.items() if count > unscored[cause]}
        if causes:
            counted = ", ".join(f"{count} {cause}" for cause, count in causes.items())
            logger.warning("some completions could not be judged and are unscored: %s", counted)
    _check_errors(rates, plan)
    return PassRates(rates)


def _check_errors(rates: Sequence[PassRate], plan: Plan) -> None:
    """Says where more bands are probably wrong than the plan allows."""
    errors = [rate.band_error for rate in rates if not math.isnan(rate.band_error)]
    if errors and (share := sum(errors) / len(errors)) > plan.error_rate:
        logger.warning(
            "%.1f%% of the prompts are expected in a wrong band, more than the %g%% that were asked for: at most %d "
            "rollouts per prompt do not suffice, raise max_n", 100 * share, 100 * plan.error_rate, plan.max_n,
        )  # fmt: skip


def count_store(
    folder: str | Path,
    problems: Sequence[Problem],
    bounds: tuple[float, float, float] = BOUNDS,
    rejected: Iterable[str] = (),
    model: str | None = None,
) -> list[PassRate]:
    """Pass rates from a store's rollouts, and chance rates from its answer-only rollouts where it has them."""
    guesses: dict[str, Tally] = {}
    if (Path(folder) / GUESSES).exists():
        guesses = {prompt_id: tally for prompt_id, tally, _ in group_rollouts(Path(folder) / GUESSES)}
    fixed = all(plan.is_fixed for plan in read_plans(folder))
    return count_rates(problems, group_rollouts(folder), fixed, bounds, rejected, guesses, model)


def _sample(
    engine: Engine,
    problems: Sequence[Problem],
    plan: Plan,
    sampling: Sampling,
    pool: VerifierPool,
    store: RolloutStore,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Samples by the plan, and on by finer ones while too many bands are uncertain.

    A repeated run begins at the finest plan it had reached: the first plan would draw more at counts that only finer
    ones lead to.
    """

    def sample(wanted: Sequence[Problem], by: Plan) -> None:
        phase = "sampling" if by == plan else "refining"
        Sampler(wanted, by, store, pool, on_progress, phase).run(engine, sampling)

    earlier = read_plans(store.folder)
    reached = [old for old in earlier if old != plan and dataclasses.replace(old, population=plan.population) == plan]
    if reached and (fresh := [problem for problem in problems if problem.id not in store.tallies]):
        sample(fresh, plan)
        reached = reached[-1:] if any(problem.id in store.tallies for problem in fresh) else reached  # other data
    going: Plan | None = reached[-1] if reached else plan
    for _ in range(max(REFINEMENTS - len(reached), 0) + 1):
        if going is None:
            break
        store.add_plan(dataclasses.asdict(going))
        sample(problems, going)
        seen = [tally for problem in problems if (tally := store.tallies.get(problem.id)) and tally.trials]
        going = refine_plan(plan, np.array([t.successes for t in seen]), np.array([t.trials for t in seen]))


@contextmanager
def _interrupted_late() -> Iterator[None]:
    """Within the block a first Ctrl-C waits for its end; a second one does not."""
    came: list[int] = []

    def take(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    both = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    kinds = [kind for kind in both if signal.getsignal(kind) is signal.default_int_handler]
    for kind in kinds:
        signal.signal(kind, take)
    try:
        yield
    finally:
        for kind in kinds:
            signal.signal(kind, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def _make_key(engine: Engine, sampling: Sampling, verifier: Verifier) -> dict[str, Any]:
    return {
        "engine": engine.describe(),
        "sampling": dataclasses.asdict(sampling),
        "verifier": {"name": verifier.name, "version": verifier.version},
    }


def _open_engine(engine: str | Engine, model: str | None, options: Mapping[str, Any]) -> Engine:
    if not isinstance(engine, str):
        return engine
    from rlguard.engines import load_engine

    if model is None:
        raise InputError("model: expected a folder or a hub name")
    return load_engine(engine, model, **options)


def _keep_problems(problems: Sequence[Problem], path: Path) -> None:
    """Keeps the prompts beside their rollouts; those of earlier data sets sampled into the same store stay."""
    known = {str(row.get("id")): row for row in read_rows(path)} if path.exists() else {}
    new = {p.id: {"id": p.id, "prompt": p.prompt, "answer": str(p.answer)} for p in problems if p.id not in known}
    if new:
        write_rows([*known.values(), *new.values()], path)


def _distinct(problems: Sequence[Problem]) -> list[Problem]:
    """Each problem once; says how many were duplicates, and how many prompts have contradictory gold answers."""
    by_id: dict[str, Problem] = {}
    golds: dict[str, set[str]] = {}
    for problem in problems:
        by_id.setdefault(problem.id, problem)
        if read_gold(problem.answer) is not None:
            golds.setdefault(problem.text, set()).add(normalise_answer(problem.answer))
    if len(by_id) < len(problems):
        logger.warning("%d duplicate rows: their prompts are sampled once", len(problems) - len(by_id))
    contradictory = [text for text, answers in golds.items() if len(answers) > 1]
    if contradictory:
        logger.warning(
            "%d prompts stand with different gold answers, the first one: %.80r", len(contradictory), contradictory[0]
        )
    return list(by_id.values())


def _reject_gold(problems: Sequence[Problem], verifier: Verifier, pool: VerifierPool) -> set[str]:
    rejected = check_gold(problems, pool)
    if len(rejected) == len(problems):
        raise InputError(
            f"verifier {verifier.name!r} rejects every gold answer; row {rejected[0].number} has "
            f"{rejected[0].answer!r}. Choose another verifier (--verifier), or another column (--column answer=NAME)"
        )
    if rejected:
        shown = ", ".join(f"row {p.number} ({str(p.answer)[:30]!r})" for p in rejected[:5])
        more = f" and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        logger.warning("%d gold answers fail their own verifier and are not sampled: %s%s", len(rejected), shown, more)
    return {problem.id for problem in rejected}
