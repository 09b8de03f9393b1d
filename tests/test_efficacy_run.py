"""A run of the efficacy benchmark in small, and the sweep."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
pytest.importorskip("trl")

from benchmarks.efficacy import sweep  # noqa: E402
from benchmarks.efficacy.measures import pass_at_k  # noqa: E402
from benchmarks.efficacy.run import Run, run  # noqa: E402

SMALL = {"steps": 2, "problems": 32, "evaluate_every": 1, "evaluate_on": 40, "samples": 4}


@pytest.mark.parametrize("arm", ["grpo", "rlguard_rewrite"])
def test_a_pair_of_runs_in_small(tmp_path, arm):
    row = run(Run(arm, "unlearnable", 0.75, 1000, **SMALL), tmp_path)
    assert json.loads((tmp_path / "runs" / f"{arm}-unlearnable-0.75-1000.json").read_text()) == row
    assert [point["step"] for point in row["curve"]] == [0, 1, 2]
    assert 0 <= row["curve"][-1]["lucky_share_true"] <= 1
    assert ("rlguard/lucky_share" in row["curve"][-1]) == (arm != "grpo")
    for end in (row["before"], row["after"]):
        assert end["prior"]["pass@4"] >= end["prior"]["pass@1"] >= end["prior"]["computed_pass@1"] > 0.5
    assert row["kept"] == 32


def test_the_filter_of_an_arm_trains_on_what_it_keeps(tmp_path):
    row = run(Run("rlguard_filter", "unlearnable", 0.5, 1000, **SMALL), tmp_path)
    assert 0 < row["kept"] < 24


def test_pass_at_k_by_hand():
    assert pass_at_k(2, 4, 2) == pytest.approx(1 - 1 / 6)  # of 6 pairs one has neither


def test_the_queue_goes_on_and_says_what_failed(tmp_path, monkeypatch):
    runs = [Run("grpo", kind, 1.0, 7) for kind in ("unlearnable", "guessable", "mislabelled")]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{runs[0].name}.json").write_text("{}")
    started = []

    def start(run, out):
        started.append(run.kind)
        return sweep.subprocess.Popen(["false" if run.kind == "guessable" else "true"])

    monkeypatch.setattr(sweep, "start", start)
    assert sweep.work_off(runs, tmp_path, workers=2) == ["grpo-guessable-1-7"]
    assert started == ["guessable", "mislabelled"]
