"""The same question asked in other ways."""

from __future__ import annotations

import pytest

from rlguard.audit.marking import FORMS, SuiteVerifier
from rlguard.audit.suite import KINDS, TEMPLATES, as_chat, make_item, vary
from rlguard.types import InputError, Problem, make_prompt_id, prompt_text

PROMPTS = [kind for kind in KINDS if kind.startswith("prompt:")]

HOW = "End with the answer."


def make(question, answer="4", domain="sums", **columns):
    return make_item({"prompt": question, "answer": answer, "domain": domain, **columns})


PLAIN = make(f"2+2?\n{HOW}", instruction=HOW)


def test_every_kind_varies_the_same_questions_and_keeps_their_base():
    items = [PLAIN, make("3+3?", "6"), make("4+4?", "8"), make("Spell a", "a", "letters")]
    variants = vary(items, per_domain=2)
    assert [item.variant for item in variants[::3]] == list(KINDS)
    for kind in KINDS:
        assert [item.base for item in variants if item.variant == kind] == [items[i].id for i in (0, 1, 3)]
    assert len({item.id for item in (*items, *variants)}) == len(items) + len(variants)
    assert all(item.row["prompt"] == item.prompt and item.row["answer"] == item.answer for item in variants)
    assert all(item.row["variant"] == item.variant and item.row["base"] == item.base for item in variants)
    assert all(item.id == make_prompt_id(item.prompt, item.answer) for item in variants)
    assert [make_item(item.row) for item in variants] == variants


def test_open_ended_questions_and_variants_are_not_varied():
    even = make("Even?", "2", check={"kind": "integer", "multiple_of": 2})
    assert vary([even], ["confidence", "abstain", "prompt:exam", "answer:tag"]) == []
    assert vary(vary([PLAIN]), ["confidence"]) == []


def test_what_cannot_be_answered_is_asked_with_leave_to_abstain_only():
    unanswerable = [make(f"How old is {name}?", "", "riddles", answerable=False) for name in "ABC"]
    variants = vary([*unanswerable, PLAIN], per_domain=1)
    assert [item.base for item in variants if item.variant == "abstain"] == [i.id for i in (PLAIN, *unanswerable)]
    assert all(item.answerable for item in variants if item.variant != "abstain")


def test_each_prompt_form_holds_the_question_and_the_instruction_once():
    texts = {item.variant: item.prompt for item in vary([PLAIN], PROMPTS)}
    assert len(texts) == len(set(texts.values())) == len(PROMPTS) >= 4
    for text in texts.values():
        assert text.count("2+2?") == text.count(HOW) == 1
        assert text != PLAIN.prompt


def test_each_answer_form_replaces_the_instruction():
    for item in vary([PLAIN], [f"answer:{name}" for name in FORMS]):
        form = FORMS[item.variant.partition(":")[2]]
        assert item.prompt == f"2+2?\n{form.instruction}"
        assert form.read(item.answer) == "4"


def test_confidence_and_leave_to_abstain_are_asked_for_after_the_instruction():
    confidence, abstain = vary([PLAIN], ["confidence", "abstain"])
    assert confidence.prompt.startswith(f"{PLAIN.prompt}\n")
    assert "Confidence:" in confidence.prompt
    assert abstain.prompt == f"{PLAIN.prompt}\n{TEMPLATES['abstain'].splitlines()[-1]}"
    assert confidence.answer == abstain.answer == "4"


def test_a_question_without_an_instruction_leaves_no_gap():
    for item in vary([make("2+2?")]):
        assert "2+2?" in item.prompt
        assert "\n\n" not in item.prompt


def test_an_instruction_that_does_not_end_the_prompt_stays_where_it_is():
    item = make(f"{HOW}\n2+2?", instruction=HOW)
    assert vary([item], ["prompt:exam"])[0].prompt.endswith(item.prompt)


def test_braces_in_a_question_do_no_harm():
    item = make("What is {0} in {x}?", "{0}")
    for variant in vary([item]):
        assert "{0} in {x}" in variant.prompt
        problem = Problem(variant.id, variant.prompt, variant.answer, variant.row)
        assert SuiteVerifier().score(f"\\boxed{{{variant.answer}}}", problem) == 1.0


def test_messages_are_varied_in_the_last_of_the_user():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": f"2+2?\n{HOW}"},
        {"role": "assistant", "content": "<think>"},
    ]
    item = make(messages, instruction=HOW)
    variant = vary([item], ["answer:tag"])[0]
    assert variant.prompt[3] == {"role": "user", "content": f"2+2?\n{FORMS['tag'].instruction}"}
    assert [*variant.prompt[:3], variant.prompt[4]] == [*messages[:3], messages[4]]
    assert item.prompt == messages
    assert messages[3]["content"] == f"2+2?\n{HOW}"


def test_a_message_that_is_no_text_is_not_varied():
    picture = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}]
    assert vary([make(picture), make([{"role": "system", "content": "2+2?"}])]) == []


def test_an_unknown_kind_lists_those_there_are():
    with pytest.raises(InputError, match="variant 'prompt:rhyme' is unknown, expected some of: confidence, abstain"):
        vary([PLAIN], ["prompt:rhyme"])


def test_questions_become_messages_before_or_after_they_are_varied():
    before, after = vary(as_chat([PLAIN])), as_chat([PLAIN, *vary([PLAIN])])
    assert after == [*as_chat([PLAIN]), *before]
    assert after[0].prompt == [{"role": "user", "content": PLAIN.prompt}]
    assert [prompt_text(item.prompt) for item in before] == [item.prompt for item in vary([PLAIN])]
    assert {item.base for item in after} == {after[0].id}
    assert as_chat(after) == after
    assert [make_item(item.row) for item in after] == after
