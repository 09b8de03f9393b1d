"""Cuts the reasoning of a completion short, and finds the words with which it goes on to its answer."""

from __future__ import annotations

import re

from rlguard.answers import extract_answer, find_answer, normalise_answer
from rlguard.shortcuts.wording import STATEMENT

_REACH = 40  # characters that a cut goes back for a word boundary
_BOUNDARY = re.compile(r"\s|;")
_LEAD_IN = re.compile(r"(?:\b(?:so|thus|therefore|hence|finally|and|the|my|our|final|correct)\b[\s,:*]*)+$", re.I)
_WORDED = r"\banswer\b(?:[^\n.:=?!\d]{0,30}?(?:\bis\b|\bbe\b|[:=]))?[\s*_$\"'`({]{0,4}"
_EARLY = re.compile(r"\s*[*_$(]{0,3}(-?\$?\d[\d.,/]*)[*_$)]{0,3}(?:[.,:;\n]|$)")


def find_reasoning_end(completion: str) -> int | None:
    """Where the reasoning ends: before the first statement of the final answer. None without a final answer.

    A result of a step that equals the answer is reasoning; a statement of it is not.

    >>> text = "7+8=5;5+5=0;answer 0"
    >>> text[: find_reasoning_end(text)]
    '7+8=5;5+5=0;'
    >>> find_reasoning_end("The answer is 4. Because 2+2=4, the answer is 4.")
    0
    """
    final = extract_answer(completion)
    if final is None:
        return None
    target, end = normalise_answer(final[0]), final[1]
    early = _EARLY.match(completion[:80])
    listed = early is not None and re.search(r"\n[ \t]{0,8}2[.)]\s", completion)
    if early and not listed and normalise_answer(early[1].rstrip(".,")) == target:
        return 0
    for match in STATEMENT.finditer(completion):
        value = match[match.lastindex or 0]
        if match.start() >= end or normalise_answer(value.strip(" .,;:$*}")) == target or match.end() > final[1]:
            end = min(end, match.start())
            break
    worded = re.search(_WORDED + re.escape(final[0][:200]) + r"(?!\w)", completion[: final[2]], re.IGNORECASE)
    end = min(end, worded.start()) if worded else end
    head = completion[max(0, end - 70) : end]
    lead_in = _LEAD_IN.search(head)
    if lead_in:
        end -= len(head) - lead_in.start()
    return end


def find_cue(completion: str) -> tuple[str, str] | None:
    r"""The words with which a completion goes from its reasoning to its final answer, and that answer as it is written.

    A model that is asked for its answer at once must be asked in its own words: words that it never writes are strange
    to it, and the stranger the more reasoning stands before them.

    Returns:
        (cue, answer); None where no final answer is marked (`FinalAnswer.marked`), or nothing stands before it.

    >>> find_cue("7+8=5;5+5=0;answer 0"), find_cue("2+2=4. So the answer is **4**.")
    (('answer ', '0'), ('So the answer is **', '4'))
    >>> find_cue("s:abde;l:bdea;answer bdea")
    ('answer ', 'bdea')
    """
    answer, end = find_answer(completion), find_reasoning_end(completion)
    if answer is None or end is None or not answer.marked or not answer.text:
        return None
    start = completion.find(answer.text, end)
    cue = completion[end:start]
    return (cue, answer.text) if 0 <= start <= answer.start and cue.strip() else None


def cut_reasoning(completion: str, end: int, fraction: float) -> int:
    """How many characters a fraction of the reasoning `completion[:end]` takes, back to a word's or a step's end.

    >>> [cut_reasoning("first we add two and two", 24, f) for f in (0, 0.5, 1)]
    [0, 12, 24]
    """
    place = int(end * fraction)
    if place >= end:
        return end
    for back in range(place, max(-1, place - _REACH), -1):
        if back == 0 or _BOUNDARY.match(completion[back - 1]):
            return back
        if completion[back].isspace():
            return back
    return place
