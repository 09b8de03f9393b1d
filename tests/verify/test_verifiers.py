from __future__ import annotations

import gc
import math

import pytest

from rlguard.answers import extract_answer
from rlguard.types import InputError, Problem
from rlguard.verify.gold import check_gold
from rlguard.verify.verifiers import Auto, Exact, Math, Numeric, ReasoningGym, pick_verifier, score_safely


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("7+8=5;answer 5", "5"),
        ("&F=F;|T=T;answer T", "T"),
        ("We get a word.\nAnswer Paris", "Paris"),
        ("7 is not the answer above", "7"),
        ("The answer is: **42**.", "42"),
        ("Answer: $12.5$", "12.5"),
        ("final answer is 1,234", "1,234"),
        ("the answer to the question is 5", "5"),
        ("answer: 12:30", "12:30"),
        ("so x = -4", "-4"),
        ("#### 72\nbye", "72"),
        ("<answer> 5 </answer> 6", "5"),
        (r"The answer is $\boxed{\frac{1}{2}}$, I think, or 3", r"\frac{1}{2}"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        ("answer is yes.", "yes"),
        ("Paris", None),
        ("Nothing was said here about it, and so nobody can know what to say to that.", None),
        ("", None),
    ],
)
def test_final_answer_and_its_place(completion, answer):
    found = extract_answer(completion)
    assert (found and found[0]) == answer
    if found:
        assert completion[found[1] : found[2]] == found[0]


def problem(answer, **row):
    return Problem("p", "?", answer, row)


@pytest.mark.parametrize(
    ("verifier", "completion", "gold", "outcome"),
    [
        (Exact(), "The answer is 1,000.", "1000", 1.0),
        (Exact(), "The answer is Blue", "blue", 1.0),
        (Exact(), "The answer is red", "blue", 0.0),
        (Numeric(), r"\boxed{0.5}", "1/2", 1.0),
        (Numeric(), r"\boxed{$12}", "12", 1.0),
        (Numeric(), r"\boxed{12.1}", "12", 0.0),
        (Numeric(), r"\boxed{x}", "12", 0.0),
        (Numeric(), r"\boxed{12}", "a few", math.nan),
        (Math(), r"\boxed{\frac{2}{4}}", "0.5", 1.0),
        (Math(), r"\boxed{x^2+2x+1}", "(x+1)^2", 1.0),
        (Math(), r"\boxed{(1,2)}", "(2,1)", 0.0),
        (Math(), "I cannot say", "7", 0.0),
    ],
)
def test_verifiers(verifier, completion, gold, outcome):
    assert verifier.score(completion, problem(gold)) == pytest.approx(outcome, nan_ok=True)


def test_reasoning_gym_judges_by_its_own_rule():
    reasoning_gym = pytest.importorskip("reasoning_gym")
    # countdown accepts any expression that reaches the target, not just the one that was stored
    entry = reasoning_gym.create_dataset("countdown", size=1, seed=1)[0]
    task = Problem("p", entry["question"], entry["answer"], {"metadata": entry["metadata"]})
    verifier = ReasoningGym()
    assert verifier.score(f"\\boxed{{{entry['answer']}}}", task) == 1.0
    assert verifier.score(f"\\boxed{{({entry['answer']})}}", task) == 1.0
    assert verifier.score("\\boxed{1+1}", task) == 0.0
    assert Auto().score(f"\\boxed{{{entry['answer']}}}", task) == 1.0


def test_reasoning_gym_names_the_row_it_cannot_judge():
    with pytest.raises(InputError, match="row 0: the reasoning_gym verifier expected a `metadata` column"):
        ReasoningGym().score("answer 5", problem("5"))


def test_auto_falls_back_on_math_without_metadata():
    assert Auto().score(r"\boxed{1/2}", problem("0.5", metadata=None)) == 1.0


def test_gold_answers_that_their_verifier_rejects_are_found():
    problems = [problem("5"), problem("a few"), problem(r"\sqrt{3}")]
    assert check_gold(problems, Numeric()) == problems[1:]
    assert check_gold(problems[::2], Math()) == []


class Broken:
    name, version = "broken", "1"

    def __init__(self, said):
        self.said = said

    def score(self, completion, problem):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def extract(self, completion):
        return None


@pytest.mark.parametrize("said", [RuntimeError("boom"), 0.3, math.nan, math.inf])
def test_a_verifier_that_fails_leaves_the_rollout_unscored_never_wrong(said):
    assert math.isnan(score_safely(Broken(said), "x", problem("5")))
    assert score_safely(Broken(True), "x", problem("5")) == 1.0


def test_unknown_verifier_lists_those_there_are():
    with pytest.raises(InputError, match="expected one of: auto, math, exact, numeric, reasoning_gym"):
        pick_verifier("llm")


def test_an_answer_that_math_verify_gives_up_on_is_unscored_not_wrong(request):
    verifier = Math(timeout_s=1)
    gc.disable()  # a signal that arrives while hypothesis watches the collector would be lost
    request.addfinalizer(gc.enable)
    assert math.isnan(verifier.score(r"\boxed{9^{9^{9^{9}}}}", problem("5")))  # the comparison takes for ever
    assert math.isnan(verifier.score(f"<answer>{'(' * 3000}</answer>", problem("5")))  # the parser does
    assert verifier.score(r"\boxed{\frac{}}", problem("5")) == 0.0  # nonsense is wrong
    assert verifier.version.startswith("8 ")
