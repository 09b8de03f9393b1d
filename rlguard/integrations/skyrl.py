"""SkyRL 0.3 and 0.4: one more option on its command line, and the run is guarded.

    python -m skyrl.train.entrypoints.main_base trainer.override_entrypoint=rlguard.integrations.skyrl ...

Settings are more options, like `rlguard.mode=observe`. `rlguard.sampler=true`, or `rlguard.sampler={half_life: 50}`,
chooses each batch's prompts by what they are expected to teach. With an entry point of your own, let `get_trainer` of
your `BasePPOExp` give a `GuardedPPOTrainer(**kwargs)`; `GuardMixin` goes in front of a trainer class of your own.

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

import sys
from typing import Any

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations import seams
from rlguard.integrations.loader_sampler import ROW, choose_loader, read_settings
from rlguard.sampling import SamplerConfig

with seams.needing("SkyRL", ": pip install 'skyrl[fsdp]>=0.3,<0.5'"):
    import yaml
    from skyrl.train.trainer import RayPPOTrainer

OVERRIDE, OWN = "trainer.override_entrypoint=", "rlguard."
KNOWN, REFUSED = ("grpo", "rloo", "maxrl"), ("gae", "reinforce++")


class GuardMixin(seams.Anything):
    """Puts the guard into a SkyRL trainer; stands in front of it."""

    guard_config: GuardConfig | None = None
    dispatch: Any
    train_dataloader: Any
    sampler_config: SamplerConfig | None = None
    """Choose each batch's prompts by what they are expected to teach; None keeps SkyRL's order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If SkyRL is not a version that rlguard knows, or has no one advantage per rollout.
        """
        seams.check_overrides(RayPPOTrainer, "It knows skyrl 0.3 and 0.4.", GuardMixin)
        self.guard = Guard(self.guard_config)
        super().__init__(*args, **kwargs)
        whole = "generator.step_wise_trajectories=false", not self.cfg.generator.step_wise_trajectories
        got = str(self.cfg.trainer.algorithm.advantage_estimator)
        seams.check_estimator("trainer.algorithm.advantage_estimator", KNOWN, got, *whole, refused=REFUSED)

    def _build_train_dataloader_and_compute_training_steps(self) -> None:
        super()._build_train_dataloader_and_compute_training_steps()
        sizes = self.cfg.trainer.train_batch_size, self.cfg.generator.n_samples_per_prompt
        self.train_dataloader = choose_loader(self.train_dataloader, self.guard, self.sampler_config, *sizes)

    def compute_advantages_and_returns(self, data: Any) -> Any:
        data = super().compute_advantages_and_returns(data)
        rollouts = slice(len(data["rewards"]) - data.metadata.get("pad_size", 0))
        uids_B = data.metadata["uids"][rollouts]
        host_BT, mask_BT = (data[name][rollouts] for name in ("advantages", "response_mask"))
        host_B = seams.read_advantages(host_BT, mask_BT)
        rows = {uid: self._read_row(uid) for uid in set(uids_B)}
        judged = self.guard.apply(
            host_B,
            data["rewards"][rollouts].sum(dim=1),
            prompts_B=[rows[uid].get("prompt") or f"SkyRL data row {uid}" for uid in uids_B],
            completions_B=seams.decode_rollouts(self.tokenizer, data["sequences"][rollouts], mask_BT),
            rows_B=[rows[uid] for uid in uids_B],
            group_ids_B=uids_B,
        )
        data["advantages"] = data["advantages"].clone()  # SkyRL's estimators give the same tensor as returns
        data["advantages"][rollouts] = seams.spread_advantages(judged.advantages_B, host_B, host_BT, mask_BT)
        data["loss_mask"][rollouts] *= data["loss_mask"].new_tensor(judged.trained_B)[:, None]
        self.all_metrics.update(judged.metrics)
        return data

    def _read_row(self, uid: str) -> dict[str, Any]:
        """The data set row of a prompt, which SkyRL's own data set numbers; nothing of other data sets."""
        try:
            messages, _, extras, _ = self.train_dataset[int(uid)]
        except (TypeError, ValueError, LookupError):
            return {}
        gold = (extras.get("reward_spec") or {}).get("ground_truth")
        return {self.guard.config.answer_column: gold, **extras, "prompt": messages, ROW: int(uid)}

    def _execute_training_step(self, model: str, data: Any) -> Any:
        host = self.dispatch
        if model == "policy":
            self.dispatch = ScaledDispatch(host, self.guard.step_scale)
        try:
            return super()._execute_training_step(model, data)
        finally:
            self.dispatch = host

    def save_checkpoints(self) -> str:
        folder = super().save_checkpoints()
        self.guard.save(f"{folder}/{seams.STATE_FILE}")
        return folder

    def load_checkpoints(self) -> Any:
        loaded = super().load_checkpoints()
        if loaded[1]:
            self.guard.load(f"{loaded[1]}/{seams.STATE_FILE}")
        return loaded


class ScaledDispatch:
    """The trainer's dispatch, with the learning rate of each optimiser step scaled.

    SkyRL's scheduler sets the rate anew after each step, and tells it with the metrics of the backward pass.
    """

    def __init__(self, dispatch: Any, scale: float) -> None:
        self._dispatch, self._scale, self._rate = dispatch, scale, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatch, name)

    def forward_backward_from_staged(self, model: str, *args: Any, **kwargs: Any) -> Any:
        status = self._dispatch.forward_backward_from_staged(model, *args, **kwargs)
        self._rate = status.metrics.get("policy_lr")
        return status

    def optim_step(self, model: str, *args: Any, **kwargs: Any) -> Any:
        if self._scale < 1 and self._rate:
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
    settings = dict(zip(("guard_config", "sampler_config"), read_settings(options), strict=True))
    trainer = type("ConfiguredTrainer", (GuardedPPOTrainer,), settings)
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
