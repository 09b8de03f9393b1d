"""Where the final answer of a completion stands."""

from __future__ import annotations

import re
from typing import NamedTuple

from rlguard.answers.numerals import CURRENCIES, read_quantity
from rlguard.types import Messages

ANSWER_CUE = "The answer is"
"""How an answer is begun for a model that is to give nothing else."""
_THOUGHTS = {  # how thinking ends, and how it begins
    "</think>": "<think>", "</thinking>": "<thinking>", "</thought>": "<thought>", "</reasoning>": "<reasoning>",
    "[/THINK]": "[THINK]", "◁/think▷": "◁think▷", "<|end_of_thought|>": "<|begin_of_thought|>",
    "<|channel|>final<|message|>": "<|channel|>analysis<|message|>",
}  # fmt: skip
_SPECIAL = re.compile(r"(?:<\|[^|<>\s]{1,40}\|>|</s>|<eos>|<end_of_turn>|\s)+\Z")
_TAG_TAIL = 500  # characters: an <answer> that is never closed is one when it stands so near the end (a stop string)
_ASK = 60  # characters between "answer" and what says that it comes
_VALUE = 300  # characters of a sentence that are read as an answer
_LOOKED_AT = 100  # boxes, numbers and mentions of the word "answer", from the last one back
_NUMBER_SHAPE = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?"
_SAID = re.compile(  # after "answer": "5", or "… is/:/= VALUE" within one sentence, or a heading's end
    rf"s?\b(?:[ \t]+(?={_NUMBER_SHAPE})|(?P<ask>[^\n.:=?!;：]{{0,{_ASK}}}?)"
    r"(?:\b(?:is|are|equals|be)\b|[:=：])(?:[\s*_]*(?:\bis\b|[:=：]))?|(?P<heading>[*_:# \t]*\n))"
)
_SAID_CJK = re.compile(r"(?:应该|應該|就|为|為|是|等于|等於|选|選|[:：=*\s])+")
_BEFORE = re.compile(  # nothing before "answer" in its sentence but such words
    r"(?:^|[\n.!?;:：。—,>])[\s*#_>\-(]*(?:(?:so|thus|therefore|hence|then|now|wait|no|actually|and|but|the|my|our|your|a|"
    r"final|correct|right|best|overall|numerical|numeric|short|option)\b[\s,*_:]*)*\Z",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"(?:^|[;\n])[ \t]*answer[ \t]+([^\s;]+)\s*\Z", re.IGNORECASE)  # nothing else in the last line
_FILLER = re.compile(
    r"(?:(?:approximately|approx\.|about|roughly|around|exactly|therefore|thus|then|hence|simply|just|only|indeed|clearly|"
    r"obviously|also|actually|now|still|precisely|equal to|given by|found to be|(?:the |an? )?(?:number|value|integer|"
    r"fraction|word|letter|option|choice|答案|选项)|not\b[^.\n]{1,60}?\bbut(?: rather)?)\b[\s:,]+|[≈:：=\s]|\\approx\b)+(?=\S)",  # noqa: E501
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\n|;|。|；|[.?](?=[\s*_\"'`)]|\Z)|！|？|<\|")
_REMARK = re.compile(
    r"(?:,\s*|\s+\(?|\s*[—–]\s*)(?:because|since|as|which|where|when|while|so|for|by|after|before|given|assuming|hence|therefore|"
    r"thus|not|but|i think|i believe|i\.e\.|e\.g\.|that is|if|according|in total|altogether|each|per day)\b|\s+—|\s+--|，|,\s+(?=[a-z]{2,}\s+[a-z])",  # noqa: E501
    re.IGNORECASE,
)
_HASH_HEADING = re.compile(
    r"\W*(?:step|part|case|method|solution|approach|explanation|conclusion|verification|\d+[.)]\s)", re.IGNORECASE
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BETWEEN_BOXES = re.compile(
    r"[\s,;.$&]*(?:\\(?:quad|qquad|text\{\s*(?:and|or)\s*\}|[()\[\]])|and|or|或|和)?[\s,;.$]*\Z"
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_LAST_NUMBER = re.compile(rf"(?<![\w.]){_NUMBER_SHAPE}(?![\d])")
_RUN = re.compile(r"[^\s|;]+")
_RUN_BACK = re.compile(r"[^\s|;]*\Z")
_PRODUCT = re.compile(r"\d[\d.,]*(?:\s*(?:[*×·+]|\\cdot|\\times)\s*\d[\d.,]*)+\Z")
_MIXED = re.compile(r"(?<![\d.,/])\d+\s\Z")
_FACTOR = re.compile(r"\s+(?:thousand|million|billion|trillion|dozen)\b")
_FORMULA = re.compile(r"\$\$?([^$\n]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


class FinalAnswer(NamedTuple):
    """A final answer, `completion[start:end]`."""

    text: str
    start: int
    end: int
    marked: bool
    """Whether the completion says that this is its answer. Otherwise it is the reader's guess, the last number: it may
    be compared with a gold answer, and supports nothing else."""


def extract_answer(completion: str) -> tuple[str, int, int] | None:
    r"""Finds the final answer of a completion, and where it stands; `find_answer` without `marked`.

    Returns:
        `(text, start, end)` with `completion[start:end]` the answer, or None when there is none.

    >>> extract_answer("2+2=4, so the answer is 4.")
    ('4', 24, 25)
    >>> extract_answer("We get $\\boxed{\\frac{1}{2}}$")[0]
    '\\frac{1}{2}'
    """
    found = find_answer(completion)
    return found and found[:3]


def find_answer(completion: str) -> FinalAnswer | None:
    r"""Finds the final answer of a completion: the whole expression that stands after the last marker.

    Markers are `<answer>…</answer>` (also an empty one), `\boxed{…}` and `\fbox{…}` (boxes joined by a comma, "and" or
    "or" are one answer), `#### …`, "answer …", "answer is …", "答案是…", and one bold phrase in the last line. Where
    there is none the last number is a guess. What stands inside `<think>` is no answer. Linear in the completion's
    length.
    >>> find_answer("The answer is $2\\sqrt{3}$, as before.")[0], find_answer("<think>It is 3</think> So 4 of 5.")
    ('2\\sqrt{3}', FinalAnswer(text='5', start=31, end=32, marked=False))
    """
    region = _said_aloud(completion)
    if region is None:
        return None
    start, end = region
    tag = _last_tag(completion, start, end)
    if tag is not None:
        inner = _find_marked(completion, *tag)
        return inner or _answer(completion, *tag, marked=True)
    found = _find_marked(completion, start, end) or _find_bold(completion, start, end)
    return found or _guess(completion, start, end)


def _answer(text: str, start: int, end: int, marked: bool) -> FinalAnswer:
    start, end = _strip(text, start, end)
    return FinalAnswer(text[start:end], start, end, marked)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _said_aloud(text: str) -> tuple[int, int] | None:
    """The last part of a completion that is not thinking, or None; without the special tokens at its end."""
    start, end, first = 0, len(text), None
    for closing, opening in ((c, o) for c, o in _THOUGHTS.items() if c[0] in text):
        place = text.rfind(closing)
        if place >= start:
            start, first = place + len(closing), text.find(opening)
    for opening in _THOUGHTS.values():
        place = text.find(opening, start)
        if 0 <= place < end:
            end = place
    tail = max(start, end - 500)
    special = _SPECIAL.search(text, tail, end)
    if special and special.end() == end:
        end = special.start()
    if not text[start:end].strip():
        if not first or not text[:first].strip() or first < 0:
            return None
        start, end = 0, first  # the answer stands before the thoughts
    return start, end


def _last_tag(text: str, start: int, end: int) -> tuple[int, int] | None:
    opening = -1
    for name in ("<answer", "<Answer", "<ANSWER"):
        place = text.rfind(name, start, end)
        if place > opening and text[place + 7 : place + 8] in (">", " ", "\t"):
            opening = place
    inside = text.find(">", opening, min(end, opening + 200)) + 1 if opening >= 0 else 0
    if not inside:
        return None
    close = next(
        (c for c in (text.find(tag, inside, end) for tag in ("</answer", "</Answer", "</ANSWER")) if c >= 0), -1
    )
    if close < 0:
        return (inside, end) if end - inside <= _TAG_TAIL else None
    return inside, close


def _find_marked(text: str, start: int, end: int) -> FinalAnswer | None:
    """The answer after the last of all markers; a sentence after a box or hashes must say clearly that it is one."""
    spans = [span for span in (_last_box(text, start, end), _last_hashes(text, start, end)) if span]
    best = max(spans, key=lambda span: span[0], default=None)
    phrase = _last_phrase(text, start if best is None else best[1], end, strict=best is not None)
    span = phrase or best
    return None if span is None else _answer(text, *span, marked=True)


def _last_box(text: str, start: int, end: int) -> tuple[int, int] | None:
    """What stands in the last box; from the first box to the last where several are one statement."""
    place = end
    last: tuple[int, int, int] | None = None  # where the box begins, its content
    for _ in range(_LOOKED_AT):
        place = max(text.rfind("\\boxed", start, place), text.rfind("\\fbox", start, place))
        box = _read_box(text, place, end) if place >= 0 else None
        if box is None or (last is not None and not _BETWEEN_BOXES.match(text[box[1] + 1 : last[0]])):
            break
        if last is None and (joined := box):
            whole = box
        else:
            joined, whole = box, (place, whole[1] + 1 if whole[0] != last[0] else whole[1])
        last = (place, *joined)
        if text[place - 1 : place] == "{" and text.rfind("\\boxed", start, place) >= 0 and whole == box:
            break  # a box in a box
    if last is None:
        return None
    return whole


def _read_box(text: str, place: int, end: int) -> tuple[int, int] | None:
    match = _BOX.match(text, place, end)
    if match is None:
        return None
    start = match.end()
    if text[start : start + 1] != "{":
        bare = re.compile(r"[^\s{}$.,;]+").match(text, start, end)
        return bare.span() if bare else None
    depth = 0
    for brace in re.compile(r"\\?[{}]").finditer(text, start, end):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return start + 1, brace.start()
    return None


def _last_hashes(text: str, start: int, end: int) -> tuple[int, int] | None:
    place = text.rfind("####", start, end)
    if place < 0:
        return None
    begin = place + 4
    stop = text.find("\n", begin, end)
    stop = end if stop < 0 else stop
    line = text[begin:stop].strip()
    is_last = not text[stop:end].strip()
    if (
        not line
        or line[0] == "#"
        or _HASH_HEADING.match(line)
        or re.match(r"[\W_]*(?:final\s+)?answer", line, re.IGNORECASE)
    ):
        return None
    if not is_last and len(line) > 40 and not any(c.isdigit() for c in line):
        return None
    return (begin, stop) if is_last or any(c.isdigit() or c in "\\$" for c in line) or " " not in line else None


def _last_phrase(text: str, start: int, end: int, strict: bool) -> tuple[int, int] | None:
    """What the last sentence "… answer … is …" states: a value if there is one, words otherwise.

    Args:
        text: A completion.
        start: Where to begin.
        end: Where to end.
        strict: Only sentences that begin with the answer, and state a value.
    """
    closing = _CLOSING.search(text, max(start, end - _VALUE), end)
    if closing and closing.end() == end:
        return closing.span(1)
    words = None
    place = end
    for _ in range(_LOOKED_AT):
        place = max(text.rfind(cue, start, place) for cue in ("nswer", "NSWER", "答案", "rect option", "rect choice"))
        if place < 0:
            break
        said = _SAID_CJK.match(text, place + 2, end) if text[place] == "答" else None
        width = 5 if text[place] in "nN" else 11
        if said is None and text[place] != "答":
            said = _SAID.match(text, place + width, end)
        if said is None:
            continue
        front = _BEFORE.search(
            text[max(start, place - 80) : place - (1 if width == 5 else 3)] if text[place] != "答" else ""
        )
        if said.re is _SAID and said["heading"] and not front:
            continue
        plain = front and (said.re is _SAID_CJK or not (said["ask"] or "").strip(" *_\t)"))
        span = _read_value(text, said.end(), end)
        if span is None or (strict and not plain):
            continue
        if is_value(text[span[0] : span[1]]) or (plain and said[0].rstrip("*_ ")[-1:] in ":：\n" and not strict):
            return span
        if words is None and not strict:
            words = span
    return words


def _read_value(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The whole expression that begins here: to the end of its sentence, less remarks, fillers and dress."""
    begin = re.compile(r"[\s*_`\"'>:]*").match(text, start, min(end, start + _VALUE)).end()  # type: ignore[union-attr]
    end = min(end, begin + _VALUE)
    formula = re.compile(r"\\\[(.*?)\\\]|\$\$(.*?)\$\$", re.DOTALL).match(text, begin, end)
    if formula:
        group = 1 if formula[1] is not None else 2
        return _strip(text, *formula.span(group))
    filler = _FILLER.match(text, begin, end)
    if filler:
        begin = filler.end()
    stop = end
    for match in _SENTENCE_END.finditer(text, begin, end):
        if _is_open(text, begin, match.start()) and match[0] != "\n":
            continue
        if text[match.start()] in "?？":
            return None  # a question states nothing
        stop = match.start()
        break
    for match in _REMARK.finditer(text, begin + 1, stop):
        if not _is_open(text, begin, match.start()):
            stop = match.start()
            break
    return _undress(text, begin, stop)


def _is_open(text: str, start: int, place: int) -> bool:
    """Whether a place stands inside a formula or braces that began at `start` or later."""
    part = text[start:place].replace("\\$", "").replace("\\{", "").replace("\\}", "")
    return part.count("$") % 2 == 1 or part.count("{") > part.count("}") or part.count("\\(") > part.count("\\)")


def _undress(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without emphasis, quotes, punctuation and dollars around it; None when nothing is left."""
    for _ in range(4):
        before = start, end
        while start < end and text[start] in " \t*_`\"':：“”「」\n":
            start += 1
        while end > start and text[end - 1] in " \t*_`\"',:：.。“”「」\n":
            end -= 1
        part = text[start:end]
        if part[:1] == "$" == part[-1:] and part.count("$") - part.count("\\$") == 2 and len(part) > 2:
            start, end = start + 1, end - 1
        elif part[:2] == "\\(" and part[-2:] == "\\)" and part.count("\\(") == 1:
            start, end = start + 2, end - 2
        if (start, end) == before:
            break
    return (start, end) if start < end else None


def is_value(text: str) -> bool:
    """Whether words state a value, as a number, a formula, an option, yes or no, or none."""
    if len(text) > _VALUE // 2 or "boxed" in text:
        return False
    if re.fullmatch(r"(?i:yes|no|true|false|none|impossible|undefined|infinity)|\(?[A-Za-z]\)?", text):
        return True
    if re.match(r"\(?[A-Z](?:\)|[.:)])\s", text):
        return True
    return len(text.split()) <= 8 and any(c.isdigit() or c in "\\^=∞πØ" for c in text)


def _find_bold(text: str, start: int, end: int) -> FinalAnswer | None:
    """The one bold phrase of the last line, where it states a value."""
    line = max(text.rfind("\n", start, end) + 1, start, end - 1000)
    bold = _BOLD.findall(text[line:end])
    if len(bold) != 1:
        return None
    match = _BOLD.search(text, line, end)
    span = _undress(text, *match.span(1)) if match and bold[0].strip()[-1:] != ":" else None
    return _answer(text, *span, marked=True) if span and is_value(text[slice(*span)]) else None


def _guess(text: str, start: int, end: int) -> FinalAnswer | None:
    """The last number, or what it is a part of: a formula, a product, a number with its unit."""
    tail = max(start, end - 400)  # the last number of a long text stands near its end
    for begin in dict.fromkeys((tail, start)):
        numbers = [match.span() for match in _LAST_NUMBER.finditer(text, begin, end)]
        for number in reversed(numbers[-_LOOKED_AT:]):
            span = _widen(text, *number, start, end)
            if span is not None:
                return _answer(text, *span, marked=False)
    return None


def _widen(text: str, start: int, end: int, first: int, last: int) -> tuple[int, int] | None:
    """All of what a number stands in; None where that is no number, as in "2nd"."""
    if end - start > _VALUE:
        return start, end
    low = max(text.rfind("\n", first, start) + 1, first, start - _VALUE)
    high = text.find("\n", end, min(last, end + _VALUE))
    high = min(last, end + _VALUE) if high < 0 else high
    for formula in _FORMULA.finditer(text, low, high):
        if formula.start() < start and end < formula.end():
            group = formula.lastindex or 0
            equals = text.rfind("=", formula.start(group), start) + 1
            return _undress(text, max(equals, formula.start(group)), formula.end(group))
    product = _PRODUCT.search(text, low, end)
    if product:
        return product.span()
    mixed = _MIXED.search(text, low, start) if "/" in text[start:end] else None
    factor = _FACTOR.match(text, end, high)
    if mixed or factor:
        return (mixed.start() if mixed else start), (factor.end() if factor else end)
    run = _RUN.match(text, end, high)
    left = start - len(_RUN_BACK.search(text[low:start])[0])  # type: ignore[index]
    left = max(left, text.rfind("=", left, start) + 1)
    span = _undress(text, left, run.end() if run else end)
    if span is None:
        return None
    left, right = span
    while left < start and text[left] in "([{" + CURRENCIES and text.count(")", left, right) < 1:
        left += 1
    while (
        right > end and text[right - 1] in ")]}!?,.:*" and (text[right - 1] not in ")]}" or "(" not in text[left:right])
    ):
        right -= 1
    if re.fullmatch(r"(?:st|nd|rd|th)\b.*", text[end:right]):
        return None
    if text[left:start] and text[left:start].strip(CURRENCIES + "(\\*") == "" and read_quantity(text[start:right]):
        left = start
    return left, right


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
