"""Predicates of open-ended answers: what passes, what does not, and what is no check at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlguard.audit.marking import CHECKS, is_right
from rlguard.types import InputError

EVEN = {"kind": "integer", "low": 30, "high": 60, "multiple_of": 2}
PRIME = {"kind": "integer", "low": 2, "high": 49, "prime": True}
PRODUCT = {"kind": "integers", "count": 2, "product": 36}
PRIMES = {"kind": "integers", "count": 3, "low": 2, "high": 49, "prime": True, "different": True}
WORD = {"kind": "word", "starts": "b", "ends": "t"}
COLOUR = {"kind": "one_of", "values": ["red", "blue"]}
RIVER = {"kind": "text", "words": 5, "contains": ["river"]}
MAKE_24 = {"kind": "expression", "numbers": [1, 3, 4, 6], "target": 24}
SAMPLES = [EVEN, PRIME, PRODUCT, PRIMES, WORD, COLOUR, RIVER, MAKE_24]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (EVEN, ["30", "42", "60", "42.0", " 42 "], ["28", "62", "41", "42.5", "forty-two", "", "4 2", "1e1"]),
        (PRIME, ["2", "47"], ["1", "0", "-2", "49", "9", "51"]),
        ({"kind": "integer", "prime": True}, ["7"], ["10", str(10**30 + 57)]),
        ({"kind": "integer", "low": -5, "high": -1}, ["-3"], ["3"]),
        (
            PRODUCT,
            ["4, 9", "4 and 9", "-4 and -9", "36 × 1", "4*9 = 36", "4 9"],
            ["4", "4, 9, 1", "6.0, 6.0", "5, 7", "four and nine", "9" * 5000 + ", 1"],
        ),
        ({"kind": "integers", "count": 2, "total": 11}, ["9, 2", "5+6", "12, -1"], ["9, 3", "11"]),
        (PRIMES, ["2, 3, 5", "[47, 2, 11]"], ["2, 3, 3", "2, 3, 53", "2, 3, 4", "2, 3", "2, 3, 5, 7"]),
        (WORD, ["boat", "Boat.", '"boat"'], ["bt", "bbbt", "boats", "a boat", "b3t", "bat\nbat", "b" + "a" * 30 + "t"]),
        ({"kind": "word", "letters": 4}, ["boat"], ["boats", "boa"]),
        (COLOUR, ["red", "The RED.", "blue"], ["green", "red or blue", "", "the"]),
        (
            RIVER,
            ["The river runs very fast.", "Don't leave the river, please!"],
            ["The river runs fast.", "river river river a river", "The rivers run too fast", "The river\nruns now"],
        ),
        ({"kind": "text", "starts": "the", "ends": "?"}, ['The old man?"'], ["Then we left?", "The old man."]),
        ({"kind": "text", "without": "e"}, ["I know a spring"], ["I know the spring", "Old"]),
        (
            MAKE_24,
            ["6 / (1 - 3/4)", "6/(1-3/4) = 24", "6 ÷ (1 − 3 ÷ 4)"],
            ["24", "6*4", "6 * 4 * 1", "6/(1-3/4", "__import__('os')", "6**4", "1/0", "(" * 90, "", "3//1*4*6", "6 4"],
        ),
        ({"kind": "expression", "numbers": [3, 5], "target": -2}, ["3 - 5"], ["-3 + 5", "5 - 3"]),
    ],
)  # fmt: skip
def test_what_passes_and_what_does_not(check, right, wrong):
    assert [answer for answer in right if not is_right(check, answer)] == []
    assert [answer for answer in wrong if is_right(check, answer)] == []


def test_a_parameter_that_is_none_counts_as_left_out():
    assert is_right({**EVEN, "prime": None, "multiple_of": None}, "31")


def test_an_answer_of_a_page_is_none():
    assert not is_right({"kind": "text"}, "once upon a time there was " + "a word " * 2)
    assert is_right({"kind": "text"}, "once upon a time")
    assert not is_right({"kind": "text", "starts": "once"}, "once upon a time " + "x" * 400)


@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        ({}, "42", "'check' must have a 'kind' out of integer, integers, word"),
        ({"kind": "python", "code": "True"}, "42", "must have a 'kind' out of .*'python'"),
        ({"kind": ["integer"]}, "42", "must have a 'kind' out of"),
        ({"kind": "integer", "lo": 3}, "42", "must hold what 'integer' takes, got .*'lo'"),
        ({"kind": "integer", "low": "three"}, "42", "must hold what 'integer' takes"),
        ({"kind": "integer", "multiple_of": 0}, "42", "must hold what 'integer' takes"),
        ({"kind": "integers"}, "4, 2", "must hold what 'integers' takes.*count"),
        ({"kind": "word", "starts": 7}, "boat", "must hold what 'word' takes"),
        ({"kind": "one_of", "values": 5}, "red", "must hold what 'one_of' takes"),
        ({"kind": "text", "contains": 5}, "a red boat", "must hold what 'text' takes"),
        ({"kind": "expression", "numbers": 12, "target": 3}, "1 + 2", "must hold what 'expression' takes"),
    ],
)
def test_what_is_no_check_is_named(check, answer, words):
    with pytest.raises(InputError, match=words):
        is_right(check, answer)


@given(check=st.sampled_from(SAMPLES), answer=st.text(max_size=60) | st.from_regex(r"[\d\s()+*/=,.-]{0,40}"))
def test_no_answer_makes_a_check_raise(check, answer):
    assert is_right(check, answer) in (True, False)


def test_every_kind_is_tested_here():
    assert {check["kind"] for check in SAMPLES} == set(CHECKS)
