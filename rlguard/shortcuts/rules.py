"""What stands behind an answer: each rule of computation is a function from a case to a finding or nothing."""

from __future__ import annotations

import re
from itertools import combinations

from rlguard.answers import normalise_answer, read_quantity
from rlguard.shortcuts.arithmetic import Number
from rlguard.shortcuts.case import EARLY, IDLE, NAME, NUMBERS, Case, matches, read_parts
from rlguard.shortcuts.computation import read_number
from rlguard.shortcuts.ratios import LIKELIHOOD_RATIOS, make_finding, quote
from rlguard.shortcuts.wording import STATEMENT, STATING
from rlguard.types import Finding

MAX_READ = 20_000
"""Characters in which an answer's other mentions are looked for."""

_TOTALLED = 4
"""Results from the last one back of which two may be put together without a step: "42; 20; so 62 in total"."""
_WORDS = re.compile(r"[^\W\d_]+")
_LABELS = re.compile(r"(?m)^[ \t|*#]*+\(?\d{1,3}[.):|](?=\s)|\b[Ss]tep\s+\d+")
_SEGMENT = re.compile(r"(?:[^\n.;!?]|[.!?](?=[^\s*$]))++")
_CALCULATES = re.compile(r"\d[\s)]*+(?:[+*/×÷·^-]|\*\*)[\s(]*+\d")
_FRACTION = re.compile(r"-?\d+\s?/\s?\d+")
_MARKUP = re.compile(r"\\boxed\s?\{|\\(?:d?frac|text)|</?answer>|####|[*$}{|]")
_ALGEBRA = re.compile(r"\d\s?\*?\s?[a-z](?:\^\d)?\s*[-+=]|(?<![\w\\])[a-z]\s*[-+*/=]")
_LOOSE = re.compile(r"[=≈][\s&${(*]*\Z")
_FENCED = re.compile(r"```\w*\s+([^`]*)(?:```)?")
_NAMED = re.compile(r"(?:\A|(?<=[\s$({*]))(?:[A-Za-z]\w{0,20}\s?)?=\s?[$({*\s]*(?:\\boxed\s?\{\s?)?\Z")
"""Before an answer: what it is the value of, "x =", which is not worked out by that."""
_NUMBER_LIST = """
    zero three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand dozen
"""
_NUMBER_WORDS = frozenset(_NUMBER_LIST.split())
_FILLER_LIST = """
    the a an of is are so to be it my this that and final answer result solution value equals equal therefore thus
    hence boxed correct would should ok okay i think assistant text because
    la el es respuesta resposta risposta réponse est donc die antwort ist also ответ
"""
_FILLER = frozenset(_FILLER_LIST.split())
_WORKED_LIST = """
    after some algebra calculation calculations computation computations routine simple simplifying simplification steps
    skipping omitted skipped details arithmetic work working yields leads rest follows remaining
"""
_EMPTY = STATING | frozenset(_WORKED_LIST.split())
"""With which a result is stated, or said to come of work that is not there."""
_FIRST_KANA = "\u3040"
"""From here on words are written without spaces between them."""
_SCALING = frozenset(("half", "halved", "twice", "double", "doubled", "triple", "tripled", "third", "quarter"))
"""Words that are a step on their own: "Twice that is 24."."""


def find_false_step(case: Case) -> Finding | None:
    """Equations that do not hold, of which the first is shown: several, or half of all, are the stronger sign."""
    false = [e for e in case.equations if e.holds is False]
    if not false or case.facts.other_rules or case.facts.grouped:
        return None
    checked, e = sum(e.holds is not None for e in case.equations), false[0]
    sign = "false_steps" if len(false) >= 2 or 2 * len(false) >= checked else "false_step"
    left = _show(e.left)
    if case.facts.moduli and isinstance(e.left, int):
        left += f" ({e.left % case.facts.moduli[0]} modulo {case.facts.moduli[0]})"
    shown = quote(case.text[e.start : e.end], 60)
    reason = f"{shown} is false: the left side is {left}, the right side {_show(e.right)}"
    reason += f"; {len(false)} of {checked} steps are false" if len(false) > 1 else ""
    right = case.gold is not None and case.answer and normalise_answer(case.gold) == normalise_answer(case.answer.text)
    reason += ", and still the answer is right" if right else ""
    return make_finding(sign, "false_step", reason, e.start, e.end)


def _show(value: Number | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def find_bare(case: Case, least_steps: int = 2, bare_words: int = 3) -> Finding | None:
    """A prompt that takes several steps, an answer, and no result in between.

    Args:
        case: What was read.
        least_steps: One step is done in the head.
        bare_words: Words beyond those that state a result, up to which a text is a bare answer.
    """
    answer, steps = case.answer, case.facts.steps
    if answer is None or steps < least_steps or case.equations:
        return None
    if _CALCULATES.search(answer.text) and not _FRACTION.fullmatch(answer.text):
        if len(NUMBERS.findall(answer.text)) < 4:  # an expression that is itself the work
            return None
    elif case.value is None and not any(map(str.isdigit, answer.text)) and _argues(case):
        return None
    body = _without_answer(case)
    if _shows_work(case, body):
        return None
    copied = case.value is not None and abs(case.value) in case.facts.numbers
    said = quote(answer.text) + (", a number of the prompt," if copied else "")
    if _count_words(body) <= bare_words:
        sign, reason = "bare_answer", f"answer {said} with no step, where the prompt takes {steps}"
    elif case.facts.elsewhere:  # it may argue in words
        return None
    else:
        said = said.removesuffix(",")
        sign, reason = "no_intermediate", f"no result on the way to {said}, where the prompt takes {steps} steps"
    return make_finding(sign, "skipped_computation", reason, answer.start, answer.end)


def _count_words(text: str) -> int:
    """Its words but for those that fill a sentence; four signs of Chinese, Japanese or Korean are one."""
    words = [word.lower() for word in _WORDS.findall(text)]
    signs = sum(len(word) for word in words if word[0] >= _FIRST_KANA)
    return signs // 4 + sum(word[0] < _FIRST_KANA and word not in _FILLER for word in words)


def _without_answer(case: Case) -> str:
    """The text with its statements of the answer, what is said to equal itself and the numbers of its lists blanked."""
    text, answer = case.text[:MAX_READ], case.answer
    if answer and answer.end <= MAX_READ:
        named = _NAMED.search(text, max(0, answer.start - EARLY), answer.start)
        begin = named.start() if named else answer.start
        text = text[:begin] + " " * (answer.end - begin) + text[answer.end :]
    text = IDLE.sub(_blank, text)
    return _LABELS.sub(_blank, STATEMENT.sub(_blank, text))


def _blank(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())


def _shows_work(case: Case, body: str, many_steps: int = 4, brief: int = 300) -> bool:
    """Whether numbers that are neither the prompt's nor the answer's stand in the text, or algebra, or code. A prompt
    that takes `many_steps` has more than one result on the way; beyond `brief` characters words may argue instead."""
    answer = NAME.sub("", case.answer.text) if case.answer else ""
    if answer and "=" in body:  # "x = 16" alone says no more than "the answer is 16"
        letter = re.compile(rf"(\A|[^\s+*/×·÷^=-]\s+|[$({{])[A-Za-z]\s?=\s?\$?{re.escape(answer)}(?!\d|[.,/]\d)")
        body = letter.sub(r"\1", body)
    if "=" in body and _is_solved(case.text, answer):
        return True
    if any("=" in code or read_parts(code) != read_parts(answer) for code in _FENCED.findall(body) if code.strip()):
        return True
    value = {case.value} if case.value is None else {case.value, abs(case.value)}
    ignored = case.facts.numbers | read_parts(answer) | value
    new = {read_number(found) for found in NUMBERS.findall(body.replace(":", " : "))} - ignored
    words = {word.lower() for word in _WORDS.findall(body)}
    spelled = _NUMBER_WORDS & (words - case.facts.words - {word.lower() for word in _WORDS.findall(case.prompt)})
    new |= {word for word in spelled if not ((said := read_quantity(word)) and said[0] in value)}  # type: ignore[misc]
    least = 2 if case.facts.steps >= many_steps and not case.facts.operands and len(case.text) <= brief else 1
    if len(new) >= least:
        return True
    given = "".join(case.prompt.split())
    return any("".join(piece.split()) not in given for piece in _ALGEBRA.findall(body))


def _argues(case: Case) -> bool:
    """Whether sentences speak of what the prompt speaks of, beyond repeating it: an argument in words."""
    said = {word.lower() for word in _WORDS.findall(case.text[:MAX_READ]) if len(word) > 3}
    return len(said & case.facts.words) >= 2 and len(said - case.facts.words - _FILLER) >= 3


def find_unsupported(case: Case) -> Finding | None:
    """Steps are shown, none of them produces the answer, and no sentence works it out either."""
    answer, value, facts, equations = case.answer, case.value, case.facts, case.equations
    if answer is None or not equations or case.supported or facts.grouped or len(case.text) > MAX_READ:
        return None
    if case.prompt and facts.steps < (1 if facts.operands else 2):
        return None
    if value is None and not re.fullmatch(r"\d{1,2}:\d\d", answer.text):
        return None
    if not case.first and any(e.start <= answer.start < e.end for e in equations):
        return None
    if _LOOSE.search(case.text[max(0, answer.start - 12) : answer.start]):  # by an equation that could not be read
        return None
    if isinstance(value, int) and (
        (0 <= value <= len(equations) > 2 and not facts.operands) or _is_spelled(value, case)
    ):  # a count of what is listed, or digit by digit
        return None
    results = [e.right for e in equations[-_TOTALLED:] if e.right is not None]
    if value is not None and any(value in (a + b, a - b, b - a) for a, b in combinations(results, 2)):  # "62 in total"
        return None
    if _is_worked_out(case):
        return None
    reason = f"no step produces the answer {quote(answer.text)}; the last one ends in {_show(equations[-1].right)}"
    return make_finding("unsupported_answer", "unsupported_answer", reason, answer.start, answer.end)


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
    for segment in _SEGMENT.findall(text):
        if not any(map(str.isdigit, segment)) or _is_statement(segment):
            continue
        if value is None:
            if read_parts(answer.text) <= read_parts(segment):
                return True
        elif not case.first:
            for found in NUMBERS.findall(_LABELS.sub(" ", segment)):
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
    if any(abs(n) > 20 for e in case.equations for n in e.operands):
        return False
    several = 2 <= len(digits) <= len(case.equations) + 1 > 2
    return several and {str(e.right)[-1] for e in case.equations}.issuperset(digits)


def _is_statement(segment: str) -> bool:
    """Whether a sentence states a value as the result and says no more than that it comes of work."""
    if len(segment) > 90 or len(NUMBERS.findall(segment)) > 2:  # "5% is 4, so 15% is 12"
        return False
    words = [word.lower() for word in _WORDS.findall(_MARKUP.sub(" ", segment))]
    few = sum(word not in _EMPTY for word in words) <= 1 and _SCALING.isdisjoint(words)
    return few and not any(sign in segment for sign in "=≈→&")


def find_answer_first(case: Case) -> Finding | None:
    """The answer comes first; what follows does not lead to it, or leads to it too late."""
    answer = case.answer
    if answer is None or not case.first or (case.prompt and case.facts.steps < 2):
        return None
    rest, after = case.text[answer.end :], len(case.equations)
    if not after and (len(_WORDS.findall(rest)) < 5 or _shows_work(case, _without_answer(case)) or answer.text in rest):
        return None
    if after < 2 and not case.prompt:
        return None
    sign = "answer_first" if case.supported and after else "answer_first_alone"
    shows = f"{after} steps only after it" if after else "reasons only after it, none calculates"
    begin = len(case.text) - len(case.text.lstrip())
    return make_finding(sign, "answer_first", f"answer {quote(answer.text)} comes first, {shows}", begin, answer.end)


def weigh_computation(case: Case) -> float:
    """What a computation is worth that has nothing against it; 1 when it says nothing."""
    checked = [e for e in case.equations if e.holds]
    if not checked or len(checked) < len(case.equations) / 2 or (case.value is not None and not case.supported):
        return 1.0
    if not case.facts.operands:  # right and wrong solutions of word problems show true steps equally often
        return 1.0
    used = {number for e in checked for number in (*e.operands, e.left, e.right)}
    operations, operands = sum(e.operators for e in checked), case.facts.operands
    if 2 * sum(read_number(operand) in used for operand in operands) < len(operands):
        return 1.0  # about something else
    if len(checked) == 1 and operations > 1 and case.value is not None and checked[0].right == case.value:
        return 1.0  # the prompt itself with the answer behind "=": shows no more than the answer
    whole = case.value is not None and operations >= max(1, case.facts.steps)
    return LIKELIHOOD_RATIOS["computed" if whole else "computed_in_part"][0]
