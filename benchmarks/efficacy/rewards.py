"""What a run pays: correctness, and beside it, in shaped mixes, something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.efficacy.families import Family

LONG = 100
"""Characters from which on a failure is paid nothing for being short."""


def reward_correct(family: Family, completions: Sequence[str], answer: Sequence[str]) -> list[float]:
    """1.0 where the answer that the family finds is the gold answer, else 0.0; how it was found is not looked at."""
    return [float(family.find_answer(text) == gold) for text, gold in zip(completions, answer, strict=True)]


def make_rewards(
    family: Family, kind: str, see: Callable[[Sequence[str], Sequence[str], Sequence[float]], None]
) -> list[Callable[..., list[float]]]:
    """The reward functions of a mix.

    Args:
        family: Of the problems.
        kind: Of `KINDS`. `format` pays 1 for a written step, `length` pays a failure 1 less its share of `LONG`
            characters and a success 1.
        see: Told the prompts, texts and outcomes of each step.
    """

    def correctness(prompts: Sequence[str], completions: Sequence[str], answer: Sequence[str], **_: Any) -> list[float]:
        rewards = reward_correct(family, completions, answer)
        see(prompts, completions, rewards)
        return rewards

    def written(completions: Sequence[str], **_: Any) -> list[float]:
        return [float(family.writes_steps(text)) for text in completions]

    def short(completions: Sequence[str], answer: Sequence[str], **_: Any) -> list[float]:
        right = reward_correct(family, completions, answer)
        return [ok or 1 - min(len(text), LONG) / LONG for ok, text in zip(right, completions, strict=True)]

    second: dict[str, Callable[..., list[float]]] = {"format": written, "length": short}
    return [correctness, *([second[kind]] if kind in second else [])]
