"""The command line: `rlguard estimate | filter | scan | report`.

Exit codes: 0 done, 1 findings at or over `--fail-on`, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from rlguard.types import InputError, Sampling

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
    server = "server"
    ray = "ray"


class Scale(StrEnum):
    """What a published rate says."""

    pass_rate = "pass_rate"
    percent_easy = "percent_easy"
    percent_hard = "percent_hard"
    fraction = "fraction"
    failures = "failures"
    successes = "successes"


class FailOn(StrEnum):
    """Severities that can fail a scan."""

    warn = "warn"
    error = "error"


@app.command()
def estimate(
    data: DATA,
    model: Annotated[str, typer.Option(help="Model folder or hub name; with --engine server the name it serves.")],
    out: Annotated[Path, typer.Option(help="Folder for the rollouts and rates; run again to go on after a crash.")],
    engine: Annotated[EngineName, typer.Option(help="What samples the completions.")] = EngineName.vllm,
    base_url: Annotated[list[str] | None, typer.Option(help="Of a server; give several to share the work.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="vLLM workers of --engine ray; one a GPU.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="The same number of rollouts for every prompt.")] = None,
    min_n: Annotated[int, typer.Option(help="Least rollouts a prompt.")] = 4,
    max_n: Annotated[int, typer.Option(help="Most rollouts a prompt, while its band is open.")] = 128,
    error_rate: Annotated[float, typer.Option(help="Share of prompts that may end in a wrong band.")] = 0.05,
    bounds: Annotated[str, typer.Option(help="Where near-impossible, learnable and mastered begin.")] = "0.02,0.1,0.9",
    answer_only: Annotated[int, typer.Option(min=0, help="Rollouts a prompt that may only guess: chance rates.")] = 0,
    answer_cue: Annotated[str, typer.Option(help="How the answer is begun there.")] = "The answer is",
    verifier: Annotated[str, typer.Option(help="auto, math, exact, numeric or reasoning_gym.")] = "auto",
    verifier_timeout: Annotated[float, typer.Option(help="Seconds a completion; later ones are unscored.")] = 10.0,
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
    options: dict[str, Any] = {"base_urls": base_url} if base_url else {}
    if workers:
        options["workers"] = workers
    with SamplingView(errors, engine.value, fixed) as view:
        try:
            estimate_pass_rates(
                data, model, out=out, plan=plan, engine=engine.value, engine_options=options,
                verifier=verifier, timeout_s=verifier_timeout or None,
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


@app.command("filter")
def filter_command(
    data: DATA,
    out: Annotated[Path, typer.Option(help="Kept rows (.jsonl, .csv, .parquet or a folder); dropped go beside it.")],
    rates: Annotated[Path | None, typer.Option(help="Folder or rates.parquet written by `rlguard estimate`.")] = None,
    rate_column: Annotated[str | None, typer.Option(help="Or: the column in which DATA publishes pass rates.")] = None,
    scale: Annotated[Scale | None, typer.Option(help="What that column says, direction included.")] = None,
    trials: Annotated[int | None, typer.Option(help="Rollouts behind each published rate, if known.")] = None,
    rate_model: Annotated[str | None, typer.Option(help="Whose rates those are.")] = None,
    known: Annotated[str | None, typer.Option(help="Or: hub name of a data set whose rates are known.")] = None,
    keep: Annotated[str, typer.Option(help="Pass rates to keep, LOW..HIGH.")] = "0.1..0.9",
    model: Annotated[
        str | None, typer.Option(help="The model to be trained; warns if the rates are another's.")
    ] = None,
    max_truncated: Annotated[float, typer.Option(help="Most truncated rollouts of a prompt, a share.")] = 0.5,
    chance_confidence: Annotated[float, typer.Option(help="Least probability of being above guessing.")] = 0.95,
    wrong_label_share: Annotated[float, typer.Option(help="Agreement on another answer that is suspicious.")] = 0.5,
    prompt_column: PROMPT = "prompt",
    answer_column: ANSWER = "answer",
) -> None:
    """Split a data set into kept and dropped rows; every dropped row has its reason."""
    from rlguard.filtering import filter_file
    from rlguard.published import KNOWN, read_known, read_published

    if (rates is not None) + (rate_column is not None or known is not None) != 1:
        raise InputError("expected --rates, or --rate-column, or --known: where do the pass rates come from?")
    found: Any = rates
    if known:
        found = read_known(known, data, rate_column)
        prompt_column, answer_column = KNOWN[known][0].prompt_column, KNOWN[known][0].answer_column
    elif rate_column:
        if scale is None:
            raise InputError(f"--scale: expected one of {', '.join(Scale)}: a rate has a direction")
        found = read_published(
            data, rate_column, scale=scale.value, model=rate_model, trials=trials,
            prompt_column=prompt_column, answer_column=answer_column,
        )  # fmt: skip
    summary = filter_file(
        data, found, out, _parse_keep(keep), prompt_column, answer_column, max_truncated=max_truncated,
        chance_confidence=chance_confidence, wrong_label_share=wrong_label_share, model=model,
    )  # fmt: skip
    table = Table("rows", "count", title="Filter")
    table.add_row("kept", str(summary.kept))
    for reason, count in summary.reasons.items():
        table.add_row(f"dropped: {reason}", str(count))
    console.print(table)
    for name, path in (("kept", summary.kept_path), ("dropped", summary.dropped_path), ("card", summary.card_path)):
        console.print(f"{name}: {path}", highlight=False, soft_wrap=True)


@app.command()
def scan(
    rollouts: Annotated[Path, typer.Argument(help="Rollout store, TRL output folder, or a table of completions.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON document.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the findings here, one JSON object a line.")] = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 on a finding this severe.")] = None,
) -> None:
    """Search rollouts for answer repetition and skipped computation; every finding shows its span."""
    from rlguard.scan import scan_rollouts
    from rlguard.writing import write_rows

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


def _parse_keep(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        return float(low), float(high if dots else "")
    except ValueError as error:
        raise InputError(f"--keep: expected LOW..HIGH such as 0.1..0.9, got {text!r}") from error


def _parse_bounds(text: str) -> tuple[float, float, float]:
    try:
        low, middle, high = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--bounds: expected three rates such as 0.02,0.1,0.9, got {text!r}") from error
    return low, middle, high


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
