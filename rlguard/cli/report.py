"""`rlguard report`: one page about a run, or about two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlguard.cli.app import AS_JSON, COLUMN, app, errors, print_json, read_columns, say
from rlguard.types import InputError


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Pass rates, a filtered set, rollouts, a training, an audit: folder or file; two to compare."
        ),
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
    """Write one HTML page about a run, or two compared."""
    from rlguard.report import write_report

    if len(runs) > 2:
        raise InputError(f"expected one run, or two to compare, got {len(runs)}")
    against = runs[1] if len(runs) > 1 else None
    summary = write_report(runs[0], out, title, against=against, scan=scan, columns=read_columns(column))
    if as_json:
        print_json(summary)
        return
    for line in summary["verdict"]:
        say(f"- {line}")
    for reason in summary["skipped"].values():
        errors.print(reason)
    say(f"report: {out}")
