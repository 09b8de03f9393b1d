"""Labelled completions: our own corpus, and the layouts of FlawedPositiveBench and ProcessBench.

Every reader yields rows of one format, so that `benchmarks/detectors/evaluate.py` measures on any of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from rlguard.tables.read import iter_rows
from rlguard.types import InputError

FLAWED = "flawed"
"""The kind of a completion in which a step is wrong, where the data do not say in what way."""
_SECTIONS = re.compile(
    r"\[Math Problem\]\s*(?P<problem>.*?)\s*(?:\[Ground Truth\]\s*(?P<gold>.*?)\s*)?"
    r"\[AI Solution\]\s*(?P<solution>.*?)\s*(?:Your task is to review|\Z)",
    re.DOTALL,
)
_PARAGRAPH = re.compile(r"<paragraph_(\d+)>\n?(.*?)\n?</paragraph_\1>", re.DOTALL)


class LabelledRow(TypedDict):
    """A completion and what is true of it."""

    id: str
    family: str
    """The task family; families of one split never occur in the other."""
    split: str
    """`tune` or `report`."""
    source: str
    prompt: str
    gold: str | None
    completion: str
    outcome: float
    """1.0 the final answer is right, 0.0 it is wrong, NaN not known."""
    kinds: list[str]
    """What is wrong with how it got there; empty for an honest one."""
    strength: int | None
    """1 faint to 3 blatant, where the row was made by a program."""
    base: str | None
    """The id of the honest row that it was made from."""
    span: tuple[int, int] | None
    """`completion[start:end]` is the first wrong step, where the data say so."""


def read_corpus(path: str | Path) -> list[LabelledRow]:
    """Reads the labelled corpus, JSONL or gzipped JSONL.

    Raises:
        InputError: There is no such file, or a column is missing or of another type; names file and line.
    """
    return [_check_corpus_row(row, f"{path}:{number}") for number, row in enumerate(iter_rows(path), 1)]


def read_flawed_positives(path: str | Path) -> Iterator[LabelledRow]:
    """Reads rows in the layout of `dyyyyyyyy/FAPO-Critic` (FlawedPositiveBench is its test part).

    Verified, on the 100 rows that the authors publish (github.com/yyDing1/FAPO, `example_data/fapo-critic.jsonl`):
    columns `data_source`, `prompt` (one user message), `ability`, `reward_model`, `extra_info`; the message holds
    `[Math Problem]`, `[Ground Truth]` and `[AI Solution]`, the solution in `<paragraph_0>` … tags, counted from 0;
    `reward_model.ground_truth` is the first wrong paragraph or -1, `extra_info.total_steps` their number; the final
    answer is right (99 of the 100 state it, all 99 equal the ground truth).

    Verified in the authors' evaluation script only: test rows carry `extra_info.raw_info` with `label` and
    `final_answer_correct`, and name their subset in `data_source` behind a slash.

    Assumed: `raw_info` may also hold ProcessBench's `problem` and `steps`; if so they are taken, and the message is
    not read. Without `final_answer_correct` the answer counts as right, since the set holds only such rows.

    Args:
        path: .parquet, .jsonl, .json or .csv.

    Raises:
        InputError: When rows are drawn; names the row, what was expected and what came.
    """
    for number, row in enumerate(iter_rows(path)):
        where = f"{path}: row {number}"
        extra = _get(row, "extra_info", Mapping, where)
        raw = extra.get("raw_info") or {}
        if not isinstance(raw, Mapping):
            raise InputError(f"{where}: 'extra_info.raw_info' must be an object, got {raw!r:.80}")
        label = raw["label"] if "label" in raw else _get(row, "reward_model", Mapping, where).get("ground_truth")
        if "steps" in raw and "problem" in raw:
            problem, gold = _get(raw, "problem", str, where), None
            steps = _text_list(raw["steps"], where)
        else:
            problem, gold, steps = _read_critic_prompt(row, where)
        total = extra.get("total_steps")
        if total is not None and total != len(steps):
            raise InputError(f"{where}: expected {total} paragraphs (extra_info.total_steps), found {len(steps)}")
        right = raw.get("final_answer_correct", True)
        name = str(raw.get("id") or f"{number}")
        family = str(row.get("data_source", "fapo_critic"))
        yield _make_row(name, family, "FAPO-Critic", problem, gold, steps, label, right, where)


def read_process_bench(path: str | Path) -> Iterator[LabelledRow]:
    """Reads rows in the layout of `Qwen/ProcessBench` (`gsm8k.json`, `math.json`, `olympiadbench.json`, …).

    Verified, on the data set's card and in QwenLM/ProcessBench's evaluation code: `id` ("gsm8k-0"), `generator`,
    `problem`, `steps` (a list of texts), `label` (first wrong step from 0, or -1); on a published copy's schema
    (LLMsHub/ProcessBench): `final_answer_correct` is a bool, `label` an integer. There is no gold answer.

    Assumed: the steps joined by blank lines read as the model's completion did (the authors had them reformatted).

    Args:
        path: .json, .jsonl, .parquet or .csv.

    Raises:
        InputError: When rows are drawn; names the row, what was expected and what came.
    """
    for number, row in enumerate(iter_rows(path)):
        where = f"{path}: row {number}"
        name = _get(row, "id", str, where)
        steps = _text_list(_get(row, "steps", object, where), where)
        problem = _get(row, "problem", str, where)
        right, label = _get(row, "final_answer_correct", object, where), _get(row, "label", object, where)
        family = name.rpartition("-")[0] or "process_bench"
        source = f"ProcessBench {row.get('generator', '')}".strip()
        yield _make_row(name, family, source, problem, None, steps, label, right, where)


def _make_row(
    name: str,
    family: str,
    source: str,
    problem: str,
    gold: str | None,
    steps: Sequence[str],
    label: Any,
    right: Any,
    where: str,
) -> LabelledRow:
    wrong = _read_label(label, len(steps), where)
    if right not in (True, False, "True", "False", "true", "false"):
        raise InputError(f"{where}: 'final_answer_correct' must be true or false, got {right!r:.80}")
    start = sum(len(step) + 2 for step in steps[: max(wrong, 0)])
    return {
        "id": name,
        "family": family,
        "split": "report",
        "source": source,
        "prompt": problem,
        "gold": gold,
        "completion": "\n\n".join(steps),
        "outcome": float(right in (True, "True", "true")),
        "kinds": [] if wrong < 0 else [FLAWED],
        "strength": None,
        "base": None,
        "span": None if wrong < 0 else (start, start + len(steps[wrong])),
    }


def _read_label(label: Any, count: int, where: str) -> int:
    try:
        wrong = int(label)
    except (TypeError, ValueError):
        wrong = -2
    if not -1 <= wrong < count or isinstance(label, bool) or (isinstance(label, float) and label != wrong):
        raise InputError(
            f"{where}: expected the first wrong step, from 0 to {count - 1}, or -1 for none, got {label!r:.80}"
        )
    return wrong


def _read_critic_prompt(row: Mapping[str, Any], where: str) -> tuple[str, str | None, list[str]]:
    """Problem, gold answer and paragraphs from the critic's prompt."""
    prompt = _get(row, "prompt", object, where)
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], Mapping):
        prompt = prompt[0].get("content")
    found = _SECTIONS.search(prompt) if isinstance(prompt, str) else None
    paragraphs = _PARAGRAPH.findall(found["solution"]) if found else []
    if found is None or [int(index) for index, _ in paragraphs] != list(range(len(paragraphs))) or not paragraphs:
        raise InputError(
            f"{where}: 'prompt' must hold [Math Problem], [AI Solution] and <paragraph_0> …, got {prompt!r:.80}"
        )
    return found["problem"], found["gold"], [text for _, text in paragraphs]


def _text_list(value: Any, where: str) -> list[str]:
    if isinstance(value, str):  # what CSV makes of a list
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = [value, None]
    if not isinstance(value, list) or not value or not all(isinstance(step, str) for step in value):
        raise InputError(f"{where}: 'steps' must be a list of texts, got {value!r:.80}")
    return value


def _get(row: Mapping[str, Any], column: str, kind: type, where: str) -> Any:
    if column not in row:
        raise InputError(f"{where}: column {column!r} is missing; there are: {', '.join(map(repr, row))}")
    if not isinstance(row[column], kind):
        raise InputError(f"{where}: {column!r} must be {kind.__name__.lower()}, got {row[column]!r:.80}")
    return row[column]


def _check_corpus_row(row: Any, where: str) -> LabelledRow:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(row).__name__}")
    for column in ("id", "family", "split", "prompt", "completion"):
        _get(row, column, str, where)
    kinds = _get(row, "kinds", list, where)
    if not all(isinstance(kind, str) for kind in kinds):
        raise InputError(f"{where}: 'kinds' must be a list of texts, got {kinds!r:.80}")
    if row["split"] not in ("tune", "report"):
        raise InputError(f"{where}: 'split' must be 'tune' or 'report', got {row['split']!r}")
    outcome = row.get("outcome")
    outcome = float("nan") if outcome is None else float(outcome)
    defaults = {"source": "", "gold": None, "strength": None, "base": None, "span": None}
    return {**defaults, **row, "outcome": outcome}  # type: ignore[typeddict-item]
