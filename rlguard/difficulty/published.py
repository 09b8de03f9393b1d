"""Pass rates that data sets publish, read as they stand: each with its scale, its direction and its reference model."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rlguard.stats import binomial_interval
from rlguard.tables.columns import ABSENT, pick, read_text
from rlguard.tables.frames import Data, Shown, iter_data
from rlguard.tables.read import iter_problems
from rlguard.types import BOUNDS, InputError, PassRate, name_band

logger = logging.getLogger(__name__)

Scale = Literal["pass_rate", "percent_easy", "percent_hard", "fraction", "failures", "successes"]
_MISSING = ("", "none", "null", "nan", "n/a", "na")
"""In small letters, what stands for a rate that is not known."""
_ROUNDING = 1e-9
"""How far a mean of floats may lie beside the whole number that it is."""
_EXPECTED = {
    "pass_rate": "a pass rate in 0..1",
    "percent_easy": "a percentage solved, in 0..100",
    "percent_hard": "a percentage failed, in 0..100",
    "fraction": "successes of trials such as '3/8', or a list of 1 and 0",
    "failures": "a whole number of failures in 0..{trials}",
    "successes": "a whole number of successes in 0..{trials}",
}


class PublishedRates(dict[str, PassRate], Shown):
    """Pass rates by prompt id, as `filter_dataset` takes them."""

    missing: int = 0
    """Rows without a rate (null); they are not among the rates."""
    prompt_column: str = ""
    answer_column: str = ""
    """Where the prompts and gold answers stand to which they belong."""

    def __repr__(self) -> str:
        return f"PublishedRates({len(self)} pass rates, {self.missing} missing)"

    def records(self) -> Iterator[dict[str, Any]]:
        """One row per pass rate."""
        return (asdict(rate) for rate in self.values())


@dataclass(frozen=True)
class Preset:
    """How one data set publishes one model's rates."""

    column: str
    scale: Scale
    model: str
    trials: int | None = None
    """Rollouts a prompt; None where it is not known, or stands in each value."""
    prompt_column: str = "problem"
    answer_column: str = "answer"


_DISTILLED = "deepseek-ai/DeepSeek-R1-Distill-Qwen-"
_MATH_7B = "Qwen/Qwen2.5-Math-7B"
_SKYWORK = tuple(
    Preset(
        f"extra_info.model_difficulty.DeepSeek-R1-Distill-Qwen-{size}", "failures", _DISTILLED + size, 16,
        "prompt", "reward_model.ground_truth",
    )
    for size in ("1.5B", "7B", "32B")
)  # fmt: skip
_LIME = (
    Preset("difficulty", "percent_hard", _MATH_7B, 128, "problem", "ground_truth"),
    Preset("solved_percentage", "percent_easy", _MATH_7B, 128, "problem", "ground_truth"),
)
_QWEN3 = "Qwen/Qwen3-4B-"
_GURU = (
    Preset("qwen2.5_7b_pass_rate", "pass_rate", "Qwen/Qwen2.5-7B", None, "prompt", "reward_model.ground_truth"),
    Preset("qwen3_30b_pass_rate", "pass_rate", "Qwen/Qwen3-30B-A3B", None, "prompt", "reward_model.ground_truth"),
)
KNOWN: dict[str, tuple[Preset, ...]] = {
    # The data card names the columns, the model and its 64 rollouts. It says "percent"; the values lie in 0..1.
    "SynthLabsAI/Big-Math-RL-Verified": (Preset("llama8b_solve_rate", "pass_rate", "meta-llama/Llama-3.1-8B", 64),),
    # A PASS rate despite its name, says the data card; that it is text such as "3/8" is unverified (recalled).
    "POLARIS-Project/Polaris-Dataset-53K": (Preset("difficulty", "fraction", _DISTILLED + "7B"),),
    # Columns and models as in the schemas of copies; that they are FAILURES of 16 is unverified (recalled).
    "Skywork/Skywork-OR1-RL-Data": _SKYWORK,
    # Columns from the data card; whether a rollout of the logic and science parts can pass in part is unverified.
    "PrimeIntellect/INTELLECT-3-RL": (
        Preset("avg@8_qwen3_4b_thinking_2507", "pass_rate", _QWEN3 + "Thinking-2507", 8, "question"),
        Preset("avg@8_qwen3_4b_instruct_2507", "pass_rate", _QWEN3 + "Instruct-2507", 8, "question"),
        Preset("avg@16_qwen3_4b_instruct_2507", "pass_rate", _QWEN3 + "Instruct-2507", 16, "question"),
    ),
    # Model, 128 rollouts and d = 100(1 - s/128) stand in the data cards, the column does not: readers of DeepScaleR
    # name it `solved_percentage`, which speaks of the opposite direction. Unverified: look at a few rows first.
    "lime-nlp/DeepScaleR_Difficulty": _LIME,
    "lime-nlp/MATH_Difficulty": _LIME,
    "lime-nlp/GSM8K_Difficulty": _LIME,
    # Columns from the data card; the gold answer lies in JSON text, its key and the number of rollouts are unverified.
    "justus27/rl-math-2": (
        Preset(
            "solve_rate_qwen_r1_distill_7b", "pass_rate", _DISTILLED + "7B", None,
            "prompt", "verification_info.ground_truth",
        ),
    ),
    # Columns from the data card; the exact models and the number of rollouts are unverified.
    "LLM360/guru-RL-92k": _GURU,
    "IFM/guru-RL-92k": _GURU,
}  # fmt: skip
RANKS = {"open-r1/Big-Math-RL-Verified-Processed": "quintiles level_1 to level_5"}
"""Data sets that publish a rank: it says which prompts are harder, not how often any is solved."""


def read_known(
    name: str,
    data: Data | None = None,
    column: str | None = None,
    bounds: tuple[float, float, float] = BOUNDS,
    prompt_column: str | None = None,
    answer_column: str | None = None,
) -> PublishedRates:
    """The pass rates of a data set in `KNOWN`.

    Args:
        name: Its hub name.
        data: A local copy or part of it; None loads it from the hub.
        column: Which column, where there are several models; None takes the first that the data has.
        bounds: As in `name_band`.
        prompt_column: Where the copy has its prompts, if not where the data set has them.
        answer_column: Likewise the gold answers.

    Raises:
        InputError: If the name or column is not known, or publishes a rank; as `read_published`.

    >>> row = {"problem": "2+2?", "answer": "4", "llama8b_solve_rate": 0.75}
    >>> [rate.successes for rate in read_known("SynthLabsAI/Big-Math-RL-Verified", [row]).values()]
    [48]
    """
    if name in RANKS:
        raise InputError(f"{name} publishes {RANKS[name]}: a rank, from which no pass rate can be read")
    if name not in KNOWN:
        raise InputError(f"{name}: no such data set is known, expected one of: {', '.join(KNOWN)}; use read_published")
    presets = [preset for preset in KNOWN[name] if column in (None, preset.column)]
    if not presets:
        raise InputError(f"{name}: column {column!r} is not known, expected {', '.join(p.column for p in KNOWN[name])}")
    source = name if data is None else data
    if isinstance(source, Iterator):
        source = list(source)
    first = next(iter_data(source))
    chosen = next((p for p in presets if pick(first, p.column, ABSENT) is not ABSENT), presets[0])
    return read_published(
        source, chosen.column, scale=chosen.scale, model=chosen.model, trials=chosen.trials, bounds=bounds,
        prompt_column=prompt_column or chosen.prompt_column, answer_column=answer_column or chosen.answer_column,
    )  # fmt: skip


def read_published(
    data: Data,
    column: str,
    *,
    scale: Scale,
    model: str | None = None,
    trials: int | None = None,
    prompt_column: str = "prompt",
    answer_column: str = "answer",
    bounds: tuple[float, float, float] = BOUNDS,
) -> PublishedRates:
    """Pass rates that stand in a column of the data.

    Args:
        data: A path or hub name, a frame, or rows as dicts (`tables.frames.iter_data`).
        column: Where they stand; `columns.pick` says how to name a nested column.
        scale: What a value says, and in which direction. `pass_rate`: solved, 0..1. `percent_easy`: solved, 0..100.
            `percent_hard`: failed, 0..100. `fraction`: solved, such as "3/8", or a list of 1 and 0, one a
            rollout. `failures`, `successes`: of `trials`.
        model: The model whose rates they are.
        trials: Rollouts a prompt; None if unknown: then there is a rate, and an interval of 0 to 1. A fraction brings
            its own.
        prompt_column: Column with text or chat messages.
        answer_column: Column with the gold answer.
        bounds: As in `name_band`.

    Returns:
        Rates by prompt id, of duplicate rows the first. Rows without a value are counted in `missing`.

    Raises:
        InputError: If no row has the column, or a value is not of this scale: names the row, what was expected and
            came. With `trials`, a rate must lie near a whole number of successes: within 0.005 · trials, so far as
            two decimals can be off, but never more than a quarter of a success.

    >>> rows = [{"prompt": "2+2?", "answer": "4", "extra": {"level": 12}}]
    >>> [rate.rate for rate in read_published(rows, "extra.level", scale="failures", trials=16).values()]
    [0.25]
    """
    if scale not in get_args(Scale):
        raise InputError(f"scale: expected one of {', '.join(get_args(Scale))}, got {scale!r}")
    if trials is not None and trials < 1:
        raise InputError(f"trials: expected at least 1, or None for unknown, got {trials}")
    if trials is None and scale in ("failures", "successes"):
        raise InputError(f"trials: expected the number of rollouts that {scale} are counted of, got none")
    rates = PublishedRates()
    rates.prompt_column, rates.answer_column = prompt_column, answer_column
    place = f"{data}: " if isinstance(data, str | Path) else ""
    names: dict[str, None] = {}
    found = False
    for problem in iter_problems(iter_data(data), prompt_column, answer_column, data):
        value = pick(problem.row, column, ABSENT)
        found = found or value is not ABSENT
        names |= dict.fromkeys(problem.row)
        if value is ABSENT or value != value or str(value).strip().lower() in _MISSING:
            rates.missing += 1
        elif problem.id not in rates:
            where = f"{place}row {problem.number}: column {column!r}"
            rate, k, n = _read_value(value, scale, trials, where)
            low, high = binomial_interval(k, n) if n else (0.0, 1.0)
            rates[problem.id] = PassRate(
                problem.id, k, n, low, high, name_band(rate, bounds), rate=rate, status="published", model=model
            )
    if not found:
        raise InputError(f"{place}column {column!r} is missing; the data set has: {', '.join(map(repr, names))}")
    if rates.missing:
        logger.info("%d rows have no published rate in %r", rates.missing, column)
    return rates


def _read_value(value: Any, scale: str, trials: int | None, where: str) -> tuple[float, int, int]:
    """(pass rate, successes, trials) of one value; 0 of 0 where the trials are unknown."""
    expected = f"{where}: expected {_EXPECTED[scale].format(trials=trials)}, got {value!r:.60}"
    if isinstance(value, str) and re.fullmatch(r"level[_ ]?\d+", value.strip(), re.IGNORECASE):
        raise InputError(f"{expected}: a rank, from which no pass rate can be read")
    if scale == "fraction" and isinstance(value, str) and value.lstrip().startswith("["):  # as a CSV holds a list
        value = read_text(value)
    if scale == "fraction" and isinstance(value, list) and value and all(each in (0, 1) for each in value):
        value = f"{sum(value):g}/{len(value)}"
    if scale == "fraction":
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", value) if isinstance(value, str) else None
        k, n = map(int, match.groups()) if match else (1, 0)
        if k > n or n == 0 or n != (trials or n):
            raise InputError(expected + (f" (trials: {trials})" if trials else ""))
        return k / n, k, n
    if isinstance(value, str) and value.strip().endswith("%"):
        value = value.strip()[:-1].strip() if scale.startswith("percent") else _to_number(value.strip()[:-1]) / 100
    number = _to_number(value)
    if scale in ("failures", "successes"):
        assert trials is not None
        if not (number == math.floor(number) and 0 <= number <= trials):
            raise InputError(expected)
        k = int(number) if scale == "successes" else trials - int(number)
        return k / trials, k, trials
    top = 1.0 if scale == "pass_rate" else 100.0
    if not 0 <= number <= top:
        raise InputError(expected)
    rate = 1 - number / top if scale == "percent_hard" else number / top
    if trials is None:
        return rate, 0, 0
    k = round(rate * trials)
    if abs(rate * trials - k) > min(0.005 * trials, 0.25) + 1e-6:
        raise InputError(f"{expected}, which is no whole number of {trials} trials; trials=None if they are unknown")
    return rate, k, trials


def _to_number(value: Any) -> float:
    """A number, or text that states one as CSV has it; -1 for all else, which lies in no scale."""
    if isinstance(value, bool):
        return -1.0
    try:
        number = float(value)
        number = float(round(number)) if abs(number - round(number)) < _ROUNDING else number
    except (TypeError, ValueError, OverflowError):
        return -1.0
    return number if math.isfinite(number) else -1.0
