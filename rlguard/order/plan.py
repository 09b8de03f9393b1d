"""From a matrix of transfer to the order of domains that loses least.

If domain i is trained before j, j takes −change[i, j] from i. An order's loss is the sum of that over its pairs; only
how much i and j differ in it depends on the order (the linear ordering problem). Effects are taken to add up: each was
measured alone, from the untrained model.

Measured differences d are noisy, and the best of many orders looks better than it is. So they are shrunk: d is taken
for N(δ, Σ), Σ from the bootstrap, and the true δ of a pair for N(0, τ²), with the τ² ≥ 0 that makes d likeliest
(empirical Bayes: Morris 1983, "Parametric Empirical Bayes Inference"). Orders are compared by the posterior of δ; where
τ² is 0, nothing is left of the differences. And an order separates only if the best order of pure noise, N(0, Σ), would
seem to gain as much at most one time in 20: no more often is it said of domains that do not affect each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from rlguard.order.transfer import RESAMPLES, Transfer
from rlguard.types import InputError

MOST_DOMAINS = 16
"""All orders are compared, in 2^D steps."""
GRID = 400
NULLS = 400
"""Matrices of pure noise."""
CHANCE = 0.05
MATTERS = 0.9
"""Smallest probability of its sign for a pair to be reported."""
TIE = 1e-9
"""Cost, in accuracy, of breaking a tie against the structure: less than any measured difference."""


@dataclass(frozen=True)
class Pair:
    """Two domains, in the planned order."""

    first: str
    second: str
    change: float
    """Of accuracy on the first by training the second, which the order has in store."""
    other_change: float
    """Of accuracy on the second by training the first, which it avoids."""
    saved: float
    """What this way round loses less than the other, in accuracy, shrunk; below 0 other pairs outweigh it."""
    probability: float
    """That the sign of `saved` is right."""

    def describe(self) -> str:
        """In one sentence."""
        return (
            f"{self.first} before {self.second}: training {self.second} changes {self.first} by {self.change:+.3f}, "
            f"the other way round {self.second} would change by {self.other_change:+.3f}"
            + ("; alone it would stand the other way round, but other pairs outweigh it" if self.saved < 0 else "")
        )


@dataclass(frozen=True)
class OrderPlan:
    """An order of domains and why. Losses are accuracy, summed over domains; below 0 the domains help each other."""

    order: tuple[str, ...]
    loss: float
    """Expected of this order."""
    reversed_loss: float
    average_loss: float
    """Of a random order."""
    alternative: tuple[str, ...]
    """The least costly order that differs in the place of one domain."""
    alternative_loss: float
    probability: float
    """That the order loses less than its reversal, and so than a random one on average: that is half-way between."""
    chance: float
    """That the best order of pure noise would seem to gain as much."""
    spread: float
    """τ: how far the true differences of pairs lie apart, beyond the noise, in accuracy."""
    trainings: int
    """On each domain; with one, the chance of a single training is not in the probability."""
    pairs: tuple[Pair, ...]
    """Those that matter, the most telling first."""

    @property
    def backward_transfer(self) -> float:
        """What the matrix promises for a run in this order (`transfer.backward_transfer`).

        Effects add up, so that the loss is what later domains take from all but the last one: BWT = −loss / (D − 1).
        """
        return -self.loss / (len(self.order) - 1)

    @property
    def separates(self) -> bool:
        """Whether the data tell the order from its reversal."""
        return self.spread > 0 and self.chance <= CHANCE

    def to_record(self) -> dict[str, Any]:
        """As JSON has it, with what it says in words under `why`."""
        derived = {"separates": self.separates, "backward_transfer": self.backward_transfer}
        return asdict(self) | derived | {"why": self.describe()}

    def describe(self) -> list[str]:
        """In plain words, a line each."""
        if self.spread == 0:
            lines = ["Nothing separates the orders: the domains' effects on each other differ no more than noise does. "
                     "More structured domains come first."]  # fmt: skip
        else:
            lines = [f"This order loses less than its reversal with probability {self.probability:.3f}; in pure noise "
                     f"one would look as good with probability {self.chance:.3f}."]  # fmt: skip
            if not self.separates:
                lines.insert(0, "Nothing separates the orders for sure; this one is the best guess.")
        lines.append(
            f"Expected loss of accuracy, summed over domains: {self.loss:+.3f}; reversed {self.reversed_loss:+.3f}, "
            f"random {self.average_loss:+.3f}, {' > '.join(self.alternative)} {self.alternative_loss:+.3f}."
        )
        helps = " Below 0 a loss is a gain: the domains help each other." if self.loss < 0 else ""
        lines.append(f"Expected backward transfer per domain: {self.backward_transfer:+.3f}.{helps}")
        if self.trainings == 1:
            lines.append("One training per domain: the variance between trainings is not known and not counted.")
        return lines + [pair.describe() for pair in self.pairs]


def plan_order(transfer: Transfer, resamples: int = RESAMPLES, seed: int = 0) -> OrderPlan:
    """The order in which the domains are expected to lose least: the best of all orders.

    Where the data do not tell two orders apart, more structured domains come first: those whose entropy training lowers
    more (Omni-Thinker, arXiv 2507.14783), and of equal or unknown ones the one named first.

    Args:
        transfer: What a training on each domain does to all.
        resamples: Bootstrap draws of the questions.
        seed: Of the draws.

    Raises:
        InputError: If there are more than 16 domains.
    """
    if len(transfer.domains) > MOST_DOMAINS:
        raise InputError(f"expected at most {MOST_DOMAINS} domains, to compare all orders, got {len(transfer.domains)}")
    rank_D = np.argsort(np.argsort(np.nan_to_num(transfer.entropy_change_D, nan=np.inf), kind="stable"))
    losses_DD = -transfer.change_DD
    draws_RDD = -transfer.draw_changes(resamples, seed)
    measured_DD, drawn_RDD = losses_DD.T - losses_DD, draws_RDD.transpose(0, 2, 1) - draws_RDD
    saved_DD, posterior_RDD, spread = _shrink(measured_DD, drawn_RDD)
    expected_DD = (losses_DD + losses_DD.T - saved_DD) / 2
    np.fill_diagonal(expected_DD, 0)
    untold_DD = (np.abs(saved_DD) < TIE) & (rank_D[:, None] > rank_D)
    [places] = find_orders((expected_DD + TIE * untold_DD)[None])
    moves = [
        [*rest[:place], one, *rest[place:]]
        for one in places
        for rest in [[other for other in places if other != one]]
        for place in range(len(places))
    ]
    alternative = min((move for move in moves if move != places), key=lambda move: order_loss(expected_DD, move))
    return OrderPlan(
        order=_name(transfer, places),
        loss=order_loss(expected_DD, places),
        reversed_loss=order_loss(expected_DD, places[::-1]),
        average_loss=float(expected_DD.sum() / 2),
        alternative=_name(transfer, alternative),
        alternative_loss=order_loss(expected_DD, alternative),
        probability=_probability(np.sum([posterior_RDD[:, i, j] for i, j in combinations(places, 2)], axis=0)),
        chance=_chance(measured_DD, drawn_RDD[:NULLS] - measured_DD),
        spread=spread,
        trainings=transfer.trainings,
        pairs=_telling_pairs(transfer, places, saved_DD, posterior_RDD),
    )


def _shrink(measured_DD: np.ndarray, draws_RDD: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The posterior of what i before j saves, at [i, j]: mean (D, D), draws (R, D, D), and τ.

    Args:
        measured_DD: What was measured.
        draws_RDD: Bootstrap draws of it.
    """
    first, second = np.triu_indices(len(measured_DD), 1)
    measured_K, deviations_RK = measured_DD[first, second], draws_RDD[:, first, second] - measured_DD[first, second]
    variances_K, basis_KK = np.linalg.eigh(deviations_RK.T @ deviations_RK / len(deviations_RK))
    variances_K, turned_K = variances_K.clip(1e-12), basis_KK.T @ measured_K
    grid_S = np.linspace(0, (measured_K**2).max(), GRID)  # of τ²
    marginal_SK = grid_S[:, None] + variances_K
    likelihood_S = -(np.log(marginal_SK) + turned_K**2 / marginal_SK).sum(axis=1)
    spread = float(grid_S[likelihood_S.argmax()])
    shrink_K = spread / (spread + variances_K)
    mean_K = basis_KK @ (shrink_K * turned_K)
    posterior_RK = mean_K + (deviations_RK @ basis_KK * np.sqrt(shrink_K)) @ basis_KK.T
    saved_DD, posterior_RDD = np.zeros_like(measured_DD), np.zeros_like(draws_RDD)
    for target, values in ((saved_DD, mean_K), (posterior_RDD, posterior_RK)):
        target[..., first, second], target[..., second, first] = values, -values
    return saved_DD, posterior_RDD, math.sqrt(spread)


def _chance(measured_DD: np.ndarray, noise_RDD: np.ndarray) -> float:
    """How often the best order of pure noise gains as much as that of the measurements, the latter counted in."""
    saved_RDD = np.concatenate([measured_DD[None], noise_RDD])
    gains = [order_loss(saved, order) for saved, order in zip(saved_RDD, find_orders(-saved_RDD), strict=True)]
    return float(np.mean(np.array(gains) >= gains[0] - TIE))


def _probability(saved_R: np.ndarray) -> float:
    """That a draw is above 0; a draw of 0 counts half."""
    return float((saved_R > TIE).mean() + (np.abs(saved_R) <= TIE).mean() / 2)


def _telling_pairs(
    transfer: Transfer, places: Sequence[int], saved_DD: np.ndarray, posterior_RDD: np.ndarray
) -> tuple[Pair, ...]:
    pairs = []
    for i, j in combinations(places, 2):
        above = _probability(posterior_RDD[:, i, j])
        sure = max(above, 1 - above)
        if sure >= MATTERS:
            changes = float(transfer.change_DD[i, j]), float(transfer.change_DD[j, i])
            pairs.append(Pair(transfer.domains[i], transfer.domains[j], *changes, float(saved_DD[i, j]), sure))
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.saved)))


def _name(transfer: Transfer, places: Sequence[int]) -> tuple[str, ...]:
    return tuple(transfer.domains[place] for place in places)


def find_orders(losses_RDD: np.ndarray) -> list[list[int]]:
    """Of each matrix the order of least loss: dynamic programming over the sets S of domains that come first.

    Held and Karp (1962): 2^D · D steps, for all R matrices at once.

    Args:
        losses_RDD: What i before j loses, at [r, i, j].

    >>> find_orders(np.array([[[0.0, 2.0], [1.0, 0.0]]]))
    [[1, 0]]
    """
    draws, count = losses_RDD.shape[:2]
    losses_RDD = losses_RDD * ~np.eye(count, dtype=bool)
    best_SR, last_SR = np.zeros((1 << count, draws)), np.zeros((1 << count, draws), np.int8)
    for members in range(1, 1 << count):
        own_J = np.flatnonzero([members >> j & 1 for j in range(count)])
        taken_RJ = losses_RDD[:, own_J[:, None], own_J].sum(
            axis=1
        )  # what each takes from all the others, if it is last
        options_RJ = best_SR[members ^ (1 << own_J)].T + taken_RJ
        last_SR[members] = own_J[options_RJ.argmin(axis=1)]
        best_SR[members] = options_RJ.min(axis=1)
    orders = []
    for draw in range(draws):
        order, members = list[int](), (1 << count) - 1
        while members:
            order.insert(0, int(last_SR[members, draw]))
            members ^= 1 << order[0]
        orders.append(order)
    return orders


def order_loss(losses_DD: np.ndarray, order: Sequence[int]) -> float:
    """The sum of `losses_DD[i, j]` over all i before j.

    >>> order_loss(np.array([[0.0, 2.0], [1.0, 0.0]]), [0, 1])
    2.0
    """
    return float(np.triu(losses_DD[np.ix_(order, order)], 1).sum())
