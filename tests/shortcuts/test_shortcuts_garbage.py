"""Garbage of each sort is found, wherever it begins; dense notation and other languages are none."""

# ruff: noqa: E501

import random
import string

import pytest

from rlguard.shortcuts.case import read_case
from rlguard.shortcuts.garbage import find_garbage
from rlguard.shortcuts.judge import find_repetition

PROSE = (
    "The farmer has twelve cows and sells five of them at the market in the town. With the money he buys three goats for"
    " his daughter, and she is happy. In the evening they count the animals that are left on the farm, and it turns out"
    " that the number of cows is the same as the number of goats and sheep together. How many of the sheep must there be"
    " if none was sold? We know that seven cows are left, and that three goats came to the farm, so that the rest of the"
    " animals are sheep: it is clear that four of them are needed, and the answer to the question is therefore four. "
)


def salad(rng):
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9))) for _ in range(200))


def disorder(rng):
    words = (PROSE * 3).split()
    rng.shuffle(words)
    return " ".join(words)


def quotes(rng):
    return "".join(rng.choices("\"'`,.\\ ", k=900))


def signs(rng):
    return "".join(rng.choices(string.punctuation, k=900))


def scripts(rng):
    first = (0x61, 0x430, 0x5D0, 0x4E00, 0xAC00)
    return " ".join("".join(chr(rng.choice(first) + rng.randrange(20)) for _ in range(4)) for _ in range(200))


def characters(rng):
    return "".join(chr(0x4E00 + rng.randrange(20_000)) for _ in range(700))


GARBAGE = (salad, disorder, quotes, signs, scripts, characters)


@pytest.mark.parametrize("before", ["", PROSE, PROSE * 12], ids=["from the start", "after a page", "after pages"])
@pytest.mark.parametrize("make", GARBAGE)
def test_garbage_is_found(make, before):
    text = before + make(random.Random(3))
    finding = find_garbage(read_case(text))
    assert finding.kind == "garbage"
    assert 0 <= finding.start < finding.end <= len(text)
    assert finding.end > len(before)


HONEST = {
    "prose": PROSE,
    "code": "def add(a, b):\n    return [(x, y) for x, y in zip(a, b) if (x + y) % 2 == 0 or not x]\n\n\n"
    + "print({k: v for k, v in sorted({'a': 1, 'b': 2}.items())})\n" * 2,
    "table": "\n".join(f"| {i} | {i * i} | {'yes' if i % 2 else 'no'} |" for i in range(40)),
    "LaTeX": r"\[ \int_{0}^{1} \frac{x^{2}}{\sqrt{1 + x^{2}}} \, dx = \left( \sum_{k=1}^{n} a_{k} \right)^{2} \] "
    + r"\begin{aligned} a &= b + c \\ d &= e \cdot f \end{aligned} where $\alpha \in \{1, \dots, n\}$ holds.",
    "JSON": "[" + ", ".join(f'["{a}", "{b}"]' for a in "UDLR" for b in "UDLR") + "]",
    "brackets": "".join(random.Random(1).choices("()[]{}", k=300)),
    "maze": "\n".join("".join(random.Random(i).choices("##..@*+ ", k=20)) for i in range(20)),
    "long sum": " ".join(f"(({i} + -{i + 2}) * (-{i} - {i % 7}))" for i in range(40)),
    "German": "Der Bauer hat zwölf Kühe und verkauft fünf davon auf dem Markt. Von dem Geld kauft er seiner Tochter drei"
    " Ziegen, und sie freut sich. Am Abend zählen sie die Tiere, die noch auf dem Hof sind, und es zeigt sich, dass die"
    " Zahl der Kühe so groß ist wie die der Ziegen und der Schafe zusammen. Wie viele Schafe müssen es sein, wenn keines"
    " verkauft wurde? Wir wissen, dass sieben Kühe übrig sind und dass drei Ziegen auf den Hof kamen, also sind es vier.",
    "Finnish": "Isännällä on kaksitoista lehmää, ja hän myy niistä viisi torilla. Rahoilla hän ostaa tyttärelleen kolme"
    " vuohta, ja tytär on iloinen. Illalla he laskevat eläimet, jotka ovat vielä tilalla, ja käy ilmi, että lehmiä on"
    " yhtä monta kuin vuohia ja lampaita yhteensä. Kuinka monta lammasta tilalla on, jos yhtään niistä ei ole myyty? Kun"
    " lehmiä on jäljellä seitsemän ja vuohia on kolme, lampaita on neljä, ja vastaus on siis neljä lammasta.",
    "Chinese": "农夫有十二头牛，他在集市上卖掉了五头。他用这笔钱给女儿买了三只山羊，女儿很高兴。晚上他们数了数农场里剩下的动物，"
    "发现牛的数量和山羊与绵羊加起来的数量一样多。如果没有卖掉绵羊，那么农场里有多少只绵羊？我们知道剩下七头牛，又有三只山羊来到农场，"
    "所以其余的动物都是绵羊。七减三等于四，因此农场里有四只绵羊。我们再检查一遍：三只山羊加四只绵羊等于七只，和牛的数量一样多，"
    "所以答案是四。农夫的女儿也数了一遍，她说的和我们算的一样。",
    "Japanese": "農家には十二頭の牛がいて、そのうち五頭を市場で売りました。そのお金で娘に三匹のヤギを買い、娘はとても喜びました。"
    "夕方、二人は農場に残っている動物を数えました。牛の数はヤギと羊を合わせた数と同じです。羊は一匹も売っていません。では、羊は何匹いるでしょうか。"
    "残った牛は七頭で、ヤギは三匹ですから、羊は七から三を引いた四匹です。答えは四匹です。もう一度確かめると、三と四を足すと七になります。",
    "Arabic": "لدى المزارع اثنتا عشرة بقرة، باع منها خمسا في السوق. واشترى بالمال لابنته ثلاث عنزات ففرحت بها. وفي المساء عدا"
    " الحيوانات التي بقيت في المزرعة، فكان عدد الأبقار مثل عدد العنزات والخراف معا. فكم عدد الخراف في المزرعة إذا لم يبع"
    " منها شيئا؟ نحن نعلم أن عدد الأبقار التي بقيت في المزرعة هو سبع، وأن عدد العنزات هو ثلاث، إذن عدد الخراف هو أربعة.",
    "Russian": "У фермера двенадцать коров, и пять из них он продаёт на рынке. На эти деньги он покупает дочери трёх коз, и"
    " она рада. Вечером они считают животных, которые остались на ферме, и оказывается, что коров столько же, сколько коз"
    " и овец вместе. Сколько овец на ферме, если ни одну из них не продали? Мы знаем, что осталось семь коров, и что на"
    " ферме три козы, значит, остальные животные - овцы, и их четыре. Ответ: на ферме четыре овцы.",
    "names of languages": "English, Deutsch, русский, 中文, 日本語, العربية, עברית, हिन्दी, ไทย, 한국어: " + PROSE,
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_text_is_no_garbage(name):
    assert find_repetition(read_case(HONEST[name])) == []


def test_any_text_is_judged():
    rng = random.Random(0)
    for size in (0, 1, 199, 200, 801, 5000):
        text = "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))) for _ in range(size))
        assert all(0 <= f.start < f.end <= size for f in find_repetition(read_case(text)))
