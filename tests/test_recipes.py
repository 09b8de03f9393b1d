"""Recipes that the demo is made of."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import TINY

from rlguard.data import read_problems, read_rows
from rlguard.verifiers import Auto, check_gold

RECIPES = TINY.parents[1]


def test_problems_are_distinct_seeded_and_verifiable(tmp_path):
    pytest.importorskip("reasoning_gym")
    for name in ("a.jsonl", "b.jsonl"):
        subprocess.run([sys.executable, str(RECIPES / "make_problems.py"), str(tmp_path / name)], check=True)
    rows = read_rows(tmp_path / "a.jsonl")
    assert rows == read_rows(tmp_path / "b.jsonl")
    problems = read_problems(rows)
    assert len({problem.id for problem in problems}) == len(problems) >= 48
    assert len({row["task"] for row in rows}) > 10
    assert check_gold(problems, Auto()) == []


def test_every_recipe_has_help():
    for name in ("make_problems.py", "export_smollm2.py", "train_guarded.py", "demo.py"):
        done = subprocess.run([sys.executable, str(RECIPES / name), "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "python recipes/" in done.stdout
