"""NeMo-RL: two lines in your copy of `examples/run_grpo.py`, after the tokenizer is made.

    from rlguard.integrations.nemo_rl import guard_estimator
    guard_estimator(pad_token_id=tokenizer.pad_token_id)

NeMo-RL's factory of advantage estimators is closed, so the guard takes the place of `compute_advantage` on the class
`GRPOAdvantageEstimator` itself, which every GRPO loop uses. In `grpo_train` and `async_grpo_train` the argument
`repeated_batch` carries the conversations and `extra_env_info`, and the guard reads texts and gold answers there. With
the data plane (`grpo_train_sync`, the single controller) only tensors arrive: no detectors, no chance rates, pass rates
alone, by a hash of the prompt's tokens. The asynchronous loop logs the guard's metrics; from the others they go to
Python's log at INFO. Checkpoints do not know the guard: pass `state_file`. Groups that `use_dynamic_sampling` discards
are never seen.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import check_seam, needing
from rlguard.types import completion_text, prompt_text

with needing("NeMo-RL", ", which is installed from its repository"):
    import torch
    from nemo_rl.algorithms.advantage_estimator import GRPOAdvantageEstimator

EXPECTED = ["self", "prompt_ids", "rewards", "mask", "kwargs"]


def guard_estimator(
    config: GuardConfig | None = None,
    pad_token_id: int | None = None,
    state_file: str | Path | None = None,
    estimator: Any = GRPOAdvantageEstimator,
) -> Guard:
    """Puts the guard behind an estimator's `compute_advantage`, for this process.

    Args:
        config: Settings of the guard. `answer_column` is looked up in `extra_env_info`, then `ground_truth`.
        pad_token_id: The tokenizer's; without it prompts are padded differently from batch to batch, and where no
            texts arrive the guard does not know them again.
        state_file: Where the guard keeps what it has learnt: read at the start, written after each batch.
        estimator: The class; one of your own must give each rollout one number.

    Raises:
        RuntimeError: If the method is not that of a version that rlguard knows, or is guarded already.
    """
    host, name = estimator.compute_advantage, f"{estimator.__name__}.compute_advantage"
    check_seam(name, host, EXPECTED, "It knows NeMo-RL 0.7 (commit 7ea279a).")
    if hasattr(host, "rlguard"):
        raise RuntimeError(f"{name} is guarded already")
    guard = Guard(config, scales_steps=False, state_file=state_file)

    @functools.wraps(host)
    def compute_advantage(self: Any, prompt_ids: Any, rewards: Any, mask: Any, **kwargs: Any) -> Any:
        batch = kwargs.get("repeated_batch") or {}
        judged = guard.apply(
            host(self, prompt_ids, rewards, mask, **kwargs)[:, 0],  # the same on all tokens
            rewards,
            **(_read_texts(batch, guard.config) if "message_log" in batch else _read_ids(prompt_ids, pad_token_id)),
            outcomes_B=guard.read_outcomes(batch.get("unshaped_total_reward", rewards)),
            group_ids_B=torch.unique(prompt_ids, dim=0, return_inverse=True)[1],
        )
        self.last_metrics = judged.metrics
        return judged.advantages_B.unsqueeze(-1).expand(mask.shape)

    compute_advantage.rlguard = guard  # type: ignore[attr-defined]
    estimator.compute_advantage = compute_advantage
    return guard


def _read_texts(batch: Mapping[str, Any], config: GuardConfig) -> dict[str, list]:
    """Prompts, completions and data rows, of the conversations and what the environments know."""
    read: dict[str, list] = {"prompts_B": [], "completions_B": [], "rows_B": []}
    infos = batch.get("extra_env_info") or [{}] * len(batch["message_log"])
    for messages, length, info in zip(batch["message_log"], batch["length"], infos, strict=True):
        starts = itertools.accumulate((len(message["token_ids"]) for message in messages), initial=0)
        asked = sum(start < int(length) for start in starts)  # `length` counts the prompt's tokens
        read["prompts_B"].append(prompt_text(messages[:asked]))
        read["completions_B"].append(completion_text(messages[asked:]))
        row = info if isinstance(info, Mapping) else {}
        read["rows_B"].append({config.answer_column: row.get("ground_truth"), **row})
    return read


def _read_ids(prompt_ids: Any, pad_token_id: int | None) -> dict[str, list]:
    """Where there are no texts: the prompt's tokens by which it is known again, and no completions."""
    names = [f"tokens {[token for token in tokens if token != pad_token_id]}" for tokens in prompt_ids.tolist()]
    return {"prompts_B": names, "completions_B": [None] * len(names)}
