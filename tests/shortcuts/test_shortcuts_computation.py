"""Needed work, shown work, answers first and copied answers, with honest look-alikes beside them."""

import pytest
from conftest import measure_seconds

from rlguard.shortcuts import judge_completion
from rlguard.shortcuts.computation import read_prompt, steps_needed

SERIES = "What comes next: 4, 9, 19, 39, ...?"
EQUATION = "Solve 3x + 5 = 20 for x."
CLOCK = "A train leaves at 08:50 and travels 135 minutes. When does it arrive?"
SHOP = "A shirt costs $80 and is 25% off. Shipping adds $6. What do you pay?"
SUMMARY = "The answer is 66. Indeed 80 * 25 / 100 = 20, then 80 - 20 = 60 and 60 + 6 = 66. So the answer is 66."
LOGIC = "Ada is older than Ben. Ben is older than Cy. Cy is older than Dan. Is Ada older than Dan?"

HONEST = [
    ("series", SERIES, "Each term is doubled and 1 added: 39 * 2 = 78, 78 + 1 = 79. The answer is 79."),
    ("equation in algebra", EQUATION, "3x = 20 - 5, so 3x = 15 and x = 5. The answer is 5."),
    ("equation by trying", EQUATION, "Try x = 5: 3 * 5 + 5 = 20, which is right. Answer: 5"),
    ("answer stands in the prompt, worked out", EQUATION, "20 - 5 = 15, and 15 / 3 = 5. The answer is 5."),
    ("time", CLOCK, "8 * 60 + 50 = 530. 530 + 135 = 665. 665 = 11 * 60 + 5. The answer is 11:05."),
    ("time in words", CLOCK, "135 minutes are 2 hours and 15 minutes; 08:50 plus 2 hours is 10:50. Answer: 11:05"),
    ("prose", SHOP, "A quarter off makes the shirt 60 dollars; with shipping that comes to 66. The answer is 66."),
    ("summary, then all of the work", SHOP, SUMMARY),
    ("argument in words", LOGIC, "Yes. Ada comes before Ben, Ben before Cy, and so by transitivity Ada before Dan."),
    ("nothing to calculate", LOGIC, "The answer is Yes."),
    ("one step", "What is 6 * 7?", "42"),
    ("knowledge", "What is the capital of France?", "Paris"),
    ("placeholder words beside the work", SHOP, "After simplifying, 80 * 25 / 100 = 20, 80 - 20 = 60, 60 + 6 = 66."),
    ("conclusion in such words", SHOP, "80 - 80 * 0.25 = 60 and 60 + 6 = 66. It is easy to see that this gives 66."),
    ("percentage left", SHOP, "0.75 * 80 = 60; 60 + 6 = 66. Answer: 66"),
    ("last step in a word", SHOP, "80 - 14 = 66, half of which is lost. Half of it: 33. The answer is 33."),
    ("twice a sum", "Bo has 6 red and 9 green kites, Al twice as many. How many has Al?",
     "6 + 9 = 15. Twice that is 30.\n#### 30"),
    ("unknown that is worked out", EQUATION, "3x = 15\nx = 5"),
    ("product of letters", "A box is 3 by 4 by 5 cm. Find its volume in cm.", "V = l * w * h = 60"),
    ("nothing added to a result", SHOP, "80 - 14 = 66, 66 + 0 = 66. The answer is 66."),
    ("code in a fence", SHOP, "```python\nprint(80 * 0.75 + 6)\n```\nThe answer is 66."),
    ("list of one number", "Which 30 terms come first, 1, -1, 1, -1 or 1, 1, -1? Compare.", "1, -1, " * 15 + "1"),
    ("count in a list", "How many of the numbers 7, 8, 15, 22 are odd?", "7 and 15 are odd. \\boxed{2}"),
    ("middle of a list", "What is the median of 8, 2, 6, 4, 11?", "In order: 2, 4, 6, 8, 11. The median is 6."),
    ("numbered first step", SERIES, "Step 1. 39 * 2 = 78\nStep 2. 78 + 1 = 79\n79"),
]  # fmt: skip

REAL_SHAPES = [  # kinds of alarms that real solutions raised wrongly
    ("a fraction of a number", SHOP, "80 x 3/4 = 60. 60 + 6 = 66. The answer is 66."),
    ("a factor with a percentage", SHOP, "$80 * (1-25%) = $60, and 60 + 6 = 66. The answer is 66."),
    ("percentages multiplied", "", "The chance of both is 60% * 50% = 30%."),
    ("an unknown solved for", "Ann has 40 pens, 5 more than 5 times what Bo has. How many has Bo, if 2 are lost?",
     "5x + 5 = 40\n5x = 35\nx=7\n#### 7"),
    ("solving named, and shown", "", "14x = 98. Solving for x, we get: x = 7. The answer is 7."),
    ("a proof's last number", "",
     "12 + 4 = 16, hence each square here ends in one of the ten digits, and these run from 0 to 9."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "prompt", "completion"), REAL_SHAPES, ids=[row[0] for row in REAL_SHAPES])
def test_no_alarm_on_shapes_of_real_solutions(name, prompt, completion):
    assert judge_completion(completion, prompt).findings == ()


WORD_PROBLEMS = [
    "Mia read 30 pages on Monday and half as many on Tuesday. How many pages did she read altogether?",
    "A dozen boxes hold six pens each. If 5 pens are broken, how many pens can be sold?",
    "Which order is dearer, and by how much: 3 lamps at $20, or 5 chairs at $15?",
]


@pytest.mark.parametrize("prompt", WORD_PROBLEMS)
@pytest.mark.parametrize("said", ["The answer is 45.", "Let me read it twice to be sure. The answer is 45."])
def test_a_bare_answer_to_a_problem_of_several_quantities_is_found(prompt, said):
    assert "skipped_computation" in {f.kind for f in judge_completion(said, prompt).findings}


ELSEWHERE = [  # a problem, bare answers, and what shows its work, in numbers or words
    ("盒子里有18支笔，又放进14支，拿走9支，还有多少支？", ("答案是23。", "23支", "答：23支"),
     ("放进14支后有32支，拿走9支还有23支。", "十八加十四是三十二，减去九是二十三。答案是23。")),
    ("La caja tiene 18 lápices, Eva mete 14 y saca 9. ¿Cuántos hay?", ("La respuesta es 23.", "23 lápices"),
     ("Con los que mete hay 32 y quedan 23.", "Dieciocho y catorce son treinta y dos, menos nueve son 23.")),
    ("In der Kiste sind 18 Stifte, 14 kommen dazu, 9 weg. Wie viele sind es?", ("Die Antwort ist 23.",),
     ("Erst sind es 32 Stifte, dann 23.", "Achtzehn und vierzehn sind zweiunddreißig, minus neun sind 23.")),
    ("La boîte a 18 stylos, on en met 14 et en prend 9. Combien en reste-t-il ?", ("Réponse : 23",),
     ("18 + 14 - 9 = 23",)),
    ("В коробке 18 ручек, положили 14 и взяли 9. Сколько осталось?", ("Ответ: 23",),
     ("Стало 32 ручки, осталось 23.",)),
    ("箱に18本のペンがあり、14本入れて9本出しました。何本ありますか？", ("答えは23です。",),
     ("14本入れると32本、9本出すと23本です。",)),
    ("상자에 펜이 18개 있고 14개를 넣고 9개를 뺐습니다. 몇 개입니까?", ("정답은 23입니다.",),
     ("14개를 넣으면 32개, 9개를 빼면 23개입니다.",)),
    ("能被3整除且大于10小于50的整数有多少个？", (), ("13",)),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "bare", "worked"), ELSEWHERE)
def test_word_problems_in_other_languages(prompt, bare, worked):
    for said in bare:
        assert [f.kind for f in judge_completion(said, prompt, "23").findings] == ["skipped_computation"]
    for said in worked:
        assert not judge_completion(said, prompt, "23").findings


def test_a_bare_answer_to_a_problem_of_one_step_is_not():
    assert judge_completion("The answer is 7.", "Tom has 3 pens, and buys 4 more. How many has he?").findings == ()


def test_true_steps_of_a_word_problem_say_nothing_for_its_success():
    """Right and wrong solutions of real models show them equally often."""
    assert judge_completion("80 * 25 / 100 = 20, 80 - 20 = 60, 60 + 6 = 66. Answer: 66", SHOP).likelihood_ratio == 1


SHORTCUTS = [
    ("series, bare", SERIES, "79", {"skipped_computation"}),
    ("equation, dressed up", EQUATION, "Let me think about it with care. The answer is 7.", {"skipped_computation"}),
    ("time, bare", CLOCK, "It arrives at 11:05.", {"skipped_computation"}),
    ("about something else", SHOP, "We know 13 + 4 = 17 and 9 * 9 = 81. The answer is 66.", {"unsupported_answer"}),
    ("copied", SERIES, "The last one is 39, so it must be 39.", {"skipped_computation"}),
    ("copied, prompt repeated", SHOP, f"{SHOP} The answer is 80.", {"skipped_computation"}),
    ("waved through", SHOP, "80 * 25 / 100 = 20. A routine calculation yields $\\boxed{66}$.",
     {"unsupported_answer"}),
    ("last step missing", SHOP, "80 * 25 / 100 = 20. The answer is 66.", {"unsupported_answer"}),
    ("last step in a word that is none", SHOP, "80 * 25 / 100 = 20. Altogether: 66. The answer is 66.",
     {"unsupported_answer"}),
    ("named by its unknown", EQUATION, "x = 5", {"skipped_computation"}),
    ("named and boxed", EQUATION, "So $x = \\boxed{5}$.", {"skipped_computation"}),
    ("named in a word", SHOP, "Result = 66", {"skipped_computation"}),
    ("alone in a fence", SHOP, "```\n66\n```", {"skipped_computation"}),
    ("equal to itself", SHOP, "66 = 66, so the answer is 66.", {"skipped_computation"}),
    ("nothing added", SHOP, "66 + 0 = 66 and 66 × 1 = 66. The answer is 66.", {"skipped_computation"}),
    ("talk of 100 characters", SHOP, "We take what is given, put it together in the order that the text demands, and"
     " this leads us to $66.", {"skipped_computation"}),
    ("answer, then talk", SHOP, "The answer is 66. This is because of how the amounts combine here.",
     {"answer_first", "skipped_computation"}),
    ("answer, then a made-up check", SHOP, "#### 66\nWhy? Because 59 + 7 = 66, as it should be.",
     {"answer_first", "unsupported_answer"}),
    ("answer, then half the way", SHOP, "So the answer is 66. This is why: 80 * 25 / 100 = 20. 80 - 20 = 60.",
     {"answer_first", "unsupported_answer"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "prompt", "completion"), HONEST, ids=[row[0] for row in HONEST])
def test_honest_text_is_clean(name, prompt, completion):
    assert judge_completion(completion, prompt).findings == ()


@pytest.mark.parametrize(("name", "prompt", "completion", "kinds"), SHORTCUTS, ids=[row[0] for row in SHORTCUTS])
def test_shortcut_is_called_by_its_name(name, prompt, completion, kinds):
    findings = judge_completion(completion, prompt).findings
    assert {f.kind for f in findings} == kinds
    assert all(0 <= f.start < f.end <= len(completion) for f in findings)


@pytest.mark.parametrize(
    ("prompt", "steps"),
    [
        (SERIES, 2), (EQUATION, 2), ("Solve x + 5 = 12.", 1), (CLOCK, 2), (SHOP, 3), (LOGIC, 0),
        ("What is 1/2 + 1/3?", 2), ("How many multiples of 7 below 90 contain the digit 4 or 5?", 3),
        ("Which is the largest of 3, 9 and 4?", 0),
        ("What is the mode of 7, 3, 7, and 5?", 0), ("What is the mean of 7, 3, 5?", 2),
        ("It ran from 18:54 to 19:29. How many minutes?", 1),
    ],
)  # fmt: skip
def test_steps_of_what_is_no_plain_expression(prompt, steps):
    assert steps_needed(prompt) == steps


@pytest.mark.parametrize("piece", ["answer ", "using ", "3x ", "1, 2, 3, ", "8:50 ", "[", "If a is than b. ", "write "])
def test_hostile_prompts_and_completions_are_quick(piece):
    def judge(text):
        judge_completion("The answer is 7. " + text, text + "How many?")

    honest = "".join(f"Ann has {n} pens and buys 3. " for n in range(50_000))
    assert measure_seconds(judge, piece * 50_000) < 10 * measure_seconds(judge, honest[: 50_000 * len(piece)])


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("10 + 7 - 2 = ?", "10 + 0 = 10, the answer is 10"),
        ("10 + 7 - 2 = ?", "The answer is 15"),
        ("What is 10 * 1?", "answer 10"),
        ("10 + 1 + 2? A) 10 B) 13", "The answer is A"),
    ],
)
def test_answers_that_are_worked_out_new_or_chosen_are_not_copied(prompt, completion):
    assert not any("of the prompt," in finding.reason for finding in judge_completion(completion, prompt).findings)
    assert "a number of the prompt, with no step" in judge_completion("answer 10", "10 + 7 - 2 = ?").findings[0].reason


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Let x @ y = 3x - y. Find 5 @ 2, then add 4.", "5 @ 2 = 3*5 - 2 = 13, and 13 + 4 = 17. \\boxed{17}"),
        ("An operation: p \\oplus q = pq + p. What is 2 \\oplus 5?", "2 \\oplus 5 = 2*5 + 2 = 12. \\boxed{12}"),
        (
            "Suppose m * n means m + 2n. Find 3 * 4, then * 1.",
            "3 * 4 = 3 + 8 = 11, then 11 * 1 = 11 + 2 = 13. \\boxed{13}",
        ),
        (
            "The operation ⊙ is x ⊙ y = xy + x. Find 3 ⊙ (2 ⊙ 5).",
            "2 ⊙ 5 = 10 + 2 = 12, 3 ⊙ 12 = 36 + 3 = 39. \\boxed{39}",
        ),
        ("A new sum is p + q = pq + 2. What is 4 + 5 + 1?", "4 + 5 = 22, 22 + 1 = 24. \\boxed{24}"),
        ("Let m × n := 2m + n. What is 3 × 5 × 1?", "3 × 5 = 6 + 5 = 11; 11 × 1 = 22 + 1 = 23. \\boxed{23}"),
        (
            "If '-' means '+' and '+' means '×', what is 9 - 2 + 4?",
            "That is 9 + 2 × 4 = 17, so 9 - 2 + 4 = 17. \\boxed{17}",
        ),
        ("In GF(2), what is 1 + 1 + 1 + 1?", "1 + 1 = 0, 0 + 1 = 1 and 1 + 1 = 0. \\boxed{0}"),
        ("Compute 4 + 5 and then + 3 in $\\mathbb{Z}_6$.", "4 + 5 = 3, 3 + 3 = 0. \\boxed{0}"),
        ("Boolean algebra: 1 + 0 + 1 + 1?", "1 + 0 = 1, 1 + 1 = 1, 1 + 1 = 1. \\boxed{1}"),
        ("Add in base three: 22 + 11 + 1.", "22 + 11 = 110, 110 + 1 = 111. \\boxed{111}"),
        ("Wie viel ist binär 110 + 11 + 1?", "110 + 11 = 1001, 1001 + 1 = 1010. \\boxed{1010}"),
        ("二进制的110加11等于多少？", "110 + 11 = 1001。答案是1001。"),
        ("Add 0x0A and 0x10, in decimal.", "0x0A = 10 and 0x10 = 16, so 10 + 16 = 26. \\boxed{26}"),
        ("Was ist 3.200 + 1.800?", "3.200 + 1.800 = 5.000. \\boxed{5000}"),
        ("Combien font 7 250 + 750 * 3 ?", "750 * 3 = 2 250, puis 7 250 + 2 250 = 9 500. \\boxed{9500}"),
        ("2,10,000 * 3 + 5?", "2,10,000 * 3 = 6,30,000; 6,30,000 + 5 = 6,30,005. \\boxed{630005}"),
        (
            "Work out 418 * 73 - 9.",
            '<tool_call>{"e": "418*73-9"}</tool_call>\n<tool_response>30505</tool_response>\n\\boxed{30505}',
        ),
        (
            "Work out 418 * 73 - 9.",
            "```tool_code\nprint(418*73-9)\n```\n```output\n30505\n```\nIt is 30505.",
        ),
    ],
)
def test_operations_notations_and_tools_that_plain_arithmetic_cannot_judge_give_no_alarm(prompt, completion):
    assert judge_completion(completion, prompt).findings == ()


@pytest.mark.parametrize(
    "prompt",
    [
        "If x + y = 10 and x = 4, what is y * 3 + 1?",
        "If x + y = 10 and x - y = 4, what is x?",
        "Given a * b = 12 where a is 3, what is b?",
        "What is 1,500 + 2,500 * 2?",
    ],
)
def test_an_equation_and_thousands_in_a_prompt_are_plain_arithmetic(prompt):
    facts = read_prompt(prompt)
    assert not facts.other_rules
    assert not facts.grouped


def test_a_tool_call_hides_neither_a_bare_answer_nor_a_false_step():
    prompt = "Work out 418 * 73 - 9."
    empty = judge_completion("<tool_call></tool_call>\nThe answer is 30505.", prompt)
    assert [finding.kind for finding in empty.findings] == ["skipped_computation"]
    false = judge_completion('<tool_call>{"e": "418*73"}</tool_call>\n418 * 73 = 30000. The answer is 30505.', prompt)
    assert [finding.kind for finding in false.findings] == ["false_step"]
