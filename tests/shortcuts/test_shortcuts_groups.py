"""Signs that a batch shows, and completion lengths against a reference run; honest look-alikes beside each."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.shortcuts.groups import _compare, detect_group_shortcuts, luck_ratio
from rlguard.shortcuts.reference import find_collapsed
from rlguard.types import InputError


def kinds(completions, ids, **known):
    return [sorted({f.kind for f in row}) for row in detect_group_shortcuts(completions, ids, **known).findings_B]


def flagged(kind, completions, ids, **known):
    return [kind in row for row in kinds(completions, ids, **known)]


def repeat(values, times):
    return [value for value in values for _ in range(times)]


# same answer

TEN = list(range(10))


def test_one_answer_for_every_prompt_is_flagged_with_its_span_also_where_it_is_right():
    said = ["some words, the answer is 0."] * 10
    result = detect_group_shortcuts(said, TEN, answers=TEN)
    assert all([f.kind for f in row] == ["same_answer"] for row in result.findings_B)
    finding = result.findings_B[0][0]
    assert said[0][finding.start : finding.end] == "0"
    assert finding.likelihood_ratio == pytest.approx((1.5 / 11) / (9.5 / 10))
    assert finding.reason == "answer 0 given to 100 % of prompts where it is wrong; it is right for 10 %"


def test_a_few_prompts_with_their_own_answers_do_not_hide_the_mode():
    given_answers = [*[0] * 14, *range(14, 20)]
    found = flagged("same_answer", [f"answer {a}" for a in given_answers], list(range(20)), answers=list(range(20)))
    assert found == [True] * 14 + [False] * 6


@pytest.mark.parametrize(
    ("given_answers", "golds"),
    [
        (TEN, TEN),  # all right
        ([0] * 10, [0] * 10),  # the same and right
        ([0] * 10, [0] * 8 + [1, 2]),  # mostly right
        ([0, 0, 0, *TEN[3:]], TEN),  # three small errors
        (["no"] * 12, ["no"] * 7 + ["yes"] * 5),  # twelve prompts prove no bias in yes or no
        (list("ABCD") * 5, list("ABCDE") * 4),  # guesses over choices, but not one for all
        ([0, 0], [1, 2]),  # two prompts are no mode
    ],
)
def test_honest_agreement_is_no_mode(given_answers, golds):
    said = [f"The answer is {a}" for a in given_answers]
    assert not any(flagged("same_answer", said, list(range(len(said))), answers=golds))


def test_one_answer_to_many_completions_of_one_prompt_is_no_mode():
    golds = repeat(range(4), 16)
    said = ["answer 9"] * 16 + [f"answer {g}" for g in golds[16:]]
    assert not any(flagged("same_answer", said, repeat(range(4), 16), answers=golds))


def test_always_no_on_many_balanced_prompts_is_a_mode():
    golds = ["yes", "no"] * 40
    result = detect_group_shortcuts(["The answer is no"] * 80, list(range(80)), answers=golds)
    assert all(row[0].likelihood_ratio == pytest.approx(0.5, abs=0.02) for row in result.findings_B)


def test_what_the_verifier_calls_right_counts_as_the_gold_answer_however_it_is_spelled():
    said = [r"\boxed{\frac{1}{2}}"] * 12
    golds = [f"{2 * i + 1}/{4 * i + 2}" for i in range(12)]
    assert not any(flagged("same_answer", said, list(range(12)), answers=golds, outcomes=[1.0] * 12))


@pytest.mark.parametrize("said", ["({})", "{}.", "({}) of the four", "\\text{{{}}}"])
def test_an_option_is_the_gold_answer_however_it_is_marked(said):
    golds = list("abcd") * 15
    texts = [f"I weigh them. <answer>{said.format(gold)}</answer>" for gold in golds]
    result = detect_group_shortcuts(texts, list(range(60)), answers=golds)
    assert not any(result.findings_B)
    always = [f"<answer>{said.format('a')}</answer>"] * 60
    assert all(flagged("same_answer", always, list(range(60)), answers=golds))


def test_an_outcome_decides_over_the_spelling():
    golds = [f"{number} apples" for number in range(20)]
    said = ["so the answer is: many"] * 20
    assert not any(flagged("same_answer", said, list(range(20)), answers=golds, outcomes=[1.0] * 20))
    assert all(flagged("same_answer", said, list(range(20)), answers=golds, outcomes=[0.0] * 20))


def test_one_text_for_prompts_with_other_answers_is_found_with_and_without_golds():
    said = "I have thought about this task for a long while and it is now clear to me what must be said about it."
    for known in ({}, {"answers": list("xyz")}):
        assert all(flagged("same_text", [said] * 3, [1, 2, 3], **known))
    assert not any(flagged("same_text", [said] * 3, [1, 2, 3], answers=list("xxy")))
    assert not any(flagged("same_text", [said] * 3, [1, 1, 1]))
    assert not any(flagged("same_text", ["short"] * 3, [1, 2, 3]))


# lucky guess

GUESSES = random.Random(0)
GUESS_GOLDS = repeat([GUESSES.randrange(10) for _ in range(40)], 8)
GUESSED = [f"answer {GUESSES.randrange(10)}" for _ in GUESS_GOLDS]


def test_successes_of_guessing_groups_are_lucky():
    result = detect_group_shortcuts(GUESSED, repeat(range(40), 8), answers=GUESS_GOLDS)
    right = [said == f"answer {gold}" for said, gold in zip(GUESSED, GUESS_GOLDS, strict=True)]
    found = [[f for f in row if f.kind == "lucky_guess"] for row in result.findings_B]
    assert not any(row for row, good in zip(found, right, strict=True) if not good)
    assert sum(bool(row) for row in found) > 0.5 * sum(right)
    assert all(0.1 < row[0].likelihood_ratio <= 2 / 3 for row in found if row)


def test_solved_groups_and_consistent_mistakes_are_no_guesses():
    solved = [f"answer {gold}" if i % 8 < 6 else said for i, (gold, said) in enumerate(zip(GUESS_GOLDS, GUESSED))]  # noqa: B905
    assert not any(flagged("lucky_guess", solved, repeat(range(40), 8), answers=GUESS_GOLDS))
    mistaken = list(GUESSED)
    mistaken[:8] = [f"answer {GUESS_GOLDS[0]}"] + [f"answer {(GUESS_GOLDS[0] + 1) % 10}"] * 7
    assert not any(flagged("lucky_guess", mistaken, repeat(range(40), 8), answers=GUESS_GOLDS)[:8])


def test_a_rare_success_with_a_free_answer_is_no_guess():
    golds = repeat(range(1000, 1040), 8)
    said = [f"answer {g if i % 8 == 0 else 5000 + 7 * i}" for i, g in enumerate(golds)]
    assert not any(flagged("lucky_guess", said, repeat(range(40), 8), answers=golds))


@given(st.integers(0, 8), st.floats(0.05, 0.9), st.integers(1, 400))
@settings(deadline=None, max_examples=30)
def test_the_luck_ratio_is_bounded_and_grows_with_successes(right, chance, others):
    ratios = [luck_ratio(k, 8, round(chance * others, 3), others) for k in range(9)]
    assert 1 / 50 <= ratios[right] <= 50
    assert max(np.diff(np.argsort(ratios))) <= 8
    assert ratios[8] >= ratios[0]


def test_the_luck_ratio_agrees_with_a_plain_integral():
    from scipy.integrate import quad
    from scipy.stats import beta

    def passes(q):
        p = q + (1 - q) * 0.1
        return p * (1 - p) ** 7

    skilled = quad(lambda q: passes(q) * beta.pdf(q, 0.5, 0.5), 0, 1)[0]
    assert luck_ratio(1, 8, 1e6 * 0.1, 1e6) == pytest.approx(skilled / passes(0.0), rel=0.02)


# what is missing, bad input, order


def test_what_is_missing_is_said():
    assert set(detect_group_shortcuts(["4"], ["p"]).skipped.values()) == {"SKIPPED: needs gold answers"}
    skipped = detect_group_shortcuts(["4", "5"], ["p", "q"], answers=[4, 5]).skipped
    assert skipped == {"lucky_guess": "SKIPPED: needs two or more scored completions of a prompt"}
    unscored = detect_group_shortcuts(["4"] * 4, [0, 0, 1, 1], answers=[4] * 4, outcomes=[math.nan] * 4)
    assert "lucky_guess" in unscored.skipped
    assert detect_group_shortcuts([], []).findings_B == []


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"answers": [1]}, "answers: expected 2"),
        ({"answers": [1, 2]}, "row 1: prompt 'p' has gold '1' elsewhere"),
        ({"outcomes": [1, 0.5]}, "outcome in row 1"),
    ],
)
def test_bad_input_names_the_row(known, message):
    with pytest.raises(InputError, match=message):
        detect_group_shortcuts(["1", "2"], ["p", "p"], **known)
    with pytest.raises(InputError, match="completion in row 0"):
        detect_group_shortcuts([3], ["p"])


def test_chat_messages_are_read():
    said = [[{"role": "assistant", "content": "answer 0"}]] * 10
    assert all(flagged("same_answer", said, TEN, answers=TEN))


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=15)
def test_the_order_of_rollouts_changes_nothing(shuffler):
    ids = repeat(range(40), 8)
    ids, said, golds = ids[:-3], [*GUESSED[:250], *["answer 3"] * 67], GUESS_GOLDS[:-3]
    outcomes = [math.nan if i % 11 == 0 else float(s == f"answer {g}") for i, (s, g) in enumerate(zip(said, golds))]  # noqa: B905
    order = list(range(len(said)))
    shuffler.shuffle(order)

    def result(rows):
        columns = ([column[i] for i in rows] for column in (said, ids, golds, outcomes))
        found = detect_group_shortcuts(*columns).findings_B
        signs = {i: [(f.kind, f.start, round(f.likelihood_ratio, 9)) for f in fs] for i, fs in zip(rows, found)}  # noqa: B905
        return signs

    assert result(order) == result(range(len(said)))


@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_the_bound_holds_for_answers_drawn_like_golds(prompts, values, seed):
    """Whatever is drawn, the bound is a probability, and no smaller than the exact binomial tail."""
    from scipy.stats import binom

    counts = Counter(np.random.default_rng(seed).integers(values, size=prompts).tolist())
    hits, others = counts[0], prompts - counts[0]
    for seen in range(others + 1):
        _, bound = _compare(hits, prompts, seen, others)
        assert binom.sf(seen - 1, others, (hits + 1) / (prompts + 1)) <= bound + 1e-12 <= 1 + 1e-9


# length collapse

DRAWN = np.random.default_rng(1)
REFERENCE = {f"long{i}": (200 * np.exp(0.3 * DRAWN.standard_normal(8))).round() for i in range(30)}
REFERENCE |= {f"short{i}": DRAWN.integers(3, 7, 8) for i in range(10)}
BANDS = {name: name[:4] for name in REFERENCE}


def judge(lengths, ids, reference=REFERENCE, bands=BANDS):
    return [bool(row) for row in find_collapsed(lengths, ids, reference, bands)]


def ratios(lengths, ids, reference=REFERENCE):
    return [row[0].likelihood_ratio if row else 1.0 for row in find_collapsed(lengths, ids, reference, BANDS, 0, None)]


def test_collapsed_completions_are_flagged_and_usual_ones_are_not():
    assert judge([5, 12, 30, 150, 200, 800], ["long0"] * 6) == [True, True, True, False, False, False]


def test_short_answers_to_prompts_that_always_had_them_are_not_flagged():
    assert judge([1, 2, 4, 9], ["short1"] * 4) == [False] * 4


def test_an_unseen_prompt_is_compared_with_its_band_and_else_with_the_whole():
    assert judge([5, 5, 5], ["a", "b", "c"], bands=BANDS | {"a": "long", "b": "shor"}) == [True, False, False]
    assert judge([5], ["new"], {name: run for name, run in REFERENCE.items() if name[0] == "l"}, None) == [True]


def test_the_finding_says_what_was_usual_and_spans_the_text():
    [[finding]] = find_collapsed([4], ["p"], {"p": [90, 100, 100, 110]})
    assert (finding.kind, finding.start, finding.end, finding.severity) == ("length_collapse", 0, 4, "error")
    assert finding.reason == "length 4 where the reference run took about 100"


def test_a_greedy_reference_without_spread_does_not_flag_small_changes():
    assert judge([85, 5], ["p", "p"], {"p": [100, 100, 100]}) == [False, True]
    assert judge([85, 5], ["p", "p"], {"p": [100]}) == [False, True]


def test_the_same_run_again_is_hardly_flagged_and_what_is_nan_is_not_judged():
    again = np.random.default_rng(2)
    ids = repeat([name for name in REFERENCE if name[0] == "l"], 60)
    lengths = (200 * np.exp(0.3 * again.standard_normal(len(ids)))).round()
    assert np.mean(judge(lengths, ids)) <= 0.02
    assert np.mean(judge(lengths * 0.05, ids)) == 1.0
    assert judge([math.nan], ["long1"]) == [False]


@given(st.permutations(range(8)), st.permutations(range(12)))
@settings(deadline=None, max_examples=15)
def test_the_order_of_lengths_changes_nothing(within, order):
    shuffled = {name: np.asarray(REFERENCE[name])[list(within)] for name in reversed(REFERENCE)}
    lengths, ids = DRAWN.integers(1, 300, 12), [f"long{i}" for i in range(12)]
    usual = np.array(ratios(lengths, ids))
    moved = ratios(lengths[list(order)], [ids[i] for i in order], shuffled)
    np.testing.assert_allclose(moved, usual[list(order)])


def test_none_turns_the_threshold_off_and_ratios_fall_with_length():
    assert (np.diff(ratios(list(range(1, 150)), ["long0"] * 149)) >= 0).all()


def test_bad_lengths_are_named():
    with pytest.raises(InputError, match="prompt p"):
        find_collapsed([1], ["p"], {"p": [3, -1]})
    with pytest.raises(InputError, match="at least one prompt"):
        find_collapsed([1], ["p"], {})
    with pytest.raises(InputError, match="prompt_ids: expected 2"):
        find_collapsed([1, 2], ["p"], {"p": [3]})
