"""vLLM in this process: one queue that never starves, all rollouts of a prompt in one request, a seed a request."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from rlguard.engines import describe_origin, encode_prompt, request_seed
from rlguard.types import Generation, InputError, Request, Sampling


class VLLMEngine:
    """A model in vLLM. On a machine without a GPU it runs on the CPU build, with settings that fit a small machine."""

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
        try:
            import vllm
            from vllm.platforms import current_platform
            from vllm.sampling_params import RequestOutputKind
        except ImportError as error:
            raise InputError(
                f"the vllm engine is not installed ({error}): pip install 'rlguard[vllm]', "
                "or on a machine without a GPU see README, Installing"
            ) from error
        self._origin = describe_origin("vllm", vllm.__version__, model, options)
        if current_platform.is_cpu():
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            # A seeded request whose prefill is cut in chunks crashes vLLM's CPU runner (0.31: "CPU Generator does not
            # use offset"), so prefills stay whole here.
            options = {"enforce_eager": True, "max_num_seqs": 64, "enable_chunked_prefill": False} | options
        try:
            self._llm = vllm.LLM(model=model, disable_log_stats=True, **options)
        except (OSError, ValueError) as error:
            raise InputError(f"vLLM cannot load the model {model!r}: {error}") from error
        self._sampling_params = partial(vllm.SamplingParams, output_kind=RequestOutputKind.FINAL_ONLY)
        self._tokenizer = self._llm.get_tokenizer()
        self._limit = self._llm.llm_engine.model_config.max_model_len

    def describe(self) -> dict[str, Any]:
        """Model, engine, version, options: sampling with another of them is another distribution, if a near one."""
        return self._origin

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """Yields each request with its generations as it finishes; a prompt that does not fit yields none."""
        engine: Any = self._llm.llm_engine
        waiting: dict[str, Request] = {}
        for number, request in enumerate(requests):
            tokens = encode_prompt(self._tokenizer, request, self._limit)
            if tokens is None:
                yield request, []
                continue
            params = self._sampling_params(
                n=request.n,
                max_tokens=min(sampling.max_tokens, self._limit - len(tokens)),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=request_seed(sampling.seed, request),
            )
            waiting[str(number)] = request
            engine.add_request(str(number), {"prompt_token_ids": tokens}, params)
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    yield waiting.pop(output.request_id), [_to_generation(choice) for choice in output.outputs]


def _to_generation(choice: Any) -> Generation:
    reason = choice.finish_reason or "stop"
    if choice.stop_reason == "repetition_detected":  # it truncates, but is no length limit
        reason = "repetition"
    return Generation(choice.text, len(choice.token_ids), reason)
