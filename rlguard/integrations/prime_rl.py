"""prime-rl: two lines in your clone, below `ALGORITHM_CLASSES` in `src/prime_rl/orchestrator/algo/__init__.py`.

    from rlguard.integrations.prime_rl import guard_algorithms
    guard_algorithms(ALGORITHM_CLASSES)

prime-rl's configuration cannot load your own algorithm, so it is registered in the repository. The guard wraps
`score_group` of `grpo`, `max_rl` and `echo`, which has a group's texts, task data and advantages; all environments of
the orchestrator share one guard. Gold answers are read from the task data's field `config.answer_column`. Metrics go
into the traces' metrics, which prime-rl logs by environment. Its checkpoints cannot hold an algorithm's state: pass
`state_file`. Groups come one at a time; each is judged by those before it. With `mask_silent`, silent groups get the
advantage 0, and prime-rl leaves such tokens out of its loss (`filter_zero_advantages`, on by default).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import Anything, check_seam, needing

with needing("prime-rl", ", which is installed from its repository"):
    from prime_rl.orchestrator.algo.base import Algorithm, iter_trainable_traces
    from prime_rl.orchestrator.algo.routing import assign_advantages

WRAPPED = {Algorithm.score_group: "self episodes", iter_trainable_traces: "episodes", assign_advantages: "trace values"}
ALGORITHMS = ("grpo", "max_rl", "echo")
"""Those with one baseline for all traces of a group."""


def guard_algorithms(
    classes: dict[str, Any],
    config: GuardConfig | None = None,
    names: Sequence[str] = ALGORITHMS,
    state_file: str | Path | None = None,
) -> Guard:
    """Puts guarded classes in the place of prime-rl's algorithms.

    Args:
        classes: prime-rl's `ALGORITHM_CLASSES`; changed in place.
        config: Settings of the guard. `outcome_reward` names the reward that tells correctness; by default it is the
            trace's whole reward.
        names: Which algorithms to guard. Each must give a group's traces one number each, affine in the reward.
        state_file: Where the guard keeps what it has learnt: read at the start, written as it learns.

    Raises:
        RuntimeError: If the functions are not those of a version that rlguard knows.
    """
    for function, expected in WRAPPED.items():
        check_seam(function.__qualname__, function, expected, "It knows prime-rl 0.8 (commit 559b447).")
    guard = Guard(config, scales_steps=False, state_file=state_file)
    for name in names:
        classes[name] = type(f"Guarded{classes[name].__name__}", (GuardMixin, classes[name]), {"guard": guard})
    return guard


class GuardMixin(Anything):
    """Puts the guard into an algorithm; stands in front of its class."""

    guard: Guard

    async def score_group(self, episodes: list[Any]) -> None:
        await super().score_group(episodes)
        traces_B = [trace for _, trace in iter_trainable_traces(episodes)]
        # An algorithm gives all sampled tokens of a trace one number.
        host_B = np.array([next((n.advantages[0] for n in t.nodes if n.advantages), 0.0) for t in traces_B], float)
        paid_B, score_B = read_rewards(self.guard, traces_B)
        judged = self.guard.apply(
            host_B,
            paid_B,
            prompts_B=[read_prompt(trace) for trace in traces_B],
            completions_B=[_join(node for node in trace.nodes if node.sampled) for trace in traces_B],
            rows_B=[trace.task.data.model_dump() for trace in traces_B],
            outcomes_B=self.guard.read_outcomes(score_B),
            group_ids_B=np.zeros(len(traces_B)),
            total_rewards_B=np.array([trace.reward for trace in traces_B], float),
        )
        metrics = {name.replace("/", "_"): value for name, value in judged.metrics.items()}
        for trace, host, advantage, weight in zip(traces_B, host_B, judged.advantages_B, judged.weights_B, strict=True):
            if advantage != host:
                assign_advantages(trace, float(advantage))
            trace.metrics.update(metrics, rlguard_weight=float(weight))


def read_rewards(guard: Guard, traces_B: Sequence[Any]) -> tuple[Any, Any]:
    """(B,) what the outcome's reward paid, and (B,) its scores; the whole reward if no trace has one of its name."""
    named_B = [trace.rewards.get(str(guard.config.outcome_reward)) for trace in traces_B]
    if not any(named_B):
        return (np.array([trace.reward for trace in traces_B], float),) * 2
    return [r and r.value for r in named_B], [r and r.score for r in named_B]


def read_prompt(trace: Any) -> str:
    """What was asked, before the model wrote anything."""
    return _join(itertools.takewhile(lambda node: not node.sampled, trace.nodes))


def _join(nodes: Iterable[Any]) -> str:
    """What the messages of some turns say, the model's reasoning and its reply."""
    said = [(getattr(node.message, "reasoning_content", None), node.message.content) for node in nodes]
    return "\n".join(str(part) for parts in said for part in parts if part)
