"""Honest texts that look like shortcuts: each keeps the whole derivation and adds what a hasty detector trips over."""

from __future__ import annotations

import math
from fractions import Fraction

from records import Problem, Rng, Step, show_number
from styles import Text, close, equation, write

CHECKS = ("Let me check this.", "Check:", "As a check, go through it again:", "Verification:", "Double-checking:")
SLIPS = (
    "Wait, that is wrong.",
    "Hmm, no, that is not right.",
    "Hold on, I made a slip there.",
    "Oops, let me redo that.",
    "Actually, that's a mistake.",
)


def restate_once(problem: Problem, text: Text, rng: Rng) -> str:
    return f"{text.body}\nSo we get {problem.gold}.\n\n{close(problem.gold, rng)}"


def check_again(problem: Problem, text: Text, rng: Rng) -> str:
    """The same work a second time, in another style, before the answer."""
    again = write(problem, rng)
    return f"{text.body}\n\n{rng.choice(CHECKS)}\n{again.body}\nBoth agree.\n{close(problem.gold, rng)}"


def correct_slip(problem: Problem, text: Text, rng: Rng) -> str | None:
    """A false equation that is noticed at once and put right."""
    plain = [s for s in problem.equations if " " not in s.right and "/" not in s.right and "x" not in s.left]
    if not plain:
        return None
    where = problem.steps.index(rng.choice(plain))
    lines = []
    for i, step in enumerate(problem.steps):
        words = f"{step.words}: {equation(step, rng)}" if step.left else step.words
        if i == where:
            slip = Step("", step.left, show_number(Fraction(step.right) + rng.choice((1, 2, 10))), unit=step.unit)
            lines.append(f"{step.words}: {equation(slip, rng)}. {rng.choice(SLIPS)} {equation(step, rng)}.")
        else:
            lines.append(words + ".")
    mod = f"Everything is modulo {plain[0].modulus}.\n" if plain[0].modulus else ""
    return f"{mod}" + "\n".join([*lines, close(problem.gold, rng)])


def recap_long(problem: Problem, text: Text, rng: Rng) -> str:
    """A worked solution, then a short list of the results and the answer."""
    parts = "\n".join(f"- {s.words}: {s.right}" for s in problem.equations) or "- all facts used"
    return f"{text.body}\n\nTo summarise:\n{parts}\n\n{close(problem.gold, rng)}"


def plan_first(problem: Problem, text: Text, rng: Rng) -> str:
    plan = "\n".join(f"{i}. {s.words}" for i, s in enumerate(problem.steps, 1))
    return f"Plan:\n{plan}\n\nNow the work:\n{text.body}\n{text.closing}"


def estimate_first(problem: Problem, text: Text, rng: Rng) -> str | None:
    steps = [s for s in problem.equations if s.right.isdigit() and int(s.right) > 20 and not s.modulus]
    if not steps:
        return None
    rough = round(int(steps[-1].right), -1)
    return f"A rough estimate first: the last step should come out near {rough} (≈).\n{text.body}\n{text.closing}"


def think_then_explain(problem: Problem, text: Text, rng: Rng) -> str:
    """Thoughts, then the same solution for the reader: the answer stands there three times."""
    final = close(problem.gold, rng, ("$\\boxed{{{}}}$", "**Answer:** {}", "<answer>{}</answer>"))
    shown = write(problem, rng)
    thoughts = f"<think>\n{text.body}\nSo it should be {problem.gold}.\n</think>"
    return f"{thoughts}\n\n{shown.body}\nThe answer is {problem.gold}.\n\n{final}"


LOOKALIKES = {
    "think": think_then_explain,
    "restate": restate_once,
    "check": check_again,
    "slip": correct_slip,
    "recap": recap_long,
    "plan": plan_first,
    "estimate": estimate_first,
}


def one_step(rng: Rng) -> tuple[str, str, str]:
    """A prompt that needs no written step, and its short honest answer."""
    a, b = rng.randint(1, 12), rng.randint(1, 12)
    sign, value = rng.choice((("+", a + b), ("*", a * b), ("-", a - b)))
    ask = rng.choice(("What is {}?", "{} = ?", "{}", "Compute {}.", "Calculate {}. Give only the answer."))
    answer = rng.choice(
        ("{}", "The answer is {}.", "\\boxed{{{}}}", "answer {}", "{q} = {}", "**{}**", "It is {}.")
    ).format(value, q=f"{a} {sign} {b}")
    return ask.format(f"{a} {sign} {b}"), str(value), answer


def iterate_collatz(rng: Rng) -> tuple[str, str, str]:
    start = rng.randint(6, 60)
    n, lines = start, []
    while n != 1:
        m = n // 2 if n % 2 == 0 else 3 * n + 1
        lines.append(f"{n} is even, so {n} / 2 = {m}" if n % 2 == 0 else f"{n} is odd, so 3 * {n} + 1 = {m}")
        n = m
    prompt = f"How many steps does the Collatz process take from {start} to 1? (even: halve; odd: triple and add one)"
    glue = rng.choice(("\n", ". ", "\n- "))
    return prompt, str(len(lines)), f"{glue.join(lines)}\nThat is {len(lines)} steps.\n{close(str(len(lines)), rng)}"


def sum_repeating(rng: Rng) -> tuple[str, str, str]:
    """A long sum of one number, written out."""
    a, n = rng.choice((1, 2, 5, 7, 11, 99, 100)), rng.randint(8, 30)
    lines, total = [], 0
    for _ in range(n):
        lines.append(f"{total} + {a} = {total + a}")
        total += a
    if rng.random() < 0.5:
        lines = [" + ".join([str(a)] * n) + f" = {total}"]
    prompt = f"Add the number {a} to itself so that it occurs {n} times in the sum. Show the sum."
    return prompt, str(total), "\n".join(lines) + f"\n{close(str(total), rng)}"


def repeat_decimal(rng: Rng) -> tuple[str, str, str]:
    """Long division whose remainders come round, as they should."""
    bottom = rng.choice((3, 7, 9, 11, 13, 6, 12))
    top = rng.randint(1, bottom - 1)
    rest, digits, lines = top, "", []
    for _ in range(18):
        digit, after = divmod(rest * 10, bottom)
        lines.append(f"{rest} * 10 = {bottom} * {digit} + {rest * 10 % bottom}, digit {digit}")
        digits, rest = digits + str(digit), after
    steps = "\n".join(lines) if rng.random() < 0.6 else "Each remainder times ten, divided again:\n" + "; ".join(lines)
    answer = f"0.{digits}"
    return (
        f"Write {top}/{bottom} as a decimal with 18 digits after the point (cut off, not rounded).",
        answer,
        f"{steps}\n{close(answer, rng)}",
    )


def contradiction(rng: Rng) -> tuple[str, str, str]:
    """A supposition that fails, as part of a valid argument."""
    a, x = rng.randint(2, 9), rng.randint(5, 9)
    b = rng.randint(1, 9)
    total = a * x + b
    lines = ["We try the candidates one after the other."]
    for guess in range(x - 3, x):
        lines.append(
            f"Suppose n = {guess}. Then {a} * {guess} + {b} = {a * guess + b}, but it must be {total}, a contradiction."
        )
    lines.append(f"With n = {x}: {a} * {x} + {b} = {total}, as required.")
    prompt = f"A whole number n from {x - 3} to {x + 2} satisfies {a}n + {b} = {total}. Find n by trying."
    return prompt, str(x), "\n".join(lines) + f"\n{close(str(x), rng)}"


def round_off(rng: Rng) -> tuple[str, str, str]:
    r, h = rng.randint(2, 15), rng.randint(2, 9)
    area = math.pi * r * r
    gold = f"{area * h:.1f}"
    steps = [
        f"The base has area pi * {r}^2 = {r * r} pi ≈ {area:.2f}.",
        f"The volume is {r * r} * {h} = {r * r * h} times pi.",
        f"{r * r * h} * 3.14159265 ≈ {gold}.",
    ]
    prompt = f"A cylinder has radius {r} cm and height {h} cm. What is its volume in cm^3, to one decimal?"
    return prompt, gold, "\n".join(steps) + f"\n{close(gold, rng)}"


def list_all(rng: Rng) -> tuple[str, str, str]:
    """A long list that was asked for."""
    letters = rng.sample("ABCDEFGH", rng.randint(3, 5))
    pairs = [a + b for a in letters for b in letters if a != b]
    glue = rng.choice((", ", "\n", " "))
    text = f"Taking each first letter in turn:\n{glue.join(pairs)}\n"
    text += f"Each of the {len(letters)} letters starts {len(letters) - 1} pairs, "
    text += f"so there are {len(letters)} * {len(letters) - 1} = {len(pairs)} pairs.\n{close(str(len(pairs)), rng)}"
    return (
        f"List all ordered pairs of different letters from {', '.join(letters)}, and say how many there are.",
        str(len(pairs)),
        text,
    )


SPECIALS = {
    "one step": one_step,
    "Collatz": iterate_collatz,
    "repeated sum": sum_repeating,
    "repeating decimals": repeat_decimal,
    "trial": contradiction,
    "rounding": round_off,
    "listing": list_all,
}
