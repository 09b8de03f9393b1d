"""What the adapters share: checks of a trainer's version and settings, and reading and writing its tensors."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.guard.rewrite import as_float

STATE_FILE = "rlguard_state.json"
"""File name of the guard's state beside a trainer's checkpoint."""
Anything: Any = object
"""Base class of mixins that use attributes of the host's class, which mypy cannot know."""


@contextmanager
def needing(host: str, install: str) -> Iterator[None]:
    """Raises ImportError, naming the host and what to install, where its imports within fail."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"this adapter of rlguard needs {host}{install} ({error})") from error


def check_seam(name: str, function: Any, expected: str, advice: str) -> None:
    """Raises RuntimeError if a host's function has other parameters than the adapter was written for.

    Args:
        name: The function's name, for the message.
        function: The function, or None if the host has none of that name.
        expected: Its parameters, with spaces between; a last "..." stands for any others.
        advice: What to do; ends the message.
    """
    found = None if function is None else list(inspect.signature(function).parameters)
    known = expected.split()
    if found is None or (found[: len(known) - 1] != known[:-1] if known[-1:] == ["..."] else found != known):
        came = "missing" if found is None else f"({', '.join(found)})"
        raise RuntimeError(f"rlguard wraps {name}({', '.join(known)}), but here it is {came}. {advice}")


def check_seams(owner: Any, wrapped: Mapping[str, str], advice: str) -> None:
    """`check_seam` for several functions of a class or module, by name. Refuses what is guarded already."""
    for name, expected in wrapped.items():
        function = getattr(owner, name, None)
        if hasattr(function, "rlguard"):
            raise RuntimeError(f"{owner.__name__}.{name} is guarded already")
        check_seam(f"{owner.__name__}.{name}", function, expected, advice)


def check_overrides(host: type, advice: str, *mixins: type, unless: Sequence[str] = ()) -> None:
    """`check_seam` for a host's class that gets mixins in front: each of their methods that calls `super()` must have
    the parameters of the host's method.

    Args:
        host: The host's class, or one with the mixins in front of it.
        advice: What to do; ends the message.
        *mixins: The classes that go in front.
        unless: Methods that the host need not have.
    """
    if mixins[0] in host.__mro__:
        host = host.__mro__[host.__mro__.index(mixins[0]) + 1]
    for name, method in itertools.chain.from_iterable(vars(mixin).items() for mixin in mixins):
        code = getattr(inspect.unwrap(method), "__code__", None)
        if "__class__" in getattr(code, "co_freevars", ()) and name not in ("__init__", *unless):  # it calls super()
            expected = " ".join(inspect.signature(method).parameters)
            check_seam(f"{host.__name__}.{name}", getattr(host, name, None), expected, advice)


def start_logged(
    config: GuardConfig | None, save: str | Path | None, load: str | Path | None, cannot_mask: str = ""
) -> Guard:
    """The guard of a trainer whose learning rate is out of reach and whose checkpoints cannot hold its state.

    Args:
        config: Settings of the guard.
        save: Folder of the trainer's checkpoints, where the state is written after each batch; None for no checkpoints.
        load: Folder from which the trainer resumes; None for a new run.
        cannot_mask: As for `Guard`.
    """
    file, resume = (folder and Path(folder) / STATE_FILE for folder in (save, load))
    return Guard(config, scales_steps=False, cannot_mask=cannot_mask, state_file=file, resume=resume or False)


def check_estimator(
    flag: str, known: Sequence[str], got: str, also: str = "", fits: bool = True, refused: Sequence[str] | None = None
) -> None:
    """Raises RuntimeError, saying what to set, if a host's advantages cannot be rewritten.

    Args:
        flag: The host's option for its estimator.
        known: Values of it that rlguard guards.
        got: Its value.
        also: Another setting that is needed, for the message.
        fits: Whether that is set.
        refused: Where others may do as well, the values that do not.
    """
    wrong = got not in known if refused is None else got in refused
    faults = [f"set {flag} to one of {', '.join(known)} (it is {got!r})"] if wrong else []
    if faults := faults + ([] if fits else [f"set {also}"]):
        raise RuntimeError(
            "rlguard needs advantages that compare a rollout with the other rollouts of its prompt: "
            + "; ".join(faults)
        )


def find_reward(names: Sequence[str], wanted: str | int) -> int:
    """Position of the reward function that tells correctness; ValueError if none has that name or place."""
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    if wanted in names:
        return list(names).index(str(wanted))
    raise ValueError(f"GuardConfig.outcome_reward: expected one of {list(names)} or its position, got {wanted!r}")


def read_advantages(advantages_BT: Any, mask_BT: Any) -> Any:
    """(B,) each rollout's advantage, which all its trained tokens share; arbitrary for a rollout without tokens.

    Raises:
        ValueError: If the tokens of a rollout have different advantages.
    """
    mask = mask_BT.bool()
    host_B = advantages_BT.gather(1, mask.int().argmax(1, keepdim=True)).squeeze(1)
    if not advantages_BT.where(mask, 0.0).allclose(host_B[:, None].where(mask, 0.0), equal_nan=True):
        raise ValueError("rlguard expected one advantage for all tokens of a rollout, got several")
    return host_B


def spread_advantages(new_B: Any, host_B: Any, advantages_BT: Any, mask_BT: Any) -> Any:
    """(B, T) the new advantages on the trained tokens of rows that changed; the host's own tensor if none did."""
    if new_B is host_B or (new_B == host_B).all():
        return advantages_BT
    return new_B[:, None].where(mask_BT.bool(), 0.0).where((new_B != host_B)[:, None], advantages_BT)


def decode_rollouts(tokenizer: Any, tokens_BT: Any, mask_BT: Any) -> list[str]:
    """(B,) the text of each rollout's trained tokens; before the T that the mask has there may be others."""
    rows = zip(tokens_BT[:, -mask_BT.shape[1] :], mask_BT.bool(), strict=True)
    return [tokenizer.decode(tokens[mask].tolist(), skip_special_tokens=True) for tokens, mask in rows]


def center_groups(rewards_B: Any, group_ids_B: Any, divide: bool = False) -> np.ndarray:
    """(B,) rewards minus their group's mean, over its standard deviation if `divide`; NaN is left out and gets 0."""
    rewards, groups = as_float(rewards_B), np.unique(group_ids_B, return_inverse=True)[1]
    advantages = np.zeros(len(rewards))
    for group in range(groups.max(initial=-1) + 1):
        rows = np.flatnonzero((groups == group) & ~np.isnan(rewards))
        if len(rows):
            centered = rewards[rows] - rewards[rows].mean()
            advantages[rows] = centered / (centered.std(ddof=min(1, len(rows) - 1)) + 1e-6) if divide else centered
    return advantages
