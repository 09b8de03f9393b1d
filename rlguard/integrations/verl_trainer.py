"""The guard in verl's trainers, where it sees texts, gold answers and `rlguard_*` columns.

`integrations.verl` puts `GuardMixin` in front of verl's own trainers; for yours, `class Mine(GuardMixin, MyTrainer)`.
It wraps four methods of verl 0.9 through `super()` and copies none. With `adv_estimator=rlguard` it lets verl take its
advantage step with the host estimator (`+algorithm.rlguard.host=grpo`), judges the rollouts and rewrites what verl
wrote; otherwise it does nothing. Fields of `GuardConfig` are set with `+algorithm.rlguard.mode=observe` and so on.

`rlguard_*` columns may stand in the data row or in its `extra_info`; the gold answer is `reward_model.ground_truth`,
else the column `GuardConfig.answer_column`. The outcome is what the reward function reports as
`GuardConfig.outcome_reward`, by default as `acc`, else the score. The learning rate lives in verl's workers: it is
shrunk there for one update, at whose end verl's schedule sets it anew. Out of reach it is left, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import STATE_FILE, Anything, check_seams, read_advantages, spread_advantages

logger = logging.getLogger(__name__)

NAME = "rlguard"
TOKEN_BASELINES = ["optimal_token_baseline", "tir_optimal_token_baseline"]
OTHER_KINDS = ["gae", "gdpo", "grpo_passk", "reinforce_plus_plus", *TOKEN_BASELINES]
"""Estimators whose advantages are not, within a group, the reward less a baseline, divided by a scale."""
TENSORS = ["advantages", "response_mask", "responses", "rm_scores", "token_level_rewards"]
HOST_COLUMNS = ["uid", "raw_prompt", "reward_model", "extra_info", "extra_fields"]
WRAPPED = {
    "_compute_advantage": ["self", "batch", "metrics"],
    "_update_actor": ["self", "batch", "metrics"],
    "_save_checkpoint": ["self"],
    "_load_checkpoint": ["self"],
}


def check_signatures(trainer_class: type) -> None:
    """Raises RuntimeError when the trainer's private methods are not those that this adapter was written for."""
    import verl

    install = "install one that rlguard knows (pip install 'verl>=0.9.1,<0.10') or train unguarded"
    check_seams(trainer_class, WRAPPED, f"This is verl {verl.__version__}; {install}: algorithm.adv_estimator=grpo")


def read_options(algorithm: Any) -> tuple[str, GuardConfig]:
    """The host estimator's name and the guard's settings, from the section `algorithm` of verl's configuration.

    Raises:
        ValueError: If the host's advantages cannot be rewritten, or an option is unknown or out of its range.
    """
    options = dict(algorithm.get(NAME, None) or {})
    host = str(options.pop("host", "grpo"))
    if host in (*OTHER_KINDS, NAME):
        raise ValueError(
            "algorithm.rlguard.host: expected an estimator that gives, within a group, the reward less a baseline, "
            f"divided by a scale (grpo, rloo, opo, gpg, reinforce_plus_plus_baseline), got {host!r}"
        )
    return host, GuardConfig.from_options(options)


class GuardMixin(Anything):
    """Puts the guard into a trainer of `verl.trainer.ppo.v1`; it sleeps unless `adv_estimator` is `rlguard`."""

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
        super().__init__(config, *args, **kwargs)

    def _compute_advantage(self, batch: Any, metrics: dict) -> Any:
        written = super()._compute_advantage(batch, metrics)
        if self.guard is not None:
            self._guard_batch(self.guard, batch, metrics)
        return written

    def _guard_batch(self, guard: Guard, batch: Any, metrics: dict) -> None:
        """Reads back what verl wrote of this batch, judges it, and writes the result in its place."""
        import transfer_queue as tq
        from tensordict import TensorDict
        from verl.workers.utils.padding import response_to_nested

        where = {"keys": batch.keys, "partition_id": batch.partition_id}
        columns = [*HOST_COLUMNS, *guard.reader.columns, str(guard.config.outcome_reward or "acc")]
        data = tq.kv_batch_get(**where, select_fields=list(dict.fromkeys([*TENSORS, *columns])))
        host_BT, mask_BT = (data[name].to_padded_tensor(0) for name in ("advantages", "response_mask"))
        host_B = read_advantages(host_BT, mask_BT)
        rows = _read_rows(data, columns, guard.config.answer_column)
        paid = "token_level_rewards" if "token_level_rewards" in data else "rm_scores"  # the former knows a KL penalty
        judged = guard.apply(
            host_B,
            data[paid].to_padded_tensor(0).sum(-1),
            prompts_B=[row["raw_prompt"] for row in rows],
            completions_B=[self.tokenizer.decode(ids, skip_special_tokens=True) for ids in data["responses"].unbind()],
            rows_B=rows,
            outcomes_B=guard.read_outcomes(_read_scores(data, rows, columns[-1], bool(guard.config.outcome_reward))),
            group_ids_B=[row["uid"] for row in rows],
            speaker_B=_find_speakers(batch.keys, mask_BT.any(1).tolist()),
        )
        self._guard_scale = judged.step_scale
        metrics.update(judged.metrics)
        new_BT = spread_advantages(judged.advantages_B, host_B, host_BT, mask_BT)
        written = {} if new_BT is host_BT else dict.fromkeys(("advantages", "returns"), new_BT)
        if not judged.trained_B.all():
            written |= dict.fromkeys(
                ("response_mask", "loss_mask"), mask_BT * mask_BT.new_tensor(judged.trained_B)[:, None]
            )
        if written:
            nested = {name: response_to_nested(tensor, data["response_mask"]) for name, tensor in written.items()}
            tq.kv_batch_put(**where, fields=TensorDict(nested, batch_size=len(batch)))

    def _update_actor(self, batch: Any, metrics: dict) -> Any:
        scale = self._guard_scale
        if scale < 1:
            try:
                self.actor_rollout_wg.execute_with_func_generator(lambda worker: scale_rate(worker, scale))
            except Exception:  # an engine of another make: the rewrite stands, the step is as large as Adam takes it
                logger.warning("rlguard: the learning rate in the workers is out of reach", exc_info=True)
        return super()._update_actor(batch, metrics)

    def _save_checkpoint(self) -> None:
        if self.guard is not None:  # first, for verl's last act is to call the checkpoint the latest
            self.guard.save(self._guard_folder() / STATE_FILE)
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
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


def _read_rows(data: Any, columns: Sequence[str], answer_column: str) -> list[dict[str, Any]]:
    """The data row of each rollout and what verl knows of it, the gold answer under `answer_column`."""
    there = {name: list(data[name]) for name in columns if name in data}
    rows = []
    for values in zip(*there.values(), strict=True):
        row = {name: value for name, value in zip(there, values, strict=True) if value is not None}
        gold = row.get("reward_model", {}).get("ground_truth")
        rows.append(row.get("extra_info", {}) | row | ({} if gold is None else {answer_column: gold}))
    return rows


def _read_scores(data: Any, rows: Sequence[dict[str, Any]], name: str, wanted: bool) -> Any:
    """(B,) what tells correctness: a column, else what the reward function reports under that name, else the score."""
    if name in data:
        return list(data[name])
    reported = [row.get("extra_fields", {}).get("reward_extra_info") or {} for row in rows]
    if any(name in told for told in reported):
        return [told.get(name) for told in reported]
    if wanted:
        known = sorted({key for told in reported for key in told})
        raise ValueError(f"algorithm.rlguard.outcome_reward: expected one of {known} (reported), got {name!r}")
    return data["rm_scores"].to_padded_tensor(0).sum(-1)


def _find_speakers(keys: Sequence[str], trained: Sequence[bool]) -> np.ndarray:
    """(B,) the row of the last output of each row's session, -1 where that has no token to train on (padding).

    verl's keys are `{uid}_{session}_{number}`.
    """
    parts = [key.rpartition("_") for key in keys]
    last = {parts[row][0]: row for row in sorted(range(len(keys)), key=lambda row: int(parts[row][2]))}
    return np.array([last[session] if trained[last[session]] else -1 for session, _, _ in parts])
