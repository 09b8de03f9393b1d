"""The guard in verl's trainers, where it sees texts, gold answers and `rlguard_*` columns.

`integrations.verl` puts `GuardMixin` in front of verl's own trainers; for yours, `class Mine(GuardMixin, MyTrainer)`.
It wraps five methods of verl 0.9 through `super()` and copies none. With `adv_estimator=rlguard` it lets verl take its
advantage step with the host estimator (`+algorithm.rlguard.host=grpo`), judges the rollouts and rewrites what verl
wrote; otherwise it does nothing. Fields of `GuardConfig` are set with `+algorithm.rlguard.mode=observe` and so on.

`rlguard_*` columns may stand in the data row or in its `extra_info`; the gold answer is `reward_model.ground_truth`,
else the column `GuardConfig.answer_column`. The outcome is what the reward function reports as
`GuardConfig.outcome_reward`, by default as `acc`, else the score. The learning rate lives in verl's workers: it is
shrunk there for one update, at whose end verl's schedule sets it anew. Out of reach it is left, and the log says so.

With `+algorithm.rlguard.sampler=true` each batch's prompts are chosen by what they are expected to teach
(`rlguard.sampling`); settings stand below that, like `+algorithm.rlguard.sampler.half_life=50`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard
from rlguard.integrations import seams
from rlguard.integrations.loader_sampler import ROW, choose_loader, read_settings
from rlguard.integrations.seams import STATE_FILE
from rlguard.sampling import SamplerConfig

logger = logging.getLogger(__name__)

NAME = "rlguard"
KNOWN = ("grpo", "rloo", "opo", "gpg", "reinforce_plus_plus_baseline")
REFUSED = ("gae", "gdpo", "grpo_passk", "reinforce_plus_plus", "optimal_token_baseline", "tir_optimal_token_baseline")
"""Estimators whose advantages are not, within a group, the reward less a baseline, divided by a scale."""
TENSORS = ["advantages", "response_mask", "responses", "rm_scores", "token_level_rewards"]
COLUMNS = ["uid", "raw_prompt", "reward_model", "extra_info", "extra_fields", ROW]
ADVICE = "install one that rlguard knows (pip install 'verl>=0.9.1,<0.10') or set algorithm.adv_estimator=grpo"


class GuardMixin(seams.Anything):
    """Puts the guard into a trainer of `verl.trainer.ppo.v1`; it sleeps unless `adv_estimator` is `rlguard`."""

    guard: Guard | None = None
    train_dataloader: Any
    _sampler: SamplerConfig | None = None

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If the installed verl is not one whose methods rlguard knows, or the host's advantages cannot
                be rewritten.
            ValueError: If `algorithm.rlguard` holds what it should not.
        """
        if config.algorithm.adv_estimator == NAME:
            import verl
            from omegaconf import open_dict

            seams.check_overrides(type(self), f"This is verl {verl.__version__}; {ADVICE}", GuardMixin)
            options = dict(config.algorithm.get(NAME, None) or {})
            host = str(options.pop("host", "grpo"))
            seams.check_estimator("algorithm.rlguard.host", KNOWN, host, refused=(*REFUSED, NAME))
            settings, self._sampler = read_settings(options)
            self.guard = Guard(settings)
            with open_dict(config):  # verl has a path of its own for GRPO; the settings are logged with the others
                config.algorithm.adv_estimator = host
                chosen = {"sampler": asdict(self._sampler)} if self._sampler else {}
                config.algorithm[NAME] = {"host": host, **asdict(settings), **chosen}
        super().__init__(config, *args, **kwargs)

    def _init_dataloader(self) -> None:
        super()._init_dataloader()
        if self.guard is not None:
            data = self.config.data
            if self._sampler and not data.shuffle:
                raise ValueError("algorithm.rlguard.sampler: data.shuffle=False asks for the data's order: drop one")
            sizes = data.train_batch_size, self.config.actor_rollout_ref.rollout.n
            self.train_dataloader = choose_loader(self.train_dataloader, self.guard, self._sampler, *sizes)

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
        name = str(guard.config.outcome_reward or "acc")
        columns = list(dict.fromkeys([*COLUMNS, *guard.reader.columns, name]))
        data = tq.kv_batch_get(**where, select_fields=[*TENSORS, *columns])
        host_BT, mask_BT = (data[name].to_padded_tensor(0) for name in ("advantages", "response_mask"))
        host_B = seams.read_advantages(host_BT, mask_BT)
        rows = _merge_rows(data, columns, guard.config.answer_column)
        reported = rows if name in data else [_read_reported(row) for row in rows]
        paid = "token_level_rewards" if "token_level_rewards" in data else "rm_scores"  # the former knows a KL penalty
        judged = guard.apply(
            host_B,
            data[paid].to_padded_tensor(0).sum(-1),
            prompts_B=[row["raw_prompt"] for row in rows],
            completions_B=[self.tokenizer.decode(ids, skip_special_tokens=True) for ids in data["responses"].unbind()],
            rows_B=rows,
            outcomes_B=guard.read_named(data["rm_scores"].to_padded_tensor(0).sum(-1), reported, "acc"),
            group_ids_B=[row["uid"] for row in rows],
            speaker_B=_find_speakers(batch.keys, mask_BT.any(1).tolist()),
        )
        metrics.update(judged.metrics)
        new_BT = seams.spread_advantages(judged.advantages_B, host_B, host_BT, mask_BT)
        written = {} if new_BT is host_BT else {"advantages": new_BT, "returns": new_BT}
        if not judged.trained_B.all():
            kept_BT = mask_BT * mask_BT.new_tensor(judged.trained_B)[:, None]
            written |= {"response_mask": kept_BT, "loss_mask": kept_BT}
        if written:
            nested = {name: response_to_nested(tensor, data["response_mask"]) for name, tensor in written.items()}
            tq.kv_batch_put(**where, fields=TensorDict(nested, batch_size=len(batch)))

    def _update_actor(self, batch: Any, metrics: dict) -> Any:
        scale = self.guard.step_scale if self.guard is not None else 1.0
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


def _merge_rows(data: Any, columns: Sequence[str], answer_column: str) -> list[dict[str, Any]]:
    """The data row of each rollout and what verl knows of it, the gold answer under `answer_column`."""
    there = {name: list(data[name]) for name in columns if name in data}
    rows = []
    for values in zip(*there.values(), strict=True):
        row = {name: value for name, value in zip(there, values, strict=True) if value is not None}
        gold = row.get("reward_model", {}).get("ground_truth")
        rows.append(row.get("extra_info", {}) | row | ({} if gold is None else {answer_column: gold}))
    return rows


def _read_reported(row: dict[str, Any]) -> dict[str, Any]:
    """What the reward function told beside the score."""
    return row.get("extra_fields", {}).get("reward_extra_info") or {}


def _find_speakers(keys: Sequence[str], trained: Sequence[bool]) -> np.ndarray:
    """(B,) the row of the last output of each row's session, -1 where that has no token to train on (padding).

    verl's keys are `{uid}_{session}_{number}`.
    """
    parts = [key.rpartition("_") for key in keys]
    last = {parts[row][0]: row for row in sorted(range(len(keys)), key=lambda row: int(parts[row][2]))}
    return np.array([last[session] if trained[last[session]] else -1 for session, _, _ in parts])
