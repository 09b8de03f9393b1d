"""Where the final answer of a completion stands."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

from rlguard.answers.guess import guess_answer
from rlguard.answers.phrases import DENIED, find_correction, find_phrase, is_value
from rlguard.answers.spans import FinalAnswer, make_answer, search_backwards, strip_span, undress_span
from rlguard.types import Messages

ANSWER_CUE = "The answer is"
"""How an answer is begun for a model that is to give nothing else."""
_THOUGHT = re.compile(  # where thinking begins, or (with a group) ends
    r"[<\[◁](?i:/((?:seed:)?think(?:ing)?>|thoughts?>|reasoning>|scratchpad>|THINK\]|think▷)|\|(end_of_thought)\|>"
    r"|\|channel\|>(final)<\|message\|>|[|｜](end)[▁_]of[▁_]thinking[|｜]>|(?:seed:)?think(?:ing)?>|thoughts?>|reasoning>"
    r"|scratchpad>|THINK\]|think▷|\|begin_of_thought\|>|\|channel\|>analysis<\|message\|>)"
)
_SPECIAL = re.compile(r"(?:<[|｜][^|｜<>\s]{1,40}[|｜]>|</s>|<eos>|<pad>|<end_of_turn>|\[(?:EOS|PAD)\])\Z")
_TAG = re.compile(
    r"[<\[](?i:\s*(?:final[_ ]?)?(answer|solution|response|result))\b[^<>\[\]\n]{0,200}[>\]]|<\|begin_of_box\|>"
)
_TAG_END = re.compile(r"[<\[](?i:\s*/\s*(?:final[_ ]?)?(?:answer|solution|response|result))\b|<\|end_of_box\|>")
_TAG_NAMES = ("of_box", "nswer", "NSWER", "olution", "OLUTION", "esponse", "RESPONSE", "esult", "RESULT")
"""Some of which must be there: the pattern is slow."""
_TAG_TAIL = 500  # characters: an <answer> that is never closed is one when it stands so near the end (a stop string)
_REMEMBERED = 4096  # texts: guard, detectors, groups and verifiers ask for the answer of the same one
_REMEMBERED_LENGTH = 32_000  # characters; longer texts are read anew, so that the memory stays small
_BARE = 60  # characters of a completion that is all answer
_NEXT_TURN = re.compile(r"\n[ \t*#]*(?:Human|User|Question|Problem|Exercise)[*\s]*:")
"""Where a base model that has answered goes on with a question of its own."""
_TURNS = 3  # of them that are looked at: one may be the question said again
_NOT_BOX = re.compile(  # right before a box
    r"(?:\b(?:not|never|cannot|rather than|instead of)|n't|≠|\\neq?)"
    r"(?:\s+(?:be|equal|to|the|final|correct|right|answer|value|option|choice|simply|just))*[\s$(*:\\\[]*\Z",
    re.IGNORECASE,
)
_REFUTED = re.compile(  # right after it
    r"[\s$)*\\\]]*(?:\?|\b(?:is|are|was|were|would be|seems|looks)"
    r"(?:(?:n't|\s+not)\s+(?:the|my|right|correct|true|possible|it)|\s+(?:\w+ly\s+)?(?:wrong|incorrect|false|impossible))\b)"
)
_HASH_HEADING = re.compile(
    r"\W*(?:step|part|case|method|solution|approach|explanation|conclusion|verification|(?:the\s+)?(?:final\s+)?answer"
    r"|\d+[.)]\s)",
    re.IGNORECASE,
)
_BOX = re.compile(r"(?:\\(?:boxed|fbox|framebox)|[b\b]oxed(?=\s*\{))\s*")  # strings that were not raw eat backslashes
_BARE_BOX = re.compile(r"[^\s{}$.,;]+")
_BRACE = re.compile(r"\\?[{}]")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s,;.$&/|()]|\\[ ;,()\[\]]|\\q?quad\b)*(?:\\text\{\s*(?:and|or)\s*\}|and|or|或|和)?(?:[\s,;.$]|\\[()\[\]])*\Z"
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_STATES = re.compile(r"\b(?:is|was|are|were|be)\s+(?:(?:an?|the|therefore|thus|then)\s+)*\Z")
_CHOICE = re.compile(  # an option that a sentence without the word "answer" before it calls right
    r"(?:^|[\s(*])(?:or[\s(*]+(?P<or>))?([A-J])[)*]*\s+is\s+(?:therefore\s+|thus\s+)?(?:the\s+)?(?:correct|right|best|answer)\b"
    r"|(?<!not )(?<!n't )\b(?:choose|select|pick|go\s+with)\s+(?:option\s+|choice\s+)?[(*]*([A-J])\b"
    r"(?!'|\s+(?:or|and)\b)"
    r"|(?<!not )(?<!n't )\b(?:option|choice)\s+[(*]*([A-J])[)*.\s]*\Z"
    r"|\b[Oo]nly\s+(?:option\s+|choice\s+)?[(*]*([A-J])[)*]*\s+(?:fits|works|matches|satisfies|remains|is\s+(?:left|possible))\b"
    r"|(?<![不没别])选(?:项|择)?(?:是|为)?[\s:：(（*]*([A-J])(?![A-Za-z])"
)
_CHOICE_TAIL = 600  # characters
_CHOOSING = ("orrect", "right", "best", "nswer", "choose", "select", "pick", "go with", "ption", "hoice", "nly", "选")
_LABELLED = re.compile(r"[\s*]*(\(?[A-H](?:\)|[).]\s[^\n.]{0,60}(?:\.\d+)?)?)[.*]*(?:\s*\Z|[ \t]*\n[ \t]*\n)")
_OTHER_LABEL = re.compile(r"\n[\s*]*\(?[A-H][).]\s")


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
    "or" are one answer), `#### …`, "answer …", "answer is …" and "答案是…" in a few languages, one bold phrase in the
    last line, and "(B) is correct". Where there is none the last number is a guess. What stands inside `<think>` is no
    answer. Linear in the completion's length.
    >>> find_answer("The answer is $2\\sqrt{3}$, as before.")[0], find_answer("<think>It is 3</think> So 4 of 5.")
    ('2\\sqrt{3}', FinalAnswer(text='5', start=31, end=32, marked=False))
    """
    return (_find if len(completion) <= _REMEMBERED_LENGTH else _find.__wrapped__)(completion)


def read_bare(completion: str) -> str | None:
    """A completion of a few words and nothing else, as "Paris" or "option c"; None for others. No `find_answer` has it.

    >>> read_bare("<think>France?</think> **Paris**"), read_bare("5 of them")
    ('Paris', None)
    """
    start, end = _said_aloud(completion) or (0, 0)
    if end - start > _BARE or re.search(r"[\n\d]", completion[start:end]):
        return None
    span = undress_span(completion, start, end)
    return span and completion[slice(*span)]


@lru_cache(maxsize=_REMEMBERED)
def _find(completion: str) -> FinalAnswer | None:
    region = _said_aloud(completion)
    if region is None:
        return None
    start, end = region
    for turn in islice(_NEXT_TURN.finditer(completion, start, end), _TURNS):
        found = _find_in(completion, start, turn.start())
        if found and found.marked:
            return found
    return _find_in(completion, start, end)


def _find_in(completion: str, start: int, end: int) -> FinalAnswer | None:
    tag = _last_tag(completion, start, end)
    if tag is not None:
        start, end, answers = tag
        found = _find_marked(completion, start, end)
        said = completion[start:end].strip()
        if found or answers or (len(said.split()) <= 3 and is_value(said)):
            return found or make_answer(completion, start, end, marked=True)
    for find in (_find_marked, _find_bold, _find_choice, _find_label, guess_answer):
        found = find(completion, start, end)
        if found is not None:
            return found
    return None


def _said_aloud(text: str) -> tuple[int, int] | None:
    """The last part of a completion that is not thinking, or None; without the special tokens at its end."""
    start, end, first = 0, len(text), -1
    if "<" in text or "[" in text or "◁" in text:
        for tag in _THOUGHT.finditer(text):
            if tag.lastindex:
                start, end = tag.end(), len(text)
            else:
                first = tag.start() if first < 0 else first
                end = min(end, tag.start())
    start, end = strip_span(text, start, end)
    while special := _SPECIAL.search(text, max(start, end - 50), end):
        start, end = strip_span(text, start, special.start())
    if start < end:
        return start, end
    start, end = strip_span(text, 0, max(first, 0))  # the answer may stand before the thoughts
    return (start, end) if start < end else None


def _last_tag(text: str, start: int, end: int) -> tuple[int, int, bool] | None:
    """What stands in the last tag, and whether it is an <answer>, all of which counts; in a <solution> it may argue."""
    tag = None
    if any(name in text for name in _TAG_NAMES):
        tag = next(reversed(list(_TAG.finditer(text, start, end))), None)
    if tag is None:
        return None
    answers, close = (tag[1] or "answer").lower() == "answer", _TAG_END.search(text, tag.end(), end)
    if close is None:
        return (tag.end(), end, True) if answers and tag[0][0] == "<" and end - tag.end() <= _TAG_TAIL else None
    return tag.end(), close.start(), answers


def _find_marked(text: str, start: int, end: int) -> FinalAnswer | None:
    """The answer after the last of all markers; a sentence after a box or hashes must say clearly that it is one."""
    spans = [span for span in (_last_box(text, start, end), _last_hashes(text, start, end)) if span]
    best = max(spans, key=lambda span: span[0], default=None)
    phrase = find_phrase(text, start if best is None else best[1], end, strict=best is not None)
    span = phrase or best
    if span is None:
        return None
    return make_answer(text, *(find_correction(text, *span, end) or span), marked=True)


def _last_box(text: str, start: int, end: int) -> tuple[int, int] | None:
    """What stands in the last box; from the first box to the last where several that differ are one statement."""
    whole: tuple[int, int] | None = None
    first, close = end, end  # where the first of them begins and the last ends
    said: set[str] = set()  # what they hold: one thing is said again, and no list
    refuted: tuple[int, int] | None = None  # a box with its "not" or "is wrong"; counts where it is the only one
    for place, cue in search_backwards(text, ("oxed", "\\fbox", "\\framebox"), start, end):
        place -= (1 + (text[place - 2 : place - 1] == "\\")) if cue == "oxed" else 0
        box = _read_box(text, place, end)
        if box is None:
            break
        denial = _NOT_BOX.search(text, max(start, place - 40), place)
        doubt = _REFUTED.match(text, box[1] + 1, min(end, box[1] + 80))
        if whole is None and (denial or doubt):
            refuted = refuted or (denial.start() if denial else box[0], doubt.end() if doubt else box[1])
        elif whole is None:
            whole, close = box, box[1] + text.startswith("}", box[1])
            said.add(text[slice(*box)].strip())
        elif box[1] < first and _BETWEEN_BOXES.match(text[box[1] + 1 : first]):
            said.add(text[slice(*box)].strip())
            whole = whole if len(said) == 1 else (place, close)
        else:  # another statement, or the box around this one
            break
        first = place
    return whole or refuted


def _read_box(text: str, place: int, end: int) -> tuple[int, int] | None:
    match = _BOX.match(text, place, end)
    if match is None:
        return None
    start = match.end()
    if text[start : start + 1] != "{":
        bare = _BARE_BOX.match(text, start, end)
        return bare.span() if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, start, end):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return start + 1, brace.start()
    return None


def _last_hashes(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The line after the last `####` that is no heading; one with more text below it must be a value."""
    for place, _ in search_backwards(text, ("####",), start, end):
        begin = place + 4
        stop = text.find("\n", begin, end)
        stop = end if stop < 0 else stop
        line = text[begin:stop].strip()
        if stop == end:
            return None if line[:1] == "#" or _HASH_HEADING.match(line) else (begin, stop)
        if line and line[0] != "#" and not _HASH_HEADING.match(line) and (is_value(line) or " " not in line):
            return begin, stop
    return None


def _find_bold(text: str, start: int, end: int) -> FinalAnswer | None:
    """The one bold phrase of the last line, where it states a value, ends "… it is …", or is all of the line."""
    line = max(text.rfind("\n", start, end) + 1, start, end - 1000)
    bold = list(_BOLD.finditer(text, line, end))
    if len(bold) != 1 or bold[0][1].strip()[-1:] == ":":
        return None
    span = undress_span(text, *bold[0].span(1))
    before = text[line : bold[0].start()]
    stated = _STATES.search(before) and not DENIED.search(before) and not text[bold[0].end() : end].strip(" .!")
    whole = stated or bold[0][0] == text[line:end].strip(" .")
    return make_answer(text, *span, marked=True) if span and (whole or is_value(text[slice(*span)])) else None


def _find_choice(text: str, start: int, end: int) -> FinalAnswer | None:
    """The option that one of the last sentences calls right: "so (B) is correct", "I choose C", "故选B"."""
    found, tail = None, max(start, end - _CHOICE_TAIL)
    if any(word in text[tail:end] for word in _CHOOSING):  # the pattern itself is slow
        found = next(reversed(list(_CHOICE.finditer(text, tail, end))), None)
    if found is None or found["or"] is not None:
        return None
    return make_answer(text, *found.span(found.lastindex or 0), marked=True)


def _find_label(text: str, start: int, end: int) -> FinalAnswer | None:
    """The option that stands first, alone or above its reasons: "B) 14". Where more of them follow it begins a list."""
    found = _LABELLED.match(text, start, end)
    if found is None or _OTHER_LABEL.search(text, found.end(1), end):
        return None
    return make_answer(text, *found.span(1), marked=True)


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
