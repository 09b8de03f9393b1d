"""A run of the efficacy benchmark in small, the plan, and the queue."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.usefixtures("quick_gc")
pytest.importorskip("trl")

from benchmarks.efficacy import build, plan, sweep  # noqa: E402
from benchmarks.efficacy import settings as known  # noqa: E402
from benchmarks.efficacy.families import FAMILIES, NEAR_IMPOSSIBLE  # noqa: E402
from benchmarks.efficacy.records import append_row, find_commit, key, read_rows  # noqa: E402
from benchmarks.efficacy.run import CODE, ROOT, Run, make_problems, run  # noqa: E402

SMALL = {"steps": 2, "problems": 32, "evaluate_every": 1, "evaluate_on": 40, "sampled": 6, "samples": 4}


@pytest.fixture(autouse=True)
def tiny_reasoner(monkeypatch):
    """The recipe's model instead of the family's own, which takes minutes to build."""
    monkeypatch.setattr(build, "build_model", lambda *_: ROOT / "recipes" / "tiny_reasoner" / "model")


def make_row(run, prior=0.8, learnable=0.5, **more):
    """A row as a run would write it, with these accuracies at the end."""
    ends = {"prior": {"accuracy": prior}, "learnable": {"accuracy": learnable}}
    row = {name: getattr(run, name) for name in ("arm", "family", "kind", "share", "seed", "rate", "steps", "design")}
    return row | {"before": ends, "after": ends, "curve": [], "seconds": 40.0, "commit": "abc", "scales": [0.5]} | more


@pytest.mark.parametrize(("arm", "kind"), [("grpo", "unlearnable"), ("rlguard", "length"), ("mean_rate", "rare_valid")])
def test_a_run_in_small(tmp_path, arm, kind):
    row = run(Run(arm, "sums", kind, 0.75, 1001, **SMALL), tmp_path, [0.5, 0.7], keep_model=arm == "grpo")
    assert [point["step"] for point in row["curve"]] == [1]
    assert 0 <= row["curve"][0]["lucky"] <= 1
    assert len(row["scales"]) == (2 if arm == "rlguard" else 0)
    assert row["learning_rate"] == pytest.approx(5e-4 * (0.6 if arm == "mean_rate" else 1))
    assert row["kl_prior"] > 0 < row["kl_trained"]
    for end in (row["before"], row["after"]):
        assert end["prior"]["pass@4"] >= end["prior"]["pass@1"] >= end["prior"]["computed_pass@1"] > 0.5
    assert (row["design"], row["commit"]) == ("llama", find_commit(*CODE))
    assert (tmp_path / "final").exists() == (arm == "grpo")
    assert len(json.dumps(sweep_shorten(row))) < 6_500  # 1,500 of them stay below 10 MB


def sweep_shorten(row):
    from benchmarks.efficacy.records import shorten

    return shorten(row)


def test_all_arms_of_a_seed_begin_with_one_measurement_of_their_model(tmp_path, monkeypatch):
    rows = [run(Run(arm, "sums", "guessable", 1.0, 1002, **SMALL), tmp_path) for arm in ("max_rl", "dr_grpo")]
    assert rows[0]["before"] == rows[1]["before"]
    assert len(list((tmp_path / "before").glob("*.json"))) == 1
    assert rows[0]["design"] == "neox"  # models take turns
    other = shutil.copytree(build.build_model(), tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({name: 1.01 * each for name, each in weights.items()}, other / "model.safetensors", {"format": "pt"})
    monkeypatch.setattr(build, "build_model", lambda *_: other)
    run(Run("grpo", "sums", "guessable", 1.0, 1002, **SMALL), tmp_path)
    assert len(list((tmp_path / "before").glob("*.json"))) == 2


def test_the_queue_keeps_no_row_of_another_model(tmp_path):
    with pytest.raises(ValueError, match="expected none of models"):
        sweep.do_and_keep(Run("grpo", "sums", "guessable", 1.0, 1002, **SMALL), tmp_path, tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_on_is_the_mix(family):
    rows = make_problems(Run("grpo", family, "format", 0.75, 1001, **SMALL))
    assert [row["family"] for row in rows].count("unlearnable") == 24
    assert all(0 < row["chance"] <= 0.5 for row in rows)
    assert {row["family"] for row in make_problems(Run("grpo", family, "unlearnable", 0.0, 1001, **SMALL))} == {"mix"}


def test_the_names_that_the_plan_uses_are_the_families_own():
    assert tuple(FAMILIES) == known.FAMILIES
    assert NEAR_IMPOSSIBLE == known.NEAR_IMPOSSIBLE


def test_the_plan_is_within_its_budget_and_asks_for_known_things():
    from benchmarks.efficacy.arms import ARMS

    counted = plan.count_parts()
    assert sum(runs for _, runs, _ in counted) <= plan.BUDGET[0]
    assert sum(seconds for _, _, seconds in counted) <= plan.BUDGET[1]
    arms = {arm for part in plan.PARTS for arm in part.arms}
    assert arms == set(ARMS)
    assert {arm for own in plan.TUNED.values() for arm in own} | plan.RATE_OF.keys() == set(ARMS)
    mixes = {mix for part in plan.PARTS for mix in part.mixes if part.family == "sums"}
    assert {(kind, share) for kind in NEAR_IMPOSSIBLE for share in (0.5, 0.75, 0.9, 1.0)} | {plan.LEARNABLE} <= mixes
    assert min(known.SEEDS) > 100 < 1000 < min(known.TUNING)
    assert {Run("grpo", "sums", *plan.LEARNABLE, seed).design for seed in known.TUNING} == set(known.DESIGNS)


def make_tuning(best):
    """Tuning rows in which an arm of a family is best at a rate."""
    runs = plan.list_tuning()
    return [make_row(one, learnable=0.5 + 0.1 * (one.rate == best.get((one.family, one.arm), 1.0))) for one in runs]


def test_rates_are_those_at_which_both_accuracies_are_highest():
    rows = make_tuning({("sums", "grpo"): 0.25, ("words", "rlguard"): 0.1})
    rates = plan.choose_rates(rows)
    assert rates["sums", "grpo"] == rates["sums", "random_reward"] == 0.25
    assert rates["words", "rlguard"] == rates["words", "mean_rate"] == 0.1
    assert rates["sums", "rlguard"] == 1.0
    missing = [row for row in rows if key(row) != key(Run("grpo", "sums", *plan.LEARNABLE, 1002, 0.5))]
    assert ("sums", "grpo") not in plan.choose_rates(missing)
    main = plan.choose_rates([row for row in rows if row["arm"] in plan.MAIN])
    assert not {one.arm for one in plan.list_reported(main)} & set(plan.RIVALS)
    runs = plan.list_runs(main)
    core, rivals = runs.index(next(plan.list_reported(main))), runs.index(Run("dr_grpo", "sums", *plan.LEARNABLE, 1001))
    assert all(one.seed in known.TUNING and one.arm in plan.MAIN and one.family != "words" for one in runs[:core])
    early = [one for one in plan.list_reported(main, plan.CORE) if one.family != "words" or one.seed in plan.FIRST]
    assert set(map(key, early)) == {key(one) for one in runs[:rivals] if one.seed < 1000}
    slow = [one.family == "words" for one in runs[rivals:]]
    assert slow == sorted(slow)
    assert {key(one) for one in plan.list_tuning()} == {key(one) for one in plan.list_runs({})}
    assert len(set(map(key, runs))) == len(runs)
    reported = list(plan.list_reported(rates))
    assert len({key(one) for one in reported}) == len(reported)
    assert all(one.rate == 0.1 for one in reported if one.arm == "rlguard" and one.family == "words")
    assert {one.rate for one in reported if one.arm == "grpo" and one.family == "sums"} == set(known.RATES)


def test_the_queue_tunes_first_then_reports_and_lets_followers_wait(tmp_path):
    rows = tmp_path / "rows.jsonl"
    queue = sweep.Queue(rows, until=float("inf"), tuning_only=False)
    tuning = []
    while (one := next(queue, None)) is not None:
        tuning.append(one)
    assert sorted(map(key, tuning)) == sorted(map(key, plan.list_tuning()))  # no rate is known yet
    for row in make_tuning({}):
        append_row(row, rows)
    reported = []
    while (one := next(queue, None)) is not None:
        reported.append(one)
    assert reported
    assert not {one.arm for one in reported} & set(plan.FOLLOWING)
    core = {key(one) for one in plan.list_reported(plan.choose_rates(read_rows(rows)), plan.CORE)}
    place = [key(one) in core for one in reported if one.family != "words" or one.seed in plan.FIRST]
    assert place == sorted(place, reverse=True)  # what matters most stands first
    guarded = next(one for one in reported if (one.arm, one.kind, one.share) == ("rlguard", "unlearnable", 0.75))
    append_row(make_row(guarded), rows)
    assert {next(queue).arm, next(queue).arm} == set(plan.FOLLOWING)
    assert next(queue, None) is None
    assert next(sweep.Queue(rows, until=0.0, tuning_only=False), None) is None  # its time is over
    again = sweep.Queue(rows, until=float("inf"), tuning_only=True)
    assert next(again, None) is None  # all are there


def test_rows_are_appended_whole_and_a_torn_one_is_cut(tmp_path):
    rows = tmp_path / "rows.jsonl"
    one, two = (Run("grpo", "sums", "unlearnable", share, 1001) for share in (0.0, 1.0))
    append_row(make_row(one, after={"prior": {"accuracy": 0.123456}}), rows)
    with rows.open("a") as file:
        file.write('{"half')
    assert len(read_rows(rows)) == 1
    append_row(make_row(two), rows)
    first, second = read_rows(rows)
    assert first["after"]["prior"]["accuracy"] == 0.1235
    assert key(second) == key(two)
    assert key(one) == key(replace(one, kind="guessable"))  # without any, the kind is only a name
    assert key(two) != key(replace(two, kind="guessable"))


class Worker:
    """Stands for a process of the pool and fails on one kind."""

    def __init__(self, *_, **__):
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, todo, out, do):
        future = Future()
        self.started.append(todo.kind)
        future.set_result(todo.kind != "guessable")
        return future


def test_the_queue_goes_on_and_says_what_failed(tmp_path, monkeypatch):
    runs = [Run("grpo", "sums", kind, 1.0, 7) for kind in ("unlearnable", "guessable", "mislabelled")]
    pool, told = Worker(), []
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", lambda *_, **__: pool)
    tell = lambda going, failed: told.append((list(going), list(failed)))  # noqa: E731
    assert sweep.work_off(runs, tmp_path, 2, run, tell) == [runs[1].name]
    assert pool.started == ["unlearnable", "guessable", "mislabelled"]
    assert told[0] == ([runs[0].name, runs[1].name], [])
    assert told[-1] == ([], [runs[1].name])


def test_a_run_that_fails_leaves_its_log(tmp_path, capfd):
    todo = Run("no such arm", "sums", "guessable", 1.0, 7, **SMALL)
    assert not sweep.do_run(todo, tmp_path, run)
    assert "KeyError" in (tmp_path / "logs" / f"{todo.name}.txt").read_text()


def test_the_progress_page_says_how_far_it_is():
    runs = plan.list_tuning()[:4]
    page = sweep.write_progress(runs, [make_row(runs[0])], [runs[1].name], [runs[2].name], workers=2)
    assert "1 of 4 runs done, about 0.0 hours left" in page
    assert f"under way: {runs[1].name}\nfailed: {runs[2].name}" in page
    assert "prior 0.8 -&gt; 0.8" in page
