"""The command line: `rlguard COMMAND`."""

from rlguard.cli.main import main

__all__ = ["main"]
