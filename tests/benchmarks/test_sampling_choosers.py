"""What rlguard's sampler is compared with: each chooses as its paper says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.sampling.choosers import Greso, Mopps, Uniform
from benchmarks.sampling.run import read_at, write_table


def test_uniform_takes_each_prompt_once_an_epoch():
    chooser = Uniform(12, np.random.default_rng(0))
    for _ in range(3):
        assert sorted(np.concatenate([chooser.choose(4) for _ in range(3)])) == list(range(12))


def test_greso_skips_what_was_silent_and_comes_back():
    chooser = Greso(20, np.random.default_rng(0))
    for _ in range(3):
        chooser.observe(np.arange(20), np.repeat([0.0, 0.5], 10))
    taken = np.concatenate([chooser.choose(5) for _ in range(200)])
    assert 0 < (taken < 10).mean() < 0.3


def test_mopps_takes_the_middle_and_forgets_by_half():
    chooser = Mopps(30, np.random.default_rng(0), 8)
    for _ in range(3):
        chooser.observe(np.arange(30), np.repeat([0.0, 0.5, 1.0], 10))
    assert chooser.predict(np.array([0, 10, 20])) == pytest.approx([0.07, 0.5, 0.93], abs=0.02)
    taken = np.concatenate([chooser.choose(4) for _ in range(50)])
    assert ((taken >= 10) & (taken < 20)).mean() > 0.9


def test_the_table_reads_curves_between_their_points():
    curve = [{"rollouts": 0, "learnable": 0.2, "prior": 0.9}, {"rollouts": 100, "learnable": 0.6, "prior": 0.7}]
    assert read_at(curve, 50, "learnable") == pytest.approx(0.4)
    row = {"family": "sums", "share": 0.5, "arm": "mopps", "curve": curve, "rollouts": 100, "signal": 0.5,
           "spearman": {"mopps": 0.1, "rlguard": 0.2}, "choosing": 0.01}  # fmt: skip
    assert "| sums | 50% | mopps | 2 | 0.400 ± 0.000 | 0.600 ± 0.000 |" in write_table([row, row])
