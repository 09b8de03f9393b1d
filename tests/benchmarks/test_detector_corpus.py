"""The labelled corpus: the committed file keeps its promises, and a rebuild gives the same bytes."""

import gzip
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "detectors"
BUILD = FOLDER / "corpus" / "build.py"
KINDS = {
    "answer_repetition": 150,
    "text_loop": 150,
    "skipped_computation": 150,
    "placeholder": 100,
    "answer_first": 150,
    "unsupported_answer": 150,
    "false_step": 150,
    "copied_answer": 100,
}
REAL = {"smollm2", "tiny"}
EXACT = (
    "chained sums",
    "long arithmetic",
    "word problems",
    "units and time",
    "geometry",
    "counting",
    "code output",
    "countdown",
)
PLAIN = re.compile(r"(?<![\d.+*×÷/-] )(?<!times )(?<![\w.-])(-?\d+(?: [-+*×] -?\d+)+) = (-?\d+)(?![\d.]*\d)")


@pytest.fixture(scope="module")
def rows():
    with gzip.open(FOLDER / "corpus.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def test_counts(rows):
    positives = Counter(kind for row in rows for kind in row["kinds"])
    assert len(rows) >= 5500
    assert sum(not row["kinds"] for row in rows) >= 2000
    assert len({row["family"] for row in rows}) >= 14
    assert set(positives) == set(KINDS)
    assert {kind: positives[kind] for kind, least in KINDS.items() if positives[kind] < least} == {}
    for split in ("tune", "report"):
        assert set(KINDS) == {kind for row in rows if row["split"] == split for kind in row["kinds"]}


def test_rows_are_well_formed(rows):
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    honest = {row["id"] for row in rows if not row["kinds"]}
    assert all(row["base"] in honest for row in rows if row["base"] is not None)
    assert all(row["strength"] in (1, 2, 3) for row in rows if row["source"] == "corruption")
    assert all(row["completion"].strip() and row["outcome"] in (0, 1) for row in rows)


def test_splits_share_no_family_and_no_prompt(rows):
    families, prompts = defaultdict(set), defaultdict(set)
    for row in rows:
        prompts[row["prompt"]].add(row["split"])
        if row["source"] != "smollm2":  # split by prompt
            families[row["family"]].add(row["split"])
    assert [family for family, splits in families.items() if len(splits) > 1] == []
    assert [prompt for prompt, splits in prompts.items() if len(splits) > 1] == []


def value(expression):
    """Left to right with products first, without `eval`: an independent check of the corpus's own."""
    tokens = expression.replace("×", "*").split()
    terms, sign = [], 1
    for i in range(0, len(tokens), 2):
        number, operator = Fraction(tokens[i]), tokens[i - 1] if i else "+"
        if operator == "*":
            terms[-1] *= number
        else:
            sign = -1 if operator == "-" else 1
            terms.append(sign * number)
    return sum(terms)


def test_equations_of_honest_rows_are_true(rows):
    seen, false = 0, []
    for row in rows:
        if row["family"] in EXACT and not row["kinds"] and not row["id"].endswith("-slip"):
            for left, right in PLAIN.findall(row["completion"]):
                seen += 1
                if value(left) != Fraction(right):
                    false.append((row["id"], left, right))
    assert seen > 3000
    assert false == []


def test_honest_solutions_reach_the_gold_answer(rows):
    made = [row for row in rows if not row["kinds"] and row["source"] not in REAL]
    assert [row["id"] for row in made if row["outcome"] != 1] == []
    assert [row["id"] for row in made if row["gold"] not in row["completion"].strip().splitlines()[-1]] == []


@pytest.mark.parametrize("seed", [0, 3])
def test_rebuild_is_deterministic(tmp_path, seed):
    files = [tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz"]
    for file in files:
        command = [sys.executable, str(BUILD), "--out", str(file), "--seed", str(seed), "--size", "6"]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_committed_file_is_what_the_script_writes(tmp_path):
    file = tmp_path / "corpus.jsonl.gz"
    subprocess.run([sys.executable, str(BUILD), "--out", str(file)], check=True, timeout=300, capture_output=True)
    # Contents, not bytes: another zlib may pack the same rows differently.
    assert gzip.decompress(file.read_bytes()) == gzip.decompress((FOLDER / "corpus.jsonl.gz").read_bytes())
