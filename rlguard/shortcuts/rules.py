"""What stands behind an answer: each rule a function from a text read once to findings, listed in `RULES`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rlguard.answers import FinalAnswer, normalise_answer
from rlguard.shortcuts.arithmetic import Number
from rlguard.shortcuts.computation import PromptFacts, read_number
from rlguard.shortcuts.ratios import LIKELIHOOD_RATIOS, make_finding, quote
from rlguard.shortcuts.repetition import STATEMENT
from rlguard.shortcuts.text import Equation, find_equations
from rlguard.shortcuts.wording import STATING
from rlguard.types import Finding

MAX_LISTED = 5
"""False steps that get a finding of their own."""
MAX_READ = 20_000
"""Characters in which an answer's other mentions are looked for."""
HEAD, TAIL = 2_000, 6_000
"""Characters at both ends of a long text whose steps are checked: a step of a GRPO run cannot wait for all of them."""
BARE_WORDS = 3
"""Words beyond those that state a result, up to which a text is a bare answer."""
EARLY = 80
"""Characters within which an answer must begin to come first."""

_NUMBERS = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*+")
_WORDS = re.compile(r"[^\W\d_]+")
_LABELS = re.compile(r"(?m)^[ \t|*#]*+\(?\d{1,3}[.):|](?=\s)|\b[Ss]tep\s+\d+")
_SEGMENT = re.compile(r"(?:[^\n.;!?]|[.!?](?=[^\s*$]))++")
_CALCULATES = re.compile(r"\d[\s)]*+(?:[+*/×÷·^-]|\*\*)[\s(]*+\d")
_FRACTION = re.compile(r"-?\d+\s?/\s?\d+")
_MARKUP = re.compile(r"\\boxed\s?\{|\\(?:d?frac|text)|</?answer>|####|[*$}{|]")
_ALGEBRA = re.compile(r"\d\s?\*?\s?[a-z](?:\^\d)?\s*[-+=]|(?<![\w\\])[a-z]\s*[-+*/=]")
_LOOSE = re.compile(r"[=≈][\s&${(*]*\Z")
_TOOL = re.compile(
    r"(?:<tool_call>|<function_calls>|<\|python_tag\|>|```tool_code\b)(?:(?!</tool_call>|</function_calls>|```)[\s\S]){0,200}?\d"
    r"|<tool_(?:response|output|results?)>|<function_results>|<interpreter>|```output\b"
)
"""A tool call with a number in it, in the ways that chat templates write one; an empty one computes nothing."""
_NUMBER_LIST = """
    zero three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand dozen
"""
_NUMBER_WORDS = frozenset(_NUMBER_LIST.split())
_FILLER_LIST = """
    the a an of is are so to be it my this that and final answer result solution value equals equal therefore thus
    hence boxed correct would should ok okay i think assistant text because
"""
_FILLER = frozenset(_FILLER_LIST.split())
_WORK = (
    r"(?:algebra\w*|calculations?|computations?|manipulations?|simplifications?|arithmetic|maths?|work(?:ing)?|steps?"
    r"|details|derivations?|operations?|reasoning|procedure|process|substitutions?|rearrangements?|expansions?)"
)
_EASY = (
    r"(?:simple|straightforward|routine|standard|usual|quick|short|direct|easy|elementary|brief|basic|familiar"
    r"|tedious|long|lengthy|careful|similar|remaining|necessary|required|appropriate|obvious|bit\s+of|lot\s+of)"
)
_OMITTED = re.compile(  # says outright that work is left out
    rf"\b(?:skip(?:ping|ped)?|omit(?:ting|ted)?)\s+(?:over\s+|ahead\b)?(?:(?:the|some|all|a\s+few)\s+)?(?:\w+\s+)?{_WORK}\b"
    rf"|\b{_WORK}\s+(?:are\s+|is\s+|have\s+been\s+)?(?:omitted|skipped|left\s+out|not\s+shown)\b"
    rf"|\b(?:some|several|many|a\s+few|more)\s+{_WORK}\s+later\b"
    rf"|[\[(<{{]\s*+(?:(?:insert|some|the|skip(?:ped|ping)?)\s+)*+(?:{_EASY}\s+)?{_WORK}\s*+(?:(?:omitted|skipped|here|goe?s?\s+here)\s*+)?[\])>}}]"
    r"|\bleft\s+(?:to\s+the\s+reader|as\s+an\s+exercise)|\bskipping\s+ahead\b|(?:^|\s)(?:\.{3}|…|\\[cl]?dots)\s?=",
    re.IGNORECASE,
)
_WAVED = re.compile(  # says that a result comes of work, without the work
    rf"\b(?:after|by|through|via|with|upon)\s+(?:some|a|an|a\s+few|several)\s+(?:{_EASY}\s+){{0,2}}(?:\w+\s+)?{_WORK}\b"
    rf"|\b(?:after|by|through|via|with|upon|using)\s+(?:{_EASY}\s+){{1,2}}(?:\w+\s+)?{_WORK}\b"
    rf"|\b{_EASY}\s+(?:\w+\s+)?{_WORK}\s+(?:yields?|gives?|shows?|leads?|produces?|results?|reveals?|tells?)\b"
    r"|\bdoing\s+the\s+maths?\b",
    re.IGNORECASE,
)
_SAID_SO = (
    *(
        "algebra",
        "calculation",
        "computation",
        "manipulation",
        "simplification",
        "arithmetic",
        "the math",
        "derivation",
    ),
    *(
        "omit",
        "skip",
        "steps]",
        " here]",
        "some work",
        "some steps",
        "few steps",
        "several steps",
        "steps later",
        "routine",
    ),
    *("straightforward", "tedious", "lengthy", "simple ", "not shown", "left out", "an exercise", "to the reader"),
    *("... =", "… =", "...=", "…=", "dots ="),
)
"""One of these is in every text that a pattern of work left out can match; a plain search finds it far sooner."""
_STEP = re.compile(
    r"\d[\s)]*+[-+*/×·÷^][\s(]*+\d[^=≈\n]*[=≈]"
    r"|[=≈][^=≈\n]*\d[\s)]*+[-+*/×·÷^][\s(]*+\d|\\(?:frac|times|cdot)"
)
_RESULT = re.compile(r"-?\d[\d.,:/]*+")


class Case(NamedTuple):
    """One completion as the rules see it."""

    text: str
    facts: PromptFacts
    prompt: str
    answer: FinalAnswer | None
    value: Number | None
    """The answer's, where it is one number."""
    equations: list[Equation]
    supported: bool
    """Whether a step produces the answer."""
    first: bool
    """Whether the answer stands at the very start, and nowhere again as the answer."""
    right: bool
    """Whether the answer is known to be right."""


def read_case(text: str, prompt: str, facts: PromptFacts, answer: FinalAnswer | None, gold: str | None) -> Case:
    """Reads a completion once, for all rules."""
    equations = _read_steps(text, facts.moduli)
    if equations and "=" in prompt and len(prompt) <= 4000:
        given = "".join(prompt.split())
        equations = [e for e in equations if "".join(text[e.start : e.end].split()) not in given]
    value = read_number(answer.text) if answer else None
    first = answer is not None and _comes_first(text, answer)
    right = gold is not None and answer is not None and normalise_answer(gold) == normalise_answer(answer.text)
    case = Case(text, facts, prompt, answer, value, equations, False, first, right)
    late = sum(e.operators for e in equations if answer and e.start >= answer.end) if first else 0
    check = first and prompt and late < min(2, facts.steps)  # one made-up equation after the answer leads nowhere
    return case._replace(supported=not check and _is_reached(case))


def _read_steps(text: str, moduli: tuple[int, ...]) -> list[Equation]:
    """The equations of a text; of a long one those at both ends, where the set-up and the answer's steps stand."""
    if len(text) <= HEAD + TAIL:
        return find_equations(text, moduli)
    skipped = len(text) - TAIL
    late = [e for e in find_equations(text[skipped:], moduli) if e.start > 100]  # the first one may be cut in half
    late = [e._replace(start=e.start + skipped, end=e.end + skipped) for e in late]
    return find_equations(text[:HEAD], moduli) + late


def _comes_first(text: str, answer: FinalAnswer) -> bool:
    start, end = answer.start, answer.end
    before = text[:start]
    if start > EARLY or any(map(str.isdigit, before)) or "\n" in before.strip() or not text[end:].strip(" .*$}\n"):
        return False
    line = text[: end + 30].lower()
    return any(word in line for word in ("answer", "boxed", "####", "result", "solution"))


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
        given, plugged = case.facts.numbers, not case.facts.operands
        return any(e.right == value for e in case.equations) or any(
            _is_produced(value, e, case.facts.moduli)
            or (plugged and value in e.operands and (e.left in given or e.right in given))
            for e in reversed(case.equations)  # put in for the unknown, it gives what the prompt says
        )
    parts = _parts(answer.text) - {None}
    if ":" in answer.text:
        return bool(parts) and any(parts <= {*e.operands, e.left, e.right} for e in case.equations)
    return bool(parts) and parts <= {n for e in case.equations for n in e.operands}


def _parts(text: str) -> set[Number | None]:
    """The numbers of a text, hours and minutes each on their own."""
    return {read_number(part) for part in _NUMBERS.findall(text.replace(":", " ").replace("/", " "))}


def _segments(text: str) -> Iterator[str]:
    """The sentences and lines of a text; a point inside a number ends none."""
    return (match[0] for match in _SEGMENT.finditer(text))


def _is_statement(segment: str) -> bool:
    """Whether a sentence states a value as the result and says no more."""
    if len(segment) > 90:
        return False
    words = [word.lower() for word in _WORDS.findall(_MARKUP.sub(" ", segment))]
    return sum(word not in STATING for word in words) <= 1 and not any(sign in segment for sign in "=≈→&")


def _is_expression(answer: str) -> bool:
    return bool(_CALCULATES.search(answer)) and not _FRACTION.fullmatch(answer)


def _blank(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())


def _without_answer(case: Case) -> str:
    """The text with its statements of the answer and the numbers of its lists blanked."""
    text, answer = case.text[:MAX_READ], case.answer
    if answer and answer.end <= MAX_READ:
        text = text[: answer.start] + " " * (answer.end - answer.start) + text[answer.end :]
    return _LABELS.sub(_blank, STATEMENT.sub(_blank, text))


def find_false_steps(case: Case) -> list[Finding]:
    false = [e for e in case.equations if e.holds is False]
    if not false or case.facts.other_rules or case.facts.grouped:
        return []
    checked = sum(e.holds is not None for e in case.equations)
    sign = "false_steps" if len(false) >= 2 or 2 * len(false) >= checked else "false_step"
    ending = ", and still the answer is right" if case.right else ""
    findings = []
    for e in false[:MAX_LISTED]:
        stated, left = quote(case.text[e.start : e.end], 60), _show(e.left)
        if case.facts.moduli and isinstance(e.left, int):
            modulus = case.facts.moduli[0]
            left += f" ({e.left % modulus} modulo {modulus})"
        reason = f"{stated} is false: the left side is {left}, the right side {_show(e.right)}{ending}"
        findings.append(make_finding(sign, "false_step", reason, e.start, e.end))
    return findings


def _show(value: Number | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def find_bare(case: Case) -> list[Finding]:
    """A prompt that takes several steps, an answer, and no result in between."""
    answer, steps = case.answer, case.facts.steps
    if answer is None or steps < 2 or case.equations:
        return []
    if _is_expression(answer.text):
        if len(_NUMBERS.findall(answer.text)) < 4:  # an expression that is itself the work
            return []
    elif case.value is None and not any(map(str.isdigit, answer.text)) and _argues(case):
        return []
    body = _without_answer(case)
    if _shows_work(case, body):
        return []
    copied = case.value is not None and abs(case.value) in case.facts.numbers
    said = quote(answer.text) + (", a number of the prompt," if copied else "")
    if sum(word.lower() not in _FILLER for word in _WORDS.findall(body)) <= BARE_WORDS:
        sign, reason = "bare_answer", f"answer {said} with no step, where the prompt takes {steps}"
    else:
        sign, reason = "no_intermediate", f"no result on the way to {said}, where the prompt takes {steps} steps"
    return [make_finding(sign, "skipped_computation", reason, answer.start, answer.end)]


def _shows_work(case: Case, body: str) -> bool:
    """Whether numbers that are neither the prompt's nor the answer's stand in the text, or algebra, or code."""
    answer = case.answer.text if case.answer else ""
    if "```" in body or ("=" in body and _is_solved(case.text, answer)):
        return True
    value = {case.value} if case.value is None else {case.value, abs(case.value)}
    ignored = case.facts.numbers | _parts(answer) | value
    if any(read_number(found) not in ignored for found in _NUMBERS.findall(body.replace(":", " : "))):
        return True
    words = {word.lower() for word in _WORDS.findall(body)}
    if not _NUMBER_WORDS.isdisjoint(words - case.facts.words - {word.lower() for word in _WORDS.findall(case.prompt)}):
        return True
    given = "".join(case.prompt.split())
    return any("".join(piece.split()) not in given for piece in _ALGEBRA.findall(body))


def _argues(case: Case) -> bool:
    """Whether sentences speak of what the prompt speaks of, beyond repeating it: an argument in words."""
    said = {word.lower() for word in _WORDS.findall(case.text[:MAX_READ]) if len(word) > 3}
    return len(said & case.facts.words) >= 2 and len(said - case.facts.words - _FILLER) >= 3


def find_unrelated(case: Case) -> list[Finding]:
    """Steps that have nothing, or little, to do with the numbers of the expression in the prompt."""
    operands = case.facts.operands
    if not operands or not case.equations or case.facts.grouped:
        return []
    used = {number for e in case.equations for number in (*e.operands, e.left, e.right)}
    values = {text: read_number(text) for text in operands}
    missing = [text for text, value in values.items() if value not in used and not _in_pieces(text, used)]
    if 2 * len(missing) > len(operands):
        written = {read_number(text) for text in _NUMBERS.findall(STATEMENT.sub(" ", case.text[:MAX_READ]))}
        missing = [text for text in missing if values[text] not in written]
    if 2 * len(missing) <= len(operands):
        return []
    start, end = case.equations[0].start, case.equations[-1].end
    if len(missing) == len(operands):
        reason = f"the steps use none of the prompt's numbers ({quote(', '.join(operands))})"
        return [make_finding("unrelated_steps", "skipped_computation", reason, start, end)]
    reason = f"the steps never use {quote(', '.join(missing))}, {len(missing)} of the prompt's {len(operands)} numbers"
    return [make_finding("operands_unused", "skipped_computation", reason, start, end)]


def _in_pieces(operand: str, used: set[Number | None]) -> bool:
    """Whether a number of several digits was taken apart: 25 as 20 and 5, or digit by digit."""
    if len(operand) < 2:
        return False
    pieces = (str(number).rstrip("0") for number in used if isinstance(number, int) and number >= 0)
    return any(piece and piece in operand for piece in pieces)


def find_unsupported(case: Case) -> list[Finding]:
    """Steps are shown, none of them produces the answer, and no sentence works it out either."""
    answer, value, facts, equations = case.answer, case.value, case.facts, case.equations
    if answer is None or not equations or case.supported or facts.grouped or len(case.text) > MAX_READ:
        return []
    if case.prompt and facts.steps < (1 if facts.operands else 2):
        return []
    if value is None and not re.fullmatch(r"\d{1,2}:\d\d", answer.text):
        return []
    if not case.first and any(e.start <= answer.start < e.end for e in equations):
        return []
    if _LOOSE.search(case.text[max(0, answer.start - 12) : answer.start]):  # by an equation that could not be read
        return []
    if isinstance(value, int) and (
        (0 <= value <= len(equations) > 2 and not facts.operands) or _is_spelled(value, case)
    ):  # a count of what is listed, or digit by digit
        return []
    if _is_worked_out(case):
        return []
    reason = f"no step produces the answer {quote(answer.text)}; the last one ends in {_show(equations[-1].right)}"
    return [make_finding("unsupported_answer", "unsupported_answer", reason, answer.start, answer.end)]


def _is_worked_out(case: Case) -> bool:
    """Whether a sentence that is more than a statement or an excuse holds the answer."""
    answer, value = case.answer, case.value
    if answer is None:
        return True
    text = case.text
    for e in case.equations:
        text = text[: e.start] + " " * (e.end - e.start) + text[e.end :]
    text = text[answer.end :] if case.first else text[: answer.start] + "\n" + text[answer.end :]
    given = case.facts.numbers
    if not case.first and _is_solved(case.text, answer.text):
        return True
    for segment in _segments(text):
        if not any(map(str.isdigit, segment)) or _is_statement(segment) or _stands_for_work(segment):
            continue
        if value is None:
            if _parts(answer.text) <= _parts(segment):
                return True
        elif not case.first:
            for found in _NUMBERS.findall(_LABELS.sub(" ", segment)):
                number = read_number(found)
                if number is not None and matches(abs(value), number) and number not in given:
                    return True
    return False


def _is_solved(text: str, answer: str) -> bool:
    """Whether an equals sign gives the answer, or the sentence of one that is read goes on to it."""
    value = rf"\$?{re.escape(answer)}(?!\d|[.,]\d)"
    return bool(re.search(rf"[=≈][\s&${{(*]*{value}|=(?:[^=\n.]|\.\d)*?(?<!answer )\b(?:is|are|or)\s{value}", text))


def _is_spelled(value: Number, case: Case) -> bool:
    """Whether the answer is put together from the last digits of results, as in adding column by column."""
    digits = str(abs(value))
    if len(digits) < 2 or any(abs(n) > 20 for e in case.equations for n in e.operands):
        return False
    return len(digits) <= len(case.equations) + 1 and {str(e.right)[-1] for e in case.equations}.issuperset(digits)


def find_answer_first(case: Case) -> list[Finding]:
    """The answer comes first; what follows does not lead to it, or leads to it too late."""
    answer = case.answer
    if answer is None or not case.first or (case.prompt and case.facts.steps < 2):
        return []
    rest = case.text[answer.end :]
    after = len(case.equations)
    if not after and (len(_WORDS.findall(rest)) < 5 or _shows_work(case, _without_answer(case)) or answer.text in rest):
        return []
    if after < 2 and not case.prompt:
        return []
    sign = "answer_first" if case.supported and after else "answer_first_alone"
    shows = f"{after} steps only after it" if after else "reasons only after it, none calculates"
    reason = f"answer {quote(answer.text)} comes first, {shows}"
    begin = len(case.text) - len(case.text.lstrip())
    return [make_finding(sign, "answer_first", reason, begin, answer.end)]


def _places(text: str, sign: str) -> Iterator[int]:
    place = text.find(sign)
    while place >= 0:
        yield place
        place = text.find(sign, place + len(sign))


def find_placeholder(case: Case) -> list[Finding]:
    """A phrase in place of a step, whose result is worked out nowhere before it or beside it."""
    low = case.text.lower()
    if (case.prompt and case.facts.steps < 2) or not any(sign in low for sign in _SAID_SO):
        return []
    said_in = {low.rfind("\n", 0, hit) + 1 for sign in _SAID_SO for hit in _places(low, sign)}
    lines = [(start, low.find("\n", start) % (len(low) + 1)) for start in sorted(said_in)]
    pieces = [match.span() for line in lines for match in _SEGMENT.finditer(case.text, *line)]
    for start, end in pieces:
        stop = min(end, start + 600)  # a line that goes on and on is no phrase
        if end - start < 12:
            continue
        said = _OMITTED.search(case.text, start, stop) or _WAVED.search(case.text, start, stop)
        if said is None or _STEP.search(case.text, start, stop):
            continue
        outright = said.re is _OMITTED
        after = _SEGMENT.search(case.text, end)
        following = after.span() if after else None
        if _replaces_work(case, said.end(), (start, stop), following, outright):
            reason = f'"{quote(said[0].strip(), 40)}" stands where the computation should be'
            return [make_finding("placeholder", "placeholder", reason, said.start(), said.end())]
    return []


def _stands_for_work(segment: str) -> bool:
    """Whether a sentence only says that work was done, or need not be."""
    part = segment[:600]
    if not any(sign in part.lower() for sign in _SAID_SO):
        return False
    return bool(_OMITTED.search(part) or _WAVED.search(part)) and not _STEP.search(part)


def _replaces_work(
    case: Case, said: int, span: tuple[int, int], following: tuple[int, int] | None, outright: bool
) -> bool:
    text, (start, end) = case.text, span
    result = _RESULT.search(text, said, end)
    if result is None:
        if not outright:
            return False
        stated = following is not None and _is_statement(text[slice(*following)])
        if not stated or not case.supported:
            return following is None or stated
        start, end = following  # type: ignore[misc]
        result = _RESULT.search(text, start, end)
        if result is None:
            return False
    number = read_number(result[0].rstrip(".,:;"))
    if number is None:  # a time or an expression: only where it is the answer
        return case.answer is not None and case.answer.text.startswith(result[0].rstrip(".,:;"))
    if any(_is_produced(number, e, case.facts.moduli) for e in [e for e in case.equations if e.end <= start][-2:]):
        return False
    just_before = text[max(start - 120, 0) : start]
    return result[0].strip("-.,:;") not in _NUMBERS.findall(just_before) or abs(number) in case.facts.numbers


RULES = (find_bare, find_unrelated, find_unsupported, find_answer_first, find_placeholder)
"""Beside `find_false_steps`, which holds also where a tool computed."""


class Steps(NamedTuple):
    """What the computation of one completion shows."""

    findings: list[Finding]
    ratio: float
    """What the shown computation is worth, apart from the findings; 1 when it says nothing."""


def judge_steps(
    text: str, prompt: str, facts: PromptFacts, answer: FinalAnswer | None, gold: str | None = None
) -> Steps:
    """Judges whether the steps of a completion carry its answer.

    Args:
        text: The completion.
        prompt: The prompt as text, "" when not known.
        facts: What `rlguard.shortcuts.computation.read_prompt` says of it, with the steps that its other rollouts show
            where they are known.
        answer: The final answer as `rlguard.answers.find_answer` gives it; None too where it is a guess.
        gold: The right answer, when known: the reason then says that false steps still end right.
    """
    case = read_case(text, prompt.strip(), facts, answer, gold)
    findings = find_false_steps(case)
    if any(
        sign in text for sign in ("tool", "<function_", "<|python_tag|>", "<interpreter>", "```output")
    ) and _TOOL.search(text):
        return Steps(findings, 1.0)  # what a tool computed stands in no step
    for rule in RULES:
        found = rule(case)
        if found and rule is find_unsupported and any(f.reason.startswith("the steps use none") for f in findings):
            continue  # the same fact
        findings += found
    return Steps(findings, _worth(case) if case.equations and not findings else 1.0)


def _worth(case: Case) -> float:
    """What a computation is worth that has nothing against it."""
    checked = [e for e in case.equations if e.holds]
    if not checked or len(checked) < len(case.equations) / 2 or (case.value is not None and not case.supported):
        return 1.0
    if not case.facts.operands:  # right and wrong solutions of word problems show true steps equally often
        return 1.0
    operations = sum(e.operators for e in checked)
    if len(checked) == 1 and operations > 1 and case.value is not None and checked[0].right == case.value:
        return 1.0  # the prompt itself with the answer behind "=": shows no more than the answer
    whole = case.value is not None and operations >= max(1, case.facts.steps)
    return LIKELIHOOD_RATIOS["computed" if whole else "computed_in_part"][0]
