"""TRL: train on prompts whose level follows the policy. Needs no guard, and goes with `GuardedGRPOTrainer`.

    course = TrainingCurriculum(LevelCurriculum(levels), make_row, prompts=args.max_steps * 16)
    trainer = GRPOTrainer(
        model=model,
        args=args,
        reward_funcs=course.reward(correctness),
        train_dataset=course.dataset,
        callbacks=[course],
    )

TRL takes only `datasets.Dataset` and streams. So the data set holds numbers, and its transform makes the row of a
number when it is first read, at the level that the curriculum then chooses. TRL reads a number once for each rollout,
on any rank, and again when it reuses a batch; the number keeps its level. The loader reads one batch ahead, so a batch
depends on the outcomes of all batches but the last.

Ranks exchange outcomes and choices after each optimiser step, so they agree on every level. The state is kept in the
checkpoint's `trainer_state.json`, from which a resumed run continues.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlguard.curriculum.levels import LevelCurriculum, MakeRow
from rlguard.integrations.seams import needing
from rlguard.types import InputError
from rlguard.version import how_to_install

with needing("TRL", f": {how_to_install('trl')}"):
    from accelerate.utils import gather_object
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.utils import is_async_callable

logger = logging.getLogger(__name__)

LEVEL = "rlguard_level"
"""Column with the index of the row's level in the curriculum."""
STATE = "rlguard_curriculum"
"""Name of the state among the `stateful_callbacks` of `trainer_state.json`."""


class TrainingCurriculum(TrainerCallback):
    """A curriculum in a TRL run: its data set, the reward function that reports outcomes, and the callback."""

    def __init__(
        self, curriculum: LevelCurriculum, make_row: MakeRow, prompts: int, success_threshold: float = 0.5
    ) -> None:
        """
        Args:
            curriculum: Chooses the levels.
            make_row: Makes a row from a level and a number: `prompt`, and what the reward needs, such as `answer`.
                Every rank calls it, so the same arguments must give the same row.
            prompts: Rows of the data set: distinct prompts an epoch. Every epoch has new ones.
            success_threshold: A reward above this is a success.

        Raises:
            InputError: If `prompts` is not positive.
        """
        if prompts < 1:
            raise InputError(f"prompts: expected at least 1, got {prompts!r}")
        self.curriculum = curriculum
        numbers = Dataset.from_dict({"number": range(prompts)})
        # Copying a data set copies its transform. A copied method would bring a copy of this curriculum; a function
        # does not.
        self.dataset = numbers.with_transform(lambda batch: self._read(batch))
        self._make_row, self._prompts, self._success_threshold = make_row, prompts, success_threshold
        self._epoch = 0
        self._levels: dict[int, int] = {}
        """Number of each prompt of this epoch that was read on any rank -> its level."""
        self._chosen: dict[int, int] = {}
        """Those that were read on this rank since the last step."""
        self._seen: list[tuple[int, float]] = []
        """Level and outcome of this rank's rollouts since the last step."""
        self._running = self._reported = False

    def reward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps the reward function that tells correctness, so that it reports outcomes to the curriculum.

        Wrap only that one of several reward functions. Rows without a level (of your own `eval_dataset`) are not
        reported. InputError if it is not a function but a reward model or its name.
        """
        if not callable(function) or hasattr(function, "forward"):
            raise InputError(f"reward: expected the reward function that tells correctness, got {function!r:.100}")

        if is_async_callable(function):

            @functools.wraps(function)
            async def reported(*args: Any, **columns: Any) -> Any:
                return self._report(await function(*args, **columns), columns)
        else:

            @functools.wraps(function)
            def reported(*args: Any, **columns: Any) -> Any:
                return self._report(function(*args, **columns), columns)

        reported.__name__ = getattr(function, "__name__", type(function).__name__)
        return reported

    def _report(self, rewards: Any, columns: dict[str, Any]) -> Any:
        if LEVEL not in columns:
            return rewards
        if "trainer_state" in columns and not self._running:
            raise RuntimeError("the curriculum does not see the steps: pass it to the trainer, callbacks=[course]")
        rewards = list(rewards)
        for level, reward in zip(columns[LEVEL], rewards, strict=True):
            known = reward is not None and math.isfinite(reward)
            self._seen.append((level, float(reward > self._success_threshold) if known else math.nan))
        if "log_metric" in columns:
            columns["log_metric"]("rlguard/level", float(np.mean(columns[LEVEL])))
        return rewards

    def _read(self, batch: dict[str, Sequence[int]]) -> dict[str, list[Any]]:
        """The rows of some numbers, as columns."""
        from torch.utils.data import get_worker_info

        if get_worker_info() is not None:
            raise RuntimeError("the curriculum cannot reach data loader workers: set dataloader_num_workers=0")
        numbers = [self._epoch * self._prompts + number for number in batch["number"]]
        made = {number: self._make(number) for number in dict.fromkeys(numbers)}
        names = dict.fromkeys(name for row in made.values() for name in row)
        return {name: [made[number].get(name) for number in numbers] for name in names}

    def _make(self, number: int) -> dict[str, Any]:
        level = self._levels.get(number)
        if level is None:
            level = self._levels[number] = self._chosen[number] = self.curriculum.choose(number)
        chosen = self.curriculum.levels[level]
        known = {"rlguard_chance_rate": chosen.chance_rate} if chosen.chance_rate else {}  # which the guard reads
        row = known | dict(self._make_row(chosen, number)) | {LEVEL: level}
        if "prompt" not in row:
            raise InputError(f"row {number} at level {level}: expected a prompt, got the columns {', '.join(row)}")
        return row

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.dataloader_num_workers:
            raise ValueError(
                f"dataloader_num_workers: expected 0, since the curriculum cannot reach data loader workers, "
                f"got {args.dataloader_num_workers}"
            )
        self._running, self._reported, self._epoch = True, False, int(state.epoch or 0)
        self._seen, self._chosen, self._levels = [], {}, {}
        if not state.global_step:
            return
        if STATE in state.stateful_callbacks:
            saved = state.stateful_callbacks[STATE]["attributes"]
            self.curriculum.load_state_dict(saved["curriculum"])
            self._levels = {int(number): level for number, level in saved["levels"].items()}
        else:
            logger.warning("the checkpoint holds no curriculum: it starts anew at step %d", state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if int(state.epoch or 0) != self._epoch:
            self._epoch, self._levels = int(state.epoch), {}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        parts = gather_object([(self._seen, self._chosen)])  # of each rank
        seen = [pair for rollouts, _ in parts for pair in rollouts]
        for _, chosen in parts:
            self._levels |= chosen
        self._seen, self._chosen = [], {}
        if seen:
            self._reported = True
            self.curriculum.update(*zip(*seen, strict=True))
        elif not self._reported:
            raise RuntimeError("no outcome reached the curriculum: wrap the reward function, course.reward(function)")
        saved = {"curriculum": self.curriculum.state_dict(), "levels": self._levels}
        state.stateful_callbacks[STATE] = {"args": {}, "attributes": saved}

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._running = False
