from __future__ import annotations

import os
import stat

import pytest

from rlguard.tables.files import cut_tail, iter_json_lines, read_object, replace_file, replacing
from rlguard.tables.read import iter_rows
from rlguard.tables.write import write_rows
from rlguard.types import InputError


def test_a_replaced_file_is_whole_keeps_its_mode_and_leaves_nothing(tmp_path):
    path = tmp_path / "deep" / "a.json"
    assert replace_file(path, "é \ud800") == 4  # half a surrogate pair becomes a question mark
    path.chmod(0o640)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == ["a.json"]


def test_a_new_file_has_the_mode_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    replace_file(tmp_path / "a", "")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    replace_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_fails_leaves_the_old_and_nothing_else(tmp_path, folder):
    def write(path, text):
        if folder:
            path.mkdir()
            path = path / "inner"
        path.write_text(text)

    with replacing(tmp_path / "a") as partial:
        write(partial, "old")

    def fail():
        with replacing(tmp_path / "a") as partial:
            write(partial, "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path) == ["a"]
    where = tmp_path / "a" / "inner" if folder else tmp_path / "a"
    assert where.read_text() == "old"
    with replacing(tmp_path / "a") as partial:
        write(partial, "new")
    assert where.read_text() == "new"
    assert os.listdir(tmp_path) == ["a"]


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.json", tmp_path / "file" / "deep" / "a.json"):
        with pytest.raises(InputError, match=r"a\.json: expected a path that can be written"):
            replace_file(path, "x")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "b"):  # another file's fault
        open("/nowhere/at/all")  # noqa: SIM115


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_table_that_is_replaced_keeps_its_mode(tmp_path, name):
    write_rows([{"a": 1}], tmp_path / name)
    (tmp_path / name).chmod(0o604)
    write_rows([{"a": 2}], tmp_path / name)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o604
    assert os.listdir(tmp_path) == [name]


def test_a_torn_last_line_is_left_out_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": "x\xe2\x80\xa8y"}\n\n{"a": 2}')
    assert list(iter_json_lines(path)) == [(1, {"a": "x\u2028y"}), (3, {"a": 2})]  # whole without its newline
    path.write_bytes(b'{"a": 1}\n{"a": ')
    torn: list[int] = []
    assert list(iter_json_lines(path, torn)) == [(1, {"a": 1})]
    assert torn == [2]
    with pytest.raises(InputError, match=r"a\.jsonl, line 2: expected one JSON object, got '{\"a\":'"):
        list(iter_json_lines(path))
    path.write_bytes('{"a": 1}\n{"a": "é'.encode()[:-1])  # in the middle of a character
    assert list(iter_json_lines(path, torn)) == [(1, {"a": 1})]
    path.write_bytes('{"a": "é"}'.encode("latin-1"))  # whole, in another encoding
    with pytest.raises(InputError, match="line 1"):
        list(iter_json_lines(path, torn))
    path.write_bytes(b'{"a": ')
    with pytest.raises(InputError, match=r"its only line \(1\) is half-written"):
        list(iter_rows(path, torn=[]))
    path.write_bytes(b'{"a": \n{"a": 1}\n')  # torn, but not the last
    with pytest.raises(InputError, match="line 1: expected one JSON object"):
        list(iter_json_lines(path, torn))


@pytest.mark.parametrize("line", [b"[1]", b"\xff", b"[" * 100_000, b'{"n": ' + b"1" * 5000 + b"}"])
def test_no_line_ends_in_a_traceback(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(line + b"\n")
    with pytest.raises(InputError, match="line 1: expected one JSON object, got"):
        list(iter_json_lines(tmp_path / "a.jsonl"))


def test_an_object_is_read_or_named(tmp_path):
    replace_file(tmp_path / "a.json", '{"a": 1}')
    assert read_object(tmp_path / "a.json") == {"a": 1}
    for text in ("[1]", "{", "\\"):
        replace_file(tmp_path / "a.json", text)
        with pytest.raises(InputError, match=r"a\.json: expected a JSON object"):
            read_object(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"b\.json: expected a JSON object .*No such file"):
        read_object(tmp_path / "b.json")


def test_a_tail_is_cut_at_the_last_newline(tmp_path):
    path = tmp_path / "a.jsonl"
    assert not cut_tail(path)
    path.write_text("one\n" + "x" * 200_000)
    assert cut_tail(path)
    assert path.read_text() == "one\n"
    assert not cut_tail(path)
