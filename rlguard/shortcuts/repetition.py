r"""Answer repetition and loops: text that goes round instead of forward.

Loops are found by the distance from each run of four tokens to its last occurrence: inside a loop that distance
stays equal to the loop's length. One pass, whatever that length is.
"""

from __future__ import annotations

import re
from itertools import islice

from rlguard.answers import extract_answer
from rlguard.shortcuts.evidence import make_finding, quote
from rlguard.types import Finding

_TOKEN = re.compile(r"\w+|[^\w\s]")
STATEMENT = re.compile(
    r"<answer>\s*+([^<\n]{1,80}?)\s*+</answer>|\\boxed\s?\{([^{}\n]{1,80})|####[ \t]*+([^\n]{1,80})"
    r"|\banswer(?:\s+is)?(?:\s?[:=])?\s{0,3}[*$]{0,3}(-?[$£€]?\d[\d.,/]*+|[A-Ha-h]\b|[Yy]es\b|[Nn]o\b)",
    re.IGNORECASE,
)
_CHARACTER_LOOP = re.compile(r"([^\W\d_])\1{29,}+|(\d)\2{59,}+")
_CLOSING = frozenset(".,;:!?)]}*")
_GRAM = 4
_LEAST_REPEATED = 4
"""Four-token runs that the shortest loop repeats; most texts have fewer and are done with."""
_RULE_LINE = 25
"""Repeats of a unit without letters ("1 + 1 + 1", "| - | - |") that are still sums, tables and rulers."""
_GRID_CELLS = 1000
"""Equal one-digit cells in a row that a grid may hold (ARC's have 900)."""
_LITTLE_NEW = 0.6
"""Share of repeated four-token runs from which a text says little new (open-r1's and TRL's measure; honest text
stays under 0.3, templates and tables under 0.5)."""


def find_repetition(completion: str, answer: tuple[str, int, int] | None = None) -> list[Finding]:
    """Answers stated over and over, and loops of characters, words, lines or equations.

    Args:
        completion: The text.
        answer: Its final answer as `rlguard.answers.extract_answer` gives it; found here when left out.

    >>> [f.reason for f in find_repetition("answer 40;" * 9)]
    ['answer 40 stated 9 times, nothing between']
    """
    if len(completion) < 12:
        return []
    findings = _find_restatements(completion)
    loops = _find_loops(completion, answer or extract_answer(completion))
    if findings:  # the answers' own loop is the same fact
        start, end = findings[0].start, findings[0].end
        loops = [f for f in loops if f.end <= start or f.start >= end or (f.end - f.start) > 2 * (end - start)]
    return findings + loops


def _find_restatements(text: str) -> list[Finding]:
    """One value stated as the answer again and again, with no work between the statements."""
    small = text.lower()
    if small.count("answer") + small.count("boxed") + small.count("####") < 3:
        return []
    last: dict[str, tuple[int, int, int, set[int]]] = {}  # value -> statements since work was done, span, forms
    best: tuple[int, int, int, str] | None = None
    totals: dict[str, tuple[int, int, int]] = {}
    for match in STATEMENT.finditer(text):
        form = match.lastindex or 0
        value = match[form].strip().strip(".,;:$*}").strip().lower()
        start, end = match.span()
        count, first, _ = totals.get(value, (0, start, end))
        totals[value] = (count + 1, first, end)
        idle, begun, until, forms = last.get(value, (0, start, start, set()))
        between = text[until:start]
        if idle and (len(between) > 200 or any(sign.isdigit() for sign in between) or len(between.split()) > 25):
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


def _find_loops(text: str, answer: tuple[str, int, int] | None) -> list[Finding]:
    tokens = _TOKEN.findall(text)
    longest = max(map(len, tokens), default=0)
    found = _CHARACTER_LOOP.search(text) if longest >= 30 else None
    if found:
        count = found.end() - found.start()
        sign = "long_loop" if 2 * count > len(text) else "loop"
        reason = f"the character {found[0][0]!r} {count} times in a row"
        return [make_finding(sign, "text_loop", reason, *found.span())]
    stated = _TOKEN.findall(answer[0][:200]) if answer else []
    best, repeated = _longest_loop(tokens, stated)
    if best:
        start, period, length = best
        while tokens[start] in _CLOSING and length > period:  # a unit starts with its first word
            start, length = start + 1, length - 1
        best = (start, period, length)
        spans = [m.span() for m in islice(_TOKEN.finditer(text), start, start + length)]
        return _describe_loop(text, tokens, best, (spans[0][0], spans[-1][1]), stated)
    if longest >= 120:
        return _loop_without_spaces(text, tokens)
    if len(tokens) >= 80 and repeated > _LITTLE_NEW * len(tokens):
        letters = sum(token[0].isalpha() for token in tokens)
        digits = sum(token[0].isdigit() for token in tokens)
        if 2 * letters > len(tokens) > 20 * digits:  # lists of moves repeat their template, and have numbers in it
            reason = f"{100 * repeated // len(tokens)} % of its four-word runs were said before"
            return [make_finding("little_new_text", "text_loop", reason, 0, len(text))]
    return []


def _longest_loop(tokens: list[str], stated: list[str]) -> tuple[tuple[int, int, int] | None, int]:
    """The longest loop as (first token, period, tokens), and how many four-token runs occurred before."""
    grams = list(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))
    if len(grams) - len(set(grams)) < _LEAST_REPEATED:
        return None, 0
    seen: dict[tuple[str, ...], int] = {}
    best: tuple[int, int, int] | None = None
    run, period, repeated = 0, 0, 0
    for i, gram in enumerate(grams):
        before = seen.get(gram)
        seen[gram] = i
        if before is None:
            distance = 0
        else:
            repeated += 1
            distance = i - before
        if distance == period:
            run += 1
            continue
        if period:
            best = _better_loop(tokens, stated, best, i - run, period, run)
        run, period = 1, distance
    if period:
        best = _better_loop(tokens, stated, best, len(tokens) - _GRAM + 1 - run, period, run)
    return best, repeated


def _better_loop(
    tokens: list[str], stated: list[str], best: tuple[int, int, int] | None, at: int, period: int, run: int
) -> tuple[int, int, int] | None:
    """The longer of `best` and the loop that ends here, if it repeats often enough to be one."""
    start, length = at - period, run + period + _GRAM - 1
    if length < 2 * period or (best is not None and length <= best[2]):
        return best  # the unit is only looked at where it repeats: that keeps the whole pass linear
    allowed = _repeats_allowed(tokens[start : start + period], stated)
    return (start, period, length) if length >= period * allowed else best


def _repeats_allowed(unit: list[str], stated: list[str]) -> int:
    """From how many repeats on a unit is a loop rather than a sum, a table row, a list of moves."""
    if len(unit) >= 200:
        return 2
    letters = sum(token[0].isalpha() for token in unit)
    if letters == 0:
        if (
            unit == stated and len(unit[0]) > 1 and unit[0].isdigit()
        ):  # "40 40 40 …"; a row of one-digit cells is a grid
            return 8
        if "=" in unit and len(unit) >= 4:
            return 4
        if len(unit) == 1 and len(unit[0]) == 1 and unit[0].isdigit():
            return _GRID_CELLS
        return 100 if not any(token[0].isdigit() for token in unit) else _RULE_LINE
    if '"' in unit or all(len(token) == 1 for token in unit):  # a JSON list of moves, "A → A → A"
        return _RULE_LINE
    if letters == 1:
        return 10 if len(unit) == 1 else 8
    return 6 if letters <= 6 else 4 if letters <= 12 else 3


def _describe_loop(
    text: str,
    tokens: list[str],
    loop: tuple[int, int, int],
    span: tuple[int, int],
    stated: list[str],
) -> list[Finding]:
    first, period, length = loop
    count = length // period
    often = count >= 12 or 2 * (span[1] - span[0]) > len(text)
    unit = tokens[first : first + period]
    begun = next(_TOKEN.finditer(text, span[0])).start()
    ended = next(islice(_TOKEN.finditer(text, begun), period - 1, None)).end()
    shown = quote(text[begun:ended])
    if stated and (unit == stated or "answer" in map(str.lower, unit) or "boxed" in unit):
        sign, kind = ("answer_repeated_often" if often else "answer_repeated"), "answer_repetition"
    else:
        sign, kind = ("long_loop" if often else "loop"), "text_loop"
    return [make_finding(sign, kind, f'"{shown}" {count} times in a row', *span)]


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
