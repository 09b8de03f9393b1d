"""What a run of the efficacy benchmark is measured by."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import TINY  # noqa: E402
from tiny_reasoner.tasks import write_completion  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from benchmarks.efficacy.families import FAMILIES  # noqa: E402
from benchmarks.efficacy.measures import (  # noqa: E402
    Recorder,
    measure_calibration,
    measure_ends,
    measure_entropy,
    measure_kl,
    pass_at_k,
)
from benchmarks.efficacy.rewards import make_rewards  # noqa: E402
from benchmarks.efficacy.settings import Run  # noqa: E402

SUMS = FAMILIES["sums"]
SETTINGS = Run(
    "grpo", "sums", "unlearnable", 1.0, 1001, steps=6, evaluate_every=2, evaluate_on=60, sampled=3, samples=4
)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(TINY)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


def test_pass_at_k_by_hand():
    assert pass_at_k(2, 4, 2) == pytest.approx(1 - 1 / 6)  # of 6 pairs one has neither


def test_ends_of_a_model(model, tokenizer):
    state = torch.random.get_rng_state()
    found = measure_ends(model, tokenizer, SUMS, SETTINGS)
    assert torch.equal(state, torch.random.get_rng_state())
    assert list(found) == ["prior", "learnable", "rare_valid"]
    assert (found["prior"]["n"], found["learnable"]["n"]) == (60, 60)
    assert list(found["prior"]["accuracy_by_family"]) == ["add", "mul", "sub"]
    for group in found.values():
        assert sum(group[f"share_{way}"] for way in ("computed", "bare", "false_steps", "unanswered")) == pytest.approx(
            1
        )
        assert 1 >= group["pass@4"] >= group["pass@1"] >= group["computed_pass@1"] >= 0
        assert 1 <= group["distinct_answers"] <= 4
        assert 0 < group["entropy"] < 2
        assert "pass@16" not in group
    assert found["prior"]["accuracy"] > 0.7
    assert found == measure_ends(model, tokenizer, SUMS, SETTINGS)


def test_calibration_by_hand():
    sure, unsure = ["1"] * 4, ["2", "1", None, "3"]
    found = measure_calibration([sure, sure, unsure, [None] * 4], ["1", "2", "7", "1"])
    # bins: 1.0 twice with one right, 0.25 once and 0 once with none right
    assert found["ece"] == pytest.approx((abs(2 - 1) + 0.25 + 0) / 4)
    assert found["overconfidence"] == pytest.approx((1 + 1 + 0.25 + 0) / 4 - 1 / 4)
    assert found["auroc"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["confidence_wrong"] == pytest.approx(1.25 / 3)
    assert measure_calibration([sure], ["1"])["auroc"] is None


def read_one(model, tokenizer, prompt, text):
    """Next-token log-probabilities of one completion and its end, without batch or padding."""
    asked, said = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt, text))
    with torch.no_grad():
        return model(torch.tensor([asked + said])).logits[0, len(asked) - 1 :].log_softmax(-1)


def test_entropy_is_that_of_one_text_at_a_time(model, tokenizer):
    """Padding and batches change nothing, the prompt does not count, the end of the text does."""
    prompts = ["7+8+5 mod 10=?\n", "1+2 mod 7=?\n"]
    texts = ["7+8=5;5+5=0;answer 0", "answer 3"]
    logs = torch.cat([read_one(model, tokenizer, *pair) for pair in zip(prompts, texts, strict=True)])
    assert len(logs) == sum(map(len, texts)) + 2
    expected = float(-(logs.exp() * logs).sum(-1).mean())
    assert measure_entropy(model, tokenizer, prompts, texts) == pytest.approx(expected, rel=1e-4)


def test_forward_kl_by_hand(model, tokenizer, monkeypatch):
    other = AutoModelForCausalLM.from_pretrained(TINY)
    with torch.no_grad():
        other.lm_head.weight.mul_(0.9)
    prompts, texts = ["7+8+5 mod 10=?\n", "1+2 mod 7=?\n"], ["7+8=5;5+5=0;answer 0", "answer 3"]
    monkeypatch.setattr("benchmarks.efficacy.measures.generate_texts", lambda *_, **__: texts)
    total = 0.0
    for prompt, text in zip(prompts, texts, strict=True):
        old, new = (read_one(one, tokenizer, prompt, text) for one in (model, other))
        total += float((old.exp() * (old - new)).sum())
    assert measure_kl(model, other, tokenizer, prompts, SETTINGS) == pytest.approx(total / 2, rel=1e-3)
    assert measure_kl(model, model, tokenizer, prompts, SETTINGS) == 0 < total


def rollouts(bare):
    """8 rollouts of 16 sums, `bare` of them without steps."""
    rows = [row for row in SUMS.make_problems(["add"], 16, 0) for _ in range(8)]
    texts = [write_completion(row["prompt"], bare=i % 8 < bare) for i, row in enumerate(rows)]
    return [row["prompt"] for row in rows], texts, [row["answer"] for row in rows]


def test_recorder_measures_every_few_steps_and_knows_luck(model, tokenizer):
    recorder = Recorder(SETTINGS, tokenizer, SUMS)
    (reward,) = make_rewards(SUMS, "unlearnable", recorder.see)
    state = SimpleNamespace(global_step=0)
    prompts, texts, answers = rollouts(bare=2)
    for step in range(1, 7):
        state.global_step = step
        assert reward(prompts, texts, answers) == [1.0] * len(texts)
        logs = {"loss": 0.0, "reward": step, "rlguard/step_scale": 0.5, "rlguard/sampling/rollouts_saved": step}
        recorder.on_log(None, state, None, logs=logs, model=model)
    recorder.on_log(None, state, None, logs={"train_runtime": 1.0}, model=model)
    assert [row["step"] for row in recorder.curve] == [2, 4]  # the end is measured by itself
    assert [row["reward"] for row in recorder.curve] == [1.5, 3.5]
    assert recorder.curve[0]["lucky"] == 0.25
    assert recorder.curve[0]["successes"] == len(texts)
    assert recorder.scales == [0.5] * 6
    assert recorder.saved == 6
    assert recorder.curve[0]["prior"] == recorder.curve[1]["prior"] > 0.6  # the same model


def test_second_rewards_by_hand():
    texts, answers = ["7+8=5;answer 5", "answer 4", "7+8=5;5"], ["5", "5", "5"]
    prompts = ["7+8 mod 10=?\n"] * 3
    correct, written = make_rewards(SUMS, "format", lambda *_: None)
    assert correct(prompts, texts, answers) == [1.0, 0.0, 0.0]
    assert written(completions=texts, answer=answers) == [1.0, 0.0, 0.0]
    _, short = make_rewards(SUMS, "length", lambda *_: None)
    assert short(completions=texts, answer=answers) == pytest.approx([1.0, 0.92, 0.93])
    assert len(make_rewards(SUMS, "unlearnable", lambda *_: None)) == 1


def test_templates_are_counted_where_there_are_any(model, tokenizer, monkeypatch):
    words = FAMILIES["words"]
    monkeypatch.setattr(
        "benchmarks.efficacy.measures.generate_texts", lambda *args, **_: ["The answer is 1."] * len(args[2])
    )
    monkeypatch.setattr("benchmarks.efficacy.measures.measure_entropy", lambda *_: 0.0)
    from benchmarks.efficacy.measures import measure_group

    found = measure_group(model, tokenizer, words, "learnable", SETTINGS)
    assert sum(asked for _, asked in found["by_template"].values()) == 60
    assert sum(right for right, _ in found["by_template"].values()) == round(60 * found["accuracy"])
