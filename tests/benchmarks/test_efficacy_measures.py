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
    make_reward,
    measure_calibration,
    measure_ends,
    measure_entropy,
    pass_at_k,
)
from benchmarks.efficacy.warn import Warner, judge_again  # noqa: E402

SUMS = FAMILIES["sums"]
SETTINGS = SimpleNamespace(evaluate_on=20, pass_problems=3, samples=4, seed=1000, evaluate_every=2, steps=4)


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
    assert (found["prior"]["n"], found["learnable"]["n"]) == (60, 20)
    assert list(found["prior"]["accuracy_by_family"]) == ["add", "mul", "sub"]
    for group in found.values():
        assert sum(group[f"share_{way}"] for way in ("computed", "bare", "false_steps", "unanswered")) == 1
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


def test_entropy_is_that_of_one_text_at_a_time(model, tokenizer):
    """Padding and batches change nothing, the prompt does not count, the end of the text does."""
    prompts = ["7+8+5 mod 10=?\n", "1+2 mod 7=?\n"]
    texts = ["7+8=5;5+5=0;answer 0", "answer 3"]
    total, count = 0.0, 0
    for prompt, text in zip(prompts, texts, strict=True):
        asked, said = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt, text))
        with torch.no_grad():
            logits = model(torch.tensor([asked + said])).logits[0, len(asked) - 1 :]
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        assert len(entropy) == len(said) + 1
        total, count = total + float(entropy.sum()), count + len(entropy)
    assert measure_entropy(model, tokenizer, prompts, texts) == pytest.approx(total / count, rel=1e-4)


def rollouts(kinds, bare, seed=0):
    """8 rollouts of 16 sums, `bare` of them without steps."""
    rows = [row for row in SUMS.make_problems(kinds, 16, seed) for _ in range(8)]
    texts = [write_completion(row["prompt"], bare=i % 8 < bare) for i, row in enumerate(rows)]
    return [row["prompt"] for row in rows], texts, [row["answer"] for row in rows]


def test_warner_compares_with_before_training():
    warner = Warner(steps=100)
    assert warner.warn({}) == []
    before = rollouts(["mix"], bare=1)
    warner.fit(*before)
    points = []
    for seed in range(1, 5):
        warner.see(*rollouts(["mix"], bare=1, seed=seed))
        assert warner.warn({"rlguard/lucky_share": 0.2}) == []  # finer than a batch of a few groups
        points.append({"step": len(points) + 2} | warner.figures)
    assert warner.figures["findings/skipped_computation"] > 0.05
    warned = []
    for seed in range(5, 9):
        warner.see(*rollouts(["mix"], bare=5, seed=seed))
        warned = warner.warn({})
        points.append({"step": len(points) + 2} | warner.figures)
    assert {"skipped_computation", "findings"} <= set(warned)
    fitted = Warner(steps=100)
    fitted.fit(*before)
    again = judge_again({"curve": [{"figures": points, "warnings": {"old": 1}}]}, fitted)
    assert again == judge_again(again, fitted)
    assert set(again["curve"][0]["warnings"]) >= set(warned)
    assert "lucky_share" not in again["curve"][0]["warnings"]
    for _ in range(2):
        assert "lucky_share" not in warner.warn({"rlguard/lucky_share": 1.0})  # (4 · 0.2 + 2 · 1.0) / 6 < 0.5
    assert "lucky_share" in warner.warn({"rlguard/lucky_share": 1.0})


def test_warner_knows_one_answer_for_all():
    warner = Warner(steps=100)
    prompts, texts, answers = rollouts(["add"], bare=0)
    warner.fit(prompts, texts, answers)
    warner.see(prompts, ["7+8=5;answer 5"] * len(prompts), answers)
    assert "same_answer" in warner.warn({})


def test_recorder_measures_every_few_steps_and_says_who_warned_when(model, tokenizer):
    problems = SUMS.make_problems({"mix": 1.0}, 16, 3)
    recorder = Recorder(SETTINGS, tokenizer, SUMS)
    reward = make_reward(SUMS, recorder, random_rate=None, seed=0)
    state = SimpleNamespace(global_step=0)
    recorder.on_train_begin(None, state, None, model=model, train_dataloader=SimpleNamespace(dataset=problems))
    prompts, texts, answers = rollouts(["add"], bare=2)
    for step in range(1, 5):
        state.global_step = step
        assert reward(prompts, texts, answers) == [1.0] * len(texts)
        recorder.on_log(None, state, None, logs={"loss": step, "rlguard/lucky_share": 0.8}, model=model)
    recorder.on_log(None, state, None, logs={"train_runtime": 1.0}, model=model)
    assert [row["step"] for row in recorder.rows] == [0, 2, 4]
    assert [row.get("loss") for row in recorder.rows] == [None, 1.5, 3.5]
    assert recorder.rows[1]["lucky_share_true"] == 0.25
    assert recorder.rows[1]["successes"] == len(texts)
    assert "lucky_share" not in recorder.rows[1]["warnings"]
    assert recorder.rows[2]["warnings"]["lucky_share"] == 4
    assert [[row["step"] for row in point["figures"]] for point in recorder.rows] == [[], [1, 2], [3, 4]]
    assert recorder.rows[2]["figures"][1]["lucky_share"] == 0.8
    assert recorder.rows[2]["prior_accuracy"] == recorder.rows[0]["prior_accuracy"] > 0.6  # the same model


def test_random_reward_looks_at_no_text(tokenizer):
    recorder = Recorder(SETTINGS, tokenizer, SUMS)
    coin = make_reward(SUMS, recorder, random_rate=0.5, seed=1)
    prompts, texts, answers = rollouts(["add"], bare=0)
    assert 0.3 < sum(coin(prompts, texts, answers)) / len(texts) < 0.7
