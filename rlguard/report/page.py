"""From what was read to one HTML file: the data inline, nothing fetched, and no text from a model able to run."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import rlguard
from rlguard.report.documents import Documents, embed_documents
from rlguard.report.prompts import bin_rates, count_bands, count_drops, describe_prompts
from rlguard.report.read import Arm, Row, Run, read_run
from rlguard.report.verdict import METRICS, Line, say_verdict
from rlguard.types import InputError

POINTS = 1000
"""Points of one curve that are embedded; a longer one is thinned evenly."""

MISSING = {
    "rates": "pass rates (rates.parquet)",
    "filter": "filter result (kept.jsonl, kept.dropped.jsonl)",
    "rollouts": "rollouts (rollouts.jsonl)",
    "findings": "findings (findings.jsonl)",
    "training": "training curves (training/<arm>/metrics.jsonl)",
}


def write_report(
    run: Path | str, out: Path | str, title: str | None = None, *, max_rollouts: int = 2000, max_prompts: int = 5000
) -> Row:
    """Write one self-contained HTML page about a run.

    Args:
        run: A directory with any of: a rates store, a filter result, findings, training/<arm>/metrics.jsonl.
        out: The page to write; it is replaced in one step, so a reader never sees half of it.
        title: Heading of the page; the name of the run by default.
        max_rollouts: The most completions to embed, those with findings first. Every count is over all of them.
        max_prompts: The most prompts to list, those with findings first.

    Returns:
        `path`, `bytes`, `included` (sections), `skipped` (section -> why), `verdict` (sentences) and `notes`.

    Raises:
        InputError: `run` is missing, holds nothing known or a file that cannot be read, or `out` cannot be written.
    """
    try:
        read = read_run(Path(run))
    except OSError as error:
        raise InputError(f"{error.filename or run}: expected a file that can be read ({error})") from error
    documents = embed_documents(read, max_rollouts)
    prompts = describe_prompts(read)
    listed = list_prompts(prompts, documents, max_prompts)
    notes = [*read.notes, *note_bounds(documents, len(listed), len(prompts), read.arms)]
    verdict = say_verdict(read, prompts, documents)
    heading = title or f"{read.path.resolve().name}: training guard report"
    page = render_page(read, heading, verdict, notes, gather_data(read, prompts, listed, documents))
    size = replace_file(Path(out), page)
    skipped = find_skipped(read)
    return {
        "path": str(out),
        "bytes": size,
        "included": [part for part in MISSING if part not in skipped],
        "skipped": skipped,
        "verdict": [f"{figure} {sentence}" for figure, sentence in verdict],
        "notes": notes,
    }


def gather_data(run: Run, prompts: list[Row], listed: list[Row], documents: Documents) -> Row:
    """What report.js reads; counts are over everything, lists hold what fits. None where the run has no such part."""
    return {
        "bands": list(count_bands(prompts).items()),
        "bins": bin_rates(prompts) if any(row["rate"] is not None for row in prompts) else [],
        "prompts": listed,
        "kept": None if run.kept is None else len(run.kept),
        "reasons": None if run.dropped is None else list(count_drops(run).items()),
        "kinds": None if run.findings is None else list(documents.kinds.items()),
        "findings": documents.findings,
        "texts": documents.texts,
        "training": describe_training(run.arms),
    }


def find_skipped(run: Run) -> dict[str, str]:
    """The sections this run has nothing for, and why."""
    parts = {
        "rates": run.rates,
        "filter": run.kept if run.kept is not None else run.dropped,
        "rollouts": run.rollouts,
        "findings": run.findings,
        "training": run.arms or None,
    }
    return {part: f"not in this run: {MISSING[part]}" for part, value in parts.items() if value is None}


def list_prompts(prompts: list[Row], documents: Documents, limit: int) -> list[Row]:
    """The prompts to embed, in their order: all, or up to the limit those with findings and then the first."""
    flagged = {text["prompt"] for text in documents.texts if text["findings"]}
    chosen = sorted(range(len(prompts)), key=lambda i: prompts[i]["id"] not in flagged)[:limit]
    return [prompts[i] for i in sorted(chosen)]


def note_bounds(documents: Documents, listed: int, prompts: int, arms: dict[str, Arm]) -> list[str]:
    """What did not fit into the page, in words."""
    notes = []
    if len(documents.texts) < documents.total_texts:
        notes.append(
            f"Shown: {len(documents.texts):,} of {documents.total_texts:,} completions, those with findings first. "
            "Counts are over all of them."
        )
    if len(documents.findings) < documents.total_findings:
        notes.append(f"Shown: {len(documents.findings):,} of {documents.total_findings:,} findings.")
    if listed < prompts:
        notes.append(f"Listed: {listed:,} of {prompts:,} prompts, those with findings first. Counts are over all.")
    if any(len(points) > POINTS for arm in arms.values() for points in arm.curves.values()):
        notes.append(f"Curves with more than {POINTS:,} points are thinned evenly; first and last points are kept.")
    return notes


def describe_training(arms: dict[str, Arm]) -> Row:
    """The arms with their settings, and every metric with one curve an arm; the important metrics first."""
    metrics = {metric for arm in arms.values() for metric in arm.curves}
    order = [metric for metric in METRICS if metric in metrics] + sorted(metrics - METRICS.keys())
    fixed = {"guarded": 0, "unguarded": 1}  # the same colour and shape in every report
    free = iter(range(2, len(arms) + 2))
    return {
        "arms": [
            {"name": name, "style": fixed[name] if name in fixed else next(free), "config": list(flatten(arm.config))}
            for name, arm in arms.items()
        ],
        "metrics": [
            {
                "name": metric,
                "label": METRICS.get(metric, metric),
                "first": metric in METRICS,
                "curves": [thin(arm.curves.get(metric, [])) for arm in arms.values()],
            }
            for metric in order
        ],
    }


def thin(points: list[Any]) -> list[Any]:
    """At most POINTS points of a curve, evenly spread, with the first and the last."""
    if len(points) <= POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]


def flatten(value: Row, lead: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names with their values as text.

    >>> flatten({"engine": {"name": "vllm"}, "seed": 0})
    [('engine.name', 'vllm'), ('seed', '0')]
    """
    rows = []
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            rows += flatten(inner, f"{lead}{name}.")
        else:
            rows.append((f"{lead}{name}", inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)))
    return rows


def render_page(run: Run, title: str, verdict: list[Line], notes: list[str], data: Row) -> str:
    """Fill the template. Words that matter without scripts are plain HTML; the rest is data for report.js."""
    script, style = load("charts.js") + load("report.js"), load("report.css")
    policy = (
        f"default-src 'none'; script-src '{hash_source(script)}'; style-src '{hash_source(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    skipped = find_skipped(run)
    settings = [("run", str(run.path)), *flatten(run.meta)]
    return Template(load("report.html")).substitute(
        policy=policy,
        style=style,
        script=script,
        title=escape(title),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=escape(rlguard.__version__),
        source=escape(name_source(run)),
        settings="".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in settings),
        verdict="".join(f"<li><strong>{escape(a)}</strong> <span>{escape(b)}</span></li>" for a, b in verdict),
        notes="".join(f"<li>{escape(note)}</li>" for note in [*notes, *(f"{why}." for why in skipped.values())]),
        data=encode_data(data),
    )


def name_source(run: Run) -> str:
    """The model and engine in a few words, from the store's provenance."""
    engine = run.meta.get("engine")
    model = engine.get("model") if isinstance(engine, dict) else None
    if isinstance(engine, dict):
        engine = " ".join(str(engine[key]) for key in ("name", "engine", "version") if key in engine)
    words = [str(word) for word in (run.meta.get("model") or model, engine) if word]
    return " · ".join([*words, run.path.resolve().name])


def load(name: str) -> str:
    """A file of this package; line ends as the browser sees them, or the policy's hashes would not match."""
    return files("rlguard.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def hash_source(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def encode_data(data: Row) -> str:
    r"""JSON that cannot end its script element and holds no line separators; a lone surrogate becomes U+FFFD.

    A browser shows a lone surrogate as U+FFFD anyhow, and some of its own tools crash on one.

    >>> encode_data({"text": "</script>"})
    '{"text":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def replace_file(out: Path, text: str) -> int:
    """Write a file in one step and return its size in bytes."""
    content = text.encode("utf-8", "replace")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise InputError(f"{out}: expected a path that can be written ({error})") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)  # mkstemp makes it private; a report is for showing
        os.replace(name, out)
    except OSError as error:
        raise InputError(f"{out}: expected a path that can be written ({error})") from error
    finally:
        Path(name).unlink(missing_ok=True)
    return len(content)
