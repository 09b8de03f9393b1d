"""Keep or drop: splits a data set by pass rate, and gives every dropped row its reason."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rlguard.answers import normalise_answer
from rlguard.data import FORMATS, RowWriter, iter_problems, iter_rows, read_schema, write_rows
from rlguard.rates import read_rates
from rlguard.rollouts import META, read_meta
from rlguard.types import BOUNDS, InputError, PassRate, Problem, count_reasons, name_band

logger = logging.getLogger(__name__)

PREFIX = "rlguard_"
WRONG_LABEL_MIN = 6  # so many rollouts must agree on another answer before the gold answer is suspected
_MANY_CLASHES = 0.1  # a larger share of contradictory rows speaks for a prompt column that is not the whole prompt
_KEPT = {  # column -> (Arrow type, meaning)
    "id": ("string", "Content hash of the prompt and its gold answer."),
    "successes": ("int64", "Rollouts of the reference model that were judged correct."),
    "trials": ("int64", "Rollouts that could be judged; 0 where a rate was published without its number."),
    "pass_rate": ("double", "How often the reference model solved it, corrected for the stopping rule."),
    "low": ("double", "Lower bound of the 95% interval of the pass rate."),
    "high": ("double", "Upper bound of it."),
    "band": ("string", "impossible, near-impossible, learnable, mastered; drawn by the range that was kept."),
    "band_error": ("double", "Probability that the true pass rate lies in another band; null unknown."),
    "chance_rate": ("double", "How often a guess would pass; null unknown."),
    "above_chance": ("double", "Probability that the pass rate is higher than that; null unknown."),
    "model": ("string", "The reference model; null unknown."),
}
_DROPPED = {
    "drop_reason": ("string", "Why the row was dropped, a word to count by."),
    "drop_detail": ("string", "The figures behind it."),
}


@dataclass(frozen=True)
class Rules:
    """What is kept. None turns a threshold off."""

    keep: tuple[float, float] = (0.1, 0.9)
    max_truncated: float | None = 0.5
    chance_confidence: float | None = 0.95
    wrong_label_share: float | None = 0.5

    def __post_init__(self) -> None:
        low, high = self.keep
        if not 0 <= low <= high <= 1:
            raise InputError(f"keep: expected 0 <= low <= high <= 1, got {low}..{high}")
        for name in ("max_truncated", "chance_confidence", "wrong_label_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name}: expected a number in 0..1, or None for no limit, got {value}")

    @property
    def bounds(self) -> tuple[float, float, float]:
        """Where the bands begin: the kept range is the learnable one."""
        return (min(BOUNDS[0], self.keep[0]), *self.keep)


@dataclass(frozen=True)
class Summary:
    """What a filter did."""

    rows: int
    kept: int
    reasons: dict[str, int]
    """Dropped rows by reason, most frequent first."""
    models: tuple[str, ...] = ()
    """Reference models of the rates that were used."""
    kept_path: Path | None = None
    dropped_path: Path | None = None
    card_path: Path | None = None


@dataclass(frozen=True)
class Filtered:
    """A data set split in two; rows keep their columns and order and gain `rlguard_*` columns."""

    kept: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    """With `rlguard_drop_reason` (a word to count by) and `rlguard_drop_detail` (the figures)."""
    card: str = ""
    """The data card, Markdown."""

    @property
    def reasons(self) -> dict[str, int]:
        """Dropped rows by reason, most frequent first."""
        return count_reasons(row[PREFIX + "drop_reason"] for row in self.dropped)

    def write(self, path: str | Path) -> tuple[Path, Path]:
        """Writes the kept rows to `path`, and the dropped ones (`kept.dropped.jsonl`) and the card beside them."""
        kept, dropped, card = _name_outputs(path)
        write_rows(self.dropped, dropped)
        write_rows(self.kept, kept)
        card.write_text(self.card, encoding="utf-8")
        return kept, dropped


def filter_dataset(
    data: str | Path | Iterable[Mapping[str, Any]],
    rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate],
    keep: tuple[float, float] = (0.1, 0.9),
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    *,
    max_truncated: float | None = 0.5,
    chance_confidence: float | None = 0.95,
    wrong_label_share: float | None = 0.5,
    model: str | None = None,
) -> Filtered:
    """Keeps the rows whose pass rate lies in a range, both ends included; all in memory (`filter_file` streams).

    Args:
        data: A path or hub name, or rows as dicts.
        rates: A store folder or file written by `rlguard estimate`, or pass rates.
        keep: Lowest and highest pass rate to keep, in [0, 1].
        prompt_column: Column with the prompts that were estimated, `data.pick` says how to name a nested one.
        answer_column: Column with the gold answers, likewise.
        max_truncated: Largest share of rollouts that may have run into the length limit, in [0, 1].
        chance_confidence: Least probability that the pass rate is above what guessing gets, in [0, 1]. Where it is
            unknown, a rate at or below the chance rate is dropped.
        wrong_label_share: Share of the trials that agree on one other answer, from which the gold answer is suspected
            to be wrong, in [0, 1]; at least `WRONG_LABEL_MIN` of them.
        model: The model to be trained; a warning says if the rates are another one's.

    A row that is to be dropped for several reasons gets the first of: not_estimated, gold_rejected, not_sampled,
    unscored, contradictory, duplicate, truncated, suspected_wrong_label, impossible, near-impossible, mastered, chance.

    Raises:
        InputError: If a range is not one, the data is unusable, or no row has a rate (another data set's rates).

    >>> from rlguard.data import read_problems
    >>> rate = PassRate(read_problems([{"prompt": "2+2?", "answer": 4}])[0].id, 8, 16, 0.25, 0.75, "learnable")
    >>> filter_dataset([{"prompt": "2+2?", "answer": 4}], [rate]).kept[0]["rlguard_pass_rate"]
    0.5
    """
    rules = Rules(keep, max_truncated, chance_confidence, wrong_label_share)
    rows = list(iter_rows(data) if isinstance(data, str | Path) else map(dict, data))
    judge = _Judge(_index_rates(rates), rules, _Clashes(iter_problems(rows, prompt_column, answer_column)))
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for row, is_kept in judge.judge_rows(iter_problems(rows, prompt_column, answer_column)):
        (kept if is_kept else dropped).append(row)
    return Filtered(kept, dropped, _write_card(judge.summarise(model), rules, data, rates, model))


def filter_file(
    data: str | Path,
    rates: str | Path | Mapping[str, PassRate] | Iterable[PassRate],
    out: str | Path,
    keep: tuple[float, float] = (0.1, 0.9),
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    *,
    max_truncated: float | None = 0.5,
    chance_confidence: float | None = 0.95,
    wrong_label_share: float | None = 0.5,
    model: str | None = None,
) -> Summary:
    """`filter_dataset` from file to file in bounded memory: two passes over the data, of which it holds hashes only.

    Args:
        data: A path or hub name.
        rates: As in `filter_dataset`, like all that follows.
        out: Where kept rows go, in the format of its ending (`RowWriter`); dropped ones go to `<stem>.dropped` beside
            it, and the data card to `<stem>.card.md`, or to `README.md` in a data set folder.
        keep: Lowest and highest pass rate to keep.
        prompt_column: Column with the prompts.
        answer_column: Column with the gold answers.
        max_truncated: Largest share of truncated rollouts.
        chance_confidence: Least probability of a pass rate above chance.
        wrong_label_share: Share of the trials on one other answer from which the gold answer is suspected.
        model: The model to be trained.

    Raises:
        InputError: As `filter_dataset`; then nothing is written.
    """
    rules = Rules(keep, max_truncated, chance_confidence, wrong_label_share)
    paths = _name_outputs(out)

    def problems() -> Iterator[Problem]:
        return iter_problems(iter_rows(data), prompt_column, answer_column)

    judge = _Judge(_index_rates(rates), rules, _Clashes(problems()))
    types = _column_types(data)
    with RowWriter(paths[0], types(_KEPT)) as kept, RowWriter(paths[1], types(_KEPT | _DROPPED)) as dropped:
        for row, is_kept in judge.judge_rows(problems()):
            (kept if is_kept else dropped).write(row)
        summary = judge.summarise(model)
    paths[2].write_text(_write_card(summary, rules, data, rates, model), encoding="utf-8")
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


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _prompt_key(problem: Problem) -> bytes:
    """Hash of a prompt's text; of the whole prompt where images or the like make it more than its text."""
    prompt = problem.prompt
    contents = [] if isinstance(prompt, str) else [message.get("content") for message in prompt]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    if any(isinstance(block, dict) and set(block) - {"type", "text"} for block in blocks):
        return _digest(json.dumps(prompt, sort_keys=True, default=str))
    return _digest(problem.text)


class _Clashes:
    """First pass: which prompts stand with different gold answers. Holds hashes, and answers of those only."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        firsts: dict[bytes, bytes] = {}  # prompt -> its first row's number and gold answer
        self._found: dict[bytes, dict[bytes, tuple[int, str]]] = {}
        for problem in problems:
            key, gold = _prompt_key(problem), _digest(normalise_answer(problem.answer))
            first = firsts.setdefault(key, problem.number.to_bytes(8) + gold)
            if first[8:] != gold:
                golds = self._found.setdefault(key, {first[8:]: (int.from_bytes(first[:8]), "")})
                if len(golds) < 2:
                    golds[gold] = (problem.number, str(problem.answer))

    def explain(self, key: bytes, gold: bytes, problem: Problem) -> str | None:
        """The row that contradicts this one, in words; None if none does. Rows come in the order of the data."""
        golds = self._found.get(key)
        if golds is None:
            return None
        if golds.get(gold, (-1, ""))[0] == problem.number:
            golds[gold] = (problem.number, str(problem.answer))  # the first pass knew the first row's hash only
        number, answer = next(other for name, other in golds.items() if name != gold)
        return f"the same prompt stands with the gold answer {answer!r:.80} in row {number}, here with another"


@dataclass
class _Judge:
    """Second pass: a verdict on each row, in order, and what has been seen so far."""

    rates: Mapping[str, PassRate]
    rules: Rules
    clashes: _Clashes
    counts: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    models: dict[str, None] = field(default_factory=dict)
    seen: dict[bytes, int] = field(default_factory=dict)
    """First row of each prompt and gold answer that has a rate."""

    def judge_rows(self, problems: Iterable[Problem]) -> Iterator[tuple[dict[str, Any], bool]]:
        """Yields each row with its `rlguard_*` columns, older ones replaced, and whether it is kept."""
        for problem in problems:
            rate = self.rates.get(problem.id)
            if rate is not None and rate.model is not None:
                self.models[rate.model] = None
            row = {name: value for name, value in problem.row.items() if not name.startswith(PREFIX)}
            row |= _columns(problem.id, rate, self.rules)
            reason = self._judge(problem, rate)
            if reason is None:
                self.kept += 1
            else:
                self.counts[reason[0]] += 1
                row |= {PREFIX + "drop_reason": reason[0], PREFIX + "drop_detail": reason[1]}
            yield row, reason is None

    def _judge(self, problem: Problem, rate: PassRate | None) -> tuple[str, str] | None:
        """None to keep, or the reason and its figures."""
        key, gold = _prompt_key(problem), _digest(normalise_answer(problem.answer))
        clash = self.clashes.explain(key, gold, problem)  # asked of every row: it learns from them
        if rate is None:
            return "not_estimated", "this prompt and answer are not among the pass rates"
        if rate.status == "gold_rejected":
            return "gold_rejected", "the verifier does not accept the row's own gold answer"
        if rate.status == "not_sampled":
            return "not_sampled", "the engine returned no rollouts for this prompt"
        if rate.rate != rate.rate:
            return "unscored", f"no rollout could be judged ({rate.unscored} unscored)"
        if clash is not None:
            return "contradictory", clash
        first = self.seen.setdefault(key + gold, problem.number)
        if first != problem.number:
            return "duplicate", f"row {first} has the same prompt and answer"
        return _judge_rate(rate, self.rules)

    def summarise(self, model: str | None) -> Summary:
        """Counts of all rows seen; warns of what a user should know.

        Raises:
            InputError: If no row had a rate.
        """
        reasons = dict(sorted(self.counts.items(), key=lambda item: (-item[1], item[0])))
        rows = self.kept + sum(reasons.values())
        if reasons.get("not_estimated") == rows:
            raise InputError("none of the rows has a pass rate: were these rates estimated on other data or columns?")
        others = [name for name in self.models if model is not None and not _is_same_model(name, model)]
        if others:
            names = ", ".join(repr(name) for name in others)
            logger.warning("the pass rates are those of %s, and a rate does not carry over to %r", names, model)
        if reasons.get("contradictory", 0) > _MANY_CLASHES * rows:
            logger.warning(
                "%d of %d rows are contradictory: does the prompt column hold the whole prompt, images and all?",
                reasons["contradictory"], rows,
            )  # fmt: skip
        return Summary(rows, self.kept, reasons, tuple(self.models))


def _is_same_model(one: str, other: str) -> bool:
    return one.rstrip("/").rpartition("/")[2].lower() == other.rstrip("/").rpartition("/")[2].lower()


def _columns(prompt_id: str, rate: PassRate | None, rules: Rules) -> dict[str, Any]:
    if rate is None:
        values = dict.fromkeys(_KEPT) | {"id": prompt_id, "band": "unscored"}
    else:
        known = rate.rate == rate.rate
        values = {name: getattr(rate, name, None) for name in _KEPT} | {
            "id": prompt_id,
            "pass_rate": rate.rate,
            "low": rate.low if known else None,
            "high": rate.high if known else None,
            "band": name_band(rate.rate, rules.bounds),
        }
    return {PREFIX + name: None if value != value else value for name, value in values.items()}


def _judge_rate(rate: PassRate, rules: Rules) -> tuple[str, str] | None:
    drawn = rate.trials + rate.unscored
    if rate.trials:
        figures = f"{rate.successes} of {rate.trials} correct (95% interval {rate.low:.3f} to {rate.high:.3f})"
        if abs(rate.rate - rate.successes / rate.trials) > 0.0005:
            figures += f", a pass rate of {rate.rate:.3f} after correction"
    else:
        figures = f"a pass rate of {rate.rate:.3f}, of unknown trials"
    if rules.max_truncated is not None and drawn and rate.truncated > rules.max_truncated * drawn:
        return "truncated", f"{rate.truncated} of {drawn} rollouts ran into the length limit; {figures}"
    if (
        rules.wrong_label_share is not None
        and rate.other_count >= WRONG_LABEL_MIN
        and rate.other_count >= rules.wrong_label_share * rate.trials
    ):
        agreed = f"{rate.other_count} of {rate.trials} rollouts agree on {rate.other_answer!r:.80} instead"
        return "suspected_wrong_label", f"{agreed}; {figures}"
    low, high = rules.keep
    if rate.rate < low:
        return name_band(rate.rate, rules.bounds), f"{figures}, below {low:g}"
    if rate.rate > high:
        return "mastered", f"{figures}, above {high:g}"
    if rules.chance_confidence is None:
        return None
    if rate.above_chance < rules.chance_confidence:
        sure = f"probability {rate.above_chance:.2f} that it is better, {rules.chance_confidence:g} is asked for"
        return "chance", f"{figures}, which cannot be told from guessing at {rate.chance_rate:.2f} ({sure})"
    if rate.above_chance != rate.above_chance and rate.rate <= rate.chance_rate:
        return "chance", f"{figures}, and guessing would pass at {rate.chance_rate:.2f}"
    return None


def _write_card(summary: Summary, rules: Rules, data: Any, rates: Any, model: str | None) -> str:
    """The data card: Markdown under the front matter that the Hub reads."""
    from rlguard import __version__

    source = f"`{data}`" if isinstance(data, str | Path) else "rows in memory"
    sizes = ((1000, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
    size = next((name for limit, name in sizes if summary.kept < limit), "10M<n<100M")
    limits = {
        "pass rate": f"{rules.keep[0]:g} to {rules.keep[1]:g}",
        "share of truncated rollouts": _limit("at most", rules.max_truncated),
        "probability that the rate is above chance": _limit("at least", rules.chance_confidence),
        "share of rollouts on another answer": _limit("below", rules.wrong_label_share),
    }
    models = ", ".join(f"`{name}`" for name in summary.models) or "not recorded"
    counts = {"in": summary.rows, "kept": summary.kept} | {f"dropped: {n}": c for n, c in summary.reasons.items()}
    columns = {f"`{PREFIX}{name}`": meaning for name, (_, meaning) in (_KEPT | _DROPPED).items()}
    return "\n".join(
        [
            f"---\ntags:\n- rlguard\n- rlvr\n- pass-rate\nsize_categories:\n- {size}\n---",
            f"# Prompts filtered by pass rate\n\nMade by rlguard {__version__} on "
            f"{datetime.datetime.now(datetime.UTC).date()} from {source}.\n",
            f"A pass rate is how often one model solves a prompt. These are the rates of {models}"
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
