"""OpenRLHF: start the run through rlguard and it is guarded.

    python -m rlguard.integrations.openrlhf --rlguard '{"mode": "observe"}' …  # instead of openrlhf.cli.train_ppo_ray …

`--rlguard` (settings as JSON) is optional; all other arguments are OpenRLHF's. With a launcher of your own, call
`install()` before the trainer's Ray actor is made, or use `guarded(RemoteExperienceMaker)` in that class's place.

It wraps `RemoteExperienceMaker.compute_advantages_and_returns` of OpenRLHF 0.11 through `super()`. It rewrites the part
of the advantage that comes from the reward; a KL penalty in the reward stays. All estimators but `gae` work, with
`--rollout.n_samples_per_prompt` above 1. Correctness is the reward function's `scores` if it gives them, else its
reward before length penalties. The gold answer is the label; other columns of the data set are not visible here.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import runpy
import sys
from typing import Any

from rlguard.guard import GuardConfig
from rlguard.integrations import seams

INSTALL = "pip install 'openrlhf>=0.11,<0.12'"
with seams.needing("torch", f": {INSTALL}"):
    import torch

ESTIMATORS = ("reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo", "flash_reinforce")


class GuardMixin(seams.Anything):
    """Puts the guard into an experience maker; stands in front of it."""

    guard_config: GuardConfig | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If the advantages are not relative to a prompt's other rollouts.
        """
        super().__init__(*args, **kwargs)
        several = "--rollout.n_samples_per_prompt above 1", self.args.rollout.n_samples_per_prompt > 1
        seams.check_estimator("--algo.advantage.estimator", ESTIMATORS, self.args.algo.advantage.estimator, *several)
        ckpt = self.args.ckpt
        save = ckpt.path if 0 < ckpt.save_steps < float("inf") else None
        self.guard = seams.start_logged(self.guard_config, save, ckpt.path if ckpt.load_enable else None)

    @torch.no_grad()
    def compute_advantages_and_returns(self, experiences: list) -> list:
        # Read first: the host adds length penalties to the rewards in place.
        correct_B = torch.cat([(e.rewards if e.scores is None else e.scores).double() for e in experiences])
        paid_B = torch.cat([e.rewards.double() for e in experiences])
        experiences = super().compute_advantages_and_returns(experiences)
        host_B = torch.cat([_last_action(e.advantages, e.action_mask) for e in experiences]).double()
        size, column = self.args.rollout.n_samples_per_prompt, self.guard.config.answer_column
        decode = functools.partial(seams.decode_rollouts, self.tokenizer)
        judged = self.guard.apply(
            host_B,
            paid_B,
            prompts_B=[prompt for e in experiences for prompt in e.prompts],
            completions_B=[text for e in experiences for text in decode(e.sequences, e.action_mask)],
            rows_B=[{column: label or None} for e in experiences for label in e.labels],
            outcomes_B=self.guard.read_outcomes(correct_B),
            group_ids_B=[index // size for e in experiences for index in e.index],
            total_rewards_B=torch.cat([e.rewards.double() for e in experiences]),
        )
        columns = torch.stack([judged.advantages_B - host_B, torch.tensor(judged.trained_B)], dim=1)
        for e, own in zip(experiences, columns.split([len(e.rewards) for e in experiences]), strict=True):
            e.advantages = e.advantages + own[:, :1].to(e.advantages) * e.action_mask
            e.action_mask = e.action_mask * own[:, 1:].to(e.action_mask)
            e.info |= {name: torch.full_like(e.rewards, value).float() for name, value in judged.metrics.items()}
        return experiences


def _last_action(values: torch.Tensor, action_mask: torch.Tensor) -> torch.Tensor:
    """(B,) of (B, A): at each row's last action, where the host pays the reward."""
    last = action_mask.shape[1] - 1 - action_mask.long().fliplr().argmax(dim=1, keepdim=True)
    return values.gather(1, last).squeeze(1)


def guarded(maker_class: type, config: GuardConfig | None = None) -> type:
    """A subclass of OpenRLHF's `RemoteExperienceMaker` with the guard in it.

    Raises:
        RuntimeError: If the method that is wrapped is not the one that rlguard knows.
    """
    seams.check_overrides(maker_class, f"Install a version that rlguard knows: {INSTALL}", GuardMixin)
    return type(f"Guarded{maker_class.__name__}", (GuardMixin, maker_class), {"guard_config": config})


def install(config: GuardConfig | None = None) -> None:
    """Puts the guarded class into OpenRLHF's trainer, also for the Ray actors that this process makes."""
    with seams.needing("OpenRLHF", f": {INSTALL}"):
        import ray.cloudpickle
        from openrlhf.trainer import ppo_trainer
    ppo_trainer.RemoteExperienceMaker = guarded(ppo_trainer.RemoteExperienceMaker, config)
    ray.cloudpickle.register_pickle_by_value(ppo_trainer)  # by name, an actor would import the class without the guard


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--rlguard", type=json.loads, default={})
    own, sys.argv[1:] = parser.parse_known_args()
    install(GuardConfig.from_options(own.rlguard))
    runpy.run_module("openrlhf.cli.train_ppo_ray", run_name="__main__", alter_sys=True)


if __name__ == "__main__":  # under its own name: classes of __main__ do not travel to Ray actors by name
    importlib.import_module("rlguard.integrations.openrlhf").main()
