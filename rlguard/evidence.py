"""What one rollout tells besides its reward, read from its text and its data row."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rlguard.answers import extract_answer
from rlguard.shortcuts import judge_completion
from rlguard.shortcuts.wording import is_bare
from rlguard.types import Messages, make_prompt_id, prompt_text


@dataclass(frozen=True, slots=True)
class Evidence:
    """Small and picklable: it travels between processes and ranks."""

    prompt_id: str
    gold: str | None = None
    answer: str | None = None
    likelihood_ratio: float = 1.0
    """P(text | genuine) / P(text | lucky)."""
    kinds: tuple[str, ...] = ()
    """Kinds of the findings in its completion."""
    offline_successes: float = math.nan
    offline_trials: float = math.nan
    chance_rate: float = math.nan
    """Offline chance rate, where the data set brings one."""
    bare: bool = False
    """Whether the completion is the answer and nothing else: a rollout without computation."""
    offered: bool = False
    """Whether the prompt itself names the answer or the gold answer, as it does with options."""
    fault: str = ""
    """Why the rollout could not be read; the guard then leaves it to the trainer."""


def read_evidence(
    prompt: str | Messages,
    completion: str | Messages | None,
    row: Mapping[str, Any],
    answer_column: str = "answer",
    detectors: bool = True,
) -> Evidence:
    """Reads one rollout: its prompt's id and offline columns, its final answer, the detectors' evidence.

    Args:
        prompt: Text or chat messages.
        completion: Text or chat messages; None where the trainer has none to show.
        row: The data set row; uses `rlguard_*` columns (written by `rlguard filter`) and the answer column if present.
        answer_column: Where the gold answer stands.
        detectors: Whether to look for shortcuts in the text.

    Raises:
        TypeError, ValueError: If a `rlguard_*` column holds no number. A detector's fault is not raised but noted.
    """
    gold = None if row.get(answer_column) is None else str(row[answer_column])
    answer: str | None = None
    ratio, bare, offered, fault = 1.0, False, False, ""
    kinds: tuple[str, ...] = ()
    if completion is not None:
        try:
            asked, said = prompt_text(prompt), prompt_text(completion)
            read = _judge_text if detectors else _read_text
            answer, ratio, kinds, bare, offered = read(said, asked, gold)
        except Exception as error:  # a fault of ours must not end a training run; the guard logs and counts it
            fault = f"{type(error).__name__}: {error!s:.200}"
    return Evidence(
        prompt_id=str(row.get("rlguard_id") or _prompt_id(prompt, gold)),
        gold=gold,
        answer=answer,
        likelihood_ratio=ratio,
        kinds=kinds,
        offline_successes=_number(row.get("rlguard_successes")),
        offline_trials=_number(row.get("rlguard_trials")),
        chance_rate=_number(row.get("rlguard_chance_rate")),
        bare=bare,
        offered=offered,
        fault=fault,
    )


Read = tuple[str | None, float, tuple[str, ...], bool, bool]
"""Answer, likelihood ratio, kinds of findings, whether it is bare and whether it is offered."""


@lru_cache(maxsize=1024)  # the rollouts of an easy prompt are often the same text
def _judge_text(completion: str, prompt: str, gold: str | None) -> Read:
    judgement = judge_completion(completion, prompt, gold)
    kinds = tuple(sorted({item.kind for item in judgement.findings}))
    offered = _names_one(prompt, judgement.answer, gold)
    return judgement.answer, judgement.likelihood_ratio, kinds, is_bare(completion), offered


@lru_cache(maxsize=1024)
def _read_text(completion: str, prompt: str, gold: str | None) -> Read:
    found = extract_answer(completion)
    answer = found and found[0]
    return answer, 1.0, (), is_bare(completion), _names_one(prompt, answer, gold)


def _names_one(prompt: str, *answers: str | None) -> bool:
    """Whether one of the answers stands in a prompt, as a word or number of its own."""
    text = prompt.casefold()
    named = [answer.casefold() for answer in answers if answer]
    return any(name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in named)


def _prompt_id(prompt: str | Messages, gold: str | None) -> str:
    return _text_id(prompt, gold) if isinstance(prompt, str) else make_prompt_id(prompt, gold)


_text_id = lru_cache(maxsize=1024)(make_prompt_id)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
