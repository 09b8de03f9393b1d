"""How fast rlguard's vLLM engine is beside bare vLLM: the same prompts, n and seeds, in turns, in one process.

`python benchmarks/throughput/engines.py --out result.json`
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "recipes"))

from rlguard.engines import load_engine  # noqa: E402
from rlguard.engines.requests import encode_prompt, request_seed  # noqa: E402
from rlguard.types import Problem, Request, Sampling  # noqa: E402

TINY = ROOT / "recipes" / "tiny_reasoner" / "model"


def make_requests(prompts: int, n: int) -> list[Request]:
    """Sums as the tiny model knows them, three to six numbers each."""
    texts = []
    for i in range(prompts):
        numbers = [str((i * 7 + j * 3) % 10) for j in range(3 + i % 4)]
        texts.append(f"{'+-*'[i % 3].join(numbers)} mod {7 + i % 4}=?\n")
    return [Request(Problem(f"p{i}", text, number=i), n) for i, text in enumerate(texts)]


def run_bare(engine: Any, requests: list[Request], sampling: Sampling) -> dict[str, list[str]]:
    """`vllm.LLM.generate`, all at once."""
    from vllm import SamplingParams

    prompts, params = [], []
    for request in requests:
        tokens = encode_prompt(engine._tokenizer, request, engine._limit)
        assert tokens is not None
        prompts.append({"prompt_token_ids": tokens})
        room, seed = min(sampling.max_tokens, engine._limit - len(tokens)), request_seed(sampling.seed, request)
        params.append(SamplingParams(n=request.n, max_tokens=room, temperature=1.0, seed=seed))
    outputs = engine._llm.generate(prompts, params, use_tqdm=False)
    return count(
        {request.problem.id: out.outputs for request, out in zip(requests, outputs, strict=True)},
        lambda choice: len(choice.token_ids),
    )


def run_ours(engine: Any, requests: list[Request], sampling: Sampling) -> dict[str, list[str]]:
    """`VLLMEngine.generate`."""
    found = {request.problem.id: generations for request, generations in engine.generate(requests, sampling)}
    return count(found, lambda generation: generation.tokens)


def count(found: dict[str, list[Any]], tokens: Callable[[Any], int]) -> dict[str, list[Any]]:
    """Texts and tokens by prompt id."""
    return {name: [(choice.text, tokens(choice)) for choice in choices] for name, choices in found.items()}


def measure(run: Callable[..., dict[str, list[Any]]], *arguments: Any) -> tuple[float, float, dict[str, list[Any]]]:
    """Tokens a second, tokens a second of this process's own computing (on a busy machine the steadier), and texts."""
    start, computed = time.perf_counter(), time.process_time()
    found = run(*arguments)
    seconds, computed = time.perf_counter() - start, time.process_time() - computed
    tokens = sum(tokens for choices in found.values() for _, tokens in choices)
    return tokens / seconds, tokens / computed, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(TINY))
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    engine = load_engine("vllm", options.model, dtype="float32")
    requests = make_requests(options.prompts, options.n)
    measure(run_bare, engine, requests, Sampling(max_tokens=options.max_tokens, seed=99))  # warm-up
    pairs = []
    for number in range(options.pairs):
        sampling = Sampling(max_tokens=options.max_tokens, seed=number)
        runs = {"bare": run_bare, "ours": run_ours}
        order = sorted(runs, reverse=number % 2 == 1)  # who goes first changes
        measured = {}
        for name in order:
            engine._llm.reset_prefix_cache()
            measured[name] = measure(runs[name], engine, requests, sampling)
        (bare, bare_cpu, from_bare), (ours, ours_cpu, from_ours) = measured["bare"], measured["ours"]
        same = statistics.mean(a == b for key in from_bare for a, b in zip(from_bare[key], from_ours[key], strict=True))
        facts = {"bare": bare, "ours": ours, "ratio": ours / bare, "cpu_ratio": ours_cpu / bare_cpu}
        pairs.append(facts | {"same_completions": same, "first": order[0]})
        print(json.dumps(pairs[-1]), flush=True)
    summary = {}
    for name in ("ratio", "cpu_ratio"):
        ratios = [pair[name] for pair in pairs]
        summary[name] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    print(json.dumps(summary))
    if options.out:
        facts = {name: str(value) for name, value in vars(options).items()} | {"engine": engine.describe()}
        options.out.write_text(json.dumps(summary | {"pairs": pairs, "options": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
