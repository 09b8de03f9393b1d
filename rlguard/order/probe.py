"""Short trainings with TRL, one copy of the model a domain: what does each do to accuracy on all of them?

A folder a training, and `before` for the untrained model:

key.json      the model, data and settings: a folder of others is refused
model/        the trained model, until it is measured
rollouts/     a rollout store with its completions to the held-out questions
result.json   pass rates and entropy change; a training that has it is not run again
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.engines.origin import fingerprint_model
from rlguard.order.training import ProbeSettings, train
from rlguard.order.transfer import Transfer, write_json
from rlguard.tables.files import read_object
from rlguard.tables.read import read_problems
from rlguard.types import InputError, Problem, Sampling, Verifier, make_prompt_id
from rlguard.verify.verifiers import pick_verifier

KEY, MODEL, ENTROPY, ROLLOUTS, RESULT = "key.json", "model", "entropy.json", "rollouts", "result.json"
BEFORE = "before"

Domains = Mapping[str, Sequence[Problem]]
OnProgress = Callable[[str, int, int], None]
"""Called with what is going on, and how much of how much of it is done."""


def hold_out(
    domains: Mapping[str, Sequence[Mapping[str, Any]]],
    count: int = 32,
    seed: int = 0,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
) -> tuple[dict[str, list[Problem]], dict[str, list[Problem]]]:
    """Splits each domain into problems to train on and held-out ones; no prompt is among both.

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
    """What all trainings of a call share."""

    model: str
    held_out: Domains
    settings: ProbeSettings
    verifier: Verifier
    say: OnProgress

    def describe(self) -> dict[str, Any]:
        """What two results must have in common to be compared."""
        return {
            "model": self.model,
            "revision": fingerprint_model(self.model),
            "verifier": f"{self.verifier.name} {self.verifier.version}",
            "held-out questions": _fingerprint([p for problems in self.held_out.values() for p in problems]),
            **{name: getattr(self.settings, name) for name in ("n", "max_tokens", "temperature", "seed")},
        }

    def train(self, folder: Path, domain: str, problems: Sequence[Problem], seed: int) -> dict[str, Any]:
        """The result of one training, run if it is not there."""
        names = ("steps", "prompts", "group_size", "learning_rate", "trainer")
        _check_key(folder, self.describe() | {name: getattr(self.settings, name) for name in names} | {
            "domain": domain, "training problems": _fingerprint(problems), "training seed": seed,
        })  # fmt: skip
        if not (folder / RESULT).exists():
            if not (folder / MODEL).exists():

                def on_step(step: int) -> None:
                    self.say(f"training on {domain}", step, self.settings.steps)

                train(self.model, problems, folder, self.settings, seed, self.verifier, on_step)
            entropy = read_object(folder / MODEL / ENTROPY)
            self._ask(str(folder / MODEL), folder, f"{domain}: asking", entropy)
        shutil.rmtree(folder / MODEL, ignore_errors=True)
        return read_object(folder / RESULT)

    def measure(self, folder: Path) -> dict[str, Any]:
        """The result of the untrained model."""
        _check_key(folder, self.describe())
        if not (folder / RESULT).exists():
            self._ask(self.model, folder, "untrained: asking", {})
        return read_object(folder / RESULT)

    def _ask(self, model: str, folder: Path, what: str, more: Mapping[str, Any]) -> None:
        """Asks a model all held-out questions, and writes the result."""
        problems = [problem for problems in self.held_out.values() for problem in problems]
        rows = [{**problem.row, "prompt": problem.prompt, "answer": problem.answer} for problem in problems]
        chosen = self.settings
        rates = estimate_pass_rates(
            rows, model, out=folder / ROLLOUTS, n=chosen.n, engine="transformers", verifier=self.verifier,
            sampling=Sampling(chosen.max_tokens, chosen.temperature, seed=chosen.seed),
            on_progress=lambda now: self.say(what, now.decided, now.prompts),
        )  # fmt: skip
        by_id = {rate.prompt_id: None if math.isnan(rate.rate) else rate.rate for rate in rates}
        found = {domain: [by_id[problem.id] for problem in own] for domain, own in self.held_out.items()}
        write_json({"rates": found, **more}, folder / RESULT)


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
