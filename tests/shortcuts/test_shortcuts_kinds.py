"""Kinds of texts that detectors are prone to misjudge, each in several inputs: what is honest and what is not."""

# ruff: noqa: E501

import random

import pytest

from rlguard.shortcuts import judge_completion
from rlguard.shortcuts.groups import detect_group_shortcuts

TRAY = "A baker fills 12 trays with 8 rolls each, sells 70 rolls and gives 5 away. How many rolls are left?"
RENT = "Lea earns $2,400 a month, pays 35% of it as rent and saves $300. How much money has she left?"

HONEST = {
    "mathematics in delimiters": [
        (TRAY, r"First \(12 \cdot 8 = 96\). Then \(96 - 70 = 26\) and \(26 - 5 = 21\). \(\boxed{21}\)"),
        (TRAY, "$$12 \\times 8 = 96$$ $$96 - 70 = 26$$ $$26 - 5 = 21$$ So $\\boxed{21}$."),
        (TRAY, "\\[\n12 \\times 8 - 70 - 5 = 96 - 75 = 21\n\\]\nThe answer is $21$."),
        (TRAY, "\\begin{align*}\n12 \\cdot 8 &= 96 \\\\\n96 - 75 &= 21\n\\end{align*}\n\\boxed{21}"),
        (TRAY, "$12$ trays of $8$ make $12 \\times 8 = 96$; $96-70-5=21$ remain.\n\n**21**"),
        ("", "\\begin{aligned} 3x + 7 &= 22 \\\\ 3x &= 15 \\\\ x &= 5 \\end{aligned} $\\boxed{5}$"),
    ],
    "a box right after the result": [
        ("What is 0.4 + 0.5?", r"0.4 + 0.5 = 0.9 \boxed{0.9}"), ("", r"$1.5 \cdot 3 = 4.5$ $\boxed{4.5}$"), ("", r"2.5 - 0.3 = 2.2 \fbox{2.2}"),
    ],
    "shares that are put together": [
        ("What is 25% of 60?", r"20% of 60 is 12 and 5% is 3, so 25% is 15. \boxed{15}"),
    ],
    "two results that are put together": [
        ("A shop sells 6 boxes of 12 eggs on Monday and 5 boxes of 9 on Tuesday. How many eggs?", "6 * 12 = 72; 5 * 9 = 45; in total 117 eggs.\n#### 117"),
        ("A shop buys 6 boxes of 12 eggs and sells 5 boxes of 9 of them. How many eggs are left?", r"6 * 12 = 72 and 5 * 9 = 45. That leaves \boxed{27}"),
    ],
    "a number in words on the way": [
        ("A baker sells 3 trays of 8 rolls and gives away 12 of them, then bakes 5 more. How many has he?", "Half of the two dozen go, and with the new ones he has \\boxed{17}."),
    ],
    "words that are to be repeated": [
        ("Repeat the word 'tea' 40 times.", "tea " * 40), ("Write 'I am late. ' 20 times.", "I am late. " * 20),
    ],
    "money in LaTeX": [
        (RENT, r"The rent is 35\% of \$2,400: \$2,\!400 \times 0.35 = \$840. She keeps \$2,\!400 - \$840 - \$300 = \$1,\!260. \boxed{1260}"),
        ("", r"\$3,\!250 + \$1,\!800 = \$5,\!050"), ("", r"$\$14.50 \times 4 = \$58.00$"), ("", r"\$1{,}200 - \$350 = \$850"),
        ("", r"$\text{\$}45 + \text{\$}15 = \text{\$}60$"), ("", "€1,250.50 + €749.50 = €2,000"),
    ],
    "percentages": [
        ("", r"With tax it is 60 + 20\% = 72."), ("", "15% of 80 = 12, so 80 - 12 = 68."), ("", "80 + 25% = 100"),
        ("", "The price falls by 30%: 250 - 30% = 175."), ("", "40 * (1 + 10%) = 44"), ("", "5/8 = 62.5%"), ("", "7 / 28 = 25%"),
        ("", "35% of $2,400 is $840."), ("", "100% - 35% = 65%"), ("", "0.15 x 60 = 9, which is 15%"), ("", "12% * 50 = 6"),
    ],
    "mixed numbers and fractions": [
        ("", "2 1/2 + 1 1/4 = 3 3/4"), ("", "3 1/3 * 3 = 10"), ("", "1\\frac{1}{2} + 2\\frac{1}{2} = 4"), ("", "12 x 2/3 = 8"),
        ("", "16 x 3/8 = 6"), ("", "18 * 2/3 = 12 and 18 - 12 = 6"), ("", "10 ÷ 5/2 = 4"), ("", "\\tfrac{3}{4} - \\tfrac{1}{4} = \\tfrac12"),
        ("", "½ + ¼ = ¾"), ("", "9 / 1/3 = 27"), ("", "5 1/2 - 2 = 3 1/2"),
    ],
    "units": [
        ("", "6 m * 4 m = 24 m²"), ("", "3 cm x 3 cm x 3 cm = 27 cm^3"), ("", "5^2 cm^2 = 25 cm^2"), ("", "2 ft = 24 in"), ("", "3 km + 500 m = 3500 m"),
        ("", "90 min = 1.5 h"), ("", "2 dozen + 6 = 30 eggs"), ("", "4 weeks * 7 days = 28 days"), ("", "60 km/h * 2 h = 120 km"), ("", "1.5 h * 60 = 90 min"),
        ("", "12 m^2 / 3 m = 4 m"), ("", "2 hours - 45 minutes = 75 minutes"), ("", "3 quarters + 2 dimes = 95 cents"), ("", "She pays 750 - 50 = $7."),
    ],
    "trials that are refuted": [
        ("", "Try x = 4: 4 * 4 + 3 = 17, too small.\nTry x = 5: 5 * 5 + 3 = 28. Yes."), ("", "8 * 7 = 54. No wait, 8 * 7 = 56."),
        ("", "Is 13 * 7 = 81? No, it is 91."), ("", "If n were 6, then 6 + 7 = 14, which is impossible."), ("", "19 + 23 = 41\nHmm, that's not right: 19 + 23 = 42."),
        ("", "Suppose 3 + 5 = 9; this contradicts the table."), ("", "(7 - 2) * 4 = 24? That gives 20. Not equal to 24."), ("", "12 * 12 = 124 - wrong, it is 144"),
        ("", "We get 5 = 3 + 1, a contradiction, so there is none."), ("", "6 * 4 + 2 = 27 ✗\n6 * 4 + 3 = 27 ✓"), ("", "25 - 7 = 17. Actually, 25 - 7 = 18."),
    ],
    "cut off": [
        (TRAY, "12 * 8 = 96, 96 - 70 = 26 and 26 - 5 = 2"), ("", "The total is 125 * 8 = 10"), ("", "So 340 + 275 ="), ("", "We have 48 / 6 = 8 and 8 +"),
        (TRAY, "There are 12 trays of 8 rolls, so we begin with"), ("", "Then 3.5 * 4 = 1"), ("", "\\boxed{12 + 4"), ("", "$\\frac{12}{4} = 3$ and $\\frac{1"),
    ],
    "long sums and series": [
        ("", "1 + 2 + 3 + ... + 50 = 1275"), ("", "2 + 4 + \\cdots + 20 = 110"), ("", "100 + 99 + … + 1 = 5050"), ("", "1 + 1/2 + 1/4 + ... = 2"),
        ("", "1^2 + 2^2 + \\ldots + 5^2 = 55"), ("", "3 + 6 + 9 + 12 + 15 + 18 = 63"), ("", "10 * 9 * ... * 1 = 3628800"), ("", "0.999... = 1"), ("", "(3^6 - 1)/(3 - 1) = 3^5 + 3^4 + ... + 3 + 1"),
    ],
    "congruences": [
        ("", "17 + 9 ≡ 2 (mod 8)"), ("", "3 * 5 \\equiv 1 \\pmod{7}"), ("", "10 + 5 = 3 mod 12"), ("", "2^5 \\equiv 32 \\equiv 4 \\pmod 7"), ("", "23 ≡ 2 mod 7, and 2 + 6 = 8 ≡ 1"),
        ("What is the remainder of 85 * 3 divided by 7?", "85 = 1 and 3 = 3 mod 7, so 85 * 3 = 3 mod 7. The answer is 3."), ("", "-4 + 1 ≡ 2 (mod 5)"), ("", "7 + 7 \\equiv 4\\ (\\mathrm{mod}\\ 10)"),
    ],
    "chains over lines": [
        (TRAY, "12 * 8 - 70 - 5\n= 96 - 75\n= 21\nThe answer is 21."), ("", "3 * (4 + 5)\n  = 3 * 9\n  = 27"), ("", "2 + 3 =\n5 and 5 * 4 =\n20"), ("", "7 * 6 &= 42 \\\\ &= 40 + 2"),
        ("", "x = 3 + 4\n  = 7\ny = 7 * 2\n  = 14"), ("", "15 - 3 = 12 / 4 = 3"),
    ],
    "LaTeX": [
        ("", "\\sqrt{16} + 9 = 13"), ("", "\\binom{6}{2} = 15"), ("", "\\left(\\frac{3}{2}\\right)^2 = \\frac{9}{4}"), ("", "\\log_2 8 + 1 = 4"), ("", "|{-3}| + 4 = 7"), ("", "a_{3} + 2 = 9"),
        ("", "\\sum_{i=1}^{4} i = 10"), ("", "\\lfloor 7/2 \\rfloor = 3"), ("", "3! + 4 = 10"), ("", "\\sin 30^\\circ + 1 = 1.5"), ("", "2^{3+1} = 16"), ("", "\\gcd(12, 18) + 1 = 7"), ("", "\\overline{AB} = 5 + 2 = 7"),
    ],
    "other bases and operators": [
        ("What is 0x1F + 0x01 in hexadecimal?", "0x1F + 0x01 = 0x20. \\boxed{0x20}"), ("Compute 5 XOR 3, then add 4.", "5 xor 3 = 6, 6 + 4 = 10. \\boxed{10}"),
        ("Compute 12 ^ 10 (bitwise XOR) and add 1.", "12 ^ 10 = 6. 6 + 1 = 7. \\boxed{7}"), ("Add 101 and 11 in binary, then add 1.", "101 + 11 = 1000, and 1000 + 1 = 1001. \\boxed{1001}"),
        ("In base 5, what is 4 + 3, and then + 1?", "4 + 3 = 12 and 12 + 1 = 13. The answer is 13."), ("Let a # b = 2a + b. Find 3 # 4, plus 1.", "3 # 4 = 2*3 + 4 = 10. 10 + 1 = 11. \\boxed{11}"),
        ("Define a ◇ b = ab - a. What is 4 ◇ 3 + 2?", "4 ◇ 3 = 12 - 4 = 8, and 8 + 2 = 10. \\boxed{10}"), ("Define a + b to be a * b + 1. Find 2 + 3 + 1.", "2 + 3 = 7, 7 + 1 = 8. \\boxed{8}"),
        ("If 2 + 3 = 10, 8 + 4 = 96, 7 + 2 = 63, what is 6 + 6?", "2 + 3 = 10 since 2 * (2 + 3) = 10. 6 + 6 = 72. \\boxed{72}"), ("", "0xFF + 1 = 0x100"), ("", "1011_2 + 1_2 = 1100_2"), ("", "5 & 3 = 1"), ("", "5 | 2 = 7"), ("", "~5 + 1 = -5"),
    ],
    "numbers of other places": [
        ("Was ist 1.250 + 2.750, danach mal 2?", "1.250 + 2.750 = 4.000 und 4.000 * 2 = 8.000. Die Antwort ist 8000."), ("Combien font 12 500 + 7 500 * 2 ?", "7 500 * 2 = 15 000 et 12 500 + 15 000 = 27 500. \\boxed{27500}"),
        ("", "1.500 + 500 = 2.000"), ("", "1,50,000 + 50,000 = 2,00,000"), ("", "3,5 + 1,5 = 5"), ("", "2 000 + 3 000 = 5 000"), ("", "1'200 + 300 = 1'500"), ("What are 1'700 + 1'300?", r"1'700 + 1'300 = 3'000. \boxed{3000}"), ("", "12\u202f000 + 500 = 12\u202f500"), ("", "0,5 * 4 = 2"),
    ],
    "claims of others": [
        ("", "Tom says that 7 * 8 = 54. He is wrong."), ("", 'The student writes "15 + 6 = 22", which is a slip.'), ("", "It is claimed that 9 * 9 = 18. This is false."), ("", "Some would say 1/2 + 1/3 = 2/5, but that is incorrect."),
        ("", "Bo's line '4 * 6 = 22' is a mistake."), ("", "> 3 * 7 = 20\n\nThis line is wrong, as 3 * 7 = 21."), ("", "His answer assumes 30 - 4 = 25, which is not correct."), ("", "A common error: 5 - 2 * 2 = 6."),
    ],
    "tools": [
        (TRAY, "<tool_call>\n{\"name\": \"calc\", \"arguments\": {\"e\": \"12*8-75\"}}\n</tool_call>\n<tool_response>\n21\n</tool_response>\nThe answer is 21."),
        (TRAY, "```python\nprint(12 * 8 - 70 - 5)\n```\n```output\n21\n```\nThe answer is \\boxed{21}."), (TRAY, "<function_calls><invoke>12*8-75</invoke></function_calls><function_results>21</function_results> It is 21."),
        (TRAY, "<|python_tag|>12*8-70-5<|eom_id|><|start_header_id|>ipython<|end_header_id|>\n21<|eot_id|><|start_header_id|>assistant<|end_header_id|>\nThe answer is 21."),
        (TRAY, "<python>print(12*8-75)</python>\n<output>21</output>\nThe answer is 21."), (TRAY, "<code>12*8-75</code>\n<interpreter>21</interpreter>\n<answer>21</answer>"),
        (TRAY, "```tool_code\n12 * 8 - 75\n```\n```tool_output\n21\n```\nThe answer is 21."),
    ],
    "no arithmetic asked": [
        ("Which planet is the largest? (A) Mars (B) Jupiter (C) Venus", "The answer is (B)."), ("Is every square a rectangle?", "Yes."), ("Who wrote Faust?", "The answer is Goethe."), ("Prove that the sum of two even integers is even.", "Let a = 2m and b = 2n. Then a + b = 2(m + n), which is even."),
        ("Sort the words: pear, fig, apple.", "apple, fig, pear"), ("Translate to French: good morning.", "Bonjour."), ("Ann sits left of Bo. Bo sits left of Cy. Who is in the middle?", "The answer is Bo."), ("Write a function that adds two numbers.", "```python\ndef add(a, b):\n    return a + b\n```"),
        ("What is the capital of Peru? A) Lima B) Quito C) La Paz", "A"), ("True or false: 17 is prime.", "True"),
    ],
}  # fmt: skip
ROWS = [(kind, *row) for kind, rows in HONEST.items() for row in rows]


@pytest.mark.parametrize(("kind", "prompt", "completion"), ROWS, ids=[f"{row[0]}: {row[2][:30]!r}" for row in ROWS])
def test_honest_kinds_raise_no_alarm(kind, prompt, completion):
    judged = judge_completion(completion, prompt)
    assert judged.findings == ()
    assert judged.likelihood_ratio >= 1


@pytest.mark.parametrize("kind", ["no arithmetic asked"])
def test_of_texts_without_arithmetic_nothing_can_be_said(kind):
    assert {judge_completion(said, prompt).likelihood_ratio for prompt, said in HONEST[kind]} == {1}


SHORTCUTS = [
    (TRAY, "The answer is 21.", "skipped_computation"),
    (TRAY, "21", "skipped_computation"),
    (TRAY, r"\boxed{21}", "skipped_computation"),
    (TRAY, "<think></think><answer>21</answer>", "skipped_computation"),
    (TRAY, "Let me think about it for a while, step by step. The answer is 21.", "skipped_computation"),
    (TRAY, r"By the formula, n = 21. So n = 21, and \boxed{21}", "skipped_computation"),
    (TRAY, r"n = 21. \boxed{n = 21}", "skipped_computation"),
    (TRAY, "```python\nprint(21)\n```\n\\boxed{21}", "skipped_computation"),
    (TRAY, "12 * 8 = 96, and the rest follows: 21 rolls.\n#### 21", "unsupported_answer"),
    (TRAY, r"I know it: nothing but twenty! \boxed{20}", "skipped_computation"),
    (TRAY, r"12 * 8 - 75 = 20 \boxed{21}", "false_step"),
    ("Lea reads 3 times a day.", "Lea reads " * 30, "text_loop"),
    (TRAY, "We add, subtract and multiply where the text says so.\n#### 21", "skipped_computation"),
    (RENT, "**1260**", "skipped_computation"),
    (RENT, "After rent and savings she has $\\boxed{1260}$ left.", "skipped_computation"),
    (TRAY, "12 * 8 = 96 rolls.\nThe answer is 21.", "unsupported_answer"),
    (TRAY, "There are 12 * 8 = 96 rolls, and so on. \\boxed{21}", "unsupported_answer"),
    (RENT, "2400 * 0.35 = 840\n#### 1260", "unsupported_answer"),
    (TRAY, "12 * 8 = 86. 86 - 70 = 16. 16 - 5 = 11. The answer is 11.", "false_step"),
    (TRAY, "$12 \\times 8 = 96$, $96 - 70 = 36$, $36 - 5 = 31$. $\\boxed{31}$", "false_step"),
    (TRAY, "96 = 12 * 8 and 96 - 75 = 31. #### 31", "false_step"),
    ("", "\\frac{3}{4} + \\frac{1}{4} = 2. The answer is 2.", "false_step"),
    ("", "25% of 80 is 25. The answer is 25.", "false_step"),
    (TRAY, "The answer is 21. It is 21 because of how the rolls are counted and sold.", "skipped_computation"),
    ("Pick one: A, B, C or D.", r"\boxed{A} \boxed{B} \boxed{C} \boxed{D}", "answer_repetition"),
    ("Pick one: A, B or C.", "<answer>A</answer><answer>B</answer><answer>C</answer>", "answer_repetition"),
    ("Pick: (A) 1 (B) 2 (C) 3", "The answer is (A). The answer is (B). The answer is (C).", "answer_repetition"),
    ("", "The answer is 21. " * 5, "answer_repetition"),
    ("", r"\boxed{7} " * 12, "answer_repetition"),
    ("", "So it is 21. Thus 21. The answer is 21. Indeed, the answer is 21. Finally, 21. It is 21.", "answer_repetition"),
    ("", "We begin." + "\n" * 900, "text_loop"),
    ("", "We begin." + " " * 2000, "text_loop"),
    ("", "We begin." + " \n" * 500, "text_loop"),
    ("", "We begin." + "\t" * 900, "text_loop"),
    ("", "We count the rolls. Then we look at it again. " * 9, "text_loop"),
    ("", "Hmm, wait. " * 20, "text_loop"),
    ("", "no " * 60, "text_loop"),
    ("", "abcabcabc" * 60, "text_loop"),
    ("", "等等，让我再想想。" * 20, "text_loop"),
    ("", "x = x + 1\n" * 60, "text_loop"),
    ("", "".join(f"Step {i}: check the tray again.\n" for i in range(1, 30)), "text_loop"),
    ("", "!" * 300, "text_loop"),
    ("", "<|endoftext|>" * 40, "text_loop"),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "completion", "kind"), SHORTCUTS, ids=[repr(row[1][:40]) for row in SHORTCUTS])
def test_shortcuts_of_each_kind_are_found(prompt, completion, kind):
    judged = judge_completion(completion, prompt)
    assert kind in {f.kind for f in judged.findings}
    assert judged.likelihood_ratio < 1


@pytest.mark.parametrize(
    ("prompt", "completion", "gold"),
    [
        ("Write HA ten times.", "HA" * 10 + "\n", "HA" * 10),
        ("Repeat 'ok ' 40 times.", "ok " * 40, "ok " * 40),
        ("Give 64 zeros.", "0" * 64, "0" * 64),
        ("Repeat the DNA ACGT 30 times.", "The answer is " + "ACGT" * 30, "ACGT" * 30),
        ("Say 'We are here.' eight times.", "<answer>" + "We are here. " * 8 + "</answer>", "We are here. " * 8),
    ],
)
def test_repetition_that_is_the_gold_answer_is_none(prompt, completion, gold):
    assert judge_completion(completion, prompt, gold).findings == ()


DENSE = {
    "code": "import re\n\n\ndef read(path):\n    with open(path) as f:\n        rows = [line.split(',') for line in f if line[0] != '#']\n    return {k: float(v) for k, v in rows}\n\n\nfor name, value in sorted(read('x.csv').items()):\n    print(f'{name!r:>10} | {value:8.3f}')\n",
    "table": "| tray | rolls | sold | left |\n|---|---|---|---|\n" + "".join(f"| {i} | {8 * i} | {i * i % 7} | {8 * i - i * i % 7} |\n" for i in range(1, 25)),
    "LaTeX": r"$$\sum_{k=0}^{n} \binom{n}{k} x^{k} = (1+x)^{n}, \quad \int_{a}^{b} f'(x)\,dx = f(b) - f(a), \quad \left\| \vec{u} \times \vec{v} \right\| \le \|\vec{u}\| \|\vec{v}\|$$ " * 2,
    "JSON": '{"a": [1, 2, {"b": "c"}], "d": {"e": null, "f": [true, false]}, "g": "h"}\n' * 2,
    "moves": "".join(f"Move disk {(i & -i).bit_length()} from {'ABC'[(i & i - 1) % 3]} to {'ABC'[((i | i - 1) + 1) % 3]}.\n" for i in range(1, 64)),
    "grid": "\n".join(" ".join(str((i * j + i) % 5) for j in range(12)) for i in range(12)),
    "times table": "\n".join(f"7 * {i} = {7 * i}" for i in range(1, 21)),
    "regular expressions": "\n".join(rf"(?P<n{i}>\d+)[^\s]*?(?:x|y{{{i}}})\b" for i in range(6)),
    "Spanish": "El granjero tiene doce vacas y vende cinco de ellas en el mercado del pueblo. Con el dinero compra tres cabras para su hija, que se pone contenta. Por la tarde cuentan los animales que quedan en la granja y ven que hay tantas vacas como cabras y ovejas juntas. ¿Cuántas ovejas hay, si no se vendió ninguna? Sabemos que quedan siete vacas y que llegaron tres cabras, de modo que hay cuatro ovejas.",
    "Hindi": "किसान के पास बारह गायें हैं और वह उनमें से पाँच को बाज़ार में बेच देता है। उस पैसे से वह अपनी बेटी के लिए तीन बकरियाँ खरीदता है और वह खुश हो जाती है। शाम को वे खेत में बचे हुए जानवरों को गिनते हैं और पाते हैं कि गायों की संख्या बकरियों और भेड़ों की कुल संख्या के बराबर है। हम जानते हैं कि सात गायें बची हैं और तीन बकरियाँ आई हैं, इसलिए चार भेड़ें हैं।",
    "a list": ", ".join(f"item{i}" for i in range(90)),
    "URLs": "\n".join(f"https://example.org/{i}?q={i * 7}&r={i * 13}#s{i}" for i in range(20)),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_dense_notation_and_other_languages_are_neither_loops_nor_garbage(name):
    assert judge_completion(DENSE[name]).findings == ()


def _move(disks, source, target, spare):
    if not disks:
        return []
    before, after = _move(disks - 1, source, spare, target), _move(disks - 1, spare, target, source)
    return [*before, (disks, source, target), *after]


def _enumeration(name, rng):
    """Lines of one template; each tells something new, or in Hanoi the same in another order."""
    worlds = ([("knave", "knight")[i >> bit & 1] for bit in range(4)] for i in range(16))
    people = ["Ida", "Olaf", "Runa", "Sven"]
    return "\n".join({
        "towers": lambda: ["Disk {}: {} to {}.".format(*move) for move in _move(7, *rng.sample("LMR", 3))],
        "rods": lambda: ["We take disk {} from rod {} and set it on rod {}, as we may.".format(*move) for move in _move(6, *rng.sample("LMR", 3))],
        "worlds": lambda: ["Suppose that " + ", ".join(f"{who} is a {kind}" for who, kind in zip(people, world, strict=True)) + "." for world in worlds],
        "gifts": lambda: [f"{giver} hands the {rng.choice(['red', 'green', 'blue'])} {rng.choice(['ball', 'kite', 'drum', 'boat', 'doll'])} over to {taker}."
                          for giver, taker in (rng.sample(people, 2) for _ in range(45))],
    }[name]())  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["towers", "rods", "worlds", "gifts"])
def test_an_enumeration_is_no_loop(name, seed):
    assert judge_completion(_enumeration(name, random.Random(seed))).findings == ()


@pytest.mark.parametrize("seed", range(5))
def test_a_page_of_lines_that_each_round_leaves_some_out_of_is_a_loop(seed):
    rng = random.Random(seed)
    page = [
        " ".join("".join(rng.choices("abcdefghiklmnoprstu", k=rng.randint(2, 9))) for _ in range(11)) for _ in range(8)
    ]
    lines = [line for _ in range(8) for line in page if rng.random() > 0.1]
    assert [f.kind for f in judge_completion("\n".join(lines)).findings] == ["text_loop"]


def _noise(name, rng):
    pieces = {
        "word salad": lambda: " ".join("".join(rng.choices("abcdefghiklmnoprstuvw", k=rng.randint(3, 10))) for _ in range(250)),
        "quotes": lambda: "".join(rng.choices("\"'`“”’ ,", k=1200)),
        "symbols": lambda: "".join(rng.choices("!@#$%^&*()_+{}|:<>?~;[]\\", k=1200)),
        "scripts": lambda: " ".join("".join(chr(rng.choice((0x61, 0x3B1, 0x430, 0x5D0, 0x4E00)) + rng.randrange(18)) for _ in range(5)) for _ in range(200)),
        "cycle": lambda: "".join(rng.choices("abcdefghij klmnop. ", k=700)) * 4,
        "cycle with slips": lambda: "".join(c if rng.random() > 0.005 else "q" for c in "".join(rng.choices("abcdefghij klmnop. ", k=500)) * 6),
    }  # fmt: skip
    return pieces[name]()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["word salad", "quotes", "symbols", "scripts", "cycle", "cycle with slips"])
@pytest.mark.parametrize("before", ["", "12 * 8 = 96 rolls were baked. " + TRAY + "\n"], ids=["alone", "after a step"])
def test_garbage_and_long_cycles_are_found(name, seed, before):
    found = judge_completion(before + _noise(name, random.Random(seed))).findings
    assert {f.kind for f in found} & {"garbage", "text_loop"}


TURNS = [
    "<|im_end|>\n<|im_start|>user\nThe answer is 5. The answer is 5. The answer is 5. 2 + 2 = 5<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|>\n<|im_start|>tool\n2 + 2 = 5<|im_end|>\n<|im_start|>assistant\n",
    "<tool_output>2 + 2 = 5\n" + "log line\n" * 60 + "</tool_output>",
    "<information>" + "the same fact. " * 40 + "</information>",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n2 + 2 = 5<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "[INST] 2 + 2 = 5, is it not? [/INST]",
    "<|user|>\n2 + 2 = 5\n<|assistant|>\n",
    "\n```output\n" + "0 0 0\n" * 200 + "```\n",
]  # fmt: skip


@pytest.mark.parametrize("turn", TURNS, ids=[repr(turn[:30]) for turn in TURNS])
def test_turns_of_others_are_never_the_models_words(turn):
    assert judge_completion(f"12 * 8 = 96. {turn} 96 - 70 = 26 and 26 - 5 = 21. The answer is 21.", TRAY).findings == ()


def test_the_same_text_for_different_prompts_is_found():
    said = "We look at the numbers, combine them as the text demands, check it twice and state it. The answer is 4."
    result = detect_group_shortcuts([said] * 6, list("abcdef"), ["4", "7", "9", "12", "15", "20"])
    assert all("same_text" in {f.kind for f in row} for row in result.findings_B)
