"""The command line: `rlguard estimate | filter | scan | truncate | audit | order | report`.

Exit codes: 0 done, 1 findings or alarms at or over `--fail-on` or a loss in an audit, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from rich.table import Table

from rlguard.cli_shared import ANSWER, DATA, PROMPT, app, console, errors
from rlguard.types import InputError


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
    from rlguard.published import read_known, read_published
    from rlguard.verdicts import Rules

    if (rates is not None) + (rate_column is not None or known is not None) != 1:
        raise InputError("expected --rates, or --rate-column, or --known: where do the pass rates come from?")
    found: Any = rates
    if known:
        found = read_known(known, data, rate_column)
        prompt_column, answer_column = found.prompt_column, found.answer_column
    elif rate_column:
        if scale is None:
            raise InputError(f"--scale: expected one of {', '.join(Scale)}: a rate has a direction")
        found = read_published(
            data, rate_column, scale=scale.value, model=rate_model, trials=trials,
            prompt_column=prompt_column, answer_column=answer_column,
        )  # fmt: skip
    summary = filter_file(
        data, found, out, Rules(_parse_keep(keep), max_truncated, chance_confidence, wrong_label_share),
        prompt_column, answer_column, model,
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
    reference: Annotated[Path | None, typer.Option(help="Rollouts before training, for length collapse.")] = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 on a finding this severe.")] = None,
) -> None:
    """Search rollouts for answer repetition and skipped computation; every finding shows its span."""
    from rlguard.scan import scan_rollouts
    from rlguard.writing import write_rows

    result = scan_rollouts(rollouts, reference)
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
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Pass rates, a filtered set, rollouts, a training, an audit: folder or file; two to compare."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    scan: Annotated[
        bool | None,
        typer.Option(
            "--scan/--no-scan", help="Search rollouts without findings for shortcuts; by default where that is quick."
        ),
    ] = None,
) -> None:
    """Write one self-contained HTML page about a run, or about two compared: it opens from disk."""
    from rlguard.report import write_report

    if len(runs) > 2:
        raise InputError(f"expected one run, or two to compare, got {len(runs)}")
    summary = write_report(runs[0], out, title, against=runs[1] if len(runs) > 1 else None, scan=scan)
    for line in summary["verdict"]:
        console.print(f"- {line}", markup=False, highlight=False)
    for reason in summary["skipped"].values():
        errors.print(reason, markup=False)
    console.print(f"report: {out}", highlight=False, soft_wrap=True)


def _parse_keep(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        return float(low), float(high if dots else "")
    except ValueError as error:
        raise InputError(f"--keep: expected LOW..HIGH such as 0.1..0.9, got {text!r}") from error


def _plain(text: str) -> str:
    return text.replace("[", "\\[")  # rich would read brackets as markup


def main() -> None:
    """Runs the command line; turns bad input into exit code 2."""
    import rlguard.cli_audit  # each adds its commands
    import rlguard.cli_order
    import rlguard.cli_sampling
    import rlguard.cli_watch  # noqa: F401

    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False)]
    )
    try:
        app()
    except InputError as error:
        errors.print(f"error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
