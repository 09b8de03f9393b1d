"""Names that are no file: mistyped paths, and what the hub says."""

from __future__ import annotations

import pytest

from rlguard.tables.hub import check_hub_name
from rlguard.tables.read import iter_rows
from rlguard.types import InputError


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The names that the hub was asked for; it knows one."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    names = []

    def repo_info(self, name, repo_type, timeout):
        names.append((name, repo_type))
        if name != "org/known":
            raise OSError("404: no such repository\nmore of it")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", repo_info)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return names


@pytest.mark.parametrize("name", ["./problems", "a/b/c", "/no/such", "~/x", "data/", "../x"])
def test_what_looks_like_a_path_is_not_asked_for(asked, name):
    with pytest.raises(InputError, match=r"no such file or folder$"):
        check_hub_name(name, "dataset")
    assert asked == []


def test_a_near_file_is_named(asked, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "problems").mkdir()
    with pytest.raises(
        InputError, match=r"data/problms: no such file or folder; is it data/problems\?, and the hub knows"
    ):
        next(iter_rows("data/problms"))
    assert asked == [("data/problms", "dataset")]


def test_the_hub_is_asked_once(asked, tmp_path):
    check_hub_name("org/known", "model")
    (tmp_path / "cache" / "models--org--kept").mkdir(parents=True)
    check_hub_name("org/kept", "model")
    check_hub_name(str(tmp_path), "model")
    with pytest.raises(InputError, match=r"the hub knows no such model \(404: no such repository\)$"):
        check_hub_name("org/unknown", "model")
    assert asked == [("org/known", "model"), ("org/unknown", "model")]
