"""What a trainer's adapter calls: it chooses and learns batches, says what to log, and never ends a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlguard.sampling.sampler import PromptSampler

logger = logging.getLogger(__name__)

RECENT = 1_024
"""So many of the last groups tell how well pass rates were predicted."""


class BatchChooser:
    """A sampler and its record. A fault is said once, and from then on the prompts are drawn evenly."""

    def __init__(self, sampler: PromptSampler) -> None:
        self.sampler = sampler
        self._predicted: dict[int, float] = {}
        self._rates = np.zeros((0, 2))  # predicted and found pass rates of the last groups
        self._saved = 0.0
        self._batches = 0
        self._said: set[str] = set()

    def choose(self, size: int, without: Sequence[int] = ()) -> list[int]:
        """The prompts of the next batch, by their places; arguments as `PromptSampler.choose`."""
        self._batches += 1
        try:
            places = self.sampler.choose(size, without).tolist()
            self._predicted |= dict(zip(places, self.sampler.predict(places).tolist(), strict=True))
        except Exception as error:
            self.say("choose", f"the sampler failed, prompts are drawn evenly: {error!r}", trace=True)
            even = np.random.default_rng([self.sampler.config.seed, self._batches])  # alike on all ranks
            left = np.setdiff1d(np.arange(self.sampler.count), list(without))
            places = even.choice(left, size, replace=False).tolist()
        return places

    def observe(self, places_P: Sequence[int], prompt_ids_P: Sequence[str], outcomes_PG: Any) -> dict[str, float]:
        """Learns a batch that the guard has judged; returns what to log.

        Args:
            places_P: (P,) prompt of each group.
            prompt_ids_P: (P,) what the guard calls it.
            outcomes_PG: (P, G) 1 correct, 0 wrong, NaN unknown.
        """
        outcomes = np.asarray(outcomes_PG, float)
        trials_P, right_P = (~np.isnan(outcomes)).sum(axis=1), (outcomes > 0).sum(axis=1)
        signal_P = (right_P > 0) & (right_P < trials_P)
        with np.errstate(invalid="ignore"):
            predicted_P = [self._predicted.pop(place, np.nan) for place in places_P]
            found = np.stack([predicted_P, right_P / trials_P], axis=1)
        self._rates = np.concatenate([self._rates, found[np.isfinite(found).all(axis=1)]])[-RECENT:]
        logged = {"rlguard/sampling/signal_share": float(signal_P.mean())}
        if self.sampler.expected > 0:
            self._saved += float(signal_P.sum() / self.sampler.expected - len(signal_P)) * outcomes.shape[1]
            logged |= {
                "rlguard/sampling/even_signal_share": self.sampler.expected,
                "rlguard/sampling/rollouts_saved": self._saved,
            }
        if len(self._rates) > 2 and np.ptp(self._rates, axis=0).all():
            from scipy.stats import spearmanr

            logged["rlguard/sampling/spearman"] = float(spearmanr(*self._rates.T).statistic)
        try:
            self.sampler.observe(places_P, prompt_ids_P)
        except Exception as error:
            self.say("observe", f"the sampler did not learn a batch: {error!r}", trace=True)
        return logged

    def say(self, kind: str, message: str, trace: bool = False) -> None:
        """Logs a warning of one kind once."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning("rlguard: %s (logged once)", message, exc_info=trace)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the guard's state; JSON."""
        return {"sampler": self.sampler.state_dict(), "saved": self._saved, "rates": self._rates.tolist(),
                "batches": self._batches}  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.sampler.load_state_dict(state["sampler"])
        self._saved, self._batches = float(state["saved"]), int(state["batches"])
        self._rates = np.array(state["rates"], float).reshape(-1, 2)
