"""One question asked in other ways: how sure it is, leave to say that it does not know, other words, another form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rlguard.audit.marking import FORMS, UNKNOWN
from rlguard.audit.samples import PLAIN, Item
from rlguard.types import InputError, Messages, make_prompt_id

PER_DOMAIN = 4
"""Questions of a domain that are varied."""
CONFIDENCE = (
    'After the answer, write a last line that begins with "Confidence:" and says how sure you are that it is right, '
    "from 0% to 100%."
)
ABSTAIN = f'If you do not know the answer, or it cannot be known from what is given, say "{UNKNOWN}" instead.'

Rewrite = Callable[[str, str], str]
"""A question and its instruction on how to answer ("" where there is none) -> the text of the prompt."""

PROMPTS: dict[str, Rewrite] = {
    "q_and_a": lambda question, instruction: _lines(instruction, f"Q: {question}", "A:"),
    "task": lambda question, instruction: _lines("Solve the task below.", instruction, f"Task: {question}"),
    "exam": lambda question, instruction: _lines("Exam. Question 7, five points.", question, instruction),
    "greeting": lambda question, instruction: _lines(
        "Hello! I hope that you are well; it has rained here all week.",
        question,
        instruction,
        "Thank you, and goodbye!",
    ),
    "indirect": lambda question, instruction: _lines(
        "A friend of mine has to answer this and has asked me for help:", f'"{question}"', "Could you?", instruction
    ),
}
"""The forms of `prompt:NAME`."""

KINDS = ("confidence", "abstain", *(f"prompt:{name}" for name in PROMPTS), *(f"answer:{name}" for name in FORMS))
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
    group, _, name = kind.partition(":")
    answer = FORMS[name].write(item.answer) if group == "answer" else item.answer
    rewrites: dict[str, Rewrite] = {
        "confidence": lambda question, instruction: _lines(question, instruction, CONFIDENCE),
        "abstain": lambda question, instruction: _lines(question, instruction, ABSTAIN),
        "prompt": lambda question, instruction: PROMPTS[name](question, instruction),
        "answer": lambda question, _: _lines(question, FORMS[name].instruction),
    }
    prompt = _rewrite(item, rewrites[group])
    return _change(item, prompt, make_prompt_id(prompt, answer), answer, kind, item.base or item.id)


def _change(
    item: Item, prompt: str | Messages, id: str, answer: str | None = None, variant: str | None = None, base: str = ""
) -> Item:
    answer, variant = answer or item.answer, variant or item.variant
    row = {**item.row, "prompt": prompt, "answer": answer, "variant": variant, "base": base}
    return replace(item, id=id, prompt=prompt, answer=answer, variant=variant, base=base, row=row)


def _rewrite(item: Item, rewrite: Rewrite) -> str | Messages:
    number, text = _find_question(item.prompt) or (0, "")
    instruction = str(item.row.get("instruction") or "")
    if not text.endswith(instruction):
        instruction = ""
    text = rewrite(text.removesuffix(instruction).strip(), instruction)
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


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
