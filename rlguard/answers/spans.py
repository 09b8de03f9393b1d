"""Spans of a completion: the answer that one holds, its dress, and words looked for from the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VALUE_LENGTH = 300
"""Characters of a sentence that are read as an answer."""
LOOKED_AT = 100
"""Boxes, numbers and mentions of the word "answer" that are looked at, from the last one back."""
NUMBER_SHAPE = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?"


class FinalAnswer(NamedTuple):
    """A final answer, `completion[start:end]`."""

    text: str
    start: int
    end: int
    marked: bool
    """Whether the completion says that this is its answer. Otherwise it is the reader's guess, the last number: it may
    be compared with a gold answer, and supports nothing else."""


def make_answer(text: str, start: int, end: int, marked: bool) -> FinalAnswer:
    """The answer of a span, without blanks around it."""
    start, end = strip_span(text, start, end)
    return FinalAnswer(text[start:end], start, end, marked)


def strip_span(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without blanks around it."""
    part = text[start:end]
    start = end - len(part.lstrip())
    return start, start + len(part.strip())


def undress_span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without emphasis, quotes, punctuation and dollars around it; None when nothing is left."""
    for _ in range(4):
        before = start, end
        part = text[start:end].rstrip(" \t*_`\"',:：.。．“”「」\n")
        end = start + len(part)
        start = end - len(part.lstrip(" \t*_`\"':：“”「」\n"))
        part = text[start:end]
        if part[:1] == "$" == part[-1:] and part.count("$") - part.count("\\$") == 2 and len(part) > 2:
            start, end = start + 1, end - 1
        elif part[:2] == "\\(" and part[-2:] == "\\)" and part.count("\\(") == 1:
            start, end = start + 2, end - 2
        elif part[-1:] == "}" and part.count("}") > part.count("{"):
            end -= 1
        if (start, end) == before:
            break
    return (start, end) if start < end else None


def search_backwards(text: str, cues: tuple[str, ...], start: int, end: int) -> Iterator[tuple[int, str]]:
    """The places of a few words in a text, from the last one; each word is looked for once."""
    places = {cue: text.rfind(cue, start, end) for cue in cues}
    for _ in range(LOOKED_AT):
        cue = max(places, key=places.__getitem__)
        place = places[cue]
        if place < 0:
            return
        yield place, cue
        places[cue] = text.rfind(cue, start, place)
