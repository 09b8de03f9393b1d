"""verl: `pip install rlguard`, and the flag `algorithm.adv_estimator=rlguard` guards the run.

verl loads this module with `import verl`, through the entry point group `verl.plugins`, in each of its processes. Once
verl imports its own PPO modules, and not before, two things are put in place:

- the trainers of `verl.trainer.ppo.v1` get `verl_trainer.GuardMixin` in front. With `adv_estimator=rlguard` it lets
  verl take its advantage step with the host estimator (`+algorithm.rlguard.host=grpo`), judges the rollouts with their
  texts, gold answers and `rlguard_*` columns, and rewrites what verl wrote. Otherwise it does nothing;
- the registry gets the estimator `rlguard`, for all other trainers. verl shows an estimator neither texts nor data
  rows, and draws a group's `uid` anew at each step: no detectors, no rates, no memory of a prompt, only the pass rates
  of other groups. Such a guard is as good as silent unless nearly all of them fail, and says so at its first batch. It
  cannot touch the learning rate, a checkpoint or the mask: `drop` then makes the advantages of a group 0.

Fields of `GuardConfig` are set with `+algorithm.rlguard.mode=observe` and so on.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig, Judged
from rlguard.guard.rewrite import as_float

logger = logging.getLogger(__name__)

NAME = "rlguard"
OTHER_KINDS = {
    "gae",
    "gdpo",
    "grpo_passk",
    "reinforce_plus_plus",
    "optimal_token_baseline",
    "tir_optimal_token_baseline",
}


def read_options(algorithm: Any) -> tuple[str, GuardConfig]:
    """The host estimator's name and the guard's settings, from the section `algorithm` of verl's configuration.

    Raises:
        ValueError: If the host's advantages cannot be rewritten, or an option is unknown or out of its range.
    """
    options = dict(algorithm.get(NAME, None) or {})
    host = str(options.pop("host", "grpo"))
    if host in OTHER_KINDS | {NAME}:
        raise ValueError(
            "algorithm.rlguard.host: expected an estimator that gives, within a group, the reward less a baseline, "
            f"divided by a scale (grpo, rloo, opo, gpg, reinforce_plus_plus_baseline), got {host!r}"
        )
    return host, GuardConfig.from_options(options)


def estimate_advantages(
    token_level_rewards: Any, response_mask: Any, config: Any = None, index: Any = None, **others: Any
) -> tuple[Any, Any]:
    """The estimator `rlguard` of verl's registry: the host's advantages with lucky successes discounted.

    Args:
        token_level_rewards: (B, T) rewards; a rollout whose sum is above `success_threshold` is a success.
        response_mask: (B, T) 1 for the tokens that are trained.
        config: The section `algorithm` of verl's configuration.
        index: (B,) group ids.
        **others: Passed on to a host that takes them.

    Returns:
        Advantages and returns, each (B, T).
    """
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    config = {} if config is None else config
    host, settings = read_options(config)
    guard = _blind_guard(json.dumps(asdict(settings)))
    estimator = get_adv_estimator_fn(host)
    others |= {"token_level_rewards": token_level_rewards, "response_mask": response_mask, "index": index}
    others["config"] = config
    if host == "grpo":  # to this one verl gives the flag, to others it does not
        others["norm_adv_by_std_in_grpo"] = config.get("norm_adv_by_std_in_grpo", True)
    takes = inspect.signature(estimator).parameters
    advantages, returns = estimator(**{name: value for name, value in others.items() if name in takes})
    uids = [str(uid) for uid in index]
    rewards = as_float(token_level_rewards.sum(-1))
    known: dict[str, Any] = {"rewards": rewards, "group_ids": uids, "prompts": uids, "completions": [None] * len(uids)}
    rewritten, _, _ = rewrite(guard, advantages, response_mask, known, np.arange(len(uids)))
    return rewritten, rewritten if returns is advantages else returns


@functools.cache
def _blind_guard(settings: str) -> Guard:
    """The process's guard for trainers that show it nothing but rewards."""
    logger.warning(
        "rlguard sees neither texts nor data rows here and judges by the pass rates of other groups alone, which says "
        "little: train with trainer.use_v1=True, or put integrations.verl_trainer.GuardMixin in front of your trainer"
    )
    return Guard(GuardConfig(**json.loads(settings)), scales_steps=False)


def rewrite(
    guard: Guard, advantages_BT: Any, mask_BT: Any, known: Mapping[str, Sequence[Any]], speaker_B: np.ndarray
) -> tuple[Any, Any, Judged | None]:
    """Judges a batch and carries the result into its per-token advantages.

    Args:
        guard: Judges, and learns.
        advantages_BT: (B, T) the host's: a rollout's one number on each of its tokens.
        mask_BT: (B, T) the response mask. Rows without a token (padding, rejected) are not judged.
        known: Arguments of `Guard.apply` without their `_B`, one entry a row.
        speaker_B: (B,) the row that speaks for each row: the last output of its session.

    Returns:
        The rewritten (B, T) advantages; the (B, T) mask, 0 for rollouts to drop; what the guard said, None for nothing.

    Raises:
        ValueError: If the host gives the tokens of a rollout different advantages.
    """
    import torch

    mask = mask_BT.bool()
    host_B = advantages_BT.gather(1, mask.int().argmax(1, keepdim=True)).squeeze(1)
    spread = torch.where(mask, host_B[:, None], 0.0)
    if not torch.allclose(torch.where(mask, advantages_BT, 0.0), spread, equal_nan=True):
        raise ValueError("algorithm.rlguard.host: expected one advantage for all tokens of a rollout, got several")
    judged_B = np.intersect1d(speaker_B, np.flatnonzero(mask.any(1).cpu().numpy()))
    if not len(judged_B):
        return advantages_BT, mask_BT, None
    chosen = {f"{name}_B": [values[row] for row in judged_B] for name, values in known.items()}
    judged = guard.apply(host_B[judged_B], chosen.pop("rewards_B"), **chosen)
    place_B = np.full(len(speaker_B), -1)
    place_B[judged_B] = np.arange(len(judged_B))
    place = torch.as_tensor(place_B[speaker_B], device=host_B.device)
    kept = (place < 0) | torch.as_tensor(judged.kept_B, device=host_B.device)[place]
    new_B = torch.where(kept, torch.where(place < 0, host_B, judged.step_advantages_B[place]), 0.0)
    new_BT = torch.where((new_B != host_B)[:, None], torch.where(mask, new_B[:, None], 0.0), advantages_BT)
    return new_BT, mask_BT * kept[:, None], judged


class _AfterImport(MetaPathFinder):
    """Calls `then` with a module once someone has imported it; until then it costs nothing."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self.name, self.then = name, then

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        spec: Any = PathFinder.find_spec(fullname, path, target) if fullname == self.name else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_call(module: ModuleType) -> None:
            execute(module)
            try:
                self.then(module)
            except Exception:  # who imports verl need not want rlguard
                logger.warning("rlguard does not know this verl and stays out of it", exc_info=True)

        spec.loader.exec_module = execute_and_call
        return spec


def _register_estimator(core_algos: Any) -> None:
    core_algos.register_adv_est(NAME)(estimate_advantages)


def _guard_trainers(package: Any) -> None:
    from rlguard.integrations.verl_trainer import GuardMixin

    registry = package.trainer_base.TRAINER_REGISTRY
    for name, trainer in registry.items():
        if not issubclass(trainer, GuardMixin):
            registry[name] = type(
                f"Guarded{trainer.__name__}", (GuardMixin, trainer), {"__module__": trainer.__module__}
            )


def register() -> None:
    """Puts the guard into verl's PPO modules: now, or when they are imported."""
    places = {"verl.trainer.ppo.core_algos": _register_estimator, "verl.trainer.ppo.v1": _guard_trainers}
    for name, then in places.items():
        if name in sys.modules:
            then(sys.modules[name])
        else:
            sys.meta_path.insert(0, _AfterImport(name, then))


register()  # verl loads an entry point and does not call it
