from __future__ import annotations

import json
import math

import pytest
from conftest import FakeEngine

from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.shortcuts.groups import read_rows
from rlguard.shortcuts.scan import scan_rollouts
from rlguard.tables.write import write_rows
from rlguard.types import InputError

BARE, COMPUTED = "answer 0", "7+8=5;5+5=0;answer 0"
PROMPT = "7+8+5 mod 10=?"


def test_a_store_is_scanned_with_its_prompts(tmp_path):
    engine = FakeEngine(lambda prompt, index: BARE if index % 2 else COMPUTED)
    estimate_pass_rates([{"prompt": PROMPT, "answer": "0"}], out=tmp_path, engine=engine, verifier="exact", n=6)
    result = scan_rollouts(tmp_path)
    assert (result.schema, result.rollouts, result.flagged) == ("rlguard store", 6, 3)
    assert result.kinds == {"skipped_computation": 3}
    assert [finding.index for finding, _ in result.findings] == [1, 3, 5]
    record = result.records()[0]
    assert record["prompt"] == PROMPT
    assert record["outcome"] == 1.0
    assert json.dumps(record)


def test_trl_completions_folder(tmp_path):
    for step in (1, 2):
        rows = [{"step": step, "prompt": PROMPT, "completion": c, "advantage": 0.1} for c in (BARE, COMPUTED)]
        write_rows(rows, tmp_path / "completions" / f"completions_{step:05d}.parquet")
    result = scan_rollouts(tmp_path)
    assert (result.schema, result.rollouts, result.flagged) == ("TRL completions", 4, 2)
    assert [finding.step for finding, _ in result.findings] == [1, 2]
    assert scan_rollouts(tmp_path / "completions" / "completions_00001.parquet").schema == "TRL completions"


def test_chat_completions_in_a_table(tmp_path):
    chat = {"prompt": [{"role": "user", "content": PROMPT}], "completion": [{"role": "assistant", "content": BARE}]}
    write_rows([chat], tmp_path / "a.jsonl")
    assert scan_rollouts(tmp_path / "a.jsonl").kinds == {"skipped_computation": 1}


def test_without_prompts_it_says_what_was_skipped(tmp_path):
    write_rows([{"output": BARE}], tmp_path / "a.jsonl")
    result = scan_rollouts(tmp_path / "a.jsonl")
    assert result.findings == []
    assert "SKIPPED for 1 of 1 rollouts: their prompt is missing" in result.skipped["skipped_computation"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "x"}], "no column of completions; expected one of completion, .* the table has text"),
        ([{"completion": "x"}, {"completion": None}], "row 1: expected a completion as text or chat, got None"),
    ],
)
def test_unknown_tables_are_named(tmp_path, rows, message):
    write_rows(rows, tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=message):
        scan_rollouts(tmp_path / "a.jsonl")


def test_a_folder_of_nothing(tmp_path):
    with pytest.raises(InputError, match="expected a rollout store"):
        scan_rollouts(tmp_path)


def test_batches_and_lengths_are_searched_too(tmp_path):
    """One answer for every prompt, and completions a tenth as long as before; what cannot be judged is said."""
    honest = "First I add the numbers with care, 1 + {i} = {j}, and then I check it once more. The answer is {j}."
    rows = [{"prompt": f"1 + {i} + 0 = ?", "answer": str(i + 1)} for i in range(20) for _ in range(4)]
    before = [row | {"completion": honest.format(i=int(row["answer"]) - 1, j=row["answer"])} for row in rows]
    after = [row | {"completion": "The answer is 5."} for row in rows]
    write_rows(before, tmp_path / "before.jsonl")
    write_rows(after, tmp_path / "after.jsonl")
    found = scan_rollouts(tmp_path / "after.jsonl", tmp_path / "before.jsonl")
    assert found.kinds["same_answer"] > 40
    assert found.kinds["length_collapse"] > 40
    assert "length_collapse" not in scan_rollouts(tmp_path / "before.jsonl", tmp_path / "before.jsonl").kinds
    alone = scan_rollouts(tmp_path / "after.jsonl")
    assert alone.skipped["length_collapse"] == "SKIPPED: needs a reference run (--reference)"


def test_rollouts_that_do_not_say_whose_they_are_are_compared_with_nobody(tmp_path):
    write_rows([{"completion": f"a long story, number {i}, answer 4"} for i in range(20)], tmp_path / "before.jsonl")
    write_rows([{"completion": "4"}] * 20, tmp_path / "after.jsonl")
    found = scan_rollouts(tmp_path / "after.jsonl", tmp_path / "before.jsonl")
    assert "length_collapse" not in found.kinds
    assert found.skipped["length_collapse"] == "SKIPPED: the rollouts do not say which prompt is theirs"


def test_what_one_batch_allows_is_not_called_skipped(tmp_path):
    rows = [{"prompt": f"{i}+1+1=?", "answer": str(i), "completion": f"answer {i}", "step": 1} for i in range(4)]
    lone = {"prompt": "9+1+1=?", "answer": "11", "completion": "answer 11", "step": 2}
    write_rows([*rows, *rows, lone], tmp_path / "table.jsonl")
    assert "lucky_guess" not in scan_rollouts(tmp_path / "table.jsonl").skipped
    write_rows([lone], tmp_path / "lone.jsonl")
    assert "lucky_guess" in scan_rollouts(tmp_path / "lone.jsonl").skipped


def test_a_prompt_that_the_reference_lacks_is_compared_with_its_band(tmp_path):
    """Hard prompts took a thousand characters before, easy ones ten; a new prompt is hard, by the run's own rates."""

    def before(prompt, index):
        hard = prompt.startswith("hard")
        return f"{'word ' * (150 + 20 * index if hard else index)}answer {0 if hard else 1}"

    rows = [{"prompt": f"{kind} {i}?", "answer": "1"} for kind in ("hard", "easy") for i in range(12)]
    estimate_pass_rates(rows, out=tmp_path / "before", engine=FakeEngine(before), verifier="exact", n=8)
    new = [{"prompt": "new?", "answer": "1"}]
    for name, said in (("hard", "0"), ("easy", "1")):
        engine = FakeEngine(lambda prompt, index, said=said: f"word word answer {said}")
        estimate_pass_rates(new, out=tmp_path / name, engine=engine, verifier="exact", n=8)
    assert scan_rollouts(tmp_path / "hard", tmp_path / "before").kinds["length_collapse"] == 8
    assert "length_collapse" not in scan_rollouts(tmp_path / "easy", tmp_path / "before").kinds


@pytest.mark.parametrize("gold", [None, math.nan, "", [], {"value": 4}])
def test_a_rollout_without_a_gold_answer_costs_no_other_one(gold):
    rows = [{"prompt": f"{n}+1?", "completion": "The answer is 4.", "answer": str(n + 1)} for n in range(8)]
    more = scan_rollouts([*rows, {"prompt": "9+9?", "completion": "The answer is 4.", "answer": gold}])
    flagged = {rollout.prompt for _, rollout in more.findings} - {"9+9?"}
    assert flagged == {rollout.prompt for _, rollout in scan_rollouts(rows).findings}


@pytest.mark.parametrize("gold", [None, math.nan, "", [], {"value": 4}])
def test_what_is_no_gold_answer_makes_no_rollout_wrong(gold):
    [row] = read_rows(["The answer is 4."], ["p"], [gold], None)
    assert row.gold is None
    assert math.isnan(row.outcome)
