"""`rlguard truncate`: is the reasoning needed for the answer?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rlguard.cli import app as cli


@cli.app.command()
def truncate(
    store: cli.LOG,
    model: cli.MODEL,
    out: Annotated[Path, typer.Option(dir_okay=False, help="One curve per rollout, one JSON object per line.")],
    column: cli.COLUMN = None,
    engine: cli.ENGINE = cli.EngineName.vllm,
    base_url: cli.BASE_URL = None,
    workers: cli.WORKERS = None,
    rollouts: Annotated[
        int, typer.Option(min=1, help="Correct rollouts to test; each prompt gets one before any gets two.")
    ] = 200,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers at each cut.")] = 4,
    answer_cue: Annotated[
        str | None, typer.Option(help="How the answer begins; by default as in the completion itself.")
    ] = None,
    verifier: cli.VERIFIER = "auto",
    as_json: cli.AS_JSON = False,
) -> None:
    """Cut the reasoning short: is the answer right all the same?

    A high reward for little of the reasoning says that the answer did not come from it (TRACE, arXiv 2510.01367).
    """
    from rlguard.cli.console import working
    from rlguard.rollouts.logs import list_files
    from rlguard.shortcuts.truncation import summarise_curves, to_record, truncate_store
    from rlguard.tables.files import keep_apart
    from rlguard.tables.write import write_rows
    from rlguard.verify.verifiers import pick_verifier

    keep_apart([out], list_files(store))
    judge, columns = pick_verifier(verifier), cli.read_columns(column)
    engine.options(base_url, workers)  # what is wrong with them is said before the reading
    with working("cutting and answering"):
        curves = truncate_store(
            store, lambda: engine.load(model, base_url, workers), judge, rollouts, n, answer_cue, columns=columns
        )
    write_rows([to_record(curve) for curve in curves], out)
    rows = summarise_curves(curves)
    fractions = curves[0].fractions if curves else ()
    skipped = [curve.skipped for curve in curves if curve.skipped is not None]
    if as_json:
        names = ("band", "rollouts", "rewards", "findings")
        bands = [dict(zip(names, row, strict=True)) for row in rows]
        cli.print_json({"curves": out, "fractions": fractions, "bands": bands, "skipped": skipped})
        return
    table = Table("prompts that take", "rollouts", *(f"{f:.0%} of it" for f in fractions), "findings", title="Reward")
    for band, count, rewards, findings in rows:
        table.add_row(band, str(count), *(f"{reward:.2f}" for reward in rewards), str(findings))
    cli.console.print(table)
    if skipped:
        cli.errors.print(f"{len(skipped)} of {len(curves)} rollouts: {skipped[0]}")
    cli.say(f"curves: {out}")
