"""Keep or drop: splits a data set by pass rate, and gives every dropped row its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlguard.data import read_problems, read_rows, write_rows
from rlguard.difficulty import BOUNDS, name_band, read_rates
from rlguard.types import InputError, PassRate, count_reasons

PREFIX = "rlguard_"


@dataclass(frozen=True)
class Filtered:
    """A data set split in two; rows keep their columns and order and gain `rlguard_*` columns."""

    kept: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    """With `rlguard_drop_reason` (a word to count by) and `rlguard_drop_detail` (the figures)."""

    @property
    def reasons(self) -> dict[str, int]:
        """Dropped rows by reason, most frequent first."""
        return count_reasons(row[PREFIX + "drop_reason"] for row in self.dropped)

    def write(self, path: str | Path) -> tuple[Path, Path]:
        """Writes the kept rows to `path` and the dropped ones beside it (`kept.jsonl`, `kept.dropped.jsonl`)."""
        kept = Path(path)
        dropped = kept.with_name(f"{kept.stem}.dropped{kept.suffix}")
        write_rows(self.dropped, dropped)
        write_rows(self.kept, kept)
        return kept, dropped


def filter_dataset(
    data: str | Path | Iterable[Mapping[str, Any]],
    rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate],
    keep: tuple[float, float] = BOUNDS,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
) -> Filtered:
    """Keeps the rows whose pass rate lies in a range, both ends included.

    Args:
        data: A path or hub name, or rows as dicts.
        rates: A store folder or file written by `rlguard estimate`, or pass rates.
        keep: Lowest and highest pass rate to keep, in [0, 1].
        prompt_column: Column with the prompts that were estimated.
        answer_column: Column with the gold answers.

    Raises:
        InputError: If the range is not one, the data is unusable, or no row has a rate (another data set's rates).

    >>> rate = PassRate(read_problems([{"prompt": "2+2?", "answer": 4}])[0].id, 8, 16, 0.25, 0.75, "learnable")
    >>> filter_dataset([{"prompt": "2+2?", "answer": 4}], [rate]).kept[0]["rlguard_pass_rate"]
    0.5
    """
    low, high = keep
    if not 0 <= low <= high <= 1:
        raise InputError(f"keep: expected 0 <= low <= high <= 1, got {low}..{high}")
    rows = read_rows(data) if isinstance(data, str | Path) else [dict(row) for row in data]
    by_id = _index_rates(rates)
    kept, dropped = [], []
    for row, problem in zip(rows, read_problems(rows, prompt_column, answer_column), strict=True):
        rate = by_id.get(problem.id)
        marked = dict(row) | {PREFIX + name: value for name, value in _columns(problem.id, rate, keep).items()}
        reason = _judge(rate, keep)
        if reason is None:
            kept.append(marked)
        else:
            marked |= {PREFIX + "drop_reason": reason[0], PREFIX + "drop_detail": reason[1]}
            dropped.append(marked)
    if all(row.get(PREFIX + "drop_reason") == "not_estimated" for row in dropped) and not kept:
        raise InputError("none of the rows has a pass rate: were these rates estimated on other data or columns?")
    return Filtered(kept, dropped)


def _index_rates(rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate]) -> Mapping[str, PassRate]:
    if isinstance(rates, str | Path):
        return read_rates(rates)
    return rates if isinstance(rates, Mapping) else {rate.prompt_id: rate for rate in rates}


def _columns(prompt_id: str, rate: PassRate | None, keep: tuple[float, float]) -> dict[str, Any]:
    known = rate is not None and rate.trials > 0
    return {
        "id": prompt_id,
        "successes": rate.successes if rate else None,
        "trials": rate.trials if rate else None,
        "pass_rate": rate.rate if rate and known else None,
        "low": rate.low if rate and known else None,
        "high": rate.high if rate and known else None,
        "band": name_band(rate.successes, rate.trials, keep) if rate else "unscored",
        "chance_rate": rate.chance_rate if rate and rate.chance_rate == rate.chance_rate else None,
    }


def _judge(rate: PassRate | None, keep: tuple[float, float]) -> tuple[str, str] | None:
    """None to keep, or the reason and its figures."""
    if rate is None:
        return "not_estimated", "this prompt and answer are not among the pass rates"
    if rate.status == "gold_rejected":
        return "gold_rejected", "the verifier does not accept the row's own gold answer"
    if rate.trials == 0:
        return "unscored", f"no rollout could be judged ({rate.unscored} unscored)"
    figures = f"{rate.successes} of {rate.trials} correct (95% interval {rate.low:.3f} to {rate.high:.3f})"
    if rate.rate < keep[0]:
        return name_band(rate.successes, rate.trials, (keep[0], 1.0)), f"{figures}, below {keep[0]:g}"
    if rate.rate > keep[1]:
        return "mastered", f"{figures}, above {keep[1]:g}"
    if rate.rate <= rate.chance_rate:
        return "chance", f"{figures}, and guessing would pass at {rate.chance_rate:.2f}"
    return None
