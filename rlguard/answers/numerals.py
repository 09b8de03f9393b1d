r"""Numbers as texts spell them: thousands, fractions, powers of ten, LaTeX, number words, units."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

NUMBER_LIMIT = 1000
"""Characters; what is longer is no number that anybody reads (Python itself refuses to print 4,300 digits)."""
_POWER_LIMIT = 1000  # of ten: 1e999999999 would fill the memory
CURRENCIES = "$€£¥₹₽₩₺₫₴₦₱฿₪"
_CURRENCY_WORDS = {"dollar": "$", "usd": "$", "buck": "$", "euro": "€", "eur": "€", "pound": "£", "gbp": "£"}
_CURRENCY_WORDS |= {"yen": "¥", "rupee": "₹", "rs": "₹", "inr": "₹", "元": "¥"}
_UNIT_WORDS = {  # a unit's other names, without the plural s
    "centimeter": "cm", "centimetre": "cm", "millimeter": "mm", "millimetre": "mm", "meter": "m", "metre": "m",
    "kilometer": "km", "kilometre": "km", "inche": "in", "inch": "in", "feet": "ft", "foot": "ft", "mile": "mi",
    "gram": "g", "kilogram": "kg", "kilo": "kg", "kg": "kg", "milligram": "mg", "lb": "lb", "ounce": "oz", "liter": "L",
    "litre": "L", "l": "L", "milliliter": "mL", "millilitre": "mL", "ml": "mL", "second": "s", "sec": "s",
    "minute": "min",
    "hour": "h", "hr": "h", "degree": "°", "percent": "%", "pct": "%", "percentage": "%", "mph": "mi/h", "kmh": "km/h",
}  # fmt: skip
_LONE_UNITS = frozenset("mgshLlVAWJNKCF°")  # units of one letter; any other letter is a variable
_FACTORS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_FACTORS |= {"k": 1000, "万": 10**4, "亿": 10**8}
_NO_UNITS = frozenset(  # words that make another number, or no number, of the one before them
    [
        "and",
        "or",
        "not",
        "nor",
        "but",
        "plus",
        "minus",
        "times",
        "over",
        "squared",
        "cubed",
        "factorial",
        "pi",
        "half",
        "halves",
        "third",
        "thirds",
        "quarter",
        "quarters",
        "tenths",
        "fifth",
        "fifths",
        "sixth",
        "sixths",
        "eighth",
        "eighths",
        "ninth",
        "ninths",
        "tenth",
        "hundredths",
        "sqrt",
        "root",
        "log",
        "ln",
        "sin",
        "cos",
        "tan",
        "mod",
        "modulo",
        "base",
        "divided",
        "to",
        "power",
        "infinity",
        "more",
        "less",
        "than",
        "if",
        "unless",
        "pair",
        "pairs",
        "score",
        "scores",
        "dozens",
        "hundreds",
        "thousands",
        "millions",
        "billions",
        "sets",
        "below",
        "above",
        "under",
    ]
)
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
_WORDS = {word: number for number, word in enumerate([*_ONES, "seventeen", "eighteen", "nineteen"])}
_TENS = {
    word: 10 * n
    for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_WORDS |= _TENS
_WORDS |= {f"{ten}-{one}": _TENS[ten] + _WORDS[one] for ten in _TENS for one in _ONES[1:10]}
_HANZI = {word: number for number, word in enumerate("零一二三四五六七八九十")} | {"两": 2}

_PLAIN = str.maketrans(
    {"−": "-", "–": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "，": ",", "⁄": "/", "％": "%"}
)
_PLAIN |= {ord("０") + n: str(n) for n in range(10)} | {ord("～"): "~", ord("．"): "."}
_SUPERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_DIGITS = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|\d{1,3}(?:[ '’]\d{3})+(?:\.\d+)?"
    r"|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:\.\d*)?|\.\d+"
)
_TEN = r"(?:[eE](?P<e>[-+]?\d{1,4})|\s*(?:\\times|\\cdot|×|·|\*|x)\s*10\s*(?:\^|\*\*)\s*(?:\{\s*(?P<p>[-+]?\d{1,4})\s*\}|(?P<q>[-+]?\d{1,4})))"  # noqa: E501
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<money>[{CURRENCIES}]?)\s*(?P<sign2>[-+]?)\s*"
    rf"(?:(?P<whole>\d+)\s+(?P<top>\d+)/(?P<under>\d+)"
    rf"|(?P<digits>{_DIGITS})(?P<again>\\overline\{{\d+\}}|\\bar\{{\d+\}}|\\dot\{{\d+\}})?(?:{_TEN}|\s*/\s*(?P<by>\d+))?)(?![\d.,]*\d)"
)
_FRACTION = re.compile(
    r"(?<=\d)\s*\\frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}|\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"
)
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|rm|operatorname)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"\\[,;: ]|\\quad|~")
_WORD_PART = r"(?:[A-Za-zµμ]+|°[CF]?|%|\^\\?circ|\^\{\\circ\})(?:\^?-?\d|\^\{-?\d\})?"
_UNIT = re.compile(
    rf"\(?{_WORD_PART}(?:(?:\s*/\s*|\s+|\s*·\s*|-){_WORD_PART}){{0,4}}\)?|[\u4e00-\u9fff]{{1,4}}|[{CURRENCIES}]"
)


def parse_number(text: str) -> Fraction | None:
    r"""The number that a short text states, or None: what is more than a number, a unit say, is none.

    >>> parse_number("-1,000"), parse_number("3/4"), parse_number("x")
    (Fraction(-1000, 1), Fraction(3, 4), None)
    >>> parse_number("3.2e5"), parse_number("1 3/4"), parse_number(r"\dfrac{1}{2}"), parse_number("0.\\overline{3}")
    (Fraction(320000, 1), Fraction(7, 4), Fraction(1, 2), Fraction(1, 3))
    """
    found = _read_number(_undress(text)) if len(text) <= NUMBER_LIMIT else None
    return found[0] if found is not None and not found[1] and not found[2].strip() else None


def read_quantity(text: str) -> tuple[Fraction, str] | None:
    r"""The number that a short text states, and its unit ("" for none): cm, m^2, %, a currency's sign, apples.

    A factor counts: "1.5 million" is 1500000. So do number words. What else stands beside a number makes it none:
    "5x", "3 or 4", "5 squared".

    >>> read_quantity("€25"), read_quantity(r"25 \text{ cm}^2"), read_quantity("2 dozen eggs"), read_quantity("5x")
    ((Fraction(25, 1), '€'), (Fraction(25, 1), 'cm^2'), (Fraction(24, 1), 'egg'), None)
    """
    if len(text) > NUMBER_LIMIT:
        return None
    plain = _undress(text)
    found = _read_number(plain)
    if found is None:
        return _read_words(plain)
    number, money, rest = found
    rest = rest.strip().rstrip(".").strip()
    first, _, others = rest.partition(" ")
    if first.lower() in _FACTORS and not (first == "k" and others):
        number, rest = number * _FACTORS[first.lower()], others.strip()
    elif rest[:1] in _FACTORS and not rest[:1].isascii():
        number, rest = number * _FACTORS[rest[0]], rest[1:]
    unit = _read_unit(rest)
    return None if unit is None or (money and unit not in ("", money)) else (number, money or unit)


def _undress(text: str) -> str:
    """A number's text without LaTeX and with one spelling of spaces, signs and fractions."""
    text = text.strip().translate(_PLAIN)
    if not text.isascii():
        text = "".join(
            f" {Fraction(unicodedata.numeric(c)).limit_denominator(10)} " if _is_vulgar(c) else c for c in text
        )
        text = re.sub(r"[⁰¹²³⁴-⁹⁻]+", lambda m: "^" + m[0].translate(_SUPERS), text)
    if "\\" in text or "{" in text:
        text = text.replace("\\!", "").replace("{,}", ",").replace("\\$", "$").replace("\\%", "%").replace("\\left", "")
        text = text.replace("\\right", "").replace("dfrac", "frac").replace("tfrac", "frac")
        text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _SPACES.sub(" ", text))
        text = _TEXT.sub(r" \1", text)
        text = _FRACTION.sub(lambda m: f" {m[1]}/{m[2]}" if m[1] else f"{m[3]}/{m[4]}", text)
    text = text.strip()
    if text[:1] == "$" and text[-1:] == "$" and len(text) > 1:
        text = text[1:-1].strip()
    return text


def _is_vulgar(character: str) -> bool:
    return unicodedata.decomposition(character).startswith("<fraction>")


def _read_number(text: str) -> tuple[Fraction, str, str] | None:
    """The number at the beginning of a text, its currency, and what follows."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    if match["whole"]:
        parts = int(match["whole"]), int(match["top"]), int(match["under"])
        if not parts[2]:
            return None
        number = Fraction(parts[0]) + Fraction(parts[1], parts[2])
    else:
        number = _read_digits(match["digits"])
        if match["again"]:
            number += _repeat(match["digits"], match["again"])
        power = int(match["e"] or match["p"] or match["q"] or 0)
        if abs(power) > _POWER_LIMIT or (match["by"] and not int(match["by"])):
            return None
        number = number * Fraction(10) ** power / int(match["by"] or 1)
    negative = (match["sign"] == "-") != (match["sign2"] == "-")
    return -number if negative else number, match["money"], text[match.end() :]


def _read_digits(digits: str) -> Fraction:
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", digits):  # 1.234,56
        digits = digits.replace(".", "").replace(",", ".")
    digits = re.sub(r"[,'’ ]", "", digits)
    return Fraction("0" + digits if digits[0] == "." else digits.rstrip("."))


def _repeat(digits: str, repeated: str) -> Fraction:
    """What the digits under a bar add: 0.1(6) is 0.1 + 6/90."""
    period = repeated[repeated.index("{") + 1 : -1]
    places = len(digits.partition(".")[2])
    return Fraction(int(period), (10 ** len(period) - 1) * 10**places)


def _read_unit(text: str) -> str | None:
    """A unit by its short name, "" for none; None when the text is something else."""
    if not text:
        return ""
    if not _UNIT.fullmatch(text):
        return None
    text = text.strip("()").replace("{", "").replace("}", "").replace("^\\circ", "°").replace("^circ", "°")
    if text == "\\circ" or text in CURRENCIES:
        return text
    words = re.split(r"\s+", text)
    if any(word.lower() in _NO_UNITS for word in words):
        return None
    if len(words) > 1 and words[0].lower() in ("square", "sq", "cubic", "cu"):
        inner = _name_unit(words[1])
        return inner and f"{inner}^{2 if words[0].lower()[0] == 's' else 3}"
    return _name_unit(text)


def _name_unit(text: str) -> str | None:
    if len(text) == 1 and text.isascii() and text not in _LONE_UNITS and text not in "%":
        return None
    names = []
    for word in re.split(r"\s+|\s*/\s*|·", re.sub(r"\s+per\s+", "/", text)):
        base, power = re.fullmatch(r"(.*?)\^?(-?\d)?", word, re.DOTALL).groups()  # type: ignore[union-attr]
        low = base.lower()
        single = low[:-1] if len(low) > 2 and low.endswith("s") and not low.endswith("ss") else low
        name = (
            _CURRENCY_WORDS.get(low) or _CURRENCY_WORDS.get(single) or _UNIT_WORDS.get(low) or _UNIT_WORDS.get(single)
        )
        names.append((name or (base if len(base) == 1 else single)) + (f"^{power}" if power else ""))
    return ("/" if "/" in text or " per " in text else " ").join(names)


def _read_words(text: str) -> tuple[Fraction, str] | None:
    """`twelve`, `twenty-one apples`, `three hundred`."""
    if text in _HANZI:
        return Fraction(_HANZI[text]), ""
    words = text.lower().rstrip(".").split()
    if not 0 < len(words) <= 5:
        return None
    if len(words) > 1 and f"{words[0]}-{words[1]}" in _WORDS:
        words[:2] = [f"{words[0]}-{words[1]}"]
    if words[0] not in _WORDS:
        return None
    number = Fraction(_WORDS[words[0]])
    if len(words) > 1 and words[1] in _FACTORS:
        number *= _FACTORS[words.pop(1)]
    unit = _read_unit(" ".join(words[1:]))
    return None if unit is None else (number, unit)
