from __future__ import annotations

import json
import math

import numpy as np
import pytest

from benchmarks.efficacy.table import bootstrap, find_harm, read_runs, write_cell, write_table


def row(arm, seed, after):
    group = {"share_computed": 0.8, "share_bare": 0.1, "computed_pass@1": 0.1, "computed_pass@64": 0.5}
    curve = [{"step": 0, "prior_accuracy": 0.8}, {"step": 10, "prior_accuracy": after}]
    ends = {
        when: {name: group | {"accuracy": value} for name in ("prior", "learnable", "rare_valid")}
        for when, value in (("before", 0.8), ("after", after))
    }
    return {"arm": arm, "kind": "unlearnable", "share": 1.0, "seed": seed, "curve": curve} | ends


def test_interval_covers_the_mean_and_needs_two_seeds():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        low, high = bootstrap(rng.normal(1.0, 1.0, 20), draws=500)
        covered += low <= 1.0 <= high
    assert 175 <= covered <= 200
    assert all(map(math.isnan, bootstrap([1.0])))


def test_harm_is_the_first_fall_by_five_points():
    curve = [{"step": 10 * i, "prior_accuracy": a} for i, a in enumerate((0.8, 0.79, 0.75, 0.9))]
    assert find_harm(curve) == 20
    assert math.isnan(find_harm(curve[:2]))


def test_table_of_a_mix(tmp_path):
    (tmp_path / "runs").mkdir()
    for arm, values in {"grpo": (0.4, 0.2), "rlguard": (0.8, 0.84)}.items():
        for seed, value in enumerate(values, 1):
            (tmp_path / "runs" / f"{arm}-{seed}.json").write_text(json.dumps(row(arm, seed, value)))
    (tmp_path / "runs" / "other.json").write_text(json.dumps(row("grpo", 1000, 0.8)))
    rows = read_runs(tmp_path, [1, 2])
    table = write_table(rows, "unlearnable", 1.0).split("\n")
    assert len(rows) == 4
    assert table[2].startswith("| grpo | 2 | 0.375 [0.250, 0.500] | 1.000 [1.000, 1.000] | -0.500")
    assert table[3].startswith("| rlguard | 2 | 1.025 [1.000, 1.050]")
    assert table[2].endswith("| 10 [10, 10] |")
    assert table[3].endswith("| – |")


@pytest.mark.parametrize(
    ("values", "cell"),
    [([0.5], "0.500"), ([math.nan, 20.0], "20 (1 of 2)"), ([math.nan], "–"), ([0.5, 0.5], "0.500 [0.500, 0.500]")],
)
def test_cells(values, cell):
    assert write_cell(values) == cell
