"""Skipped computation: an answer with nothing behind it, or with something false, unrelated or late behind it."""

from __future__ import annotations

import re
from typing import NamedTuple

from rlguard.answers import normalise_answer
from rlguard.shortcuts.arithmetic import Number, read_number
from rlguard.shortcuts.case import NUMBERS, Case, blank, matches, read_value
from rlguard.shortcuts.checks import find_false_steps, find_unrelated, find_unsupported
from rlguard.shortcuts.equations import find_equations
from rlguard.shortcuts.evidence import LIKELIHOOD_RATIOS, make_finding, quote
from rlguard.shortcuts.prompts import PromptFacts
from rlguard.shortcuts.repetition import STATEMENT
from rlguard.types import Finding

_WORDS = re.compile(r"[^\W\d_]+")
_NUMBER_WORD_LIST = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand half double twice dozen
"""
_FILLER_LIST = """
    the a an of is are so to be it my this that and final answer result solution value equals equal therefore thus
    hence boxed correct would should ok okay i think assistant text because
"""
_NUMBER_WORDS = frozenset(_NUMBER_WORD_LIST.split())
_FILLER = frozenset(_FILLER_LIST.split())
_PLACEHOLDER_HINTS = ("after", "skip", "omit", "left out", "can ", "doing", "by ", "calc", "comput", "step", "work")
_PLACEHOLDER = re.compile(
    r"\bafter\s+(?:some|a\s+(?:bit|lot)\s+of|doing\s+(?:the|some)|performing\s+(?:the|some))\s+(?:\w+\s+)?"
    r"(?:algebra|calculations?|computations?|manipulations?|simplifications?|arithmetic|maths?|work|steps)\b"
    r"|\b(?:skip(?:ping)?|omit(?:ting)?)\s+(?:over\s+)?(?:the\s+|some\s+|all\s+)?(?:\w+\s+)?"
    r"(?:details|steps|calculations?|computations?|algebra|arithmetic)\b"
    r"|\b(?:details|steps|calculations?|computations?|algebra)\s+(?:are\s+|is\s+)?(?:omitted|skipped|left\s+out)\b"
    r"|\b(?:it\s+can\s+be\s+(?:shown|verified)|one\s+can\s+(?:show|verify))\s+that\b"
    r"|\bdoing\s+the\s+maths?\b|\bby\s+(?:a\s+)?(?:simple|straightforward|routine)\s+(?:calculation|computation|algebra)"
    r"|[\[(<{](?:insert\s+)?(?:the\s+)?(?:calculations?|steps?|reasoning|computations?|working|work)"
    r"(?:\s+(?:here|go(?:es)?\s+here))?[\])>}]",
    re.IGNORECASE,
)
_EARLY = re.compile(r"\s*+[*_$(]{0,3}(-?\$?\d[\d.,/]*+)[*_$)]{0,3}[.,:;\s]")
_REASONS = re.compile(
    r"\b(?:because|since|reason(?:s|ing)?|explanation|first|steps?|justification|why)\b", re.IGNORECASE
)


class Steps(NamedTuple):
    """What the computation of one completion shows."""

    findings: list[Finding]
    ratio: float
    """What the shown computation is worth, apart from the findings; 1 when it says nothing."""
    shown: bool


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
    equations = find_equations(text, facts.moduli)
    value = read_value(answer[0]) if answer else None
    supported = value is not None and any(
        matches(value, side, facts.moduli) for e in equations for side in (e.left, e.right)
    )
    case = Case(text, facts, bool(prompt.strip()), answer, value, equations, supported)
    right = gold is not None and answer is not None and normalise_answer(gold) == normalise_answer(answer[0])
    findings = [] if facts.other_rules else find_false_steps(case, prompt, right)
    early = _find_answer_first(case)
    findings += early
    if equations:
        findings += find_unrelated(case) or find_unsupported(case)
    elif not early:
        findings += _find_bare(case)
    findings += _find_placeholder(case)
    shown = bool(equations) and not any(f.kind == "skipped_computation" for f in findings)
    ratio = _worth(case) if shown and not findings else 1.0
    return Steps(findings, ratio, shown)


def _find_answer_first(case: Case) -> list[Finding]:
    """The answer stands at the very start and what looks like reasons comes after it."""
    text, answer = case.text, case.answer
    if answer is None or (case.prompted and case.facts.steps < 2) or len(text) < 12:
        return []
    first = STATEMENT.search(text[:240])
    leading = _EARLY.match(text[:80])
    if first:
        value, start, end = first[first.lastindex or 0], first.start(), first.end()
    if not first or (leading and leading.end() <= first.start()):
        if leading is None:
            return []
        value, start, end = leading[1], leading.start(1), leading.end(1)
    head = text[:start]
    if any(sign.isdigit() for sign in head) or len(head.split()) > 6 or "=" in head:
        return []
    if normalise_answer(value.rstrip(".,;: ")) != normalise_answer(answer[0]):
        return []
    after = [e for e in case.equations if e.start >= end]
    rest = text[end:]
    if first is None or start != first.start():  # a bare number opens it: only words that announce reasons tell
        if not _REASONS.search(rest[:200]):
            return []
    elif not after and (len(rest.split()) < 8 or not _REASONS.search(rest)):
        return []
    if len(after) < 2 and not case.prompted:
        return []
    sign = "answer_first" if after and case.supported else "answer_first_alone"
    shows = f"{len(after)} steps only after it" if after else "reasons only after it, none calculates"
    return [
        make_finding(sign, "answer_first", f"answer {quote(value.rstrip('.,:; '))} comes first, {shows}", start, end)
    ]


def _find_bare(case: Case) -> list[Finding]:
    """A prompt that takes several steps, an answer, and no result in between."""
    answer, steps = case.answer, case.facts.steps
    if answer is None or steps < 2 or (case.value is None and not case.facts.operands):
        return []
    around = case.text[: answer[1]][-4:].rstrip()[-1:], case.text[answer[2] : answer[2] + 4].lstrip()[:1]
    if any(sign and sign in "+-*/×÷^" for sign in around) and "**" not in case.text:  # the answer is an expression
        return []
    body = STATEMENT.sub(blank, case.text[: answer[1]] + " " * (answer[2] - answer[1]) + case.text[answer[2] :])
    words = [word.lower() for word in _WORDS.findall(body)]
    if "```" in body or not _NUMBER_WORDS.isdisjoint(words):
        return []
    for text in NUMBERS.findall(body):
        number = read_number(text)[0]
        if number is None or (number != case.value and number not in case.facts.numbers):
            return []
    if sum(word not in _FILLER for word in words) <= 3:
        reason = f"answer {quote(answer[0])} with no step, where the prompt takes {steps}"
        return [make_finding("bare_answer", "skipped_computation", reason, answer[1], answer[2])]
    if case.value is None:
        return []
    reason = f"no result on the way to {quote(answer[0])}, where the prompt takes {steps} steps"
    return [make_finding("no_intermediate", "skipped_computation", reason, answer[1], answer[2])]


def _find_placeholder(case: Case) -> list[Finding]:
    """Words that stand where the computation should be, when the answer is not computed elsewhere."""
    if case.supported or case.value is None or (case.prompted and case.facts.steps < 2):
        return []
    small = case.text.lower()
    hinted = any(hint in small for hint in _PLACEHOLDER_HINTS)  # the pattern itself is slow on long texts
    found = _PLACEHOLDER.search(case.text) if hinted else None
    if found is None:
        return []
    reason = f'"{quote(found[0], 40)}" stands where the computation should be'
    return [make_finding("placeholder", "skipped_computation", reason, found.start(), found.end())]


def _worth(case: Case) -> float:
    """What a computation is worth that has nothing against it."""
    checked = [e for e in case.equations if e.holds]
    if not checked or len(checked) < len(case.equations) / 2 or (case.value is not None and not case.supported):
        return 1.0
    operations = sum(e.operators for e in checked)
    at_once = len(checked) == 1 and operations > 1 and case.facts.operands and _same(checked[0].right, case.value)
    if at_once:  # the prompt itself with the answer behind "=": shows no more than the answer
        return 1.0
    whole = case.value is not None and operations >= max(1, case.facts.steps)
    return LIKELIHOOD_RATIOS["computed" if whole else "computed_in_part"][0]


def _same(left: Number | None, right: Number | None) -> bool:
    return left is not None and left == right
