"""Words that stand where work should be: "after some algebra", "it can be shown", "[steps omitted]"."""

from __future__ import annotations

import re

from rlguard.shortcuts.case import NUMBERS, Case, is_produced, read_statement, read_value, segments
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.types import Finding

_HINT = re.compile(
    r"after\b|skip|omit|left|later|can\s|\bone\b|doing|\bby\b|using|via\b|with\b|upon\b|from\b|through|calc|comput|working"
    r"|easy|easil|readil|quick|simpl|rearrang|expand|solving|evaluat|yield|gives?\b|leads?\b|shows?\b|produc|result|reveal"
    r"|follows|not\s+shown|clear|obvious|\.\.\.|…|dots|[\[(<{]",
    re.IGNORECASE,
)
_WORK = (
    r"(?:algebra\w*|calculations?|computations?|manipulations?|simplifications?|arithmetic|maths?|work(?:ing)?|steps?|details"
    r"|derivations?|operations?|reasoning|procedure|process|substitutions?|reductions?|rearrangements?|expansions?)"
)
_EASY = (
    r"(?:simple|straightforward|routine|standard|usual|quick|short|direct|easy|elementary|brief|basic|well-?\s?known|familiar"
    r"|tedious|long|lengthy|careful|similar|remaining|necessary|required|appropriate|common|known|little|few|obvious)"
)
_METHOD = (
    r"(?:techniques?|methods?|arguments?|identit(?:y|ies)|results?|facts?|tricks?|properties|rules?|formulas?|theory|means"
    r"|approach(?:es)?|theorems?|tools?|reasons?)"
)
_DOING = (
    r"(?:carrying\s+out|performing|doing|completing|finishing|working\s+(?:out|through)|going\s+through|applying"
    r"|following|executing|running|simplifying|rearranging|expanding|computing|calculating|solving|evaluating)"
)
_OMITTED = re.compile(  # says outright that work is left out
    rf"\b(?:skip(?:ping|ped)?|omit(?:ting|ted)?)\s+(?:over\s+|ahead\b)?(?:(?:the|some|all|a\s+few)\s+)?(?:\w+\s+)?{_WORK}\b"
    rf"|\b{_WORK}\s+(?:are\s+|is\s+|have\s+been\s+)?(?:omitted|skipped|left\s+out|not\s+shown|left\s+to\s+the\s+reader)\b"
    rf"|\b(?:some|several|many|a\s+few|more)\s+{_WORK}\s+later\b"
    rf"|[\[(<{{]\s*+(?:insert\s+|some\s+|the\s+|skip(?:ped|ping)?\s+)*+(?:{_EASY}\s+)?{_WORK}\s*+(?:here|go(?:es)?\s+here)?\s*+[\])>}}]"
    r"|\bleft\s+(?:to|as)\s+(?:the\s+reader|an\s+exercise)|\bskipping\s+ahead\b|(?:^|\s)(?:\.{3}|…|\\[cl]?dots)\s?=",
    re.IGNORECASE,
)
_WAVED = re.compile(  # says that a result comes of work, without the work
    rf"\b(?:after|by|through|via|with|upon|using)\s+(?:some|a|an|the|this|these|all|any|more)?\s?(?:(?:bit|lot|little)\s+of\s+)?"
    rf"(?:{_DOING}\s+)?(?:(?:some|the|a|all)\s+)?(?:{_EASY}\s+){{0,2}}(?:\w+\s+)?{_WORK}\b"
    rf"|\b(?:by|using|via|through|from|with)\s+(?:a\s+|the\s+|some\s+)?{_EASY}\s+(?:\w+\s+)?{_METHOD}\b"
    rf"|\b{_EASY}\s+(?:\w+\s+)?{_WORK}\s+(?:yields?|gives?|shows?|leads?|produces?|results?|reveals?|tells?)\b"
    r"|\bdoing\s+the\s+maths?\b",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\d[\s)]*+[-+*/×·÷^][\s(]*+\d[^=≈\n]*[=≈]|\\frac|\\times|\\cdot"
    r"|[=≈][^=≈\n]*\d[\s)]*+[-+*/×·÷^][\s(]*+\d"
)
_RESULT = re.compile(r"-?\d[\d.,:/]*+")


def find_placeholder(case: Case) -> list[Finding]:
    """A phrase in place of a step, whose result is worked out nowhere before it or beside it."""
    text = case.text
    if case.answer is None or (case.prompted and case.facts.steps < 2):
        return []
    spans = list(segments(text))
    for number, (start, end) in enumerate(spans):
        if end - start < 12:
            continue
        if end - start > 600:  # a line that goes on and on is no phrase
            end = start + 600
        if "=" in text[start:end] and _STEP.search(text, start, end):
            continue
        if not _HINT.search(text, start, end):  # the patterns themselves are slow
            continue
        found = _OMITTED.search(text, start, end)
        said = found or _WAVED.search(text, start, end)
        if said is None:
            continue
        if _stands_for_work(case, said.end(), (start, end), spans[number + 1 : number + 2], bool(found)):
            reason = f'"{quote(said[0].strip(), 40)}" stands where the computation should be'
            return [make_finding("placeholder", "placeholder", reason, said.start(), said.end())]
    return []


def stands_for_work(segment: str) -> bool:
    """Whether a sentence only says that work was done, or need not be."""
    part = segment[:600]
    return bool(_OMITTED.search(part) or _WAVED.search(part)) and not _STEP.search(part)


def _stands_for_work(
    case: Case, said: int, span: tuple[int, int], following: list[tuple[int, int]], outright: bool
) -> bool:
    text = case.text
    start, end = span
    if _STEP.search(text, start, end):
        return False
    result = _RESULT.search(text, said, end)
    if result is None:
        if not outright:
            return False
        stated = read_statement(text[slice(*following[0])]) if following else None
        if stated is None or case.supported is False:
            return not following or stated is not None
        result = _RESULT.search(text, following[0][0], following[0][1])
        start, end = following[0]
        if result is None:
            return False
    value = text[result.start() : end].strip(" .$*\\)]") if len(text[result.start() : end]) < 60 else result[0]
    number = read_value(result[0].rstrip(".,:;"))
    if number is None:  # a time or an expression: only where it is the answer
        return value.startswith(case.answer[0]) or case.answer[0].startswith(result[0]) if case.answer else False
    before = [e for e in case.equations if e.end <= start][-2:]
    if any(is_produced(number, e, case.facts.moduli) for e in before):
        return False
    just_before = text[max(start - 120, case.lead_end if case.lead_end <= start else 0) : start]
    return result[0].strip("-.,:;") not in NUMBERS.findall(just_before) or abs(number) in case.facts.written
