"""Garbage: word salad, noise of quotes and signs, scripts mixed without a reason, as models write after a collapse.

Four measures of a window, each of what hardly any honest text has, whatever its language or notation: words that never
come again (every language says its small words again and again), small English words in an order that no sentence
has, different signs next to each other, and scripts that change from word to word.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from itertools import pairwise, product

from rlguard.shortcuts.ratios import make_finding
from rlguard.types import Finding

WINDOW = 800
"""Characters that are judged together: some 130 English words."""
MOST_WINDOWS = 4
"""Windows that are read of a text, evenly spread and the last one among them; garbage mostly lasts to the end."""
LEAST_NEW = 0.93
"""Share of different words from which a window is a salad (English has 0.6 to 0.7, Finnish and Korean under 0.9)."""
LEAST_NEW_SIGNS = 0.8
"""The same of single characters where words are not parted (Chinese has under 0.6 in 300)."""
LEAST_DISORDER = 0.03
"""Different pairs of small words that no sentence has, per word."""
LEAST_SIGN_PAIRS = 0.5
"""Share of neighbours that are both signs, from which a window may be noise; code, LaTeX and tables stay under 0.4."""
LEAST_KINDS = 8.0
"""Kinds of such pairs, as many as equally frequent ones would be (perplexity); tables and lists of moves have few."""
LEAST_SCRIPTS = 4
"""Scripts in one window; text about languages has as many, but names them one by one."""
LEAST_CHANGES = 0.25
"""Share of words in another script than the word before, with three scripts or more."""

_WORD = re.compile(r"[^\W\d_]+")
_LEAST_WORDS, _LEAST_LETTERS = 60, 200
_NOT_PARTED = 10
"""Letters of a mean word from which words are not parted."""
_AFTER_ARTICLE = "the a an of and or is are was were be to in that it for with but by from at as on".split()
_AFTER_PREPOSITION = "of and or is are was were to but".split()
_PAIRS = frozenset(
    [
        *product("the an my your our their its".split(), _AFTER_ARTICLE),
        *product("of in on at with from by for".split(), _AFTER_PREPOSITION),
        *product("and or but".split(), "of and or but".split()),
        *product("is are was were".split(), "is are was were of and".split()),
        *product(["to"], "of and or is are was to".split()),
    ]
)
_SCRIPTS = (0x370, 0x400, 0x530, 0x590, 0x600, 0x900, 0xE00, 0xE80, 0x10A0, 0x1100, 0x1200, 0x1E00, 0x2000, 0x3040, 0xAC00)
"""Where blocks of other scripts begin; those between are told apart well enough."""


def find_garbage(text: str) -> list[Finding]:
    """The stretch from the first window of garbage to the end of the last one, if there is one.

    >>> noise = "".join("'\\"`,;.'\\"!"[i * i * 7 % 11 % 9] for i in range(300))
    >>> [f.kind for f in find_garbage(noise)]
    ['garbage']
    """
    size = len(text)
    if size < _LEAST_LETTERS:
        return []
    count = min(1 + (size - 1) // (4 * WINDOW), MOST_WINDOWS)
    starts = [max(0, size - WINDOW) * (i + 1) // count for i in range(count)] if size > WINDOW else [0]
    found = [(start, reason) for start in starts if (reason := _judge_window(text[start : start + WINDOW]))]
    if not found:
        return []
    return [make_finding("garbage", "garbage", found[0][1], found[0][0], min(found[-1][0] + WINDOW, size))]


def _judge_window(window: str) -> str | None:
    small = window.lower()
    words, spaced = _WORD.findall(small), small.split()
    letters = sum(map(len, words))
    if 2 * letters < len(window):
        reason = _judge_signs("".join(spaced))
        if reason:
            return reason
    if not window.isascii():
        reason = _judge_scripts(words)
        if reason:
            return reason
    return _judge_words(words, letters, spaced)


def _judge_words(words: list[str], letters: int, spaced: list[str]) -> str | None:
    if letters > _NOT_PARTED * len(words):
        signs = "".join(words)
        new = len(set(signs)) / max(len(signs), 1)
        return f"{len(set(signs))} of {len(signs)} characters differ" if _is_salad(signs, new, LEAST_NEW_SIGNS) else None
    long = [word for word in words if len(word) > 1]
    if len(long) < _LEAST_WORDS:
        return None
    different = set(long)
    if len(different) >= LEAST_NEW * len(long) and max(Counter(long).values()) <= 3:
        return f"{len(different)} of {len(long)} words stand only once in a row of them: a salad of words"
    wrong = len(_PAIRS.intersection(pairwise(spaced)))
    if wrong >= max(LEAST_DISORDER * len(words), 4):
        return f"{wrong} different pairs of small words stand in an order that no sentence has"
    return None


def _is_salad(signs: str, new: float, least: float) -> bool:
    return len(signs) >= _LEAST_LETTERS and new >= least


def _judge_signs(packed: str) -> str | None:
    """Different signs next to each other, in a text without its blanks."""
    if len(packed) < 100:
        return None
    pairs = Counter(a + b for a, b in pairwise(packed) if not (a.isalnum() or b.isalnum()))
    total = sum(pairs.values())
    if total < LEAST_SIGN_PAIRS * len(packed):
        return None
    kinds = math.exp(-sum(n / total * math.log(n / total) for n in pairs.values()))
    if kinds < LEAST_KINDS:
        return None
    return f"noise of signs: {100 * total // len(packed)} % of neighbours are signs, of {kinds:.0f} kinds"


def _judge_scripts(words: list[str]) -> str | None:
    scripts = [bisect_right(_SCRIPTS, ord(word[0])) for word in words]
    counts = Counter(scripts)
    several = sum(count >= 2 for count in counts.values())
    changes = sum(a != b for a, b in pairwise(scripts))
    if several < 3 or changes < LEAST_CHANGES * len(words) or changes < 10:
        return None
    return f"{several} scripts that change {changes} times in {len(words)} words"
