"""The command line: `rlguard estimate | filter | scan | truncate | audit | order | verifier | watch | report`.

Exit codes: 0 done, 1 findings or alarms at or over `--fail-on` or a loss in an audit, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys

from rich.logging import RichHandler

from rlguard.cli import audit, estimate, filter, order, report, scan, truncate, verifier, watch  # noqa: F401 - each adds its command
from rlguard.cli.app import app, errors
from rlguard.types import InputError


def main() -> None:
    """Runs the command line; turns bad input into exit code 2."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False)]
    )
    try:
        app()
    except InputError as error:
        errors.print(f"error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
