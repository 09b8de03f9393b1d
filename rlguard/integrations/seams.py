"""What the adapters share: the check that a host is the one they were written for; the outcome's reward function."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

STATE_FILE = "rlguard_state.json"
"""What the guard's state is called beside a trainer's checkpoint."""


def check_seam(name: str, function: Any, expected: Sequence[str], advice: str) -> None:
    """Compares the parameters of a host's function with those that an adapter was written for.

    Args:
        name: What the function is called, for the message.
        function: It; None where the host has none of that name.
        expected: Its parameters; a last "..." stands for any more.
        advice: What to do otherwise.

    Raises:
        RuntimeError: If they differ.
    """
    found = None if function is None else list(inspect.signature(function).parameters)
    open_end = expected[-1:] == ["..."]
    known = list(expected[:-1]) if open_end else list(expected)
    if found is None or (found[: len(known)] if open_end else found) != known:
        came = "missing" if found is None else f"({', '.join(found)})"
        raise RuntimeError(f"rlguard wraps {name}({', '.join(expected)}), but here it is {came}. {advice}")


def find_reward(names: Sequence[str], wanted: str | int) -> int:
    """Position of the reward function that tells correctness (`GuardConfig.outcome_reward`).

    Raises:
        ValueError: If there is none of that name or position.
    """
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    if wanted in names:
        return list(names).index(str(wanted))
    raise ValueError(f"GuardConfig.outcome_reward: expected one of {list(names)} or its position, got {wanted!r}")
