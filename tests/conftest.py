"""What several test files need: a fake engine with scripted completions, and the tiny reasoning model."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlguard.guard.size import StepSize
from rlguard.types import Generation, Request, Sampling

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # run in the background of a shell: scripts must hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

FIXTURES = Path(__file__).parent / "fixtures"
TINY = Path(__file__).parents[1] / "recipes" / "tiny_reasoner" / "model"


class FakeEngine:
    """Answers from a script: `script(prompt text, rollout number)` gives a completion, or a Generation."""

    def __init__(self, script: Callable[[str, int], str | Generation], stop_after: int | None = None) -> None:
        self.script = script
        self.stop_after = stop_after
        self.asked: list[tuple[str, int]] = []

    def describe(self) -> dict[str, Any]:
        return {"name": "fake", "version": "1", "model": "script"}

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        for number, request in enumerate(requests):
            if number == self.stop_after:
                raise KeyboardInterrupt
            generations = []
            for index in range(request.first, request.first + request.n):
                self.asked.append((request.problem.text, index))
                said = self.script(request.problem.text, index)
                generations.append(Generation(said, len(said), "stop") if isinstance(said, str) else said)
            yield request, generations


def set_weight(monkeypatch: pytest.MonkeyPatch, weight: float) -> None:
    """Gives every success one weight and one P(genuine), whatever is known of it; the step's size is that of the
    weights."""
    monkeypatch.setattr("rlguard.luck.model.genuine_given_text", lambda genuine_B, *_: np.full(len(genuine_B), weight))
    monkeypatch.setattr(StepSize, "weigh", lambda _, genuine_B, success_B, host_B: np.where(success_B, genuine_B, 1.0))
    measure = StepSize.measure
    monkeypatch.setattr(StepSize, "measure", lambda *columns: (1.0, measure(*columns)[1]))


@pytest.fixture
def tiny_model() -> str:
    """Folder of the tiny reasoning model that the repository carries."""
    return str(TINY)


@pytest.fixture(scope="module")
def quick_gc() -> Iterator[None]:
    """Every training run begins with a collection, which goes through all that was imported: sets that aside."""
    gc.freeze()
    yield
    gc.unfreeze()


def measure_seconds(work: Callable[[str], object], text: str) -> float:
    """Seconds of this process, the least of three: tests compare them with those of another text, with no clock."""

    def once() -> float:
        started = time.process_time()
        work(text)
        return time.process_time() - started

    return min(once() for _ in range(3))
