r"""What comes again in a text: runs of any unit from a character to a page.

A text is an array of character codes. Inside a loop of period p each code equals the one p before, so one comparison
of the array with itself finds all loops of that period. Which periods to try, a sample of windows tells: those whose
content fixes that they are looked at (a thousandth part of a page is enough), each with the distance to where the same
window stood before. Short periods are tried at points of a grid. All of it is linear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True, slots=True)
class Repeats:
    """What comes again in a text."""

    codes: Codes
    runs: list[Run]
    """Stretches of two or more repeats, of the periods for which most speaks."""
    samples: int
    """Windows of 16 characters that were chosen by their content."""
    places: np.ndarray
    """Of those that stood before in the text."""
    distances: np.ndarray
    """To where they stood last."""

    @property
    def share(self) -> float:
        """Of the samples, those that stood before in the text."""
        return len(self.places) / self.samples if self.samples else 0.0

    def usual_distance(self, spread: float = 0.2) -> tuple[float, float]:
        """Median distance to where a sample stood before, and the share of all samples that stood about so far back."""
        usual = float(np.median(self.distances))
        near = np.count_nonzero(np.abs(self.distances - usual) <= spread * usual)
        return usual, near / self.samples


def find_repeats(text: str) -> Repeats:
    """Reads a text as codes and finds what comes again in it."""
    codes = read_codes(text)
    return Repeats(codes, *_find_runs(codes))


def read_codes(text: str) -> Codes:
    """One byte a character: its code if that is ASCII, else one of the 128 others, which few different ones share."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(codes < 128, codes, (codes * _FOLD >> _FOLDED) | _HIGH).astype(np.uint8)


def _sample(windows: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    mixed = (windows[:-8] * _MULTIPLY + windows[8:]) * _MULTIPLY
    places = np.flatnonzero(mixed < _CHOSEN)
    ordered = np.sort((mixed[places] & ~_PLACE) | places.astype(np.uint64))  # equal windows by place: no argsort
    keys, places = ordered >> _PLACE_BITS, (ordered & _PLACE).astype(np.int64)
    again = np.flatnonzero(keys[1:] == keys[:-1])
    return len(places), places[again + 1], places[again + 1] - places[again]


def _find_runs(codes: Codes) -> tuple[list[Run], int, np.ndarray, np.ndarray]:
    data = b"\0" * _SHORT + codes.tobytes()
    windows = np.ndarray((len(data) - 7,), np.uint64, data, strides=(1,)).copy()
    samples, places, distances = _sample(windows[_SHORT:])
    near = distances[places.argsort()]
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
    return runs, samples, places, distances


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


def find_counted_runs(codes: Codes, most: int = 8) -> Iterator[Run]:
    """The longest runs of codes in which every number counts as the same sign; their periods are those without it."""
    digit = (codes - 48) < 10  # unsigned
    kept = ~digit
    kept[0] = True
    kept[1:] |= ~digit[:-1]
    places = np.append(np.flatnonzero(kept), len(codes))
    runs = _find_runs(np.where(digit, 48, codes)[kept].astype(np.uint8))[0]
    for start, period, length in sorted(runs, key=lambda run: -run[2])[:most]:
        yield int(places[start]), period, int(places[start + length]) - int(places[start])
