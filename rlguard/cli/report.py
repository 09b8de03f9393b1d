"""`rlguard report`: one page about a run, or about several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlguard.cli.app import AS_JSON, COLUMN, app, console, errors, print_json, read_columns, say

STYLES = {"Harmed": "bold red", "Watch": "yellow", "Healthy": "green", "Unknown": "dim"}


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Pass rates, filtered set, rollouts, training, audit: folder or file; more to compare."),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="The HTML file to write.")] = Path("report.html"),
    column: COLUMN = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    scan: Annotated[
        bool | None,
        typer.Option(
            "--scan/--no-scan", help="Search rollouts without findings for shortcuts; by default where that is quick."
        ),
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Write one HTML page about a run, or several compared."""
    from rlguard.cli.console import working
    from rlguard.report import write_report

    with working("writing the report"):
        summary = write_report(runs[0], out, title, against=runs[1:], scan=scan, columns=read_columns(column))
    if as_json:
        print_json(summary)
        return
    for line in summary["headlines"]:
        console.print(line, style=next(style for name, style in STYLES.items() if name in line))
    for line in summary["verdict"]:
        say(f"- {line}")
    for reason in summary["skipped"].values():
        errors.print(reason)
    say(f"report: {out}")
