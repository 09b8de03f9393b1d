"""verl: `pip install rlguard`, and the flag `algorithm.adv_estimator=rlguard` guards the run.

`import verl` loads this module, through the entry point group `verl.plugins`, in each of verl's processes. Once verl
imports its own PPO modules, and not before, the trainers of `verl.trainer.ppo.v1` get `verl_trainer.GuardMixin` in
front. verl's registry gets an estimator named `rlguard` that only raises an error: verl shows an estimator neither
texts nor data rows, so without the guard in the trainer there is nothing to judge by.
"""

from __future__ import annotations

import logging
from typing import Any

from wrapt import when_imported

from rlguard.integrations.verl_trainer import NAME, GuardMixin

logger = logging.getLogger(__name__)


def refuse(*_: Any, **__: Any) -> Any:
    """The estimator `rlguard` of verl's registry, for trainers in which the guard does not stand.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        f"algorithm.adv_estimator={NAME} needs a trainer with the guard in it, and this one has none: train with "
        "trainer.use_v1=True, or put rlguard.integrations.verl_trainer.GuardMixin in front of your trainer"
    )


@when_imported("verl.trainer.ppo.core_algos")
def register_name(core_algos: Any) -> None:
    core_algos.register_adv_est(NAME)(refuse)


@when_imported("verl.trainer.ppo.v1")
def guard_trainers(package: Any) -> None:
    try:
        registry = package.trainer_base.TRAINER_REGISTRY
        for name, trainer in registry.items():
            if not issubclass(trainer, GuardMixin):
                made = {"__module__": trainer.__module__}
                registry[name] = type(f"Guarded{trainer.__name__}", (GuardMixin, trainer), made)
    except Exception:  # who imports verl need not want rlguard
        logger.warning("rlguard does not know this verl and stays out of it", exc_info=True)
