"""Each prompt's posterior in the report is the one that the guard's sampler chooses by."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_runs import make_rate, make_rollout, report, rows_of, write_lines, write_rates

from rlguard.guard import Guard
from rlguard.sampling.sampler import PromptSampler

IDS = ("never", "once", "half", "always")
RIGHT = {"never": 0, "once": 1, "half": 4, "always": 8}
FIGURES = ("skill", "impossible", "luck")


def train(guard: Guard, steps: int = 4) -> list[dict]:
    """Steps of a guarded run: 8 rollouts of each prompt; and their rows as a trainer logs them."""
    logged = []
    for step in range(1, steps + 1):
        rows = [
            make_rollout(name, i, f"we get {i} + {step}; answer {4 if i < RIGHT[name] else i}", step=step, answer=None,
                         outcome=float(i < RIGHT[name]), prompt=f"prompt of {name}", gold="4")
            for name in IDS for i in range(8)
        ]  # fmt: skip
        guard.apply(
            np.zeros(32), [row["outcome"] for row in rows],
            prompts_B=[row["prompt"] for row in rows], completions_B=[row["completion"] for row in rows],
            rows_B=[{"answer": "4", "rlguard_id": row["prompt_id"], "rlguard_successes": 2, "rlguard_trials": 4}
                    for row in rows],
            group_ids_B=np.repeat(range(4), 8),
        )  # fmt: skip
        logged += rows
    return logged


def expected(guard: Guard) -> dict[str, list[float]]:
    sampler = PromptSampler(4, 8, luck=guard.luck)
    sampler.observe(range(4), IDS)
    known = sampler.posterior(range(4))
    figures = (known.mean_P, known.impossible_P, known.chance_P)
    return {name: [float(column[place]) for column in figures] for place, name in enumerate(IDS)}


def told(data: dict, run: int = 0) -> dict[str, list[float]]:
    rows = zip(data["prompts"]["id"], rows_of(data["prompts"]["of"][run]), strict=True)
    return {name: [row[figure] for figure in FIGURES] for name, row in rows}


def test_the_guards_own_state_is_shown(tmp_path):
    guard = Guard()
    write_lines(tmp_path / "run/trl/metrics.jsonl", [{"step": 1, "reward": 0.1}])
    train(guard)
    (tmp_path / "run/trl/checkpoint-4").mkdir()
    guard.save(tmp_path / "run/trl/checkpoint-4/rlguard_state.json")
    rates = [make_rate(name, 2, "learnable") for name in IDS]
    write_rates(tmp_path / "run/rates/rates.parquet", [*rates, make_rate("unseen", 4, "mastered"),
                                                       make_rate("unrated", 0, "unscored", 0)])  # fmt: skip
    _, data = report(tmp_path / "run", tmp_path / "r.html")
    assert data["judges"] == ["the guard of trl"]
    found = told(data)
    for name, figures in expected(guard).items():
        assert found[name] == pytest.approx(figures, abs=1e-3), name
    assert found["never"][1] > 0.5 > found["once"][1] > found["half"][1]
    assert found["unseen"][0] > found["never"][0]  # by its rate
    assert found["unrated"] == [None] * 3


def test_without_a_state_a_guard_reads_the_rollouts(tmp_path):
    guard = Guard()
    rows = train(guard)
    write_lines(tmp_path / "run/trl/metrics.jsonl", [{"step": 1, "reward": 0.1}])
    (tmp_path / "run/trl/completions").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "run/trl/completions/completions_00001.parquet")
    write_rates(tmp_path / "run/rates/rates.parquet", [make_rate(name, 2, "learnable") for name in IDS])
    _, data = report(tmp_path / "run", tmp_path / "r.html")
    assert data["judges"] == ["a guard that reads the rollouts of trl"]
    found = told(data)
    for name, figures in expected(guard).items():
        assert found[name] == pytest.approx(figures, abs=1e-3), name


def test_rates_alone_count_in_full(tmp_path):
    counts = {"a": (0, 128), "b": (64, 128), "c": (1, 4), "d": (3, 4)}
    rates = [make_rate(name, k, "learnable", n, chance=0.02) for name, (k, n) in counts.items()]
    write_rates(tmp_path / "rates.parquet", [*rates, make_rate("odd", 5, "learnable", 4)])
    _, data = report(tmp_path, tmp_path / "r.html")
    found = told(data)
    assert found["a"][0] < 0.02
    assert found["a"][1] > 0.9
    assert found["b"][:2] == pytest.approx([0.5, 0.0], abs=0.05)
    assert found["a"][0] < found["c"][0] < found["d"][0]
    assert found["odd"] == [None] * 3  # more successes than trials


def test_a_damaged_state_is_named(tmp_path):
    write_lines(tmp_path / "trl/metrics.jsonl", [{"step": 1, "reward": 0.1}])
    (tmp_path / "trl/rlguard_state.json").write_text(json.dumps({"luck": {"seen": 3}}))
    write_rates(tmp_path / "rates/rates.parquet", [make_rate("a", 2, "learnable")])
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert [note for note in summary["notes"] if note.startswith("trl/rlguard_state.json was left out")]
    assert told(data)["a"][0] > 0
