"""The problems and rewards of the GPU runs; no model is needed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.gpu.problems import (
    KINDS,
    list_rewards,
    make_problems,
    mix_problems,
    read_gsm8k,
    reward_correct,
    reward_format,
)
from benchmarks.gpu.runs import DRY, Run, Size

TRAIN = Run(1, "train", "smollm2", arm="grpo", seed=1)


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
    rows = mix_problems(replace(TRAIN, share=share), Size(problems=16))
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


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """Made-up GSM8K; the numbers of the lines that may be trained on."""
    (tmp_path / "gsm8k").mkdir()
    rows = [{"question": f"Ann has {n} pens.", "answer": f"She has <<{n}={n}>>{n}.\n#### 1,{n:03}"} for n in range(200)]
    (tmp_path / "gsm8k" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setenv("RLGUARD_DATA", str(tmp_path))
    return sorted(read_gsm8k(held_out=False))


def test_gsm8k_is_mixed_by_measured_pass_rates(lines):
    passes = {number: i % 2 for i, number in enumerate(lines)}
    run = replace(TRAIN, task="gsm8k", share=0.75)
    rows = mix_problems(run, Size(problems=80), passes)
    assert [row["kind"] for row in rows].count("unlearnable") == 60
    never = {read_gsm8k(held_out=False)[number]["answer"] for number in lines if not passes[number]}
    assert {row["answer"] for row in rows if row["kind"] == "unlearnable"} <= never
    assert not {row["answer"] for row in rows} & {row["answer"] for row in read_gsm8k(held_out=True).values()}


def test_too_few_problems_of_a_sort_is_an_error(lines):
    with pytest.raises(ValueError, match="0 sometimes solved"):
        mix_problems(replace(TRAIN, task="gsm8k", share=0.75), DRY, dict.fromkeys(lines, 0))


def test_missing_gsm8k_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setenv("RLGUARD_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="set RLGUARD_DATA"):
        read_gsm8k(held_out=False)


def test_three_rewards_have_correctness_first():
    functions, weights = list_rewards(replace(TRAIN, rewards="three"), Size(short=8))
    assert (functions[0], weights) == (reward_correct, [1.0, 0.2, 0.1])
    assert functions[2](completion_ids=[[1] * 8, [1] * 2]) == [-1.0, -0.25]


@pytest.mark.parametrize(
    ("text", "score"), [("3 + 4 = 7. The answer is 7.", 1.0), ("answer 7", 1.0), ("It is 7.", 0.0)]
)
def test_format_is_how_a_completion_closes(text, score):
    assert reward_format([text]) == [score]
