from __future__ import annotations

import dataclasses
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.difficulty.rates import RateTable, read_rates, write_rates
from rlguard.tables.read import read_problems, read_rows
from rlguard.types import InputError, PassRate

PROBLEMS = read_problems([{"prompt": f"{i}?", "answer": i} for i in range(3)])
RATES = [
    PassRate(PROBLEMS[0].id, 8, 16, 0.25, 0.75, "learnable", rate=0.47, chance_rate=0.1, model="org/m", truncated=2),
    PassRate(PROBLEMS[1].id, 0, 16, 0.0, 0.2, "impossible", other_answer="7", other_count=12),
    PassRate(PROBLEMS[2].id, 0, 0, 0.0, 1.0, "unscored", status="gold_rejected"),
]


@pytest.mark.parametrize("name", ["rates.parquet", "rates.jsonl", "rates.csv"])
def test_what_is_written_is_read(tmp_path, name):
    write_rates(iter(RATES), iter(PROBLEMS), tmp_path / name)
    found = read_rates(tmp_path / name)
    assert found == {rate.prompt_id: rate for rate in RATES}
    assert dict(found) == {rate.prompt_id: rate for rate in RATES}
    assert list(found) == [rate.prompt_id for rate in RATES]
    assert found != {}
    assert found != {rate.prompt_id: dataclasses.replace(rate, trials=17) for rate in RATES}
    assert "nobody" not in found
    assert found.get("nobody") is None


def test_a_folder_holds_its_rates_with_prompts_beside_them(tmp_path):
    write_rates(RATES, PROBLEMS, tmp_path / "rates.parquet")
    assert read_rates(tmp_path) == {rate.prompt_id: rate for rate in RATES}
    row = read_rows(tmp_path / "rates.parquet")[0]
    assert (row["prompt"], row["answer"], row["pass_rate"], row["above_chance"]) == ("0?", "0", 0.47, None)
    schema = pq.read_schema(tmp_path / "rates.parquet")  # all null in these rows, and typed all the same
    assert (schema.field("above_chance").type, schema.field("other_answer").type) == (pa.float64(), pa.string())


def test_newer_fields_take_their_defaults(tmp_path):
    old = {"prompt_id": "a", "successes": 4, "trials": 16, "low": 0.07, "high": 0.53, "band": "learnable"}
    (tmp_path / "old.jsonl").write_text(json.dumps(old) + "\n")
    found = read_rates(tmp_path / "old.jsonl")["a"]
    assert (found.rate, found.status, found.model, found.truncated) == (0.25, "ok", None, 0)
    assert math.isnan(found.band_error)
    pq.write_table(pa.Table.from_pylist([old]), tmp_path / "old.parquet")
    assert read_rates(tmp_path / "old.parquet") == {"a": found}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt_id": "a"}, "row 0: columns successes, trials, low, high, band are missing; not rates by rlguard"),
        (
            {"prompt_id": "a", "successes": 1, "trials": None, "low": 0, "high": 1, "band": "x"},
            "row 0: .*'trials', got none",
        ),
        (
            {"prompt_id": "a", "successes": 20, "trials": 16, "low": 0, "high": 1, "band": "x"},
            "row 0: expected at most 16 successes, got 20",
        ),
        ({"prompt_id": "a", "successes": "one", "trials": 2, "low": 0, "high": 1, "band": "x"}, "int64 in 'successes'"),
    ],
)
def test_unusable_rates_are_named(tmp_path, row, message):
    (tmp_path / "rates.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=message):
        read_rates(tmp_path / "rates.jsonl")
    (tmp_path / "rates.parquet").write_text("nonsense")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_rates(tmp_path)
    with pytest.raises(InputError, match="no pass rates here"):
        read_rates(tmp_path / "nowhere")


def test_rates_of_other_problems_are_not_mixed_up(tmp_path):
    with pytest.raises(InputError, match="row 0: expected the rate of"):
        write_rates(RATES, reversed(PROBLEMS), tmp_path / "rates.parquet")
    with pytest.raises(ValueError, match="zip"):
        write_rates(RATES[:1], PROBLEMS, tmp_path / "rates.parquet")
    assert list(tmp_path.iterdir()) == []


def test_half_a_surrogate_pair_does_not_end_the_run(tmp_path):
    problem = read_problems([{"prompt": "half \ud83d é", "answer": "x"}])[0]
    rate = PassRate(problem.id, 1, 2, 0.0, 1.0, "learnable", other_answer="\ud83d")
    write_rates([rate], [problem], tmp_path / "rates.parquet")
    assert read_rates(tmp_path)[problem.id].other_answer == "?"
    assert read_rows(tmp_path / "rates.parquet")[0]["prompt"] == "half ? é"


UNIT = st.floats(0, 1) | st.just(math.nan)
ANY = st.builds(
    PassRate, prompt_id=st.text("abc", min_size=1, max_size=3), successes=st.integers(0, 9), trials=st.integers(0, 9),
    low=UNIT, high=UNIT, band=st.sampled_from(["learnable", "unscored"]), rate=UNIT, chance_rate=UNIT,
    other_answer=st.none() | st.text(max_size=3), model=st.none() | st.just("m"),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(rates=st.lists(ANY, unique_by=lambda rate: rate.prompt_id, min_size=1, max_size=6))
def test_a_table_is_the_dict_of_its_rates(rates):
    table = RateTable(pa.Table.from_pylist([dataclasses.asdict(rate) for rate in rates]))
    assert table == {rate.prompt_id: rate for rate in rates}
