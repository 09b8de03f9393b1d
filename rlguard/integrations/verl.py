"""verl: `pip install rlguard`, and the flag `algorithm.adv_estimator=rlguard` guards the run.

verl loads this module with `import verl`, through the entry point group `verl.plugins`, in each of its processes. Once
verl imports its own PPO modules, and not before, the trainers of `verl.trainer.ppo.v1` get `verl_trainer.GuardMixin` in
front. verl's registry of estimators gets the name `rlguard` too, as an estimator that only raises: verl shows an
estimator neither texts nor data rows, so in a trainer without the guard there is nothing to judge by.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

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


def _register_name(core_algos: Any) -> None:
    core_algos.register_adv_est(NAME)(refuse)


def _guard_trainers(package: Any) -> None:
    registry = package.trainer_base.TRAINER_REGISTRY
    for name, trainer in registry.items():
        if not issubclass(trainer, GuardMixin):
            registry[name] = type(
                f"Guarded{trainer.__name__}", (GuardMixin, trainer), {"__module__": trainer.__module__}
            )


def register() -> None:
    """Puts the guard into verl's PPO modules: now, or when they are imported."""
    places = {"verl.trainer.ppo.core_algos": _register_name, "verl.trainer.ppo.v1": _guard_trainers}
    for name, then in places.items():
        if name in sys.modules:
            then(sys.modules[name])
        else:
            sys.meta_path.insert(0, _AfterImport(name, then))


register()  # verl loads an entry point and does not call it
