"""Engines: prompts in, completions out. Each module imports its library only when an engine is made."""

from __future__ import annotations

from typing import Any

from rlguard.engines.origin import fingerprint_model as fingerprint_model
from rlguard.types import Engine, InputError

ENGINES = ("vllm", "transformers", "server", "ray")


def load_engine(name: str, model: str, **options: Any) -> Engine:
    """Loads a model into an engine.

    Args:
        name: `vllm`, `transformers`, `server` or `ray`.
        model: A folder or a hub name; for `server` the name under which it is served.
        **options: Passed on to the engine's class; `server` needs `base_urls`.

    Raises:
        InputError: If the engine is unknown or not installed; says how to install it.
    """
    if name == "vllm":
        from rlguard.engines.vllm import VLLMEngine

        return VLLMEngine(model, **options)
    if name == "transformers":
        from rlguard.engines.transformers import TransformersEngine

        return TransformersEngine(model, **options)
    if name == "server":
        from rlguard.engines.server import ServerEngine

        return ServerEngine(model, **options)
    if name == "ray":
        from rlguard.engines.ray import RayEngine

        return RayEngine(model, **options)
    raise InputError(f"engine {name!r} is unknown, expected one of: {', '.join(ENGINES)}")
