"""Which equations a text does not plainly state: suppositions, others' words, roundings, dates, labels, units."""

from __future__ import annotations

import re

from rlguard.shortcuts.sides import Side

_OPEN_SUM = re.compile(r"\d[ \t]*[-+*/×÷·−][ \t]*\d+[ \t$&]*(?:\\\\\s*|\n\s*)$")
_NOT_STATED = (
    r"if|elif|while|assert|return|when|suppose|assume|not|guess|isn't|wrong|claim|whether|does"
    r"|(?-i:Is)|(?:what|how|why)\s+is"
    r"|(?<!sum )(?<!total )of|half|twice|double|root|sqrt|log|sin|cos|tan|gcd|lcm|max|min|remainder"
    r"|average|mean|base|plus|minus|times|by|over"
    r"|about|approximately|roughly|step|part|case|question|problem|exercise|equation|line|page|chapter"
    r"|example|item|section|round"
)
_DOUBT_BEFORE = re.compile(
    r"(?:[A-Za-z_)\]}^\"“‘]|\d[:,./]|\d[ \t\xa0\u202f]|[-+/×·÷^≠≤≥−–%]\s*|(?<!\*)\*\s*|\*\*\s+"
    r"|(?<!<)<\s*|(?<![a-z\"/>=-])>\s*|>>|[<>!]=\s*"
    r"|[√∛∑∏∫π…′°~][ \t]*|\||[\w)}\]][ \t]\||_\w+\s+|_\{\w+\}\s*"
    r"|\\(?!q?quad|text|left|right|implies|therefore|to\b)[a-z]+\s+"
    rf"|\b(?:{_NOT_STATED})\s+(?:that\s+)?[$(\\*]*)\Z",
    re.IGNORECASE,
)
_APPLIED = re.compile(r"(?:[)}\]]|\b[A-Za-z])[ \t]\Z")
_LIST_ITEM = re.compile(r"(?:^|\n)\s*[-*+]\s+\Z")
_WORD_BEFORE = re.compile(r"[A-Za-z]['\w]*\s+[$*\\(]*\Z")
_DOUBT_AFTER = re.compile(
    r"\w|[_^(°!′']|[.,]\d|\.\.|…|[ \t]*(?:[?≠^≤≥%~]|<(?!/?[a-z])"
    r"|[ \t]>|\\(?!\\|q?quad|end|text|right|implies|therefore|left|to\b|[)\]])[a-z]"
    r"|[-+*/×·÷−–][ \t]*(?:[\d($\\]|[a-z]\b))"
    r"|[ \t\xa0\u202f]\d|[ \t]*\(?(?:in\s+(?:base|binary|hex|octal)|r|rem|remainder|mod|dozens?|hundred|thousand"
    r"|million|billion|percent|degrees?"
    r"|[ap]m|[a-z])\b",
    re.IGNORECASE,
)
GOES_ON = re.compile(r"[ \t]*[A-Za-z](?!nd\b|o\b|hen\b|hich\b|herefore\b|ut\b|ence\b)")
_UNIT_AFTER = re.compile(r"[ \t~]*(?:\\[,\ ])?(?:\\(?:text|mathrm)\{\s*)?([A-Za-z]{1,15})\}?((?:\s+and)?\s+\d)?")
_CLOSING = re.compile(r"[ \t](?:[smghLl]|min|k[gm]|[cm]m|ml)\b|(?:[ \t]?\\(?:text|mathrm)\{[^{}]{0,40}\})?[$*]*")
LABEL = re.compile(r"\(\d+\)\s")
_TAKEN_BACK = re.compile(
    r"\b(?:wait|oops|wrong|incorrect|false|mistake|actually|isn't|not\s+(?:right|correct|true|equal|possible)"
    r"|hold\s+on|hmm|sorry|slip|redo|typo"
    r"|correction|contradict\w*|impossible|absurd|fails|(?:doesn't|does\s+not)\s+(?:hold|work|equal|match)"
    r"|clock|round(?:ed|ing|s)?|approx\w*|nearest|truncated)\b|≠|\\neq?\b"
)
_TAKEN_BACK_NEXT = re.compile(
    r"\s*(?:but\s+)?(?:wait|oops|hold\s+on|hmm|no\b|actually|sorry|correction|that(?:'s|\s+is)\s+(?:not|wrong))",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:suppose|supposing|assum\w+|pretend|wrote|writes|claim\w*|says?|said|student|someone|thinks"
    r"|mistaken\w*|incorrect\w*|wrongly|typo"
    r"|base|binary|octal|hexadecimal|modulo|mod|clock)\b",
    re.IGNORECASE,
)
DATE = re.compile(r"(?<![\d.])(?:\d{1,4}([-/])\d{1,2}\1\d{1,4}(?!\d)|0\d)")
SEPARATED = re.compile(r"(?<=\d)[. \xa0\u202f](?=\d{3}(?!\d))")
_SHORT_UNITS = frozenset(
    ("s", "h", "m", "g", "l", "L", "cm", "mm", "km", "kg", "mg", "ml", "oz", "lb", "ft", "yd", "in")
)
_UNIT_RATIOS = frozenset(
    (2, 3, 4, 7, 8, 10, 12, 16, 24, 30, 36, 52, 60, 100, 365, 1000, 1440, 1760, 3600, 5280, 86400, 10**6)
)


def units_differ(text: str, left: Side, right: Side) -> bool:
    """Whether terms carry different units, so that unequal numbers may still be equal amounts."""
    written = [unit.lower().split()[-1].strip("}").rstrip("s") or "s" for unit in left.units]
    units = set(written) | {unit.lower().split()[-1].strip("}").rstrip("s") or "s" for unit in right.units}
    after = _UNIT_AFTER.match(text, right.end, min(len(text), right.end + 60))
    last = after[1] if after else ""
    if after and after[2]:  # 1 hour 15
        return True
    if last and not right.units and left.value and right.value:
        ratio = abs(left.value / right.value)
        if any(abs(ratio * k - 1) < 1e-6 or abs(ratio - k) < 1e-6 * k for k in _UNIT_RATIOS) and not units & {
            last.rstrip("s")
        }:
            return True
        if (
            len(units) == 1
            and len(left.units) == 1
            and left.products
            and units <= _SHORT_UNITS
            and (last in _SHORT_UNITS or last == "min")
        ):
            return False
    if len(units) > 1 or any(len(unit) <= 2 for unit in units):  # one or two letters may be a variable
        return True
    return bool(units) and not left.products and 0 < len(left.units) < len(left.numbers)


def in_doubt(text: str, left: Side, end: int, first: bool, named: bool) -> bool:
    """Whether the words around an equation make it doubtful that it is stated as true."""
    start = left.start
    before = text[max(0, start - 40) : start]
    if _DOUBT_BEFORE.search(before) and not _LIST_ITEM.search(before):
        return True
    if first and not left.operators and _WORD_BEFORE.search(before):
        return True
    opening = text[start - 1 : start] == "("
    if (opening or text[start] == "(") and _APPLIED.search(before[:-1] if opening else before):
        return True
    if text[start : start + 1] in "-−" and first and start and _OPEN_SUM.search(text[max(0, start - 60) : start]):
        return True
    near = max(0, start - 100)
    line = max(text.rfind("\n", near, start) + 1, near)
    if _OTHERS.search(text, line, start):
        return True
    if named:
        return False
    closed = _CLOSING.match(text, end, min(len(text), end + 60))
    after = closed.end() if closed else end
    unit = text[end:after].strip()
    if len(unit) == 1 and unit.isalpha() and re.search(rf"\b{unit}\s?=", text[max(0, start - 200) : end + 200]):
        return True
    if _DOUBT_AFTER.match(text, after, min(len(text), after + 80)):
        return True
    rest, _, following = text[end : end + 100].partition("\n")
    return bool(_TAKEN_BACK.search(rest[:60].lower()) or _TAKEN_BACK_NEXT.match(following.lstrip("\n")))
