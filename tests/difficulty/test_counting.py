from __future__ import annotations

import math

import pytest

from rlguard.difficulty.counting import count_rates, summarise_chance
from rlguard.rollouts.segments import Tally
from rlguard.types import Problem


def group(prompt_id, answers, truncated=0, unscored=0):
    """A group as the store gives it: answer -> (given, right)."""
    trials, successes = (sum(pair[i] for pair in answers.values()) for i in (0, 1))
    return prompt_id, Tally(successes, trials, trials + unscored, truncated), answers


def count(problems, groups, **options):
    return {rate.prompt_id: rate for rate in count_rates(problems, groups, True, **options)}


def test_chance_rate_comes_from_the_wrong_answers_to_other_prompts():
    problems = [Problem("a", "?", "1"), Problem("b", "?", "2"), Problem("c", "?", "red")]
    rates = count(
        problems,
        [
            group("a", {"2": (3, 0), "1": (1, 1)}),
            group("b", {"2": (1, 1), None: (1, 0)}),
            group("other", {"2": (9, 9)}),
        ],
    )
    assert rates["b"].chance_rate == pytest.approx(
        3 / 3.7, abs=0.02
    )  # of 3 failures, and what passed by luck beside them
    assert rates["b"].chance_low == pytest.approx(0.194, abs=1e-3)  # Clopper–Pearson for 3 of 4
    assert rates["a"].chance_rate == 0.0
    assert math.isnan(rates["c"].chance_rate)
    assert rates["c"].status == "not_sampled"
    assert math.isnan(rates["c"].rate)


def test_an_answer_that_passed_is_no_wrong_answer_however_it_is_spelled():
    problems = [Problem("a", "?", "0.5"), Problem("b", "?", "7"), Problem("c", "?", "x=3")]
    rates = count(problems, [group("a", {"1/2": (4, 4)}), group("b", {"7": (4, 4)}), group("c", {"3": (8, 8)})])
    assert all(rate.other_answer is None for rate in rates.values())


def test_a_prompt_that_is_not_above_chance_is_told_apart():
    """Yes/no questions: half right is guessing, all right is not."""
    problems = [Problem(f"p{i}", "?", "yes" if i % 2 else "no") for i in range(10)]
    groups = [group(p.id, {p.answer: (8, 8), ("no" if p.answer == "yes" else "yes"): (8, 0)}) for p in problems[:9]]
    groups.append(group("p9", {"yes": (16, 16)}))
    rates = count(problems, groups)
    assert rates["p0"].chance_rate == pytest.approx(0.5, abs=0.1)
    assert rates["p0"].above_chance < 0.95
    assert rates["p9"].above_chance > 0.99


def test_few_failures_do_not_make_clear_successes_luck():
    problems = [Problem(f"p{i}", "?", str(i)) for i in range(4)]
    groups = [group("p0", {"0": (6, 6), "9": (2, 0)}), group("p1", {"1": (7, 7), "8": (1, 0)})]
    rates = count(problems, [*groups, *(group(f"p{i}", {str(i): (8, 8)}) for i in (2, 3))])
    assert rates["p0"].chance_rate == 0.0
    assert all(rate.above_chance > 0.95 for rate in rates.values())


def test_guesses_take_precedence_where_there_are_any():
    problems = [Problem("a", "?", "1"), Problem("b", "?", "2")]
    groups = [group("a", {"2": (4, 0)}), group("b", {"2": (4, 4)})]
    rates = count(problems, groups, guesses={"b": Tally(1, 8, 8)})
    assert rates["b"].chance_rate == 1 / 8
    assert math.isnan(rates["a"].chance_rate)  # no other prompt has failed


def test_agreement_on_another_answer_is_reported():
    """Nine prompts with scattered mistakes, and one on which all rollouts say 41."""
    problems = [Problem(f"p{i}", "?", str(i)) for i in range(10)]
    groups = [group(f"p{i}", {str(i): (5, 5), **{str(100 + 3 * i + j): (1, 0) for j in range(3)}}) for i in range(9)]
    rates = count(problems, [*groups, group("p9", {"41": (8, 0)})])
    assert (rates["p9"].other_answer, rates["p9"].other_count) == ("41", 8)
    assert all(rates[f"p{i}"].other_answer is None for i in range(9))


def test_a_weak_model_that_agrees_on_mistakes_casts_no_doubt():
    """On four prompts of ten it always makes the same mistake: no label is suspected."""
    problems = [Problem(f"p{i}", "?", str(i)) for i in range(10)]
    groups = [group(f"p{i}", {str(i): (8, 8)} if i < 6 else {str(50 + i): (8, 0)}) for i in range(10)]
    assert all(rate.other_answer is None for rate in count(problems, groups).values())


def test_an_answer_given_everywhere_is_no_agreement():
    problems = [Problem(f"p{i}", "?", str(i)) for i in range(10)]
    rates = count(problems, [group(f"p{i}", {"77": (8, 0)}) for i in range(10)])
    assert all(rate.other_answer is None for rate in rates.values())


def test_counts_bands_and_status():
    problems = [Problem("a", "?", "1"), Problem("b", "?", "2"), Problem("c", "?", "3")]
    rates = count(
        problems,
        [group("a", {"1": (1, 1), "0": (3, 0)}, truncated=2), group("b", {}, unscored=4)],
        rejected=["c"],
        model="m",
    )
    assert (rates["a"].rate, rates["a"].band, rates["a"].truncated, rates["a"].model) == (0.25, "learnable", 2, "m")
    assert (rates["b"].band, rates["b"].unscored, rates["b"].status) == ("unscored", 4, "ok")
    assert math.isnan(rates["b"].band_error)
    assert rates["c"].status == "gold_rejected"
    assert 0 < rates["a"].band_error < 1


def test_nothing_to_count():
    assert count_rates([], [], True) == []


def test_chance_by_answer_type():
    problems = [Problem("a", "?", "1"), Problem("b", "?", "2"), Problem("c", "?", "yes")]
    rates = list(count(problems, [group("a", {"2": (4, 0)}), group("b", {"1": (2, 0), "2": (2, 2)})]).values())
    summary = summarise_chance([p.answer for p in problems], rates)
    assert summary.keys() == {"integer"}
    assert summary["integer"]["prompts"] == 2
    assert summary["integer"]["chance_rate"] == pytest.approx(0.57, abs=0.02)
    assert summary["integer"]["chance_low"] < 0.57 < summary["integer"]["chance_high"]


def test_rates_after_stopping_are_drawn_towards_the_population():
    problems = [Problem(f"p{i}", "?", "1") for i in range(40)]
    groups = [group(f"p{i}", {"1": (4, 4)} if i % 2 else {"0": (4, 0)}) for i in range(40)]
    adaptive = count_rates(problems, groups, False)
    assert 0.9 < adaptive[1].rate < 1.0
    assert 0.0 < adaptive[0].rate < 0.1
    assert adaptive[0].high > count_rates(problems, groups, True)[0].high  # valid at any time, so wider
