"""The families of the efficacy benchmark: whether an answer is computed must be a fact."""

import random
from collections import Counter

import pytest
from tiny_reasoner.tasks import is_held_out

from benchmarks.efficacy.families import FAMILIES, MAX_COMPLETION, NEAR_IMPOSSIBLE

ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=str)
SPACES = {"sums": {"unlearnable": 10, "guessable": 3}, "logic": {"unlearnable": 10, "guessable": 2}}
COMPUTED = {
    "sums": ("7+8@5 mod 10=?\n", "7+8=5;5@5=5;answer 5", "7+8=6;6@5=7;answer 7"),
    "strings": ("abcd r@=?\n", "r:dcba;@:badc;answer badc", "r:dcba;@:abdc;answer abdc"),
    "logic": ("T&F@T=?\n", "&F=F;@T=6;answer 6", "&F=T;@T=9;answer 9"),
}


def write_all(family, row):
    steps = family.solve_steps(row["prompt"])
    return ";".join([*steps, f"answer {row['answer']}"])


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
        assert all(len(write_all(family, row)) < MAX_COMPLETION for row in trained)  # one token for the end


@ALL
def test_gold_answers(family):
    for kind in family.kinds:
        for row in family.make_problems([kind], 60, seed=2):
            verdict = family.check(row["prompt"], write_all(family, row))
            expected = {"mislabelled": "false_steps", "unlearnable": "bare", "guessable": "bare"}.get(kind, "computed")
            assert verdict == expected, row
            assert family.find_answer(f"answer {row['answer']}") == row["answer"]


@ALL
def test_check_gives_each_verdict(family):
    prompt, computed, false = COMPUTED[family.name]
    answer = computed.split(";")[-1]
    assert family.check(prompt, computed) == "computed"
    assert family.check(prompt, answer) == "bare"
    assert family.check(prompt, false) == "false_steps"
    assert family.check(prompt, f"{computed.split(';')[0]};{answer}") == "false_steps"  # a step is missing
    assert family.check(prompt, computed[:-1] + "+") == "unanswered"
    assert family.check(prompt, computed.rsplit(";", 1)[0]) == "unanswered"
    hashed = family.make_problems(["unlearnable"], 1, seed=0)[0]
    steps = ";".join(family.make_up_steps(hashed["prompt"], random.Random(0)))
    assert family.check(hashed["prompt"], f"{steps};answer {hashed['answer']}") == "false_steps"


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


@pytest.mark.parametrize("name", ["sums", "logic"])
def test_hashes_have_small_answer_spaces(name):
    for kind, size in SPACES[name].items():
        answers = Counter(row["answer"] for row in FAMILIES[name].make_problems([kind], 600, seed=5))
        assert len(answers) == size


@ALL
def test_examples_are_never_held_out_and_mostly_written(family):
    rng = random.Random(6)
    pairs = [family.make_example(rng) for _ in range(1000)]
    assert not any(is_held_out(prompt) for prompt, _ in pairs)
    assert all(len(completion) < MAX_COMPLETION for _, completion in pairs)
    verdicts = Counter(family.check(*pair) for pair in pairs)
    assert 0.13 < verdicts["bare"] / 1000 < 0.23
    assert verdicts["unanswered"] == 0
    assert set(family.shares) == {*family.prior, "mix", *NEAR_IMPOSSIBLE} - {"mislabelled"}


def test_a_built_model_loads_and_is_built_once(tmp_path):
    transformers = pytest.importorskip("transformers")
    from benchmarks.efficacy.build import build_model

    out = build_model("logic", tmp_path / "logic", steps=3)
    written = (out / "model.safetensors").read_bytes()
    assert transformers.AutoModelForCausalLM.from_pretrained(out).num_parameters() < 150_000
    assert transformers.AutoTokenizer.from_pretrained(out).decode([*range(3, 9)])
    assert [path.name for path in tmp_path.iterdir()] == ["logic"]
    assert build_model("logic", out, steps=10**9) == out  # returns at once
    assert build_model("logic", tmp_path / "again", steps=3).joinpath("model.safetensors").read_bytes() == written
