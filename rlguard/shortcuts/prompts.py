"""What a prompt asks for: how many steps, in which arithmetic, and with which numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rlguard.shortcuts.arithmetic import Number, read_number
from rlguard.shortcuts.equations import find_equations

MAX_PROMPT = 20_000
"""Characters of a prompt that are read; a longer one keeps its end, where the question stands."""

_NUMBER = r"\d+(?:[.,]\d+)*+"
_OPERATOR = (
    r"(?:[-+*/×·÷^−]|\*\*|\\times|\\cdot|\\div|(?:plus|minus|times|divided by|multiplied by)\b|(?<=\s)x(?=\s\d))"
)
_MOD = r"(?:\\?%|\\?[bp]?mod(?:ulo)?\b)"
_EXPRESSION = re.compile(
    rf"(?<![\w.(])(?<!\d,)[(]*+-?{_NUMBER}[)\s]*+(?:(?:{_OPERATOR}|{_MOD})[-(\s{{]*+{_NUMBER}[)}}\s]*+)+"
)
_OPERATORS = re.compile(rf"(?<=[\d)\s}}]){_OPERATOR}")
_BAR = re.compile(r"(?<=\d)/(?=\d)")
_NUMBERS = re.compile(rf"(?<![\w.]){_NUMBER}")
_DATE_LIKE = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s\d{1,2}(?:st|nd|rd|th)?(?:,?\s\d{4})?\b"
    r"|\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{2,4}|\d{3}-\d{3,4}(?:-\d{4})?",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(r"\b(?:example|e\.g\.)[^\n]{0,60}$", re.IGNORECASE)
_CODE = re.compile(r"```|^\s*+(?:def|import|class)\s", re.MULTILINE)
_MODULUS = re.compile(
    r"(?:\bmod(?:ulo|ulus)?|\\[bp]?mod|%|remainder\b[^.?\n]{0,60}?\bdivided\s+by)[\s({]*+(\d{1,9})(?!\d)", re.IGNORECASE
)
_DIVIDED_REMAINDER = re.compile(r"\bdivided\s+by\s+(\d{1,9})\b[^.\n]{0,40}\bremainder\b", re.IGNORECASE)
_LAST_DIGIT = re.compile(r"\b(?:last|unit'?s?|ones)\s+(two\s+)?digits?\b", re.IGNORECASE)
_OTHER_RULES = re.compile(
    r"\b(?:base[-\s]?\d+|binary|octal|hexadecimal|hex|cryptarithm|xor|bitwise|roman|defined?\s+(?:as|by)|puzzle)\b",
    re.IGNORECASE,
)
_ASKS_AMOUNT = re.compile(
    r"\b(?:how\s+(?:many|much|far|long|old|fast|tall)|total|altogether|sum\s+of|difference|product\s+of|average|left\s+over"
    r"|remain(?:s|ing)?|in\s+all|cost|price|perimeter|area|calculate|compute|evaluate)\b",
    re.IGNORECASE,
)
_NOT_ARITHMETIC = re.compile(
    r"\b(?:sort|order|largest|smallest|maximum|minimum|reverse|list|count|pattern|sequence|next\s+number|which|matrix"
    r"|spiral|transpose|rotate|prime|factori[sz]ation|using\s+(?:all\s+|only\s+)?(?:of\s+)?(?:the\s+|these\s+)?numbers|moves?|cube|greater|less\s+than|compare|letters?|words?|grid|board|divisors?|factors?)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"(?m)^[ \t]*+(?:\d{1,3}[.)]\s|\(?[A-H][.)][^\n]*$)|\bstep\s+\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What the detectors need of a prompt."""

    steps: int
    """Operations an honest solution takes; 0: cannot be said."""
    numbers: frozenset[Number]
    operands: tuple[str, ...]
    """Distinct numbers of the expression to work out, as written; empty for word problems."""
    moduli: tuple[int, ...]
    other_rules: bool
    """Whether ordinary arithmetic may not apply (another base, a defined operation, false examples)."""


def steps_needed(prompt: str) -> int:
    """How many operations a prompt asks for; 0 when that cannot be said, and a bare answer is then no sign.

    >>> steps_needed("3+4=?"), steps_needed("7+8+5 mod 10=?"), steps_needed("Name a colour.")
    (1, 2, 0)
    >>> steps_needed("Ann has 3 pens, buys 12 more and loses 4. How many are left?")
    2
    """
    return read_prompt(prompt).steps


def read_prompt(prompt: str) -> PromptFacts:
    """Reads a prompt; the prompts of a group are the same, so short ones are remembered."""
    if len(prompt) <= 4000:
        return _read_remembered(prompt)
    return _read(prompt[-MAX_PROMPT:])


@lru_cache(maxsize=4096)
def _read_remembered(prompt: str) -> PromptFacts:
    return _read(prompt)


def _read(prompt: str) -> PromptFacts:
    clean = _DATE_LIKE.sub(" ", _LABEL.sub(" ", prompt))
    expression = _find_expression(clean)
    found = [read_number(text)[0] for text in _NUMBERS.findall(clean)]
    numbers = frozenset(number for number in found if number is not None)
    moduli = {int(text) for text in _MODULUS.findall(prompt) + _DIVIDED_REMAINDER.findall(prompt)}
    last_digit = _LAST_DIGIT.search(prompt)
    if last_digit:
        moduli.add(100 if last_digit[1] else 10)
    usual = not _OTHER_RULES.search(prompt) and all(e.holds is not False for e in find_equations(prompt))
    operands: tuple[str, ...] = ()
    if expression:
        body = re.split(_MOD, expression)[0]
        operands = tuple(dict.fromkeys(_NUMBERS.findall(body)))
        spaced = re.search(r"\s[-+*]\s", body)  # in "1/2 + 1/3" the close-set bars are fractions, not divisions
        steps = max(1, len(_OPERATORS.findall(_BAR.sub("", body) if spaced else body)))
    elif _ASKS_AMOUNT.search(clean) and not _NOT_ARITHMETIC.search(clean):
        steps = max(0, len(found) - 1)
    else:
        steps = 0
    if _CODE.search(prompt):
        steps, operands = 0, ()
    return PromptFacts(steps, numbers, operands, tuple(sorted(moduli - {0, 1})), not usual)


def _find_expression(prompt: str) -> str | None:
    """The last expression to work out, or None; "1/2" or "5-10" inside prose is a number or a range, not a task."""
    short = len(prompt.split()) <= 8
    for match in reversed(list(_EXPRESSION.finditer(prompt))):
        text = match[0].strip()
        lone = re.fullmatch(r"\d+[-/]\d+", text)
        asked = prompt[match.end() : match.end() + 4].lstrip().startswith(("=", "?"))
        example = _EXAMPLE.search(prompt[max(0, match.start() - 70) : match.start()])
        if not example and (not lone or short or asked):
            return text
    return None
