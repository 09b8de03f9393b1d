"""Writes one HTML file: the data inline, nothing fetched, and no text from a model can run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from rlguard.report.audits import describe_audits, list_comparisons, say_losses, say_unmeasured
from rlguard.report.audits import say_comparison as say_audit
from rlguard.report.embed import (
    LONGEST_PROMPT,
    POINTS,
    Embedded,
    describe_columns,
    describe_events,
    describe_filters,
    describe_training,
    embed_rollouts,
    flatten,
    pack,
    shelve,
)
from rlguard.report.findings import pair_findings
from rlguard.report.load import Row, Run, read_run
from rlguard.report.prompt_rows import describe_prompts, merge_prompts
from rlguard.report.runs import name_arms, name_runs, say_comparison
from rlguard.report.skill import judge_prompts
from rlguard.report.verdict import SIGNS, STATES, Headline, Line, judge, say_verdict, split_models, tally
from rlguard.tables.files import replace_file
from rlguard.types import InputError
from rlguard.version import __version__

MISSING = {
    "rates": "pass rates (rates.parquet)",
    "filter": "filter result (kept.jsonl, kept.dropped.jsonl)",
    "rollouts": "rollouts (rollouts.jsonl, completions/)",
    "findings": "findings (findings.jsonl)",
    "training": "training curves (trainer_state.json, metrics.jsonl)",
    "audit": "audit (audit.json)",
}
LIBRARY = ("vendor/LICENSE.uPlot", "vendor/uPlot.iife.min.js")
"""uPlot 1.6.32 as npm has it, and its licence, which goes into every page with it."""

LONGEST_VALUE = 500
"""Characters of a setting that are shown: what was trained on may be long prompts."""

SCRIPTS = ("charts.js", "plots.js", "tables.js", "audit.js", "rollouts.js", "report.js")
POLICY = (
    "default-src 'none'; script-src $scripts; style-src '$style'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def write_report(
    run: Path | str,
    out: Path | str,
    title: str | None = None,
    *,
    against: Path | str | Sequence[Path | str] | None = None,
    scan: bool | None = None,
    columns: Mapping[str, str] | None = None,
    max_rollouts: int = 100_000,
    max_prompts: int = 100_000,
) -> Row:
    """Writes one self-contained HTML page about a run, or about several.

    Args:
        run: A folder with any of: a rates store, a filter result, rollouts, findings, trainings (TRL's output folder,
            or `metrics.jsonl`), an audit; or one file of these.
        out: The page to write; it is replaced in one step, so a reader never sees half of it.
        title: Heading of the page; the name of the run by default.
        against: Other runs, one or several, each of which is compared with `run`.
        scan: Whether rollouts without findings are searched for shortcuts; None does it while that is quick.
        columns: Part of a rollout -> the column that holds it (`read_any_rollouts`), where a table calls it otherwise.
        max_rollouts: The most completions to embed, those with findings first. The verdict is about all of them.
        max_prompts: The most prompts to list, those with findings first.

    Returns:
        `path`, `bytes`, `included` (sections), `skipped` (section -> why), `headlines` and `verdict` (sentences), and
        `notes`.

    Raises:
        InputError: `run` is missing, holds nothing known or a file that cannot be read, or `out` cannot be written.
    """
    begins = Path(out).read_bytes()[:64].lstrip().lower() if Path(out).is_file() else b""
    if begins and not begins.startswith(b"<!doctype html"):
        raise InputError(f"--out: {out} is no page and would be replaced: choose another name")
    others = [against] if isinstance(against, Path | str) else list(against or ())
    runs = [_read(path, columns) for path in (run, *others)]
    if columns and all(one.rollouts is None for one in runs):
        asked = ", ".join(f"{part}={name}" for part, name in columns.items())
        raise InputError(f"--column {asked}: expected rollouts to read it from, found none in {run}")
    owned = [pair_findings(one, scan) for one in runs]
    prompts = [describe_prompts(one, own) for one, own in zip(runs, owned, strict=True)]
    for one, own, rows in zip(runs, owned, prompts, strict=True):
        judge_prompts(one, rows, [rollout for rollout, _ in own[: len(one.rollouts or [])]])
    merged = merge_prompts(prompts)
    first = {rollout.prompt_id for own in owned for rollout, found in own if found}
    first |= {row["id"] for rows in prompts for row in rows if row["odd"]}
    chosen = sorted(range(len(merged)), key=lambda i: merged[i]["id"] not in first)[:max_prompts]
    listed = [merged[i] for i in sorted(chosen)]
    models = {r.source: one.name_model(r.source) for one, own in zip(runs, owned, strict=True) for r, _ in own}
    rollouts = embed_rollouts(owned, {row["id"]: place for place, row in enumerate(listed)}, max_rollouts, models)
    headlines: list[Headline] = []
    each = []
    for one, name, own, rows in zip(runs, name_runs(runs), owned, prompts, strict=True):
        counts = {model: tally(part, one.unsearched) for model, part in split_models(one, own).items()}
        odd = {row["id"]: row["odd"] for row in rows if row["odd"]}
        losses = say_losses(one.audit)
        for found in judge(one, counts, odd, losses):
            of = dict.fromkeys(filter(None, (name if others else "", found.of)))
            headlines.append(replace(found, of=", ".join(of)))
        each.append([*say_verdict(one, rows, counts, odd), *losses])
    headlines.sort(key=lambda found: STATES.index(found.state))
    totals = [tally(own, one.unsearched) for one, own in zip(runs, owned, strict=True)]
    verdict = say_comparison(runs, merged, totals) if others else each[0]
    notes = [*_gather_notes(runs), *_note_bounds(rollouts, len(listed), len(merged), runs)]
    skipped = find_skipped(runs)
    page = render_page(runs, title, headlines, [verdict, *(each if others else ())], notes, listed, rollouts)
    return {
        "path": str(out),
        "bytes": replace_file(out, page),
        "included": [part for part in MISSING if part not in skipped],
        "skipped": skipped,
        "headlines": [str(one) for one in headlines],
        "verdict": [f"{figure} {sentence}" for figure, sentence in verdict],
        "notes": notes,
    }


def _read(path: Path | str, columns: Mapping[str, str] | None) -> Run:
    try:
        return read_run(Path(path), columns)
    except OSError as error:
        raise InputError(f"{error.filename or path}: expected a file that can be read ({error})") from error


def find_skipped(runs: list[Run]) -> dict[str, str]:
    """The sections that no run has anything for, and why."""
    parts = {part: [getattr(run, part, None) for run in runs] for part in MISSING}
    parts["filter"] = [run.dropped if run.kept is None else run.kept for run in runs]
    parts["training"] = [run.arms or None for run in runs]
    where = "this run" if len(runs) == 1 else "any run"
    return {p: f"not in {where}: {MISSING[p]}" for p, found in parts.items() if all(one is None for one in found)}


def _gather_notes(runs: list[Run]) -> list[str]:
    if len(runs) == 1:
        return runs[0].notes
    named = zip(name_runs(runs), runs, strict=True)
    return [note if note.startswith(f"{name}: ") else f"{name}: {note}" for name, run in named for note in run.notes]


def _note_bounds(rollouts: Embedded, listed: int, prompts: int, runs: list[Run]) -> Iterator[str]:
    """What did not fit into the page, in words."""
    for shown, total, what in ((len(rollouts.texts), rollouts.total, "completions"), (listed, prompts, "prompts")):
        if shown < total:
            yield f"Shown: {shown:,} of {total:,} {what}, those with findings first. The verdict is about all of them."
    if any(len(points) > POINTS for arm in name_arms(runs).values() for points in arm.curves.values()):
        yield f"Curves with more than {POINTS:,} points are thinned evenly; first and last points are kept."


def render_page(
    runs: list[Run],
    title: str | None,
    headlines: list[Headline],
    verdicts: list[list[Line]],
    notes: list[str],
    listed: list[Row],
    rollouts: Embedded,
) -> str:
    """Fill the template. Words that matter without scripts are plain HTML; the rest is data for the scripts."""
    names = name_runs(runs)
    audits = [
        (name if len(runs) > 1 else "", run.audit)
        for name, run in zip(names, runs, strict=True)
        if run.audit is not None
    ]
    library = "/*\n{}*/\n{}".format(*map(load, LIBRARY))
    script, style = "".join(map(load, SCRIPTS)), load("vendor/uPlot.min.css") + load("report.css")
    sources = " ".join(f"'{hash_source(text)}'" for text in (library, script))
    shelves = {"prompts": shelve([row["text"][:LONGEST_PROMPT] for row in listed]), "rollouts": shelve(rollouts.texts)}
    data = {
        "runs": names,
        "judges": [run.judge for run in runs],
        "prompts": describe_columns(listed, len(runs)),
        "rollouts": rollouts.columns,
        "sources": rollouts.sources,
        "kinds": None if all(run.findings is None for run in runs) else list(rollouts.kinds.items()),
        "filters": describe_filters(runs),
        "training": describe_training(runs),
        "events": describe_events(runs),
        "audit": describe_audits(audits),
        "starts": {name: starts for name, (starts, _) in shelves.items()},
    }
    settings = "".join(
        f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in _list_settings(runs)
    )
    return Template(load("report.html")).substitute(
        policy=Template(POLICY).substitute(scripts=sources, style=hash_source(style)),
        style=style,
        library=library,
        script=script,
        title=escape(
            title or f"{' against '.join(filter(None, (names[0], ', '.join(names[1:]))))}: training guard report"
        ),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=escape(__version__),
        source=escape(" · ".join(dict.fromkeys(word for run in runs for word in _name_source(run)))),
        settings=settings,
        headlines="".join(map(_render_headline, headlines)),
        verdict=_render_verdicts(verdicts, names),
        notes=_render_notes([*notes, *(f"{why}." for why in find_skipped(runs).values())]),
        no_audit="" if audits else " hidden",
        audit="".join(_render_audit(name, audit) for name, audit in audits),
        data=pack(data),
        shelves="\n".join(
            f'<script type="text/plain" id="{name}-{number}">{chunk}</script>'
            for name, (_, chunks) in shelves.items()
            for number, chunk in enumerate(chunks)
        ),
    )


def load(name: str) -> str:
    """A file of this package; line ends as the browser sees them, or the policy's hashes would not match."""
    return files("rlguard.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def hash_source(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _mark_code(text: str) -> str:
    """Text as HTML, with what stands in backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _render_headline(one: Headline) -> str:
    """How a training or the rest of a run stands, in a colour and in words, and what to do next."""
    state = f"<b>{SIGNS[one.state]} {one.state}</b>{f' <small>{escape(one.of)}</small>' if one.of else ''}"
    because, do = (
        _mark_code(words[0].upper() + words[1:])
        for words in (one.because + "." * (not one.because.endswith(("?", "."))), one.do)
    )
    return f'<li class="{one.state.lower()}"><h3>{state}</h3><p>{because}</p><p><b>Next:</b> {do}</p></li>'


def _render_verdicts(verdicts: list[list[Line]], names: list[str]) -> str:
    """What supports it, and under it what each run shows by itself where several are compared."""
    why = "Nothing here says how the run went." if len(names) == 1 else "The runs have nothing in common to compare."
    lists = [_render_lines(lines) if lines else f'<p class="muted">{why}</p>' for lines in verdicts]
    return lists[0] + "".join(_unfold(f"{name} by itself", one) for name, one in zip(names, lists[1:], strict=False))


def _render_lines(lines: list[Line], kind: str = "verdict") -> str:
    items = (f"<li><strong>{escape(a)}</strong> <span>{escape(b)}</span></li>" for a, b in lines)
    return f'<ul class="{kind}">{"".join(items)}</ul>'


def _unfold(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _render_notes(notes: list[str]) -> str:
    return "".join(f"<li>{_mark_code(note)}</li>" for note in notes)


def _render_audit(run: str, audit: Row) -> str:
    """The findings of an audit in words: the last model's are open, the others' unfold."""
    blocks: list[str] = []
    for comparison in reversed(list_comparisons(audit)):
        name = f"{run}: {comparison['name']}" if run else str(comparison["name"])
        lines = _render_lines(say_audit(comparison), "verdict small")
        blocks.append(_unfold(name, lines) if blocks else f"<h3>{escape(name)}</h3>{lines}")
    notes = _render_notes(say_unmeasured(audit))
    return ("".join(blocks) or "<p>No model was compared.</p>") + (f'<ul class="notes">{notes}</ul>' if notes else "")


def _list_settings(runs: list[Run]) -> Iterator[tuple[str, str]]:
    """Where each run lies and what it was made with: its store, its trainings, its audit."""
    for run, name in zip(runs, name_runs(runs), strict=True):
        told: Row = {"run": str(run.path)} | run.meta | {arm: one.config for arm, one in run.arms.items() if one.config}
        if run.audit:
            audit = {key: run.audit.get(key) for key in ("before", "settings", "domains")}
            models = {str(model.get("name")): model.get("model") for model in run.audit.get("models") or []}
            told["audit"] = audit | {"models": models}
        for key, value in flatten(told, "" if len(runs) == 1 else f"{name}: "):
            yield key, f"{value[:LONGEST_VALUE]} …" if len(value) > LONGEST_VALUE else value


def _name_source(run: Run) -> list[str]:
    """The model, the engine, both from the store's provenance, and the run's name."""
    engine = run.meta.get("engine")
    if isinstance(engine, dict):
        engine = " ".join(str(engine[key]) for key in ("name", "engine", "version") if key in engine)
    return [*(str(word) for word in (run.model, engine) if word), run.name]
