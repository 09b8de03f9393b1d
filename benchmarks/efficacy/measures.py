"""What a run of the efficacy benchmark is measured by. Whether a success was computed is a fact (`check_steps`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from typing import Any

import torch
from tiny_reasoner.tasks import check_steps, find_answer, make_problems
from tiny_reasoner.training import correctness_reward, evaluate_skills, generate_texts
from transformers import TrainerCallback

from benchmarks.efficacy.arms import make_coin

PRIOR, LEARNABLE = ("add", "sub", "mul"), "mix"
PASS_KS = (1, 4, 16, 64)
PROBLEMS = 40


def pass_at_k(correct: int, samples: int, k: int) -> float:
    """Unbiased estimate of P(at least one of k is correct) from `samples` rollouts (Chen et al., arXiv 2107.03374).

    >>> pass_at_k(1, 4, 1), pass_at_k(1, 4, 4), pass_at_k(0, 4, 2)
    (0.25, 1.0, 0.0)
    """
    return 1 - comb(samples - correct, k) / comb(samples, k)


def measure_ends(model: Any, tokenizer: Any, settings: Any) -> dict[str, Any]:
    """Accuracy, and pass@k of correct and of computed answers, of three groups of held-out problems."""
    found: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for name, kinds in (("prior", PRIOR), ("learnable", (LEARNABLE,)), ("rare_valid", ("rare_valid",))):
            problems = make_problems(kinds, settings.evaluate_on, settings.seed, held_out=True)
            found[name] = evaluate_skills(model, tokenizer, problems, temperature=1.0)
            found[name] |= _sample_pass_rates(model, tokenizer, problems[:PROBLEMS], settings.samples)
    return found


def _sample_pass_rates(model: Any, tokenizer: Any, problems: Sequence[dict], samples: int) -> dict[str, Any]:
    rows = [row for row in problems for _ in range(samples)]
    texts = generate_texts(model, tokenizer, [row["prompt"] for row in rows], temperature=1.0)
    right = correctness_reward(texts, [row["answer"] for row in rows])
    computed = [check_steps(row["prompt"], text) == "computed" for row, text in zip(rows, texts, strict=True)]
    answers = [find_answer(text) for text in texts]
    found: dict[str, Any] = {}
    for name, outcomes in (("pass", right), ("computed_pass", [o * c for o, c in zip(right, computed, strict=True)])):
        counts = [int(sum(outcomes[i * samples : (i + 1) * samples])) for i in range(len(problems))]
        for k in PASS_KS:
            if k <= samples:
                found[f"{name}@{k}"] = sum(pass_at_k(count, samples, k) for count in counts) / len(counts)
    distinct = [len(set(answers[i * samples : (i + 1) * samples])) for i in range(len(problems))]
    return found | {"distinct_answers": sum(distinct) / len(distinct)}


class Recorder(TrainerCallback):
    """Measures the prior skills every few steps; keeps what the trainer logs and how successes came about between."""

    def __init__(self, settings: Any, tokenizer: Any) -> None:
        self.rows: list[dict[str, Any]] = []
        self._settings, self._tokenizer = settings, tokenizer
        self._problems = make_problems(PRIOR, settings.evaluate_on, settings.seed, held_out=True)
        self._logged: dict[str, list[float]] = {}

    def note(self, name: str, value: float) -> None:
        """One figure of what happened since the last measurement; the row gets the mean."""
        self._logged.setdefault(name, []).append(value)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.measure(0, model)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
        for name, value in logs.items():
            if isinstance(value, int | float):
                self.note(name, value)
        if state.global_step % self._settings.evaluate_every == 0 and "loss" in logs:
            self.measure(state.global_step, model)

    def measure(self, step: int, model: Any) -> None:
        """Adds a row."""
        with torch.random.fork_rng():  # training must not notice
            torch.manual_seed(self._settings.seed)
            found = evaluate_skills(model, self._tokenizer, self._problems, temperature=1.0)
        found.pop("accuracy_by_family")
        means = {name: sum(values) / len(values) for name, values in self._logged.items()}
        self._logged.clear()
        self.rows.append({"step": step} | {f"prior_{name}": value for name, value in found.items()} | means)


def make_reward(recorder: Recorder, random_rate: float | None, seed: int) -> Callable[..., list[float]]:
    """The reward of a run, which also notes how many of its successes were lucky."""
    coin = None if random_rate is None else make_coin(random_rate, seed)

    def correctness(prompts: Sequence[str], completions: Sequence[str], answer: Sequence[str], **_: Any) -> list[float]:
        rewards = correctness_reward(completions, answer)
        kinds = [check_steps(prompt, text) for prompt, text in zip(prompts, completions, strict=True)]
        successes = [kind for kind, reward in zip(kinds, rewards, strict=True) if reward]
        if successes:
            recorder.note("lucky_share_true", sum(kind != "computed" for kind in successes) / len(successes))
        return rewards if coin is None else coin(completions)

    return correctness
