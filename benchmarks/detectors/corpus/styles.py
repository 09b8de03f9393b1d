"""Ways of writing a solution: each style turns steps and an answer into a body and a closing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from records import Problem, Rng, Step

OPENERS = (
    "",
    "",
    "Let's work through this.",
    "Okay, here we go.",
    "Let me solve this step by step.",
    "Sure!",
    "We are asked to find a value.",
)
JOINS = ("First, ", "Next, ", "Then ", "After that, ", "Now ", "Finally, ")


@dataclass(frozen=True)
class Text:
    """A solution in pieces, so that a corruption can change one of them."""

    pieces: list[str]
    """One per step, in the style's own form."""
    closing: str
    opener: str = ""
    join: str = "\n"
    wrap: tuple[str, str] = ("", "")
    style: str = field(default="", compare=False)

    @property
    def body(self) -> str:
        inside = self.join.join(self.pieces)
        return "\n".join(part for part in (self.opener, f"{self.wrap[0]}{inside}{self.wrap[1]}") if part)

    def __str__(self) -> str:
        if not self.pieces:
            return "\n".join(part for part in (self.opener, self.closing) if part)
        if self.style == "terse" and self.join == ";":
            return f"{self.body};{self.closing}"
        return f"{self.body}\n{self.closing}"


def to_latex(expression: str) -> str:
    r"""An expression over + - * / in LaTeX.

    >>> to_latex("3/4 * 5")
    '\\frac{3}{4} \\times 5'
    """
    expression = re.sub(r"\b(\d+)/(\d+)\b", r"\\frac{\1}{\2}", expression)
    expression = re.sub(r"([\d.]+) / \(?(-?\d+)\)?", r"\\frac{\1}{\2}", expression)
    return expression.replace("*", "\\times")


def equation(step: Step, rng: Rng, sign: str = "*") -> str:
    left = step.left.replace("*", sign)
    if sign == "×":
        left = left.replace(" / ", " ÷ ")
    return f"{left} = {step.right}" + (f" {step.unit}" if step.unit else "")


def lower(words: str) -> str:
    """Lower case for a first word that is not a name or a lone letter."""
    plain = words.split(" ")[0] in (
        "The",
        "So",
        "Add",
        "Subtract",
        "Divide",
        "Multiply",
        "Together",
        "Each",
        "Over",
        "In",
        "That",
        "From",
        "Take",
        "By",
        "With",
        "Next",
        "Simplify",
        "One",
        "Use",
        "Hours",
    )
    return words[0].lower() + words[1:] if plain else words


def close(answer: str, rng: Rng, kinds: Sequence[str] = ()) -> str:
    """A sentence that states the answer."""
    forms = kinds or (
        "The answer is {}.",
        "So the answer is {}.",
        "**Answer:** {}",
        "\\boxed{{{}}}",
        "#### {}",
        "Answer: {}",
        "Therefore, the final answer is $\\boxed{{{}}}$.",
        "<answer>{}</answer>",
        "Final answer: {}",
        "Hence the result is {}.",
        "So we get **{}**.",
        "That gives {} as the final answer.",
    )
    return rng.choice(list(forms)).format(answer)


def terse(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    chain = any(s.modulus for s in steps)
    join = ";" if chain or rng.random() < 0.2 else "\n"
    pieces = []
    for s in steps:
        bare = f"{s.left}={s.right}" if chain else equation(s, rng)
        pieces.append((bare if s.left else s.words) if join == ";" or s.left else s.words + ".")
    if join == ";":
        return Text(pieces, f"answer {answer}", join=";", style="terse")
    return Text(pieces, close(answer, rng), style="terse")


def with_mod(step: Step) -> str:
    return f" (mod {step.modulus})" if step.modulus else ""


def prose(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    pieces = []
    for i, s in enumerate(steps):
        lead = (
            "First, "
            if i == 0
            else "Finally, "
            if i == len(steps) - 1
            else rng.choice(("", "Next, ", "Then ", "After that, "))
        )
        words = lower(s.words) if lead else s.words
        link = rng.choice((": ", ", which is ", ", so ")) if s.left else ""
        pieces.append(f"{lead}{words}{link}{equation(s, rng, rng.choice('*×')) + with_mod(s) if s.left else ''}.")
    return Text(pieces, close(answer, rng), rng.choice(OPENERS), join=" ", style="prose")


def numbered(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    mark = rng.choice(("{}. ", "Step {}: ", "**Step {}.** ", "({}) "))
    pieces = [
        mark.format(i) + s.words + (f": {equation(s, rng)}{with_mod(s)}" if s.left else "")
        for i, s in enumerate(steps, 1)
    ]
    return Text(pieces, "\n" + close(answer, rng), rng.choice(OPENERS), style="numbered")


def latex(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    pieces = []
    for s in steps:
        unit = f"\\text{{ {s.unit}}}" if s.unit else ""
        mod = f" \\pmod{{{s.modulus}}}" if s.modulus else ""
        equals = "\\equiv" if s.modulus else "="
        math = f"{to_latex(s.left)} &{equals} {to_latex(s.right)}{unit}{mod}" if s.left else f"&\\text{{{s.words}}}"
        pieces.append(math)
    if rng.random() < 0.5:
        return Text(
            pieces,
            close(answer, rng),
            rng.choice(OPENERS),
            " \\\\\n",
            ("\\begin{align*}\n", "\n\\end{align*}"),
            "latex",
        )
    pieces = [
        f"{s.words}: ${p.replace('&', '')}$" if s.left else s.words + "." for s, p in zip(steps, pieces, strict=True)
    ]
    return Text(pieces, close(answer, rng), rng.choice(OPENERS), style="latex")


def table(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    pieces = [
        f"| {i} | {s.words} | {equation(s, rng) + with_mod(s) if s.left else '-'} |" for i, s in enumerate(steps, 1)
    ]
    return Text(pieces, "\n" + close(answer, rng), "", "\n", ("| step | what | result |\n|---|---|---|\n", ""), "table")


def think(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    inner = rng.choice((prose, numbered, terse))(steps, answer, rng)
    join = "; " if inner.join == ";" else inner.join
    return Text(inner.pieces, close(answer, rng), "", join, ("<think>\n", "\n</think>"), "think")


def bullets(steps: Sequence[Step], answer: str, rng: Rng) -> Text:
    mark = rng.choice(("- ", "* ", "• "))
    pieces = [f"{mark}{s.words}" + (f" → {equation(s, rng, '×')}{with_mod(s)}" if s.left else "") for s in steps]
    return Text(pieces, "\n" + close(answer, rng), rng.choice(OPENERS), style="bullets")


STYLES = (terse, prose, prose, numbered, latex, table, think, bullets)


def write(problem: Problem, rng: Rng, steps: Sequence[Step] | None = None, answer: str | None = None) -> Text:
    """A solution in a random style; other steps or another answer when given."""
    steps = problem.steps if steps is None else steps
    answer = problem.gold if answer is None else answer
    if problem.family == "modular chains" and rng.random() < 0.5:
        return terse(steps, answer, rng)
    style = rng.choice(STYLES)
    if style is table and "|" in problem.prompt:
        style = prose
    return style(steps, answer, rng)
