"""The reader's guess where a completion does not say which is its answer: the last number, and what it is a part of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rlguard.answers.spans import (
    LOOKED_AT,
    NUMBER_SHAPE,
    VALUE_LENGTH,
    FinalAnswer,
    make_answer,
    strip_span,
    undress_span,
)

_LAST_NUMBER = re.compile(rf"(?<![A-Za-z\d_.]){NUMBER_SHAPE}(?![\d])")
_HEDGE = re.compile(  # a number that is denied, or a bound, or one of two, or negative
    r"(?:\S{1,20}\s+or|\d\S{0,9}\s+(?:and|und|oder|et|ou|y|o)|\b(?:not|than|most|least|between|cannot|never|below|above"
    r"|under|over|up\s+to|minus|negative|twice|half\s+of|als|mindestens|höchstens|(?:plus|más|moins|menos)(?:\s+de)?)(?:\s+be)?"
    r"|\b(?:no|não|non|не|nicht|keine?|niet|inte|nie|pas)(?:\s+[^\W\d]{1,6}){0,2}|n't(?:\s+be)?|[<≤≥≠]|(?<!=)>|!="
    r"|\\(?:leq?|geq?|neq?)\b|[不没非]\w?|至少|最多|超过|[大小多少]于|负)[\s($]*\Z",
    re.IGNORECASE,
)
_DOUBTING = (" not ", "n't", "cannot", "no answer", "impossible", "lack", "insufficient")  # the pattern itself is slow
_GIVEN_UP = re.compile(
    r"no answer\b|(?:can(?:no|')t|can not|could not|impossible to) (?:be )?(?:tell|say|answer|determine|decide)|"
    r"(?:not enough|lacks?|insufficient) (?:information|data)|(?:do not|don't) know\b"
)
_VERDICT = re.compile(r"[^.!?\n]*\b(?:statement|claim|conjecture|proposition)\b[^.!?\n]*\b(?:true|false)\W*\Z", re.I)
_RUN = re.compile(r"[^\s|;，。；、]*")
_RUN_BACK = re.compile(r"[^\s|;=，。；、]*\Z")
_LABEL = re.compile(
    r"\b(?:steps?|pages?|eqs?|equations?|figures?|sections?|chapters?|lines?|problems?|questions?|examples?|theorems?|lemmas?"
    r"|cases?|tables?|parts?|exercises?)\s*[.(#]*\Z|\b(?:[cdkm]?m|in|ft|yd|units?)\s*\^\s*\{?\Z",  # the 2 of cm^2
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_PRODUCT = re.compile(r"\d[\d.,]*(?:\s*(?:[*×·+/÷]|\\cdot|\\times)\s*\d[\d.,]*)+\Z")
_MIXED = re.compile(r"(?<![\d.,/])(?:\d+\s\d+/\d+|\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+)\Z")
_ROW = re.compile(r"[(\[{]\s*(?:-?[\d./]+\s*,\s*)+\Z")
_ROW_END = re.compile(r"\s*[)\]}]")
_MORE = re.compile(  # what makes another number, or a time of day, of the one before it
    r"\s*[ap]\.?m\b|\s+(?:hundred|thousand|million|billion|trillion|dozen|lakh|crore|tausend|million\w+|milliarden?|mil|millones"
    r"|squared|cubed|pi|at\s+(?:most|least)|or\s+(?:more|less|fewer|higher|lower))\b",
    re.IGNORECASE,
)
_MEASURE = re.compile(  # a unit that ends the sentence: 7 minutes are not 7 hours
    r"\s+(?:(?:square|cubic|sq\.?|cu\.?)\s+)?(?:(?:centi|milli|kilo)?met(?:er|re)s?|(?:kilo|milli)?grams?|(?:milli)?lit(?:er|re)s?"
    r"|inch(?:es)?|feet|foot|miles?|yards?|ounces?|pounds?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|dollars?|euros?"
    r"|cents?|cm|mm|km|kg|mg|lbs?|oz|ft|mi|yd|mins?|secs?|hrs?|ml)(?:\^?[23])?(?=[.,;!?)*\s]*(?:\n|\Z)|[.,;!?)])",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\$\$?([^$\n]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


def guess_answer(text: str, start: int, end: int) -> FinalAnswer | None:
    """The last number, or what it is a part of: a formula, a product, a number with its unit; and a "not" before it.
    The last sentence where it calls a statement true or false; None where the text ends by saying that it does not
    know."""
    tail = max(start, end - VALUE_LENGTH)
    said = text[tail:end].lower()
    if any(word in said for word in _DOUBTING) and _GIVEN_UP.search(said):
        return None
    verdict = _VERDICT.search(text, tail, end) if said.rstrip(" .!*$\n").endswith(("true", "false")) else None
    if verdict and (span := undress_span(text, *strip_span(text, *verdict.span()))):
        return make_answer(text, *span, marked=False)
    for first, last in _numbers_backwards(text, start, end):
        span = _widen(text, first, last, start, end)
        if span is not None:
            left, right = span
            hedge = _HEDGE.search(text[max(start, left - 30) : left])
            if hedge:
                left -= len(hedge[0])
            if text[right : right + 1] == "?":
                right += 1
            return make_answer(text, left, right, marked=False)
    return None


def _numbers_backwards(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of the last numbers of a text, from the last one."""
    size = 256
    for _ in range(LOOKED_AT):
        while True:  # the last number stands near the end of most texts
            low = max(start, end - size)
            place = max(text.rfind(digit, low, end) for digit in "0123456789")
            if place >= 0 or low == start:
                break
            size *= 4
        if place < 0:
            return
        low = max(start, place - 10 * VALUE_LENGTH)
        low += len(text[low : place + 1].rstrip("0123456789,./+-"))
        yield from reversed([match.span() for match in _LAST_NUMBER.finditer(text, low, place + 1)])
        end = low


def _widen(text: str, start: int, end: int, first: int, last: int) -> tuple[int, int] | None:
    """All of what a number stands in, a formula or a number with its sign and unit; None where that is none: "2nd"."""
    if end - start > VALUE_LENGTH:  # megabytes of digits: what follows would be quadratic
        return start, end
    low = max(text.rfind("\n", first, start) + 1, first, start - VALUE_LENGTH)
    if _LABEL.search(text, max(low, start - 20), start):
        return None
    high = text.find("\n", end, min(last, end + VALUE_LENGTH))
    high = min(last, end + VALUE_LENGTH) if high < 0 else high
    for formula in _FORMULA.finditer(text, low, high):
        if formula.start() < start and end < formula.end():
            group = formula.lastindex or 0
            equals = text.rfind("=", formula.start(group), start) + 1
            return undress_span(text, max(equals, formula.start(group)), formula.end(group))
    row, close = _ROW.search(text, low, start), _ROW_END.match(text, end, high)
    if row and close:
        return row.start(), close.end()
    before = _MIXED.search(text, low, end) or _PRODUCT.search(text, low, end)
    if before:
        return before.start(), factor.end() if (factor := _MORE.match(text, end, high)) else end
    left = start - len(_RUN_BACK.search(text[low:start])[0])  # type: ignore[index]
    right = end + len(_RUN.match(text[end:high])[0].rstrip("!?,.:*"))  # type: ignore[index]
    if _ORDINAL.match(text, end, right):
        return None
    if "(" not in text[left:right]:
        right = end + len(text[end:right].rstrip(")]}!?,.:*"))
    opening = "" if ")" in text[left:right] else "([{"
    right = more.end() if (more := _MORE.match(text, right, high) or _MEASURE.match(text, right, high)) else right
    return left + len(text[left:start]) - len(text[left:start].lstrip(opening + "*_\"'`$\\")), right
