"""`rlguard filter`: keep or drop rows by pass rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.table import Table

from rlguard.cli.app import AS_JSON, COLUMN, DATA, app, console, print_json, read_columns, read_problem_columns, say
from rlguard.difficulty.published import Scale
from rlguard.types import InputError


@app.command("filter")
def filter_command(
    data: DATA,
    out: Annotated[
        Path, typer.Option(help="Where kept rows go (.jsonl, .csv, .parquet or a folder); dropped rows go beside it.")
    ],
    column: COLUMN = None,
    rates: Annotated[Path | None, typer.Option(help="Folder or rates.parquet written by `rlguard estimate`.")] = None,
    rate_column: Annotated[str | None, typer.Option(help="Or: the column in which DATA publishes pass rates.")] = None,
    scale: Annotated[
        Scale | None, typer.Option(metavar="SCALE", help=f"What that column says: {', '.join(get_args(Scale))}.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Rollouts behind each published rate, if known.")] = None,
    rate_model: Annotated[str | None, typer.Option(help="Model whose rates are published.")] = None,
    known: Annotated[str | None, typer.Option(help="Or: hub name of a data set whose rates are known.")] = None,
    keep: Annotated[str, typer.Option(help="Pass rates to keep, LOW..HIGH.")] = "0.1..0.9",
    model: Annotated[
        str | None, typer.Option(help="The model to be trained; warns if the rates are another's.")
    ] = None,
    max_truncated: Annotated[float, typer.Option(help="Largest share of truncated rollouts of a prompt.")] = 0.5,
    chance_confidence: Annotated[
        float, typer.Option(help="Smallest probability that the pass rate is above chance.")
    ] = 0.95,
    wrong_label_share: Annotated[
        float, typer.Option(help="Share of rollouts agreeing on another answer from which the label is suspected.")
    ] = 0.5,
    as_json: AS_JSON = False,
) -> None:
    """Keep or drop rows by pass rate, each with its reason."""
    from rlguard.cli.console import working
    from rlguard.difficulty.filter import filter_file
    from rlguard.difficulty.published import read_known, read_published
    from rlguard.difficulty.rules import Rules

    if (rates is not None) + (rate_column is not None or known is not None) != 1:
        raise InputError("expected --rates, or --rate-column, or --known: where do the pass rates come from?")
    if (scale or trials or rate_model) and (known or not rate_column):
        raise InputError("--scale, --trials, --rate-model: say what --rate-column holds; without it they say nothing")
    found: Any = rates
    prompt_column, answer_column = read_problem_columns(column)
    if known:
        named = read_columns(column, ("prompt", "answer"))
        found = read_known(
            known, data, rate_column, prompt_column=named.get("prompt"), answer_column=named.get("answer")
        )
        prompt_column, answer_column = found.prompt_column, found.answer_column
    elif rate_column:
        if scale is None:
            raise InputError(f"--scale: expected one of {', '.join(get_args(Scale))}: a rate has a direction")
        found = read_published(
            data, rate_column, scale=scale, model=rate_model, trials=trials,
            prompt_column=prompt_column, answer_column=answer_column,
        )  # fmt: skip
    with working("filtering"):
        summary = filter_file(
            data, found, out, Rules(_parse_keep(keep), max_truncated, chance_confidence, wrong_label_share),
            prompt_column, answer_column, model,
        )  # fmt: skip
    paths = {"kept": summary.kept_path, "dropped": summary.dropped_path, "card": summary.card_path}
    if as_json:
        print_json({"rows": summary.rows, "kept": summary.kept, "dropped": summary.reasons, "paths": paths})
        return
    table = Table("rows", "count", title="Filter")
    table.add_row("kept", str(summary.kept))
    for reason, count in summary.reasons.items():
        table.add_row(f"dropped: {reason}", str(count))
    console.print(table)
    for name, path in paths.items():
        say(f"{name}: {path}")


def _parse_keep(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        return float(low), float(high if dots else "")
    except ValueError as error:
        raise InputError(f"--keep: expected LOW..HIGH such as 0.1..0.9, got {text!r}") from error
