"""`rlguard report`: one page about a run, or about several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlguard.cli.app import app, console, errors

STYLES = {"Harmed": "bold red", "Watch": "yellow", "Healthy": "green", "Unknown": "dim"}


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Pass rates, filtered set, rollouts, training, audit: folder or file; more to compare."),
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
    """Write one self-contained HTML page about a run, or about several compared: it opens from disk."""
    from rlguard.report import write_report

    summary = write_report(runs[0], out, title, against=runs[1:], scan=scan)
    for line in summary["headlines"]:
        console.print(line, markup=False, highlight=False, style=next(s for name, s in STYLES.items() if name in line))
    for line in summary["verdict"]:
        console.print(f"- {line}", markup=False, highlight=False)
    for reason in summary["skipped"].values():
        errors.print(reason, markup=False)
    console.print(f"report: {out}", highlight=False, soft_wrap=True)
