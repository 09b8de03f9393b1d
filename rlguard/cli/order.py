"""The command that orders domains: `rlguard order`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rlguard.cli import app as cli
from rlguard.types import InputError

if TYPE_CHECKING:
    from rlguard.order.transfer import Transfer


@cli.app.command()
def order(
    data: cli.DATA,
    out: cli.OUT_FOLDER,
    model: Annotated[str | None, typer.Option(help="Model folder or hub name; copies of it are trained.")] = None,
    transfer: Annotated[Path | None, typer.Option(help="Or: a transfer.json measured before; nothing is run.")] = None,
    column: cli.COLUMN = None,
    domain_column: Annotated[str, typer.Option(help="Column with the name of a row's domain.")] = "domain",
    steps: Annotated[int, typer.Option(help="Optimiser steps of each short training.")] = 30,
    trainings: Annotated[
        int, typer.Option(help="Trainings per domain; from 2 on, intervals include the variance between them.")
    ] = 1,
    held_out: Annotated[int, typer.Option(help="Held-out questions per domain.")] = 32,
    n: Annotated[int, typer.Option("--n", help="Rollouts per held-out question.")] = 4,
    prompts: Annotated[int, typer.Option(help="Prompts per step.")] = 8,
    group_size: Annotated[int, typer.Option(help="Rollouts per prompt in training.")] = 8,
    max_tokens: cli.MAX_TOKENS = 512,
    temperature: cli.TEMPERATURE = 1.0,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of the run you plan; TRL's default if not given.")
    ] = None,
    trainer: Annotated[str, typer.Option(help="More of TRL's GRPOConfig, as JSON.")] = "{}",
    epochs: Annotated[int, typer.Option(help="Passes over each domain in the schedule.")] = 1,
    verifier: Annotated[
        str, typer.Option(help="auto, math, exact, numeric, reasoning_gym, or suite: by each row's own `check`.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the split, the trainings and the schedule.")] = 0,
    as_json: cli.AS_JSON = False,
) -> None:
    """Find the order of domains that forgets least.

    A copy of the model is trained for a few steps on each domain, and asked held-out questions of all. OUT gets
    transfer.json (the matrix), order.json (the order and why), schedule.jsonl (the data in that order, for TRL with
    shuffle_dataset=False) and held_out.jsonl.
    """
    from rlguard.order.plan import plan_order
    from rlguard.order.schedule import group_rows, order_rows, write_schedule
    from rlguard.order.transfer import read_transfer, write_json, write_transfer
    from rlguard.tables.files import keep_apart
    from rlguard.tables.read import read_rows
    from rlguard.tables.write import write_rows

    keep_apart([out / "schedule.jsonl", out / "held_out.jsonl"], [data])
    if (model is None) == (transfer is None):
        raise InputError("expected --model, to train copies of it, or --transfer, a matrix that is there")
    domains = group_rows(read_rows(data), domain_column)
    order_rows(domains, list(domains), epochs)  # what is wrong with them is said before the work
    if transfer is not None:
        found, kept_out = read_transfer(transfer), None
        if sorted(found.domains) != sorted(domains):
            raise InputError(f"{transfer}: is of {', '.join(found.domains)}; {data} has {', '.join(domains)}")
    else:
        from rlguard.audit.marking import SuiteVerifier
        from rlguard.cli.console import Bar
        from rlguard.order.probe import ProbeSettings, hold_out, probe

        judge = SuiteVerifier() if verifier == "suite" else verifier
        settings = ProbeSettings(
            steps, trainings, prompts, group_size, n, max_tokens, temperature, learning_rate, seed, _parse(trainer)
        )
        training, kept_out = hold_out(domains, held_out, seed, *cli.read_problem_columns(column))
        with Bar("loading") as bar:
            found = probe(str(model), training, kept_out, out / "probes", settings, judge, bar.show)
        write_rows([dict(p.row) for problems in kept_out.values() for p in problems], out / "held_out.jsonl")
        domains = {domain: [dict(problem.row) for problem in problems] for domain, problems in training.items()}
    plan = plan_order(found, seed=seed)
    write_transfer(found, out / "transfer.json")
    write_json(plan.to_record(), out / "order.json")
    rows = [row for own in domains.values() for row in own]
    write_schedule(rows, plan.order, out / "schedule.jsonl", domain_column, epochs, seed)
    if as_json:
        cli.print_json(plan.to_record() | {"schedule": out / "schedule.jsonl"})
        return
    cli.console.print(_tabulate(found))
    for line in (f"order: {' > '.join(plan.order)}", *plan.describe(), f"schedule: {out / 'schedule.jsonl'}"):
        cli.say(line)


def _tabulate(transfer: Transfer) -> Table:
    """The matrix: rows are what was asked, columns what was trained on."""
    low_DD, high_DD = transfer.intervals()
    trained = [f"after {domain}" for domain in transfer.domains]
    table = Table("asked", "before", *trained, title="Accuracy, and its change [95% interval]")
    for i, domain in enumerate(transfer.domains):
        cells = (
            f"{after:.2f} {after - transfer.before_D[i]:+.2f}\n[{low:+.2f}, {high:+.2f}]"
            for after, low, high in zip(transfer.after_DD[i], low_DD[i], high_DD[i], strict=True)
        )
        table.add_row(domain, f"{transfer.before_D[i]:.2f}", *cells)
    entropy = ("–" if math.isnan(change) else f"{change:+.3f}" for change in transfer.entropy_change_D)
    table.add_row("own entropy, nats", "", *entropy)
    return table


def _parse(text: str) -> Mapping[str, Any]:
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--trainer: expected a JSON object, got {text!r}: {error.msg}") from error
    if not isinstance(options, dict):
        raise InputError(f"--trainer: expected a JSON object, got {text!r}")
    return options
