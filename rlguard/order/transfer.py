"""What a short training on each domain does to all of them: the matrix of transfer.

Kept are the pass rates of every held-out question, not only their means: intervals, and how sure an order is, come
from resampling the questions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.audit.paired import mean_statistic
from rlguard.tables.files import read_object, replace_file
from rlguard.types import InputError, without_nan

RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Transfer:
    """Accuracy on each of D domains before training, and after training on each of them, T times over.

    >>> sums, words = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    >>> lost = Transfer(("sums", "words"), (sums, words), (np.array([[[1, 0.5], [0, 0]]]), np.array([[words, words]])))
    >>> lost.change_DD.tolist()
    [[0.25, -0.5], [0.0, 0.0]]
    """

    domains: tuple[str, ...]
    before: tuple[np.ndarray, ...]
    """Of each domain the pass rates of its P held-out questions before training: (P,) in [0, 1], NaN unscored."""
    after: tuple[np.ndarray, ...]
    """Of each domain the same after the trainings on each domain: (T, D, P)."""
    entropy_change_D: np.ndarray = field(default_factory=lambda: np.array(math.nan))
    """How training on a domain changed the mean entropy of the next token in its own completions, in nats; NaN
    unknown. Structured tasks lower it, creative ones raise it (Omni-Thinker, arXiv 2507.14783)."""

    def __post_init__(self) -> None:
        """Checks what it is made of.

        Raises:
            InputError: If the parts do not fit together, a rate is not one, or a domain has no scored question.
        """
        count = len(self.domains)
        if count < 2 or len(set(self.domains)) < count:
            raise InputError(f"expected two or more distinct domains, got {', '.join(self.domains) or 'none'}")
        if len(self.before) != count or len(self.after) != count:
            raise InputError(f"expected rates of {count} domains, got {len(self.before)} and {len(self.after)}")
        if not self.entropy_change_D.ndim:
            object.__setattr__(self, "entropy_change_D", np.full(count, self.entropy_change_D))
        if self.entropy_change_D.shape != (count,):
            raise InputError(f"expected {count} entropy changes, got {self.entropy_change_D.tolist()}")
        if len({len(after) for after in self.after}) > 1:
            raise InputError(f"expected the same number of trainings, got {[len(after) for after in self.after]}")
        for domain, before, after in zip(self.domains, self.before, self.after, strict=True):
            questions = len(before)
            if after.shape[1:] != (count, questions) or not len(after) or questions < 2:
                raise InputError(
                    f"{domain}: expected rates of the same 2 or more questions before and after each training, "
                    f"got {questions} before and {after.shape} (trainings, domains, questions) after"
                )
            known = [rates[~np.isnan(rates)] for rates in (before, after)]
            if not all(((rates >= 0) & (rates <= 1)).all() for rates in known):
                raise InputError(f"{domain}: expected pass rates from 0 to 1")
            if np.isnan(after - before).all(axis=2).any():
                raise InputError(f"{domain}: no held-out question is scored both before and after every training")

    @property
    def trainings(self) -> int:
        """T, trainings on each domain."""
        return len(self.after[0])

    @property
    def before_D(self) -> np.ndarray:
        """Accuracy on each domain before training."""
        return np.array([np.nanmean(before) for before in self.before])

    @property
    def after_DD(self) -> np.ndarray:
        """Accuracy on domain i after training on domain j, at [i, j]; the mean of the trainings."""
        return np.array([_mean(after, axis=2).mean(axis=0) for after in self.after])

    @cached_property
    def change_DD(self) -> np.ndarray:
        """How accuracy on domain i changes by training on domain j, at [i, j]: over questions scored both times."""
        return self._changes_TDD.mean(axis=0)

    @cached_property
    def _changes_TDD(self) -> np.ndarray:
        pairs = zip(self.before, self.after, strict=True)
        return np.stack([_mean(after - before, axis=2) for before, after in pairs], axis=1)

    @property
    def training_variance(self) -> float:
        """Variance of the effect of one training on another domain, from training to training; NaN with one a domain.

        Pooled over all pairs of domains, since a pair has few trainings. Chance in the rollouts is part of it.
        """
        if self.trainings == 1:
            return math.nan
        others = ~np.eye(len(self.domains), dtype=bool)
        return float(self._changes_TDD[:, others].var(axis=0, ddof=1).mean())

    def draw_changes(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Bootstrap draws of `change_DD`, (R, D, D), centred on it.

        A domain's questions are resampled together for all trainings, so what they share cancels in comparisons.
        Draws are widened by √(P/(P − 1)) as few questions want it (Hesterberg 2015), and from the second training of a
        domain on by a normal term for `training_variance`. With one training it is not known and left out.
        """
        rng, count = np.random.default_rng(seed), len(self.domains)
        draws_RDD = np.empty((resamples, count, count))
        for i, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            questions = len(before)
            weights_RP = rng.multinomial(questions, np.full(questions, 1 / questions), resamples).astype(float)
            for j, changes_P in enumerate(_mean(after - before, axis=0)):
                deviations = np.nan_to_num(mean_statistic(changes_P)(weights_RP) - np.nanmean(changes_P))
                draws_RDD[:, i, j] = self.change_DD[i, j] + deviations * math.sqrt(questions / (questions - 1))
        if self.trainings > 1:
            scale = math.sqrt(self.training_variance / self.trainings)
            draws_RDD += rng.normal(0, scale, draws_RDD.shape)
        return draws_RDD

    def intervals(self, confidence: float = 0.95, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of `change_DD`, each (D, D); without width where all questions change alike."""
        tail = (1 - confidence) / 2
        low_DD, high_DD = np.quantile(self.draw_changes(seed=seed), [tail, 1 - tail], axis=0)
        return low_DD, high_DD

    def to_record(self) -> dict[str, Any]:
        """As JSON has it: `Transfer.from_record` makes the same of it."""
        return {
            "domains": list(self.domains),
            "before": {name: _to_list(before) for name, before in zip(self.domains, self.before, strict=True)},
            "after": {name: _to_list(after) for name, after in zip(self.domains, self.after, strict=True)},
            "entropy_change": _to_list(self.entropy_change_D),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str = "transfer") -> Transfer:
        """From what `to_record` gave, or from measurements of one's own in that form.

        Args:
            record: `domains`; `before`, the pass rates of each domain's questions; `after`, for each domain one list
                per training, in it one list per trained domain, in that the rates of the same questions; if known,
                `entropy_change`. None is an unscored question.
            where: What errors name.

        Raises:
            InputError: If a part is missing, or does not fit the others.
        """
        try:
            domains = tuple(map(str, record["domains"]))
            before = tuple(np.array(record["before"][name], float) for name in domains)
            after = tuple(np.array(record["after"][name], float) for name in domains)
            return cls(domains, before, after, np.array(record.get("entropy_change"), float))
        except KeyError as error:
            raise InputError(f"{where}: expected domains, and before and after of each; {error} is missing") from error
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise InputError(f"{where}: not a matrix of transfer: {error}") from error


def read_transfer(path: str | Path) -> Transfer:
    """Reads what `write_transfer` wrote.

    Raises:
        InputError: If there is no such file, or it is none.
    """
    return Transfer.from_record(read_object(path), str(path))


def write_transfer(transfer: Transfer, path: str | Path) -> None:
    """Writes it as JSON, whole or not at all."""
    write_json(transfer.to_record(), path)


def write_json(record: Any, path: str | Path) -> None:
    """Writes JSON, whole or not at all."""
    replace_file(path, json.dumps(record, indent=1, ensure_ascii=False))


def backward_transfer(accuracy_TT: Any) -> float:
    """How much of each task the later ones of a run took or gave: below 0 something was forgotten.

    BWT = 1/(T − 1) · Σ_{i<T} (R_{T,i} − R_{i,i}) (Lopez-Paz & Ranzato 2017, arXiv 1706.08840).

    Args:
        accuracy_TT: Accuracy on task i after stage t, at [t, i], tasks in the order in which they were trained.

    Raises:
        ValueError: If it is not square, or has fewer than two tasks.

    >>> round(backward_transfer([[0.9, 0.2], [0.7, 0.8]]), 3)
    -0.2
    """
    accuracy_TT = np.asarray(accuracy_TT, float)
    if accuracy_TT.ndim != 2 or len(set(accuracy_TT.shape)) > 1 or len(accuracy_TT) < 2:
        raise ValueError(f"expected a square matrix of 2 or more tasks, got the shape {accuracy_TT.shape}")
    return float((accuracy_TT[-1] - accuracy_TT.diagonal())[:-1].mean())


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of those that are not NaN; NaN where all are."""
    return np.ma.masked_invalid(values).mean(axis=axis).filled(math.nan)


def _to_list(values: np.ndarray) -> list:
    return without_nan(values.round(6).tolist())
