"""One question of a suite, and what one model answered: what every measure of the audit reads."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlguard.types import Messages, Rollout

ALL = "all"
"""In place of a domain's name: all of them together."""
PLAIN = "plain"
"""The variant in which a question is asked as it is; the others vary one thing."""


@dataclass(frozen=True)
class Item:
    """One question."""

    id: str
    """`types.make_prompt_id` of prompt and answer."""
    prompt: str | Messages
    answer: str
    domain: str
    variant: str = PLAIN
    """`plain`, `confidence` (asked to state it), `abstain` (free to say that it does not know), `prompt:NAME` (asked
    in another form) or `answer:NAME` (the answer wanted in another form)."""
    base: str = ""
    """What the variants of one question share."""
    answerable: bool = True
    open_ended: bool = False
    """Whether many answers are right."""
    row: dict[str, Any] = field(default_factory=dict)
    """Every column of its line in the suite."""


@dataclass(frozen=True)
class Score:
    """What the model itself says of one of its completions."""

    logprob: float
    """Sum of the log-probabilities of the completion's tokens, at temperature 1, in nats."""
    tokens: int
    entropy: float
    """Mean entropy of the next token over the completion, in nats."""
    gold_logprobs: tuple[float, ...] = ()
    """Log-probability of the gold answer's tokens, in nats, after 0, 1, … all steps of the completion; empty where it
    was not measured."""


@dataclass(frozen=True)
class Sample:
    """One question with one model's rollouts."""

    item: Item
    rollouts: Sequence[Rollout]
    scores: Sequence[Score | None] = ()
    """One a rollout, None where it was not measured; empty where none was."""

    @property
    def outcomes(self) -> list[float]:
        """Outcome of each rollout: 1, 0 or NaN."""
        return [rollout.outcome for rollout in self.rollouts]

    @property
    def counts(self) -> tuple[int, int]:
        """Correct and scored rollouts."""
        return sum(outcome == 1 for outcome in self.outcomes), sum(not math.isnan(one) for one in self.outcomes)

    @property
    def pass_rate(self) -> float:
        """Share of the scored rollouts that are correct; NaN where none is scored."""
        correct, scored = self.counts
        return correct / scored if scored else math.nan


def select(samples: Iterable[Sample], variant: str = PLAIN, answerable: bool | None = True) -> list[Sample]:
    """The samples of one variant; `answerable` None takes both kinds."""
    return [s for s in samples if s.item.variant == variant and answerable in (None, s.item.answerable)]


def split_trained(samples: Sequence[Sample], trained: Collection[str]) -> list[list[Sample]]:
    """The samples of the domains that were trained on and those of the others; empty where there are not both."""
    parts = [[sample for sample in samples if (sample.item.domain in trained) == inside] for inside in (True, False)]
    return parts if all(parts) else []
