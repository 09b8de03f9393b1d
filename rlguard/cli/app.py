"""What the parts of the command line share: the app, its two consoles, and options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="rlguard",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The guard around RLVR training: pass rates, filtered data, shortcuts found, one page to read.",
    epilog="Exit codes: 0 done, 1 findings or alarms at or over --fail-on or a loss in an audit, 2 bad input.",
)
console, errors = Console(), Console(stderr=True)

DATA = Annotated[str, typer.Argument(help="JSONL, CSV or Parquet file, saved data set folder, or hub name.")]
PROMPT = Annotated[str, typer.Option(help="Column with the prompt: text, or chat messages.")]
ANSWER = Annotated[str, typer.Option(help="Column with the gold answer.")]
MODEL = Annotated[str, typer.Option(help="Model folder or hub name; with --engine server the name it serves.")]
BASE_URL = Annotated[list[str] | None, typer.Option(help="Of a server; give several to share the work.")]
WORKERS = Annotated[int | None, typer.Option(min=1, help="vLLM workers of --engine ray; one a GPU.")]
VERIFIER = Annotated[str, typer.Option(help="auto, math, exact, numeric or reasoning_gym.")]
TIMEOUT = Annotated[float, typer.Option(help="Seconds a completion; later ones are unscored.")]


class EngineName(StrEnum):
    """Engines there are."""

    vllm = "vllm"
    transformers = "transformers"
    server = "server"
    ray = "ray"

    def options(self, base_urls: list[str] | None, workers: int | None) -> dict[str, object]:
        """What the engine's class is given."""
        return {name: value for name, value in (("base_urls", base_urls), ("workers", workers)) if value}
