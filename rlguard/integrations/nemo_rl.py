"""NeMo-RL: two lines in your copy of `examples/run_grpo.py`, after the tokenizer is made.

    from rlguard.integrations.nemo_rl import guard_estimator
    guard_estimator(pad_token_id=tokenizer.pad_token_id)

NeMo-RL's factory of advantage estimators is closed, so the guard takes the place of `compute_advantage` on the class
`GRPOAdvantageEstimator` itself, which every GRPO loop uses. In `grpo_train` and `async_grpo_train` the argument
`repeated_batch` carries the conversations and `extra_env_info`, and the guard reads texts and gold answers there. With
the data plane (`grpo_train_sync`, the single controller) only tensors arrive: no detectors, no chance rates. What is
left are pass rates, by a hash of the prompt's tokens, which the tracker knows again in the next epoch.

Limits: `drop` sets advantages to 0: the tokens stay in the loss's denominator and under a KL penalty. The optimiser is
in other processes, so the step scale is only logged. The asynchronous loop logs the guard's metrics; the others have no
way from an estimator to the logger, and there they go to Python's logging at INFO. Checkpoints do not know the guard:
pass `state_file`. Groups that `use_dynamic_sampling` discards are never seen.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import check_seam

try:
    import torch
    from nemo_rl.algorithms.advantage_estimator import GRPOAdvantageEstimator
except ImportError as error:
    raise ImportError(
        f"rlguard.integrations.nemo_rl needs NeMo-RL, which is installed from its repository ({error})"
    ) from error

logger = logging.getLogger(__name__)

KNOWN = "NeMo-RL 0.7 (commit 7ea279a)"
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
    host = estimator.compute_advantage
    name = f"{estimator.__name__}.compute_advantage"
    check_seam(name, host, EXPECTED, f"It knows {KNOWN}.")
    if hasattr(host, "rlguard"):
        raise RuntimeError(f"{name} is guarded already")
    guard = Guard(config, scales_steps=False)
    if state_file is not None and Path(state_file).exists():
        guard.load(state_file)

    @functools.wraps(host)
    def compute_advantage(self: Any, prompt_ids: Any, rewards: Any, mask: Any, **kwargs: Any) -> Any:
        advantages_BT = host(self, prompt_ids, rewards, mask, **kwargs)
        batch = kwargs.get("repeated_batch")
        texts = _read_texts(batch, guard.config) if batch is not None and "message_log" in batch else None
        prompts_B, completions_B, rows_B = texts or _read_ids(prompt_ids, pad_token_id)
        raw_B = rewards if batch is None else batch.get("unshaped_total_reward", rewards)
        judged = guard.apply(
            advantages_BT[:, 0].nan_to_num(0.0),  # the same on all tokens; a NaN reward makes its whole group NaN
            rewards,
            prompts_B=prompts_B,
            completions_B=completions_B,
            rows_B=rows_B,
            outcomes_B=guard.read_outcomes(raw_B),
            group_ids_B=torch.unique(prompt_ids, dim=0, return_inverse=True)[1].cpu().numpy(),
        )
        self.last_metrics = judged.metrics
        logger.info("rlguard: %s", judged.metrics)
        if state_file is not None:
            guard.save(state_file)
        if guard.config.mode == "observe":
            return advantages_BT
        kept_B = torch.as_tensor(judged.kept_B, device=advantages_BT.device)
        return torch.where(kept_B, judged.advantages_B, 0.0).unsqueeze(-1).expand(mask.shape)

    compute_advantage.rlguard = guard  # type: ignore[attr-defined]
    estimator.compute_advantage = compute_advantage
    return guard


def _read_texts(batch: Mapping[str, Any], config: GuardConfig) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Prompts, completions and data rows, of the conversations and what the environments know."""
    prompts, completions, rows = [], [], []
    infos = batch.get("extra_env_info") or [None] * len(batch["message_log"])
    for messages, length, info in zip(batch["message_log"], batch["length"], infos, strict=True):
        prompt, said, tokens = [], [], 0
        for message in messages:  # `length` counts the prompt's tokens; assistants may speak in it too
            if tokens < int(length):
                prompt.append(message["content"])
            elif message["role"] == "assistant":
                said.append(message["content"])
            tokens += len(message["token_ids"])
        row = info if isinstance(info, Mapping) else {}
        prompts.append("\n".join(prompt))
        completions.append("\n".join(said))
        rows.append({config.answer_column: row.get("ground_truth"), **row})
    return prompts, completions, rows


def _read_ids(prompt_ids: Any, pad_token_id: int | None) -> tuple[list[str], list[None], list[dict[str, Any]]]:
    """Where there are no texts: the tokens' hash for the prompt, and no completions."""
    ids = []
    for tokens in prompt_ids.tolist():
        while pad_token_id is not None and tokens and tokens[-1] == pad_token_id:
            tokens.pop()
        ids.append("tokens " + hashlib.sha256(repr(tokens).encode()).hexdigest())
    return ids, [None] * len(ids), [{}] * len(ids)
