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
_SIGN = r"(?:[#@&★☆⊕⊗◇◆△▲◯⋆∘~!]|\\(?:star|oplus|otimes|circ|diamond|triangle|ast)\b)"
_OWN_OPERATION = re.compile(  # "let a & b = 10a + b", "suppose x + y means xy", "4 # 6", 0x1F
    rf"\b[a-z]\s?{_SIGN}\s?[a-z]\s*=|\d\s?{_SIGN}\s?\d|\b0x[0-9a-f]+\b"
    r"|\b[a-z]\s?[-+*/×÷·^]\s?[a-z]\s*(?:means\b|(?:is|be|as)\s+defined|stands\s+for)",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:[. \xa0\u202f]\d{3})+(?![\d.,]*\d)|\d,\d\d,\d{3}")
"""Thousands apart as in German, French or Hindi: "1.500", "12 500", "1,50,000"."""
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
_ABOUT_FORM = re.compile(  # in sentences that say how to write the answer, not what it is
    r"\b(?:(?:write|put|give|box|state|show)\b[^.?!\n]{0,30}\banswer|answer\s+(?:with|in|as)|\\?boxed)\b",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"(?<![\w\\])(\d*)\s?\*?\s?[a-z](?:\^\d)?(?![\w'])(?:[^=\n]{0,40}=|\s*[-+*/])")
_CHOOSES = re.compile(
    r"\b(?:sort|order|arrange|largest|smallest|biggest|maximum|minimum|max|min|reverse|which|greater|less\s+than|compare"
    r"|spiral|transpose|rotate|matrix|grid|board|cube|repeat|copy|spell|translate|capital|read|write\s+down)\b",
    re.IGNORECASE,
)
_SERIES = re.compile(r"\d(?:\s*,\s*-?\d+(?:\.\d+)?){2,}+")
_ASKS_NEXT = re.compile(r"\b(?:next|comes|missing|sequence|pattern|term|follows)\b|,\s*(?:\?|_|\.\.|…)", re.IGNORECASE)
_ASKS = re.compile(
    r"\?|\b(?:find|determine|how|what|when|calculate|compute|evaluate|solve|work\s+out|express|using)\b", re.IGNORECASE
)
_CLOCK = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_MINUTES = re.compile(r"\b(\d+)\s+minutes\b")
_RELATION = re.compile(
    r"\b(?:if|unless|either|neither|exactly|only|every|all|some|no|not|never|older|younger|taller|shorter|faster|slower"
    r"|heavier|lighter|left|right|before|after|between|next|than|liar|lies|lying|truth|knight|knave|says|implies)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.?!\n]{12,}")
_LOOP = re.compile(r"^\s*+(?:for|while)\b[^\n]*:", re.MULTILINE)
_IN_LOWEST = re.compile(r"\b(?:simpl\w+|lowest|reduced?)\b", re.IGNORECASE)
_FRACTION = re.compile(r"\d\s?/\s?(\d+)|frac\s?\{\d+\}\s?\{(\d+)\}")
_NUMBER_WORDS: dict[str, Number] = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12},
    **{"half": 2, "twice": 2, "double": 2, "thrice": 3, "triple": 3, "third": 3, "quarter": 4, "dozen": 12, "week": 7},
    **{"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100, "thousand": 1000, "pair": 2, "score": 20},
}
_HOW = re.compile(r"\b(?:how|what|find|calculate|determine)\b", re.IGNORECASE)
_END = re.compile(r"[.?!,;](?=\s|$)")
_BEYOND = re.compile(  # no arithmetic that a lone text can be held to
    r"\b(?:pro(?:ve|of)|show\s+that|integers?|real\s+numbers?|positive|primes?|divisors?|polynomial|such\s+that|digits?"
    r"|distinct|strings?|sequence|sort|reverse|options?|true|false)\b|\([A-D]\)|^\s*[A-D][.)]|[=^≥≤]",
    re.IGNORECASE | re.MULTILINE,
)
_RATIO = re.compile(
    r"\b(?:half|twice|thrice|doubled?|tripled?|times|thirds?|fourths?|quarters?|fifths?|sixths?|tenths?|percent)\b|%",
    re.IGNORECASE,
)
_SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|hundred|dozen"
    r"|couple|pair|weeks?|daily|hours?|years?|monthly|weekly|yearly)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_]+")
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
    grouped: bool = False
    """Whether its numbers may be grouped in a way that arithmetic here reads as decimals or as two numbers."""
    known: frozenset[Number] = frozenset()
    """Every number a first step may start from: those of the prompt, spelled-out ones, parts of times, percentages."""
    written: frozenset[Number] = frozenset()
    """Its numbers as they are written, the parts of times and fractions each on their own."""
    words: frozenset[str] = frozenset()
    """Its words of four letters and more."""
    squeezed: str = ""
    """The prompt without spaces, so that a piece copied from it is known again."""


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
    other = _OTHER_RULES.search(prompt) or _OWN_OPERATION.search(prompt)
    usual = not other and all(e.holds is not False for e in find_equations(prompt))
    operands: tuple[str, ...] = ()
    if expression:
        body = re.split(_MOD, expression)[0]
        operands = tuple(dict.fromkeys(_NUMBERS.findall(body)))
        spaced = re.search(r"\s[-+*]\s", body)  # in "1/2 + 1/3" the close-set bars are fractions, not divisions
        steps = max(1, len(_OPERATORS.findall(_BAR.sub("", body) if spaced else body)))
    elif _ASKS_AMOUNT.search(clean) and not _NOT_ARITHMETIC.search(clean):
        steps = max(0, len(found) - len(_CLOCK.findall(clean)) - 1)  # a time of day is one number
    else:
        steps = 0
    words = frozenset(word.lower() for word in _WORDS.findall(prompt))
    if _CODE.search(prompt):
        steps, operands = (3 if _LOOP.search(prompt) else 0), ()
    elif steps < 2 and usual:
        steps = max(steps, _estimate_steps(clean, found, steps, words))
    if steps < 2 and usual and not operands:
        steps = max(steps, _count_quantities(clean))
    long_words = frozenset(word for word in words if len(word) > 3)
    body = _drop_form(prompt)
    parts = (read_number(text)[0] for text in re.findall(r"\d+(?:[.,]\d+)*+", body))
    written = frozenset(number for number in parts if number is not None)
    known = _known(prompt, numbers | written, words)
    return PromptFacts(
        steps,
        numbers,
        operands,
        tuple(sorted(moduli - {0, 1})),
        not usual,
        bool(_GROUPED.search(prompt)),
        known,
        written,
        long_words,
        "".join(prompt.split()),
    )


def _drop_form(prompt: str) -> str:
    """A prompt without the sentences on how to write the answer."""
    if not _ABOUT_FORM.search(prompt):
        return prompt
    return " ".join(part for part in re.split(r"(?<=[.?!])\s|\n", prompt) if not _ABOUT_FORM.search(part))


def _estimate_steps(prompt: str, found: list[Number | None], steps: int, words: frozenset[str]) -> int:
    """What a prompt takes that is no plain expression: an equation, a series, a count, times, facts to combine."""
    body = _drop_form(prompt)
    count = len(_NUMBERS.findall(body))
    below = [int(a or b) for a, b in _FRACTION.findall(body)]
    if steps:
        hard = len(set(below)) > 1 or (len(below) > 1 and _IN_LOWEST.search(prompt))
        return 2 if hard else steps
    series = _SERIES.search(body)
    if series and count > 2 and _ASKS_NEXT.search(body):
        return max(2, count - 2)
    if not _ASKS.search(body) or _CHOOSES.search(body):
        return _combine_facts(body, count)
    unknown = _UNKNOWN.search(body)
    if unknown and "=" in body and count > 1:
        coefficients = len(re.findall(r"(?<![\w.])\d+(?=\s?[a-z]\b)", body))
        return max(1, count - 1) if coefficients or count > 2 else 1
    minutes = _MINUTES.search(body)
    if _CLOCK.search(body) and minutes and int(minutes[1][:6]) >= 60:
        return 2
    spelled = sum(word in _NUMBER_WORDS for word in words - {"one", "two", "half", "week", "no"})
    if len(_CLOCK.findall(body)):
        count -= len(_CLOCK.findall(body))
    return max(steps, count + spelled - 1) if count + spelled > 2 else _combine_facts(body, count)


def _count_quantities(prompt: str) -> int:
    """Operations a word problem takes: its quantities less one, and one more where a share of one is asked on."""
    if not _HOW.search(prompt) or _BEYOND.search(prompt) or _CLOCK.search(prompt) or len(_END.findall(prompt)) < 2:
        return 0
    ratios = len(_RATIO.findall(prompt))
    quantities = len(_NUMBERS.findall(prompt)) + len(_SPELLED.findall(prompt)) + ratios
    return max(0, quantities - 1 + (ratios > 0)) if quantities > 1 else 0


def _combine_facts(prompt: str, count: int) -> int:
    """For questions without a calculation: statements that must be put together, less one."""
    if "?" not in prompt or count > 6 or len(prompt) > 2000:
        return 0
    told = [part for part in _SENTENCE.findall(prompt.rpartition("?")[0])[:-1] if _RELATION.search(part)]
    return len(told) - 1 if len(told) > 2 else 0


def _known(prompt: str, numbers: frozenset[Number], words: frozenset[str]) -> frozenset[Number]:
    known = {abs(number) for number in numbers}
    known.update(_NUMBER_WORDS[word] for word in words if word in _NUMBER_WORDS)
    for hours, minutes in _CLOCK.findall(prompt):
        known |= {int(hours), int(minutes)}
    if "%" in prompt or "percent" in words:
        for number in [n for n in known if 0 < n < 1000]:
            known |= {number / 100, 1 - number / 100, 1 + number / 100, 100 - number, 100 + number}
    return frozenset(known)


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
