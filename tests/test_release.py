"""What is released: a wheel that works outside the checkout, with a version that stands in one place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import rlguard
from rlguard.tables.read import read_rows
from rlguard.tables.write import write_rows

ROOT = Path(__file__).parents[1]
pytest.importorskip("build")


def run(command, folder, **environment):
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist, built from what would be committed; nothing is fetched."""
    folder = tmp_path_factory.mktemp("build")
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).split("\n")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith(("benchmarks/", "tests/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run([sys.executable, "-m", "build", "--no-isolation", "."], folder)  # the wheel is made from the sdist
    return next((folder / "dist").glob("*.whl")), next((folder / "dist").glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A folder with the wheel in it, to be put before all others."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    run([*pip, folder, built[0]], folder)
    return folder


def test_the_wheel_has_every_file_of_the_package(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "rlguard"], ROOT).split()
    assert {name for name in listed if (ROOT / name).is_file()} - names == set()
    assert "rlguard/py.typed" in names
    assert all(name.startswith(("rlguard/", f"rlguard-{rlguard.__version__}.dist-info/")) for name in names)
    assert f"rlguard-{rlguard.__version__}.dist-info/licenses/LICENSE" in names


def test_the_sdist_has_what_a_release_is_read_with(built):
    with tarfile.open(built[1]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "rlguard/py.typed"} <= names


def test_the_wheel_works_in_another_folder(installed, tmp_path):
    path = {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    where = "import rlguard; print(rlguard.__file__, rlguard.__version__); rlguard.Guard"
    said = run([sys.executable, "-c", where], tmp_path, **path)
    assert said.split() == [str(installed / "rlguard" / "__init__.py"), rlguard.__version__]

    script = installed / "bin" / "rlguard"
    assert "estimate" in run([script, "--help"], tmp_path, **path)
    rows = [{"prompt": f"{a}+{a}=?", "answer": str(2 * a), "rate": a / 10} for a in range(11)]
    write_rows(rows, tmp_path / "data.jsonl")
    rate = ["--rate-column", "rate", "--scale", "pass_rate", "--trials", "10"]
    run([script, "filter", "data.jsonl", *rate, "--out", "kept.jsonl"], tmp_path, **path)
    assert 0 < len(read_rows(tmp_path / "kept.jsonl")) < len(rows)
    assert "rlguard" in (tmp_path / "kept.card.md").read_text()
    run([script, "report", ".", "--out", "report.html"], tmp_path, **path)
    assert "</html>" in (tmp_path / "report.html").read_text()


def test_entry_points(installed, tmp_path):
    code = (
        "from importlib.metadata import distribution as d;"
        "print(sorted((e.group, e.value, e.load().__name__) for e in d('rlguard').entry_points))"
    )
    pytest.importorskip("verl")
    said = run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(installed))
    points = [("console_scripts", "rlguard.cli:main", "main")]
    points += [("verl.plugins", "rlguard.integrations.verl", "rlguard.integrations.verl")]
    assert said.splitlines()[-1] == str(points)


def test_the_version_is_semantic_and_the_same_everywhere():
    assert re.fullmatch(r"\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?", rlguard.__version__)
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest[1] == citation["version"] == rlguard.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
