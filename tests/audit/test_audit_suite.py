"""Suites as tables: read, written, and what is wrong with them."""

from __future__ import annotations

import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlguard.audit.marking import SuiteVerifier
from rlguard.audit.suite import as_chat, make_item, read_suite, vary, write_suite
from rlguard.types import InputError, Problem, make_prompt_id
from rlguard.verify.gold import check_gold

ROWS = [
    {"prompt": "2+2?", "answer": 4, "domain": "sums"},
    {"prompt": "3+3?\nEnd with the number.", "answer": "6", "domain": "sums", "instruction": "End with the number."},
    {"prompt": [{"role": "user", "content": "Spell \"é\",\n please"}], "answer": "é, é", "domain": "letters"},
    {"prompt": "Even?", "answer": "2", "domain": "naming", "check": {"kind": "integer", "multiple_of": 2}},
    {"prompt": "Make 3 of 1, 2", "answer": "1 + 2", "domain": "games",
     "check": {"kind": "expression", "numbers": [1, 2], "target": 3}},
    {"prompt": "How old is she?", "domain": "riddles", "answerable": False},
    {"prompt": "gym", "answer": "5", "domain": "gym", "metadata": {"source_dataset": "gcd", "numbers": [5], "x": None}},
]  # fmt: skip


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def items(tmp_path):
    return read_suite(write_jsonl(tmp_path / "mine.jsonl", ROWS))


def test_a_row_becomes_an_item_with_every_column_in_its_type(items):
    first, _, chat, even, _, riddle, gym = items
    assert (first.id, first.base) == (make_prompt_id("2+2?", "4"),) * 2
    assert first.row == {
        "prompt": "2+2?", "answer": "4", "domain": "sums", "variant": "plain", "base": first.id, "answerable": True
    }  # fmt: skip
    assert (first.variant, first.answerable, first.open_ended) == ("plain", True, False)
    assert chat.prompt == ROWS[2]["prompt"]
    assert even.open_ended
    assert (riddle.answerable, riddle.answer, riddle.open_ended) == (False, "I don't know", False)
    assert gym.row["metadata"] == ROWS[6]["metadata"]


@pytest.mark.parametrize("name", ["suite.jsonl", "suite.csv", "suite.parquet"])
def test_what_is_written_is_read_back_the_same(items, tmp_path, name):
    suite = [*items, *vary(items), *as_chat(items)[:1]]
    write_suite(suite, tmp_path / name)
    assert read_suite(tmp_path / name) == suite
    write_suite(suite[:2], tmp_path / name)
    assert read_suite(str(tmp_path / name), 0, 7) == suite[:2]  # n and seed are the built-in suite's alone
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_the_built_in_suite_survives_the_disk(tmp_path):
    pytest.importorskip("reasoning_gym")
    items = read_suite("builtin", 4, 0)
    items += vary(items)
    for name in ("a.jsonl", "b.csv", "c.parquet"):
        write_suite(items, tmp_path / name)
        assert read_suite(tmp_path / name) == items


def test_sources_are_joined_by_commas_in_their_order(tmp_path):
    pytest.importorskip("reasoning_gym")
    mine = write_jsonl(tmp_path / "mine.jsonl", ROWS[:2])
    more = write_jsonl(tmp_path / "more.jsonl", ROWS[1:4])
    built_in = read_suite("builtin", 2, 3)
    joined = read_suite(f"builtin, {mine},{more}", 2, 3)
    assert joined[: len(built_in)] == built_in
    assert [item.answer for item in joined[len(built_in) :]] == ["4", "6", "é, é", "2"]


def test_a_file_may_have_a_comma_in_its_name(tmp_path):
    assert len(read_suite(write_jsonl(tmp_path / "a,b.jsonl", ROWS))) == len(ROWS)


def test_duplicates_are_taken_once_and_said(tmp_path, caplog):
    path = write_jsonl(tmp_path / "mine.jsonl", [ROWS[0], ROWS[1], ROWS[0] | {"answer": "4"}, ROWS[0] | {"answer": 5}])
    with caplog.at_level(logging.WARNING):
        assert [item.answer for item in read_suite(path)] == ["4", "6", "5"]
    assert "1 duplicate questions in the suite" in caplog.text


def test_parquet_of_another_tool_may_hold_structs_and_empty_cells(tmp_path):
    rows = [
        {"prompt": "Even?", "answer": 2, "domain": "n", "check": {"kind": "integer", "multiple_of": 2, "ends": None}},
        {"prompt": "Boat?", "answer": 4, "domain": "n", "check": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    even, closed = read_suite(tmp_path / "mine.parquet")
    assert (even.open_ended, closed.open_ended, closed.answer) == (True, False, "4")
    assert SuiteVerifier().score("8", Problem(even.id, even.prompt, even.answer, even.row)) == 1.0


def test_an_answer_that_is_wanted_in_a_form_is_put_into_it():
    row = {"prompt": "An even number as JSON?", "domain": "d", "variant": "answer:json", "base": "b"}
    row |= {"check": {"kind": "integer", "multiple_of": 2}}
    item = make_item(row | {"answer": "2"})
    assert item.answer == item.row["answer"] == '{"answer": "2"}'
    assert (item.base, make_item(item.row)) == ("b", item)
    problem = Problem(item.id, item.prompt, item.answer, item.row)
    assert check_gold([problem], SuiteVerifier()) == []
    said = ['{"answer": 4}', '{"answer": 3}', "4"]
    assert [SuiteVerifier().score(text, problem) for text in said] == [1.0, 0.0, 0.0]
    with pytest.raises(InputError, match=r"'answer' must be one that passes .*, got '3'"):
        make_item(row | {"answer": "3"})


def test_a_prompt_that_only_looks_like_messages_is_text():
    prompt = "[{1, 2}] has how many elements?"
    assert make_item({"prompt": prompt, "answer": 1, "domain": "sets"}).prompt == prompt


@pytest.mark.parametrize("gold", ["null", "NaN", '""', "[]", '{"value": 4}'])
def test_a_question_without_a_gold_answer_costs_that_question(tmp_path, caplog, gold):
    path = tmp_path / "suite.jsonl"
    path.write_text(
        '{"prompt": "2+2?", "answer": 4, "domain": "d"}\n{"prompt": "3+3?", "answer": %s, "domain": "d"}\n' % gold  # noqa: UP031
    )
    assert [item.answer for item in read_suite(path)] == ["4"]
    assert "1 questions have no gold answer and are left out, first" in caplog.text
    assert "suite.jsonl: row 1" in caplog.text


@pytest.mark.parametrize(
    ("value", "answerable"), [(True, True), ("false", False), ("No", False), (0, False), ("1", True)]
)
def test_answerable_may_be_written_in_words(value, answerable):
    answer = "1" if answerable else "I don't know"
    assert make_item({"prompt": "?", "answer": answer, "domain": "d", "answerable": value}).answerable is answerable


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "2+2?"}, "row 1: expected the columns prompt, answer, domain, got nothing in answer, domain"),
        ({"prompt": 5}, "row 1: 'prompt' must be text or chat messages, got 5"),
        ({"prompt": "  "}, "row 1: 'prompt' must be text or chat messages"),
        ({"prompt": ["2+2?"]}, "row 1: 'prompt' must be text or chat messages, got \\['2"),
        ({"domain": "all"}, "row 1: 'domain' must be another name than 'all'"),
        ({"answerable": "perhaps"}, "row 1: 'answerable' must be true or false, got 'perhaps'"),
        ({"answerable": False}, "row 1: 'answerable' is false, so 'answer' must be empty or \"I don't know\", got '4'"),
        ({"check": "{"}, "row 1: 'check' must be an object with named values, got '{'"),
        ({"check": 5}, "row 1: 'check' must be an object"),
        ({"metadata": "[1]"}, "row 1: 'metadata' must be an object"),
        ({"check": {"kind": "eval"}}, "row 1: 'check' must have a 'kind' out of .*eval"),
        ({"check": {"kind": "integer", "low": "x"}}, "row 1: 'check' must hold what 'integer' takes"),
        ({"check": {"kind": "integer", "low": 5}}, "row 1: 'answer' must be one that passes .*, got '4'"),
        ({"variant": "answer:xml"}, "row 1: 'variant' must be answer: and one of boxed, tag, json, last_line, got"),
    ],
)
def test_errors_name_file_row_expected_and_got(tmp_path, row, words):
    second = row if row.keys() == {"prompt"} and row["prompt"] == "2+2?" else ROWS[0] | row
    path = write_jsonl(tmp_path / "mine.jsonl", [ROWS[1], second])
    with pytest.raises(InputError, match=f"mine.jsonl: {words}"):
        read_suite(path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "expected 'builtin' or a file, got ''"),
        (" , ", "expected 'builtin' or a file"),
        ("no.jsonl", "no such file"),
    ],
)
def test_a_suite_that_is_none(source, words):
    with pytest.raises(InputError, match=words):
        read_suite(source)


def test_an_empty_file_is_no_suite(tmp_path):
    with pytest.raises(InputError, match="empty"):
        read_suite(write_jsonl(tmp_path / "mine.jsonl", []))


def test_gold_answers_of_ones_own_questions_pass_in_every_variant(items):
    asked = [item for item in (*items, *vary(items)) if "metadata" not in item.row]
    problems = [Problem(item.id, item.prompt, item.answer, item.row) for item in asked]
    assert check_gold(problems, SuiteVerifier()) == []
    assert len(problems) > 20


def test_nothing_is_written_where_a_row_cannot_be(items, tmp_path):
    path = tmp_path / "suite.parquet"
    write_suite(items[:1], path)
    broken = make_item({**ROWS[0], "extra": object()})
    with pytest.raises(InputError):
        write_suite([items[1], broken], path)
    assert read_suite(path) == items[:1]
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
