"""An audit from end to end: the same questions to every model, what they answered kept, compared with the first.

suite.jsonl                     the questions
models/<name>/                  a rollout store; scores.jsonl and truncation.jsonl beside its rollouts
audit.json, report.html         what was found
"""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlguard.audit import calibration, coverage, reasoning, retention
from rlguard.audit.distance import Cliff, domain_distances, fit_cliff
from rlguard.audit.marking import SuiteVerifier
from rlguard.audit.paired import Figure, Row, compare_figures
from rlguard.audit.samples import PLAIN, Item, Sample, Score, select
from rlguard.audit.suite import PER_DOMAIN, as_chat, read_suite, vary, write_suite
from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.difficulty.sampling import Progress
from rlguard.report import write_report
from rlguard.rollouts.segments import read_rollouts
from rlguard.rollouts.store import read_meta
from rlguard.shortcuts.truncation import TruncationCurve, truncation_test
from rlguard.tables.files import read_object, replace_file
from rlguard.types import Engine, InputError, Problem, Rollout, Sampling, Verifier, prompt_text, without_nan
from rlguard.version import __version__

SUITE, AUDIT, PAGE = "suite.jsonl", "audit.json", "report.html"
SCORES, TRUNCATION = "scores.jsonl", "truncation.jsonl"


@dataclass(frozen=True)
class AuditSettings:
    """How much is asked of each model."""

    n: int = 16
    """Rollouts a question; pass@k goes as far as this, at most to 256."""
    scored: int = 4
    """Rollouts a question whose log-probabilities are taken, with transformers; 0 for none."""
    truncated: int = 32
    """Correct rollouts whose reasoning is cut (the truncation test), one a question; 0 for none."""
    sampling: Sampling = field(default_factory=Sampling)
    """How completions are drawn."""


@dataclass(frozen=True)
class Answers:
    """What one model answered."""

    samples: list[Sample]
    curves: list[TruncationCurve]
    skipped: dict[str, str]
    """Measures that could not be taken, and why."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """One model against the first."""

    name: str
    rows: list[Row]
    cliff: Cliff | None
    """None where it is not known what was trained on."""
    crossing: coverage.Crossing
    newly_solved: list[coverage.Change]
    lost: list[coverage.Change]

    @property
    def losses(self) -> list[Row]:
        """Rows whose loss is surely beyond the tolerance."""
        return [row for row in self.rows if row.verdict == "lost"]

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.losses)} of {len(self.rows)} figures lost>"


@dataclass(frozen=True, repr=False)
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

    def to_pandas(self) -> Any:
        """A DataFrame with one line per figure: `model` and what `paired.Row` holds."""
        import pandas

        return pandas.DataFrame([{"model": one.name} | asdict(row) for one in self.comparisons for row in one.rows])

    def __repr__(self) -> str:
        return f"Audit against {self.before}: {', '.join(map(repr, self.comparisons))}"

    def _repr_html_(self) -> str:
        return self.to_pandas()._repr_html_()


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
    settings: AuditSettings | None = None,
    tolerance: float = 0.05,
    confidence: float = 0.95,
    load: Callable[[str], Engine] | None = None,
    verifier: Verifier | None = None,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> Audit:
    """Compares models with the first one, on the same questions.

    After a crash, the same call resumes.

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
        settings: How much is asked of each model; None takes the defaults.
        tolerance: Largest loss that counts as `kept`.
        confidence: Of each interval; also the probability that a model equal to the first is found to have neither lost
            nor gained anything.
        load: Makes an engine for a model; None takes vLLM.
        verifier: Judges the answers; None takes `SuiteVerifier`.
        on_progress: Called with the model's name after each change.

    Raises:
        InputError: For a suite, a model, a folder or a confidence that cannot be used.
    """
    if not 0 < confidence < 1:  # said before the work
        raise InputError(f"confidence: expected a number in (0, 1), got {confidence!r}")
    out, settings, verifier = Path(out), settings or AuditSettings(), verifier or SuiteVerifier()
    items = ask_in_variants(read_suite(suite, questions, seed), varied, chat) if isinstance(suite, str) else list(suite)
    if (plain := sum(item.variant == PLAIN and item.answerable for item in items)) < 2:
        raise InputError(f"suite: expected 2 or more answerable questions, to tell a change from chance, got {plain}")
    _keep_suite(items, out / SUITE)
    models = name_models([before, *expand_checkpoints(after)])
    taken: dict[str, Answers] = {}
    for name, model in models.items():
        report = None if on_progress is None else lambda progress, name=name: on_progress(name, progress)
        taken[name] = take(model, items, out / "models" / name, settings, load or _load_vllm, verifier, report)
    first, *others = taken
    comparisons = [
        _compare(other, taken[first], taken[other], trained, tolerance, confidence, len(others)) for other in others
    ]
    skipped = {f"{name}: {what}": why for name, one in taken.items() for what, why in one.skipped.items()}
    audit = Audit(first, comparisons, out, skipped)
    told = {
        "questions": questions, "varied": varied, "seed": seed, "trained": list(trained)[:20], "tolerance": tolerance,
        "confidence": confidence, "chat": chat,
    }  # fmt: skip
    record = _to_record(audit, models, items, told | asdict(settings))
    replace_file(out / AUDIT, json.dumps(record, indent=1, ensure_ascii=False))
    write_report(out, out / PAGE)
    return audit


def take(
    model: str,
    items: Sequence[Item],
    folder: Path,
    settings: AuditSettings,
    load: Callable[[str], Engine],
    verifier: Verifier,
    on_progress: Callable[[Progress], None] | None = None,
) -> Answers:
    """Asks a model every item, or goes on where an earlier call stopped; `folder` is its rollout store.

    Raises:
        InputError: If the folder holds rollouts drawn in another way, or the model cannot be loaded.
    """
    engine = load(model)
    rows = [item.row | {"prompt": item.prompt, "answer": item.answer} for item in items]
    estimate_pass_rates(
        rows, model, out=folder, n=settings.n, engine=engine, verifier=verifier, sampling=settings.sampling,
        on_progress=on_progress,
    )  # fmt: skip
    samples = read_samples(items, folder)
    curves = _truncate(samples, folder / TRUNCATION, engine, verifier, settings.truncated)
    del engine  # its memory is wanted for the scores
    gc.collect()
    samples, skipped = _score(model, samples, folder / SCORES, settings.scored)
    return Answers(samples, curves, skipped)


def read_samples(items: Sequence[Item], folder: Path) -> list[Sample]:
    """The items with their rollouts from a store, in the order of the items; one that a kill left twice counts once."""
    by_id: dict[str, dict[int, Rollout]] = {item.id: {} for item in items}
    for rollout in read_rollouts(folder):
        if rollout.prompt_id in by_id:
            by_id[rollout.prompt_id].setdefault(rollout.index, rollout)
    return [Sample(item, [own for _, own in sorted(by_id[item.id].items())]) for item in items]


def _truncate(
    samples: Sequence[Sample], path: Path, engine: Engine, verifier: Verifier, most: int
) -> list[TruncationCurve]:
    """The truncation test of the first correct rollout of up to `most` plain questions."""
    correct = [
        (sample.item, next(rollout for rollout in sample.rollouts if rollout.outcome == 1.0))
        for sample in select(samples)
        if not sample.item.open_ended and sample.counts[0]
    ][:most]
    if not correct:
        return []

    def test() -> list[dict[str, Any]]:
        problems = [Problem(item.id, item.prompt, item.answer, item.row) for item, _ in correct]
        curves = truncation_test([rollout for _, rollout in correct], problems, engine, verifier)
        return [asdict(curve) | {"finding": None} for curve in curves]

    kept = _take_once(path, ["own words", [[rollout.prompt_id, rollout.index] for _, rollout in correct]], test)
    return [TruncationCurve(**_with_tuples(record)) for record in kept]


def _score(model: str, samples: list[Sample], path: Path, most: int) -> tuple[list[Sample], dict[str, str]]:
    """The samples with the scores of their first `most` rollouts, and what could not be measured and why."""
    if not most:
        return samples, {"scores": "not asked for"}

    def score() -> list[list[Any]]:
        from rlguard.audit.scoring import Scorer

        scored = Scorer(model).score_samples(samples, most)
        return [[score and asdict(score) for score in sample.scores] for sample in scored]

    wanted = [most, "own words", [[sample.item.id, len(sample.rollouts)] for sample in samples]]
    try:
        kept = _take_once(path, wanted, score)
    except InputError as error:  # a model behind a server has no weights here
        return samples, {"scores": str(error)}
    scored = [
        dataclasses.replace(sample, scores=[score and Score(**_with_tuples(score)) for score in scores])
        for sample, scores in zip(samples, kept, strict=True)
    ]
    why = reasoning.doubt_gain(scored)
    if why is None:
        return scored, {}
    bare = [[score and dataclasses.replace(score, gold_logprobs=()) for score in sample.scores] for sample in scored]
    scored = [dataclasses.replace(sample, scores=scores) for sample, scores in zip(scored, bare, strict=True)]
    return scored, {"information gain": why}


def _take_once(path: Path, of: Any, take: Callable[[], Any]) -> Any:
    """What was written there for just this; otherwise it is taken, and written whole or not at all."""
    if path.exists() and (known := read_object(path))["of"] == of:
        return known["kept"]
    kept = take()
    replace_file(path, json.dumps({"of": of, "kept": kept}))
    return kept


def _with_tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}


def ask_in_variants(items: Sequence[Item], varied: int, chat: bool) -> list[Item]:
    """A suite as it is asked: with variants of its first questions, and without plain questions that have no answer."""
    asked = [*items, *(vary(items, per_domain=varied) if varied else ())]
    asked = [item for item in asked if item.answerable or item.variant != PLAIN]
    return as_chat(asked) if chat else asked


def measure(taken: Answers, most_k: int, trained: Sequence[str] = ()) -> list[Figure]:
    """Every figure of one model; `most_k` is the largest k of pass@k."""
    plain = select(taken.samples)
    return [
        *retention.figures(plain, trained),
        *calibration.figures(taken.samples, trained),
        *coverage.figures(plain, most_k),
        *reasoning.figures(plain),
        *reasoning.truncation_figures(plain, taken.curves),
        *retention.format_figures(taken.samples),
        *reasoning.diversity_figures(plain),
    ]


def _compare(
    name: str, before: Answers, after: Answers, trained: Sequence[str], tolerance: float, confidence: float, others: int
) -> Comparison:
    one, other = select(before.samples), select(after.samples)
    most_k = coverage.largest_k(one, other)
    rows = compare_figures(
        measure(before, most_k, trained), measure(after, most_k, trained), tolerance, confidence, comparisons=others
    )
    distances = domain_distances([sample.item for sample in one], trained) if trained else None
    return Comparison(
        name,
        rows,
        None if distances is None else fit_cliff(rows, distances),
        coverage.find_crossing(one, other, most_k),
        coverage.newly_solved(one, other),
        coverage.newly_solved(other, one),
    )


MODEL = ("config.json", "adapter_config.json", "params.json")
"""What a folder of a model holds, one of them."""


def expand_checkpoints(models: Sequence[str]) -> list[str]:
    """Each model; in place of a folder that is none but holds checkpoints, those, by step.

    Raises:
        InputError: If nothing is left, or a folder holds neither.
    """
    found: list[str] = []
    for model in models:
        folder = Path(model)
        is_model = any((folder / name).exists() for name in MODEL)
        steps = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
        ordered = sorted(steps, key=lambda path: int(path.name.rpartition("-")[2]))
        if folder.is_dir() and not is_model and not ordered:
            raise InputError(f"{model}: expected a model ({' or '.join(MODEL)}) or checkpoints, found neither")
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


def _to_record(audit: Audit, models: dict[str, str], items: Sequence[Item], settings: dict[str, Any]) -> dict[str, Any]:
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
