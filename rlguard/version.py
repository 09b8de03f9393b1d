"""The version of rlguard, in one place, and what its extras install."""

from __future__ import annotations

__version__ = "0.1.0"


def how_to_install(extra: str) -> str:
    """The command that installs what an extra needs, beside a release and beside a checkout alike.

    >>> how_to_install("server")
    "pip install 'openai>=1.60'"
    """
    from importlib import metadata

    try:
        listed = metadata.requires("rlguard") or []
    except metadata.PackageNotFoundError:  # a checkout on the path that nobody has installed
        return f"pip install -e '.[{extra}]'"
    wanted = [line.split(";")[0].strip() for line in listed if line.endswith(f'extra == "{extra}"')]
    return "pip install " + " ".join(f"'{package}'" for package in wanted)
