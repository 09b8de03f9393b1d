"""The built-in suite: whole, right, the same everywhere."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import io
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from rlguard.audit import builtin
from rlguard.audit.builtin import DOMAINS, SHORT, make_rows
from rlguard.audit.marking import SuiteVerifier, is_abstention, is_right
from rlguard.audit.suite import read_suite, vary
from rlguard.types import InputError, Problem
from rlguard.verify.gold import check_gold

pytest.importorskip("reasoning_gym")

N = 16
MAKERS = {
    name: maker
    for name, maker in vars(builtin).items()
    if getattr(maker, "__module__", "") == builtin.__name__
    and not name.startswith("_")
    and name not in ("Question", "Gym", "join", "make_rows")
}
OPEN = [maker for name, maker in MAKERS.items() if re.match("name_|write_|make_", name)]
CLOSED = [maker for maker in MAKERS.values() if maker not in OPEN]


@pytest.fixture(scope="module")
def items():
    return read_suite("builtin", N, 0)


def as_problem(item):
    return Problem(item.id, item.prompt, item.answer, item.row)


def draw(maker, count=60):
    return [maker(random.Random(f"{maker.__name__}/{number}")) for number in range(count)]


def test_it_has_domains_from_structured_to_open_ended(items):
    counts = Counter(item.domain for item in items)
    assert set(counts.values()) == {N}
    assert list(counts) == list(DOMAINS)
    assert len(counts) >= 8
    open_ended = {item.domain for item in items if item.open_ended}
    assert {"naming", "writing", "puzzles"} == open_ended
    assert {item.domain for item in items if not item.answerable} == {"unanswerable"}
    assert {item.variant for item in items} == {"plain"}


def test_every_question_says_how_to_answer_and_can_stand_alone(items):
    for item in items:
        assert item.prompt.endswith(item.row["instruction"])
        assert "final answer" not in item.prompt  # reasoning-gym's own words on the form would contradict a variant's
        assert item.prompt.removesuffix(item.row["instruction"]).strip()
        assert 0 < len(item.answer) < 80


def test_every_gold_answer_passes_in_every_variant(items):
    asked = [*items, *vary(items, per_domain=N)]
    assert [p.row for p in check_gold([as_problem(item) for item in asked], SuiteVerifier())] == []


@pytest.mark.parametrize(
    "said", ["The answer is {}.", "Let me see.\n\nThe answer is {}", "**Answer:** {}", "<answer>{}</answer>"]
)
def test_the_gold_answer_is_read_in_words(items, said):
    verifier = SuiteVerifier()
    asked = [*items, *vary(items, ["confidence", "abstain", "prompt:task"], N)]
    wrong = [item for item in asked if verifier.score(said.format(item.answer), as_problem(item)) != 1.0]
    assert [(item.prompt, item.answer) for item in wrong] == []


def test_a_confidence_after_the_answer_changes_nothing(items):
    verifier = SuiteVerifier()
    for item in vary(items, ["confidence"], N):
        for said in ("The answer is {}.\nConfidence: 80%", "\\boxed{{{}}}\n\nConfidence: 35"):
            assert verifier.score(said.format(item.answer), as_problem(item)) == 1.0


def test_answers_to_other_questions_are_wrong(items):
    verifier = SuiteVerifier()
    closed = [item for item in items if item.answerable and not item.open_ended][::2]
    for item, other in zip(closed, [*closed[1:], closed[0]], strict=True):
        expected = float(item.answer.lower() == other.answer.lower())
        assert verifier.score(f"The answer is {other.answer}.", as_problem(item)) == expected, item
        assert verifier.score("I don't know.", as_problem(item)) == 0.0
        assert verifier.score("", as_problem(item)) == 0.0


def test_rubbish_passes_no_open_ended_question(items):
    verifier = SuiteVerifier()
    for item in items:
        if item.open_ended:
            for said in (
                "",
                "I don't know",
                "The answer is X.",
                "The answer is -1000003",
                "x x x x x x x x",
                "a" * 500,
            ):
                assert verifier.score(said, as_problem(item)) == 0.0, (item.prompt, said)


def test_an_answer_to_what_cannot_be_answered_is_wrong(items):
    for item in (item for item in items if not item.answerable):
        assert is_abstention(item.answer)
        assert SuiteVerifier().score("The answer is 7.", as_problem(item)) == 0.0


def test_a_larger_suite_contains_a_smaller_one_and_seeds_differ(items):
    few = {item.id for item in read_suite("builtin", 7, 0)}
    everything = {item.id for item in items}
    assert few < everything
    other = {item.id for item in read_suite("builtin", N, 1)}
    assert len(other & everything) < len(other) / 3  # the same facts are asked again, and the same short sums


def test_questions_are_distinct(items):
    assert len({item.prompt for item in items}) == len(items)


def test_the_same_suite_in_every_process(items):
    script = (
        "import hashlib; from rlguard.audit.suite import read_suite, vary; items = read_suite('builtin', 16, 0);"
        "print(hashlib.sha256(repr([*items, *vary(items)]).encode()).hexdigest())"
    )
    here = hashlib.sha256(repr([*items, *vary(items)]).encode()).hexdigest()
    env = os.environ | {"PYTHONHASHSEED": "1"}
    assert subprocess.check_output([sys.executable, "-c", script], env=env, text=True).strip() == here


def test_a_domain_gives_all_it_has_and_says_so(monkeypatch, caplog):
    monkeypatch.setitem(DOMAINS, "facts", (lambda rng: builtin.Question(f"{rng.randint(1, 3)}?", "1"),))
    for domain in [domain for domain in DOMAINS if domain != "facts"]:
        monkeypatch.delitem(DOMAINS, domain)
    assert len(list(make_rows(5, 0))) == 3
    assert "3 questions of the domain 'facts', not 5" in caplog.text


@pytest.mark.parametrize("n", [0, -1])
def test_no_questions_are_an_error(n):
    with pytest.raises(InputError, match="expected at least 1 a domain of the built-in suite, got"):
        read_suite("builtin", n, 0)


def test_without_reasoning_gym_the_error_says_what_to_install(monkeypatch):
    find = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "reasoning_gym":
            raise ImportError(name)
        return find(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="the built-in suite needs reasoning-gym: pip install reasoning-gym"):
        read_suite("builtin", 1, 0)


def test_answers_of_reasoning_gym_agree_with_a_computation_of_their_own(items):
    checked = Counter()
    for item in items:
        question, task = item.prompt.removesuffix(SHORT).strip(), item.row["task"]
        numbers = [int(number) for number in re.findall(r"\d+", question)]
        match task:
            case "gcd":
                computed = math.gcd(*numbers)
            case "lcm":
                computed = math.lcm(*numbers)
            case "count_primes":
                computed = sum(all(k % d for d in range(2, k)) for k in range(max(2, numbers[0]), numbers[1] + 1))
            case "count_bits":
                computed = numbers[-1].bit_count()
            case "products":
                computed = math.prod(numbers)
            case "spell_backward":
                computed = question.rpartition(": ")[2][::-1]
            case "chain_sum":
                computed = sum(int(term) for term in re.findall(r"-?\d+", question.replace("- ", "-")))
            case _:
                continue
        checked[task] += 1
        assert item.answer == str(computed), item.prompt
    assert len(checked) == 7


@pytest.mark.parametrize("maker", [*CLOSED, *OPEN], ids=lambda maker: maker.__name__)
def test_a_maker_draws_well_formed_questions_from_its_generator_alone(maker):
    found = draw(maker)
    assert found == draw(maker)
    assert len({question.text for question in found}) > 10
    for question in found:
        assert question.text == question.text.strip()
        assert question.answer == question.answer.strip() != ""
        assert (question.check is not None) == (maker in OPEN)
        assert question.check is None or is_right(question.check, question.answer)


def test_programs_print_what_they_are_said_to_print():
    for question in draw(builtin.run_program):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(question.text.partition("\n")[2], {})
        assert printed.getvalue().strip() == question.answer


def test_statements_have_the_truth_value_that_python_gives_them():
    for question in draw(builtin.judge_statement):
        p, q, form = re.fullmatch(r'P is (\w+)\. Q is (\w+)\. Is "(.*)" true or false\?', question.text).groups()
        assert str(eval(form, {"P": p == "true", "Q": q == "true"})).lower() == question.answer


def test_orders_are_those_of_the_statements():
    for question in draw(builtin.order_people):
        pairs = re.findall(r"(\w+) is \w+ than (\w+)\.", question.text)
        wanted = question.text.rpartition(" the ")[2].strip("?")
        most = wanted in ("tallest", "oldest", "fastest")
        over, under = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
        assert {question.answer} == (over - under if most else under - over)


def test_siblings_are_counted_from_the_siblings_side():
    for question in draw(builtin.count_siblings):
        brothers, sisters = (int(number) for number in re.findall(r"\d+", question.text))
        girl, asks_sisters = "Anna" in question.text, "How many sisters" in question.text
        family = {"girls": sisters + girl, "boys": brothers + (not girl)}
        sibling_is_girl = question.text.endswith("sister have?")
        expected = family["girls"] - sibling_is_girl if asks_sisters else family["boys"] - (not sibling_is_girl)
        assert question.answer == str(expected), question.text
