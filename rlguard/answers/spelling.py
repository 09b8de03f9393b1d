"""One spelling for equal answers, what a gold answer says, and which kind of answer it is."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any

from rlguard.answers.final import find_answer
from rlguard.answers.numerals import CURRENCIES, parse_number, read_quantity, spell_plain

_CACHED = 200  # characters: longer answers are rare and would fill the cache with text
_PASSES = 4  # what stands around an answer may stand around it more than once
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|sc)?|math(?:rm|bf|it|tt)|mbox|emph|ce|boxed|fbox|underline"
    r"|(?:text)?color\s*\{\w+\})\s*\{([^{}]*)\}"
)
_STOP = re.compile(r"(?<!\\)[.。,;]+\Z")  # no thin space
_FENCE = re.compile(r"\A\s*```\w*[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_SIZE = re.compile(r"\\(?:(?:display|text|script)style|tiny|small|normalsize|[lL]arge|LARGE|[hH]uge)(?![A-Za-z])\s*")
_FORMULA = re.compile(r"\A(?:\$([^$]+)\$|\\[(\[](.*)\\[)\]])\Z", re.DOTALL)
_ESCAPED = re.compile(r"\\([#&_])")
_HTML = re.compile(r"</?(?:b|i|em|strong|p|div|span|code|br)\s*/?>|\*\*(?=[\s:.,)]|\Z)")
_GOLD_KEYS = ("ground_truth", "target")


def normalise_answer(answer: object) -> str:
    r"""One spelling for equal answers: numbers by value and without unit, words in lower case, options by their letter.

    Linear in the length of the answer. Gold answers are read as `read_gold` reads them.

    >>> normalise_answer("1,200.50"), normalise_answer("2/4"), normalise_answer(" Yes. "), normalise_answer("$7$")
    ('2401/2', '1/2', 'yes', '7')
    >>> normalise_answer("25 cm"), normalise_answer("(B)"), normalise_answer("6 + 12 = 18\n#### 18")
    ('25', 'b', '18')
    """
    text = read_gold(answer)
    text = str(answer) if text is None else text
    return _spell(text) if len(text) <= _CACHED else _spell.__wrapped__(text)


@lru_cache(maxsize=65_536)  # the same few answers come again and again, and a training step has no time to parse each
def _spell(answer: str) -> str:
    text = undress_answer(answer)
    quantity = read_quantity(text)
    if quantity is not None:
        return str(quantity[0])
    option = re.fullmatch(r"\(?([A-Za-z])[).]?", text)
    return option[1].lower() if option else " ".join(text.lower().split())


def undress_answer(text: str) -> str:
    r"""Without the dress that no answer needs: `\text{}`, dollars, emphasis, a full stop.

    >>> undress_answer(r"**$\text{Blue Whale}$.**")
    'Blue Whale'
    """
    text = _FENCE.sub(r"\1", text)
    text = _SIZE.sub("", _HTML.sub("", spell_plain(text)).replace("{:}", ":"))
    for _ in range(_PASSES):
        before = text = text.strip('*`"“” \n')
        text = _TEXT.sub(lambda match: f" {match[1]} " if match[0].startswith("\\text") else match[1], text)
        text = _FORMULA.sub(r"\1\2", re.sub(r"(?<=[A-Za-z]) +(?=\^)", "", text.strip()))
        text = _ESCAPED.sub(r"\1", text)
        text = text if text.endswith("..") else _STOP.sub("", text)
        if text == before:
            break
    return text


def read_gold(answer: Any) -> str | None:
    r"""A gold answer as text, or None where a data set gives none.

    A whole solution is read as a completion is, where it has a marker: `… #### 18`, `\boxed{18}`, `<answer>`. A list of
    one is its element, a dict's is under `ground_truth` or `target` (verl, Search-R1), a float of a whole number is
    written without a point. None, NaN, infinities, texts in which nothing stands ("$$", "N/A"), empty lists and other
    dicts are no answers.

    >>> [read_gold(gold) for gold in ("6+12=18\n#### 18", 18.0, ["18"], {"ground_truth": "18"}, {"value": 6}, "$ $")]
    ['18', '18', '18', '18', None, None]
    """
    if answer is None or isinstance(answer, str):
        return _read_text(answer) if answer else None
    if hasattr(answer, "tolist"):  # numpy's arrays and scalars, as Parquet gives them
        answer = answer.tolist()
    if isinstance(answer, float):
        if not math.isfinite(answer):
            return None
        return str(int(answer)) if answer.is_integer() else repr(answer)
    if isinstance(answer, dict):
        return next((read_gold(answer[key]) for key in _GOLD_KEYS if key in answer), None)
    if isinstance(answer, (list, tuple)):
        if any(isinstance(part, (list, tuple)) for part in answer):  # a matrix, a grid
            return json.dumps(answer) if "NaN" not in repr(answer) else None
        parts = [read_gold(part) for part in answer]
        if not parts or None in parts:
            return None
        return parts[0] if len(parts) == 1 else ", ".join(map(str, parts))
    return str(answer).strip() or None


def read_golds(answer: Any) -> list[str]:
    """A gold answer as `read_gold` gives it, and after it the elements of a list of several; [] where there is none.

    >>> read_golds("4"), read_golds(["NYC", "New York"]), read_golds(float("nan"))
    (['4'], ['NYC, New York', 'NYC', 'New York'], [])
    """
    gold = read_gold(answer)
    if gold is None:
        return []
    if isinstance(answer, dict):
        return read_golds(next(answer[key] for key in _GOLD_KEYS if key in answer))
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    several = answer if isinstance(answer, (list, tuple)) and len(answer) > 1 else []
    return [gold, *(text for text in map(read_gold, several) if text is not None)]


_NO_GOLD = ("nan", "null", "n/a", "<na>")  # as pandas and JSON write it; "none" may be an answer
_BLANK = re.compile(r"[\s$\u200b\ufeff]|\\(?:text|boxed|mathrm)\{\s*\}")


def _read_text(text: str) -> str | None:
    text = text.strip()
    if text[:2] + text[-2:] in ('[""]', "['']"):  # a list written down, as verl does
        try:
            parts = json.loads(text if text[1] == '"' else text.replace("'", '"'))
        except ValueError:
            return text
        if len(parts) == 1 and isinstance(parts[0], str):
            return _read_text(parts[0])
    if text.lower() in _NO_GOLD or not _BLANK.sub("", text):
        return None
    if any(marker in text for marker in ("####", "\\boxed", "<answer", "answer is ")):
        found = find_answer(text)
        if found is not None and found.marked and found.text:
            return found.text
    return text


def answer_type(answer: object) -> str:
    """The kind of answer, so that guesses are compared with golds they could have matched.

    >>> [answer_type(a) for a in ("42", "1/2", "C", "yes", "a red fox")]
    ['integer', 'number', 'choice', 'yes/no', 'text']
    """
    text = normalise_answer(answer)
    return _name_type(text) if len(text) <= _CACHED else "text"


@lru_cache(maxsize=65_536)
def _name_type(text: str) -> str:
    number = parse_number(text.strip(CURRENCIES))
    if number is not None:
        return "integer" if number.denominator == 1 else "number"
    if text in ("yes", "no", "true", "false"):
        return "yes/no"
    if re.fullmatch(r"[a-z]", text):  # of options, or T and F
        return "choice"
    return "text"
