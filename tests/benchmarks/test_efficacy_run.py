"""A run of the efficacy benchmark in small, and the sweep."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
pytest.importorskip("trl")

from benchmarks.efficacy import build, measures, sweep, warn  # noqa: E402
from benchmarks.efficacy.measures import pass_at_k  # noqa: E402
from benchmarks.efficacy.run import ROOT, Run, find_commit, run  # noqa: E402

SMALL = {"steps": 2, "problems": 32, "evaluate_every": 1, "evaluate_on": 40, "pass_problems": 10, "samples": 4}


@pytest.fixture(autouse=True)
def tiny_reasoner(monkeypatch):
    """The recipe's model instead of the family's own, which takes minutes to build."""
    monkeypatch.setattr(build, "build_model", lambda family, out: ROOT / "recipes" / "tiny_reasoner" / "model")


@pytest.mark.parametrize("arm", ["grpo", "rlguard_rewrite"])
def test_a_pair_of_runs_in_small(tmp_path, arm):
    row = run(Run(arm, "sums", "unlearnable", 0.75, 1000, **SMALL), tmp_path)
    assert json.loads((tmp_path / "runs" / f"sums-{arm}-unlearnable-0.75-1000.json").read_text()) == row
    assert [point["step"] for point in row["curve"]] == [0, 1, 2]
    assert 0 <= row["curve"][-1]["lucky_share_true"] <= 1
    assert "rlguard/lucky_share" in row["curve"][-1]  # grpo is observed
    for end in (row["before"], row["after"]):
        assert end["prior"]["pass@4"] >= end["prior"]["pass@1"] >= end["prior"]["computed_pass@1"] > 0.5
    assert (row["kept"], row["commit"]) == (32, find_commit())


def test_rows_are_judged_again_as_they_were(tmp_path, monkeypatch, capsys):
    sampled = []

    def sample_once(*args):  # the last bit of a sum can differ from call to call, and with it a token
        sampled.append(sampled[0] if sampled else warn_sample(*args))
        return sampled[0]

    warn_sample = warn.sample_before
    monkeypatch.setattr(warn, "sample_before", sample_once)
    monkeypatch.setattr(measures, "sample_before", sample_once)
    row = run(Run("rlguard_filter", "sums", "unlearnable", 0.25, 1000, **SMALL), tmp_path)
    path = tmp_path / "runs" / "sums-rlguard_filter-unlearnable-0.25-1000.json"
    forged = json.loads(path.read_text())
    forged["curve"][1]["warnings"] = {"forged": 1}
    path.write_text(json.dumps(forged))
    monkeypatch.setattr("sys.argv", ["warn.py", "--out", str(tmp_path)])
    for said in ("1 of 1 rows have", "0 of 1 rows have"):
        warn.main()
        assert json.loads(path.read_text()) == row
        assert said in capsys.readouterr().out
    assert len(sampled) == 3  # in the run, and each time that it is judged


def test_the_filter_of_an_arm_trains_on_what_it_keeps(tmp_path):
    row = run(Run("rlguard_filter", "sums", "unlearnable", 0.5, 1000, **SMALL), tmp_path)
    assert 0 < row["kept"] < 24


def test_all_arms_of_a_seed_begin_with_one_measurement(tmp_path):
    rows = [run(Run(arm, "sums", "guessable", 1.0, 1000, **SMALL), tmp_path) for arm in ("balanced_filter", "dr_grpo")]
    assert rows[0]["before"] == rows[1]["before"] != rows[1]["after"]
    assert len(list((tmp_path / "before").glob("*.json"))) == 1


def test_pass_at_k_by_hand():
    assert pass_at_k(2, 4, 2) == pytest.approx(1 - 1 / 6)  # of 6 pairs one has neither


class Worker:
    """Stands for a process of the pool and fails on one kind."""

    def __init__(self, *_, **__):
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, todo, out, do):
        future = sweep.Future()
        self.started.append(todo.kind)
        future.set_result(todo.kind != "guessable")
        return future


def test_the_queue_goes_on_and_says_what_failed(tmp_path, monkeypatch):
    runs = [Run("grpo", "sums", kind, 1.0, 7) for kind in ("unlearnable", "guessable", "mislabelled")]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{runs[0].name}.json").write_text("{}")
    pool = Worker()
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", lambda *_, **__: pool)
    assert sweep.work_off(runs, tmp_path, workers=2) == ["sums-grpo-guessable-1-7"]
    assert pool.started == ["guessable", "mislabelled"]


def test_the_plans_hold_the_whole_grid_once():
    runs = sweep.list_runs(sweep.PLANS, [1, 2])
    assert len(runs) == len(set(runs))
    mixes = {(r.family, r.kind, r.share) for r in runs if r.share}
    assert len(mixes) == 3 * 4 * 4
    assert {r.kind for r in runs if not r.share} == {"unlearnable"}  # without any, the kind is only a name
    assert len({r.arm for r in runs}) == 11 + 8  # compared, and ablations of the one model of luck


def test_a_run_that_fails_leaves_its_log(tmp_path, capfd):
    assert not sweep.do_run(Run("no such arm", "sums", "guessable", 1.0, 7, **SMALL), tmp_path, run)
    assert "KeyError" in (tmp_path / "logs" / "sums-no such arm-guessable-1-7.txt").read_text()
