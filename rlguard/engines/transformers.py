"""transformers' own generation: slower than vLLM, runs wherever the model does.

It can only seed a whole batch, so here a rollout repeats itself if the same requests come in the same order, but does
depend on its company in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rlguard.engines.origin import describe_origin
from rlguard.engines.requests import encode_prompt, request_seed
from rlguard.types import Generation, InputError, Request, Sampling

AHEAD = 4
"""Batches of requests that are collected and sorted, so that prompts of similar length share a batch."""


class TransformersEngine:
    """A causal language model in transformers, on the GPU if there is one."""

    def __init__(self, model: str, batch_size: int = 64, **options: Any) -> None:
        """
        Args:
            model: A folder or a hub name.
            batch_size: Completions generated at once.
            **options: Passed on to `AutoModelForCausalLM.from_pretrained`.

        Raises:
            InputError: If transformers or torch is not installed or the model cannot be loaded.
        """
        try:
            import torch
            import transformers
        except ImportError as error:
            raise InputError(
                f"the transformers engine is not installed ({error}): pip install 'rlguard[transformers]'"
            ) from error
        self._torch = torch
        self.batch_size = batch_size
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(model)
            network: Any = transformers.AutoModelForCausalLM.from_pretrained(model, **options)
            self._model = network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"transformers cannot load the model {model!r}: {error}") from error
        self._origin = describe_origin("transformers", transformers.__version__, model, options, self._tokenizer)
        self._pad = self._tokenizer.pad_token_id
        eos = self._model.generation_config.eos_token_id or self._tokenizer.eos_token_id
        self._eos = set(eos) if isinstance(eos, list) else {eos}
        if self._pad is None:
            self._pad = min(self._eos)
        self._limit = getattr(self._model.config, "max_position_embeddings", None) or 10**9

    def describe(self) -> dict[str, Any]:
        """Model, engine, version, options."""
        return self._origin

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """Yields requests with their generations a batch at a time; a prompt that does not fit yields none.

        Raises:
            InputError: If a batch does not fit into memory.
        """
        source, waiting = iter(requests), list[tuple[Request, list[int]]]()
        while True:
            room = AHEAD * self.batch_size
            while sum(r.n for r, _ in waiting) < room and (request := next(source, None)) is not None:
                tokens = encode_prompt(self._tokenizer, request, self._limit)
                if tokens is None:
                    yield request, []
                else:
                    waiting.append((request, tokens))
            if not waiting:
                return
            waiting.sort(key=lambda pair: len(pair[1]))  # little padding
            size = rollouts = 0
            while size < len(waiting) and (not size or rollouts + waiting[size][0].n <= self.batch_size):
                rollouts += waiting[size][0].n
                size += 1
            batch, waiting = waiting[:size], waiting[size:]
            try:
                yield from self._generate_batch(batch, sampling)
            except self._torch.OutOfMemoryError as error:
                raise InputError(f"{rollouts} rollouts do not fit into memory, lower batch_size: {error}") from error

    def _generate_batch(
        self, batch: list[tuple[Request, list[int]]], sampling: Sampling
    ) -> Iterator[tuple[Request, list[Generation]]]:
        torch = self._torch
        width = max(len(tokens) for _, tokens in batch)
        repeated = [tokens for request, tokens in batch for _ in range(request.n)]
        ids = torch.tensor([[self._pad] * (width - len(tokens)) + tokens for tokens in repeated])
        mask = torch.tensor([[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in repeated])
        torch.manual_seed(request_seed(sampling.seed, batch[0][0]))
        drawing = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                max_new_tokens=min(sampling.max_tokens, self._limit - width),
                pad_token_id=self._pad,
                **(drawing if sampling.temperature > 0 else {"do_sample": False}),
            )
        rows = iter(output[:, width:].tolist())
        for request, _ in batch:
            yield request, [self._to_generation(next(rows)) for _ in range(request.n)]

    def _to_generation(self, tokens: list[int]) -> Generation:
        end = next((place for place, token in enumerate(tokens) if token in self._eos), None)
        kept = tokens if end is None else tokens[:end]
        text = str(self._tokenizer.decode(kept, skip_special_tokens=True))
        return Generation(text, len(kept) + (end is not None), "length" if end is None else "stop")
