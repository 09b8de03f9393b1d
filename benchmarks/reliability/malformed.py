"""Malformed rows and logs, drawn from a seed, through every command that reads: each must end with 0, 1 or 2, in time.

An input is a good one of a known kind (a log of one of the layouts that trainers write, a data set, rates, a suite, a
run's figures, a rollout store, what a page is made of, a matrix of transfer) of which values, names, lines or
bytes were exchanged.
"""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.reliability.jobs import Stub, run_line
from rlguard.types import make_prompt_id
from rlguard.verify.verifiers import Exact

LIMIT_S = 60
ASKED = [{"role": "user", "content": "What is 6 - 2?"}]
SAID = {"role": "assistant", "content": "6 - 2 = 4\nThe answer is 4."}
TEXT = SAID["content"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "verl": {"input": "What is 6 - 2?", "output": TEXT, "gts": ["4"], "score": 1.0, "step": 3},
    "TRL": {"step": 3, "prompt": ASKED, "completion": [SAID], "answer": 4, "right": 1.0, "advantage": 0.5},
    "OpenRLHF": {"prompt": "What is 6 - 2?", "response": TEXT, "label": "4", "reward": 1.0},
    "NeMo-RL": {"content": [["What is 6 - 2?", TEXT]], "rewards": [1.0], "idx": 0},
    "OpenR1-Math": {"problem": "What is 6 - 2?", "answer": "4", "generations": [TEXT, "No."],
                    "correctness_math_verify": [True, False]},
    "lm-eval": {"doc": {"q": "What is 6 - 2?"}, "target": "4", "arguments": [["What is 6 - 2?", {}]],
                "resps": [[TEXT]], "exact_match": 1.0},
    "ms-swift": {"step": ["3"], "prompt": ["What is 6 - 2?"], "completion": [TEXT], "solution": ["4"], "reward": [1.0]},
    "chats": {"messages": [*ASKED, SAID], "reward": 1},
    "rlguard": {"prompt_id": "p", "index": 0, "prompt": "What is 6 - 2?", "gold": "4", "completion": TEXT,
                "answer": "4", "outcome": 1.0, "finish_reason": "stop", "tokens": 9},
}  # fmt: skip
DATA: dict[str, Any] = {"prompt": "What is 6 - 2?", "answer": "4", "rate": 0.5, "level": 3, "info": {"gold": "4"}}
RATE = {"prompt_id": make_prompt_id(DATA["prompt"], DATA["answer"]), "successes": 8, "trials": 16, "low": 0.25,
        "high": 0.75, "band": "learnable", "truncated": 0, "unscored": 0, "rate": 0.5, "band_error": 0.1,
        "chance_rate": 0.1, "status": "ok", "model": "m", "prompt": "What is 6 - 2?", "answer": "4",
        "pass_rate": 0.5}  # fmt: skip
SUITE = {"prompt": "What is 6 - 2?", "answer": "4", "domain": "sums", "check": {"kind": "integer"}, "answerable": True}
FIGURES = {"step": 1, "reward": 0.5, "entropy": 1.0, "loss": 0.1}
EVENT = {"step": 1, "figure": "reward", "kind": "change", "severity": "warning", "value": 0.5, "text": "falls",
         "reference": 0.4}  # fmt: skip
STATE = {"log_history": [{"step": 1, "loss": 0.5, "reward": 0.1}, {"step": 2, "loss": 0.4}], "global_step": 2}
AUDITED = {"group": "coverage", "name": "pass@2", "domain": "all", "better": 1, "questions": 24, "before": 0.5,
           "after": 0.3, "change": -0.2, "low": -0.3, "high": -0.1, "tolerance": 0.05, "verdict": "lost"}  # fmt: skip
TURNED = {"id": "q", "failures": 16, "successes": 4, "trials": 16, "bound": 0.2, "probability": 0.01, "domain": "sums",
          "prompt": "What is 6 - 2?", "answer": "4"}  # fmt: skip
AUDIT = {
    "schema": 1, "rlguard": "0.1.0", "before": "base", "domains": {"sums": 24}, "settings": {"n": 16, "trained": ["a"]},
    "models": [{"name": "base", "model": "out/base"}, {"name": "c-1", "model": "out/c-1"}], "skipped": {"a": "b"},
    "comparisons": [
        {"name": "c-1", "rows": [AUDITED, AUDITED | {"group": "retention", "name": "accuracy"}],
         "cliff": {"points": [{"domain": "sums", "distance": 0.1, "change": -0.2, "low": -0.3, "high": 0.1}],
                   "slope": -0.5, "sentence": "It falls."},
         "crossing": {"k": 4, "probability": 0.9}, "newly_solved": [TURNED], "lost": [TURNED]}
    ],
}  # fmt: skip
FINDING = {"kind": "text_loop", "severity": "warn", "reason": "said before", "start": 0, "end": 4, "prompt_id": "p",
           "index": 0, "completion": TEXT, "prompt": "What is 6 - 2?", "source": "a"}  # fmt: skip
FILTERED = {f"rlguard_{name}": RATE.get(name) for name in ("successes", "trials", "pass_rate", "low", "high", "band")}
KEPT = DATA | FILTERED | {"rlguard_id": RATE["prompt_id"]}
DROPPED = KEPT | {"rlguard_drop_reason": "impossible", "rlguard_drop_detail": "0 of 8"}
TRANSFER = {"domains": ["sums", "words"], "entropy_change": [0.1, None],
            "before": {"sums": [0.5, 0.5], "words": [0.2, 0.7]},
            "after": {"sums": [[[1, 0.5], [0, 0]]], "words": [[[0.2, 0.7], [0.2, 0.7]]]}}  # fmt: skip
DOMAINS = [DATA | {"domain": domain} for domain in ("sums", "words")]
COMMANDS = {
    "log": ("scan", "report", "truncate"),
    "data": ("filter", "estimate", "verifier"),
    "page": ("report",),
    "order": ("order",),
    "rates": ("filter by rates", "report"),
    "suite": ("audit",),
    "run": ("watch", "report"),
    "store": ("scan", "report", "truncate", "estimate into"),
}
SHARES = {"log": 48, "data": 15, "rates": 6, "suite": 5, "run": 9, "store": 8, "page": 6, "order": 3}


def hostile_value(draw: random.Random) -> Any:
    """A value that no row of these kinds has."""
    return draw.choice([
        None, True, False, 0, -1, 1.5, 1e308, 10**30, 10**400, float("nan"), float("inf"), "", " ", "x" * 3000, "nan",
        "1e999", "-inf", "50%", "1/3", "\ud800", "\udfffx", "\0", "\x1b[31mred\x1b[0m", "\u2028", "[bold]", "../../etc",
        "\\boxed{", "$" * 50, "(" * 500, "9^9^9^9^9", "²", "٣", "𝟒", "<answer>", [], {}, [[]], [None], [1, "a"],
        ["a", "b"], {"a": 1}, {"role": "user"}, [{"role": "user", "content": 5}],
        [{"role": "user", "content": [{"type": "image"}]}], [{"role": "user", "content": ["x"]}], nest(60),
        {"": None}, {"type": "text", "text": None}, 2**63, -(2**63) - 1,
        "2026-11-28", [[["a"]]], {"content": "x"}, [{}], "null", "NaN", b"\xff".decode("latin-1"), 1e-320, "4" * 400,
    ])  # fmt: skip


def nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def change_value(rows: list[dict[str, Any]], draw: random.Random) -> None:
    """Exchanges, removes, renames or adds something, anywhere in the rows."""
    at: Any = rows
    key: Any = draw.randrange(len(rows))
    while isinstance(at[key], dict | list) and at[key] and draw.random() < 0.75:
        at = at[key]
        key = draw.choice(list(at)) if isinstance(at, dict) else draw.randrange(len(at))
    how = draw.choice(("value", "value", "value", "remove", "rename", "add", "swap"))
    if how == "remove" and at is not rows:
        del at[key]
    elif how == "rename" and isinstance(at, dict):
        at[draw.choice(("", "x", "Prompt", "prompt", "completion", "answer", "\ud800", "index", "step"))] = at.pop(key)
    elif how == "add" and isinstance(at, dict):
        at[draw.choice(("step", "index", "prompt_id", "outcome", "reward", "source", "tokens"))] = hostile_value(draw)
    elif how == "swap" and isinstance(at, dict):
        at[key] = at[draw.choice(list(at))]
    else:
        at[key] = hostile_value(draw)


LAST_LINES = (b"[", b"{}\n", b"null\n", b"[1]\n", b"\xff\xfe\n", b"[" * 5000 + b"\n", b"1" * 5000)


def junk(draw: random.Random) -> bytes:
    return bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9)))


def damage(content: bytes, draw: random.Random) -> bytes:
    """Exchanges bytes or lines."""
    place = draw.randrange(len(content) + 1)
    lines = content.splitlines(True)
    return draw.choice((
        lambda: content[:place],
        lambda: content[:place] + junk(draw) + content[place + 4 :],
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.replace(b"\n", b"\r\n"),
        lambda: b"\n \n" + content + b"\n\n",
        lambda: content + draw.choice(LAST_LINES),
        lambda: b"".join(draw.sample(lines, len(lines))) + b"".join(lines[:1]),
        lambda: b"",
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: b"[" + b",".join(lines) + b"]",
        lambda: b'{"data": [' + b",".join(lines) + b']}',
    ))()  # fmt: skip


def write_table(rows: list[Any], draw: random.Random, folder: Path, name: str) -> Path:
    """Rows in one of the formats, damaged or not."""
    form = draw.choices((".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz"), (70, 6, 7, 4, 9, 4))[0]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if form in (".csv", ".tsv"):
        text, names = io.StringIO(), list(dict.fromkeys(n for row in rows if isinstance(row, dict) for n in row))
        writer = csv.writer(text, delimiter="," if form == ".csv" else "\t")
        writer.writerow(names)
        writer.writerows([row.get(n) if isinstance(row, dict) else row for n in names] for row in rows)
        content = text.getvalue().encode("utf-8", "replace")
    if form == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            pq.write_table(pa.Table.from_pylist(rows), folder / "whole")
            content = (folder / "whole").read_bytes()
        except (pa.ArrowException, TypeError, OverflowError, AttributeError, UnicodeError, ValueError):
            form = ".jsonl"
    if draw.random() < 0.35:
        content = damage(content, draw)
    if form.endswith(".gz"):
        content = gzip.compress(content)
        content = damage(content, draw) if draw.random() < 0.3 else content
    path = folder / f"{name}{form}"
    path.write_bytes(content)
    return path


def make_input(number: int, seed: int, folder: Path) -> tuple[str, Path]:
    """The kind of an input, and where it was written."""
    draw = random.Random(f"{seed} {number}")
    kind = draw.choices(list(SHARES), list(SHARES.values()))[0]
    good = {"log": LAYOUTS[draw.choice(list(LAYOUTS))], "data": DATA, "rates": RATE, "suite": SUITE}.get(kind, FIGURES)
    rows = [copy.deepcopy(good) for _ in range(draw.randrange(1, 5) + (kind == "suite"))]
    if kind == "suite":  # of which two questions or more must differ
        rows = [row | {"prompt": f"What is {n + 6} - 2?", "answer": str(n + 4)} for n, row in enumerate(rows)]
    for _ in range(draw.choice((0, 1, 1, 1, 2, 4))):
        change_value(rows, draw)
    if kind in ("log", "data", "rates", "suite"):
        return kind, write_table(rows, draw, folder, kind)
    out = folder / kind
    out.mkdir()
    figures = [FIGURES | {"step": step} for step in range(1, 4)]
    files: dict[str, list[Any]] = {"figures.jsonl": figures, "events.jsonl": [EVENT]}
    if kind == "store":
        files = {"rollouts.jsonl": [LAYOUTS["rlguard"], LAYOUTS["rlguard"] | {"index": 1}], "meta.json": [META],
                 "problems.jsonl": [{"id": "p", "prompt": "What is 6 - 2?", "answer": "4"}],
                 "design.json": [[{"min_n": 2, "max_n": 2}]]}  # fmt: skip
    elif draw.random() < 0.3:
        files = {"trainer_state.json": [STATE]}
    if kind == "page":
        files = {"audit.json": [AUDIT], "findings.jsonl": [FINDING], "kept.jsonl": [KEPT],
                 "kept.dropped.jsonl": [DROPPED]}  # fmt: skip
    if kind == "order":
        files = {"transfer.json": [TRANSFER], "data.jsonl": DOMAINS}
    target = draw.choice(list(files))
    for name, lines in files.items():
        lines = copy.deepcopy(lines)
        for _ in range(draw.choice((1, 1, 2)) if name == target else 0):
            change_value(lines, draw)
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        (out / name).write_bytes(damage(content, draw) if name == target and draw.random() < 0.4 else content)
    if draw.random() < 0.1:
        (out / target).unlink()
    return kind, out


META = {
    "engine": {"name": "stub", "version": "1", "model": "stub"},
    "sampling": {"max_tokens": 512, "temperature": 1.0, "top_p": 1.0, "seed": 0},
    "verifier": {"name": Exact.name, "version": Exact.version},
}


def line_of(command: str, path: Path, folder: Path) -> list[str]:
    """The command line that reads an input."""
    engine = ["--engine", "transformers"]
    out = str(folder / "out.jsonl")
    return {
        "scan": ["scan", str(path)],
        "report": ["report", str(path), "--out", str(folder / "page.html")],
        "truncate": ["truncate", str(path), "--model", "stub", *engine, "--verifier", "exact",
                     "--rollouts", "2", "--out", out],
        "filter": ["filter", str(path), "--rate-column", "rate", "--scale", "pass_rate", "--trials", "8", "--out", out],
        "filter by rates": ["filter", str(folder / "good.jsonl"), "--rates", str(path), "--out", out],
        "estimate": ["estimate", str(path), "--model", "stub", *engine, "--verifier", "exact", "--n", "2",
                     "--out", str(folder / "into")],
        "estimate into": ["estimate", str(folder / "good.jsonl"), "--model", "stub", *engine, "--verifier", "exact",
                          "--n", "2", "--out", str(path)],
        "audit": ["audit", "a", "b", "--suite", str(path), "--n", "2", "--varied", "0", "--scored", "0", "--no-chat",
                  "--truncated", "1", *engine, "--out", str(folder / "audit")],
        "watch": ["watch", str(path), "--once"],
        "verifier": ["verifier", str(path), "--rows", "3"],
        "order": ["order", str(path / "data.jsonl"), "--transfer", str(path / "transfer.json"),
                  "--out", str(folder / "order")],
    }[command]  # fmt: skip


def read_one(number: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """One input through its commands: how each ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "good.jsonl").write_text(json.dumps(DATA) + "\n")
    kind, path = make_input(number, seed, folder)
    records = []
    for command in COMMANDS[kind]:
        status, said, site = run_captured(line_of(command, path, folder))
        wrong = site or ("" if status in (0, 1, 2) else f"ended with {status}: {last_frame(said)}")
        if "Traceback" in said and not wrong:
            wrong = "a traceback was printed: " + last_frame(said)
        records.append({"number": number, "kind": kind, "command": command, "status": status, "wrong": wrong,
                        "names it": status != 2 or path.name in said})  # fmt: skip
    return records


def run_captured(argv: list[str]) -> tuple[int | None, str, str]:
    """(exit status, what was printed, the exception that escaped) of a command line in this process."""
    out = io.StringIO()
    kept = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = out
    site = ""
    status: int | None = None
    signal.alarm(LIMIT_S)
    try:
        status = run_line(argv)
    except TimeUp as error:
        site = f"over {LIMIT_S} s in {frame_of(error)}"
    except BaseException as error:
        site = f"{type(error).__name__} in {frame_of(error)}"
    finally:
        signal.alarm(0)
        sys.stdout, sys.stderr = kept
    return status, out.getvalue(), site


class TimeUp(BaseException):
    """A command takes too long."""


def frame_of(error: BaseException) -> str:
    """The innermost frame of rlguard in a traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}rlguard{os.sep}" in f.filename]
    return f"{frames[-1].filename.rpartition(f'{os.sep}rlguard{os.sep}')[2]}:{frames[-1].name}" if frames else "?"


def last_frame(said: str) -> str:
    found = re.findall(r"rlguard/(\S+\.py)\", line \d+, in (\w+)", said)
    return f"{':'.join(found[-1])} {said.strip().splitlines()[-1]:.80}" if found else said[-200:]


def read_many(numbers: range, seed: int, folder: Path, keep: Callable[[list[dict[str, Any]]], None]) -> float:
    """Inputs one after the other in this process; its peak memory in MB."""
    signal.signal(signal.SIGALRM, _time_up)
    Stub.__init__.__defaults__ = (0.0,)  # type: ignore[misc]
    with one_pool_for_all():
        for number in numbers:
            keep(read_one(number, seed, folder))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _time_up(*_: object) -> None:
    raise TimeUp


@contextmanager
def one_pool_for_all() -> Iterator[None]:
    """Verifier processes are kept from one command to the next: they take longer to start than an input to read."""
    import rlguard.difficulty.estimate
    import rlguard.shortcuts.truncation
    from rlguard.verify.pool import VerifierPool

    pools: dict[str, VerifierPool] = {}

    class Kept(VerifierPool):
        def __new__(cls, verifier: Any, *args: Any, **kwargs: Any) -> Any:
            old = pools.get(verifier.name)
            if old is None or old.pending or old._error:
                if old is not None:
                    VerifierPool.close(old)
                pools[verifier.name] = VerifierPool(verifier, workers=1)
                pools[verifier.name].close = lambda: None  # type: ignore[method-assign]
            return pools[verifier.name]

    places = rlguard.difficulty.estimate, rlguard.shortcuts.truncation
    for place in places:
        place.VerifierPool = Kept  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for place in places:
            place.VerifierPool = VerifierPool  # type: ignore[attr-defined]
        for pool in pools.values():
            VerifierPool.close(pool)
