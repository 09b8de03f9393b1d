"""The report of a run that goes on, served on this machine's loopback address."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

from rlguard.report.page import write_report
from rlguard.types import InputError

HOST = "127.0.0.1"
LEAST_S = 5.0
"""Fewest seconds between two loads of the page: a reader wants to read."""


def serve_report(run: Path, port: int = 0, every: float = LEAST_S) -> ThreadingHTTPServer:
    """Serves the page that `write_report` writes, made anew when a file of the run has changed.

    Args:
        run: Folder or file of the run; there may be nothing in it yet.
        port: Of 127.0.0.1; 0 takes a free one.
        every: Seconds after which the browser loads the page again, at least 5.

    Returns:
        The server, which answers in a thread of its own; `server_port` is its port, `shutdown()` ends it.

    Raises:
        InputError: If the port is taken.
    """
    lock, write = Lock(), lru_cache(maxsize=1)(_write)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = (self.headers.get("Host") or "").partition(":")[0] in (HOST, "localhost")  # no other site's name
            found = known and self.path.partition("?")[0] == "/"
            with lock:
                page = write(run, _stamp(run)) if found else b"not found"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Cache-Control", "no-store")
            if found:
                self.send_header("Refresh", f"{max(every, LEAST_S):.0f}")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Says nothing: the terminal shows the run."""

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise InputError(f"port {port}: expected a free port of {HOST} ({error})") from error
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def _stamp(run: Path) -> tuple[float, int]:
    """What changes when a file of the run does: the newest time and the size of all."""
    files = [path.stat() for path in ([run] if run.is_file() else run.rglob("*")) if path.is_file()]
    return max((one.st_mtime for one in files), default=0.0), sum(one.st_size for one in files)


def _write(run: Path, stamp: tuple[float, int]) -> bytes:
    """The page; `stamp` says which, for the cache."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_report(run, Path(folder) / "report.html")
        except InputError as error:  # it has not begun, or a file is being written
            return f"<!doctype html><meta charset=utf-8><title>rlguard</title><p>Waiting: {escape(str(error))}".encode()
        return (Path(folder) / "report.html").read_bytes()
