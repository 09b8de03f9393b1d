import json
import math

import numpy as np
import pytest

from rlguard.curriculum import Level, LevelCurriculum, make_reasoning_gym_row, reasoning_gym_levels
from rlguard.types import InputError

SUMS = [Level("sums", terms) for terms in range(2, 8)]


class Uniform(LevelCurriculum):
    """Every level alike, whatever happens."""

    @property
    def shares(self):
        return np.full(len(self.levels), 1 / len(self.levels))


def train(curriculum, steps=60, chance=0.0, seed=0):
    """A learner whose skill at a level falls with its height, and grows by the variance of outcomes it sees."""
    rng, skill, in_band, prompts = np.random.default_rng(seed), 0.0, 0, 0
    for step in range(steps):
        heights = np.array([curriculum.choose(16 * step + number) for number in range(16)])
        rates = 1 / (1 + np.exp(2 * (heights - skill)))
        passing = chance + (1 - chance) * rates
        outcomes = rng.binomial(8, passing) / 8
        skill += 0.03 * (outcomes * (1 - outcomes)).sum() * (1 - chance)
        in_band += ((rates > 0.1) & (rates < 0.9)).sum()
        prompts += len(rates)
        curriculum.update(np.repeat(heights, 8).tolist(), rng.binomial(1, np.repeat(passing, 8)).astype(float).tolist())
    return skill, in_band / prompts


def test_a_simulated_learner_stays_in_band_and_goes_farther():
    ahead = []
    for seed in range(5):
        skill, in_band = train(LevelCurriculum(SUMS, seed=seed), seed=seed)
        other, uniform_in_band = train(Uniform(SUMS, seed=seed), seed=seed)
        assert in_band > 0.7 > uniform_in_band
        ahead.append(skill - other)
    assert min(ahead) > 0


def test_a_level_that_is_only_guessed_is_not_taken_for_learnable():
    blind, told = (
        LevelCurriculum([Level("yes or no", height, chance) for height in range(3)]) for chance in (0.0, 0.5)
    )
    for curriculum in (blind, told):
        for _ in range(10):
            curriculum.update([0] * 32 + [1] * 32, [1.0] * 30 + [0.0] * 2 + [0.0, 1.0] * 16)
    assert blind.shares[1] > 0.5  # half solved, it seems
    assert told.skill_rates[1] < 0.1 < 0.8 < told.skill_rates[0]
    assert told.shares[1] < 0.25


def test_what_is_mastered_is_rehearsed_and_what_is_out_of_reach_is_not_tried():
    curriculum = LevelCurriculum(SUMS, rehearse=0.2)
    for _ in range(10):
        curriculum.update([0] * 64 + [1] * 64 + [3] * 64, [1.0] * 64 + [0.0, 1.0] * 32 + [0.0] * 64)
    assert curriculum.shares.sum() == pytest.approx(1)
    assert curriculum.shares[0] == pytest.approx(0.2, abs=0.02)
    assert curriculum.shares[1] > 0.6
    assert curriculum.shares[3:].max() < 0.01
    assert (np.diff(curriculum.skill_rates) <= 1e-9).all()  # a harder level is never easier


def test_one_level_tells_of_the_others():
    curriculum = LevelCurriculum(SUMS)
    before = curriculum.skill_rates
    curriculum.update([2] * 64, [1.0] * 64)
    assert (curriculum.skill_rates[:3] > 0.9).all()
    assert (curriculum.skill_rates[3:] > before[3:]).all()


def test_what_was_seen_long_ago_is_forgotten():
    curriculum = LevelCurriculum(SUMS[:2], decay=0.5)
    curriculum.update([0] * 64, [0.0] * 64)
    for _ in range(12):
        curriculum.update([0] * 8, [1.0] * 8)
    assert curriculum.skill_rates[0] > 0.8


def test_outcomes_that_could_not_be_judged_teach_nothing():
    curriculum = LevelCurriculum(SUMS)
    curriculum.update([0, 1], [1.0, 0.0])
    known = curriculum.state_dict()
    curriculum.update([0, 1], [math.nan, math.nan])
    curriculum.update([], [])
    assert curriculum.state_dict() == known


def test_choices_depend_on_seed_number_and_outcomes_alone():
    one, other = LevelCurriculum(SUMS, seed=3), LevelCurriculum(SUMS, seed=3)
    one.choose(7)
    assert [one.choose(n) for n in range(50)] == [other.choose(n) for n in range(50)]
    assert [one.choose(n) for n in range(50)] != [LevelCurriculum(SUMS, seed=4).choose(n) for n in range(50)]


def test_the_state_goes_through_json_and_on():
    one, other = LevelCurriculum(SUMS), LevelCurriculum(SUMS)
    one.update([0, 1, 2], [1.0, 1.0, 0.0])
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for curriculum in (one, other):
        curriculum.update([2, 3], [1.0, 0.0])
    np.testing.assert_array_equal(one.shares, other.shares)


@pytest.mark.parametrize(
    "change", [{"tasks": ["chains"] * 6}, {"successes": [2.0] * 6}, {"trials": [math.nan] * 6}, {"trials": [1.0]}]
)
def test_a_state_that_is_not_its_own_is_refused_and_nothing_changes(change):
    curriculum = LevelCurriculum(SUMS)
    curriculum.update([0] * 3, [1.0, 0.0, 1.0])
    before = curriculum.state_dict()
    with pytest.raises((InputError, ValueError), match=r"state of a curriculum|inhomogeneous"):
        curriculum.load_state_dict(before | change)
    assert curriculum.state_dict() == before


@pytest.mark.parametrize(
    ("levels", "settings", "message"),
    [
        ([], {}, "levels: expected at least one"),
        ([Level("a", chance_rate=1.0)], {}, "row 0: expected a chance_rate in"),
        (SUMS, {"band": (0.9, 0.1)}, "band"),
        (SUMS, {"band": (0.5, 0.5000001)}, "not as narrow"),
        (SUMS, {"rehearse": 1.0}, "rehearse"),
        (SUMS, {"decay": 2}, "decay"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(levels, settings, message):
    with pytest.raises(InputError, match=message):
        LevelCurriculum(levels, **settings)


@pytest.mark.parametrize(
    ("levels", "outcomes", "message"),
    [
        ([0, 1], [1.0], "a level for each outcome"),
        ([0, 6], [1.0, 1.0], "row 1: expected a place in 0..5, got 6"),
        ([0, -1], [1.0, 1.0], "row 1"),
        ([0, 0], [1.0, 2.0], "outcomes, row 1"),
        ([0.5], [1.0], "row 0"),
    ],
)
def test_outcomes_that_cannot_be_used_are_refused_whole(levels, outcomes, message):
    curriculum = LevelCurriculum(SUMS)
    with pytest.raises(InputError, match=message):
        curriculum.update(levels, outcomes)
    assert curriculum.state_dict() == LevelCurriculum(SUMS).state_dict()


def test_levels_of_reasoning_gym_rise_and_make_the_same_rows_again():
    pytest.importorskip("reasoning_gym")
    levels = reasoning_gym_levels("chain_sum", ["num_terms"], highest=3)
    assert [level.config["max_terms"] for level in levels] == [2, 3, 4, 5]
    rows = [make_reasoning_gym_row(level, 5) for level in levels]
    assert rows == [make_reasoning_gym_row(level, 5) for level in levels]
    assert len({row["prompt"] for row in rows}) == 4
    assert all(row["answer"] and row["metadata"]["source_dataset"] == "chain_sum" for row in rows)
    with pytest.raises(InputError, match="one with a curriculum in reasoning-gym, got 'chain_sums'"):
        reasoning_gym_levels("chain_sums")
    with pytest.raises(InputError, match="expected some of num_terms, num_digits of chain_sum, got 'length'"):
        reasoning_gym_levels("chain_sum", ["length"])
