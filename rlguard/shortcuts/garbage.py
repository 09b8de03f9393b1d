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
from itertools import pairwise

from rlguard.shortcuts.case import Case
from rlguard.shortcuts.ratios import make_finding
from rlguard.types import Finding

LEAST_NEW = 0.93
"""Share of different words from which a window is a salad (English has 0.6 to 0.7, Finnish and Korean under 0.9)."""
LEAST_NEW_SIGNS = 0.8
"""The same of single characters where words are not parted (Chinese has under 0.6 in 300)."""
LEAST_DISORDER = 0.0125
"""Different pairs of small words that no sentence has, per word, and `_LEAST_PAIRS` of them; where a window has one,
it is looked at together with its neighbours (shuffled prose has 0.03, honest texts 0.001)."""
LEAST_SIGN_PAIRS = 0.5
"""Share of neighbours that are both signs, from which a window may be noise; code, LaTeX and tables stay under 0.4."""
LEAST_KINDS = 8.0
"""Kinds of such pairs, as many as equally frequent ones would be (perplexity); tables and lists of moves have few."""
LEAST_SIGNS, LEAST_QUOTES = 9, 0.25
"""Different signs, or else share of quotes, in noise: brackets, mazes and boards have fewer."""
LEAST_SCRIPTS, LEAST_CHANGES = 3, 0.25
"""Scripts in one window, and share of words in another script than the word before; a list of languages names each
once, and Japanese has its scripts in one word."""

_WORD = re.compile(r"[^\W\d_]+")
_FEW = 20
"""Characters beyond ASCII up to which a window is in one script: accents, quotes and signs."""
_ASCII = b"abcdefghijklmnopqrstuvwxyz"
_LEAST_WORDS, _LEAST_LETTERS, _LEAST_PAIRS, _DIFFERENT = 60, 200, 4, 0.7
_NOT_PARTED = 10
"""Letters of a mean word from which words are not parted."""
_QUOTES = "\"'`“”‘’«»„"
_BE, _HAVE = "is are was were", "has have had will would can could"
_PERSON = "he she they we i"
_PAIRS = frozenset(
    (first, second)
    for firsts, seconds in (
        ("the an my your our their its his every", f"the a an of and or {_BE} be to in that it for with but by from at"
         f" as on {_PERSON} you {_HAVE} if then so when there how what which not than"),
        ("a", "the a an of are were be but from he she they we has have if then there how what which than my his"),
        ("of in on at with from by into", f"of and or {_BE} but {_HAVE} be {_PERSON} if then so for than"),
        ("for", f"of and or {_BE} to but {_HAVE} be he she they we then so"),
        ("of on at with by into", "to"),
        ("and or but", "of and but were than"),
        (f"{_BE} be {_HAVE}", f"{_BE} he she they has had will would can could but"),
        ("to", f"of or {_BE} {_PERSON} has had will would can could but for if so"),
        (_PERSON, "the a an of i we my your their his"),
    )
    for first in firsts.split()
    for second in seconds.split()
) - frozenset((("has", "is"), ("have", "is"), ("had", "is"), ("has", "had"), ("have", "had")))  # fmt: skip
"""Small English words that hardly ever follow one another in a sentence."""
_SCRIPTS = (0x370, 0x400, 0x530, 0x590, 0x600, 0x900, 0xE00, 0xE80, 0x10A0, 0x1100, 0x1200, 0x1E00, 0x2000, 0x3040,
            0xAC00)  # fmt: skip
"""Where blocks of other scripts begin; those between are told apart well enough."""


def find_garbage(case: Case, window: int = 800, most_windows: int = 4) -> Finding | None:
    r"""The stretch from the first window of garbage to the end of the last one, if there is one.

    Args:
        case: What was read.
        window: Characters that are judged together: some 130 English words.
        most_windows: Read of a text, evenly spread and the last one among them; garbage mostly lasts to the end.

    >>> from rlguard.shortcuts.case import read_case
    >>> noise = "".join("'\"`,;.'\"!"[i * i * 7 % 11 % 9] for i in range(300))
    >>> find_garbage(read_case(noise)).kind
    'garbage'
    """
    text, size = case.text, len(case.text)
    if size < _LEAST_LETTERS:
        return None
    count = min(1 + (size - 1) // (4 * window), most_windows)
    starts = [max(0, size - window) * (i + 1) // count for i in range(count)] if size > window else [0]
    found = [(start, reason) for start in starts if (reason := _judge_window(text, start, window))]
    if not found:
        return None
    return make_finding("garbage", "garbage", found[0][1], found[0][0], min(found[-1][0] + window, size))


def _judge_window(text: str, start: int, size: int) -> str | None:
    """What makes a window garbage. Cheap conditions come first: most texts meet none of them."""
    window = text[start : start + size].lower()
    spaced, reason = window.split(), None
    plain = window.encode("ascii", "ignore")
    others = len(window) - len(plain)
    letters = len(plain) - len(plain.translate(None, _ASCII)) if others < _FEW else sum(map(str.isalpha, window))
    if 2 * letters < len(window):
        reason = _judge_signs("".join(spaced))
    if others >= _FEW:
        reason = reason or _judge_scripts(_WORD.findall(window))
    if not reason and not _PAIRS.isdisjoint(pairwise(spaced)):
        reason = _judge_order(text[max(0, start - size) : start + 2 * size].lower().split())
    if not reason and (len(set(spaced)) >= _DIFFERENT * len(spaced) or letters > _NOT_PARTED * len(spaced)):
        reason = _judge_words(_WORD.findall(window), letters)
    return reason


def _judge_order(words: list[str]) -> str | None:
    wrong = _PAIRS.intersection(pairwise(words))
    if len(wrong) < max(LEAST_DISORDER * len(words), _LEAST_PAIRS):
        return None
    return f"{len(wrong)} different pairs of small words stand in an order that no sentence has"


def _judge_words(words: list[str], letters: int) -> str | None:
    """Words, or characters where words are not parted, that hardly ever come again."""
    units, least, fewest, name = [w for w in words if len(w) > 1], LEAST_NEW, _LEAST_WORDS, "words"
    if letters > _NOT_PARTED * len(words):
        units, least, fewest, name = list("".join(words)), LEAST_NEW_SIGNS, _LEAST_LETTERS, "characters"
    different = len(set(units))
    if len(units) < fewest or different < least * len(units):
        return None
    if name == "words" and max(Counter(units).values()) > 3:
        return None
    return f"{different} of {len(units)} {name} in a row stand there only once"


def _judge_signs(packed: str) -> str | None:
    """Different signs next to each other, in a text without its blanks."""
    if len(packed) < 100:
        return None
    pairs = Counter(a + b for a, b in pairwise(packed) if not (a.isalnum() or b.isalnum()))
    total = sum(pairs.values())
    if total < LEAST_SIGN_PAIRS * len(packed):
        return None
    kinds = math.exp(-sum(n / total * math.log(n / total) for n in pairs.values()))
    quotes = sum(map(packed.count, _QUOTES))
    if kinds < LEAST_KINDS or (len(set("".join(pairs))) < LEAST_SIGNS and quotes < LEAST_QUOTES * len(packed)):
        return None
    return f"noise of signs: {100 * total // len(packed)} % of neighbours are signs, of {kinds:.0f} kinds"


def _judge_scripts(words: list[str]) -> str | None:
    scripts = [bisect_right(_SCRIPTS, ord(word[0])) for word in words]
    counts = Counter(scripts)
    several = sum(count >= 2 for count in counts.values())
    changes = sum(a != b for a, b in pairwise(scripts))
    if several < LEAST_SCRIPTS or changes < LEAST_CHANGES * len(words) or changes < 10:
        return None
    return f"{several} scripts that change {changes} times in {len(words)} words"
