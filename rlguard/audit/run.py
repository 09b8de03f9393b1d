"""An audit from end to end: the same questions to every model, what they answered kept, compared with the first.

suite.jsonl                     the questions
models/<name>/                  a rollout store; scores.jsonl and truncation.jsonl beside its rollouts
audit.json, report.html         what was found
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlguard.audit import calibration, coverage, diversity, formats, reasoning, retention
from rlguard.audit.compare import Figure, Row, compare
from rlguard.audit.distance import domain_distances
from rlguard.audit.samples import PLAIN, Item, select
from rlguard.audit.suite import SuiteVerifier, as_chat, read_suite, vary, write_suite
from rlguard.audit.taking import Taken, Taking, take, without_nan
from rlguard.audit.variants import PER_DOMAIN
from rlguard.difficulty.sampling import Progress
from rlguard.report import write_report
from rlguard.rollouts.store import read_meta
from rlguard.tables.files import replace_file
from rlguard.types import Engine, InputError, Verifier, prompt_text
from rlguard.version import __version__

SUITE, AUDIT, PAGE = "suite.jsonl", "audit.json", "report.html"


@dataclass(frozen=True)
class Comparison:
    """One model against the first."""

    name: str
    rows: list[Row]
    cliff: retention.Cliff | None
    """None where it is not known what was trained on."""
    crossing: coverage.Crossing
    newly_solved: list[coverage.Change]
    lost: list[coverage.Change]

    @property
    def losses(self) -> list[Row]:
        """Rows whose loss is surely beyond the tolerance."""
        return [row for row in self.rows if row.verdict == "lost"]


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    before: str
    comparisons: list[Comparison]
    folder: Path
    skipped: dict[str, str]
    """Measures that could not be taken, as `model: measure`, and why."""

    @property
    def lost(self) -> bool:
        """Whether any model surely lost something beyond the tolerance."""
        return any(comparison.losses for comparison in self.comparisons)


def run_audit(
    before: str,
    after: Sequence[str],
    out: str | Path,
    suite: str | Sequence[Item] = "builtin",
    *,
    questions: int = 24,
    varied: int = PER_DOMAIN,
    chat: bool = False,
    seed: int = 0,
    trained: Sequence[str] = (),
    taking: Taking | None = None,
    tolerance: float = 0.05,
    confidence: float = 0.95,
    load: Callable[[str], Engine] | None = None,
    verifier: Verifier | None = None,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> Audit:
    """Audits models against one of them.

    The same call after a crash goes on where it stopped.

    Args:
        before: Folder or hub name of the model before training.
        after: Those after; a folder that holds only checkpoints stands for all of them.
        out: Folder of the audit.
        suite: `builtin`, files, or both, joined by commas (`suite.read_suite`); or items, which are taken as they are.
        questions: Questions per domain of the built-in suite.
        varied: Questions per domain that are also asked in other forms; 0 for none.
        chat: Whether to ask in chat messages, as a model with a chat template wants it.
        seed: Seed of the questions.
        trained: What was trained on: domains of the suite, or training prompts; without it there are no distances.
        taking: How much is asked of each model; None takes the defaults.
        tolerance: Largest loss that counts as `kept`.
        confidence: Of each interval; also the probability that a model equal to the first is found to have neither lost
            nor gained anything.
        load: Makes an engine for a model; None takes vLLM.
        verifier: Judges the answers; None takes `SuiteVerifier`.
        on_progress: Called with the model's name after each change.

    Raises:
        InputError: For a suite, a model or a folder that cannot be used.
    """
    out, taking, verifier = Path(out), taking or Taking(), verifier or SuiteVerifier()
    items = ask_in_variants(read_suite(suite, questions, seed), varied, chat) if isinstance(suite, str) else list(suite)
    _keep_suite(items, out / SUITE)
    models = name_models([before, *expand_checkpoints(after)])
    taken: dict[str, Taken] = {}
    for name, model in models.items():
        report = None if on_progress is None else lambda progress, name=name: on_progress(name, progress)
        taken[name] = take(model, items, out / "models" / name, taking, load or _load_vllm, verifier, report)
    first, *others = taken
    comparisons = [
        _compare(other, taken[first], taken[other], trained, tolerance, confidence, len(others)) for other in others
    ]
    skipped = {f"{name}: {what}": why for name, one in taken.items() for what, why in one.skipped.items()}
    audit = Audit(first, comparisons, out, skipped)
    settings = {
        "questions": questions,
        "varied": varied,
        "seed": seed,
        "trained": list(trained)[:20],
        "tolerance": tolerance,
    }
    record = to_record(audit, models, items, settings | {"confidence": confidence, "chat": chat} | asdict(taking))
    replace_file(out / AUDIT, json.dumps(record, indent=1, ensure_ascii=False))
    write_report(out, out / PAGE)
    return audit


def ask_in_variants(items: Sequence[Item], varied: int, chat: bool) -> list[Item]:
    """A suite as it is asked: with variants of its first questions, and without plain questions that have no answer."""
    asked = [*items, *(vary(items, per_domain=varied) if varied else ())]
    asked = [item for item in asked if item.answerable or item.variant != PLAIN]
    return as_chat(asked) if chat else asked


def measure(taken: Taken, most_k: int, trained: Sequence[str] = ()) -> list[Figure]:
    """Every figure of one model; `most_k` is the largest k of pass@k."""
    plain = select(taken.samples)
    return [
        *retention.figures(plain, trained),
        *calibration.figures(taken.samples, trained),
        *coverage.figures(plain, most_k),
        *reasoning.figures(plain),
        *reasoning.truncation_figures(plain, taken.curves),
        *formats.figures(taken.samples),
        *diversity.figures(plain),
    ]


def _compare(
    name: str, before: Taken, after: Taken, trained: Sequence[str], tolerance: float, confidence: float, others: int
) -> Comparison:
    one, other = select(before.samples), select(after.samples)
    most_k = coverage.largest_k(one, other)
    rows = compare(
        measure(before, most_k, trained), measure(after, most_k, trained), tolerance, confidence, comparisons=others
    )
    distances = domain_distances([sample.item for sample in one], trained) if trained else None
    return Comparison(
        name,
        rows,
        None if distances is None else retention.cliff(rows, distances),
        coverage.find_crossing(one, other, most_k),
        coverage.newly_solved(one, other),
        coverage.lost(one, other),
    )


def expand_checkpoints(models: Sequence[str]) -> list[str]:
    """Each model; in place of a folder that is none but holds checkpoints, those, by step.

    Raises:
        InputError: If nothing is left.
    """
    found: list[str] = []
    for model in models:
        folder = Path(model)
        is_model = any((folder / name).exists() for name in ("config.json", "adapter_config.json"))
        steps = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
        ordered = sorted(steps, key=lambda path: int(path.name.rpartition("-")[2]))
        found += [model] if is_model or not ordered else map(str, ordered)
    if not found:
        raise InputError("expected at least one model to compare with the first")
    return found


def name_models(models: Sequence[str]) -> dict[str, str]:
    """A short name, distinct and fit for a folder, for each model: the last part of its path.

    >>> name_models(["org/base", "out/checkpoint-10", "other/checkpoint-10"])
    {'base': 'org/base', 'checkpoint-10': 'out/checkpoint-10', 'checkpoint-10-2': 'other/checkpoint-10'}
    """
    named: dict[str, str] = {}
    for model in models:
        name = wanted = Path(model.rstrip("/")).name or "model"
        number = 1
        while name in named:
            name = f"{wanted}-{(number := number + 1)}"
        named[name] = model
    return named


def to_record(audit: Audit, models: dict[str, str], items: Sequence[Item], settings: dict[str, Any]) -> dict[str, Any]:
    """The audit as `audit.json` holds it; NaN is null."""
    questions = {item.id: item for item in items}
    comparisons = []
    for comparison in audit.comparisons:
        record = asdict(comparison)
        for change in (*record["newly_solved"], *record["lost"]):
            item = questions[change["id"]]
            change |= {"domain": item.domain, "prompt": prompt_text(item.prompt), "answer": item.answer}
        comparisons.append(record)
    provenance = {name: read_meta(audit.folder / "models" / name) for name in models}
    record = {
        "schema": 1,
        "rlguard": __version__,
        "before": audit.before,
        "models": [{"name": name, "model": model} | provenance[name] for name, model in models.items()],
        "domains": dict.fromkeys(item.domain for item in items),
        "settings": settings,
        "skipped": audit.skipped,
        "comparisons": comparisons,
    }
    record["domains"] = {
        domain: sum(item.domain == domain and item.variant == PLAIN for item in items) for domain in record["domains"]
    }
    return without_nan(record)


def _keep_suite(items: Sequence[Item], path: Path) -> None:
    """Writes the suite, or makes sure that the folder's is the same one."""
    if path.exists():
        known, wanted = [item.id for item in read_suite(path)], [item.id for item in items]
        if known != wanted:
            raise InputError(
                f"{path.parent} holds an audit with another suite: {len(known)} questions there, {len(wanted)} now, "
                f"{len({*known} & {*wanted})} in both. Choose another --out."
            )
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_suite(items, path)


def _load_vllm(model: str) -> Engine:
    from rlguard.engines import load_engine

    return load_engine("vllm", model)
