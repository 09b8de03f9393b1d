r"""A text read once: its arithmetic in one plain spelling, and the equations it states, each checked.

`plain_text` spells LaTeX, words and signs alike without moving a character, so that every span holds in the text as it
was written. Saying "false" of a true step costs more than missing a false one: whatever makes a reading doubtful turns
"false" into "cannot say" (`rlguard.shortcuts.doubts`). Every pass is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from rlguard.shortcuts.arithmetic import ALIKE, FILL, NEAR, SAID, Number, Side, apply, compare, read_side
from rlguard.shortcuts.doubts import in_doubt, is_rewritten

MAX_RUN = 400
"""Characters of one run of arithmetic; longer ones are no steps that someone reads."""
PARSED = 48_000
"""Characters of arithmetic that go through the parser, in all; beyond them, plain steps alone are read."""

"""Stands where a sign was that changes nothing: within "1,200", for instance."""

_SIGNS = {
    **dict.fromkeys("×·⋅∗✕", "*"), **dict.fromkeys("÷∕⁄", "/"), **dict.fromkeys("−–‐‑", "-"),
    **dict.fromkeys("\xa0\u202f\u2009\u2007", " "), **dict.fromkeys("€£￥", "$"), **dict.fromkeys("⇒→", ";"), "％": "%",
    "≈": NEAR, "≡": ALIKE,
}  # fmt: skip
_COMMANDS = {
    **dict.fromkeys(("times", "cdot", "ast"), "*"), "div": "/", "approx": NEAR, "equiv": ALIKE, "pmod": " mod",
    **dict.fromkeys(("bmod", "mod"), "@"), **dict.fromkeys(("quad", "qquad", "implies", "to", "therefore"), ";"),
    **dict.fromkeys(("Rightarrow", "rightarrow", "Longrightarrow", "iff", "hline"), ";"),
    **dict.fromkeys(("left", "right", "displaystyle", "big", "Big", "bigl", "bigr", "boxed", "fbox"), ""),
}  # fmt: skip
_FRACTION = re.compile(
    r"([0-9]\s?)?\\[dt]?frac\s?\{([^{}]{1,60})\}\s?\{([^{}]{1,60})\}|\\[dt]?frac\s?([0-9])\s?([0-9])"
)
_WORDED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s?\{([^{}]{0,60})\}")
_COMMAND = re.compile(r"\\\\?([a-zA-Z]+)|\\\\|\\[^a-zA-Z\n]")
_ENDS_VALUE = re.compile(r"[0-9)}%][ $]*\Z")
_BOLD = re.compile(r"\*\*(?![0-9(])|(?<![0-9)])\*\*")
_BRACES = str.maketrans("{}", "()")
_THOUSANDS = re.compile(r"[,'’](?<=[0-9].)(?=[0-9\x1f]{3}(?![0-9]))")
_WORDS = {"of": "*", "mod": "@", "modulo": "@", "plus": "+", "minus": "-", "divided by": "/"}
_SPELLED = re.compile(  # words and crosses between numbers that are signs: "3 times 4 is 12"
    r"[0-9)%][ \x1f]{0,9}([xX](?=[0-9]|(?<= .) {1,2}[0-9(.])|(?:times|plus|minus|multiplied by|divided by"
    r"|mod|modulo|of|is equal to|equals|is|gives|makes)(?=[ (]{1,9}[-0-9(.]))"
)
_HAS_UNIT = re.compile(r"[-+*/=x](?= {0,2}[-0-9(.])(?:(?<=[A-Za-z].)|(?<=[A-Za-z] .)|(?<=[A-Za-z]  .))")
_UNIT_BACK = re.compile(  # read from the sign back: a unit of up to three words, and the number before it
    r" {0,2}((?:[a-z]{2,15} ?/ ?)?(?:[a-z]{2,15}[ -]){0,2}[A-Za-z]{1,15}(?:[a-z] ?/)?)[ \x1f]{0,9}[0-9)%]"
)
_NO_UNIT = frozenset(
    ("because", "and", "so", "since", "then", "or", "to", "from", "by", "but", "as", "if", "is", "are", "was", "that")
)
_EQUALS = re.compile(r"[=\x01-\x03]")
_SIDE_BACK = re.compile(r"\s{0,2}+(?:[-0-9\x1f+*/^@%()& ]{1,100}+|(?<=[0-9])\.){0,60}+")
"""What stands before the first equals sign, read from it back."""
_SIDES = re.compile(  # and all that equals signs join to it
    r"(?:[-0-9\x1f+*/^@%()& =\x01-\x03]++|\.(?=[0-9])"
    r"|\n(?:(?<=[=\x01-\x03]\n)|(?<=[=\x01-\x03][ ]\n)|(?=[ ]{0,9}[=\x01-\x03])))*+"
)
_NO_START = " \n\t+*/^@%)&\x1f"
_SIGN = re.compile(r"[-+*/^@%(&]")
_SPLIT = re.compile(r"\s*[=\x01-\x03]=?\s*")
_SIMPLE = re.compile(
    r"(N) *([-+*/]) *(N)(?: *([-+*/]) *(N))? *= *(N)".replace(
        "N", r"[0-9]{1,9}(?:\x1f[0-9]{3})?(?:\.[0-9]{1,6})?|\.[0-9]{1,6}"
    )
    + r"(?! *(?:[-0-9+*/^@%(&\x1f=\x01-\x03]|\n *[=\x01-\x03])|\.[0-9])"
)
"""Two or three numbers and their result: most steps, read without the parser when they are true."""
_MODULUS_AFTER = re.compile(r"[ (]{0,3}mod(?:ulo)?[ (]{0,3}([0-9]{1,15})")
_TAIL = re.compile(r"[\s.+*/^@&-]+\Z")


class Equation(NamedTuple):
    """One stated equality. A chain `a = b = c` holds two."""

    start: int
    end: int
    left: Number | None
    right: Number | None
    operators: int
    """Operations on both sides."""
    operands: tuple[Number, ...]
    """Numbers of the sides that calculate."""
    holds: bool | None
    """True, False, or None: cannot be said."""


def plain_text(text: str) -> str:
    r"""The text with its arithmetic in one spelling; every character stays where it was.

    >>> plain_text(r"\$1,200 \times 2 is \frac{1}{2}").replace(FILL, "_").replace(SAID, "is")
    '  1_200 *      2 is    ((1)/(2))'
    """
    if not text.isascii():
        for sign, said in _SIGNS.items():
            text = text.replace(sign, said)
    if "&" in text or "@" in text:
        text = text.replace("@", "\0").replace("&", " ")
    if "{" in text or "\\" in text:
        text = text.replace("{,}", FILL * 3).replace(",\\!", FILL * 3)
        text = _WORDED.sub(lambda found: f"{' ' * (found.start(1) - found.start())}{found[1]} ", text)
        for _ in range(3):  # fractions of fractions
            text, found = _FRACTION.subn(_spell_fraction, text)
            if not found:
                break
        text = _COMMAND.sub(_spell_command, text).translate(_BRACES)
    if "**" in text:  # bold, or a power
        text = (text if " ** " in text else _BOLD.sub("  ", text)).replace("**", "^ ")
    if "$" in text:
        text = text.replace("$ $", " ; ").replace("$", " ")
    if "," in text or "'" in text or "’" in text:
        text = _THOUSANDS.sub(FILL, text)
    return _blank_units(_SPELLED.sub(_spell_word, text))


def _spell_fraction(found: re.Match[str]) -> str:
    mixed, top, bottom, one, two = found.groups()
    said = f"(({top})/({bottom}))" if top else f"({one}/{two})"
    size = found.end() - found.start() - len(mixed or "")
    return (mixed or "") + ("&" if mixed else "").ljust(size - len(said)) + said


def _spell_command(found: re.Match[str]) -> str:
    name, whole = found[1], found[0]
    if name is not None:
        said = _COMMANDS.get(name)
        if said == "" and "box" in name and _ENDS_VALUE.search(found.string, max(0, found.start() - 9), found.start()):
            said = ";"  # "= 19 \\boxed{19}" is no product
        return whole if said is None else said.ljust(len(whole))
    sign = whole[1]
    if sign == "\\":
        return " \n"
    return FILL * 2 if sign in "!," else " %" if sign == "%" else f" {sign}" if sign in "{}" else "  "


def _spell_word(found: re.Match[str]) -> str:
    word, start = found[1], found.start(1) - found.start()
    if word == "of" and found[0][0] not in "%)":
        return found[0]
    said = _WORDS.get(word) or ("*" if word in "xX" or word[0] == "t" or word[1] == "u" else SAID)
    return found[0][:start] + said.ljust(len(word))


def _blank_units(text: str) -> str:
    """Blanks in place of units between a number and a sign: "3 red apples + 4 = 7"."""
    parts, at, back = [], 0, ""
    for sign in _HAS_UNIT.finditer(text):
        back = back or text[::-1]
        unit = _UNIT_BACK.match(back, len(text) - sign.start())
        if unit is None:
            continue
        start, end = len(text) - unit.end(1), len(text) - unit.start(1)
        said = text[start:end]
        variable = len(said) < 4 and (text[start - 1].isdigit() or len(said) < 2)
        if start >= at and not variable and _NO_UNIT.isdisjoint(said.split()):
            parts += [text[at:start], " " * (end - start)]
            at = end
    return "".join((*parts, text[at:])) if parts else text


def find_equations(text: str, moduli: tuple[int, ...] = (), plain: str | None = None) -> list[Equation]:
    r"""The equations with at least one operation that a text states, in order, each checked.

    Args:
        text: Any text, with plain or LaTeX arithmetic.
        moduli: An equation of whole numbers also holds when its sides agree modulo one of these.
        plain: Its `plain_text`, when already at hand.

    >>> [(e.left, e.right, e.holds) for e in find_equations(r"Add: $12 \\times 2 = 24$, then 24 + 1 = 26.")]
    [(24, 24, True), (25, 26, False)]
    >>> find_equations("7+8=5", moduli=(10,))[0].holds
    True
    """
    equations: list[Equation] = []
    plain = plain_text(text) if plain is None else plain
    back, size, read, budget = "", len(plain), 0, PARSED
    for sign in _EQUALS.finditer(plain):
        place = sign.start()
        if place < read:
            continue
        back = back or plain[::-1]
        side = plain[max(read, place - _SIDE_BACK.match(back, size - place).end() + size - place) : place]  # type: ignore[union-attr]
        start = place - len(side.lstrip(_NO_START))
        if start == place:  # x = 3 + 4 = 7
            read = place + 1
            continue
        simple = _SIMPLE.match(plain, start)
        if simple and (true := _read_simple(simple)):
            equations.append(true)
            read = simple.end()
            continue
        read = _SIDES.match(plain, place).end()  # type: ignore[union-attr]
        said = plain[start:read]
        if not _SIGN.search(said):
            continue
        budget -= len(said)
        if len(said) <= MAX_RUN and budget >= 0:
            equations += _read_chain(text, plain, start, said, moduli)
    return _drop_corrected(equations)


def _read_simple(simple: re.Match[str]) -> Equation | None:
    """The commonest shape, if it is exactly true."""
    one, sign, two, then, three, stated = simple.groups()
    if FILL in simple[0]:
        one, two, three, stated = (part and part.replace(FILL, "") for part in (one, two, three, stated))
    convert = float if "." in simple[0] else int
    a, b, result = convert(one), convert(two), convert(stated)
    value: Number | None
    operands: tuple[Number, ...] = (a, b)
    if three is not None:
        operands = (a, b, convert(three))
        first = sign in "*/" or then in "+-"
        value = apply(then, apply(sign, a, b), operands[2]) if first else apply(sign, a, apply(then, b, operands[2]))
    else:
        value = a + b if sign == "+" else a * b if sign == "*" else a - b if sign == "-" else apply(sign, a, b)
    if value != result and (value is None or abs(value - result) > 1e-9 * abs(result)):
        return None
    return Equation(simple.start(), simple.end(), value, result, len(operands) - 1, operands, True)


def _read_chain(text: str, plain: str, start: int, said: str, moduli: tuple[int, ...]) -> Iterator[Equation]:
    """The equations of one run of arithmetic, which may hold several in a chain."""
    if ".." in said:  # 1 + 2 + ... + 10
        return
    named = _MODULUS_AFTER.match(plain, start + len(said.rstrip(" (")))
    local = (*moduli, int(named[1])) if named and named[1] else moduli
    parts, at = [], 0
    for sign in (*_SPLIT.finditer(said), None):
        end = sign.start() if sign else len(said)
        parts.append((at, end))
        at = sign.end() if sign else end
    signs = [sign[0].strip()[0] for sign in _SPLIT.finditer(said)]
    sides = [_read_part(said, *part, number == 0, number == len(parts) - 1) for number, part in enumerate(parts)]
    beside = tuple(modulus for side, _, _ in sides[1:] if side for modulus in side.moduli)  # 15 = 8 = 1 mod 7
    own = bool(beside) or named is not None
    for number, ((left, begin, _), (right, _, end)) in enumerate(pairwise(sides)):
        if left is None or right is None or not (left.operators or right.operators or left.products or right.products):
            continue
        allowed = local if left.moduli else local + beside
        holds = compare(left, right, allowed)
        begin, end = start + begin, start + end
        ahead = plain[max(0, begin - 4) : begin].rstrip()
        named_before = ahead.endswith("=") or (plain[begin] == "(" and ahead[-1:].isalpha())
        if number == 0 and not left.operators and named_before:
            continue  # x = 1 gives 3 + 4, f(3) = 3 + 4
        if holds is False and (
            signs[number] == NEAR or ALIKE in signs
        ):  # cases that are ruled out are stated like results
            holds = None
        if holds is False and (
            is_rewritten(plain[begin:end], left, right, signs[number])
            or in_doubt(text, plain, begin, end, left, right, number == 0, signs[number], own)
        ):
            holds = None
        if text[begin] != plain[begin]:  # the bracket that stands for a LaTeX fraction's start
            slash = text.rfind("\\", max(0, begin - 9), begin + 1)
            begin = slash if slash >= 0 and "frac" in text[slash : begin + 5] else begin
        operands = (left.numbers if left.operators else ()) + (right.numbers if right.operators else ())
        yield Equation(begin, end, left.value, right.value, left.operators + right.operators or 1, operands, holds)


def _read_part(said: str, start: int, end: int, first: bool, last: bool) -> tuple[Side | None, int, int]:
    """One side of a chain and its span, without what hangs over: brackets around the chain, a bullet, a full stop."""
    if first:
        if said.startswith("- ", start):
            start += 2
        depth = 0
        for place in range(end - 1, start - 1, -1):  # "(3 + 4 = 7)": from the innermost bracket that stays open
            depth += (said[place] == ")") - (said[place] == "(")
            if depth < 0:
                start = place + 1
                break
    if last:
        depth = 0
        for place in range(start, end):
            depth += (said[place] == "(") - (said[place] == ")")
            if depth < 0:
                end = place
                break
        tail = _TAIL.search(said, start, end)
        end = tail.start() if tail else end
        if said[start:end].endswith("("):
            end = start + len(said[start:end].rstrip("( "))
    while start < end and said[start] == " ":
        start += 1
    while start < end and said[end - 1] == " ":
        end -= 1
    return read_side(said[start:end]), start, end


def _drop_corrected(equations: list[Equation]) -> list[Equation]:
    """A false step that soon is worked out again rightly is a slip put right, or a trial; one that goes on in another
    form with the same two values ("-6 + 4 = 2, so -2 = 2") is an equation that is tried, not a result."""
    for i, step in enumerate(equations):
        if step.holds is not False:
            continue
        for j, following in enumerate(equations[i + 1 : i + 3], i + 1):
            if following.left != step.left:
                continue
            shared = not set(following.operands).isdisjoint(step.operands)
            again = (shared and len(following.operands) < len(step.operands)) or following.operands == step.operands
            used = any(step.right in e.operands for e in equations[i + 1 : j + 1])
            if again and following.holds and not used:
                equations[i] = step._replace(holds=None)
            elif following.holds is False and following.right == step.right and following.operands != step.operands:
                equations[i], equations[j] = step._replace(holds=None), following._replace(holds=None)
    return equations
