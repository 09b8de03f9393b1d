from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rlguard.chance import ChanceRates


def fill(model, golds, rollouts=50, seed=0):
    rng, chance = np.random.default_rng(seed), ChanceRates()
    for gold in golds:
        chance.add(gold, [model(rng, gold) for _ in range(rollouts)])
    return chance


DIGITS = [str(d) for d in range(10)]


def test_guessing_a_digit_passes_one_in_ten():
    chance = fill(lambda rng, gold: str(rng.integers(10)), DIGITS * 4)
    assert all(chance.rate(d) == pytest.approx(0.1, abs=0.05) for d in DIGITS)


def test_a_model_that_solves_is_not_called_lucky():
    chance = fill(lambda rng, gold: gold, DIGITS * 4)
    assert [chance.rate(d) for d in DIGITS] == [0.0] * 10


def test_a_collapsed_model_has_chance_one_for_its_only_answer():
    chance = fill(lambda rng, gold: "5", DIGITS)
    assert chance.rate("5") == 1.0
    assert chance.rate("3") == 0.0


def test_types_do_not_mix():
    chance = ChanceRates()
    chance.add("yes", ["no"] * 4)
    chance.add("12", ["yes"] * 4)
    chance.add("no", ["yes", "no", "no", "no"])
    assert chance.rate("yes") == 0.25
    assert chance.rate("no") == 1.0
    assert math.isnan(chance.rate("12"))  # the only prompt with a number


def test_equal_answers_in_different_spelling_are_equal():
    chance = ChanceRates()
    chance.add("1/2", ["3/4"])
    chance.add("0.75", ["2/4", "0.50", None])
    assert chance.rate("0.5") == pytest.approx(2 / 3)


def test_counts_fade_and_survive_json():
    chance = fill(lambda rng, gold: "5", DIGITS)
    chance.fade(0.5)
    assert chance.counts("5") == (225.0, 225.0)
    twin = ChanceRates()
    twin.load_state_dict(json.loads(json.dumps(chance.state_dict())))
    assert twin.counts("5") == chance.counts("5")
    for _ in range(40):
        chance.fade(0.5)
    assert chance.state_dict()["misses"]["integer"] == {}
