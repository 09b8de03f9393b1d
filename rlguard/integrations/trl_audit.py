"""A small audit every few steps of training: is the model losing anything? For TRL and any other Trainer.

from rlguard.integrations.trl_audit import AuditCallback

trainer = GRPOTrainer(...)
AuditCallback("builtin", every=50, on_loss="stop").attach(trainer)
trainer.train()
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from rlguard.audit.in_training import Questions, describe_losses, read_baseline, record_look, to_metrics
from rlguard.audit.marking import SuiteVerifier
from rlguard.audit.samples import Item
from rlguard.audit.scoring import Scorer, evaluating
from rlguard.audit.suite import read_suite
from rlguard.integrations.seams import needing
from rlguard.tables.files import cut_tail
from rlguard.types import InputError, Sampling, Verifier
from rlguard.verify.pool import VerifierPool
from rlguard.version import how_to_install

with needing("TRL", f": {how_to_install('trl')}"):
    import torch
    from accelerate import PartialState
    from accelerate.utils import DistributedType, broadcast, broadcast_object_list
    from transformers import Trainer, TrainerCallback

logger = logging.getLogger(__name__)

OnLoss = Literal["log", "stop", "restore"]
HISTORY = "audit.jsonl"


class AuditCallback(TrainerCallback):
    """Asks the same questions before the first step, every few steps, and at the end.

    Each look is logged as `audit/<domain>/accuracy`, `audit/<domain>/change` (against the first look),
    `audit/worst_change` and `audit/lost` (how many domains), appended to `audit.jsonl` in the output folder, and kept
    in `history`. A loss is a sure change beyond the tolerance (`paired.compare_figures`). The level is divided by
    domains and planned looks: a run that loses nothing is stopped with a probability of at most 1 − `confidence`. The
    price: with D domains, `all`, and L looks, a domain of q questions is not called lost before its accuracy has fallen
    by ln(2 (D + 1) L / (1 − confidence)) / q. For 5 domains of 24 questions and 20 looks that is 0.35, and 0.07 for
    `all`; more questions help more than more rollouts.

    Training stays the same to the last bit, unless a loss stops it. The main process generates, with `transformers`,
    while the others wait, at most until their collective operations time out. A failed audit is logged once and
    counted in `audit/faults`; training goes on.
    """

    def __init__(
        self,
        suite: Sequence[Item] | str | Path = "builtin",
        every: int = 50,
        n: int = 4,
        tolerance: float = 0.1,
        on_loss: OnLoss = "log",
        sampling: Sampling | None = None,
        confidence: float = 0.95,
        verifier: Verifier | None = None,
        batch_size: int = 64,
    ) -> None:
        """
        Args:
            suite: Items, or what `rlguard.audit.suite.read_suite` takes; plain answerable questions are asked.
            every: Steps between two looks.
            n: Rollouts for each question.
            tolerance: Loss of accuracy that is accepted.
            on_loss: `log` warns; `stop` ends the run; `restore` also puts back the weights of the last look without a
                loss (the main process keeps them in memory) and clears the optimiser's state.
            sampling: How to sample; None takes the defaults of `Sampling`.
            confidence: Probability that a run without a loss is not stopped.
            verifier: Judges the answers; None takes `rlguard.audit.marking.SuiteVerifier`.
            batch_size: Completions generated at once.

        Raises:
            InputError: If a setting or the suite cannot be used.
        """
        if every < 1:
            raise InputError(f"every: expected at least 1 step, got {every}")
        if not 0 <= tolerance < 1:
            raise InputError(f"tolerance: expected a loss of accuracy in [0, 1), got {tolerance}")
        if not 0 < confidence < 1:
            raise InputError(f"confidence: expected a number in (0, 1), got {confidence}")
        if on_loss not in get_args(OnLoss):
            raise InputError(f"on_loss: expected one of {', '.join(get_args(OnLoss))}, got {on_loss!r}")
        if isinstance(suite, str | Path):
            suite = read_suite(str(suite))
        self.every, self.tolerance, self.on_loss, self.confidence = every, tolerance, on_loss, confidence
        self.questions = Questions.choose(suite, n, sampling)
        self.history: list[dict[str, Any]] = []
        """One record per look, as `in_training.record_look` gives it, with its `seconds`."""
        self.faults = 0
        self._verifier, self._batch_size = verifier or SuiteVerifier(), batch_size
        self._trainer: Trainer | None = None
        self._pool: VerifierPool | None = None
        self._begin()

    def _begin(self) -> None:
        self._baseline: dict[str, float] | None = None
        self._good: dict[str, torch.Tensor] = {}
        self._looks, self._seen, self._on, self._lost = 1, -1, True, False

    def attach(self, trainer: Trainer) -> AuditCallback:
        """Adds itself to a trainer and its logs. Passed as `callbacks=[...]`, it would only reach `log_history`."""
        self._trainer = trainer
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        check_weights(model, self.on_loss)
        self._begin()
        resumed = state.global_step > 0  # and looked at once more
        self._looks = max(1, math.ceil(state.max_steps / self.every)) + resumed
        if self._trainer is None:
            logger.warning("rlguard: AuditCallback.attach(trainer) was not called: audits only reach log_history")
        self._on = self._look(args, state, control, model, **others)
        if not self._on:
            logger.error("rlguard: without a first look there is nothing to compare with: this run is not audited")

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        if self._on and (state.global_step % self.every == 0 or state.global_step >= state.max_steps):
            self._look(args, state, control, model, **others)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        if self._on and self._seen != state.global_step:
            self._look(args, state, control, model, **others)
        elif self._lost:  # the trainer may have loaded its best checkpoint meanwhile
            self._restore(model, others.get("optimizer"))
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._good = {}

    def _look(self, args: Any, state: Any, control: Any, model: Any, **others: Any) -> bool:
        """Audits on the main process and acts on every process; whether the audit succeeded."""
        self._seen, record = state.global_step, None
        if state.is_world_process_zero:
            try:
                record = self._audit(args, state, model, others.get("processing_class"))
            except Exception as error:
                if not self.faults:
                    logger.error("rlguard: an audit failed, training goes on (logged once): %r", error, exc_info=True)
                self.faults += 1
        record, self.faults = broadcast_object_list([record, self.faults])
        if record is None:
            self._log(state, control, {"audit/faults": self.faults})
            return False
        self.history.append(record)
        self._log(state, control, to_metrics(record))
        if record["lost"]:
            level = logging.WARNING if self.on_loss == "log" else logging.ERROR
            logger.log(level, "rlguard: %s (on_loss: %s)", describe_losses(record, self.confidence), self.on_loss)
        if record["lost"] and self.on_loss != "log":
            self._lost = control.should_training_stop = True
            self._restore(model, others.get("optimizer"))
        return True

    def _audit(self, args: Any, state: Any, model: Any, processing_class: Any) -> dict[str, Any]:
        """Asks, compares, and keeps the weights of a good model; the record is on disk before it is returned."""
        start = time.monotonic()
        if self._pool is None:
            self._pool = VerifierPool(self._verifier)
        tokenizer = getattr(processing_class, "tokenizer", processing_class)
        with evaluating(model):
            rates = self.questions.ask(Scorer.from_loaded(model, tokenizer, self._batch_size), self._pool)
        path, key = Path(args.output_dir) / HISTORY, self.questions.key
        if self._baseline is None and state.global_step > 0:
            self._baseline = read_baseline(path, key)
            if self._baseline is None:
                logger.warning("rlguard: %s does not know these questions: compared with the resumed model", path)
        self._baseline = self._baseline or rates
        rows = self.questions.compare(self._baseline, rates, self.tolerance, self.confidence, self._looks)
        record = record_look(state.global_step, key, rates, rows) | {"seconds": round(time.monotonic() - start, 3)}
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_tail(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        if not record["lost"]:
            self._keep(model)
        return record

    def _log(self, state: Any, control: Any, metrics: dict[str, float]) -> None:
        if self._trainer is None:
            state.log_history.append(metrics | {"step": state.global_step})
            return
        due = control.should_log
        Trainer.log(self._trainer, metrics)  # TRL's own would take the averages of the steps so far into this row
        control.should_log = due

    def _keep(self, model: Any) -> None:
        """Copies the trainable weights: with an adapter, only those of the adapter."""
        if self.on_loss != "restore":
            return
        self._good = {name: weight.detach().to("cpu", copy=True) for name, weight in _trained(model)}

    def _restore(self, model: Any, optimizer: Any) -> None:
        """Puts the last good weights back into the model of every process."""
        if self.on_loss != "restore":
            return
        for name, weight in _trained(model):
            if name in self._good:
                weight.data.copy_(self._good[name])
            broadcast(weight.data)
        if optimizer is not None:
            optimizer.state.clear()


def check_weights(model: Any, on_loss: OnLoss) -> None:
    """Raises InputError if the model's weights are stored in a way that cannot be audited, or restored."""
    kind = PartialState().distributed_type
    sharded = any(hasattr(weight, "ds_id") or hasattr(weight, "device_mesh") for weight in model.parameters())
    if sharded or kind in (DistributedType.FSDP, DistributedType.MEGATRON_LM):
        raise InputError(
            f"AuditCallback: the weights are sharded over the processes ({kind.value}), and the main process alone "
            "cannot generate with its share: save checkpoints, and audit those with `rlguard audit`"
        )
    if kind == DistributedType.DEEPSPEED and on_loss == "restore":
        raise InputError(
            "AuditCallback: on_loss='restore' cannot reach the copy of the weights that DeepSpeed keeps: use 'stop', "
            "and a checkpoint"
        )


def _trained(model: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
