r"""Answer repetition: one value stated as the answer over and over, with no work between, or every option once.

What counts as a statement of the answer is not a list of phrases: it is a mark (`\boxed`, `<answer>`, …), or a short
sentence that holds the value and besides it only words of the closed kind with which results are stated ("so", "the",
"result", "is", "again").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rlguard.shortcuts.case import Case
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.shortcuts.wording import NAMING, STATING
from rlguard.types import Finding

_OPTION = re.compile(r"\A(?:\\text\{)?\(?([A-Za-z])[).:]?\}?(?:\s.*)?\Z")
_DIGIT = re.compile(r"\d")
_BREAK = re.compile(r"\n|[>;]|[.!?](?=\s|$)")
_LETTERS = re.compile(r"[^\W\d_]+")
_NO_STATEMENT = re.compile(r"[\d=+×÷·/|<→]|[^\W\d_](?:\s?[-^]\s?)[^\W\d_]{0,1}$")
_CAPITAL = re.compile(r"\s(?=[A-Z*\\#])")
_CONTEXT = 80
"""Characters on each side of a value within which its sentence must begin and end."""
_GAP, _GAP_WORDS = 200, 25
"""Characters and words between two statements, from which something was done between them; a digit is work too."""
_CALCULATING = frozenset("=+/×÷&")
_MOST_STATEMENTS = 1000
_FORMS = (("boxed", 1), ("answer>", 2), ("#", 3))


class _Statement(NamedTuple):
    value: str
    start: int
    end: int
    form: int
    """Which mark or wording: an answer in the text, in a box and in a tag is stated once in each form."""


def find_restated(case: Case, least: int = 3, least_worded: int = 4, often: int = 6) -> Finding | None:
    """One value stated as the answer again and again, nothing between, whether or not it is the final one.

    Args:
        case: What was read.
        least: Statements from which marked ones, or the same sentence, are a repetition: who sums up states it twice.
        least_worded: The same for sentences of different words, which may round something off.
        often: Statements from which it is the stronger sign.
    """
    worded = case.final is not None and _longest(_read_sentences(case.text, case.final.text), case.text, least_worded)
    marked = _longest(_read_marks(case.statements), case.text, least) if case.statements else None
    best = max((run for run in (worded, marked) if run), key=len, default=None)
    if best is None:
        return None
    sign = "answer_repeated_often" if len(best) >= often else "answer_repeated"
    reason = f"answer {quote(best[-1].value)} stated {len(best)} times, nothing between"
    return make_finding(sign, "answer_repetition", reason, best[0].start, best[-1].end)


def find_every_option(case: Case, least: int = 3) -> Finding | None:
    """Every option, from A on, as the final answer, `least` or more: one of them is right."""
    values = [_OPTION.sub(r"\1", match[match.lastindex or 0].strip()).lower() for match in case.statements]
    options = sorted(set(values))
    if len(options) < least or options != list("abcdefgh"[: len(options)]):
        return None
    start, end = case.statements[0].start(), case.statements[-1].end()
    reason = f"each option is stated as the answer: {', '.join(options)}"
    return make_finding("every_option", "answer_repetition", reason, start, end)


def _longest(statements: Iterable[_Statement], text: str, least: int) -> list[_Statement] | None:
    """The longest run of statements of one value with no work between; a form said once more does not count."""
    runs: dict[str, tuple[list[_Statement], set[int], set[str]]] = {}
    best: list[_Statement] = []
    count = 0
    for said in statements:
        run, forms, sentences = runs.get(said.value) or ([], set(), set())
        between = text[run[-1].end : said.start] if run else ""
        if len(between) > _GAP or _DIGIT.search(between) or len(between.split()) > _GAP_WORDS:
            run, forms, sentences = [], set(), set()
        forms |= {said.form} | ({0} if "</think>" in between else set())  # thought and told
        sentences.add(text[said.start : said.end])
        run.append(said)
        runs[said.value] = run, forms, sentences
        enough = len(run) - len(forms) + 1 >= least or (len(run) >= 3 and len(sentences) == 1)
        if enough and len(run) >= count:
            best, count = run, len(run)
    return best[:count] or None


def _read_marks(matches: list[re.Match[str]]) -> Iterator[_Statement]:
    for match in matches:
        form = match.lastindex or 0
        value = match[form].strip().strip(".,;:$*}#").strip().lower()
        if value:
            yield _Statement(value, *match.span(), form)


def _read_sentences(text: str, value: str) -> Iterator[_Statement]:
    """The sentences that state a value and nothing else."""
    quiet = bytes(len(part) < _GAP + 2 * _CONTEXT and not _DIGIT.search(part) for part in text.split(value)[1:-1])
    if b"\1\1" not in quiet:  # three statements have two pieces without work between them
        return
    place, floor = text.find(value), 0
    for _ in range(_MOST_STATEMENTS):
        stated = _read_sentence(text, floor, place, place + len(value))
        floor = place + len(value)
        if stated:
            yield _Statement(value, *stated)
        place = text.find(value, floor)
        if place < 0:
            return


def _read_sentence(text: str, floor: int, start: int, end: int) -> tuple[int, int, int] | None:
    """Span and form of the sentence around a value, if it does nothing but state that value.

    `floor` is the end of the value's last occurrence: a capital after it begins a sentence, even without a full stop.
    """
    beside = text[max(0, start - 3) : start].rstrip()[-1:], text[end : end + 3].lstrip()[:1]
    if not _CALCULATING.isdisjoint(beside):
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
    if new and (len(new) > 1 or not tail.lower().lstrip(" }$*\\").startswith(new[0])):  # its unit
        return None
    if not _DIGIT.search(text, start, end) and NAMING.isdisjoint(words):
        return None
    form = next((number for sign, number in _FORMS if sign in head), 4)
    return start - len(head.lstrip()), end + len(closing.rstrip()), form
