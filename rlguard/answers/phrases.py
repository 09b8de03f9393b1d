"""Answers that a sentence states ("the answer is 5, since …"), less remarks, fillers and what is taken back."""

from __future__ import annotations

import re

from rlguard.answers.spans import NUMBER_SHAPE, VALUE_LENGTH, search_backwards, strip_span, undress_span

_ASK = 60  # characters between "answer" and what says that it comes
_CUES = ("nswer", "NSWER", "rect option", "rect choice", "ntwort", "spuesta", "sposta", "éponse", "твет", "答", "정답")
_SAID = re.compile(  # after "answer": "5", or "… is/:/= VALUE" within one sentence, or a heading's end
    rf"s?\b(?:[ \t]+(?={NUMBER_SHAPE}[ \t*]*(?:[.,;\n]|is\b|\Z))|(?P<ask>[^\n.:=?!;：]{{0,{_ASK}}}?)"
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
DENIED = re.compile(  # in the words before "answer is", or between them
    r"\b(?:not(?! (?:hard|difficult|surprising|sure)\b)|cannot|never|no one|nobody|"
    r"wrong|incorrect|false|unlikely|(?<!no )doubt|whether)\b|n't\b"
    r"|\b(?:no|não|non|не|nicht|niet|inte|nie)\s*\Z"
    r"|\b(?:if|suppose|unless|assum\w+)\s+(?:that\s+)?(?:the|my|our)?\s*\Z",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.,;:!?\n]|\b(?:and|but|so|hence|thus|therefore)\b", re.IGNORECASE)
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
_DRESS = re.compile(r"(?:[\s*_`\"':•]|(?<=[-=\n])>|(?<=\n)-(?=\s))*")
_COUNTED = re.compile(  # "72 clips" in 2 months
    r"\$?-?\d[\d.,]*\$?(?:\s+[a-z]{2,}){1,2}?(?=\s+(?:in|for|during|within|on|at|from|with)\s)"
)
_AMOUNTING = re.compile(
    r"(?:the|an?)\s[^,.\n]{1,80},\s+(?:which|that|this)\s+(?:is|equals|makes|gives)\s+(?=[-$\\]?\d)"
)
"""Words that come to a value: "the sum of 80 and 4, which is" 84."""
_DISPLAY = re.compile(r"\\\[(.*?)\\\]|\$\$(.*?)\$\$", re.DOTALL)


def find_phrase(text: str, start: int, end: int, strict: bool) -> tuple[int, int] | None:
    """What the last sentence "… answer … is …" states: a value if there is one, words otherwise; where `strict`, only
    of sentences that begin with the answer, and a value."""
    tail = max(start, end - VALUE_LENGTH)
    closing = _CLOSING.search(text, tail, end) if "nswer" in text[tail:end] else None
    if closing:
        return closing.span(1)
    words = None
    for place, cue in search_backwards(text, _CUES, start, end):
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
            denied = DENIED.search(before, clause)
        if (heading and not front) or DENIED.search(ask):
            continue
        plain = front and not ask
        span = read_value(text, said.end(), end)
        if span is None or (strict and not plain):
            continue
        if denied or DENIED.match(text, *span):  # kept with its denial, in case that nothing else is said
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


def read_value(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The whole expression that begins here: to the end of its sentence, less remarks, fillers and dress."""
    begin = _DRESS.match(text, start, min(end, start + VALUE_LENGTH)).end()  # type: ignore[union-attr]
    end = min(end, begin + VALUE_LENGTH)
    formula = _DISPLAY.match(text, begin, end)
    if formula:
        return strip_span(text, *formula.span(formula.lastindex or 0))
    filler = _FILLER.match(text, begin, end)
    if filler:
        begin = filler.end()
    if amounting := _AMOUNTING.match(text, begin, end):
        begin = amounting.end()
    stop = end
    for match in _SENTENCE_END.finditer(text, begin, end):
        if _is_open(text, begin, match.start()) and match[0] != "\n":
            continue
        if text[match.start()] in "?？":
            return None  # a question states nothing
        stop = match.start()
        break
    counted = _COUNTED.match(text, begin, stop)
    stop = counted.end() if counted else stop
    for match in _REMARK.finditer(text, begin + 1, stop):
        if not _is_open(text, begin, match.start()):
            stop = match.start()
            break
    return undress_span(text, begin, stop)


def _is_open(text: str, start: int, place: int) -> bool:
    """Whether a place stands inside a formula or braces that began at `start` or later."""
    part = text[start:place].replace("\\$", "").replace("\\{", "").replace("\\}", "")
    return part.count("$") % 2 == 1 or part.count("{") > part.count("}") or part.count("\\(") > part.count("\\)")


def is_value(text: str) -> bool:
    """Whether words state a value, as a number, a formula, an option, yes or no, or none."""
    if len(text) > VALUE_LENGTH // 2 or "boxed" in text:
        return False
    if re.fullmatch(r"(?i:yes|no|true|false|none|impossible|undefined|infinity)|\(?[A-Za-z]\)?", text):
        return True
    return len(text.split()) <= 8 and _is_mathematics(text)


def _is_mathematics(text: str) -> bool:
    return any(c.isdigit() or c in "\\^=∞πØ" for c in text)


def _kind(text: str) -> str:
    """What sort of answer this is: only one of the same sort takes its place."""
    text = text.strip(" ()$*.")
    if _is_mathematics(text):
        return "number"
    return "option" if len(text) == 1 else "truth" if text.lower() in ("yes", "no", "true", "false") else "words"


def find_correction(text: str, start: int, end: int, last: int) -> tuple[int, int] | None:
    """The answer of the same sort that takes the place of `text[start:end]` behind it: "18. No, wait, it is 19."."""
    back = _TAKEN_BACK.match(text, end, last)
    other = read_value(text, back.end(), last) if back else None
    if not back or not other:
        return None
    return other if _kind(text[slice(*other)]) == (_kind(text[start:end]) if back["other"] else "number") else None
