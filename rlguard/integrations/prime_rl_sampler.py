"""prime-rl: two more lines below those of the guard, and each training source's tasks are chosen while training.

    from prime_rl.orchestrator.curriculum import Curriculum
    choose_tasks(Curriculum, guard, group_size=8, batch=64)

`guard` is what `guard_algorithms` returned. prime-rl builds no sampler of one's own by its configuration; the standard
one is exchanged where a curriculum is made, and one that was configured stays. The state is in prime-rl's checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rlguard.guard import Guard
from rlguard.guard.reading import read_evidence
from rlguard.integrations.prime_rl import read_prompt, read_rewards
from rlguard.integrations.seams import check_seam, needing
from rlguard.sampling import BatchChooser, PromptSampler, SamplerConfig
from rlguard.types import InputError

with needing("prime-rl", ", which is installed from its repository"):
    from prime_rl.orchestrator.algo.base import iter_trainable_traces
    from prime_rl.orchestrator.curriculum.samplers import StandardSampler, TaskSampler


class LiveTasks(TaskSampler):
    """Chooses tasks a batch at a time, by what they are expected to teach."""

    def __init__(self, tasks: Any, guard: Guard, group_size: int, batch: int, config: SamplerConfig) -> None:
        """
        Raises:
            InputError: If the tasks cannot be chosen from; says why.
        """
        if not isinstance(tasks, Sequence):
            raise InputError("rlguard: expected a finite taskset to choose from, got an iterator")
        self.tasks, self.guard, self.batch = tasks, guard, min(batch, len(tasks))
        self._places = {task.key: place for place, task in enumerate(tasks)}
        # The guard judges group by group here, and counts each as a batch.
        config = replace(config, half_life=config.half_life * batch)
        self.chooser = BatchChooser(PromptSampler(len(tasks), group_size, config, guard.luck))
        self._chosen: list[int] = []
        self._logged: dict[str, float] = {}

    def __next__(self) -> Any:
        if not self._chosen:
            self._chosen = self.chooser.choose(self.batch)
        return self.tasks[self._chosen.pop(0)]

    def observe(self, group: list[Any]) -> None:
        """Learns a group that the guard has judged."""
        traces = [trace for _, trace in iter_trainable_traces(group)]
        if traces:
            row, column = traces[0].task.data.model_dump(), self.guard.config.answer_column
            names = [read_evidence(read_prompt(traces[0]), None, row, column).prompt_id] * len(traces)
            outcomes = self.guard.read_outcomes(read_rewards(self.guard, traces)[1])
            self._logged = self.chooser.observe([self._places[group[0].task.key]] * len(traces), names, outcomes)

    def state_dict(self) -> dict[str, Any]:
        return {"chooser": self.chooser.state_dict(), "chosen": list(self._chosen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.chooser.load_state_dict(state_dict["chooser"])
        self._chosen = list(state_dict["chosen"])

    def metrics(self) -> dict[str, float]:
        return {name.rpartition("/")[2]: value for name, value in self._logged.items()}


def choose_tasks(
    curriculum: Any, guard: Guard, group_size: int, batch: int, config: SamplerConfig | None = None
) -> None:
    """Lets the tasks of every curriculum that is made from now on be chosen while training.

    Args:
        curriculum: prime-rl's class `Curriculum`; changed in place.
        guard: The guard of the algorithms.
        group_size: Rollouts of a task, as prime-rl is configured.
        batch: Tasks of a training step: so many are chosen at once, all different.
        config: Settings of the sampler.

    Raises:
        RuntimeError: If the class is not that of a version that rlguard knows.
    """
    built = curriculum.__init__
    check_seam("Curriculum.__init__", built, "self config tasks", "It knows prime-rl 0.8 (commit 559b447).")

    def build(self: Any, config_: Any, tasks: Any) -> None:
        built(self, config_, tasks)
        if type(self.sampler) is StandardSampler:
            self.sampler = LiveTasks(tasks, guard, group_size, batch, config or SamplerConfig())

    curriculum.__init__ = build
