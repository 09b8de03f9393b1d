"""Accuracy by format, against plain loops over the bases drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_audit_retention import NAN, by_key, draw_weights, make, mean

from rlguard.audit.retention import format_figures

VARIANTS = ("plain", "prompt:last", "prompt:list", "answer:words")


def asked(rates, bases):
    """One sample a base and variant with this pass rate in fourths, NaN unscored, None not asked."""
    samples = []
    for variant, row in rates.items():
        for base, rate in zip(bases, row, strict=True):
            if rate is not None:
                outcomes = [NAN] * 4 if math.isnan(rate) else [1.0] * round(rate * 4) + [0.0] * (4 - round(rate * 4))
                samples.append(make(outcomes, variant=variant, base=base))
    return samples


def test_figures_by_hand():
    rates = {"plain": [1.0, 0.5], "prompt:last": [0.5, 0.5], "answer:words": [1.0, 0.0]}
    found = by_key(format_figures(asked(rates, ["a", "b"])))
    values = {name: (figure.value, figure.better, figure.questions) for (name, _), figure in found.items()}
    assert values == {
        "accuracy, prompt:last": (0.5, 1, 2),
        "accuracy, answer:words": (0.5, 1, 2),
        "accuracy lost to the format": ((0.5 + 0 + 0 + 0.5) / 4, -1, 2),
        "accuracy in the worst format": (0.5, 1, 2),
    }
    worst = found["accuracy in the worst format", "all"].statistic(np.array([[2.0, 0], [0, 2], [0, 0]]))
    assert worst.tolist() == pytest.approx([0.5, 0.0, NAN], nan_ok=True)  # another variant is worst in each


@pytest.mark.parametrize("seed", range(4))
def test_figures_agree_with_plain_loops(seed):
    rng = np.random.default_rng(seed)
    bases = [f"b{i}" for i in range(9)]
    rates = {v: rng.choice([0, 0.25, 0.5, 1, NAN], size=9).tolist() for v in VARIANTS}
    rates["answer:words"][seed] = rates["plain"][seed + 1] = None
    found = by_key(format_figures(asked(rates, bases)))
    table = {v: [NAN if rate is None else rate for rate in row] for v, row in rates.items()}
    for row in draw_weights(9, 20, rng):
        drawn = [i for i, w in enumerate(row) for _ in range(int(w))]
        means = {v: mean([table[v][i] for i in drawn]) for v in VARIANTS[1:]}
        losses = [table["plain"][i] - table[v][i] for i in drawn for v in VARIANTS[1:]]
        weights = row[None]
        assert found["accuracy lost to the format", "all"].statistic(weights)[0] == pytest.approx(mean(losses))
        worst = min(value for value in means.values() if math.isfinite(value))
        assert found["accuracy in the worst format", "all"].statistic(weights)[0] == pytest.approx(worst)
        assert found["accuracy, prompt:last", "all"].statistic(weights)[0] == pytest.approx(means["prompt:last"])


def test_only_the_formats_of_answerable_questions_count():
    samples = asked({"plain": [1.0], "confidence": [0.0], "abstain": [0.0], "prompt:last": [1.0]}, ["a"])
    samples.append(make([0.0], variant="prompt:last", base="u", answerable=False))
    found = by_key(format_figures(samples))
    assert {name for name, _ in found} == {
        "accuracy, prompt:last",
        "accuracy lost to the format",
        "accuracy in the worst format",
    }
    assert found["accuracy, prompt:last", "all"].questions == 1


def test_without_variants_there_are_no_figures_and_without_plain_no_loss():
    assert format_figures([]) == []
    assert format_figures(asked({"plain": [1.0]}, ["a"])) == []
    alone = format_figures(asked({"prompt:last": [1.0]}, ["a"]) + asked({"plain": [1.0]}, ["other"]))
    assert [figure.name for figure in alone] == ["accuracy, prompt:last", "accuracy in the worst format"]


def test_unscored_variants_keep_their_questions_and_do_not_vote():
    found = format_figures(asked({"plain": [1.0, 1.0], "prompt:last": [NAN, NAN], "answer:x": [NAN, 0.0]}, ["a", "b"]))
    assert [figure.questions for figure in found] == [2] * 4
    assert [figure.value for figure in found] == pytest.approx([NAN, 0.0, 1.0, 0.0], nan_ok=True)
    nothing = format_figures(asked({"plain": [NAN], "prompt:last": [NAN]}, ["a"]))
    assert all(math.isnan(figure.value) for figure in nothing)
