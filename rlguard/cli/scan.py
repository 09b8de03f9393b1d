"""`rlguard scan`: shortcuts in stored rollouts."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rlguard.cli.app import app, console, errors


class FailOn(StrEnum):
    """Severities that can fail a scan."""

    warn = "warn"
    error = "error"


@app.command()
def scan(
    rollouts: Annotated[
        Path, typer.Argument(help="Rollout store, a trainer's folder of rollouts, or a table of completions.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON document.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the findings here, one JSON object a line.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Rollouts before training, for length collapse.")] = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 on a finding this severe.")] = None,
) -> None:
    """Search rollouts for answer repetition and skipped computation; every finding shows its span."""
    from rlguard.shortcuts.scan import scan_rollouts
    from rlguard.tables.write import write_rows

    result = scan_rollouts(rollouts, reference)
    if out:
        write_rows(result.records(), out)
    if as_json:
        names = ("rollouts", "flagged", "schema", "kinds", "skipped", "notes")
        print(json.dumps({name: getattr(result, name) for name in names} | {"findings": result.records()}))
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
        for note in result.notes:
            errors.print(note, markup=False)
        for check, reason in result.skipped.items():
            errors.print(f"{check}: {reason}", markup=False)
        if out:
            console.print(f"findings: {out}", highlight=False, soft_wrap=True)
    severe = {"warn": ("warn", "error"), "error": ("error",)}[fail_on.value] if fail_on else ()
    if any(finding.severity in severe for finding, _ in result.findings):
        raise typer.Exit(1)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")  # rich would read brackets as markup
