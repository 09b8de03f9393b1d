"""A rollout as a row of a file, and back; a value that cannot be is named with its row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rlguard.tables.read import is_chat, parse_chat
from rlguard.types import InputError, Messages, Rollout

FIELDS = ("prompt_id", "index", "completion", "outcome", "answer", "tokens", "finish_reason")
"""What a store writes of a rollout; what was asked stands once a prompt in its `problems.jsonl`."""
REQUIRED = ("prompt_id", "completion", "index")


def as_record(rollout: Rollout) -> dict[str, Any]:
    """A rollout as a store writes it: JSON-serialisable, null where it was not judged."""
    record = {name: getattr(rollout, name) for name in FIELDS}
    return record | {"outcome": None if math.isnan(rollout.outcome) else rollout.outcome}


def from_record(record: Mapping[str, Any], where: str, columns: Mapping[str, str] | None = None) -> Rollout:
    """A rollout from a row with the fields of `Rollout`, of which only `REQUIRED` must be there.

    Args:
        record: The row; other fields are passed over.
        where: The file and the row, for errors.
        columns: Field -> the column that holds it, for errors.

    Raises:
        InputError: If a field is missing or of another type; names the row, what was expected and what came.

    >>> from_record({"prompt_id": "p", "index": 0, "completion": "4", "outcome": True}, "a.jsonl, line 1").outcome
    1.0
    """
    for name in REQUIRED:
        if name not in record:
            raise InputError(f"{where}: expected the field {name!r}, found {', '.join(record)}")
    completion, answer, prompt_id = record["completion"], record.get("answer"), record["prompt_id"]
    if not isinstance(completion, str):
        raise InputError(f"{where}: expected a completion as text, got {completion!r:.60}")
    if not isinstance(prompt_id, str | int):
        raise InputError(f"{where}: expected a prompt's id as text or a number, got {prompt_id!r:.60}")
    outcome = to_number(record, "outcome", where, columns)
    if outcome not in (0.0, 1.0) and not math.isnan(outcome):
        raise InputError(
            f"{where}: expected an outcome of 1, 0 or none, got {outcome} in {_call('outcome', columns)!r}"
        )
    return Rollout(
        prompt_id=str(prompt_id),
        index=to_count(record, "index", where, columns) or 0,
        completion=completion,
        outcome=outcome,
        answer=None if answer is None else str(answer),
        tokens=to_count(record, "tokens", where, columns) or 0,
        finish_reason=str(record.get("finish_reason") or "stop"),
        prompt=to_prompt(record.get("prompt"), where),
        gold=record.get("gold"),
        step=to_count(record, "step", where, columns),
        source=str(record.get("source") or ""),
        reward=to_number(record, "reward", where, columns),
        advantage=to_number(record, "advantage", where, columns),
        weight=to_number(record, "weight", where, columns),
    )


def _call(name: str, columns: Mapping[str, str] | None) -> str:
    return (columns or {}).get(name, name)


def to_number(record: Mapping[str, Any], name: str, where: str, columns: Mapping[str, str] | None = None) -> float:
    """A field as a number, of text as CSV has it too; NaN where it is missing or empty."""
    value: Any = record.get(name)
    if type(value) is float and value == value:  # nearly all are
        return value
    if value is None or value == "":
        return math.nan
    try:
        if isinstance(value, str):
            value = {"true": "1", "false": "0"}.get(value.lower(), value)
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        column = _call(name, columns)
        hint = f"; name one in it, as --column {name}={column}.score" if isinstance(value, Mapping) else ""
        raise InputError(f"{where}: expected a number in {column!r}, got {value!r:.60}{hint}") from error
    return number if number == number else math.nan  # the NaN that records compare equal by


def to_count(record: Mapping[str, Any], name: str, where: str, columns: Mapping[str, str] | None = None) -> int | None:
    """A field as a whole number; None where it is missing or empty."""
    value = record.get(name)
    if value is None or type(value) is int:
        return value
    number = to_number(record, name, where, columns)
    if math.isnan(number):
        return None
    if not number.is_integer():
        raise InputError(f"{where}: expected a whole number in {_call(name, columns)!r}, got {value!r:.60}")
    return int(number)


def to_prompt(value: Any, where: str) -> str | Messages:
    """A prompt as text or chat messages; empty where there is none."""
    value = parse_chat(value)
    if value is None or isinstance(value, str) or is_chat(value):
        return value or ""
    raise InputError(f"{where}: expected a prompt as text or chat messages, got {value!r:.60}")
