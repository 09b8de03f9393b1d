r"""Answer repetition: one value stated as the answer over and over, with no work between; and loops, from `loops`.

What counts as a statement of the answer is not a list of phrases: it is a short sentence that holds the value and
besides it only words of the closed kind with which results are stated ("so", "the", "result", "is", "again").
"""

from __future__ import annotations

import re

from rlguard.answers import extract_answer
from rlguard.shortcuts.garbage import find_garbage
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.shortcuts.wording import NAMING, STATING
from rlguard.types import Finding

STATEMENT = re.compile(
    r"<answer>\s*+([^<\n]{1,80}?)\s*+</answer>|\\boxed\s?\{([^{}\n]{1,80})|####[ \t]*+([^\n]{1,80})"
    r"|\banswer(?:\s+is)?(?:\s?[:=])?\s{0,3}[*$]{0,3}(-?[$£€]?\d[\d.,/]*+|[A-Ha-h]\b|[Yy]es\b|[Nn]o\b)",
    re.IGNORECASE,
)
_MARK = re.compile(r"<answer>|\\boxed|####|answer", re.IGNORECASE)
_IN_MARKS = ("nswer", "NSWER", "boxed", "####")
_OPTION = re.compile(r"\A(?:\\text\{)?\(?([A-Za-z])[).:]?\}?(?:\s.*)?\Z")
_DIGIT = re.compile(r"\d")
_NO_WORD = re.compile(r"\W+")
_BREAK = re.compile(r"\n|[>;]|[.!?](?=\s|$)")
_LETTERS = re.compile(r"[^\W\d_]+")
_NO_STATEMENT = re.compile(r"[\d=+×÷·/|<→]|[^\W\d_](?:\s?[-^]\s?)[^\W\d_]{0,1}$")
_CAPITAL = re.compile(r"\s(?=[A-Z*\\#])")
_CONTEXT = 80
"""Characters on each side of a value within which its sentence must begin and end."""
_CALCULATING = tuple("=+/×÷&")
_MOST_STATEMENTS = 1000
_FORMS = (("boxed", 1), ("answer>", 2), ("#", 3))


def find_repetition(
    completion: str, answer: tuple[str, int, int] | None = None, gold: str | None = None
) -> list[Finding]:
    r"""Answers stated over and over, every option stated, loops of any unit, and garbage.

    Args:
        completion: The text.
        answer: Its final answer as `rlguard.answers.extract_answer` gives it; found here when left out.
        gold: The gold answer, when known: what repeats in it may repeat in the text.

    >>> [f.reason for f in find_repetition("answer 40;" * 9)]
    ['answer 40 stated 9 times, nothing between']
    >>> [f.reason for f in find_repetition("Final answer: 5. As stated, 5. So it is 5. It is 5, again.")]
    ['answer 5 stated 4 times, nothing between']
    >>> [f.reason for f in find_repetition("\\boxed{A} \\boxed{B} \\boxed{C}")]
    ['each option is stated as the answer: a, b, c']
    >>> find_repetition("apple " * 12, gold="apple " * 12)
    []
    """
    from rlguard.shortcuts.loops import find_loops  # here, so that importing the detectors stays fast: it needs numpy

    if len(completion) < 12:
        return []
    answer = answer or extract_answer(completion)
    statements = find_statements(completion)
    findings = (_find_restated_value(completion, answer) if answer else []) or _find_restatements(
        completion, statements
    )
    findings = findings or _find_every_option(statements)
    loops = find_loops(completion, answer)
    if findings:  # the answers' own loop is the same fact
        start, end = findings[0].start, findings[0].end
        loops = [f for f in loops if f.end <= start or f.start >= end or (f.end - f.start) > 2 * (end - start)]
    if gold:
        asked = _NO_WORD.sub("", gold)
        loops = [f for f in loops if (_NO_WORD.sub("", completion[f.start : f.end]) or "\0") not in asked]
    return findings + (loops or find_garbage(completion))


def _find_every_option(statements: list[re.Match[str]]) -> list[Finding]:
    """Every option, from A on, as the final answer, three or more: one of them is right."""
    values = [_read_option(match[match.lastindex or 0]) for match in statements]
    options = sorted(set(values))
    if len(options) < 3 or options != list("abcdefgh"[: len(options)]):
        return []
    start, end = statements[0].start(), statements[-1].end()
    reason = f"each option is stated as the answer: {', '.join(options)}"
    return [make_finding("every_option", "answer_repetition", reason, start, end)]


def _read_option(value: str) -> str:
    return _OPTION.sub(r"\1", value.strip()).lower()


def _find_restated_value(text: str, answer: tuple[str, int, int]) -> list[Finding]:
    """Sentences that state the final answer's value and nothing else, again and again."""
    value = answer[0]
    if not value:  # an empty tag
        return []
    quiet = bytes(len(part) < 200 + 2 * _CONTEXT and not _DIGIT.search(part) for part in text.split(value)[1:-1])
    if b"\1\1" not in quiet:  # three statements have two pieces without work between them
        return []
    best: tuple[int, int, int] | None = None
    count, begun, until = 0, 0, 0
    forms: set[object] = set()
    sentences: set[str] = set()
    place, floor = text.find(value), 0
    for _ in range(_MOST_STATEMENTS):
        stated = _read_statement(text, floor, place, place + len(value))
        floor = place + len(value)
        if stated:
            start, end, form = stated
            between = text[until:start]
            if count and (len(between) > 200 or _has_digit(between) or len(between.split()) > 25):
                count, forms, sentences = 0, set(), set()
            if count and "</think>" in between:
                forms = forms | {"think"}
            begun = begun if count else start
            count, until = count + 1, end
            forms.add(form)
            sentences.add(text[start:end])
            enough = count - (len(forms) - 1) >= 4 or (count >= 3 and len(sentences) == 1)
            if enough and (best is None or count >= best[0]):
                best = (count, begun, end)
        place = text.find(value, floor)
        if place < 0:
            break
    if best is None:
        return []
    count, start, end = best
    sign = "answer_repeated_often" if count >= 6 else "answer_repeated"
    reason = f"answer {quote(value)} stated {count} times, nothing between"
    return [make_finding(sign, "answer_repetition", reason, start, end)]


def _read_statement(text: str, floor: int, start: int, end: int) -> tuple[int, int, int] | None:
    """Span and form of the sentence around a value, if it does nothing but state that value.

    `floor` is the end of the value's last occurrence: a capital after it begins a sentence, even without a full stop.
    """
    if (
        text[max(0, start - 3) : start].rstrip()[-1:] in _CALCULATING
        or text[end : end + 3].lstrip()[:1] in _CALCULATING
    ):
        return None  # "= 47" or "47 +", the common case
    before, after = text[start - 1 : start], text[end : end + 2]
    if before.isalnum() or (before and before in ".,:/^_") or after[:1].isalnum():
        return None
    if len(after) == 2 and after[0] in ".,:/^" and after[1].isdigit():
        return None
    tag = start >= 8 and text.startswith("<answer>", start - 8)
    begin = max(floor, start - _CONTEXT)
    head = "<answer>" if tag else _BREAK.split(text[begin:start])[-1]
    if len(head) == start - begin and begin > 0:  # no sentence begins within reach, unless one does at the floor
        head = head.lstrip(" }*$)_|")
        if begin != floor or not (head[:1].isupper() or head[:1] in "\\#"):
            return None
    tail = "" if tag else _BREAK.split(text[end : end + _CONTEXT], maxsplit=1)[0]
    if len(tail) == _CONTEXT:
        return None
    closing = "</answer>" if tag and text.startswith("</answer>", end) else tail
    new_sentence = _CAPITAL.search(tail)
    if new_sentence:
        closing = tail = tail[: new_sentence.start()]
    words = _LETTERS.findall(f"{head} {tail}".lower())
    if _NO_STATEMENT.search(head, 8 * tag) or _NO_STATEMENT.search(tail) or not (words or "#" in head):
        return None
    new = [word for word in words if word not in STATING]
    if new and (len(new) > 1 or not _is_unit(tail, new[0])):
        return None
    if not _has_digit(text[start:end]) and NAMING.isdisjoint(words):
        return None
    form = next((number for sign, number in _FORMS if sign in head), 4)
    return start - len(head.lstrip()), end + len(closing.rstrip()), form


def _is_unit(tail: str, word: str) -> bool:
    return tail.lower().lstrip(" }$*\\").startswith(word)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def find_statements(text: str) -> list[re.Match[str]]:
    """All matches of `STATEMENT` if there are three or more: their marks are looked for first, which is fast."""
    if sum(map(text.count, _IN_MARKS)) < 3:
        return []
    places = [place.start() for place in _MARK.finditer(text)]
    matches, end = [], 0
    for place in places:
        match = STATEMENT.match(text, place) if place >= end else None
        if match:
            matches.append(match)
            end = match.end()
    return matches


def _find_restatements(text: str, statements: list[re.Match[str]]) -> list[Finding]:
    """One value stated as the answer again and again, whether or not it is the final one."""
    last: dict[str, tuple[int, int, int, set[int]]] = {}  # value -> statements since work was done, span, forms
    best: tuple[int, int, int, str] | None = None
    totals: dict[str, tuple[int, int, int]] = {}
    for match in statements:
        form = match.lastindex or 0
        value = match[form].strip().strip(".,;:$*}#").strip().lower()
        if not value:
            continue
        start, end = match.span()
        count, first, _ = totals.get(value, (0, start, end))
        totals[value] = (count + 1, first, end)
        idle, begun, until, forms = last.get(value, (0, start, start, set()))
        between = text[until:start]
        if idle and (len(between) > 200 or _has_digit(between) or len(between.split()) > 25):
            idle, begun, forms = 0, start, set()
        forms = forms | {form}
        last[value] = (idle + 1, begun, end, forms)
        if idle + 1 - (len(forms) - 1) >= 3 and (best is None or idle + 1 >= best[0]):
            best = (idle + 1, begun, end, value)
    if best:
        count, start, end, value = best
        sign = "answer_repeated_often" if count >= 6 else "answer_repeated"
        reason = f"answer {quote(value)} stated {count} times, nothing between"
        return [make_finding(sign, "answer_repetition", reason, start, end)]
    for value, (count, start, end) in totals.items():
        if count >= 6:
            reason = f"answer {quote(value)} stated {count} times"
            return [make_finding("answer_repeated", "answer_repetition", reason, start, end)]
    return []
