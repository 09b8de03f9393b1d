"""prime-rl: two lines in your clone, below `ALGORITHM_CLASSES` in `src/prime_rl/orchestrator/algo/__init__.py`.

    from rlguard.integrations.prime_rl import guard_algorithms
    guard_algorithms(ALGORITHM_CLASSES)

prime-rl loads no algorithm of one's own by its configuration; it is registered there, in the repository. The guard
stands behind `score_group` of `grpo`, `max_rl` and `echo`, where a group's texts, task data and advantages are at hand;
all environments of the orchestrator share it. It reads the gold answer from the task data's field
`config.answer_column`. What it finds goes into the traces' metrics, which prime-rl logs per environment. `drop` sets
the advantages of a group to 0, and prime-rl takes tokens without advantage out of the loss.

Limits: the optimiser is in another process, so the step scale is only logged. prime-rl's checkpoints have no place for
an algorithm's state: pass `state_file`. Groups come one by one, each judged by those before it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard, GuardConfig
from rlguard.integrations.seams import check_seam

try:
    from prime_rl.orchestrator.algo.base import Algorithm, iter_trainable_traces
    from prime_rl.orchestrator.algo.routing import assign_advantages
except ImportError as error:
    raise ImportError(
        f"rlguard.integrations.prime_rl needs prime-rl, which is installed from its repository ({error})"
    ) from error

KNOWN = "prime-rl 0.8 (commit 559b447)"
WRAPPED = {
    Algorithm.score_group: ["self", "episodes"],
    iter_trainable_traces: ["episodes"],
    assign_advantages: ["trace", "values"],
}
SAVE_SECONDS = 60.0
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
        state_file: Where the guard keeps what it has learnt: read at the start, written once a minute.

    Raises:
        RuntimeError: If the functions are not those of a version that rlguard knows.
    """
    for function, expected in WRAPPED.items():
        check_seam(function.__qualname__, function, expected, f"It knows {KNOWN}.")
    guard = Guard(config, scales_steps=False)
    if state_file is not None and Path(state_file).exists():
        guard.load(state_file)
    for name in names:
        classes[name] = _guarded(classes[name], guard, state_file)
    return guard


def _guarded(algorithm: Any, guard: Guard, state_file: str | Path | None) -> type:
    class GuardedAlgorithm(algorithm):
        saved = time.monotonic()

        async def score_group(self, episodes: list[Any]) -> None:
            await super().score_group(episodes)
            traces_B = [trace for _, trace in iter_trainable_traces(episodes)]
            if traces_B:
                _judge(guard, traces_B)
            if state_file is not None and time.monotonic() - self.saved > SAVE_SECONDS:
                guard.save(state_file)
                self.saved = time.monotonic()

    GuardedAlgorithm.__name__ = f"Guarded{algorithm.__name__}"
    return GuardedAlgorithm


def _judge(guard: Guard, traces_B: Sequence[Any]) -> None:
    """Judges one group and writes the verdict on its traces."""
    host_B = np.nan_to_num([_read_advantage(trace) for trace in traces_B])  # a NaN reward makes its whole group NaN
    total_B = np.array([trace.reward for trace in traces_B], float)
    named_B = [trace.rewards.get(str(guard.config.outcome_reward)) for trace in traces_B]
    named = any(reward is not None for reward in named_B)
    scores_B = np.array([np.nan if reward is None else reward.score for reward in named_B]) if named else total_B
    judged = guard.apply(
        host_B,
        np.array([np.nan if reward is None else reward.value for reward in named_B]) if named else total_B,
        prompts_B=[_read_prompt(trace) for trace in traces_B],
        completions_B=[_read_completion(trace) for trace in traces_B],
        rows_B=[trace.task.data.model_dump() for trace in traces_B],
        outcomes_B=guard.read_outcomes(scores_B),
        group_ids_B=np.zeros(len(traces_B), int),
        total_rewards_B=total_B,
    )
    for row, trace in enumerate(traces_B):
        if guard.config.mode != "observe":
            assign_advantages(trace, float(judged.advantages_B[row]) if judged.kept_B[row] else 0.0)
        trace.metrics["rlguard_weight"] = float(judged.weights_B[row])
        trace.metrics.update({name.replace("/", "_"): value for name, value in judged.metrics.items()})


def _read_advantage(trace: Any) -> float:
    """The one number that the algorithm gave all sampled tokens of a trace."""
    return next((node.advantages[0] for node in trace.nodes if node.advantages), 0.0)


def _read_prompt(trace: Any) -> str:
    if isinstance(trace.task.data.prompt, str):
        return trace.task.data.prompt
    first = next((place for place, node in enumerate(trace.nodes) if node.sampled), len(trace.nodes))
    return "\n".join(str(node.message.content or "") for node in trace.nodes[:first])


def _read_completion(trace: Any) -> str:
    """What the model wrote in all turns, reasoning and reply."""
    said = [node.message for node in trace.nodes if node.sampled]
    parts = [part for message in said for part in (getattr(message, "reasoning_content", None), message.content)]
    return "\n".join(str(part) for part in parts if part)
