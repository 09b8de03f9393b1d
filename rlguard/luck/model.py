"""One model of luck: it observes a batch and says how likely each success is genuine.

Latent: skill q of a prompt, q ~ F; a text's sign s. A rollout solves with probability q, else it passes all the same
with the chance rate c (`chance`), else it fails: p = q + (1 − q)·c. With k of n right, **the group's own outcomes
included**,

    g = Σ F(q) q p^(k−1) (1−p)^(n−k) / Σ F(q) p^k (1−p)^(n−k)

and the sign multiplies the odds of g by θ_G(s) / θ_N(s): how often genuine successes show it, and rollouts that do
not solve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from rlguard.answers import answer_type
from rlguard.luck.chance import ChanceRates
from rlguard.luck.evidence import Evidence
from rlguard.luck.settings import LuckSettings
from rlguard.stats import (
    GRID_POINTS,
    SKILL_GRID,
    beta_weights,
    skill_likelihood,
    skill_posterior,
)
from rlguard.types import BOUNDS

WINDOW = 512
"""Prompts visited last to which the population is fitted; a larger batch counts whole."""
LEVELS = ((1.0, 0.0), (0.1, 0.0), (0.01, 0.0), (0.0, 0.1))
"""Luck may be rarer than wrong answers say (a factor of their rate), or have a floor that they do not show. No floor
lies below 0.1: rarer luck cannot be told from rare skill."""
MEANS, SIZES, IMPOSSIBLE = (0.03, 0.1, 0.25, 0.5, 0.75, 0.92), (0.7, 2.0, 6.0), np.linspace(0, 1, 5)
"""F is a Beta with one of these means and sizes (α + β), and an atom at 0 with one of these masses. No Beta is a spike:
so a pass rate at which many prompts meet is read as luck and not as skill that happens to be equal."""
EDGES, RATIOS = np.log([0.12, 0.8, 1.25, 8.0]), np.array([0.05, 0.3, 1.0, 3.74, 18.75])
"""Signs of a text: its ratio by the table, in five classes, and what each stands for there."""
DRAWS = 256
"""Quantiles of a posterior that a draw is one of."""


def _components() -> np.ndarray:
    """(C, GRID_POINTS) masses: an atom at 0, then the Betas."""
    atom = np.eye(GRID_POINTS)[0]
    return np.stack([atom, *(beta_weights(m * s, (1 - m) * s) for m in MEANS for s in SIZES)])


@dataclass(frozen=True)
class SkillPosterior:
    """What is known of the skill q of P prompts: how often each is really solved."""

    mean_P: np.ndarray
    """Expected q."""
    impossible_P: np.ndarray
    """P(q < 0.02): at most luck passes."""
    chance_P: np.ndarray
    """Chance rates: with q, a rollout passes with q + (1 − q)·chance."""
    draw_P: np.ndarray
    """One q drawn from each posterior (Thompson sampling)."""


def genuine_probability(successes_P: Any, trials_P: Any, chance_P: Any, population: np.ndarray) -> np.ndarray:
    """P(a success is genuine) for each prompt from all its counts, the group judged included, before its text is read.

    Args:
        successes_P: (P,) successes; at least 1 where there is one to judge. Fractions are fine (faded counts).
        trials_P: (P,) rollouts.
        chance_P: (P,) chance rates in [0, 1].
        population: (GRID_POINTS,) or (P, GRID_POINTS) masses of F on `stats.SKILL_GRID`.

    Returns:
        (P,) probabilities in [0, 1].

    >>> genuine_probability([1, 8], [8, 8], [0.1, 0.1], beta_weights(0.5, 0.5)).round(2).tolist()
    [0.4, 0.99]
    """
    mass = skill_posterior(skill_likelihood(successes_P, trials_P, chance_P), population)
    chance = np.asarray(chance_P, float)[:, None]
    return (mass * SKILL_GRID / (SKILL_GRID + (1 - SKILL_GRID) * chance)).sum(axis=1)


def genuine_given_text(genuine_B: Any, likelihood_ratio_B: Any = 1.0) -> np.ndarray:
    """P(a success is genuine) once its text is read: Bayes' rule on the odds.

    >>> genuine_given_text([0.5, 0.6, 0.02], [9.0, 1.0, 1.0]).round(2).tolist()
    [0.9, 0.6, 0.02]
    """
    genuine, ratio = np.asarray(genuine_B, float), np.asarray(likelihood_ratio_B, float)
    return genuine * ratio / (genuine * ratio + 1 - genuine)


class LuckModel:
    """Observes batches of rollouts; remembers prompts, chance rates, the population and the signs of texts.

    Memory is bounded: beyond `max_prompts` the prompt not visited for longest is forgotten, about 0.4 kB each.
    """

    def __init__(self, decay: float = 0.8, max_prompts: int = 250_000, settings: LuckSettings | None = None) -> None:
        """
        Args:
            decay: What a prompt's earlier counts keep at each new visit, in [0, 1].
            max_prompts: How many prompts are remembered (a larger batch counts whole).
            settings: The other constants; None takes the defaults.
        """
        self.decay, self.max_prompts, self.settings = decay, max_prompts, settings or LuckSettings()
        self.rows: dict[str, int] = {}
        """By prompt id, the latest visited last: its row in `table`."""
        self.table = np.zeros((0, 5))
        """Faded successes and trials, chance rate by answers, floor under the chance rate, and the batch of the last
        visit (`batches`)."""
        self.batches = 0
        self.chance_rate = self.settings.chance  # mean of the last batch
        self._free: list[int] = []
        self.chance = ChanceRates(self.settings)
        self._parts = _components()
        self._populations = np.zeros((len(LEVELS), GRID_POINTS))  # F at each level
        self._signs = np.zeros((2, len(RATIOS)))  # faded: of genuine successes, of rollouts that did not solve
        self._fit()

    def observe(self, evidence_B: Sequence[Evidence], outcomes_B: np.ndarray, groups_B: np.ndarray) -> np.ndarray:
        """Learns a batch; then says how likely each rollout, were it a success, is genuine.

        Args:
            evidence_B: What is known of each rollout besides its outcome.
            outcomes_B: (B,) 1 correct, 0 wrong, NaN unknown.
            groups_B: (B,) number of each rollout's group, 0..P−1; a prompt may have several groups.

        Returns:
            (B,) probabilities in [0, 1], whatever the order of the rollouts.
        """
        first = np.unique(groups_B, return_index=True)[1]
        prompts: dict[str, int] = {}
        place_P = np.array([prompts.setdefault(evidence_B[row].prompt_id, len(prompts)) for row in first])
        prompt_B = place_P[groups_B]
        heads = [evidence_B[row] for row in first[np.unique(place_P, return_index=True)[1]]]
        self._count_answers(heads, evidence_B, outcomes_B, prompt_B)
        self._remember(heads, evidence_B, outcomes_B, prompt_B)
        self._fit()
        k, n, *rates, _ = self.table[self.find(head.prompt_id for head in heads)].T
        genuine_P, self.chance_rate = np.zeros(len(heads)), 0.0
        for share, population, chance in self._levels(*rates):
            genuine_P += share * genuine_probability(np.maximum(k, 1), np.maximum(n, 1), chance, population)
            self.chance_rate += share * float(chance.mean())
        self._signs *= self.settings.keep
        return self._read_signs(genuine_P[prompt_B], evidence_B, outcomes_B)

    def _count_answers(
        self, heads: list[Evidence], evidence_B: Sequence[Evidence], outcomes_B: np.ndarray, prompt_B: np.ndarray
    ) -> None:
        self.chance.fade()
        wrong: list[list[str | None]] = [[] for _ in heads]
        self._offered = np.ones(len(heads), bool)
        for prompt, item, outcome in zip(prompt_B.tolist(), evidence_B, outcomes_B.tolist(), strict=True):
            if outcome == 0:
                wrong[prompt].append(item.answer)
            if not item.offered and item.answer is not None:
                self._offered[prompt] = False
        for head, answers, offered, bare in zip(
            heads, wrong, self._offered, _count_bare(evidence_B, outcomes_B, prompt_B, len(heads)), strict=True
        ):
            if head.gold is not None:
                self.chance.add(head.gold, answers, bool(offered))
                self.chance.add_bare(head.gold, *bare)

    def _remember(
        self, heads: list[Evidence], evidence_B: Sequence[Evidence], outcomes_B: np.ndarray, prompt_B: np.ndarray
    ) -> None:
        scored = ~np.isnan(outcomes_B)
        trials, right = (np.bincount(prompt_B, rows, len(heads)) for rows in (scored, outcomes_B > 0))
        floor_of: dict[str, float] = {}
        self.batches += 1
        if len(self._free) < len(heads):
            known, more = len(self.table), max(len(self.table), len(heads))
            self.table = np.concatenate([self.table, np.zeros((more, 5))])
            self._free = [*range(known + more - 1, known - 1, -1), *self._free]
        for head, k, n, offered in zip(heads, right.tolist(), trials.tolist(), self._offered, strict=True):
            kind = answer_type(head.gold)
            chance = head.chance_rate
            if head.gold is not None and math.isnan(chance):
                chance = self.chance.rate(head.gold, bool(offered))
            if kind not in floor_of:
                floor_of[kind] = 0.0 if head.gold is None else self.chance.bare_rate(head.gold)
            row = self.rows.pop(head.prompt_id, None)
            fresh = row is None
            row = self._free.pop() if row is None else row
            self.rows[head.prompt_id] = row
            before = self._offline(head) if fresh else self.table[row, :2].tolist()
            self.table[row] = (
                before[0] * self.decay + k, before[1] * self.decay + n,
                self.settings.chance if math.isnan(chance) else chance, floor_of[kind], self.batches,
            )  # fmt: skip
        for prompt in list(islice(self.rows, max(0, len(self.rows) - max(self.max_prompts, len(heads))))):
            self._free.append(self.rows.pop(prompt))

    def _fit(self) -> None:
        """F at each level, and how well each explains the pass rates of the prompts visited last: Bayes' rule on a grid
        of shares of impossible prompts, means and sizes."""
        newest, settings = int((self.table[:, 4] == self.batches).sum()), self.settings
        last = np.fromiter(islice(reversed(self.rows.values()), max(WINDOW, newest)), int)
        seen, prompts = np.unique(self.table[last, :4], axis=0, return_counts=True)
        k, n, *rates = seen.T
        found = []
        prior = np.where(IMPOSSIBLE > 0, (1 - settings.healthy) / (len(IMPOSSIBLE) - 1), settings.healthy)
        odds = [settings.unseen if floor else (1 - settings.unseen) / (len(LEVELS) - 1) for _, floor in LEVELS]
        for level, chance in enumerate(_each_level(*rates)):
            likelihood = (skill_likelihood(k, n, chance) @ self._parts.T)[..., None]
            mixed = IMPOSSIBLE * likelihood[:, :1] + (1 - IMPOSSIBLE) * likelihood[:, 1:]
            evidence = np.tensordot(prompts, np.log(mixed + 1e-300), 1) + np.log(prior)  # (Betas, shares)
            posterior = np.exp(evidence - evidence.max())
            found.append(math.log(odds[level] * posterior.sum()) + evidence.max())
            posterior /= posterior.sum()
            masses = np.append(posterior.sum(axis=0) @ IMPOSSIBLE, posterior @ (1 - IMPOSSIBLE))
            self._populations[level] = masses @ self._parts
        self._shares = np.exp(np.array(found) - max(found))
        self._shares /= self._shares.sum()

    def _levels(self, *rates_P: np.ndarray) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """Share, population and chance rates of each level that bears on anything."""
        kept = self._shares * (self._shares > 0.01)
        levels = zip(kept / kept.sum(), self._populations, _each_level(*rates_P), strict=True)
        return (level for level in levels if level[0])

    @property
    def population(self) -> np.ndarray:
        """(GRID_POINTS,) masses of F: what is known of a prompt never seen."""
        return self._shares @ self._populations

    def _read_signs(self, genuine_B: np.ndarray, evidence_B: Sequence[Evidence], outcomes_B: np.ndarray) -> np.ndarray:
        """Multiplies the odds by what the texts say: θ_G and θ_N from the run, the table as a prior, by EM."""
        ratios = np.array([item.likelihood_ratio for item in evidence_B])
        sign_B = np.searchsorted(EDGES, np.log(ratios))
        success, failed = outcomes_B > 0, outcomes_B == 0
        before = self._signs.copy()
        judged = genuine_B
        for _ in range(3):
            share = np.where(success, judged, 0.0)
            self._signs = before + np.stack([
                np.bincount(sign_B, share, len(RATIOS)),
                np.bincount(sign_B, np.where(failed, 1.0, np.where(success, 1 - judged, 0.0)), len(RATIOS)),
            ])  # fmt: skip
            judged = genuine_given_text(genuine_B, self.sign_ratios()[sign_B])
        return judged

    def sign_ratios(self) -> np.ndarray:
        """θ_G / θ_N of each sign, (5,): the run's counts, and `smoothing` texts as the table of ratios has them."""
        genuine, not_solved = self._signs + 1e-9
        theta_N = not_solved + 1.0
        theta_N = theta_N / theta_N.sum()
        table = theta_N * RATIOS
        theta_G = genuine + self.settings.smoothing * table / table.sum()
        return theta_G / theta_G.sum() / theta_N

    def __len__(self) -> int:
        """How many prompts are remembered."""
        return len(self.rows)

    def _offline(self, head: Evidence) -> tuple[float, float]:
        """Offline counts, worth at most `offline_trials`; (0, 0) where none are known."""
        successes, trials = head.offline_successes, head.offline_trials
        if not (trials > 0 and successes >= 0):
            return 0.0, 0.0
        weight = min(1.0, self.settings.offline_trials / trials)
        return successes * weight, trials * weight

    def find(self, prompt_ids_P: Iterable[str]) -> np.ndarray:
        """(P,) rows of `table`, -1 for prompts not known. A prompt keeps its row until more than `max_prompts` were
        seen: then the one not visited for longest is forgotten, and its row goes to another."""
        return np.fromiter((self.rows.get(prompt_id, -1) for prompt_id in prompt_ids_P), int)

    def counts(self, prompt_id: str) -> tuple[float, float]:
        """Successes and trials remembered of a prompt, faded; (0, 0) when it is not known."""
        row = self.rows.get(prompt_id)
        return (0.0, 0.0) if row is None else tuple(self.table[row, :2].tolist())

    def posterior(
        self, successes_P: Any, trials_P: Any, chance_P: Any, floor_P: Any = 0.0, *, random: Any = None
    ) -> SkillPosterior:
        """What counts say of the skill of P prompts, with the population of the prompts seen as prior.

        Prompts whose counts differ by less than an eighth are judged once, so that a million take a tenth of a second.

        Args:
            successes_P: (P,) successes; columns of `table`, or counts of one's own. Fractions are fine; 0 of 0 trials
                is a prompt never seen.
            trials_P: (P,) rollouts.
            chance_P: (P,) chance rates; NaN takes the mean of the last batch.
            floor_P: (P,) or one floor under the chance rate.
            random: `numpy.random.Generator` of the draws; None makes a new one.
        """
        random = random or np.random.default_rng()
        shape = len(successes_P)
        k, n, chance, floor = (
            np.broadcast_to(np.asarray(values, np.float32), shape)
            for values in (successes_P, trials_P, chance_P, floor_P)
        )
        chance = np.where(np.isnan(chance), np.float32(self.chance_rate), chance)
        sides = [(np.log1p(counts) * 8).astype(np.int32).clip(0, 63) for counts in (k, n - k)]
        key_P = (sides[0] * 64 + sides[1]) * 64 + (np.log1p(chance * 1e3) * 9).astype(np.int32)
        key_P = key_P * 8 + np.log1p(floor * 1e3).astype(np.int32)
        cell_of = np.full(64**3 * 8, -1, np.int32)
        cell_of[key_P] = np.arange(shape, dtype=np.int32)  # one of the prompts that are alike
        one_C = cell_of[cells := np.flatnonzero(cell_of >= 0)]
        cell_of[cells] = np.arange(len(cells), dtype=np.int32)
        place_P = cell_of[key_P]
        mass_CS, rate_C = self._skill_mass(*(values[one_C].astype(float) for values in (k, n, chance, floor)))
        below_CS = mass_CS.cumsum(axis=1)
        steps = (np.arange(DRAWS) + 0.5) / DRAWS
        drawn = [SKILL_GRID[np.searchsorted(below_S, steps * below_S[-1])] for below_S in below_CS]
        return SkillPosterior(
            mean_P=(mass_CS @ SKILL_GRID)[place_P],
            impossible_P=mass_CS[:, BOUNDS[0] > SKILL_GRID].sum(axis=1)[place_P],
            chance_P=rate_C[place_P],
            draw_P=np.array(drawn)[place_P, random.integers(0, DRAWS, shape, dtype=np.uint8)],
        )

    def _skill_mass(self, k_P: np.ndarray, n_P: np.ndarray, *rates_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(P, GRID_POINTS) posterior masses of skill, and (P,) expected chance rates."""
        mass, rate = np.zeros((len(k_P), GRID_POINTS)), np.zeros(len(k_P))
        for share, population, chance in self._levels(*rates_P):
            mass += share * skill_posterior(skill_likelihood(k_P, n_P, chance), population)
            rate += share * chance
        return mass, rate

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state: what a resumed run needs to judge as the interrupted one would have."""
        return {
            "seen": {prompt_id: self.table[row].tolist() for prompt_id, row in self.rows.items()},
            "batches": self.batches,
            "chance_rate": self.chance_rate,
            "chance": self.chance.state_dict(),
            "signs": self._signs.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        sound = {i: row for i, row in state["seen"].items() if all(map(math.isfinite, row))}
        self.table = np.array(list(sound.values()), float).reshape(-1, 5)
        self.rows, self._free = {i: row for row, i in enumerate(sound)}, []
        self.batches, self.chance_rate = int(state["batches"]), float(state["chance_rate"])
        self.chance.load_state_dict(state["chance"])
        self._signs = np.array(state["signs"], float).reshape(2, len(RATIOS))
        self._fit()


def _each_level(chance_P: np.ndarray, floor_P: np.ndarray) -> list[np.ndarray]:
    """Chance rates at each level."""
    return [np.maximum(chance_P * factor, np.maximum(floor, floor_P)) for factor, floor in LEVELS]


def _count_bare(
    evidence_B: Sequence[Evidence], outcomes_B: np.ndarray, prompt_B: np.ndarray, prompts: int
) -> np.ndarray:
    """(P, 4) answers without computation at prompts where other rollouts compute: those that passed and all, one
    counting the less the more of its prompt's other rollouts pass, (1 − their share)², since easy problems are done in
    one's head; then their plain number, and that of all rollouts."""
    scored = ~np.isnan(outcomes_B)
    bare_B = np.fromiter((item.bare for item in evidence_B), bool, len(evidence_B)) & scored
    right_B = scored & (outcomes_B > 0)
    trials_P, right_P, bare_P = (np.bincount(prompt_B, rows, prompts) for rows in (scored, right_B, bare_B))
    others_B = trials_P[prompt_B] - 1
    passing_B = (right_P[prompt_B] - right_B) / np.maximum(others_B, 1)
    worth_B = bare_B * (bare_P < trials_P)[prompt_B] * (1 - passing_B) ** 2
    weighed_P = (np.bincount(prompt_B, rows, prompts) for rows in (worth_B * right_B, worth_B))
    return np.stack([*weighed_P, bare_P, trials_P], axis=1)
