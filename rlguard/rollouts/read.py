"""Rollouts of any origin: stores, what trainers write, tables of one's own.

Everything that reads rollouts reads them here. What a source is, its folder or its columns say; `LAYOUTS` lists the
tables that are known, and a new one is a line there.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlguard.rollouts.record import from_record, is_chat, to_prompt
from rlguard.rollouts.segments import ROLLOUTS, is_store, read_rollouts
from rlguard.rollouts.store import PROBLEMS
from rlguard.tables.read import iter_rows
from rlguard.types import InputError, Rollout, completion_text, make_prompt_id

Row = Mapping[str, Any]

COLUMNS = {
    "completion": ("completion", "completions", "output", "response", "generation", "generations"),
    "prompt": ("prompt", "input", "question", "query", "problem"),
    "gold": ("answer", "gold", "gts", "ground_truth", "solution", "label", "target"),
    "prompt_id": ("rlguard_id", "prompt_id"),
    "index": ("index",),
    "step": ("step", "global_step"),
    "outcome": ("outcome", "correct", "is_correct", "acc", "correctness_math_verify", "exact_match"),
    "reward": ("reward", "rewards", "score"),
    "advantage": ("advantage",),
    "weight": ("rlguard_weight",),
    "tokens": ("tokens",),
    "finish_reason": ("finish_reason",),
}
"""What each part of a rollout is called in tables; the first name that a table has counts."""

OF_PROMPT = ("prompt", "gold", "prompt_id", "step")
"""Parts that the completions of one row share."""

NOT_REWARDS = {"level", "length", "num_tokens"}
"""Numbers in TRL's table of completions that are no rewards, besides those in `COLUMNS`."""


@dataclass(frozen=True)
class Layout:
    """A kind of table: its name, how it is recognised, and how its rows become rows of one completion each."""

    name: str
    marks: tuple[str, ...]
    """Columns that a table of this kind has, all of them."""
    unfold: Callable[[Row], Iterable[Row]] = lambda row: [row]
    """Turns a row into rows with names as in `COLUMNS`."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What is called otherwise than in `COLUMNS`."""


def _unfold_pairs(row: Row) -> Iterator[Row]:
    """NeMo-RL writes `content`, pairs of prompt and completion, and `rewards`."""
    for (prompt, completion), reward in zip(row["content"], row["rewards"], strict=True):
        yield {**row, "prompt": prompt, "completion": completion, "reward": reward}


def _unfold_samples(row: Row) -> Iterator[Row]:
    """lm-eval writes `arguments`, which begin with the prompt, and `resps`, the completions of each."""
    arguments = row["arguments"]
    first: Any = arguments[0] if isinstance(arguments, list) else next(iter(arguments.values()), None)
    prompt = first[0] if isinstance(first, list) else first["arg_0"]
    yield {**row, "prompt": prompt, "completion": row["resps"][0]}


def _unfold_chat(row: Row) -> Iterator[Row]:
    """Chats: asked is all up to the user's last words, what follows is the completion."""
    chat = row["messages"]
    turns = [number for number, message in enumerate(chat, 1) if message.get("role") == "user"]
    end = turns[-1] if turns else 0
    yield {**row, "prompt": chat[:end], "completion": chat[end:]}


LAYOUTS = (
    Layout("rlguard rollouts", ("prompt_id", "completion", "finish_reason"),
           columns={"gold": ("gold",), "answer": ("answer",), "weight": ("weight",)}),
    Layout("TRL completions", ("step", "prompt", "completion", "advantage"), columns={"reward": ()}),
    Layout("verl rollouts", ("input", "output", "score")),
    Layout("NeMo-RL samples", ("content", "rewards"), _unfold_pairs),
    Layout("lm-eval samples", ("doc", "arguments", "resps"), _unfold_samples),
    *(Layout("table", (name,)) for name in COLUMNS["completion"]),
    Layout("chats", ("messages",), _unfold_chat),
)  # fmt: skip
"""The tables that are known; the first that fits is taken."""


def read_any_rollouts(
    source: str | Path, notes: list[str] | None = None, name: str = ""
) -> tuple[str, Iterator[Rollout]]:
    """Recognises where rollouts come from, and reads them.

    Where no outcome is written down, rewards of all or nothing are outcomes: 1 is correct; 0 is wrong, and −1 where
    some are 1. Other rewards stay rewards, and the outcomes NaN.

    Args:
        source: A rollout store; a folder with TRL's `completions/*.parquet` or with verl's tables, one a step
            (`1.jsonl`); or a file or folder that `tables.iter_rows` reads, of one of `LAYOUTS`.
        notes: What a user should know is added here: a torn last line, rollouts written twice, rewards as outcomes.
        name: What `Rollout.source` will be.

    Returns:
        (kind of source, rollouts in their order). Those of a store are streamed.

    Raises:
        InputError: If there are no rollouts in a known form; names the columns there are. A row that cannot be read is
            named, with what was expected and what came.
    """
    path, notes = Path(source), [] if notes is None else notes
    if is_store(path):
        return "rlguard store", _read_store(path, notes, name)
    tables = list_tables(path)
    if path.is_dir() and not tables and not (path / "dataset_info.json").exists():
        raise InputError(
            f"{path}: expected a rollout store ({ROLLOUTS}), TRL's completions/*.parquet or verl's tables (1.jsonl), "
            "found none of them"
        )
    drawn = Counter[str]()  # of each prompt
    read = [_read_rows_of(table, notes, name, drawn) for table in tables or [path]]
    rollouts = [rollout for _, rows, _ in read for rollout in rows]
    judges = {judge for _, _, judge in read if judge}
    return next((kind for kind, _, _ in read), "table"), iter(_take_outcomes(rollouts, judges, notes))


def list_tables(folder: Path) -> list[Path]:
    """A trainer's tables of rollouts, by step: those of TRL, or of verl."""
    trl = sorted(folder.glob("completions/completions_*.parquet")) or sorted(folder.glob("completions_*.parquet"))
    return trl or sorted((p for p in folder.glob("*.jsonl") if p.stem.isdecimal()), key=lambda path: int(path.stem))


def _read_store(folder: Path, notes: list[str], name: str) -> Iterator[Rollout]:
    """The rollouts of a store, each once, with their prompts where the store has those."""
    asked = {}
    for number, row in enumerate(iter_rows(folder / PROBLEMS, []) if (folder / PROBLEMS).exists() else ()):
        if "id" not in row:
            raise InputError(f"{folder / PROBLEMS}: row {number}: expected the field 'id', found {', '.join(row)}")
        asked[row["id"]] = to_prompt(row.get("prompt"), f"{PROBLEMS}: row {number}"), row.get("answer")
    seen, again, torn = set[tuple[str, int]](), 0, list[int]()
    for rollout in read_rollouts(folder, torn):
        key = rollout.prompt_id, rollout.index
        if key in seen:  # a resumed run may have written one again
            again += 1
            continue
        seen.add(key)
        prompt, gold = asked.get(rollout.prompt_id, ("", None))
        prompt, gold = rollout.prompt or prompt, gold if rollout.gold is None else rollout.gold
        yield dataclasses.replace(rollout, prompt=prompt, gold=gold, source=name)
    _note_torn(torn, ROLLOUTS, notes)
    if again:
        notes.append(f"{ROLLOUTS}: {again} rollouts stand there twice; the first of each was read.")


def _note_torn(torn: Sequence[int], where: str, notes: list[str]) -> None:
    notes += [f"{where}: the last line ({number}) is half-written and was left out." for number in torn]


def _read_rows_of(
    path: Path, notes: list[str], name: str, drawn: Counter[str]
) -> tuple[str, list[Rollout], str | None]:
    """(layout, rollouts, the column of rewards) of one table."""
    torn: list[int] = []
    rows = list(iter_rows(path, torn))
    _note_torn(torn, path.name, notes)
    have = list(dict.fromkeys(column for row in rows for column in row))
    layout = next((layout for layout in LAYOUTS if set(layout.marks) <= set(have)), None)
    if layout is None:
        hint = "; its text is prompt and completion in one: split it" if "text" in have else ""
        raise InputError(
            f"{path}: no column of completions; expected one of {', '.join(COLUMNS['completion'])}, "
            f"the table has {', '.join(have)}{hint}"
        )
    flat: list[tuple[int, Row]] = []
    for number, each in enumerate(rows):
        try:
            flat += [(number, row) for row in layout.unfold(each)]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(f"{path}: row {number}: expected {layout.name}, got {each!r:.100} ({error!r})") from error
    columns = _find_columns(layout, [row for _, row in flat])
    rollouts = []
    for number, row in flat:
        for one in _split_samples(row, columns):
            rollouts.append(_to_rollout(one, columns, f"{path}: row {number}", name, drawn))
    return layout.name, rollouts, columns.get("reward")


def _find_columns(layout: Layout, rows: Sequence[Row]) -> dict[str, str]:
    """Part of a rollout -> the column that holds it."""
    have = dict.fromkeys(column for row in rows for column in row)
    names = {**COLUMNS, **layout.columns}
    found = {part: next((name for name in known if name in have), None) for part, known in names.items()}
    if layout.name.startswith("TRL"):  # a column for each reward function; the guard takes the first for correctness
        known = {name for part in names.values() for name in part} | NOT_REWARDS
        others = (column for column in have if column not in known and not column.startswith("rlguard_"))
        found["reward"] = next((column for column in others if _is_numeric(row.get(column) for row in rows)), None)
    return {part: column for part, column in found.items() if column is not None}


def _is_numeric(values: Iterable[Any]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)


def _split_samples(row: Row, columns: Mapping[str, str]) -> Iterator[Row]:
    """A row of n completions as n rows. Where the prompts are a list of n too, every column is one."""
    completions, prompt = row.get(columns["completion"]), row.get(columns.get("prompt", ""))
    if not isinstance(completions, list) or is_chat(completions):
        yield row
        return
    n = len(completions)
    together = isinstance(prompt, list) and not is_chat(prompt)
    shared = set() if together else {columns.get(part) for part in OF_PROMPT}
    split = {name for name, value in row.items() if name not in shared and isinstance(value, list) and len(value) == n}
    for number in range(n):
        yield {name: value[number] if name in split else value for name, value in row.items()}


def _to_rollout(row: Row, columns: Mapping[str, str], where: str, name: str, drawn: Counter[str]) -> Rollout:
    record: dict[str, Any] = {part: row.get(column) for part, column in columns.items()}
    completion, gold = record["completion"], record.get("gold")
    if not isinstance(completion, str) and not is_chat(completion):
        raise InputError(f"{where}: expected a completion as text or chat, got {completion!r:.60}")
    prompt = to_prompt(record.get("prompt"), where)
    try:
        prompt_id = record.get("prompt_id") or (make_prompt_id(prompt, gold) if prompt else "")
    except TypeError as error:
        raise InputError(f"{where}: expected a prompt of text and JSON, got {prompt!r:.60} ({error})") from error
    known = {
        "prompt": prompt,
        "gold": gold[0] if isinstance(gold, list) and len(gold) == 1 else gold,
        "prompt_id": prompt_id,
        "index": drawn[str(prompt_id)] if record.get("index") in (None, "") else record["index"],
        "completion": completion_text(completion),
        "source": name,
    }
    rollout = from_record(record | known, where)
    drawn[rollout.prompt_id] += 1
    return rollout


def _take_outcomes(rollouts: list[Rollout], judges: Iterable[str], notes: list[str]) -> list[Rollout]:
    """Takes rewards of all or nothing for outcomes, where there are no others."""
    rewards = {rollout.reward for rollout in rollouts if not math.isnan(rollout.reward)}
    if not rewards or not (rewards <= {0.0, 1.0} or {1.0} < rewards <= {-1.0, 0.0, 1.0}):
        return rollouts
    if not all(math.isnan(rollout.outcome) for rollout in rollouts):
        return rollouts
    notes.append(f"a completion is correct where its {', '.join(map(repr, sorted(judges)))} is 1.")
    return [
        rollout if math.isnan(rollout.reward) else dataclasses.replace(rollout, outcome=float(rollout.reward == 1))
        for rollout in rollouts
    ]
