"""The plan of GPU runs: order, packing, clock, resume, and a dry run of the whole path on a CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.efficacy.records import write_whole
from benchmarks.gpu import plan as planning
from benchmarks.gpu import runs, table
from benchmarks.gpu.plan import HEADROOM, SLOWER, Job, Machine, Plan
from benchmarks.gpu.runs import FIVE, Run, list_needs, list_queue

ROOT = Path(__file__).parents[1]
CARD = Machine("card", 40.0, {"torch": "2"})
TRAIN = Run(1, "train", "smollm2", arm="rlguard", seed=1)


def write_row(folder, run, machine=CARD, name=None, **more):
    row = asdict(run) | {
        "guard": runs.read_guard_version(), "kind": run.kind, "machine": machine.key, "memory_gb": 8.0,
        "date": "2026-01-01",
        "start_s": 10.0, "step_s": 1.0, "evaluate_s": 2.0, "evaluations": 7, "name": name or run.name,
    }  # fmt: skip
    write_whole(folder / f"{name or run.name}.json", row | more)


def probe(folder, run, **more):
    write_row(folder, replace(run, steps=2), name=Plan([], CARD, folder).name_probe(run), evaluations=2, **more)


def test_the_queue_is_seed_by_seed_and_the_control_follows_the_guard():
    queue = list_queue()
    first = queue[:10]
    assert [run.seed for run in first] == [1] * 5 + [2] * 5
    assert [run.arm for run in first[:5]] == list(FIVE)
    assert [run.item for run in queue] == sorted(run.item for run in queue)
    assert len({run.name for run in queue}) == len(queue)
    for place, run in enumerate(queue):
        assert set(list_needs(run)) <= {earlier.name for earlier in queue[:place]}


def test_every_row_of_an_item_has_three_seeds():
    for item in (1, 2, 3, 4, 5):
        assert {run.seed for run in list_queue() if run.item == item and run.what == "train"} == {1, 2, 3}


def test_a_kind_is_measured_alone_first(tmp_path):
    plan = Plan([TRAIN, replace(TRAIN, arm="grpo")], CARD, tmp_path)
    job = plan.choose(plan.queue, {}, 500)
    assert (job.run, job.probe) == (TRAIN, True)
    assert plan.choose(plan.queue, {"other": Job(TRAIN, 1.0, 1.0)}, 500) is None


def test_limits_of_what_runs_together_fit(tmp_path):
    probe(tmp_path, TRAIN, memory_gb=16.0)
    plan = Plan(list_queue(), CARD, tmp_path)
    waiting, going = plan.list_waiting(), {}
    while (job := plan.choose(waiting, going, 10_000)) is not None:
        going[job.run.name] = job
        waiting.remove(job.run)
    assert [job.memory_gb for job in going.values()] == [HEADROOM * 16.0] * 2
    assert sum(job.memory_gb for job in going.values()) <= CARD.memory_gb


def test_the_control_waits_for_the_guarded_run(tmp_path):
    control = replace(TRAIN, arm="grpo_mean_rate")
    probe(tmp_path, TRAIN)
    plan = Plan([TRAIN, control], CARD, tmp_path)
    assert plan.choose([control], {}, 10_000) is None
    write_row(tmp_path, TRAIN)
    assert Plan([TRAIN, control], CARD, tmp_path).choose([control], {}, 10_000).run == control


def test_the_clock_is_asked_before_a_run_starts(tmp_path):
    probe(tmp_path, TRAIN)
    plan = Plan([TRAIN], CARD, tmp_path)
    seconds = plan.find_seconds(TRAIN)
    assert seconds == pytest.approx(SLOWER * (10 + 150 * 1 + 2 * (1 + 150 / 2)))
    assert plan.choose([TRAIN], {}, seconds - 1) is None
    assert plan.choose([TRAIN], {}, seconds).run == TRAIN


def test_what_does_not_fit_says_why(tmp_path):
    control = replace(TRAIN, arm="grpo_mean_rate")
    assert Plan([TRAIN], CARD, tmp_path).explain([TRAIN], 20) == {TRAIN.kind: "takes 60 s, 20 are left"}
    probe(tmp_path, TRAIN, memory_gb=36.0)
    plan = Plan([TRAIN], CARD, tmp_path)
    assert plan.choose([TRAIN], {}, 10_000) is None
    assert plan.explain([TRAIN], 10_000) == {TRAIN.kind: "takes 45.0 GiB, 40.0 are there"}
    assert plan.explain([control], 10_000) == {control.kind: f"waits for {TRAIN.name}"}


def test_what_was_measured_on_another_card_or_software_does_not_count(tmp_path):
    probe(tmp_path, TRAIN)
    for machine in (replace(CARD, card="other"), replace(CARD, software={"torch": "3"})):
        plan = Plan([TRAIN], machine, tmp_path)
        assert plan.find_seconds(TRAIN) is None
        assert plan.find_seconds(TRAIN, any_card=True) is not None
        assert plan.choose([TRAIN], {}, 500).probe


@pytest.mark.parametrize(
    ("arm", "change", "state"),
    [
        ("rlguard", {}, "done"),
        ("rlguard", {"guard": "old"}, "stale"),
        ("grpo_mean_rate", {"guard": "old"}, "stale"),
        ("grpo", {"guard": "old"}, "done"),
        ("grpo_half", {"guard": "old"}, "done"),
        ("grpo", {"steps": 10}, "stale"),
    ],
)
def test_only_guarded_rows_of_another_guard_are_run_again(tmp_path, arm, change, state):
    run = replace(TRAIN, arm=arm)
    write_row(tmp_path, run, **change)
    plan = Plan([run], CARD, tmp_path)
    assert plan.find_state(run) == state
    assert plan.list_waiting() == ([] if state == "done" else [run])
    assert table.is_current(plan.rows[run.name], plan.guard) == (state == "done" or "steps" in change)


def test_comments_and_docstrings_do_not_change_the_guard_and_code_does():
    def shape(code):
        import ast

        return runs.shape_code(ast.parse(code))

    assert shape('def f():\n    "Says."\n    return 1  # why') == shape("def f():\n    return 1")
    assert shape("def f():\n    return 1") != shape("def f():\n    return 2")


def test_a_half_row_is_never_there(tmp_path):
    class Unwritable:
        pass

    with pytest.raises(TypeError):
        write_whole(tmp_path / "row.json", {"a": Unwritable()})
    assert not list(tmp_path.glob("*.json"))
    (tmp_path / "row.123").write_text('{"half":')  # of a process that was killed
    assert Plan([TRAIN], CARD, tmp_path).rows == {}


def test_rows_of_several_days_add_up_and_the_newer_wins(tmp_path):
    old, new = tmp_path / "committed", tmp_path / "rows"
    write_row(old, TRAIN, date="2026-01-01", step_s=1.0)
    write_row(old, replace(TRAIN, seed=2))
    write_row(new, TRAIN, date="2026-02-01", step_s=9.0)
    rows = Plan([TRAIN], CARD, new, old).rows
    assert (len(rows), rows[TRAIN.name]["step_s"]) == (2, 9.0)
    planning.write_archive(new, tmp_path / "rows.tar.xz")
    assert [table.take(tmp_path / "rows.tar.xz", old) for _ in range(2)] == [1, 0]
    assert json.loads((old / f"{TRAIN.name}.json").read_text())["step_s"] == 9.0


def test_the_list_says_order_time_and_question(tmp_path):
    probe(tmp_path, TRAIN)
    said = planning.write_list(Plan(list_queue(), CARD, tmp_path))
    assert all(question in said for question in runs.QUESTIONS.values())
    assert "unmeasured" in said
    assert said.index(TRAIN.name) < said.index("cost-smollm2-grpo")
    assert f"{Plan([], CARD, tmp_path).find_seconds(TRAIN) / 60:.1f} min" in said


@pytest.fixture
def gsm8k(tmp_path):
    """Rows of GSM8K's shape that the tiny model can solve."""
    from tiny_reasoner.tasks import make_problems

    rows = make_problems({"mix": 1, "unlearnable": 1}, 60, 1)
    folder = tmp_path / "data" / "gsm8k"
    folder.mkdir(parents=True)
    lines = [json.dumps({"question": row["prompt"], "answer": f"so\n#### {row['answer']}"}) for row in rows]
    (folder / "train.jsonl").write_text("\n".join(lines))
    return tmp_path / "data"


def start_plan(tmp_path, gsm8k, *more):
    command = [sys.executable, "benchmarks/gpu/plan.py", "--dry", "--rows", str(tmp_path / "rows"), *more]
    environment = os.environ | {"RLGUARD_DATA": str(gsm8k), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_dry_run_stops_goes_on_and_makes_the_table(tmp_path, gsm8k):
    pytest.importorskip("trl")
    archive = tmp_path / "rows.tar.xz"
    stopped = start_plan(tmp_path, gsm8k, "--minutes", "9", "--beside", "1")
    said = ""
    for line in stopped.stdout:
        said += line
        if "starts train-" in line:
            break
    time.sleep(0.2)
    stopped.send_signal(signal.SIGTERM)
    said += stopped.stdout.read()  # not communicate(): it would miss what iterating has buffered
    assert "stopped: train-tiny-arithmetic-1-correct-rlguard-1 will begin again" in said, said
    assert [path.name[:12] for path in (tmp_path / "rows").iterdir()] == ["probe-train-"]  # whole rows, no half one

    said, _ = start_plan(tmp_path, gsm8k, "--minutes", "9", "--archive", str(archive)).communicate(timeout=120)
    assert "7 of 7 done, 0 failed" in said, said
    assert "probe-train-tiny-arithmetic" not in said  # measured in the first slice
    rows = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "rows").glob("*.json")}
    guarded, control = (rows[f"train-tiny-arithmetic-1-correct-{arm}-1"] for arm in ("rlguard", "grpo_mean_rate"))
    assert control["rate_factor"] == pytest.approx(sum(guarded["scales"]) / 2)
    assert [point["step"] for point in guarded["curve"]] == [0, 1, 2]
    assert rows["train-tiny-gsm8k-0.75-three-rlguard-1"]["near_impossible"] == pytest.approx(0.75, abs=0.1)
    assert min(rows["cost-tiny-rlguard"]["guard_ms"]) > 0
    for name in ("commit", "guard", "seed", "arm", "card", "software", "command"):
        assert name in guarded
    with tarfile.open(archive) as tar:
        assert sum(name.startswith("rows/") for name in tar.getnames()) == len(rows)
    assert table.take(archive, tmp_path / "kept") == len(rows)
    block = table.write_block(table.read_rows(tmp_path / "kept"), guarded["guard"])
    assert "| tiny, arithmetic, 100% near-impossible | grpo_mean_rate | 1 |" in block
    assert table.fill("a <!-- gpu -->old<!-- end --> b", block).count(block) == 1

    said, _ = start_plan(tmp_path, gsm8k, "--minutes", "9").communicate(timeout=60)
    assert "starts" not in said
