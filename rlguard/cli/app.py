"""What the commands share: the app, its two consoles, common options, printing."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from rlguard.tables.columns import COLUMNS
from rlguard.types import Engine, InputError, without_nan
from rlguard.version import __version__

app = typer.Typer(
    name="rlguard",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="The guard around RLVR training: pass rates, shortcuts, and one page to read.",
    epilog="Exit codes: 0 done, 1 findings or alarms at or over --fail-on or a loss in an audit, 2 bad input, "
    "70 a fault of rlguard, 130 interrupted.",
)

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Text that a terminal shows but does not obey: control characters become escapes.

    >>> visible("\x1b[2Jred")
    '\\x1b[2Jred'
    """
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class SafeConsole(Console):
    """A console that reads no text as markup and escapes its control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Every printed string and table cell passes through here."""
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> NoReturn:
        """The reader has closed the pipe: no finding, so not rich's exit code 1."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141)


console = SafeConsole(markup=False, highlight=False, emoji=False)
errors = SafeConsole(markup=False, highlight=False, emoji=False, stderr=True)


def say(text: str) -> None:
    """A line on stdout, however long."""
    console.print(text, soft_wrap=True)


def print_json(record: Any) -> None:
    """One JSON document on stdout; NaN is null."""
    print(json.dumps(without_nan(record), default=str))


class EngineName(StrEnum):
    """Engines there are."""

    vllm = "vllm"
    transformers = "transformers"
    server = "server"
    ray = "ray"

    def options(self, base_urls: list[str] | None, workers: int | None) -> dict[str, object]:
        """What the engine's class is given.

        Raises:
            InputError: If a server has no address, or an address no server.
        """
        if (self is EngineName.server) != bool(base_urls):
            raise InputError("--base-url: --engine server needs the address of a server, as http://localhost:8000/v1")
        return {name: value for name, value in (("base_urls", base_urls), ("workers", workers)) if value}

    def load(self, model: str, base_urls: list[str] | None, workers: int | None) -> Engine:
        """The model in the engine."""
        from rlguard.engines import load_engine

        return load_engine(self.value, model, **self.options(base_urls, workers))


DATA = Annotated[str, typer.Argument(help="JSONL, CSV, TSV or Parquet file, saved data set folder, or hub name.")]
LOG = Annotated[Path, typer.Argument(help="Rollout store, a trainer's folder of rollouts, or a table of completions.")]
COLUMN = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="PART=NAME", help="Which column holds a part, as answer=gold or prompt=info.q; repeat."
    ),
]
OUT_FOLDER = Annotated[
    Path, typer.Option("--out", file_okay=False, help="Output folder; run the command again to resume after a crash.")
]
OUT_FILE = Annotated[
    Path | None, typer.Option("--out", dir_okay=False, help="Also write the findings here, one per line.")
]
AS_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
MODEL = Annotated[str, typer.Option(help="Model folder or hub name; with --engine server the name it serves.")]
ENGINE = Annotated[EngineName, typer.Option(metavar="ENGINE", help="vllm, transformers, server or ray.")]
BASE_URL = Annotated[list[str] | None, typer.Option(help="Address of a server; give several to share the work.")]
WORKERS = Annotated[int | None, typer.Option(min=1, help="vLLM workers of --engine ray; one per GPU.")]
VERIFIER = Annotated[str, typer.Option(help="auto, math, exact, numeric or reasoning_gym.")]
MAX_TOKENS = Annotated[int, typer.Option(min=1, help="Longest completion; longer ones are truncated.")]
TEMPERATURE = Annotated[float, typer.Option(min=0.0, help="Sampling temperature, as in training.")]
TOP_P = Annotated[float, typer.Option(min=0.001, max=1.0, help="Nucleus sampling; 1 is none.")]


def read_columns(given: Sequence[str] | None, parts: Sequence[str] = tuple(COLUMNS)) -> dict[str, str]:
    """What `--column` says: part -> the column that holds it.

    Args:
        given: As typed, `PART=NAME`.
        parts: Those that the command reads.

    Raises:
        InputError: If one is not of this form, no such part is read, or one is named twice.

    >>> read_columns(["answer=reward_model.ground_truth"])
    {'answer': 'reward_model.ground_truth'}
    """
    columns: dict[str, str] = {}
    for text in given or ():
        part, equals, name = text.partition("=")
        if part not in parts or not equals or not name:
            raise InputError(f"--column: expected PART=NAME with a part of {', '.join(parts)}, got {text!r}")
        if columns.setdefault(part, name) != name:
            raise InputError(f"--column: {part} is named twice, as {columns[part]!r} and as {name!r}")
    return columns


def read_problem_columns(given: Sequence[str] | None) -> tuple[str, str]:
    """The columns of prompts and gold answers, which a data set calls `prompt` and `answer` unless told."""
    columns = read_columns(given, ("prompt", "answer"))
    return columns.get("prompt", "prompt"), columns.get("answer", "answer")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rlguard {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
