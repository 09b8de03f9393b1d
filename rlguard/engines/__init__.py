"""Engines: prompts in, completions out. Each module imports its library only when an engine is made."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from rlguard.types import Engine, InputError, Messages, Request

logger = logging.getLogger(__name__)

ENGINES = ("vllm", "transformers", "server", "ray")
SEEDS = 1 << 30
"""Seeds of prompts are below this; with a rollout's number added they still fit 31 bits, which every engine takes."""

SAME_DISTRIBUTION = frozenset(
    [
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "block_size",
        "swap_space",
        "cpu_offload_gb",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "data_parallel_size",
        "distributed_executor_backend",
        "disable_custom_all_reduce",
        "max_num_seqs",
        "max_num_batched_tokens",
        "enforce_eager",
        "enable_prefix_caching",
        "enable_chunked_prefill",
        "disable_log_stats",
        "batch_size",
        "device",
        "device_map",
        "max_memory",
        "low_cpu_mem_usage",
        "load_format",
        "download_dir",
        "cache_dir",
        "local_files_only",
        "token",
        "hf_token",
    ]
)
"""Options that say where and how fast a model runs, not what it says: a run can be resumed with others."""


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


def describe_origin(
    name: str, version: str, model: str, options: dict[str, Any], tokenizer: Any = None
) -> dict[str, Any]:
    """What `Engine.describe` says of a model in an engine; part of the key under which its rollouts are stored.

    Call it when the model is loaded: before its first load the revision of a hub name is not known.

    Args:
        name: The engine.
        version: Of its library.
        model: A folder or a hub name.
        options: What the user chose; those in `SAME_DISTRIBUTION` are left out.
        tokenizer: Whose chat template counts.
    """
    settings = {option: str(value) for option, value in sorted(options.items()) if option not in SAME_DISTRIBUTION}
    cache = options.get("download_dir") or options.get("cache_dir")
    template = getattr(tokenizer, "chat_template", None)
    if template is not None:
        text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
        template = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {
        "name": name,
        "version": version,
        "model": model,
        "revision": fingerprint_model(model, options.get("revision"), cache),
        "chat_template": template,
        "options": settings,
    }


def fingerprint_model(model: str, revision: str | None = None, cache: str | None = None) -> str | None:
    """What tells two models of the same name apart: a content hash of a local folder, the cached commit of a hub name.

    Large files are read at both ends only, with their size: weights that were trained on differ there too.

    Args:
        model: A folder, a file or a hub name.
        revision: Branch, tag or commit of a hub name; its main branch when None.
        cache: Folder of the hub's cache, when it is not the usual one.

    Returns:
        The fingerprint, or None when the name is not known locally.
    """
    folder = Path(model)
    if not folder.exists():
        try:
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(model, "config.json", cache_dir=cache, revision=revision)
        except Exception:  # a name that is no hub name either is reported by the engine
            return None
        return Path(cached).parent.name if isinstance(cached, str) else None
    digest = hashlib.sha256()
    paths = [folder] if folder.is_file() else sorted(path for path in folder.iterdir() if path.is_file())
    for path in paths:
        if path.suffix in (".md", ".txt"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read())
    return digest.hexdigest()[:16]
