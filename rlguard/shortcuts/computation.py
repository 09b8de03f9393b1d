"""What a computation takes: read from a lone prompt, or better, seen in other rollouts of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rlguard.answers import read_quantity
from rlguard.shortcuts.arithmetic import FILL, Number
from rlguard.shortcuts.text import find_equations

MAX_PROMPT = 20_000
"""Characters of a prompt that are read; a longer one keeps its end, where the question stands."""
LEAST_SHOWN = 2
"""Rollouts that must compute before they say what a prompt takes: one may compute something else."""

_NUMBER = r"\d+(?:[.,]\d+)*+"
_OPERATOR = (
    r"(?:[-+*/×·÷^−]|\*\*|\\times|\\cdot|\\div|(?:plus|minus|times|divided by|multiplied by)\b|(?<=\s)x(?=\s\d))"
)
_MOD = r"(?:\\?%|\\?[bp]?mod(?:ulo)?\b)"
_EXPRESSION = re.compile(
    rf"(?<![\w.(])(?<!\d,)[(]*+-?{_NUMBER}[)\s]*+(?:(?:{_OPERATOR}|{_MOD})[-(\s{{]*+{_NUMBER}[)}}\s]*+)+"
)
_OPERATORS = re.compile(rf"(?<=[\d)\s}}]){_OPERATOR}")
_NUMBERS = re.compile(rf"(?<![A-Za-z\d_.]){_NUMBER}")  # "有12个" has one
_DATE_OR_LABEL = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s\d{1,2}(?:st|nd|rd|th)?(?:,?\s\d{4})?\b"
    r"|\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{2,4}|\d{3}-\d{3,4}(?:-\d{4})?"
    r"|^[ \t]*+(?:\d{1,3}[.)]\s|\(?[A-H][.)][^\n]*$)|\bstep\s+\d+",
    re.IGNORECASE | re.MULTILINE,
)
_EXAMPLE = re.compile(r"\b(?:example|e\.g\.)[^\n]{0,60}$", re.IGNORECASE)
_CODE = re.compile(r"```|^[ \t]*+(?:def|import|class)\s", re.MULTILINE)
_LOOP = re.compile(r"^[ \t]*+(?:for|while)\b[^\n]*:", re.MULTILINE)
_MODULI = re.compile(
    r"(?:\bmod(?:ulo|ulus)?|\\[bp]?mod|%|remainder\b[^.?\n]{0,60}?\b(?:divided\s+)?by)[\s({]*+(\d{1,9})(?!\d)"
    r"|\bdivided\s+by\s+(\d{1,9})\b[^.\n]{0,40}\bremainder\b",
    re.IGNORECASE,
)
_SIGN = (
    r"(?:[#@&~!∇∆∘⋄⋆⊕-⊡■-◿★☆♠-♧]|\\(?:star|ast|nabla|circ|o(?:plus|minus|times|slash|dot)"
    r"|(?:big)?(?:diamond|triangle|circ|star)\w{0,4}|\w{4,5}suit)\b)"
)
_TERM = r"(?:[^\w=.,;?\n]|\d|[a-z](?![a-z]{2})){0,40}?"
"""No word stands in it: "a + b = ab" says of both letters what "+" is, "x + y = 10 and x - y = 2" does not."""
_OTHER_RULES = re.compile(  # another base or field, signs of its own ("let a & b = 10a + b"), digits as bits or bases
    r"\b(?:base[-\s]?(?:\d+|two|three|four|five|six|seven|eight|nine|twelve|sixteen)|bin[aäá]i?r\w*|o[ck]tal\w*"
    r"|hex(?:ad\w+)?|cryptarithm|xor|bitwise|boolean|roman|defined?\s+(?:as|by)|puzzle|0x[0-9a-f]+)\b"
    r"|(?:\bGF\s?\(|\b[ZF]_|ℤ_|\\mathbb\s?\{?[ZF]\}?_)\{?\d|进制|進[制法数]|двоичн|ричной"
    rf"|\b[a-z]\s?(?:{_SIGN}|[$?|])\s?[a-z]\s*:?=|\d\s?{_SIGN}\s?\d|\bdefine\s+[a-z]\s?[-+*/×÷·^]\s?[a-z]\b"
    rf"|\b(?P<a>[a-z])\s?[-+*/×÷·^−∗]\s?(?P<b>[a-z])\s*:?=(?={_TERM}(?P=a))(?={_TERM}(?P=b))"
    r"|[-+*/×÷·^−]['\"’”]?\s?(?:[a-z]['\"’”]?\s*)?(?:means\b|denotes\b|(?:is|be|as)\s+defined|stands\s+for)",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:[. \xa0\u202f]\d{3})+(?![\d.,]*\d)|\d,\d\d,\d{3}")
"""Thousands apart as in German, French or Hindi: "1.500", "12 500", "1,50,000"."""
_FORM = re.compile(  # sentences that say how to write the answer, not what it is
    r"\b(?:(?:write|put|give|box|state|show)\b[^.?!\n]{0,30}\banswer|answer\s+(?:with|in|as)|\\?boxed)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:how|what|find|determine|calculate|compute|evaluate|total|sum\s+of|average|cost|price|solve|express)\b",
    re.IGNORECASE,
)
_ASKS_ELSEWHERE = re.compile(
    r"多少|[还共剩总]有?几|いくつ|いくら|何[個人本枚円]|몇|얼마|\b(?:cu[aá]nt[oa]s?|quant[oiae]s?|wie\s?viele?|combien|сколько)\b",
    re.IGNORECASE,
)
"""How many, in other languages; of a problem's other words nothing is read there."""
_BEYOND_ELSEWHERE = re.compile(
    r"质数|素数|整数|因数|约数|数字|证明|正の|primo|enter[oa]s?\b|inteir|divisor|primzahl|ganze|teiler|entier|diviseur|цел|прост|делител",
    re.IGNORECASE,
)
_BEYOND = re.compile(  # no arithmetic that a lone text can be held to
    r"\b(?:pro(?:ve|of)|show\s+that|integers?|real\s+numbers?|primes?|divisors?|polynomial|such\s+that|digits"
    r"|distinct|sequence|sort|reverse|options?|true|false|matrix|spiral|transpose|rotate|grid|cube|board"
    r"|capital|spell|repeat|translate)\b|\([A-D]\)|^[ \t]*+[A-D][.)]|[≥≤]",
    re.IGNORECASE | re.MULTILINE,
)
_CHOOSES = re.compile(  # in one sentence, a choice or a count of signs; a story may hold such words
    r"\b(?:order|arrange|largest|smallest|biggest|maximum|minimum|max|min|median|mode|which|greater|less\s+than|compare|copy|read"
    r"|list|count|how\s+many\s+of\s+(?:the\s+\w+\s+)?\d+(?=,)|pattern|letters?|words?|moves?|using)\b",
    re.IGNORECASE,
)
_RATIO = re.compile(
    r"\b(?:half|twice|thrice|doubled?|tripled?|times|thirds?|fourths?|quarters?|fifths?|sixths?|tenths?)\b",
    re.IGNORECASE,
)
_SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|hundred|dozen"
    r"|couple|pair|weeks?|daily|hours?|years?|monthly|weekly|yearly)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"(?!(?<=\d),\s(?:and\s)?-?\d)[.?!,;](?=\s|$)")
"""No comma of a list of numbers."""
_SERIES = re.compile(r"\d(?:\s*,\s*-?\d+(?:\.\d+)?){2,}+")
_ASKS_NEXT = re.compile(r"\b(?:next|comes|missing|sequence|pattern|term|follows)\b|,\s*(?:\?|_|\.\.|…)", re.IGNORECASE)
_UNKNOWN = re.compile(r"(?<![\w\\])\d*\s?\*?\s?[a-z](?:\^\d)?(?![\w'])(?:[^=\n]{0,40}=|\s*[-+*/])")
_COEFFICIENT = re.compile(r"(?<![\w.])\d+(?=\s?[a-z]\b)")
_CLOCK = re.compile(r"\b\d{1,2}:\d\d\b")
_MINUTES = re.compile(r"\b(\d{1,6})\s+minutes\b")
_BELOW = re.compile(r"\d\s?/\s?(\d+)|frac\s?\{\d+\}\s?\{(\d+)\}")
_LOWEST = re.compile(r"\b(?:simpl\w+|lowest|reduced?)\b", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What the detectors need of a prompt."""

    steps: int
    """Operations an honest solution takes; 0: cannot be said."""
    operands: tuple[str, ...]
    """Distinct numbers of the expression to work out, as written; empty for word problems."""
    moduli: tuple[int, ...]
    other_rules: bool
    """Whether ordinary arithmetic may not apply (another base, a defined operation, false examples)."""
    grouped: bool
    """Whether its numbers may be grouped in a way that arithmetic here reads as decimals or as two numbers."""
    elsewhere: bool
    """Whether it asks in another language, of whose words nothing is known."""
    numbers: frozenset[Number]
    """Its numbers as they are written, the parts of times and fractions each on their own."""
    words: frozenset[str]
    """Its words of four letters and more."""


def read_number(text: str) -> Number | None:
    r"""The value of a written quantity, its unit left aside; None when it is not one number.

    >>> read_number("$42"), read_number("\\frac{1}{2}"), read_number("12 apples"), read_number("7:30")
    (42, 0.5, 12, None)
    """
    if text.isdigit() and text.isascii():
        return int(text) if len(text) < 40 else None
    quantity = read_quantity(text.replace(FILL, ""))
    if quantity is None:
        return None
    value = quantity[0]
    return value.numerator if value.denominator == 1 else float(value)


def steps_needed(prompt: str) -> int:
    """How many operations a prompt asks for; 0 when that cannot be said, and a bare answer is then no sign.

    >>> steps_needed("3+4=?"), steps_needed("7+8+5 mod 10=?"), steps_needed("Name a colour.")
    (1, 2, 0)
    >>> steps_needed("Ann has 3 pens, buys 12 more and loses 4. How many are left?")
    2
    """
    return read_prompt(prompt).steps


def shown_steps(completions: Sequence[str], outcomes: Sequence[float] | None = None) -> int | None:
    """How many operations other rollouts of one prompt show: of its group, of earlier visits, of a reference run.

    Args:
        completions: Their texts.
        outcomes: Their outcomes, 1, 0 or NaN; only the right ones count where any is right.

    Returns:
        The median of those that compute at all; None where fewer than `LEAST_SHOWN` do: a group that has stopped
        computing shows nothing of what its prompt takes.

    >>> shown_steps(["3+4=7, 7*2=14. Answer 14", "7*2=14", "3+4=7; 7+7=14; 14/1=14", "14"])
    2
    """
    texts = [t for t, right in zip(completions, outcomes, strict=True) if right == 1] if outcomes is not None else []
    counts = (sum(e.operators for e in find_equations(text)) for text in texts or completions)
    shown = sorted(count for count in counts if count)
    return shown[(len(shown) - 1) // 2] if len(shown) >= LEAST_SHOWN else None


def read_prompt(prompt: str) -> PromptFacts:
    """Reads a prompt; the prompts of a group are the same, so short ones are remembered."""
    return _read_remembered(prompt) if len(prompt) <= 4000 else _read(prompt[-MAX_PROMPT:])


@lru_cache(maxsize=4096)
def _read_remembered(prompt: str) -> PromptFacts:
    return _read(prompt)


def _read(prompt: str) -> PromptFacts:
    moduli = {int(one or two) for one, two in _MODULI.findall(prompt)}
    other = bool(_OTHER_RULES.search(prompt)) or _has_other_sums(prompt)
    body = _DATE_OR_LABEL.sub(" ", prompt)
    expression = None if _CODE.search(prompt) else _find_expression(body)
    if _FORM.search(body):
        body = " ".join(part for part in re.split(r"(?<=[.?!])\s|\n", body) if not _FORM.search(part))
    operands: tuple[str, ...] = ()
    if expression:
        sums = re.split(_MOD, expression)[0]
        operands = tuple(dict.fromkeys(_NUMBERS.findall(sums)))
        steps = _count_operators(sums, prompt)
    elif _CODE.search(prompt):
        steps = 3 if _LOOP.search(prompt) else 0
    else:
        steps = 0 if other else _count_steps(body)
    written = (read_number(found) for found in re.findall(_NUMBER, body))
    numbers = frozenset(number for number in written if number is not None)
    words = frozenset(word.lower() for word in _WORDS.findall(prompt))
    known = tuple(sorted(moduli - {0, 1}))
    elsewhere = not _ASKS.search(body) and bool(_ASKS_ELSEWHERE.search(body))
    return PromptFacts(steps, operands, known, other, bool(_GROUPED.search(prompt)), elsewhere, numbers, words)


def _has_other_sums(prompt: str) -> bool:
    """Whether a prompt's own equations do not hold: sums like "2 + 3 = 10, 7 + 2 = 63" stand for another operation."""
    false = [e for e in find_equations(prompt) if e.holds is not True and isinstance(e.left, int) and e.left != e.right]
    return len(false) > 1 or any(e.holds is False for e in false)


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


def _count_operators(sums: str, prompt: str) -> int:
    spaced = re.search(r"\s[-+*]\s", sums)  # in "1/2 + 1/3" the close-set bars are fractions, not divisions
    steps = max(1, len(_OPERATORS.findall(re.sub(r"(?<=\d)/(?=\d)", "", sums) if spaced else sums)))
    below = [one or two for one, two in _BELOW.findall(sums)]
    return max(steps, 2) if len(set(below)) > 1 or (len(below) > 1 and _LOWEST.search(prompt)) else steps


def _count_steps(body: str) -> int:
    """Operations that a problem in words takes: its quantities less one, and one more where a share is asked on."""
    count = len(_NUMBERS.findall(body))
    if count > 2 and _SERIES.search(body) and _ASKS_NEXT.search(body):
        return max(2, count - 2)
    clocks = len(_CLOCK.findall(body))
    if clocks:
        minutes = _MINUTES.search(body)
        return 2 if minutes and int(minutes[1]) >= 60 else max(0, count - clocks - 1)
    if _BEYOND.search(body) or _BEYOND_ELSEWHERE.search(body):
        return 0
    if "=" in body and count > 1 and _UNKNOWN.search(body):
        return max(1, count - 1) if count > 2 or _COEFFICIENT.search(body) else 1
    one_sentence = len(_CLAUSE_END.findall(body)) < 2
    asks = _ASKS.search(body) or _ASKS_ELSEWHERE.search(body)
    if not asks or "=" in body or "^" in body or (one_sentence and _CHOOSES.search(body)):
        return 0
    ratios = len(_RATIO.findall(body))
    quantities = count + len(_SPELLED.findall(body)) + ratios
    shares = ratios > 0 or "%" in body or "percent" in body
    return quantities - 1 + shares if quantities > 1 else 0
