"""Splits a data set by pass rate and gives every dropped row its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlguard.difficulty.card import write_card
from rlguard.difficulty.rates import read_rates
from rlguard.difficulty.rules import DROPPED, KEPT, PREFIX, Clashes, RowJudge, Rules, Summary
from rlguard.tables.files import keep_apart
from rlguard.tables.frames import Data, Shown, iter_data, rows_like
from rlguard.tables.read import FORMATS, iter_problems, iter_rows, read_schema
from rlguard.tables.write import RowWriter, write_rows
from rlguard.types import PassRate, Problem

DEFAULT = Rules()


@dataclass(frozen=True, repr=False)
class Filtered(Shown):
    """A data set split in two; rows keep their columns and order and gain `rlguard_*` columns."""

    kept: Any
    """A frame or data set of the kind that came in, or a list of dicts."""
    dropped: Any
    """Likewise; with `rlguard_drop_reason` (a word to count by) and `rlguard_drop_detail` (the figures)."""
    reasons: dict[str, int]
    """Dropped rows by reason, most frequent first."""
    card: str = ""
    """The data card, Markdown."""

    def __repr__(self) -> str:
        reasons = "".join(f", {reason} {count}" for reason, count in self.reasons.items())
        return f"Filtered({len(self.kept)} kept, {len(self.dropped)} dropped{reasons})"

    def records(self) -> Iterator[dict[str, Any]]:
        """All rows, the kept ones first; what kept rows lack is None in them."""
        for part in (self.kept, self.dropped):
            for row in iter_data(part) if len(part) else ():
                yield {PREFIX + name: None for name in DROPPED} | row

    def write(self, path: str | Path) -> tuple[Path, Path]:
        """Writes the kept rows to `path`, and the dropped ones (`kept.dropped.jsonl`) and the card beside them."""
        kept, dropped, card = _name_outputs(path)
        for part, place in ((self.dropped, dropped), (self.kept, kept)):
            write_rows(iter_data(part) if len(part) else (), place)
        card.write_text(self.card, encoding="utf-8")
        return kept, dropped


def filter_dataset(
    data: Data,
    rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate],
    rules: Rules = DEFAULT,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    model: str | None = None,
) -> Filtered:
    """Keeps the rows whose pass rate lies in a range, both ends included; all in memory (`filter_file` streams).

    Args:
        data: A path or hub name, a pandas or Polars frame, an Arrow table, a `datasets.Dataset`, or rows as dicts.
        rates: A store folder or file written by `rlguard estimate`, or pass rates.
        rules: What is kept.
        prompt_column: Column with the prompts that were estimated, `columns.pick` says how to name a nested one.
        answer_column: Column with the gold answers, likewise.
        model: The model to be trained; a warning says if the rates are another one's.

    A row that is to be dropped for several reasons gets the first of: not_estimated, gold_rejected, not_sampled,
    unscored, contradictory, duplicate, truncated, suspected_wrong_label, impossible, near-impossible, mastered, chance.

    Raises:
        InputError: If the data is unusable, or no row has a rate (another data set's rates).

    >>> from rlguard.tables.read import read_problems
    >>> rate = PassRate(read_problems([{"prompt": "2+2?", "answer": 4}])[0].id, 8, 16, 0.25, 0.75, "learnable")
    >>> filter_dataset([{"prompt": "2+2?", "answer": 4}], [rate]).kept[0]["rlguard_pass_rate"]
    0.5
    """
    rows = list(iter_data(data))
    judge = RowJudge(_index_rates(rates), rules, Clashes(iter_problems(rows, prompt_column, answer_column)))
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for row, is_kept in judge.judge_rows(iter_problems(rows, prompt_column, answer_column)):
        (kept if is_kept else dropped).append(row)
    summary = judge.summarise(model)
    card = write_card(summary, rules, data, rates, model)
    return Filtered(rows_like(data, kept), rows_like(data, dropped), summary.reasons, card)


def filter_file(
    data: str | Path,
    rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate],
    out: str | Path,
    rules: Rules = DEFAULT,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    model: str | None = None,
) -> Summary:
    """`filter_dataset` from file to file in bounded memory: two passes over the data, of which it holds hashes only.

    Args:
        data: A path or hub name.
        rates: As in `filter_dataset`, like all that follows.
        out: Where kept rows go, in the format of its ending (`RowWriter`); dropped ones go to `<stem>.dropped` beside
            it, and the data card to `<stem>.card.md`, or to `README.md` in a data set folder.
        rules: What is kept.
        prompt_column: Column with the prompts.
        answer_column: Column with the gold answers.
        model: The model to be trained.

    Raises:
        InputError: As `filter_dataset`, or if an output would replace what is read; then nothing is written.
    """
    paths = _name_outputs(out)
    keep_apart(paths, (data, rates))

    def problems() -> Iterator[Problem]:
        return iter_problems(iter_rows(data), prompt_column, answer_column, data)

    judge = RowJudge(_index_rates(rates), rules, Clashes(problems()))
    types = _column_types(data)
    with RowWriter(paths[0], types(KEPT)) as kept, RowWriter(paths[1], types(KEPT | DROPPED)) as dropped:
        for row, is_kept in judge.judge_rows(problems()):
            (kept if is_kept else dropped).write(row)
        summary = judge.summarise(model)
        for table in (kept, dropped):
            table.finish()  # before one of them takes its place: both do, or none
    paths[2].write_text(write_card(summary, rules, data, rates, model), encoding="utf-8")
    return replace(summary, kept_path=paths[0], dropped_path=paths[1], card_path=paths[2])


def _name_outputs(out: str | Path) -> tuple[Path, Path, Path]:
    kept = Path(out)
    is_file = kept.suffix in FORMATS
    stem, suffix = (kept.stem, kept.suffix) if is_file else (kept.name, "")
    card = kept.with_name(f"{stem}.card.md") if is_file else kept / "README.md"
    return kept, kept.with_name(f"{stem}.dropped{suffix}"), card


def _column_types(data: str | Path) -> Any:
    import pyarrow as pa

    source = {f.name: f.type for f in read_schema(data) or () if not f.name.startswith(PREFIX)}
    return lambda columns: source | {PREFIX + name: pa.type_for_alias(kind) for name, (kind, _) in columns.items()}


def _index_rates(rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate]) -> Mapping[str, PassRate]:
    if isinstance(rates, str | Path):
        return read_rates(rates)
    return rates if isinstance(rates, Mapping) else {rate.prompt_id: rate for rate in rates}
