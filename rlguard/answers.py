"""Where the final answer of a completion stands, and when two answers are the same.

Light and fast, for detectors and chance rates; verifiers that decide a reward use heavier tools.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

from rlguard.types import Messages

ANSWER_CUE = "The answer is"
"""How an answer is begun for a model that is to give nothing else."""
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_NUMBER_SHAPE = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?"
_PHRASE = re.compile(  # "answer 5", or "answer … is/:/= VALUE" within one sentence
    rf"\banswer(?:[ \t]+(?={_NUMBER_SHAPE})|[^\n.:=]{{0,60}}?(?:\bis\b|[:=])(?:[ \t]*(?:is\b|[:=]))?)"
    rf"[\s*_$\"'`]*({_NUMBER_SHAPE}(?![\w:])|[^\s,;.$*_\"'`]+)",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"(?:^|[;\n])[ \t]*answer[ \t]+([^\s;]+)\s*\Z", re.IGNORECASE)  # nothing else in the last line
_NUMBER = re.compile(rf"(?<![\w.]){_NUMBER_SHAPE}(?!\w)")
_WORD_LIMIT = 200  # an "answer" longer than this is a sentence, not an answer


def extract_answer(completion: str) -> tuple[str, int, int] | None:
    r"""Finds the final answer of a completion, and where it stands.

    In this order: the last `<answer>…</answer>`, the last `\boxed{…}`, the last `#### …`, a last line "answer …", the
    last "answer is …", the last number. Linear in the length of the completion.

    Returns:
        `(text, start, end)` with `completion[start:end]` the answer, or None when there is none.

    >>> extract_answer("2+2=4, so the answer is 4.")
    ('4', 24, 25)
    >>> extract_answer("We get $\\boxed{\\frac{1}{2}}$")[0]
    '\\frac{1}{2}'
    """
    for find in (_last_tag, _last_boxed, _last_hashes, _last_phrase, _last_number):
        span = find(completion)
        if span is not None:
            start, end = _strip(completion, *span)
            if start < end:
                return completion[start:end], start, end
    return None


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _last_tag(text: str) -> tuple[int, int] | None:
    close = text.lower().rfind("</answer>")
    if close < 0:
        return None
    opening = text.lower().rfind("<answer>", 0, close)
    return (opening + len("<answer>"), close) if opening >= 0 else None


def _last_boxed(text: str) -> tuple[int, int] | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, position = 1, start + len("\\boxed{")
    while position < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return (start + len("\\boxed{"), position - 1) if depth == 0 else None


def _last_hashes(text: str) -> tuple[int, int] | None:
    start = text.rfind("####")
    match = _HASHES.match(text, start) if start >= 0 else None
    return match.span(1) if match else None


def _last_phrase(text: str) -> tuple[int, int] | None:
    last = _CLOSING.search(text, max(0, len(text) - _WORD_LIMIT))
    if last:
        return last.span(1)
    for last in _PHRASE.finditer(text):  # noqa: B007 - only the last match is wanted
        pass
    return last.span(1) if last and last.end(1) - last.start(1) <= _WORD_LIMIT else None


def _last_number(text: str) -> tuple[int, int] | None:
    tail_start = max(0, len(text) - 4000)  # the last number of a long text stands near its end
    for begin in (tail_start, 0):
        last = None
        for last in _NUMBER.finditer(text, begin):  # noqa: B007
            pass
        if last:
            return last.span()
    return None


def begin_answer(prompt: str | Messages, cue: str, shown: str = "") -> str | Messages:
    r"""A prompt after which only the answer is missing: its text and a line more, or an assistant's message begun.

    Args:
        prompt: Text or chat messages.
        cue: How the answer begins, in words that `extract_answer` knows.
        shown: Reasoning that stands before it.

    >>> begin_answer("2+2?", "The answer is"), begin_answer("2+2?", "The answer is", "Add them:")
    ('2+2?\nThe answer is', '2+2?\nAdd them: The answer is')
    >>> begin_answer([{"role": "user", "content": "2+2?"}], "The answer is")[-1]
    {'role': 'assistant', 'content': 'The answer is'}
    """
    begun = shown + ("" if not shown or shown[-1].isspace() or shown[-1] == ";" else " ") + cue
    if isinstance(prompt, str):
        return prompt + ("" if prompt[-1:].isspace() else "\n") + begun
    if prompt and prompt[-1].get("role") == "assistant":  # the prompt begins the message itself ("<think>")
        content = prompt[-1].get("content")
        return [*prompt[:-1], {**prompt[-1], "content": (content if isinstance(content, str) else "") + begun}]
    return [*prompt, {"role": "assistant", "content": begun}]


def end_answer(cue: str, said: str) -> str:
    r"""What a model says to a begun answer, as a completion to be judged: the cue and the first line.

    >>> end_answer("The answer is", " 4.\nBecause 2+2=4")
    'The answer is 4.'
    """
    return cue + said.rstrip().split("\n")[0]


def normalise_answer(answer: object) -> str:
    r"""One spelling for equal answers: numbers by value, words by lower case without trailing punctuation.

    >>> normalise_answer("1,200.50"), normalise_answer("2/4"), normalise_answer(" Yes. "), normalise_answer("$7$")
    ('2401/2', '1/2', 'yes', '7')
    """
    return _spell(str(answer))


@lru_cache(maxsize=65_536)  # the same few answers come again and again, and a training step has no time to parse each
def _spell(answer: str) -> str:
    text, longer = answer, ""
    while text != longer:  # what stands around an answer may stand around it twice
        longer = text
        text = text.strip().strip("$").strip().rstrip(".").replace("\\$", "").strip()
        if text.startswith("\\boxed{") and text.endswith("}"):
            text = text[len("\\boxed{") : -1]
    number = parse_number(text)
    return str(number) if number is not None else " ".join(text.lower().split())


def parse_number(text: str) -> Fraction | None:
    """The number that a short text states (integer, decimal, fraction, thousands separators), or None.

    >>> parse_number("-1,000"), parse_number("3/4"), parse_number("x")
    (Fraction(-1000, 1), Fraction(3, 4), None)
    """
    text = text.strip().replace("−", "-")
    if len(text) > 60 or not re.fullmatch(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d+)?(?:/\d+)?", text):
        return None
    numerator, _, denominator = text.replace(",", "").partition("/")
    try:
        return Fraction(Decimal(numerator)) / (int(denominator) if denominator else 1)
    except (InvalidOperation, ZeroDivisionError, ValueError):
        return None


def answer_type(answer: object) -> str:
    """The kind of answer, so that guesses are compared with golds they could have matched.

    >>> [answer_type(a) for a in ("42", "1/2", "C", "yes", "a red fox")]
    ['integer', 'number', 'choice', 'yes/no', 'text']
    """
    return _name_type(str(answer))


@lru_cache(maxsize=65_536)
def _name_type(answer: str) -> str:
    text = normalise_answer(answer)
    number = parse_number(text)
    if number is not None:
        return "integer" if number.denominator == 1 else "number"
    if text in ("yes", "no", "true", "false"):
        return "yes/no"
    if re.fullmatch(r"\(?[a-z]\)?", text):  # of options, or T and F
        return "choice"
    return "text"
