"""What the report does with runs that are missing, broken or half-written."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_report import make_finding, make_rollout, report, write_lines

from rlguard.report import write_report
from rlguard.report.read import read_run
from rlguard.rollouts import RolloutStore
from rlguard.types import InputError, Rollout


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
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert len(data["texts"]) == 1
    note = "rollouts.jsonl: the last line (2) is half-written and was left out."
    assert summary["notes"] == [note]
    assert note in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{oops", "rollouts.jsonl, line 2: expected one JSON object, got '{oops'"),
        ("[1]", "rollouts.jsonl, line 2: expected one JSON object, got list"),
        ('{"prompt_id": "p"}', "rollouts.jsonl, line 2: expected the field 'completion', found prompt_id"),
    ],
)
def test_malformed_line_is_named(tmp_path, line, says):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout()], tail=line + "\n")
    with pytest.raises(InputError, match=re.escape(says)):
        write_report(tmp_path, tmp_path / "r.html")


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "rates.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"rates\.parquet: expected a Parquet file"):
        write_report(tmp_path, tmp_path / "r.html")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "rates.parquet")
    with pytest.raises(InputError, match="expected the column 'prompt_id', found id"):
        write_report(tmp_path, tmp_path / "r.html")
    (tmp_path / "rates.parquet").unlink()
    write_lines(tmp_path / "findings.jsonl", [make_finding(start="0")])
    with pytest.raises(InputError, match="finding 1: expected start as int, got '0'"):
        write_report(tmp_path, tmp_path / "r.html")


def test_sealed_segments_of_a_store_are_read_too(tmp_path):
    with RolloutStore(tmp_path / "rates", {}, segment_bytes=1) as store:
        store.append([Rollout("a", 0, "first", 1.0)])
        store.append([Rollout("a", 1, "second", 0.0)])
    (tmp_path / "rates" / "answer_only").mkdir()
    (tmp_path / "rates" / "answer_only" / "rollouts.jsonl").write_text("")
    run = read_run(tmp_path)
    assert [row["completion"] for row in run.rollouts] == ["first", "second"]
    assert run.notes == []
