"""Are two answers the same? As mathematics only where the gold answer shows that it is mathematics.

An option is compared by its letter, a number by its value and unit, a date as a date, words and codes as written; the
rest is left to math-verify, behind `mathematics.py`, which mends what it gets wrong.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from functools import lru_cache

from rlguard.answers import normalise_answer, read_quantity, undress_answer

ANSWER_LIMIT = 2000
"""Characters; a longer answer is not read and unscored, so that none costs more than a moment."""
TOLERANCE = Fraction(1, 10**6)
"""Relative, for decimals that were rounded; whole numbers are compared exactly."""
_NAMES = {"infinity": r"\infty", "negative infinity": r"-\infty", "empty set": r"\emptyset", "∅": r"\emptyset"}
_NAMES |= {"all real numbers": r"\mathbb{R}"}
_OPTION = re.compile(r"\(?\s*([A-Za-z])\s*\)?")
_OPTIONS = re.compile(r"\(?[A-J]\)?(?:[\s,;&]*(?:and\s+)?\(?[A-J]\)?)+|[A-Z](?:[\s,;&]+(?:and\s+)?[A-Z])+")
_LETTERS = re.compile(r"[A-Z](?:\s+[A-Z])+")
_LABEL = re.compile(r"(?:(?:option|choice|answer)\s+)?\(?([A-Z])(?:\)|\s*[.:)]|\s*[-–—](?=\s))\s*(.*)", re.DOTALL)
_REFUTED = re.compile(
    r"(?:is|are|was|can|do|does)(?:n't|not|\s+(?:\w+ly\s+)?(?:not|wrong|incorrect|false|impossible))\b", re.IGNORECASE
)
_NAMED_OPTION = re.compile(r"(?:option|choice|answer)\s+\(?([A-Za-z])\)?", re.IGNORECASE)
_TRUTHS = {"yes": True, "true": True, "no": False, "false": False}
_OF_TRUTH = re.compile(  # "Hence the claim is indeed" false
    r"\A(?:(?:so|thus|hence|therefore),?\s+)?(?:that\s+)?(?:(?:the|this|our)\s+)?\w+\s+(?:is|was)\s+"
    r"(?:(?:therefore|thus|hence|indeed)\s+)?(?=(?:true|false)\b)"
    r"|\A(?:.*[.!?\n]\s*)?(?:so|thus|hence|therefore)(?:,\s*|\s+)(?=(?:yes|no)\b)",
    re.IGNORECASE,
)
_TRUTH = re.compile(r"(yes|no|true|false)\b(?:[\s]*[,.;:!—–-].*)?", re.IGNORECASE | re.DOTALL)
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%B %d, %Y", "%B %d %Y", "%d %B %Y", "%d %B, %Y", "%b %d, %Y", "%b %d %Y", "%d %b %Y",
    "%B %d", "%d %B", "%m/%d/%Y", "%d/%m/%Y",
)  # fmt: skip
_TIMES = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M%p", "%I %p", "%I%p")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
_STRING = re.compile(
    r"[A-Za-z]{2,}(?:[\s,;:'’\"&/.!?-]+[A-Za-z]+)*[.!?]?"  # words
    r"|[A-Za-z]+(?:[\s'’-]+[A-Za-z]{2,})+|O-O|[A-Z](?:-[A-Z]){2,}|[A-Z](?:, [A-Z])+"  # castling, paths
    r"|(?:[A-Za-z]+[-_#]?|\d+[A-Z]+)\d[A-Za-z\d_#+-]*"  # codes and moves: Nf3, b2, A-12
    r"|\d+(?:-\d+)+|\d+(?:/\d+){2,}|\d+(?::\d+)+(?:\s*[AaPp]\.?[Mm]\.?)?"  # scores, dates, times, ratios
    r"|\+?\d[\d ]*(?:-\d+)+|\d+(?:\.\d+){2,}|0\d+|0[xXbBoO][\da-fA-F]+|[\da-fA-F]+:[\da-fA-F:]+"
)
_SEQUENCE = re.compile(r"[-\w.'’]+(?:\s+[-\w.'’]+)+")
_BASED = re.compile(r"\(?(\d[\dA-F]*)\)?(?:_|\(?(?:IN)?BASE)\{?(?:\\TEXT\{)?(\d{1,2})\}?\}?\)?")
_BOUND = re.compile(r"\b(?:than|most|least|between|up\s+to|not|never)\b", re.IGNORECASE)
_SHARE = re.compile(r"(\d{1,9})\s+(?:out\s+of|in)\s+(?:every\s+)?(\d{1,9})")
_DOTS = re.compile(r"\w.*(?:\.\.\.|…|\\[lc]?dots\b)|\\[lc]?dots\b.*\w", re.DOTALL)
_NAMED = re.compile(
    r"(?:\\[a-z]+\s+)?\\?[A-Za-z][\w'{}\\]*(?:\([A-Za-z\d,]*\))?\s*(?:=|\\approx|≈)\s*(.*)"
    r"|(?:\\approx|≈|=|\\sim|~)\s*(.*)|(?!.*(?i:\b(?:not|never|no|cannot|most|least|than|wrong"
    r"|false|incorrect|doubt|unlikely|unless|whether|nobody|if|suppose|assume)\b|n't))"
    r"[A-Za-z][A-Za-z ]{0,40}(?:\b(?:is|are|has|have|equals|gets?)\s|:\s)\s*(.*)",
    re.DOTALL,
)
_POINTS = str.maketrans("", "", ".,")
_COMMA = re.compile(r"\D{0,3}\d+,(?!\d{3}(?!\d))\d+(?![\d,.])")
_HAN = re.compile(r"[\u4e00-\u9fff，、]*[\u4e00-\u9fff](?<![第不没非负])\s*([-负]?[\d.,/]*\d\s*[%\u4e00-\u9fff]{0,4})")
_NOT_HAN = re.compile("[不没非少多超除]|[大小高低]于")
SUM = re.compile(r"(?:[\d\s.,(){}+*/^×·÷%-]|\\%|\\(?:frac|cdot|times|sqrt|div|left|right)(?![A-Za-z]))+")
"""Numbers with signs between them, plain or in LaTeX."""
_SIGNS = re.compile(r"(?!\{\s*\}\Z)[^\w\\∞∅]+")  # brackets, operators, a grid of dots: none of it is dress
_HEDGE = re.compile(r"\b(?:or|either|and/or)\b|\\text\{\s*or\s*\}|或", re.IGNORECASE)


def compare_answers(gold: str, given: str, mathematics: Callable[[str, str], float]) -> float:
    r"""1.0 for the same answer, 0.0 for another one, NaN where that cannot be told.

    Args:
        gold: As `read_gold` gives it.
        given: The final answer of a completion.
        mathematics: Compares two expressions, with the same results.

    >>> [compare_answers(*pair, lambda *_: math.nan) for pair in (("on", "no"), ("B", "B. 1"), ("7/4", "1 3/4"))]
    [0.0, 1.0, 1.0]
    """
    if not given.strip():
        return 0.0
    if gold.split() == given.split():
        return 1.0
    if len(gold) > ANSWER_LIMIT or len(given) > ANSWER_LIMIT:
        return 0.0 if read_quantity(gold) and re.fullmatch(r"[-+\d.,\s]+", given) else math.nan
    if _SIGNS.fullmatch(gold):
        return float("".join(gold.split()) in ("".join(text.split()) for text in (given, _plain(given))))
    gold, given = _plain(gold), _plain(given)
    if gold == given:
        return 1.0
    if _DOTS.search(given) and not _DOTS.search(gold) and not is_string(gold):
        return math.nan  # what is left out cannot be compared
    if _HEDGE.search(given) and not _HEDGE.search(gold):
        parts = [part for each in _HEDGE.split(given) if (part := each.strip(" ,"))]
        if len(parts) > 1 and all(compare_answers(gold, part, mathematics) == 1.0 for part in parts):  # 1/4, or 25%
            return 1.0
        joint = " \\lor " if all(re.search(r"[<>≤≥]|\\[lg](?:eq?|t)", part) for part in parts) else ", "
        given = joint.join(parts)  # one of several is not the answer; all of them may be
    for compare in _KINDS:
        verdict = compare(gold, given)
        if verdict is not None:
            return verdict
    number, equation = read_quantity(gold), _read_equation(given)
    if number and equation and equation[1] and number[1] in ("", equation[1]):  # 4 + 8 = 12 cm
        gold, given = str(number[0]), f"{given.rpartition('=')[0]}={equation[0]}"
    sides = [] if "=" in gold else given.split("=")
    if len(sides) > 1 and all(map(SUM.fullmatch, sides)):  # "3 + 9 = 12", and "13 = 12"
        verdicts = [compare_answers(gold, side, mathematics) for side in sides]
        return 0.0 if 0.0 in verdicts else sum(verdicts) / len(verdicts)  # NaN where one is
    if is_string(gold):
        return _compare_strings(gold, given)
    return mathematics(str(number[0]) if number and not number[1] else gold, given)


def is_string(gold: str) -> bool:
    """Whether a gold answer is words, a code, a date or the like, and no mathematics.

    >>> [is_string(gold) for gold in ("listen", "Nf3", "2021-03-05", "4-2", "1 2 3", "2x", "x^2", "n+1", r"\\pi")]
    [True, True, True, True, True, False, False, False, False]
    """
    gold = re.sub(r"_\{(\d+)\}", r"_\1", re.sub(r"\s*(?:->|→)\s*", ", ", gold))
    if "\\" in gold or re.search(r"[=^<>{}\[\]|√π∞∪∩≤≥≡∈±ℝ]", gold):
        return False
    plain = gold.isascii() and re.search(r"[\dA-Za-z]", gold)
    return not plain or bool(_STRING.fullmatch(gold) or _SEQUENCE.fullmatch(gold))


@lru_cache(maxsize=4096)  # each gold answer is compared with a group of answers, the same few again and again
def _plain(text: str) -> str:
    text = undress_answer(text)
    return _NAMES.get(re.sub(r"^the\s+", "", text.lower()), text)


def _compare_options(gold: str, given: str) -> float | None:
    """A letter against a letter with or without its text; a letter with its text against either."""
    if _OPTIONS.fullmatch(gold) and _OPTIONS.fullmatch(given):
        right, said = re.findall("[A-Z]", gold), re.findall("[A-Z]", given)
        chosen = right == sorted(set(right))
        if chosen or re.search(r"\W", gold):  # "A B" and "C, A, B" may be a choice or a sequence
            unsure = (_LETTERS.fullmatch(gold) or not chosen) and said != right
            same = sorted(right) == sorted(said)
            return math.nan if unsure and same else float(same)
    letter, label, said_label = _OPTION.fullmatch(gold), _LABEL.fullmatch(gold), _LABEL.fullmatch(given)
    said_letter = _OPTION.fullmatch(given) or _NAMED_OPTION.fullmatch(given)
    if said_label and _REFUTED.match(said_label[2]):
        return 0.0
    if letter:
        if said_letter:
            return float(said_letter[1].lower() == letter[1].lower())
        if said_label:
            others = re.search(r"(?:^|\s|\()[A-H](?:\)|[.:]\s|\s*$)", said_label[2])
            return float(said_label[1] == letter[1].upper() and not others)
        return 0.0 if gold.upper() == gold and re.fullmatch(r"[A-Z](?:\W*(?:and|,)?\W*[A-Z])*|.*\s.*", given) else None
    if not (label and label[2]):
        named = said_label and said_label[2] and _word(said_label[2]) == _word(gold)  # (B) Paris
        return 1.0 if named else None
    if said_letter:
        return float(said_letter[1].upper() == label[1])
    if said_label and said_label[1] != label[1]:
        return 0.0
    return float(normalise_answer(said_label[2] if said_label else given) == normalise_answer(label[2]))


def _compare_truths(gold: str, given: str) -> float | None:
    right, given = _TRUTHS.get(gold.lower()), _OF_TRUTH.sub("", given)
    if right is None:
        return None
    if (said := _TRUTH.fullmatch(given)) is None:
        return math.nan if re.search(r"(?i)\b(?:true|false)\b", given) else 0.0
    others = re.findall(r"\b(?:yes|no|true|false)\b", given[said.end(1) :].lower())
    return float(_TRUTHS[said[1].lower()] == right and all(_TRUTHS[other] == right for other in others))


def _compare_bases(gold: str, given: str) -> float | None:
    """`1011_2`: digits and base, or no base; a bare number of the same value may be meant in either way."""
    right, said = (_BASED.fullmatch(_spell_base(text)) for text in (gold, given))
    if right is None or said:
        return None if right is None else float(said is not None and right.groups() == said.groups())
    with suppress(ValueError):
        return 1.0 if given.upper() == right[1] else math.nan if given == str(int(right[1], int(right[2]))) else 0.0
    return None


def _spell_base(text: str) -> str:
    """`1011₂` as `1011_2`."""
    text = re.sub("[₀-₉]+", lambda match: "_" + unicodedata.normalize("NFKC", match[0]), text)
    return text.replace(" ", "").upper()


def _compare_dates(gold: str, given: str) -> float | None:
    """By value; 03/05/2024 has two, one of which may be that of "5 March 2024"."""
    for formats in (_DATES, _TIMES):
        right, said = _read_date(gold, formats), _read_date(given, formats)
        if right:
            return math.nan if len(right) != len(said) and set(right) & set(said) else float(right == said)
    return None


def _read_date(text: str, formats: tuple[str, ...]) -> list[datetime]:
    text = _ORDINAL.sub("", " ".join(text.replace(".", "").replace(" of ", " ").split())) if len(text) < 40 else ""
    if not re.search(r"\d", text) or not re.search(r"[-/ ]|:\d\d|[AaPp][Mm]", text):
        return []
    text = re.sub(r"^(?:on|at|the)\s+", "", text, flags=re.IGNORECASE)
    dates = []
    for form in formats:
        with suppress(ValueError):
            dates.append(datetime.strptime(text, form))
    return dates


def _compare_numbers(gold: str, given: str) -> float | None:
    """Numbers by value, and by unit where both have one; None where only math-verify can tell."""
    right = None if re.fullmatch(r"0\d+", gold) else read_quantity(gold)
    if right is None:
        return None
    side = _right_side(given)
    label = _LABEL.fullmatch(given)
    said = read_quantity(side) or (read_quantity(label[2]) if label else None)
    if said is None and right[0].denominator > 1 and _COMMA.match(side):  # 9,75 may be a list, and 9.75
        said = read_quantity(side.replace(",", "."))
        said = said if said and said[0] == right[0] else None
    if said is None:
        return _compare_unread(right, given)
    exact = not re.search(r"\.\d", f"{gold} {side}")  # 1/7 and 1/8, however long: nothing was rounded
    same = right[0] == said[0] if exact else is_close(right[0], said[0])
    if {right[1], said[1]} in ({"%", ""}, {"¢", ""}, {"¢", "$"}):
        hundredths = (number / (100 if unit in ("%", "¢") else 1) for number, unit in (right, said))
        return float((same and "" in (right[1], said[1])) or is_close(*hundredths))
    if right[1] and said[1] and right[1] != said[1] and {right[1], said[1]} not in ({"pound", "£"}, {"pound", "lb"}):
        return 0.0 if same else math.nan  # 25 cm may be 250 mm
    swapped = gold.translate(_POINTS) == given.translate(_POINTS)
    if not same and swapped and re.search(r"\.\d{3}$", f"{gold}\n{given}", re.M):
        return math.nan  # 250.000 is 250,000 in half of the world
    return float(same)


def _compare_unread(right: tuple[Fraction, str], given: str) -> float | None:
    """A given answer that is no plain number: prose is not the answer unless it may name it, a formula may be equal."""
    share = _SHARE.fullmatch(given)
    if share and int(share[2]):
        return float(Fraction(int(share[1]), int(share[2])) == right[0])
    if _BOUND.search(given):
        return 0.0
    if "\\" not in given and len(re.findall(r"[A-Za-z]{2,}", given)) >= 3:
        named = [
            read_quantity(number) for number in re.findall(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w.])", given)
        ]
        return math.nan if len(named) == 1 and named[0] and named[0][0] == right[0] else 0.0
    if _ORDINAL.search(given) or re.fullmatch(r"(?:\d[\d.]*[ ']*[A-Za-z\"]+,?\s*(?:and\s+)?){2,}", given):
        return math.nan  # the 5th, 2 hours 30 minutes
    if re.search(r"\d\s+\d", given) and not re.search(r"[\\+*/^=]", given):
        return 0.0  # a row of numbers is no number
    return None


def _right_side(text: str) -> str:
    """What an equation or a sentence says of its subject: "x = 5", "Total: 5" and "she has 5" are 5."""
    match = _NAMED.fullmatch(text) or (None if _NOT_HAN.search(text) else _HAN.fullmatch(text))
    said = match[match.lastindex or 0] if match else text
    return text if "=" in said else said


def read_side(text: str) -> tuple[Fraction, str] | None:
    """The number and unit that an answer states, without `\\text{}`, dollars and "x =" around it; None for no number.

    Of an equation it is the side that is a number.

    >>> read_side(r"x = 25 \\text{ cm}"), read_side("five or six")
    ((Fraction(25, 1), 'cm'), None)
    """
    side = _right_side(_plain(text)) if len(text) <= ANSWER_LIMIT else ""
    label = _LABEL.fullmatch(side)
    return read_quantity(side) or (read_quantity(label[2]) if label else _read_equation(side))


def _read_equation(text: str) -> tuple[Fraction, str] | None:
    """The number and unit of `48 + 24 = 72 cm`; None where its sides are different numbers, or no sums."""
    sides = text.split("=")
    read = [read_quantity(side) for side in sides]
    numbers = [quantity for quantity in read if quantity]
    others = (side for side, quantity in zip(sides, read, strict=True) if not quantity)
    if len(sides) < 2 or len({number for number, _ in numbers}) != 1 or not all(map(SUM.fullmatch, others)):
        return None
    return max(numbers, key=lambda quantity: len(quantity[1]))


def is_close(gold: Fraction, given: Fraction) -> bool:
    """Equal, or within one in a million where neither is a whole number.

    >>> is_close(Fraction(1, 3), Fraction("0.333333")), is_close(Fraction(1000000), Fraction(1000001))
    (True, False)
    """
    if 1 in (gold.denominator, given.denominator):
        return gold == given
    return abs(gold - given) <= TOLERANCE * max(abs(gold), abs(given))


def _compare_lists(gold: str, given: str) -> float | None:
    """`[[1, 2], [3, 4]]` by structure; order counts."""
    right, said = _read_json(gold), _read_json(given)
    return None if right is None or said is None else float(said == right)


def _read_json(text: str) -> list | dict | None:
    if text[:1] + text[-1:] in ("[]", "{}") and text.count("[") + text.count("{") <= 100:
        commas = re.sub(r"(?<=[\d\].])\s+(?=[-\d\[])", ", ", text)  # NumPy prints none
        for form in (text, text.replace("'", '"'), commas):
            with suppress(ValueError):
                return json.loads(form)
    return None


_KINDS = (_compare_options, _compare_truths, _compare_bases, _compare_dates, _compare_numbers, _compare_lists)


def _compare_strings(gold: str, given: str) -> float:
    """Words without regard to case, article and punctuation; codes as they are written."""
    if re.fullmatch(r"\d+\s*:\s*\d+", gold) and not re.fullmatch(r"\d+:\d\d", gold):
        ratios = [read_quantity(re.sub(r"(\d+)\s*(?::|\bto\b)\s*(\d+)", r"\1/\2", text)) for text in (gold, given)]
        return float(ratios[0] == ratios[1])
    if re.search(r"-.*\d|\d.*-", gold):  # punctuation counts
        return float(" ".join(gold.split()) == " ".join(given.split()))
    said = {_word(given), _word(_right_side(given))}  # "It is Monday."
    if re.search(r"\d", gold) and " " not in gold:
        said = {form.replace(" ", "") for form in said}
    return float(_word(gold) in said)


def _word(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.casefold().replace(" - ", "-"))
    text = re.sub(r"(?<=[\[,\s])['\"](\w[^'\"]*)['\"](?=[,\]])", r"\1", text)  # ['cat', 'dog']
    text = re.sub(r"_\s*\{?\s*([^\W_]+)\s*\}?\s*", r"\1", text)  # H_2O, H₂O
    text = re.sub(r"(?:[\s,;→]|->|\\(?:to|rightarrow)\b)+(?:and\s+)?", " ", text).strip(".!?'\"()[]{} ")
    return re.sub(r"^(?:the|an?)\s+(?=\w)|(?<=\bsolution)s\b", "", text)
