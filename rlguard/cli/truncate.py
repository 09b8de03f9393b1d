"""`rlguard truncate`: is the reasoning needed for the answer?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rlguard.cli.app import (
    BASE_URL,
    MODEL,
    VERIFIER,
    WORKERS,
    EngineName,
    app,
    console,
    errors,
)
from rlguard.types import Engine


@app.command()
def truncate(
    store: Annotated[Path, typer.Argument(help="Rollout store, or a log or table with prompts and gold answers.")],
    model: MODEL,
    out: Annotated[Path, typer.Option(help="A curve a rollout, one JSON object a line.")],
    engine: Annotated[EngineName, typer.Option(help="What samples the answers.")] = EngineName.vllm,
    base_url: BASE_URL = None,
    workers: WORKERS = None,
    rollouts: Annotated[int, typer.Option(min=1, help="Correct rollouts to test, one a prompt before a second.")] = 200,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers at each cut.")] = 4,
    answer_cue: Annotated[
        str | None, typer.Option(help="How the answer is begun; by default as each completion itself begins it.")
    ] = None,
    verifier: VERIFIER = "auto",
) -> None:
    """Cut the reasoning of correct rollouts short and force an answer: is it right all the same?

    A high reward for little of the reasoning says that the answer did not come from it (TRACE, arXiv 2510.01367).
    """
    from rlguard.engines import load_engine
    from rlguard.shortcuts.truncation import summarise_curves, to_record, truncate_store
    from rlguard.tables.write import write_rows
    from rlguard.verify.verifiers import pick_verifier

    judge = pick_verifier(verifier)

    def load() -> Engine:
        return load_engine(engine.value, model, **engine.options(base_url, workers))

    curves = truncate_store(store, load, judge, rollouts, n, answer_cue)
    write_rows([to_record(curve) for curve in curves], out)
    rows = summarise_curves(curves)
    fractions = curves[0].fractions if curves else ()
    table = Table("prompts that take", "rollouts", *(f"{f:.0%} of it" for f in fractions), "findings", title="Reward")
    for band, count, rewards, findings in rows:
        table.add_row(band, str(count), *(f"{reward:.2f}" for reward in rewards), str(findings))
    console.print(table)
    untested = sum(curve.skipped is not None for curve in curves)
    if untested:
        errors.print(
            f"{untested} of {len(curves)} rollouts: {next(c.skipped for c in curves if c.skipped)}", markup=False
        )
    console.print(f"curves: {out}", highlight=False, soft_wrap=True)
