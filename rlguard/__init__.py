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

if TYPE_CHECKING:
    from rlguard.advantage import rewrite_advantages
    from rlguard.audit.run import run_audit
    from rlguard.config import GuardConfig
    from rlguard.curriculum import LevelCurriculum
    from rlguard.difficulty import estimate_pass_rates
    from rlguard.filtering import filter_dataset, filter_file
    from rlguard.guard import Guard
    from rlguard.order.plan import plan_order
    from rlguard.preflight import check_preflight
    from rlguard.published import read_known, read_published
    from rlguard.scan import scan_rollouts
    from rlguard.sequential import Plan
    from rlguard.shortcuts import detect_shortcuts
    from rlguard.types import Finding, InputError, PassRate, Rollout, Sampling
    from rlguard.verdicts import Rules

__version__ = "0.1.0"

_HOMES = {
    "rewrite_advantages": "rlguard.advantage",
    "estimate_pass_rates": "rlguard.difficulty",
    "check_preflight": "rlguard.preflight",
    "Plan": "rlguard.sequential",
    "filter_dataset": "rlguard.filtering",
    "filter_file": "rlguard.filtering",
    "Rules": "rlguard.verdicts",
    "read_known": "rlguard.published",
    "read_published": "rlguard.published",
    "Guard": "rlguard.guard",
    "GuardConfig": "rlguard.config",
    "run_audit": "rlguard.audit.run",
    "plan_order": "rlguard.order.plan",
    "LevelCurriculum": "rlguard.curriculum",
    "scan_rollouts": "rlguard.scan",
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
