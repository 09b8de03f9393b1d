"""The model card of the tiny reasoner: measures the model on held-out prompts and writes README.md beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tiny_reasoner.tasks import KINDS, SKILLS, make_problems
from tiny_reasoner.training import evaluate_skills

from rlguard.stats import binomial_interval

PROBLEMS_PER_KIND = 300
EVALUATION_SEED = 7

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# Tiny reasoner

A {parameters:,}-parameter Llama that does modular arithmetic by writing steps, one character a token. It exists so that
rlguard's demo, tests and benchmarks can run real GRPO on one CPU core, with the truth about every completion known. It
is of no use for anything else.

```
prompt      7+8+5 mod 10=?⏎
completion  7+8=5;5+5=0;answer 0
```

## Built by
`python recipes/tiny_reasoner/build.py --out {out} --seed {seed} --steps {steps} --batch-size {batch_size}`: plain SFT
from random weights, AdamW, {examples:,} generated examples, {seconds:.0f} s on one core, torch {torch}. The data are
`make_example` in build.py: 22% each of the skills `add`, `sub`, `mul`, `mix` (2 to 5 terms, mod 7 or 10); 10% `#`
chains with made-up steps, because `#` has no method; 2% `@` chains. {bare:.0%} of the examples give the answer without
steps. A tenth of all prompts, chosen by a hash of their text, is held out (`is_held_out`).

## Measured
{n} held-out prompts a kind (seed {evaluation_seed}), at most 40 tokens; 95% exact binomial intervals. The
prior skills are the first four rows: {mean_skill:.2f} at T=1 on average. "Computed": all steps written and true, and
the answer is their result. "Bare": an answer without any step. "Lucky": correct, not computed.

| kind | greedy accuracy | accuracy at T=1 | computed at T=1 | bare at T=1 | lucky at T=1 |
|---|---|---|---|---|---|
{table}

## Limits
- Answers are small numbers: a guess is right 1 time in 7 or 10 (`guessable`: 2 or 3), so luck is never negligible.
- Most successes on `rare_valid` are luck too: only the written steps tell them apart.
- Chains of more than 5 terms were never seen; on `long` it stops early and makes something up.
- Greedily it makes almost no mistake on its skills. Its two habits, and what training does to them, show at T=1.
"""


def format_share(share: float, trials: int) -> str:
    """A share with its interval: `0.90 (0.86–0.93)`."""
    low, high = binomial_interval(round(share * trials), trials)
    return f"{share:.2f} ({low:.2f}–{high:.2f})"


def write_card(out: Path, model: Any, tokenizer: Any, facts: Mapping[str, Any]) -> None:
    """Measure every kind and write `out/README.md`.

    Args:
        out: The model's folder.
        model: The trained model.
        tokenizer: Its tokenizer.
        facts: `seed`, `steps`, `batch_size`, `seconds` (of training) and `bare_share`.
    """
    lines, skill_accuracy, n = [], [], PROBLEMS_PER_KIND
    for kind in KINDS:
        problems = make_problems([kind], n, EVALUATION_SEED, held_out=True)
        greedy = evaluate_skills(model, tokenizer, problems)
        torch.manual_seed(EVALUATION_SEED)
        sampled = evaluate_skills(model, tokenizer, problems, temperature=1.0)
        skill_accuracy += [sampled["accuracy"]] if kind in SKILLS else []
        keys = ("accuracy", "share_computed", "share_bare", "share_lucky")
        cells = [format_share(greedy["accuracy"], n), *(format_share(sampled[key], n) for key in keys)]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    card = _CARD.format(
        parameters=model.num_parameters(),
        out=out,
        seed=facts["seed"],
        steps=facts["steps"],
        batch_size=facts["batch_size"],
        examples=facts["steps"] * facts["batch_size"],
        seconds=facts["seconds"],
        torch=torch.__version__,
        bare=facts["bare_share"],
        n=n,
        evaluation_seed=EVALUATION_SEED,
        mean_skill=sum(skill_accuracy) / len(skill_accuracy),
        table="\n".join(lines),
    )
    (out / "README.md").write_text(card, encoding="utf-8")
