from __future__ import annotations

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.tables.columns import pick
from rlguard.tables.frames import iter_data
from rlguard.tables.read import BATCH, iter_problems, iter_rows, read_problems, read_rows, read_schema
from rlguard.tables.write import RowWriter, write_rows
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


@pytest.mark.parametrize(("name", "written"), [("a.NDJSON", "a.jsonl"), ("A.CSV", "a.csv"), ("A.Parquet", "a.parquet")])
def test_endings_in_capitals_and_ndjson(tmp_path, name, written):
    rows = [{"prompt": "2+2?", "answer": "4"}]
    write_rows(rows, tmp_path / written)
    (tmp_path / written).rename(tmp_path / name)
    assert read_rows(tmp_path / name) == rows


def test_a_json_array_is_read_too(tmp_path):
    (tmp_path / "a.json").write_text("\n\n" + json.dumps(ROWS, indent=2))
    assert read_rows(tmp_path / "a.json") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": ', r"a\.jsonl, line 2: expected one JSON object, got"),
        ("a.jsonl", '{"a": 1}\n[2]', r"a\.jsonl, line 2: expected one JSON object, got list"),
        ("a.jsonl", "\n\n", "the data set is empty"),
        ("a.json", "[1, 2]", r"a\.json: row 0: expected a JSON object, got int"),
        ("a.csv", "a,b\n1,2\n3\n", r"a\.csv:3: expected 2 cells"),
        ("a.csv", 'a,b\n1,"2"\n3,"cut off', r"a\.csv:3: not a line of CSV .*unexpected end of data"),
        ("a.tsv", 'a\tb\n1\t"an inch: 1"\n2\t"3"" and\n4\t5\n', r"a\.tsv:3: not a line of CSV"),  # no row of three
        ("a.jsonl", '{"a": 1}\n{"a": 1, "b": 2, "a": 3}', r"a\.jsonl, line 2: .* \(found 'a' twice\)"),
        ("a.json", '[{"a": {"b": 2, "b": 3}}]', r"a\.json: .* \(found 'b' twice\)"),
        ("a.parquet", "nonsense", "not a Parquet file"),
        ("a.txt", "hello", r"expected a file ending in \.jsonl"),
    ],
)
def test_bad_files_name_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / name)


def test_tables_with_two_columns_of_one_name_are_refused(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pa.table([[1], [2]], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    for data in (tmp_path / "a.parquet", table, pandas.DataFrame([[1, 2]], columns=["a", "a"])):
        with pytest.raises(InputError, match="expected columns of distinct names, found 'a' twice"):
            list(iter_data(data))


def test_chats_that_a_csv_holds_are_chats_again(tmp_path):
    rows = [{"prompt": [{"role": "user", "content": "2+2?"}], "answer": "4"}, {"prompt": '["2+2?"]', "answer": "4"}]
    write_rows(rows, tmp_path / "a.csv")
    (chat, text) = read_problems(read_rows(tmp_path / "a.csv"))
    assert (chat.prompt, chat.id) == (rows[0]["prompt"], read_problems(rows)[0].id)
    assert text.prompt == '["2+2?"]'


def test_lists_that_a_csv_of_pandas_holds_are_lists_again(tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = [{"prompt": [{"role": "user", "content": "2+2 isn't?"}], "info": {"gold": "4", "style": None}}]
    pandas.DataFrame(rows).to_csv(tmp_path / "a.csv")
    (problem,) = read_problems(read_rows(tmp_path / "a.csv"), answer_column="info.gold")
    assert (problem.prompt, problem.answer) == (rows[0]["prompt"], "4")
    indented = [{"prompt": json.dumps(rows[0]["prompt"], indent=2), "answer": "4"}]
    assert read_problems(indented)[0].prompt == rows[0]["prompt"]
    for text in ("[{'role': broken", '[{"role": 1}] is no chat', '[{"a": 1}]'):
        assert read_problems([{"prompt": text, "answer": "4"}])[0].prompt == text


def test_lists_within_lists_of_a_frame_are_lists(tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = [{"chats": [[{"role": "user", "content": "q"}]], "gold": {"all": ["4", "four"]}, "rates": [0.5, 1.0]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(iter_data(pandas.read_parquet(tmp_path / "a.parquet"))) == rows
    assert list(iter_data([{"chats": ({"role": "user"},), "rates": (1, 0)}])) == [
        {"chats": [{"role": "user"}], "rates": [1, 0]}
    ]
    (row,) = iter_data([{"rates": (pandas.Series([0.5], dtype="float32")[0], 1)}])
    assert [type(rate) for rate in row["rates"]] == [float, int]
    picture = pandas.Series([1, 2]).to_numpy()
    (row,) = iter_data([{"prompt": [{"role": "user", "content": [{"type": "image", "image": picture}]}]}])
    assert row["prompt"][0]["content"][0]["image"] is picture  # whose content makes the prompt's id


def test_a_saved_data_set_without_train_names_what_it_has(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(InputError, match="no split 'train' but test: name that one's folder"):
        read_rows(tmp_path / "data")
    assert len(read_rows(tmp_path / "data" / "test")) == 2


def test_missing_file():
    with pytest.raises(InputError, match="no such file"):
        read_rows("nowhere/a.jsonl")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.parquet"
    write_rows(ROWS, path)
    with pytest.raises(InputError, match="do not fit one Parquet schema: row 1, column 'a': expected int64"):
        write_rows([{"a": 1}, {"a": "one"}], path)
    with pytest.raises(InputError, match=r"row 1, column 'a': .*; write \.jsonl instead"):
        write_rows([{"a": 1}, {"a": object()}], path)
    assert read_rows(path) == ROWS
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "folder"])
def test_an_error_in_the_block_writes_nothing(tmp_path, name):
    def rows():
        yield from ROWS * BATCH
        raise KeyError

    with pytest.raises(KeyError):
        write_rows(rows(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="got a folder of other things"):
        write_rows(ROWS, tmp_path / "run")
    write_rows(ROWS, tmp_path / "data")
    write_rows(ROWS[:1], tmp_path / "data")  # an older data set is
    assert read_rows(tmp_path / "data") == ROWS[:1]
    assert (tmp_path / "run" / "notes.txt").exists()


LATE = [{"n": None, "f": 1, "chat": []}] * BATCH + [
    {"n": {"a": 1}, "f": 0.5, "chat": [{"role": "user"}], "new": "x"},
    {"n": {"a": 1.5, "b": "y"}, "f": None, "chat": [{"role": "user", "content": "2+2?"}]},
]


@pytest.mark.parametrize("name", ["a.parquet", "folder"])
def test_the_schema_fits_the_last_row_too(tmp_path, name):
    write_rows(LATE, tmp_path / name)
    rows = read_rows(tmp_path / name)
    assert len(rows) == len(LATE)
    assert rows[0] == {"n": None, "f": 1.0, "chat": [], "new": None}
    assert rows[-2]["n"] == {"a": 1.0, "b": None}
    assert rows[-1] == {
        "n": {"a": 1.5, "b": "y"},
        "f": None,
        "chat": [{"role": "user", "content": "2+2?"}],
        "new": None,
    }


def test_a_conflict_in_a_later_batch_names_its_row(tmp_path):
    with pytest.raises(InputError, match=rf"row {BATCH}, column 'f': expected int64 as in the rows before, got 'one'"):
        write_rows([{"f": 1}] * BATCH + [{"f": "one"}], tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"column 'f'.*write \.jsonl"):
        write_rows([{"f": 2**60 + 1}] * BATCH + [{"f": 0.5}], tmp_path / "a.parquet")  # would lose digits
    with pytest.raises(InputError, match=r"row 1 has columns that row 0 lacks: b"):
        write_rows([{"a": 1}, {"a": 1, "b": 2}], tmp_path / "a.csv")


def test_types_of_a_source_stay(tmp_path):
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)
    table = pa.table(
        {
            "id": pa.array([2**62, None], pa.uint64()),
            "when": pa.array([moment, None], pa.timestamp("ms")),
            "score": pa.array([0.5, None], pa.float32()),
            "prompt": pa.array([[{"role": "user", "content": "2+2?"}], []]),
            "none": pa.array([None, None], pa.string()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    schema = read_schema(tmp_path / "a.parquet")
    with RowWriter(tmp_path / "b.parquet", {field.name: field.type for field in schema}) as writer:
        for row in iter_rows(tmp_path / "a.parquet"):
            writer.write(row)
    assert pq.read_table(tmp_path / "b.parquet").equals(table)
    assert read_schema(tmp_path / "missing.jsonl") is None


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "folder"])
def test_no_rows_are_a_table_too(tmp_path, name):
    with RowWriter(tmp_path / name, {"a": pa.int64()}):
        pass
    assert (tmp_path / name).exists()
    with pytest.raises(InputError, match="the data set is empty"):
        read_rows(tmp_path / name)


VALUES = st.none() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1), min_size=1, max_size=20))
def test_parquet_holds_any_numbers_and_gaps(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    write_rows(rows, path)
    names = {name for row in rows for name in row}
    assert read_rows(path) == [{name: row.get(name) for name in names} for row in rows]


def test_rows_stream(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' * 3 + "nonsense")
    rows = iter_rows(tmp_path / "a.jsonl")
    assert [next(rows) for _ in range(3)] == [{"a": 1}] * 3
    with pytest.raises(InputError, match=r"a\.jsonl, line 4"):
        next(rows)
    endless = iter_problems({"prompt": f"{i}?", "answer": i} for i in iter(int, 1))
    assert next(endless).answer == 0


def test_text_that_is_not_plain(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + '{"a": "é"}\r\n'.encode())
    assert read_rows(tmp_path / "a.jsonl") == [{"a": "é"}]
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xe9"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl, line 2: expected one JSON object, got .*utf-8"):
        read_rows(tmp_path / "a.jsonl")
    write_rows([{"a": "half \ud83d", "b": "é"}], tmp_path / "b.jsonl")
    assert read_rows(tmp_path / "b.jsonl") == [{"a": "half \ud83d", "b": "é"}]
    write_rows([{"a": "x" * 200_000, "b": [1, {"c": None}]}], tmp_path / "b.csv")
    assert read_rows(tmp_path / "b.csv") == [{"a": "x" * 200_000, "b": '[1, {"c": null}]'}]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("a", 1),
        ("a.b", 2),  # a column of that very name goes first
        ("s.x.y", 3),
        ("s.x.z", None),
        ("s.k.1.5B", 4),
        ("list.0.content", 5),
        ("text.gold", 6),
        ("bad.gold", None),
    ],
)
def test_nested_columns(column, value):
    row = {"a": 1, "a.b": 2, "s": {"x.y": 3, "x": {"q": 0}, "k": {"1.5B": 4}}, "list": [{"content": 5}]}
    assert pick(row | {"text": '{"gold": 6}', "bad": "{"}, column) == value


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
        ([{"question": "2+2?", "answer": "4"}], "column 'prompt' is missing: is it 'question'"),
        ([{"prompt": "2+2?", "solution": "4"}], "column 'answer' is missing: is it 'solution'"),
        ([{"prompt": "2+2?", "answer": "4"}, {"prompt": " ", "answer": "4"}], "row 1: 'prompt' must be text or chat"),
        ([{"prompt": ["2+2?"], "answer": "4"}], "row 0: 'prompt' must be text or chat"),
    ],
)
def test_bad_rows_are_named(rows, message):
    with pytest.raises(InputError, match=message):
        read_problems(rows)


def test_any_text_has_an_id():
    assert len(make_prompt_id("half an emoji \ud83d", "é")) == 16


def test_other_columns_can_be_chosen():
    assert read_problems([{"q": "2+2?", "a": 4}], "q", "a")[0].answer == 4


def test_errors_of_problems_name_the_file_that_they_come_from(tmp_path):
    path = tmp_path / "a.jsonl"
    write_rows([{"prompt": "q", "answer": 1}, {"prompt": None, "answer": 1}], path)
    with pytest.raises(InputError, match=r"a\.jsonl: row 1: 'prompt' must be text"):
        read_problems(iter_rows(path), source=path)
    with pytest.raises(InputError, match=r"a\.jsonl: column 'p' is missing: is it 'prompt'"):
        read_problems(iter_rows(path), "p", source=path)
    with pytest.raises(InputError, match=r"^row 1: 'prompt' must be text"):
        read_problems(iter_rows(path))


@pytest.mark.parametrize(
    ("data", "said"), [(5, "got int"), (None, "got NoneType"), ({"prompt": ["q"]}, "dict of 'prompt'")]
)
def test_what_holds_no_rows_is_refused(data, said):
    with pytest.raises(InputError, match=f"expected a path, a frame, a data set or rows as dicts, .*{said}"):
        list(iter_data(data))
