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


AS_IT_IS = """
import json, pathlib, random, sys
import benchmarks.reliability.malformed as part
part.change_value, part.damage = lambda rows, draw: None, lambda content, draw: content
pathlib.Path.unlink = lambda *_, **__: None
kinds = {n: random.Random(f"0 {n}").choices(list(part.SHARES), list(part.SHARES.values()))[0] for n in range(400)}
first = [n for n, kind in kinds.items() if n in [m for m, other in kinds.items() if other == kind][:3]]
rows = []
part.read_many(first, 0, pathlib.Path(sys.argv[1]), rows.extend)
print(json.dumps(rows))
"""


def test_every_command_reads_what_nothing_was_done_to(tmp_path):
    """Else every malformed one would be refused for the same reason, and find nothing."""
    command = [sys.executable, "-c", AS_IT_IS, str(tmp_path / "here")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    rows = json.loads(done.stdout.splitlines()[-1])
    read = {(row["kind"], row["command"]) for row in rows if row["status"] in (0, 1)}
    assert read == {(row["kind"], row["command"]) for row in rows}
