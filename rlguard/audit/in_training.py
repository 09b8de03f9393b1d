"""The same questions to a model again and again while it trains: is it losing anything? Free of any trainer.

Every look is compared with the first one, question by question. Looks repeat, so the level is divided by how many are
planned, and by the domains: a run that loses nothing is called a loss with a probability of at most 1 − confidence, in
all of its looks together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlguard.audit.paired import Figure, Row, compare_figures, macro_statistic
from rlguard.audit.retention import ACCURACY, GROUP, accuracy_by_domain
from rlguard.audit.samples import ALL, PLAIN, Item
from rlguard.tables.files import iter_json_lines
from rlguard.types import Engine, InputError, Problem, Request, Sampling, without_nan
from rlguard.verify.pool import VerifierPool

logger = logging.getLogger(__name__)

RESAMPLES = 10_000, 50_000
"""Fewest and most bootstrap draws, however far in the tail the bound lies."""
TAIL_DRAWS = 20
"""Bootstrap draws wanted beyond the bound."""


@dataclasses.dataclass(frozen=True)
class Questions:
    """What is asked at every look, and how."""

    items: list[Item]
    n: int
    """Rollouts per question."""
    sampling: Sampling

    @classmethod
    def choose(cls, suite: Sequence[Item], n: int, sampling: Sampling | None = None) -> Questions:
        """The plain answerable questions of a suite, each once.

        Raises:
            InputError: If there are fewer than 2, n is below 1, or greedy sampling would draw one completion n times.
        """
        sampling = sampling or Sampling()
        items = {item.id: item for item in suite if item.variant == PLAIN and item.answerable}
        if len(items) < 2:
            raise InputError(
                f"suite: expected 2 or more plain answerable questions, got {len(items)} in {len(suite)} items"
            )
        if n < 1:
            raise InputError(f"n: expected at least one rollout per question, got {n}")
        if sampling.temperature == 0 and n > 1:
            raise InputError(f"temperature 0 draws the same completion {n} times: set n to 1, or a temperature")
        return cls(list(items.values()), n, sampling)

    @property
    def key(self) -> str:
        """A hash of everything that two looks must share to be comparable."""
        asked = [[item.id for item in self.items], self.n, dataclasses.asdict(self.sampling)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    def ask(self, engine: Engine, pool: VerifierPool) -> dict[str, float]:
        """Pass rate by question id; NaN where nothing could be judged. The engine draws with the same seeds each time.

        Raises:
            InputError: If the engine cannot sample.
        """
        asked = [Problem(item.id, item.prompt, item.answer, item.row, number) for number, item in enumerate(self.items)]
        rates = dict.fromkeys((item.id for item in self.items), math.nan)
        for request, generations in engine.generate((Request(problem, self.n) for problem in asked), self.sampling):
            pool.submit(request.problem.id, [generation.text for generation in generations], request.problem)
        while pool.pending:
            for name, results in pool.collect(block=True):
                outcomes = [outcome for outcome, _ in results if not math.isnan(outcome)]
                rates[name] = sum(outcomes) / len(outcomes) if outcomes else math.nan
        return rates

    def compare(
        self, before: Mapping[str, float], after: Mapping[str, float], tolerance: float, confidence: float, looks: int
    ) -> list[Row]:
        """Accuracy by domain, and over all domains where there are several, each domain weighing the same.

        Args:
            before: Pass rates of the first look.
            after: Pass rates now.
            tolerance: Loss of accuracy that is borne.
            confidence: That no row of any look is `lost` in a run that loses nothing.
            looks: How many are planned.
        """
        one, other = self._figures(before), self._figures(after)
        draws = math.ceil(2 * TAIL_DRAWS * len(one) * looks / (1 - confidence))
        resamples = min(max(draws, RESAMPLES[0]), RESAMPLES[1])
        return compare_figures(one, other, tolerance, confidence, resamples, comparisons=looks)

    def _figures(self, rates: Mapping[str, float]) -> list[Figure]:
        domains, values = [item.domain for item in self.items], [rates[item.id] for item in self.items]
        figures = accuracy_by_domain(domains, values)
        if len(figures) > 1:
            figures.append(Figure(GROUP, ACCURACY, ALL, len(values), macro_statistic(values, domains)))
        return figures


def record_look(step: int, key: str, rates: Mapping[str, float], rows: Sequence[Row]) -> dict[str, Any]:
    """One look, JSON-serialisable: unknown numbers are None.

    Returns:
        `step`; `lost`, the domains; `worst_change` of an accuracy; `domains`, name -> accuracy, before, change, its
        bounds, verdict and questions; `suite`, the questions' key; `rates` by question.
    """
    domains = {
        row.domain: {"accuracy": row.after}
        | {name: getattr(row, name) for name in ("before", "change", "low", "high", "verdict", "questions")}
        for row in rows
    }
    changes = [row.change for row in rows if math.isfinite(row.change)]
    return without_nan(
        {
            "step": step,
            "lost": [row.domain for row in rows if row.verdict == "lost"],
            "worst_change": min(changes, default=None),
            "domains": domains,
            "suite": key,
            "rates": rates,
        }
    )


def to_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """What a trainer logs of a look: `audit/<domain>/accuracy` and `/change`, `audit/worst_change`, `audit/lost`.

    >>> to_metrics({"lost": ["sums"], "worst_change": -0.4, "domains": {"sums": {"accuracy": 0.5, "change": -0.4}}})
    {'audit/sums/accuracy': 0.5, 'audit/sums/change': -0.4, 'audit/worst_change': -0.4, 'audit/lost': 1}
    """
    named = {
        f"audit/{name}/{what}": row[what] for name, row in record["domains"].items() for what in ("accuracy", "change")
    }
    named |= {"audit/worst_change": record["worst_change"], "audit/lost": len(record["lost"])}
    return {name: value for name, value in named.items() if value is not None}


def describe_losses(record: Mapping[str, Any], confidence: float) -> str:
    """The losses of a look in words.

    >>> row = {"accuracy": 0.5, "before": 0.9, "low": -0.6, "high": -0.2, "questions": 24}
    >>> describe_losses({"step": 50, "lost": ["sums"], "domains": {"sums": row}}, 0.95)
    'step 50: accuracy on sums fell from 0.900 to 0.500, change in [-0.600, -0.200] with 95% confidence (24 questions)'
    """
    told = []
    for name in record["lost"]:
        row = record["domains"][name]
        told.append(
            f"accuracy on {name} fell from {row['before']:.3f} to {row['accuracy']:.3f}, change in "
            f"[{row['low']:.3f}, {row['high']:.3f}] with {confidence:.0%} confidence ({row['questions']} questions)"
        )
    return f"step {record['step']}: " + "; ".join(told)


def read_baseline(path: Path, key: str) -> dict[str, float] | None:
    """Pass rates of the last look at step 0 with these questions, from a run's log; None if there is none."""
    found = None
    for _, record in iter_json_lines(path, torn=[]) if path.exists() else ():
        if record.get("step") == 0 and record.get("suite") == key:
            found = {name: math.nan if rate is None else rate for name, rate in record["rates"].items()}
    return found
