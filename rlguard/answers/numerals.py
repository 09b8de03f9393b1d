r"""Numbers as texts spell them: thousands, fractions, powers of ten, LaTeX, number words, units."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

NUMBER_LIMIT = 1000
"""Characters; what is longer is no number that anybody reads (Python itself refuses to print 4,300 digits)."""
_POWER_LIMIT = 1000  # of ten: 1e999999999 would fill the memory
CURRENCIES = "$€£¥₹₽₩₺₫₴₦₱฿₪¢"
_CURRENCY_WORDS = {"dollar": "$", "usd": "$", "buck": "$", "euro": "€", "eur": "€", "pound": "£", "gbp": "£"}
_CURRENCY_WORDS |= {"yen": "¥", "cent": "¢", "rupee": "₹", "rs": "₹", "inr": "₹", "元": "¥"}
_UNIT_WORDS = {  # a unit's other names, without the plural s
    "centimeter": "cm", "centimetre": "cm", "millimeter": "mm", "millimetre": "mm", "meter": "m", "metre": "m",
    "kilometer": "km", "kilometre": "km", "inche": "in", "inch": "in", "feet": "ft", "foot": "ft", "mile": "mi",
    "gram": "g", "kilogram": "kg", "kilo": "kg", "kg": "kg", "milligram": "mg", "lb": "lb", "ounce": "oz", "liter": "L",
    "litre": "L", "l": "L", "milliliter": "mL", "millilitre": "mL", "ml": "mL", "second": "s", "sec": "s",
    "minute": "min", "hour": "h", "hr": "h", "degree": "°", "percent": "%", "pct": "%", "percentage": "%",
    "mph": "mi/h", "kmh": "km/h",
} | _CURRENCY_WORDS | {"pound": "pound"}  # fmt: skip  # a pound is £ or lb
_LONE_UNITS = frozenset("mgshLlVAWJNKCF°Ω")  # units of one letter; any other letter is a variable
_FACTORS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_FACTORS |= {"k": 1000, "万": 10**4, "亿": 10**8, "lakh": 10**5, "crore": 10**7, "tausend": 1000, "mil": 1000}
_FACTORS |= {"millionen": 10**6, "millones": 10**6, "milliarden": 10**9, "milliards": 10**9}
_NO_UNITS = (  # words that make another number, or no number, of the one before them
    "and or not nor but plus minus times over squared cubed factorial pi half halves third thirds quarter quarters"
    " tenths fifth fifths sixth sixths eighth eighths ninth ninths tenth hundredths sqrt root log ln sin cos tan mod"
    " modulo base divided to power infinity more less than if unless pair pairs score scores dozens hundreds thousands"
    " millions billions tens gross hundredth thousandth thousandths millionth millionths milliers dutzend sets below"
    " above under at most least oder ou mehr st nd rd th"
    " is are was were wrong incorrect false impossible maybe perhaps"
)
_NO_UNIT_SET = frozenset(_NO_UNITS.split())
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_WORDS = {word: number for number, word in enumerate(_ONES.split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS |= {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_PARTS = "half third quarter fifth sixth seventh eighth ninth tenth"
_DENOMINATORS = {word: n for n, word in enumerate(_PARTS.split(), 2)} | {"fourth": 4, "halve": 2}
_HANZI = {word: number for number, word in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_TENS_IN_HANZI = re.compile(r"([一二三四五六七八九])?十([一二三四五六七八九])?")
_PLAIN = str.maketrans(
    {"−": "-", "–": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "，": ",", "⁄": "/", "％": "%"}
)
_PLAIN |= {ord("０") + n: str(n) for n in range(10)} | {ord("～"): "~", ord("．"): "."}
_SUPERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_MONEY_FIRST = re.compile(  # a currency's name before its amount
    r"(?:(?P<dollar>(?:US|CA?|AU?|HK|NZ|S)\$|USD)|(?P<euro>EUR|\\euro\b)|(?P<pound>GBP|\\pounds\b)|(?P<rupee>Rs\.?|INR)"
    r"|(?P<yen>JPY|CNY|RMB|\\yen\b))[\s{]*(?=\d)"
)
_DIGITS = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|\d{1,3}(?:[ '’_~]\d{3})+(?:\.\d+)?"
    r"|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}|\d+(?:\.\d*)?|\.\d+"
)
_TEN = (
    r"(?:[eE](?P<e>[-+]?\d{1,4})"
    r"|\s*\{?(?:\\times|\\cdot|×|·|\*|x)\}?\s*10\s*(?:\^|\*\*)\s*[{(]?\s*(?P<p>[-+]?\d{1,4})\s*[})]?)"
)
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<money>[{CURRENCIES}]?)\s*(?P<sign2>[-+]?)\s*"
    rf"(?:(?P<whole>\d+)\s+(?:and\s+)?(?P<top>\d+)/(?P<under>\d+)"
    rf"|(?P<digits>{_DIGITS})(?P<again>\\(?:overline|bar|dot)\{{\d+\}}|(?<!\d)\(\d+\)|(?<=\.\d)\(\d+\))?"
    rf"(?:{_TEN}|\s*/\s*(?P<by>\d+))?)(?![\d.,]*\d)"
)
_COINS = re.compile(
    r"\A(?:\$?(?P<dollar>\d[\d,]*)(?:\s+dollars?)?|(?P<euro>\d+)\s+euros?)\s+and\s+(?P<cent>\d\d?)\s+cents?\Z",
    re.IGNORECASE,
)
"""Twelve dollars and fifty cents, in digits."""
_MINUS = re.compile(r"\A(?:(?:minus|negative)\s+|负\s*)(?=\w)", re.IGNORECASE)
_POWER_OF_TEN = re.compile(r"([-+]?)10\s*(?:\^|\*\*)\s*[{(]?\s*([-+]?\d{1,4})\s*[})]?(?=[\sA-Za-z]|\Z)")
_FRACTION = re.compile(
    r"(?<=\d)\s*\\frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}|\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"
)
_UNITS_OVER = re.compile(r"\\frac\s*\{\s*([A-Za-z]+)\s*\}\s*\{\s*([A-Za-z]+)\s*\}")
_IN_DOLLARS = re.compile(r"\A(?:\$(?:\s*(?:\\approx|≈|=))?([^$]+)\$|\\\((.+?)\\\))(?=\s|\Z)")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|tt)?|math(?:rm|bf|tt)|mbox|rm|operatorname)\s*\{([^{}]*)\}")
_ENCLOSED = re.compile(r"\((.*)\)|\[([^,]*)\]|<([^,]*)>|\\?\{([^,]*?)\\?\}", re.DOTALL)
_TWICE = re.compile(r"([A-Za-z][A-Za-z\s-]*?)\s*\(([\d.,]+)\)")
"""A number in words and in digits: "twenty (20)"."""
_SPACES = re.compile(r"\\[,;: ]|\\quad|~")
_WORD_PART = r"(?:[A-Za-zµμΩ]+|°[CF]?|%|\^\\?circ|\^\{\\circ\})(?:\^?-?\d|\^\{-?\d\})?"
_UNIT = re.compile(
    rf"\(?{_WORD_PART}(?:(?:\s*/\s*|\s+|\s*·\s*|-){_WORD_PART}){{0,4}}\)?|(?:(?![以余多])[\u4e00-\u9fff]){{1,4}}|[{CURRENCIES}]"
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


@lru_cache(maxsize=4096)
def read_quantity(text: str) -> tuple[Fraction, str] | None:
    r"""The number that a short text states, and its unit ("" for none): cm, m^2, %, a currency's sign, apples.

    A factor counts: "1.5 million" is 1500000. So do number words. What else stands beside a number makes it none:
    "5x", "3 or 4", "5 squared".

    >>> read_quantity("€25"), read_quantity(r"25 \text{ cm}^2"), read_quantity("2 dozen eggs"), read_quantity("5x")
    ((Fraction(25, 1), '€'), (Fraction(25, 1), 'cm^2'), (Fraction(24, 1), 'egg'), None)
    >>> read_quantity("two thirds"), read_quantity("one hundred and five miles"), read_quantity("十五")
    ((Fraction(2, 3), ''), (Fraction(105, 1), 'mi'), (Fraction(15, 1), ''))
    """
    if len(text) > NUMBER_LIMIT:
        return None
    plain = _MINUS.sub("-", _undress(text))
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
    unit = "" if money and rest.startswith(("per ", "/", "each")) else _read_unit(rest)
    return None if unit is None or (money and unit not in ("", money)) else (number, money or unit)


def spell_plain(text: str) -> str:
    """One spelling of spaces, signs, digits, fractions and powers that Unicode has several of.

    >>> spell_plain("２¼ − x²")
    '2 1/4  - x^2'
    """
    text = text.translate(_PLAIN)
    if not text.isascii():
        vulgar = {c for c in set(text) if unicodedata.decomposition(c).startswith("<fraction>")}
        text = text.translate({ord(c): f" {Fraction(unicodedata.numeric(c)).limit_denominator(10)} " for c in vulgar})
        text = re.sub(r"[⁰¹²³⁴-⁹⁻]+", lambda m: "^" + m[0].translate(_SUPERS), text)
    return text


def _undress(text: str) -> str:
    """A number's text without LaTeX and with one spelling of spaces, signs and fractions."""
    text = _IN_DOLLARS.sub(r"\1\2", spell_plain(text.strip()))
    if "\\" in text or "{" in text or "~" in text:
        text = text.replace("\\!", "").replace("{,}", ",").replace("\\$", "$").replace("\\%", "%").replace("\\left", "")
        text = text.replace("\\right", "")
        text = re.sub(r"\\[dtc]frac", r"\\frac", text)
        text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _SPACES.sub(" ", text))
        text = _TEXT.sub(r" \1", text)
        text = _UNITS_OVER.sub(r"\1/\2", text.replace("\\Omega", "Ω").replace("\\mu", "µ"))
        text = _FRACTION.sub(lambda m: f" {m[1]}/{m[2]}" if m[1] else f"{m[3]}/{m[4]}", text)
    text = text.strip()
    if (enclosed := _ENCLOSED.fullmatch(text)) is not None:
        text = enclosed[enclosed.lastindex or 0].strip()
    money = _MONEY_FIRST.match(text)
    if money:
        text = _CURRENCY_WORDS[str(money.lastgroup)] + text[money.end() :].rstrip("}")
    coins = _COINS.match(text)
    if coins:
        name = "dollar" if coins["dollar"] else "euro"
        text = f"{_CURRENCY_WORDS[name]}{coins[name]}.{int(coins['cent']):02}"
    return _POWER_OF_TEN.sub(r"\g<1>1e\2", text) if text.lstrip("+-")[:2] == "10" else text


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
        power = int(match["e"] or match["p"] or 0)
        if abs(power) > _POWER_LIMIT or (match["by"] and not int(match["by"])):
            return None
        number = number * Fraction(10) ** power / int(match["by"] or 1)
    negative = (match["sign"] == "-") != (match["sign2"] == "-")
    return -number if negative else number, match["money"], text[match.end() :]


def _read_digits(digits: str) -> Fraction:
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}", digits):  # 1.234,56
        digits = digits.replace(".", "").replace(",", ".")
    digits = re.sub(r"[,'’ _~]", "", digits)
    return Fraction("0" + digits if digits[0] == "." else digits.rstrip("."))


def _repeat(digits: str, repeated: str) -> Fraction:
    """What the digits under a bar add: 0.1(6) is 0.1 + 6/90."""
    period = repeated[re.search(r"[{(]", repeated).end() : -1]  # type: ignore[union-attr]
    places = len(digits.partition(".")[2])
    return Fraction(int(period), (10 ** len(period) - 1) * 10**places)


def _read_unit(text: str) -> str | None:
    """A unit by its short name, "" for none; None when the text is something else."""
    if not text:
        return ""
    text = re.sub(r"(?<=[A-Za-z])\.(?=\s|\Z)", "", text)  # sq. ft.
    if not _UNIT.fullmatch(text):
        return None
    text = text.strip("()").replace("{", "").replace("}", "").replace("^\\circ", "°").replace("^circ", "°")
    words = re.split(r"\s+", text)
    if any(low in _NO_UNIT_SET or low in _WORDS or low in _FACTORS for low in map(str.lower, words)):
        return None
    if len(words) > 1 and words[0].lower() in ("square", "sq", "cubic", "cu"):
        inner = _name_unit(words[1])
        return inner and f"{inner}^{2 if words[0].lower()[0] == 's' else 3}"
    return _name_unit(text)


def _name_unit(text: str) -> str | None:
    names = []
    for word in re.split(r"\s+|\s*/\s*|·", re.sub(r"\s+per\s+", "/", text)):
        base, power = re.fullmatch(r"(.*?)\^?(-?\d)?", word, re.DOTALL).groups()  # type: ignore[union-attr]
        if len(base) == 1 and base.isascii() and base not in _LONE_UNITS and base not in "%$":
            return None
        low = base.lower()
        single = low[:-1] if len(low) > 2 and low.endswith("s") and not low.endswith("ss") else low
        name = _UNIT_WORDS.get(low) or _UNIT_WORDS.get(single)
        names.append((name or (base if len(base) == 1 else single)) + (f"^{power}" if power else ""))
    return ("/" if "/" in text or " per " in text else " ").join(names)


def _read_words(text: str) -> tuple[Fraction, str] | None:
    """`twelve`, `twenty-one apples`, `two thousand three hundred and five`, `two thirds`, `十五`."""
    tens = _TENS_IN_HANZI.fullmatch(text)
    if tens or text in _HANZI:
        ten, one = tens.groups() if tens else ("零", text)
        return Fraction((_HANZI[ten] if ten else 1) * 10 * bool(tens) + (_HANZI[one] if one else 0)), ""
    twice = _TWICE.fullmatch(text)
    if twice:
        spelled = _read_words(twice[1])
        return spelled if spelled and spelled[0] == parse_number(twice[2]) else None
    sign, text = (-1, text[1:]) if text[:1] == "-" else (1, text)
    words = text.lower().rstrip(".").replace("-", " ").split()
    if len(words) > 1 and words[0] in ("a", "an") and (words[1] in _FACTORS or words[1] in _DENOMINATORS):
        words[0] = "one"  # a dozen, a third
    if not words or (words[0] not in _WORDS) or len(words) > 15:
        return None
    total = part = 0  # of thousands and more, of the group at hand
    used, last = 0, 0
    for word in words:
        value, factor = _WORDS.get(word), _FACTORS.get(word)
        if value is not None and (not part or (value < last and (last >= 100 or last % 10 == 0))):
            part, last = part + value, value
        elif factor is not None and len(word) > 1 and part:
            total, part = (total, part * factor) if factor < 1000 else (total + part * factor, 0)
            last = factor if factor < 1000 else 10**9
        elif word != "and" or last < 100:
            break
        used += 1
    rest = words[used:]
    number = Fraction(sign * (total + part))
    if rest[:2] == ["and", "a"] and len(rest) > 2 and rest[2] in _DENOMINATORS:  # one and a half
        number, rest = number + Fraction(sign, _DENOMINATORS[rest[2]]), rest[3:]
    single = rest[0].removesuffix("s") if rest else ""
    if single in _DENOMINATORS and (len(rest) == 1 or rest[1] == "of"):
        return number / _DENOMINATORS[single], ""
    unit = _read_unit(" ".join(rest))
    return None if unit is None else (number, unit)
