"""The command line, `rlguard COMMAND`, and its exit codes.

0 done, 1 findings or alarms at or over `--fail-on` or a loss in an audit, 2 bad input or a file that cannot be read or
written, 70 a fault of rlguard's own, 130 interrupted (Ctrl-C or SIGTERM), 141 the reader of its output left.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
import traceback
from importlib import import_module

from rlguard.cli.app import app, errors
from rlguard.types import InputError
from rlguard.version import __version__

COMMANDS = ("verifier", "estimate", "filter", "order", "watch", "scan", "truncate", "audit", "report")
"""In the order of the work; `--help` lists them so."""

for _name in COMMANDS:
    import_module(f"rlguard.cli.{_name}")  # each adds its command


def main() -> None:
    """Runs the command line; every outcome has a line that says it and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only
    logging.basicConfig(level=logging.WARNING, handlers=[_Lines()])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what there is is counted and written
    try:
        app()
    except (InputError, OSError) as error:
        _leave(2, f"error: {error}")
    except KeyboardInterrupt:
        _leave(130, "stopped")
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer's own code for it is 1, that of findings
            sys.exit(141)
        raise
    except Exception as error:
        errors.print("".join(traceback.format_exception(error)), soft_wrap=True)
        _leave(70, f"fault: this is rlguard's ({__version__}), not yours. Please open an issue with the lines above")


def _leave(code: int, why: str) -> None:
    errors.print(why, style="bold red", soft_wrap=True)
    sys.exit(code)


class _Lines(logging.Handler):
    """Warnings of the library, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        errors.print(f"{record.levelname.lower()}: {record.getMessage()}", style="yellow", soft_wrap=True)
