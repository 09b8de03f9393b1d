"""One self-contained HTML page about a run, or about several compared: rates, filter, rollouts, training, audit."""

from rlguard.report.page import write_report

__all__ = ["write_report"]
