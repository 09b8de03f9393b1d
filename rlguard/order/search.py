"""The linear ordering problem: of all orders of D things the one whose pairs lose least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EXACT_UP_TO = 16
"""Domains up to which all orders are compared."""
STARTS = 20


def find_order(losses_DD: np.ndarray, start: Sequence[int], seed: int = 0) -> tuple[list[int], bool]:
    """The order of least loss, and whether it is sure to be.

    Args:
        losses_DD: What i before j loses, at [i, j].
        start: An order for the local search to begin with, among random ones.
        seed: Of those.

    >>> find_order(np.array([[0.0, 2.0], [1.0, 0.0]]), [0, 1])
    ([1, 0], True)
    """
    if len(losses_DD) <= EXACT_UP_TO:
        return find_exactly(losses_DD), True
    rng = np.random.default_rng(seed)
    starts = [list(start), *(rng.permutation(len(losses_DD)).tolist() for _ in range(STARTS))]
    return min((improve(losses_DD, one) for one in starts), key=lambda order: order_loss(losses_DD, order)), False


def order_loss(losses_DD: np.ndarray, order: Sequence[int]) -> float:
    """The sum of `losses_DD[i, j]` over all i before j.

    >>> order_loss(np.array([[0.0, 2.0], [1.0, 0.0]]), [0, 1])
    2.0
    """
    return float(np.triu(losses_DD[np.ix_(order, order)], 1).sum())


def find_exactly(losses_DD: np.ndarray) -> list[int]:
    """Dynamic programming over the sets of domains that come first (Held & Karp 1962): 2^D · D steps."""
    count = len(losses_DD)
    taken_SD = np.zeros((1, count))  # what domain j takes from a set S that comes before it
    for i in range(count):
        taken_SD = np.concatenate([taken_SD, taken_SD + losses_DD[i]])
    best, last = [0.0], [0]
    for members in range(1, 1 << count):
        options = [
            (best[members ^ (1 << j)] + taken_SD[members ^ (1 << j), j], j) for j in range(count) if members >> j & 1
        ]
        loss, j = min(options)
        best.append(loss)
        last.append(j)
    order, members = [], (1 << count) - 1
    while members:
        order.append(last[members])
        members ^= 1 << last[members]
    return order[::-1]


def improve(losses_DD: np.ndarray, order: list[int]) -> list[int]:
    """Moves one domain at a time to its best place, until no move helps."""
    moved = True
    while moved:
        moved = False
        for one in list(order):
            others = [other for other in order if other != one]
            before, after = losses_DD[others, one], losses_DD[one, others]
            by_place = np.concatenate([[0], np.cumsum(before - after)])  # place 0 has all the others after it
            place, now = int(by_place.argmin()), order.index(one)
            if by_place[place] < by_place[now] - 1e-12:
                order = [*others[:place], one, *others[place:]]
                moved = True
    return order


def list_moves(order: Sequence[int]) -> list[list[int]]:
    """The orders that differ in the place of one domain."""
    found = []
    for one in order:
        others = [other for other in order if other != one]
        found += [[*others[:place], one, *others[place:]] for place in range(len(order))]
    return [other for other in found if other != list(order)]
