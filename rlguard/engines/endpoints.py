"""Addresses of OpenAI-compatible servers: who gets a request, and what happens when one does not answer.

The openai library repeats what failed for a moment (429, 5xx, lost connections) with growing pauses, or after the pause
that the server asks for. An address that still fails is left alone for a while, and its requests move on to another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlguard.types import InputError

logger = logging.getLogger(__name__)

VLLM_FIELDS = {"return_token_ids": True, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sent until a server refuses them: token ids to count, and nothing of the model's own sampling defaults, which `vllm
serve` would add and the engines in this process do not."""


@dataclass(eq=False)
class _Endpoint:
    url: str
    client: Any
    in_flight: int = 0
    rests_until: float = 0.0


class Endpoints:
    """Servers of one model, and an event loop in a thread of its own that talks to them."""

    def __init__(
        self, urls: Sequence[str], api_key: str, max_in_flight: int, max_retries: int, timeout: float, rest: float
    ) -> None:
        """
        Args:
            urls: Addresses; `/v1` is added to one without a path.
            api_key: For all of them.
            max_in_flight: Requests that an address gets at once.
            max_retries: How often an address is tried again.
            timeout: Seconds for one request.
            rest: Seconds for which an address that failed is left alone.

        Raises:
            InputError: If openai is not installed.
        """
        try:
            import openai
        except ImportError as error:
            raise InputError(f"the server engine is not installed ({error}): pip install 'rlguard[server]'") from error
        self.openai, self.max_in_flight, self.rest = openai, max_in_flight, rest
        limits = openai.Timeout(timeout, connect=10.0)
        self._endpoints = [
            _Endpoint(url, openai.AsyncOpenAI(base_url=url, api_key=api_key, timeout=limits, max_retries=max_retries))
            for url in map(_complete_url, urls)
        ]
        self.room = max_in_flight * len(self._endpoints)
        self._extra = VLLM_FIELDS
        self._freed = asyncio.Condition()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="rlguard-server", daemon=True).start()
        self.close = weakref.finalize(self, _stop, self.loop, [endpoint.client for endpoint in self._endpoints])

    async def find_model(self, model: str) -> dict[str, Any]:
        """What the servers say of the model.

        Raises:
            InputError: If one does not answer or does not serve the model, or they do not agree.
        """
        cards = await asyncio.gather(*(self._read_card(endpoint, model) for endpoint in self._endpoints))
        for endpoint, card in zip(self._endpoints, cards, strict=True):
            if card != cards[0]:
                raise InputError(
                    f"{endpoint.url} serves another {model!r} than {self._endpoints[0].url}: {card}, not {cards[0]}"
                )
        return cards[0]

    async def _read_card(self, endpoint: _Endpoint, model: str) -> dict[str, Any]:
        client = endpoint.client.with_options(max_retries=1, timeout=30.0)
        try:
            models = {model.id: model for model in (await client.models.list()).data}
        except (self.openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{endpoint.url}/models does not answer as an OpenAI server does: {error}") from error
        if model not in models:
            raise InputError(f"{endpoint.url} does not serve {model!r}, but: {', '.join(sorted(models))}")
        facts = models[model].model_dump()
        return {name: facts[name] for name in ("id", "root", "max_model_len") if facts.get(name) is not None}

    async def send(self, body: dict[str, Any]) -> Any:
        """Sends to the least busy address, and to the others in turn while they are dead.

        Raises:
            openai.APIStatusError: If a server refuses the request.
            InputError: If none answers.
        """
        openai, failed = self.openai, dict[_Endpoint, Exception]()
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
        """Waits for a place at an address where this request has not failed; resting ones only if there is no other."""
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
        """One answer of one server; without vLLM's own fields once it has refused them."""
        create = endpoint.client.chat.completions.create if "messages" in body else endpoint.client.completions.create
        extra = self._extra
        try:
            return await create(**body | {"extra_body": body.get("extra_body", {}) | extra})
        except (self.openai.BadRequestError, self.openai.UnprocessableEntityError) as error:
            if not any(name in str(error) for name in extra):
                raise
            self._extra = {}
            return await create(**body)


def _complete_url(url: str) -> str:
    url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    return url if "/" in url.split("://", 1)[1] else f"{url}/v1"


def _stop(loop: asyncio.AbstractEventLoop, clients: list[Any]) -> None:
    async def close_all() -> None:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
        loop.stop()

    asyncio.run_coroutine_threadsafe(close_all(), loop)
