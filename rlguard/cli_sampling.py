"""The commands that need a model: estimate, truncate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rlguard.answers import ANSWER_CUE
from rlguard.cli_shared import (
    ANSWER,
    BASE_URL,
    DATA,
    MODEL,
    PROMPT,
    TIMEOUT,
    VERIFIER,
    WORKERS,
    EngineName,
    app,
    console,
    errors,
)  # fmt: skip
from rlguard.types import Engine, InputError, Sampling


@app.command()
def estimate(
    data: DATA,
    model: MODEL,
    out: Annotated[Path, typer.Option(help="Folder for the rollouts and rates; run again to go on after a crash.")],
    engine: Annotated[EngineName, typer.Option(help="What samples the completions.")] = EngineName.vllm,
    base_url: BASE_URL = None,
    workers: WORKERS = None,
    n: Annotated[int | None, typer.Option("--n", help="The same number of rollouts for every prompt.")] = None,
    min_n: Annotated[int, typer.Option(help="Least rollouts a prompt.")] = 4,
    max_n: Annotated[int, typer.Option(help="Most rollouts a prompt, while its band is open.")] = 128,
    error_rate: Annotated[float, typer.Option(help="Share of prompts that may end in a wrong band.")] = 0.05,
    bounds: Annotated[str, typer.Option(help="Where near-impossible, learnable and mastered begin.")] = "0.02,0.1,0.9",
    answer_only: Annotated[int, typer.Option(min=0, help="Rollouts a prompt that may only guess: chance rates.")] = 0,
    answer_cue: Annotated[str, typer.Option(help="How the answer is begun there.")] = ANSWER_CUE,
    verifier: VERIFIER = "auto",
    verifier_timeout: TIMEOUT = 10.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest completion; longer ones count as truncated.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, help="As in training: rates depend on it.")] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Nucleus sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same rollouts.")] = 0,
    group_size: Annotated[int, typer.Option(min=2, help="Rollouts a group in training, for pass@k.")] = 8,
    prompt_column: PROMPT = "prompt",
    answer_column: ANSWER = "answer",
) -> None:
    """Estimate how often a model solves each prompt; every rollout is kept.

    Prompts get more rollouts only while their band is open (--min-n to --max-n), or all the same number with --n.
    """
    from rlguard.console import SamplingView, describe_saving
    from rlguard.difficulty import estimate_pass_rates
    from rlguard.rates import RATES
    from rlguard.sequential import Plan

    fixed = n is not None
    plan = Plan(min_n if n is None else n, max_n if n is None else n, error_rate, _parse_bounds(bounds))
    interrupted = False
    with SamplingView(errors, engine.value, fixed) as view:
        try:
            estimate_pass_rates(
                data, model, out=out, plan=plan, engine=engine.value, engine_options=engine.options(base_url, workers),
                verifier=verifier, timeout_s=verifier_timeout,
                sampling=Sampling(max_tokens, temperature, top_p, seed), answer_only=answer_only,
                answer_cue=answer_cue, prompt_column=prompt_column, answer_column=answer_column, on_progress=view.show,
            )  # fmt: skip
        except KeyboardInterrupt:
            interrupted = True
    if (out / RATES).exists():
        _show_rates(out / RATES, group_size)
        if view.sampled and not fixed:
            console.print(describe_saving(view.sampled), highlight=False, soft_wrap=True)
        console.print(f"rates: {out / RATES}", highlight=False, soft_wrap=True)
    if interrupted:
        errors.print("stopped: what was sampled so far is kept, and the same command goes on from there")
        raise typer.Exit(130)


def _show_rates(path: Path, group_size: int) -> None:
    from rlguard.console import band_table, chance_table, describe_totals, histogram
    from rlguard.counting import summarise_chance
    from rlguard.data import read_rows
    from rlguard.preflight import check_preflight
    from rlguard.rates import read_rates

    rates = list(read_rates(path).values())
    chance = summarise_chance([row["answer"] for row in read_rows(path)], rates)
    console.print(histogram(rates), band_table(rates))
    if chance:
        console.print(chance_table(chance))
    console.print(describe_totals(rates), highlight=False, soft_wrap=True)
    console.print(f"preflight: {check_preflight(rates, group_size).describe()}", highlight=False, soft_wrap=True)


@app.command()
def truncate(
    store: Annotated[Path, typer.Argument(help="Folder that `rlguard estimate` wrote.")],
    model: MODEL,
    out: Annotated[Path, typer.Option(help="A curve a rollout, one JSON object a line.")],
    engine: Annotated[EngineName, typer.Option(help="What samples the answers.")] = EngineName.vllm,
    base_url: BASE_URL = None,
    workers: WORKERS = None,
    rollouts: Annotated[int, typer.Option(min=1, help="Correct rollouts to test, one a prompt before a second.")] = 200,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers at each cut.")] = 4,
    answer_cue: Annotated[str, typer.Option(help="How the answer is begun.")] = ANSWER_CUE,
    verifier: VERIFIER = "auto",
) -> None:
    """Cut the reasoning of correct rollouts short and force an answer: is it right all the same?

    A high reward for little of the reasoning says that the answer did not come from it (TRACE, arXiv 2510.01367).
    """
    from rlguard.engines import load_engine
    from rlguard.truncating import summarise_curves, to_record, truncate_store
    from rlguard.verifiers import pick_verifier
    from rlguard.writing import write_rows

    judge = pick_verifier(verifier)

    def load() -> Engine:
        return load_engine(engine.value, model, **engine.options(base_url, workers))

    curves = truncate_store(store, load, judge, rollouts, n, answer_cue)
    write_rows([to_record(curve) for curve in curves], out)
    rows = summarise_curves(curves)
    fractions = curves[0].fractions if curves else ()
    table = Table("prompts that take", "rollouts", *(f"{f:.0%} of it" for f in fractions), "findings", title="Reward")
    for band, count, rewards, findings in rows:
        table.add_row(band, str(count), *(f"{reward:.2f}" for reward in rewards), str(findings))
    console.print(table)
    untested = sum(curve.skipped is not None for curve in curves)
    if untested:
        errors.print(
            f"{untested} of {len(curves)} rollouts: {next(c.skipped for c in curves if c.skipped)}", markup=False
        )
    console.print(f"curves: {out}", highlight=False, soft_wrap=True)


def _parse_bounds(text: str) -> tuple[float, float, float]:
    try:
        low, middle, high = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--bounds: expected three rates such as 0.02,0.1,0.9, got {text!r}") from error
    return low, middle, high
