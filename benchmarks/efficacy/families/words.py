"""words: short stories in English with written reasoning, some from reasoning-gym, most from templates made here."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from benchmarks.efficacy.families.family import Family, hash_prompt

_SHE = ["Anna", "Carla", "Dora", "Emma", "Fatma", "Grace", "Hanna", "Iris"]
_HE = ["Ben", "David", "Emil", "Felix", "Hugo", "Ivan", "Jonas", "Karl"]
_THINGS = ["apples", "pens", "coins", "cards", "shells", "stones", "nuts", "books", "eggs", "cups", "stamps", "beads"]
_GAINS = ("finds {n} more", "buys {n} more", "gets {n} from {other}", "wins {n}", "picks {n} more", "adds {n}")
_LOSSES = ("loses {n}", "sells {n}", "gives {n} to {other}", "drops {n}", "breaks {n}", "hides {n}")
_GOODS = ["kite", "ball", "lamp", "drum", "scarf", "ticket"]
_COLOURS = ["red", "blue", "green", "white", "black", "pink", "brown", "grey"]
_OPENERS = ("{name} has {n} {things}.", "In the morning {name} has {n} {things}.", "Today {name} has {n} {things}.")
_NUMBER = ("How many {things} does {name} have now?", "How many {things} are left at the end?")
_ENOUGH = ("A {goods} costs {n} {things}. Can {name} pay for it?", "Does {name} have {n} {things} or more now?")
_MOST = ("Who has more {things} now?", "Who of the two has more {things}?")
_PACKED = ("{name} has {a} boxes with {b} {things} each.", "There are {b} {things} in each of the {a} boxes of {name}.")
_TOTAL = ("How many {things} is that?", "How many {things} does {name} have?", "What is the number of {things}?")
_CHAINS = {"taller": "tallest", "older": "oldest", "faster": "fastest", "richer": "richest"}
_SECRETS = (
    "{name} locks {a} {things} and {b} {others} in a box with a secret number from 0 to 9 on it. What is the number?",
    "A box of {name} holds {a} {things} and {b} {others}. It opens with a secret number from 0 to 9. Which one?",
    "{name} locks {a} {things} and {b} {others} in a box of a secret colour. What is the colour?",
)
_GUESSES = (
    "{name} locks {a} {things} and {b} {others} in a box. Is there a secret coin in the box?",
    "{name} hides {a} {things} and {b} {others} under secret lids. Which lid? (A) red (B) blue (C) green",
)
_LEGS = {"min_animals": 1, "max_animals": 2, "min_instances": 1, "max_instances": 3}

_HAS = re.compile(r"(\w+) has (\d+) \w+\.")
_CHANGE = re.compile(
    r"(finds|buys|gets|wins|picks|adds|loses|sells|gives|drops|breaks|hides) (\d+)|doubles them and adds (\d+)"
)
_OPTION = re.compile(r"\((\w)\) (\w+)")


def _follow(story: str) -> tuple[list[str], int]:
    """The steps of one person's story, and what the person has in the end."""
    match = _HAS.search(story)
    assert match is not None, story
    steps, value = [], int(match[2])
    for verb, number, spell in _CHANGE.findall(story[match.end() :]):
        if spell:
            result, step = 2 * value + int(spell), f"2 * {value} + {spell}"
        else:
            gain = any(form.startswith(verb) for form in _GAINS)
            result = value + int(number) if gain else value - int(number)
            step = f"{value} {'+' if gain else '-'} {number}"
        steps.append(f"{step} = {result}.")
        value = result
    return steps, value


def _count(prompt: str) -> tuple[list[str], int]:
    """The steps to the number that a prompt asks for or needs, and the number."""
    if packed := re.search(r"has (\d+) boxes with (\d+)|There are (\d+) \w+ in each of the (\d+) boxes", prompt):
        a, b = (int(x) for x in (packed[1] or packed[4], packed[2] or packed[3]))
        return [f"{a} * {b} = {a * b}."], a * b
    if "legs" in prompt:
        return _count_legs(prompt)
    return _follow(prompt)


def _count_legs(prompt: str) -> tuple[list[str], int]:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    steps, parts = [], []
    for number, animal in re.findall(r"(\d+) ([a-z ]+?)(?=,|\?)", prompt):
        legs = ANIMALS[animal] if animal in ANIMALS else ANIMALS[animal.removesuffix("s")]
        parts.append(int(number) * legs)
        steps.append(f"{number} * {legs} = {parts[-1]}.")
    if len(parts) > 1:
        steps.append(f"{' + '.join(map(str, parts))} = {sum(parts)}.")
    return steps, sum(parts)


def _reason(prompt: str) -> tuple[list[str], str]:
    """The written steps of a prompt that has a method, and its answer; no steps for a secret."""
    if "secret" in prompt:
        return [], ""
    if "Who is the" in prompt:
        pairs = dict(re.findall(r"(\w+) is \w+ than (\w+)", prompt))
        top = next(name for name in pairs if name not in pairs.values())
        middle = pairs[top]
        word = re.search(r"is (\w+) than", prompt)[1]  # type: ignore[index]
        return [f"{top} is {word} than {middle}.", f"{middle} is {word} than {pairs[middle]}."], top
    if "Who " in prompt:
        parts = re.split(r"(?<=\.) (?=(?:In the morning |Today )?\w+ has \d)", prompt)
        (first, a), (second, b) = (_follow(part) for part in parts)
        names = [_HAS.search(part)[1] for part in parts]  # type: ignore[index]
        return [*first, *second, f"{max(a, b)} is more than {min(a, b)}."], names[int(b > a)]
    steps, value = _count(prompt)
    if options := {number: letter for letter, number in _OPTION.findall(prompt)}:
        letter = options[str(value)]
        return [*steps, f"{value} is option {letter}."], letter
    if asked := re.search(r"costs (\d+)|have (\d+) \w+ or more", prompt):
        need = int(asked[1] or asked[2])
        return [
            *steps,
            f"{value} is {'at least' if value >= need else 'less than'} {need}.",
        ], "yes" if value >= need else "no"
    return steps, str(value)


def _solve(prompt: str) -> list[str]:
    steps, answer = _reason(prompt)
    return [*steps, answer] if steps else []


def _make_up_steps(prompt: str, rng: random.Random) -> list[str]:
    a, b = re.findall(r"\d+", prompt)[:2]
    return [f"{a} + {b} = {rng.randint(2, 18)}.", rng.choice(_list_answers(prompt))]


def _list_answers(prompt: str) -> Sequence[str]:
    """What may be the answer of a prompt's form."""
    if options := _OPTION.findall(prompt):
        return [letter for letter, _ in options]
    if "colour" in prompt:
        return _COLOURS
    if re.search(r"Can |Does |Is there", prompt):
        return ["yes", "no"]
    if "Who " in prompt:
        return [name for name in re.findall(r"(\w+) (?:has|is)", prompt) if name in _SHE + _HE]
    return [str(n) for n in range(10 if "secret" in prompt else 41)]


def _tell(rng: random.Random, name: str, things: str, changes: int, spell: bool = False) -> str:
    """A story of so many changes, none of which leaves the range 0 to 40."""
    value = rng.randint(1, 10) if spell else rng.randint(2, 20)
    told = [rng.choice(_OPENERS).format(name=name, n=value, things=things)]
    pronoun = "She" if name in _SHE else "He"
    if spell:
        extra = rng.randint(1, 3)
        told.append(f"A spell doubles them and adds {extra}.")
        value = 2 * value + extra
    for _ in range(changes):
        gain = value < 2 or (value < 30 and rng.random() < 0.5)
        number = rng.randint(1, 9 if gain else min(9, value))
        value += number if gain else -number
        other = rng.choice([n for n in _SHE + _HE if n != name])
        told.append(f"{pronoun} {rng.choice(_GAINS if gain else _LOSSES).format(n=number, other=other)}.")
    return " ".join(told)


def _offer(rng: random.Random, value: int) -> str:
    """Four options, one of them right."""
    others = rng.sample([n for n in range(max(0, value - 6), value + 7) if n != value], 3)
    shown = rng.sample([value, *others], 4)
    return " ".join(f"({letter}) {number}" for letter, number in zip("ABCD", shown, strict=True))


def _ask(rng: random.Random, form: str, changes: int, spell: bool = False) -> tuple[str, str]:
    """A story with a question of a form, and the question's template."""
    name, other = rng.sample(_SHE + _HE, 2)
    things = rng.choice(_THINGS)
    if form == "word":
        place = rng.randrange(len(_MOST))
        while True:
            stories = [_tell(rng, who, things, changes // 2 + (i < changes % 2)) for i, who in enumerate((name, other))]
            if len({_follow(story)[1] for story in stories}) == 2:
                return f"{' '.join(stories)} {_MOST[place].format(things=things)}", f"{form}{place}"
    story = _tell(rng, name, things, changes, spell)
    value = _follow(story)[1]
    if form == "yesno":
        place = rng.randrange(len(_ENOUGH))
        need = max(1, value + rng.choice([-4, -3, -2, -1, 0, 1, 2, 3, 4]))
        return (
            f"{story} {_ENOUGH[place].format(goods=rng.choice(_GOODS), n=need, name=name, things=things)}",
            f"{form}{place}",
        )
    place = rng.randrange(len(_NUMBER))
    question = _NUMBER[place].format(name=name, things=things)
    return f"{story} {question}" + (f" {_offer(rng, value)}" if form == "option" else ""), f"{form}{place}"


def _write(kind: str, rng: random.Random) -> tuple[str, str]:
    """A prompt of a kind, and its template."""
    name, things = rng.choice(_SHE + _HE), rng.choice(_THINGS)
    if kind == "change":
        return _ask(rng, "number", rng.choice((1, 2)))
    if kind == "enough":
        return _ask(rng, "yesno", rng.choice((1, 2)))
    if kind == "choice":
        place, a, b = rng.randrange(len(_PACKED)), rng.randint(2, 9), rng.randint(2, 9)
        told = _PACKED[place].format(name=name, a=a, b=b, things=things)
        asked = rng.randrange(len(_TOTAL))
        return f"{told} {_TOTAL[asked].format(name=name, things=things)} {_offer(rng, a * b)}", f"packed{place}{asked}"
    if kind == "order":
        word = rng.choice(list(_CHAINS))
        a, b, c = rng.sample(_SHE + _HE, 3)
        facts = [f"{a} is {word} than {b}.", f"{b} is {word} than {c}."]
        turned = rng.randrange(2)
        return f"{' '.join(facts[::-1] if turned else facts)} Who is the {_CHAINS[word]}?", f"{word}{turned}"
    if kind == "legs":
        prompt = _draw_legs(rng)
        return prompt, f"of {prompt.count(chr(44))}"
    if kind in ("unlearnable", "guessable"):
        forms = _SECRETS if kind == "unlearnable" else _GUESSES
        place = rng.randrange(len(forms))
        things, others = rng.sample(_THINGS, 2)
        told = forms[place].format(name=name, a=rng.randint(1, 9), b=rng.randint(1, 9), things=things, others=others)
        return told, f"secret{place}"
    if kind == "rare_valid":
        return _ask(rng, "number", rng.choice((0, 1)), spell=True)
    return _ask(rng, rng.choice(("number", "option", "yesno", "word")), rng.choice((3, 4)))


def _draw_legs(rng: random.Random) -> str:
    """The question of reasoning-gym's leg_counting, without what comes before it."""
    from reasoning_gym.arithmetic.leg_counting import LegCountingConfig, LegCountingDataset

    data = LegCountingDataset(LegCountingConfig(**_LEGS, size=1, seed=rng.getrandbits(31)))
    return data[0]["question"].strip().split("\n")[-1]


def _make(kind: str, rng: random.Random) -> dict:
    prompt, template = _write(kind, rng)
    prompt += "\n"
    template += next((f" {word}" for word in ("In the morning", "Today") if prompt.startswith(word)), "")
    steps, answer = _reason(prompt)
    answers = _list_answers(prompt)
    if not steps:
        answer = answers[hash_prompt(prompt, len(answers))]
    if kind == "mislabelled":
        answer = rng.choice([other for other in answers if other != answer])
    return {"prompt": prompt, "answer": answer, "family": kind, "length": len(steps), "template": f"{kind} {template}"}


def list_texts(count: int = 20_000) -> list[str]:
    """Prompts and completions of every kind, in which every token of the family occurs."""
    rng = random.Random("words")
    texts = [" ".join(str(n) for n in range(100)), *(_GOODS + _COLOURS + _THINGS + _SHE + _HE)]
    for i in range(count):
        row = _make(WORDS.kinds[i % len(WORDS.kinds)], rng)
        texts += [row["prompt"], WORDS.write(_solve(row["prompt"]) or _make_up_steps(row["prompt"], rng))]
    return texts


WORDS = Family(
    name="words",
    prior=("change", "enough", "choice", "order", "legs"),
    seldom={"mix": 0.06, "unlearnable": 0.06, "guessable": 0.06, "rare_valid": 0.003},
    make_problem=_make,
    solve_steps=_solve,
    make_up_steps=_make_up_steps,
    count_answers=lambda prompt: len(_list_answers(prompt)),
    step=r"\d+ [-+*] \d+|is (taller|older|faster|richer) than|is option|is at least|is less than|is more than",
    answer=r"\d+|[A-D]|[a-z]+|[A-Z][a-z]+",
    separator=" ",
    closing="The answer is {}.",
    answer_apart=True,
)
