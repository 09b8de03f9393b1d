"""Task families whose answer is a word or a letter: logic in prose, and multiple choice."""

from __future__ import annotations

import dataclasses
import itertools

from families_words import NAMES, geometry, word_problems
from records import Problem, Rng, Step

TRAITS = ("taller", "older", "faster", "heavier", "louder")
KINDS = ("robins", "poets", "tigers", "bakers", "maples", "sailors", "violins", "judges")


def logic(rng: Rng) -> Problem:
    if rng.random() < 0.5:
        who, trait = rng.sample(NAMES, 4), rng.choice(TRAITS)
        facts = [f"{a} is {trait} than {b}." for a, b in itertools.pairwise(who)]
        low, high = sorted(rng.sample(range(4), 2))
        asked = (who[low], who[high]) if rng.random() < 0.5 else (who[high], who[low])
        yes = asked[0] == who[low]
        steps = [Step(f"From the facts, {a} comes before {b} in the order") for a, b in itertools.pairwise(who)]
        steps.append(Step(f"Chaining these gives the order {', '.join(who)}, where each is {trait} than the next"))
        steps.append(Step(f"In that order {asked[0]} stands {'before' if yes else 'after'} {asked[1]}"))
        prompt = f"{' '.join(rng.sample(facts, 3))} Is {asked[0]} {trait} than {asked[1]}? Answer yes or no."
        return Problem("logic", prompt, "yes" if yes else "no", tuple(steps), final_step=False)
    a, b, c = rng.sample(KINDS, 3)
    yes = rng.random() < 0.5
    if yes:
        prompt = f"All {a} are {b}. All {b} are {c}. Does it follow that all {a} are {c}? Answer yes or no."
        steps = [
            Step(f"Take any one of the {a}"),
            Step(f"By the first premise it is one of the {b}"),
            Step(f"By the second premise each of the {b} is one of the {c}, so it belongs to the {c} as well"),
            Step(f"It was chosen freely, so this holds for all {a}"),
        ]
    else:
        prompt = f"All {a} are {b}. Some {b} are {c}. Does it follow that some {a} are {c}? Answer yes or no."
        steps = [
            Step(f"The {b} that are {c} need not be {a}"),
            Step(f"Picture three {b}: one that is among the {a}, and two that are not"),
            Step(f"Let only the last two be {c}; both premises hold, yet none of the {a} is among the {c}"),
            Step("So there is a counterexample, and the conclusion does not follow"),
        ]
    return Problem("logic", prompt, "yes" if yes else "no", tuple(steps), final_step=False)


def multiple_choice(rng: Rng) -> Problem:
    base = rng.choice((word_problems, geometry))(rng)
    right = int(base.gold)
    wrong = {right + d for d in rng.sample((-10, -6, -3, -2, 2, 3, 5, 10, 12), 3)}
    options = rng.sample(sorted(wrong | {right}), 4)
    letter = "ABCD"[options.index(right)]
    listed = "\n".join(f"{name}) {value}" for name, value in zip("ABCD", options, strict=True))
    steps = (*base.steps, Step(f"That is option {letter}"))
    prompt = f"{base.prompt}\n{listed}\nAnswer with the letter."
    return dataclasses.replace(
        base, family="multiple choice", prompt=prompt, gold=letter, steps=steps, final_step=False
    )
