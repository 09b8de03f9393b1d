"""The problems, reward and measures of the run on SmolLM2; the model itself is not needed."""

from __future__ import annotations

import pytest

from benchmarks.efficacy.smollm2 import KINDS, make_problems, mix_problems, reward_correct, write_summary


def texts(rows):
    return [row["prompt"][-1]["content"] for row in rows]


@pytest.fixture
def gym():
    return pytest.importorskip("reasoning_gym")


@pytest.mark.parametrize("kind", KINDS)
def test_problems_are_those_of_the_seed(gym, kind):
    rows = make_problems(kind, 40, seed=1)
    assert rows == make_problems(kind, 40, seed=1)
    assert len(set(texts(rows)) & set(texts(make_problems(kind, 40, seed=2)))) < 35  # the gym's own seeds overlap
    assert len(set(texts(rows))) == 40


def test_held_out_problems_are_never_trained_on(gym):
    held_out = set(texts(make_problems("prior", 64, seed=1, held_out=True)))
    trained = {text for seed in range(1, 4) for kind in KINDS for text in texts(make_problems(kind, 64, seed))}
    assert len(held_out) == 64
    assert not held_out & trained


def test_more_problems_than_there_are_is_an_error(gym):
    with pytest.raises(ValueError, match="prior: expected 500 distinct problems"):
        make_problems("prior", 500, seed=1)


@pytest.mark.parametrize(("share", "impossible"), [(1.0, 16), (0.75, 12), (0.0, 0)])
def test_mix_has_the_share(gym, share, impossible):
    rows = mix_problems(share, 16, seed=1)
    assert [row["kind"] for row in rows].count("unlearnable") == impossible
    assert len(rows) == 16


def test_gold_answers_are_rewarded(gym):
    rows = make_problems("learnable", 8, seed=1)
    golds = [row["answer"] for row in rows]
    assert reward_correct([f"The answer is {gold}." for gold in golds], golds) == [1.0] * 8


@pytest.mark.parametrize(
    ("completion", "gold", "reward"),
    [("3 + 4 = 7. The answer is 7.", "7", 1.0), ("-7.", "-7", 1.0), ("It is 7 or 8", "7", 0.0), ("", "7", 0.0)],
)
def test_reward_is_that_of_the_final_answer(completion, gold, reward):
    assert reward_correct([completion], [gold]) == [reward]
    assert reward_correct([[{"role": "assistant", "content": completion}]], [gold]) == [reward]


def test_the_table_tells_what_is_kept():
    def run(arm, seed, after):
        ends = [
            {f"{kind}_accuracy": value for kind in KINDS} | {"prior_share_bare": 0.25, "prior_mean_tokens": 9.0}
            for value in (0.4, after)
        ]
        return {"share": 1.0, "arm": arm, "seed": seed, "curve": ends}

    lines = write_summary([run("rlguard", 1, 0.4), run("grpo", 2, 0.1), run("grpo", 1, 0.3)]).splitlines()
    assert [line.split(" | ")[1:3] for line in lines[2:]] == [["grpo", "2"], ["rlguard", "1"]]
    assert lines[2].split(" | ")[3] == "0.500 [0.250, 0.750]"
    assert lines[3].split(" | ")[3] == "1.000"
