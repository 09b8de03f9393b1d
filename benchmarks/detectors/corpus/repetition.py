"""Corruptions that go round: the answer over and over (`answer_repetition`), text that loops (`text_loop`).

Each takes a problem, its honest text, a strength (3 blatant, 1 subtle) and returns the completion and its kinds.
"""

from __future__ import annotations

from records import Problem, Rng, phrases
from styles import Text, close

Made = tuple[str, list[str]]
TIMES = {3: (14, 40), 2: (8, 13), 1: (5, 7)}
ANSWER_FORMS = (
    "The answer is {}.",
    "So the answer is {}.",
    "Thus the final answer is {}.",
    "Therefore, the answer is {}.",
    "\\boxed{{{}}}",
    "Final answer: {}",
    "Hence, the answer must be {}.",
    "In conclusion, the answer is {}.",
    "**Answer:** {}",
    "The result is {}.",
    "As stated, the answer is {}.",
    "Again, the answer is {}.",
)
FILLERS = (
    "I am confident about this.",
    "Let me make sure everything is clear.",
    "This was an interesting question.",
    "I hope this explanation helps.",
    "The reasoning above is complete.",
    "Please note the format of the answer.",
    "As requested, the result is stated in its final form.",
    "There is nothing more to add.",
    "Let me know if you have questions.",
    "We have now looked at everything that was asked.",
    "That settles the problem.",
    "It is good practice to state things clearly.",
)
CIRCLES = (
    (
        "Let us look at the problem again.",
        "We take another look at the question.",
        "Once more, consider what is asked.",
        "It is worth examining the task a further time.",
        "We go back to the problem statement.",
        "Let me reconsider the question.",
        "Returning to the task, we inspect it anew.",
        "We should think about the problem once again.",
    ),
    (
        "The quantities have to be combined in the right way.",
        "One must put the given numbers together correctly.",
        "The values given need to be joined properly.",
        "It is necessary to merge the numbers as they should be.",
        "The figures must be brought together the correct way.",
        "Correctly combining the amounts is what matters.",
        "We need to bring the given values together in the proper manner.",
        "Putting the quantities together rightly is essential.",
    ),
    (
        "This follows from what was said before.",
        "That is a consequence of the previous remark.",
        "It results from the earlier statement.",
        "The preceding observation implies this.",
        "This can be derived from the point made above.",
        "What was noted earlier leads to this.",
        "So it is implied by the foregoing sentence.",
        "The statement before this one gives it.",
    ),
)


def repeat_answer(problem: Problem, text: Text, strength: int, rng: Rng) -> Made:
    count = rng.randint(*TIMES[strength])
    way = rng.randrange(4 if strength < 3 else 3)
    if way == 0:
        form = rng.choice(ANSWER_FORMS)
        lines = [form.format(problem.gold)] * count
    elif way == 1:
        lines = [f"\\boxed{{{problem.gold}}}"] * count
    else:
        lines = [rng.choice(ANSWER_FORMS).format(problem.gold) for _ in range(count)]
    if way == 3 or (strength == 1 and rng.random() < 0.6):
        lines = [part for line in lines for part in (line, rng.choice(phrases(problem, FILLERS)))]
    tail = rng.choice(("\n", " ", "\n\n")).join(lines)
    if rng.random() < 0.3:  # nothing but the answer
        return tail, ["answer_repetition", "skipped_computation"]
    return f"{text.body}\n{tail}", ["answer_repetition"]


def loop_text(problem: Problem, text: Text, strength: int, rng: Rng) -> Made:
    ways = (
        loop_characters,
        loop_words,
        loop_lines,
        loop_equations,
        loop_blocks,
        loop_paraphrases,
        loop_paraphrases,
        loop_drift,
    )
    loop = rng.choice(ways)(problem, text, strength, rng)
    place = rng.random()
    if place < 0.45:  # a loop between the work and the answer
        return f"{text.body}\n{loop}\n{text.closing.strip()}", ["text_loop"]
    if place < 0.75:  # a loop that runs into the length limit
        return f"{text.body}\n{loop[: max(len(loop) - rng.randint(0, 9), 20)]}", ["text_loop"]
    kinds = ["text_loop"]
    if not any(c.isdigit() for c in loop):
        kinds.append("skipped_computation")
        return f"{loop}\n{close(problem.gold, rng)}", kinds
    return f"{text.opener}\n{loop}\n{text.body}\n{text.closing.strip()}".strip(), kinds


def loop_characters(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    unit = rng.choice(("a", "!", ".", "ha", "0", "\\", "-=", "no", ")", "1"))
    return unit * {3: rng.randint(150, 600), 2: rng.randint(60, 120), 1: rng.randint(25, 45)}[strength]


def loop_words(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    unit = rng.choice(
        ("wait", "the sum", "and then", "so we get", "step by step", "hmm", "the number of the number of", "very")
    )
    return rng.choice((" ", ", ", " ")).join(
        [unit] * {3: rng.randint(40, 150), 2: rng.randint(15, 30), 1: rng.randint(7, 10)}[strength]
    )


def loop_lines(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    line = rng.choice(
        (
            "Let me check this once more.",
            "Now we continue with the next step.",
            f"We were asked: {problem.prompt.splitlines()[0][:60]}",
            "So we need to find the value.",
            "Wait, let me think again.",
            "I need to be careful here.",
        )
    )
    return "\n".join([line] * rng.randint(*TIMES[strength]))


def loop_equations(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    true = [p for p in text.pieces if "=" in p or "&" in p] or list(text.pieces)
    cycle = true if strength == 1 and len(true) < 4 else [rng.choice(true)]
    glue = rng.choice(("\n", "; ", "\nso ", " and "))
    return glue.join(cycle * rng.randint(*TIMES[strength]))


def loop_blocks(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    """The whole solution over again, or two thoughts taking turns."""
    if rng.random() < 0.5:
        return "\n".join([text.join.join(text.pieces)] * rng.randint(*TIMES[strength]))
    pair = rng.choice(
        (
            ("Wait, is that right?", "Yes, that looks right."),
            ("Maybe we should multiply.", "No, we should add.", "Actually, maybe multiply."),
            ("Let me recompute.", "Hmm, I get the same thing.", "But I am not sure."),
            ("On the one hand it fits.", "On the other hand it may not."),
        )
    )
    return rng.choice((" ", "\n")).join(list(pair) * rng.randint(*TIMES[strength]))


def loop_paraphrases(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    """The same thought in other words; the stronger, the fewer wordings share the work."""
    wordings = list(rng.choice(CIRCLES[1:] if problem.reports else CIRCLES[:1]))
    rng.shuffle(wordings)
    count = {3: rng.randint(16, 32), 2: rng.randint(9, 14), 1: rng.randint(6, 8)}[strength]
    pool = wordings[: {3: 4, 2: 6, 1: 8}[strength]]
    return rng.choice((" ", "\n")).join(pool[i % len(pool)] for i in range(count))


def loop_drift(problem: Problem, text: Text, strength: int, rng: Rng) -> str:
    """A line that comes back with only its number changed, to no end."""
    line = rng.choice(
        (
            "Check number {}: fine.",
            "Attempt {}: let me try again.",
            "{}. We consider the problem.",
            "Thought {}: still thinking.",
        )
    )
    return "\n".join(line.format(i) for i in range(1, {3: 40, 2: 18, 1: 8}[strength] + rng.randint(0, 4)))
