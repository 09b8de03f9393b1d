"""What runs on the machines of a Ray cluster for `ray.py`: the desk where requests wait, and the workers."""

from __future__ import annotations

import asyncio
import pickle
import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from rlguard.types import InputError, Request, Sampling

Message = tuple[str, Any, list[int]]
"""From a worker: `result` (generations), `error` (a reason) or `origin`, and the numbers of the requests concerned."""

Order = tuple[int, Request, Sampling]
"""A numbered request, and how to sample it."""


class Desk:
    """An actor where requests wait for a worker that has room."""

    def __init__(self) -> None:
        self._waiting: deque[Order] = deque()
        self._changed = asyncio.Condition()
        self._workers: list[Any] = []

    async def put(self, orders: list[Order]) -> None:
        async with self._changed:
            self._waiting += orders
            self._changed.notify_all()

    async def take(self, wait: bool) -> Order | None:
        """The next order; None when there is none, unless told to wait for one."""
        async with self._changed:
            if wait:
                await self._changed.wait_for(lambda: self._waiting)
            return self._waiting.popleft() if self._waiting else None

    async def enter(self, worker: Any) -> None:
        self._workers.append(worker)

    async def tell_workers(self) -> list[Any]:
        """Handles of the actors that draw from here; Ray Data does not give them out."""
        return self._workers

    async def clear(self) -> None:
        self._waiting.clear()


class Worker:
    """What Ray Data runs in an actor: a vLLM engine in a thread that draws from the desk."""

    def __init__(self, desk: Any, model: str, options: dict[str, Any]) -> None:
        import ray

        from rlguard.engines.vllm import VLLMEngine

        self._desk = desk
        desk.enter.remote(ray.get_runtime_context().current_actor)
        self._results = queue.SimpleQueue[Message | None]()
        self._next: Order | None = None
        try:
            self._engine = VLLMEngine(model, **options)
        except Exception as error:  # told by the ticket: Ray buries what a constructor raises in pages of trace
            self._results.put(("error", _in_words(error), []))
        else:
            self._results.put(("origin", self._engine.describe(), []))
            threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, ticket: Any) -> Iterator[dict[str, list[bytes]]]:
        """A block of all that is finished, again and again; ends with the desk."""
        while (message := self._results.get()) is not None:
            messages = [message]
            while not self._results.empty() and (message := self._results.get()) is not None:
                messages.append(message)
            yield {"messages": [pickle.dumps(messages)]}
            if message is None:
                return

    def _work(self) -> None:
        from ray.exceptions import RayError

        numbers: dict[int, int] = {}
        while True:
            try:
                self._next = self._next or self._take(wait=True)
                sampling = self._next[2]
                for request, generations in self._engine.generate(self._draw(sampling, numbers), sampling):
                    self._results.put(("result", generations, [numbers.pop(id(request))]))
            except RayError:  # the desk is gone: the engine was closed
                self._results.put(None)
                return
            except Exception as error:  # these requests are lost, others may be better
                self._results.put(("error", _in_words(error), list(numbers.values())))
                numbers.clear()

    def _draw(self, sampling: Sampling, numbers: dict[int, int]) -> Iterator[Any]:
        """What waits at the desk, None when nothing does; ends at an order that is to be sampled otherwise."""
        while True:
            order, self._next = self._next or self._take(wait=False), None
            if order is not None and order[2] != sampling:
                self._next = order
                return
            if order is not None:
                numbers[id(order[1])] = order[0]
            yield order and order[1]

    def _take(self, wait: bool) -> Any:
        import ray

        return ray.get(self._desk.take.remote(wait))


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
