"""Loops without a fixed unit: sentences said again in any order, and paraphrases.

A paraphrase loop is sentence after sentence that speaks of the task or of the text, and says nothing of what is in it.
It need not repeat one word ("Let me look at the problem again. We reconsider the question. …"). What gives it
away is what is missing: a long stretch without a number or a sign, whose words are nearly all of the kind with which
one speaks about any task whatever.
"""

from __future__ import annotations

import re

from rlguard.shortcuts.ratios import make_finding
from rlguard.types import Finding

_LITTLE_NEW = 0.6
"""Share of repeated four-token runs from which a text says little new (open-r1's and TRL's measure; honest text
stays under 0.3, templates and tables under 0.5)."""
_SENTENCE_END = re.compile(r"\n|(?<=[.!?;])\s")
_LEAST_SENTENCES = 3
"""Different sentences without numbers said again, from which they are a loop whatever their order; one or two may be
the refrain of a proof by cases ("This is a contradiction.")."""
_STEM = 5
_SHORTEST = 120
"""Characters of the shortest stretch: six sentences of four words."""
_SENTENCES = 6
_SHARE = 0.7
"""Share of words about the task among those that are not function words."""
_LONGEST = 20_000
"""Characters of a stretch that are read, which bounds the work on a text of one stretch."""
_PLAIN = re.compile(r"[^\d=+|<>`_/\\{}\[\]]++")
_SIGN = re.compile(r"[\d=+|<>`_/\\{}\[\]]")
_SENTENCE = re.compile(r"[^.!?;\n]+")
_WORD = re.compile(r"[a-z]+")
_FUNCTION_WORDS = (
    "a an the this that these those it its is are was were be been being to of in on at by for from with as and or but "
    "if then so we i you he she they let us our your their my one must should have has had can may might will would do "
    "does not no there here what which who when how all any more most some such than into out up before after over "
    "under about also only just me"
)
_FUNCTION = frozenset(_FUNCTION_WORDS.split())
_TASK_WORDS = (
    "problem question task exercise statement point remark observation sentence matter way manner order information "
    "data value number quantity figure amount thing reasoning thought idea step solution answer result approach "
    "method argument detail part conclusion context text line paragraph everything something consider reconsider "
    "think look examine inspect review revisit return go back read reread see check recheck verify analyse analyze "
    "analysis attempt try start begin proceed continue reflect follow imply implied lead derive conclude deduce "
    "mention note say said ask require need understand clarify explain discuss describe repeat restate get make "
    "take put give use find determine work worth keep move combine join bring again once another further earlier "
    "previous preceding prior foregoing above next first second last still now careful correct proper right "
    "together time important essential necessary clear close simply really actually sure confident wait hmm okay"
)
_TASK = frozenset(word[:_STEM] for word in _TASK_WORDS.split())


def find_idle_talk(text: str) -> list[Finding]:
    """Six or more sentences in a row that speak of the task alone.

    >>> text = "We look at the problem again. Let me reconsider the question. We go back to the task. " * 2
    >>> [f.reason for f in find_idle_talk(text)]
    ['6 sentences in a row speak of the task and say nothing of what is in it']
    """
    half = _SHORTEST // 2  # a stretch holds a whole block of half its length
    if all(_SIGN.search(text, at, at + half) for at in range(0, max(len(text) - half, 1), half)):
        return []
    for stretch in _PLAIN.finditer(text):
        if stretch.end() - stretch.start() < _SHORTEST:
            continue
        found = _judge_stretch(text, stretch.start(), min(stretch.end(), stretch.start() + _LONGEST))
        if found:
            return found
    return []


def _judge_stretch(text: str, start: int, end: int) -> list[Finding]:
    """The longest run of sentences that are about the task, each for the most part, in one stretch."""
    run: list[int] = []
    about, meant, last = 0, 0, end
    for match in _SENTENCE.finditer(text, start, end):
        words = _WORD.findall(match[0].lower())
        if len(words) < 3:
            continue
        means = [word[:_STEM] for word in words if word not in _FUNCTION]
        hits = sum(word in _TASK for word in means)
        if 2 * hits >= len(means):
            run.append(match.start())
            about, meant, last = about + hits, meant + len(means), match.end()
            continue
        if len(run) >= _SENTENCES:
            break
        run, about, meant = [], 0, 0
    if len(run) < _SENTENCES or about < _SHARE * meant:
        return []
    begin = last - len(text[run[0] : last].lstrip())
    reason = f"{len(run)} sentences in a row speak of the task and say nothing of what is in it"
    return [make_finding("little_new_text", "text_loop", reason, begin, last)]


def said_again(text: str) -> list[Finding]:
    """Sentences without numbers of which many were said before, in whatever order they come again."""
    seen: set[str] = set()
    repeated: set[str] = set()
    again, plain, at, first, last = 0, 0, 0, -1, 0
    for part in _SENTENCE_END.split(text):
        begin = text.find(part, at)
        at = begin + len(part)
        if part.count(" ") < 3 or any(map(str.isdigit, part)):
            continue
        sentence = part.strip().lower()
        plain += 1
        if sentence in seen:
            again += 1
            repeated.add(sentence)
            first, last = (begin if first < 0 else first), at
        seen.add(sentence)
    if len(repeated) < _LEAST_SENTENCES or again < 0.3 * plain:
        return []
    reason = f"{again} of {plain} sentences without numbers were said before"
    return [make_finding("little_new_text", "text_loop", reason, first, last)]


def little_new(text: str, tokens: list[str], repeated: int) -> list[Finding]:
    """A text most of whose four-token runs, `repeated` of them, were said before."""
    if len(tokens) < 80 or repeated <= _LITTLE_NEW * len(tokens):
        return []
    letters = sum(token[0].isalpha() for token in tokens)
    digits = sum(token[0].isdigit() for token in tokens)
    if not 2 * letters > len(tokens) > 20 * digits:  # lists of moves repeat their template, and have numbers in it
        return []
    reason = f"{100 * repeated // len(tokens)} % of its four-word runs were said before"
    return [make_finding("little_new_text", "text_loop", reason, 0, len(text))]
