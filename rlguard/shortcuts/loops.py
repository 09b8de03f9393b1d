r"""Loops: text that goes round, of any unit; in some only a counter moves, in others little is new."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from rlguard.shortcuts.case import Case, read_case
from rlguard.shortcuts.ratios import make_finding, quote
from rlguard.types import Finding

if TYPE_CHECKING:
    from rlguard.shortcuts.repeats import Repeats, Run

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
_UNIT_END = re.compile(r"\s*\n\s*|(?<=[.!?])\s+")
_NO_WORD = re.compile(r"\W+")
_LEAST_TEXT, _LEAST_SAMPLES = 20, 40
_SIGNS = frozenset("!?\\,;:@%&$<>/)]}")
"""Signs of which no rulers, boxes and leaders are drawn."""
_PICTURES = "\ufffd"
"""From here on: what stands for a broken byte, and emoji."""
_DRAWING = frozenset("|()[]{}")
_OPERATORS = frozenset("+*-×·")
_LONG_DIVISION = frozenset(("digit", "remainder", "carry", "bring", "quotient", "write"))
_ASKED = re.compile(r"(?i:\brepeat\b|\b(?:write|say|print|output|type|copy)\b[^?!\n]{1,200}\btimes\b)")
"""Asks for a loop of words that stand in the prompt."""
_CLOSING = " \t\n.,;:!?)]}*"
_RULE_LINE = 25
"""Repeats of a unit without words ("| - | - |", "A → A") that are still tables and rulers."""
_SUM = 100
"""Equal terms that a sum or product may be written out with."""
_PAGE, _PAGES = 180, 0.75
"""Characters from one line of a list of moves to the last like it are fewer; share that four rounds repeat."""
_ALIKE, _WHOLE, _SHORT = 0.2, 0.3, 24
"""Share said before of distinct lines of one template; share of repetition that whole lines are in a loop; characters
of lines that are too short to be compared."""
_CYCLE = 0.55
"""Share of a text that was said before at one distance, up to a fifth of it; in the moves of Hanoi it is 0.5."""
_LINE = 64
"""Characters that are hardly a line: a cycle of so little is a list's template."""
_RULER, _UNDERLINE = 400, 100
_LEAST_COUNTED_LENGTH = 100
"""Characters without an equals sign that a counted loop has at least."""
_GRID_CELLS = 1000
"""Equal one-digit cells in a row that a grid may hold (ARC's have 900)."""


def find_loop(case: Case) -> Finding | None:
    """The longest loop of characters, words, lines, sentences or equations; else one in which only a counter moves;
    else a text that says little new. What repeats in the prompt or the gold answer, or as much as they do, may repeat.

    >>> from rlguard.shortcuts.case import read_case
    >>> find_loop(read_case("".join(f"Try {i}: once again. " for i in range(1, 10)))).reason
    '"Try 1: once again." 9 times in a row, only its number goes up'
    """
    text = case.text
    if len(text) < _LEAST_TEXT:
        return None
    stated = _TOKEN.findall(case.final.text[:200]) if case.final else []
    judged = (_judge_run(text, run, stated) for run in case.repeats.runs)
    best = max((run for run in judged if run), key=lambda run: run[2], default=None)
    found = _describe(text, best, stated) if best else _find_counted(text, case.repeats) or _find_little_new(case)
    if found and (repeated := _NO_WORD.sub("", text[found.start : found.end])):
        given = (_NO_WORD.sub("", part) for part in (case.gold, case.prompt) if part)
        if any(repeated in part or len(repeated) <= _longest_run(part) for part in given):
            return None
        if best and _ASKED.search(case.prompt) and text[best[0] : best[0] + best[1]].strip(_CLOSING) in case.prompt:
            return None
    return found


def _longest_run(text: str) -> int:
    """Characters: of a string that is turned into another one, both repeat."""
    return max((length for _, _, length in read_case(text).repeats.runs), default=0) if len(text) >= _LEAST_TEXT else 0


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
        return 20 if unit in _SIGNS or alone or unit >= _PICTURES else _UNDERLINE if unit in "^'\"" else _RULER
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
    if stated and (_TOKEN.findall(unit) == stated or "answer" in unit.lower() or "boxed" in unit):
        sign, kind = ("answer_repeated_often" if often else "answer_repeated"), "answer_repetition"
    else:
        sign, kind = ("long_loop" if often else "loop"), "text_loop"
    end = start + len(text[start : start + length].rstrip())
    shown = f'"{quote(unit.strip())}"' if period > 1 else f"the character {unit!r}"
    return make_finding(sign, kind, f"{shown} {count} times in a row", start, end)


def _find_counted(text: str, repeats: Repeats) -> Finding | None:
    """A unit said again and again in which nothing moves but a counter ("Attempt 7: let me try again.").

    A table or an iterated algorithm has more than one number that moves, or an equation.
    """
    from rlguard.shortcuts.repeats import find_counted_runs  # here, as it needs numpy

    parts = (part for part in text.split("=") if len(part) >= _LEAST_COUNTED_LENGTH)
    if not any(_counts_up(_NUMBER.findall(part)) for part in parts):
        return None
    for start, period, length in find_counted_runs(repeats.codes):
        if period <= 400 and length >= LEAST_LABELLED * period - 3 and "=" not in text[start : start + period]:
            found = _judge_counted(text, start, start + length, period)
            if found:
                return found
    return None


def _counts_up(values: list[str]) -> bool:
    """Whether numbers go up by one for a while, as a counter does that is one of up to three numbers of its unit."""
    if len(set(values)) < LEAST_LABELLED:
        return False
    numbers = [int(value) for value in values if len(value) < 10]
    columns = [numbers[at::width] for width in (1, 2, 3) for at in range(width)]
    return any("1" * (LEAST_LABELLED - 1) in "".join("01"[b - a == 1] for a, b in pairwise(c)) for c in columns)


def _judge_counted(text: str, start: int, end: int, period: int) -> Finding | None:
    part = text[start:end]
    blank = re.search(r"\n|[.!?]\s+", part)  # a unit begins with its sentence
    if blank and start and not text[start - 1].isspace():
        part, start = part[blank.end() :], start + blank.end()
    plain = _NUMBER.sub("0", part)
    unit = plain[:period]
    width = unit.count("0")
    count = (len(plain) + len(unit) - len(unit.rstrip(_CLOSING))) // period
    values = _NUMBER.findall(part)[: count * width]  # what follows the loop may begin as its unit does
    if not 1 <= width <= 3 or sum(map(str.isalpha, unit)) < 8:
        return None
    columns = [values[at::width] for at in range(width)]
    moving = [column for column in columns if len(set(column)) > 1]
    if len(moving) != 1 or any(len(value) >= 10 or int(b) - int(value) != 1 for value, b in pairwise(moving[0])):
        return None
    place = [match.start() for match in re.finditer("0", unit)][columns.index(moving[0])]
    label = (unit + unit)[place + 1] in ":.)" and len(_TOKEN.findall(unit)) >= 4
    if count < (LEAST_LABELLED if label else LEAST_COUNTED):
        return None
    shown = quote(part[: period + sum(len(value) - 1 for value in values[:width])].strip())
    sign = "long_loop" if count >= 12 or 2 * len(part) > len(text) else "loop"
    reason = f'"{shown}" {count} times in a row, only its number goes up'
    return make_finding(sign, "text_loop", reason, start, start + len(part.rstrip()))


def _find_little_new(case: Case) -> Finding | None:
    """A text most of which was said before in it: in a cycle with small changes, a page before, or in prose."""
    text, repeats = case.text, case.repeats
    if repeats.samples < _LEAST_SAMPLES or repeats.share <= LITTLE_NEW:
        return None
    distance, cycle = repeats.usual_distance()
    moves = _is_template(text)
    page = distance > _PAGE and (cycle > _CYCLE or (repeats.share > _PAGES and not moves))
    if not page:
        letters, digits = sum(map(str.isalpha, text)), sum(map(str.isdigit, text))
        prose = 0.6 * len(text) < letters > 30 * digits  # lists of moves repeat their template, and have numbers in it
        if not ((prose and not moves) or (cycle > _CYCLE and distance > _LINE)) or _lists_cases(text, repeats.share):
            return None
    reason = f"{int(100 * repeats.share)} % of the text was said before in it"
    return make_finding("little_new_text", "text_loop", reason, int(repeats.places.min()), len(text))


def _lists_cases(text: str, share: float) -> bool:
    """Whether bits of lines come again, but hardly a whole one, as in a list of cases."""
    lines = Counter(line.strip() for line in text.splitlines())
    again = sum(len(line) * (count - 1) for line, count in lines.items())
    return len(text) < _PAGE * lines.total() and again < _WHOLE * share * len(text)


def _is_template(text: str) -> bool:
    """Whether lines and sentences say little new though each is taken once, as moves of a game do."""
    said = "\n".join(dict.fromkeys(_UNIT_END.split(text)))
    size = len(said) / (1 + said.count("\n"))
    return size < _SHORT or (size < _LINE and read_case(said).repeats.share > _ALIKE)
