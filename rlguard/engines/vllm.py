"""vLLM in this process: a queue that never runs empty, one request a prompt, one seed a rollout."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from rlguard.engines.origin import describe_origin
from rlguard.engines.requests import encode_prompt, needing_extra, request_seed
from rlguard.tables.hub import check_hub_name
from rlguard.types import Generation, InputError, Request, Sampling

WAITING = 4
"""Up to this many times as many completions are in flight as vLLM computes at once, so that it never idles. More would
only make follow-up requests wait."""


class VLLMEngine:
    """A model in vLLM. Without a GPU it needs vLLM's CPU build, and gets settings that fit a small machine."""

    def __init__(self, model: str, **options: Any) -> None:
        """
        Args:
            model: A folder or a hub name.
            **options: Passed on to `vllm.LLM`.

        Raises:
            InputError: If vLLM is not installed or cannot load the model.
        """
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
        with needing_extra("vllm", "; without a GPU take --engine transformers"):
            import vllm
            from vllm.platforms import current_platform
            from vllm.sampling_params import RequestOutputKind
        check_hub_name(model, "model")
        settings: dict[str, Any] = {"enable_prefix_caching": True, "disable_log_stats": True}
        if current_platform.is_cpu():
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            # With chunked prefill, a seeded request crashes vLLM's CPU runner (0.31: "CPU Generator does not use
            # offset").
            settings |= {"enforce_eager": True, "max_num_seqs": 64, "enable_chunked_prefill": False}
        try:
            self._llm = vllm.LLM(model=model, **(settings | options))
        except Exception as error:  # vLLM's errors have no common class
            raise InputError(f"vLLM cannot load the model {model!r}: {error}") from error
        self._sampling_params = partial(vllm.SamplingParams, output_kind=RequestOutputKind.FINAL_ONLY)
        self._tokenizer = self._llm.get_tokenizer()
        self._origin = describe_origin("vllm", vllm.__version__, model, options, self._tokenizer)
        config = self._llm.llm_engine.vllm_config
        self._limit = config.model_config.max_model_len
        self._room = WAITING * config.scheduler_config.max_num_seqs
        self._added = 0

    def describe(self) -> dict[str, Any]:
        """Model, engine, version, options: with any other of these, samples have a slightly different distribution."""
        return self._origin

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """As `types.Engine.generate`. Rollout j of a prompt has the prompt's seed + j, whatever else is in flight.

        Raises:
            InputError: If vLLM refuses a request, or stops (out of memory, for instance).
        """
        source, engine = iter(requests), self._llm.llm_engine
        in_flight: dict[str, Request] = {}
        try:
            while True:
                while sum(r.n for r in in_flight.values()) < self._room and (request := next(source, None)) is not None:
                    if not self._add(request, sampling, in_flight):
                        yield request, []
                if not in_flight:
                    return
                for output in self._step_until_finished():
                    yield in_flight.pop(output.request_id), [_to_generation(choice) for choice in output.outputs]
        finally:
            if in_flight:  # the caller stopped early: the next call must not get these
                engine.abort_request(list(in_flight))

    def _add(self, request: Request, sampling: Sampling, in_flight: dict[str, Request]) -> bool:
        """Hands a request to vLLM; False if its prompt does not fit."""
        tokens = encode_prompt(self._tokenizer, request, self._limit)
        if tokens is None:
            return False
        self._added += 1
        try:
            longest, seed = min(sampling.max_tokens, self._limit - len(tokens)), request_seed(sampling.seed, request)
            drawn: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
            params = self._sampling_params(n=request.n, max_tokens=longest, seed=seed, **drawn)
            self._llm.llm_engine.add_request(str(self._added), {"prompt_token_ids": tokens}, params)
        except Exception as error:  # a ValueError or a VLLMError, by version
            raise InputError(f"row {request.problem.number}: vLLM refuses the request: {error}") from error
        in_flight[str(self._added)] = request
        return True

    def _step_until_finished(self) -> list[Any]:
        """Runs vLLM until something is finished."""
        while True:
            try:
                outputs = self._llm.llm_engine.step()
            except Exception as error:  # its worker died, or memory ran out; there is no common class for these
                reason = f"{type(error).__name__}: {error}"
                raise InputError(f"vLLM stopped while sampling ({reason}); finished rollouts are kept") from error
            if finished := [output for output in outputs if output.finished]:
                return finished


def _to_generation(choice: Any) -> Generation:
    reason = choice.finish_reason or "stop"
    if choice.stop_reason == "repetition_detected":  # cut off, but not by the length limit
        reason = "repetition"
    return Generation(choice.text, len(choice.token_ids), reason)
