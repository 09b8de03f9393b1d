"""verl and SkyRL: the loader of training data is built anew around a sampler that chooses each batch's prompts.

Neither has an interface for samplers of one's own (verl's curriculum samplers went with 0.8). Both load prompts by
torchdata's `StatefulDataLoader`, which keeps the sampler's state and so has it in the trainer's checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from torch.utils.data import Dataset, Sampler

from rlguard.guard import Guard, GuardConfig
from rlguard.guard.guard import ROW
from rlguard.luck.model import LuckModel
from rlguard.sampling import BatchChooser, PromptSampler, SamplerConfig
from rlguard.types import InputError

COLUMNS = ("rlguard_successes", "rlguard_trials", "rlguard_chance_rate")


def read_settings(options: Any) -> tuple[GuardConfig, SamplerConfig | None]:
    """A trainer's section `rlguard`: fields of `GuardConfig`, and `sampler`: true, false, or fields of `SamplerConfig`.

    Raises:
        ValueError: If a field is unknown or out of its range.
    """
    own = dict(options or {})
    sampler = own.pop("sampler", None)
    guard = GuardConfig.from_options(own)
    if sampler is None or isinstance(sampler, bool):
        return guard, SamplerConfig() if sampler else None
    known = [field.name for field in fields(SamplerConfig) if field.name != "replace"]
    for name in sampler if isinstance(sampler, Mapping) else [sampler]:
        if name not in known:
            raise ValueError(f"rlguard.sampler: expected true, or one of {', '.join(known)}, got {name!r}; "
                             "silent groups are replaced by the trainer's own dynamic sampling")  # fmt: skip
    return guard, SamplerConfig(**sampler)


class NumberedRows(Dataset):
    """A data set whose rows know their places."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, place: int) -> Any:
        row = self.rows[place]
        return {**row, ROW: place} if isinstance(row, dict) else row  # SkyRL's rows are tuples that end with the place

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


def make_chooser(
    table: Any, count: int, size: int, group_size: int, settings: SamplerConfig, luck: LuckModel
) -> BatchChooser:
    """What chooses a data set's prompts; the columns that `rlguard filter` writes are its first evidence.

    Args:
        table: The data set or the table behind it, if it has named columns.
        count: How many rows there are.
        size: Prompts of a training batch.
        group_size: Rollouts of a prompt.
        settings: Of the sampler.
        luck: The guard's model.

    Raises:
        InputError: If there are fewer rows than a batch has prompts, or a `rlguard_*` column holds no rates.
    """
    if count < size:
        raise InputError(f"sampler: the data has {count} rows, expected at least the {size} of a batch")
    names = getattr(table, "column_names", None) or ()
    columns = [table[name] if name in names else None for name in COLUMNS]
    return BatchChooser(PromptSampler(count, group_size, settings, luck, *columns))


def choose_loader(loader: Any, guard: Guard, settings: SamplerConfig | None, size: int, group_size: int) -> Any:
    """A trainer's loader of training data, with prompts that are chosen (`guard.chooser`) and know their places.

    Args:
        loader: As the trainer built it; None stays None.
        guard: Learns the batches.
        settings: Of the sampler; None leaves the loader as it is.
        size: Prompts of a training batch.
        group_size: Rollouts of a prompt.

    Raises:
        InputError: As for `make_chooser`.
    """
    if settings is None or loader is None:
        return loader
    table = getattr(loader.dataset, "dataframe", None)  # what both trainers call the table behind their data sets
    guard.chooser = make_chooser(table, len(loader.dataset), size, group_size, settings, guard.luck)
    return type(loader)(
        NumberedRows(loader.dataset), batch_size=loader.batch_size, drop_last=True, collate_fn=loader.collate_fn,
        sampler=LiveOrder(guard.chooser, size), num_workers=0,  # others would read ahead, and choose by what is old
    )  # fmt: skip
