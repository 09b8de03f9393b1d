"""The questions of an audit: the built-in suite, files of one's own, both as rows of a table, and in other forms.

A suite is a table with the columns `prompt` (text or chat messages), `answer` and `domain`, and where they are wanted:

instruction     what the prompt ends with, on how to answer; variants put it elsewhere, or another one in its place
check           how an answer is judged where many are right (`marking.CHECKS`); `answer` is then one of them
metadata        reasoning-gym's, whose own rule then judges
answerable      false where no answer can be known from what is asked
variant, base   which variant of which question it is (`vary`); in an `answer:NAME`, `answer` is put into the form
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlguard.answers import read_gold
from rlguard.audit.builtin import make_rows
from rlguard.audit.marking import FORMS, UNKNOWN, find_form, is_abstention, is_right
from rlguard.audit.samples import ALL, PLAIN, Item
from rlguard.tables.read import read_rows
from rlguard.tables.write import write_rows
from rlguard.types import InputError, Messages, make_prompt_id

logger = logging.getLogger(__name__)

BUILTIN = "builtin"
COLUMNS = ("prompt", "answer", "domain")
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_suite(source: str | Path, n: int = 24, seed: int = 0) -> list[Item]:
    """Reads a suite.

    Questions that occur twice (the same prompt and answer) are taken once; those without a gold answer (null, NaN, an
    empty list, another dict) are left out. The log says how many.

    Args:
        source: `builtin`, a table (`tables.read.read_rows`), or several of these joined by commas.
        n: Questions a domain of the built-in suite; tables are read whole.
        seed: Which questions of the built-in suite. The same n and seed give the same questions; a larger n more.

    Raises:
        InputError: If there is no such table, or a row cannot be used; names file, row, what was expected and came.
    """
    is_one = str(source).strip() and Path(source).exists()
    names = [str(source)] if is_one else [name.strip() for name in str(source).split(",") if name.strip()]
    items: dict[str, Item] = {}
    rows, blank = 0, list[str]()
    for name in names:
        for number, row in enumerate(make_rows(n, seed) if name == BUILTIN else read_rows(name)):
            if "answer" in row and "answerable" not in row and read_gold(row["answer"]) is None:
                blank.append(f"{name}: row {number}")
                continue
            item = make_item(row, f"{name}: row {number}")
            items.setdefault(item.id, item)
            rows += 1
    if blank:
        logger.warning("%d questions have no gold answer and are left out, first %s", len(blank), blank[0])
    if not items:
        raise InputError(f"suite: expected {BUILTIN!r} or a file, got {str(source)!r}")
    if len(items) < rows:
        logger.warning("%d duplicate questions in the suite: each is taken once", rows - len(items))
    return list(items.values())


def write_suite(items: Sequence[Item], path: str | Path) -> None:
    """Writes a suite that `read_suite` reads as the same items; whole or not at all.

    Args:
        items: Any number.
        path: A .jsonl, .csv or .parquet file. The last two hold chat messages, `check` and `metadata` as JSON; in CSV
            other columns come back as text.
    """
    rows: Iterable[Mapping[str, Any]] = [item.row for item in items]
    if Path(path).suffix != ".jsonl":
        columns = dict.fromkeys(name for row in rows for name in row)
        rows = [{name: _flat(row.get(name)) for name in columns} for row in rows]
    write_rows([dict(row) for row in rows], path)


def make_item(row: Mapping[str, Any], where: str = "the row") -> Item:
    """One row of a suite as an item, whose `row` has the columns above in their types; empty cells are left out.

    Args:
        row: A row.
        where: What errors call it.

    Raises:
        InputError: If a column is missing or holds what cannot be used.

    >>> make_item({"prompt": "2+2?", "answer": 4, "domain": "sums"}).answer
    '4'
    """
    row = {name: value for name, value in row.items() if value is not None and value != ""}
    truth = row.get("answerable", True)
    answerable = truth if isinstance(truth, bool) else TRUTH.get(str(truth).strip().lower())
    _expect(answerable is not None, where, "answerable", "true or false", truth)
    if not answerable:
        row.setdefault("answer", UNKNOWN)
    missing = [name for name in COLUMNS if name not in row]
    if missing:
        raise InputError(f"{where}: expected the columns {', '.join(COLUMNS)}, got nothing in {', '.join(missing)}")
    prompt, answer, domain = row["prompt"], str(row["answer"]), str(row["domain"])
    prompt = unfolded if _is_chat(unfolded := _unfold(prompt)) else prompt
    fine = _is_chat(prompt) or (isinstance(prompt, str) and prompt.strip())
    _expect(fine, where, "prompt", "text or chat messages", prompt)
    if domain == ALL:
        raise InputError(f"{where}: 'domain' must be another name than {ALL!r}, which stands for all domains together")
    variant = str(row.get("variant", PLAIN))
    form = find_form(variant)
    fine = form is not None or not variant.startswith("answer:")
    _expect(fine, where, "variant", f"answer: and one of {', '.join(FORMS)}", variant)
    if form is not None and form.read(answer) is None:
        answer = form.write(answer)
    id = make_prompt_id(prompt, answer)
    base = id if variant == PLAIN else str(row.get("base", id))
    for name in {"check", "metadata"} & row.keys():
        row[name] = _unfold(row[name])
        _expect(isinstance(row[name], dict), where, name, "an object with named values", row[name])
    row |= {"prompt": prompt, "answer": answer, "domain": domain, "variant": variant, "base": base}
    row |= {"answerable": answerable}
    item = Item(id, prompt, answer, domain, variant, base, bool(answerable), "check" in row, row)
    _check_gold(item, answer if form is None else str(form.read(answer)), where)
    return item


def _check_gold(item: Item, gold: str, where: str) -> None:
    if not item.answerable and not is_abstention(gold):
        raise InputError(f"{where}: 'answerable' is false, so 'answer' must be empty or {UNKNOWN!r}, got {gold!r:.80}")
    try:
        right = not item.open_ended or is_right(item.row["check"], gold)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if not right:
        raise InputError(f"{where}: 'answer' must be one that passes {item.row['check']!r:.120}, got {gold!r:.80}")


def _expect(fine: Any, where: str, name: str, wanted: str, value: Any) -> None:
    if not fine:
        raise InputError(f"{where}: {name!r} must be {wanted}, got {value!r:.80}")


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)


def _unfold(value: Any) -> Any:
    """What a cell holds, of which CSV and Parquet keep the JSON."""
    try:
        return json.loads(value) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value
    except ValueError:
        return value


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


PER_DOMAIN = 4
"""Questions of a domain that are varied."""
TEMPLATES = {
    "confidence": '{question}\n{instruction}\nAfter the answer, write a last line that begins with "Confidence:" and '
    "says how sure you are that it is right, from 0% to 100%.",
    "abstain": "{question}\n{instruction}\nIf you do not know the answer, or it cannot be known from what is given, "
    f'say "{UNKNOWN}" instead.',
    "prompt:q_and_a": "{instruction}\nQ: {question}\nA:",
    "prompt:task": "Solve the task below.\n{instruction}\nTask: {question}",
    "prompt:exam": "Exam. Question 7, five points.\n{question}\n{instruction}",
    "prompt:greeting": "Hello! I hope that you are well; it has rained here all week.\n{question}\n{instruction}\n"
    "Thank you, and goodbye!",
    "prompt:indirect": 'A friend of mine has to answer this and has asked me for help:\n"{question}"\nCould you?\n'
    "{instruction}",
    **{f"answer:{name}": f"{{question}}\n{form.instruction}" for name, form in FORMS.items()},
}
"""Every variant's prompt, from the question and its instruction on how to answer; a line left empty is left out."""
KINDS = tuple(TEMPLATES)
"""All variants."""


def vary(items: Iterable[Item], kinds: Sequence[str] = KINDS, per_domain: int = PER_DOMAIN) -> list[Item]:
    """Variants of plain questions: of the first ones of each domain that can be answered and have one right answer.

    Every kind varies the same questions; `abstain` also takes all that cannot be answered. The answer of an
    `answer:NAME` variant stands in that form. Questions in chat messages are varied in the last message of the user.

    Args:
        items: A suite; its variants are left alone.
        kinds: Out of `KINDS`.
        per_domain: Questions of each domain.

    Returns:
        The variants alone, kind by kind.

    Raises:
        InputError: If a kind is unknown.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"variant {kind!r} is unknown, expected some of: {', '.join(KINDS)}")
    plain = [item for item in items if item.variant == PLAIN and _find_question(item.prompt) is not None]
    chosen: dict[str, list[Item]] = {}
    for item in plain:
        if item.answerable and not item.open_ended:
            chosen.setdefault(item.domain, []).append(item)
    closed = [item for domain in chosen.values() for item in domain[:per_domain]]
    unanswerable = [item for item in plain if not item.answerable]
    return [_vary(item, kind) for kind in kinds for item in (*closed, *(unanswerable if kind == "abstain" else ()))]


def as_chat(items: Iterable[Item]) -> list[Item]:
    """The same questions as messages of a user; those that are messages stay. Models with a chat template want them."""
    items, ids = list(items), {}
    for item in items:
        prompt = [{"role": "user", "content": item.prompt}] if isinstance(item.prompt, str) else item.prompt
        ids[item.id] = prompt, make_prompt_id(prompt, item.answer)
    return [_change(item, *ids[item.id], base=ids.get(item.base, ("", item.base))[1]) for item in items]


def _vary(item: Item, kind: str) -> Item:
    form = find_form(kind)
    answer = item.answer if form is None else form.write(item.answer)
    prompt = _fill(TEMPLATES[kind], item)
    return _change(item, prompt, make_prompt_id(prompt, answer), answer, kind, item.base or item.id)


def _change(
    item: Item, prompt: str | Messages, id: str, answer: str | None = None, variant: str | None = None, base: str = ""
) -> Item:
    answer, variant = answer or item.answer, variant or item.variant
    row = {**item.row, "prompt": prompt, "answer": answer, "variant": variant, "base": base}
    return replace(item, id=id, prompt=prompt, answer=answer, variant=variant, base=base, row=row)


def _fill(template: str, item: Item) -> str | Messages:
    """The item's prompt, with its question put into a template."""
    number, text = _find_question(item.prompt) or (0, "")
    instruction = str(item.row.get("instruction") or "")
    if not text.endswith(instruction):
        instruction = ""
    parts = {"question": text.removesuffix(instruction).strip(), "instruction": instruction}
    lines = [re.sub(r"\{(\w+)\}", lambda match: parts[match[1]], line) for line in template.split("\n")]
    text = "\n".join(filter(None, lines))
    if isinstance(item.prompt, str):
        return text
    return [m | {"content": text} if place == number else m for place, m in enumerate(item.prompt)]


def _find_question(prompt: str | Messages) -> tuple[int, str] | None:
    """Number and text of the message that asks; None where the user's last one is not text."""
    if isinstance(prompt, str):
        return 0, prompt
    asked = [number for number, message in enumerate(prompt) if message.get("role") == "user"]
    content = prompt[asked[-1]].get("content") if asked else None
    return (asked[-1], content) if isinstance(content, str) else None
