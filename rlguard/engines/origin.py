"""Provenance: which model, in which version, an engine samples from."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

SAME_DISTRIBUTION = {
    "gpu_memory_utilization", "kv_cache_memory_bytes", "block_size", "swap_space", "cpu_offload_gb",
    "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "distributed_executor_backend",
    "disable_custom_all_reduce", "max_num_seqs", "max_num_batched_tokens", "enforce_eager", "enable_prefix_caching",
    "enable_chunked_prefill", "disable_log_stats", "batch_size", "device", "device_map", "max_memory",
    "low_cpu_mem_usage", "load_format", "download_dir", "cache_dir", "local_files_only", "token", "hf_token",
}  # fmt: skip
"""Options that change where and how fast a model runs, but not what it says. A resumed run may change them."""


def describe_origin(
    name: str, version: str, model: str, options: dict[str, Any], tokenizer: Any = None
) -> dict[str, Any]:
    """What `Engine.describe` returns; part of the key under which rollouts are stored.

    Call it after the model is loaded: before its first download, the revision of a hub name is not known.

    Args:
        name: The engine.
        version: The version of its library.
        model: A folder or a hub name.
        options: The user's options; those in `SAME_DISTRIBUTION` are left out.
        tokenizer: Its chat template is part of the provenance.
    """
    cache = options.get("download_dir") or options.get("cache_dir")
    template = getattr(tokenizer, "chat_template", None)
    if template is not None:
        text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
        template = hashlib.sha256(text.encode()).hexdigest()[:16]
    revision = fingerprint_model(model, options.get("revision"), cache)
    settings = {option: str(value) for option, value in sorted(options.items()) if option not in SAME_DISTRIBUTION}
    told = {"name": name, "version": version, "model": model, "revision": revision}
    return told | {"chat_template": template, "options": settings}


def fingerprint_model(model: str, revision: str | None = None, cache: str | None = None) -> str | None:
    """Tells two models of the same name apart: the content hash of a local folder, or the cached commit of a hub name.

    Every byte counts: weights that differ anywhere are another model. A file is hashed once a process, unless its size
    or modification time changes.

    Args:
        model: A folder, a file or a hub name.
        revision: Branch, tag or commit of a hub name; None is its main branch.
        cache: Folder of the hub's cache; None is the usual one.

    Returns:
        The fingerprint, or None if the name is not known locally.
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
        stat = path.stat()
        digest.update(f"{path.name} {_hash_file(path, stat.st_size, stat.st_mtime_ns)} ".encode())
    return digest.hexdigest()[:16]


@lru_cache
def _hash_file(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file. Size and modification time are the cache's key: the file is still the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
