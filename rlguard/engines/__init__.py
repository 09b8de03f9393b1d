"""Engines: prompts in, completions out. Each module imports its library only when an engine is made."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from rlguard.types import Engine, InputError, Request

logger = logging.getLogger(__name__)

ENGINES = ("vllm", "transformers")


def load_engine(name: str, model: str, **options: Any) -> Engine:
    """Loads a model into an engine.

    Args:
        name: `vllm` or `transformers`.
        model: A folder or a hub name.
        **options: Passed on to the engine's class.

    Raises:
        InputError: If the engine is unknown or not installed; says how to install it.
    """
    if name == "vllm":
        from rlguard.engines.vllm import VLLMEngine

        return VLLMEngine(model, **options)
    if name == "transformers":
        from rlguard.engines.transformers import TransformersEngine

        return TransformersEngine(model, **options)
    raise InputError(f"engine {name!r} is unknown, expected one of: {', '.join(ENGINES)}")


def request_seed(run_seed: int, request: Request) -> int:
    """The seed of a request: the same prompt and rollout number give the same seed in every run.

    >>> from rlguard.types import Problem
    >>> request_seed(0, Request(Problem("p", "?"), 4)) == request_seed(0, Request(Problem("p", "?"), 8))
    True
    """
    digest = hashlib.sha256(f"{run_seed}/{request.problem.id}/{request.first}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def encode_prompt(tokenizer: Any, request: Request, limit: int) -> list[int] | None:
    """Token ids of a prompt: chat messages through the model's template, text as it is, as TRL does both.

    Args:
        tokenizer: The model's.
        request: Whose prompt.
        limit: Tokens that the model takes, prompt and completion together.

    Returns:
        The ids, or None (and a line in the log) when they leave no room for a completion.
    """
    prompt = request.problem.prompt
    if isinstance(prompt, str):
        tokens = tokenizer(prompt)["input_ids"]
    else:
        options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        tokens = tokenizer.apply_chat_template(prompt, **options)["input_ids"]
    if len(tokens) < limit:
        return tokens
    row, size = request.problem.number, len(tokens)
    logger.warning("row %d: the prompt has %d tokens, the model takes fewer than %d: not sampled", row, size, limit)
    return None


def describe_origin(name: str, version: str, model: str, options: dict[str, Any]) -> dict[str, Any]:
    """What `Engine.describe` says of a model in an engine; part of the key under which its rollouts are stored."""
    settings = {option: str(value) for option, value in sorted(options.items())}
    return {"name": name, "version": version, "model": model, "revision": fingerprint_model(model), "options": settings}


def fingerprint_model(model: str) -> str | None:
    """What tells two models of the same name apart: a content hash of a local folder, the cached commit of a hub name.

    Large files are read at both ends only, with their size: weights that were trained on differ there too.

    Returns:
        The fingerprint, or None when the name is not known locally.
    """
    folder = Path(model)
    if not folder.is_dir():
        try:
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(model, "config.json")
        except Exception:  # a name that is no hub name either is reported by the engine
            return None
        return Path(cached).parent.name if isinstance(cached, str) else None
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix not in (".md", ".txt")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read())
    return digest.hexdigest()[:16]
