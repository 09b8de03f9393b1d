from __future__ import annotations

import math

import pytest

from rlguard.difficulty.preflight import check_preflight
from rlguard.types import PassRate, name_band


def rate(k, n, **options):
    band = name_band(k / n) if n else "unscored"
    return PassRate("p", k, n, 0.0, 1.0, band, **options)


def test_shares_and_gain():
    found = check_preflight([rate(0, 64), rate(32, 64), rate(64, 64), rate(32, 64)])
    assert (found.prompts, found.learnable, found.mastered) == (4, 0.5, 0.25)
    assert found.pass_1 == pytest.approx(0.5, abs=0.02)
    assert found.pass_k == pytest.approx(0.75, abs=0.05)  # the two middle ones are solved once in 8 almost surely
    assert math.isnan(found.guessable)
    assert "guessable unknown" in found.describe()


def test_few_rollouts_do_not_flatter_pass_at_k():
    """A hundred prompts at 0 of 4 are a population near 0; pass@8 must not be that of the prior."""
    found = check_preflight([rate(0, 4)] * 100 + [rate(4, 4)] * 100)
    assert found.pass_k - found.pass_1 < 0.1


def test_guessable_wrong_labels_truncation():
    rates = [rate(8, 16, above_chance=0.99)] * 3 + [rate(8, 16, above_chance=0.6)]
    rates += [rate(0, 8, other_answer="7", other_count=7, truncated=4), rate(0, 8, other_answer="7", other_count=3)]
    found = check_preflight(rates)
    assert found.guessable == 0.25
    assert found.wrong_labels == 1 / 6
    assert found.truncated == 4 / 80
    assert "guessable 25% of the learnable · wrong labels suspected 16.7%" in found.describe()


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ([rate(8, 16)] * 6 + [rate(0, 16)] * 4, "worth starting: most"),
        ([rate(8, 16)] * 2 + [rate(0, 16)] * 8, "filter first"),
        ([rate(0, 16)] * 10, "not worth starting"),
        ([rate(16, 16)] * 10, "mastered most"),
        ([rate(8, 16, truncated=12)] * 10, "allow more tokens"),
        ([rate(8, 16, above_chance=0.5)] * 10, "not worth starting"),
        ([rate(0, 0)], "nothing can be said"),
        ([], "nothing can be said"),
    ],
)
def test_verdicts(rates, verdict):
    assert verdict in check_preflight(rates).verdict


def test_published_rates_without_counts():
    found = check_preflight([PassRate("p", 0, 0, 0.0, 1.0, "learnable", rate=0.5, status="published")] * 4)
    assert (found.pass_1, found.pass_k) == (0.5, pytest.approx(1 - 0.5**8))


def test_rollouts_without_an_answer_say_nothing_of_the_model():
    """An instruct model that is asked in plain text often ends at once: no reason to look for a stronger one."""
    found = check_preflight([rate(0, 24, unanswered=15)] * 4 + [rate(1, 24, unanswered=15)] * 4)
    assert found.unanswered == 15 / 24
    assert found.verdict.startswith("not yet: 62% of the rollouts are empty or hold no final answer")
    assert "in chat messages" in found.verdict
