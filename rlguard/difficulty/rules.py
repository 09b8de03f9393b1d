"""Judges data rows by their pass rates: keep, or drop with a reason and its figures."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlguard.answers import normalise_answer, read_gold
from rlguard.types import BOUNDS, InputError, PassRate, Problem, check_types, is_same_model, name_band

logger = logging.getLogger(__name__)

PREFIX = "rlguard_"
_MANY_CLASHES = 0.1  # a larger share of contradictory rows speaks for a prompt column that is not the whole prompt
KEPT = {  # column -> (Arrow type, meaning)
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
DROPPED = {
    "drop_reason": ("string", "Why the row was dropped, a word to count by."),
    "drop_detail": ("string", "The figures behind it."),
}


@dataclass(frozen=True)
class Rules:
    """Which rows to keep. All figures lie in [0, 1]; None turns a threshold off."""

    keep: tuple[float, float] = (0.1, 0.9)
    """Lowest and highest pass rate, both ends included."""
    max_truncated: float | None = 0.5
    """Largest share of truncated rollouts."""
    chance_confidence: float | None = 0.95
    """Least probability that the pass rate is above what guessing gets. Where it is unknown, a rate at or below the
    chance rate is dropped."""
    wrong_label_share: float | None = 0.5
    """Share of the trials, six at least, that agree on one other answer: then the gold answer is suspected."""

    def __post_init__(self) -> None:
        check_types(self)
        if isinstance(self.keep, str) or len(self.keep) != 2:
            raise InputError(f"keep: expected the lowest and the highest pass rate, got {self.keep!r}")
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
    """Counts of a filter run."""

    rows: int
    kept: int
    reasons: dict[str, int]
    """Dropped rows by reason, most frequent first."""
    models: tuple[str, ...] = ()
    """Reference models of the rates that were used."""
    kept_path: Path | None = None
    dropped_path: Path | None = None
    card_path: Path | None = None


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


class Clashes:
    """First pass: which prompts stand with different gold answers. Holds hashes, and answers of those only."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        firsts: dict[bytes, bytes] = {}  # prompt -> its first row's number and gold answer
        self._found: dict[bytes, dict[bytes, tuple[int, str]]] = {}
        for problem in problems:
            if read_gold(problem.answer) is None:
                continue
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
class RowJudge:
    """Second pass: a verdict on each row, in order, and what has been seen so far."""

    rates: Mapping[str, PassRate]
    rules: Rules
    clashes: Clashes
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
        if read_gold(problem.answer) is None:
            return "gold_rejected", f"row {problem.number} has no gold answer: {problem.answer!r:.60}"
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
        others = [name for name in self.models if model is not None and not is_same_model(name, model)]
        if others:
            names = ", ".join(repr(name) for name in others)
            logger.warning("the pass rates are those of %s, and a rate does not carry over to %r", names, model)
        if reasons.get("contradictory", 0) > _MANY_CLASHES * rows:
            logger.warning(
                "%d of %d rows are contradictory: does the prompt column hold the whole prompt, images and all?",
                reasons["contradictory"], rows,
            )  # fmt: skip
        return Summary(rows, self.kept, reasons, tuple(self.models))


def _columns(prompt_id: str, rate: PassRate | None, rules: Rules) -> dict[str, Any]:
    if rate is None:
        values = dict.fromkeys(KEPT) | {"id": prompt_id, "band": "unscored"}
    else:
        known = rate.rate == rate.rate
        values = {name: getattr(rate, name, None) for name in KEPT} | {
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
    if rules.wrong_label_share is not None and rate.suspects_label(rules.wrong_label_share):
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
