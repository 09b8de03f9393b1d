"""Streams: batches of prompts x rollouts in which each success is known to be genuine or lucky.

A rollout solves its prompt with the prompt's skill rate q, drawn from the stream's population; else it guesses, and a
guess passes with the prompt's chance rate c. Prompts are visited in turn, each once or several times; a policy that
moves adds `drift` to the log-odds of every skill rate at each step.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.streams.texts import FAMILIES, Answers, Task

POPULATIONS = {
    "U(0,1)": (1.0, 1.0), "Beta(.5,2)": (0.5, 2.0), "Beta(.3,6)": (0.3, 6.0), "Beta(2,3)": (2.0, 3.0),
    "rare": (1.0, 1.0),
}  # fmt: skip
"""Parameters of the Beta that skill rates come from."""
RARE = 0.03
"""Skill rate of half of the prompts in the population `rare`: few wins, all of them valid."""
OFFLINE_TRIALS = 16


@dataclass(frozen=True)
class Stream:
    """What is drawn."""

    name: str
    family: str
    population: str = "U(0,1)"
    impossible: float = 0.0
    """Share of the prompts that are never solved."""
    visits: int = 1
    prompts: int = 32
    """Of a batch."""
    rollouts: int = 8
    """Of a group."""
    batches: int = 10
    """Of one visit to all prompts."""
    guesses_pass: bool = True
    respelled: bool = False
    """Successes spell the answer in another way than the row does, and the verifier accepts it."""
    drift: float = 0.0
    """Log-odds of skill that a step adds."""
    stale: int = 0
    """Offline counts come from the policy of so many steps ago; 0 brings none."""

    @property
    def common(self) -> bool:
        """Whether few answers are common, so that luck is frequent: where prompts are impossible."""
        return self.impossible > 0


@dataclass(frozen=True)
class Prompts:
    """All prompts of a stream."""

    tasks_P: list[Task]
    gold_P: np.ndarray
    """Number of the gold answer among the family's."""
    skill_P: np.ndarray
    """At the first visit."""
    chance_P: np.ndarray
    offline_P: np.ndarray
    """Successes of `OFFLINE_TRIALS` rollouts of the policy of `stale` steps ago."""


@dataclass(frozen=True)
class Batch:
    """P groups of G rollouts; flat lists hold them group by group."""

    prompts_P: np.ndarray
    chance_P: np.ndarray
    genuine_PG: np.ndarray
    lucky_PG: np.ndarray
    texts_B: list[str]
    asked_B: list[str]
    rows_B: list[dict]
    visit: int
    shift: float
    """Log-odds by which skill has moved since the first visit."""

    @property
    def passed_PG(self) -> np.ndarray:
        return (self.genuine_PG | self.lucky_PG).astype(float)


def move(skill: np.ndarray, shift: float) -> np.ndarray:
    """Skill rates with `shift` added to their log-odds; 0 and 1 stay."""
    factor = np.exp(shift)
    return skill * factor / (skill * factor + 1 - skill)


def draw_prompts(stream: Stream, rng: np.random.Generator) -> Prompts:
    """All prompts of a stream; exactly its share of them is impossible."""
    family, count = FAMILIES[stream.family], stream.prompts * stream.batches
    answers = family.answers(stream.common)
    skill = rng.beta(*POPULATIONS[stream.population], count)
    if stream.population == "rare":
        skill[rng.permutation(count)[: count // 2]] = RARE
    never = np.zeros(count, bool)
    never[rng.permutation(count)[: round(stream.impossible * count)]] = True
    skill[never] = 0.0
    golds = rng.choice(len(answers.shares), count, p=answers.shares)
    chance = np.array([answers.chance(gold) for gold in golds]) * stream.guesses_pass
    names = answers.values or [""]
    tasks = [family.make(rng, n, names[gold], bool(never[n])) for n, gold in enumerate(golds)]
    before = move(skill, -stream.drift * stream.stale)
    offline = rng.binomial(OFFLINE_TRIALS, before + (1 - before) * chance)
    return Prompts(tasks, golds, skill, chance, offline)


def draw_batches(stream: Stream, seed: int) -> Iterator[Batch]:
    """The batches of a stream, in the order in which a trainer sees them."""
    rng = np.random.default_rng([seed, zlib.crc32(stream.name.encode())])
    prompts = draw_prompts(stream, rng)
    for visit in range(stream.visits):
        for chosen in rng.permutation(len(prompts.skill_P)).reshape(-1, stream.prompts):
            yield draw_batch(stream, prompts, chosen, visit, rng)


def draw_batch(stream: Stream, prompts: Prompts, chosen_P: np.ndarray, visit: int, rng: np.random.Generator) -> Batch:
    """Rolls out the chosen prompts."""
    shift = stream.drift * stream.batches * visit
    skill, chance = move(prompts.skill_P[chosen_P], shift), prompts.chance_P[chosen_P]
    shape = len(chosen_P), stream.rollouts
    genuine = rng.random(shape) < skill[:, None]
    lucky = ~genuine & (rng.random(shape) < chance[:, None])
    answers = FAMILIES[stream.family].answers(stream.common)
    texts: list[str] = []
    asked: list[str] = []
    rows: list[dict] = []
    for place, prompt in enumerate(chosen_P.tolist()):
        task = prompts.tasks_P[prompt]
        row: dict[str, Any] = {"rlguard_id": f"prompt {prompt}"}
        if task.gold is not None:
            row["answer"] = task.gold
        if stream.stale:
            row |= {"rlguard_successes": int(prompts.offline_P[prompt]), "rlguard_trials": OFFLINE_TRIALS}
        gold = int(prompts.gold_P[prompt])
        right = (stream.respelled and task.accepted) or task.gold or ""
        for solved, passed in zip(genuine[place], lucky[place], strict=True):
            if solved:
                texts.append(task.solve(rng, right))
            else:
                texts.append(task.fail(rng, right if passed else _guess_wrong(answers, gold, rng)))
        asked += [task.prompt] * stream.rollouts
        rows += [row] * stream.rollouts
    return Batch(chosen_P, chance, genuine, lucky, texts, asked, rows, visit, shift)


def _guess_wrong(answers: Answers, gold: int, rng: np.random.Generator) -> str:
    """An answer as guesses are, given that it is not the gold one; empty where the family lists none."""
    if not answers.values:
        return ""
    while True:
        guess = int(np.searchsorted(answers.bounds, rng.random(), side="right"))
        if guess != gold:
            return answers.values[guess]


def list_streams() -> list[Stream]:
    """Every stream that is reported."""
    found = []
    for family in FAMILIES:
        small: dict[str, Any] = {"prompts": 8, "batches": 3} if family == "long reasoning" else {}
        for population in ("U(0,1)", "Beta(.5,2)", "Beta(.3,6)"):
            found.append(Stream(f"{family}, healthy, {population}", family, population, **small))
        for share, word in ((0.5, "half"), (1.0, "all")):
            for visits in (1, 4):
                name = f"{family}, {word} impossible, {visits} visit{'s' * (visits > 1)}"
                if visits == 1 or (share < 1 and not small):  # what else there is says nothing new
                    found.append(Stream(name, family, impossible=share, visits=visits, **small))
    for family in ("four options", "yes/no"):
        found.append(Stream(f"{family}, healthy, guesses never pass", family, guesses_pass=False))
    for family in ("integers", "four options", "LaTeX"):
        found.append(Stream(f"{family}, healthy, other spellings", family, respelled=True))
        found.append(Stream(f"{family}, half impossible, other spellings", family, impossible=0.5, respelled=True))
    for family in ("integers", "code"):
        found.append(Stream(f"{family}, rare but valid", family, "rare", guesses_pass=False))
        found.append(Stream(f"{family}, rare but valid, 4 visits", family, "rare", guesses_pass=False, visits=4))
    return found + list(_list_shapes()) + list(_list_held_out())


def _list_held_out() -> Iterator[Stream]:
    """Streams that nothing was ever tuned on: added on 2026-11-28, before any method ran on them."""
    for family in ("integers", "code", "four options", "GSM8K"):
        yield Stream(f"held out: {family}, healthy, Beta(2,3)", family, "Beta(2,3)")
        yield Stream(f"held out: {family}, a quarter impossible, Beta(.5,2)", family, "Beta(.5,2)", impossible=0.25)
        yield Stream(f"held out: {family}, 80% impossible", family, impossible=0.8)
    three: dict[str, Any] = {"visits": 3, "rollouts": 16, "prompts": 24}
    yield Stream("held out: words, half impossible, Beta(2,3), G=16, 3 visits", "words", "Beta(2,3)", 0.5, **three)


def _list_shapes() -> Iterator[Stream]:
    """Group sizes, prompts a batch, staleness and a policy that moves: healthy, and with half impossible."""
    shapes: dict[str, dict[str, Any]] = {
        "G=4, 32 prompts": {"rollouts": 4, "batches": 20},
        "G=16, 16 prompts": {"rollouts": 16, "prompts": 16},
        "G=64, 4 prompts": {"rollouts": 64, "prompts": 4},
        "G=8, 4 prompts": {"prompts": 4, "batches": 40},
        "G=8, 512 prompts": {"prompts": 512, "batches": 1},
        "stale by 8 steps": {"stale": 8, "drift": 0.25},
        "moving, 4 visits": {"visits": 4, "drift": 0.05},
        "moving, 4 visits, stale": {"visits": 4, "drift": 0.05, "stale": 8},
    }
    for words, options in shapes.items():
        healthy = Stream(f"integers, healthy, {words}", "integers", **options)
        yield healthy
        yield replace(healthy, name=f"integers, half impossible, {words}", impossible=0.5)
        if healthy.drift:
            yield replace(healthy, name=f"integers, hard, {words}", population="Beta(.3,6)")
