"""A part of the reliability campaign, small enough for every run of the tests: see benchmarks/reliability."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(out, *options):
    command = [sys.executable, "-m", "benchmarks.reliability.run", "--out", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()], done.stdout


def test_interrupted_commands_lose_and_double_nothing(tmp_path):
    rows, table = run(tmp_path, "--only", "kills", "--kills", "4", "--seed", "5")
    assert [(row["job"], row["kind"], row["wrong"]) for row in rows if row["wrong"]] == []
    hits = sum(row["hit"] for row in rows)
    assert hits >= 4
    assert f"{hits} interruptions" in table
    assert run(tmp_path, "--only", "kills", "--kills", "4", "--seed", "5")[0] == rows  # it goes on where it was


def test_malformed_inputs_end_in_words(tmp_path):
    rows, _ = run(tmp_path, "--only", "malformed", "--rows", "60", "--seed", "13")
    assert {row["number"] for row in rows} == set(range(60))
    assert [(row["number"], row["command"], row["wrong"]) for row in rows if row["wrong"]] == []
    statuses = {row["status"] for row in rows}
    assert statuses <= {0, 1, 2}
    assert {0, 2} <= statuses  # some are read all the same, some are refused
