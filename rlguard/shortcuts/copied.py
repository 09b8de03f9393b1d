"""An answer that is a number of the prompt, where the prompt asks for one that must be worked out."""

from __future__ import annotations

from rlguard.shortcuts.case import Case
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.types import Finding


def find_copied(case: Case) -> list[Finding]:
    """The final number stands in the prompt, no step leads to it, and no work is shown.

    Call it only for completions that show no work.
    """
    if case.answer is None or case.value is None or case.facts.steps < 2 or case.supported or case.facts.other_rules:
        return []
    if abs(case.value) not in case.facts.written:
        return []
    reason = f"the answer {quote(case.answer[0])} is a number of the prompt, and no step leads to it"
    return [make_finding("copied_answer", "copied_answer", reason, case.answer[1], case.answer[2])]
