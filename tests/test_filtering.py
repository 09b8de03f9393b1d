from __future__ import annotations

import math

import pytest

from rlguard.data import read_problems, read_rows
from rlguard.filtering import filter_dataset
from rlguard.types import InputError, PassRate

ROWS = [{"id": i, "prompt": f"{i}?", "answer": str(i), "note": f"kept {i}"} for i in range(8)]
IDS = [p.id for p in read_problems(ROWS)]


def rate(number, k, n, chance=0.0, status="ok", unscored=0):
    return PassRate(IDS[number], k, n, 0.0, 1.0, "", chance_rate=chance, status=status, unscored=unscored)


RATES = [
    rate(0, 8, 16),
    rate(1, 0, 16),
    rate(2, 1, 16),
    rate(3, 16, 16),
    rate(4, 0, 0, status="gold_rejected"),
    rate(5, 0, 0, unscored=16),
    rate(6, 4, 16, chance=0.25),
]


@pytest.mark.parametrize(
    ("number", "reason", "detail"),
    [
        (0, None, ""),
        (1, "impossible", "0 of 16 correct"),
        (2, "near-impossible", "1 of 16 correct"),
        (3, "mastered", "16 of 16 correct"),
        (4, "gold_rejected", "own gold answer"),
        (5, "unscored", "16 unscored"),
        (6, "chance", "guessing would pass at 0.25"),
        (7, "not_estimated", "not among the pass rates"),
    ],
)
def test_each_reason(number, reason, detail):
    found = filter_dataset(ROWS, RATES)
    rows = {row["id"]: row for row in found.kept + found.dropped}
    assert rows[number].get("rlguard_drop_reason") == reason
    assert detail in rows[number].get("rlguard_drop_detail", "")


def test_no_row_is_lost_and_columns_stay():
    found = filter_dataset(ROWS, RATES)
    assert sorted(row["id"] for row in found.kept + found.dropped) == list(range(8))
    assert found.reasons == dict.fromkeys(sorted(found.reasons), 1)
    kept = found.kept[0]
    assert {name: kept[name] for name in ROWS[0]} == ROWS[0]
    assert (kept["rlguard_successes"], kept["rlguard_trials"], kept["rlguard_pass_rate"]) == (8, 16, 0.5)
    assert ROWS[0].keys() == {"id", "prompt", "answer", "note"}  # the caller's rows are not touched


def test_both_ends_of_the_range_are_kept():
    edge = [rate(0, 1, 10), rate(1, 9, 10), rate(2, 10, 100), rate(3, 99, 1000)]
    assert [row["id"] for row in filter_dataset(ROWS[:4], edge).kept] == [0, 1, 2]
    assert len(filter_dataset(ROWS[:4], edge, keep=(0.0, 1.0)).kept) == 4


def test_unknown_chance_rate_does_not_drop():
    assert filter_dataset(ROWS[:1], [rate(0, 4, 16, chance=math.nan)]).kept


def test_order_and_duplicates_are_kept():
    rows = [ROWS[0], ROWS[1], ROWS[0]]
    assert [row["id"] for row in filter_dataset(rows, RATES).kept] == [0, 0]


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.parquet", "kept"])
def test_written_and_read_back(tmp_path, name):
    found = filter_dataset(ROWS, RATES)
    kept, dropped = found.write(tmp_path / name)
    assert dropped.name == name.replace("kept", "kept.dropped")
    assert read_rows(kept)[0] == found.kept[0]
    assert [row["id"] for row in read_rows(dropped)] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("keep", [(0.9, 0.1), (-0.1, 0.5), (0.1, 1.1), (math.nan, 1)])
def test_bad_range(keep):
    with pytest.raises(InputError, match="0 <= low <= high <= 1"):
        filter_dataset(ROWS, RATES, keep=keep)


def test_rates_of_other_data_are_an_error():
    with pytest.raises(InputError, match="none of the rows has a pass rate"):
        filter_dataset([{"prompt": "other", "answer": "1"}], RATES)
