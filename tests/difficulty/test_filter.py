from __future__ import annotations

import json
import logging
import math
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.answers import normalise_answer
from rlguard.difficulty.filter import filter_dataset, filter_file
from rlguard.difficulty.rates import write_rates
from rlguard.difficulty.rules import Rules
from rlguard.tables.read import read_problems, read_rows
from rlguard.tables.write import write_rows
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


@pytest.mark.parametrize(("name", "value"), [("keep", "0.1..0.9"), ("keep", (0.1,)), ("max_truncated", "0.5")])
def test_rules_of_another_type_are_named(name, value):
    with pytest.raises(InputError, match=f"{name}: expected"):
        Rules(**{name: value})


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
    assert len(filter_dataset(ROWS[:4], edge, Rules(keep=(0.0, 1.0))).kept) == 4


def test_unknown_chance_rate_does_not_drop():
    assert filter_dataset(ROWS[:1], [rate(0, 4, 16, chance=math.nan)]).kept


def reasons(rows, rates, **options):
    """Drop reasons by row, None where kept."""
    numbered = [row | {"id": number} for number, row in enumerate(rows)]
    found = filter_dataset(numbered, rates, Rules(**options))
    by_id = {row["id"]: row for row in found.kept + found.dropped}
    return [by_id[number].get("rlguard_drop_reason") for number in range(len(rows))]


def rate_of(prompt, answer, **changes):
    problem = read_problems([{"prompt": prompt, "answer": answer}])[0]
    return replace(PassRate(problem.id, 8, 16, 0.25, 0.75, "learnable"), **changes)


def test_duplicates_keep_the_first():
    rows = [ROWS[0], ROWS[1], ROWS[0]]
    found = filter_dataset(rows, RATES)
    assert [row["id"] for row in found.kept] == [0]
    assert found.dropped[1]["rlguard_drop_detail"] == "row 0 has the same prompt and answer"
    half = [{"prompt": "p", "answer": answer} for answer in ("0.5", "1/2", "0.50")]
    rates = [rate_of("p", "1/2"), rate_of("p", "0.50")]  # the first one was not estimated
    assert reasons(half, rates) == ["not_estimated", None, "duplicate"]


def test_contradictory_rows_name_each_other():
    rows = [{"prompt": "p", "answer": answer} for answer in ("7", "8", "7.0", "nine")]
    rows.append({"prompt": [{"role": "user", "content": "p"}], "answer": "8"})  # the same words as a chat message
    rows.append({"prompt": "q", "answer": "7"})
    rates = [rate_of(row["prompt"], row["answer"]) for row in rows]
    found = filter_dataset(rows, rates)
    assert [row["prompt"] for row in found.kept] == ["q"]
    others = [("8", 1), ("7", 0), ("8", 1), ("7", 0), ("7", 0)]
    for row, (answer, number) in zip(found.dropped, others, strict=True):
        assert row["rlguard_drop_reason"] == "contradictory"
        assert f"gold answer '{answer}' in row {number}" in row["rlguard_drop_detail"]


def test_pictures_are_part_of_a_prompt(caplog):
    def ask(picture):
        blocks = [{"type": "image", "image": picture}, {"type": "text", "text": "How many?"}]
        return [{"role": "user", "content": blocks}]

    rows = [{"prompt": ask(picture), "answer": answer} for picture, answer in (("a", 1), ("b", 2), ("a", 3))]
    rates = [rate_of(row["prompt"], row["answer"]) for row in rows]
    assert reasons(rows, rates) == ["contradictory", None, "contradictory"]
    assert "does the prompt column hold the whole prompt" in caplog.text


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"truncated": 9}, {}, "truncated"),
        ({"truncated": 8}, {}, None),  # a half is not more than a half
        ({"truncated": 9, "unscored": 2}, {}, None),
        ({"truncated": 9}, {"max_truncated": None}, None),
        ({"truncated": 1}, {"max_truncated": 0.0}, "truncated"),
        ({"other_answer": "7", "other_count": 8}, {}, "suspected_wrong_label"),
        ({"other_answer": "7", "other_count": 7}, {}, None),
        ({"other_answer": "7", "other_count": 8}, {"wrong_label_share": None}, None),
        ({"other_answer": "7", "other_count": 5, "trials": 5, "successes": 0, "rate": 0.0}, {}, "impossible"),
        ({"other_answer": "7", "other_count": 16, "successes": 0, "rate": 0.0}, {}, "suspected_wrong_label"),
        ({"other_answer": "7", "other_count": 16, "truncated": 16}, {}, "truncated"),
        ({"above_chance": 0.94}, {}, "chance"),
        ({"above_chance": 0.95}, {}, None),
        ({"above_chance": 0.94}, {"chance_confidence": None}, None),
        ({"chance_rate": 0.5}, {}, "chance"),
        ({"chance_rate": 0.5}, {"chance_confidence": None}, None),
        ({"chance_rate": 0.6, "above_chance": 0.99}, {}, None),  # the probability knows more than the two rates
        ({"rate": 0.05}, {}, "near-impossible"),
        ({"rate": 0.01}, {}, "impossible"),
        ({"rate": 0.95}, {}, "mastered"),
        ({"rate": 0.01}, {"keep": (0.0, 1.0)}, None),
        ({"rate": math.nan, "trials": 0, "unscored": 16}, {}, "unscored"),
        ({"rate": math.nan, "trials": 0, "status": "not_sampled"}, {}, "not_sampled"),
        ({"rate": math.nan, "trials": 0, "status": "gold_rejected"}, {}, "gold_rejected"),
        ({"successes": 0, "trials": 0, "rate": 0.3, "status": "published"}, {}, None),
        ({"successes": 0, "trials": 0, "rate": 0.01, "status": "published"}, {}, "impossible"),
    ],
)
def test_thresholds(changes, options, reason):
    rate = rate_of("p", "1", **changes)
    row = [{"prompt": "p", "answer": "1"}]
    assert reasons(row, [rate], **options) == [reason]
    found = filter_dataset(row, [rate], Rules(**options))
    assert all(json.dumps(row, allow_nan=False) for row in found.kept + found.dropped)


def test_figures_in_plain_words():
    def detail(**changes):
        rows = [{"prompt": "p", "answer": "1"}]
        return filter_dataset(rows, [rate_of("p", "1", **changes)]).dropped[0]["rlguard_drop_detail"]

    assert detail(truncated=12).startswith("12 of 16 rollouts ran into the length limit")
    assert detail(other_answer="7", other_count=12).startswith(
        "12 of 16 rollouts agree on '7' instead; 8 of 16 correct"
    )
    assert "cannot be told from guessing at 0.40 (probability 0.80" in detail(chance_rate=0.4, above_chance=0.8)
    assert detail(rate=0.05).endswith("a pass rate of 0.050 after correction, below 0.1")
    assert detail(successes=0, trials=0, rate=0.95) == "a pass rate of 0.950, of unknown trials, above 0.9"


KINDS = st.sampled_from(["not_estimated", "rejected", "easy", "hard", "fine"])
ROW = st.tuples(st.sampled_from("pq"), st.sampled_from(["1", "1.0", "2"]), KINDS)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from(["1", "1.0", "2"]), KINDS), min_size=1, max_size=8)
)
def test_agrees_with_a_slow_plain_loop(rows):
    kinds = {(prompt, answer): kind for prompt, answer, kind in rows}
    changes = {"rejected": {"status": "gold_rejected"}, "easy": {"rate": 1.0}, "hard": {"rate": 0.0}, "fine": {}}
    rates = [rate_of(*pair, **changes[kind]) for pair, kind in kinds.items() if kind != "not_estimated"]
    expected = []
    for number, (prompt, answer, _) in enumerate(rows):
        kind = kinds[prompt, answer]
        same = [(n, a) for n, (p, a, _) in enumerate(rows) if p == prompt]
        gold = normalise_answer(answer)
        reached = [n for n, a in same if kinds[prompt, a] not in ("not_estimated", "rejected")]
        if kind in ("not_estimated", "rejected"):
            expected.append({"rejected": "gold_rejected"}.get(kind, kind))
        elif any(normalise_answer(a) != gold for _, a in same):
            expected.append("contradictory")
        elif reached[0] != number:
            expected.append("duplicate")
        else:
            expected.append({"easy": "mastered", "hard": "impossible", "fine": None}[kind])
    table = [{"prompt": prompt, "answer": answer} for prompt, answer, _ in rows]
    if set(expected) == {"not_estimated"}:
        with pytest.raises(InputError, match="none of the rows"):
            reasons(table, rates)
    else:
        assert reasons(table, rates) == expected


def test_filtering_again_replaces_its_columns():
    kept = filter_dataset(ROWS, RATES).kept
    again = filter_dataset(kept, [replace(RATES[0], successes=4, rate=0.25)]).kept[0]
    assert list(again) == list(kept[0])
    assert (again["rlguard_successes"], again["rlguard_pass_rate"]) == (4, 0.25)
    dropped = filter_dataset(kept, [replace(RATES[0], rate=1.0)]).dropped
    assert "rlguard_drop_reason" not in filter_dataset(dropped, RATES).kept[0]


@pytest.mark.parametrize(
    ("rated", "trained", "warns"),
    [("org/A", "org/a", False), ("org/A", "/models/a/", False), ("org/A", "org/B", True), (None, "B", False)],
)
def test_rates_of_another_model(caplog, rated, trained, warns):
    with caplog.at_level(logging.WARNING):
        filter_dataset(ROWS[:1], [replace(RATES[0], model=rated)], model=trained)
    assert ("'org/A'" in caplog.text and "'org/B'" in caplog.text) == warns == bool(caplog.records)


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.parquet", "kept.csv", "kept"])
def test_files_hold_what_memory_holds(tmp_path, name):
    write_rows(ROWS, tmp_path / "data.jsonl")
    write_rates(RATES, read_problems(ROWS[:7]), tmp_path / "rates.parquet")
    (tmp_path / "meta.json").write_text('{"sampling": {"temperature": 0.7}, "verifier": {"name": "a|b"}}')
    found = filter_dataset(tmp_path / "data.jsonl", tmp_path)
    summary = filter_file(tmp_path / "data.jsonl", tmp_path, tmp_path / name, model="org/b")
    assert (summary.rows, summary.kept, summary.reasons) == (8, 1, found.reasons)
    assert summary.kept_path == tmp_path / name
    if name != "kept.csv":
        assert read_rows(summary.kept_path)[0] == found.kept[0]
        assert read_rows(summary.dropped_path) == found.dropped
    card = summary.card_path.read_text()
    assert summary.card_path == tmp_path / ("kept/README.md" if name == "kept" else "kept.card.md")
    assert card.startswith("---\ntags:\n- rlguard\n")
    for part in ("data.jsonl", "| sampling.temperature | 0.7 |", "&#124;", "| kept | 1 |", "| dropped: mastered | 1 |"):
        assert part in card
    for part in ("0.1 to 0.9", "does not carry over", "`org/b`", "`rlguard_above_chance`", "License"):
        assert (part in card) == (part != "License")


def test_column_types_of_a_parquet_file_stay(tmp_path):
    big = pa.array([2**62 + 1, 5], pa.uint64())
    table = pa.table({"prompt": ["0?", "1?"], "answer": ["0", "1"], "n": big, "rlguard_id": ["old", "old"]})
    pq.write_table(table, tmp_path / "data.parquet")
    filter_file(tmp_path / "data.parquet", RATES, tmp_path / "kept.parquet", Rules(keep=(0.5, 0.5)))
    schema = pq.read_schema(tmp_path / "kept.parquet")
    assert (schema.field("n").type, schema.field("rlguard_model").type) == (pa.uint64(), pa.string())
    assert read_rows(tmp_path / "kept.parquet")[0]["n"] == 2**62 + 1
    summary = filter_file(tmp_path / "data.parquet", RATES, tmp_path / "none.parquet", Rules(keep=(0.6, 0.6)))
    assert summary.kept == 0
    assert pq.read_schema(summary.kept_path).equals(schema)


def test_a_filter_that_fails_writes_nothing(tmp_path):
    write_rows([{"prompt": "other", "answer": "1"}], tmp_path / "data.jsonl")
    with pytest.raises(InputError, match="none of the rows has a pass rate"):
        filter_file(tmp_path / "data.jsonl", RATES, tmp_path / "kept.jsonl")
    rows = [{"prompt": f"{i}?", "answer": str(i), "mixed": mixed} for i, mixed in enumerate([1, "a"] * 5)]
    write_rows(rows, tmp_path / "data.jsonl")
    with pytest.raises(InputError, match="column 'mixed'"):  # of the kept rows; the dropped ones would fit
        filter_file(tmp_path / "data.jsonl", RATES, tmp_path / "kept.parquet", Rules(keep=(0.0, 1.0)))
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_nested_columns():
    row = {"extra_info": {"q": "0?"}, "reward_model": {"ground_truth": "0"}}
    columns = {"prompt_column": "extra_info.q", "answer_column": "reward_model.ground_truth"}
    assert filter_dataset([row], RATES, **columns).kept[0]["reward_model"] == {"ground_truth": "0"}


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.parquet", "kept"])
def test_written_and_read_back(tmp_path, name):
    found = filter_dataset(ROWS, RATES)
    kept, dropped = found.write(tmp_path / name)
    assert dropped.name == name.replace("kept", "kept.dropped")
    assert read_rows(kept)[0] == found.kept[0]
    assert [row["id"] for row in read_rows(dropped)] == [1, 2, 3, 4, 5, 6, 7]
    assert "rows in memory" in (tmp_path / ("kept/README.md" if name == "kept" else "kept.card.md")).read_text()


@pytest.mark.parametrize("keep", [(0.9, 0.1), (-0.1, 0.5), (0.1, 1.1), (math.nan, 1)])
def test_bad_range(keep):
    with pytest.raises(InputError, match="0 <= low <= high <= 1"):
        Rules(keep=keep)
    with pytest.raises(InputError, match=r"max_truncated: expected a number in 0\.\.1, or None"):
        Rules(max_truncated=50)


def test_rates_of_other_data_are_an_error():
    with pytest.raises(InputError, match="none of the rows has a pass rate"):
        filter_dataset([{"prompt": "other", "answer": "1"}], RATES)


def test_a_frame_comes_back_as_a_frame():
    pandas = pytest.importorskip("pandas")
    found = filter_dataset(pandas.DataFrame(ROWS), RATES)
    assert list(found.kept.id) == [0]
    assert next(iter(found.dropped.rlguard_drop_reason)) == "impossible"
    assert repr(found).startswith("Filtered(1 kept, 7 dropped, ")
    assert len(found.to_pandas()) == 8
    assert "<td>kept 0</td>" in found._repr_html_()
    table = filter_dataset(pa.Table.from_pylist(ROWS), RATES)
    assert table.kept.num_rows == 1
    datasets = pytest.importorskip("datasets")
    assert filter_dataset(datasets.Dataset.from_list(ROWS), RATES).kept["id"][:] == [0]


def test_a_polars_frame_comes_back_as_one(tmp_path):
    polars = pytest.importorskip("polars")
    found = filter_dataset(polars.DataFrame(ROWS), RATES)
    assert found.kept["id"].to_list() == [0]
    found.write(tmp_path / "k.jsonl")
    assert len(read_rows(tmp_path / "k.dropped.jsonl")) == 7


def test_what_is_read_is_not_replaced(tmp_path):
    write_rows(ROWS, tmp_path / "a.jsonl")
    write_rows(ROWS, tmp_path / "b.dropped.jsonl")
    for source, out in (("a.jsonl", "a.jsonl"), ("a.jsonl", "x/../a.jsonl"), ("b.dropped.jsonl", "b.jsonl")):
        with pytest.raises(InputError, match=r"would replace .* choose another name"):
            filter_file(tmp_path / source, RATES, tmp_path / out)
    assert read_rows(tmp_path / "a.jsonl") == ROWS
    with pytest.raises(InputError, match="expected a name ending in"):
        filter_file(tmp_path / "a.jsonl", RATES, tmp_path / "k.txt")
    assert not (tmp_path / "k.txt").exists()
    assert filter_file(tmp_path / "a.jsonl", RATES, tmp_path / "qwen2.5-7b").kept == 1  # a folder
