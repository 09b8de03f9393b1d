"""One self-contained HTML page about a run: pass rates, filter, findings, training curves."""

from rlguard.report.page import write_report

__all__ = ["write_report"]
