"""Whether steps that are shown reach the answer, or stop short of it."""

from __future__ import annotations

import re

from rlguard.shortcuts.arithmetic import Number, read_number
from rlguard.shortcuts.case import LABELS, NUMBERS, Case, blank, is_expression, is_produced, read_statement, segments
from rlguard.shortcuts.placeholders import stands_for_work
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.types import Finding

MAX_READ = 20_000
"""Characters in which an answer's other mentions are looked for."""


def is_reached(case: Case) -> bool:
    """Whether a step produces the answer: a number as its result, a time or an expression by all its parts."""
    if case.answer is None:
        return False
    if case.value is not None:
        value, given, plugged = case.value, case.facts.numbers, not case.facts.operands
        return any(
            is_produced(value, e, case.facts.moduli)
            or (plugged and value in e.operands and (e.left in given or e.right in given))
            for e in case.equations  # put in for the unknown, it gives what the prompt says
        )
    parts = _parts(case.answer[0]) - {None}
    if not parts:
        return False
    if ":" in case.answer[0]:
        return any(parts <= {*e.operands, e.left, e.right} for e in case.equations)
    used = {n for e in case.equations for n in e.operands}
    return parts <= used


def _parts(text: str) -> set[Number | None]:
    """The numbers of a text, hours and minutes each on their own."""
    return {read_number(part)[0] for part in NUMBERS.findall(text.replace(":", " "))}


def find_unreached(case: Case) -> list[Finding]:
    """Steps are shown, none of them produces the answer, and no sentence works it out either."""
    answer = case.answer
    if answer is None or not case.prompted or case.facts.steps < 2 or case.supported or len(case.text) > MAX_READ:
        return []
    text, value = case.text, case.value
    if not any(map(str.isdigit, answer[0])) or is_expression(answer[0]):
        return []
    if value is None and not re.fullmatch(r"\d{1,2}:\d\d", answer[0]):
        return []
    if text[max(0, answer[1] - 6) : answer[1]].rstrip(" $*{").endswith(("=", "≈", ":=")):
        return []
    if any(e.start <= answer[1] < e.end for e in case.equations):
        return []
    if isinstance(value, int) and 0 <= value <= len(case.equations) and not case.facts.operands:
        return []  # a count of what is listed
    if value is not None and _is_spelled(value, case):
        return []
    for start, end in segments(text):
        if start < case.lead_end or start <= answer[1] < end:
            continue
        segment = LABELS.sub(blank, text[start:end])
        if _is_solved_for(segment, answer[0]) or (not read_statement(segment) and _works_out(case, segment)):
            return []
    reason = f"no step produces the answer {quote(answer[0])}"
    return [make_finding("unsupported_answer", "unsupported_answer", reason, answer[1], answer[2])]


def find_waved_through(case: Case, said: int) -> list[Finding]:
    """The phrase that stands for work gives the answer itself, and no step comes after it."""
    answer = case.answer
    if answer is None or case.equations[-1].end > said or answer[0] not in case.text[said : said + 120]:
        return []
    if any(case.value is not None and is_produced(case.value, e, case.facts.moduli) for e in case.equations[-2:]):
        return []
    reason = f"no step produces the answer {quote(answer[0])}, only words do"
    return [make_finding("unsupported_answer", "unsupported_answer", reason, answer[1], answer[2])]


def _is_solved_for(segment: str, answer: str) -> bool:
    """Whether a sentence gives an unknown the answer's value ("x = 7 bears")."""
    return re.search(rf"[a-zA-Z]\s?=\s?[$]?{re.escape(answer)}(?![\w.])", segment) is not None


def _works_out(case: Case, segment: str) -> bool:
    """Whether a sentence that is more than a statement or an excuse holds the answer."""
    if stands_for_work(segment):
        return False
    if case.value is None:
        parts = (
            {read_number(part)[0] for part in NUMBERS.findall(case.answer[0].replace(":", " "))} if case.answer else {0}
        )
        return parts <= _parts(segment)
    confirms = case.lead_end > 0
    if not confirms and re.search(
        rf"[=≈][\s&${{(*]*{re.escape(case.answer[0])}(?![\d.])" if case.answer else "$^", segment
    ):
        return True
    for found in NUMBERS.findall(segment):
        number = read_number(found)[0]
        if number is not None and abs(case.value) == number and not confirms and number not in case.facts.written:
            return True
    return False


def _is_spelled(value: Number, case: Case) -> bool:
    """Whether the answer is put together from the last digits of results, as in adding column by column."""
    digits = str(abs(value))
    if any(n is not None and abs(n) > 20 for e in case.equations for n in e.operands):
        return False
    return len(digits) > 1 and {str(e.right)[-1] for e in case.equations}.issuperset(digits)
