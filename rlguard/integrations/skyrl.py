"""SkyRL 0.3 and 0.4: one more option on its command line, and the run is guarded.

    python -m skyrl.train.entrypoints.main_base trainer.override_entrypoint=rlguard.integrations.skyrl ...

Settings are more options, like `rlguard.mode=observe`. With an entry point of your own, let `get_trainer` of your
`BasePPOExp` give a `GuardedPPOTrainer(**kwargs)`; `GuardMixin` goes in front of a trainer class of your own.

An estimator of `@register_advantage_estimator` sees neither texts nor checkpoints. So the guard wraps
`RayPPOTrainer.compute_advantages_and_returns`, which has the batch, the tokenizer and the data set, and leaves your
choice of estimator alone (grpo, rloo, maxrl, or any of yours with one number per rollout). Gold answers are read from
the data set: the column `config.answer_column`, else `reward_spec.ground_truth`. Each policy step's learning rate is
scaled. The state lies beside the trainer's checkpoint, if that is on a local disk.

Limits: a rollout's reward is its outcome, so `use_kl_in_reward` blurs it. The all-failed and all-solved groups that
`dynamic_sampling` discards are never seen, so pass rates look less extreme than they are. `step_wise_trajectories`,
GAE and REINFORCE++ have no one advantage per rollout and are refused.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations import seams

with seams.needing("SkyRL", ": pip install 'skyrl[fsdp]>=0.3,<0.5'"):
    import yaml
    from skyrl.train.trainer import RayPPOTrainer

logger = logging.getLogger(__name__)

OVERRIDE, OWN = "trainer.override_entrypoint=", "rlguard."
WRAPPED = {
    "compute_advantages_and_returns": ["self", "data"],
    "_execute_training_step": ["self", "model", "data"],
    "save_checkpoints": ["self"],
    "load_checkpoints": ["self"],
}


class GuardMixin(seams.Anything):
    """Puts the guard into a SkyRL trainer; stands in front of it."""

    guard_config: GuardConfig | None = None
    dispatch: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If SkyRL is not a version that rlguard knows, or has no one advantage per rollout.
        """
        seams.check_seams(RayPPOTrainer, WRAPPED, "It knows skyrl 0.3 and 0.4.")
        super().__init__(*args, **kwargs)
        estimator = str(self.cfg.trainer.algorithm.advantage_estimator)
        if self.cfg.generator.step_wise_trajectories or estimator in ("gae", "reinforce++"):
            raise RuntimeError(
                "rlguard needs one advantage per rollout: expected generator.step_wise_trajectories=false and "
                f"trainer.algorithm.advantage_estimator grpo, rloo or maxrl, got {estimator!r}"
            )
        self.guard = Guard(self.guard_config)
        self._step_scale = 1.0

    def compute_advantages_and_returns(self, data: Any) -> Any:
        data = super().compute_advantages_and_returns(data)
        rollouts = slice(len(data["rewards"]) - data.metadata.get("pad_size", 0))
        uids_B = data.metadata["uids"][rollouts]
        host_BT, mask_BT = (data[name][rollouts] for name in ("advantages", "response_mask"))
        host_B = seams.read_advantages(host_BT, mask_BT)
        said_BT = data["sequences"][rollouts, -mask_BT.shape[1] :]
        rows = {uid: self._read_row(uid) for uid in set(uids_B)}
        judged = self.guard.apply(
            host_B,
            data["rewards"][rollouts].sum(dim=1),
            prompts_B=[rows[uid].get("prompt") or f"SkyRL data row {uid}" for uid in uids_B],
            completions_B=seams.decode_rollouts(self.tokenizer, said_BT, mask_BT),
            rows_B=[rows[uid] for uid in uids_B],
            group_ids_B=uids_B,
        )
        data["advantages"] = data["advantages"].clone()  # SkyRL's estimators give the same tensor as returns
        data["advantages"][rollouts] = seams.spread_advantages(judged.advantages_B, host_B, host_BT, mask_BT)
        data["loss_mask"][rollouts] *= data["loss_mask"].new_tensor(judged.trained_B)[:, None]
        self._step_scale = judged.step_scale
        self.all_metrics.update(judged.metrics)
        return data

    def _read_row(self, uid: str) -> dict[str, Any]:
        """The data set row of a prompt, which SkyRL's own data set numbers; nothing of other data sets."""
        try:
            messages, _, extras, _ = self.train_dataset[int(uid)]
        except (TypeError, ValueError, LookupError):
            return {}
        gold = (extras.get("reward_spec") or {}).get("ground_truth")
        return {self.guard.config.answer_column: gold, **extras, "prompt": messages}

    def _execute_training_step(self, model: str, data: Any) -> Any:
        host = self.dispatch
        if model == "policy" and self._step_scale != 1:
            self.dispatch = ScaledDispatch(host, self._step_scale)
        try:
            return super()._execute_training_step(model, data)
        finally:
            self.dispatch = host

    def save_checkpoints(self) -> str:
        folder = super().save_checkpoints()
        if Path(folder).is_dir():
            self.guard.save(Path(folder) / seams.STATE_FILE)
        else:
            logger.warning("%s is no local folder: the guard's state is not saved with the checkpoint", folder)
        return folder

    def load_checkpoints(self) -> Any:
        loaded = super().load_checkpoints()
        if loaded[1]:
            self.guard.load(Path(loaded[1]) / seams.STATE_FILE)
        return loaded


class ScaledDispatch:
    """The trainer's dispatch, with the learning rate of each optimiser step scaled.

    SkyRL's scheduler sets the rate anew after each step, and tells it with the metrics of the backward pass.
    """

    def __init__(self, dispatch: Any, scale: float) -> None:
        self._dispatch, self._scale = dispatch, scale
        self._rate: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatch, name)

    def forward_backward_from_staged(self, model: str, *args: Any, **kwargs: Any) -> Any:
        status = self._dispatch.forward_backward_from_staged(model, *args, **kwargs)
        self._rate = status.metrics.get("policy_lr")
        return status

    def optim_step(self, model: str, *args: Any, **kwargs: Any) -> Any:
        if self._rate is not None:
            self._dispatch.set_lr(model, self._rate * self._scale)
        return self._dispatch.optim_step(model, *args, **kwargs)


class GuardedPPOTrainer(GuardMixin, RayPPOTrainer):
    """SkyRL's RayPPOTrainer with the guard in it; a drop-in replacement."""


def main() -> None:
    """SkyRL's entry point with a guarded trainer; found by `trainer.override_entrypoint`."""
    import ray
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.entrypoints.main_base import BasePPOExp
    from skyrl.train.utils import validate_cfg
    from skyrl.train.utils.utils import initialize_ray

    options, rest = _split_options(sys.argv[1:])
    trainer = type("ConfiguredTrainer", (GuardedPPOTrainer,), {"guard_config": GuardConfig.from_options(options)})
    experiment = type("GuardedExp", (BasePPOExp,), {"get_trainer": lambda self, **kwargs: trainer(**kwargs)})
    cfg = SkyRLTrainConfig.from_cli_overrides(rest)
    validate_cfg(cfg)
    initialize_ray(cfg)
    ray.get(ray.remote(num_cpus=1)(lambda: experiment(cfg).run()).remote())


def _split_options(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The guard's settings among the options of a command line, and what SkyRL's own parser is to read."""
    own = [argument.removeprefix(OWN).partition("=") for argument in arguments if argument.startswith(OWN)]
    rest = [argument for argument in arguments if not argument.startswith((OWN, OVERRIDE))]
    return {name: yaml.safe_load(value) for name, _, value in own}, rest
