"""Made-up rows in the column layouts that data sets publish."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlguard.difficulty.filter import filter_dataset, filter_file
from rlguard.difficulty.published import KNOWN, RANKS, read_known, read_published
from rlguard.types import InputError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "published"
SKYWORK_7B = "extra_info.model_difficulty.DeepSeek-R1-Distill-Qwen-7B"


def read(values, scale, trials=None, **options):
    rows = [{"prompt": f"{number}?", "answer": "1", "value": value} for number, value in enumerate(values)]
    return read_published(rows, "value", scale=scale, trials=trials, **options)


@pytest.mark.parametrize(
    ("name", "file", "column", "successes", "trials", "rates"),
    [
        ("SynthLabsAI/Big-Math-RL-Verified", "big_math.parquet", None, [63, 32, 1], 64, [63 / 64, 0.5, 1 / 64]),
        ("POLARIS-Project/Polaris-Dataset-53K", "polaris.jsonl", None, [7, 3, 0, 1], 8, [0.875, 0.375, 0, 0.125]),
        ("Skywork/Skywork-OR1-RL-Data", "skywork.parquet", "7B", [16, 4, 0, 11], 16, [1, 0.25, 0, 0.6875]),
        ("Skywork/Skywork-OR1-RL-Data", "skywork.parquet", "1.5B", [12, 0, 0, 7], 16, [0.75, 0, 0, 0.4375]),
        ("PrimeIntellect/INTELLECT-3-RL", "intellect_3_math.parquet", None, [8, 5, 1, 0], 8, [1, 0.625, 0.125, 0]),
        ("lime-nlp/MATH_Difficulty", "lime_difficulty.csv", None, [120, 64, 1], 128, [0.9375, 0.5, 1 / 128]),
        ("lime-nlp/DeepScaleR_Difficulty", "lime_solved.csv", None, [120, 64, 1], 128, [0.9375, 0.5, 1 / 128]),
        ("justus27/rl-math-2", "rl_math_2.parquet", None, [0, 0, 0], 0, [0.9, 0.333, 0]),
        ("LLM360/guru-RL-92k", "guru.parquet", "qwen3_30b_pass_rate", [0, 0, 0], 0, [1, 0.875, 0.25]),
    ],
)
def test_each_layout(name, file, column, successes, trials, rates):
    presets = {preset.column: preset for preset in KNOWN[name]}
    column = next((full for full in presets if column and full.endswith(column)), None)
    found = read_known(name, FIXTURES / file, column)
    assert [rate.rate for rate in found.values()] == pytest.approx(rates)
    assert [rate.successes for rate in found.values()] == successes
    assert {(rate.trials, rate.status) for rate in found.values()} == {(trials, "published")}
    assert {rate.model for rate in found.values()} <= {preset.model for preset in KNOWN[name]}
    assert found.missing == (1 if "big_math" in file else 0)


def test_published_rates_filter(tmp_path):
    rates = read_known("Skywork/Skywork-OR1-RL-Data", FIXTURES / "skywork.parquet", SKYWORK_7B)
    columns = {"prompt_column": "prompt", "answer_column": "reward_model.ground_truth"}
    summary = filter_file(FIXTURES / "skywork.parquet", rates, tmp_path / "kept.parquet", **columns)
    assert (summary.kept, summary.reasons) == (2, {"impossible": 1, "mastered": 1})
    assert summary.models == ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",)
    unknown = read_known("justus27/rl-math-2", FIXTURES / "rl_math_2.parquet")
    found = filter_dataset(FIXTURES / "rl_math_2.parquet", unknown, answer_column="verification_info.ground_truth")
    kept = [(row["rlguard_pass_rate"], row["rlguard_trials"], row["rlguard_high"]) for row in found.kept]
    assert kept == [(0.9, 0, 1.0), (0.333, 0, 1.0)]


@pytest.mark.parametrize("gold", [None, math.nan, "", [], {"value": 4}, {"ground_truth": None}])
def test_a_row_without_a_gold_answer_costs_that_row(gold):
    rows = [{"prompt": f"{number}+1?", "answer": str(number + 1), "value": 0.5} for number in range(4)]
    rows.append(rows[1] | {"answer": gold})  # it contradicts no row that has one
    found = filter_dataset(rows, read_published(rows, "value", scale="pass_rate"))
    assert [row["answer"] for row in found.kept] == ["1", "2", "3", "4"]
    [dropped] = found.dropped
    assert dropped["rlguard_drop_reason"] == "gold_rejected"
    assert dropped["rlguard_drop_detail"] == f"row 4 has no gold answer: {gold!r}"


@pytest.mark.parametrize("value", [[True, False, True, True], "[True, False, True, True]", "[1, 0, 1, 1]", "3/4"])
def test_a_fraction_is_a_text_or_a_list_also_as_a_csv_holds_one(value):
    rows = [{"prompt": "1+1?", "answer": "2", "value": value}]
    (rate,) = read_published(rows, "value", scale="fraction").values()
    assert (rate.successes, rate.trials) == (3, 4)


def test_a_rank_is_no_rate():
    assert list(RANKS) == ["open-r1/Big-Math-RL-Verified-Processed"]
    with pytest.raises(InputError, match="a rank, from which no pass rate can be read"):
        read_known("open-r1/Big-Math-RL-Verified-Processed")
    with pytest.raises(InputError, match=r"row 0: .* got 'level_1': a rank"):
        read_published(FIXTURES / "big_math_processed.jsonl", "llama8b_solve_rate", scale="pass_rate")


@pytest.mark.parametrize(
    ("value", "scale", "trials", "message"),
    [
        (1.5, "pass_rate", None, "row 1: column 'value': expected a pass rate in 0..1, got 1.5"),
        (-0.1, "percent_easy", None, "expected a percentage solved, in 0..100, got -0.1"),
        (101, "percent_hard", None, "expected a percentage failed, in 0..100, got 101"),
        (True, "pass_rate", None, "got True"),
        ("much", "pass_rate", None, "got 'much'"),
        (math.inf, "percent_hard", None, "got inf"),
        (17, "failures", 16, "expected a whole number of failures in 0..16, got 17"),
        (2.5, "successes", 16, "expected a whole number of successes in 0..16, got 2.5"),
        ("9/8", "fraction", None, "expected successes of trials such as '3/8', or a list of 1 and 0, got '9/8'"),
        ([1, 0.5], "fraction", None, "or a list of 1 and 0, got [1, 0.5]"),
        ([], "fraction", None, "or a list of 1 and 0, got []"),
        ([1, 0], "fraction", 8, "got [1, 0] (trials: 8)"),
        ([1, 0], "pass_rate", None, "expected a pass rate in 0..1, got [1, 0]"),
        ("0/0", "fraction", None, "got '0/0'"),
        (0.375, "fraction", None, "got 0.375"),
        ("3/8", "fraction", 16, "got '3/8' (trials: 16)"),
        (0.55, "pass_rate", 8, "no whole number of 8 trials; trials=None if they are unknown"),
    ],
)
def test_values_off_the_scale_name_their_row(value, scale, trials, message):
    fine = {"fraction": f"0/{trials or 8}"}.get(scale, 0)
    with pytest.raises(InputError) as caught:
        read([fine, value], scale, trials)
    assert message in str(caught.value)


def test_rounded_rates_still_count():
    assert [rate.successes for rate in read([0.33, 0.67, 0.125, 0.98], "pass_rate", 3 * 16).values()] == [16, 32, 6, 47]
    assert [rate.successes for rate in read([0.38, 0.13], "pass_rate", 8).values()] == [3, 1]
    with pytest.raises(InputError, match="no whole number of 128"):
        read([0.3555], "pass_rate", 128)  # 45.5 of 128


def test_null_is_no_rate_and_no_error():
    found = read([None, "", math.nan, 0.5, "n/a", "None"], "pass_rate")
    assert (len(found), found.missing) == (1, 5)


def test_a_copy_of_a_known_data_set_may_have_other_names():
    rows = [{"q": "p", "gold": "1", "llama8b_solve_rate": 0.5}]
    found = read_known("SynthLabsAI/Big-Math-RL-Verified", rows, prompt_column="q", answer_column="gold")
    assert [rate.successes for rate in found.values()] == [32]
    assert (found.prompt_column, found.answer_column) == ("q", "gold")


def test_of_duplicates_the_first_with_a_rate_counts():
    rows = [{"prompt": "p", "answer": "1", "value": value} for value in (None, 0.5, 0.75)]
    assert [rate.rate for rate in read_published(rows, "value", scale="pass_rate").values()] == [0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "difficulty"}, "scale: expected one of pass_rate, percent_easy"),
        ({"scale": "failures"}, "trials: expected the number of rollouts that failures are counted of"),
        ({"scale": "pass_rate", "trials": 0}, "trials: expected at least 1"),
        ({"scale": "pass_rate", "column": "rate"}, "column 'rate' is missing; the data set has: 'prompt', 'answer'"),
    ],
)
def test_bad_arguments(options, message):
    rows = [{"prompt": "p", "answer": "1", "value": 0.5}]
    with pytest.raises(InputError, match=message):
        read_published(rows, **({"column": "value"} | options))
    with pytest.raises(InputError, match="no such data set is known"):
        read_known("nobody/nothing")
    with pytest.raises(InputError, match="column 'rate' is not known, expected llama8b_solve_rate"):
        read_known("SynthLabsAI/Big-Math-RL-Verified", rows, "rate")


@given(n=st.integers(1, 200), share=st.floats(0, 1))
def test_every_scale_says_the_same(n, share):
    k = round(share * n)
    ways = [
        (k / n, "pass_rate"), (100 * k / n, "percent_easy"), (100 - 100 * k / n, "percent_hard"),
        (f"{k}/{n}", "fraction"), (n - k, "failures"), (k, "successes"),
        ([True] * k + [0.0] * (n - k), "fraction"),
    ]  # fmt: skip
    for value, scale in ways:
        (rate,) = read([value], scale, n).values()
        assert (rate.successes, rate.trials) == (k, n)
        assert rate.rate == pytest.approx(k / n)
        assert rate.low <= rate.rate + 1e-9
        assert rate.rate <= rate.high + 1e-9


def test_the_command_line_knows_the_same_engines():
    from rlguard import engines
    from rlguard.cli.app import EngineName

    assert {engine.value for engine in EngineName} == set(engines.ENGINES)
