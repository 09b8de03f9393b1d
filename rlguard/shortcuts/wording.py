"""How results are stated: with marks, or with words of a closed kind and the value, no more."""

from __future__ import annotations

import re

from rlguard.answers import extract_answer

STATEMENT = re.compile(
    r"<answer>\s*+([^<\n]{1,80}?)\s*+</answer>|\\boxed\s?\{([^{}\n]{1,80})|####[ \t]*+([^\n]{1,80})"
    r"|\banswer(?:\s+is)?(?:\s?[:=])?\s{0,3}[*$]{0,3}(-?[$£€]?\d[\d.,/]*+|\(?[A-Ha-h]\b|[Yy]es\b|[Nn]o\b)",
    re.IGNORECASE,
)
_MARK = re.compile(r"<answer>|\\boxed|####|answer", re.IGNORECASE)
_IN_MARKS = ("nswer", "NSWER", "boxed", "####")
_STATING_LIST = """
    a above again all also an and answer answers are as at be been before being both boxed by can certainly
    clear clearly comes conclude concluded conclusion conclusively confirm confirmed correct definitely desired
    displaystyle earlier end equal equals exactly final finally find for found frac fully get gets give given
    gives got had has have hence here i in indeed is it its just last mathbf me more must my n need needed no
    noted now number obtain obtained obviously of ok okay once one only our out overall read reads really repeat
    requested required result results right said say see should shown simply so solution state stated states
    still sum summary sure surely text that the then there therefore these this thus to total value was we were
    which will with would x y yes you your
"""
STATING = frozenset(_STATING_LIST.split())
NAMING = frozenset(("answer", "answers", "result", "results", "solution", "final", "conclusion", "boxed"))
"""Those that call it the answer."""

_WORDS = re.compile(r"</?\w+>|\w+")
_BARE_LIMIT = 200
"""Characters: who says more has shown something, if only talk."""


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


def is_bare(completion: str) -> bool:
    r"""Whether a completion is an answer and nothing else than the words that state it.

    >>> is_bare("The answer is 12."), is_bare("\\boxed{3}"), is_bare("3+4=7. The answer is 7."), is_bare("I give up")
    (True, True, False, False)
    """
    answer = extract_answer(completion) if len(completion) <= _BARE_LIMIT else None
    if answer is None:
        return False
    rest = completion[: answer[1]] + " " + completion[answer[2] :]
    return all(word.startswith("<") or word in STATING for word in _WORDS.findall(rest.lower()))
