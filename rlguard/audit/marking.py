"""Marks a completion by its question's own rule; reads the confidence it states and whether it abstains.

Open-ended questions are judged by predicates that a suite names as data, `{"kind": "integer", "low": 3}`: a kind out of
`CHECKS` and that predicate's parameters, never code.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from rlguard.answers import extract_answer, normalise_answer, parse_number, read_quantity
from rlguard.types import InputError, Problem
from rlguard.verify.verifiers import Exact, Math, ReasoningGym

LIMIT = 400
"""Characters of an answer; a longer one is no answer."""

UNKNOWN = "I don't know"
"""The gold answer of a question that cannot be answered."""

_NUMBER = (
    r"(?<![\d.,+-])(?P<{0}>\d{{1,4}}(?:\.\d{{1,6}})?|\.\d{{1,6}})(?![.,]?\d)"
    r"(?!\s{{0,3}}%?\s{{0,3}}(?:[-–—]|to\b)\s{{0,3}}\d)"
)
_GAP = r"[\s\"'*`:=–—-]{0,6}"
_CONFIDENCE = re.compile(  # "confidence: 80%", "confidence level (0-100) is about 0.8"; "80 % sure"
    rf"\b(?:confidence|certainty)\b(?: (?:level|score|rating|in (?:my|this|the) answer))?"
    rf"(?: ?\([^()\n]{{0,30}}\))?{_GAP}(?:\b(?:is|of|at|was)\b)?{_GAP}"
    rf"(?:\b(?:about|around|roughly|approximately)\b|[~≈])?{_GAP}"
    rf"{_NUMBER.format('stated')}\s{{0,3}}(?P<unit>%|percent\b|/\s?100?\b|out of 100?\b)?"
    rf"|{_NUMBER.format('share')}\s{{0,3}}(?:%|percent)\s{{1,3}}(?:sure|certain|confident|confidence|certainty)\b"
    r"(?! (?:interval|level|limit))",
    re.IGNORECASE,
)
_ABSTENTION = re.compile(
    r"\b(?:i (?:\w+ )?(?:do not|don'?t|cannot|can'?t|can not) (?:know(?! how to| why)|tell|determine|answer)"
    r"|(?:no|have no) idea\b"
    r"|(?:cannot|can'?t|can not|could not|couldn'?t) be "
    r"(?:determined|known|answered|solved|calculated|computed|found|told)"
    r"|(?:not|\w{1,9}n't)(?: \w+){0,2} (?:enough|sufficient) (?:information|data|details)"
    r"|(?:insufficient|missing|incomplete|lacks?) (?:information|data|details)"
    r"|(?:information|data) is (?:missing|insufficient|incomplete|not given)"
    r"|(?:impossible|not possible|no way) (?:to|of) (?:know|tell|say|determin|answer|find|calculat|comput|work)"
    r"|answer(?: is|:) (?:unknown|undetermined|not known|not given)"
    r"|unanswerable|indeterminable|(?P<weak>(?:am|'m) (?:not (?:\w+ )?sure|unsure|uncertain)))"
)
_LEAVE = re.compile(r"\bif\b[^.]{0,150}?\b(?:say|write|reply|respond)(?: with)? {0,3}[\"“'][^\"”]{0,60}[\"”']")
"""A completion that repeats the prompt's permission to abstain."""
_GIVEN = re.compile(  # an answer in words that commit to it
    r"\\boxed\{|<answer>|####|=\s{0,3}-?\$?\d"
    r"|\banswer(?: is|[:=])[\s*_$\"']{0,6}(?!because|not\b|unknown|undetermined|since|impossible|i )[\w\\-]"
    r"|\b(?:guess|maybe|perhaps|probably|wait|estimate|i would say)\b[^.\n]{0,60}?\d"
)
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´′＇‛", "'"))
_CUE = re.compile(r"\banswer(?: is\b|[:=])[\s:*_]{0,6}", re.IGNORECASE)
_IS = re.compile(r"\b(?:is|are|was)\b|:")
_DRESS = ' \t\r*_`"“”'
"""Characters around an answer that are not part of it."""
_MARKS = ("</answer>", "\\boxed{", "####")
_MATHEMATICAL = re.compile(r"[\\^*+=({\[]")
_JSON = re.compile(r"\{\s{0,9}\"answer\"\s{0,9}:")
_LAST_LINE = re.compile(r"\**Answer:\**[ \t]*(.*[^\s*])\**")


class Form(NamedTuple):
    """A format in which an answer can be asked for."""

    instruction: str
    write: Callable[[str], str]
    """Puts an answer into the form."""
    read: Callable[[str], str | None]
    """The answer that a completion gives in the form, the last one; None where it gives none."""


def read_confidence(text: str) -> float | None:
    """The confidence that a completion states last, in [0, 1]; None without one, or where it makes no sense.

    A number without a unit is a share up to 1, and above that a percentage.

    >>> read_confidence("The answer is 4.\\nConfidence: 80%"), read_confidence("I am 80 % sure"), read_confidence("4")
    (0.8, 0.8, None)
    """
    if (last := _last(_CONFIDENCE, text)) is None:
        return None
    number, unit = float(last["stated"] or last["share"]), (last["unit"] or "").lower()
    tens = "/" in unit or "of" in unit
    if last["share"] or unit in ("%", "percent") or (tens and unit.endswith("00")) or (not tens and number > 1):
        number /= 100
    elif tens:
        number /= 10
    return number if number <= 1 else None


def is_abstention(text: str) -> bool:
    """Whether a completion gives up in words, and does not answer after all.

    >>> is_abstention("It cannot be determined."), is_abstention("I don't know ... wait, the answer is 4")
    (True, False)
    """
    said = _LEAVE.sub(" ", " ".join(text.translate(_APOSTROPHES).lower().split()))
    last = _last(_ABSTENTION, said)
    return last is not None and not _GIVEN.search(said, 0 if last["weak"] else last.end())


def read_answer(completion: str, gold: str) -> str | None:
    """The final answer of a completion, as long as the gold answer's words let expect.

    Where the gold answer is one word or number, it is what `extract_answer` finds, or else the end of the last line,
    after "is". More than that is what is marked (a tag, a box, ####), or the rest of the line after "answer is", or the
    last line.

    >>> read_answer("So the answer is: red, green and blue.", "a, b"), read_answer("Blue", "red")
    ('red, green and blue.', 'Blue')
    """
    found = extract_answer(completion)
    is_long = parse_number(gold) is None and re.search(r"[\s,;.*_]", gold.strip()) is not None
    if found and (not is_long or any(mark in completion.lower() for mark in _MARKS)):
        return _leave_unit(found[0]) if parse_number(gold) is not None else found[0]
    cue = _last(_CUE, completion)
    rest = completion[cue.end() :] if cue else ""
    line = rest.partition("\n")[0] if rest.strip() else completion.strip().rpartition("\n")[2]
    if not (is_long or rest.strip()):
        line = _IS.split(line)[-1]
    line = line.strip(_DRESS)
    if line.endswith("."):
        line = line.rstrip(_DRESS + ".")
        line += "" if line.endswith(("?", "!")) else "."
    return line if 0 < len(line) <= LIMIT else None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return max(pattern.finditer(text), key=re.Match.start, default=None)


def _leave_unit(answer: str) -> str:
    """The number of a quantity, as it is written: 42 of "42 apples". What is no quantity stays."""
    quantity, written = read_quantity(answer), re.search(r"-?\d(?:[\d.,/]*\d)?", answer)
    return written[0] if quantity and quantity[1] and written else answer


def _read_boxed(completion: str) -> str | None:
    start = completion.rfind("\\boxed{")
    found = extract_answer(completion[start:]) if start >= 0 else None
    if found is None:
        return None
    before, after = completion[start : start + found[1]], completion[start + found[2] :]
    return found[0] if before.rstrip() == "\\boxed{" and after.lstrip().startswith("}") else None


def _read_tag(completion: str) -> str | None:
    close = completion.rfind("</answer>")
    start = completion.rfind("<answer>", 0, max(close, 0))
    return completion[start + len("<answer>") : close].strip() or None if start >= 0 else None


def _read_json(completion: str) -> str | None:
    last = _last(_JSON, completion)
    try:
        value = json.JSONDecoder().raw_decode(completion, last.start())[0]["answer"] if last else None
    except (ValueError, RecursionError):
        return None
    return str(value).strip() or None if isinstance(value, str | int | float) else None


def _read_last_line(completion: str) -> str | None:
    text = completion.strip()
    if text.startswith("\\boxed{") and text.endswith("}"):  # how `check_gold` shows a gold answer to a verifier
        text = text.removeprefix("\\boxed{").removesuffix("}")
    found = _LAST_LINE.fullmatch(text.rpartition("\n")[2][:LIMIT].strip())
    return found[1] if found else None


FORMS = {
    "boxed": Form("Give the final answer in \\boxed{}.", "\\boxed{{{}}}".format, _read_boxed),
    "tag": Form("Give the final answer between <answer> and </answer>.", "<answer>{}</answer>".format, _read_tag),
    "json": Form(
        'Give the final answer as JSON with one key: {"answer": "..."}',
        lambda answer: json.dumps({"answer": answer}, ensure_ascii=False),
        _read_json,
    ),
    "last_line": Form(
        'End with a line that holds "Answer:" and the final answer, and nothing else.',
        "Answer: {}".format,
        _read_last_line,
    ),
}
"""The forms of `answer:NAME`."""


def find_form(variant: str) -> Form | None:
    """The form in which a variant wants the answer; None where it wants none."""
    return FORMS.get(variant.removeprefix("answer:")) if variant.startswith("answer:") else None


class SuiteVerifier:
    """Judges the questions of a suite, each by its row.

    If the row is not `answerable`, the right answer is to say so. A `check` decides by its predicate (`open_answers`),
    `metadata` of reasoning-gym by its own rule. Otherwise the answer is compared with the gold one: as mathematics if
    that is a number or a formula, as text if it is words (as mathematics, a word equals its anagrams). In a variant
    `answer:NAME` the answer must have that format.

    >>> SuiteVerifier().score('{"answer": 4}', Problem("p", "2+2?", '{"answer": "4"}', {"variant": "answer:json"}))
    1.0
    """

    name = "suite"

    def __init__(self) -> None:
        self._exact, self._math, self._gym = Exact(), Math(), ReasoningGym()
        self.version = f"1 {self._math.version}, {self._gym.version}"

    def prepare(self) -> None:
        """Prepares `math`; reasoning-gym takes seconds to load and is left until a row needs it."""
        self._math.prepare()

    def extract(self, completion: str) -> str | None:
        """The final answer of a completion whose question is not known: a number alone, else all of its words."""
        text = _CONFIDENCE.sub(" ", completion)
        short = extract_answer(text)
        if short and parse_number(_leave_unit(short[0])) is not None and not _is_list(read_answer(text, "a, b") or ""):
            return _leave_unit(short[0])
        return read_answer(text, "a, b")

    def score(self, completion: str, problem: Problem) -> float:
        """1.0 correct, 0.0 wrong, NaN could not be judged.

        Raises:
            InputError: If the row's `check` or `metadata` cannot be used.
        """
        row, gold = problem.row, str(problem.answer)
        if row.get("answerable", True) is False:
            return float(is_abstention(completion))
        form = find_form(str(row.get("variant", "")))
        if form is not None:
            gold, answer = form.read(gold) or gold, form.read(completion)
        else:
            answer = read_answer(_CONFIDENCE.sub(" ", completion), gold)
        return 0.0 if answer is None else self._judge(answer, replace(problem, answer=gold))

    def _judge(self, answer: str, problem: Problem) -> float:
        check, metadata = problem.row.get("check"), problem.row.get("metadata")
        if check:
            return float(is_right(check, answer))
        if normalise_answer(answer) == normalise_answer(problem.answer):
            return 1.0
        if metadata:
            return self._gym.judge(answer, problem)
        mathematical = parse_number(problem.answer) is not None or _MATHEMATICAL.search(problem.answer)
        return (self._math if mathematical else self._exact).judge(answer, problem)


def _is_list(text: str) -> bool:
    """Whether a line holds several numbers and nothing else."""
    return re.fullmatch(r"(?:[\s,;.×*+/()-]|\band\b|\d)*", text) is not None and len(text.split()) > 1


PRIME_LIMIT = 10**9
_INTEGER = re.compile(r"(?<![\d.])(?<!\d-)-?\d+(?:\.\d+)?")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_OPERATORS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def is_right(check: Mapping[str, Any], answer: str) -> bool:
    """Whether an answer passes a check; parameters that are None are left out.

    Raises:
        InputError: If the check's kind or a parameter is unknown or does not fit.

    >>> is_right({"kind": "integer", "low": 30, "high": 60, "multiple_of": 2}, "42")
    True
    >>> is_right({"kind": "text", "words": 5, "contains": ["river"]}, "The river is not wide.")
    True
    """
    kind = str(check.get("kind"))
    if kind not in CHECKS:
        raise InputError(f"'check' must have a 'kind' out of {', '.join(CHECKS)}, got {dict(check)!r:.120}")
    parameters = {name: value for name, value in check.items() if name != "kind" and value is not None}
    try:
        return len(answer) <= LIMIT and CHECKS[kind](answer, **parameters)
    except (TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"'check' must hold what {kind!r} takes, got {dict(check)!r:.120} ({error})") from error


def is_integer(
    answer: str, low: float = -math.inf, high: float = math.inf, multiple_of: int = 1, prime: bool = False
) -> bool:
    """A whole number in [low, high]."""
    number = parse_number(answer)
    return number is not None and number.denominator == 1 and _fits(int(number), low, high, multiple_of, prime)


def are_integers(
    answer: str,
    count: int,
    low: float = -math.inf,
    high: float = math.inf,
    prime: bool = False,
    different: bool = False,
    total: int | None = None,
    product: int | None = None,
) -> bool:
    """`count` whole numbers in [low, high] in one line, with this sum and this product; what follows "=" is not read.

    >>> are_integers("4 and 9", 2, product=36), are_integers("4 * 9 = 36", 2, product=36), are_integers("3 * 9", 2, 36)
    (True, True, False)
    """
    found = _INTEGER.findall(answer.split("=")[0])
    if len(found) != count or any("." in number or len(number) > 15 for number in found):
        return False
    numbers = [int(number) for number in found]
    return (
        all(_fits(number, low, high, 1, prime) for number in numbers)
        and (not different or len(set(numbers)) == count)
        and total in (None, sum(numbers))
        and product in (None, math.prod(numbers))
    )


def is_word(answer: str, starts: str = "", ends: str = "", letters: int | None = None) -> bool:
    """One word that begins and ends with these letters. No dictionary is asked: 3 to 20 letters out of a to z, a vowel
    among them, and none three times in a row.

    >>> is_word("Boat", "b", "t"), is_word("bt", "b", "t"), is_word("a boat", ends="t")
    (True, False, False)
    """
    word = answer.strip(" .\"'").lower()
    return (
        re.fullmatch(r"[a-z]{3,20}", word) is not None
        and re.search(r"[aeiouy]", word) is not None
        and re.search(r"(.)\1\1", word) is None
        and word.startswith(starts.lower())
        and word.endswith(ends.lower())
        and letters in (None, len(word))
    )


def is_one_of(answer: str, values: Sequence[str]) -> bool:
    """One of the values; case and an article do not count.

    >>> is_one_of("The Atlantic", ["Atlantic", "Pacific"])
    True
    """
    return _bare(answer) in {_bare(value) for value in values}


def is_text(
    answer: str,
    words: int | None = None,
    contains: Sequence[str] = (),
    starts: str = "",
    ends: str = "",
    without: str = "",
) -> bool:
    """One line of at least three words, none more than twice: `words` of them, with those in `contains`, the first one
    `starts`, the last characters `ends`, and without the letter `without`.

    >>> is_text("Where is the old bridge?", contains=["bridge"], ends="?", without="u")
    True
    """
    found = [word.lower() for word in _WORD.findall(answer)]
    return (
        len(found) >= 3
        and "\n" not in answer.strip()
        and max(found.count(word) for word in found) <= 2
        and words in (None, len(found))
        and {word.lower() for word in contains} <= set(found)
        and (not starts or found[0] == starts.lower())
        and answer.rstrip(" \"'”").endswith(ends)
        and not (without and without.lower() in answer.lower())
    )


def is_expression(answer: str, numbers: Sequence[int], target: int) -> bool:
    """An expression of +, -, *, / and parentheses that uses each of the numbers once and has this value.

    >>> is_expression("(7 - 4) * 8 = 24", [4, 7, 8], 24), is_expression("4 * 6", [4, 7, 8], 24)
    (True, False)
    """
    text = answer.split("=")[0].translate(str.maketrans("×÷−·", "*/-*")).strip(" .")
    if len(text) > 100 or not re.fullmatch(r"[\d ()+*/-]+", text):
        return False
    used: list[int] = []
    try:
        value = _evaluate(ast.parse(text, mode="eval").body, used)
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        return False
    return value == target and sorted(used) == sorted(numbers)


CHECKS: dict[str, Callable[..., bool]] = {
    "integer": is_integer,
    "integers": are_integers,
    "word": is_word,
    "one_of": is_one_of,
    "text": is_text,
    "expression": is_expression,
}


def _fits(number: int, low: float, high: float, multiple_of: int, prime: bool) -> bool:
    return low <= number <= high and number % multiple_of == 0 and (not prime or _is_prime(number))


def _is_prime(number: int) -> bool:
    return 1 < number < PRIME_LIMIT and all(number % factor for factor in range(2, math.isqrt(number) + 1))


def _bare(value: str) -> str:
    return re.sub(r"^(?:the|an?) ", "", normalise_answer(value))


def _evaluate(node: ast.expr, used: list[int]) -> Fraction | None:
    """The value of an expression whose numbers go to `used`; None where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        used.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(node.left, used), _evaluate(node.right, used)
        return None if left is None or right is None else _OPERATORS[type(node.op)](left, right)
    return None
