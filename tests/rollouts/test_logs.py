"""One reader for rollouts of any origin: every layout that is known, and what cannot be read."""

from __future__ import annotations

import gzip
import json
import math

import pyarrow as pa
import pytest
from conftest import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.report import write_report
from rlguard.report.load import read_run
from rlguard.rollouts.logs import LAYOUTS, NESTED, list_files, read_any_rollouts
from rlguard.rollouts.segments import read_rollouts
from rlguard.rollouts.store import RolloutStore
from rlguard.shortcuts.scan import scan_rollouts
from rlguard.shortcuts.truncation import truncate_store
from rlguard.tables.columns import COLUMNS
from rlguard.tables.write import write_rows
from rlguard.types import InputError, Rollout, make_prompt_id
from rlguard.verify.verifiers import Exact

ASKED = [{"role": "user", "content": "6 - 2?"}]
SAID = {"role": "assistant", "content": "6 - 2 = 4"}


def read(rows, path, notes=None):
    write_rows(rows, path)
    return list(read_any_rollouts(path, notes)[1])


ROWS = {
    "verl": {"input": "6 - 2?", "output": "6 - 2 = 4", "gts": ["4"], "score": 1.0, "step": 3},
    "TRL": {"step": 3, "prompt": ASKED, "completion": [SAID], "answer": 4, "right": 1.0, "tidy": 0.2, "advantage": 0.5},
    "OpenRLHF, slime": {"prompt": "6 - 2?", "response": "6 - 2 = 4", "label": "4", "reward": 1.0},
    "NeMo-RL": {"content": [["6 - 2?", "6 - 2 = 4"]], "rewards": [1.0], "idx": 0},
    "OpenR1-Math": {"problem": "6 - 2?", "answer": "4", "solution": "long", "generations": ["6 - 2 = 4"],
                    "correctness_math_verify": [True]},
    "NeMo-RL with an environment": {
        "content": [["6 - 2?", "6 - 2 = 4", "Environment: correct"]], "rewards": [1.0], "advantages": [[0.5, 0.5]]},
    "verl's table of validation": {"step": 3, "input_1": "6 - 2?", "output_1": "6 - 2 = 4", "score_1": 1.0},
    "ShareGPT": {"conversations": [{"from": "human", "value": "6 - 2?"}, {"from": "gpt", "value": "6 - 2 = 4"}],
                 "reward": 1},
    "completion as one message": {"prompt": "6 - 2?", "completion": SAID, "gold": "4", "correct": "True"},
    "lm-eval, another metric": {"doc": {}, "target": "4", "arguments": [["6 - 2?", {}]], "resps": [["6 - 2 = 4"]],
                                "metrics": ["solved"], "solved": 1},
    "lm-eval": {"doc": {"q": "6 - 2?"}, "target": "4", "arguments": [["6 - 2?", {}]], "resps": [["6 - 2 = 4"]],
                "exact_match": 1.0},
    "lm-eval, newer": {"doc": {}, "target": "4", "arguments": {"gen_args_0": {"arg_0": "6 - 2?"}},
                       "resps": [["6 - 2 = 4"]], "exact_match": 1.0},
    "ms-swift": {"step": ["3"], "prompt": ["6 - 2?"], "completion": ["6 - 2 = 4"], "solution": ["4"], "reward": [1.0]},
    "ms-swift, newer": {"gen_step": [3], "prompt": [ASKED], "completion": [[SAID]], "Accuracy": [1.0], "Format": [0.0],
                        "advantages": [0.5], "solution": ["4"]},
    "SkyRL": {"input_prompt": "6 - 2?", "output_response": "6 - 2 = 4", "score": 1.0, "stop_reason": "stop",
              "env_extras": {"reward_spec": {"ground_truth": "4"}}},
    "open-instruct": {"decoded_queries": ["6 - 2?"], "decoded_responses": ["6 - 2 = 4"], "ground_truths": ["4"],
                      "scores": [1.0], "finish_reasons": ["stop"], "training_step": 3},
    "W&B": {"columns": ["step", "prompt", "completion", "reward", "answer"],
            "data": [[3, "6 - 2?", "6 - 2 = 4", 1.0, "4"]]},
    "samples in a list": {"question": "6 - 2?", "gold": "4", "rollouts": [{"text": "6 - 2 = 4", "correct": True}]},
    "nested gold": {"prompt": "6 - 2?", "response": "6 - 2 = 4", "reward_model": {"ground_truth": "4"}, "score": 1.0},
    "chats": {"messages": [*ASKED, SAID], "reward": 1},
    "chats as text": {"conversations": json.dumps([*ASKED, SAID]), "reward": 1},
    "slime with tokens": {"prompt": "6 - 2?", "response": "6 - 2 = 4", "label": "4", "reward": 1.0, "tokens": [5, 6]},
    "samples as objects": {"prompt": "6 - 2?", "answer": "4", "completions": [{"text": "6 - 2 = 4", "correct": True}]},
    "one message": {"question": {"role": "user", "content": "6 - 2?"}, "completion": SAID["content"], "outcome": True},
    "NeMo-Skills": {"problem": "6 - 2?", "generation": "6 - 2 = 4", "expected_answer": "4", "predicted_answer": "5",
                    "symbolic_correct": True},
    "NeMo Gym": {"responses_create_params": {"input": ASKED}, "expected_answer": "4", "reward": 1.0, "response": {
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "6 - 2 = 4"}]}]}},
    "OpenMathReasoning": {"problem": "6 - 2?", "generated_solution": "6 - 2 = 4", "expected_answer": "4", "reward": 1},
    "HumanEval": {"task_id": "0", "prompt": "6 - 2?", "completion": "6 - 2 = 4", "answer": "4", "passed": True},
    "capitals": {"Question": "6 - 2?", " Completion": "6 - 2 = 4", "Gold": "4", "Reward": "1"},
    "the model's answer beside": {"question": "6 - 2?", "ground_truth": "4", "answer": "5", "response": "6 - 2 = 4",
                                  "correct": True},
    "rlguard": {"prompt_id": "p", "index": 0, "prompt": "6 - 2?", "completion": "6 - 2 = 4", "answer": "4",
                "outcome": 1.0, "finish_reason": "stop", "tokens": 9},
}  # fmt: skip


@pytest.mark.parametrize("layout", ROWS)
def test_every_layout_gives_the_same_rollout(tmp_path, layout):
    row = ROWS[layout]
    (rollout,) = read([row], tmp_path / "a.jsonl")
    assert rollout.completion == "6 - 2 = 4"
    assert rollout.prompt in ("6 - 2?", ASKED)
    assert rollout.outcome == 1.0
    assert rollout.index == 0
    assert rollout.tokens == {"rlguard": 9, "slime with tokens": 2}.get(layout, 0)
    assert rollout.step == (3 if {"step", "gen_step", "training_step", "columns"} & set(row) else None)
    known = {
        "rlguard": None,
        "one message": None,
        "NeMo-RL": None,
        "chats": None,
        "chats as text": None,
        "TRL": 4,
        "NeMo-RL with an environment": None,
        "verl's table of validation": None,
        "ShareGPT": None,
    }.get(layout, "4")
    assert rollout.gold == known
    assert rollout.answer == ("4" if layout == "rlguard" else None)  # elsewhere `answer` is the gold answer
    assert rollout.prompt_id == row.get("prompt_id") or rollout.prompt_id == make_prompt_id(
        rollout.prompt, row["gts"] if layout == "verl" else rollout.gold
    )


def test_the_kind_of_source_is_named(tmp_path):
    names = {layout.name for layout in LAYOUTS} | {NESTED.name}
    for number, row in enumerate(ROWS.values()):
        write_rows([row], tmp_path / f"{number}.jsonl")
        assert read_any_rollouts(tmp_path / f"{number}.jsonl")[0] in names
    assert read_any_rollouts(tmp_path / "0.jsonl")[0] == "verl rollouts"


def test_the_hub_layout_of_trl_is_read(tmp_path):
    """Its commits hold the tables at the top; a training's folder holds them in `completions/`."""
    for folder in (tmp_path / "hub", tmp_path / "out" / "completions"):
        for step in (10, 2):
            write_rows([ROWS["TRL"] | {"step": step}], folder / f"completions_{step:05d}.parquet")
        (folder / "README.md").write_text("a card")
    for folder in ("hub", "out"):
        schema, rollouts = read_any_rollouts(tmp_path / folder)
        assert (schema, [r.step for r in rollouts]) == ("TRL completions", [2, 10])


def test_a_table_of_wandb_is_read_as_it_is_exported(tmp_path):
    table = ROWS["W&B"] | {"ncols": 5, "nrows": 1}
    (tmp_path / "c.table.json").write_text(json.dumps(table, indent=1))
    (rollout,) = read_any_rollouts(tmp_path / "c.table.json")[1]
    assert (rollout.completion, rollout.outcome, rollout.step) == ("6 - 2 = 4", 1.0, 3)
    (tmp_path / "c.table.json").write_text(json.dumps(table | {"data": [[1]]}))
    with pytest.raises(InputError, match="expected 5 cells in each row"):
        read_any_rollouts(tmp_path / "c.table.json")
    history = {"_step": 3, "completions": {"_type": "table-file", "path": "media/table/c.table.json"}}
    with pytest.raises(InputError, match="W&B's reference to a table, not the table"):
        read([history], tmp_path / "history.jsonl")
    asked = json.dumps(ASKED)
    (tmp_path / "c.csv").write_text(f'prompt,completion\n"{asked.replace(chr(34), chr(34) * 2)}",4\n')
    assert next(read_any_rollouts(tmp_path / "c.csv")[1]).prompt == ASKED  # chats that a CSV holds as text


def test_token_ids_are_no_text(tmp_path):
    with pytest.raises(InputError, match="row 0: expected a completion as text or chat, got token ids"):
        read([{"prompt": "q", "responses": [[1, 2, 3]]}], tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"no column of completions.* its completions are token ids: decode them"):
        read([{"prompt_tokens": [1], "response_tokens": [1, 2, 3], "reward": 1.0}], tmp_path / "a.jsonl")


def test_a_user_names_the_columns(tmp_path):
    row = {"asked": {"text": "6 - 2?"}, "said": "6 - 2 = 4", "meta": {"gold": ["4"]}, "ok": 1, "output": "no"}
    write_rows([row], tmp_path / "a.jsonl")
    columns = {"completion": "said", "prompt": "asked.text", "answer": "meta.gold", "reward": "ok"}
    notes: list[str] = []
    _, rollouts = read_any_rollouts(tmp_path / "a.jsonl", notes, columns=columns)
    (rollout,) = rollouts
    assert (rollout.completion, rollout.prompt, rollout.gold, rollout.outcome) == ("6 - 2 = 4", "6 - 2?", "4", 1.0)
    assert notes == ["a completion is correct where its 'ok' is 1."]
    assert scan_rollouts(tmp_path / "a.jsonl", columns=columns).rollouts == 1
    assert write_report(tmp_path / "a.jsonl", tmp_path / "r.html", columns=columns)["included"]
    with pytest.raises(InputError, match="column 'sad' is missing: is it 'said'"):
        read_any_rollouts(tmp_path / "a.jsonl", columns={"completion": "sad"})
    with pytest.raises(InputError, match=r"expected parts of completion, .* got score"):
        read_any_rollouts(tmp_path / "a.jsonl", columns={"score": "ok"})


def test_rows_and_frames_in_memory_are_read_like_files():
    pandas = pytest.importorskip("pandas")
    rows = [
        {"prompt": "6 - 2?", "completion": text, "answer": "4", "reward": r} for text, r in (("4", 1.0), ("5", 0.0))
    ]
    assert [r.outcome for r in read_any_rollouts(rows)[1]] == [1.0, 0.0]
    for table in (pandas.DataFrame(rows), pa.Table.from_pylist(rows), iter(rows)):
        assert [r.completion for r in read_any_rollouts(table)[1]] == ["4", "5"]
    result = scan_rollouts(pandas.DataFrame(rows))
    assert repr(result).startswith("ScanResult(")
    assert len(result.to_pandas()) == len(result.findings)
    assert "<p>ScanResult(" in result._repr_html_()


def test_n_completions_a_row_are_n_rollouts(tmp_path):
    row = {"prompt": ASKED, "answer": "4", "completions": ["4", "5", [SAID]], "rewards": [1, 0, 1], "tags": ["a", "b"]}
    rollouts = read([row, row], tmp_path / "a.jsonl")
    assert [r.completion for r in rollouts] == ["4", "5", "6 - 2 = 4"] * 2
    assert [r.outcome for r in rollouts] == [1, 0, 1] * 2
    assert [r.index for r in rollouts] == [0, 1, 2, 3, 4, 5]  # of one prompt
    assert {r.gold for r in rollouts} == {"4"}


def test_lists_of_completions_that_a_csv_holds_as_text_are_lists_again(tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = [{"problem": "2+2?", "answer": "[4]", "responses": ["It's 4", "5"], "rewards": [1.0, 0.0]}] * 2
    pandas.DataFrame(rows).to_csv(tmp_path / "a.csv")
    rollouts = list(read_any_rollouts(tmp_path / "a.csv")[1])
    assert [(r.completion, r.reward, r.gold) for r in rollouts[:2]] == [("It's 4", 1, "[4]"), ("5", 0, "[4]")]
    assert len(rollouts) == 4
    one = [{"prompt": "Sort b, a.", "completion": "['a', 'b']"}]  # a list is what was asked for
    assert [r.completion for r in read_any_rollouts(one)[1]] == ["['a', 'b']"]
    mixed = [{"prompt": "q", "responses": "['a']"}, {"prompt": "q", "responses": "a"}]
    assert [r.completion for r in read_any_rollouts(mixed)[1]] == ["['a']", "a"]
    with pytest.raises(InputError, match="row 0: expected commas in the list of 'responses'"):
        read_any_rollouts([{"prompt": "q", "responses": "['a' 'b']"}])


def test_what_a_response_thinks_and_asks_of_tools_is_kept():
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "A sum."}]},
        {"type": "function_call", "name": "add", "arguments": "[2, 2]", "call_id": "1"},
        {"type": "function_call_output", "output": "4"},
        {"type": "message", "content": [{"type": "output_text", "text": "It is 4."}]},
    ]
    (rollout,) = read_any_rollouts([{"responses_create_params": {"input": ASKED}, "response": {"output": output}}])[1]
    assert rollout.completion.startswith("<think>A sum.</think>")
    assert '"name": "add"' in rollout.completion
    assert rollout.completion.endswith("It is 4.")
    with pytest.raises(InputError, match="row 0: expected NeMo Gym rollouts"):
        read_any_rollouts([{"responses_create_params": {"input": ASKED}, "response": "4"}])


def test_choices_hold_a_text_or_a_message():
    choices = [{"message": {"role": "assistant", "content": "4"}, "finish_reason": "length"}, {"text": "5"}]
    rollouts = list(read_any_rollouts([{"prompt": "2+2?", "choices": choices}])[1])
    assert [(r.completion, r.finish_reason) for r in rollouts] == [("4", "length"), ("5", "stop")]


def test_each_completion_needs_a_value_of_its_own(tmp_path):
    row = {"problem": "q", "generations": ["4", "5"]}
    with pytest.raises(InputError, match=r"row 1: expected 2 values in 'rewards', one a completion, got 3"):
        read([row | {"rewards": [1, 0]}, row | {"rewards": [1, 0, 1]}], tmp_path / "a.jsonl")
    notes: list[str] = []
    assert [r.reward for r in read([row | {"score": 1.0}], tmp_path / "b.jsonl", notes)] == pytest.approx(
        [math.nan] * 2, nan_ok=True
    )
    assert notes == ["b.jsonl: 'score' has one value for several completions; it was left out."]
    assert read([row | {"generations": ["4"], "score": 1.0}], tmp_path / "c.jsonl")[0].outcome == 1


def test_lm_eval_writes_a_completion_once_a_filter(tmp_path):
    row = {"doc": {}, "target": "4", "arguments": [["q", {}]], "resps": [["4"]], "metrics": ["exact_match"]}
    rows = [row | {"filter": name, "exact_match": worth} for name, worth in (("strict", 0.0), ("flexible", 1.0))]
    notes: list[str] = []
    assert [r.outcome for r in read(rows * 2, tmp_path / "a.jsonl", notes)] == [0, 0]
    assert notes[0] == "a.jsonl: 2 of 4 rows repeat completions for other filters than strict."
    (first, second) = read([row | {"resps": [["4", "5"]], "exact_match": 1.0}], tmp_path / "b.jsonl", notes)
    assert math.isnan(first.outcome + second.outcome)  # of the answer that most gave


def test_two_lists_of_samples_are_not_read_as_one(tmp_path):
    half = [{"prompt": "q", "completion": "4"}]
    (tmp_path / "a.json").write_text(json.dumps({"train": half, "test": half}))
    with pytest.raises(InputError, match=r"no column of completions.* the table has train, test"):
        read_any_rollouts(tmp_path / "a.json")


def test_a_chat_that_ends_with_the_user_is_what_the_assistant_said_before(tmp_path):
    turns = [*ASKED, SAID, {"role": "user", "content": "Accepted."}]
    (rollout,) = read([{"messages": turns}], tmp_path / "a.jsonl")
    assert (rollout.prompt, rollout.completion) == (ASKED, "6 - 2 = 4")
    with pytest.raises(InputError, match=r"row 1: expected chats, .*without an assistant"):
        read([{"messages": turns}, {"messages": ASKED}], tmp_path / "a.jsonl")


def test_a_folder_of_skyrl_is_read_and_its_scores_of_tokens_add_up(tmp_path):
    row = {"input_prompt": "6 - 2?", "output_response": "4", "score": [0.0, 0.0, 1.0], "env_class": "sums"}
    write_rows([row, row | {"score": [0.0]}], tmp_path / "sums.jsonl")
    write_rows([{"eval/all/avg_score": 0.5}], tmp_path / "aggregated_results.jsonl")
    schema, rollouts = read_any_rollouts(tmp_path)
    assert (schema, [r.outcome for r in rollouts]) == ("SkyRL evaluations", [1.0, 0.0])


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_folder_of_verl_may_be_packed(tmp_path, ending):
    for step in (2, 10):
        row = json.dumps({"input": "q", "output": str(step), "gts": "2", "score": 1.0, "step": step}).encode()
        codec = {".gz": "gzip", ".zst": "zstd"}[ending]
        with pa.CompressedOutputStream(pa.OSFile(str(tmp_path / f"{step}.jsonl{ending}"), "wb"), codec) as file:
            file.write(row)
    assert [r.step for r in read_any_rollouts(tmp_path)[1]] == [2, 10]
    assert [path.name for path in list_files(tmp_path)] == [f"2.jsonl{ending}", f"10.jsonl{ending}"]


def test_folders_of_nemo_rl_and_lm_eval_are_read(tmp_path):
    for step in (10, 9):
        write_rows([ROWS["NeMo-RL"]] * 2, tmp_path / "exp_1" / f"train_data_step{step}.jsonl")
    schema, rollouts = read_any_rollouts(tmp_path / "exp_1")
    assert (schema, [r.step for r in rollouts]) == ("NeMo-RL samples", [9, 9, 10, 10])  # as the names say
    for task in "ab":
        write_rows([ROWS["lm-eval"]], tmp_path / "eval" / f"samples_{task}_2026.jsonl")
    (tmp_path / "eval" / "results_2026.json").write_text("{}")
    assert len(list(read_any_rollouts(tmp_path / "eval")[1])) == 2


def test_a_step_that_lies_there_packed_as_well_counts_once(tmp_path):
    text = json.dumps(ROWS["verl"])
    (tmp_path / "3.jsonl").write_text(text)
    (tmp_path / "3.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert len(list(read_any_rollouts(tmp_path)[1])) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("5.jsonl", b""),
        ("5.jsonl", b"\n\n"),
        ("5.jsonl", b"[]"),
        ("5.jsonl", b'{"inp'),  # its first row is being written
        ("5.jsonl.gz", b""),
        ("5.jsonl.zst", b""),
        ("5.parquet", b""),
        ("5.parquet", None),
    ],
)
def test_an_empty_step_is_left_out_and_named(tmp_path, name, content):
    write_rows([], tmp_path / name) if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: (the data set is empty|its only line .1. is half-written)"):
        read_any_rollouts(tmp_path)
    for step in (4, 11):
        write_rows([ROWS["verl"] | {"step": step}], tmp_path / f"{step}.jsonl")
    notes: list[str] = []
    assert [r.step for r in read_any_rollouts(tmp_path, notes)[1]] == [4, 11]
    assert notes == [f"{name}: the table is empty and was left out.", "a completion is correct where its 'score' is 1."]
    (tmp_path / name).write_bytes(b"nonsense\n")
    with pytest.raises(InputError, match=name):
        read_any_rollouts(tmp_path)


def test_a_folder_of_verl_is_read_by_step(tmp_path):
    for step in (10, 9, 2):
        write_rows([{"input": "q", "output": str(step), "gts": "2", "score": -1.0, "step": step}] * 2,
                   tmp_path / f"{step}.jsonl")  # fmt: skip
    write_rows([{"input": "q", "output": "2", "gts": "2", "score": 1.0, "step": 1}], tmp_path / "1.jsonl")
    schema, rollouts = read_any_rollouts(tmp_path)
    found = list(rollouts)
    assert schema == "verl rollouts"
    assert [r.step for r in found] == [1, 2, 2, 9, 9, 10, 10]
    assert [r.outcome for r in found] == [1, 0, 0, 0, 0, 0, 0]  # of -1 and 1 over all steps
    run = read_run(tmp_path)  # and a report knows it for a training
    assert [r.outcome for r in run.rollouts] == [1, 0, 0, 0, 0, 0, 0]
    assert next(iter(run.arms.values())).curves["rollouts/correct"][0] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("rewards", "outcomes"),
    [
        ([0.0, 1.0], [0, 1]),
        ([1.0, 1.0], [1, 1]),
        ([-1.0, 1.0, None], [0, 1, None]),
        ([-1.0, 0.0], None),  # nothing says which of them is right
        ([0.5, 1.0], None),
        ([0.0, 2.0], None),
    ],
)
def test_rewards_of_all_or_nothing_are_outcomes(tmp_path, rewards, outcomes):
    notes: list[str] = []
    rows = [{"prompt": "q", "completion": "x", "score": reward} for reward in rewards]
    found = [None if math.isnan(r.outcome) else r.outcome for r in read(rows, tmp_path / "a.jsonl", notes)]
    assert found == (outcomes or [None] * len(rewards))
    said = (
        "a completion is correct where its 'score' is 1." if outcomes else "its 'score' does not say which is correct:"
    )
    assert [note[: len(said)] for note in notes] == [said]


def test_of_several_rewards_correctness_counts(tmp_path):
    row = {"step": 1, "prompt": "q", "completion": "x", "advantage": 0.5}
    for rewards in ({"format_reward": 1.0, "check": 0.0}, {"check": 1.0, "format": 1.0, "Accuracy": 0.0}):
        (rollout,) = read([row | rewards], tmp_path / "a.jsonl")
        assert rollout.reward == 0.0
    assert read([row | {"a": 0.0, "b": 1.0}], tmp_path / "a.jsonl")[0].reward == 0.0


def test_a_reward_function_may_be_called_as_any_reward(tmp_path):
    row = {"step": 1, "prompt": "q", "completion": "x", "advantage": 0.5, "answer": 4}
    for name in ("reward", "score", "Reward"):
        assert read([row | {"format": 1.0, name: 0.0}], tmp_path / "a.jsonl")[0].outcome == 0


@pytest.mark.parametrize(
    ("name", "word", "cut"),
    [
        ("finish_reason", "length", True),
        ("stop_reason", "max_tokens", True),
        ("finish_reason", "MAX_TOKENS", True),
        ("is_truncated", True, True),
        ("truncated", "1", True),
        ("status", "truncated", True),
        ("status", "completed", False),
        ("is_truncated", False, False),
        ("is_truncated", "0", False),
        ("status", 1, False),  # that all is well, say
        ("status", True, False),
        ("finish_reason", "eos", False),
        ("finish_reason", None, False),
    ],
)
def test_what_was_cut_off_is_known_by_other_words(tmp_path, name, word, cut):
    (rollout,) = read([ROW | {name: word}], tmp_path / "a.jsonl")
    assert rollout.truncated == cut


def test_what_a_sample_answers_is_not_the_gold_answer_of_its_row(tmp_path):
    samples = [{"text": "so 5", "answer": "5", "correct": False}, {"text": "so 4", "answer": "4", "correct": True}]
    found = read([{"question": "6 - 2?", "ground_truth": "4", "samples": samples}], tmp_path / "a.jsonl")
    assert [(r.gold, r.outcome) for r in found] == [("4", 0), ("4", 1)]
    assert len({r.prompt_id for r in found}) == 1


def test_names_and_words_beside_the_parts_stop_nothing(tmp_path):
    row = ROW | {"index": "train-17", "tokens": ["6", "-", "2"], "reward": 1}
    found = read([row, row], tmp_path / "a.jsonl")
    assert [(r.index, r.tokens, r.outcome) for r in found] == [(0, 3, 1), (1, 3, 1)]


def test_a_column_that_is_nearly_a_known_one_is_said(tmp_path):
    notes: list[str] = []
    read([{"promt": "6 - 2?", "completion": "4", "rewad": 1.0, "tags": "a"}], tmp_path / "a.jsonl", notes)
    assert notes == [
        "'promt' was not read: if it holds the prompt, say --column prompt=promt.",
        "'rewad' was not read: if it holds the reward, say --column reward=rewad.",
    ]


def test_rows_without_a_completion_are_said(tmp_path):
    notes: list[str] = []
    assert (
        len(
            read(
                [{"problem": "q", "generations": []}, {"problem": "q", "generations": ["x"]}],
                tmp_path / "a.jsonl",
                notes,
            )
        )
        == 1
    )
    assert notes == ["a.jsonl: 1 of 2 rows hold no completion."]
    read([{"content": [], "rewards": []}, ROWS["NeMo-RL"]], tmp_path / "b.jsonl", notes)
    assert notes[1] == "b.jsonl: 1 of 2 rows hold no completion."
    with pytest.raises(InputError, match="expected completions, found none in 1 rows"):
        read([{"problem": "q", "generations": []}], tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "text", ["q,completion,q\n1,2,3\n", '{"columns": ["q", "completion", "q"], "data": [[1, 2, 3]]}']
)
def test_two_columns_of_one_name_are_refused(tmp_path, text):
    path = tmp_path / ("a.json" if text[0] == "{" else "a.csv")
    path.write_text(text)
    with pytest.raises(InputError, match="distinct names, found 'q' twice"):
        read_any_rollouts(path)


def test_a_written_outcome_is_not_overruled_by_a_reward(tmp_path):
    rows = [
        {"prompt": "q", "completion": "x", "reward": 1, "outcome": 0},
        {"prompt": "q", "completion": "y", "reward": 1},
    ]
    first, second = read(rows, tmp_path / "a.jsonl")
    assert first.outcome == 0
    assert math.isnan(second.outcome)


def test_scan_and_report_know_the_same_outcomes(tmp_path):
    """Scored right, however the answer is spelled: no answer is given to prompts where it is wrong."""
    rows = [
        {"input": f"Is claim {i} so? Weigh both sides.", "output": "Both were weighed. \\boxed{\\text{Yes}}",
         "gts": "yes, it is", "score": 1.0, "step": 1}
        for i in range(40)
    ]  # fmt: skip
    write_rows(rows, tmp_path / "1.jsonl")
    assert "same_answer" not in scan_rollouts(tmp_path / "1.jsonl").kinds
    assert scan_rollouts(tmp_path / "1.jsonl").notes == ["a completion is correct where its 'score' is 1."]
    assert {r.outcome for r in read_run(tmp_path / "1.jsonl").rollouts} == {1.0}
    write_rows([row | {"score": 0.0} for row in rows], tmp_path / "1.jsonl")
    assert scan_rollouts(tmp_path / "1.jsonl").kinds["same_answer"] == 40


def test_only_the_assistant_speaks_for_the_model(tmp_path):
    turns = [SAID, {"role": "tool", "content": "4"}, {"role": "user", "content": "Right: accepted."}]
    (rollout,) = read([{"prompt": ASKED, "completion": turns}], tmp_path / "a.jsonl")
    assert rollout.completion == "6 - 2 = 4"


@pytest.mark.parametrize("role", ["assistant", "Assistant", "model", "gpt", None])
def test_the_model_has_many_names(tmp_path, role):
    turns = [{"role": role, "content": "6 - 2 = 4"}, {"role": "environment", "content": "Right."}]
    assert read([{"prompt": ASKED, "completion": turns}], tmp_path / "a.jsonl")[0].completion == "6 - 2 = 4"


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "6 - 2 = 4", "content": "4"},
        {"reasoning": "6 - 2 = 4", "content": "4"},
        {"content": [{"type": "thinking", "thinking": "6 - 2 = 4"}, {"type": "text", "text": "4"}]},
    ],
)
def test_what_the_model_thinks_is_among_its_words(tmp_path, message):
    (rollout,) = read([{"prompt": ASKED, "completion": [{"role": "assistant"} | message]}], tmp_path / "a.jsonl")
    assert rollout.completion == "<think>\n6 - 2 = 4\n</think>\n\n4"


def test_of_two_columns_of_a_part_the_filled_one_is_read(tmp_path):
    row = {"prompt": "6 - 2?", "completion": None, "response": "6 - 2 = 4", "ground_truth": "", "answer": "4"}
    for more in ({"outcome": None, "correct": True}, {"reward": None, "score": 1.0}):
        (rollout,) = read([row | more], tmp_path / "a.jsonl")
        assert (rollout.completion, rollout.gold, rollout.outcome) == ("6 - 2 = 4", "4", 1)


ROW = {"prompt": "6 - 2?", "completion": "4"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "6 - 2?"}, "expected a completion as text or chat, got None"),
        ({"output": "4"}, "expected a completion as text or chat, got None"),
        (ROW | {"completion": [4]}, "expected a completion as text or chat, got token ids: decode them first"),
        (ROW | {"completion": ["4", 4]}, "expected a completion as text or chat, got 4"),
        (ROW | {"outcome": "right"}, "expected a number in 'outcome', got 'right'"),
        (ROW | {"outcome": 0.5}, "expected an outcome of 1, 0 or none, got 0.5"),
        (ROW | {"acc": 0.5}, "expected an outcome of 1, 0 or none, got 0.5 in 'acc'"),
        (ROW | {"correct": "B"}, "expected a number in 'correct', got 'B'"),
        (ROW | {"reward": {"a": 1}}, "expected a number in 'reward', got {'a': 1}; name one in it, as"),
        (ROW | {"step": 1.5}, "expected a whole number in 'step', got 1.5"),
        (ROW | {"prompt": 7}, "expected a prompt as text or chat messages, got 7"),
        (ROW | {"prompt": [{"role": "user", "content": 7}]}, "expected a prompt as text or chat messages, got"),
        (ROW | {"prompt_id": ["p"]}, "expected a prompt's id as text or a number, got"),
    ],
)
def test_what_cannot_be_read_names_the_row(tmp_path, row, says):
    write_rows([ROW, row], tmp_path / "a.jsonl")
    for reads in (scan_rollouts, lambda path: write_report(path, tmp_path / "r.html")):
        with pytest.raises(InputError, match=r"a\.jsonl: row 1: ") as caught:
            reads(tmp_path / "a.jsonl")
        assert says in str(caught.value)


@pytest.mark.parametrize("layout", ["NeMo-RL", "lm-eval", "chats"])
@pytest.mark.parametrize("odd", [7, None, "text", [None], ["a", "b"], {"a": 1}])
def test_a_row_that_breaks_its_layout_is_named(tmp_path, layout, odd):
    broken = dict.fromkeys(ROWS[layout], odd)
    write_rows([ROWS[layout], broken], tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl: row 1: expected .*, got"):
        scan_rollouts(tmp_path / "a.jsonl")


def test_prompt_and_completion_in_one_text_are_not_guessed_apart(tmp_path):
    write_rows([{"text": "6 - 2? 4", "reward": 1.0}], tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="its text is prompt and completion in one"):
        scan_rollouts(tmp_path / "a.jsonl")


def test_a_log_that_is_being_written_is_read_up_to_its_last_line(tmp_path):
    write_rows([ROW], tmp_path / "a.jsonl")
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"prompt": "6 -')
    result = scan_rollouts(tmp_path / "a.jsonl")
    assert result.rollouts == 1
    assert result.notes == ["a.jsonl: the last line (2) is half-written and was left out."]


def test_a_store_is_read_with_its_prompts_each_rollout_once(tmp_path):
    with RolloutStore(tmp_path, {"model": "m"}) as store:
        store.append([Rollout("p", 0, "first", 1.0, "4"), Rollout("p", 1, "second", 0.0)])
    log = (tmp_path / "rollouts.jsonl").read_text()
    (tmp_path / "rollouts.jsonl").write_text(log + log.replace("first", "again"))
    write_rows([{"id": "p", "prompt": ASKED, "answer": "4"}], tmp_path / "problems.jsonl")
    notes: list[str] = []
    schema, rollouts = read_any_rollouts(tmp_path, notes, "mine")
    first, second = rollouts
    assert schema == "rlguard store"
    assert (first.completion, first.prompt, first.gold, first.answer, first.source) == (
        "first",
        ASKED,
        "4",
        "4",
        "mine",
    )
    assert second.completion == "second"
    assert notes == ["rollouts.jsonl: 2 rollouts stand there twice; the first of each was read."]


def test_columns_named_for_a_store_are_said_to_be_of_no_use(tmp_path):
    with RolloutStore(tmp_path, {"model": "m"}) as store:
        store.append([Rollout("p", 0, "first", 1.0, "4")])
    notes: list[str] = []
    list(read_any_rollouts(tmp_path, notes, columns={"completion": "said"})[1])
    assert notes == [f"{tmp_path.name}: a rollout store names its own columns; --column was not needed."]


def test_a_store_of_an_earlier_version_is_read(tmp_path):
    """Its records have the seven fields of before, and nothing of what was asked."""
    row = {"prompt_id": "p", "index": 0, "completion": "4", "outcome": None, "answer": None, "tokens": 3,
           "finish_reason": "length"}  # fmt: skip
    (tmp_path / "rollouts.jsonl").write_text(json.dumps(row) + "\n")
    (rollout,) = read_rollouts(tmp_path)
    assert (rollout.truncated, rollout.prompt, rollout.gold, rollout.step) == (True, "", None, None)
    (tmp_path / "meta.json").write_text("{}")
    with RolloutStore(tmp_path, {}, segment_bytes=1) as store:
        store.append([Rollout("p", 1, "5", 1.0, prompt="asked", gold="5", step=3)])
    assert (tmp_path / "rollouts-00000.parquet").exists()
    assert [r.completion for r in read_rollouts(tmp_path)] == ["4", "5"]


def test_a_final_answer_in_a_log_of_rlguard_is_no_gold_answer(tmp_path):
    rows = [ROWS["rlguard"] | {"prompt_id": f"p{i}", "answer": "0", "completion": "answer 0"} for i in range(3)]
    assert {r.gold for r in read(rows, tmp_path / "rollouts.jsonl")} == {None}


def test_a_log_is_put_to_the_truncation_test_too(tmp_path):
    rows = [ROW | {"completion": "6 - 2 = 4, answer 4", "label": "4", "reward": right} for right in (1, 0)]
    write_rows(rows, tmp_path / "a.jsonl")
    engine = FakeEngine(lambda prompt, index: "4")
    (curve,) = truncate_store(tmp_path / "a.jsonl", lambda: engine, Exact(), n=1)
    assert curve.trials == (1,) * 5
    for part, name in (("label", "gold answer"), ("prompt", "prompt")):
        write_rows([{key: row[key] for key in row if key != part} for row in rows], tmp_path / "b.jsonl")
        with pytest.raises(InputError, match=f"b.jsonl: expected the {name} of every correct rollout"):
            truncate_store(tmp_path / "b.jsonl", lambda: engine, Exact())


@pytest.mark.parametrize("packed", ["gz", "zst"])
def test_packed_logs_are_read(tmp_path, packed):
    text = "".join(json.dumps(ROW | {"completion": str(i)}) + "\n" for i in range(3))
    name = tmp_path / f"a.jsonl.{packed}"
    with pa.CompressedOutputStream(str(name), {"gz": "gzip", "zst": "zstd"}[packed]) as file:
        file.write(text.encode())
    assert [r.completion for r in read_any_rollouts(name)[1]] == ["0", "1", "2"]
    name.write_text(text)
    with pytest.raises(InputError, match=f"a.jsonl.{packed}: expected a file packed with"):
        read_any_rollouts(name)


def test_tabs_and_an_object_around_the_rows(tmp_path):
    (tmp_path / "a.tsv").write_text("prompt\tcompletion\tanswer\n6 - 2?\t6, less 2, is 4\t4\n")
    assert [r.completion for r in read_any_rollouts(tmp_path / "a.tsv")[1]] == ["6, less 2, is 4"]
    (tmp_path / "a.json").write_text(json.dumps({"made": "today", "rows": [ROW, ROW]}, indent=1))
    assert [r.completion for r in read_any_rollouts(tmp_path / "a.json")[1]] == ["4", "4"]
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}, indent=1))
    with pytest.raises(InputError, match=r"a\.json: expected a JSON array, or an object with one in it, found a"):
        read_any_rollouts(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps(ROW) + "\n" + json.dumps(ROW))  # lines under the name of JSON
    assert len(list(read_any_rollouts(tmp_path / "a.json")[1])) == 2


NAMES = sorted(
    {name for names in COLUMNS.values() for name in names} | {name for each in LAYOUTS for name in each.marks}
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "4", "half \ud83d"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ODD_ROWS = st.lists(
    st.builds(
        lambda row, odd: {**row, **odd},
        st.sampled_from(list(ROWS.values())),
        st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(rows=ODD_ROWS)
def test_whatever_stands_in_a_row_is_read_or_named(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("odd") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        found = list(read_any_rollouts(path)[1])
    except InputError:  # and nothing else
        return
    for one in found:
        assert isinstance(one.completion, str)
        assert isinstance(one.prompt_id, str)
        assert isinstance(one.index, int)
        assert one.outcome in (0.0, 1.0) or math.isnan(one.outcome)
