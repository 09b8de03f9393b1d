"""`rlguard estimate`: how often a model solves each prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlguard.answers import ANSWER_CUE
from rlguard.cli.app import (
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
)
from rlguard.types import InputError, Sampling


@app.command()
def estimate(
    data: DATA,
    model: MODEL,
    out: Annotated[Path, typer.Option(help="Folder for the rollouts and rates; run again to go on after a crash.")],
    engine: Annotated[EngineName, typer.Option(help="What samples the completions.")] = EngineName.vllm,
    base_url: BASE_URL = None,
    workers: WORKERS = None,
    n: Annotated[int | None, typer.Option("--n", help="The same number of rollouts for every prompt.")] = None,
    min_n: Annotated[int, typer.Option(help="Fewest rollouts per prompt.")] = 4,
    max_n: Annotated[int, typer.Option(help="Most rollouts per prompt, drawn only while its band is open.")] = 128,
    error_rate: Annotated[float, typer.Option(help="Share of prompts that may end in a wrong band.")] = 0.05,
    bounds: Annotated[str, typer.Option(help="Where near-impossible, learnable and mastered begin.")] = "0.02,0.1,0.9",
    answer_only: Annotated[int, typer.Option(min=0, help="Answer-only rollouts per prompt, for chance rates.")] = 0,
    answer_cue: Annotated[str, typer.Option(help="How the answer is begun there.")] = ANSWER_CUE,
    verifier: VERIFIER = "auto",
    verifier_timeout: TIMEOUT = 10.0,
    verifier_memory: Annotated[float, typer.Option(help="GB a verifier process; what takes more is unscored.")] = 4.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest completion; longer ones count as truncated.")] = 512,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Sampling temperature; use that of training, since rates depend on it.")
    ] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Nucleus sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same rollouts.")] = 0,
    group_size: Annotated[int, typer.Option(min=2, help="Group size in training: the k of pass@k.")] = 8,
    prompt_column: PROMPT = "prompt",
    answer_column: ANSWER = "answer",
) -> None:
    """Estimate how often a model solves each prompt; every rollout is kept.

    Prompts get more rollouts only while their band is open (--min-n to --max-n), or all the same number with --n.
    """
    from rlguard.cli.console import SamplingView, describe_saving
    from rlguard.difficulty.estimate import estimate_pass_rates
    from rlguard.difficulty.rates import RATES
    from rlguard.difficulty.stopping import Plan

    fixed = n is not None
    plan = Plan(min_n if n is None else n, max_n if n is None else n, error_rate, _parse_bounds(bounds))
    interrupted = False
    with SamplingView(errors, engine.value, fixed) as view:
        try:
            estimate_pass_rates(
                data, model, out=out, plan=plan, engine=engine.value, engine_options=engine.options(base_url, workers),
                verifier=verifier, timeout_s=verifier_timeout, memory_gb=verifier_memory,
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
    from rlguard.cli.console import band_table, chance_table, describe_totals, histogram
    from rlguard.difficulty.counting import summarise_chance
    from rlguard.difficulty.preflight import check_preflight
    from rlguard.difficulty.rates import read_rates
    from rlguard.tables.read import read_rows

    rates = list(read_rates(path).values())
    chance = summarise_chance([row["answer"] for row in read_rows(path)], rates)
    console.print(histogram(rates), band_table(rates))
    if chance:
        console.print(chance_table(chance))
    console.print(describe_totals(rates), highlight=False, soft_wrap=True)
    console.print(f"preflight: {check_preflight(rates, group_size).describe()}", highlight=False, soft_wrap=True)


def _parse_bounds(text: str) -> tuple[float, float, float]:
    try:
        low, middle, high = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--bounds: expected three rates such as 0.02,0.1,0.9, got {text!r}") from error
    return low, middle, high
