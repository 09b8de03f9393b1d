"""verl: each batch's prompts are chosen while training (`+algorithm.rlguard.sampler=true`, or its settings below that).

verl 0.9 has no interface for samplers of one's own (its curriculum samplers went with 0.8), so the trainer's loader is
built anew around the sampler. The sampler's state is in the loader's, which verl saves with its checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from torch.utils.data import Dataset, Sampler

from rlguard.luck.model import LuckModel
from rlguard.sampling import BatchChooser, PromptSampler, SamplerConfig
from rlguard.types import InputError

ROW = "rlguard_row"
"""Column that the data set is given: the place of each row."""


def read_sampler(options: Any) -> SamplerConfig | None:
    """The settings under `algorithm.rlguard.sampler`: true, false, or fields of `SamplerConfig`.

    Raises:
        ValueError: If a field is unknown or out of its range.
    """
    if options is None or isinstance(options, bool):
        return SamplerConfig() if options else None
    known = [field.name for field in fields(SamplerConfig) if field.name != "replace"]
    for name in options if isinstance(options, Mapping) else [options]:
        if name not in known:
            raise ValueError(f"algorithm.rlguard.sampler: expected true, or one of {', '.join(known)}, got {name!r}; "
                             "silent groups are replaced by verl's own algorithm.filter_groups")  # fmt: skip
    return SamplerConfig(**options)


class NumberedRows(Dataset):
    """A data set whose rows know their places."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {**self.rows[place], ROW: place}

    def __len__(self) -> int:
        return len(self.rows)


class LiveOrder(Sampler):
    """Prompts chosen a training batch at a time, given one by one; the loader saves its state."""

    def __init__(self, chooser: BatchChooser, size: int) -> None:
        self.chooser, self.size = chooser, size
        self._chosen: list[int] = []  # and not given yet
        self._given = 0  # in this epoch

    def __iter__(self) -> Iterator[int]:
        while self._given < len(self):
            if not self._chosen:
                self._chosen = self.chooser.choose(self.size)
            self._given += 1
            yield self._chosen.pop(0)
        self._given = 0

    def __len__(self) -> int:
        return self.chooser.sampler.count // self.size * self.size

    def state_dict(self) -> dict[str, Any]:
        return {"chooser": self.chooser.state_dict(), "chosen": list(self._chosen), "given": self._given}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.chooser.load_state_dict(state["chooser"])
        self._chosen, self._given = list(state["chosen"]), int(state["given"])


def make_loader(loader: Any, config: Any, settings: SamplerConfig, luck: LuckModel) -> tuple[Any, BatchChooser]:
    """verl's loader of training data, with prompts that are chosen; and what chooses them.

    Args:
        loader: As verl built it.
        config: verl's configuration.
        settings: Of the sampler.
        luck: The guard's model.

    Raises:
        InputError: If the prompts cannot be chosen here; says why and what to do.
    """
    rows, size = loader.dataset, config.data.train_batch_size
    if not config.data.shuffle:
        raise InputError(
            "algorithm.rlguard.sampler: data.shuffle=False asks for the data's order, the sampler has its own"
        )
    if len(rows) < size:
        raise InputError(f"algorithm.rlguard.sampler: the data has {len(rows)} rows, expected at least the {size} of "
                         "data.train_batch_size")  # fmt: skip
    sampler = PromptSampler(len(rows), config.actor_rollout_ref.rollout.n, settings, luck, *_read_columns(rows))
    chooser = BatchChooser(sampler)
    made = type(loader)(
        dataset=NumberedRows(rows), batch_size=loader.batch_size, drop_last=True, collate_fn=loader.collate_fn,
        sampler=LiveOrder(chooser, size), num_workers=0,  # others would read ahead, and choose by what is old
    )  # fmt: skip
    return made, chooser


def _read_columns(rows: Any) -> list[Any]:
    """The columns that `rlguard filter` writes, of the table behind verl's data set; None where it has none."""
    table = getattr(rows, "dataframe", None)
    names = getattr(table, "column_names", None) or ()
    wanted = ("rlguard_successes", "rlguard_trials", "rlguard_chance_rate")
    return [table[name] if name in names else None for name in wanted]  # type: ignore[index]
