"""How far questions are from what was trained on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.audit.distance import domain_distances
from rlguard.audit.suite import make_item, vary


def make(prompt, domain):
    return make_item({"prompt": prompt, "answer": "1", "domain": domain})


def sums(seed):
    rng = random.Random(seed)
    return [f"What is {rng.randint(1, 99)} + {rng.randint(1, 99)}?" for _ in range(30)]


STORIES = [
    f"{name} has {k} apples and gives {k - 1} of them away. How many are left?" for k, name in enumerate("ABCDE", 3)
]
LETTERS = [f'Spell the word "{word}" backwards.' for word in ("river", "boat", "table", "lamp")]
ITEMS = [
    make(text, d) for d, texts in (("sums", sums(0)), ("stories", STORIES), ("letters", LETTERS)) for text in texts
]


def test_prompts_of_the_same_making_are_near_and_others_far():
    distances = domain_distances(ITEMS, sums(1))
    assert list(distances) == ["sums", "stories", "letters"]
    assert distances["sums"] < 0.05
    assert min(distances["stories"], distances["letters"]) > 0.8


def test_the_nearer_wording_is_nearer():
    more = [make("Tom has 8 apples and buys 5 more of them. How many are there?", "shopping"), *ITEMS]
    distances = domain_distances(more, STORIES)
    assert distances["stories"] == 0
    assert distances["shopping"] < distances["sums"]
    assert distances["shopping"] < distances["letters"]


def test_names_of_domains_stand_for_their_prompts_and_the_nearest_counts():
    distances = domain_distances(ITEMS, ["sums", "letters"])
    assert distances["sums"] == distances["letters"] == 0
    assert distances["stories"] == pytest.approx(
        min(domain_distances(ITEMS, [name])["stories"] for name in ("sums", "letters"))
    )


def test_names_and_prompts_can_be_mixed():
    distances = domain_distances(ITEMS, ["letters", *sums(1)])
    assert distances["letters"] == 0
    assert distances["sums"] < 0.05
    assert distances["stories"] > 0.8


def test_chat_messages_count_by_their_words():
    chat = [[{"role": "user", "content": text}] for text in sums(1)]
    assert domain_distances(ITEMS, chat) == domain_distances(ITEMS, sums(1))


def test_nothing_trained_or_nothing_in_common_is_as_far_as_can_be():
    assert domain_distances(ITEMS, []) == {"sums": 1, "stories": 1, "letters": 1}
    assert domain_distances(ITEMS, ["数学", ""]) == {"sums": 1, "stories": 1, "letters": 1}
    assert domain_distances([], sums(0)) == {}


def test_variants_do_not_count():
    assert domain_distances([*ITEMS, *vary(ITEMS)], sums(1)) == domain_distances(ITEMS, sums(1))


def test_one_and_the_same_prompt_everywhere_is_at_distance_0():
    assert domain_distances([make("Say one.", "a")], ["Say one."]) == {"a": 0}


def test_the_order_of_the_training_prompts_does_not_matter():
    assert domain_distances(ITEMS, sums(1)[::-1]) == pytest.approx(domain_distances(ITEMS, sums(1)))


def test_many_and_long_training_prompts_are_thinned():
    prompts = [text for seed in range(100) for text in sums(seed)]
    assert domain_distances(ITEMS, [*prompts, "x" * 10**6])["sums"] < 0.05


@settings(max_examples=30, deadline=None)
@given(prompts=st.lists(st.text(max_size=30), max_size=4), trained=st.lists(st.text(max_size=30), max_size=4))
def test_a_distance_lies_between_0_and_1(prompts, trained):
    items = [make(f"{text}.", f"domain {number % 2}") for number, text in enumerate(prompts)]
    for distance in domain_distances(items, trained).values():
        assert 0 <= distance <= 1
