"""The untrained model of a run and the problems that its arm trains it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.efficacy.records import lock
from benchmarks.efficacy.settings import Run


def load_problems(settings: Run, out: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of the untrained model, and what the arm trains it on."""
    from benchmarks.efficacy.arms import ARMS
    from benchmarks.efficacy.build import build_model
    from benchmarks.efficacy.families import FAMILIES

    family = FAMILIES[settings.family]
    folder = build_model(settings.family, out / "models" / settings.family)
    mix = {settings.kind: settings.share, family.learnable: 1 - settings.share}
    rows = family.make_problems({kind: part for kind, part in mix.items() if part}, settings.problems, settings.seed)
    store = out / "rates" / settings.name.replace(f"-{settings.arm}-", "-")
    return folder, keep_problems(rows, ARMS[settings.arm].keep, folder, store)


def keep_problems(rows: list[dict[str, Any]], rule: str | None, model: Path, store: Path) -> list[dict[str, Any]]:
    """The problems to train on, by offline pass rates of the untrained model; all arms of a mix and seed share them."""
    if rule is None:
        return rows
    from rlguard import Plan, Rules, Sampling, estimate_pass_rates, filter_dataset

    with lock(store):
        rates = estimate_pass_rates(
            rows, str(model.resolve()), out=store, engine="transformers", verifier="exact", plan=Plan(max_n=32),
            sampling=Sampling(temperature=1.0, max_tokens=40),
        )  # fmt: skip
    balanced = Rules(keep=(0.2, 0.8), max_truncated=None, chance_confidence=None, wrong_label_share=None)
    kept = filter_dataset(rows, rates, balanced if rule == "balanced" else Rules()).kept
    return list(kept) if rule == "rlguard" else [{name: row[name] for name in rows[0]} for row in kept]
