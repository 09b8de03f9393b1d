"""A model behind any OpenAI-compatible server, `vllm serve` for instance, at one address or several.

Rollout j of a prompt is asked for with the prompt's seed + j, as in this process. `endpoints.py` chooses the address.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from rlguard.engines.endpoints import Endpoints
from rlguard.engines.requests import is_prefill, request_seed
from rlguard.types import Generation, InputError, Request, Sampling

logger = logging.getLogger(__name__)

TOO_LONG = re.compile(r"context[ _](?:length|size|window)|max_model_len", re.IGNORECASE)


class ServerEngine:
    """A model behind one or several OpenAI-compatible servers."""

    def __init__(
        self,
        model: str,
        base_urls: str | Sequence[str],
        api_key: str | None = None,
        max_in_flight: int = 64,
        max_retries: int = 6,
        timeout: float = 3600.0,
        rest: float = 60.0,
    ) -> None:
        """
        Args:
            model: The name under which it is served.
            base_urls: Where; `/v1` is added to an address without a path.
            api_key: `OPENAI_API_KEY`, or `EMPTY`, when None.
            max_in_flight: Requests (each of `n` completions) that an address gets at once.
            max_retries: How often an address is tried again: 6 take about half a minute.
            timeout: Seconds for one request.
            rest: Seconds for which an address that failed is left alone.

        Raises:
            InputError: If openai is not installed, or an address does not answer or does not serve the model.
        """
        urls = [base_urls] if isinstance(base_urls, str) else base_urls
        if not urls:
            raise InputError("base_urls: expected at least one address, as http://localhost:8000")
        key = api_key or os.environ.get("OPENAI_API_KEY") or "EMPTY"
        self._endpoints = Endpoints(urls, key, max_in_flight, max_retries, timeout, rest)
        self._openai, self.model, self.close = self._endpoints.openai, model, self._endpoints.close
        try:
            self._revision = self._start(self._endpoints.find_model(model)).result()
        except InputError:
            self.close()
            raise
        self._limit = self._revision.get("max_model_len")

    def describe(self) -> dict[str, Any]:
        """Model, and what the server tells of it; not the addresses: a run can be resumed at others."""
        return {"name": "server", "model": self.model, "revision": self._revision}

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """Yields each request with its generations as it finishes; a prompt that does not fit yields none.

        Raises:
            InputError: If a server refuses a request, or no server answers any more.
        """
        source, done = iter(requests), queue.SimpleQueue[Future[list[Generation]]]()
        in_flight: dict[Future[list[Generation]], Request] = {}
        try:
            while True:
                while len(in_flight) < self._endpoints.room and (request := next(source, None)) is not None:
                    future = self._start(self._sample(request, sampling))
                    in_flight[future] = request
                    future.add_done_callback(done.put)
                if not in_flight:
                    return
                future = done.get()
                if future.exception():  # what came at the same time is not lost with it
                    for other in [other for other in in_flight if other.done() and not other.exception()]:
                        yield in_flight.pop(other), other.result()
                yield in_flight.pop(future), future.result()
        finally:
            for future in in_flight:
                future.cancel()

    def _start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._endpoints.loop)

    async def _sample(self, request: Request, sampling: Sampling) -> list[Generation]:
        """All generations of a request; a server that gives fewer than it was asked for is asked again."""
        generations: list[Generation] = []
        try:
            while len(generations) < request.n:
                answer = await self._ask(request, self._write_body(request, sampling, len(generations)))
                if answer is None:
                    return []
                generations += _read_choices(answer)
        except self._openai.APIStatusError as error:
            where = f"row {request.problem.number}: {error.request.url}"
            raise InputError(f"{where} refuses the request: {error}") from error
        return generations[: request.n]

    def _write_body(self, request: Request, sampling: Sampling, have: int) -> dict[str, Any]:
        prompt = request.problem.prompt
        body: dict[str, Any] = {
            "model": self.model,
            "n": request.n - have,
            "seed": request_seed(sampling.seed, request) + have,
            "max_tokens": min(sampling.max_tokens, (self._limit or 1 << 30) - 1),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if isinstance(prompt, str):
            return body | {"prompt": prompt}
        if is_prefill(prompt):
            body["extra_body"] = {"continue_final_message": True, "add_generation_prompt": False}
        return body | {"messages": prompt}

    async def _ask(self, request: Request, body: dict[str, Any]) -> Any:
        """The server's answer, with fewer tokens where prompt and completion are longer than the model takes.

        Returns:
            The answer, or None (and a line in the log) when the prompt alone is too long.
        """
        try:
            return await self._endpoints.send(body)
        except self._openai.BadRequestError as error:
            told = re.search(r"context (?:length|size|window)\D{0,20}(\d+)", str(error))
            limit = self._limit or (told and int(told[1]))
            if not limit or not TOO_LONG.search(str(error)):
                raise
        try:  # one token, to learn the length of the prompt
            probe = await self._endpoints.send(body | {"max_tokens": 1, "n": 1})
        except self._openai.BadRequestError as error:
            if not TOO_LONG.search(str(error)):
                raise
            logger.warning("row %d: the prompt is too long, not sampled: %s", request.problem.number, error)
            return None
        if probe.usage is None:
            raise InputError(f"row {request.problem.number}: longer than {limit} tokens, lower max_tokens")
        return await self._endpoints.send(body | {"max_tokens": limit - probe.usage.prompt_tokens})


def _read_choices(answer: Any) -> list[Generation]:
    """The generations in an answer.

    What a reasoning parser of the server cut off is put back in front, in `<think>` tags. Without token ids, the
    answer's tokens are shared out by length of text.
    """
    texts = []
    choices = sorted(getattr(answer, "choices", None) or [], key=lambda choice: choice.index)
    if not choices:
        raise InputError(f"the server's answer holds no choices: {str(answer)[:200]}")
    for choice in choices:
        if hasattr(choice, "message"):
            thought = getattr(choice.message, "reasoning", None) or getattr(choice.message, "reasoning_content", None)
            texts.append((f"<think>{thought}</think>" if thought else "") + (choice.message.content or ""))
        else:
            texts.append(choice.text or "")
    ids = [getattr(choice, "token_ids", None) for choice in choices]
    shared = share_tokens(answer.usage.completion_tokens if answer.usage else 0, [len(text) for text in texts])
    tokens = [share if own is None else len(own) for own, share in zip(ids, shared, strict=True)]
    return [
        Generation(text, count, choice.finish_reason or "stop")
        for text, count, choice in zip(texts, tokens, choices, strict=True)
    ]


def share_tokens(total: int, lengths: Sequence[int]) -> list[int]:
    """Shares out a number of tokens over texts by their lengths; the shares add up to it.

    >>> share_tokens(10, [3, 3, 0])
    [4, 5, 1]
    """
    weight, seen, given, shares = sum(lengths) + len(lengths), 0, 0, []
    for length in lengths:
        seen += length + 1
        shares.append(round(total * seen / weight) - given)
        given += shares[-1]
    return shares
