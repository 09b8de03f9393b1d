"""TRL: each batch's prompts are chosen while training (`GuardedGRPOTrainer(..., sampler=SamplerConfig())`)."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler

from rlguard.sampling import PromptSampler, SamplerConfig
from rlguard.tables.files import replace_file
from rlguard.types import InputError

logger = logging.getLogger(__name__)

ROW = "rlguard_row"
"""Column that the data set is given: the place of each row."""
SAMPLER_FILE = "rlguard_sampler.npz"
"""Name of the sampler's state beside a trainer's checkpoint."""
RECENT = 1_024
"""So many of the last groups tell how well pass rates were predicted."""


class LiveSampler(Sampler):
    """The order of TRL's `RepeatSampler`, of prompts that are chosen batch by batch.

    The loader reads one batch ahead, so a batch is chosen by what all batches but the one before it showed. All ranks
    choose alike: they see the same outcomes, in the same order.
    """

    def __init__(self, chooser: PromptSampler, size: int, repeats: int, epoch: Callable[[], float | None]) -> None:
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
        self._predicted: dict[int, float] = {}
        self._rates = np.zeros((0, 2))  # predicted and found pass rates of the last groups
        self._saved = 0.0

    def __iter__(self) -> Iterator[int]:
        epoch = int(self._epoch() or 0)
        known = self._drawn if epoch == self._began else []
        self._drawn, self._began = [], epoch
        for number in range(self.chooser.count // self.size):
            places = known[number] if number < len(known) else self.chooser.choose(self.size).tolist()
            self._drawn.append(places)
            self._predicted |= dict(zip(places, self.chooser.predict(places).tolist(), strict=True))
            for _ in range(self.repeats):
                for place in places:
                    yield from [place] * self.chooser.group_size

    def __len__(self) -> int:
        return self.chooser.count // self.size * self.size * self.chooser.group_size * self.repeats

    def observe(
        self, places_B: Any, outcomes_B: Any, chance_P: Any = None, correlation_P: Any = 0.0
    ) -> dict[str, float]:
        """Learns a gathered batch, groups one after the other; returns what to log."""
        places_P = np.asarray(places_B, int).reshape(-1, self.chooser.group_size)[:, 0]
        outcomes = np.asarray(outcomes_B, float).reshape(-1, self.chooser.group_size)
        trials_P, successes_P = (~np.isnan(outcomes)).sum(axis=1), np.nansum(outcomes > 0, axis=1)
        uniform = self.chooser.mean_value()
        signal_P = (successes_P > 0) & (successes_P < trials_P)
        self._saved += (signal_P.sum() / max(uniform, 1e-6) - len(places_P)) * self.chooser.group_size
        with np.errstate(invalid="ignore"):
            predicted_P = [self._predicted.pop(place, np.nan) for place in places_P]
            found = np.stack([predicted_P, successes_P / trials_P], axis=1)
        self._rates = np.concatenate([self._rates, found[np.isfinite(found).all(axis=1)]])[-RECENT:]
        self.chooser.observe(places_P, successes_P, trials_P, chance_P, correlation_P)
        logged = {
            "rlguard/sampling/signal_share": float(signal_P.mean()),
            "rlguard/sampling/uniform_signal_share": uniform,
            "rlguard/sampling/rollouts_saved": float(self._saved),
        }
        if len(self._rates) > 2 and np.ptp(self._rates, axis=0).all():
            from scipy.stats import spearmanr

            logged["rlguard/sampling/spearman"] = float(spearmanr(*self._rates.T).statistic)
        return logged

    def save(self, path: Path) -> None:
        """Writes the state as one file, whole or not at all."""
        arrays = self.chooser.state_dict()
        meta = {"random": arrays.pop("random"), "began": self._began, "drawn": self._drawn, "saved": self._saved}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), rates=self._rates, **arrays)
        replace_file(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Restores what `save` wrote; a file that is missing or damaged is logged, and the sampler starts anew."""
        try:
            with np.load(path) as arrays:
                meta = json.loads(str(arrays["meta"]))
                self.chooser.load_state_dict({**arrays, "random": meta["random"]})
                self._drawn, self._began, self._saved = meta["drawn"], int(meta["began"]), float(meta["saved"])
                self._rates = arrays["rates"].reshape(-1, 2)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            logger.warning("%s cannot be read, the sampler starts anew: %r", path, error)


def make_sampler(trainer: Any, config: SamplerConfig) -> LiveSampler:
    """The sampler of a trainer, whose data set it gives the column `ROW`.

    The columns that `rlguard filter` writes are its first evidence (`rlguard_successes`, `rlguard_trials`,
    `rlguard_chance_rate`).

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
    if len(data) < size:
        raise InputError(f"sampler: train_dataset has {len(data)} rows, expected at least the {size} of a batch")
    columns = [data[name] if name in data.column_names else None
               for name in ("rlguard_successes", "rlguard_trials", "rlguard_chance_rate")]  # fmt: skip
    chooser = PromptSampler(len(data), trainer.num_generations, config, *columns)
    if ROW not in data.column_names:
        trainer.train_dataset = data.add_column(ROW, range(len(data)))
    repeats = trainer.num_iterations * trainer.args.steps_per_generation
    return LiveSampler(chooser, size, repeats, lambda: trainer.state.epoch)


class ChoosesPrompts:
    """What a guarded trainer has where its prompts are chosen while training; without a sampler it is TRL's own."""

    # What the trainer in front of which it stands has.
    guard: Any
    num_generations: int
    _note_metrics: Any
    _read_outcome: Any
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

    def _note_chosen(self, inputs: list, evidence_B: list, rewards_per_func: Any) -> None:
        """Learns a gathered batch, of which `inputs` is this rank's part."""
        if self._live is None:
            return
        places = gather_object([row[ROW] for row in inputs])
        luck_P = self.guard.luck.read_rates(item.prompt_id for item in evidence_B[:: self.num_generations])
        outcomes_B = self._read_outcome(rewards_per_func)[1]
        self._note_metrics(self._live.observe(places, outcomes_B, *luck_P))
