"""What the models are trained on and measured by: problems, rewards, and how good a model is at them."""

from __future__ import annotations

import json
import os
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.models import ROOT, STORE
from benchmarks.gpu.runs import Run, Size
from rlguard.answers import extract_answer, normalise_answer

Problem = dict[str, Any]
"""`prompt` (messages; text for a model without a chat template), `answer`, `kind`."""

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "unlearnable": ("gcd", {"min_value": 100, "max_value": 999}),
    "learnable": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}),
    "prior": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}),
}
"""Tasks of reasoning-gym and their settings. The untrained model cannot work out a greatest common divisor."""
TINY_KINDS = {"unlearnable": ("unlearnable",), "learnable": ("mix",), "prior": ("add", "sub")}
"""The same for the tiny reasoner, of its own tasks."""
ASKED = {
    "arithmetic": ("Solve the problem briefly.", "What is 3 + 4?", "3 + 4 = 7. The answer is 7."),
    "gsm8k": (
        "Solve the problem step by step.",
        "A box holds 6 pens. Ann buys 3 boxes and gives 5 pens away. How many pens does she keep?",
        "She buys 3 * 6 = 18 pens. She keeps 18 - 5 = 13 pens. The answer is 13.",
    ),
}
"""What stands before a problem: without an example the models seldom come to an answer in so few tokens."""
HELD_OUT = {"arithmetic": 2, "gsm8k": 5}
"""One of so many problems is never trained on."""
FORMAT_WEIGHT, LENGTH_WEIGHT = 0.2, 0.1
_CLOSES = re.compile(r"answer (?:is )?\S+\s*\Z", re.IGNORECASE)


def _ask(text: str, task: str, family: str) -> Any:
    if family == "tiny":
        return text
    roles = ("system", "user", "assistant")
    shown = [{"role": role, "content": said} for role, said in zip(roles, ASKED[task], strict=True)]
    return [*shown, {"role": "user", "content": text}]


def _is_held_out(text: str, task: str) -> bool:
    return zlib.crc32(text.encode()) % HELD_OUT[task] == 0


def make_problems(kind: str, count: int, seed: int, held_out: bool = False, family: str = "smollm2") -> list[Problem]:
    """Distinct problems of a kind of arithmetic. Text decides which ones are held out."""
    if family == "tiny":
        from tiny_reasoner import tasks

        rows = tasks.make_problems(TINY_KINDS[kind], count, seed, held_out=held_out)
        return [{"prompt": row["prompt"], "answer": row["answer"], "kind": kind} for row in rows]
    import reasoning_gym

    task, settings = KINDS[kind]
    # The gym seeds its i-th problem with seed + i: seeds that lie close to each other would share problems.
    source = reasoning_gym.create_dataset(task, size=100 * count + 1, seed=seed * 1_000_003, **settings)
    found: dict[str, str] = {}
    for i in range(len(source)):
        if len(found) == count:
            return [
                {"prompt": _ask(text, "arithmetic", family), "answer": answer, "kind": kind}
                for text, answer in found.items()
            ]
        text = source[i]["question"].strip()
        if _is_held_out(text, "arithmetic") == held_out:
            found[text] = str(source[i]["answer"])
    raise ValueError(f"{kind}: expected {count} distinct problems, found {len(found)}; ask for fewer")


def find_data() -> Path:
    """The folder of the problems: `RLGUARD_DATA`, or what was unpacked, or beside the repository."""
    unpacked = STORE / "data"
    default = unpacked if unpacked.exists() else ROOT.parent / "shared" / "data"
    return Path(os.environ.get("RLGUARD_DATA", default))


def read_gsm8k(held_out: bool, family: str = "smollm2") -> dict[str, Problem]:
    """GSM8K's training problems, by the number of their line; a part of them is never trained on."""
    path = find_data() / "gsm8k" / "train.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no GSM8K problems; set RLGUARD_DATA to the folder that has gsm8k/train.jsonl")
    found = {}
    for number, line in enumerate(path.read_text().splitlines()):
        row = json.loads(line)
        if _is_held_out(row["question"], "gsm8k") == held_out:
            gold = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
            found[str(number)] = {"prompt": _ask(row["question"], "gsm8k", family), "answer": gold, "kind": "gsm8k"}
    return found


def sample_gsm8k(size: Size, family: str) -> dict[str, Problem]:
    """The training problems whose pass rates are measured, the same for all runs."""
    found = read_gsm8k(held_out=False, family=family)
    numbers = random.Random(0).sample(sorted(found, key=int), min(size.rate_problems, len(found)))
    return {number: found[number] for number in numbers}


def mix_problems(run: Run, size: Size, passes: Mapping[str, int] | None = None) -> list[Problem]:
    """Training problems, `run.share` of them near-impossible, shuffled.

    Args:
        run: Task, share, seed, family.
        size: How many.
        passes: For GSM8K, the base model's passes of each line in its rollouts; near-impossible is what it never
            solved in them, learnable the rest.

    Raises:
        ValueError: Too few of a sort for one step.
    """
    rng = random.Random(run.seed)
    if run.task == "arithmetic":
        impossible = round(run.share * size.problems)
        counts = {"unlearnable": impossible, "learnable": size.problems - impossible}
        rows = [row for kind, n in counts.items() if n for row in make_problems(kind, n, run.seed, family=run.family)]
    else:
        problems, pools = read_gsm8k(held_out=False, family=run.family), {True: [], False: []}
        for number, count in sorted((passes or {}).items()):
            pools[count == 0].append(problems[number] | {"kind": "learnable" if count else "unlearnable"})
        shares = {True: run.share, False: 1 - run.share}
        total = min([size.problems, *(int(len(pools[sort]) / part) for sort, part in shares.items() if part)])
        if total < size.prompts:
            held = ", ".join(f"{len(pools[sort])} {name}" for sort, name in ((True, "never"), (False, "sometimes")))
            raise ValueError(f"{run.name}: expected problems for a step of {size.prompts}, got {held} solved")
        rows = [row for sort, part in shares.items() for row in rng.sample(pools[sort], round(part * total))]
    rng.shuffle(rows)
    return rows


def list_held_out(run: Run, size: Size) -> dict[str, list[Problem]]:
    """What a run is measured by: problems of each kind that are never trained on."""
    kinds = ("unlearnable", "learnable", "prior") if run.task == "arithmetic" else ("prior",)
    found = {kind: make_problems(kind, size.evaluate_on, run.seed, held_out=True, family=run.family) for kind in kinds}
    if run.task == "gsm8k":
        rows = list(read_gsm8k(held_out=True, family=run.family).values())
        found["gsm8k"] = random.Random(run.seed).sample(rows, min(size.evaluate_on, len(rows)))
    return found


def _read_texts(completions: Sequence[Any]) -> list[str]:
    return [said if isinstance(said, str) else said[-1]["content"] for said in completions]


def reward_correct(completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float]:
    """1.0 where the final answer of a text, or of the messages TRL gives, is the gold answer, else 0.0."""
    spans = [extract_answer(text) for text in _read_texts(completions)]
    return [
        float(span is not None and normalise_answer(span[0]) == normalise_answer(gold))
        for span, gold in zip(spans, answer, strict=True)
    ]


def reward_format(completions: Sequence[Any], **_: Any) -> list[float]:
    """1.0 where a completion closes with `The answer is N.`, right or wrong."""
    return [float(_CLOSES.search(text) is not None) for text in _read_texts(completions)]


def make_length_penalty(most: int) -> Any:
    """A reward of −1 for a completion of `most` tokens, less for shorter ones."""

    def reward_length(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [-len(ids) / most for ids in completion_ids]

    return reward_length


def list_rewards(run: Run, size: Size) -> tuple[list[Any], list[float]]:
    """A run's reward functions and their weights; correctness first, which is the guard's outcome."""
    if run.rewards == "correct":
        return [reward_correct], [1.0]
    return [reward_correct, reward_format, make_length_penalty(size.tokens(run))], [1.0, FORMAT_WEIGHT, LENGTH_WEIGHT]


def generate(
    model: Any, tokenizer: Any, problems: Sequence[Problem], tokens: int, seed: int
) -> tuple[list[str], float]:
    """One completion of each problem at T=1, and their mean length in tokens; training does not notice."""
    import torch

    prompts, was_training = [row["prompt"] for row in problems], model.training
    options = {"padding": True, "return_tensors": "pt"}
    if isinstance(prompts[0], str):
        batch = tokenizer(prompts, **options)
        batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    else:
        batch = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True, **options)
    batch = {name: values.to(model.device) for name, values in batch.items()}
    model.eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        tokens_BT = model.generate(
            **batch, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=tokens,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        )[:, batch["input_ids"].shape[1] :]  # fmt: skip
    model.train(was_training)
    length = float((tokens_BT != tokenizer.pad_token_id).sum()) / len(problems)
    return tokenizer.batch_decode(tokens_BT, skip_special_tokens=True), length


def measure(model: Any, tokenizer: Any, problems: Sequence[Problem], run: Run, size: Size) -> dict[str, float]:
    """`accuracy`, `share_top` (of the most frequent answer: a constant answer shows here), `mean_tokens`, `seconds`."""
    start = time.time()
    asked = [row for row in problems for _ in range(size.samples)]
    texts, length = generate(model, tokenizer, asked, size.tokens_of(problems[0]["kind"]), run.seed)
    spans = [extract_answer(text) for text in texts]
    given = Counter(normalise_answer(span[0]) for span in spans if span is not None)
    return {
        "accuracy": sum(reward_correct(texts, [row["answer"] for row in asked])) / len(asked),
        "share_top": max(given.values(), default=0) / len(asked),
        "mean_tokens": length,
        "seconds": time.time() - start,
    }
