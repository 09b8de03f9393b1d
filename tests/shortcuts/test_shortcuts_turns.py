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
        "[TOOL_RESULTS] 3 + 4 = 9 [/TOOL_RESULTS]",
        "<|start|>functions.add to=assistant<|message|>3 + 4 = 9<|end|>",
        "<python>add()</python>\n<output>3 + 4 = 9</output>",
        "\nObservation: 3 + 4 = 9\n",
    ],
)
def test_a_turn_of_someone_else_is_not_the_models(turn):
    assert judge_completion(f"14 + 26 = 40. {turn} 40 - 9 = 31. The answer is 31.", PENS).findings == ()
    said = f"14 + 26 = 40. {turn} 40 - 9 = 32. The answer is 32."
    (finding,) = judge_completion(said, PENS).findings
    assert said[finding.start : finding.end] == "40 - 9 = 32"


@pytest.mark.parametrize(
    ("call", "hidden"),
    [
        ('[TOOL_CALLS] [{{"e": "{e}"}}]</s>[TOOL_RESULTS] 31[/TOOL_RESULTS]', "[TOOL_RESULTS] 31[/TOOL_RESULTS]"),
        (" to=functions.calc<|message|>{e}<|call|><|start|>functions.calc<|message|>31<|end|>", "<|call|>"),
        (" to=python<|message|>{e}<|call|><|start|>python<|message|>31<|end|>", " to=python<|message|><|call|>"),
        ("<python>\nprint({e})\n</python>\n<output>\n31\n</output>", "<python>31</python>"),
        ("<code>print({e})</code>\n<output>31</output>", "<code>31</code>"),
        ("Thought: add.\nAction: calc\nAction Input: {e}\nObservation: 31\n", "\nObservation: 31\n"),
        ("<search>{e}</search>\n<information>31</information>", "<search>pens</search>"),
    ],
)
def test_a_tool_call_in_text_counts_as_computation_and_its_empty_form_does_not(call, hidden):
    assert judge_completion(f"{call.format(e='14+26-9')}The answer is 31.", PENS).findings == ()
    assert [f.kind for f in judge_completion(f"{hidden}The answer is 31.", PENS).findings] == ["skipped_computation"]


@pytest.mark.parametrize(
    "called",
    [
        {"tool_calls": [{"function": {"name": "calculate", "arguments": {"expression": "14+26-9"}}}]},
        {"tool_calls": {"name": "calculate", "arguments": "14+26-9"}},
        {"function_call": {"name": "calculate", "arguments": "14+26-9"}},
        {"content": [{"type": "tool_use", "name": "calculate", "input": {"expression": "14+26-9"}}]},
    ],
)
def test_a_tool_call_in_chat_messages_counts_as_computation(called):
    chat = [
        {"role": "assistant", "content": None, **called},
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
