"""The command line: `rlguard estimate | filter | scan | report`.

Exit codes: 0 done, 1 findings at or over `--fail-on`, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rlguard.types import InputError, PassRate, Sampling, count_reasons

app = typer.Typer(
    name="rlguard",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The guard around RLVR training: pass rates, filtered data, shortcuts found, one page to read.",
    epilog="Exit codes: 0 done, 1 findings at or over --fail-on, 2 bad input.",
)
console, errors = Console(), Console(stderr=True)

DATA = Annotated[str, typer.Argument(help="JSONL, CSV or Parquet file, saved data set folder, or hub name.")]
PROMPT = Annotated[str, typer.Option(help="Column with the prompt: text, or chat messages.")]
ANSWER = Annotated[str, typer.Option(help="Column with the gold answer.")]


class EngineName(StrEnum):
    """Engines there are."""

    vllm = "vllm"
    transformers = "transformers"


class FailOn(StrEnum):
    """Severities that can fail a scan."""

    warn = "warn"
    error = "error"


@app.command()
def estimate(
    data: DATA,
    model: Annotated[str, typer.Option(help="Model folder or hub name.")],
    out: Annotated[Path, typer.Option(help="Folder for the rollouts and rates; run again to go on after a crash.")],
    engine: Annotated[EngineName, typer.Option(help="What samples the completions.")] = EngineName.vllm,
    n: Annotated[int, typer.Option("--n", min=1, help="Rollouts a prompt.")] = 16,
    verifier: Annotated[str, typer.Option(help="auto, math, exact, numeric or reasoning_gym.")] = "auto",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest completion; longer ones count as truncated.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, help="As in training: rates depend on it.")] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Nucleus sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same rollouts.")] = 0,
    prompt_column: PROMPT = "prompt",
    answer_column: ANSWER = "answer",
) -> None:
    """Estimate how often a model solves each prompt: successes of trials, with an interval, every rollout kept."""
    from rlguard.difficulty import RATES, estimate_pass_rates

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rollouts"),
        TextColumn("{task.fields[speed]}"), TimeRemainingColumn(), console=errors,
    ) as progress:  # fmt: skip
        bar = progress.add_task(f"loading {engine}", total=None, speed="")

        def show(done: int, wanted: int, tokens: int) -> None:
            elapsed = progress.tasks[bar].elapsed or 0.0
            if tokens == 0:
                progress.reset(bar, total=wanted, completed=done, description="sampling")
            speed = f"{tokens / elapsed:.0f} tokens/s" if tokens and elapsed else ""
            progress.update(bar, completed=done, total=wanted, speed=speed)

        try:
            rates = estimate_pass_rates(
                data,
                model,
                out=out,
                n=n,
                engine=engine.value,
                verifier=verifier,
                sampling=Sampling(max_tokens, temperature, top_p, seed),
                prompt_column=prompt_column,
                answer_column=answer_column,
                on_progress=show,
            )
        except KeyboardInterrupt:
            _exit_resumable()
    console.print(_rates_table(rates))
    console.print(f"rates: {out / RATES}", highlight=False, soft_wrap=True)


@app.command("filter")
def filter_command(
    data: DATA,
    rates: Annotated[Path, typer.Option(help="Folder or rates.parquet written by `rlguard estimate`.")],
    out: Annotated[Path, typer.Option(help="Kept rows (.jsonl, .csv, .parquet or a folder); dropped go beside it.")],
    keep: Annotated[str, typer.Option(help="Pass rates to keep, LOW..HIGH.")] = "0.1..0.9",
    prompt_column: PROMPT = "prompt",
    answer_column: ANSWER = "answer",
) -> None:
    """Split a data set into kept and dropped rows; every dropped row has its reason."""
    from rlguard.filtering import filter_dataset

    filtered = filter_dataset(data, rates, _parse_keep(keep), prompt_column, answer_column)
    kept, dropped = filtered.write(out)
    table = Table("rows", "count", title="Filter")
    table.add_row("kept", str(len(filtered.kept)))
    for reason, count in filtered.reasons.items():
        table.add_row(f"dropped: {reason}", str(count))
    console.print(table)
    console.print(f"kept: {kept}\ndropped: {dropped}", highlight=False, soft_wrap=True)


@app.command()
def scan(
    rollouts: Annotated[Path, typer.Argument(help="Rollout store, TRL output folder, or a table of completions.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON document.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the findings here, one JSON object a line.")] = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 on a finding this severe.")] = None,
) -> None:
    """Search rollouts for answer repetition and skipped computation; every finding shows its span."""
    from rlguard.data import write_rows
    from rlguard.scan import scan_rollouts

    result = scan_rollouts(rollouts)
    if out:
        write_rows(result.records(), out)
    if as_json:
        summary = {"rollouts": result.rollouts, "flagged": result.flagged, "schema": result.schema}
        print(json.dumps(summary | {"kinds": result.kinds, "skipped": result.skipped, "findings": result.records()}))
    else:
        table = Table(
            "kind", "findings", "for example", title=f"{result.flagged} of {result.rollouts} rollouts flagged"
        )
        for kind, count in result.kinds.items():
            finding, rollout = next(pair for pair in result.findings if pair[0].kind == kind)
            table.add_row(
                kind, str(count), _plain(f"{finding.reason}: {rollout.completion[finding.start : finding.end]!r:.60}")
            )
        console.print(table)
        for check, reason in result.skipped.items():
            errors.print(f"{check}: {reason}", markup=False)
        if out:
            console.print(f"findings: {out}", highlight=False, soft_wrap=True)
    severe = {"warn": ("warn", "error"), "error": ("error",)}[fail_on.value] if fail_on else ()
    if any(finding.severity in severe for finding, _ in result.findings):
        raise typer.Exit(1)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder with any of: rates, kept rows, findings, training metrics.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
) -> None:
    """Write one self-contained HTML page about a run."""
    from rlguard.report import write_report

    summary = write_report(run, out, title)
    for part, reason in summary["skipped"].items():
        errors.print(f"not in this run: {part} ({reason})", markup=False)
    console.print(f"report: {out}", highlight=False, soft_wrap=True)


def _exit_resumable() -> NoReturn:
    errors.print("stopped: what was sampled so far is kept, and the same command goes on from there")
    raise typer.Exit(130)


def _parse_keep(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        return float(low), float(high if dots else "")
    except ValueError as error:
        raise InputError(f"--keep: expected LOW..HIGH such as 0.1..0.9, got {text!r}") from error


def _rates_table(rates: list[PassRate]) -> Table:
    table = Table("band", "prompts", "", title="Pass rates")
    bands = count_reasons(rate.band for rate in rates)
    for band in ("impossible", "near-impossible", "learnable", "mastered", "unscored"):
        if band in bands:
            table.add_row(band, str(bands[band]), "█" * -(-30 * bands[band] // len(rates)))
    trials, truncated = sum(rate.trials for rate in rates), sum(rate.truncated for rate in rates)
    unscored = sum(rate.unscored for rate in rates)
    successes = sum(rate.successes for rate in rates)
    table.caption = f"{successes} of {trials} rollouts correct, {truncated} truncated, {unscored} unscored"
    return table


def _plain(text: str) -> str:
    return text.replace("[", "\\[")  # rich would read brackets as markup


def main() -> None:
    """Runs the command line; turns bad input into exit code 2."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False)]
    )
    try:
        app()
    except InputError as error:
        errors.print(f"error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
