"""The truncation test: scripted models that need their reasoning or do not, and the tiny model for real."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from conftest import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.answers import begin_answer
from rlguard.shortcuts.cutting import cut_reasoning, find_cue, find_reasoning_end
from rlguard.shortcuts.truncation import truncation_test
from rlguard.types import InputError, Problem, Rollout, Sampling
from rlguard.verify.verifiers import Exact

CUE = "The answer is"


def chain(i):
    return Problem(f"p{i}", f"{i} + 7 + 8 + 5 = ?", str(i + 20))


def solved(problem, index=0):
    i = int(problem.answer) - 20
    text = f"{i} + 7 = {i + 7}, then {i + 7} + 8 = {i + 15}, then {i + 15} + 5 = {i + 20}. The answer is {i + 20}."
    return Rollout(problem.id, index, text, 1.0)


def script(leaked=()):
    """Knows the answer when the last step has been shown, or when the prompt is one of the leaked."""

    def say(prompt, number):
        i = int(prompt.split(" ")[0])
        return f" {i + 20}." if i in leaked or f"= {i + 20}" in prompt else f" {number}"

    return say


PROBLEMS = [chain(i) for i in range(30, 50)]


def test_reward_without_reasoning_is_flagged_and_needed_reasoning_is_not():
    curves = truncation_test(map(solved, PROBLEMS), PROBLEMS, FakeEngine(script(leaked={33})), Exact())
    assert [curve.prompt_id for curve in curves if curve.finding] == ["p33"]
    shortcut, honest = curves[3], curves[0]
    assert (shortcut.area, shortcut.rewards) == (1.0, (1.0,) * 5)
    assert honest.rewards == (0.0, 0.0, 0.0, 0.0, 1.0)
    assert honest.area == pytest.approx(0.125)
    assert (shortcut.finding.kind, shortcut.finding.index) == ("truncation_test", 0)
    assert shortcut.finding.reason.endswith("a larger area than 100% of 3 steps")
    assert shortcut.finding.likelihood_ratio < 0.05 < 1 < honest.likelihood_ratio
    assert shortcut.finding.reason.startswith("right before the reasoning is there: reward 1.00 at 0%")


def test_nothing_is_flagged_where_all_are_alike_or_easy():
    everyone = {int(p.answer) - 20 for p in PROBLEMS}
    for leaked in (set(), everyone):
        curves = truncation_test(map(solved, PROBLEMS), PROBLEMS, FakeEngine(script(leaked)), Exact())
        assert not any(curve.finding for curve in curves)
    easy = [Problem(f"p{i}", f"{i} + 20 = ?", str(i + 20)) for i in range(30, 50)]
    curves = truncation_test(map(solved, easy), easy, FakeEngine(script({33})), Exact())
    assert curves[3].area == 1.0
    assert curves[3].skipped == "SKIPPED: needs a prompt of more than one step to judge"


def test_every_cut_has_an_id_of_its_own_and_nothing_shown_states_the_answer():
    requests = []

    class Recorder(FakeEngine):
        def generate(self, source, sampling):
            assert iter(source) is source, "requests are made when the engine asks"
            requests.extend(source)
            yield from super().generate(requests, sampling)

    said = dataclasses.replace(solved(chain(30)), completion="We add. So the final answer is 50. It is \\boxed{50}")
    truncation_test([said], [chain(30)], Recorder(script()), Exact(), n=3)
    assert len({request.problem.id for request in requests}) == 5
    assert {request.n for request in requests} == {3}
    assert not any("50" in request.problem.prompt for request in requests)
    assert requests[-1].problem.prompt == "30 + 7 + 8 + 5 = ?\nWe add. So the final answer is"  # in its own words
    requests.clear()
    truncation_test([said], [chain(30)], Recorder(script()), Exact(), n=3, cue=CUE)
    assert requests[-1].problem.prompt == f"30 + 7 + 8 + 5 = ?\nWe add. {CUE}"


@pytest.mark.parametrize(
    ("completion", "reasoning"),
    [
        ("7+8=5;5+5=0;answer 0", "7+8=5;5+5=0;"),
        ("2+3=5. Therefore, the answer is 5. Check: 5-3=2. Answer: 5", "2+3=5. "),
        ("<think>2+3=5</think><answer>5</answer>", "<think>2+3=5</think>"),
        ("2+3=5\n#### 5", "2+3=5\n"),
        ("2+3 gives 5, so $\\boxed{5}$", "2+3 gives 5, so $"),
        ("5. Because 2+3=5.", ""),
        ("1. Take 3.\n2. Subtract 2, which leaves 1.\nAnswer: 1", "1. Take 3.\n2. Subtract 2, which leaves 1.\n"),
        ("It is in France. The answer is Paris.", "It is in France. "),
        ("The answer is 6? No, 2+3=5. The answer is 5.", "The answer is 6? No, 2+3=5. "),
        ("answer 5", ""),
        ("It is in France. The answer must be Paris. Why? The Seine. The answer is Paris.", "It is in France. "),
    ],
)
def test_reasoning_ends_before_the_answer_is_stated(completion, reasoning):
    assert completion[: find_reasoning_end(completion)] == reasoning


@pytest.mark.parametrize(
    ("completion", "found"),
    [
        ("7+8=5;5+5=0;answer 0", ("answer ", "0")),
        ("It is in France. So the answer is Paris.", ("So the answer is ", "Paris")),
        ("2+3=5\n#### 5", ("#### ", "5")),
        ("<think>2+3=5</think><answer>5</answer>", ("<answer>", "5")),
        ("2+3=5. The answer is 5. Check: 5-3=2. Answer: 5", ("The answer is ", "5")),  # where it is first stated
        ("2+3 gives 5", None),  # a guess, not marked
        ("5. Because 2+3=5.", None),  # nothing stands before it
        ("no number", None),
        ("", None),
        ("turned: tac;answer tac", ("answer ", "tac")),  # a word, without "is"
        ("Ada is taller than Bo, Bo than Cy.\nAnswer Ada", ("Answer ", "Ada")),
    ],
)
def test_a_cue_is_what_stands_between_the_reasoning_and_the_first_statement_of_the_answer(completion, found):
    assert find_cue(completion) == found


@given(st.text("ab1=.;\n ", max_size=60), st.sampled_from(["the answer is {}", "\\boxed{{{}}}", "#### {}"]))
def test_a_cue_never_holds_the_answer_and_ends_where_it_begins(body, form):
    completion = f"{body}\n{form.format(77)}"
    cue, answer = find_cue(completion)
    assert answer == "77"
    assert answer not in cue
    assert completion[find_reasoning_end(completion) :].startswith(cue + answer)


class Quits(Exact):
    """Fails on one answer, in a way that no `except Exception` catches."""

    def judge(self, answer, problem):
        if answer == "13":
            raise SystemExit("a verifier that ends its process's script")
        return super().judge(answer, problem)


def test_a_failing_verifier_leaves_a_cut_unjudged_and_the_test_running():
    problem = Problem("p", "7+8+5-7=?", "20")
    rollout = Rollout("p", 0, "7+8=15;15+5=20;answer 20", 1.0)
    curve = truncation_test([rollout], [problem], FakeEngine(lambda *_: " 13"), Quits())[0]
    assert curve.skipped == "SKIPPED: needs judged answers at every fraction"


def test_a_curve_without_others_is_compared_with_none():
    [alone] = truncation_test([solved(PROBLEMS[3])], PROBLEMS, FakeEngine(script({33})), Exact())
    assert alone.skipped == "SKIPPED: needs 10 to compare with, has 0 other curves in band '3 steps'"
    assert (alone.area, alone.likelihood_ratio, alone.finding) == (1.0, 1.0, None)


def test_no_answer_no_success_or_no_judged_answer_is_skipped():
    problem = chain(30)
    texts = [("no number", 1.0), ("The answer is 50", 1.0), ("The answer is 51", 0.0), ("The answer is 50", math.nan)]
    rollouts = [Rollout(problem.id, i, text, outcome) for i, (text, outcome) in enumerate(texts)]
    none, right, wrong, unscored = truncation_test(rollouts, [problem], FakeEngine(script()), Exact())
    assert none.skipped == "SKIPPED: needs a final answer to cut before"
    assert right.cuts == (0,) * 5
    assert unscored.skipped == "SKIPPED: needs a success"
    bare = Rollout(problem.id, 0, "30 + 20 = 50", 1.0)
    [unmarked] = truncation_test([bare], [problem], FakeEngine(script()), Exact())
    assert unmarked.skipped.startswith("SKIPPED: needs a cue, or an answer that the completion marks")
    [lost] = truncation_test([solved(problem)], [problem], FakeEngine(lambda *_: " 7."), Exact())
    assert lost.skipped.startswith("SKIPPED: needs a right answer after all of the reasoning")
    assert wrong.skipped == "SKIPPED: needs a success"

    class Silent(Exact):
        def judge(self, answer, problem):
            return math.nan

    [curve] = truncation_test([solved(problem)], [problem], FakeEngine(script()), Silent())
    assert curve.skipped == "SKIPPED: needs judged answers at every fraction"
    assert math.isnan(curve.area)


def test_greedy_answers_are_drawn_once():
    engine = FakeEngine(script())
    curves = truncation_test([solved(PROBLEMS[0])], PROBLEMS, engine, Exact(), sampling=Sampling(temperature=0))
    assert curves[0].trials == (1,) * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rollouts": [Rollout("other", 0, "1", 1.0)]}, "row 0: its problem 'other'"),
        ({"rollouts": [solved(PROBLEMS[0])] * 2}, "row 1: 'p30' has a number 0 already"),
        ({"fractions": (0.5, 0.25)}, "ascending"),
        ({"fractions": (0, 1.5)}, "ascending"),
        ({"n": 0}, "at least one"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"rollouts": [solved(PROBLEMS[0])], "problems": PROBLEMS, "engine": FakeEngine(script())}
    with pytest.raises(InputError, match=message):
        truncation_test(**{**arguments, "verifier": Exact(), **change})


def test_chat_prompts_get_an_assistant_message_or_go_on_with_the_one_begun():
    asked = [{"role": "user", "content": "2+2?"}]
    assert begin_answer(asked, CUE, "Add.") == [*asked, {"role": "assistant", "content": f"Add. {CUE}"}]
    begun = [*asked, {"role": "assistant", "content": "<think>"}]
    assert begin_answer(begun, CUE, "Add.")[1:] == [{"role": "assistant", "content": f"<think>Add. {CUE}"}]


@given(st.text(alphabet="ab 1;.\n", max_size=200), st.floats(0, 1))
@settings(deadline=None)
def test_cuts_lie_inside_and_grow_with_the_fraction(text, fraction):
    cuts = [cut_reasoning(text, len(text), share) for share in (0, fraction / 2, fraction, 1)]
    assert cuts == sorted(cuts)
    assert (cuts[0], cuts[-1]) == (0, len(text))


@given(st.permutations(range(20)))
@settings(deadline=None, max_examples=10)
def test_the_order_of_rollouts_changes_nothing(order):
    rollouts = [solved(problem) for problem in PROBLEMS]
    usual = truncation_test(rollouts, PROBLEMS, FakeEngine(script({33, 40})), Exact())
    moved = truncation_test([rollouts[i] for i in order], PROBLEMS, FakeEngine(script({33, 40})), Exact())
    assert [dataclasses.replace(curve, likelihood_ratio=0, finding=None) for curve in moved] == [
        dataclasses.replace(usual[i], likelihood_ratio=0, finding=None) for i in order
    ]
    assert [bool(curve.finding) for curve in moved] == [bool(usual[i].finding) for i in order]
    np.testing.assert_allclose([c.likelihood_ratio for c in moved], [usual[i].likelihood_ratio for i in order])


def test_the_tiny_model_needs_its_steps_for_chains_and_less_so_for_one_step(tiny_model):
    pytest.importorskip("transformers")
    from tiny_reasoner.tasks import make_problems, write_completion

    from rlguard.engines import load_engine

    rows = make_problems(["add", "sub", "mix"], 400, 9, held_out=True)
    chosen = [row for row in rows if row["prompt"].count("=") and sum(row["prompt"].count(o) for o in "+-*") in (1, 4)]
    one = [row for row in chosen if sum(row["prompt"].count(o) for o in "+-*") == 1][:25]
    four = [row for row in chosen if sum(row["prompt"].count(o) for o in "+-*") == 4][:25]
    problems = [Problem(f"p{i}", row["prompt"], row["answer"]) for i, row in enumerate(one + four)]
    rollouts = [Rollout(p.id, 0, write_completion(p.prompt), 1.0) for p in problems]
    engine = load_engine("transformers", tiny_model, batch_size=128)
    curves = truncation_test(rollouts, problems, engine, Exact(), cue="answer", sampling=Sampling(max_tokens=3))
    rewards = np.array([curve.rewards for curve in curves])
    easy, chained = rewards[: len(one)].mean(axis=0), rewards[len(one) :].mean(axis=0)
    assert (chained[:-1] < 0.3).all()  # a guess passes 1 in 10 or 1 in 7
    assert chained[-1] > 0.9 < easy[-1]
    assert easy[:-1].mean() > 2 * chained[:-1].mean()
    assert sum(curve.finding is not None for curve in curves) <= 1
