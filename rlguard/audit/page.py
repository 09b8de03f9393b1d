"""From the record of an audit to one HTML file: the data inline, nothing fetched, and no text able to run."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from rlguard.audit import wording
from rlguard.audit.wording import Part, Record
from rlguard.report import html as report
from rlguard.report.sections import flatten
from rlguard.report.verdict import Line, plural
from rlguard.tables.files import replace_file

LISTED = 1000
"""The most questions of one list that are embedded, the surest first; counts are over all."""

LONGEST_VALUE = 500
"""Characters of a setting that are shown."""

SPOKEN = 20
"""The most figures of one verdict that stand open to be read; the others unfold."""

_KINDS = {"lost": "lost", "gained": "gained", "changed": "changed", "kept": "held", "too few": "open"}


def write_page(record: Record, out: Path) -> None:
    """Writes one self-contained HTML page about an audit.

    Args:
        record: Of `run.to_record`, as `audit.json` holds it; parts may be missing, null or empty.
        out: The page; it is replaced in one step, so a reader never sees half of it.

    Raises:
        InputError: If `out` cannot be written.
    """
    replace_file(out, render_page(record))


def render_page(record: Record) -> str:
    """Fills the template. Words that matter without scripts are plain HTML; the rest is data for audit.js."""
    script = report.load("charts.js") + _load("audit.js")
    style = report.load("report.css") + _load("audit.css")
    policy = (
        f"default-src 'none'; script-src '{report.hash_source(script)}'; style-src '{report.hash_source(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    before, comparisons = str(record.get("before")), record.get("comparisons") or []
    settings = record.get("settings") or {}
    others = comparisons[0]["name"] if len(comparisons) == 1 else f"{len(comparisons)} models"
    return Template(_load("audit.html")).substitute(
        policy=policy,
        style=style,
        script=script,
        title=escape(f"{before} → {others}: capability audit"),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=escape(str(record.get("rlguard"))),
        source=escape(_say_source(record)),
        overview=_render_overview(comparisons),
        verdict=_render_each(comparisons, lambda one: "".join(map(_render_part, wording.say_verdict(one, settings)))),
        reading=escape(_say_reading(settings)),
        cliff=_render_each(comparisons, _render_cliff),
        coverage=_render_each(comparisons, lambda one: f"<p>{escape(wording.say_crossing(one))}</p>"),
        turned=_render_each(comparisons, lambda one: f"<p>{escape(wording.say_turned(one))}</p>"),
        unmeasured=_render_lines(wording.say_unmeasured(record), "plain") or "<p>Nothing was skipped.</p>",
        settings="".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(_cut(value))}</td></tr>'
            for name, value in _settings(record)
        ),
        data=report.encode_data(gather_data(record)),
    )


def gather_data(record: Record) -> Record:
    """What audit.js reads; a question's text stands there once, however many models turned it."""
    comparisons = record.get("comparisons") or []
    settings = record.get("settings") or {}
    tolerance = settings.get("tolerance") or 0.0
    return {
        "before": str(record.get("before")),
        "tolerance": tolerance,
        "groups": list(wording.GROUPS),
        "comparisons": [_describe_comparison(comparison, tolerance) for comparison in comparisons],
        "questions": {
            change["id"]: [str(change.get(name)) for name in ("domain", "prompt", "answer")]
            for comparison in comparisons
            for listed in ("newly_solved", "lost")
            for change in (comparison.get(listed) or [])[:LISTED]
        },
    }


def fit_line(cliff: Record) -> dict[str, float] | None:
    """The line of `retention.cliff`: its change at distance 0, `start`, and its `slope`; None where there is none.

    It goes through the mean of the points, each weighing by the inverse square of its interval's width.
    """
    known = [point for point in cliff["points"] if None not in (point["change"], point["low"], point["high"])]
    weighed = [(1 / (point["high"] - point["low"]) ** 2, point) for point in known if point["high"] > point["low"]]
    if cliff["slope"] is None or not weighed:
        return None
    total = sum(weight for weight, _ in weighed)
    x, y = (sum(weight * point[name] for weight, point in weighed) / total for name in ("distance", "change"))
    return {"start": y - cliff["slope"] * x, "slope": cliff["slope"]}


def _describe_comparison(comparison: Record, tolerance: float) -> Record:
    cliff = comparison.get("cliff")
    changes = {name: (comparison.get(name) or [])[:LISTED] for name in ("newly_solved", "lost")}
    kept = ("id", "failures", "successes", "trials", "bound", "probability")
    return {
        "name": comparison["name"],
        "rows": [_describe_row(row, tolerance) for row in comparison.get("rows") or []],
        "cliff": cliff and {"points": cliff["points"], "line": fit_line(cliff)},
        "coverage": [
            {name: row[name] for name in ("k", "before", "after", "low", "high")}
            for row in wording.read_coverage(comparison)
        ],
        "crossing": (comparison.get("crossing") or {}).get("k"),
        "turned": {name: [{key: change[key] for key in kept} for change in listed] for name, listed in changes.items()},
        "totals": {name: len(comparison.get(name) or []) for name in changes},
    }


def _describe_row(row: Record, tolerance: float) -> Record:
    """A row with its numbers as text, and the unit in which its bar is drawn: one tolerance is as wide in all."""
    places = wording.find_places(row)
    return row | {
        "label": wording.name_figure(row),
        "texts": {name: wording.show(row[name], places) for name in ("before", "after")}
        | {name: wording.show(row[name], places, signed=True) for name in ("change", "low", "high")},
        "unit": row["tolerance"] / tolerance if tolerance else 1.0,
    }


def _render_each(comparisons: list[Record], render: Any) -> str:
    """A block a model, under its name where there are several; audit.js shows the chosen one."""
    if not comparisons:
        return '<p class="muted">No model was compared.</p>'
    blocks = (
        f'<div class="of" data-of="{number}">'
        + (f"<h3>{escape(comparison['name'])}</h3>" if len(comparisons) > 1 else "")
        + f"{render(comparison)}</div>"
        for number, comparison in enumerate(comparisons)
    )
    return f'<div class="each">{"".join(blocks)}</div>'


def _render_part(part: Part) -> str:
    lead = f"<p><strong>{escape(part.figure)}</strong> <span>{escape(part.sentence)}</span></p>"
    lines, rest = (_render_lines(lines, "verdict") for lines in (part.lines[:SPOKEN], part.lines[SPOKEN:]))
    more = f"<details><summary>{len(part.lines) - SPOKEN} more</summary>{rest}</details>" if rest else ""
    kind = "held" if part.verdict == "lost" and not part.lines else _KINDS[part.verdict]
    return f'<div class="part {kind}">{lead}{lines}{more}</div>'


def _render_lines(lines: list[Line], kind: str) -> str:
    items = "".join(f"<li><strong>{escape(a)}</strong> <span>{escape(b)}</span></li>" for a, b in lines)
    return f'<ul class="{kind}">{items}</ul>' if lines else ""


def _render_cliff(comparison: Record) -> str:
    sentence = (comparison.get("cliff") or {}).get("sentence") or f"{wording.capitalise(wording.UNKNOWN_DISTANCES)}."
    return f"<p>{escape(re.sub(r'-(?=[0-9])', '−', sentence))}</p>"


def _render_overview(comparisons: list[Record]) -> str:
    """How many figures each of several models lost and gained."""
    if len(comparisons) < 2:
        return ""
    heads = "".join(f'<th scope="col">{word}</th>' for word in ("model", *_KINDS))
    rows = []
    for number, comparison in enumerate(comparisons):
        verdicts = [row["verdict"] for row in comparison.get("rows") or []]
        cells = "".join(f"<td>{verdicts.count(verdict)}</td>" for verdict in _KINDS)
        rows.append(f'<tr><th scope="row"><a href="#model={number}">{escape(comparison["name"])}</a></th>{cells}</tr>')
    table = f'<table class="overview"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Figures by model and verdict">{table}</div>'


def _say_source(record: Record) -> str:
    counts = [count for count in (record.get("domains") or {}).values() if count]  # some are only asked in variants
    total, domains = sum(counts), len(counts)
    asked = f"{total} {plural(total, 'question')} in {domains} {plural(domains, 'domain')}"
    return f"{asked}, the same for every model"


def _say_reading(settings: Record) -> str:
    confidence, tolerance = settings.get("confidence"), settings.get("tolerance")
    sure = f"with {100 * confidence:.4g}% confidence for all figures together" if confidence else "surely"
    return (
        f"Lost, gained, changed: by more than the tolerance{f' of {tolerance:g}' if tolerance else ''}, {sure}. "
        "Kept: a loss beyond the tolerance is ruled out. Too few: so few questions cannot tell. Intervals are for each "
        "figure alone. Of figures without a natural range (nats), the tolerance is a share of the value before."
    )


def _settings(record: Record) -> list[tuple[str, str]]:
    """Settings, domains and each model's provenance as names and values; what all models share stands once."""
    rows = flatten((record.get("settings") or {}) | {"domains": record.get("domains") or {}})
    models = record.get("models") or []
    known = [dict(flatten({key: value for key, value in model.items() if key != "name"})) for model in models]
    for key in dict.fromkeys(key for model in known for key in model):
        values = [model.get(key, "–") for model in known]
        if len({*values}) == 1 and len(models) > 1:
            rows.append((key, values[0]))
        else:
            rows += [(f"{model.get('name')}: {key}", value) for model, value in zip(models, values, strict=True)]
    return rows


def _cut(value: str) -> str:
    """A setting at a length that can be read: what was trained on may be thousands of prompts."""
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]} … ({len(value):,} characters)"


def _load(name: str) -> str:
    """A file of this package, line ends as the browser sees them."""
    return files("rlguard.audit").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")
