"""Writes one HTML file: the data inline, nothing fetched, and no text from a model can run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
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
from rlguard.report.verdict import SIGNS, Headline, Line, judge, say_verdict, split_models, tally
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
"""Characters of an audit's setting that are shown: what was trained on may be long prompts."""

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
    owned = [pair_findings(one, scan) for one in runs]
    prompts = [describe_prompts(one, own) for one, own in zip(runs, owned, strict=True)]
    merged = merge_prompts(prompts)
    first = {rollout.prompt_id for own in owned for rollout, found in own if found}
    first |= {row["id"] for rows in prompts for row in rows if row["odd"]}
    listed = _list_prompts(merged, first, max_prompts)
    models = {r.source: one.name_model(r.source) for one, own in zip(runs, owned, strict=True) for r, _ in own}
    rollouts = embed_rollouts(owned, {row["id"]: place for place, row in enumerate(listed)}, max_rollouts, models)
    headlines, each = [], []
    for one, own, rows in zip(runs, owned, prompts, strict=True):
        counts = {model: tally(part, one.unsearched) for model, part in split_models(one, own).items()}
        odd = {row["id"]: row["odd"] for row in rows if row["odd"]}
        losses = say_losses(one.audit)
        headlines.append(judge(one, counts, odd, losses))
        each.append([*say_verdict(one, rows, counts, odd), *losses])
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
        "headlines": [str(one) for found in headlines for one in found],
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
    parts = {
        "rates": lambda run: run.rates,
        "filter": lambda run: run.kept if run.kept is not None else run.dropped,
        "rollouts": lambda run: run.rollouts,
        "findings": lambda run: run.findings,
        "training": lambda run: run.arms or None,
        "audit": lambda run: run.audit,
    }
    lacking = [part for part, find in parts.items() if all(find(run) is None for run in runs)]
    return {part: f"not in {'this run' if len(runs) == 1 else 'any run'}: {MISSING[part]}" for part in lacking}


def _list_prompts(prompts: list[Row], flagged: set[str], limit: int) -> list[Row]:
    """The prompts to embed, in their order: all, or up to the limit those with findings and then the first."""
    chosen = sorted(range(len(prompts)), key=lambda i: prompts[i]["id"] not in flagged)[:limit]
    return [prompts[i] for i in sorted(chosen)]


def _gather_notes(runs: list[Run]) -> list[str]:
    if len(runs) == 1:
        return runs[0].notes
    named = zip(name_runs(runs), runs, strict=True)
    return [note if note.startswith(f"{name}: ") else f"{name}: {note}" for name, run in named for note in run.notes]


def _note_bounds(rollouts: Embedded, listed: int, prompts: int, runs: list[Run]) -> Iterator[str]:
    """What did not fit into the page, in words."""
    if len(rollouts.texts) < rollouts.total:
        yield (
            f"Shown: {len(rollouts.texts):,} of {rollouts.total:,} completions, those with findings first. "
            "The verdict is about all of them."
        )
    if listed < prompts:
        yield f"Shown: {listed:,} of {prompts:,} prompts, those with findings first. The verdict is about all of them."
    if any(len(points) > POINTS for arm in name_arms(runs).values() for points in arm.curves.values()):
        yield f"Curves with more than {POINTS:,} points are thinned evenly; first and last points are kept."


def gather_data(runs: list[Run], listed: list[Row], rollouts: Embedded) -> Row:
    """What the script reads first: all but the texts."""
    return {
        "runs": name_runs(runs),
        "prompts": describe_columns(listed, len(runs)),
        "rollouts": rollouts.columns,
        "sources": rollouts.sources,
        "kinds": None if all(run.findings is None for run in runs) else list(rollouts.kinds.items()),
        "filters": describe_filters(runs),
        "training": describe_training(runs),
        "events": describe_events(runs),
        "audit": describe_audits(_name_audits(runs)),
    }


def render_page(
    runs: list[Run],
    title: str | None,
    headlines: list[list[Headline]],
    verdicts: list[list[Line]],
    notes: list[str],
    listed: list[Row],
    rollouts: Embedded,
) -> str:
    """Fill the template. Words that matter without scripts are plain HTML; the rest is data for the scripts."""
    names = name_runs(runs)
    library = "/*\n{}*/\n{}".format(*map(load, LIBRARY))
    script, style = "".join(map(load, SCRIPTS)), load("vendor/uPlot.min.css") + load("report.css")
    sources = " ".join(f"'{hash_source(text)}'" for text in (library, script))
    shelves = {"prompts": shelve([row["text"][:LONGEST_PROMPT] for row in listed]), "rollouts": shelve(rollouts.texts)}
    data = gather_data(runs, listed, rollouts) | {"starts": {name: shelf.starts for name, shelf in shelves.items()}}
    settings = [
        (name if len(runs) == 1 else f"{run_name}: {name}", value)
        for run, run_name in zip(runs, names, strict=True)
        for name, value in [("run", str(run.path)), *flatten(run.meta), *_list_audit_settings(run.audit)]
    ]
    missing = [f"{why}." for why in find_skipped(runs).values()]
    return Template(load("report.html")).substitute(
        policy=Template(POLICY).substitute(scripts=sources, style=hash_source(style)),
        style=style,
        library=library,
        script=script,
        title=escape(title or f"{' against '.join(names)}: training guard report"),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=escape(__version__),
        source=escape(" · ".join(dict.fromkeys(filter(None, map(_name_source, runs))))),
        settings="".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in settings),
        headlines=_render_headlines(headlines, names),
        verdict=_render_verdicts(verdicts, names),
        notes=_render_notes([*notes, *missing]),
        no_audit="" if _name_audits(runs) else " hidden",
        audit="".join(_render_audit(run_name, audit) for run_name, audit in _name_audits(runs)),
        data=pack(data),
        shelves="\n".join(
            f'<script type="text/plain" id="{name}-{number}">{chunk}</script>'
            for name, shelf in shelves.items()
            for number, chunk in enumerate(shelf.chunks)
        ),
    )


def _render_headlines(headlines: list[list[Headline]], names: list[str]) -> str:
    """How each run stands, in a colour and in words, and what to do next."""
    items = []
    for name, found in zip(names, headlines, strict=True):
        for one in found:
            of = ", ".join(dict.fromkeys(filter(None, (name if len(names) > 1 else "", one.of))))
            state = f"<b>{SIGNS[one.state]} {one.state}</b>{f' <small>{escape(of)}</small>' if of else ''}"
            because, does = (
                re.sub("`([^`]*)`", r"<code>\1</code>", escape(words[0].upper() + words[1:]))
                for words in (one.because + "." * (not one.because.endswith(("?", "."))), one.do)
            )
            told = f"<h3>{state}</h3><p>{because}</p><p><b>Next:</b> {does}</p>"
            items.append(f'<li class="{one.state.lower()}">{told}</li>')
    return f'<ul class="headlines">{"".join(items)}</ul>'


def _render_verdicts(verdicts: list[list[Line]], names: list[str]) -> str:
    """What supports it, and under it what each run shows by itself where several are compared."""
    why = "Nothing here says how the run went." if len(names) == 1 else "The runs have nothing in common to compare."
    lists = [_render_lines(lines) if lines else f'<p class="muted">{why}</p>' for lines in verdicts]
    single = (
        f"<details><summary>{escape(name)} by itself</summary>{text}</details>"
        for name, text in zip(names, lists[1:], strict=False)
    )
    return lists[0] + "".join(single)


def load(name: str) -> str:
    """A file of this package; line ends as the browser sees them, or the policy's hashes would not match."""
    return files("rlguard.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def hash_source(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _render_lines(lines: list[Line], kind: str = "verdict") -> str:
    items = (f"<li><strong>{escape(a)}</strong> <span>{escape(b)}</span></li>" for a, b in lines)
    return f'<ul class="{kind}">{"".join(items)}</ul>'


def _render_notes(notes: list[str]) -> str:
    return "".join(f"<li>{escape(note)}</li>" for note in notes)


def _name_audits(runs: list[Run]) -> list[tuple[str, Row]]:
    """The audit of each run that has one, with the run's name where there are two."""
    names = name_runs(runs) if len(runs) > 1 else [""]
    return [(name, run.audit) for name, run in zip(names, runs, strict=True) if run.audit is not None]


def _render_audit(run: str, audit: Row) -> str:
    """The findings of an audit in words: the last model's are open, the others' unfold."""
    blocks: list[str] = []
    for comparison in reversed(list_comparisons(audit)):
        name = escape(f"{run}: {comparison['name']}" if run else str(comparison["name"]))
        lines = _render_lines(say_audit(comparison), "verdict small")
        blocks.append(f"<details><summary>{name}</summary>{lines}</details>" if blocks else f"<h3>{name}</h3>{lines}")
    notes = _render_notes(say_unmeasured(audit))
    return ("".join(blocks) or "<p>No model was compared.</p>") + (f'<ul class="notes">{notes}</ul>' if notes else "")


def _list_audit_settings(audit: Row | None) -> list[tuple[str, str]]:
    """Settings of an audit, and its models."""
    if not audit:
        return []
    models = {str(model.get("name")): model.get("model") for model in audit.get("models") or []}
    domains = ", ".join(f"{name} {count}" for name, count in (audit.get("domains") or {}).items())
    told = {"before": str(audit.get("before")), "settings": audit.get("settings") or {}, "questions": domains}
    rows = flatten({"audit": told | {"models": models}})
    return [(name, f"{value[:LONGEST_VALUE]} …" if len(value) > LONGEST_VALUE else value) for name, value in rows]


def _name_source(run: Run) -> str:
    """The model and engine in a few words, from the store's provenance, and the run's name."""
    engine = run.meta.get("engine")
    if isinstance(engine, dict):
        engine = " ".join(str(engine[key]) for key in ("name", "engine", "version") if key in engine)
    return " · ".join([*(str(word) for word in (run.model, engine) if word), run.name])
