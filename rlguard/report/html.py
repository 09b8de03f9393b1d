"""What any page of rlguard is made with: its files, the policy's hashes, data that cannot end its element."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from rlguard.report.files import Row
from rlguard.report.pack import encode


def load(name: str) -> str:
    """A file of this package; line ends as the browser sees them, or the policy's hashes would not match."""
    return files("rlguard.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def hash_source(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def encode_data(data: Row) -> str:
    r"""JSON that cannot end its script element and holds no line separators, for a page that is small enough for it.

    >>> encode_data({"text": "</script>"})
    '{"text":"\\u003c/script\\u003e"}'
    """
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", encode(data))
