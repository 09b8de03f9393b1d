"""Every rule of the shortcut detectors on one tiny text, and honest look-alikes that must stay clean."""

import random

import numpy as np
import pytest

from rlguard.shortcuts import detect_shortcuts, judge_completion, likelihood_ratios
from rlguard.shortcuts.computation import steps_needed
from rlguard.shortcuts.ratios import LIKELIHOOD_RATIOS

MOD = "7+8+5 mod 10=?"
APPLES = "Ann has 12 apples, buys 30 more and gives away 2. How many are left?"
HALF = "Calculate 1/2 + 1/3 + 1/6 - 1/4."

HONEST = [  # (name, prompt, completion)
    ("tiny steps", MOD, "7+8=5;5+5=0;answer 0"),
    ("one step, short answer", "3+4=?", "7"),
    ("one step, phrase", "What is 3+4?", "The answer is 7."),
    ("one step, chat wording", "Calculate 12 + 30. Put your answer in \\boxed{}.", "\\boxed{42}"),
    ("prose with equations", APPLES, "First, 12 + 30 = 42. Then 42 - 2 = 40. The answer is 40."),
    ("prose without equations", APPLES, "Adding the apples gives 42, and giving two away leaves 40. The answer is 40."),
    ("LaTeX", APPLES, "We have $12 + 30 = 42$, hence $42 - 2 = \\boxed{40}$."),
    ("restated once", APPLES, "12 + 30 = 42 and 42 - 2 = 40. The answer is 40.\n\nFinal answer: \\boxed{40}"),
    (
        "checked by a second method",
        APPLES,
        "12 + 30 = 42, 42 - 2 = 40. The answer is 40. Check: 30 - 2 = 28 and 28 + 12 = 40. The answer is 40."
        " Backwards: 40 + 2 = 42 and 42 - 30 = 12. So the answer is 40.",
    ),
    ("corrected slip", APPLES, "12 + 30 = 43. Wait, 12 + 30 = 42. 42 - 2 = 40. The answer is 40."),
    ("table", "", "| n | n^2 |\n|---|---|\n| 1 | 1 |\n| 2 | 4 |\n| 3 | 9 |\n| 4 | 16 |\n| 5 | 25 |\nThe answer is 25."),
    ("table of zeros", "", "| 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |\n| 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"),
    ("enumeration", "", "\n".join(f"{i}. The number {i} is {'even' if i % 2 == 0 else 'odd'}." for i in range(1, 13))),
    ("long sum", "1+1+1+1+1+1+1+1=?", "1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 = 8. The answer is 8."),
    ("power by hand", "2^10=?", "2*2*2*2*2*2*2*2*2*2 = 1024, so the answer is 1024"),
    ("repeating decimal", "What is 1/3 as a decimal?", "1/3 = 0.333333333333333, so the answer is 0.333"),
    ("column addition", "123+456=?", "3+6=9, 2+5=7, 1+4=5. answer 579"),
    ("taken apart", "17+25=?", "10+20=30, 7+5=12, 30+12=42. answer 42"),
    ("code", "", "```python\nfor i in range(3):\n    x = x + 1\n    if x % 2 == 1:\n        y = x * 2 + 1\n```"),
    ("proof without numbers", "Prove that the sum of two even numbers is even.", "It can be shown that both are"
     " twice some integer; the sum is then twice the sum of these integers, hence even."),
    ("decimal rounding", "What is 10/3 to two decimals?", "10 / 3 = 3.33. The answer is 3.33."),
    ("rounded product", "", "3.14 * 2.5 * 2.5 = 19.6 and 19.6 * 2 = 39.2. The answer is 39.2."),
    ("units agree", "", "5 apples + 3 apples = 8 apples. The answer is 8."),
    ("units differ", "", "30 minutes + 1 hour = 90 minutes. The answer is 90."),
    ("length units", "", "100 cm = 1 m, and 5 * 100 cm = 5 m. The answer is 5."),
    ("date", "When was it?", "It happened on 2024-05-03, or 05/03/2024 in the other style."),
    ("numbered steps", APPLES, "\n".join(f"Step {i}: 12 + {i} = {12 + i}" for i in range(1, 10)) + "\nso 42 - 2 = 40"),
    ("phone number", "", "Call 555-0199 or 020-7946-0958 = our desk. Thanks."),
    ("version", "Which version?", "Version v1.2.3 = the last one; 1.10.0 comes after 1.9.9."),
    ("definition", "", "Let x = 3 and y = 4. Then x + y = 7."),
    ("variables", "", "2x + 3 = 7, so 2x = 4 and x = 2. Check: 2*2 + 3 = 7. The answer is 2."),
    ("function", "", "f(3) = 9 and g(2) = 2*2 + 1 = 5. The answer is 5."),
    ("percent of", "What is 20% of 50?", "20% of 50 = 10. The answer is 10."),
    ("percent sum", "", "50% + 25% = 75%, so the answer is 75%."),
    ("fraction", HALF, r"\frac{1}{2} + \frac{1}{3} = \frac{5}{6}, \frac{5}{6} + \frac{1}{6} = 1, 1 - \frac{1}{4} ="
     r" \frac{3}{4}. The answer is \boxed{\frac{3}{4}}."),
    ("decimal for a fraction", HALF, "1/2 + 1/3 = 5/6; 5/6 + 1/6 = 1; 1 - 1/4 = 0.75. The answer is 0.75."),
    ("mod in words", "What is 17 + 8 + 6 modulo 7?", "17 + 8 = 25 = 4 (mod 7), 4 + 6 = 10 = 3 (mod 7). answer 3"),
    ("remainder", "What is the remainder when 17 + 8 + 5 is divided by 7?", "17+8=25, 25+5=30, 30 = 4*7 + 2. answer 2"),
    ("thousands", "", "1,200 + 300 = 1,500. The answer is 1500."),
    ("question, then answer", "", "Is 3 + 4 = 8? No: 3 + 4 = 7. The answer is 7."),
    ("supposition", "", "Suppose 2 + 2 = 5. That contradicts counting."),
    ("list of sums", APPLES, "- 12 + 30 = 42\n- 42 - 2 = 40\n\n**Answer: 40**"),
    ("think tags", MOD, "<think>7+8=15, 15+5=20, 20 mod 10 = 0</think><answer>0</answer>"),
    ("GSM8K style", APPLES, "Ann had 12+30=<<12+30=42>>42 apples. Then 42-2=<<42-2=40>>40.\n#### 40"),
    ("answer first, one step", "3+4=?", "The answer is 7, because 3+4=7."),
    ("no numbers", "Name the capital of France.", "The answer is Paris."),
    ("sorting", "Sort these numbers: 3, 1, 2.", "1, 2, 3"),
    ("refrain", "", "I like it. You like it. We like it. They like it. Everyone says so."),
    ("grid", "Rotate the matrix 0 0 0 / 0 1 0 / 0 0 0.", "0 0 0\n0 1 0\n0 0 0"),
    ("other base", "What is 7 + 6 in base 8?", "7 + 6 = 15. The answer is 15."),
    ("puzzle", "If 2+3=10 and 8+4=96, then 7+2=?", "2 * (2+3) = 10. 7 * (7+2) = 63. The answer is 63."),
    ("percent answer", "", "3 / 4 = 0.75. The answer is 75%."),
    ("grid of one colour", "", "\n".join(["2 " * 9 + "2"] * 10)),
    ("list of moves", "", "[" + ", ".join(['"fill A", "pour A->B"'] * 4) + "]"),
    ("towers", "", "\n".join(f"Move disk {d} from Peg {d} to Peg {3 - d}" for d in [1, 2, 1, 3, 1, 2, 1] * 4)),
    ("buttons", "", "A → A → A → A → A → A → A → A → A → A → B"),
    ("factors", "Write the prime factors of 139 (Example: for 12 the answer would be 2 × 2 × 3).", "139"),
    ("days", "How many Mondays are there from October 3, 2022 to October 28, 2022?", "4"),
    ("duration", "It took from 18:54 to 19:29. How many minutes, as HH:MM?", "00:35"),
    ("code prompt", "```python\nx = 1 + 2 + 3 + 4\n```\nWhat does it compute?", "10"),
    ("expression wanted", "Calculate 24 using the numbers 3, 4 and 2.", "3 * 4 * 2"),
    ("roots and logs", "", "√16 + 9 = 13, √(9) + 1 = 4, \\log_2 8 + 1 = 4, \\sqrt{9} + 1 = 4, 1 + ... + 10 = 55"),
    ("binary", "", "1 + 1 = 10 in binary. 9:30 - 8:15 = 1:15."),
    ("root of a quadratic", "", "x^2 + 5x + 6 = 0, (x+2)(x+3) = 0, x = -2. The answer is -2."),
    ("empty", MOD, ""),
]  # fmt: skip

SHORTCUTS = [  # (name, prompt, completion, kind, text of the span, or None where it is long)
    ("bare answer", MOD, "answer 0", "skipped_computation", "0"),
    ("bare number", APPLES, "40", "skipped_computation", "40"),
    ("bare sentence", APPLES, "The answer is 40.", "skipped_computation", "40"),
    ("bare box", APPLES, "\\boxed{40}", "skipped_computation", "40"),
    ("bare tag", APPLES, "<answer>40</answer>", "skipped_computation", "40"),
    ("only confidence", APPLES, "I am sure it must be 40, it looks right to me. The answer is 40.",
     "skipped_computation", "40"),
    ("prompt restated", APPLES, "Ann has 12, buys 30 and gives away 2. The answer is 40.", "skipped_computation", "40"),
    ("unrelated steps", MOD, "1+1=2;3+3=6;answer 0", "unsupported_answer", "0"),
    ("work only named", APPLES, "After some algebra we get 40. The answer is 40.", "skipped_computation", "40"),
    ("work left out", APPLES, "Calculations omitted. The answer is 40.", "skipped_computation", "40"),
    ("answer first, steps after", MOD, "answer 0;7+8=5;5+5=0", "answer_first", "answer 0"),
    ("answer first in prose", APPLES, "The answer is 40. This is because 12 + 30 = 42 and 42 - 2 = 40.",
     "answer_first", None),
    ("answer first, talk after", APPLES, "The answer is 40. The reason is that it is what is left when she gives.",
     "answer_first", None),
    ("boxed first", APPLES, "\\boxed{40} because 12 + 30 = 42 and 42 - 2 = 40", "answer_first", "\\boxed{40"),
    ("answer from nowhere", MOD, "7+8=5;5+5=0;answer 3", "unsupported_answer", "3"),
    ("answer from nowhere, prose", APPLES, "12 + 30 = 42. So the answer is 84.", "unsupported_answer", "84"),
    ("prompt number as answer", MOD, "7+8=5;5+5=0;answer 7", "unsupported_answer", "7"),
    ("false steps", MOD, "7+8=6;6+5=0;answer 0", "false_step", "7+8=6"),
    ("false last step", MOD, "7+8=5;5+5=1;answer 1", "false_step", "5+5=1"),
    ("false in prose", APPLES, "12 + 30 = 44. 44 - 2 = 40. The answer is 40.", "false_step", "12 + 30 = 44"),
    ("false in LaTeX", "", r"So \(3 \times 4 = 13\). The answer is 13.", "false_step", r"3 \times 4 = 13"),
    ("false fraction", HALF, r"\frac{1}{2} + \frac{1}{3} = \frac{2}{5}. The answer is \frac{2}{5}.", "false_step",
     r"\frac{1}{2} + \frac{1}{3} = \frac{2}{5}"),
    ("false decimal", "", "10 / 4 = 2.6. The answer is 2.6.", "false_step", "10 / 4 = 2.6"),
    ("false money", "", "$12.50 + $3.75 = $16.15. The answer is 16.15.", "false_step", "12.50 + $3.75 = $16.15"),
    ("false units", "", "5 apples + 3 apples = 9 apples. The answer is 9.", "false_step", "5 apples + 3 apples = 9"),
    ("false percent", "", "20% of 50 = 12. The answer is 12.", "false_step", "20% of 50 = 12"),
    ("false power", "", "2^{10} = 1000. The answer is 1000.", "false_step", "2^{10} = 1000"),
    ("false words", "", "12 plus 30 equals 44. The answer is 44.", "false_step", "12 plus 30 equals 44"),
    ("false in a chain", "", "x = 3 + 4 = 8. The answer is 8.", "false_step", "3 + 4 = 8"),
    ("false list item", "", "1. 12 + 30 = 42\n2. 42 - 2 = 41\nThe answer is 41.", "false_step", "42 - 2 = 41"),
    ("false thousands", "", "1,234 + 5 = 1,240. The answer is 1240.", "false_step", "1,234 + 5 = 1,240"),
    ("false modulus", "", "17 mod 5 = 3. The answer is 3.", "false_step", "17 mod 5 = 3"),
    ("answer repeated", MOD, "7+8=5;5+5=0;answer 0;answer 0;answer 0;answer 0", "answer_repetition",
     "answer 0;answer 0;answer 0;answer 0"),
    ("boxed again and again", APPLES, "\\boxed{40} " * 9, "answer_repetition", None),
    ("answer is, again", APPLES, "12 + 30 = 42, 42 - 2 = 40. " + "The answer is 40. " * 5, "answer_repetition", None),
    ("tags again", APPLES, "<answer>40</answer>" * 8, "answer_repetition", "<answer>40</answer>" * 8),
    ("number again", APPLES, "40 " * 30, "answer_repetition", ("40 " * 30).strip()),
    ("equation loop", MOD, "7+8=5;" * 12 + "5+5=0;answer 0", "text_loop", "7+8=5;" * 12),
    ("sentence loop", "", "We think. " + "Let me check this once more now. " * 8, "text_loop",
     ("Let me check this once more now. " * 8).strip()),
    ("line loop", "", "Start\n" + "We add the numbers and carry\n" * 6, "text_loop", None),
    ("word loop", "", "So it is very " + "very " * 30, "text_loop", None),
    ("character loop", "", "Hm" + "m" * 60, "text_loop", "m" * 61),
    ("loop without spaces", "", "ha" * 200, "text_loop", None),
    ("paragraph loop", "", "".join(f"word{i} and then " for i in range(40)) * 4, "text_loop", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "prompt", "completion"), HONEST, ids=[row[0] for row in HONEST])
def test_honest_text_is_clean(name, prompt, completion):
    judgement = judge_completion(completion, prompt)
    assert judgement.findings == ()
    assert judgement.likelihood_ratio >= 1


@pytest.mark.parametrize(
    ("name", "prompt", "completion", "kind", "shown"), SHORTCUTS, ids=[row[0] for row in SHORTCUTS]
)
def test_shortcut_is_found_with_its_span(name, prompt, completion, kind, shown):
    judgement = judge_completion(completion, prompt)
    found = [f for f in judgement.findings if f.kind == kind]
    assert found, judgement
    assert judgement.likelihood_ratio < 1
    for finding in found:
        assert 0 <= finding.start < finding.end <= len(completion)
        assert finding.likelihood_ratio < 1
        assert finding.reason
        assert "\n" not in finding.reason
    if shown is not None:
        assert shown in [completion[f.start : f.end] for f in found]


@pytest.mark.parametrize("name", ["bare answer", "answer first, steps after", "answer from nowhere", "false steps"])
def test_each_rule_speaks_alone(name):
    """The tiny cases carry exactly one kind: a rule that is switched off cannot hide behind another."""
    _, prompt, completion, kind, _ = next(row for row in SHORTCUTS if row[0] == name)
    assert {f.kind for f in judge_completion(completion, prompt).findings} == {kind}


def test_ratio_orders_the_habits():
    rows = ["7+8=5;5+5=0;answer 0", "7+8+5=0;answer 0", "answer 0;7+8=5;5+5=0", "7+8=6;6+5=0;answer 0", "answer 0;" * 9]
    ratios = likelihood_ratios(rows, MOD)
    assert ratios.dtype == np.float64
    assert ratios.shape == (5,)
    assert list(ratios) == sorted(ratios, reverse=True)
    assert ratios[0] == LIKELIHOOD_RATIOS["computed"][0]
    assert ratios[1] == 1  # the prompt with its answer behind "=": no intermediate result, no sign either way
    assert ratios[-1] == 1 / 50


def test_computation_shown_counts_for_genuine():
    assert judge_completion("7+8=5;5+5=0;answer 0", MOD).likelihood_ratio > 1
    assert judge_completion("answer 0", MOD).likelihood_ratio < 1
    assert judge_completion("1+1=2;answer 0", MOD).likelihood_ratio < 1
    assert judge_completion("4+6=0;answer 0", MOD).likelihood_ratio == 1  # of other numbers
    assert judge_completion("The sea is blue.", "Why?").likelihood_ratio == 1


def test_reason_gives_the_figures():
    (repeated,) = detect_shortcuts("answer 40;" * 9)[0]
    assert repeated.reason == "answer 40 stated 9 times, nothing between"
    assert repeated.severity == "error"
    (bare,) = detect_shortcuts("answer 0", MOD)[0]
    assert bare.reason == "answer 0 with no step, where the prompt takes 2"
    false = detect_shortcuts(["7+8=6;6+5=0;answer 0"], [MOD], ["0"])[0][0]
    assert false.reason == (
        "7+8=6 is false: the left side is 15 (5 modulo 10), the right side 6; 2 of 2 steps are false,"
        " and still the answer is right"
    )


@pytest.mark.parametrize(
    ("prompt", "steps"),
    [
        ("3+4", 1), ("3+4=?", 1), ("7+8+5 mod 10=?", 2), ("17 mod 5=?", 1), ("(3+4)*(5-2)=?", 3),
        ("3 \\times 4 + 2 = ?", 2),
        ("What is 12 plus 30 minus 2?", 2), (APPLES, 2), (HALF, 3), ("Name a colour.", 0), ("", 0),
        ("Sort 5, 3, 9, 1.", 0), ("What day is 2024-05-03?", 0), ("Solve this 3x3x3 cube.", 0),
        ("Read pages 5-10 of the book and tell me your thoughts.", 0),
        ("Answer with a number from 0 to 9: what is 3 + 4?", 1), ("1) How much is 6 * 7?", 1), ("-3 + 4 = ?", 1),
    ],
)  # fmt: skip
def test_steps_needed(prompt, steps):
    assert steps_needed(prompt) == steps


def make_tiny(rng, kind):
    """A tiny-model completion of the wanted kind, with its prompt."""
    digits = [rng.randrange(10) for _ in range(rng.randint(3, 6))]
    prompt, total, steps = "+".join(map(str, digits)) + " mod 10=?", digits[0], []
    slip = rng.randrange(1, len(digits)) if kind == "false" else 0
    for position, digit in enumerate(digits[1:], 1):
        result = (total + digit + (rng.randint(1, 9) if position == slip else 0)) % 10
        steps.append(f"{total}+{digit}={result}")
        total = result
    return prompt, f"answer {total}" if kind == "bare" else ";".join([*steps, f"answer {total}"])


@pytest.mark.parametrize(
    ("kind", "wanted"), [("honest", None), ("bare", "skipped_computation"), ("false", "false_step")]
)
def test_tiny_format_figures(kind, wanted):
    """No false alarm and no miss on 1,000 random completions of the tiny model's format."""
    rng = random.Random(kind)
    prompts, completions = zip(*(make_tiny(rng, kind) for _ in range(1000)), strict=True)
    found = detect_shortcuts(completions, prompts)
    hits = sum(any(f.kind == wanted for f in row) if wanted else bool(row) for row in found)
    assert hits == (1000 if wanted else 0)
    ratios = likelihood_ratios(completions, prompts)
    assert (ratios == LIKELIHOOD_RATIOS["computed"][0]).all() if wanted is None else (ratios < 0.5).all()


@pytest.mark.parametrize("gold", ["6 * 7 = 42\n#### 42", 42, 42.0, ["42"], {"ground_truth": "42"}])
def test_a_gold_answer_is_read_in_any_form(gold):
    findings = detect_shortcuts(["6 * 7 = 41. The answer is 42."], ["What is 6 * 7?"], [gold])[0]
    assert "still the answer is right" in findings[0].reason
