"""Data for the page: compact, inflated by the browser when it is needed, and unable to run or to end its element."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHUNK = 200_000
"""Characters of text after which a chunk is full: what is inflated to show one completion."""


@dataclass(frozen=True)
class Shelf:
    """A long list in chunks, of which the page inflates only those it shows."""

    starts: list[int]
    """The number of each chunk's first item."""
    chunks: list[str]


def shelve(items: list[Any]) -> Shelf:
    """Puts items on a shelf.

    >>> shelve(["a", "b"]).starts
    [0]
    """
    starts, chunks = [], []
    for start, texts in _cut(items):
        starts.append(start)
        chunks.append(_squeeze("[" + ",".join(texts) + "]"))
    return Shelf(starts, chunks)


def _cut(items: list[Any]) -> Iterator[tuple[int, list[str]]]:
    texts: list[str] = []
    size = start = 0
    for number, item in enumerate(items):
        texts.append(encode(item))
        size += len(texts[-1])
        if size >= CHUNK or number == len(items) - 1:
            yield start, texts
            texts, size, start = [], 0, number + 1


def pack(data: Any) -> str:
    """JSON, compressed, in letters and digits that mean nothing in HTML."""
    return _squeeze(encode(data))


def unpack(text: str) -> Any:
    """What `pack` packed.

    >>> unpack(pack({"a": [1, None]}))
    {'a': [1, None]}
    """
    return json.loads(gzip.decompress(base64.b64decode(text)))


def _squeeze(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def encode(data: Any) -> str:
    r"""JSON without lone surrogates, which no UTF-8 holds: each becomes U+FFFD, as a browser would show it.

    >>> encode({"text": "a\ud83d"})
    '{"text":"a�"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
