from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlguard.answers import normalise_answer
from rlguard.luck.chance import ChanceRates
from rlguard.luck.settings import LuckSettings

DIGITS = [str(d) for d in range(10)]


def fill(draw, golds=DIGITS * 40, rollouts=8, skill=0.0, offered=False):
    """Rollouts that solve with `skill`, else answer what `draw` says; only those that failed are counted."""
    rng, chance = np.random.default_rng(0), ChanceRates()
    for gold in golds:
        guesses = [draw(rng, gold) for _ in range(rollouts) if rng.random() >= skill]
        chance.add(gold, [guess for guess in guesses if guess != gold], offered)
    return chance


def guess_digit(rng, gold):
    return str(rng.integers(10))


@pytest.mark.parametrize("skill", [0.0, 0.5, 0.8])
def test_the_rate_is_a_share_of_what_did_not_solve_whatever_the_skill(skill):
    chance = fill(guess_digit, skill=skill)
    assert all(chance.rate(digit) == pytest.approx(0.1, abs=0.03) for digit in DIGITS)


@pytest.mark.parametrize("options", [2, 3, 4])
@pytest.mark.parametrize("skill", [0.0, 0.7])
def test_one_of_few_options_passes_a_guess_as_often_as_the_others(options, skill):
    names = "ABCD"[:options]
    chance = fill(lambda rng, gold: names[rng.integers(options)], list(names) * 60, skill=skill)
    assert chance.rate("A") == pytest.approx(1 / options, abs=0.06)


def test_a_model_that_solves_is_not_called_lucky():
    assert fill(guess_digit, skill=1.0).rate("3") == pytest.approx(LuckSettings.chance, rel=0.02)


def test_nothing_failed_or_nothing_known():
    assert math.isnan(ChanceRates().rate("3"))
    chance = fill(guess_digit)
    assert math.isnan(chance.rate("yes"))  # no prompt of its type
    assert chance.rate("77") < 0.02  # a gold answer of a known type that nobody gave


def test_a_collapsed_model_is_right_by_chance_where_its_answer_is():
    chance = fill(lambda rng, gold: "5")
    assert chance.rate("5") > 0.9
    assert chance.rate("3") < 0.1


def test_equal_answers_in_different_spelling_are_equal():
    chance = ChanceRates()
    chance.add("1/2", ["3/4", None])
    chance.add("0.75", ["2/4", "0.50", None])
    assert chance.counts("0.5")[0] == 2
    assert chance.counts("3/4")[0] == 1


def test_the_order_of_prompts_does_not_matter():
    groups = [(str(n % 7), [str((n * i) % 9) for i in range(4)]) for n in range(40)]
    forth, back = ChanceRates(), ChanceRates()
    for chance, order in ((forth, groups), (back, groups[::-1])):
        for gold, wrong in order:
            chance.add(gold, wrong)
            chance.rate(gold)  # asking changes nothing
    assert [forth.rate(d) for d in DIGITS] == pytest.approx([back.rate(d) for d in DIGITS], rel=1e-12)


def test_options_that_only_one_prompt_has():
    rng = np.random.default_rng(0)
    found = {}
    for offered in (True, False):
        chance = ChanceRates()
        for number in range(64):
            given = rng.choice([f"w{number}{letter}" for letter in "xyz"], 8)
            chance.add(f"w{number}x", [answer for answer in given if answer != f"w{number}x"], offered)
        found[offered] = chance.rate("w0x", offered)
    assert found[True] == pytest.approx(1 / 3, abs=0.06)
    assert found[False] < 0.01  # other prompts show nothing


def test_counts_fade_and_survive_json():
    chance = fill(lambda rng, gold: str((int(gold) + 1) % 10))
    before = chance.counts("5")
    for _ in range(40):
        chance.fade()
    assert chance.counts("5")[0] == pytest.approx(before[0] * 0.95**40)
    twin = ChanceRates()
    twin.load_state_dict(json.loads(json.dumps(chance.state_dict())))
    assert (twin.rate("5"), twin.counts("5")) == (chance.rate("5"), chance.counts("5"))
    for _ in range(250):
        chance.fade()
    assert chance.state_dict()["wrong"]["integer"] == {}


@given(st.text(max_size=30) | st.from_regex(r"-?\d{1,4}([.,/]\d{1,4})?", fullmatch=True))
@example(". .")
@example("\\boxed{\\boxed{7}}")
def test_spelling_an_answer_twice_changes_nothing(text):
    """What `ChanceRates.add` relies on when it looks an answer up before it spells it."""
    once = normalise_answer(text)
    assert normalise_answer(once) == once
