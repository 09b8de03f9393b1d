"""Engines: prompts in, completions out. Each module imports its library only when an engine is made."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rlguard.engines.origin import fingerprint_model as fingerprint_model
from rlguard.types import Engine, InputError

ENGINES = {"vllm": "VLLMEngine", "transformers": "TransformersEngine", "server": "ServerEngine", "ray": "RayEngine"}


def load_engine(name: str, model: str, **options: Any) -> Engine:
    """Loads a model into an engine.

    Args:
        name: `vllm`, `transformers`, `server` or `ray`.
        model: A folder or a hub name; for `server` the name under which it is served.
        **options: Passed on to the engine's class; `server` needs `base_urls`.

    Raises:
        InputError: If the engine is unknown or not installed; says how to install it.
    """
    if name not in ENGINES:
        raise InputError(f"engine {name!r} is unknown, expected one of: {', '.join(ENGINES)}")
    return getattr(import_module(f"rlguard.engines.{name}"), ENGINES[name])(model, **options)
