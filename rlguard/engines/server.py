"""A model behind one or several OpenAI-compatible servers, such as `vllm serve`.

Rollout j of a prompt is requested with the prompt's seed + j, as in the other engines. The openai library retries
passing failures (429, 5xx, lost connections) with growing pauses, or after the pause that the server asks for. A server
that still fails rests for a while, and its requests go to the others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import queue
import re
import threading
import time
import weakref
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from rlguard.engines.requests import is_prefill, needing_extra, request_seed
from rlguard.types import Generation, InputError, Request, Sampling

logger = logging.getLogger(__name__)

TOO_LONG = re.compile(r"context[ _](?:length|size|window)|max_model_len", re.IGNORECASE)
VLLM_FIELDS = {"return_token_ids": True, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Extra fields, sent until a server refuses them. They ask for token ids, to count, and turn off the model's own
sampling defaults, which `vllm serve` applies and our other engines do not."""


@dataclass(eq=False)
class _Endpoint:
    url: str
    client: Any
    in_flight: int = 0
    rests_until: float = 0.0


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
            base_urls: Addresses; one without a path gets `/v1`.
            api_key: None takes `OPENAI_API_KEY`, else `EMPTY`.
            max_in_flight: Requests (each of `n` completions) that a server works on at once.
            max_retries: Retries of one request at one server; 6 take about half a minute.
            timeout: Seconds that a request may take.
            rest: Seconds for which a server that failed is not asked.

        Raises:
            InputError: If openai is not installed, or a server does not answer or does not serve the model.
        """
        urls = [base_urls] if isinstance(base_urls, str) else base_urls
        if not urls:
            raise InputError("base_urls: expected at least one address, as http://localhost:8000")
        key = api_key or os.environ.get("OPENAI_API_KEY") or "EMPTY"
        with needing_extra("server"):
            import openai
        self._openai, self.model, self.max_in_flight, self.rest = openai, model, max_in_flight, rest
        limits = openai.Timeout(timeout, connect=10.0)
        self._endpoints = [
            _Endpoint(url, openai.AsyncOpenAI(base_url=url, api_key=key, timeout=limits, max_retries=max_retries))
            for url in map(_complete_url, urls)
        ]
        self._extra = VLLM_FIELDS
        self._freed = asyncio.Condition()
        self._loop = asyncio.new_event_loop()  # in a thread of its own
        threading.Thread(target=self._loop.run_forever, name="rlguard-server", daemon=True).start()
        self.close = weakref.finalize(self, _stop, self._loop, [endpoint.client for endpoint in self._endpoints])
        try:
            self._revision = self._start(self._find_model()).result()
        except InputError:
            self.close()
            raise
        self._limit = self._revision.get("max_model_len")

    def describe(self) -> dict[str, Any]:
        """The model and what the servers say about it. Addresses are left out: a resumed run may use others."""
        return {"name": "server", "model": self.model, "revision": self._revision}

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """As `types.Engine.generate`. Raises InputError if a server refuses a request, or none answers any more."""
        source, done = iter(requests), queue.SimpleQueue[Future[list[Generation]]]()
        in_flight: dict[Future[list[Generation]], Request] = {}
        try:
            while True:
                while (
                    len(in_flight) < self.max_in_flight * len(self._endpoints)
                    and (request := next(source, None)) is not None
                ):
                    future = self._start(self._sample(request, sampling))
                    in_flight[future] = request
                    future.add_done_callback(done.put)
                if not in_flight:
                    return
                future = done.get()
                if future.exception():  # first hand on what else has finished
                    for other in [other for other in in_flight if other.done() and not other.exception()]:
                        yield in_flight.pop(other), other.result()
                yield in_flight.pop(future), future.result()
        finally:
            for future in in_flight:
                future.cancel()

    def _start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _sample(self, request: Request, sampling: Sampling) -> list[Generation]:
        """All generations of a request. A server that returns fewer than asked for is asked again."""
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
        """The server's answer, with a smaller `max_tokens` if prompt and completion together exceed the context length;
        None (and a line in the log) if the prompt alone is too long."""
        try:
            return await self._send(body)
        except self._openai.BadRequestError as error:
            told = re.search(r"context (?:length|size|window)\D{0,20}(\d+)", str(error))
            limit = self._limit or (told and int(told[1]))
            if not limit or not TOO_LONG.search(str(error)):
                raise
        try:  # ask for one token, to learn the prompt's length
            probe = await self._send(body | {"max_tokens": 1, "n": 1})
        except self._openai.BadRequestError as error:
            if not TOO_LONG.search(str(error)):
                raise
            logger.warning("row %d: the prompt is too long, not sampled: %s", request.problem.number, error)
            return None
        if probe.usage is None:
            raise InputError(f"row {request.problem.number}: longer than {limit} tokens, lower max_tokens")
        return await self._send(body | {"max_tokens": limit - probe.usage.prompt_tokens})

    async def _find_model(self) -> dict[str, Any]:
        """What the servers say about the model. InputError if one does not answer or serve it, or if two disagree."""
        cards = await asyncio.gather(*(self._read_card(endpoint) for endpoint in self._endpoints))
        for endpoint, card in zip(self._endpoints, cards, strict=True):
            if card != cards[0]:
                first = self._endpoints[0].url
                raise InputError(f"{endpoint.url} serves another {self.model!r} than {first}: {card}, not {cards[0]}")
        return cards[0]

    async def _read_card(self, endpoint: _Endpoint) -> dict[str, Any]:
        client = endpoint.client.with_options(max_retries=1, timeout=30.0)
        try:
            models = {model.id: model for model in (await client.models.list()).data}
        except (self._openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{endpoint.url}/models does not answer as an OpenAI server does: {error}") from error
        if self.model not in models:
            raise InputError(f"{endpoint.url} does not serve {self.model!r}, but: {', '.join(sorted(models))}")
        facts = models[self.model].model_dump()
        return {name: facts[name] for name in ("id", "root", "max_model_len") if facts.get(name) is not None}

    async def _send(self, body: dict[str, Any]) -> Any:
        """Sends a request to the least busy server; if that fails, to the next. InputError if no server answers."""
        openai, failed = self._openai, dict[_Endpoint, Exception]()
        while len(failed) < len(self._endpoints):
            endpoint = await self._reserve(failed)
            try:
                return await self._post(endpoint, body)
            except openai.APIError as error:
                status = getattr(error, "status_code", None) or 500
                if status < 500 and status not in (408, 409, 429):
                    raise
                failed[endpoint] = error
                endpoint.rests_until = time.monotonic() + self.rest
                logger.warning("%s does not answer, left alone for %g s: %s", endpoint.url, self.rest, error)
            finally:
                async with self._freed:
                    endpoint.in_flight -= 1
                    self._freed.notify_all()
        reasons = "; ".join(f"{endpoint.url}: {error}" for endpoint, error in failed.items())
        raise InputError(f"no server answers ({reasons}). Finished rollouts are kept: run again to go on from there")

    async def _reserve(self, failed: dict[_Endpoint, Exception]) -> _Endpoint:
        """Waits for a free place at a server where this request has not failed; prefers servers that do not rest."""
        async with self._freed:
            while True:
                left = [endpoint for endpoint in self._endpoints if endpoint not in failed]
                awake = [endpoint for endpoint in left if endpoint.rests_until <= time.monotonic()]
                endpoint = min(awake or left, key=lambda endpoint: endpoint.in_flight)
                if endpoint.in_flight < self.max_in_flight:
                    endpoint.in_flight += 1
                    return endpoint
                await self._freed.wait()

    async def _post(self, endpoint: _Endpoint, body: dict[str, Any]) -> Any:
        """One answer of one server. Once a server has refused vLLM's own fields, they are left out."""
        create = endpoint.client.chat.completions.create if "messages" in body else endpoint.client.completions.create
        extra = self._extra
        try:
            return await create(**body | {"extra_body": body.get("extra_body", {}) | extra})
        except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as error:
            if not any(name in str(error) for name in extra):
                raise
            self._extra = {}
            return await create(**body)


def _read_choices(answer: Any) -> list[Generation]:
    """The generations in an answer.

    Reasoning that the server's parser cut off is put back in front, in `<think>` tags. Without token ids, the answer's
    token count is split by length of text.
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
    weights = [len(text) + 1 for text in texts]  # with the token that ends it
    total = answer.usage.completion_tokens if answer.usage else 0
    ends = [round(total * end / sum(weights)) for end in itertools.accumulate(weights)]
    generations = []
    for text, choice, end, start in zip(texts, choices, ends, [0, *ends], strict=False):
        ids = getattr(choice, "token_ids", None)
        generations.append(Generation(text, end - start if ids is None else len(ids), choice.finish_reason or "stop"))
    return generations


def _complete_url(url: str) -> str:
    url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    return url if "/" in url.split("://", 1)[1] else f"{url}/v1"


def _stop(loop: asyncio.AbstractEventLoop, clients: list[Any]) -> None:
    async def close_all() -> None:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
        loop.stop()

    asyncio.run_coroutine_threadsafe(close_all(), loop)
