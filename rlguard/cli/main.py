"""The command line: `rlguard estimate | filter | scan | truncate | audit | order | report`.

Exit codes: 0 done, 1 findings or alarms at or over `--fail-on` or a loss in an audit, 2 bad input, 130 interrupted
(Ctrl-C or SIGTERM).
"""

from __future__ import annotations

import logging
import signal
import sys

from rich.logging import RichHandler

from rlguard.cli import audit, estimate, filter, order, report, scan, truncate, watch  # noqa: F401 - each adds its command
from rlguard.cli.app import app, errors
from rlguard.types import InputError


def main() -> None:
    """Runs the command line; turns bad input into exit code 2."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False)]
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what there is is counted and written
    try:
        app()
    except InputError as error:
        errors.print(f"error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
