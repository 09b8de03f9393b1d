"""Files on the disk: replaced whole or not at all, and JSON lines of which the last may be torn."""

from __future__ import annotations

import codecs
import io
import json
import logging
import mmap
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rlguard.types import InputError

logger = logging.getLogger(__name__)

PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Endings of packed text, and how it is packed."""


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one that names a value twice is refused, as only one of the two could be read."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(f"found {next(name for name in value if names.count(name) > 1)!r} twice")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_make_object)


@contextmanager
def open_bytes(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a file for reading, unpacked where its ending says that it is packed.

    Raises:
        InputError: If it is not packed so, or broken off.
    """
    kind = PACKED.get(Path(path).suffix.lower())
    if kind is None:
        with open(path, "rb") as file:
            yield file
        return
    import pyarrow as pa

    with open(path, "rb") as file:
        try:
            packed = pa.CompressedInputStream(pa.PythonFile(file, "r"), kind)
            with io.BufferedReader(packed) as unpacked:
                yield unpacked
        except OSError as error:
            raise InputError(f"{path}: expected a file packed with {kind} ({error})") from error


def iter_json_lines(path: str | Path, torn: list[int] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    r"""Streams a file of one JSON object per line; blank lines are passed over.

    Lines end at bytes: a raw U+2028 in a text is no end.

    Args:
        path: The file.
        torn: A last line that was cut off in writing (no newline, no JSON) is left out, and its number goes here. None
            takes it for any other line that cannot be read.

    Yields:
        (number, object) of each line; numbers count from 1, blank lines included.

    Raises:
        InputError: If a line cannot be read; names file and line, and what stands there.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b'{"step": 1}\n{"st')
    ...     _ = file.flush()
    ...     torn = []
    ...     list(iter_json_lines(file.name, torn)), torn
    ([(1, {'step': 1})], [2])
    """
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if not text.strip():
                continue
            try:
                value = _DECODER.decode(text.decode())
            except (ValueError, RecursionError) as error:
                cut = not line.endswith(b"\n") and not isinstance(error, InputError)
                if isinstance(error, UnicodeDecodeError):  # else in another encoding
                    cut = cut and error.reason == "unexpected end of data"
                if torn is not None and cut:
                    torn.append(number)
                    return
                shown = text[:60].decode("utf-8", "replace").rstrip()
                raise InputError(f"{path}, line {number}: expected one JSON object, got {shown!r} ({error})") from error
            if not isinstance(value, dict):
                raise InputError(f"{path}, line {number}: expected one JSON object, got {type(value).__name__}")
            yield number, value


def read_object(path: str | Path) -> dict[str, Any]:
    """Reads a file that is one JSON object.

    Raises:
        InputError: If it is not, or cannot be read; says why.
    """
    value: dict[str, Any] = read_json(path, dict, "a JSON object")
    return value


def read_json(path: str | Path, kind: type, expected: str) -> Any:
    """Reads a file that is one JSON value of a kind; `expected` says in the error what it should be."""
    try:
        with open_bytes(path) as file:
            value = _DECODER.decode(file.read().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected {expected} ({error})") from error
    if not isinstance(value, kind):
        raise InputError(f"{path}: expected {expected}, got {type(value).__name__}")
    return value


def cut_tail(path: str | Path) -> bool:
    """Removes a last line without its newline, which a killed run did not finish; True if there was one."""
    size = os.path.getsize(path) if os.path.exists(path) else 0
    if not size:
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = content.rfind(b"\n") + 1
    if end == size:
        return False
    os.truncate(path, end)
    logger.warning("%s: cut a half-written last line of %d bytes", path, size - end)
    return True


def replace_file(path: str | Path, data: str | bytes) -> int:
    """Writes a file whole or not at all, and makes its folder.

    Args:
        path: What to write; an older file is replaced and keeps its permissions.
        data: Text becomes UTF-8; half a surrogate pair, which UTF-8 cannot hold, a question mark.

    Returns:
        Its size in bytes.

    Raises:
        InputError: If it cannot be written; says why.
    """
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    with replacing(path) as partial:
        partial.write_bytes(content)
    return len(content)


def keep_apart(outputs: Iterable[str | Path | None], sources: Iterable[Any]) -> None:
    """Makes sure that nothing is written over what is read; sources that are no paths are passed over.

    Raises:
        InputError: If an output is a source; names both.
    """
    read = {os.path.realpath(source): source for source in sources if isinstance(source, str | Path)}
    for output in outputs:
        if output is not None and (source := read.get(os.path.realpath(output))):
            raise InputError(f"--out: {output} would replace {source}, which is read: choose another name")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name beside `path`: what is written there, a file or a folder, takes its place when the block ends.

    Until then, and for good if the block raises, what stood there stays. Nothing is left behind.

    Raises:
        InputError: If it cannot be written; says why.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    partial = name_partial(target)
    with writing(path):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            put_in_place(partial, target)
        finally:
            remove(partial)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Within the block an OSError that speaks of `path`, its folder or no file at all is the user's to mend.

    Raises:
        InputError: In its place, a full disk among them; says why.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(os.path.dirname(os.path.realpath(path))):
            raise  # of something else that the block works with
        raise InputError(f"{path}: expected a path that can be written ({error})") from error


def name_partial(path: Path) -> Path:
    """Where `path` is written until it is whole: beside it, as only there it can be moved in one step."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def put_in_place(whole: Path, path: Path) -> None:
    """Moves a file or folder to `path` once it is on the disk, in place of what stands there, whose mode it keeps."""
    for file in whole.rglob("*") if whole.is_dir() else [whole]:
        if file.is_file():
            _sync(file)
    if path.exists():
        os.chmod(whole, stat.S_IMODE(path.stat().st_mode))
    if path.is_dir():  # no system call swaps folders: a kill between the two lines leaves the old one beside
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        os.rename(path, old)
        os.rename(whole, path)
        shutil.rmtree(old)
    else:
        os.replace(whole, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):  # the folder may be none
            path.unlink()
