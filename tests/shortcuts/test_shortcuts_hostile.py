"""The detectors on hostile text, random signs and bad input: quick, no stray exception, errors that name the row."""

import random
import subprocess
import sys

import pytest
from conftest import measure_seconds

from rlguard.shortcuts import detect_shortcuts, judge_completion, likelihood_ratios
from rlguard.types import InputError

MOD = "7+8+5 mod 10=?"
APPLES = "Ann has 12 apples, buys 30 more and gives away 2. How many are left?"

HOSTILE = {
    "sum": "1+" * 500_000, "sum =": "1+" * 499_999 + "1=3", "open": "(" * 10**6, "open =": "(" * 10**6 + "=",
    "boxed": "\\boxed{" * 10**5, "spaces": " " * 10**6, "equals": "=" * 10**6, "digits": "1" * 10**6,
    "lines": "\n" * 10**6, "frac": "\\frac{" * 160_000 + "=", "false": "1+1=3;" * 160_000,
    "comma": "1," * 500_000 + "=",
    "power": "9^" * 300_000 + "9=1", "product": "9*" * 300_000 + "9=1", "tags": "<answer>" * 125_000,
    "answers": "answer is " * 100_000, "chain": "1=" * 500_000, "percent": "1%" * 500_000 + "=",
    "mod": "1 mod " * 160_000,
    "bullets": "\n- 1" * 250_000 + "=", "letters": "ab" * 500_000, "dollar": "$" * 10**6, "nul": "\0" * 10**6,
    "units": "1 a" * 330_000 + "=", "after": "after some " * 90_000, "minus": "-" * 10**6 + "=1",
}  # fmt: skip


SENTENCE = "Then 12 + 30 = 42 and (3 * 4) / 2 = 6, so we go on with $\\frac{1}{2} + 1 = 1.5$ of it.\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_megabyte_takes_no_more_than_a_few_honest_ones(name, honest_seconds):
    assert measure_seconds(judge_both, HOSTILE[name]) < 10 * honest_seconds


@pytest.fixture(scope="module")
def honest_seconds():
    return measure_seconds(judge_both, SENTENCE * 10_000)


def judge_both(text):
    judge_completion(text, MOD)
    judge_completion("answer 1", text)


def test_span_in_a_very_long_text_is_shifted():
    text = "x y z. " * 100_000 + "12 + 30 = 44. The answer is 44."
    (finding,) = [f for f in judge_completion(text).findings if f.kind == "false_step"]
    assert text[finding.start : finding.end] == "12 + 30 = 44"


def test_random_bytes_never_raise():
    rng = random.Random(0)
    signs = [
        *"0123456789+-*/^%=()[]{}$.,;:?<>|\\ \n",
        "\\frac{",
        "\\boxed{",
        "answer ",
        "mod ",
        " is ",
        "x",
        "²",
        "٣",
        "=",
    ]
    for _ in range(3000):
        text = "".join(rng.choices(signs, k=rng.randint(1, 60)))
        for finding in judge_completion(text, text[::-1]).findings:
            assert 0 <= finding.start < finding.end <= len(text)


def test_chat_messages_and_one_prompt_for_all():
    chat = [{"role": "assistant", "content": "answer 0"}]
    question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": MOD}]
    assert [f.kind for f in detect_shortcuts([chat], [question])[0]] == ["skipped_computation"]
    assert len(detect_shortcuts(["answer 0"] * 3, MOD)) == 3
    assert detect_shortcuts([]) == []
    assert likelihood_ratios([]).shape == (0,)


@pytest.mark.parametrize(
    ("completions", "prompts", "answers", "message"),
    [
        (["a", "b"], ["p"], None, "prompts: expected 2, one per completion, given 1"),
        (["a", "b"], None, ["1"], "answers: expected 2, one per completion, given 1"),
        (["a", None], None, None, "completion in row 1: expected text or chat messages, given None"),
        (["a", "b", float("nan")], None, None, "completion in row 2: expected text or chat messages, given NaN"),
        ([3], None, None, "completion in row 0: expected text or chat messages, given 3"),
        (["a"], [7], None, "prompt in row 0: expected text or chat messages, given 7"),
    ],
)
def test_bad_input_names_the_row(completions, prompts, answers, message):
    with pytest.raises(InputError, match=message):
        detect_shortcuts(completions, prompts, answers)


def test_import_is_light():
    code = (
        "import sys, time; import rlguard.types; t = time.perf_counter(); import rlguard.shortcuts;"
        "print(time.perf_counter() - t); sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 0.5


def count_calls(text):
    """Functions called, Python's and built-in ones, while a text is judged."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        judge_completion(text, APPLES)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("unit", ["Then {0} + 3 = {1}, as it has to be. ", "The answer is 7.\n", "word{0} and so on. "])
def test_work_grows_no_faster_than_the_text(unit):
    def write(times):
        return "".join(unit.format(i, i + 3) for i in range(times))

    judge_completion(write(50))  # what is imported at the first call
    assert count_calls(write(1600)) < 5 * count_calls(write(400)) + 1000
