from __future__ import annotations

import json

import pytest

from rlguard.data import read_problems, read_rows, write_rows
from rlguard.types import InputError, make_prompt_id

ROWS = [{"prompt": "2+2?", "answer": "4", "level": 1}, {"prompt": "zwei\u2028plus\n«zwei»?", "answer": "4", "level": 2}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "folder"])
def test_what_is_written_is_read(tmp_path, name):
    write_rows(ROWS, tmp_path / name)
    assert read_rows(tmp_path / name) == ROWS
    assert not list(tmp_path.glob(".*partial"))


def test_csv_keeps_columns_and_text(tmp_path):
    write_rows(ROWS, tmp_path / "a.csv")
    assert read_rows(tmp_path / "a.csv") == [{**row, "level": str(row["level"])} for row in ROWS]


def test_a_json_array_is_read_too(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    assert read_rows(tmp_path / "a.json") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": ', r"a\.jsonl:2: expected one JSON object a line"),
        ("a.jsonl", '{"a": 1}\n[2]', r"a\.jsonl:2: expected a JSON object, got list"),
        ("a.jsonl", "\n\n", "the data set is empty"),
        ("a.csv", "a,b\n1,2\n3\n", r"a\.csv:3: expected 2 cells"),
        ("a.parquet", "nonsense", "not a Parquet file"),
        ("a.txt", "hello", r"expected a file ending in \.jsonl"),
    ],
)
def test_bad_files_name_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / name)


def test_missing_file():
    with pytest.raises(InputError, match="no such file"):
        read_rows("nowhere/a.jsonl")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.parquet"
    write_rows(ROWS, path)
    with pytest.raises(InputError, match="do not fit one Parquet schema"):
        write_rows([{"a": 1}, {"a": "one"}], path)
    assert read_rows(path) == ROWS
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_problems_have_content_ids():
    chat = [{"role": "user", "content": "2+2?"}]
    first, second, third = read_problems(
        [{"prompt": "2+2?", "answer": 4}, {"prompt": "2+2?", "answer": "4"}, {"prompt": chat, "answer": "4"}]
    )
    assert first.id == second.id != third.id
    assert third.text == "2+2?"
    assert [p.number for p in (first, second, third)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        ([{"question": "2+2?", "answer": "4"}], "column 'prompt' is missing; the data set has: 'question', 'answer'"),
        ([{"prompt": "2+2?", "solution": "4"}], "column 'answer' is missing"),
        ([{"prompt": "2+2?", "answer": "4"}, {"prompt": " ", "answer": "4"}], "row 1: 'prompt' must be text or chat"),
        ([{"prompt": ["2+2?"], "answer": "4"}], "row 0: 'prompt' must be text or chat"),
        ([{"prompt": "2+2?", "answer": None}], "row 0: 'answer' must be a gold answer, got None"),
        ([{"prompt": "2+2?", "answer": "4"}, {"prompt": "3+3?"}], "row 1: 'answer' must be a gold answer"),
    ],
)
def test_bad_rows_are_named(rows, message):
    with pytest.raises(InputError, match=message):
        read_problems(rows)


def test_any_text_has_an_id():
    assert len(make_prompt_id("half an emoji \ud83d", "é")) == 16


def test_other_columns_can_be_chosen():
    assert read_problems([{"q": "2+2?", "a": 4}], "q", "a")[0].answer == 4
