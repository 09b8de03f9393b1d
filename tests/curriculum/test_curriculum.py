"""The curriculum: simulated learners, the posterior against a plain loop, hostile input, levels of reasoning-gym."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.curriculum.levels import Level, LevelCurriculum, make_reasoning_gym_row, reasoning_gym_levels
from rlguard.stats import SKILL_GRID, beta_weights
from rlguard.types import InputError

LADDER = [Level("task", height) for height in range(8)]
PROMPTS, GROUP = 16, 8


def teach(curriculum, seed, steps=200, uniform=False):
    """A learner whose skill grows by the variance of what it solves genuinely.

    Returns:
        The step at which it masters the last level (`steps` if never), the share of prompts in the learnable band till
        then, the mean level served at each step.
    """
    rng, skill, inside, served = np.random.default_rng(seed), 1.0, [], []
    chance = np.array([level.chance_rate for level in curriculum.levels])
    for step in range(steps):
        rate_L = 1 / (1 + np.exp(2.0 * np.arange(len(curriculum.levels)) - skill))
        if rate_L[-1] > 0.9:
            return step, float(np.mean(inside)), served
        numbers = range(step * PROMPTS, (step + 1) * PROMPTS)
        levels = rng.integers(0, len(rate_L), PROMPTS) if uniform else np.array([curriculum.choose(n) for n in numbers])
        rate = rate_L[levels]
        passed = rng.random((PROMPTS, GROUP)) < (chance[levels] + (1 - chance[levels]) * rate)[:, None]
        curriculum.update(np.repeat(levels, GROUP), passed.ravel())
        inside += ((rate >= 0.1) & (rate <= 0.9)).tolist()
        served.append(float(levels.mean()))
        skill += float(np.mean(rate * (1 - rate)))
    return steps, float(np.mean(inside)), served


@pytest.mark.parametrize("chance", [0.0, 0.5])
def test_it_stays_in_the_band_and_reaches_the_top_long_before_uniform_sampling(chance):
    levels = [Level("task", height, chance) for height in range(8)]
    top, inside, served = teach(LevelCurriculum(levels, seed=1), 1)
    uniform_top, uniform_inside, _ = teach(LevelCurriculum(levels, seed=1), 1, uniform=True)
    assert top < 0.7 * uniform_top
    assert inside > 0.6 > 2 * uniform_inside
    assert served[0] < 2 < 5 < served[-1]


def test_a_guessable_task_without_skill_is_not_taken_for_a_learnable_one():
    """All pass half the time: by skill on `solved`, by guessing on `guessed`."""
    curriculum = LevelCurriculum([Level("solved"), Level("guessed", chance_rate=0.5)], decay=1.0)
    curriculum.update([0, 1] * 500, [1.0, 1.0, 0.0, 0.0] * 250)
    assert curriculum.shares[0] > 0.95
    assert curriculum.skill_rates[0] == pytest.approx(0.5, abs=0.02)
    assert curriculum.skill_rates[1] < 0.05


def test_one_level_tells_of_the_others():
    fresh = LevelCurriculum(LADDER)
    assert (np.diff(fresh.skill_rates) < 0).all()
    solved, failed = LevelCurriculum(LADDER), LevelCurriculum(LADDER)
    solved.update([4] * 64, [1.0] * 64)
    failed.update([2] * 64, [0.0] * 64)
    assert (solved.skill_rates[:5] > 0.9).all()  # what is easier than a mastered level is mastered
    assert 0.3 < solved.skill_rates[5] < 0.7  # of the next one nothing is known but that
    assert (failed.skill_rates[2:] < 0.05).all()
    assert failed.skill_rates[0] > 0.3


def test_the_posterior_agrees_with_a_plain_loop():
    curriculum = LevelCurriculum([Level("a", chance_rate=0.2), Level("a"), Level("a", chance_rate=0.1)], rehearse=0.0)
    counts = [(5, 6), (3, 8), (2, 7)]
    for level, (k, n) in enumerate(counts):
        curriculum.update([level] * n, [1.0] * k + [0.0] * (n - k))
    kept = [(k * 0.8**age, n * 0.8**age) for (k, n), age in zip(counts, (2, 1, 0), strict=True)]
    mass, joint = beta_weights(1, 1), np.zeros((len(SKILL_GRID),) * 3)
    for rates in product(range(0, len(SKILL_GRID)), repeat=3):
        if rates[0] >= rates[1] >= rates[2]:
            prior, seen = 1.0, 1.0
            for level, cell in enumerate(rates):
                reach = mass[: rates[level - 1] + 1].sum() if level else 1.0
                prior *= mass[cell] / reach
                chance = curriculum.levels[level].chance_rate
                rate = chance + (1 - chance) * SKILL_GRID[cell]
                seen *= rate ** kept[level][0] * (1 - rate) ** (kept[level][1] - kept[level][0])
            joint[rates] = prior * seen
    marginals = np.array([joint.sum(axis=(1, 2)), joint.sum(axis=(0, 2)), joint.sum(axis=(0, 1))]) / joint.sum()
    assert curriculum.skill_rates == pytest.approx(marginals @ SKILL_GRID)
    signal = marginals @ (SKILL_GRID * (1 - SKILL_GRID) * ((SKILL_GRID >= 0.1) & (SKILL_GRID <= 0.9)))
    assert curriculum.shares == pytest.approx(signal / signal.sum())


@pytest.mark.parametrize(("outcome", "level"), [(1.0, 7), (0.0, 0)])
def test_where_nothing_is_learnable_the_nearest_level_is_served(outcome, level):
    curriculum = LevelCurriculum(LADDER, decay=1.0, rehearse=0.0)
    for _ in range(50):
        curriculum.update([place for place in range(8) for _ in range(2000)], [outcome] * 16_000)
    assert curriculum.shares.argmax() == level
    assert curriculum.shares[level] > 0.99


def test_mastered_levels_are_rehearsed_and_their_loss_is_seen():
    curriculum = LevelCurriculum(LADDER[:3], rehearse=0.2, decay=0.5)
    for _ in range(4):
        curriculum.update([0] * 64 + [1] * 64 + [2] * 64, [1.0] * 128 + [0.0, 1.0] * 32)
    assert curriculum.shares[:2] == pytest.approx([0.1, 0.1], abs=0.01)
    for _ in range(4):
        curriculum.update([0] * 64 + [1] * 64 + [2] * 64, [0.0, 1.0] * 32 + [0.0] * 128)
    assert curriculum.shares.argmax() == 0


def test_levels_not_visited_become_uncertain_again():
    curriculum = LevelCurriculum(LADDER[:2], rehearse=0.0)
    curriculum.update([0] * 64 + [1] * 64, [1.0] * 64 + [0.0] * 64)
    assert curriculum.skill_rates[1] < 0.02
    for _ in range(30):
        curriculum.update([0] * 64, [1.0] * 64)
    assert curriculum.skill_rates[1] > 0.4
    assert curriculum.shares[1] > 0.9


def test_tasks_do_not_tell_of_each_other_and_may_be_mixed_in_the_list():
    levels = [Level("a", 1), Level("b", 1), Level("a", 2), Level("b", 2)]
    curriculum = LevelCurriculum(levels)
    before = curriculum.skill_rates
    curriculum.update([0] * 32, [1.0] * 32)
    assert curriculum.skill_rates[[1, 3]] == pytest.approx(before[[1, 3]])
    assert curriculum.skill_rates[2] > before[2]


def test_draws_follow_the_shares_and_depend_on_seed_and_number_only():
    curriculum, other = LevelCurriculum(LADDER, seed=3), LevelCurriculum(LADDER, seed=4)
    drawn = [curriculum.choose(number) for number in range(4000)]
    assert np.bincount(drawn, minlength=8) / 4000 == pytest.approx(curriculum.shares, abs=0.03)
    assert [curriculum.choose(number) for number in reversed(range(4000))] == drawn[::-1]
    assert [other.choose(number) for number in range(4000)] != drawn


batches = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0, 0.5, math.nan]), st.integers(1, 3000)), max_size=6
)


@settings(max_examples=30, deadline=None)
@given(st.lists(batches, max_size=4), st.floats(0, 0.99), st.floats(0, 0.99), st.floats(0, 1))
def test_shares_are_shares_and_harder_is_never_easier(updates, chance, rehearse, decay):
    curriculum = LevelCurriculum([Level("a", place, chance) for place in range(4)], rehearse=rehearse, decay=decay)
    for batch in updates:
        levels = [level for level, _, count in batch for _ in range(count)]
        curriculum.update(levels, [outcome for _, outcome, count in batch for _ in range(count)])
    assert curriculum.shares.sum() == pytest.approx(1)
    assert (curriculum.shares >= 0).all()
    assert (np.diff(curriculum.skill_rates) <= 1e-9).all()
    resumed = LevelCurriculum(curriculum.levels, rehearse=rehearse, decay=decay)
    resumed.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert resumed.shares.tolist() == curriculum.shares.tolist()


def test_what_was_not_scored_is_not_learnt():
    curriculum = LevelCurriculum(LADDER)
    curriculum.update([0, 1], [1.0, 0.0])
    before = curriculum.state_dict()
    for levels, outcomes in (([], []), ([2, 3], [math.nan, math.nan])):
        curriculum.update(levels, outcomes)
        assert curriculum.state_dict() == before


@pytest.mark.parametrize(
    ("levels", "outcomes", "message"),
    [
        ([0, 8], [1.0, 1.0], r"levels, row 1: expected a place in 0..7, got 8"),
        ([-1], [1.0], "levels, row 0: .* got -1"),
        ([0.5], [1.0], "levels, row 0: .* got 0.5"),
        ([0, 0], [1.0, 7.0], "outcomes, row 1: expected 1, 0 or NaN, got 7.0"),
        ([0], [math.inf], "outcomes, row 0"),
        ([0, 1], [1.0], "expected a level for each outcome"),
        ([[0]], [[1.0]], "expected a level for each outcome"),
    ],
)
def test_outcomes_that_cannot_be_used_are_refused_and_leave_no_trace(levels, outcomes, message):
    curriculum = LevelCurriculum(LADDER)
    with pytest.raises(InputError, match=message):
        curriculum.update(levels, outcomes)
    assert curriculum.state_dict() == LevelCurriculum(LADDER).state_dict()


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ([], {}, "levels: expected at least one"),
        ([Level("a"), Level("a", chance_rate=1.0)], {}, "levels, row 1: expected a chance_rate"),
        ([Level("a", chance_rate=math.nan)], {}, "levels, row 0: expected a chance_rate"),
        (LADDER, {"band": (0.9, 0.1)}, "band: expected 0 ≤ low < high ≤ 1"),
        (LADDER, {"band": (0.5, 0.5001)}, "band: expected one that is not as narrow"),
        (LADDER, {"rehearse": 1.0}, "rehearse: expected"),
        (LADDER, {"decay": -0.1}, "decay: expected"),
    ],
)
def test_settings_out_of_range_are_refused(levels, options, message):
    with pytest.raises(InputError, match=message):
        LevelCurriculum(levels, **options)


@pytest.mark.parametrize(
    "state",
    [
        {},
        LevelCurriculum(LADDER[:3]).state_dict(),
        LevelCurriculum(LADDER).state_dict() | {"trials": [0.0] * 7},
        LevelCurriculum(LADDER).state_dict() | {"successes": [1.0] * 8},
        LevelCurriculum(LADDER).state_dict() | {"trials": [math.inf] * 8},
        {"tasks": ["task"] * 8},
    ],
)
def test_a_state_that_does_not_fit_is_refused(state):
    curriculum = LevelCurriculum(LADDER)
    curriculum.update([0], [1.0])
    before = curriculum.state_dict()
    with pytest.raises(InputError, match="state of a curriculum"):
        curriculum.load_state_dict(state)
    assert curriculum.state_dict() == before


def test_reasoning_gym_levels_raise_the_attributes_asked_for():
    pytest.importorskip("reasoning_gym")
    both, terms = (
        reasoning_gym_levels("chain_sum"),
        reasoning_gym_levels("chain_sum", ["num_terms"], allow_negation=True),
    )
    assert [(level.config["min_terms"], level.config["max_digits"]) for level in both[-2:]] == [(11, 10), (12, 10)]
    assert {level.config["max_digits"] for level in terms} == {1}
    assert all(level.config["allow_negation"] for level in terms)
    assert len(reasoning_gym_levels("chain_sum", highest=2)) == 3
    first = reasoning_gym_levels("chain_sum", ["num_terms"], inclusive=True, chance_rate=0.05)[-1]
    assert (first.config["min_terms"], first.config["max_terms"], first.chance_rate) == (2, 12, 0.05)


def test_a_reasoning_gym_row_is_made_of_level_and_number_and_can_be_scored():
    gym = pytest.importorskip("reasoning_gym")
    easy, *_, hard = reasoning_gym_levels("chain_sum", highest=4)
    rows = [make_reasoning_gym_row(hard, number) for number in range(5)]
    assert rows == [make_reasoning_gym_row(hard, number) for number in range(5)]
    assert len({row["prompt"] for row in rows}) == 5
    assert len(make_reasoning_gym_row(easy, 0)["prompt"]) < len(rows[0]["prompt"])
    score = gym.get_score_answer_fn(rows[0]["task"])
    assert score(rows[0]["answer"], rows[0]) == 1.0
    assert score("nonsense", rows[0]) < 0.5


def test_levels_that_reasoning_gym_refuses_are_left_out(caplog):
    pytest.importorskip("reasoning_gym")
    levels = reasoning_gym_levels("caesar_cipher")  # the last rotates by more than there are letters
    assert levels
    assert "left out" in caplog.text
    for task, attributes, fixed, message in (
        ("no_such_task", [], {}, "expected one with a curriculum in reasoning-gym, got 'no_such_task'"),
        ("chain_sum", ["digits"], {}, "expected some of num_terms, num_digits of chain_sum, got 'digits'"),
        ("chain_sum", [], {"colour": "red"}, "expected levels of which it can make questions"),
    ):
        with pytest.raises(InputError, match=message):
            reasoning_gym_levels(task, attributes, **fixed)
    with pytest.raises(InputError, match="chain_sum makes a question"):
        make_reasoning_gym_row(Level("chain_sum", {"min_terms": 0}), 0)
