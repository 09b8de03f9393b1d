"""A completion read once, for all rules."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlguard.answers import FinalAnswer, find_answer, read_gold
from rlguard.shortcuts.arithmetic import Number
from rlguard.shortcuts.computation import PromptFacts, read_number, read_prompt
from rlguard.shortcuts.text import Equation, find_equations
from rlguard.shortcuts.wording import find_statements

if TYPE_CHECKING:
    from rlguard.shortcuts.repeats import Repeats

MAX_LONE = 200
"""Characters of a text whose only number is its answer even unmarked ("It arrives at 11:05.")."""
WHOLE, HEAD, TAIL = 3_000, 400, 1_000
"""Characters up to which all steps of a text are checked, and of a longer one those at both ends, where the set-up and
the steps to the answer stand: a step of a GRPO run cannot wait for all of them."""
EARLY = 80
"""Characters within which an answer must begin to come first."""

IDLE = re.compile(r"(?<![\w.+*/^)=-])(-?\d+(?:\.\d+)?)(?:\s?[-+]\s?0|\s?[*/×·÷]\s?1)?\s?=\s?\1(?!\w|\.\d|\s?[-+*/^=])")
"""Says of a number that it is itself: "71 = 71", "71 + 0 = 71"."""
NAME = re.compile(r"\A[A-Za-z]\w{0,20}\s*=\s*(?=[^=,]*\Z)")
"""Of an answer: what it is the value of, "x =" of "x = 5"."""
NUMBERS = re.compile(r"(?<![A-Za-z\d_.])\d+(?:[.,]\d+)*+")
_TOOLS = ("<tool", "<function_", "<|python_tag|>", "<interpreter>", "```", "[TOOL", "<output>", "<search>",
          " to=functions.", " to=python", "Action Input:")  # fmt: skip
_TOOL = re.compile(
    r"(?:<tool_call>|<function_calls>|<\|python_tag\|>|```tool_code\b|\[TOOL_CALLS\]|<search>"
    r"| to=functions\.| to=python\b|\bAction Input:)"
    r"(?:(?!</(?:tool_call|function_calls|search)>|```|\[TOOL_RESULTS\]|<\|call\|>|\bObservation:)[\s\S]){0,200}?\d"
    r"|<tool_(?:response|output|results?)>|<function_results>|<interpreter>|```output\b|</(?:python|code)>\s<output>"
)
"""A tool call with a number in it, in the ways that chat templates write one; an empty one computes nothing."""


@dataclass(frozen=True)
class Case:
    """One completion and what was asked; what several rules need of it is worked out when the first one asks."""

    text: str
    prompt: str
    facts: PromptFacts
    final: FinalAnswer | None
    """The final answer, also where it is only the reader's guess."""
    gold: str | None

    @cached_property
    def answer(self) -> FinalAnswer | None:
        """The final answer where the text says that it is one: a guess supports no finding."""
        final, text = self.final, self.text
        if final is None or final.marked:
            return final
        written, stated = NUMBERS.findall(text), NUMBERS.findall(final.text)
        alone = len(text) <= MAX_LONE and len(written) <= 2 * len(stated) and not set(written) - set(stated)
        return final if alone else None

    @cached_property
    def value(self) -> Number | None:
        """The answer's, where it is one number: 5 of "x = 5"."""
        return read_number(NAME.sub("", self.answer.text)) if self.answer else None

    @cached_property
    def equations(self) -> list[Equation]:
        """Those of the completion; of a long one at both ends, where the set-up and the answer's steps stand."""
        text, moduli = self.text, self.facts.moduli
        if len(text) <= WHOLE:
            equations = find_equations(text, moduli)
        else:
            skipped = len(text) - TAIL
            late = [e for e in find_equations(text[skipped:], moduli) if e.start > 100]  # the first may be cut in half
            late = [e._replace(start=e.start + skipped, end=e.end + skipped) for e in late]
            equations = find_equations(text[:HEAD], moduli) + late
        if equations and "=" in self.prompt and len(self.prompt) <= 4000:
            given = "".join(self.prompt.split())
            equations = [e for e in equations if "".join(text[e.start : e.end].split()) not in given]
        known = self.facts.numbers
        work = any(e.right in known or not IDLE.fullmatch(text, e.start, e.end) for e in equations)
        return equations if work else []

    @cached_property
    def first(self) -> bool:
        """Whether the answer stands at the very start, and nowhere again as the answer."""
        if self.answer is None or self.answer.start > EARLY:
            return False
        text, start, end = self.text, self.answer.start, self.answer.end
        before = text[:start]
        if any(map(str.isdigit, before)) or "\n" in before.strip() or not text[end:].strip(" .*$}\n"):
            return False
        line = text[: end + 30].lower()
        return any(word in line for word in ("answer", "boxed", "####", "result", "solution"))

    @cached_property
    def supported(self) -> bool:
        """Whether a step produces the answer."""
        if self.first and self.prompt:
            late = sum(e.operators for e in self.equations if self.answer and e.start >= self.answer.end)
            if late < min(2, self.facts.steps):  # one made-up equation after the answer leads nowhere
                return False
        return _is_reached(self)

    @cached_property
    def tool(self) -> bool:
        """Whether a tool computed: its work stands in no step."""
        return any(sign in self.text for sign in _TOOLS) and bool(_TOOL.search(self.text))

    @cached_property
    def statements(self) -> list[re.Match[str]]:
        """Where answers are stated, if there are three or more."""
        return find_statements(self.text)

    @cached_property
    def repeats(self) -> Repeats:
        """The text as codes, with what comes again in it."""
        from rlguard.shortcuts.repeats import find_repeats  # here, so that importing the detectors stays fast: numpy

        return find_repeats(self.text)


def read_case(text: str, prompt: str = "", gold: Any = None, steps: int | None = None) -> Case:
    """Reads a completion and its prompt.

    Args:
        text: What the model wrote itself.
        prompt: As text, "" when not known.
        gold: The gold answer in any form, when known.
        steps: Operations that other rollouts of the prompt show; decides instead of the prompt's words.
    """
    final = find_answer(text)
    facts = read_prompt(prompt)
    facts = facts if steps is None else replace(facts, steps=steps)
    return Case(text, prompt.strip(), facts, final if final and final.text else None, read_gold(gold))


def matches(value: Number, produced: Number | None, moduli: tuple[int, ...] = ()) -> bool:
    """Whether an answer states a produced number: equal, rounded, as a percentage, or modulo."""
    if produced is None:
        return False
    if value == produced:
        return True
    if isinstance(value, int) and isinstance(produced, int):
        if any((value - produced) % modulus == 0 for modulus in moduli):
            return True
        return value * 100 == produced or value == produced * 100
    try:
        gap = abs(value - produced)
        most = 0.05 if isinstance(produced, int) else 0.51 if isinstance(value, int) else 0.06
        if gap <= min(0.006 * max(1.0, abs(produced)), most) or round(produced) == value:
            return True
    except OverflowError:
        return False
    if isinstance(produced, int) or abs(produced) <= 1:  # 0.75 and 75 %
        return abs(value - 100 * produced) <= 0.6
    return abs(100 * value - produced) <= 0.6 and abs(value) <= 1


def _is_produced(value: Number, e: Equation, moduli: tuple[int, ...]) -> bool:
    return e.right == value or matches(value, e.left, moduli) or matches(value, e.right, moduli)


def _is_reached(case: Case) -> bool:
    """Whether a step produces the answer: a number as its result, a time or an expression by all its parts."""
    answer, value = case.answer, case.value
    if answer is None or not case.equations:
        return False
    if value is not None:
        given = case.facts.numbers
        plugged = not case.facts.operands and value not in given
        return any(e.right == value for e in case.equations) or any(
            _is_produced(value, e, case.facts.moduli)
            or (plugged and value in e.operands and (e.left in given or e.right in given))
            for e in reversed(case.equations)  # put in for the unknown, it gives what the prompt says
        )
    parts = read_parts(answer.text) - {None}
    if ":" in answer.text:
        return bool(parts) and any(parts <= {*e.operands, e.left, e.right} for e in case.equations)
    return bool(parts) and parts <= {n for e in case.equations for n in e.operands}


def read_parts(text: str) -> set[Number | None]:
    """The numbers of a text, hours and minutes each on their own."""
    return {read_number(part) for part in NUMBERS.findall(text.replace(":", " ").replace("/", " "))}
