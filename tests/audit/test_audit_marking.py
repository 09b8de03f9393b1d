"""The suite's verifier, stated confidence and abstention."""

from __future__ import annotations

import json
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.audit.marking import FORMS, SuiteVerifier, is_abstention, read_answer, read_confidence
from rlguard.types import InputError, Problem
from rlguard.verify.gold import check_gold
from rlguard.verify.pool import VerifierPool

VERIFIER = SuiteVerifier()


def problem(answer, **row):
    return Problem("p", "?", answer, row)


def score(completion, answer, **row):
    return VERIFIER.score(completion, problem(answer, **row))


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("The answer is 4.\nConfidence: 80%", 0.8),
        ("I am 80 % sure", 0.8),
        ("I'm 95% confident that it is 4", 0.95),
        ("confidence 0.8", 0.8),
        ("My confidence is about .75", 0.75),
        ("Confidence: 85", 0.85),
        ("**Confidence:** 90 percent", 0.9),
        ('{"answer": 4, "confidence": 70}', 0.7),
        ("Confidence level (0-100): 60", 0.6),
        ("Confidence in my answer - 55%", 0.55),
        ("CONFIDENCE = 8/10", 0.8),
        ("Confidence: 80/100", 0.8),
        ("Confidence: 9 out of 10", 0.9),
        ("Confidence: 0%", 0.0),
        ("Confidence: 1", 1.0),
        ("Confidence: 100", 1.0),
        ("Confidence: 99.5%", 0.995),
        ("Confidence: 20%\nNo, wait.\nConfidence: 30%", 0.3),
        ("Confidence: 80%\nConfidence: 150%", None),
        ("Confidence: 150%", None),
        ("Confidence: -5%", None),
        ("Confidence: 0-100%", None),
        ("Confidence: 10 to 20%", None),
        ("Confidence: 0% to 100%", None),
        ("Confidence: 80% - I checked 2 times", 0.8),
        ("Confidence: X%", None),
        ("Confidence: high", None),
        ("Confidence: 123456789%", None),
        ("The 95% confidence interval is wide", None),
        ("with confidence the answer is 42", None),
        ("I am confident that 42 is right", None),
        ("The answer is 80%", None),
        ("", None),
    ],
)
def test_the_confidence_that_a_completion_states(text, confidence):
    assert read_confidence(text) == (confidence if confidence is None else pytest.approx(confidence))


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "I DON’T KNOW",
        "i dont know",
        "I do not know how many apples Tom had, so there is no answer.",
        "I'm sorry, I really don't know.",
        "I cannot tell",
        "I have no idea.",
        "It cannot be determined.",
        "This can`t be known from what is given, because he buys 3 more.",
        "There is not enough information to answer.",
        "We don't have enough information.",
        "There isn't sufficient information",
        "Insufficient information",
        "It is impossible to say.",
        "There is no way of knowing it.",
        "The answer is unknown.",
        "The question is unanswerable",
        "\\boxed{I don't know}",
        "<answer>I don't know</answer>",
        "The answer is: I don't know.",
        "I am not sure.",
        "I’m not really sure.",
        'My answer: "I don\'t know"',
        "At first I thought 3 + 4 = 7. But I don't\nknow how many he had.",
    ],
)
def test_giving_up_in_words(text):
    assert is_abstention(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "The answer is 4.",
        "I don't know ... wait, the answer is 4",
        "I don't know. Perhaps 7.",
        "I don't know how many he had. My guess is 12.",
        "I don't know, but x = 4",
        "It cannot be determined at once. \\boxed{4}",
        "There is not enough information at first. #### 4",
        "The answer is 4, but I am not sure.",
        "I don't know how to explain it: 4",
        "You don't know her.",
        'If it is not given, say "I don\'t know". It is 4.',
        'If you do not know the answer, or it cannot be known from what is given, say "I don\'t know" instead.',
        "The unknown number x has to be found",
        "He knows the way, and I know it too.",
    ],
)
def test_what_is_no_abstention(text):
    assert not is_abstention(text)


@pytest.mark.parametrize(
    ("completion", "gold", "answer"),
    [
        ("2 + 2 = 4. The answer is 4.", "5", "4"),
        ("The answer is 42 apples", "5", "42"),
        ("The answer is: kitchen, market, ocean.", "a, b", "kitchen, market, ocean."),
        ("The answer is **kitchen, market**.\nI hope that it helps.", "a, b", "kitchen, market."),
        ("Answer: 2, 3 and 5", "a, b", "2, 3 and 5"),
        ("The answer is 1,2,3.", "1,2,4", "1,2,3."),
        ("The answer is 1,200 apples", "1,300", "1,200"),
        ("The answer is 9*4-12", "4*9-12", "9*4-12"),
        ("Answer:\n2, 3, 5", "a, b", "2, 3, 5"),
        ("Here it is:\n“The river runs.”", "a b", "The river runs."),
        ("\\boxed{2, 3, 5} are primes below 50", "a, b", "2, 3, 5"),
        ("<answer>\n2, 3, 5\n</answer>", "a, b", "2, 3, 5"),
        ("Blue", "red", "Blue"),
        ("The symbol of silver is Ag.", "Ag", "Ag."),
        ("She is his\nmother: Anna", "Eva", "Anna"),
        ("The river is wide.", "Red is it.", "The river is wide."),
        ("It took long.\n\n  blue.  \n", "red", "blue."),
        ("x" * 1000, "red", None),
        (" \n ", "red", None),
        ("", "a b", None),
        ("The answer is", "a b", "The answer is"),
    ],
)
def test_an_answer_is_read_as_long_as_the_gold_answer_lets_expect(completion, gold, answer):
    assert read_answer(completion, gold) == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("The answer is 42 apples.", "42"),
        ("The answer is 2, 3, 5.", "2, 3, 5."),
        ("The answer is 4 and 9", "4 and 9"),
        ("The answer is red and green.", "red and green."),
        ("4\nConfidence: 80%", "4"),
        ("I am 80% sure that the answer is 4", "4"),
        ("The river runs very fast.", "The river runs very fast."),
        ("So 7 boats are left", "7"),
        ("", None),
    ],
)
def test_an_answer_is_extracted_without_its_question(completion, answer):
    assert VERIFIER.extract(completion) == answer


def test_words_are_compared_as_text_and_numbers_as_mathematics():
    assert score("The answer is hired", "derih") == 0.0  # as a product of letters they would be equal
    assert score("The answer is 2024-05-01", "2024-01-05") == 0.0
    assert score("The answer is DERIH.", "derih") == 1.0
    assert score("The answer is 0.5", "1/2") == 1.0
    assert score(r"\boxed{2x + 2}", "2(x+1)") == 1.0
    assert score("The answer is 5", "4") == 0.0
    assert score("I cannot say", "4") == 0.0
    assert score("The answer is b, a", "a, b") == 0.0
    assert score("The answer is A,  b.", "a, b") == 1.0


def test_many_answers_are_right_where_a_check_says_so():
    even = {"kind": "integer", "low": 30, "high": 60, "multiple_of": 2}
    assert [score(f"The answer is {n}.", "32", check=even) for n in (44, 45, 62)] == [1.0, 0.0, 0.0]
    sentence = {"kind": "text", "words": 4, "contains": ["river"]}
    assert score("The river is wide.", "See the river flow.", check=sentence) == 1.0
    assert score("Of course! Here it is:\n\nThe river is wide.", "See the river flow.", check=sentence) == 1.0
    assert score("The river is very wide.", "See the river flow.", check=sentence) == 0.0
    assert score("The river is wide.", "See the river flow.", check=sentence | {"ends": "."}) == 1.0
    assert score("The answer is 1 + 2.", "2 + 1", check={"kind": "expression", "numbers": [1, 2], "target": 3}) == 1.0


def test_a_check_that_is_none_is_an_input_error():
    with pytest.raises(InputError, match="'check' must have a 'kind'"):
        score("The answer is 4", "4", check={"kind": "eval"})


def test_reasoning_gym_judges_its_own_rows():
    reasoning_gym = pytest.importorskip("reasoning_gym")
    entry = reasoning_gym.create_dataset("countdown", size=1, seed=1)[0]
    row = {"metadata": json.loads(json.dumps(entry["metadata"]))}
    assert score(f"\\boxed{{({entry['answer']})}}", entry["answer"], **row) == 1.0
    assert score("\\boxed{1 + 1}", entry["answer"], **row) == 0.0


def test_what_cannot_be_answered_is_right_when_it_is_not():
    for variant in ("plain", "abstain"):
        row = {"answerable": False, "variant": variant}
        assert score("It cannot be determined.", "I don't know", **row) == 1.0
        assert score("The answer is 7.", "I don't know", **row) == 0.0


def test_leave_to_abstain_makes_no_abstention_right():
    assert score("I don't know", "7", variant="abstain", answerable=True) == 0.0
    assert score("The answer is 7", "7", variant="abstain", answerable=True) == 1.0


def test_a_stated_confidence_is_not_taken_for_the_answer():
    assert score("7\nConfidence: 80%", "7", variant="confidence") == 1.0
    assert score("80\nConfidence: 7%", "7", variant="confidence") == 0.0
    assert score("I am 90% sure that it is 7", "7", variant="confidence") == 1.0


GIVEN = {
    "boxed": ["So \\boxed{4}.", "\\boxed{3} no, \\boxed{4}", "\\boxed{ 4 }"],
    "tag": ["<answer>4</answer>", "<answer>3</answer> <answer> 4 </answer> end"],
    "json": [
        '{"answer": "4"}',
        'So: {"answer": 4}',
        '```json\n{ "answer" : 4.0 }\n```',
        '{"answer": "4", "sure": true}',
    ],
    "last_line": ["Because.\nAnswer: 4", "Answer: 3\nAnswer: 4\n", "**Answer: 4**", "**Answer:** 4"],
}
NOT_GIVEN = {
    "boxed": ["4", "\\boxed{}", "\\boxed{4", "\\boxed{5}", "<answer>4</answer>"],
    "tag": ["4", "<answer>4", "</answer>4<answer>", "<answer></answer>", "<answer>5</answer>", "\\boxed{4}"],
    "json": ["4", '{"answer": "5"}', '{"answer": [4]}', '{"answer": null}', "{'answer': '4'}", '{"answer": 4'],
    "last_line": ["4", "Answer: 5", "Answer: 4\nI hope so.", "The answer is 4", "answer 4", "Answer:"],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_in_a_form_the_answer_must_be_right_and_in_the_form(form):
    row, gold = {"variant": f"answer:{form}"}, FORMS[form].write("4")
    assert check_gold([problem(gold, **row)], VERIFIER) == []
    assert [text for text in GIVEN[form] if score(text, gold, **row) != 1.0] == []
    assert [text for text in NOT_GIVEN[form] if score(text, gold, **row) != 0.0] == []


@pytest.mark.parametrize("form", FORMS)
@given(answer=st.text("abc123 ,.-'\"\\/éß", min_size=1, max_size=20).map(lambda text: text.strip(" \\")).filter(bool))
def test_what_is_written_in_a_form_is_read_from_it(form, answer):
    assert FORMS[form].read(FORMS[form].write(answer)) is not None
    assert FORMS[form].read(f"Let me see.\n{FORMS[form].write('seven, 8')}") == "seven, 8"


ROWS = [
    {},
    {"answerable": False},
    {"check": {"kind": "expression", "numbers": [1, 2], "target": 3}},
    *({"variant": f"answer:{form}"} for form in FORMS),
]
SCRAPS = [
    "answer",
    " is ",
    ":",
    "\\boxed{",
    "}",
    "<answer>",
    "</answer>",
    '{"answer":',
    "####",
    "I don't know",
    "\n",
    "(",
]
SCRAPS += ["Confidence", "80%", "-", "\x00", "\ud800", "’", "1" * 50, "/0", "√", "$", "=", "**"]
HOSTILE = st.lists(st.sampled_from(SCRAPS) | st.text(max_size=8), max_size=15).map("".join)


@settings(max_examples=60, deadline=None)
@given(completion=HOSTILE, row=st.sampled_from(ROWS))
def test_no_completion_makes_the_verifier_raise(completion, row):
    assert score(completion, "1 + 2", **row) in (0.0, 1.0)
    VERIFIER.extract(completion)
    is_abstention(completion)
    confidence = read_confidence(completion)
    assert confidence is None or 0 <= confidence <= 1


@pytest.mark.parametrize(
    "scrap", [*SCRAPS, " ", "i ", "confidence ", "not a ", 'say "', '{"answer":[', "answer answer"]
)
def test_a_long_completion_is_judged_in_time_linear_in_its_length(scrap):
    text = (scrap * 200_000)[:200_000]  # in quadratic time this would take minutes
    for row in (ROWS[0], *ROWS[2:]):
        assert score(text, "red", **row) == 0.0
    assert read_confidence(text) is None
    assert isinstance(is_abstention(text), bool)
    assert VERIFIER.extract(text) is None or len(VERIFIER.extract(text)) <= len(text)


def test_it_runs_in_processes_of_its_own():
    assert pickle.loads(pickle.dumps(SuiteVerifier())).version == VERIFIER.version
    with VerifierPool(SuiteVerifier(), workers=1) as pool:
        pool.submit(0, ["The answer is 4", "5"], problem("4"))
        pool.submit(1, ["I don't know"], problem("I don't know", answerable=False))
        results = dict(pool.collect(block=True))
        while len(results) < 2:
            results |= dict(pool.collect(block=True))
    assert results == {0: [(1.0, "4"), (0.0, "5")], 1: [(1.0, "I don't know")]}
    assert not any(math.isnan(outcome) for outcome, _ in results[0])
