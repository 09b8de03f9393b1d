"""Rollouts of any origin: stores, what trainers write, tables of one's own.

Everything that reads rollouts reads them here. What a source is, its folder or its columns say; `LAYOUTS` lists the
tables that are known, and a new one is a line there.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rlguard.rollouts.record import from_record, to_prompt
from rlguard.rollouts.segments import ROLLOUTS, is_store, list_sealed, read_rollouts
from rlguard.rollouts.store import PROBLEMS
from rlguard.tables.columns import ABSENT, COLUMNS, check_columns, names_in, open_lists, pick, take_columns
from rlguard.tables.frames import Data, iter_data
from rlguard.tables.read import is_chat, iter_rows, parse_chat
from rlguard.types import InputError, Rollout, completion_text, is_own, make_prompt_id

Row = Mapping[str, Any]

OF_PROMPT = ("prompt", "answer", "prompt_id", "step")
"""Parts that the completions of one row share."""

WORTH = ("outcome", "reward", "advantage")
"""Parts of which each completion has one of its own."""

STEP = re.compile(r"(?:completions_|train_data_step)?(\d+)\.(?:parquet|jsonl(?:\.gz|\.zst)?)")
"""Names of tables of one step, packed or not."""

AGGREGATED = "aggregated_results.jsonl"
"""Beside SkyRL's tables of an evaluation."""

NOT_REWARDS = {"level", "length", "num_tokens", "entropy"}
"""Numbers in tables of TRL and ms-swift that are no rewards, besides those in `COLUMNS`."""

TOKENS = {"response_tokens", "response_ids"}
"""What token ids are called by trainers that write no text, open-instruct among them."""

CHATS = ("messages", "conversation", "conversations")
"""What chats are called that hold prompt and completion."""

CORRECTNESS = re.compile("accura|correct|exact|right|solve|outcome", re.IGNORECASE)
FORM = re.compile("format|tag|xml|length|cosine|repet|style|language|overlong", re.IGNORECASE)
"""In names of reward functions."""

ENVIRONMENT = re.compile(r"\s*<?environment\b", re.IGNORECASE)
"""How NeMo-RL's environments begin what they say, which stands beside the words of the model."""

SPEAKERS = {"human": "user", "gpt": "assistant"}
"""Roles as ShareGPT calls them."""

CUT = {"length", "max_tokens", "max_length", "truncated"}
"""How it is said that a completion was cut off, in small letters."""

FLAGS = {"true": "length", "1": "length", "false": "stop", "0": "stop"}
"""What a column that asks whether it was cut off says of how it ended. A `status` of 1 says nothing of that."""

TEXT, MESSAGE = "text", "message"
"""What the completion is called in lists of samples, besides the names in `COLUMNS`: OpenAI's `choices` have either."""


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
    """NeMo-RL writes `content`, what was said in each rollout, and `rewards`; the rest is a value a token."""
    for said, reward in zip(row["content"], row["rewards"], strict=True):
        *asked, completion = [] if isinstance(said, str) else [text for text in said if not ENVIRONMENT.match(text)]
        yield {"prompt": "\n".join(asked), "completion": completion, "reward": reward}


def _unfold_numbered(row: Row) -> Iterator[Row]:
    """verl's validation in W&B: a row a step, with the columns `input_1`, `output_1`, `score_1`, `input_2`."""
    for number in (name.removeprefix("output_") for name in row if name.startswith("output_")):
        yield {"step": row.get("step")} | {part: row[f"{part}_{number}"] for part in ("input", "output", "score")}


def _unfold_samples(row: Row) -> Iterator[Row]:
    """lm-eval writes `arguments`, which begin with the prompt, and `resps`, the completions of each; what `metrics`
    names is said of all of these together."""
    arguments = row["arguments"]
    first: Any = arguments[0] if isinstance(arguments, list) else next(iter(arguments.values()), None)
    prompt = first[0] if isinstance(first, list) else first["arg_0"]
    figures = [row.get(name) for name in (*row.get("metrics", ()), *COLUMNS["outcome"])]
    reward = next((value for value in figures if isinstance(value, int | float)), None)
    yield {"prompt": prompt, "completion": row["resps"][0], "answer": row.get("target"), "reward": reward}


def _unfold_chat(row: Row) -> Iterator[Row]:
    """Chats: asked is all up to the user's last words that the assistant answers, what follows is the completion."""
    chat = parse_chat(next((row[name] for name in CHATS if row.get(name) is not None), []))
    if chat and "from" in chat[0]:  # ShareGPT
        chat = [{"role": SPEAKERS.get(turn["from"], turn["from"]), "content": turn["value"]} for turn in chat]
    said = [number for number, message in enumerate(chat) if is_own(message)]
    if not said:
        raise ValueError("without an assistant")
    asked = [number for number, message in enumerate(chat[: said[-1]], 1) if message.get("role") == "user"]
    end = asked[-1] if asked else said[0]
    yield {**row, "prompt": chat[:end], "completion": chat[end:]}


def _unfold_response(row: Row) -> Iterator[Row]:
    """NeMo Gym keeps a request and a response of OpenAI's Responses API, whose output is a list of typed items."""
    asked = row["responses_create_params"]["input"]
    yield {**row, "prompt": asked, "completion": [_to_message(item) for item in row["response"]["output"]]}


def _to_message(item: Mapping[str, Any]) -> dict[str, Any]:
    if item["type"] == "function_call":
        called = {"name": item["name"], "arguments": item["arguments"]}
        return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": called}]}
    if item["type"] == "function_call_output":
        return {"role": "tool", "content": item["output"]}
    blocks = item.get("content") or item.get("summary") or []
    text = "".join(block.get("text", "") for block in blocks)
    return {"role": "assistant", "content": f"<think>{text}</think>\n" if item["type"] == "reasoning" else text}


def _unfold_nested(row: Row) -> Iterator[Row]:
    """A prompt a row, and its samples in a list of objects."""
    name = _find_samples(row)
    own = set(COLUMNS["answer"]) if any(row.get(gold) is not None for gold in COLUMNS["answer"]) else set()
    for sample in row[name] if name else ():
        completion = next(sample[key] for key in (*COLUMNS["completion"], TEXT, MESSAGE) if key in sample)
        said = {key: value for key, value in sample.items() if key not in own}  # the row's is the gold answer
        yield {**row, **said, "completion": completion}


def _find_samples(row: Row) -> str | None:
    """The one column that lists samples with a completion each."""
    known = {*COLUMNS["completion"], TEXT, MESSAGE}
    lists = [(name, value) for name, value in row.items() if isinstance(value, list) and value]
    found = [name for name, value in lists if all(isinstance(each, Mapping) and known & set(each) for each in value)]
    return found[0] if len(found) == 1 else None


PLAIN = Layout("table", ())
NESTED = Layout("table of samples", (), _unfold_nested)
PLAINS = tuple(Layout("table", (name,)) for name in COLUMNS["completion"])
LM_EVAL = Layout("lm-eval samples", ("doc", "arguments", "resps"), _unfold_samples)
LAYOUTS = (
    Layout("rlguard rollouts", ("prompt_id", "completion", "finish_reason"),
           columns={"answer": ("gold",), "final": ("answer",), "weight": ("weight",)}),
    Layout("TRL completions", ("step", "prompt", "completion", "advantage"), columns={"reward": ()}),
    Layout("ms-swift completions", ("gen_step", "prompt", "completion"), columns={"reward": ()}),
    Layout("verl rollouts", ("input", "output", "score")),
    Layout("SkyRL evaluations", ("input_prompt", "output_response", "score"),  # of a rollout, or of each token
           lambda row: [{**row, "score": sum(row["score"]) if isinstance(row["score"], list) else row["score"]}]),
    Layout("NeMo-RL samples", ("content", "rewards"), _unfold_pairs),
    LM_EVAL,
    Layout("NeMo Gym rollouts", ("responses_create_params", "response"), _unfold_response),
    Layout("verl's table of validation", ("step", "input_1", "output_1", "score_1"), _unfold_numbered),
    *PLAINS,
    *(Layout("chats", (name,), _unfold_chat) for name in CHATS),
)  # fmt: skip
"""The tables that are known; the first that fits is taken."""


def read_any_rollouts(
    source: Data, notes: list[str] | None = None, name: str = "", columns: Mapping[str, str] | None = None
) -> tuple[str, Iterator[Rollout]]:
    """Recognises where rollouts come from, and reads them.

    Where no outcome is written down, rewards of all or nothing are outcomes: 1 is correct; 0 is wrong, and −1 where
    some are 1. Other rewards stay rewards, and the outcomes NaN.

    Args:
        source: A rollout store; a folder of tables (`list_tables`), as TRL's `completions/*.parquet` and verl's
            `1.jsonl`; or a table of one of `LAYOUTS`: a file, folder or frame, or rows (`tables.frames.iter_data`).
        notes: What a user should know is added here: torn lines, empty steps, rollouts twice, rewards as outcomes.
        name: What `Rollout.source` will be.
        columns: Part in `COLUMNS` -> the column that holds it, where a table calls it otherwise; `pick` reads them.

    Returns:
        (kind of source, rollouts in their order). Those of a store are streamed.

    Raises:
        InputError: If there are no rollouts in a known form; names the columns there are. A row that cannot be read is
            named, with what was expected and what came.
    """
    notes = [] if notes is None else notes
    columns = columns or {}
    if unknown := sorted(set(columns) - set(COLUMNS)):
        raise InputError(f"columns: expected parts of {', '.join(COLUMNS)}, got {', '.join(unknown)}")
    tables: list[Data] = [source]
    if isinstance(source, str | Path):
        path = Path(source)
        if is_store(path):
            notes += [f"{path.name}: a rollout store names its own columns; --column was not needed."] * bool(columns)
            return "rlguard store", _read_store(path, notes, name)
        listed = list_tables(path)
        held = [table for table in listed if next(iter_rows(table, [], allow_empty=True), None) is not None]
        notes += [f"{table.name}: the table is empty and was left out." for table in listed if table not in held]
        tables = held or listed or [path]
        if tables == [path] and path.is_dir() and not (path / "dataset_info.json").exists():
            raise InputError(
                f"{path}: expected a rollout store ({ROLLOUTS}), TRL's completions/*.parquet, verl's tables (1.jsonl), "
                "NeMo-RL's (train_data_step1.jsonl), lm-eval's (samples_*.jsonl) or SkyRL's, found none of them"
            )
    drawn = Counter[str]()  # of each prompt
    read = [_read_table(table, notes, name, drawn, columns) for table in tables]
    rollouts = [rollout for _, rows, _ in read for rollout in rows]
    judges = {judge for _, _, judge in read if judge}
    return read[0][0], iter(_take_outcomes(rollouts, judges, notes))


def list_tables(folder: Path) -> list[Path]:
    """A trainer's tables of rollouts: one a step (TRL, verl, NeMo-RL), or one a data set (SkyRL, lm-eval)."""
    for place in (folder / "completions", folder):
        steps = {int(found[1]): path for path in sorted(place.glob("*")) if (found := STEP.fullmatch(path.name))}
        if steps:
            return [steps[step] for step in sorted(steps)]
    every = "*.jsonl" if (folder / AGGREGATED).exists() else "samples_*.jsonl"
    return sorted(path for path in folder.glob(every) if path.name != AGGREGATED)


def list_files(source: str | Path) -> list[Path]:
    """The files that `read_any_rollouts` reads."""
    path = Path(source)
    return [*list_sealed(path), path / ROLLOUTS, path / PROBLEMS] if is_store(path) else list_tables(path) or [path]


def _read_store(folder: Path, notes: list[str], name: str) -> Iterator[Rollout]:
    """The rollouts of a store, each once, with their prompts where the store has those."""
    asked = {}
    for number, row in enumerate(iter_rows(folder / PROBLEMS, []) if (folder / PROBLEMS).exists() else ()):
        if not isinstance(row.get("id"), str):
            raise InputError(f"{folder / PROBLEMS}: row {number}: expected 'id' to be text, got {row.get('id')!r:.60}")
        asked[row["id"]] = to_prompt(row.get("prompt"), f"{PROBLEMS}: row {number}"), row.get("answer")
    seen, again, torn = set[tuple[str, int]](), 0, list[int]()
    for rollout in read_rollouts(folder, torn):
        key = rollout.prompt_id, rollout.index
        if key in seen:  # a resumed run may have written one again
            again += 1
            continue
        seen.add(key)
        prompt, gold = asked.get(rollout.prompt_id, ("", None))
        yield Rollout(
            rollout.prompt_id, rollout.index, rollout.completion, rollout.outcome, rollout.answer, rollout.tokens,
            rollout.finish_reason, rollout.prompt or prompt, gold if rollout.gold is None else rollout.gold,
            rollout.reward, rollout.advantage, rollout.weight, rollout.step, name,
        )  # fmt: skip
    _note_torn(torn, ROLLOUTS, notes)
    if again:
        notes.append(f"{ROLLOUTS}: {again} rollouts stand there twice; the first of each was read.")


def _note_torn(torn: Sequence[int], where: str, notes: list[str]) -> None:
    notes += [f"{where}: the last line ({number}) is half-written and was left out." for number in torn]


def _read_table(
    source: Data, notes: list[str], name: str, drawn: Counter[str], columns: Mapping[str, str]
) -> tuple[str, list[Rollout], str | None]:
    """(layout, rollouts, the column of rewards) of one table."""
    torn: list[int] = []
    rows = list(iter_data(source, torn))
    where = str(source) if isinstance(source, str | Path) else "rows"
    _note_torn(torn, Path(where).name, notes)
    for plural in (name for name in (*COLUMNS["completion"], columns.get("completion", "")) if name.endswith("s")):
        if any(isinstance(row.get(plural), str) for row in rows):
            rows = open_lists(rows, plural, where)
    if columns:
        check_columns({name: value for row in reversed(rows) for name, value in row.items()}, columns, where)
        rows = [take_columns(row, columns) for row in rows]
    rows = _fold_names(rows)
    layout = PLAIN if "completion" in columns else _find_layout(rows, where)
    first = str(rows[0].get("filter"))  # lm-eval writes each completion once for each of its filters
    again = {n for n, each in enumerate(rows) if layout is LM_EVAL and str(each.get("filter")) != first}
    flat: list[tuple[int, Row]] = []
    for number, each in enumerate(rows):
        if number in again:
            continue
        try:
            flat += [(number, row) for row in layout.unfold(each)]
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{where}: row {number}: expected {layout.name}, got {each!r:.100} ({error!r})") from error
    found = _find_columns(layout, [row for _, row in flat]) | {part: COLUMNS[part][0] for part in columns}
    notes += [note for note in _note_near(found, names_in(row for _, row in flat)) if note not in notes]
    rollouts, shared = [], set[str]()
    for number, row in flat:
        for one in _split_samples(row, found, shared, f"{where}: row {number}"):
            rollouts.append(_to_rollout(one, found, f"{where}: row {number}", name, drawn))
    table = Path(where).name
    if "step" not in found and (named := STEP.fullmatch(table)):
        rollouts = [dataclasses.replace(rollout, step=int(named[1])) for rollout in rollouts]
    if again:
        notes.append(f"{table}: {len(again)} of {len(rows)} rows repeat completions for other filters than {first}.")
    notes += [f"{table}: {part!r} has one value for several completions; it was left out." for part in sorted(shared)]
    without = set(range(len(rows))) - again - {number for number, row in flat if row.get(found["completion"]) != []}
    if without:
        notes.append(f"{table}: {len(without)} of {len(rows)} rows hold no completion.")
    if not rollouts:
        raise InputError(f"{where}: expected completions, found none in {len(rows)} rows")
    return layout.name, rollouts, columns.get("reward") or found.get("reward")


def _fold_names(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with known names in small letters: `Prompt` is `prompt`, and so is ` prompt` of a CSV with blanks."""
    have = dict.fromkeys(names_in(rows))
    known = {name for names in COLUMNS.values() for name in names} | {n for layout in LAYOUTS for n in layout.marks}
    folded = {name.strip().lower(): name for name in reversed(have)}  # of two the first
    other = {name: low for low, name in folded.items() if low in known and low not in have}
    return [{other.get(name, name): value for name, value in row.items()} for row in rows] if other else rows


def _note_near(found: Mapping[str, str], have: Sequence[str]) -> Iterator[str]:
    """Which column is called nearly as one of a part that was not found."""
    for part in (part for part in ("prompt", "answer", "outcome", "reward") if part not in found):
        unread = (name for name in have if name not in found.values())
        if near := next((name for name in unread if difflib.get_close_matches(name, COLUMNS[part], 1, 0.8)), None):
            yield f"{near!r} was not read: if it holds the {part}, say --column {part}={near}."


def _find_layout(rows: Sequence[Row], where: str) -> Layout:
    have = names_in(rows)
    layout = next((layout for layout in LAYOUTS if set(layout.marks) <= set(have)), None)
    if layout in (None, *PLAINS) and any(_find_samples(row) for row in rows):
        layout = NESTED
    if layout is None:
        hint = "; its text is prompt and completion in one: split it" if TEXT in have else ""
        hint = "; its completions are token ids: decode them" if TOKENS & set(have) else hint
        raise InputError(
            f"{where}: no column of completions; expected one of {', '.join(COLUMNS['completion'])}, the table has "
            f"{', '.join(have)}{hint}. Say --column completion=NAME, or in Python columns={{'completion': 'NAME'}}"
        )
    return layout


def _find_columns(layout: Layout, rows: Sequence[Row]) -> dict[str, str]:
    """Part of a rollout -> the column that holds it."""
    have = set(names_in(rows))
    names = {**COLUMNS, **layout.columns}
    there = {part: [name for name in known if _has(have, rows, name)] for part, known in names.items()}
    found = {part: next(filter(partial(_is_filled, rows), known), (*known, None)[0]) for part, known in there.items()}
    if names["reward"] == ():  # a column for each reward function
        known = {n for part, ns in COLUMNS.items() if part != "reward" for n in ns} | set(names["weight"])
        others = (
            name for name in names_in(rows) if name not in known | NOT_REWARDS and not name.startswith("rlguard_")
        )
        paid = [name for name in others if _is_numeric(row.get(name) for row in rows)]
        found["reward"] = min(paid, key=_rank_reward, default=None)
    return {part: column for part, column in found.items() if column is not None}


def _rank_reward(name: str) -> int:
    """Rewards for correctness come first, those for form last; else, as in the guard, the first one counts."""
    return 0 if CORRECTNESS.search(name) else 2 if FORM.search(name) else 1


def _has(have: Container[str], rows: Sequence[Row], name: str) -> bool:
    if name in have or "." not in name:
        return name in have
    return name.partition(".")[0] in have and any(pick(row, name, ABSENT) is not ABSENT for row in rows)


def _is_filled(rows: Sequence[Row], name: str) -> bool:
    """Whether a column holds anything: where tables of several kinds are put together, some of its names do not."""
    return any(pick(row, name) not in (None, "") for row in rows)


def _is_numeric(values: Iterable[Any]) -> bool:
    given = [each for value in values for each in (value if isinstance(value, list) else [value]) if each is not None]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)


def _split_samples(row: Row, columns: Mapping[str, str], alone: set[str], where: str) -> Iterator[Row]:
    """A row of n completions as n rows. Where the prompts are a list of n too, every column is one.

    A reward that stands there once for all of them is no one's: its column goes into `alone`.
    """
    completions, prompt = row.get(columns["completion"]), row.get(columns.get("prompt", ""))
    if not isinstance(completions, list) or (completions and is_chat(completions)) or _is_tokens(completions):
        yield row
        return
    n = len(completions)
    together = isinstance(prompt, list) and not is_chat(prompt)
    shared = set() if together else {columns.get(part) for part in OF_PROMPT}
    split = {name for name, value in row.items() if name not in shared and isinstance(value, list) and len(value) == n}
    worth = {columns[part] for part in WORTH if part in columns and row.get(columns[part]) is not None} - split
    for name in worth:
        if isinstance(row[name], list):
            raise InputError(f"{where}: expected {n} values in {name!r}, one a completion, got {len(row[name])}")
    if n > 1:
        alone |= worth
        row = {name: None if name in worth else value for name, value in row.items()}
    for number in range(n):
        yield {name: value[number] if name in split else value for name, value in row.items()}


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _to_rollout(row: Row, columns: Mapping[str, str], where: str, name: str, drawn: Counter[str]) -> Rollout:
    record: dict[str, Any] = {part: pick(row, column) for part, column in columns.items()}
    completion, gold = parse_chat(record["completion"]), record.get("answer")
    if _is_tokens(completion):
        raise InputError(f"{where}: expected a completion as text or chat, got token ids: decode them first")
    if not isinstance(completion, str) and not is_chat(completion):
        raise InputError(f"{where}: expected a completion as text or chat, got {completion!r:.60}")
    prompt, index, ended = to_prompt(record.get("prompt"), where), record.get("index"), record.get("finish_reason")
    if "truncated" in columns.get("finish_reason", ""):
        ended = FLAGS.get(str(ended).lower(), ended)
    named = isinstance(index, str) and not index.strip().isdecimal()  # a name of the row, or none
    try:
        prompt_id = record.get("prompt_id") or (make_prompt_id(prompt, gold) if prompt else "")
    except TypeError as error:
        raise InputError(f"{where}: expected a prompt of text and JSON, got {prompt!r:.60} ({error})") from error
    known = {
        "prompt": prompt,
        "gold": gold[0] if isinstance(gold, list) and len(gold) == 1 else gold,
        "answer": record.get("final"),
        "prompt_id": prompt_id,
        "index": drawn[str(prompt_id)] if index is None or named else index,
        "completion": completion_text(completion),
        "source": name,
        "tokens": len(record["tokens"]) if isinstance(record.get("tokens"), list) else record.get("tokens"),  # slime
        "finish_reason": "length" if str(ended).lower() in CUT else ended,
    }
    rollout = from_record(record | known, where, columns)
    drawn[rollout.prompt_id] += 1
    return rollout


def _take_outcomes(rollouts: list[Rollout], judges: Iterable[str], notes: list[str]) -> list[Rollout]:
    """Takes rewards of all or nothing for outcomes, where there are no others."""
    rewards = {rollout.reward for rollout in rollouts if not math.isnan(rollout.reward)}
    if not rewards or not all(math.isnan(rollout.outcome) for rollout in rollouts):
        return rollouts
    its = f"its {', '.join(map(repr, sorted(judges)))}"
    if not (rewards <= {0.0, 1.0} or {1.0} < rewards <= {-1.0, 0.0, 1.0}):
        notes.append(f"{its} does not say which is correct: it lies in {min(rewards):g} to {max(rewards):g}.")
        return rollouts
    notes.append(f"a completion is correct where {its} is 1.")
    return [
        rollout if math.isnan(rollout.reward) else dataclasses.replace(rollout, outcome=float(rollout.reward == 1))
        for rollout in rollouts
    ]
