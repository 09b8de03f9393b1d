"""`rlguard estimate`: how often a model solves each prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlguard.answers import ANSWER_CUE
from rlguard.cli import app as cli
from rlguard.types import InputError, Sampling


@cli.app.command()
def estimate(
    data: cli.DATA,
    model: cli.MODEL,
    out: cli.OUT_FOLDER,
    column: cli.COLUMN = None,
    engine: cli.ENGINE = cli.EngineName.vllm,
    base_url: cli.BASE_URL = None,
    workers: cli.WORKERS = None,
    n: Annotated[int | None, typer.Option("--n", help="The same number of rollouts for every prompt.")] = None,
    min_n: Annotated[int, typer.Option(help="Fewest rollouts per prompt.")] = 4,
    max_n: Annotated[int, typer.Option(help="Most rollouts per prompt, drawn only while its band is open.")] = 128,
    error_rate: Annotated[float, typer.Option(help="Share of prompts that may end in a wrong band.")] = 0.05,
    bounds: Annotated[str, typer.Option(help="Where near-impossible, learnable and mastered begin.")] = "0.02,0.1,0.9",
    answer_only: Annotated[int, typer.Option(min=0, help="Answer-only rollouts per prompt, for chance rates.")] = 0,
    answer_cue: Annotated[str, typer.Option(help="How the answer begins in those rollouts.")] = ANSWER_CUE,
    verifier: cli.VERIFIER = "auto",
    verifier_timeout: Annotated[float, typer.Option(help="Seconds per completion; slower ones are unscored.")] = 10.0,
    verifier_memory: Annotated[float, typer.Option(help="GB per verifier process; what needs more is unscored.")] = 4.0,
    max_tokens: cli.MAX_TOKENS = 512,
    temperature: cli.TEMPERATURE = 1.0,
    top_p: cli.TOP_P = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same rollouts.")] = 0,
    group_size: Annotated[int, typer.Option(min=2, help="Group size in training: the k of pass@k.")] = 8,
    as_json: cli.AS_JSON = False,
) -> None:
    """Estimate how often a model solves each prompt.

    Prompts get more rollouts only while their band is open (--min-n to --max-n), or all the same number with --n.
    Every rollout is kept.
    """
    from rlguard.cli.console import SamplingBar, describe_saving
    from rlguard.difficulty.estimate import estimate_pass_rates
    from rlguard.difficulty.rates import RATES
    from rlguard.difficulty.stopping import Plan

    least, most, wrong = (min_n, max_n, error_rate) if n is None else (n, n, 1)
    plan = Plan(least, most, wrong, _parse_bounds(bounds))
    prompt_column, answer_column = cli.read_problem_columns(column)
    options = engine.options(base_url, workers)
    interrupted = False
    with SamplingBar(engine.value, plan.is_fixed) as bar:
        try:
            estimate_pass_rates(
                data, model, out=out, plan=plan, engine=engine.value, engine_options=options,
                verifier=verifier, timeout_s=verifier_timeout, memory_gb=verifier_memory,
                sampling=Sampling(max_tokens, temperature, top_p, seed), answer_only=answer_only,
                answer_cue=answer_cue, prompt_column=prompt_column, answer_column=answer_column, on_progress=bar.take,
            )  # fmt: skip
        except KeyboardInterrupt:
            interrupted = True
    if (out / RATES).exists():
        _show_rates(out / RATES, group_size, as_json)
        if bar.sampled and not plan.is_fixed and not as_json:
            cli.say(describe_saving(bar.sampled))
    if interrupted:
        cli.errors.print("stopped: what was sampled so far is kept, and the same command goes on from there")
        raise typer.Exit(130)


def _show_rates(path: Path, group_size: int, as_json: bool) -> None:
    from dataclasses import asdict

    from rlguard.cli.console import band_table, chance_table, describe_totals, histogram
    from rlguard.difficulty.counting import summarise_chance
    from rlguard.difficulty.preflight import check_preflight
    from rlguard.difficulty.rates import read_rates
    from rlguard.tables.read import read_rows
    from rlguard.types import count_reasons

    rates = list(read_rates(path).values())
    preflight = check_preflight(rates, group_size)
    if as_json:
        bands = count_reasons(rate.band for rate in rates)
        cli.print_json({"rates": path, "bands": bands, "preflight": asdict(preflight) | {"verdict": preflight.verdict}})
        return
    chance = summarise_chance([row["answer"] for row in read_rows(path)], rates)
    cli.console.print(histogram(rates), band_table(rates))
    if chance:
        cli.console.print(chance_table(chance))
    cli.say(describe_totals(rates))
    cli.say(f"preflight: {preflight.describe()}")
    cli.say(f"rates: {path}")


def _parse_bounds(text: str) -> tuple[float, float, float]:
    try:
        low, middle, high = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--bounds: expected three rates such as 0.02,0.1,0.9, got {text!r}") from error
    return low, middle, high
