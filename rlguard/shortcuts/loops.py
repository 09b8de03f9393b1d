r"""Loops: text that goes round, of any unit from a character to a page.

A loop is found by the distance from each run of four tokens to its last occurrence: inside a loop that distance stays
equal to the loop's length. One pass, whatever that length is. A second pass over the same tokens with every number
replaced by one sign finds loops in which only a counter moves. Both are skipped for a text that repeats hardly any
pair of words, which is most texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise
from operator import eq

from rlguard.shortcuts.paraphrase import find_idle_talk, little_new, said_again
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.types import Finding

_TOKEN = re.compile(r"\w+|[^\w\s]")
_CHARACTER_LOOP = re.compile(
    r"([^\W\d_])\1{29,}+|(\d)\2{59,}+|([!?\\,;:'\"@%&$^<>/)\]}])\3{19,}+|^[ \t]*+(\.)\4{19,}+[ \t]*$"
    r"|([^\W\d_]{2,4}?)\5{11,}+",
    re.MULTILINE,
)
"""Letters, digits and signs; not those of which rulers and blanks are drawn, and dots only alone on a line."""
_CLOSING = frozenset(".,;:!?)]}*")
_LONG_DIVISION = frozenset(("digit", "remainder", "carry", "bring", "quotient", "write"))
_GRAM = 4
_LEAST_PAIRS, _LEAST_GRAMS = 5, 5
"""Repeated pairs of words, and four-token runs, in a row in the shortest loop of more than one word; most texts have
none and are done with."""
_LONG_WORD = 24
"""Characters of a word that may hold a loop of its own ("1+1+1+…")."""
_RULE_LINE = 25
"""Repeats of a unit without words ("| - | - |", "A → A") that are still tables and rulers."""
_SUM = 100
"""Equal terms that a sum or product may be written out with."""
_GRID_CELLS = 1000
"""Equal one-digit cells in a row that a grid may hold (ARC's have 900)."""
_COUNTED, _COUNTED_LABEL = 16, 6
"""Repeats from which a unit whose one moving number goes up by one is a loop; fewer when that number is a label."""
_COUNTED_LENGTH = 60
"""Characters without an equals sign that a counted loop has at least."""
_NUMBER = re.compile(r"[0-9]+")

Loop = tuple[int, int, int]
"""First token, tokens of the unit, tokens in all."""


def find_loops(text: str, answer: tuple[str, int, int] | None) -> list[Finding]:
    """The longest loop of characters, words, lines, sentences or equations, if there is one.

    Args:
        text: The completion.
        answer: Its final answer, as `rlguard.answers.extract_answer` gives it.

    >>> [f.reason for f in find_loops("".join(f"Try {i}: once again. " for i in range(1, 10)), None)]
    ['"Try 1: once again." 9 times in a row, only its number goes up']
    """
    words = text.split()
    longest = max(map(len, words), default=0)
    found = _CHARACTER_LOOP.search(text) if longest >= 20 else None
    if found:
        return [_describe_characters(text, found)]
    pairs = list(pairwise(words))
    one_word = b"\1" * _LEAST_PAIRS in bytes(map(eq, words, words[1:]))
    if longest < _LONG_WORD and not (one_word or _has_repeated_run(pairs, _LEAST_PAIRS)):
        return _counted_loop(text) or find_idle_talk(text)
    tokens = _TOKEN.findall(text)
    stated = _TOKEN.findall(answer[0][:200]) if answer else []
    best, repeated = _longest_loop(tokens, stated, 2 if one_word else _LEAST_GRAMS)
    if best:
        return _describe_loop(text, tokens, best, stated)
    if longest >= 120 and max(map(len, tokens)) >= 120:
        return _loop_without_spaces(text, tokens)
    return _counted_loop(text) or said_again(text) or little_new(text, tokens, repeated) or find_idle_talk(text)


def _has_repeated_run(items: Sequence[tuple[str, ...]], length: int) -> bool:
    """Whether `length` items in a row each occur more than once: all of a loop's do, and it costs no loop of ours."""
    if len(set(items)) > len(items) - length // 2:
        return False
    counts = Counter(items)
    return b"\1" * length in bytes([counts[item] > 1 for item in items])


def _describe_characters(text: str, found: re.Match[str]) -> Finding:
    shown = found[0].strip()
    start = found.start() + found[0].index(shown)
    sign = "long_loop" if 2 * len(shown) > len(text) else "loop"
    unit = found[5] or shown[0]
    what = f'"{unit}"' if found[5] else f"the character {unit!r}"
    reason = f"{what} {len(shown) // len(unit)} times in a row"
    return make_finding(sign, "text_loop", reason, start, start + len(shown))


def _longest_loop(tokens: list[str], stated: list[str], least: int) -> tuple[Loop | None, int]:
    """The longest loop, and how many four-token runs occurred before."""
    grams = list(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))
    repeated = len(grams) - len(set(grams))
    if repeated < least or not _has_repeated_run(grams, least):
        return None, repeated
    best: Loop | None = None
    for start, period, length in _runs(grams):
        if length >= 2 * period and (best is None or length > best[2]):  # only then is the unit looked at: linear
            unit = tokens[start : start + period]
            slack = period > 1 and unit[-1] in _CLOSING  # the last comma of "very, very, very" is missing
            if length + slack >= period * _repeats_allowed(unit, stated):
                best = (start, period, length)
    return best, repeated


def _runs(grams: Sequence[tuple[str, ...]]) -> list[Loop]:
    """Stretches in which every four-token run is the one `period` tokens before."""
    seen: dict[tuple[str, ...], int] = {}
    runs: list[Loop] = []
    run, period = 0, 0
    for i, gram in enumerate(grams):
        before = seen.get(gram)
        seen[gram] = i
        if period and before is not None and (i - before == period or grams[i - period] == gram):
            run += 1  # a unit may say the same thing twice: what counts is the place one period before
            continue
        if period:
            runs.append((i - run - period, period, run + period + _GRAM - 1))
        run, period = 1, 0 if before is None else i - before
    if period:
        runs.append((len(grams) - run - period, period, run + period + _GRAM - 1))
    return runs


def _repeats_allowed(unit: list[str], stated: list[str]) -> int:
    """From how many repeats on a unit is a loop rather than a sum, a table row, a list of moves."""
    if len(unit) >= 200:
        return 2
    letters = len({token.lower() for token in unit if token[0].isalpha()})  # a list of moves has few different words
    if letters == 0:
        return _wordless_repeats(unit, stated)
    if '"' in unit or all(len(token) == 1 for token in unit):  # a JSON list of moves, "A → A → A"
        return _RULE_LINE
    if letters <= 4 and not _LONG_DIVISION.isdisjoint(token.lower() for token in unit):
        return _RULE_LINE  # the line of a repeating digit
    if letters == 1:
        if len(unit) == 1:
            return 6 if unit[0].islower() and len(unit[0]) > 2 else 10
        return 4 if "=" in unit else 8
    if "|" in unit and "=" not in unit and letters <= 4:
        return 10
    if unit.count("=") > 1:
        return 3
    if letters <= 8 and len(unit) > 16 and "=" not in unit:
        return 6
    return 5 if letters <= 3 else 4 if letters <= 12 else 3


def _wordless_repeats(unit: list[str], stated: list[str]) -> int:
    if unit == stated and len(unit[0]) > 1 and unit[0].isdigit():  # "40 40 40 …"; a row of one-digit cells is a grid
        return 8
    if "=" in unit and len(unit) >= 4:
        return 4
    if len(unit) == 1 and len(unit[0]) == 1 and unit[0].isdigit():
        return _GRID_CELLS
    if not any(token[0].isdigit() for token in unit):
        return 100 if len(set(unit)) < 2 or not _DRAWING.isdisjoint(unit) else 20
    return _SUM if len(unit) <= 4 and not _OPERATORS.isdisjoint(unit) else _RULE_LINE


_OPERATORS = frozenset("+*-×·")
_DRAWING = frozenset("|()[]{}")
"""Signs of tables and of balanced brackets."""


def _describe_loop(text: str, tokens: list[str], loop: Loop, stated: list[str]) -> list[Finding]:
    first, period, length = loop
    while tokens[first] in _CLOSING and length > period:  # a unit starts with its first word
        first, length = first + 1, length - 1
    start, end, shown = _span(text, first, period, length)
    count = (length + 1) // period if tokens[first + period - 1] in _CLOSING else length // period
    often = count >= 12 or 2 * (end - start) > len(text)
    unit = tokens[first : first + period]
    if stated and (unit == stated or "answer" in map(str.lower, unit) or "boxed" in unit):
        sign, kind = ("answer_repeated_often" if often else "answer_repeated"), "answer_repetition"
    else:
        sign, kind = ("long_loop" if often else "loop"), "text_loop"
    return [make_finding(sign, kind, f'"{shown}" {count} times in a row', start, end)]


def _span(text: str, first: int, period: int, length: int, begin: int = 0) -> tuple[int, int, str]:
    """Where a loop given in tokens stands, and its unit as it is written."""
    spans = [m.span() for m in islice(_TOKEN.finditer(text, begin), first, first + length)]
    return spans[0][0], spans[-1][1], quote(text[spans[0][0] : spans[min(period, length) - 1][1]])


def _loop_without_spaces(text: str, tokens: list[str]) -> list[Finding]:
    """A loop inside one long token ("hahaha…", or a script without spaces), looked for in its second half."""
    for token in tokens:
        if len(token) < 120:
            continue
        tail = token[len(token) // 2 :]
        period = tail.find(tail[:16], 1)
        if 0 < period <= len(tail) // 4 and tail[period:] == tail[:-period]:
            start = text.find(token) + len(token) // 2
            count = len(tail) // period
            reason = f'"{quote(tail[:period])}" {count} times in a row'
            return [make_finding("long_loop", "text_loop", reason, start, start + len(tail))]
    return []


def _counted_loop(text: str) -> list[Finding]:
    """A unit said again and again in which nothing moves but a counter ("Attempt 7: let me try again.").

    A table or an iterated algorithm has more than one number that moves, or an equation; a list of candidates
    ("7 is odd") names its number as a part of what it says, so it takes many more of them to be a loop.
    """
    at = 0
    for part in text.split("="):
        if len(part) >= _COUNTED_LENGTH:
            values = _NUMBER.findall(part)
            if len(values) >= _COUNTED_LABEL and len(values) > len(part) // 100 and _counts_up(values):
                found = _judge_counted(text, at, at + len(part))
                if found:
                    return found
        at += len(part) + 1
    return []


def _counts_up(values: list[str]) -> bool:
    """Whether there are as many numbers one above another as a counter needs."""
    numbers = {int(value) for value in values if len(value) < 10}
    return sum(number + 1 in numbers for number in numbers) >= _COUNTED_LABEL - 1


def _judge_counted(text: str, begin: int, stop: int) -> list[Finding]:
    tokens = _TOKEN.findall(text, begin, stop)
    plain = ["0" if token[0].isdigit() else token for token in tokens]
    grams = list(zip(plain, plain[1:], plain[2:], plain[3:], strict=False))
    if len(grams) - len(set(grams)) < 12:
        return []
    for first, period, length in sorted(_runs(grams), key=lambda run: -run[2])[:8]:
        unit, count = plain[first : first + period], (length + 1) // period
        letters = sum(token[0].isalpha() for token in unit)
        if count < _COUNTED_LABEL or period > 60 or letters < 2 or unit.count("0") > 3:
            continue
        moving = [i for i in range(period) if unit[i] == "0" and tokens[first + i] != tokens[first + period + i]]
        if len(moving) != 1:
            continue
        (at,) = moving
        values = [tokens[i] for i in range(first + at, first + length, period)]
        if not all(value.isdecimal() and len(value) < 10 for value in values):
            continue
        if any(int(b) - int(a) != 1 for a, b in pairwise(values)):
            continue
        label = unit[(at + 1) % period] in ":.)" and letters >= 3
        if len(values) < (_COUNTED_LABEL if label else _COUNTED):
            continue
        while tokens[first] in _CLOSING:
            first, length = first + 1, length - 1
        start, end, shown = _span(text, first, period, length, begin)
        sign = "long_loop" if len(values) >= 12 or 2 * (end - start) > len(text) else "loop"
        reason = f'"{shown}" {len(values)} times in a row, only its number goes up'
        return [make_finding(sign, "text_loop", reason, start, end)]
    return []
