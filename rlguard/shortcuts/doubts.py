"""Which false equations a text does not plainly state: suppositions, others' words, roundings, dates, units."""

from __future__ import annotations

import re

from rlguard.shortcuts.arithmetic import SAID, Side, agree

_NOT_STATED = (
    r"if|elif|while|assert|return|when|suppose|assume|not|guess|isn't|wrong|claim|whether|does"
    r"|(?-i:Is)|(?:what|how|why)\s+is"
    r"|(?<!sum )(?<!total )of|half|twice|double|root|sqrt|log|sin|cos|tan|gcd|lcm|max|min|remainder"
    r"|average|mean|base|plus|minus|times|by|over|xor|or|x"
    r"|about|approximately|roughly|steps?|parts?|case|question|problem|exercise|equation|line|page|chapter"
    r"|example|item|section|rounds?|weeks?|days?|years?|months?|levels?|floors?|rooms?"
)
_BEFORE = re.compile(
    r"(?:[A-Za-z_)\]}^\"“‘']|\d[:,./]|\d[ \t]|\b\d{1,3},[ ]|[-+/^@≠≤≥%]\s*|\*\s*"
    r"|(?<!<)<\s*|(?<![a-z\"/>=|-])>\s*|>>|[<>!]=\s*"
    r"|[√∛∑∏∫π…′°~][ \t]*|\||[\w)}\]][ \t]\||_\w+\s+|_\{\w+\}\s*|[.]{2,}[ ]*|[-+*/=][ ]*\.[ ]*"
    rf"|\\[a-z]+\s+|\b(?:{_NOT_STATED})\s+(?:that\s+)?[(]*)\Z",
    re.IGNORECASE,
)
_RESULT_BEFORE = re.compile(r"=\s?\d{1,3},[ ]\Z")
"""The step before, and no list: "3 + 4 = 7, 7 * 2 = 15"."""
_APPLIED = re.compile(r"(?:[)}\]]|\b[A-Za-z])[ \t]\Z")
_WORD_BEFORE = re.compile(r"[A-Za-z]['\w]*\s+[*(]*\Z")
_OPEN_SUM = re.compile(r"\d[ \t]*[-+*/][ \t]*\d+[ \t]*\n\s*\Z")
_AFTER = re.compile(
    r"\w|[_^(°!′'²³]|[.,]\d|\.\.|…|[ \t]*(?:[?≠^≤≥%~@&]|<(?!/?[a-z])|[ \t]>|\\[a-z]"
    r"|[-+*/][ \t]*(?:[\d(\\.…]|[a-z]{1,2}\b)|[\x02\x03])"
    r"|[ \t]\d|[ \t]+[a-z]{2,15}[ \t]*/|[ \t]+[a-z](?:[²³^_]|\b)|[ \t]*\(?(?:in\s+(?:base|binary|hex|octal)|r|rem"
    r"|remainder|mod|dozens?|hundred|thousand"
    r"|million|billion|percent|degrees?|squared|cubed|[ap]m|(?<=\()base)\b",
    re.IGNORECASE,
)
_LETTER_UNIT = re.compile(r"[ \t](?:[smghLl]|min|k[gm]|[cm]m|ml)\b(?!\s*[=²³^])")
_GOES_ON = re.compile(r"[ \t]*[A-Za-z](?!nd\b|o\b|hen\b|hich\b|herefore\b|ut\b|ence\b)")
_UNIT = re.compile(r"[A-Za-z]{2,15}")
_UNIT_AFTER = re.compile(r"[ \t~)]*([A-Za-z]{1,15})((?:\s+and)?\s+\d)?")
_TAKEN_BACK = re.compile(
    r"\b(?:wait|oops|wrong|incorrect|false|mistake|actually|isn't|not\s+(?:right|correct|true|equal|possible|\$?\d)"
    r"|hold\s+on|hmm|sorry|slip|redo|typo|no\b|too\s+(?:big|large|high|small|low|much|few)"
    r"|correction|contradict\w*|impossible|absurd|fails|(?:doesn't|does\s+not|didn't)\s+(?:hold|work|equal|match)"
    r"|clock|round(?:ed|ing|s)?|approx\w*|nearest|truncated)\b|≠|\\neq?\b|[✗✘❌]"
)
_TAKEN_BACK_NEXT = re.compile(
    r"\s*(?:but\s+)?(?:wait|oops|hold\s+on|hmm|no\b|actually|sorry|correction|(?:that|this)(?:'s|\s+is)\s+(?:not|wrong|false))",
    re.IGNORECASE,
)
_REFUTED = re.compile(
    r"\b(?:contradict\w*|impossible|absurd|is\s+(?:also\s+)?(?:not\s+(?:true|possible|equal|correct)|false|incorrect)|no\s+solution)\b",
    re.IGNORECASE,
)
"""What the following lines say of what led to nothing."""
_OTHERS = re.compile(
    r"\b(?:suppose|supposing|assum\w+|pretend|wrote|writes|claim\w*|says?|said|student|someone|thinks|thought"
    r"|mistaken\w*|errors?|incorrect\w*|wrongly|typo|try|tries|trying|tested|testing|guess\w*|attempt"
    r"|base|binary|octal|hexadecimal|modulo|mod|clock)\b",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?<![\d.\x1f])(?:\d{1,4}([-/])\d{1,2}\1\d{1,4}(?!\d)|0\d)")
_LABEL = re.compile(r"\(\d+\)\s")
_GROUPED = re.compile(r"(?<=\d)[. ](?=\d{3}(?!\d))")
_LONE_FRACTION = re.compile(r"\d+\s?/\s?\d+|\d\d?-\d\d?")
_UNIT_RATIOS = (2, 3, 4, 7, 8, 10, 12, 16, 24, 30, 36, 52, 60, 100, 365, 1000, 1440, 1760, 3600, 5280, 86400, 10**6)


def is_rewritten(written: str, left: Side, right: Side, sign: str) -> bool:
    """Whether an equation holds in another reading of its signs, or is none: dates, labels, ranges, 1.500, a / b/c."""
    if right.operators and right.numbers and right.numbers[0] == left.value:  # 3 + 5 = 8 / 2: "and then"
        return True
    if _DATE.search(written) or _LABEL.match(written) or re.search(r"\d \(", written):
        return True
    if sign == SAID and left.moduli:  # a number that is 2 modulo 3 is 17
        return True
    if sign == SAID and _LONE_FRACTION.fullmatch(written.partition(sign)[0].strip()):  # 4/7 is $24
        return True
    growth = "%" not in re.sub(r"\(1 *[-+] *[\d.]+ *%\)", "", written)
    mixed = 0 if growth else left.percents + right.percents
    if mixed and not (left.products and left.operators == 1) and mixed < len(left.numbers) + len(right.numbers):
        return True
    if _GROUPED.search(written) and agree(_GROUPED.sub("\x1f", written)):
        return True
    return written.count("/") > 1 and agree(re.sub(r"/\s*(\d[\d.]*\s*/\s*\d[\d.]*)", r"/(\1)", written))


def units_differ(text: str, start: int, end: int, left: Side, right: Side) -> bool:
    """Whether terms carry different units, so that unequal numbers may still be equal amounts."""
    before, _, behind = re.sub(r"\\[a-zA-Z]+", "", text[start:end]).partition("=")
    skipped = {"times", "plus", "minus", "is", "equals", "gives", "makes", "of", "by", "divided", "multiplied"}
    units = {unit.lower().rstrip("s") for unit in _UNIT.findall(before) if unit.lower() not in skipped}
    inside = {unit.lower().rstrip("s") for unit in _UNIT.findall(behind)}
    tail = _UNIT_AFTER.match(text, end, min(len(text), end + 60))
    last = tail[1].lower().rstrip("s") if tail else ""
    if "$" in behind and "$" not in before and left.value and left.value == 100 * (right.value or 0):  # cents
        return True
    if tail and tail[2]:  # 1 hour 15
        return True
    if units and not last and not inside and (not left.operators or _LONE_FRACTION.match(before.strip())):
        return True  # 1 hour = 60 * 1 = 60 minutes
    others = (units | inside) - {last}
    if last and left.value and right.value and not inside and last not in units:
        ratio = abs(left.value / right.value)
        if any(abs(ratio * k - 1) < 1e-6 or abs(ratio - k) < 1e-6 * k for k in _UNIT_RATIOS):
            return True
    if (len(units) > 1 and not left.products) or len(units | inside) > 2:
        return True
    return bool(units) and bool(last) and others == units and (not left.products or not left.operators)


def in_doubt(
    text: str, plain: str, start: int, end: int, left: Side, right: Side, first: bool, sign: str, named: bool
) -> bool:
    """Whether the words around an equation make it doubtful that it is stated as true.

    Args:
        first: Whether it opens its chain.
        sign: What joins its sides: "=", or `SAID` for a word such as "is".
        named: Whether it names its modulus.
    """
    before = plain[max(0, start - 40) : start]
    stepped = left.operators and _RESULT_BEFORE.search(before)
    if not stepped and _BEFORE.search(before) and (first or not before.rstrip().endswith("=")):
        bullet = re.search(r"(?:^|\n)\s*[-*+]\s+\Z", before)
        if not bullet:
            return True
    if first and not left.operators and _WORD_BEFORE.search(before):
        return True
    opening = plain[start - 1 : start] == "("
    if (opening or plain[start] == "(") and _APPLIED.search(before[:-1] if opening else before):
        return True
    if plain[start] == "-" and first and _OPEN_SUM.search(plain[max(0, start - 60) : start]):
        return True
    line = max(plain.rfind("\n", max(0, start - 100), start) + 1, start - 100, 0)
    if _OTHERS.search(text, line, start):
        return True
    if end >= len(text) and str(left.value).startswith(str(right.value)):  # cut off in the middle of the number
        return True
    if sign == SAID and (_GOES_ON.match(plain, end) or plain[max(0, start - 9) : start].rstrip()[-1:] == "="):
        return True
    if units_differ(text, start, end, left, right):
        return True
    if _REFUTED.search(text, end, end + 150):
        return True
    if named:
        return False
    unit = _LETTER_UNIT.match(plain, end)
    after = unit.end() if unit else end
    if unit and re.search(rf"\b{unit[0].strip()}\s?=", text[max(0, start - 200) : end + 200]):
        return True
    if _AFTER.match(plain, after, min(len(plain), after + 80)):
        return True
    rest, _, following = text[end : end + 100].partition("\n")
    return bool(_TAKEN_BACK.search(rest[:60].lower()) or _TAKEN_BACK_NEXT.match(following.lstrip("\n")))
