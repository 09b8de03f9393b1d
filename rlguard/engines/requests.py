"""From a request to its seed and its token ids."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from rlguard.types import InputError, Messages, Request

logger = logging.getLogger(__name__)

SEEDS = 1 << 30
"""Seeds of prompts are below this; with a rollout's number added they still fit 31 bits, which every engine takes."""


def request_seed(run_seed: int, request: Request) -> int:
    """The seed of a request's first rollout: rollout j of a prompt has the prompt's seed + j in every run.

    vLLM gives child i of a request `seed + i`, so a rollout does not depend on how its prompt's were split.

    >>> from rlguard.types import Problem
    >>> problem = Problem("p", "?")
    >>> request_seed(0, Request(problem, 4, first=4)) - request_seed(0, Request(problem, 8))
    4
    """
    digest = hashlib.sha256(f"{run_seed}/{request.problem.id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % SEEDS + request.first


def is_prefill(prompt: str | Messages) -> bool:
    """Whether the model is to go on with a message of its own that the prompt begins.

    >>> is_prefill([{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>"}])
    True
    """
    return not isinstance(prompt, str) and bool(prompt) and prompt[-1].get("role") == "assistant"


def encode_prompt(tokenizer: Any, request: Request, limit: int) -> list[int] | None:
    """Token ids of a prompt: chat messages through the model's template, text as it is, as TRL does both.

    Args:
        tokenizer: The model's.
        request: Whose prompt.
        limit: Tokens that the model takes, prompt and completion together.

    Returns:
        The ids, or None (and a line in the log) when they leave no room for a completion.

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
    size = len(tokens)
    logger.warning("row %d: the prompt has %d tokens, the model takes fewer than %d: not sampled", row, size, limit)
    return None
