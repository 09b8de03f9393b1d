"""Generation with transformers: slower than vLLM, but runs wherever the model does.

transformers seeds only whole batches, so tokens are drawn here: rollout j of a prompt takes its random numbers from the
prompt's seed + j, whatever else is in its batch. Two runs differ by rounding at most, which depends on a batch's shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rlguard.engines.origin import describe_origin
from rlguard.engines.requests import encode_prompt, needing_extra, request_seed
from rlguard.tables.hub import check_hub_name
from rlguard.types import Generation, InputError, Request, Sampling

if TYPE_CHECKING:
    import torch

AHEAD = 4
"""This many batches of requests are collected and sorted by length, so that batches need little padding."""


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
        with needing_extra("transformers"):
            import torch
            import transformers
        check_hub_name(model, "model")
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
        """As `types.Engine.generate`, a batch at a time. Raises InputError if a batch does not fit into memory."""
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
        longest, device = min(sampling.max_tokens, self._limit - width), self._model.device
        seeds = [request_seed(sampling.seed, request) + turn for request, _ in batch for turn in range(request.n)]
        draws = _draw(seeds, sampling, width, longest) if sampling.temperature > 0 else []
        options = {"max_new_tokens": longest, "pad_token_id": self._pad, "do_sample": False}  # the processors draw
        with torch.inference_mode():
            inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
            output = self._model.generate(**inputs, **options, logits_processor=draws)
        rows = iter(output[:, width:].tolist())
        for request, _ in batch:
            yield request, [self._to_generation(next(rows)) for _ in range(request.n)]

    def _to_generation(self, tokens: list[int]) -> Generation:
        end = next((place for place, token in enumerate(tokens) if token in self._eos), None)
        kept = tokens if end is None else tokens[:end]
        text = str(self._tokenizer.decode(kept, skip_special_tokens=True))
        return Generation(text, len(kept) + (end is not None), "length" if end is None else "stop")


def _draw(seeds: list[int], sampling: Sampling, width: int, longest: int) -> list[Any]:
    """Logits processors that draw each row's next token with the row's own random numbers, by inverting the CDF.

    Args:
        seeds: One for each row of the batch.
        sampling: Temperature and top_p.
        width: Length of the padded prompts in tokens.
        longest: Most tokens that are drawn.
    """
    import torch
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    uniform_BT = torch.tensor(np.stack([np.random.default_rng(seed).random(longest) for seed in seeds]))

    def pick(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        mass = scores.softmax(-1, dtype=torch.float64).cumsum(-1)
        at = uniform_BT[:, ids.shape[1] - width, None].to(mass.device) * mass[:, -1:]
        token = torch.searchsorted(mass, at, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)

    warpers: list[Any] = [TemperatureLogitsWarper(sampling.temperature)] if sampling.temperature != 1 else []
    return [*warpers, *([TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []), pick]
