"""What the tests of TRL's asynchronous GRPO share: problems, reward functions, and the tiny model's tokenizer."""

from __future__ import annotations

from conftest import TINY
from datasets import Dataset
from tiny_reasoner.tasks import find_answer, make_problems
from transformers import AutoTokenizer

PROBLEMS = make_problems({"add": 1, "unlearnable": 1}, 8, 5)
GOLD = {row["prompt"]: row["answer"] for row in PROBLEMS}
ROWS = Dataset.from_list(
    [
        {"prompt": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"], "rlguard_id": row["prompt"]}
        for row in PROBLEMS
    ]
)


def correct(completions, answer, **_):
    return [float(find_answer(c[0]["content"]) == gold) for c, gold in zip(completions, answer, strict=True)]


def brief(completions, **_):
    return [len(c[0]["content"]) / 40 for c in completions]


def tiny_tokenizer():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    # TRL knows neither of these for this chat template; the first is for transformers from 5.13 on.
    tokenizer.response_template = {"defaults": {"role": "assistant"}}
    content = {"type": "string", "x-regex": r"^(.*?)(?:<eos>|$)"}
    tokenizer.response_schema = {"type": "object", "properties": {"role": {"const": "assistant"}, "content": content}}
    return tokenizer
