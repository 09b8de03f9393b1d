"""The child process of a run: its log, its memory limit, its row written whole."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.efficacy.records import write_whole
from benchmarks.gpu.runs import Run, Size

OUT_OF_MEMORY, NO_CUDA = 3, 4
"""Exit codes: a run came up against its limit; there is a card, and this process cannot use it."""


def work(
    run: Run, size: Size, needs: dict[str, Any], facts: dict[str, Any], limit_gb: float, row: Path, log: Path
) -> None:
    """Does a run and ends the process; `row` appears whole, or not at all.

    Args:
        run: What to do.
        size: How much it is.
        needs: The rows it reads, by name.
        facts: What the row says beside the run: commit, guard, card, software, command.
        limit_gb: GiB it may take.
        row: The file of its row.
        log: Where what it says goes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            if facts["card"] != "cpu":
                start_cuda()
            write_whole(row, _do(run, size, needs, limit_gb) | facts)
        except Exception as error:
            traceback.print_exc(file=file)
            message = str(error).lower()
            short = isinstance(error, MemoryError) or "out of memory" in message or "can't allocate memory" in message
            sys.exit(OUT_OF_MEMORY if short else 1)


def start_cuda() -> None:
    """Exits where CUDA does not start: after a fork it does not if an import has touched the card before."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError):
        traceback.print_exc()
        sys.exit(NO_CUDA)


def _do(run: Run, size: Size, needs: dict[str, Any], limit_gb: float) -> dict[str, Any]:
    from benchmarks.gpu.cost import measure_cost, run_vllm
    from benchmarks.gpu.train import Context, limit_memory, measure_rates, prepare, read_peak_gb, train

    start, jobs = time.time(), {"train": train, "rates": measure_rates, "cost": measure_cost, "vllm": run_vllm}
    if run.what != "vllm":  # it starts processes of its own, which share no limit
        limit_memory(limit_gb)
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        found = jobs[run.what](run, Context(size, needs, Path(folder)))
    return asdict(run) | found | {"memory_gb": read_peak_gb(), "limit_gb": limit_gb, "seconds": time.time() - start}


def shorten(run: Run) -> Run:
    """What is measured beforehand: one step, after one that warms up."""
    return replace(run, steps=min(run.steps, 2), arm=run.arm if run.what == "cost" or not run.arm else "rlguard")
