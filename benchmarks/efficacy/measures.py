"""What a run of the efficacy benchmark is measured by. Whether a success was computed is a fact (`Family.check`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import comb
from typing import Any

import numpy as np
import torch
from tiny_reasoner.tasks import MAX_COMPLETION
from tiny_reasoner.training import describe_texts, generate_texts
from transformers import TrainerCallback

from benchmarks.efficacy.arms import make_coin
from benchmarks.efficacy.warn import Warner, sample_before

PASS_KS = (1, 4, 16, 64)
BINS = 10


def pass_at_k(correct: int, samples: int, k: int) -> float:
    """Unbiased estimate of P(at least one of k is correct) from `samples` rollouts (Chen et al., arXiv 2107.03374).

    >>> pass_at_k(1, 4, 1), pass_at_k(1, 4, 4), pass_at_k(0, 4, 2)
    (0.25, 1.0, 0.0)
    """
    return 1 - comb(samples - correct, k) / comb(samples, k)


def reward_correct(family: Any, completions: Sequence[str], answer: Sequence[str]) -> list[float]:
    """1.0 where the answer that the family finds is the gold answer, else 0.0; how it was found is not looked at."""
    return [float(family.find_answer(text) == gold) for text, gold in zip(completions, answer, strict=True)]


def measure_ends(model: Any, tokenizer: Any, family: Any, settings: Any) -> dict[str, Any]:
    """What the model can do, on held-out problems at T=1, of three groups: `prior`, `learnable`, `rare_valid`.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        family: Of the problems.
        settings: `evaluate_on` problems of each kind for the shares, `pass_problems` of each group with `samples`
            rollouts for pass@k and calibration, and the `seed`.

    Returns:
        For each group what `_measure_shares`, `_measure_pass_rates` and `measure_calibration` find. What is not
        defined is None.
    """
    groups = {"prior": family.prior, "learnable": (family.learnable,), "rare_valid": ("rare_valid",)}
    found: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for name, kinds in groups.items():
            problems = family.make_problems(kinds, settings.evaluate_on * len(kinds), settings.seed, held_out=True)
            texts = generate_texts(model, tokenizer, [row["prompt"] for row in problems], temperature=1.0)
            found[name] = _measure_shares(family, problems, texts)
            found[name]["entropy"] = measure_entropy(model, tokenizer, [row["prompt"] for row in problems], texts)
            chosen = problems[: settings.pass_problems]
            prompts = [row["prompt"] for row in chosen for _ in range(settings.samples)]
            sampled = generate_texts(model, tokenizer, prompts, temperature=1.0, batch_size=512)
            rows = [sampled[start : start + settings.samples] for start in range(0, len(sampled), settings.samples)]
            found[name] |= _measure_pass_rates(family, chosen, rows)
    return found


def _measure_shares(family: Any, problems: Sequence[dict], texts: Sequence[str]) -> dict[str, Any]:
    """As `evaluate_skills` of the recipe, and `lucky_of_successes`: lucky is correct and not computed."""
    found = describe_texts(problems, texts, family.find_answer, family.check)
    return found | {"lucky_of_successes": found["share_lucky"] / found["accuracy"] if found["accuracy"] else None}


def _measure_pass_rates(family: Any, problems: Sequence[dict], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """`pass@k` of correct and `computed_pass@k` of computed and correct answers, how many differ, calibration."""
    found: dict[str, Any] = {}
    right = [reward_correct(family, texts, [row["answer"]] * len(texts)) for row, texts in zip(problems, rows)]  # noqa: B905
    computed = [
        sum(ok for ok, text in zip(oks, texts, strict=True) if ok and family.check(row["prompt"], text) == "computed")
        for row, texts, oks in zip(problems, rows, right, strict=True)
    ]
    samples = len(rows[0])
    for name, counts in (("pass", map(sum, right)), ("computed_pass", computed)):
        tally = list(map(int, counts))
        for k in PASS_KS:
            if k <= samples:
                found[f"{name}@{k}"] = sum(pass_at_k(count, samples, k) for count in tally) / len(tally)
    answers = [[family.find_answer(text) for text in texts] for texts in rows]
    found["distinct_answers"] = sum(len(set(given)) for given in answers) / len(answers)
    return found | measure_calibration(answers, [row["answer"] for row in problems])


def measure_calibration(answers: Sequence[Sequence[str | None]], golds: Sequence[str]) -> dict[str, Any]:
    """How well agreement among a problem's rollouts tells whether their most frequent answer is right.

    Returns:
        `ece` (10 bins; on n problems it is about 0.4/√n too high even where calibration is perfect),
        `overconfidence` (mean confidence less share of right modes; unbiased), `auroc` and `confidence_wrong`
        (mean confidence of wrong modes); None where not defined.

    >>> found = measure_calibration([["1"] * 4, ["1", "1", "2", None]], ["1", "3"])
    >>> found["ece"], found["overconfidence"], found["auroc"], found["confidence_wrong"]
    (0.25, 0.25, 1.0, 0.5)
    """
    confidence, right = [], []
    for given, gold in zip(answers, golds, strict=True):
        modes = Counter(answer for answer in given if answer is not None).most_common(1)
        confidence.append(modes[0][1] / len(given) if modes else 0.0)
        right.append(bool(modes) and modes[0][0] == gold)
    sure, ok = np.array(confidence), np.array(right)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    ece = sum(abs((sure - ok)[bins == one].sum()) for one in range(BINS)) / len(sure)
    pairs = sure[ok][:, None] - sure[~ok][None, :]
    return {
        "ece": float(ece),
        "overconfidence": float((sure - ok).mean()),
        "auroc": float((pairs > 0).mean() + (pairs == 0).mean() / 2) if pairs.size else None,
        "confidence_wrong": float(sure[~ok].mean()) if (~ok).any() else None,
    }


@torch.no_grad()
def measure_entropy(
    model: Any, tokenizer: Any, prompts: Sequence[str], texts: Sequence[str], batch_size: int = 256
) -> float:
    """Mean entropy in nats of the next-token distribution over the tokens of completions, the closing one included."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(prompts), batch_size):
        asked = tokenizer(list(prompts[start : start + batch_size]))["input_ids"]
        said = tokenizer(list(texts[start : start + batch_size]), add_special_tokens=False)["input_ids"]
        said = [[*row, tokenizer.eos_token_id][:MAX_COMPLETION] for row in said]
        width = max(len(a) + len(s) for a, s in zip(asked, said, strict=True))
        tokens_BT = torch.full((len(asked), width), tokenizer.pad_token_id)
        predicts_BT = torch.zeros((len(asked), width), dtype=torch.bool)  # where the next token is the completion's
        for i, (a, s) in enumerate(zip(asked, said, strict=True)):
            tokens_BT[i, : len(a) + len(s)] = torch.tensor(a + s)
            predicts_BT[i, len(a) - 1 : len(a) + len(s) - 1] = True
        logs = model(input_ids=tokens_BT).logits[predicts_BT].log_softmax(-1)  # causal: padding behind is not seen
        total -= float((logs.exp() * logs).sum())
        count += len(logs)
    model.train(was_training)
    return total / count


class Recorder(TrainerCallback):
    """Measures the prior skills every few steps; keeps what the trainer logs and how successes came about between.

    Each row has `step`, `prior_*` (accuracy, shares, mean_characters, entropy), the means of what was noted since the
    last, `warnings`: which figures of the monitor were in alarm since then, each with the first such step, and
    `figures`: what the monitor saw of each step since then.
    """

    def __init__(self, settings: Any, tokenizer: Any, family: Any) -> None:
        self.rows: list[dict[str, Any]] = []
        self._settings, self._tokenizer, self._family = settings, tokenizer, family
        self._problems = family.make_problems(family.prior, settings.evaluate_on, settings.seed, held_out=True)
        self._warner = Warner(settings.steps)
        self._logged: dict[str, list[float]] = {}
        self._warnings: dict[str, int] = {}
        self._figures: list[dict[str, float]] = []

    def note(self, name: str, value: float) -> None:
        """One figure of what happened since the last measurement; the row gets the mean."""
        self._logged.setdefault(name, []).append(value)

    def see(self, prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str]) -> None:
        """Shows the detectors the rollouts of a step."""
        self._warner.see(prompts, completions, answers)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, train_dataloader: Any = None, **_: Any
    ) -> None:
        self._warner.fit(*sample_before(model, self._tokenizer, train_dataloader.dataset, self._settings.seed))
        self.measure(0, model)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        for name, value in logs.items():
            if isinstance(value, int | float):
                self.note(name, value)
        for name in self._warner.warn(logs):
            self._warnings.setdefault(name, state.global_step)
        self._figures.append({"step": state.global_step} | self._warner.figures)
        if state.global_step % self._settings.evaluate_every == 0:
            self.measure(state.global_step, model)

    def measure(self, step: int, model: Any) -> None:
        """Adds a row."""
        prompts = [row["prompt"] for row in self._problems]
        with torch.random.fork_rng():  # training must not notice
            torch.manual_seed(self._settings.seed)
            texts = generate_texts(model, self._tokenizer, prompts, temperature=1.0)
        found = _measure_shares(self._family, self._problems, texts)
        found["entropy"] = measure_entropy(model, self._tokenizer, prompts, texts)
        means = {name: sum(values) / len(values) for name, values in self._logged.items()}
        row = {"step": step} | {f"prior_{name}": value for name, value in found.items()} | means
        self.rows.append(row | {"warnings": self._warnings, "figures": self._figures})
        self._logged, self._warnings, self._figures = {}, {}, []


def make_reward(family: Any, recorder: Recorder, random_rate: float | None, seed: int) -> Callable[..., list[float]]:
    """The reward of a run, which also shows the recorder how its successes came about."""
    coin = None if random_rate is None else make_coin(random_rate, seed)

    def correctness(prompts: Sequence[str], completions: Sequence[str], answer: Sequence[str], **_: Any) -> list[float]:
        recorder.see(prompts, completions, answer)
        rewards = reward_correct(family, completions, answer)
        successes = [(prompt, text) for prompt, text, ok in zip(prompts, completions, rewards, strict=True) if ok]
        recorder.note("successes", len(successes))
        if successes:
            lucky = sum(family.check(prompt, text) != "computed" for prompt, text in successes)
            recorder.note("lucky_share_true", lucky / len(successes))
        return rewards if coin is None else coin(completions)

    return correctness
