from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from benchmarks.methods import grpo
from benchmarks.streams import draw, texts
from benchmarks.streams.draw import Batch, Stream, draw_batches, draw_prompts, list_streams, move
from benchmarks.streams.guarded import make_guard, read_batches
from benchmarks.streams.measures import add, figures, gaps, measure
from benchmarks.streams.methods import (
    Said,
    judge_evenly,
    judge_grpo,
    judge_randomly,
    make_oracle,
    make_ruled_oracle,
    population,
    posterior,
    say,
    weigh,
)
from benchmarks.streams.run import check_seeds, put, run_stream, summarise, write_table
from rlguard.answers import extract_answer, normalise_answer

SCRIPTED = [name for name, family in texts.FAMILIES.items() if not family.needs]


def make_batch(genuine, lucky, skills=(), chance=0.0, visit=0, shift=0.0):
    genuine, lucky = np.array(genuine, bool), np.array(lucky, bool)
    count = genuine.size
    return Batch(
        np.arange(len(genuine)), np.full(len(genuine), chance), genuine, lucky, [""] * count, [""] * count,
        [{}] * count, visit, shift,
    )  # fmt: skip


@pytest.mark.parametrize("family", [name for name in SCRIPTED if name not in ("code", "long reasoning")])
@pytest.mark.parametrize("respelled", [False, True])
def test_texts_state_the_gold_answer_where_they_pass_and_another_where_they_fail(family, respelled):
    stream = Stream("x", family, impossible=0.5, prompts=8, batches=2, respelled=respelled)
    for batch in draw_batches(stream, 1000):
        for text, row, passed in zip(batch.texts_B, batch.rows_B, batch.passed_PG.ravel(), strict=True):
            answer, gold = extract_answer(text)[0], row["answer"]
            if respelled and passed and family in ("integers", "four options", "LaTeX"):
                assert answer != gold
                assert gold.strip("\\") in answer.replace("dfrac", "frac")
            else:
                assert (normalise_answer(answer) == normalise_answer(gold)) == bool(passed)


def test_an_impossible_prompt_is_never_solved_and_exactly_half_are_impossible():
    stream = Stream("x", "integers", impossible=0.5, prompts=10, batches=4)
    prompts = draw_prompts(stream, np.random.default_rng(0))
    assert (prompts.skill_P == 0).sum() == 20
    for batch in draw_batches(Stream("x", "yes/no", impossible=1.0, prompts=10, batches=4), 1000):
        assert not batch.genuine_PG.any()
        assert batch.lucky_PG.any()


@pytest.mark.parametrize(("family", "chance"), [("four options", 0.25), ("yes/no", 0.5), ("code", 0.1)])
def test_luck_is_as_frequent_as_the_stream_says(family, chance):
    stream = Stream("x", family, impossible=1.0, prompts=100, batches=2)
    lucky = np.concatenate([batch.lucky_PG.ravel() for batch in draw_batches(stream, 1000)])
    assert len(lucky) == 1600
    assert abs(lucky.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / 1600)


def test_the_chance_rate_of_a_free_form_answer_is_how_often_others_guess_it():
    answers = texts.free_form([str(n) for n in range(200)], common=True)
    assert answers.chance(0) == pytest.approx(30 * answers.chance(29))
    assert sum(answers.chance(gold) for gold in range(30)) == pytest.approx(1)
    guesses = [draw._guess_wrong(answers, 3, rng) for rng in [np.random.default_rng(0)] for _ in range(2000)]
    assert "3" not in guesses
    rest = 1 - answers.chance(3)
    assert guesses.count("0") / 2000 == pytest.approx(answers.chance(0) / rest, abs=0.04)


def test_guesses_that_never_pass_and_skill_rates_of_rare_prompts():
    stream = Stream("x", "four options", "rare", guesses_pass=False, prompts=10, batches=2)
    prompts = draw_prompts(stream, np.random.default_rng(0))
    assert (prompts.skill_P == draw.RARE).sum() == 10
    assert not any(batch.lucky_PG.any() for batch in draw_batches(stream, 1000))


def test_every_visit_sees_every_prompt_once_and_the_policy_moves_between_visits():
    stream = Stream("x", "code", visits=3, prompts=4, batches=5, drift=0.1)
    batches = list(draw_batches(stream, 1000))
    for visit in range(3):
        seen = np.concatenate([batch.prompts_P for batch in batches if batch.visit == visit])
        assert sorted(seen) == list(range(20))
    assert {(batch.visit, round(batch.shift, 6)) for batch in batches} == {(0, 0.0), (1, 0.5), (2, 1.0)}
    assert move(np.array([0.0, 0.5, 1.0]), np.log(3)) == pytest.approx([0, 0.75, 1])


def test_stale_counts_come_from_the_weaker_policy_of_before():
    stream = Stream("x", "code", prompts=200, batches=2, stale=8, drift=0.25, guesses_pass=False)
    prompts = draw_prompts(stream, np.random.default_rng(0))
    then = move(prompts.skill_P, -2.0)
    assert prompts.offline_P.mean() / draw.OFFLINE_TRIALS == pytest.approx(then.mean(), abs=0.02)
    row = next(draw_batches(stream, 1000)).rows_B[0]
    assert row["rlguard_trials"] == 16
    assert "answer" not in row


def test_a_stream_is_the_same_for_the_same_seed_and_names_are_unique():
    stream = Stream("x", "words", prompts=4, batches=2)
    first, again = (next(draw_batches(stream, 1000)).texts_B for _ in range(2))
    assert first == again
    assert first != next(draw_batches(stream, 1001)).texts_B
    names = [stream.name for stream in list_streams()]
    assert len(set(names)) == len(names)


def test_long_reasoning_has_thousands_of_words():
    batch = next(draw_batches(Stream("x", "long reasoning", prompts=2, batches=1), 1000))
    lengths = [len(text.split()) for text in batch.texts_B]
    assert min(lengths) > 1_900
    assert max(lengths) < 9_500


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Made-up rows of the shape that GSM8K and MR-GSM8K have."""
    solved = {"question": "A and B?", "answer": "A is 2*3=<<2*3=6>>6.\nWith B 6+4=<<6+4=10>>10.\n#### 10"}
    flawed = {"question": "C?", "ground_truth_answer": "7", "model_output_steps": ["Step 1: 2 + 2 = 4", "#### 4"]}
    for name, row in ((texts.GSM8K, solved), (texts.MR_GSM8K, flawed)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    monkeypatch.setenv("RLGUARD_DATA", str(tmp_path))
    texts._read.cache_clear()
    yield tmp_path
    texts._read.cache_clear()


def test_real_texts_are_solved_stop_short_or_are_flawed(data):
    rng, family = np.random.default_rng(0), texts.FAMILIES["GSM8K"]
    assert not texts.find_missing(family)
    solvable, never = family.make(rng, 0, "", False), family.make(rng, 0, "", True)
    assert solvable.solve(rng, "10") == "A is 2*3=6.\nWith B 6+4=10.\n#### 10"
    assert solvable.fail(rng, "") == "A is 2*3=6\n#### 6"
    assert solvable.fail(rng, "10") == "A is 2*3=6\n#### 10"
    assert never.fail(rng, "") == "Step 1: 2 + 2 = 4\n#### 4"
    assert never.fail(rng, "7") == "Step 1: 2 + 2 = 4\n#### 7"


def test_absent_texts_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RLGUARD_DATA", str(tmp_path))
    assert texts.find_missing(texts.FAMILIES["GSM8K"]) == (
        "RLGUARD_DATA has no gsm8k/train.jsonl, mr_gsm8k/labelled.jsonl"
    )
    assert not texts.find_missing(texts.FAMILIES["code"])


def test_the_posterior_by_hand():
    # q is 0 or .5, equally likely, c = .5: p is .5 or .75. One of one: (.5·.5) / (.5·.5 + .5·.75) = .4
    skill, prior = np.array([0.0, 0.5]), np.array([[0.5, 0.5]])
    assert posterior(skill, prior, np.array([0.5]), np.array([1.0]), 1) == pytest.approx([0.4])
    # One of two: Σ F·q·(1 − p) = .5·.5·.25 = .0625 over Σ F·p·(1 − p) = .5·.25 + .5·.1875 = .21875
    assert posterior(skill, prior, np.array([0.5]), np.array([1.0]), 2) == pytest.approx([0.0625 / 0.21875])
    assert posterior(skill, prior, np.array([0.0]), np.array([0.0]), 2) == pytest.approx([1.0])


def test_the_posterior_is_the_share_that_every_outcome_counted_gives():
    """Every way in which 4 rollouts can be genuine, lucky or failed, with its probability."""
    skill, mass, chance, n = np.array([0.0, 0.1, 0.7]), np.array([0.5, 0.2, 0.3]), 0.3, 4
    genuine, passed = np.zeros(n + 1), np.zeros(n + 1)
    for q, share in zip(skill, mass, strict=True):
        chances = {"genuine": q, "lucky": (1 - q) * chance, "failed": (1 - q) * (1 - chance)}
        for ways in product(chances, repeat=n):
            k = n - ways.count("failed")
            passed[k] += share * np.prod([chances[way] for way in ways]) * k
            genuine[k] += share * np.prod([chances[way] for way in ways]) * ways.count("genuine")
    k = np.arange(1, n + 1)
    found = posterior(skill, np.tile(mass, (n, 1)), np.full(n, chance), k.astype(float), n)
    assert found == pytest.approx(genuine[1:] / passed[1:])


def test_the_oracle_remembers_earlier_visits(monkeypatch):
    skill, mass, chance = np.array([0.0, 0.6]), np.array([0.5, 0.5]), 0.25
    monkeypatch.setattr("benchmarks.streams.methods.population", lambda stream: (skill, mass))
    oracle = make_oracle(Stream("x", "code"))
    oracle(make_batch([[1, 1, 0, 0]], [[0, 0, 0, 0]], chance=chance))
    said = oracle(make_batch([[1, 0, 0, 0]], [[0, 0, 0, 0]], chance=chance, visit=1))
    p = skill + (1 - skill) * chance
    before = mass * p**2 * (1 - p) ** 2
    wanted = (before * skill * (1 - p) ** 3).sum() / (before * p * (1 - p) ** 3).sum()
    assert said.genuine_PG[0, 0] == pytest.approx(wanted)


def test_the_oracle_is_calibrated_on_what_it_knows():
    stream = Stream("x", "code", impossible=0.5, prompts=400, batches=5)
    oracle = make_oracle(stream)
    sums = add([measure(batch, oracle(batch)) for batch in draw_batches(stream, 1000)])
    worst, mean, _ = gaps(sums)
    assert abs(worst) < 0.06
    assert mean < 0.02


@pytest.mark.parametrize("name", ["U(0,1)", "Beta(.5,2)", "Beta(.3,6)", "rare"])
def test_a_population_has_the_mean_that_its_prompts_have(name):
    skill, mass = population(Stream("x", "code", name, impossible=0.5))
    assert mass.sum() == pytest.approx(1)
    prompts = draw_prompts(Stream("x", "code", name, impossible=0.5, prompts=4000, batches=1), np.random.default_rng(0))
    assert skill @ mass == pytest.approx(prompts.skill_P.mean(), abs=0.02)


def test_measures_by_hand():
    batch = make_batch([[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 1, 0, 0], [1, 0, 0, 0]])
    weights = np.array([[0.8, 0.2, 1, 1], [0.5, 1, 1, 1]])
    advantages = np.array([[0.6, 0.2, -0.4, -0.4], [-0.1, 0.0, 0.0, 0.1]])
    sums = measure(batch, Said(weights, weights, advantages, scale=0.5))
    host = grpo(batch.passed_PG)
    assert sums["weight"] == pytest.approx(0.8)
    assert sums["lucky_push"] == pytest.approx(0.2)  # a success that is pushed down is not paid
    assert sums["genuine_push"] == pytest.approx(0.6)
    assert sums["counts"] == [0, 1, 2, 0, 0]
    assert sums["said"] == pytest.approx([0, 0.5, 1.0, 0, 0])
    assert sums["true"] == [0, 0, 1, 0, 0]
    found = figures(sums)
    assert found["lucky"] == pytest.approx(0.25)
    assert found["kept"] == pytest.approx(0.6 / host[0, 0])
    assert found["pushed"] == pytest.approx(0.2 / (host[0, 1] + host[1, 0]))
    assert (found["weight"], found["scale"]) == pytest.approx((0.8, 0.5))


def test_gaps_by_hand_and_large_groups_in_eighths():
    sums = {"counts": [0, 100, 60, 10], "said": [0, 50, 54, 0], "true": [0, 20, 57, 10]}
    worst, mean, where = gaps(sums)  # k=1: .5 against .2; k=2: .9 against .95; k=3 holds too few
    assert (worst, where) == (pytest.approx(0.3), 1)
    assert mean == pytest.approx((30 + 3 + 10) / 170)
    genuine = np.zeros((1, 64), bool)
    genuine[0, :9] = True  # 9 of 64 is the second eighth
    counts = measure(make_batch(genuine, ~genuine & False), judge_grpo(make_batch(genuine, ~genuine & False)))["counts"]
    assert counts == [0, 0, 9, 0, 0, 0, 0, 0, 0]


def test_controls_have_the_guards_mean_and_the_guards_weights():
    batch = make_batch([[1, 0, 0, 0], [1, 1, 0, 0]], [[0, 1, 0, 0], [0, 0, 0, 0]])
    weights = np.where(batch.passed_PG > 0, [[0.2], [0.9]], 1.0)
    guarded = say(batch, weights)
    evenly = judge_evenly(batch, guarded)
    assert evenly.advantages_PG == pytest.approx(0.55 * grpo(batch.passed_PG))
    randomly = judge_randomly(batch, guarded, np.random.default_rng(0))
    success = batch.passed_PG > 0
    assert sorted(randomly.weights_PG[success]) == sorted(weights[success])
    assert np.array_equal(judge_grpo(batch).advantages_PG, grpo(batch.passed_PG))
    assert not weigh(batch, np.where(success, 0.0, 1.0)).any()


def test_weights_change_advantages_as_the_guards_own_rewrite_does():
    from rlguard import rewrite_advantages

    batch = make_batch([[1, 0, 0, 1], [1, 1, 1, 1]], [[0, 1, 0, 0], [0, 0, 0, 0]])
    weights = np.random.default_rng(0).random((2, 4))
    passed, groups = batch.passed_PG.ravel(), np.repeat([0, 1], 4)
    theirs = rewrite_advantages(grpo(batch.passed_PG).ravel(), passed, passed, groups, weights.ravel())
    assert weigh(batch, weights).ravel() == pytest.approx(theirs, abs=1e-9)


def test_the_guard_is_called_as_trainers_call_it():
    stream = Stream("x", "integers", impossible=0.5, prompts=8, batches=2)
    guard = make_guard()
    for batch, evidence in read_batches(stream, 1000):
        said = guard(batch, evidence)
        assert said.genuine_PG.shape == said.advantages_PG.shape == (8, 8)
        assert ((said.genuine_PG >= 0) & (said.genuine_PG <= 1)).all()
    assert (said.genuine_PG[batch.passed_PG > 0] < 1).any()


def test_what_was_read_is_kept(tmp_path, monkeypatch):
    stream = Stream("x/y", "yes/no", prompts=4, batches=2)
    first = run_stream(stream, 1000, tmp_path)
    monkeypatch.setattr("benchmarks.streams.guarded.draw_batches", None)
    drop = {"ms": 0}
    assert [row | drop for row in run_stream(stream, 1000, tmp_path)] == [row | drop for row in first]


def test_the_oracle_by_the_guards_rule_weighs_in_full_what_is_rather_genuine():
    stream = Stream("x", "four options", impossible=0.5, prompts=64, batches=2)
    oracle, ruled = make_oracle(stream), make_ruled_oracle(stream)
    for batch in draw_batches(stream, 1000):
        known, said = oracle(batch), ruled(batch)
        assert (said.genuine_PG == known.genuine_PG).all()
        assert (said.weights_PG[(batch.passed_PG > 0) & (known.genuine_PG > 0.5)] == 1).all()
        assert said.weights_PG[(batch.passed_PG > 0) & (known.genuine_PG < 0.2)].max() < 0.2


def test_one_stream_from_batches_to_a_table():
    stream = Stream("x", "four options", visits=2, impossible=0.5, prompts=8, batches=2)
    rows = [row for seed in (1000, 1001) for row in run_stream(stream, seed)]
    assert {row["batches"] for row in rows} == {2.0}  # of the last visit
    summary = summarise(rows)
    assert [row["method"] for row in summary] == ["GRPO", "uniform", "random", "guard", "oracle", "rule"]
    assert summary[0]["kept"] == pytest.approx(1)
    assert summary[1]["lucky"] == pytest.approx(summary[0]["lucky"], abs=0.1)
    assert write_table(summary).splitlines()[-1].startswith("| x |")


@pytest.mark.parametrize("seeds", [[1, 1000], [0], [6], [1, 1], []])
def test_seeds_of_tuning_and_of_reports_do_not_mix(seeds):
    with pytest.raises(ValueError, match="seeds: "):
        check_seeds(seeds, reports=False)


def test_a_report_takes_all_its_seeds_and_no_other():
    check_seeds([1, 2, 3, 4, 5], reports=True)
    check_seeds([1000, 1007], reports=False)
    for seeds in ([1, 2], [1000, 1001]):
        with pytest.raises(ValueError, match="all of 1 to 5"):
            check_seeds(seeds, reports=True)


def test_the_table_goes_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- other -->\nb\n<!-- end -->\n<!-- streams -->\nold\n<!-- end -->\nc\n")
    put(page, r"| \frac |")
    assert page.read_text() == (
        "a\n<!-- other -->\nb\n<!-- end -->\n<!-- streams -->\n\n| \\frac |\n\n<!-- end -->\nc\n"
    )
    page.write_text("nothing")
    with pytest.raises(ValueError, match="expected a place"):
        put(page, "x")
