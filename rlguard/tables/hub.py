"""Names that are not files here: a mistyped path is refused at once, and the hub is asked only once."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Literal

from rlguard.types import InputError

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_PATIENCE = 10.0
"""Seconds for the hub's one answer."""


def check_hub_name(name: str, kind: Literal["model", "dataset"]) -> None:
    """Makes sure that a name is known: on this machine, or else to the hub.

    Another hub, as vLLM takes models from with `VLLM_USE_MODELSCOPE`, is not asked.

    Args:
        name: What a user gave: a file or folder here, or a name on the hub.
        kind: What is looked for.

    Raises:
        InputError: If it looks like a path, or the hub does not know it or does not answer; names a near file.
    """
    path = Path(name)
    if path.exists() or os.environ.get("VLLM_USE_MODELSCOPE"):
        return
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, 1)
    hint = f"; is it {path.with_name(near[0])}?" if near else ""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name}: no such file or folder{hint}")
    try:
        from huggingface_hub import HfApi, constants
    except ImportError:
        return  # whoever loads it says what is missing
    if (Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}").exists():
        return
    try:
        HfApi().repo_info(name, repo_type=kind, timeout=_PATIENCE)
    except Exception as error:  # no network, name or access: httpx, requests and the hub raise kinds of their own
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name}: no such file or folder{hint}, and the hub knows no such {kind} ({said})") from error
