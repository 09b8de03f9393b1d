"""What a run of the efficacy benchmark is measured by. Whether a success was computed is a fact (`Family.check`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
import torch
from tiny_reasoner.training import describe_texts, generate_texts
from transformers import TrainerCallback

from benchmarks.efficacy.families import MAX_COMPLETION, Family
from benchmarks.efficacy.rewards import reward_correct
from benchmarks.efficacy.settings import Run

PASS_KS = (1, 4, 16, 64)
BINS = 10


def list_groups(family: Family) -> dict[str, tuple[str, ...]]:
    """The kinds of each group of held-out problems."""
    return {"prior": family.prior, "learnable": (family.learnable,), "rare_valid": ("rare_valid",)}


def pass_at_k(correct: int, samples: int, k: int) -> float:
    """Unbiased estimate of P(at least one of k is correct) from `samples` rollouts (Chen et al., arXiv 2107.03374).

    >>> pass_at_k(1, 4, 1), pass_at_k(1, 4, 4), pass_at_k(0, 4, 2)
    (0.25, 1.0, 0.0)
    """
    return 1 - comb(samples - correct, k) / comb(samples, k)


def measure_group(model: Any, tokenizer: Any, family: Family, group: str, settings: Run) -> dict[str, Any]:
    """One completion of each of `evaluate_on` held-out problems at T=1; training does not notice.

    Returns:
        As `describe_texts` of the recipe, `by_template` (right and asked, of problems that have templates) and
        `entropy`.
    """
    problems = family.make_problems(list_groups(family)[group], settings.evaluate_on, settings.seed, held_out=True)
    prompts = [row["prompt"] for row in problems]
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        texts = generate_texts(model, tokenizer, prompts, temperature=1.0)
    found = describe_texts(problems, texts, family.find_answer, family.check)
    asked = Counter(row["template"] for row in problems if "template" in row)
    if asked:
        right = reward_correct(family, texts, [row["answer"] for row in problems])
        hits = Counter(row["template"] for row, ok in zip(problems, right, strict=True) if ok)
        found["by_template"] = {name: [hits[name], asked[name]] for name in sorted(asked)}
    return found | {"entropy": measure_entropy(model, tokenizer, prompts, texts)}


def measure_ends(model: Any, tokenizer: Any, family: Family, settings: Run) -> dict[str, Any]:
    """What the model can do: of each group `measure_group`, and pass@k and calibration of `sampled` of its problems."""
    found: dict[str, Any] = {}
    for group, kinds in list_groups(family).items():
        found[group] = measure_group(model, tokenizer, family, group, settings)
        problems = family.make_problems(kinds, settings.sampled, settings.seed, held_out=True)
        prompts = [row["prompt"] for row in problems for _ in range(settings.samples)]
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            texts = generate_texts(model, tokenizer, prompts, temperature=1.0, batch_size=512)
        rows = [texts[start : start + settings.samples] for start in range(0, len(texts), settings.samples)]
        found[group] |= _measure_pass_rates(family, problems, rows)
    return found


def _measure_pass_rates(family: Family, problems: Sequence[dict], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
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
    gaps = [abs(sure[bins == b].sum() - ok[bins == b].sum()) for b in range(BINS)]
    pairs = sure[ok][:, None] - sure[~ok][None, :]
    return {
        "ece": float(sum(gaps) / len(sure)),
        "overconfidence": float((sure - ok).mean()),
        "auroc": float((pairs > 0).mean() + (pairs == 0).mean() / 2) if pairs.size else None,
        "confidence_wrong": float(sure[~ok].mean()) if (~ok).any() else None,
    }


@torch.no_grad()
def read_logs(
    model: Any, tokenizer: Any, prompts: Sequence[str], texts: Sequence[str], batch_size: int = 256
) -> list[torch.Tensor]:
    """Next-token log-probabilities of each completion, (T, vocabulary), the closing token's included."""
    was_training = model.training
    model.eval()
    rows: list[torch.Tensor] = []
    for start in range(0, len(prompts), batch_size):
        asked = tokenizer(list(prompts[start : start + batch_size]))["input_ids"]
        said = tokenizer(list(texts[start : start + batch_size]), add_special_tokens=False)["input_ids"]
        said = [[*row, tokenizer.eos_token_id][:MAX_COMPLETION] for row in said]
        width = max(len(a) + len(s) for a, s in zip(asked, said, strict=True))
        tokens_BT = torch.full((len(asked), width), tokenizer.pad_token_id)
        for i, (a, s) in enumerate(zip(asked, said, strict=True)):
            tokens_BT[i, : len(a) + len(s)] = torch.tensor(a + s)
        logs_BT = model(input_ids=tokens_BT).logits.log_softmax(-1)  # causal: padding behind is not seen
        rows += [row[len(a) - 1 : len(a) + len(s) - 1] for row, a, s in zip(logs_BT, asked, said, strict=True)]
    model.train(was_training)
    return rows


def measure_entropy(model: Any, tokenizer: Any, prompts: Sequence[str], texts: Sequence[str]) -> float:
    """Mean entropy in nats of the next-token distribution over the tokens of completions, the closing one included."""
    logs = torch.cat(read_logs(model, tokenizer, prompts, texts))
    return float(-(logs.exp() * logs).sum(-1).mean())


def measure_kl(base: Any, model: Any, tokenizer: Any, prompts: Sequence[str], settings: Run) -> float:
    """Forward KL(base ‖ model) in nats a completion, as in RL's Razor (arXiv 2509.04259).

    One completion of each prompt is drawn from the base model; at each of its tokens the KL is summed over the whole
    vocabulary, which spreads less than the log-ratio of the drawn token.
    """
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        texts = generate_texts(base, tokenizer, prompts, temperature=1.0)
    pairs = zip(*(read_logs(one, tokenizer, prompts, texts) for one in (base, model)), strict=True)
    return sum(float((old.exp() * (old - new)).sum()) for old, new in pairs) / len(prompts)


class Recorder(TrainerCallback):
    """Follows a run.

    `curve` has a row every few steps: `step`, accuracy of `prior` and `learnable`, and what happened since the row
    before: `successes` a step, `lucky` (their share that was not computed) and `reward`. `scales` has the guard's
    step scale of each step, where there is one; `saved` the rollouts that the sampler says it saved.
    """

    def __init__(self, settings: Run, tokenizer: Any, family: Family) -> None:
        self.curve: list[dict[str, Any]] = []
        self.scales: list[float] = []
        self.saved: float | None = None
        self._settings, self._tokenizer, self._family = settings, tokenizer, family
        self._seen: dict[str, list[float]] = {}

    def see(self, prompts: Sequence[str], texts: Sequence[str], outcomes: Sequence[float]) -> None:
        """Takes note of a step's rollouts."""
        ways = [
            self._family.check(prompt, text) for prompt, text, ok in zip(prompts, texts, outcomes, strict=True) if ok
        ]
        self._note("successes", len(ways))
        if ways:
            self._note("lucky", sum(way != "computed" for way in ways) / len(ways))

    def _note(self, name: str, value: float) -> None:
        self._seen.setdefault(name, []).append(value)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        self._note("reward", logs["reward"])
        if "rlguard/step_scale" in logs:
            self.scales.append(logs["rlguard/step_scale"])
        self.saved = logs.get("rlguard/sampling/rollouts_saved", self.saved)
        if state.global_step % self._settings.evaluate_every == 0 and state.global_step < self._settings.steps:
            self.measure(state.global_step, model)

    def measure(self, step: int, model: Any) -> None:
        """Adds a row of the curve."""
        means = {name: sum(values) / len(values) for name, values in self._seen.items()}
        for group in ("prior", "learnable"):
            means[group] = measure_group(model, self._tokenizer, self._family, group, self._settings)["accuracy"]
        self.curve.append({"step": step} | means)
        self._seen.clear()
