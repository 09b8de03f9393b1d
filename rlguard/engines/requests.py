"""What the engines share: a clear error for a missing library, a request's seed, its token ids."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rlguard.types import InputError, Messages, Request
from rlguard.version import how_to_install

logger = logging.getLogger(__name__)

SEEDS = 1 << 30
"""Prompts get seeds below this. With a rollout's number added, a seed still fits 31 bits, which every engine takes."""


@contextmanager
def needing_extra(engine: str, also: str = "") -> Iterator[None]:
    """Raises InputError, naming the extra to install, where the imports within fail; `also` is added to the message."""
    try:
        yield
    except ImportError as error:
        how = how_to_install(engine) + also
        raise InputError(f"the {engine} engine is not installed ({error}): {how}") from error


def request_seed(run_seed: int, request: Request) -> int:
    """The seed of a request's first rollout. In every run, rollout j of a prompt gets the prompt's seed + j.

    vLLM gives completion i of a request `seed + i`, so it does not matter how rollouts are split over requests.

    >>> from rlguard.types import Problem
    >>> problem = Problem("p", "?")
    >>> request_seed(0, Request(problem, 4, first=4)) - request_seed(0, Request(problem, 8))
    4
    """
    digest = hashlib.sha256(f"{run_seed}/{request.problem.id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % SEEDS + request.first


def is_prefill(prompt: str | Messages) -> bool:
    """Whether the prompt ends with the start of the model's own message, which the model continues.

    >>> is_prefill([{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>"}])
    True
    """
    return not isinstance(prompt, str) and bool(prompt) and prompt[-1].get("role") == "assistant"


def encode_prompt(tokenizer: Any, request: Request, limit: int) -> list[int] | None:
    """Token ids of a prompt, made as TRL makes them: chat messages through the model's template, text as it is.

    Args:
        tokenizer: The model's tokenizer.
        request: The request whose prompt is encoded.
        limit: The model's context length: tokens of prompt and completion together.

    Returns:
        The ids, or None (and a line in the log) if they leave no room for a completion.

    Raises:
        InputError: If the model's chat template does not take the messages.
    """
    prompt, row = request.problem.prompt, request.problem.number
    if isinstance(prompt, str):
        tokens = tokenizer(prompt)["input_ids"]
    else:
        prefill = is_prefill(prompt)
        options = {"add_generation_prompt": not prefill, "continue_final_message": prefill}
        try:
            tokens = tokenizer.apply_chat_template(prompt, tokenize=True, return_dict=True, **options)["input_ids"]
        except Exception as error:  # a template is code that comes with the model
            raise InputError(f"row {row}: the model's chat template does not take the messages: {error}") from error
    if len(tokens) < limit:
        return list(tokens)
    told = "row %d: the prompt has %d tokens, the model takes fewer than %d: not sampled"
    logger.warning(told, row, len(tokens), limit)
    return None
