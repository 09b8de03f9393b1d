"""Checks the steps that are shown: are they true, about the prompt's numbers, and do they reach the answer?"""

from __future__ import annotations

from rlguard.shortcuts.arithmetic import Number, read_number
from rlguard.shortcuts.case import NUMBERS, Case, blank, matches
from rlguard.shortcuts.equations import MAX_MATH
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.shortcuts.repetition import STATEMENT
from rlguard.types import Finding

MAX_LISTED = 5
"""False steps that get a finding of their own."""


def find_false_steps(case: Case, prompt: str, right: bool) -> list[Finding]:
    false = [e for e in case.equations if e.holds is False]
    if false and prompt:
        given = "".join(prompt.split())
        false = [e for e in false if "".join(case.text[e.start : e.end].split()) not in given]
    if not false:
        return []
    checked = sum(e.holds is not None for e in case.equations)
    sign = "false_steps" if len(false) >= 2 or 2 * len(false) >= checked else "false_step"
    ending = ", and still the answer is right" if right else ""
    findings = []
    for e in false[:MAX_LISTED]:
        stated, modulus = quote(case.text[e.start : e.end], 60), case.facts.moduli
        left = _show(e.left)
        if modulus and isinstance(e.left, int):
            left += f" ({e.left % modulus[0]} modulo {modulus[0]})"
        reason = f"{stated} is false: the left side is {left}, the right side {_show(e.right)}{ending}"
        findings.append(make_finding(sign, "false_step", reason, e.start, e.end))
    return findings


def _show(value: Number | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def find_unrelated(case: Case) -> list[Finding]:
    """Steps that have nothing, or little, to do with the numbers of the expression in the prompt."""
    operands = case.facts.operands
    if not operands:
        return []
    used = {number for e in case.equations for number in (*e.operands, e.left, e.right)}
    values = {text: read_number(text)[0] for text in operands}
    missing = [text for text, value in values.items() if value not in used and not _in_pieces(text, used)]
    if 2 * len(missing) <= len(operands):
        return []
    start, end = case.equations[0].start, case.equations[-1].end
    body = STATEMENT.sub(" ", case.text)
    written = {read_number(text)[0] for text in NUMBERS.findall(body)}
    missing = [text for text in missing if values[text] not in written]
    if 2 * len(missing) <= len(operands):
        return []
    if len(missing) == len(operands):
        reason = f"the steps use none of the prompt's numbers ({quote(', '.join(operands))})"
        return [make_finding("unrelated_steps", "skipped_computation", reason, start, end)]
    reason = f"the steps never use {quote(', '.join(missing))}, {len(missing)} of the prompt's {len(operands)} numbers"
    return [make_finding("operands_unused", "skipped_computation", reason, start, end)]


def _in_pieces(operand: str, used: set[Number | None]) -> bool:
    """Whether a number of several digits was taken apart: 25 as 20 and 5, or digit by digit."""
    if len(operand) < 2:
        return False
    pieces = (str(number).rstrip("0") for number in used if isinstance(number, int) and number >= 0)
    return any(piece and piece in operand for piece in pieces)


def find_unsupported(case: Case) -> list[Finding]:
    """A final number that no step produces and that is written nowhere else."""
    value, answer = case.value, case.answer
    if value is None or answer is None or case.supported or len(case.text) > MAX_MATH:
        return []
    if case.prompted and case.facts.steps < 1:
        return []
    if not case.facts.operands and any(matches(value, number, ()) for number in case.facts.numbers):
        return []
    if any(e.start <= answer[1] < e.end for e in case.equations):
        return []
    stated = case.text[: answer[1]][-4:].rstrip().endswith(("=", "≈"))  # by an equation that could not be read
    if stated or _is_spelled_out(value, case):
        return []
    written = [m for m in NUMBERS.finditer(STATEMENT.sub(blank, case.text)) if not answer[1] <= m.start() < answer[2]]
    for match in written:
        number = read_number(match[0])[0]
        if number is None or not matches(abs(value), number, ()):
            continue
        if not case.facts.operands or number not in case.facts.numbers:
            return []
    last = case.equations[-1]
    reason = f"no step produces the answer {quote(answer[0])}; the last one ends in {_show(last.right)}"
    return [make_finding("unsupported_answer", "unsupported_answer", reason, answer[1], answer[2])]


def _is_spelled_out(value: Number, case: Case) -> bool:
    """Whether the answer is put together from the last digits of results, as in adding column by column."""
    digits = str(value)
    results = {str(e.right)[-1] for e in case.equations}
    return len(digits) > 1 and len(digits) <= len(case.equations) + 1 and results.issuperset(digits)
