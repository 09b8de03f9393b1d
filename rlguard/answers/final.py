"""Where the final answer of a completion stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rlguard.types import Messages

ANSWER_CUE = "The answer is"
"""How an answer is begun for a model that is to give nothing else."""
_THOUGHT = re.compile(  # where thinking begins, or (with a group) ends
    r"[<\[◁](?i:/((?:seed:)?think(?:ing)?>|thoughts?>|reasoning>|scratchpad>|THINK\]|think▷)|\|(end_of_thought)\|>"
    r"|\|channel\|>(final)<\|message\|>|[|｜](end)[▁_]of[▁_]thinking[|｜]>|(?:seed:)?think(?:ing)?>|thoughts?>|reasoning>"
    r"|scratchpad>|THINK\]|think▷|\|begin_of_thought\|>|\|channel\|>analysis<\|message\|>)"
)
_SPECIAL = re.compile(r"(?:<[|｜][^|｜<>\s]{1,40}[|｜]>|</s>|<eos>|<pad>|<end_of_turn>|\[(?:EOS|PAD)\])\Z")
_TAG = re.compile(r"[<\[](?i:\s*(?:final[_ ]?)?(answer|solution|response|result))\b[^<>\[\]\n]{0,200}[>\]]")
_TAG_END = re.compile(r"[<\[](?i:\s*/\s*(?:final[_ ]?)?(?:answer|solution|response|result))\b")
_TAG_NAMES = ("nswer", "NSWER", "olution", "OLUTION", "esponse", "RESPONSE", "esult", "RESULT")  # the pattern is slow
_TAG_TAIL = 500  # characters: an <answer> that is never closed is one when it stands so near the end (a stop string)
_REMEMBERED = 4096  # texts: guard, detectors, groups and verifiers ask for the answer of the same one
_REMEMBERED_LENGTH = 32_000  # characters; longer texts are read anew, so that the memory stays small
_BARE = 60  # characters of a completion that is all answer
_ASK = 60  # characters between "answer" and what says that it comes
_VALUE = 300  # characters of a sentence that are read as an answer
_LOOKED_AT = 100  # boxes, numbers and mentions of the word "answer", from the last one back
_NUMBER_SHAPE = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?"
_CUES = ("nswer", "NSWER", "rect option", "rect choice", "ntwort", "spuesta", "sposta", "éponse", "твет", "答", "정답")
_SAID = re.compile(  # after "answer": "5", or "… is/:/= VALUE" within one sentence, or a heading's end
    rf"s?\b(?:[ \t]+(?={_NUMBER_SHAPE}[ \t*]*(?:[.,;\n]|is\b|\Z))|(?P<ask>[^\n.:=?!;：]{{0,{_ASK}}}?)"
    r"(?:\b(?:is|are|equals|be|ist|lautet|es|est|é|è)\b|[:=：→]|->)(?:[\s*_]*(?:\bis\b|[:=：]))?"
    r"|(?P<heading>[*_:# \t]*\n))"
)
_SAID_CJK = re.compile(
    r"(?:案|え)?(?:应该|應該|就)?(?:不是[^。\n]{1,30}?而是|是|为|為|等于|等於|应?选|選|은|는|は|(?=[:：=*]))[:：=*\s]*"
)
_BEFORE = re.compile(  # nothing before "answer" in its sentence but such words
    r"(?:^|[\n.!?;:：。—,>])[\s*#_>\-(]*(?:(?:so|thus|therefore|hence|then|now|wait|no|actually|and|but|the|my|our|your|a|"
    r"final|correct|right|best|overall|numerical|numeric|short|option)\b[\s,*_:]*)*\Z",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"(?:^|[;\n])[ \t]*answer[ \t]+([^\s;]+)\Z", re.IGNORECASE)  # nothing else in the last line
_DENIED = re.compile(  # in the words before "answer is", or between them
    r"\b(?:not(?! (?:hard|difficult|surprising|sure)\b)|cannot|never|no one|nobody|"
    r"wrong|incorrect|false|unlikely|(?<!no )doubt|whether)\b|n't\b"
    r"|\b(?:no|não|non|не|nicht|niet|inte|nie)\s*\Z"
    r"|\b(?:if|suppose|unless|assum\w+)\s+(?:that\s+)?(?:the|my|our)?\s*\Z",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.,;:!?\n]|\b(?:and|but|so|hence|thus|therefore)\b", re.IGNORECASE)
_NOT_BOX = re.compile(  # right before a box
    r"(?:\b(?:not|never|cannot|rather than|instead of)|n't|≠|\\neq?)"
    r"(?:\s+(?:be|equal|to|the|final|correct|right|answer|value|option|choice|simply|just))*[\s$(*:\\\[]*\Z",
    re.IGNORECASE,
)
_REFUTED = re.compile(  # right after it
    r"[\s$)*\\\]]*(?:\?|\b(?:is|are|was|were|would be|seems|looks)"
    r"(?:(?:n't|\s+not)\s+(?:the|my|right|correct|true|possible|it)|\s+(?:\w+ly\s+)?(?:wrong|incorrect|false|impossible))\b)"
)
_FILLER = re.compile(
    r"(?:(?:\$?(?:\\approx|[≈~]|about|roughly|around|approximately)(?:[^,;.\n]|\.\d){1,60},\s*(?:exactly|precisely)|"
    r"approximately|approx\.|about|roughly|around|exactly|therefore|thus|then|hence|simply|just|only|indeed|clearly|"
    r"obviously|definitely|certainly|surely|probably|of course|also|actually|now|still|precisely|as follows|equal to|"
    r"given by|found to be|it(?:'s| is)|that there (?:is|are)(?= no )"
    r"|(?:the |an? )?(?:number|value|integer|fraction|word|letter|option|choice)"
    r"|(?:la |a |l'|die )?(?:opción|letra|opção|opzione|option|вариант)"
    r"|not\b[^.\n]{1,60}?(?:\bbut(?: rather)?|[;,] ?it(?:'s| is)))\b[\s:,]+"
    r"|不是[^。\n]{1,30}?而是|答案|选项|[≈:：=,\s]|\\approx\b)+(?=\S)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"\n|;(?!\s*-?\$?\d[\d./]*\s*(?:;|\.?\s*\Z))|。|；|(?<!\bRs)[.?](?=[\s*_\"'`)]|\Z)|！|？|<\||です|입니다"
)
_REMARK = re.compile(
    r"(?:,\s*|(?<!is)(?<!are)\s+\(?|\s*[—–]\s*)(?:because|since|as|which|where|so|for|by|after|before|given|hence|therefore|"
    r"porque|weil|denn|parce que|perché|"
    r"thus|not|but|i think|i believe|i\.e\.|e\.g\.|that is|according|in total|altogether|each|per day"
    r"|exactly|precisely|(?:when|while|if|assuming)\b(?![^\n]*\b(?:if|when|otherwise|else|odd)\b))\b|\s+—|\s+--|，|,\s+(?!or\b)(?=[a-z]{2,}\s+[a-z])"
    r"|\s-\s(?=(?:the|an?|this|that)\b)|(?<=[\d)}%$A-Z*°])\s\((?!(?:mod|base|or|and)\b)(?=[^\W\d]{2})",
    re.IGNORECASE,
)
_HASH_HEADING = re.compile(
    r"\W*(?:step|part|case|method|solution|approach|explanation|conclusion|verification|(?:the\s+)?(?:final\s+)?answer"
    r"|\d+[.)]\s)",
    re.IGNORECASE,
)
_TURN = r"(?:h+m+|no|wait|actually|but|however|oops|sorry|correction|scratch that|that(?:'s| is) (?:wrong|incorrect))"
_IT_IS = r"\b(?:it|that|this|the (?:\w+ )?(?:answer|value|result))(?:'s| is| (?:must|should) be)(?: actually| really)?"
_TAKEN_BACK = re.compile(  # "18. No, wait, we have 19."; at the end of a line "18, but it is 19.", "A. Hmm, no: B"
    r"[\s$*)}.;,\\\]—-]*(?:"
    r"(?:no(?=[,.;!]|\s+(?:wait|sorry|it))|wait|actually|oops|sorry|correction|scratch that)\b"
    r"[^.\n]{0,40}?\b(?:it is|it's|be|get|have)\s+(?=[^.\n]*\d)"
    rf"|{_TURN}\b(?:[\s,.;…:—]+{_TURN}\b){{0,4}}(?:\s*[,:;—…]\s*|\s+(?=yes|no)|"
    rf"(?![^.\n]{{0,90}}\b(?:if|when|unless|for|with|without|in(?! fact))\b)[^.\n]{{0,40}}?{_IT_IS}\s+)"
    r"(?=[$\\(*]*(?P<other>-?\d[\d.,/]*|(?-i:[A-J])|yes|no|true|false|(?-i:[A-Z][a-z]+))[)$*]*[.!]?\s*(?:\n|\Z)))",
    re.IGNORECASE,
)
_BOX = re.compile(r"(?:\\(?:boxed|fbox|framebox)|[b\b]oxed(?=\s*\{))\s*")  # strings that were not raw eat backslashes
_BARE_BOX = re.compile(r"[^\s{}$.,;]+")
_BRACE = re.compile(r"\\?[{}]")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s,;.$&/|()]|\\[ ;,()\[\]]|\\q?quad\b)*(?:\\text\{\s*(?:and|or)\s*\}|and|or|或|和)?(?:[\s,;.$]|\\[()\[\]])*\Z"
)
_DRESS = re.compile(r"(?:[\s*_`\"':]|(?<=[-=\n])>)*")
_DISPLAY = re.compile(r"\\\[(.*?)\\\]|\$\$(.*?)\$\$", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_STATES = re.compile(r"\b(?:is|was|are|were|be)\s+(?:(?:an?|the|therefore|thus|then)\s+)*\Z")
_CHOICE = re.compile(  # an option that a sentence without the word "answer" before it calls right
    r"(?:^|[\s(*])(?:or[\s(*]+(?P<or>))?([A-J])[)*]*\s+is\s+(?:therefore\s+|thus\s+)?(?:the\s+)?(?:correct|right|best|answer)\b"
    r"|(?<!not )(?<!n't )\b(?:choose|select|pick)\s+(?:option\s+|choice\s+)?[(*]*([A-J])\b(?!'|\s+(?:or|and)\b)"
    r"|(?<![不没别])选(?:项|择)?(?:是|为)?[\s:：(（*]*([A-J])(?![A-Za-z])"
)
_CHOICE_TAIL = 600  # characters
_CHOOSING = ("orrect", "right", "best", "nswer", "choose", "select", "pick", "选")
_LAST_NUMBER = re.compile(rf"(?<![A-Za-z\d_.]){_NUMBER_SHAPE}(?![\d])")
_HEDGE = re.compile(  # a number that is denied, or a bound, or one of two, or negative
    r"(?:\S{1,20}\s+or|\d\S{0,9}\s+(?:and|und|oder|et|ou|y|o)|\b(?:not|than|most|least|between|cannot|never|below|above"
    r"|under|over|up\s+to|minus|negative|twice|half\s+of|als|mindestens|höchstens|(?:plus|más|moins|menos)(?:\s+de)?)(?:\s+be)?"
    r"|\b(?:no|não|non|не|nicht|keine?|niet|inte|nie|pas)(?:\s+[^\W\d]{1,6}){0,2}|n't(?:\s+be)?|[<>≤≥≠]|!="
    r"|\\(?:leq?|geq?|neq?)\b|[不没非]\w?|至少|最多|超过|[大小多少]于|负)[\s($]*\Z",
    re.IGNORECASE,
)
_DOUBTING = (" not ", "n't", "cannot", "no answer", "impossible", "lack", "insufficient")  # the pattern itself is slow
_GIVEN_UP = re.compile(
    r"no answer\b|(?:can(?:no|')t|can not|could not|impossible to) (?:be )?(?:tell|say|answer|determine|decide)|"
    r"(?:not enough|lacks?|insufficient) (?:information|data)|(?:do not|don't) know\b"
)
_VERDICT = re.compile(r"[^.!?\n]*\b(?:statement|claim|conjecture|proposition)\b[^.!?\n]*\b(?:true|false)\W*\Z", re.I)
_RUN = re.compile(r"[^\s|;，。；]*")
_RUN_BACK = re.compile(r"[^\s|;=，。；]*\Z")
_LABEL = re.compile(
    r"\b(?:steps?|pages?|eqs?|equations?|figures?|sections?|chapters?|lines?|problems?|questions?|examples?|theorems?|lemmas?"
    r"|cases?|tables?|parts?|exercises?)\s*[.(#]*\Z|\b(?:[cdkm]?m|in|ft|yd|units?)\s*\^\s*\{?\Z",  # the 2 of cm^2
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_PRODUCT = re.compile(r"\d[\d.,]*(?:\s*(?:[*×·+/÷]|\\cdot|\\times)\s*\d[\d.,]*)+\Z")
_MIXED = re.compile(r"(?<![\d.,/])(?:\d+\s\d+/\d+|\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+)\Z")
_ROW = re.compile(r"[(\[{]\s*(?:-?[\d./]+\s*,\s*)+\Z")
_ROW_END = re.compile(r"\s*[)\]}]")
_MORE = re.compile(  # what makes another number, or a time of day, of the one before it
    r"\s*[ap]\.?m\b|\s+(?:hundred|thousand|million|billion|trillion|dozen|lakh|crore|tausend|million\w+|milliarden?|mil|millones"
    r"|squared|cubed|pi|at\s+(?:most|least)|or\s+(?:more|less|fewer|higher|lower))\b",
    re.IGNORECASE,
)
_MEASURE = re.compile(  # a unit that ends the sentence: 7 minutes are not 7 hours
    r"\s+(?:(?:square|cubic|sq\.?|cu\.?)\s+)?(?:(?:centi|milli|kilo)?met(?:er|re)s?|(?:kilo|milli)?grams?|(?:milli)?lit(?:er|re)s?"
    r"|inch(?:es)?|feet|foot|miles?|yards?|ounces?|pounds?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|dollars?|euros?"
    r"|cents?|cm|mm|km|kg|mg|lbs?|oz|ft|mi|yd|mins?|secs?|hrs?|ml)(?:\^?[23])?(?=[.,;!?)*\s]*(?:\n|\Z)|[.,;!?)])",
    re.IGNORECASE,
)
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
    span = _undress(completion, start, end)
    return span and completion[slice(*span)]


@lru_cache(maxsize=_REMEMBERED)
def _find(completion: str) -> FinalAnswer | None:
    region = _said_aloud(completion)
    if region is None:
        return None
    start, end = region
    tag = _last_tag(completion, start, end)
    if tag is not None:
        start, end, answers = tag
        found = _find_marked(completion, start, end)
        said = completion[start:end].strip()
        if found or answers or (len(said.split()) <= 3 and is_value(said)):
            return found or _answer(completion, start, end, marked=True)
    for find in (_find_marked, _find_bold, _find_choice, _guess):
        found = find(completion, start, end)
        if found is not None:
            return found
    return None


def _answer(text: str, start: int, end: int, marked: bool) -> FinalAnswer:
    start, end = _strip(text, start, end)
    return FinalAnswer(text[start:end], start, end, marked)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    start = end - len(part.lstrip())
    return start, start + len(part.strip())


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
    start, end = _strip(text, start, end)
    while special := _SPECIAL.search(text, max(start, end - 50), end):
        start, end = _strip(text, start, special.start())
    if start < end:
        return start, end
    start, end = _strip(text, 0, max(first, 0))  # the answer may stand before the thoughts
    return (start, end) if start < end else None


def _last_tag(text: str, start: int, end: int) -> tuple[int, int, bool] | None:
    """What stands in the last tag, and whether it is an <answer>, all of which counts; in a <solution> it may argue."""
    tag = None
    if any(name in text for name in _TAG_NAMES):
        tag = next(reversed(list(_TAG.finditer(text, start, end))), None)
    if tag is None:
        return None
    answers, close = tag[1].lower() == "answer", _TAG_END.search(text, tag.end(), end)
    if close is None:
        return (tag.end(), end, True) if answers and tag[0][0] == "<" and end - tag.end() <= _TAG_TAIL else None
    return tag.end(), close.start(), answers


def _backwards(text: str, cues: tuple[str, ...], start: int, end: int) -> Iterator[tuple[int, str]]:
    """The places of a few words in a text, from the last one; each word is looked for once."""
    places = {cue: text.rfind(cue, start, end) for cue in cues}
    for _ in range(_LOOKED_AT):
        cue = max(places, key=places.__getitem__)
        place = places[cue]
        if place < 0:
            return
        yield place, cue
        places[cue] = text.rfind(cue, start, place)


def _find_marked(text: str, start: int, end: int) -> FinalAnswer | None:
    """The answer after the last of all markers; a sentence after a box or hashes must say clearly that it is one."""
    spans = [span for span in (_last_box(text, start, end), _last_hashes(text, start, end)) if span]
    best = max(spans, key=lambda span: span[0], default=None)
    phrase = _last_phrase(text, start if best is None else best[1], end, strict=best is not None)
    span = phrase or best
    if span is None:
        return None
    back = _TAKEN_BACK.match(text, span[1], end)
    other = _read_value(text, back.end(), end) if back else None
    if back and other and _kind(text[slice(*other)]) != (_kind(text[slice(*span)]) if back["other"] else "number"):
        other = None
    return _answer(text, *(other or span), marked=True)


def _last_box(text: str, start: int, end: int) -> tuple[int, int] | None:
    """What stands in the last box; from the first box to the last where several are one statement."""
    whole: tuple[int, int] | None = None
    first, close = end, end  # where the first of them begins and the last ends
    refuted: tuple[int, int] | None = None  # a box with its "not" or "is wrong"; counts where it is the only one
    for place, cue in _backwards(text, ("oxed", "\\fbox", "\\framebox"), start, end):
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
        elif box[1] < first and _BETWEEN_BOXES.match(text[box[1] + 1 : first]):
            whole = place, close
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
    for place, _ in _backwards(text, ("####",), start, end):
        begin = place + 4
        stop = text.find("\n", begin, end)
        stop = end if stop < 0 else stop
        line = text[begin:stop].strip()
        if stop == end:
            return None if line[:1] == "#" or _HASH_HEADING.match(line) else (begin, stop)
        if line and line[0] != "#" and not _HASH_HEADING.match(line) and (is_value(line) or " " not in line):
            return begin, stop
    return None


def _last_phrase(text: str, start: int, end: int, strict: bool) -> tuple[int, int] | None:
    """What the last sentence "… answer … is …" states: a value if there is one, words otherwise; where `strict`, only
    of sentences that begin with the answer, and a value."""
    tail = max(start, end - _VALUE)
    closing = _CLOSING.search(text, tail, end) if "nswer" in text[tail:end] else None
    if closing:
        return closing.span(1)
    words = None
    for place, cue in _backwards(text, _CUES, start, end):
        said = (_SAID_CJK if cue in ("答", "정답") else _SAID).match(text, place + len(cue), end)
        if said is None:
            continue
        ask, heading, front, denied = "", False, True, None
        if said.re is _SAID:
            ask, heading = (said["ask"] or "").strip(" *_\t)\"'"), said["heading"] is not None
            while place > start and text[place - 1].isalpha():
                place -= 1
            before = text[max(start, place - 80) : place]
            front = bool(_BEFORE.search(before))
            clause = max((clause.end() for clause in _CLAUSE.finditer(before)), default=0)
            denied = _DENIED.search(before, clause)
        if (heading and not front) or _DENIED.search(ask):
            continue
        plain = front and not ask
        span = _read_value(text, said.end(), end)
        if span is None or (strict and not plain):
            continue
        if denied or _DENIED.match(text, *span):  # kept with its denial, in case that nothing else is said
            first = place - len(before) + denied.start() if denied else span[0]
            words = words or (None if strict else (first, span[1]))
            continue
        if words and text[slice(*span)] in text[slice(*words)]:
            return words
        if is_value(text[span[0] : span[1]]) or (plain and said[0].rstrip("*_ ")[-1:] in ":：\n" and not strict):
            return span
        if words is None and not strict:
            words = span
    return words


def _read_value(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The whole expression that begins here: to the end of its sentence, less remarks, fillers and dress."""
    begin = _DRESS.match(text, start, min(end, start + _VALUE)).end()  # type: ignore[union-attr]
    end = min(end, begin + _VALUE)
    formula = _DISPLAY.match(text, begin, end)
    if formula:
        return _strip(text, *formula.span(formula.lastindex or 0))
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
        part = text[start:end].rstrip(" \t*_`\"',:：.。．“”「」\n")
        end = start + len(part)
        start = end - len(part.lstrip(" \t*_`\"':：“”「」\n"))
        part = text[start:end]
        if part[:1] == "$" == part[-1:] and part.count("$") - part.count("\\$") == 2 and len(part) > 2:
            start, end = start + 1, end - 1
        elif part[:2] == "\\(" and part[-2:] == "\\)" and part.count("\\(") == 1:
            start, end = start + 2, end - 2
        elif part[-1:] == "}" and part.count("}") > part.count("{"):
            end -= 1
        if (start, end) == before:
            break
    return (start, end) if start < end else None


def is_value(text: str) -> bool:
    """Whether words state a value, as a number, a formula, an option, yes or no, or none."""
    if len(text) > _VALUE // 2 or "boxed" in text:
        return False
    if re.fullmatch(r"(?i:yes|no|true|false|none|impossible|undefined|infinity)|\(?[A-Za-z]\)?", text):
        return True
    return len(text.split()) <= 8 and any(c.isdigit() or c in "\\^=∞πØ" for c in text)


def _kind(text: str) -> str:
    """What sort of answer this is: only one of the same sort takes its place."""
    text = text.strip(" ()$*.")
    if any(c.isdigit() or c in "\\^=∞πØ" for c in text):
        return "number"
    return "option" if len(text) == 1 else "truth" if text.lower() in ("yes", "no", "true", "false") else "words"


def _find_bold(text: str, start: int, end: int) -> FinalAnswer | None:
    """The one bold phrase of the last line, where it states a value, ends "… it is …", or is all of the line."""
    line = max(text.rfind("\n", start, end) + 1, start, end - 1000)
    bold = list(_BOLD.finditer(text, line, end))
    if len(bold) != 1 or bold[0][1].strip()[-1:] == ":":
        return None
    span = _undress(text, *bold[0].span(1))
    before = text[line : bold[0].start()]
    stated = _STATES.search(before) and not _DENIED.search(before) and not text[bold[0].end() : end].strip(" .!")
    whole = stated or bold[0][0] == text[line:end].strip(" .")
    return _answer(text, *span, marked=True) if span and (whole or is_value(text[slice(*span)])) else None


def _find_choice(text: str, start: int, end: int) -> FinalAnswer | None:
    """The option that one of the last sentences calls right: "so (B) is correct", "I choose C", "故选B"."""
    found, tail = None, max(start, end - _CHOICE_TAIL)
    if any(word in text[tail:end] for word in _CHOOSING):  # the pattern itself is slow
        found = next(reversed(list(_CHOICE.finditer(text, tail, end))), None)
    if found is None or found["or"] is not None:
        return None
    return _answer(text, *found.span(found.lastindex or 0), marked=True)


def _guess(text: str, start: int, end: int) -> FinalAnswer | None:
    """The last number, or what it is a part of: a formula, a product, a number with its unit; and a "not" before it.
    The last sentence where it calls a statement true or false; None where the text ends by saying that it does not
    know."""
    tail = max(start, end - _VALUE)
    said = text[tail:end].lower()
    if any(word in said for word in _DOUBTING) and _GIVEN_UP.search(said):
        return None
    verdict = _VERDICT.search(text, tail, end) if said.rstrip(" .!*$\n").endswith(("true", "false")) else None
    if verdict and (span := _undress(text, *_strip(text, *verdict.span()))):
        return _answer(text, *span, marked=False)
    for first, last in _numbers_backwards(text, start, end):
        span = _widen(text, first, last, start, end)
        if span is not None:
            left, right = span
            hedge = _HEDGE.search(text[max(start, left - 30) : left])
            if hedge:
                left -= len(hedge[0])
            if text[right : right + 1] == "?":
                right += 1
            return _answer(text, left, right, marked=False)
    return None


def _numbers_backwards(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of the last numbers of a text, from the last one."""
    size = 256
    for _ in range(_LOOKED_AT):
        while True:  # the last number stands near the end of most texts
            low = max(start, end - size)
            place = max(text.rfind(digit, low, end) for digit in "0123456789")
            if place >= 0 or low == start:
                break
            size *= 4
        if place < 0:
            return
        low = max(start, place - 10 * _VALUE)
        low += len(text[low : place + 1].rstrip("0123456789,./+-"))
        yield from reversed([match.span() for match in _LAST_NUMBER.finditer(text, low, place + 1)])
        end = low


def _widen(text: str, start: int, end: int, first: int, last: int) -> tuple[int, int] | None:
    """All of what a number stands in, a formula or a number with its sign and unit; None where that is none: "2nd"."""
    if end - start > _VALUE:  # megabytes of digits: what follows would be quadratic
        return start, end
    low = max(text.rfind("\n", first, start) + 1, first, start - _VALUE)
    if _LABEL.search(text, max(low, start - 20), start):
        return None
    high = text.find("\n", end, min(last, end + _VALUE))
    high = min(last, end + _VALUE) if high < 0 else high
    for formula in _FORMULA.finditer(text, low, high):
        if formula.start() < start and end < formula.end():
            group = formula.lastindex or 0
            equals = text.rfind("=", formula.start(group), start) + 1
            return _undress(text, max(equals, formula.start(group)), formula.end(group))
    row, close = _ROW.search(text, low, start), _ROW_END.match(text, end, high)
    if row and close:
        return row.start(), close.end()
    before = _MIXED.search(text, low, end) or _PRODUCT.search(text, low, end)
    if before:
        return before.start(), factor.end() if (factor := _MORE.match(text, end, high)) else end
    left = start - len(_RUN_BACK.search(text[low:start])[0])  # type: ignore[index]
    right = end + len(_RUN.match(text[end:high])[0].rstrip("!?,.:*"))  # type: ignore[index]
    if _ORDINAL.match(text, end, right):
        return None
    if "(" not in text[left:right]:
        right = end + len(text[end:right].rstrip(")]}!?,.:*"))
    opening = "" if ")" in text[left:right] else "([{"
    right = more.end() if (more := _MORE.match(text, right, high) or _MEASURE.match(text, right, high)) else right
    return left + len(text[left:start]) - len(text[left:start].lstrip(opening + "*_\"'`$\\")), right


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
