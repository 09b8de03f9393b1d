from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlguard.answers import normalise_answer
from rlguard.luck.chance import ChanceRates


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


@given(st.text(max_size=30) | st.from_regex(r"-?\d{1,4}([.,/]\d{1,4})?", fullmatch=True))
@example(". .")
@example("\\boxed{\\boxed{7}}")
def test_spelling_an_answer_twice_changes_nothing(text):
    """What `ChanceRates.add` relies on when it looks an answer up before it spells it."""
    once = normalise_answer(text)
    assert normalise_answer(once) == once


def test_faded_counts_are_forgotten_and_what_is_left_is_scaled():
    chance = ChanceRates()
    chance.add("5", ["3"] * 8)
    chance.add("3", ["5"] * 8)
    chance.add("7", ["99"])
    for _ in range(20):
        chance.fade(0.9)
    matches, others = chance.counts("3")
    assert matches == pytest.approx(8 * 0.9**20)
    assert others == pytest.approx(9 * 0.9**20)
    twin = ChanceRates()
    twin.load_state_dict(json.loads(json.dumps(chance.state_dict())))
    chance.fade(0.1)
    twin.fade(0.1)
    assert twin.counts("3") == chance.counts("3") == pytest.approx((0.8 * 0.9**20, 0.9 * 0.9**20))
    assert "99" not in json.dumps(chance.state_dict())


def test_few_counts_are_smoothed_by_what_is_expected():
    chance = ChanceRates()
    chance.add("5", ["3"] * 4)
    chance.add("3", ["1"] * 4)
    known, unknown, other, none = chance.smooth_rates(
        ["3", "5", "yes", None], [0.25, math.nan, math.nan, 0.4], [4, 4, 0, 0]
    )
    assert known == pytest.approx((4 + 8 * 0.25) / 12)
    assert unknown == pytest.approx((0 + 8 * 0.5) / 12)  # of 8 comparisons with another gold, 4 match
    assert math.isnan(other)
    assert none == 0.4


def test_a_common_gold_answer_is_easily_guessed_whatever_the_wrong_answers_are():
    chance = ChanceRates()
    for gold in ("0", "0", "0", "1"):
        chance.add(gold, [gold] * 8)  # all right: no wrong answer matches anything
    common, rare = chance.smooth_rates(["0", "1"], [0.0, 0.0], [8, 8])
    assert common == pytest.approx(16 / 32)  # of three other prompts, two have this gold answer
    assert rare == 0


def test_rollouts_that_repeat_their_prompts_own_guess_are_correlated():
    apart, alike = ChanceRates(), ChanceRates()
    for number in range(32):
        varied, gold = [str(100 + (number + i) % 8) for i in range(8)], str(number % 10)
        for chance, answers in ((apart, varied), (alike, varied[:1] * 8)):
            chance.add(gold, answers)
    for number in range(32):
        varied, gold = [str(100 + (number + i) % 8) for i in range(8)], str(number % 10)
        apart.compare(gold, varied)
        alike.compare(gold, varied[:1] * 8)
    assert apart.correlation("3") < 0.1
    assert alike.correlation("3") > 0.9
    assert ChanceRates().correlation("3") == 0.2  # nothing seen
    copy = ChanceRates()
    copy.load_state_dict(alike.state_dict())
    assert copy.correlation("3") == alike.correlation("3")
    alike.fade(0.01)
    assert alike.correlation("3") < 0.9  # old counts weigh less


def test_agreement_in_the_right_answer_is_no_correlation():
    chance = ChanceRates()
    for gold in map(str, range(16)):
        chance.add(gold, [gold] * 8)
    for gold in map(str, range(16)):
        chance.compare(gold, [gold] * 8)
    assert chance.correlation("3") == 0.2


def fill_groups(groups, offered=True):
    chance = ChanceRates()
    for gold, answers in groups:
        chance.add(gold, answers)
    for gold, answers in groups:
        chance.compare(gold, answers, answers if offered else ())
    return chance


def test_answers_that_the_prompt_itself_offers_are_guessed_at_its_own_rate():
    rng = np.random.default_rng(0)
    options = [[f"w{number}{letter}" for letter in "xyz"] for number in range(64)]  # no two prompts share an answer
    guessed = fill_groups([(given[0], rng.choice(given, 8).tolist()) for given in options])
    assert guessed.rate("w0x") == 0  # other prompts show nothing
    assert guessed.rival_rate("w0x") == pytest.approx(1 / 3, abs=0.06)
    assert guessed.smooth_rates(["w0x"], [math.nan], [8])[0] == guessed.rival_rate("w0x")
    assert guessed.correlation("w0x") < 0.15  # what rivals explain is not taken for repetition
    same_error = fill_groups([(given[0], [given[1]] * 7 + [given[0]]) for given in options])
    assert same_error.rival_rate("w0x") == 0
    assert same_error.correlation("w0x") > 0.7
    unnamed = fill_groups([(given[0], rng.choice(given, 8).tolist()) for given in options], offered=False)
    assert unnamed.rival_rate("w0x") == 0  # as frequent as the gold answer, but of the model's own making
    assert unnamed.correlation("w0x") > 0.2
    solved = fill_groups([(given[0], [given[0]] * 6 + given[1:2] * 2) for given in options])
    assert solved.rival_rate("w0x") == 0


def test_options_that_prompts_share_need_not_be_named():
    rng = np.random.default_rng(0)
    spans = [2, 3] * 128  # half of the prompts have two options, half three
    guessed = fill_groups([(str(rng.integers(n)), rng.integers(n, size=8).astype(str)) for n in spans], offered=False)
    assert guessed.rival_rate("0") == pytest.approx(0.4, abs=0.06)
    pairs = [map(str, rng.choice(30, 2, replace=False)) for _ in spans]  # of 30 answers none is common
    learnt = fill_groups([(gold, [gold, error] * 4) for gold, error in pairs], offered=False)
    assert learnt.rival_rate("0") == 0


def test_answers_without_computation_are_a_sample_of_guesses():
    chance = ChanceRates()
    assert chance.bare_rate("a fox") == 0  # nothing seen
    for number in range(30):
        chance.add_bare(f"animal {number}", 1.0 if number < 4 else 0.0, 8.0)
    assert chance.bare_rate("a fox") == pytest.approx((4 + 2) / (240 + 16))
    assert chance.bare_rate("12") == 0  # another type of answer
    copy = ChanceRates()
    copy.load_state_dict(chance.state_dict())
    assert copy.bare_rate("a fox") == chance.bare_rate("a fox")
    for _ in range(200):
        chance.fade(0.9)
    assert chance.bare_rate("a fox") < 0.01


def test_what_is_known_by_heart_is_no_guess():
    chance = ChanceRates()
    chance.add_bare("7", 60.0, 100.0)
    assert chance.bare_rate("3") == 0
