"""Ray Data with vLLM workers: one model on many GPUs and machines.

One streaming execution lasts as long as the engine, since a model takes minutes to load and requests come over time.
Its rows are only tickets, one a worker. The worker that holds one draws requests from an actor, the desk, whenever its
vLLM has room, and puts out a block whenever something is finished. So no worker waits for another, nothing is held back
in a buffer of Ray Data's source, and a result comes out though more requests are to follow.

A worker that dies ends the run (Ray would replay its ticket and drop as many results as it had given before), and the
run can be resumed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import warnings
import weakref
from collections.abc import Container, Iterable, Iterator
from typing import Any

from rlguard.engines.ray_worker import Desk, Message, Order, Worker
from rlguard.types import Generation, InputError, Problem, Request, Sampling

logger = logging.getLogger(__name__)

AHEAD = 4096
"""Completions a worker that wait at the desk or are sampled; more than vLLM takes at once, so that none starves."""


class RayEngine:
    """vLLM workers on a Ray cluster, or on this machine's GPUs."""

    def __init__(
        self, model: str, workers: int | None = None, num_gpus_per_worker: float | None = None, **options: Any
    ) -> None:
        """
        Args:
            model: A folder (at the same place on every machine) or a hub name.
            workers: Copies of the model; as many as the cluster has GPUs for when None, 1 without GPUs.
            num_gpus_per_worker: When None, what `tensor_parallel_size` and `pipeline_parallel_size` ask for if the
                cluster has GPUs, else 0. A worker does not reach beyond its machine.
            **options: Passed on to `vllm.LLM`.

        Raises:
            InputError: If Ray is not installed or a worker cannot load the model.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise InputError(f"the ray engine is not installed ({error}): pip install 'rlguard[ray]'") from error
        ours = not ray.is_initialized()
        if ours:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        size = int(options.get("tensor_parallel_size", 1)) * int(options.get("pipeline_parallel_size", 1))
        if size > 1:  # in an actor vLLM would else ask Ray for a placement group of its own
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
            while not self._origin:  # the first worker to be ready tells it; the others may still be loading
                self._receive()
        except InputError:
            self.close()
            raise

    def describe(self) -> dict[str, Any]:
        """As of vLLM in one process, whose rollouts these are: a run can be resumed with or without Ray."""
        return self._origin

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """Yields each request with its generations as it finishes; a prompt that does not fit yields none.

        Raises:
            InputError: If a worker fails.
        """
        source = iter(requests)
        in_flight: dict[int, Request] = {}
        try:
            while True:
                self._order(source, sampling, in_flight)
                if not in_flight:
                    return
                for number, generations in self._receive(in_flight):
                    if number in in_flight:  # else it is left over from a call that was stopped early
                        request = in_flight.pop(number)
                        if not generations:
                            logger.warning("row %d: the prompt is too long: not sampled", request.problem.number)
                        yield request, generations
        finally:
            if in_flight:
                with contextlib.suppress(Exception):  # the desk may have gone with its cluster
                    self._desk.clear.remote()

    def _order(self, source: Iterator[Request | None], sampling: Sampling, in_flight: dict[int, Request]) -> None:
        """Lays what is waiting on the desk. Of a problem only what an engine needs travels."""
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
        """Waits for the next block of results; keeps what workers say of themselves."""
        try:
            messages = next(self._messages, None)
        except Exception as error:  # Ray has many classes for a lost worker, and none in common
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


RESUME = "Finished rollouts are kept: run again to go on from there"


def _execute(desk: Any, model: str, options: dict[str, Any], workers: int, gpus: float) -> Iterator[list[Message]]:
    """Starts the workers; yields the messages in each block as it comes."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.block import BlockAccessor

    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # a block a message: nothing that is finished waits for more
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a worker may wait for requests as long as it takes
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised
    pool = ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    with DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray 2.60 deprecates max_restarts and has nothing in its place
        tickets = ray.data.from_items([{"ticket": i} for i in range(workers)], override_num_blocks=workers)
        blocks = tickets.map_batches(
            Worker,
            fn_constructor_args=(desk, model, options),
            batch_size=None,
            compute=pool,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
        ).iter_internal_ref_bundles()
    for bundle in blocks:
        for ref in bundle.block_refs:
            rows: Iterator[Any] = BlockAccessor.for_block(ray.get(ref)).iter_rows(public_row_format=True)
            for row in rows:
                yield pickle.loads(row["messages"])


def _stop(ray: Any, messages: Iterator[list[Message]], desk: Any, ours: bool) -> None:
    """Ends the execution and its workers, and Ray with them if it was started here."""
    with contextlib.suppress(Exception):
        messages.close()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):  # the cluster may be gone already
        for actor in [*ray.get(desk.tell_workers.remote(), timeout=10), desk]:
            ray.kill(actor)
    if ours:
        ray.shutdown()
