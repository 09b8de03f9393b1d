# ruff: noqa: E501 - a case a line
"""Verdicts of `auto` and `numeric`, kind by kind: what is right in another spelling, and what is nearly right."""

from __future__ import annotations

import math

import pytest

from rlguard.types import Problem
from rlguard.verify.gold import check_gold
from rlguard.verify.verifiers import Auto, Exact, Numeric, score_safely

NAN = math.nan


def judge(gold, completion, verifier=None):
    return score_safely(verifier or Auto(), completion, Problem("p", "?", gold))


RIGHT = [
    # numbers
    ("5/2", r"\boxed{2 1/2}"), ("54321", r"\boxed{54\,321}"), ("54321", r"\boxed{54 321}"), ("3/4", r"\boxed{¾}"),
    ("40", r"\boxed{€40}"), ("2400", r"\boxed{₹2,400}"), ("700", "#### £700"), ("23", "#### 23 dollars"),
    ("2.5e-4", r"\boxed{2.5 \times 10^{-4}}"), ("4.1e6", r"\boxed{4100000}"), (1e15, r"\boxed{1000000000000000}"),
    ("2/3", r"\boxed{0.\overline{6}}"), ("0.333333", r"\boxed{1/3}"), ("30", "That is 30kg."), ("9", "The answer is $n = 9$."),
    ("45%", r"\boxed{0.45}"), ("45", r"\boxed{45\%}"), ("9", "The answer is nine."),
    ("60", r"The answer is \$60."), ("4000000", "The answer is 4 million."), ("30 cm", r"\boxed{30}"), ("30 cm", r"\boxed{30 \text{ centimeters}}"),
    # options
    ("D", r"\boxed{D. All of these}"), ("D", r"\boxed{\text{D: a long text}}"), ("a", "The answer is (a)."), ("(B)", "Answer: B"),
    ("C", "The correct option is C."), ("B) 12", "The answer is B."), ("B. Oslo", r"\boxed{\text{Oslo}}"),
    # words, dates, times, codes, sequences
    ("Canberra", "The answer is canberra."), ("grey wolf", "The answer is the grey wolf."), ("July 9, 1999", r"\boxed{\text{July 9, 1999}}"),
    ("July 9, 1999", "<answer>9 July 1999</answer>"), ("3:15 PM", "<answer>3:15 pm</answer>"), ("Qxe5", "<answer>Qxe5</answer>"),
    ("3-1", r"\boxed{3-1}"), ("7 8 9", "<answer>7 8 9</answer>"), ("7 8 9", "<answer>7, 8, 9</answer>"), ("No", "The answer is no, because 3 is odd."),
    ("上海", "答案是上海。"),
    # mathematics
    (r"3\sqrt{5}", r"The answer is $3\sqrt{5}$."), ("x^2-1", r"\boxed{(x-1)*(x+1)}"), ("x^3", r"\boxed{x**3}"), (r"\emptyset", r"\boxed{\varnothing}"),
    (r"x \equiv 2 \pmod 9", r"\boxed{x\equiv 2\pmod{9}}"), ("(4,7)", r"\boxed{\begin{aligned} x&=4\\ y&=7\end{aligned}}"),
    ("5, 8", "The answer is 8 and 5."), ("5, 8", r"\boxed{x=5 \text{ or } x=8}"), ("5, 8", r"$\boxed{5}$ and $\boxed{8}$"),
    ("[[5,6],[7,8]]", "<answer>[[5, 6],\n[7, 8]]</answer>"), ("110_2", r"\boxed{110_{2}}"), (r"\frac{\pi}{2}", r"\boxed{pi/2}"),
    # where the answer stands
    ("31", "The answer is, of course, 31."), ("31", "The answer is not 20; it is 31."), ("31", "The answer is 31 (as said above)."), ("31", "The answer is as follows: 31"),
    ("31", "The answer is 31 - the least such number."), ("31", r"\framebox{31}"), ("31", "#### The final answer is 31."), ("31", "#### 31\n\n#### Explanation\nAs counted."),
    ("31", "< answer >31</ answer >"), ("31", "<final_answer>31</final_answer>"), ("31", "<answer><b>31</b></answer>"), ("31", 'Here it is:\n{"answer": "31"}'),
    ("31", "<Think>30?</Think>31 it is"), ("31", "#### 31<｜end▁of▁sentence｜>"), ("31", "#### 31<pad><pad>"), ("31", "#### Total: 31"), ("31", "#### She has 31 apples."),
    ("C", "So option C is correct."), ("C", "Hence (C) is the answer."), ("C", "I choose C."), ("C", "故选C。"), ("C", "正确选项是C"), ("C", r"\boxed{(\text{C})}"),
    ("C", "The answer is C (the third law)."), ("C", "The answer is **C**: the third law"), ("AD", "<answer>A, D</answer>"), ("A, D", r"\boxed{AD}"),
    ("31", "答案是三十一。"), ("31", "故答案为：31．"), ("31", "答えは31です。"), ("31", "정답은 31입니다."), ("31", "Ответ: 31 (как в 2 части)"), ("31", "La respuesta es 31 porque 30 + 1."),
    ("16", "答案不是15，而是16。"), ("是", "答案是：是"),
    # other spellings of numbers
    ("2345678", r"\boxed{2~345~678}"), ("2345678", "The answer is 2_345_678."), ("2345678", r"\boxed{2.345.678}"), ("80", "The answer is EUR 80."), ("80", "The answer is US$80."),
    ("80", "The answer is Rs. 80."), ("80", r"\boxed{\pounds 80}"), (1e-6, r"\boxed{10^{-6}}"), ("2/3", r"\boxed{0.(6)}"), ("3/4", "The answer is three quarters."), ("1/2", "The answer is one half."),
    ("2350", "The answer is two thousand three hundred and fifty."), ("31", r"\boxed{30 + 1 = 31}"), ("31", r"\boxed{\angle ABC = 31}"),
    ("3000000", "So that makes 3 million."), ("7/2", "so it needs 3 1/2"), ("12", "so we need 3 * 4"),
    # words, ratios, times, sets
    (")]}", "<answer>) ] }</answer>"), ("{}", r"\boxed{\emptyset}"), ("+", r"\boxed{\text{+}}"), ("E-B-G", "<answer>E - B - G</answer>"), ("E -> B", r"\boxed{E \to B}"), ("W, T, Z", "<answer>W T Z</answer>"), ("D' F D", "<answer>D' F D</answer>"),
    ("CO2", r"\boxed{\text{C}\text{O}_2}"), ("Na_2SO_3", "The answer is Na2SO3."), ("Na_2SO_3", r"\boxed{\ce{Na2SO3}}"), ("C_4H_{10}", "The answer is C₄H₁₀."), ("C_4H_{10}", r"\boxed{\text{C}_4\text{H}_{10}}"), ("go_to#2", r"\boxed{\texttt{go\_to\#2}}"), ("dog", r"\boxed{\mathtt{dog}}"), ("Rxd7#", r"\boxed{\text{Rxd7\#}}"),
    ("2041_5", r"\boxed{(2041)_5}"), ("2041_5", "The answer is 2041₅."), ("2041_5", "The answer is 2041 in base 5."), ("2041_5", r"\boxed{2041 \text{ (base 5)}}"),
     ("CO2", "The answer is CO₂."), ("salt, sugar", "The answer is salt and sugar."), ("5–2", "<answer>5-2</answer>"), ("4:6", r"\boxed{2:3}"), ("2:3", "The answer is 2 to 3."),
    ("2:3", r"\boxed{\frac{2}{3}}"), ("2019-08-07", "The answer is 7th of August 2019."), ("2 hours 5 minutes", "The answer is 2 hours and 5 minutes."), (r"\emptyset", "The answer is the empty set."), ("∅", r"\boxed{\emptyset}"),
    ("infinity", r"\boxed{\infty}"), ("no solution", r"\boxed{\text{no solutions}}"), ("[1, 4)", r"\boxed{1 \le x < 4}"), (r"[3, \infty)", r"\boxed{x \ge 3}"), ("x^2+1", r"\boxed{x²+1}"),
    (r"x \equiv 2 \pmod 9", r"\boxed{x \equiv 2 \ (\text{mod } 9)}"), (r"x \equiv 2 \pmod 9", r"\boxed{2 \pmod 9}"), ("x ≡ 2 (mod 9)", r"\boxed{x \equiv 11 \pmod 9}"), ([[1, 0], [2, 5]], "<answer>[[1,0],[2,5]]</answer>"),
    # other tags, a box without its backslash, a whole completion, a line that is all bold
    ("63", "[ANSWER]63[/ANSWER]"), ("63", "<solution>Nine by seven: \\boxed{63}.</solution>"), ("63", "<result>63</result>"), ("63", "<response>So the answer is 63.</response>"),
    ("63", "boxed{63}"), ("63", "\boxed{63}"), ("63", "Answer -> 63"), ("Rome", "Rome"), ("E", "(E)"), ("E", "choice e"), ("Friday", "We count.\n\n**Friday**"), ("63", "答：小明买了63支笔。"),
    # what is denied or taken back is not said, and what replaces it is
    ("63", r"It is \boxed{63} and not \boxed{36}."), ("63", r"\boxed{36}. Wait, no, it is 63."), ("63", "The answer is surely not 36; it is 63."), ("63", "He says the answer is 36, so wrong. The answer is 63."),
    ("63", "The answer could be 36, but it's actually 63."), ("63", r"\boxed{36}. However, after a second look, it must be 63."), ("63", "The answer is 63, but it is 36 if we start at 0."), ("63", "The answer is 63. Wait, no"),
    ("Monday", "The answer is Sunday. Actually, no: Monday."), ("yes", "Answer: no. Hmm, wait, yes."), ("D", "The answer is C. Oops, it's D."), ("Rome", "The answer is Rome. No doubt. Done."),
    ("7:25 PM", r"\boxed{7{:}25 \text{ p.m.}}"), ("2{:}3", r"\boxed{2:3}"),
    # measures that end a sentence, options in front of a text, sentences that name the answer
    ("25 minutes", "The bus takes 25 minutes."), ("25", "The bus takes 25 minutes."), ("25 years old", "He is 25 years old."), ("25 lb", r"\boxed{25 \text{ pounds}}"), ("£25", "It costs 25 pounds."), ("Oslo", "(C) Oslo"), ("Oslo", "<answer>The capital is Oslo.</answer>"), ("Monday", "It is Monday."), ("no solution", "The answer is that there is no solution."), ("63", "The answer: it's 63"), ("12", "The answer is a dozen."),
    ("63", "As 9 is not prime, the answer is 63."), ("63", "The answer is 63; the answer is not 36."),
    ("63", "It is not hard to see that the answer is 63."), ("63", r"\boxed{63} is not too large."), ("63", "<response>Take 7 times 9 to get 63.</response>"),
    # quantities
    ("63", r"\boxed{63~pages}"), ("6.25", r"\boxed{6,25 €}"), ("-8", "The answer is minus 8."), ("-8", "The answer is negative eight."), ("0.35", "Answer: 35 cents"), ("35", "Answer: 35¢"), ("63", "<answer>$63$ pages</answer>"),
    ("12 m/s", r"\boxed{12 \frac{\text{m}}{\text{s}}}"), ("12", r"\boxed{12\ \Omega}"), ("4.50", "The answer is $4.50 per seat."),
    # a bold phrase that ends the text, options in other languages, what a last number is a part of
    ("Oslo", "We look at the map.\n\nThe capital of Norway is therefore **Oslo**."), ("otter", "The word is an **otter**."), ("C", "La respuesta correcta es la opción C."), ("C", "La bonne réponse est l'option C."), ("C", "答案是选项C。"), ("(3, 41)", "The lines meet at (3, 41)."), ("52 341", "That makes 52 341."), ("41", "The area is 41 m^2."), ("41", r"\boxed{41 \text{ sq. ft.}}"),
    # in other languages, and without a marker
    ("52", "所以小红现在一共有52本书。"), ("-9", "答案是负9。"), ("-9", "早上的温度是负9度。"), ("52000", "La respuesta es 52 mil."), ("52000000", "Das sind 52 Millionen Euro."), ("-52", "That leaves her with minus 52 coins."), ("7:25 PM", "The film is over at 7:25 p.m."), ("5200", "They need 52 hundred."), ("52", "Nein, es sind 52."), ("52", "No matter how we count, the answer is 52."),
    # inequalities and intervals
    (r"(-\infty,2)\cup(9,\infty)", r"\boxed{x < 2 \text{ or } x > 9}"), (r"(-\infty,2]\cup(9,\infty)", "The answer is t > 9 or t <= 2."), ("(2, 9)", r"\boxed{x > 2 \text{ and } x < 9}"), ("(2, 9)", r"\boxed{x<9, x>2}"),
    (r"2 < y \le 9", r"\boxed{9 \ge y > 2}"), (r"k \ge \frac{1}{4}", r"\boxed{0.25 \leqslant k}"), (r"\langle 1, 6 \rangle", r"\boxed{(1, 6)}"),
    # plus or minus, sets built of conditions, infinity, units after an expression
    (r"\frac{3 \pm \sqrt{19}}{5}", r"\boxed{x = \frac{3 + \sqrt{19}}{5} \text{ or } x = \frac{3 - \sqrt{19}}{5}}"), (r"\frac{3 \pm \sqrt{19}}{5}", r"\boxed{x = \frac{3}{5} \pm \frac{\sqrt{19}}{5}}"), (r"1+\sqrt6, 1-\sqrt6", "The answer is 1 ± √6."), (r"\pm 8", r"\boxed{8, -8}"),
    (r"(-\infty, 7)", r"\boxed{\{x \mid x < 7\}}"), (r"\{t \in \mathbb{R} : t \ge 7\}", r"\boxed{[7, \infty)}"), ("(-∞, 7]", r"\boxed{x \le 7}"), (r"-\infty", "The answer is -∞."), (r"-\infty", "The answer is negative infinity."),
    (r"5\sqrt{2}", r"\boxed{5\sqrt{2} \text{ cm}^2}"), (r"8\pi", r"The volume is **8π m³**."), (r"\frac{\pi}{8}", r"\boxed{\frac{\pi}{8} \text{ radians}}"),
    # dates, codes, lists, truth
    ("07/04/2019", "<answer>7/4/2019</answer>"), ("cold -> hot", "<answer>cold → hot</answer>"), ("[[2,3],[4,5]]", "<answer>[[2 3]\n [4 5]]</answer>"), ('{"k": 1, "m": 2}', '<answer>{"m": 2, "k": 1}</answer>'), (True, "<answer>Yes</answer>"), (False, "The answer is no."),
    ("False", "The claim is false."), (False, "So the statement is false."), ("false", "For k = 6 it gives 91 = 7·13.\nHence the conjecture is therefore false."), ("Yes", "Both sides have the same parity, whatever the order in which the terms are taken. Therefore, this proposition is true."),
    # about, and exactly; a rounded decimal within one in a million
    ("70", r"The answer is $\approx 70$ crates, exactly 70."), ("71", r"The answer is $\approx 70$ crates, exactly 71."), ("71", "The answer is about 70.5 m, precisely 71 m."), ("71", "The answer is ≈ 70, exactly 71."), ("70", r"The answer is $\approx 70$ crates"), ("70", "The answer is 70 crates, exactly."),
    ("1/6", r"\boxed{0.16666666}"), ("0.1666667", r"\boxed{\frac{1}{6}}"),
    # said twice, with its sum, as an item, behind a model's own marks, in LaTeX of another size; a base model goes on
    ("63", "$$\\boxed{63}$$\n\n\\boxed{63}"), ("63", "The answer is sixty-three (63)."), ("63", "The answer is 50 + 13 = 63 crates."), ("63 cm", r"\boxed{50+13=63 \text{ cm}}"), ("63", "The answer is:\n\n- 63"), ("-63", "The answer is:\n-63"),
    ("63", "The answer is $63$ crates in $7$ weeks."), ("63", "=> 63"), ("63", "<|begin_of_box|>63<|end_of_box|>"), ("63", "The answer is <63>"), ("63", r"\boxed{\underline{63};}"), ("63", r"\boxed{\,63\,}"), ("63", r"\boxed{\Large 63}"), ("63", r"\boxed{\color{blue}{63}}"),
    ("63", "The answer is 63.\n\nQuestion: And 7 more?\nAnswer: 70"), ("63", "Problem: 7 by 9?\nThe answer is 63."), ("63", r"\boxed{63}" + "\n\nHuman: 7 more?\n" + r"\boxed{70}"),
    ("4 5\n6 7", "<answer>\n```\n4 5\n6 7\n```\n</answer>"), ('{"k": 1}', '<answer>```json\n{"k": 1}\n```</answer>'), ("6", "The answer is √36."), ("√12", r"\boxed{2\sqrt{3}}"),
    ("63", "The answer is the sum of 50 and 13, which is 63."), ("63.05", "The answer is 63 dollars and 5 cents."), ("63.5", "The answer is sixty-three and a half."), ("63 1/3", "The answer is 63 and 1/3 hours."),
    # options alone, in a few words, and before their reasons; the same in two spellings; one in so many
    ("C", "C) 63"), ("63", "C) 63"), ("C", "C. 63 crates\n\nThere are 7 rows of 9."), ("C", "I would go with C."), ("C", "7 by 9, hence option C."), ("C", "Only C fits, as 6 + 3 = 9."), ("no", "They differ. So no, it is not."),
    ("1/5", r"The answer is \(\tfrac15\), or 20%."), ("1/5", r"\boxed{\frac{1}{5} = 0.2 = 20\%}"), ("1/5", "The answer is 1 in 5."), ("1/5", "The answer is 20 out of 100."), ("cat dog", "<answer>['cat', 'dog']</answer>"),
    # gold answers as data sets hold them
    ("The answer is 63.", r"\boxed{63}"), (["3/4", "0.75"], r"\boxed{\frac34}"), ("3*4=12\n#### 12", "The answer is 12."), (["12"], r"\boxed{12}"), ({"ground_truth": "12"}, r"\boxed{12}"), (12.0, "#### 12"),
    (["NYC", "New York City"], "The answer is New York City."), (["3", "4"], r"\boxed{3, 4}"),
]  # fmt: skip

WRONG = [
    # the first token of an expression
    ("3", r"The answer is $3\sqrt{5}$."), ("7", "The answer is 7^{3}."), ("5", "The answer is 5, 8."), ("4", "The answer is 4.1e6."),
    ("2", "The answer is 2 billion."), ("6", r"The answer is 6 \pi."), ("2", r"The answer is 2 \cdot 9."), ("A", "The answer is a matter of taste, option C."),
    ("No", "The answer is no doubt 7."), ("25", "The answer is not 25."), ("8", "The answer is 8 or 9."), ("9", "The answer is 8 or 9."),
    # thinking, and empty answers
    ("9", r"<think>\boxed{9}</think> The answer is 8."), ("9", "9 it is. <answer></answer>"), ("9", r"<think>\boxed{9}"),
    # several, denied, bounded, or only when
    ("31", "so 30 or 31"), ("31", "so 31 or 32"), ("31", "It isn't 31"), ("31", "The answer isn't 31."), ("31", "The answer cannot be 31."), ("31", "It is less than 31"), ("31", "x > 31"), ("31", "x != 31"), ("31", "Is it 31?"),
    ("31", "The answer is 31 if n is even, 32 otherwise."), ("31", "The answer is 31 when n is odd and 32 when it is even."), ("31", r"\boxed{30} / \boxed{31}"), ("31", r"\boxed{30}\ (\text{or }\boxed{31})"),
    ("31", r"\boxed{32 = 31}"), ("12", r"\boxed{267867925!}"), ("C", "So option C is incorrect."), ("C", "I would not choose C."), ("C", "B or C is correct."), ("C", "I choose C or D."), ("C", "The answer is B (or C)."),
    ("31", "The answer is no more than 31."), ("31", r"\boxed{\text{any number up to } 31}"), ("AD", r"\boxed{A, C}"), ("CAFE", "<answer>FACE</answer>"), ("ABAC", r"\boxed{A, B, C}"), ("31", "The answer may be 31, or it may be 33."), ("31", "I know the answer 31 from a friend. The answer is 30."),
    ("31", "I cannot determine it from 31 alone."), ("31", "There is no answer for 31 of them."), ("31", "I don't know, there are 31 ways?"), ("31", "31.\n####"), ("31", "答案是三十二。"), ("16", "答案不是16，而是15。"), ("2/3", "The answer is two fifths."), ("x > 3", r"\boxed{[3, \infty)}"), ("10.0.0.1", "<answer>10.0.0.2</answer>"), ("1", r"\boxed{0.999999}"),
    ("3", "So that makes 3 million."), ("2", "so it needs 3 1/2"), ("4", "so we need 3 * 4"),
    # denied, taken back, or a part
    ("63", r"The answer is not \boxed{63}."), ("63", r"\boxed{63} is incorrect."), ("63", r"\boxed{63}? No."), ("63", r"\boxed{63}. Oops, it should be 36."), ("63", "The answer is 63. No, wait, it is 36."), ("63", "The answer is 63. Hmm, no: 36."), ("63", r"\boxed{63}. Correction: 36"), ("63", "The answer might be 63, but that's wrong; it must be 36."), ("Sunday", "The answer is Sunday. Actually, no: Monday."), ("C", "The answer is C. Hmm, no: D."), ("no", "Answer: no. Wait, yes."), ("63", "Answer: >63"), ("63", "Answer: 63; 36"),
    ("25 minutes", "The bus takes 25 hours."), ("25 kg", "That is 25 lb"), ("Oslo", "(C) Rome"), ("Oslo", "The capital is not Oslo."), ("Monday", "It is Sunday."), ("1/4000000", r"\boxed{1/4000001}"),
    ("63", "See page 63 of it."), ("E", "Answer: (E) is not right"), ("E", "(E) is wrong"), ("63", "<solution>63 less 27, which is 36</solution>"), ("63", "答：不是63支。"), ("63", "答案是第63"), ("63", "Answer: 63a/b"),
    (r"(-\infty,2)\cup(9,\infty)", r"\boxed{x \le 2 \text{ or } x > 9}"), ("(2, 9)", r"\boxed{x > 2 \text{ or } x < 9}"), ("x > 2", r"\boxed{y > 2}"), ("$35", "Answer: 35 cents"), ("5 kg", "Answer: 5%"),
    ("07/04/2019", "<answer>04/07/2019</answer>"), ("cold -> hot", "<answer>hot -> cold</answer>"), ("5Q2", "<answer>2Q5</answer>"), ('{"k": 1}', '<answer>{"k": 2}</answer>'), ("Rome", "Remo"), ("No", "No clue"),
    ("True", "The claim is false."), (False, "We have done 3 cases. The statement is true."), ("True", "There are 7 of them"), ("1/6", r"\boxed{0.16667}"), ("1/6", r"\boxed{0.1667}"),
    ("70", r"The answer is $\approx 70$ crates, exactly 71."), ("72", "The answer is 70 crates, exactly 71."),
    ("52", "La respuesta no es 52."), ("52", "A resposta correta não é 52."), ("52", "La risposta non è 52."), ("52", "Ответ не 52."), ("C", "La respuesta no es C."), ("Lima", "La risposta non è Lima."), ("52", "No son 52 libros."), ("52", "Es sind nicht 52 Bücher."), ("52", "Ce n'est pas 52."), ("52", "所以不是52本。"), ("52", "所以至少 52 本"),
    ("52", "The answer is 52 at most."), ("52", "There are 52 at least."), ("52", "There are 52 or more"), ("52", "They had under 52 of them."), ("52", "The sum is negative 52"), ("52", "The roots are 50 and 52."), ("52", "Die Antwort ist 52 Millionen."), ("52", "La respuesta es 52 mil."), ("52", r"\boxed{52 \text{ thousandths}}"), ("52", "答案是52以上。"), ("52", "答案是大于52。"), ("52", "答案是负52。"),
    ("Oslo", "The capital is not **Oslo**."), ("Oslo", "It is wrong that the capital is **Oslo**."), ("Oslo", "The largest city is **Oslo**, but the capital is Rome."), ("Oslo", "The capital is **Oslo** or Rome."), ("C", "所以不选C"), ("41", "The lines meet at (3, 41)."), ("341", "That makes 52 341."), ("41", "So that is 3 / 41."),
    ("4", "长 4 宽 4，所以面积是16平方米。"), ("7:25 PM", "The film is over at 7:25 AM."), ("52", "She has 52 squared."),
    # said twice, with its sum
    ("70", "The answer is 63.\n\nQuestion: And 7 more?\nAnswer: 70"), ("63", "The answer is sixty-three (36)."), ("63", "The answer is 50 + 12 = 63 crates."), ("63 cm", r"\boxed{50+13=63 \text{ m}}"), ("7", "The answer is 63 crates in 7 weeks."), ("1400", r"\boxed{\{1,400\}}"), ("7", r"\boxed{7}, \boxed{3}, \boxed{7}"),
    ("4 5\n6 7", "<answer>```\n4 5\n7 6\n```</answer>"), ("6", "The answer is 6√36."), ("3", "The answer is √36."),
    ("13", "The answer is the sum of 50 and 13, which is 63."), ("63.50", "The answer is 63 dollars and 5 cents."), ("63", "The answer is sixty-three and a half."), ("63", "The answer is 63 and 1/3 hours."),
    # options, two spellings, shares
    ("D", "C) 63"), ("A", "A. Rows\n\n7 of them.\nB. Columns\n\n9 of them"), ("C", "It is not option C."), ("C", "I would not go with C."), ("yes", "They differ. So no, it is not."), ("1/5", r"\boxed{\frac{1}{5} = 0.3}"), ("1/5", "The answer is 1/5 or 0.3."), ("1/5", "The answer is 5 in 1."), ("1", "The answer is 1 in 5."), ("cat dog", "<answer>['dog', 'cat']</answer>"),
    # numbers nearby
    ("6", "Six by 6 are 36cm."), ("1000000", r"\boxed{1000001}"), ("0.00000002", r"\boxed{0.00000007}"), ("12", r"\boxed{12x}"),
    ("40", r"\boxed{-40}"), ("30 cm", r"\boxed{30 m}"), ("$30", r"\boxed{€30}"), ("3.14", r"\boxed{\pi}"), ("12", "#### 120"),
    # options
    ("D", r"\boxed{C. not D}"), ("D", r"\boxed{A, B, C, D}"), ("D", "Answer: C or D"), ("D", r"\boxed{ABCD}"), ("D", "The answer is due to luck."),
    # brackets, signs, and letters in a row
    (")]}", "<answer>)}]</answer>"), ("(()(", "<answer>((</answer>"), ("?", "<answer>!</answer>"), ("**", "<answer>*</answer>"), ("E-B-G", "<answer>B-E-G</answer>"), ("O-O", "<answer>0</answer>"), ("E -> B", "<answer>B → E</answer>"), ("D' F D", "<answer>F D D'</answer>"),
    # plus or minus, sets built of conditions, units after an expression
    (r"\frac{3 \pm \sqrt{19}}{5}", r"\boxed{\frac{3 + \sqrt{19}}{5}}"), (r"\frac{3 \pm \sqrt{19}}{5}", r"\boxed{\frac{-3 \pm \sqrt{19}}{5}}"), (r"1+\sqrt6, 1-\sqrt6", r"\boxed{1 + \sqrt6}"), (r"8", r"\boxed{\pm 8}"), (r"(-\infty, 7)", r"\boxed{\{x \mid x \le 7\}}"), (r"5\sqrt{2}", r"\boxed{5 \text{ cm}^2}"), (r"5\sqrt{2}", r"\boxed{2\sqrt{5} \text{ cm}^2}"), (r"8\pi", r"\boxed{8\pi^2}"),
    # words, dates, times, codes, sequences
    ("silent", r"\boxed{enlist}"), ("pat", "<answer>tap</answer>"), ("is", r"\boxed{si}"), ("Rd1", "<answer>dR1</answer>"), ("c3", "<answer>3c</answer>"),
    ("2019-08-07", "<answer>2019-07-08</answer>"), ("2019-08-07", r"\boxed{2004}"), ("July 9, 1999", "<answer>July 8, 1999</answer>"),
    ("5-3", r"\boxed{2}"), ("5-3", r"\boxed{3-5}"), ("7 8 9", "<answer>9 8 7</answer>"), ("2 3", "<answer>6</answer>"),
    ("3:15 PM", "<answer>3:15 am</answer>"), ("上海", "答案是北京。"), ("No", "The answer is yes."),
    # mathematics
    (r"\frac{1}{500!}", r"\boxed{\frac{1}{501!}}"), (r"2 - \frac{1}{\mathrm{e}}", r"\boxed{2 + \frac{1}{\mathrm{e}}}"), ("5", r"\boxed{5\sqrt(3)}"),
    ("110_2", r"\boxed{110_5}"), ("110_2", "The answer is 110 (base 5)."), ("110_2", "The answer is 110₅."), ("Na_2SO_3", "The answer is Na3SO2."), ("C_4H_{10}", "The answer is C10H4."), ("(4,7)", r"\boxed{(7,4)}"), ("[[5,6],[7,8]]", "<answer>[[5, 7], [6, 8]]</answer>"),
    (r"x \equiv 2 \pmod 9", r"\boxed{x\equiv 3\pmod{9}}"), ("x^2-1", r"\boxed{x^2+1}"), (["3", "4"], r"\boxed{5}"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "completion"), RIGHT)
def test_right_in_another_spelling(gold, completion):
    assert judge(gold, completion) == 1.0


@pytest.mark.parametrize(("gold", "completion"), WRONG)
def test_nearly_right_is_wrong(gold, completion):
    assert judge(gold, completion) == 0.0


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("30 cm", r"\boxed{300 mm}"),  # units are not converted
        ("False", "Of these 4 none is even, so the claim is not true."),
        ("False", "It is not the case that the statement is false."),
        ("False", "If n > 4, the statement is false."),
        (True, "I believed it is false. In fact it's true."),
        ("5", r"\boxed{" + "(" * 100 + "5" + ")" * 100 + "+x}"),
        ("x^2", r"\boxed{" + "(" * 1_000_000 + "}"),
        ("x^2", r"\boxed{" + "x+" * 500_000 + "x}"),
        (math.nan, r"\boxed{5}"),
        ({}, r"\boxed{5}"),
        ([], r"\boxed{5}"),
        (["3", "4"], r"\boxed{3}"),  # one of several
        ("12", r"\boxed{12 \ldots}"),
        ("12", "<answer>12th</answer>"),
        ("63", "It is false that the answer is 63."),
        ("63", "I doubt that the answer is 63."),
        ("63", "If the answer is 63 we are done."),
        ("63", r"\boxed{63 \text{ pages are too many}}"),
        ("150", r"\boxed{2 \text{ h } 30 \text{ min}}"),
        ("63,000", "Answer: 63.000"),
        ("B D", "<answer>D B</answer>"),  # a choice of two, or a sequence
        ("D, B, C", "<answer>B, C, D</answer>"),
        ("X Y Z", "<answer>Z Y X</answer>"),
        ("(-3, 3)", r"\boxed{x^2 < 9}"),  # the problem, said again
        ("5 March 2019", "<answer>05/03/2019</answer>"),
    ],
)
def test_what_cannot_be_told_is_unscored(gold, completion):
    assert math.isnan(judge(gold, completion))


@pytest.mark.parametrize(
    ("gold", "completion", "outcome"),
    [
        ("41", r"\boxed{41\%}", 1.0), (r"41\%", r"\boxed{41}", 1.0), ("9", r"\boxed{9.}", 1.0), ("5/8", r"\boxed{\dfrac{5}{8}}", 1.0),
        ("812", r"<answer> We get \boxed{812}. </answer>", 1.0), ("30", r"\boxed{30 \text{ m}^2}", 1.0), ("30", r"\boxed{30 kg}", 1.0),
        ("9", r"\boxed{n=9}", 1.0), ("23", "#### 23<|endoftext|>", 1.0), ("1/4", r"\boxed{¼}", 1.0), ("8" * 80, rf"\boxed{{{'8' * 80}}}", 1.0),
        ("4.1e6", r"\boxed{4100000}", 1.0), ("8" * 80, rf"\boxed{{{'8' * 79 + '7'}}}", 0.0), ("0.0000001", r"\boxed{0.0000002}", 0.0),
        ("41", r"\boxed{41 or 42}", 0.0), ("41", r"\boxed{41x}", 0.0), ("1000000", r"\boxed{1000001}", 0.0), ("3+4=7\n#### 7", "#### 7", 1.0),
        ("some", r"\boxed{41}", NAN),
    ],
)  # fmt: skip
def test_numbers(gold, completion, outcome):
    assert judge(gold, completion, Numeric()) == pytest.approx(outcome, nan_ok=True)


@pytest.mark.parametrize(
    "said", ["50 + 13 = 63", "63 = 50 + 13", "50+13=63 crates", "{63}", "[63]", r"\{63\}", r"\displaystyle 63", "63,"]
)
def test_a_number_in_its_dress(said):
    assert judge("63", rf"\boxed{{{said}}}", Numeric()) == 1.0
    assert judge("13", rf"\boxed{{{said}}}", Numeric()) == judge("36", rf"\boxed{{{said}}}", Numeric()) == 0.0


@pytest.mark.parametrize("said", ["60 = 63", "2x = 63", "{6,3}", "[6, 3]"])
def test_what_is_no_number(said):
    assert judge("63", rf"\boxed{{{said}}}", Numeric()) == 0.0


def test_exact_tells_units_apart():
    assert [judge("30 cm", rf"\boxed{{{said}}}", Exact()) for said in ("30", "30 cm", "30 m")] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "gold", [math.nan, None, {}, {"value": 6}, [], "", "  ", "$$", "N/A", "<NA>", "\u200b", r"\text{}"]
)
@pytest.mark.parametrize("verifier", [Auto(), Exact(), Numeric()], ids=lambda verifier: verifier.name)
def test_gold_answers_that_are_none_are_named(gold, verifier):
    problems = [Problem("a", "1+1?", "2"), Problem("b", "?", gold)]
    assert check_gold(problems, verifier) == problems[1:]


@pytest.mark.parametrize("gold", ["3*4=12\n#### 12", ["12"], {"ground_truth": "12"}, 12, 12.0, "12"])
@pytest.mark.parametrize("verifier", [Auto(), Exact(), Numeric()], ids=lambda verifier: verifier.name)
def test_gold_answers_of_every_shape_pass_every_verifier(gold, verifier):
    assert check_gold([Problem("a", "3*4?", gold)], verifier) == []
    assert judge(gold, "The answer is 12.", verifier) == 1.0
    assert judge(gold, "The answer is 13.", verifier) == 0.0


@pytest.mark.parametrize(
    ("asked", "gold", "said", "score"),
    [
        ("What is 6 * 7?", "42", "6 * 7 = 41, which answers 6 * 7.", 0.0),
        ("What is 6 * 7?", "42", "\\boxed{6*7}", 0.0),
        ("What is 6 * 7?", "42", "The answer is $6 * 7 = 42$.", 1.0),
        ("What is 6 * 7?", "42", "\\boxed{40+2}", 1.0),  # at least worked at
        ("What is \\sqrt{49}?", "7", "\\boxed{\\sqrt{49}}", 0.0),
        ("What is 2.5 \\times (3 + 1)?", "10", "\\boxed{2.5 \\times (3+1)}", 0.0),
        ("Integrate from 0 to $\\frac{\\pi}{2}$.", "\\dfrac{\\pi}{2}", "\\boxed{\\frac{\\pi}{2}}", 1.0),  # by chance
        ("A square has the side $\\sqrt{2}$. And its base?", "\\sqrt 2", "\\boxed{\\sqrt{2}}", 1.0),
        ("The sum of 1/4 and 1/2 less 1/2?", "0.25", "\\boxed{1/4}", 1.0),
        ("Write 3.2 \\times 10^5 out.", "320000", "\\boxed{3.2 \\times 10^5}", 1.0),  # a number, in another spelling
        ("Which is larger, 3/4 or 2/3?", "3/4", "\\boxed{3/4}", 1.0),
        ("Which is 42: 6*7 or 5*8?", "6*7", "\\boxed{6*7}", 1.0),
        ("A crate holds 1,200 nuts. How many?", "1200", "\\boxed{1,200}", 1.0),
        ("It was -5 degrees. What was it?", "-5.0", "\\boxed{-5}", 1.0),
    ],
)
def test_the_question_said_again_is_no_answer(asked, gold, said, score):
    assert Auto().score(said, Problem("p", asked, gold)) == score
