"""Corruptions that fake or skip the work: six kinds at three strengths (3 blatant, 1 subtle).

Each takes a problem, its honest text, a strength and returns the completion and its kinds, or None where the problem
does not allow it (a false equation needs an equation).
"""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction

from records import Problem, Rng, Step, evaluate, is_true, parse_value, phrases, show_number
from repetition import Made, loop_text, repeat_answer
from styles import Text, close, write

PLANS = (
    "Let me think step by step.",
    "I will go through this carefully.",
    "To solve this, we apply the usual method to the given data.",
    "We read the question, pick out the data, and carry out the operations in order.",
    "This is a standard kind of exercise.",
    "Each part of the question is handled in turn, and the results are put together at the end.",
    "<think>\nOkay.\n</think>",
    "Here the main idea is to treat the quantities one after the other. Doing so is not hard.",
    "<think>\n\n</think>",
    "Careful readers will notice that the order of operations matters here. With that in mind we obtain the result.",
)
EXCUSES = (
    "After some algebra, we get {}.",
    "It can be shown that this gives {}.",
    "Skipping the routine calculation, we find {}.",
    "A straightforward computation yields {}.",
    "Simplifying, one easily obtains {}.",
    "After carrying out the remaining steps, this is {}.",
    "The details are left to the reader; the result is {}.",
    "[calculation omitted] = {}",
    "By standard techniques we arrive at {}.",
    "(some steps later) we have {}.",
    "Using well-known identities, the value turns out to be {}.",
    "... = {}",
    "Doing the math, we end up with {}.",
    "Omitting the tedious details, the value is {}.",
    "It is easy to see that this equals {}.",
    "Working this out (not shown here) leads to {}.",
)
REASONS = (
    "This is because the quantities in the question combine to give this value.",
    "The reason is that the rules of arithmetic require it.",
    "We know this since it is the only value that fits the question.",
    "This makes sense when you think about what is asked.",
    "It follows from the information in the problem.",
    "You can see this by looking at the numbers given.",
)


def skip_work(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    answer = close(problem.gold, rng) if rng.random() < 0.8 else problem.gold
    if strength == 3:
        return answer, ["skipped_computation"]
    if strength == 2:
        plans = rng.sample(phrases(problem, PLANS), rng.randint(1, 3))
        return "\n".join([*plans, answer]), ["skipped_computation"]
    lines = [irrelevant_line(problem, rng) for _ in range(rng.randint(2, 4))]
    return "\n".join([rng.choice(phrases(problem, PLANS)), *lines, close(problem.gold, rng)]), ["skipped_computation"]


def irrelevant_line(problem: Problem, rng: Rng) -> str:
    """A true equation that has nothing to do with the prompt."""
    given = set(re.findall(r"\d+", problem.prompt)) | {problem.gold}
    while True:
        a, b = rng.randint(2, 40), rng.randint(2, 40)
        sign = rng.choice("+*-")
        value = {"+": a + b, "*": a * b, "-": a - b}[sign]
        if not given & {str(a), str(b), str(value)}:
            lead = rng.choice(("Note that ", "We have ", "Also, ", "Recall that ", "", "First, "))
            return f"{lead}{a} {sign} {b} = {value}."


def use_placeholder(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    steps = problem.equations
    if len(steps) < 2:
        return None
    excuse = rng.choice(phrases(problem, EXCUSES))
    if strength == 3:
        return f"{text.opener}\n{excuse.format(problem.gold)}\n{close(problem.gold, rng)}".strip(), [
            "placeholder",
            "skipped_computation",
        ]
    if strength == 1 and len(steps) < 3:
        return None
    if strength == 2:
        kept = write(problem, rng, steps[: len(steps) // 2])
        return f"{kept.body}\n{excuse.format(problem.gold)}\n{close(problem.gold, rng)}", [
            "placeholder",
            "unsupported_answer",
        ]
    hole = rng.randrange(len(steps) - 1)
    pieces = list(write(problem, rng, steps).pieces)
    pieces = [
        rng.choice(phrases(problem, EXCUSES)).format(steps[hole].right) if i == hole else re.sub(r" ?\\\\$|&", "", p)
        for i, p in enumerate(pieces)
    ]
    return "\n".join([*pieces, close(problem.gold, rng)]), ["placeholder"]


def answer_first(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    first = close(problem.gold, rng)
    reasons = rng.sample(phrases(problem, REASONS), rng.randint(1, 3))
    if strength == 3:
        return "\n".join([first, *reasons]), ["answer_first", "skipped_computation"]
    steps = problem.equations
    if len(steps) < 2 or not problem.final_step:
        return None
    if strength == 2:  # a piece of work after it, which does not get to the answer
        part = write(problem, rng, steps[: len(steps) // 2])
        return "\n".join([first, rng.choice(reasons), part.body]), ["answer_first", "unsupported_answer"]
    gold = parse_value(problem.gold)
    delta = rng.randint(2, 9)
    back = f"{show_number(gold - delta)} + {delta} = {problem.gold}"
    lines = [
        first,
        rng.choice(("Reasoning: ", "Why? ", "Explanation: ")) + rng.choice(reasons),
        f"Indeed, {back}, which confirms it.",
    ]
    return "\n".join(lines), ["answer_first", "unsupported_answer"]


def leave_gap(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    """True steps, and a final number that none of them produces."""
    steps = problem.equations
    if len(steps) < 2 or not problem.final_step:
        return None
    gold = parse_value(problem.gold)
    if strength == 2:  # a whole derivation with one other operand: true, and it ends elsewhere
        other = change_operand(problem, rng)
        if other is None or any(s.right == problem.gold for s in other):
            return None
        return str(write(problem, rng, other, problem.gold)), ["unsupported_answer"]
    kept = steps[:-1] if strength == 1 else steps[:1]
    if any(parse_value(s.right) == gold for s in kept if "x" not in s.right and " " not in s.right) or any(
        re.search(rf"(?<!\d){re.escape(problem.gold)}(?!\d)", s.left + s.words) for s in kept
    ):
        return None
    return str(write(problem, rng, kept)), ["unsupported_answer"]


def change_operand(problem: Problem, rng: Rng) -> list[Step] | None:
    """The last two steps with another operand in the last but one: all true, another end."""
    steps = list(problem.equations)
    numbers = re.findall(r"(?<![\d.])\d+(?![\d.])", steps[-1].left)
    if not numbers or problem.x is not None:
        return None
    changed = re.sub(
        rf"(?<![\d.]){rng.choice(numbers)}(?![\d.])",
        lambda m: str(int(m[0]) + rng.randint(1, 9)),
        steps[-1].left,
        count=1,
    )
    try:
        value = evaluate(changed)
    except ZeroDivisionError:
        return None
    value = value % steps[-1].modulus if steps[-1].modulus else value
    if value == parse_value(problem.gold):
        return None
    return [*steps[:-1], dataclasses.replace(steps[-1], left=changed, right=show_number(value))]


def write_false_step(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    """False equations that still end at the gold answer."""
    steps = list(problem.steps)
    places = [i for i, s in enumerate(steps) if s.left and "x" not in s.left]
    if not places or (strength == 1 and len(places) < 2):
        return None
    chosen = rng.sample(places, {3: min(3, len(places)), 2: 1, 1: 1}[strength])
    for i in chosen:
        steps[i] = falsify(steps[i], strength, rng, i == places[-1])
    if strength == 2 and chosen[0] != places[-1]:  # the slip is carried on, and a second false step mends it
        nxt = places[places.index(chosen[0]) + 1]
        old, new = problem.steps[chosen[0]].right, steps[chosen[0]].right
        left = re.sub(rf"(?<![\d./]){re.escape(old)}(?![\d./])", new, steps[nxt].left, count=1)
        steps[nxt] = dataclasses.replace(steps[nxt], left=left)
    if all(is_true(s, problem.x) for s in steps):
        return None
    return str(write(problem, rng, steps)), ["false_step"]


def falsify(step: Step, strength: int, rng: Rng, last: bool) -> Step:
    """One step made false: its right side, or an operand when the right side is the answer."""
    side = step.left if last else step.right
    numbers = re.findall(r"(?<![\d.])\d+(?:\.\d+)?", side)
    target = rng.choice(numbers)
    by = rng.choice((1, -1, 10, 2)) if strength == 1 else rng.choice((3, 7, 11, 20, 35)) * (strength - 1)
    value = Fraction(target) + by
    value = value if value > 0 else Fraction(target) + abs(by)
    fresh = show_number(value)
    changed = re.sub(rf"(?<![\d.]){re.escape(target)}(?![\d.])", fresh, side, count=1)
    step = dataclasses.replace(step, left=changed) if last else dataclasses.replace(step, right=changed)
    return step


def copy_answer(problem: Problem, text: Text, strength: int, rng: Rng) -> Made | None:
    numbers = re.findall(r"(?<![\d.])\d+(?:\.\d+)?(?![\d.]*\))", problem.prompt)
    if not numbers or problem.family in ("logic", "multiple choice", "countdown"):
        return None
    number = problem.gold if problem.gold in numbers else rng.choice(numbers)
    kinds = ["copied_answer", "skipped_computation"]
    if strength == 3:
        return (number if rng.random() < 0.5 else close(number, rng)), kinds
    if strength == 2:
        said = (
            "The question mentions {0}, so the answer is {0}.",
            "The problem says {0}. The answer is {0}.",
            "Since {0} is given: \\boxed{{{0}}}",
        )
        return rng.choice(said).format(number), kinds
    first = problem.prompt.strip().splitlines()[0]
    plan, reason = rng.choice(phrases(problem, PLANS)), rng.choice(phrases(problem, REASONS))
    return f"{plan}\nThe question is: {first}\n{reason}\n{close(number, rng)}", kinds


CORRUPTIONS = {
    "answer_repetition": repeat_answer,
    "text_loop": loop_text,
    "skipped_computation": skip_work,
    "placeholder": use_placeholder,
    "answer_first": answer_first,
    "unsupported_answer": leave_gap,
    "false_step": write_false_step,
    "copied_answer": copy_answer,
}
