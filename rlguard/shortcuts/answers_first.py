"""The answer stands at the very start, and what looks like reasons comes after it."""

from __future__ import annotations

import re
from typing import NamedTuple

from rlguard.answers import normalise_answer
from rlguard.shortcuts.case import LABELS, WORDS, Case, blank, read_statement, segments
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.shortcuts.repetition import STATEMENT
from rlguard.types import Finding

_HEAD = 300
_TAIL = 200
_BARE = re.compile(r"[\s*_$(]{0,8}-?\$?\d[\d.,/:]*+[*_$).,;]{0,4}\s*(?:\n|because\b|since\b|as\b|$)", re.IGNORECASE)
_REASONS = re.compile(
    r"\b(?:because|since|reason(?:s|ing)?|explanation|first|steps?|justification|why|explain\w*|see\s+this|follows|due\s+to)\b",
    re.IGNORECASE,
)


_BECAUSE = re.compile(r",?\s(?:because|since)\b", re.IGNORECASE)
_CONCLUDES = re.compile(r"\s*(?:so|hence|thus|therefore|that\s+gives)\b", re.IGNORECASE)
"""Words that draw a conclusion, where there is nothing yet to draw it from."""


class Lead(NamedTuple):
    """An answer at the start of a completion."""

    value: str
    start: int
    end: int
    alone: bool
    """Whether nothing after it states an answer again."""
    closed: bool
    """Whether the text ends with the same answer once more."""


def read_lead(text: str, final: tuple[str, int, int] | None) -> Lead | None:
    """The answer that a completion opens with, if it is its final answer."""
    if final is None or len(text) < 12:
        return None
    head = LABELS.sub(blank, text[:_HEAD])
    for number, (start, end) in enumerate(segments(head)):
        reason = _BECAUSE.search(head, start, end)
        if reason:
            end = reason.start()
        segment = head[start:end]
        if not any(map(str.isdigit, segment)):
            if number > 1 or len(segment) > 60:
                return None
            continue
        stated = read_statement(segment)
        if stated is None or end == _HEAD:
            return None
        value, named = stated
        named = named or _CONCLUDES.match(segment) is not None
        if not WORDS.search(segment) and not named and not _BARE.match(text, start):
            return None
        start += len(segment) - len(segment.lstrip())
        tail = _last_statement(text, end)
        same = normalise_answer(value) == normalise_answer(tail if tail else final[0])
        if tail is None and named:
            return Lead(value, start, end, True, False)
        if not same and final[0] not in value:
            return None
        return Lead(value, start, end, tail is None, tail is not None and same)
    return None


def _last_statement(text: str, begin: int) -> str | None:
    """The value of the last statement of an answer after `begin`."""
    last = None
    begin_tail = max(begin, len(text) - _TAIL)
    for start, end in segments(text[begin_tail:]):
        stated = read_statement(text[begin_tail + start : begin_tail + end])
        if stated and (stated[1] or WORDS.search(text, begin_tail + start, begin_tail + end)):
            last = stated[0]
    if last is None and begin_tail > begin:
        for match in STATEMENT.finditer(text, begin):
            last = match[match.lastindex or 0].strip()
    return last


def find_answer_first(case: Case, lead: Lead | None, works: bool) -> list[Finding]:
    """What follows an answer at the start: nothing that leads to it, or steps that come too late.

    Args:
        works: Whether words and numbers after the answer, without an equation, work it out.
    """
    if lead is None or (case.prompted and case.facts.steps < 2):
        return []
    rest = case.text[lead.end :]
    after = [e for e in case.equations if e.start >= lead.end]
    reached = case.supported and bool(after)
    if reached and lead.closed:  # a summary, then the whole derivation
        return []
    talks = len(WORDS.findall(rest)) >= 5 and _gives_reasons(rest, lead)
    if not after and ((works and lead.value in rest) or not talks):
        return []
    if len(after) < 2 and not case.prompted:
        return []
    sign = "answer_first" if reached else "answer_first_alone"
    shows = f"{len(after)} steps only after it" if after else "reasons only after it, none calculates"
    begin = case.text.find(lead.value, lead.start, lead.end)
    end = begin + len(lead.value) if begin >= 0 else lead.end
    return [make_finding(sign, "answer_first", f"answer {quote(lead.value)} comes first, {shows}", lead.start, end)]


def _gives_reasons(rest: str, lead: Lead) -> bool:
    """Whether a text without numbers argues, rather than states the answer again and again."""
    if _REASONS.search(rest[:600]):
        return True
    return lead.alone and any(len(WORDS.findall(rest[a:b])) >= 6 for a, b in segments(rest[:600]))
