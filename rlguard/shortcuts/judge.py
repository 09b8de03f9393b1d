"""Judges completions: the rules in their one list, and what their findings are worth together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlguard.shortcuts.case import Case, read_case
from rlguard.shortcuts.garbage import find_garbage
from rlguard.shortcuts.loops import find_loop
from rlguard.shortcuts.ratios import combine_ratios
from rlguard.shortcuts.repetition import find_every_option, find_restated
from rlguard.shortcuts.rules import (
    find_answer_first,
    find_bare,
    find_false_step,
    find_unsupported,
    weigh_computation,
)
from rlguard.shortcuts.turns import own_spans
from rlguard.types import Finding, InputError, Messages, completion_text, prompt_text

if TYPE_CHECKING:
    import numpy as np

READ_LIMIT = 400_000
"""Characters of a completion that are judged, from its end (100,000 tokens or so): a megabyte must not stop a step."""

Rule = Callable[..., Finding | None]
COMPUTATION: tuple[Rule, ...] = (find_bare, find_unsupported, find_answer_first)
"""Do not hold where a tool computed."""
REPETITION: tuple[Rule, ...] = (find_restated, find_every_option, find_loop, find_garbage)
"""Of two that overlap the first counts, as they are the same fact."""

Text = str | Messages


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one completion shows of how it came to its answer."""

    findings: tuple[Finding, ...]
    likelihood_ratio: float
    """P(this text | the success is genuine) / P(this text | it is lucky), in [1/50, 50]; 1 when nothing can be said."""
    answer: str | None
    """The final answer, as it is written."""


def judge_completion(completion: str, prompt: str = "", answer: Any = None, steps: int | None = None) -> Judgement:
    """Judges one completion. The judgement reads as evidence on a success; it does not decide whether it is one.

    Args:
        completion: What the model wrote; turns of users and tools in it are left out.
        prompt: What it was asked; without it, how many steps were needed cannot be said.
        answer: The gold answer, when known; only reasons become more telling.
        steps: Operations that other rollouts of the prompt show (`shown_steps`); decides instead of the prompt's words.

    >>> judge_completion("7+8=5;5+5=0;answer 0", "7+8+5 mod 10=?").likelihood_ratio
    18.75
    >>> [f.kind for f in judge_completion("answer 0", "7+8+5 mod 10=?").findings]
    ['skipped_computation']
    >>> judge_completion("7", "3+4=?")
    Judgement(findings=(), likelihood_ratio=1.0, answer='7')
    """
    skipped = max(0, len(completion) - READ_LIMIT)
    spans = [(start + skipped, end + skipped) for start, end in own_spans(completion[skipped:])]
    if spans == [(0, len(completion))]:
        return _judge(read_case(completion, prompt, answer, steps))
    judged = _judge(read_case("".join(completion[start:end] for start, end in spans), prompt, answer, steps))
    moved = (replace(f, start=_place(spans, f.start), end=_place(spans, f.end - 1) + 1) for f in judged.findings)
    return replace(judged, findings=tuple(moved))


def _judge(case: Case) -> Judgement:
    rules = (find_false_step, *(() if case.tool else COMPUTATION))
    shown = [found for rule in rules if (found := rule(case))]
    repeated = find_repetition(case)
    # a loop of true steps shows no more than one of them, and none of them leads to an answer that is only guessed
    silent = shown or repeated or case.tool or case.answer is not case.final or not case.equations
    worth = 1.0 if silent else weigh_computation(case)
    findings = (*repeated, *shown)
    return Judgement(findings, combine_ratios(findings, worth), case.final and case.final.text)


def find_repetition(case: Case) -> list[Finding]:
    """What the rules of repetition find; of what overlaps the first, unless a later one is more than twice as long.

    >>> [f.reason for f in find_repetition(read_case("answer 40;" * 9))]
    ['answer 40 stated 9 times, nothing between']
    """
    findings: list[Finding] = []
    for rule in REPETITION:
        found = rule(case)
        if found and all(
            found.end <= f.start or found.start >= f.end or found.end - found.start > 2 * (f.end - f.start)
            for f in findings
        ):
            findings.append(found)
    return findings


def _place(spans: list[tuple[int, int]], place: int) -> int:
    """Where a place in the joined spans lies in the whole text."""
    for start, end in spans:
        if place < end - start:
            return start + place
        place -= end - start
    return spans[-1][1]


def detect_shortcuts(
    completions: str | Sequence[Text],
    prompts: str | Sequence[Text] | None = None,
    answers: Sequence[Any] | None = None,
    steps: Sequence[int | None] | None = None,
) -> list[list[Finding]]:
    """The findings of each completion.

    Args:
        completions: B completions, as text or chat messages; one string counts as one completion.
        prompts: B prompts (one string for all is repeated), or None when not known.
        answers: B gold answers, or None.
        steps: B numbers of operations that other rollouts of the prompts show (`shown_steps`), or None; a None among
            them leaves it to the prompt's words.

    Returns:
        B lists of findings, in the order of the completions.

    Raises:
        InputError: Lengths differ, or a completion is not text; the message names the row.

    >>> [[f.kind for f in row] for row in detect_shortcuts(["answer 0", "7+8=6;answer 6"], ["7+8+5=?", "7+8=?"])]
    [['skipped_computation'], ['false_step']]
    """
    return [list(judgement.findings) for judgement in _judge_all(completions, prompts, answers, steps)]


def likelihood_ratios(
    completions: str | Sequence[Text],
    prompts: str | Sequence[Text] | None = None,
    answers: Sequence[Any] | None = None,
    steps: Sequence[int | None] | None = None,
) -> np.ndarray:
    """The likelihood ratio of each completion, for the advantage rewrite.

    Args and Raises as for `detect_shortcuts`.

    Returns:
        Array of B ratios P(text | genuine) / P(text | lucky), float64, in [1/50, 50].

    >>> likelihood_ratios(["7+8=5;5+5=0;answer 0", "answer 0"], "7+8+5 mod 10=?").tolist()
    [18.75, 0.05]
    """
    import numpy as np  # here, so that importing the detectors stays fast

    ratios = [judgement.likelihood_ratio for judgement in _judge_all(completions, prompts, answers, steps)]
    return np.array(ratios, dtype=np.float64)


def _judge_all(
    completions: str | Sequence[Text],
    prompts: str | Sequence[Text] | None,
    answers: Sequence[Any] | None,
    steps: Sequence[int | None] | None,
) -> list[Judgement]:
    rows = [completions] if isinstance(completions, str) else completions
    asked = [prompts] * len(rows) if prompts is None or isinstance(prompts, str) else prompts
    golds = [answers] if isinstance(answers, str) else [None] * len(rows) if answers is None else answers
    shown = [None] * len(rows) if steps is None else steps
    for name, column in (("prompts", asked), ("answers", golds), ("steps", shown)):
        check_length(name, column, len(rows))
    judgements = []
    for number, (row, prompt, gold, taken) in enumerate(zip(rows, asked, golds, shown, strict=True)):
        text = read_text(row, "completion", number)
        prompt = "" if prompt is None else read_text(prompt, "prompt", number)
        judgements.append(judge_completion(text, prompt, gold, taken))
    return judgements


def check_length(name: str, column: Sequence[Any], size: int) -> None:
    """Raises InputError where a column has not one value per completion."""
    if len(column) != size:
        raise InputError(f"{name}: expected {size}, one per completion, given {len(column)}")


def read_text(value: Any, name: str, number: int) -> str:
    """A completion or prompt as text; raises InputError, which names the row, where it is neither text nor messages."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(message, dict) for message in value):
        return completion_text(value) if name == "completion" else prompt_text(value)
    given = "NaN" if isinstance(value, float) and value != value else repr(value)[:40]
    raise InputError(f"{name} in row {number}: expected text or chat messages, given {given}")
