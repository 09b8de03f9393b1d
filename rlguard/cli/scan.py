"""`rlguard scan`: shortcuts in stored rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from rlguard.cli.app import AS_JSON, COLUMN, LOG, OUT_FILE, app, console, errors, print_json, read_columns, say


@app.command()
def scan(
    rollouts: LOG,
    column: COLUMN = None,
    out: OUT_FILE = None,
    reference: Annotated[
        Path | None, typer.Option(help="Rollouts from before training, to detect length collapse.")
    ] = None,
    fail_on: Annotated[
        Literal["warn", "error"] | None, typer.Option(help="Exit with 1 on a finding this severe.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Search rollouts for repeated answers and skipped computation."""
    from rlguard.cli.console import working
    from rlguard.rollouts.logs import list_files
    from rlguard.shortcuts.scan import scan_rollouts
    from rlguard.tables.files import keep_apart
    from rlguard.tables.write import write_rows

    keep_apart([out], [*list_files(rollouts), reference])
    with working("scanning"):
        result = scan_rollouts(rollouts, reference, read_columns(column))
    if out:
        write_rows(result.records(), out)
    if as_json:
        names = ("rollouts", "flagged", "schema", "kinds", "skipped", "notes")
        print_json({name: getattr(result, name) for name in names} | {"findings": result.records()})
    else:
        title = f"{result.flagged} of {result.rollouts} rollouts flagged"
        table = Table("kind", "findings", "for example", title=title)
        for kind, count in result.kinds.items():
            finding, rollout = next(pair for pair in result.findings if pair[0].kind == kind)
            span = rollout.completion[finding.start : finding.end]
            table.add_row(kind, str(count), f"{finding.reason}: {span!r:.60}")
        console.print(table)
        for line in (*result.notes, *(f"{check}: {reason}" for check, reason in result.skipped.items())):
            errors.print(line)
        if out:
            say(f"findings: {out}")
    severe = {None: (), "warn": ("warn", "error"), "error": ("error",)}[fail_on]
    if any(finding.severity in severe for finding, _ in result.findings):
        raise typer.Exit(1)
