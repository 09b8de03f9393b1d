"""Every kind of input a report takes, and what it does with runs that are missing, broken or half-written."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from report_runs import (
    make_audit,
    make_finding,
    make_rate,
    make_rollout,
    make_run,
    make_training,
    report,
    write_lines,
    write_rates,
)

from rlguard.cli.main import app
from rlguard.report import write_report
from rlguard.report.load import read_run
from rlguard.rollouts.store import RolloutStore
from rlguard.types import InputError, Rollout

PARTS = {
    "rates/rates.parquet": ["rates"],
    "kept.jsonl": ["filter"],
    "kept.dropped.jsonl": ["filter"],
    "rates/rollouts.jsonl": ["rollouts", "findings"],  # searched for findings
    "findings.jsonl": ["findings"],
    "training/guarded": ["training"],
    "training/guarded/metrics.jsonl": ["training"],
    "rates": ["rates", "rollouts", "findings"],
    "trl": ["rollouts", "findings", "training"],
    "trl/completions": ["rollouts", "findings", "training"],
    "trl/completions/completions_00001.parquet": ["rollouts", "findings"],
    "trl/figures.jsonl": ["training"],
    "audit.json": ["audit"],
    "set.parquet": ["filter"],
    "table.csv": ["rollouts", "findings"],
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A run that has every part there is."""
    run = make_run(tmp_path_factory.mktemp("everything") / "run")
    make_training(run / "trl")
    (run / "audit.json").write_text(json.dumps(make_audit()))
    write_rates(run / "set.parquet", [{"question": "2+2?", "rlguard_id": "a", "rlguard_pass_rate": 0.5}])
    (run / "table.csv").write_text("question,response\n2+2?,4\n")
    return run


@pytest.mark.parametrize("part", PARTS)
def test_any_part_is_enough(everything, tmp_path, part):
    summary, _ = report(everything / part, tmp_path / "r.html")
    assert summary["included"] == PARTS[part]


def test_all_parts_at_once(everything, tmp_path):
    summary, data = report(everything, tmp_path / "r.html")
    assert summary["skipped"] == {}
    assert data["sources"] == ["rates", "trl"]
    assert [arm["name"] for arm in data["training"]["arms"]] == ["unguarded", "trl", "guarded"]
    assert (
        "1 lost of 2 figures, checkpoint-9 against base: accuracy on logic 0. The others: 1 kept." in summary["verdict"]
    )


def test_a_training_of_trl(tmp_path):
    summary, data = report(make_training(tmp_path / "run", lucky=True), tmp_path / "r.html", scan=False)
    assert summary["headlines"][0].startswith("run: Harmed, because at step 3, Luck (1 more alarm below)")
    assert summary["notes"] == [
        "run/events.jsonl: the last line (4) is half-written and was left out.",
        "run: a completion is correct where its 'right' is 1.",
        "run: not searched for findings; --scan, or `rlguard scan`, does that.",
    ]
    curves = {metric["name"]: metric["curves"][0] for metric in data["training"]["metrics"]}
    assert curves["reward"] == [[1, 1.1], [2, 1.2], [3, 1.3]]  # of the last checkpoint
    assert curves["findings"][0] == [1, 0.1]  # of the monitor
    assert curves["rollouts/correct"] == [[1, 0.5], [2, 0.5], [3, 0.5]]
    assert "epoch" not in curves
    columns = data["rollouts"]
    assert columns["step"] == [1, 1, 2, 2, 3, 3] * 2
    assert columns["outcome"][:2] == [1, 0]
    assert columns["weight"][0] == 0.25
    assert columns["advantage"][:2] == [0.5, -0.5]
    assert [(event["severity"], event["figure"]) for event in data["events"]] == [
        ("critical", "lucky_share"), ("warning", "length"), ("note", "entropy")]  # fmt: skip


def test_rewards_that_are_no_outcomes_stay_rewards(tmp_path):
    rows = [{"step": 1, "prompt": "2+2?", "completion": "4", "graded": r, "advantage": 0.0} for r in (0.5, 1.0)]
    (tmp_path / "completions").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "completions/completions_00001.parquet")
    _, data = report(tmp_path, tmp_path / "r.html")
    assert data["rollouts"]["reward"] == [0.5, 1]
    assert data["rollouts"]["outcome"] == [None, None]


def test_scores_of_a_table_are_outcomes_if_they_are_all_or_nothing(tmp_path):
    rows = [{"input": "2+2?", "output": "4", "gts": "4", "score": score, "step": 7} for score in (1.0, 0.0)]
    write_lines(tmp_path / "7.jsonl", rows)
    summary, data = report(tmp_path / "7.jsonl", tmp_path / "r.html")
    assert data["rollouts"]["outcome"] == [1, 0]
    assert data["rollouts"]["step"] == [7, 7]
    assert "7: a completion is correct where its 'score' is 1." in summary["notes"]


def test_a_training_belongs_to_the_prompts_of_the_rates(tmp_path):
    write_rates(tmp_path / "run/rates/rates.parquet", [make_rate("a", 3, "learnable") | {"prompt": "2+0=?"}])
    make_training(tmp_path / "run/trl")
    _, data = report(tmp_path / "run", tmp_path / "r.html")
    assert data["prompts"]["id"][0] == "a"
    assert data["rollouts"]["prompt"].count(0) == 6  # by its text: the completions' table has no gold answer
    assert data["prompts"]["of"][0]["trials"][0] == 4  # and the rate stays that of the store


def test_findings_and_rates_of_other_rollouts_are_said_to_be(tmp_path):
    run = make_run(tmp_path / "run")
    clean, _ = report(run, tmp_path / "r.html")
    assert not [note for note in clean["notes"] if "rollout" in note]
    write_lines(run / "findings.jsonl", [make_finding(completion="2 + 2 = 4"), make_finding("else", 3)])
    write_rates(run / "rates/rates.parquet", [make_rate("q1", 2, "learnable")])
    summary, _ = report(run, tmp_path / "r.html")
    assert [note for note in summary["notes"] if "rollout" in note] == [
        "rates/rates.parquet: none of its prompts has a rollout in rates.",
        "findings.jsonl: 1 of 2 is on a completion that no rollout here has.",
    ]


def test_an_empty_file_of_a_format_that_is_never_empty_is_said(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "rates/rates.parquet").write_bytes(b"")
    summary, _ = report(run, tmp_path / "r.html")
    assert "rates/rates.parquet: 0 bytes, so nothing was read." in summary["notes"]


def test_two_runs_are_compared(tmp_path):
    write_rates(tmp_path / "a/rates.parquet", [make_rate("x", 30, "mastered", 32), make_rate("y", 16, "learnable", 32)])
    write_rates(tmp_path / "b/rates.parquet", [make_rate("x", 2, "learnable", 32), make_rate("y", 16, "learnable", 32)])
    for name, last in (("a", 0.8), ("b", 0.2)):
        write_lines(
            tmp_path / name / "metrics.jsonl", [{"step": i, "prior_accuracy": v} for i, v in ((0, 0.8), (9, last))]
        )
        write_lines(tmp_path / name / "rollouts.jsonl", [make_rollout("x", i) for i in range(40)])
        flagged = range(2 if name == "a" else 36)
        write_lines(tmp_path / name / "findings.jsonl", [make_finding("x", i) for i in flagged])
        (tmp_path / name / "audit.json").write_text(json.dumps(make_audit(1 if name == "a" else 2)))
    summary, data = report(tmp_path / "a", tmp_path / "r.html", against=tmp_path / "b")
    assert summary["verdict"] == [
        "0.72 → 0.28 mean pass rate on the 2 prompts in both runs: −0.44.",
        "1 of these prompts solved less often: 1 less often and 0 more often, each with 99% probability by itself; "
        "two equal runs would show up to 0 of both.",
        "1 → 2 prompts in the learnable band. All bands: learnable 1 → 2, mastered 1 → 0.",
        "5.0% → 90.0% of completions show a shortcut: more (by +66.9 to +93.4 points, 95% interval).",
        "100% / 25% of the accuracy on skills held before was kept: a 0.80 → 0.80; b 0.80 → 0.20.",
        "1 → 2 audited figures lost; lost only here: accuracy on logic 1.",
    ]
    assert data["runs"] == ["a", "b"]
    assert [arm["name"] for arm in data["training"]["arms"]] == ["a", "b"]
    assert [columns["successes"] for columns in data["prompts"]["of"]] == [[30, 16], [2, 16]]
    assert data["kinds"] == [["skipped_computation", [2, 36]]]
    assert data["rollouts"]["run"] == [0] * 40 + [1] * 40
    page = (tmp_path / "r.html").read_text()
    assert "<summary>b by itself</summary>" in page


def test_runs_with_nothing_in_common_are_said_to_be(tmp_path):
    write_rates(tmp_path / "a/rates.parquet", [make_rate("x", 3, "learnable")])
    write_lines(tmp_path / "b/metrics.jsonl", [{"step": 1, "reward": 0.1}, {"step": 2, "reward": 0.2}])
    summary, _ = report(tmp_path / "a", tmp_path / "r.html", against=tmp_path / "b")
    assert summary["verdict"] == []
    assert "The runs have nothing in common to compare." in (tmp_path / "r.html").read_text()


def test_a_run_that_says_nothing_is_said_to(tmp_path):
    write_lines(tmp_path / "run/metrics.jsonl", [{"step": 1, "loss": 0.1}])
    summary, _ = report(tmp_path / "run", tmp_path / "r.html")
    assert summary["verdict"] == []
    assert "Nothing here says how the run went." in (tmp_path / "r.html").read_text()


def test_the_command_takes_any_number_of_runs(tmp_path, capsys):
    make_training(tmp_path / "a")
    make_training(tmp_path / "b")
    command = typer.main.get_command(app)
    arguments = ["report", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "r.html")]
    command(arguments, standalone_mode=False)
    assert "mean pass rate on the 2 prompts" in " ".join(capsys.readouterr().out.split())
    write_lines(tmp_path / "c/metrics.jsonl", [{"step": i, "reward": 0.1} for i in range(2)])
    command([*arguments[:3], str(tmp_path / "c"), *arguments[3:]], standalone_mode=False)
    told = " ".join(capsys.readouterr().out.split())
    assert "a: Harmed, because at step 3, Luck (1 more alarm below). Next: Read ten of them." in told
    assert "mean pass rate on the 2 prompts in both runs: b 0.00" in told
    assert "reward at the end: a 0.10 → 0.30; b 0.10 → 0.30; c 0.10 → 0.10" in told


@pytest.mark.parametrize("what", ["missing", "file", "empty"])
def test_nothing_to_report_on(tmp_path, what):
    run = tmp_path / "run"
    if what == "file":
        run.write_text("x")
    if what == "empty":
        run.mkdir()
    says = {"missing": "found nothing", "file": "found a file", "empty": "found an empty directory"}[what]
    with pytest.raises(InputError, match=f"run: .*{says}"):
        write_report(run, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_half_written_last_line_is_left_out_and_said(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout()], tail='{"prompt_id": "p1", "ind')
    summary, data = report(tmp_path, tmp_path / "r.html", scan=False)
    assert len(data["texts"]) == 1
    note = "rollouts.jsonl: the last line (2) is half-written and was left out."
    assert note in summary["notes"]
    assert note in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{oops", "rollouts.jsonl, line 2: expected one JSON object, got '{oops'"),
        ("[1]", "rollouts.jsonl, line 2: expected one JSON object, got list"),
        ('{"prompt": "2+2"}', "found prompt; a folder's rollouts.jsonl is taken for what `rlguard estimate` writes"),
        ('{"prompt_id": "p"}', "rollouts.jsonl, line 2: expected the field 'completion', found prompt_id"),
    ],
)
def test_malformed_line_is_named(tmp_path, line, says):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout()], tail=line + "\n")
    with pytest.raises(InputError, match=re.escape(says)):
        write_report(tmp_path, tmp_path / "r.html")


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "rates.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"rates\.parquet: not a Parquet file"):
        write_report(tmp_path, tmp_path / "r.html")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "rates.parquet")
    with pytest.raises(InputError, match="expected the column 'prompt_id', found id"):
        write_report(tmp_path, tmp_path / "r.html")
    (tmp_path / "rates.parquet").unlink()
    write_lines(tmp_path / "findings.jsonl", [make_finding(start="0")])
    with pytest.raises(InputError, match="finding 1: expected start and end as int, got "):
        write_report(tmp_path, tmp_path / "r.html")


def test_sealed_segments_of_a_store_are_read_too(tmp_path):
    with RolloutStore(tmp_path / "rates", {}, segment_bytes=1) as store:
        store.append([Rollout("a", 0, "first", 1.0)])
        store.append([Rollout("a", 1, "second", 0.0)])
    (tmp_path / "rates" / "answer_only").mkdir()
    (tmp_path / "rates" / "answer_only" / "rollouts.jsonl").write_text("")
    run = read_run(tmp_path)
    assert [rollout.completion for rollout in run.rollouts] == ["first", "second"]
    assert run.notes == []


@pytest.mark.parametrize(
    ("row", "lacks"),
    [
        (make_finding(), "start"),
        (make_rate("p", 1, "learnable"), "prompt_id"),
        ({"rlguard_id": "p", "question": "2+2?"}, "rlguard_id"),
    ],
)
def test_a_file_in_which_one_row_lacks_a_column_is_refused(tmp_path, row, lacks):
    write_lines(tmp_path / "a.jsonl", [row, {name: row[name] for name in row if name != lacks}])
    with pytest.raises(InputError, match=f"a.jsonl: row 1: expected the column '{lacks}'"):
        write_report(tmp_path / "a.jsonl", tmp_path / "r.html")


def test_a_rate_without_successes_is_no_rate(tmp_path):
    write_lines(tmp_path / "a.jsonl", [make_rate("p", 1, "learnable") | {"successes": None, "pass_rate": None}])
    _, data = report(tmp_path / "a.jsonl", tmp_path / "r.html")
    assert data["prompts"]["of"][0]["bin"] == [None]


def test_rollouts_in_a_json_array_are_reported(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"prompt": "2+2?", "completion": "4"}]))
    assert "rollouts" in report(tmp_path / "a.json", tmp_path / "r.html")[0]["included"]


def test_a_column_that_nothing_is_read_from_is_refused(tmp_path):
    write_lines(tmp_path / "a.jsonl", [make_rate("p", 1, "learnable")])
    with pytest.raises(InputError, match="--column answer=gold: expected rollouts to read it from, found none"):
        write_report(tmp_path / "a.jsonl", tmp_path / "r.html", columns={"answer": "gold"})


def test_columns_of_one_run_are_not_asked_of_the_other(tmp_path):
    write_lines(tmp_path / "a.jsonl", [{"said": "4", "prompt": "2+2?"}])
    write_rates(tmp_path / "b" / "rates.parquet", [make_rate("p", 1, "learnable")])
    summary = write_report(
        tmp_path / "a.jsonl", tmp_path / "r.html", against=tmp_path / "b", columns={"completion": "said"}
    )
    assert "rollouts" in summary["included"]


@pytest.mark.parametrize("text", ["step,prompt,completion\n1,2,4\n", "prompt,completion,reward\n2,4,1\n"])
def test_completions_that_are_numbers_are_no_log(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    run = read_run(tmp_path / "a.csv")
    assert (run.rollouts[0].completion, run.arms) == ("4", {})


def test_a_table_of_steps_and_numbers_is_a_log(tmp_path):
    (tmp_path / "exported.csv").write_text("Step,reward,kl\n" + "".join(f"{step},0.5,\n" for step in range(20)))
    write_report(tmp_path / "exported.csv", tmp_path / "report.html")
    (arm,) = read_run(tmp_path / "exported.csv").arms.values()
    assert len(arm.curves["reward"]) == 20
