"""Ray Data with vLLM workers: one model on many GPUs and machines.

A model takes minutes to load and requests come over time, so one streaming execution lasts as long as the engine. Its
rows are only tickets, one for each worker. Requests wait in an actor, the desk. A worker takes them whenever its vLLM
has room, and emits a block whenever something is finished: no worker waits for another, no result for more requests.

A worker that dies ends the run, which can be resumed. (Ray would replay its ticket, and drop as many results as the
worker had given before.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import queue
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Container, Iterable, Iterator
from typing import Any

from rlguard.engines.requests import needing_extra
from rlguard.types import Generation, InputError, Problem, Request, Sampling

logger = logging.getLogger(__name__)

AHEAD = 4096
"""Completions a worker that wait at the desk or are sampled: more than vLLM takes at once, so that it never idles."""

RESUME = "Finished rollouts are kept: run again to go on from there"

Message = tuple[str, Any, list[int]]
"""From a worker: `result` (generations), `error` (a reason) or `origin`, and the numbers of the requests concerned."""

Order = tuple[int, Request, Sampling]
"""A numbered request, and how to sample it."""


class RayEngine:
    """vLLM workers on a Ray cluster, or on this machine's GPUs."""

    def __init__(
        self, model: str, workers: int | None = None, num_gpus_per_worker: float | None = None, **options: Any
    ) -> None:
        """
        Args:
            model: A folder (at the same place on every machine) or a hub name.
            workers: Copies of the model. None: as many as fit the cluster's GPUs, or 1 without GPUs.
            num_gpus_per_worker: None: what `tensor_parallel_size` and `pipeline_parallel_size` ask for, or 0 without
                GPUs. A worker stays on one machine.
            **options: Passed on to `vllm.LLM`.

        Raises:
            InputError: If Ray is not installed or a worker cannot load the model.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with needing_extra("ray"):
            import ray
            import ray.data
        ours = not ray.is_initialized()
        if ours:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        size = int(options.get("tensor_parallel_size", 1)) * int(options.get("pipeline_parallel_size", 1))
        if size > 1:  # otherwise vLLM, in an actor, asks Ray for a placement group of its own
            options = {"distributed_executor_backend": "mp"} | options
        there = ray.cluster_resources().get("GPU", 0)
        gpus = (size if there else 0) if num_gpus_per_worker is None else num_gpus_per_worker
        self.workers = workers or max(1, int(there // gpus) if gpus else 1)
        if self.workers * gpus > there:
            logger.warning("%d workers x %g GPUs wait for a cluster that has %g", self.workers, gpus, there)
        self._desk: Any = ray.remote(num_cpus=0)(Desk).remote()
        self._messages = _execute(self._desk, model, options, self.workers, gpus)
        self.close = weakref.finalize(self, _stop, ray, self._messages, self._desk, ours)
        self._number = 0
        self._origin: dict[str, Any] = {}
        try:
            while not self._origin:  # the first ready worker sends it; the others may still be loading
                self._receive()
        except InputError:
            self.close()
            raise

    def describe(self) -> dict[str, Any]:
        """The same as for vLLM in one process: a run can be resumed with or without Ray."""
        return self._origin

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """As `types.Engine.generate`. Raises InputError if a worker fails."""
        source = iter(requests)
        in_flight: dict[int, Request] = {}
        try:
            while True:
                self._order(source, sampling, in_flight)
                if not in_flight:
                    return
                for number, generations in self._receive(in_flight):
                    if number in in_flight:  # otherwise it belongs to a call that was stopped early
                        request = in_flight.pop(number)
                        if not generations:
                            logger.warning("row %d: the prompt is too long: not sampled", request.problem.number)
                        yield request, generations
        finally:
            if in_flight:
                with contextlib.suppress(Exception):  # the cluster may be gone
                    self._desk.clear.remote()

    def _order(self, source: Iterator[Request | None], sampling: Sampling, in_flight: dict[int, Request]) -> None:
        """Puts waiting requests on the desk. Of a problem, only what an engine needs is sent."""
        orders: list[Order] = []
        room = self.workers * AHEAD - sum(request.n for request in in_flight.values())
        while room > 0 and (request := next(source, None)) is not None:
            self._number += 1
            room -= request.n
            in_flight[self._number] = request
            problem = Problem(request.problem.id, request.problem.prompt, number=request.problem.number)
            orders.append((self._number, Request(problem, request.n, request.first), sampling))
        if orders:
            self._desk.put.remote(orders)

    def _receive(self, in_flight: Container[int] = ()) -> list[tuple[int, list[Generation]]]:
        """Waits for the next block; returns its results and keeps the workers' origin."""
        try:
            messages = next(self._messages, None)
        except Exception as error:  # Ray's errors for a lost worker have no common class
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"a Ray worker was lost: {lines[-1][:200]} ... {RESUME}") from error
        if messages is None:
            raise InputError(f"the Ray workers have ended. {RESUME}")
        for kind, content, numbers in messages:
            if kind == "error" and not numbers:
                raise InputError(f"a Ray worker cannot start: {content}")
            if kind == "error" and any(number in in_flight for number in numbers):
                raise InputError(f"a Ray worker failed: {content}. {RESUME}")
            if kind == "origin":
                if self._origin and content != self._origin:
                    raise InputError(f"Ray workers differ: {content}, and {self._origin}")
                self._origin = content
        return [(numbers[0], content) for kind, content, numbers in messages if kind == "result"]


def _execute(desk: Any, model: str, options: dict[str, Any], workers: int, gpus: float) -> Iterator[list[Message]]:
    """Starts the workers; yields the messages of each block."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.block import BlockAccessor

    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # a block for each message: nothing finished waits for more
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a worker may wait for requests forever
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # failures are raised
    pool = ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    in_pool: dict[str, Any] = {"batch_size": None, "compute": pool, "num_gpus": gpus}
    in_pool |= {"max_restarts": 0, "max_task_retries": 0}
    with DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray 2.60 deprecates max_restarts without a replacement
        tickets = ray.data.from_items([{"ticket": i} for i in range(workers)], override_num_blocks=workers)
        blocks = tickets.map_batches(
            Worker,
            fn_constructor_args=(desk, model, options),
            **in_pool,
        ).iter_internal_ref_bundles()
    for bundle in blocks:
        for ref in bundle.block_refs:
            rows: Iterator[Any] = BlockAccessor.for_block(ray.get(ref)).iter_rows(public_row_format=True)
            for row in rows:
                yield pickle.loads(row["messages"])


def _stop(ray: Any, messages: Iterator[list[Message]], desk: Any, ours: bool) -> None:
    """Ends the execution and its workers, and Ray too if it was started here."""
    with contextlib.suppress(Exception):
        messages.close()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):  # the cluster may be gone
        for actor in [*ray.get(desk.tell_workers.remote(), timeout=10), desk]:
            ray.kill(actor)
    if ours:
        ray.shutdown()


class Desk:
    """An actor where requests wait for a worker with room."""

    def __init__(self) -> None:
        self._waiting: deque[Order] = deque()
        self._changed = asyncio.Condition()
        self._workers: list[Any] = []

    async def put(self, orders: list[Order]) -> None:
        async with self._changed:
            self._waiting += orders
            self._changed.notify_all()

    async def take(self, wait: bool) -> Order | None:
        """The next order; None if there is none and `wait` is false."""
        async with self._changed:
            if wait:
                await self._changed.wait_for(lambda: self._waiting)
            return self._waiting.popleft() if self._waiting else None

    async def enter(self, worker: Any) -> None:
        self._workers.append(worker)

    async def tell_workers(self) -> list[Any]:
        """Handles of the worker actors, which Ray Data does not give out."""
        return self._workers

    async def clear(self) -> None:
        self._waiting.clear()


class Worker:
    """What Ray Data runs in an actor: a vLLM engine, in a thread that takes requests from the desk."""

    def __init__(self, desk: Any, model: str, options: dict[str, Any]) -> None:
        import ray

        from rlguard.engines.vllm import VLLMEngine

        self._desk = desk
        desk.enter.remote(ray.get_runtime_context().current_actor)
        self._results = queue.SimpleQueue[Message | None]()
        self._next: Order | None = None
        try:
            self._engine = VLLMEngine(model, **options)
        except Exception as error:  # sent as a message: Ray buries a constructor's error in pages of traceback
            self._results.put(("error", _in_words(error), []))
        else:
            self._results.put(("origin", self._engine.describe(), []))
            threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, ticket: Any) -> Iterator[dict[str, list[bytes]]]:
        """Yields blocks of finished messages until the desk is gone."""
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
            except Exception as error:  # these requests are lost; later ones may work
                self._results.put(("error", _in_words(error), list(numbers.values())))
                numbers.clear()

    def _draw(self, sampling: Sampling, numbers: dict[int, int]) -> Iterator[Any]:
        """Orders that wait at the desk, or None; ends at an order with other sampling settings."""
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
