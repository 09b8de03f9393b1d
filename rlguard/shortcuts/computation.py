"""Skipped computation: an answer with nothing behind it, or with something false, unrelated or late behind it."""

from __future__ import annotations

import re
from typing import NamedTuple

from rlguard.answers import normalise_answer
from rlguard.shortcuts.answers_first import find_answer_first, read_lead
from rlguard.shortcuts.arithmetic import Number, read_number
from rlguard.shortcuts.case import (
    LABELS,
    NUMBERS,
    WORDS,
    Case,
    blank,
    is_expression,
    read_value,
    segments,
    widen_answer,
)
from rlguard.shortcuts.checks import find_false_steps, find_unrelated, find_unsupported
from rlguard.shortcuts.copied import find_copied
from rlguard.shortcuts.equations import find_equations
from rlguard.shortcuts.placeholders import find_placeholder
from rlguard.shortcuts.prompts import PromptFacts
from rlguard.shortcuts.ratios import LIKELIHOOD_RATIOS, make_finding, quote
from rlguard.shortcuts.repetition import STATEMENT
from rlguard.shortcuts.support import MAX_READ, find_unreached, find_waved_through, is_reached
from rlguard.types import Finding

_NUMBER_WORD_LIST = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand dozen
"""
_FILLER_LIST = """
    the a an of is are so to be it my this that and final answer result solution value equals equal therefore thus
    hence boxed correct would should ok okay i think assistant text because
"""
_NUMBER_WORDS = frozenset(_NUMBER_WORD_LIST.split())
_SPELLED_SMALL = frozenset(("one", "two", "first", "second"))
_FILLER = frozenset(_FILLER_LIST.split())
_CONSTANTS = frozenset((1, 2, 7, 10, 12, 24, 60, 100, 180, 360, 365, 1000, 1440, 3600))
"""Numbers that a step may bring in by itself: units of time, percent, powers of ten."""
_ALGEBRA = re.compile(r"\d\s?\*?\s?[a-z](?:\^\d)?\s*[-+=]|(?<![\w\\])[a-z]\s*[-+*/=]")
_ENUMERATES = 4


class Steps(NamedTuple):
    """What the computation of one completion shows."""

    findings: list[Finding]
    ratio: float
    """What the shown computation is worth, apart from the findings; 1 when it says nothing."""


_TOOL = re.compile(
    r"(?:<tool_call>|<function_calls>|<\|python_tag\|>|```tool_code\b)(?:(?!</tool_call>|</function_calls>|```)[\s\S]){0,200}?\d",
    re.IGNORECASE,
)
"""A tool call with a number in it, in the ways that chat templates write one; an empty one computes nothing."""


def judge_steps(
    text: str, prompt: str, facts: PromptFacts, answer: tuple[str, int, int] | None, gold: str | None = None
) -> Steps:
    """Judges whether the steps of a completion carry its answer.

    Args:
        text: The completion.
        prompt: The prompt as text, "" when not known.
        facts: What `rlguard.shortcuts.prompts.read_prompt` says of it.
        answer: The final answer as `rlguard.answers.extract_answer` gives it.
        gold: The right answer, when known: the reason then says that false steps still end right.
    """
    answer = widen_answer(text, answer)
    lead = read_lead(text, answer)
    if lead and lead.alone:
        begin = text.find(lead.value, lead.start, lead.end)
        answer = (lead.value, begin, begin + len(lead.value)) if begin >= 0 else answer
    value = read_value(answer[0]) if answer else None
    equations = find_equations(text, facts.moduli)
    if equations and 0 < len(prompt) <= 4000:
        given = "".join(prompt.split())
        equations = [e for e in equations if "".join(text[e.start : e.end].split()) not in given]
    lead_end = lead.end if lead else 0
    case = Case(text, facts, bool(prompt.strip()), answer, value, equations, False, lead_end)
    unrelated = _is_unrelated(case)
    late = sum(e.operators for e in equations if e.start >= lead_end)
    late -= 1 if answer and "/" in answer[0] and late else 0  # the bar of the answer's own fraction
    lone_check = bool(lead and prompt.strip() and 0 < late < min(2, facts.steps))
    case = case._replace(supported=not unrelated and not lone_check and is_reached(case))
    right = gold is not None and answer is not None and normalise_answer(gold) == normalise_answer(answer[0])
    findings = [] if facts.other_rules or facts.grouped else find_false_steps(case, prompt, right)
    if _TOOL.search(text):  # what a tool computed stands in no step
        return Steps(findings, 1.0)
    works = bool(equations) or _shows_numbers(case)
    early = find_answer_first(case, lead, works)
    findings += early
    if not (facts.grouped and equations):
        findings += _judge_support(case, early, works, unrelated)
    waved = find_placeholder(case)
    findings += waved
    if waved and equations and not any(f.kind in ("unsupported_answer", "skipped_computation") for f in findings):
        findings += find_waved_through(case, waved[0].end)
    return Steps(findings, _worth(case) if equations and not findings else 1.0)


def _judge_support(case: Case, early: list[Finding], works: bool, unrelated: bool) -> list[Finding]:
    """What stands behind the answer: nothing, steps about something else, steps that end elsewhere."""
    if not case.equations:
        bare = [] if works else _find_bare(case)
        copied = find_copied(case) if bare else []
        return [] if early and not copied and bare[:1] == [] else bare + copied
    found = find_unrelated(case)
    if not found and unrelated:
        start, end = case.equations[0].start, case.equations[-1].end
        reason = "no step starts from a number of the prompt"
        found = [make_finding("unrelated_steps", "skipped_computation", reason, start, end)]
    if early and (unrelated or not case.supported):
        return find_unreached(case)
    if found and not unrelated and not found[0].reason.startswith("the steps use none"):
        return found + find_unreached(case)  # some of the work is there, and it does not reach the answer
    return found or find_unsupported(case) or find_unreached(case)


def _is_unrelated(case: Case) -> bool:
    """Whether no step starts from the prompt's numbers, or from results that come of them."""
    known = case.facts.known
    if (
        not case.equations
        or not case.facts.operands
        or len(known) < 2
        or case.facts.other_rules
        or case.facts.steps < 2
    ):
        return False
    if _starts_from(case, frozenset()):
        return False
    body = LABELS.sub(blank, case.text[:MAX_READ])
    outside: set[Number] = set()
    for match in NUMBERS.finditer(_blank_spans(body, case) if len(body) == len(case.text) else ""):
        number = read_number(match[0])[0]
        if number is not None and number not in known and number != case.value:
            outside.add(number)
    if len(outside) > 1 or (_ALGEBRA.search(body) and outside):
        return False
    if outside and _starts_from(case, frozenset(outside)):
        return False
    touching = any(n is not None and abs(n) in known for e in case.equations for n in e.operands)
    return not touching or not is_reached(case)


def _starts_from(case: Case, outside: frozenset[Number]) -> bool:
    """Whether some step uses a number of the prompt, and beside it only such, usual constants and `outside`."""
    known = case.facts.known
    for e in case.equations:
        numbers = [abs(n) for n in e.operands if n is not None]
        if not any(n in known for n in numbers):
            continue
        strange = sum(n not in known and n not in _CONSTANTS and n not in outside for n in numbers)
        if strange == 0 or (len(numbers) > 2 and 2 * strange <= len(numbers)):
            return True
    return False


def _blank_spans(body: str, case: Case) -> str:
    pieces, at = [], 0
    for e in case.equations:
        if e.start >= at:
            pieces += [body[at : e.start], " " * (e.end - e.start)]
            at = e.end
    rest = "".join([*pieces, body[at:]])
    if case.answer:
        rest = rest[: case.answer[1]] + " " * (case.answer[2] - case.answer[1]) + rest[case.answer[2] :]
    return rest


def _shows_numbers(case: Case) -> bool:
    """Whether numbers that are neither the prompt's nor the answer's stand in the text, or algebra, or code."""
    answer = case.answer
    if answer is None:
        return True
    text = case.text
    body = STATEMENT.sub(blank, text[: answer[1]] + " " * (answer[2] - answer[1]) + text[answer[2] :])
    body = LABELS.sub(blank, body)
    if "```" in body:
        return True
    parts = {read_number(part)[0] for part in NUMBERS.findall(answer[0].replace(":", " ").replace("/", " "))}
    ignored = (
        case.facts.numbers | case.facts.written | parts | {case.value, 0 if case.value is None else abs(case.value)}
    )
    strange = False
    seen: dict[str, int] = {}
    for start, end in segments(body):
        segment = body[start:end]
        if not any(map(str.isdigit, segment)):
            continue
        if any(read_number(found)[0] not in ignored for found in NUMBERS.findall(segment.replace(":", " : "))):
            shape = "".join("#" if sign.isdigit() else sign for sign in segment[:80]).replace("##", "#")
            seen[shape] = seen.get(shape, 0) + 1
            strange = True
    if strange and not (len(seen) == 1 and max(seen.values()) > _ENUMERATES and not _speaks_of_prompt(body, case)):
        return True
    words = {word.lower() for word in WORDS.findall(body)}
    if not _NUMBER_WORDS.isdisjoint(words - case.facts.words - _SPELLED_SMALL):
        return True
    copied = {"".join(match.split()) for match in _ALGEBRA.findall(body)}
    return any(piece not in case.facts.squeezed for piece in copied)


def _speaks_of_prompt(body: str, case: Case) -> bool:
    return any(word.lower() in case.facts.words for word in WORDS.findall(body[:2000]))


def _find_bare(case: Case) -> list[Finding]:
    """A prompt that takes several steps, an answer, and no result in between."""
    answer, steps = case.answer, case.facts.steps
    if answer is None or steps < 2:
        return []
    if is_expression(answer[0]):
        if len(NUMBERS.findall(answer[0])) < 4:  # an expression that is itself the work
            return []
    elif case.value is None and not any(map(str.isdigit, answer[0])) and _argues(case):
        return []
    body = STATEMENT.sub(blank, case.text[: answer[1]] + " " * (answer[2] - answer[1]) + case.text[answer[2] :])
    words = [word.lower() for word in WORDS.findall(body)]
    if sum(word not in _FILLER for word in words) <= 3:
        reason = f"answer {quote(answer[0])} with no step, where the prompt takes {steps}"
        return [make_finding("bare_answer", "skipped_computation", reason, answer[1], answer[2])]
    reason = f"no result on the way to {quote(answer[0])}, where the prompt takes {steps} steps"
    return [make_finding("no_intermediate", "skipped_computation", reason, answer[1], answer[2])]


def _argues(case: Case) -> bool:
    """Whether sentences speak of what the prompt speaks of, beyond repeating it: an argument in words."""
    said = {word.lower() for word in WORDS.findall(case.text[:MAX_READ]) if len(word) > 3}
    return len(said & case.facts.words) >= 2 and len(said - case.facts.words - _FILLER) >= 3


def _worth(case: Case) -> float:
    """What a computation is worth that has nothing against it."""
    checked = [e for e in case.equations if e.holds]
    if not checked or len(checked) < len(case.equations) / 2 or (case.value is not None and not case.supported):
        return 1.0
    if not case.facts.operands:  # right and wrong solutions of word problems show true steps equally often
        return 1.0
    operations = sum(e.operators for e in checked)
    at_once = len(checked) == 1 and operations > 1 and case.facts.operands and _same(checked[0].right, case.value)
    if at_once:  # the prompt itself with the answer behind "=": shows no more than the answer
        return 1.0
    whole = case.value is not None and operations >= max(1, case.facts.steps)
    return LIKELIHOOD_RATIOS["computed" if whole else "computed_in_part"][0]


def _same(left: Number | None, right: Number | None) -> bool:
    return left is not None and left == right
