"""rlguard: the guard around RLVR training.

    rlguard.estimate_pass_rates    how often a model solves each prompt
    rlguard.check_preflight        is RL on this data worth starting?
    rlguard.read_published         pass rates that a data set publishes
    rlguard.filter_dataset         keep or drop rows by pass rate, with a reason; filter_file streams
    rlguard.detect_shortcuts       answer repetition and skipped computation in completions
    rlguard.rewrite_advantages     lucky successes count for less
    rlguard.Guard, GuardConfig     the guard of a training run; adapters for trainers are in rlguard.integrations
    rlguard.run_audit              what did training break elsewhere? two models on the same questions
    rlguard.plan_order             the order of domains that forgets least
    rlguard.LevelCurriculum        levels that follow the pass rates of training

Names load when they are used: importing rlguard pulls in neither torch, vllm nor trl.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlguard.version import __version__ as __version__

if TYPE_CHECKING:
    from rlguard.audit.run import run_audit
    from rlguard.curriculum.levels import LevelCurriculum
    from rlguard.difficulty.estimate import estimate_pass_rates
    from rlguard.difficulty.filter import filter_dataset, filter_file
    from rlguard.difficulty.preflight import check_preflight
    from rlguard.difficulty.published import read_known, read_published
    from rlguard.difficulty.rules import Rules
    from rlguard.difficulty.stopping import Plan
    from rlguard.guard.guard import Guard
    from rlguard.guard.rewrite import rewrite_advantages
    from rlguard.guard.settings import GuardConfig
    from rlguard.order.plan import plan_order
    from rlguard.shortcuts import detect_shortcuts
    from rlguard.shortcuts.scan import scan_rollouts
    from rlguard.types import Finding, InputError, PassRate, Rollout, Sampling

_HOMES = {
    "rewrite_advantages": "rlguard.guard.rewrite",
    "estimate_pass_rates": "rlguard.difficulty.estimate",
    "check_preflight": "rlguard.difficulty.preflight",
    "Plan": "rlguard.difficulty.stopping",
    "filter_dataset": "rlguard.difficulty.filter",
    "filter_file": "rlguard.difficulty.filter",
    "Rules": "rlguard.difficulty.rules",
    "read_known": "rlguard.difficulty.published",
    "read_published": "rlguard.difficulty.published",
    "Guard": "rlguard.guard.guard",
    "GuardConfig": "rlguard.guard.settings",
    "run_audit": "rlguard.audit.run",
    "plan_order": "rlguard.order.plan",
    "LevelCurriculum": "rlguard.curriculum.levels",
    "scan_rollouts": "rlguard.shortcuts.scan",
    "detect_shortcuts": "rlguard.shortcuts",
    "Finding": "rlguard.types",
    "InputError": "rlguard.types",
    "PassRate": "rlguard.types",
    "Rollout": "rlguard.types",
    "Sampling": "rlguard.types",
}
__all__ = [  # noqa: RUF022 - in the order of a run
    "estimate_pass_rates", "Plan", "check_preflight", "read_published", "read_known", "filter_dataset", "filter_file",
    "Rules", "scan_rollouts", "detect_shortcuts", "rewrite_advantages", "Guard", "GuardConfig",
    "run_audit", "plan_order", "LevelCurriculum", "Finding", "InputError", "PassRate", "Rollout", "Sampling",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rlguard' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
