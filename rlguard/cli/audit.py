"""`rlguard audit`: what did training break elsewhere?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from rlguard.cli import app as cli
from rlguard.engines.requests import needing_extra
from rlguard.tables.files import read_object
from rlguard.tables.hub import check_hub_name
from rlguard.types import InputError, Sampling, prompt_text, without_nan

if TYPE_CHECKING:
    from rlguard.audit.paired import Verdict
    from rlguard.audit.run import Comparison


@cli.app.command()
def audit(
    before: Annotated[str, typer.Argument(help="Model before training: folder or hub name.")],
    after: Annotated[list[str], typer.Argument(help="Models after; a trainer's output folder: all its checkpoints.")],
    out: cli.OUT_FOLDER,
    suite: Annotated[
        str, typer.Option(help="builtin, or files of questions, or both: builtin,mine.jsonl.")
    ] = "builtin",
    questions: Annotated[int, typer.Option(min=1, help="Questions per domain of the built-in suite.")] = 24,
    n: Annotated[
        int, typer.Option("--n", min=2, help="Answers per question; also the largest k of pass@k, at most 256.")
    ] = 16,
    varied: Annotated[int, typer.Option(min=0, help="Questions per domain that are also asked in other forms.")] = 4,
    chat: Annotated[
        bool | None, typer.Option(help="Ask in chat messages; by default if BEFORE has a template.")
    ] = None,
    trained: Annotated[
        str, typer.Option(help="What was trained on, for distances: domains of the suite, or a file of prompts.")
    ] = "",
    tolerance: Annotated[float, typer.Option(min=0.0, help="Largest loss that counts as `kept`.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="Confidence of intervals and verdicts.")] = 0.95,
    scored: Annotated[int, typer.Option(min=0, help="Answers per question whose log-probabilities are computed.")] = 4,
    truncated: Annotated[int, typer.Option(min=0, help="Correct answers whose reasoning is cut short.")] = 32,
    engine: cli.ENGINE = cli.EngineName.vllm,
    base_url: cli.BASE_URL = None,
    workers: cli.WORKERS = None,
    max_tokens: cli.MAX_TOKENS = 512,
    temperature: cli.TEMPERATURE = 1.0,
    top_p: cli.TOP_P = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the questions and the answers.")] = 0,
    column: cli.COLUMN = None,
    as_json: cli.AS_JSON = False,
) -> None:
    """What did training break elsewhere? Compare models.

    Accuracy by domain, calibration, coverage, reasoning and formats, on the same questions before and after.
    Exit code 1 when something is lost beyond --tolerance, for sure.
    """
    from rlguard.audit.run import PAGE, AuditSettings, expand_checkpoints, run_audit
    from rlguard.cli.console import SamplingBar

    engine.options(base_url, workers)  # what is wrong is said before the work
    prompts = _read_trained(trained, cli.read_columns(column, ("prompt",)).get("prompt", "prompt"), suite)
    models = expand_checkpoints([before, *after])
    chat = _has_template(before, engine) if chat is None else chat
    for model in models if engine is not cli.EngineName.server else ():
        check_hub_name(model, "model")
    with SamplingBar(engine.value, True) as bar:
        found = run_audit(
            before, after, out, suite, questions=questions, varied=varied,
            chat=chat, seed=seed, trained=prompts,
            settings=AuditSettings(n, scored, truncated, Sampling(max_tokens, temperature, top_p, seed)),
            tolerance=tolerance, confidence=confidence,
            load=lambda model: engine.load(model, base_url, workers), on_progress=lambda _, now: bar.take(now),
        )  # fmt: skip
    if as_json:
        cli.print_json(read_object(out / "audit.json"))
    else:
        for comparison in found.comparisons:
            cli.console.print(_tabulate(found.before, comparison))
        for what, why in found.skipped.items():
            cli.errors.print(f"not measured: {what} ({why})")
        cli.say(f"page: {out / PAGE}")
    if found.lost:
        raise typer.Exit(1)


def _tabulate(before: str, comparison: Comparison) -> Table:
    """A table with a line per figure, narrow enough for a terminal, and the number of figures by verdict."""
    from rlguard.report.audits import name_figure
    from rlguard.report.verdict import write_number

    styles: dict[Verdict, str] = {
        "lost": "bold red",
        "gained": "green",
        "changed": "yellow",
        "kept": "",
        "too few": "dim",
    }
    counts = Counter(row.verdict for row in comparison.rows)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in styles if counts[verdict])
    table = Table(title=f"{before} → {comparison.name}", caption=told, box=SIMPLE_HEAD)
    table.add_column("figure", overflow="fold", ratio=1)
    for head in ("before", "after", "change", "interval", "verdict"):
        table.add_column(head, no_wrap=True, justify="left" if head == "verdict" else "right")
    for row in without_nan([asdict(row) for row in comparison.rows]):
        low, high = (write_number(row[name], 3, signed=True) for name in ("low", "high"))
        numbers = [write_number(row[name], 3, signed=name == "change") for name in ("before", "after", "change")]
        interval = "–" if row["low"] is None else f"{low} to {high}"
        table.add_row(name_figure(row), *numbers, interval, row["verdict"], style=styles[row["verdict"]])
    return table


def _has_template(model: str, engine: cli.EngineName) -> bool:
    """Whether a model wants messages: its tokenizer knows; what is served nearly always does."""
    if engine is cli.EngineName.server:
        return True
    with needing_extra(engine.value):
        from transformers import AutoTokenizer
    check_hub_name(model, "model")
    try:
        return AutoTokenizer.from_pretrained(model).chat_template is not None
    except (OSError, ValueError) as error:
        raise InputError(f"the tokenizer of {model!r} cannot be loaded: {error}") from error


def _read_trained(trained: str, column: str, suite: str) -> list[str]:
    """Names of domains as they are, prompts from a file."""
    if not Path(trained).is_file():
        from rlguard.audit.suite import read_suite

        names = [name.strip() for name in trained.split(",") if name.strip()]
        domains = dict.fromkeys(item.domain for item in (read_suite(suite, 1, 0) if names else ()))
        if unknown := [name for name in names if name not in domains]:
            known = f"domains of the suite ({', '.join(domains)})"
            raise InputError(f"--trained: expected a file of prompts, or {known}, got {unknown[0]!r}")
        return names
    from rlguard.tables.columns import pick
    from rlguard.tables.read import iter_rows

    prompts = [pick(row, column) for row in iter_rows(trained)]
    if None in prompts:
        raise InputError(
            f"{trained}: row {prompts.index(None)} has no column {column!r}; name it with --column prompt=NAME"
        )
    return [prompt_text(prompt) for prompt in prompts]
