"""Parses tokens of arithmetic into the sides of equations: shunting-yard with explicit frames, no recursion."""

from __future__ import annotations

from rlguard.shortcuts.arithmetic import Number, Side, Token, apply, read_number

_RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "neg": 3, "mix": 4, "^": 5}
_PRODUCTS = frozenset("*/%^")


class _Frame:
    """An open bracket, or the outermost level: what has been read since it opened."""

    __slots__ = (
        *("decimals", "kind", "moduli", "numbers", "numerator", "operators", "ops", "percents", "products"),
        *("start", "units", "values"),
    )

    def __init__(self, kind: str, start: int, numerator: Number | None = None) -> None:
        self.kind = kind
        """`top`, `(`, or `f` and `g`: above and below the line of a LaTeX fraction."""
        self.start = start
        self.numerator = numerator
        self.values: list[Number | None] = []
        self.ops: list[str] = []
        self.numbers: list[Number | None] = []
        self.units: list[str] = []
        self.moduli: list[int] = []
        self.operators = self.decimals = self.percents = 0
        self.products = False

    def push(self, operator: str) -> None:
        """Adds an operator, working out first what binds at least as tightly (powers bind to the right)."""
        rank = _RANK[operator]
        if operator != "neg":
            self.reduce(rank + 1 if operator == "^" else rank)
            if operator != "mix":
                self.operators += 1
                self.products |= operator in _PRODUCTS
        self.ops.append(operator)

    def reduce(self, rank: int = 0) -> None:
        """Works out every waiting operator of at least this rank."""
        values, ops = self.values, self.ops
        while ops and _RANK[ops[-1]] >= rank:
            operator = ops.pop()
            if operator == "neg":
                value = values[-1]
                values[-1] = None if value is None else -value
                continue
            right = values.pop()
            if operator == "%" and isinstance(right, int) and right > 1:
                self.moduli.append(right)
            values[-1] = apply(operator, values[-1], right)

    def absorb(self, inner: _Frame) -> None:
        """Takes over what an inner bracket counted."""
        self.numbers += inner.numbers
        self.units += inner.units
        self.moduli += inner.moduli
        self.operators += inner.operators
        self.percents += inner.percents
        self.products |= inner.products
        self.decimals = max(self.decimals, inner.decimals)

    def side(self, end: int) -> Side:
        """The finished side, ending at character `end`."""
        self.reduce()
        numbers, units, moduli = tuple(self.numbers), tuple(self.units), tuple(self.moduli)
        counts = (self.operators, numbers, self.decimals, self.percents, units, self.products, moduli)
        return Side(self.values[-1], self.start, end, *counts)


def read_side(tokens: list[Token], i: int) -> tuple[Side | None, int]:
    """Reads the longest well-formed side from token `i`.

    Where brackets are still open at its end ("(3 + 4 = 7)"), the innermost one is the side.

    Returns:
        The side, or None when there is none, and the number of the first token after it.
    """
    while i < len(tokens) and tokens[i].kind == "nl":
        i += 1
    frames = [_Frame("top", tokens[i].start if i < len(tokens) else 0)]
    expect, end = True, 0  # whether a number must come next; where the last number or bracket ended
    while i < len(tokens):
        token = tokens[i]
        step = _take_value(frames, tokens, i, end) if expect else _take_link(frames, tokens, i, end)
        if step is None:
            break
        expect = step
        if token.kind not in ("unit", "nl"):
            end = token.end
        i += 1
    frame = frames[-1]
    if expect or not frame.values or frame.kind in ("f", "g"):
        return None, i
    return frame.side(end), i


def _take_value(frames: list[_Frame], tokens: list[Token], i: int, end: int) -> bool | None:
    """Where a number must come: takes it, a sign or an opening bracket. True: a number is still due; None: neither."""
    token, frame = tokens[i], frames[-1]
    kind = token.kind
    if kind == "num":
        value, decimals = read_number(str(token.value))
        frame.decimals = max(frame.decimals, decimals)
        frame.values.append(value)
        frame.numbers.append(value)
        return False
    if kind == "shortfrac":
        frame.values.append(token.value)  # type: ignore[arg-type]
        frame.products = True
        return False
    if kind in ("open", "frac"):
        frames.append(_Frame("f" if kind == "frac" else "(", token.end))
        return True
    sign = kind == "op" and token.value in ("-", "+")
    if sign and i + 1 < len(tokens) and tokens[i + 1].kind in ("num", "open", "frac"):
        attached = tokens[i + 1].start == token.end
        after_sign = i > 0 and tokens[i - 1].kind == "rel"
        if attached or after_sign:  # "- 12" at a line's start is a list item, not a negative number
            if token.value == "-":
                frame.push("neg")
            return True
    return None


def _take_link(frames: list[_Frame], tokens: list[Token], i: int, end: int) -> bool | None:
    """After a number: takes an operator, a closing bracket, a unit. True: a number is due; None: the side ends."""
    token, frame = tokens[i], frames[-1]
    kind = token.kind
    following = tokens[i + 1].kind if i + 1 < len(tokens) else "end"
    if kind == "op" or kind == "pow" or kind == "mod":
        if following not in ("num", "open", "frac", "shortfrac", "op"):
            return None
        frame.push(str(token.value) if kind == "op" else "^" if kind == "pow" else "%")
        return True
    if kind == "pct":
        if following in ("num", "open"):
            frame.push("%")
            return True
        frame.percents += 1
        return False
    if kind == "nl":
        return False if following == "rel" else None
    if kind == "unit":
        if following in ("num", "open", "frac"):
            return None
        frame.units.append(str(token.value))
        return False
    if kind == "close":
        return _close(frames, tokens, i)
    if kind in ("open", "frac") and token.value != "{" and not (kind == "frac" and token.start > end):
        if token.start > end:  # 2 (3): a product, or a number with a remark
            if not _is_closed(tokens, i):
                return None
            if tokens[i - 1].value != "}":
                frame.values[-1] = None
        # 2(3), (2)(3), \frac{1}{2} (3), 2\frac{1}{2}
        frame.push("mix" if kind == "frac" and tokens[i - 1].kind == "num" else "*")
        frames.append(_Frame("f" if kind == "frac" else "(", token.end))
        return True
    return None


def _is_closed(tokens: list[Token], i: int) -> bool:
    """Whether the bracket at token `i` closes soon, with nothing but numbers and operators inside."""
    depth = 0
    for token in tokens[i : i + 40]:
        depth += (token.kind in ("open", "frac")) - (token.kind == "close")
        if depth <= 0:
            return True
        if token.kind not in ("num", "op", "open", "close", "frac", "pow", "shortfrac"):
            return False
    return False


def _close(frames: list[_Frame], tokens: list[Token], i: int) -> bool | None:
    """Closes the innermost bracket and hands its value outwards."""
    if len(frames) == 1:
        return None
    frame = frames[-1]
    follows = tokens[i + 1] if i + 1 < len(tokens) else None
    if frame.kind == "f" and (follows is None or follows.value != "{" or follows.start != tokens[i].end):
        return None
    frames.pop()
    frame.reduce()
    outer = frames[-1]
    outer.absorb(frame)
    value = frame.values[-1]
    if frame.kind == "f":
        bottom = _Frame("g", tokens[i].end, value)
        frames.append(bottom)
        return True  # the "{" that comes next opens a plain bracket inside this frame
    outer.values.append(value)
    if outer.kind == "g":  # that plain bracket has just closed: the fraction is complete
        frames.pop()
        outer.products = True
        frames[-1].absorb(outer)
        frames[-1].values.append(apply("/", outer.numerator, value))
    return False
