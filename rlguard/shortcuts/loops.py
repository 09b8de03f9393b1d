r"""Loops: text that goes round, of any unit from a character to a page.

A text is an array of character codes. Inside a loop of period p each code equals the one p before, so one comparison
of the array with itself finds all loops of that period. Which periods to try, a sample of windows tells: those whose
content fixes that they are looked at (a thousandth part of a page is enough), each with the distance to where the same
window stood before. Short periods are tried at points of a grid. A second look at the same codes with every number
replaced by one sign finds loops in which only a counter moves. All of it is linear.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.types import Finding

LITTLE_NEW = 0.6
"""Share of a text that was said before in it from which it says little new (honest text stays under 0.3, templates and
tables under 0.5)."""
LEAST_COUNTED = 16
"""Repeats from which a unit whose one moving number goes up by one is a loop; a list of candidates has fewer."""
LEAST_LABELLED = 6
"""The same where that number is a label before a sentence ("12. We look at it again.")."""
LEAST_BLANKS = 400
"""Blanks in a row that are a loop and no column of a table; of line ends a quarter."""

_TOKEN = re.compile(r"\w+|[^\w\s]")
_NUMBER = re.compile(r"[0-9]+")
_SIGNS = frozenset("!?\\,;:@%&$<>/)]}")
"""Signs of which no rulers, boxes and leaders are drawn."""
_DRAWING = frozenset("|()[]{}")
_OPERATORS = frozenset("+*-×·")
_LONG_DIVISION = frozenset(("digit", "remainder", "carry", "bring", "quotient", "write"))
_CLOSING = " \t\n.,;:!?)]}*"
_RULE_LINE = 25
"""Repeats of a unit without words ("| - | - |", "A → A") that are still tables and rulers."""
_SUM = 100
"""Equal terms that a sum or product may be written out with."""
_PAGE, _PAGES = 250, 0.75
"""Characters from one line of a list of moves to the last like it are fewer; share that four rounds repeat."""
_CYCLE = 0.55
"""Share of a text that was said before at one distance, up to a fifth of it; in the moves of Hanoi it is 0.5."""
_RULER, _UNDERLINE = 400, 100
_LEAST_COUNTED_LENGTH = 100
"""Characters without an equals sign that a counted loop has at least."""
_GRID_CELLS = 1000
"""Equal one-digit cells in a row that a grid may hold (ARC's have 900)."""

_SHORT = 64
"""Periods tried at the points of the grid."""
_SAMPLE = 8
"""One of so many windows is a sample: a period over `_SHORT` has none with a chance of (7/8)^64, 2 in 10,000."""
_CHOSEN = np.uint64((1 << 64) // _SAMPLE)
_PLACE_BITS = np.uint64(24)
_PLACE = np.uint64((1 << 24) - 1)
_MOST_RUNS = 100
_TRIED = 12
"""Periods that are tried, those with most samples first."""
_MULTIPLY = np.uint64(0x9E3779B97F4A7C15)
_FOLD, _FOLDED, _HIGH = np.uint32(0x9E3779B1), np.uint32(25), np.uint32(128)

Codes = np.ndarray
Run = tuple[int, int, int]
"""First character, characters of the unit, characters in all."""


def find_loops(text: str, answer: tuple[str, int, int] | None = None) -> list[Finding]:
    """The longest loop of characters, words, lines, sentences or equations, if there is one.

    Args:
        text: The completion.
        answer: Its final answer, as `rlguard.answers.extract_answer` gives it.

    >>> [f.reason for f in find_loops("".join(f"Try {i}: once again. " for i in range(1, 10)))]
    ['"Try 1: once again." 9 times in a row, only its number goes up']
    """
    if len(text) < 20:
        return []
    codes = read_codes(text)
    stated = _TOKEN.findall(answer[0][:200]) if answer else []
    runs, samples = _find_runs(codes)
    best: Run | None = None
    for run in runs:
        moved = _judge_run(text, run, stated)
        if moved and (best is None or moved[2] > best[2]):
            best = moved
    if best:
        return [_describe(text, best, stated)]
    return _find_counted(text, codes) or _find_little_new(text, samples)


def read_codes(text: str) -> Codes:
    """One byte a character: its code if that is ASCII, else one of the 128 others, which few different ones share."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(codes < 128, codes, (codes * _FOLD >> _FOLDED) | _HIGH).astype(np.uint8)


class Samples(NamedTuple):
    """Windows of 16 characters that were chosen by their content, as far as they stood before in the text."""

    size: int
    """Of all samples."""
    places: np.ndarray
    distances: np.ndarray
    """To where the same window stood last."""


def _sample(windows: np.ndarray) -> Samples:
    mixed = (windows[:-8] * _MULTIPLY + windows[8:]) * _MULTIPLY
    places = np.flatnonzero(mixed < _CHOSEN)
    ordered = np.sort((mixed[places] & ~_PLACE) | places.astype(np.uint64))  # equal windows by place: no argsort
    keys, places = ordered >> _PLACE_BITS, (ordered & _PLACE).astype(np.int64)
    again = np.flatnonzero(keys[1:] == keys[:-1])
    return Samples(len(places), places[again + 1], places[again + 1] - places[again])


def _find_runs(codes: Codes) -> tuple[list[Run], Samples]:
    """Stretches of two or more repeats, of the periods for which most speaks."""
    data = b"\0" * _SHORT + codes.tobytes()
    windows = np.ndarray((len(data) - 7,), np.uint64, data, strides=(1,)).copy()
    samples = _sample(windows[_SHORT:])
    near = samples.distances[samples.places.argsort()]
    hits = Counter(near[1:][near[1:] == near[:-1]].tolist())  # in a loop, neighbours have the same distance
    likely = [period for period, count in hits.most_common(_TRIED) if count > max(period, _SHORT) // (2 * _SAMPLE)]
    likely += _try_short(windows)
    runs: list[Run] = []
    for period in likely:
        edges = np.flatnonzero(codes[period:] != codes[:-period])
        edges = np.concatenate(([-1], edges, [len(codes) - period]))
        lengths = np.diff(edges) - 1
        for at in np.flatnonzero(lengths >= max(period, 8))[:_MOST_RUNS].tolist():
            runs.append((int(edges[at]) + 1, period, int(lengths[at]) + period))
    return runs, samples


def _try_short(windows: np.ndarray) -> list[int]:
    """Periods up to `_SHORT` that eight characters at points of a grid have, at two points in a row if it is long.

    The grid of a long text is wider: a loop is found that is 40 characters longer than its unit, else 16.
    """
    step = 8 if len(windows) < 2000 else 32
    rows = (len(windows) - _SHORT - 1) // step + 1
    grid = np.ndarray((rows, _SHORT + 1), np.uint64, windows, strides=(8 * step, 8))
    hits = np.flatnonzero(grid[:, :-1] == grid[:, -1:])
    if not len(hits):
        return []
    shortest: dict[int, int] = {}
    for row, back in zip((hits // _SHORT).tolist(), (_SHORT - hits % _SHORT).tolist(), strict=True):
        shortest[row] = back  # the nearest comes last
    found = Counter(p for row, p in shortest.items() if p < 16 or shortest.get(row + 1) == p)
    return [period for period, _ in found.most_common(_TRIED)]


def _judge_run(text: str, run: Run, stated: list[str]) -> Run | None:
    """The run from its unit's first word on, in whole repeats, if it is a loop and not a table, a sum, a ruler."""
    start, period, length = run
    unit = text[start : start + period]
    if unit.isspace():
        least = LEAST_BLANKS if "\n" not in unit else LEAST_BLANKS // 4
        return run if length >= least else None
    blank = re.search(r"\s+", unit)
    if blank and start and not text[start - 1].isspace() and text[start - 1] != ";":
        start, length = start + blank.end(), length - blank.end()
        unit = text[start : start + period]
    whole = length + len(unit) - len(unit.rstrip(_CLOSING))  # the last comma of "very, very, very" is missing
    count = whole // period
    if count < 2 or count < _least_repeats(text, start, length, unit, stated):
        return None
    return start, period, min(count * period, length)


def _least_repeats(text: str, start: int, length: int, unit: str, stated: list[str]) -> int:
    """From how many repeats on a unit is a loop rather than a sum, a table row, a list of moves."""
    if len(unit) == 1 and not unit.isalnum():
        alone = unit == "." and _is_line(text, start, start + length)
        return 20 if unit in _SIGNS or alone else _UNDERLINE if unit in "^'\"" else _RULER
    if len(unit) >= 1000:
        return 2
    if unit.isdigit():
        return max(60 // len(unit), 4)  # of a repeating decimal
    if unit.isalnum():
        return 30 if len(unit) == 1 else 12 if len(unit) <= 4 else 6
    tokens = _TOKEN.findall(unit)
    words = {token.lower() for token in tokens if token[0].isalpha()}
    if not words:
        return _least_wordless(tokens, stated)
    if '"' in tokens or all(len(token) == 1 for token in tokens):  # a JSON list of moves, "A → A → A"
        return _RULE_LINE
    if len(words) <= 4 and not _LONG_DIVISION.isdisjoint(words):
        return _RULE_LINE  # the line of a repeating digit
    if len(words) == 1:
        if len(tokens) == 1:
            return 6 if tokens[0].islower() and len(tokens[0]) > 2 else 10
        return 4 if "=" in tokens else 8
    if "|" in tokens and "=" not in tokens and len(words) <= 4:
        return 10
    if tokens.count("=") > 1:
        return 3
    if len(words) <= 8 and len(tokens) > 16 and "=" not in tokens:
        return 6
    return 5 if len(words) <= 3 else 4 if len(words) <= 12 else 3


def _least_wordless(tokens: list[str], stated: list[str]) -> int:
    if tokens == stated and len(tokens[0]) > 1 and tokens[0].isdigit():  # "40 40 40 …"; one-digit cells are a grid
        return 8
    if not any(token[0].isdigit() for token in tokens):
        return 100 if len(set(tokens)) < 2 or not _DRAWING.isdisjoint(tokens) else 20
    if "=" in tokens and len(tokens) >= 4:
        return 4
    if len(tokens) == 1 and len(tokens[0]) == 1:
        return _GRID_CELLS
    return _SUM if len(tokens) <= 4 and not _OPERATORS.isdisjoint(tokens) else _RULE_LINE


def _is_line(text: str, start: int, end: int) -> bool:
    line = text[text.rfind("\n", 0, start) + 1 : (text.find("\n", end) + 1 or len(text) + 1) - 1]
    return len(line.strip()) == end - start


def _describe(text: str, loop: Run, stated: list[str]) -> Finding:
    start, period, length = loop
    unit = text[start : start + period]
    count = (length + len(unit) - len(unit.rstrip(_CLOSING))) // period
    often = count >= 12 or 2 * length > len(text)
    if unit.isspace():
        return make_finding("long_loop", "text_loop", f"{length} blanks or line ends in a row", start, start + length)
    tokens = _TOKEN.findall(unit)
    if stated and (tokens == stated or "answer" in unit.lower() or "boxed" in unit):
        sign, kind = ("answer_repeated_often" if often else "answer_repeated"), "answer_repetition"
    else:
        sign, kind = ("long_loop" if often else "loop"), "text_loop"
    end = start + len(text[start : start + length].rstrip())
    shown = f'"{quote(unit.strip())}"' if period > 1 else f"the character {unit!r}"
    return make_finding(sign, kind, f"{shown} {count} times in a row", start, end)


def _find_counted(text: str, codes: Codes) -> list[Finding]:
    """A unit said again and again in which nothing moves but a counter ("Attempt 7: let me try again.").

    A table or an iterated algorithm has more than one number that moves, or an equation.
    """
    begin = 0
    for part in text.split("="):
        end = begin + len(part)
        if len(part) >= _LEAST_COUNTED_LENGTH and _counts_up(_NUMBER.findall(part)):
            found = _find_counted_in(text, begin, end, codes[begin:end])
            if found:
                return [found]
        begin = end + 1
    return []


def _counts_up(values: list[str]) -> bool:
    """Whether numbers go up by one, as a counter does that is one of up to three numbers of its unit."""
    if len(set(values)) < LEAST_LABELLED:
        return False
    numbers = [int(value) for value in values if len(value) < 10]
    ups = [sum(b - a == 1 for a, b in zip(numbers, numbers[width:], strict=False)) for width in (1, 2, 3)]
    return max(ups) >= LEAST_LABELLED - 1


def _find_counted_in(text: str, begin: int, end: int, codes: Codes) -> Finding | None:
    digit = (codes - 48) < 10  # unsigned
    kept = ~digit
    kept[0] = True
    kept[1:] |= ~digit[:-1]
    places = np.append(np.flatnonzero(kept), end - begin)
    plain = np.where(digit, 48, codes)[kept].astype(np.uint8)
    runs, _ = _find_runs(plain)
    for start, period, length in sorted(runs, key=lambda run: -run[2])[:8]:
        if period <= 400 and length >= LEAST_LABELLED * period - 3:
            found = _judge_counted(text, begin + int(places[start]), begin + int(places[start + length]), period)
            if found:
                return found
    return None


def _judge_counted(text: str, start: int, end: int, period: int) -> Finding | None:
    part = text[start:end]
    blank = re.search(r"\n|[.!?]\s+", part)  # a unit begins with its sentence
    if blank and start and not text[start - 1].isspace():
        part, start = part[blank.end() :], start + blank.end()
    plain = _NUMBER.sub("0", part)
    unit = plain[:period]
    width = unit.count("0")
    values = _NUMBER.findall(part)
    if not 1 <= width <= 3 or sum(map(str.isalpha, unit)) < 8:
        return None
    columns = [values[at::width] for at in range(width)]
    moving = [column for column in columns if len(set(column)) > 1]
    if len(moving) != 1 or any(len(value) >= 10 or int(b) - int(value) != 1 for value, b in pairwise(moving[0])):
        return None
    count = (len(plain) + len(unit) - len(unit.rstrip(_CLOSING))) // period
    place = [match.start() for match in re.finditer("0", unit)][columns.index(moving[0])]
    label = (unit + unit)[place + 1] in ":.)" and len(_TOKEN.findall(unit)) >= 4
    if count < (LEAST_LABELLED if label else LEAST_COUNTED):
        return None
    shown = quote(part[: period + sum(len(value) - 1 for value in values[:width])].strip())
    sign = "long_loop" if count >= 12 or 2 * len(part) > len(text) else "loop"
    reason = f'"{shown}" {count} times in a row, only its number goes up'
    return make_finding(sign, "text_loop", reason, start, start + len(part.rstrip()))


def _find_little_new(text: str, samples: Samples) -> list[Finding]:
    """A text most of which was said before in it: in a cycle with small changes, a page before, or in prose."""
    again = len(samples.places)
    if samples.size < 40 or again <= LITTLE_NEW * samples.size:
        return []
    place = float(np.median(samples.distances))
    cycle = np.count_nonzero(np.abs(samples.distances - place) <= 0.2 * place) > _CYCLE * samples.size
    page = place > _PAGE and again > _PAGES * samples.size
    if not page and not (cycle and place > _SHORT):
        letters, digits = sum(map(str.isalpha, text)), sum(map(str.isdigit, text))
        if not 0.6 * len(text) < letters > 30 * digits:  # lists of moves repeat their template, and have numbers in it
            return []
    reason = f"{100 * again // samples.size} % of the text was said before in it"
    return [make_finding("little_new_text", "text_loop", reason, int(samples.places.min()), len(text))]
