"""The guard in verl's trainers, where it sees texts, gold answers and `rlguard_*` columns.

`integrations.verl` puts `GuardMixin` in front of verl's own trainers; for yours, `class Mine(GuardMixin, MyTrainer)`.
It wraps four methods of verl 0.9 through `super()` and copies none. `rlguard_*` columns may stand in the data row or in
its `extra_info`; the gold answer is `reward_model.ground_truth`, else the column `GuardConfig.answer_column`. The
outcome is what the reward function reports as `GuardConfig.outcome_reward`, by default as `acc`, else the score.

In `drop` mode the response mask of a dropped rollout is 0: no policy, entropy or KL gradient comes from it, while
verl's divisors (all tokens or rollouts of the mini-batch) stay as they were. The learning rate lives in verl's workers:
it is shrunk there for one update, at whose end verl's schedule sets it anew. Out of reach it is left, and the log says
so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.guard.rewrite import as_float
from rlguard.integrations.seams import STATE_FILE, check_seam
from rlguard.integrations.verl import NAME, read_options, rewrite

logger = logging.getLogger(__name__)

COLUMNS = ["rlguard_id", "rlguard_successes", "rlguard_trials", "rlguard_chance_rate"]
WRAPPED = {
    "_compute_advantage": ["self", "batch", "metrics"],
    "_update_actor": ["self", "batch", "metrics"],
    "_save_checkpoint": ["self"],
    "_load_checkpoint": ["self"],
}


def check_signatures(trainer_class: type) -> None:
    """Raises RuntimeError when the trainer's private methods are not those that this adapter was written for."""
    import verl

    advice = (
        f"This is verl {verl.__version__}; install one that rlguard knows (pip install 'verl>=0.9.1,<0.10') or train "
        "unguarded: algorithm.adv_estimator=grpo"
    )
    for name, expected in WRAPPED.items():
        check_seam(f"{trainer_class.__name__}.{name}", getattr(trainer_class, name, None), expected, advice)


class GuardMixin:
    """Puts the guard into a trainer of `verl.trainer.ppo.v1`; it sleeps unless `adv_estimator` is `rlguard`."""

    # What the trainer in front of which it stands has.
    actor_rollout_wg: Any
    config: Any
    global_steps: int
    tokenizer: Any
    guard: Guard | None = None
    _guard_scale = 1.0

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If the installed verl is not one whose methods rlguard knows.
            ValueError: If `algorithm.rlguard` holds what it should not.
        """
        if config.algorithm.adv_estimator == NAME:
            from omegaconf import open_dict

            order = type(self).__mro__
            check_signatures(order[order.index(GuardMixin) + 1])
            host, settings = read_options(config.algorithm)
            self.guard = Guard(settings)
            with open_dict(config):  # verl has a path of its own for GRPO; the settings are logged with the others
                config.algorithm.adv_estimator = host
                config.algorithm[NAME] = {"host": host, **asdict(settings)}
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]

    def _compute_advantage(self, batch: Any, metrics: dict) -> Any:
        written = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        if self.guard is not None:
            self._guard_batch(self.guard, batch, metrics)
        return written

    def _guard_batch(self, guard: Guard, batch: Any, metrics: dict) -> None:
        """Reads back what verl wrote of this batch, judges it, and writes the result in its place."""
        import transfer_queue as tq
        from tensordict import TensorDict
        from verl.workers.utils.padding import response_to_nested

        where = {"keys": batch.keys, "partition_id": batch.partition_id}
        data = tq.kv_batch_get(**where, select_fields=_fields(guard.config))
        mask = data["response_mask"]
        host_BT, mask_BT = (data[name].to_padded_tensor(0) for name in ("advantages", "response_mask"))
        known = _read_rollouts(data, self.tokenizer, guard.config)
        advantages, kept_mask, judged = rewrite(guard, host_BT, mask_BT, known, _find_speakers(batch.keys))
        self._guard_scale = 1.0 if judged is None else judged.step_scale
        if judged is None:
            return
        metrics.update(judged.metrics)
        if guard.config.mode != "observe":
            written = {"advantages": advantages, "returns": advantages}
            if not judged.kept_B.all():
                written["response_mask"] = kept_mask
            nested = {name: response_to_nested(values, mask) for name, values in written.items()}
            tq.kv_batch_put(**where, fields=TensorDict(nested, batch_size=len(batch)))

    def _update_actor(self, batch: Any, metrics: dict) -> Any:
        scale = self._guard_scale
        if scale < 1:
            try:
                self.actor_rollout_wg.execute_with_func_generator(lambda worker: scale_rate(worker, scale))
            except Exception:  # an engine of another make: the rewrite stands, the step is as large as Adam takes it
                logger.warning("rlguard: the learning rate in the workers is out of reach", exc_info=True)
        return super()._update_actor(batch, metrics)  # type: ignore[misc]

    def _save_checkpoint(self) -> None:
        if self.guard is not None:  # first, for verl's last act is to call the checkpoint the latest
            self.guard.save(self._guard_folder() / STATE_FILE)
        super()._save_checkpoint()  # type: ignore[misc]

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()  # type: ignore[misc]
        if self.guard is not None and self.global_steps:
            trainer = self.config.trainer
            folder = trainer.resume_from_path if trainer.resume_mode == "resume_path" else self._guard_folder()
            self.guard.load(Path(folder) / STATE_FILE)

    def _guard_folder(self) -> Path:
        return Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"


def scale_rate(worker: Any, scale: float) -> Any:
    """In an actor's worker: shrinks the learning rate until the scheduler sets it anew, at the end of the update."""
    from verl import DataProto

    for group in worker.actor.engine.optimizer.param_groups:
        group["lr"] = group["lr"] * scale
    return DataProto()  # verl puts together what its workers return


def _fields(config: GuardConfig) -> list[str]:
    """What to fetch of a batch, if it is there."""
    tensors = ["advantages", "response_mask", "responses", "rm_scores", "token_level_rewards"]
    columns = ["uid", "raw_prompt", "reward_model", "extra_info", "extra_fields", *COLUMNS, config.answer_column]
    return list(dict.fromkeys([*tensors, *columns, str(config.outcome_reward or "acc")]))


def _read_rollouts(data: Any, tokenizer: Any, config: GuardConfig) -> dict[str, Any]:
    """What `Guard.apply` wants to know of each row, from the fields that verl's agent loop and trainer wrote."""
    names = (*COLUMNS, config.answer_column)
    rows = []
    for extra, reward, *values in zip(
        *(_column(data, name) for name in ("extra_info", "reward_model", *names)), strict=True
    ):
        found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        gold = (reward or {}).get("ground_truth")
        rows.append((extra or {}) | found | ({} if gold is None else {config.answer_column: gold}))
    paid = "token_level_rewards" if "token_level_rewards" in data else "rm_scores"  # the former knows the KL penalty
    return {
        "rewards": as_float(data[paid].to_padded_tensor(0).sum(-1)),
        "outcomes": _read_outcomes(data, config),
        "group_ids": _column(data, "uid"),
        "prompts": _column(data, "raw_prompt"),
        "completions": [tokenizer.decode(ids, skip_special_tokens=True) for ids in data["responses"].unbind()],
        "rows": rows,
    }


def _column(data: Any, name: str) -> list[Any]:
    return list(data[name]) if name in data else [None] * len(data)


def _read_outcomes(data: Any, config: GuardConfig) -> np.ndarray:
    """(B,) 1 correct, 0 wrong, NaN not known."""
    name = str(config.outcome_reward or "acc")
    extras = [(fields or {}).get("reward_extra_info") or {} for fields in _column(data, "extra_fields")]
    if name in data:
        values = as_float(_column(data, name))
    elif any(name in extra for extra in extras):
        values = as_float([extra.get(name) for extra in extras])
    elif config.outcome_reward:
        known = sorted({key for extra in extras for key in extra})
        raise ValueError(f"algorithm.rlguard.outcome_reward: expected one of {known} (reported), got {name!r}")
    else:
        values = as_float(data["rm_scores"].to_padded_tensor(0).sum(-1))
    return np.where(np.isnan(values), np.nan, values > config.success_threshold)


def _find_speakers(keys: Sequence[str]) -> np.ndarray:
    """(B,) the row of the last output of each row's session; verl's keys are `{uid}_{session}_{number}`."""
    parts = [key.rpartition("_") for key in keys]
    last: dict[str, int] = {}
    for row in sorted(range(len(keys)), key=lambda row: int(parts[row][2])):
        last[parts[row][0]] = row
    return np.array([last[session] for session, _, _ in parts])
