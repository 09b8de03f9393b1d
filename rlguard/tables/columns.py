"""Names of columns, and the error where one is missing."""

from __future__ import annotations

import ast
import difflib
import json
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from typing import Any

from rlguard.types import InputError

ABSENT = object()
"""Not there, where None is a value."""

COLUMNS = {
    "completion": ("completion", "completions", "output", "response", "responses", "generation", "generations",
                   "output_response", "decoded_response", "decoded_responses", "raw_generation", "generated_text",
                   "outputs", "samples", "generated_responses", "generated_solution", "model_output", "model_response"),
    "prompt": ("prompt", "prompts", "input", "question", "query", "problem", "input_prompt", "decoded_query",
               "decoded_queries", "instruction"),
    "answer": ("gold", "gold_answer", "golden_answers", "gts", "gt", "ground_truth", "ground_truths", "gtruth_answer",
               "expected_answer", "reference_answer", "correct_answer",  # beside these `answer` is the model's own
               "answer", "solution", "label", "target", "reward_model.ground_truth",
               "env_extras.reward_spec.ground_truth", "env_extras.reward_model.ground_truth"),
    "prompt_id": ("rlguard_id", "prompt_id"),
    "index": ("index",),
    "step": ("step", "global_step", "gen_step", "training_step"),
    "outcome": ("outcome", "correct", "is_correct", "acc", "correctness_math_verify", "exact_match",
                "symbolic_correct", "passed", "solved"),
    "reward": ("reward", "rewards", "score", "scores"),
    "advantage": ("advantage", "advantages"),
    "weight": ("rlguard_weight",),
    "tokens": ("tokens",),
    "finish_reason": ("finish_reason", "finish_reasons", "stop_reason", "is_truncated", "truncated", "status"),
}  # fmt: skip
"""Names of each part of a rollout in tables; the first one that a table has is read. For dots see `pick`."""


def pick(row: Mapping[str, Any], column: str, default: Any = None) -> Any:
    """The value of a column, or of one nested in it: `extra_info.model_difficulty.Qwen2.5-7B`, `prompt.0.content`.

    Names may hold dots themselves: the longest that fits is taken. A struct that is text is read (`read_text`).

    >>> pick({"info": {"rate.7b": 0.5}}, "info.rate.7b"), pick({"info": '{"gold": 4}'}, "info.gold")
    (0.5, 4)
    """
    if column in row:
        return row[column]
    end = column.rfind(".")
    while end > 0:
        found = pick(_open(row.get(column[:end])), column[end + 1 :], ABSENT)
        if found is not ABSENT:
            return found
        end = column.rfind(".", 0, end)
    return default


def _open(value: Any) -> Mapping[str, Any]:
    """What stands inside of a value, by name or number; nothing in a plain one."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = read_text(value)
    if isinstance(value, list):
        return {str(number): inner for number, inner in enumerate(value)}
    return value if isinstance(value, Mapping) else {}


def read_text(text: str) -> Any:
    """What text of JSON says, or text of Python, as pandas writes lists and dicts into a CSV; None where it is neither.

    >>> read_text('{"gold": null}'), read_text("{'gold': None}"), read_text("{4")
    ({'gold': None}, {'gold': None}, None)
    """
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return read(text)
    return None


def open_lists(rows: Sequence[dict[str, Any]], column: str, where: str) -> list[dict[str, Any]]:
    """The rows with lists where a CSV holds them as text: in `column`, and in others wherever they are as long.

    The rows as they are where any text of `column` is no list of texts or chats.

    Raises:
        InputError: If a list's texts stand without commas, as numpy prints them: where one ends cannot be told.

    >>> open_lists([{"responses": "['a', 'b']", "rewards": "[1, 0]", "answer": "[4]"}], "responses", "x.csv")
    [{'responses': ['a', 'b'], 'rewards': [1, 0], 'answer': '[4]'}]
    """
    lists = [_open_list(row.get(column)) for row in rows]
    if any(given is None and row.get(column) for given, row in zip(lists, rows, strict=True)):
        return list(rows)
    opened = []
    for number, (row, given) in enumerate(zip(rows, lists, strict=True)):
        if given and len(given) == 1 and _has_no_commas(row[column]):
            raise InputError(
                f"{where}: row {number}: expected commas in the list of {column!r}, got {row[column]!r:.60}"
            )
        others = {name: _open_list(value, (object,)) for name, value in row.items()} if given else {}
        alike = {name: value for name, value in others.items() if value and given and len(value) == len(given)}
        opened.append({**row, **alike, column: given})
    return opened


def _open_list(value: Any, kinds: tuple[type, ...] = (str, list, dict)) -> list[Any] | None:
    """The list that a text is, if all its elements are of these kinds."""
    found = read_text(value) if isinstance(value, str) and value.lstrip().startswith("[") else None
    return found if isinstance(found, list) and all(isinstance(each, kinds) for each in found) else None


def _has_no_commas(text: str) -> bool:
    """Whether Python would join several texts of a list to one."""
    with suppress(tokenize.TokenError, IndentationError):
        return sum(token.type == tokenize.STRING for token in tokenize.generate_tokens(StringIO(text).readline)) > 1
    return False


def take_columns(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row with the columns that a user named under the names of `COLUMNS`.

    >>> take_columns({"q": "2+2?", "n": 1}, {"prompt": "q"})
    {'q': '2+2?', 'n': 1, 'prompt': '2+2?'}
    """
    return {**row, **{COLUMNS[part][0]: pick(row, name) for part, name in columns.items()}}


def check_columns(row: Mapping[str, Any], columns: Mapping[str, str], where: str = "") -> None:
    """Checks that a row has certain columns.

    Args:
        row: A row with the columns of all rows.
        columns: Part -> the column that should hold it.
        where: The file, for the error.

    Raises:
        InputError: If one is missing; names those there are, the likeliest first.
    """
    for part, column in columns.items():
        if pick(row, column, ABSENT) is ABSENT:
            names = list(_list_names(row))
            near = difflib.get_close_matches(column, names, 3) + [n for n in COLUMNS.get(part, ()) if n in names]
            hint = f": is it {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else "."
            raise InputError(
                f"{where}{': ' if where else ''}column {column!r} is missing{hint} The data set has: "
                f"{', '.join(map(repr, row))}. Name it with --column {part}=NAME, in Python {part}_column='NAME'"
            )


def check_distinct(names: Sequence[str], path: Any) -> None:
    """Raises InputError where two columns have one name, of which only one could be read."""
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise InputError(f"{path}: expected columns of distinct names, found {twice[0]!r} twice")


def _list_names(row: Mapping[str, Any], depth: int = 2) -> Iterator[str]:
    """Names of columns, and of what is nested in them."""
    for name, value in row.items():
        yield name
        if depth and isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _list_names(value, depth - 1))


def names_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns that any of the rows has, in their order."""
    return list(dict.fromkeys(column for row in rows for column in row))
