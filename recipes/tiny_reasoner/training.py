"""GRPO on the tiny reasoner with TRL's own trainer: its settings, reward and measurements. Needs torch and trl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tiny_reasoner.tasks import MAX_COMPLETION, check_steps, find_answer
from trl import GRPOConfig


def grpo_config(output_dir: str, seed: int, **overrides: Any) -> GRPOConfig:
    """TRL's settings for the tiny reasoner on one CPU core; everything not named here is TRL's default.

    16 prompts x 8 rollouts a step. The learning rate follows a healthy control: GRPO on the learnable skills alone must
    raise their accuracy. It does at 1e-4 and 2e-4; at 3e-4 a weaker model lost them even so.
    """
    settings: dict[str, Any] = {
        "output_dir": output_dir,
        "seed": seed,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "constant",
        "max_steps": 100,
        "num_generations": 8,
        "per_device_train_batch_size": 128,
        "gradient_accumulation_steps": 1,
        "max_completion_length": MAX_COMPLETION,
        "scale_rewards": "group",
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return GRPOConfig(**(settings | overrides))


def correctness_reward(completions: Sequence[str], answer: Sequence[str], **_: Any) -> list[float]:
    """1.0 where the final `answer N` equals the gold answer, else 0.0; how it was found is not looked at."""
    return [float(find_answer(c) == gold) for c, gold in zip(completions, answer, strict=True)]


@torch.no_grad()
def generate_texts(
    model: Any, tokenizer: Any, prompts: Sequence[str], temperature: float = 0.0, batch_size: int = 256
) -> list[str]:
    """Completions of at most `MAX_COMPLETION` tokens, in the order of the prompts; temperature 0 is greedy.

    Sampling uses torch's global generator: fork it around the call where training must not notice.
    """
    was_training = model.training
    model.eval()
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    texts: list[str] = []
    for start in range(0, len(prompts), batch_size):
        batch = tokenizer(list(prompts[start : start + batch_size]), return_tensors="pt", padding=True)
        tokens_BT = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=MAX_COMPLETION,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **sampling,
        )
        texts += tokenizer.batch_decode(tokens_BT[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    model.train(was_training)
    return texts


def evaluate_skills(model: Any, tokenizer: Any, problems: Sequence[dict], temperature: float = 0.0) -> dict[str, Any]:
    """Accuracy and how the answers came about, over problems from `tasks.make_problems`.

    Returns:
        `n`; `accuracy`, `share_computed`, `share_bare`, `share_false_steps`, `share_unanswered` and `share_lucky`
        (correct, not computed), each a share of all problems; `mean_characters` of a completion; `accuracy_by_family`,
        a dict.
    """
    texts = generate_texts(model, tokenizer, [row["prompt"] for row in problems], temperature)
    return describe_texts(problems, texts, find_answer, check_steps)


def describe_texts(
    problems: Sequence[dict],
    texts: Sequence[str],
    find: Callable[[str], str | None],
    check: Callable[[str, str], str],
) -> dict[str, Any]:
    """What `evaluate_skills` returns, of one completion of each problem.

    Args:
        problems: Rows with `prompt`, `answer` and `family`.
        texts: Their completions.
        find: The answer in a completion.
        check: How a completion came to its answer, from its prompt and itself; one of the shares' names.
    """
    correct = [float(find(text) == row["answer"]) for row, text in zip(problems, texts, strict=True)]
    kinds = [check(row["prompt"], text) for row, text in zip(problems, texts, strict=True)]
    n, counts = len(problems), Counter(kinds)
    by_family: dict[str, list[float]] = {}
    for row, ok in zip(problems, correct, strict=True):
        by_family.setdefault(row["family"], []).append(ok)
    return {
        "n": n,
        "accuracy": sum(correct) / n,
        **{f"share_{kind}": counts[kind] / n for kind in ("computed", "bare", "false_steps", "unanswered")},
        "share_lucky": sum(ok for ok, kind in zip(correct, kinds, strict=True) if kind != "computed") / n,
        "mean_characters": sum(map(len, texts)) / n,
        "accuracy_by_family": {family: sum(oks) / len(oks) for family, oks in sorted(by_family.items())},
    }
