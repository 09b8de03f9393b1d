"""Watches a training run while it goes, for TRL and any other `transformers` Trainer.

    from rlguard.integrations.trl_monitor import Canary, MonitorCallback

    watcher = MonitorCallback(halt="critical", canary=Canary(rows, every=50), on_event=Webhook("https://hooks…"))
    trainer = GuardedGRPOTrainer(..., callbacks=[watcher])

With `GuardedGRPOTrainer` it sees the guard's figures, with plain `GRPOTrainer` those that TRL logs: reward and its
parts, truncation, completion length, entropy, KL, gradient norm. `rlguard.monitor` says how it judges, and what it
writes into the output folder.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlguard.audit.in_training import Questions
from rlguard.audit.samples import Item
from rlguard.audit.scoring import Scorer, evaluating
from rlguard.integrations.seams import needing
from rlguard.integrations.trl_audit import check_weights
from rlguard.monitor import Monitor, MonitorConfig
from rlguard.monitor.core import SEVERITIES, Event, Severity
from rlguard.monitor.journal import Journal
from rlguard.types import InputError, Sampling, Verifier, make_prompt_id
from rlguard.verify.pool import VerifierPool
from rlguard.verify.verifiers import pick_verifier
from rlguard.version import how_to_install

with needing("TRL", f": {how_to_install('trl')}"):
    from accelerate.utils import broadcast_object_list
    from transformers import TrainerCallback

logger = logging.getLogger(__name__)

STATE = "rlguard_monitor"
"""Name of the state among the `stateful_callbacks` of `trainer_state.json`."""
FIRST = 4
"""The first look at a canary takes this many times as many rollouts."""


@dataclass
class Canary:
    """A few questions that are not trained on: can the model still do what it could?

    Asked before the first step and every few steps; the monitor's figure is `canary`. How small a loss can be seen
    depends on the rollouts of a look: 200 at an accuracy of 0.8 have a standard error of 0.028. Training stays the same
    to the last bit.
    """

    rows: Sequence[Mapping[str, Any]]
    """With `prompt` (text or chat messages) and `answer`."""
    every: int = 50
    """Steps between two looks."""
    n: int = 4
    """Rollouts for each question."""
    sampling: Sampling = field(default_factory=Sampling)
    verifier: str | Verifier = "auto"
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.every < 1 or self.n < 1:
            raise InputError(f"Canary: expected every and n of at least 1, got {self.every} and {self.n}")
        for number, row in enumerate(self.rows):
            if row.get("prompt") is None or row.get("answer") is None:
                raise InputError(f"Canary, row {number}: expected a prompt and an answer, got {dict(row)!r:.100}")
        if not self.rows:
            raise InputError("Canary: expected at least one row, got none")

    def ask(self, model: Any, tokenizer: Any, pool: VerifierPool, times: int = 1) -> np.ndarray:
        """Pass rate of each question, `times` as many rollouts as usual; NaN where nothing could be judged."""
        pairs = [(row, str(row["answer"])) for row in self.rows]
        items = [
            Item(make_prompt_id(row["prompt"], answer), row["prompt"], answer, "canary", row=dict(row))
            for row, answer in pairs
        ]
        questions = Questions(items, self.n * times, self.sampling)
        with evaluating(model):
            rates = questions.ask(Scorer.from_loaded(model, tokenizer, self.batch_size), pool)
        return np.array(list(rates.values()))


class MonitorCallback(TrainerCallback):
    """Passes each logged step to a monitor, writes its two files, and acts on its events.

    The main process watches; all processes stop together. A fault is logged once and counted in `faults`; training goes
    on. A resumed run continues with the checkpoint's state. Alarms are also written to TRL's log of the step, as
    `rlguard/alarms` and `rlguard/alarm/<figure>` (1 warning, 2 critical), and to wandb's alerts if a run is open.
    """

    def __init__(
        self,
        config: MonitorConfig | None = None,
        folder: str | Path | None = None,
        on_event: Callable[[Event], None] | Sequence[Callable[[Event], None]] | None = None,
        halt: Literal["critical", "warning"] | None = None,
        canary: Canary | None = None,
        show: bool = True,
    ) -> None:
        """
        Args:
            config: Settings of the monitor; None takes the defaults.
            folder: Where the files go; None takes the trainer's output folder.
            on_event: Called with each event on the main process, one function or several; `Webhook` is one.
            halt: Ends training at an event this severe.
            canary: Questions to ask along the way.
            show: Print a line for each logged step, and each event.

        Raises:
            InputError: If a setting cannot be used.
        """
        if halt not in (None, "critical", "warning"):
            raise InputError(f"halt: expected 'critical', 'warning' or None, got {halt!r}")
        self.config, self.folder, self.halt, self.canary = config, folder, halt, canary
        self.on_event = [on_event] if callable(on_event) else list(on_event or ())
        self.events: list[Event] = []
        """All events so far, on the main process."""
        self.faults = 0
        self.monitor = Monitor(config)
        self._show = show
        self._journal = Journal(folder or ".", self.monitor)
        self._pool: VerifierPool | None = None
        self._waiting: dict[str, float] = {}  # figures of this step that came before its log

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        if self.canary:
            check_weights(model, "log")
        self.events, self._waiting, self.monitor = [], {}, Monitor(self.config)
        self._journal = Journal(self.folder or args.output_dir, self.monitor)
        if state.is_world_process_zero and state.global_step:
            self._try(self._resume, state)
        self._look(state, model, others.get("processing_class"))

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        if self.canary and state.global_step % self.canary.every == 0:
            self._look(state, model, others.get("processing_class"))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        halts = False
        if state.is_world_process_zero and logs:
            halts = bool(self._try(self._see, state, logs))
        if self.halt and broadcast_object_list([halts])[0]:
            control.should_training_stop = True

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _try(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives; None after a fault, which must not end training."""
        try:
            return function(*arguments)
        except Exception as error:
            if not self.faults:
                logger.error("rlguard: the monitor failed, training goes on (logged once): %r", error, exc_info=True)
            self.faults += 1
            return None

    def _resume(self, state: Any) -> None:
        if STATE in state.stateful_callbacks:
            self.monitor.load_state_dict(state.stateful_callbacks[STATE]["attributes"])
        self._journal.resume(state.global_step)

    def _see(self, state: Any, logs: dict[str, Any]) -> bool:
        """Takes note of a step; whether training is to end."""
        self._waiting |= self.monitor.read(logs)
        if "loss" not in logs or state.global_step <= self.monitor.step:  # another callback's row, or an evaluation's
            return False
        figures, self._waiting = self._waiting, {}
        events = self.monitor.see(state.global_step, figures)
        self.events += events
        self._try(self._journal.write, state.global_step, figures, events)
        state.stateful_callbacks[STATE] = {"args": {}, "attributes": self.monitor.state_dict()}
        if self._show:
            self._print(state.global_step, figures, events)
        self._try(_log, state, logs, events, self.monitor.standing)
        for event in events:
            for tell in self.on_event:
                self._try(tell, event)
        severe = SEVERITIES[: SEVERITIES.index(self.halt) + 1] if self.halt else ()
        reasons = [event for event in events if event.severity in severe]
        if reasons:
            logger.warning("rlguard: training ends: %s", reasons[0])
        return bool(reasons)

    def _print(self, step: int, figures: Mapping[str, float], events: Sequence[Event]) -> None:
        """Prints above the progress bar, which stays whole."""
        from rich.console import Console
        from tqdm import tqdm

        from rlguard.monitor.view import write_event, write_line

        console = Console(stderr=True)
        with console.capture() as shown:
            console.print(write_line(step, figures, self.monitor.standing))
            for event in events:
                console.print(write_event(event))
        tqdm.write(shown.get().rstrip("\n"), file=sys.stderr)

    def _look(self, state: Any, model: Any, processing_class: Any) -> None:
        """Asks the canary on the main process; the others wait."""
        if not self.canary:
            return
        if state.is_world_process_zero:
            self._try(self._ask, self.canary, model, getattr(processing_class, "tokenizer", processing_class))
        broadcast_object_list([None])

    def _ask(self, canary: Canary, model: Any, tokenizer: Any) -> None:
        if self._pool is None:
            verifier = canary.verifier
            self._pool = VerifierPool(pick_verifier(verifier) if isinstance(verifier, str) else verifier)
        track = self.monitor.tracks.get("canary")
        first = track is None or track.reference is None or not track.reference.known
        rates = canary.ask(model, tokenizer, self._pool, FIRST if first else 1)
        rates = rates[np.isfinite(rates)]
        if not len(rates):
            raise RuntimeError("no rollout of the canary could be judged")
        mean = float(rates.mean())
        if first:
            n = canary.n
            spread = float((rates * (1 - rates)).mean()) * FIRST * n / (FIRST * n - 1)  # of one rollout
            self.monitor.refer("canary", mean, math.sqrt(spread / n / len(rates)), FIRST)
        self._waiting["canary"] = mean


def _log(state: Any, logs: dict[str, Any], events: Sequence[Event], standing: Mapping[str, Severity]) -> None:
    """Puts what stands in alarm into the trainer's log of this step, and new alarms into wandb's."""
    rank = {"warning": 1.0, "critical": 2.0}
    added = {"rlguard/alarms": float(len(standing))}
    added |= {f"rlguard/alarm/{figure}": rank[severity] for figure, severity in standing.items()}
    logs.update(added)
    if state.log_history and state.log_history[-1].get("step") == state.global_step:
        state.log_history[-1].update(added)
    if (run := getattr(sys.modules.get("wandb"), "run", None)) is not None:
        for event in (event for event in events if event.severity != "note"):
            run.alert(title=f"rlguard: {event.figure}", text=f"{event}\n{event.advice}")
