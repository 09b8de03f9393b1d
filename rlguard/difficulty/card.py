"""The card of a filtered data set: how it was made, in the form that the Hub shows."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlguard.difficulty.rules import DROPPED, KEPT, PREFIX, Rules, Summary
from rlguard.rollouts.store import META, read_meta
from rlguard.version import __version__

SIZES = ((1000, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def write_card(summary: Summary, rules: Rules, data: Any, rates: Any, model: str | None = None) -> str:
    """The data card: Markdown under the front matter that the Hub reads.

    Args:
        summary: What was kept, and what was dropped.
        rules: By which rules.
        data: Where the rows come from, a path or rows.
        rates: Where the rates come from; a store's key is read.
        model: The model to be trained.
    """
    source = f"`{data}`" if isinstance(data, str | Path) else "rows in memory"
    size = next((name for limit, name in SIZES if summary.kept < limit), "10M<n<100M")
    of_models = ", ".join(f"`{name}`" for name in summary.models) or "not recorded"
    counts = {"in": summary.rows, "kept": summary.kept} | {f"dropped: {n}": c for n, c in summary.reasons.items()}
    limits = {
        "pass rate": f"{rules.keep[0]:g} to {rules.keep[1]:g}",
        "share of truncated rollouts": _limit("at most", rules.max_truncated),
        "probability that the rate is above chance": _limit("at least", rules.chance_confidence),
        "share of rollouts on another answer": _limit("below", rules.wrong_label_share),
    }
    columns = {f"`{PREFIX}{name}`": meaning for name, (_, meaning) in (KEPT | DROPPED).items()}
    return "\n".join(
        [
            f"---\ntags:\n- rlguard\n- rlvr\n- pass-rate\nsize_categories:\n- {size}\n---",
            f"# Prompts filtered by pass rate\n\nMade by rlguard {__version__} on "
            f"{datetime.datetime.now(datetime.UTC).date()} from {source}.\n",
            f"A pass rate is how often one model solves a prompt. These are the rates of {of_models}"
            + (f"; the prompts were chosen to train `{model}`" if model else "")
            + ". **A rate does not carry over to another model**, nor to other sampling settings: estimate anew.\n",
            *_table("Rows", "rows", "count", counts),
            *_table("What was kept", "figure", "limit", limits),
            *_table("How the rates were drawn", "setting", "value", _flatten(_find_meta(rates))),
            *_table("Columns", "column", "meaning", columns),
            "The last two stand in the dropped rows only.\n",
        ]
    )


def _limit(word: str, value: float | None) -> str:
    return "no limit" if value is None else f"{word} {value:g}"


def _table(title: str, left: str, right: str, rows: Mapping[str, Any]) -> list[str]:
    if not rows:
        return [f"## {title}\n\nNot recorded.\n"]
    cells = [f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in rows.items()]
    return [f"## {title}\n\n| {left} | {right} |\n|---|---|", *cells, ""]


def _find_meta(rates: Any) -> dict[str, Any]:
    if not isinstance(rates, str | Path):
        return {}
    folder = Path(rates) if Path(rates).is_dir() else Path(rates).parent
    return read_meta(folder) if (folder / META).exists() else {}


def _flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return flat
