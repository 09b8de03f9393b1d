"""Readers of labelled completions, on made-up rows in the layouts that are published."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from benchmarks.detectors.labelled import read_corpus, read_flawed_positives, read_process_bench
from rlguard.types import InputError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "labelled"


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def wrong_step(row):
    return row["completion"][slice(*row["span"])]


def test_process_bench_gives_outcome_label_and_the_first_wrong_step():
    fine, flawed, wrong = read_process_bench(FIXTURES / "process_bench.json")
    assert (fine["id"], fine["family"], fine["kinds"], fine["outcome"], fine["span"]) == (
        "gsm8k-0",
        "gsm8k",
        [],
        1,
        None,
    )
    assert fine["completion"].split("\n\n")[2] == "The answer is \\boxed{5}."
    assert (flawed["kinds"], flawed["outcome"], wrong_step(flawed)) == (["flawed"], 1.0, "The pens cost 6 * 5 = 35.")
    assert (wrong["family"], wrong["outcome"], wrong["source"]) == ("math", 0.0, "ProcessBench Llama-3-8B-Instruct")


def test_flawed_positives_are_read_from_the_critics_prompt():
    fine, flawed, wrong = read_flawed_positives(FIXTURES / "fapo_critic.jsonl")
    assert fine["prompt"].startswith("A bag holds 5 red")
    assert (fine["gold"], fine["kinds"], fine["outcome"]) == ("9", [], 1.0)
    assert (flawed["kinds"], wrong_step(flawed)) == (["flawed"], "The bag holds 5 + 6 = 12 balls.")
    assert (wrong["id"], wrong["family"], wrong["outcome"]) == ("gsm8k-7", "FPBench_PRM/gsm8k", 0.0)


def test_a_later_step_has_its_own_span(tmp_path):
    row = {"id": "math-1", "problem": "?", "steps": ["a", "", "bad"], "final_answer_correct": True, "label": 2}
    (read,) = read_process_bench(write(tmp_path / "p.jsonl", row))
    assert (read["completion"], wrong_step(read)) == ("a\n\n\n\nbad", "bad")


def test_steps_of_the_test_part_may_stand_in_raw_info(tmp_path):
    raw = {"problem": "2+2?", "steps": ["4", "5"], "label": 1, "final_answer_correct": True}
    (row,) = read_flawed_positives(write(tmp_path / "f.jsonl", {"data_source": "x", "extra_info": {"raw_info": raw}}))
    assert (row["prompt"], wrong_step(row), row["gold"]) == ("2+2?", "5", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 3}, "row 0: expected the first wrong step, from 0 to 1, or -1 for none, got 3"),
        ({"label": None}, "got None"),
        ({"label": True}, "got True"),
        ({"final_answer_correct": "perhaps"}, "'final_answer_correct' must be true or false, got 'perhaps'"),
        ({"steps": []}, "'steps' must be a list of texts"),
        ({"steps": "no list"}, "'steps' must be a list of texts"),
        ({"problem": 7}, "'problem' must be str, got 7"),
        ({"id": ...}, "column 'id' is missing; there are: 'problem'"),
    ],
)
def test_errors_name_the_row_what_was_expected_and_what_came(tmp_path, change, message):
    row = {"id": "a-1", "problem": "?", "steps": ["a", "b"], "final_answer_correct": True, "label": -1} | change
    path = write(tmp_path / "p.jsonl", {key: value for key, value in row.items() if value is not ...})
    with pytest.raises(InputError, match=message):
        list(read_process_bench(path))


@pytest.mark.parametrize(
    ("prompt", "total", "message"),
    [
        ([{"role": "user", "content": "hello"}], 1, r"row 0: 'prompt' must hold \[Math Problem\].*hello"),
        ("[Math Problem] q [AI Solution] <paragraph_1>\na\n</paragraph_1>", 1, "'prompt' must hold"),
        ("[Math Problem] q [AI Solution] <paragraph_0>\na\n</paragraph_0>", 2, "expected 2 paragraphs.*found 1"),
    ],
)
def test_a_prompt_that_is_no_critics_prompt_is_named(tmp_path, prompt, total, message):
    row = {"prompt": prompt, "reward_model": {"ground_truth": -1}, "extra_info": {"total_steps": total}}
    with pytest.raises(InputError, match=message):
        list(read_flawed_positives(write(tmp_path / "f.jsonl", row)))


def test_the_corpus_is_read_plain_and_gzipped(tmp_path):
    rows = read_corpus(FIXTURES / "corpus.jsonl")
    packed = tmp_path / "corpus.jsonl.gz"
    packed.write_bytes(gzip.compress((FIXTURES / "corpus.jsonl").read_bytes()))
    assert read_corpus(packed) == rows
    assert len(rows) == 12
    assert rows[0]["span"] is None


def test_an_unknown_outcome_is_nan_and_a_broken_row_is_named(tmp_path):
    row = {"id": "1", "family": "f", "split": "tune", "prompt": "?", "completion": "4", "kinds": []}
    assert math.isnan(read_corpus(write(tmp_path / "a.jsonl", row))[0]["outcome"])
    with pytest.raises(InputError, match=r"b.jsonl:2: 'split' must be 'tune' or 'report', got 'test'"):
        read_corpus(write(tmp_path / "b.jsonl", row, row | {"split": "test"}))
    with pytest.raises(InputError, match=r"c.jsonl: the data set is empty"):
        read_corpus(write(tmp_path / "c.jsonl"))
