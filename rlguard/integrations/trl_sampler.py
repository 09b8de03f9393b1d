"""TRL: each batch's prompts are chosen while training (`GuardedGRPOTrainer(..., sampler=SamplerConfig())`)."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler

from rlguard.guard import Judged
from rlguard.guard.guard import ROW
from rlguard.integrations.loader_sampler import make_chooser
from rlguard.sampling import BatchChooser, SamplerConfig
from rlguard.tables.files import replace_file
from rlguard.types import InputError

logger = logging.getLogger(__name__)

SAMPLER_FILE = "rlguard_sampler.json"
"""Name of the sampler's state beside a trainer's checkpoint."""
PADDED = {
    "prompt_ids": -1, "prompt_mask": -1, "completion_ids": 1, "completion_mask": 1, "tool_mask": 1, "advantages": 1,
    "old_per_token_logps": 1, "ref_per_token_logps": 1, "sampling_per_token_logps": 1, "importance_sampling_ratio": 1,
}  # fmt: skip
"""Columns of a batch that can be put together from two, and on which side they are padded: -1 left, 1 right."""


class LiveSampler(Sampler):
    """The order of TRL's `RepeatSampler`, of prompts that are chosen batch by batch.

    The loader reads one batch ahead, so a batch is chosen by what all batches but the one before it showed. All ranks
    choose alike: they see the same outcomes, in the same order.
    """

    def __init__(self, chooser: BatchChooser, size: int, repeats: int, epoch: Callable[[], float | None]) -> None:
        """
        Args:
            chooser: What chooses.
            size: Prompts of a generation batch, over all ranks.
            repeats: How often TRL reads a generation batch: iterations times steps.
            epoch: Tells where training is.
        """
        self.chooser, self.size, self.repeats, self._epoch = chooser, size, repeats, epoch
        self._drawn: list[list[int]] = []  # of the epoch that began last; when it is resumed it begins with them
        self._began = -1

    def __iter__(self) -> Iterator[int]:
        epoch = int(self._epoch() or 0)
        known = self._drawn if epoch == self._began else []
        self._drawn, self._began = [], epoch
        for number in range(self.chooser.sampler.count // self.size):
            places = known[number] if number < len(known) else self.chooser.choose(self.size)
            self._drawn.append(places)
            for _ in range(self.repeats):
                for place in places:
                    yield from [place] * self.chooser.sampler.group_size

    def __len__(self) -> int:
        sampler = self.chooser.sampler
        return sampler.count // self.size * self.size * sampler.group_size * self.repeats

    def save(self, path: Path) -> None:
        """Writes the state as one file, whole or not at all."""
        state = {"chooser": self.chooser.state_dict(), "began": self._began, "drawn": self._drawn}
        replace_file(path, json.dumps(state))

    def load(self, path: Path) -> None:
        """Restores what `save` wrote; a file that is missing or damaged is logged, and the sampler starts anew."""
        try:
            state = json.loads(path.read_bytes())
            self.chooser.load_state_dict(state["chooser"])
            self._drawn, self._began = state["drawn"], int(state["began"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            logger.warning("%s cannot be read, the sampler starts anew: %r", path, error)


def make_sampler(trainer: Any, config: SamplerConfig) -> LiveSampler:
    """The sampler of a guarded trainer, whose data set it gives the column `ROW`.

    Raises:
        InputError: If the prompts cannot be chosen here; says why and what to do.
    """
    data, size = trainer.train_dataset, trainer.args.generation_batch_size // trainer.num_generations
    if not isinstance(data, Dataset):
        name = type(data).__name__
        raise InputError(f"sampler: expected a datasets.Dataset, got {name}: a stream cannot be chosen from")
    if data.format["type"] == "custom":
        raise InputError("sampler: train_dataset has a transform (a curriculum?), which chooses prompts already")
    if not trainer.shuffle_dataset:
        raise InputError("sampler: shuffle_dataset=False asks for the data set's order, the sampler chooses its own")
    chooser = make_chooser(data, len(data), size, trainer.num_generations, config, trainer.guard.luck)
    if ROW not in data.column_names:
        trainer.train_dataset = data.add_column(ROW, range(len(data)))
    repeats = trainer.num_iterations * trainer.args.steps_per_generation
    return LiveSampler(chooser, size, repeats, lambda: trainer.state.epoch)


class ChoosesPrompts:
    """What a guarded trainer has where its prompts are chosen while training; without a sampler it is TRL's own."""

    # What the trainer in front of which it stands has.
    accelerator: Any
    guard: Any
    num_generations: int
    train_dataset: Any
    _generate_guarded: Callable[[list], tuple[dict[str, Any], Judged | None]]
    _guard_seen: tuple[Any, Any]
    _guard_steps: Any
    _note_metrics: Any
    _read_outcome: Any
    processing_class: Any
    _live: LiveSampler | None = None

    def _start_sampler(self, config: SamplerConfig | None) -> None:
        """
        Raises:
            InputError: If prompts cannot be chosen here, or a class of the user's own decides their order already.
        """
        if config is None:
            return
        order = "_get_train_sampler"
        owner = next(c for c in type(self).__mro__ if c is not ChoosesPrompts and order in vars(c))
        if not owner.__module__.startswith("trl."):
            raise InputError(f"sampler: {owner.__name__}.{order} chooses the order of prompts already; remove it, or "
                             "leave out `sampler`")  # fmt: skip
        self._live = make_sampler(self, config)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return super()._get_train_sampler(dataset) if self._live is None else self._live  # type: ignore[misc]

    def _note_chosen(self, inputs: list) -> tuple[list[int], np.ndarray]:
        """Learns the batch that was just judged, of which `inputs` is this rank's part: its prompts, and (P,) which of
        their groups are silent."""
        assert self._live is not None
        evidence_B, rewards_per_func = self._guard_seen
        places_B = gather_object([row[ROW] for row in inputs])
        outcomes_B = self._read_outcome(rewards_per_func)[1]
        self._note_metrics(self._live.chooser.observe(places_B, [item.prompt_id for item in evidence_B], outcomes_B))
        outcomes_PG = outcomes_B.reshape(-1, self.num_generations)
        right, wrong = (outcomes_PG > 0).any(axis=1), (outcomes_PG == 0).any(axis=1)
        return places_B[:: self.num_generations], ~(right & wrong)

    def _replace_silent(self, output: dict[str, Any], judged: Judged, inputs: list) -> dict[str, Any]:
        """Learns a batch; generates groups that are all right or all wrong anew with other prompts, if that is asked
        for, and puts those that have both in their place."""
        assert self._live is not None
        places, silent_P = self._note_chosen(inputs)
        chooser, ranks, G = self._live.chooser, self.accelerator.num_processes, self.num_generations
        config, tried, extra = chooser.sampler.config, list(places), 0
        scale_P = np.full(len(places), judged.step_scale)
        share = ranks // math.gcd(ranks, G)  # so many groups, or a multiple, can be dealt out evenly
        unknown = output.keys() - PADDED.keys() - {"num_items_in_batch"}
        if config.replace and unknown:
            chooser.say("replace", f"silent groups are not replaced: a batch with {sorted(unknown)} is not known")
        for _ in range(0 if unknown else config.replace):
            count = min(
                -(-int(silent_P.sum()) // share) * share, (chooser.sampler.count - len(set(tried))) // share * share
            )
            if not count:
                break
            fresh = chooser.choose(count, tried)
            rows = [place for place in fresh for _ in range(G)]
            part = len(rows) // ranks
            mine = rows[self.accelerator.process_index * part :][:part]
            other, told = self._generate_guarded([self.train_dataset[place] for place in mine])
            tried, extra = [*tried, *fresh], extra + len(rows)
            found = np.flatnonzero(~self._note_chosen([{ROW: place} for place in mine])[1])
            into = np.flatnonzero(silent_P)[: len(found)]
            output = self._exchange(output, other, found[: len(into)], into)
            silent_P[into], scale_P[into] = False, told.step_scale if told else 1.0
        if config.replace:
            self._note_metrics({"rlguard/sampling/extra_rollouts": float(extra),
                                "rlguard/sampling/silent_left": float(silent_P.mean())})  # fmt: skip
            self._guard_steps.add_batch(float(np.sqrt(np.mean(scale_P**2))))
        return output

    def _exchange(
        self, output: dict[str, Any], other: dict[str, Any], found: np.ndarray, into: np.ndarray
    ) -> dict[str, Any]:
        """A batch with the groups `into` (numbered over all ranks) replaced by the groups `found` of another."""
        G, pad = self.num_generations, getattr(self.processing_class, "tokenizer", self.processing_class).pad_token_id
        wanted = {int(group) * G + i for group in found for i in range(G)}
        first, mine = (self.accelerator.process_index * len(batch["advantages"]) for batch in (other, output))
        local = [row for row in range(len(other["advantages"])) if first + row in wanted]
        sent = [(first + row, {name: other[name][row].cpu() for name in PADDED if name in other}) for row in local]
        rows = dict(gather_object(sent))  # a group may have been generated on another rank than it goes to
        moved = {
            int(to) * G + i - mine: rows[int(group) * G + i] for group, to in zip(found, into, strict=True)
            for i in range(G) if 0 <= int(to) * G + i - mine < len(output["advantages"])
        }  # fmt: skip
        new = {name: replace_rows(output[name], {row: cells[name] for row, cells in moved.items()}, side,
                              pad if name in ("prompt_ids", "completion_ids") else 0)
               for name, side in PADDED.items() if name in output}  # fmt: skip
        trained = new["completion_mask"] * new.get("tool_mask", 1)
        return output | new | {"num_items_in_batch": self.accelerator.gather(trained.sum()).sum()}


def replace_rows(old_BT: torch.Tensor, rows: dict[int, torch.Tensor], side: int, fill: float) -> torch.Tensor:
    """A batch in which some rows are others, of another length perhaps: padded on that side (-1 left, 1 right).

    >>> replace_rows(torch.tensor([[1, 2], [3, 4]]), {1: torch.tensor([5, 6, 7])}, -1, 0).tolist()
    [[0, 1, 2], [5, 6, 7]]
    """
    all_rows = [rows.get(i, row).to(row) for i, row in enumerate(old_BT)]
    if old_BT.dim() == 1:
        return torch.stack(all_rows)
    width = max(map(len, all_rows))
    return torch.stack([
        torch.nn.functional.pad(row, (width - len(row), 0) if side < 0 else (0, width - len(row)), value=fill)
        for row in all_rows
    ])  # fmt: skip
