"""What is known of one rollout besides its reward."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
