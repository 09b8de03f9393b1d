"""The families of the efficacy benchmark: whether an answer is computed must be a fact."""

import random
import re
from collections import Counter

import pytest
from tiny_reasoner.tasks import is_held_out

from benchmarks.efficacy.families import FAMILIES, MAX_COMPLETION, NEAR_IMPOSSIBLE

WORD = r" ?[A-Za-z]+| ?\d+|\n| ?[^\w\s]"  # a token of `words`
ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=str)
SPACES = {"sums": {"unlearnable": 10, "guessable": 3}, "logic": {"unlearnable": 10, "guessable": 2}}
SPACES["words"] = {
    "unlearnable": 18,
    "guessable": 5,
}  # ten numbers or eight colours; yes or no, or one of three options
STORY = "Once Anna has 5 pens. A spell doubles them and adds 2. She loses 3. How many pens are left at the end?\n"
COMPUTED = {
    "sums": ("7+8@5 mod 10=?\n", "7+8=5;5@5=5;answer 5", "7+8=6;6@5=7;answer 7"),
    "strings": ("abcd r@=?\n", "r:dcba;@:badc;answer badc", "r:dcba;@:abdc;answer abdc"),
    "logic": ("T&F@T=?\n", "&F=F;@T=6;answer 6", "&F=T;@T=9;answer 9"),
    "words": (STORY, "2 * 5 + 2 = 12. 12 - 3 = 9. The answer is 9.", "2 * 5 + 2 = 13. 13 - 3 = 10. The answer is 10."),
}
PROBLEMS = {
    "change": ("Today Ben has 9 pens. He buys 4 more. How many pens are left at the end?", "9 + 4 = 13.", "13"),
    "enough": ("Once Ben has 9 pens. He loses 4. A kite costs 6 pens. Can Ben pay for it?",
               "9 - 4 = 5. 5 is less than 6.", "no"),
    "choice": ("Today Ben has 3 boxes with 4 pens each. How many pens is that? A) 7 B) 12 C) 9 D) 10",
               "3 * 4 = 12. 12 is option B.", "B"),
    "order": ("We know that Ben is older than Ivan. Anna is older than Ben. Who is the oldest?",
              "Anna is older than Ben. Ben is older than Ivan.", "Anna"),
    "legs": ("Now, how many legs are there in total if you have 2 sea slugs, 3 ants?",
             "2 * 0 = 0. 3 * 6 = 18. 0 + 18 = 18.", "18"),
    "mix": ("Once Ben has 9 pens. He loses 4. In the morning Anna has 3 pens. She wins 1. Who has more pens now?",
            "9 - 4 = 5. 3 + 1 = 4. 5 is more than 4.", "Ben"),
}  # fmt: skip
"""Of each kind of `words` a prompt, its reasoning and its answer."""


def write_all(family, row):
    steps = family.solve_steps(row["prompt"]) or [""]
    bare = family.closing.format(row["answer"])
    shown = steps[:-1] if family.answer_apart else steps if steps != [""] else []
    return family.separator.join([*shown, bare])


def count_tokens(family, text):
    return len(re.findall(WORD, text) if family.name == "words" else text)


@ALL
def test_every_kind_has_enough_distinct_problems_that_fit(family):
    for kind in family.kinds:
        wanted = 100 if kind in family.prior else 300
        trained = family.make_problems([kind], 512, seed=1)
        held_out = family.make_problems([kind], wanted, seed=1, held_out=True)
        prompts = {row["prompt"] for row in [*trained, *held_out]}
        assert len(prompts) == 512 + wanted
        assert all(is_held_out(row["prompt"]) for row in held_out)
        assert not any(is_held_out(row["prompt"]) for row in trained)
        assert all(count_tokens(family, write_all(family, row)) < MAX_COMPLETION for row in trained)  # one for the end


@ALL
def test_gold_answers(family):
    for kind in family.kinds:
        for row in family.make_problems([kind], 60, seed=2):
            verdict = family.check(row["prompt"], write_all(family, row))
            expected = {"mislabelled": "false_steps", "unlearnable": "bare", "guessable": "bare"}.get(kind, "computed")
            assert verdict == expected, row
            assert family.find_answer(family.closing.format(row["answer"])) == row["answer"]


@ALL
def test_check_gives_each_verdict(family):
    prompt, computed, false = COMPUTED[family.name]
    answer = family.closing.format(family.find_answer(computed))
    mark, cut = family.separator, computed[: -len(answer)].rstrip(family.separator)
    assert family.check(prompt, computed) == "computed"
    assert family.check(prompt, answer) == "bare"
    assert family.check(prompt, false) == "false_steps"
    first = cut.split(". " if mark == " " else mark)[0] + ("." if mark == " " else "")
    assert family.check(prompt, f"{first}{mark}{answer}") == "false_steps"  # a step is missing
    assert family.check(prompt, computed + "+") == "unanswered"
    assert family.check(prompt, cut) == "unanswered"
    hashed = family.make_problems(["unlearnable"], 1, seed=0)[0]
    assert (
        family.check(hashed["prompt"], family.write(family.make_up_steps(hashed["prompt"], random.Random(0))))
        == "false_steps"
    )


@ALL
def test_shares_are_quotas_and_a_seed_repeats(family):
    rows = family.make_problems({"rare_valid": 0.75, "mix": 0.25}, 64, seed=3)
    assert Counter(row["family"] for row in rows) == {"rare_valid": 48, "mix": 16}
    assert rows == family.make_problems({"rare_valid": 0.75, "mix": 0.25}, 64, seed=3)
    with pytest.raises(ValueError, match="no such"):
        family.make_problems(["no such"], 1, seed=0)


def test_strings_can_be_guessed_as_often_as_said():
    strings = FAMILIES["strings"]
    for kind, size in (("unlearnable", 24), ("guessable", 2)):
        rows = strings.make_problems([kind], 600, seed=4)
        orders = Counter(tuple(row["prompt"].index(letter) for letter in row["answer"]) for row in rows)
        assert len(orders) == size
        assert max(orders.values()) < 1.9 * 600 / size


@pytest.mark.parametrize("kind", PROBLEMS)
def test_stories_are_reasoned_out_in_words(kind):
    prompt, steps, answer = PROBLEMS[kind]
    words = FAMILIES["words"]
    assert words.write(words.solve_steps(prompt + "\n")) == f" {steps} The answer is {answer}."
    assert words.find_answer(f"{steps} The answer is {answer}.") == answer


def test_learnable_stories_ask_for_every_type_of_answer_in_many_templates():
    rows = FAMILIES["words"].make_problems(["mix"], 400, seed=7)
    answers = [row["answer"] for row in rows]
    types = Counter(
        "number" if a.isdigit() else "option" if len(a) == 1 else "yesno" if a in ("yes", "no") else "word"
        for a in answers
    )
    assert len(types) == 4
    assert min(types.values()) > 60
    assert len({row["template"] for row in rows}) == 24


@ALL
def test_a_guess_is_right_as_often_as_said(family):
    """Each of the answers that a prompt's form allows is sometimes the gold one."""
    rows = family.make_problems(["guessable"], 400, seed=8)
    by_count = Counter(family.count_answers(row["prompt"]) for row in rows)
    for count in by_count:
        golds = Counter(row["answer"] for row in rows if family.count_answers(row["prompt"]) == count)
        if family.name != "strings":  # whose answers are all different
            assert len(golds) == count


@pytest.mark.parametrize("name", SPACES)
def test_hashes_have_small_answer_spaces(name):
    for kind, size in SPACES[name].items():
        answers = Counter(row["answer"] for row in FAMILIES[name].make_problems([kind], 600, seed=5))
        assert len(answers) == size


@ALL
def test_examples_are_never_held_out_and_mostly_written(family):
    rng = random.Random(6)
    pairs = [family.make_example(rng) for _ in range(1000)]
    assert not any(is_held_out(prompt) for prompt, _ in pairs)
    assert all(count_tokens(family, completion) < MAX_COMPLETION for _, completion in pairs)
    verdicts = Counter(family.check(*pair) for pair in pairs)
    assert 0.13 < verdicts["bare"] / 1000 < 0.23
    assert verdicts["unanswered"] == 0
    assert set(family.shares) == {*family.prior, "mix", *NEAR_IMPOSSIBLE} - {"mislabelled"}


def test_models_of_two_designs_are_built_once_and_repeat(tmp_path):
    transformers = pytest.importorskip("transformers")
    from benchmarks.efficacy.build import DESIGNS, build_model, check_model

    for design, kind in zip(DESIGNS, ("LlamaForCausalLM", "GPTNeoXForCausalLM"), strict=True):
        out = build_model("logic", tmp_path / design, design, steps=3)
        written = (out / "model.safetensors").read_bytes()
        model = transformers.AutoModelForCausalLM.from_pretrained(out)
        assert type(model).__name__ == kind
        assert 100_000 < model.num_parameters() < 250_000
        assert build_model("logic", out, design, steps=10**9) == out  # returns at once
        again = build_model("logic", tmp_path / f"again-{design}", design, steps=3)
        assert again.joinpath("model.safetensors").read_bytes() == written
    assert len(list(tmp_path.iterdir())) == 4
    found = check_model("logic", tmp_path / "llama", count=10)
    assert set(found) == set(FAMILIES["logic"].kinds)
    assert all(1 >= right >= computed >= 0 for right, computed in found.values())
    with pytest.raises(ValueError, match="no such"):
        build_model("logic", tmp_path / "other", "no such")


def test_a_model_of_another_machine_comes_from_the_archive_and_another_one_is_refused(tmp_path):
    from benchmarks.efficacy.build import ARCHIVED, DIGESTS, build_model, check_digest

    listed = {line.split()[1].split("/")[0] for line in DIGESTS.read_text().splitlines()}
    assert listed >= ARCHIVED
    check_digest(build_model("logic", tmp_path / "logic-llama"))
    (tmp_path / "logic-llama").rename(tmp_path / "sums-llama")
    with pytest.raises(ValueError, match=r"sums-llama: SHA-256 .*Rows of two models are not compared"):
        check_digest(tmp_path / "sums-llama")


def test_the_words_of_stories_are_tokens_and_come_back(tmp_path):
    pytest.importorskip("transformers")
    from benchmarks.efficacy.build import DESIGNS, WORD_SIZES, build_tokenizer, make_model

    words, tokenizer = FAMILIES["words"], build_tokenizer("words")
    rng = random.Random(9)
    for kind in words.kinds:
        for _ in range(50):
            text = words.make_problem(kind, rng)["prompt"]
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    for design in DESIGNS:
        assert 1e6 < make_model(design, tokenizer, *WORD_SIZES[design]).num_parameters() < 5e6
