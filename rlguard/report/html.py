"""What the page is made with: files of this package, hashes for its policy, a file replaced in one step."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from importlib.resources import files
from pathlib import Path

from rlguard.types import InputError


def load(name: str) -> str:
    """A file of this package; line ends as the browser sees them, or the policy's hashes would not match."""
    return files("rlguard.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def hash_source(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def replace_file(out: Path, text: str) -> int:
    """Write a file in one step and return its size in bytes."""
    content = text.encode("utf-8", "replace")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise InputError(f"{out}: expected a path that can be written ({error})") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)  # mkstemp makes it private; a report is for showing
        os.replace(name, out)
    except OSError as error:
        raise InputError(f"{out}: expected a path that can be written ({error})") from error
    finally:
        Path(name).unlink(missing_ok=True)
    return len(content)
