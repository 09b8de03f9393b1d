"""Short trainings with TRL, one copy of the model a domain: what does each do to accuracy on all of them?

One folder per training, and `before` for the untrained model:

key.json      the model, data and settings: a folder of others is refused
model/        the trained model, until it is measured
rollouts/     a rollout store with its completions to the held-out questions
result.json   pass rates and entropy change; a training that has it is not run again
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.answers import read_gold
from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.engines.origin import fingerprint_model
from rlguard.order.transfer import Transfer, write_json
from rlguard.tables.files import read_object, replacing
from rlguard.tables.read import read_problems
from rlguard.types import InputError, Problem, Sampling, Verifier, check_types, make_prompt_id, prompt_text
from rlguard.verify.verifiers import pick_verifier, score_safely
from rlguard.version import how_to_install

logger = logging.getLogger(__name__)

KEY, MODEL, ENTROPY, ROLLOUTS, RESULT = "key.json", "model", "entropy.json", "rollouts", "result.json"
BEFORE = "before"
ENDS = 5
"""The change of entropy compares the first and the last 1/`ENDS` of the steps."""

Domains = Mapping[str, Sequence[Problem]]
OnProgress = Callable[[str, int, int], None]
"""Called with the current task, the work done and the total."""


@dataclass(frozen=True)
class ProbeSettings:
    """How the model is trained and measured. Use the settings of the run that you plan."""

    steps: int = 30
    """Optimiser steps of a training."""
    trainings: int = 1
    """Trainings per domain, each with its own seed. From two on, intervals include the variance between trainings."""
    prompts: int = 8
    """Prompts per step."""
    group_size: int = 8
    """Rollouts per prompt in training."""
    n: int = 4
    """Rollouts per held-out question."""
    max_tokens: int = 512
    """Longest completion."""
    temperature: float = 1.0
    """Sampling temperature, in training and in measuring."""
    learning_rate: float | None = None
    """Constant learning rate; None takes TRL's default."""
    seed: int = 0
    """Seed of the trainings and the sampling."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Further options of TRL's `GRPOConfig`, over those set here."""

    def __post_init__(self) -> None:
        check_types(self)
        for name, least in (("steps", 1), ("trainings", 1), ("prompts", 1), ("group_size", 2), ("n", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)!r}")


def hold_out(
    domains: Mapping[str, Sequence[Mapping[str, Any]]],
    count: int = 32,
    seed: int = 0,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
) -> tuple[dict[str, list[Problem]], dict[str, list[Problem]]]:
    """Splits each domain into problems to train on and held-out ones; no prompt is among both.

    Rows without a gold answer are left out of both, and a line in the log names them.

    Args:
        domains: The rows of each domain.
        count: Distinct prompts held out of each.
        seed: Which ones.
        prompt_column: Column with text or chat messages.
        answer_column: Column with the gold answer.

    Raises:
        InputError: If a row is no problem, or a domain has too few distinct prompts.
    """
    if count < 2:
        raise InputError(f"held out: expected at least 2 questions a domain, got {count}")
    training, held_out = {}, {}
    chosen: set[str] = set()
    for domain, rows in domains.items():
        try:
            problems = read_problems(rows, prompt_column, answer_column)
        except InputError as error:
            raise InputError(f"domain {domain!r}: {error}") from error
        blank = [problem for problem in problems if read_gold(problem.answer) is None]
        if blank:
            logger.warning("domain %r: %d rows have no gold answer and are left out, first row %d (%.60r)",
                           domain, len(blank), blank[0].number, blank[0].answer)  # fmt: skip
            problems = [problem for problem in problems if read_gold(problem.answer) is not None]
        distinct = {make_prompt_id(problem.prompt): problem for problem in problems}
        if len(distinct) <= count:
            raise InputError(
                f"domain {domain!r}: expected more than {count} distinct prompts, to hold out {count} and train on the "
                f"others, got {len(distinct)}"
            )
        picked = random.Random(f"{seed}|{domain}").sample(sorted(distinct), count)
        chosen |= set(picked)
        training[domain], held_out[domain] = problems, [distinct[one] for one in picked]
    return {
        domain: [problem for problem in problems if make_prompt_id(problem.prompt) not in chosen]
        for domain, problems in training.items()
    }, held_out


def probe(
    model: str,
    training: Domains,
    held_out: Domains,
    out: str | Path,
    settings: ProbeSettings | None = None,
    verifier: str | Verifier = "auto",
    on_progress: OnProgress | None = None,
) -> Transfer:
    """Trains a copy of the model on each domain, and measures accuracy on all before and after.

    The same call after a crash goes on where it stopped; a finished training is not run again.

    Args:
        model: Folder or hub name of a causal language model.
        training: Problems of each domain to train on (`hold_out`).
        held_out: Questions of the same domains, to measure by.
        out: Folder for the trainings.
        settings: How to train and ask; None takes the defaults.
        verifier: A name in `verifiers.VERIFIERS`, or a verifier of your own; it is the reward too.
        on_progress: Called after each change.

    Raises:
        InputError: If the domains do not fit together, one has too few problems for a step, the model cannot be loaded,
            TRL is not installed, or the folder holds trainings of another model, data or settings.
    """
    settings, out = settings or ProbeSettings(), Path(out)
    if list(training) != list(held_out):
        raise InputError(f"expected the same domains in both, got {', '.join(training)} and {', '.join(held_out)}")
    if len(training) < 2:
        raise InputError(f"expected two or more domains, got {', '.join(training) or 'none'}")
    for domain, problems in training.items():
        if len(problems) < settings.prompts:
            raise InputError(
                f"domain {domain!r}: expected at least {settings.prompts} problems to train on, a step's prompts, "
                f"got {len(problems)}"
            )
    judge = pick_verifier(verifier) if isinstance(verifier, str) else verifier
    prober = _Prober(model, held_out, settings, judge, on_progress or (lambda *_: None))
    before = prober.measure(out / BEFORE)
    after = {
        domain: [prober.train(out / f"{_slug(domain)}-{number}", domain, problems, settings.seed + number)
                 for number in range(settings.trainings)]
        for domain, problems in training.items()
    }  # fmt: skip
    return _collect(before, after)


@dataclass(frozen=True)
class _Prober:
    """What the trainings of one call share."""

    model: str
    held_out: Domains
    settings: ProbeSettings
    verifier: Verifier
    say: OnProgress

    def measure(self, folder: Path, **key: Any) -> dict[str, Any]:
        """The result that a folder holds; of the untrained model, asked now, if it holds none and no trained one."""
        held_out = [problem for problems in self.held_out.values() for problem in problems]
        _check_key(folder, {
            "model": self.model,
            "revision": fingerprint_model(self.model),
            "verifier": f"{self.verifier.name} {self.verifier.version}",
            "held-out questions": _fingerprint(held_out),
            **{name: getattr(self.settings, name) for name in ("n", "max_tokens", "temperature", "seed")},
            **key,
        })  # fmt: skip
        if not (folder / RESULT).exists():
            if key and not (folder / MODEL).exists():
                return {}
            what, model = (
                (f"{key['domain']}: asking", str(folder / MODEL)) if key else ("untrained: asking", self.model)
            )
            rates = self._ask(model, folder / ROLLOUTS, held_out, what)
            write_json({"rates": rates} | (read_object(folder / MODEL / ENTROPY) if key else {}), folder / RESULT)
        shutil.rmtree(folder / MODEL, ignore_errors=True)
        return read_object(folder / RESULT)

    def train(self, folder: Path, domain: str, problems: Sequence[Problem], seed: int) -> dict[str, Any]:
        """The result of one training, run if it is not there."""
        names = ("steps", "prompts", "group_size", "learning_rate", "trainer")
        key = {name: getattr(self.settings, name) for name in names} | {
            "domain": domain, "training problems": _fingerprint(problems), "training seed": seed,
        }  # fmt: skip
        if not (found := self.measure(folder, **key)):

            def on_step(step: int) -> None:
                self.say(f"training on {domain}", step, self.settings.steps)

            train(self.model, problems, folder, self.settings, seed, self.verifier, on_step)
            found = self.measure(folder, **key)
        return found

    def _ask(self, model: str, out: Path, held_out: Sequence[Problem], what: str) -> dict[str, list[float | None]]:
        """The pass rates of all held-out questions by domain."""
        rows = [{**problem.row, "prompt": problem.prompt, "answer": problem.answer} for problem in held_out]
        chosen = self.settings
        rates = estimate_pass_rates(
            rows, model, out=out, n=chosen.n, engine="transformers", verifier=self.verifier,
            sampling=Sampling(chosen.max_tokens, chosen.temperature, seed=chosen.seed),
            on_progress=lambda now: self.say(what, now.decided, now.prompts),
        )  # fmt: skip
        by_id = {rate.prompt_id: None if math.isnan(rate.rate) else rate.rate for rate in rates}
        return {domain: [by_id[problem.id] for problem in own] for domain, own in self.held_out.items()}


def _collect(before: Mapping[str, Any], after: Mapping[str, Sequence[Mapping[str, Any]]]) -> Transfer:
    """The matrix from the results: of the untrained model, and of the trainings on each domain."""
    by_training = list(zip(*after.values(), strict=True))
    return Transfer(
        tuple(after),
        tuple(np.array(before["rates"][domain], float) for domain in after),
        tuple(
            np.array([[result["rates"][domain] for result in results] for results in by_training], float)
            for domain in after
        ),
        np.array(
            [np.mean([result["entropy_change"] for result in results], dtype=float) for results in after.values()]
        ),
    )


def _check_key(folder: Path, key: Mapping[str, Any]) -> None:
    """Keeps what a folder's result depends on.

    Raises:
        InputError: If the folder is one of other settings; names what differs.
    """
    path, wanted = folder / KEY, json.loads(json.dumps(key))
    if not path.exists():
        write_json(wanted, path)
        return
    kept = read_object(path)
    differing = [name for name in sorted({*kept, *wanted}) if kept.get(name) != wanted.get(name)]
    if differing:
        lines = "\n".join(f"  {name}: there {kept.get(name)!r}, now {wanted.get(name)!r}" for name in differing)
        raise InputError(f"{folder} holds a probe made in another way:\n{lines}\nChoose another --out.")


def _fingerprint(problems: Sequence[Problem]) -> str:
    return hashlib.sha256(" ".join(problem.id for problem in problems).encode()).hexdigest()[:16]


def _slug(domain: str) -> str:
    """A folder name that is readable, and another one for every domain."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', domain)[:40]}-{hashlib.sha256(domain.encode()).hexdigest()[:6]}"


def train(
    model: str,
    problems: Sequence[Problem],
    folder: Path,
    settings: ProbeSettings,
    seed: int,
    verifier: Verifier,
    on_step: Callable[[int], None],
) -> None:
    """Trains with the guarded GRPOTrainer; writes `folder/model`, with `entropy.json` in it, whole or not at all.

    The verifier is the reward; `on_step` is called with the number of steps done.

    Raises:
        InputError: If TRL is not installed, or does not take the settings.
    """
    try:
        import torch
        from datasets import Dataset
        from transformers import PrinterCallback, TrainerCallback

        from rlguard.integrations.trl import GuardedGRPOTrainer
    except ImportError as error:
        raise InputError(
            f"a probe trains with TRL, which is not installed: {how_to_install('trl')} ({error})"
        ) from error

    class Steps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            on_step(state.global_step)

    rows = [{"prompt": p.prompt, "answer": str(p.answer), "number": number} for number, p in enumerate(problems)]
    trainer = GuardedGRPOTrainer(
        model=model,
        args=_make_config(folder / "trl", settings, seed, torch.cuda.is_available()),
        reward_funcs=make_reward(problems, verifier),
        train_dataset=Dataset.from_list(rows),
        callbacks=[Steps()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    entropies = [row["entropy"] for row in trainer.state.log_history if "entropy" in row]
    with replacing(folder / MODEL) as partial:
        trainer.save_model(str(partial))
        write_json({"entropy_change": compare_ends(entropies)}, partial / ENTROPY)
    del trainer
    gc.collect()
    torch.cuda.empty_cache()
    shutil.rmtree(folder / "trl", ignore_errors=True)


def make_reward(problems: Sequence[Problem], verifier: Verifier) -> Callable[..., list[float | None]]:
    """A reward function for TRL: what the verifier says; None, which TRL leaves out, where it could not judge.

    Args:
        problems: The data set's column `number` is a place among them.
        verifier: Any.
    """

    def correctness(completions: Sequence[Any], number: Sequence[int], **_: Any) -> list[float | None]:
        pairs = zip(completions, number, strict=True)
        scores = [score_safely(verifier, prompt_text(text), problems[place]) for text, place in pairs]
        return [None if np.isnan(score) else score for score in scores]

    return correctness


def compare_ends(values: Sequence[float]) -> float | None:
    """The mean of the last fifth of the values less that of the first; None without values.

    >>> compare_ends([1.0, 0.9, 0.8, 0.7, 0.5])
    -0.5
    """
    if not values:
        return None
    window = max(1, len(values) // ENDS)
    return float(np.mean(values[-window:]) - np.mean(values[:window]))


def _make_config(folder: Path, settings: ProbeSettings, seed: int, has_gpu: bool) -> Any:
    from trl import GRPOConfig

    options: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "max_steps": settings.steps,
        "num_generations": settings.group_size,
        "per_device_train_batch_size": settings.prompts * settings.group_size,
        "gradient_accumulation_steps": 1,
        "max_completion_length": settings.max_tokens,
        "temperature": settings.temperature,
        "lr_scheduler_type": "constant",
        "bf16": has_gpu,
        "use_cpu": not has_gpu,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    if settings.learning_rate is not None:
        options["learning_rate"] = settings.learning_rate
    try:
        return GRPOConfig(**options | dict(settings.trainer))
    except (TypeError, ValueError) as error:
        raise InputError(f"TRL does not take these settings: {error}") from error
