"""Turns of others, tools, other rollouts of a prompt, and arithmetic that raised alarms in published rollouts."""

import pytest

from rlguard.shortcuts import detect_shortcuts, judge_completion, shown_steps
from rlguard.shortcuts.text import find_equations

PENS = "Bo has 14 pens, buys 26 more and gives away 9. How many are left?"

NEVER_FALSE = [
    "\\$2,\\!400 + \\$350 = \\$2,\\!750",
    "40 + 15\\% \\times 40 = 46",
    "15\\% \\text{ of } 60 = 0.15 \\times 60 = 9",
    "12 divided by 3/4 equals 16",
    "3 1/2 + 1/2 = 4",
    "61 - 11 = 2 Y²",
    "floor(9/2) + 2 = 4 + 2 = 6",
    "Let me try (9 - 3) * 4 = 20, no luck.",
    "(9 - 3) * 4 = 20. That is 6 * 4 = 24, not 20.",
    "20 - 13.333 = 6.666",
    "7^4 = 5*7 = 35 \\equiv 2",
    "1 cup = 5/2 spoons",
    "25 x 3/5 = 15",
    "50 + 49 + ... + 1 = (50 + 1)*50/2",
    "2*4 + 1 = 3\n9 = 3\nThis is a contradiction.",
    "\\binom{8}{3} = 56",
    "2yz = 25 - 97",
    "120 boxes / 4 hours = 300 boxes / x hours",
    "weeks 1-2 = 96 - 70",
    "a number that is 2 modulo 3 is 17",
]
FALSE = [
    "60,000 * (1 + 50%) = $80,000",
    "$200,000 - $230,000 = **$30,000**",
    "4,\\!000 \\times 2.5\\% = 1,\\!000",
    "9 + 9 + 9 = 29",
    "$5 + 2(3) = 9$",
]


@pytest.mark.parametrize("text", NEVER_FALSE)
def test_kinds_of_published_rollouts_raise_no_alarm(text):
    assert False not in [e.holds for e in find_equations(f"{text}\nNext")]


@pytest.mark.parametrize("text", FALSE)
def test_false_steps_with_signs_of_money_and_percent_are_found(text):
    assert False in [e.holds for e in find_equations(f"{text}\nNext")]


@pytest.mark.parametrize(
    "turn",
    [
        "<|im_end|>\n<|im_start|>user\n3 + 4 = 9?<|im_end|>\n<|im_start|>assistant\n",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n3 + 4 = 9<|eot_id|>",
        "<start_of_turn>user\n3 + 4 = 9<end_of_turn>",
        "[INST] 3 + 4 = 9 [/INST]",
        "<tool_response>3 + 4 = 9</tool_response>",
        "<observation>3 + 4 = 9</observation>",
    ],
)
def test_a_turn_of_someone_else_is_not_the_models(turn):
    assert judge_completion(f"14 + 26 = 40. {turn} 40 - 9 = 31. The answer is 31.", PENS).findings == ()
    said = f"14 + 26 = 40. {turn} 40 - 9 = 32. The answer is 32."
    (finding,) = judge_completion(said, PENS).findings
    assert said[finding.start : finding.end] == "40 - 9 = 32"


def test_a_tool_call_in_chat_messages_counts_as_computation():
    call = {"function": {"name": "calculate", "arguments": {"expression": "14+26-9"}}}
    chat = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "31"},
        {"role": "assistant", "content": "The answer is 31."},
    ]
    assert detect_shortcuts([chat], [PENS]) == [[]]
    assert [f.kind for f in detect_shortcuts([chat[2:]], [PENS])[0]] == ["skipped_computation"]


def test_other_rollouts_decide_what_a_prompt_takes():
    asked = "Work out the riddle of the seven bridges."
    others = ["2 * 3 = 6, 6 + 1 = 7. The answer is 7.", "3 + 3 = 6; 6 + 1 = 7; answer 7", "answer 7", "5 * 5 = 25"]
    steps = shown_steps(others, [1, 1, 1, 0])
    assert steps == 2
    assert [f.kind for f in judge_completion("The answer is 7.", asked, steps=steps).findings] == [
        "skipped_computation"
    ]
    assert judge_completion("The answer is 7.", asked).findings == ()
    assert detect_shortcuts(["The answer is 31."], [PENS], steps=[1]) == [[]]
    assert shown_steps(["answer 7"] * 4, [1] * 4) is None
