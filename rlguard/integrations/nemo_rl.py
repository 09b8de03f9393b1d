"""NeMo-RL: two lines in your copy of `examples/run_grpo.py`, after the tokenizer is made.

    from rlguard.integrations.nemo_rl import guard_estimator
    guard_estimator(pad_token_id=tokenizer.pad_token_id)

NeMo-RL's set of advantage estimators is closed, so the guard replaces `compute_advantage` of the class
`GRPOAdvantageEstimator`, which every GRPO loop uses. In `grpo_train` and `async_grpo_train`, texts and gold answers
come with the argument `repeated_batch`. With the data plane (`grpo_train_sync`, the single controller) only tensors
arrive: no detectors, no chance rates, only pass rates of prompts known by their tokens. The asynchronous loop logs the
guard's metrics; the others send them to Python's log at INFO. Checkpoints cannot hold the guard's state: pass
`state_file`. The guard never sees groups that `use_dynamic_sampling` discards.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import check_seams, needing
from rlguard.types import completion_text, prompt_text

with needing("NeMo-RL", ", which is installed from its repository"):
    import torch
    from nemo_rl.algorithms.advantage_estimator import GRPOAdvantageEstimator

WRAPPED = {"compute_advantage": "self prompt_ids rewards mask kwargs"}
CANNOT_MASK = "NeMo-RL's estimator has no hold of the mask that its loss uses; set grpo.use_dynamic_sampling there"


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
        ValueError: For `mask_silent`.
    """
    check_seams(estimator, WRAPPED, "It knows NeMo-RL 0.7 (commit 7ea279a).")
    guard = Guard(config, scales_steps=False, cannot_mask=CANNOT_MASK, state_file=state_file)
    host = estimator.compute_advantage

    def compute_advantage(self: Any, prompt_ids: Any, rewards: Any, mask: Any, **kwargs: Any) -> Any:
        batch = kwargs.get("repeated_batch") or {}
        column = guard.config.answer_column
        judged = guard.apply(
            host(self, prompt_ids, rewards, mask, **kwargs)[:, 0],  # the same on all tokens
            rewards,
            **_read_texts(batch, column) if "message_log" in batch else _read_ids(prompt_ids, pad_token_id),
            outcomes_B=guard.read_outcomes(batch.get("unshaped_total_reward", rewards)),
            group_ids_B=torch.unique(prompt_ids, dim=0, return_inverse=True)[1],
        )
        self.last_metrics = judged.metrics
        return judged.advantages_B.unsqueeze(-1).expand(mask.shape)

    compute_advantage.rlguard = guard  # type: ignore[attr-defined]
    estimator.compute_advantage = compute_advantage
    return guard


def _read_texts(batch: Mapping[str, Any], answer_column: str) -> dict[str, list]:
    """Prompts, completions and data rows, from the conversations and the environments' data."""
    lengths, logs = batch["length"].tolist(), batch["message_log"]  # `length` counts the prompt's tokens
    starts = [itertools.accumulate((len(message["token_ids"]) for message in log), initial=0) for log in logs]
    asked = [sum(start < length for start in of_log) for of_log, length in zip(starts, lengths, strict=True)]
    infos = [info if isinstance(info, Mapping) else {} for info in batch.get("extra_env_info") or [{}] * len(logs)]
    return {
        "prompts_B": [prompt_text(log[:count]) for log, count in zip(logs, asked, strict=True)],
        "completions_B": [completion_text(log[count:]) for log, count in zip(logs, asked, strict=True)],
        "rows_B": [{answer_column: info.get("ground_truth"), **info} for info in infos],
    }


def _read_ids(prompt_ids: Any, pad_token_id: int | None) -> dict[str, list]:
    """Without texts: the prompt's tokens as its name, and no completions."""
    names = [f"tokens {[token for token in tokens if token != pad_token_id]}" for tokens in prompt_ids.tolist()]
    return {"prompts_B": names, "completions_B": [None] * len(names)}
