"""The plugin in TRL's own trainer, on the tiny model."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import TINY, set_weight  # noqa: E402
from datasets import Dataset  # noqa: E402
from tiny_reasoner.training import correctness_reward, grpo_config  # noqa: E402
from tiny_trl import PROBLEMS, build, weights_of  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from rlguard import GuardConfig, rewrite_advantages  # noqa: E402
from rlguard.integrations.hf_trainer import StepScaler, gdpo_scale  # noqa: E402
from rlguard.integrations.trl import (  # noqa: E402
    STATE_FILE,
    GuardedGRPOTrainer,
    GuardMixin,
    check_signatures,
)
from rlguard.tables.read import read_rows  # noqa: E402


class Watching:
    """Keeps what the trainer's own method returned, beneath the guard."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.host = output["advantages"].clone()
        return output


class Watched(GuardMixin, Watching, GRPOTrainer):
    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.seen = [*getattr(self, "seen", []), (self.host, output["advantages"], list(self._logs["advantages"]))]
        return output


def test_two_guarded_steps_log_the_guard_and_save_its_state(tmp_path):
    trainer = build(GuardedGRPOTrainer, tmp_path, config={"save_strategy": "steps", "save_steps": 2})
    before = weights_of(trainer)
    trainer.train()
    logs = [row for row in trainer.state.log_history if "loss" in row]
    assert len(logs) == 2
    for row in logs:
        assert 0 <= row["rlguard/lucky_share"] <= 1
        assert 0 <= row["rlguard/weight_mean"] <= 1
        assert 0 <= row["rlguard/flagged_share"] <= 1
        assert 0 <= row["rlguard/chance_rate"] <= 1
    assert not torch.equal(before, weights_of(trainer))
    state = json.loads((tmp_path / "checkpoint-2" / STATE_FILE).read_text())
    assert state == trainer.guard.state_dict()
    assert state["luck"]["seen"]


def test_advantages_are_rewritten_and_logged_as_such(tmp_path):
    trainer = build(Watched, tmp_path)
    trainer.train()
    changed = 0
    for host, used, logged in trainer.seen:
        rewritten = torch.tensor(logged[-len(used) :])
        # The learning rate carries what is gone, by one slow reference: of the first batch by its own.
        assert used.norm().item() == pytest.approx(host.norm().item(), rel=0.2 if changed else 1e-6)
        assert torch.allclose(used * (rewritten.norm() / used.norm()), rewritten)
        changed += int((rewritten != host).any())
        groups = rewritten.view(-1, 4)
        assert groups.sum(dim=1).abs().max() < 1e-4
        assert (rewritten.abs() <= host.abs() * 4 + 1e-6).all()
    assert changed == len(trainer.seen) == 2


@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
def test_weight_one_is_the_host_and_weight_zero_removes_the_success(tmp_path, scale_rewards, monkeypatch):
    for weight in (1.0, 0.0):
        set_weight(monkeypatch, weight)
        trainer = build(Watched, tmp_path, config={"max_steps": 1, "scale_rewards": scale_rewards})
        trainer.train()
        for host, used, _ in trainer.seen:
            assert torch.equal(used, host if weight else torch.zeros_like(host))
        untrained = weights_of(build(GRPOTrainer, tmp_path))
        assert torch.equal(weights_of(trainer), untrained) == (not weight)  # nothing but luck: nothing moves


def test_steps_shrink_with_what_is_left_and_the_learning_rate_comes_back(tmp_path, monkeypatch):
    """Adam would undo the smaller gradient; the learning rate of those steps carries the discount through."""
    moved = {}
    for weight, scale_steps in ((1.0, True), (0.5, True), (0.5, False)):
        set_weight(monkeypatch, weight)
        trainer = build(
            GuardedGRPOTrainer, tmp_path, config={"max_steps": 1}, guard=GuardConfig(scale_steps=scale_steps)
        )
        before = weights_of(trainer)
        trainer.train()
        moved[weight, scale_steps] = float((weights_of(trainer) - before).norm())
        assert trainer.optimizer.param_groups[0]["lr"] == 2e-4
    assert moved[0.5, True] == pytest.approx(0.5 * moved[1.0, True], rel=0.02)
    assert moved[0.5, False] == pytest.approx(moved[1.0, True], rel=0.02)


def test_a_step_takes_the_scale_of_all_micro_batches_that_feed_it():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scaler, seen = StepScaler(), []

    def step():
        scaler.on_pre_optimizer_step(None, None, None, optimizer=optimizer)
        seen.append(optimizer.param_groups[0]["lr"])
        scaler.on_optimizer_step(None, None, None, optimizer=optimizer)

    step()  # nothing judged yet
    scaler.add_batch(0.6)
    scaler.on_substep_end()
    scaler.add_batch(0.8)
    step()  # two batches, one step
    scaler.add_batch(0.5)
    step()
    step()  # one batch, two steps
    assert seen == pytest.approx([1.0, math.sqrt(0.5), 0.5, 0.5])
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_observe_leaves_training_bit_identical(tmp_path):
    """The same seed, the same weights after training; only the logs know of the guard."""
    config = {"max_steps": 3}
    plain = build(GRPOTrainer, tmp_path / "plain", config=config)
    plain.train()  # before the other is built: building a trainer seeds torch
    watched = build(GuardedGRPOTrainer, tmp_path / "o", config=config, guard=GuardConfig(mode="observe"))
    watched.train()
    assert torch.equal(weights_of(plain), weights_of(watched))
    assert "rlguard/lucky_share" in watched.state.log_history[0]


def test_gdpo_aggregation_keeps_batch_and_group_sums(tmp_path):
    def length_reward(completions, **_):
        return [len(c) / 40 for c in completions]

    options = {"multi_objective_aggregation": "normalize_then_sum", "reward_weights": [1.0, 0.5], "max_steps": 1}
    trainer = build(Watched, tmp_path, rewards=[correctness_reward, length_reward], config=options)
    trainer.train()
    for host, used, _ in trainer.seen:
        torch.testing.assert_close(used.view(-1, 4).sum(1), host.view(-1, 4).sum(1), atol=1e-4, rtol=0)
        assert not torch.equal(used, host)


def test_gdpo_divisor_takes_the_outcome_out_exactly():
    """TRL's normalise-then-sum written out: with every success discounted, only the other reward is left."""
    rng = np.random.default_rng(0)
    rewards, weights = np.stack([rng.integers(0, 2, 16).astype(float), rng.random(16)], axis=1), np.array([1.0, 0.5])
    grouped = rewards.reshape(4, 4, 2)
    std = grouped.std(axis=1, ddof=1, keepdims=True) + 1e-4
    parts = ((grouped - grouped.mean(axis=1, keepdims=True)) / std).reshape(16, 2) * weights
    divisor = parts.sum(axis=1).std(ddof=1) + 1e-4
    host = (parts.sum(axis=1) - parts.sum(axis=1).mean()) / divisor
    scale = gdpo_scale(torch.tensor(rewards), torch.tensor(weights), 0, 4)
    groups = np.arange(16) // 4
    used = rewrite_advantages(host, rewards[:, 0], rewards[:, 0], groups, np.zeros(16), scale, rewards @ weights)
    mixed = np.isin(groups, [g for g in range(4) if 0 < grouped[g, :, 0].sum() < 4])
    assert mixed.any()
    np.testing.assert_allclose(used[mixed], (parts[:, 1] / divisor)[mixed], atol=1e-9)


def test_none_and_nan_rewards_do_not_stop_training(tmp_path):
    def moody(completions, answer, **_):
        rewards = correctness_reward(completions, answer)
        return [None if i % 4 == 0 else math.nan if i % 4 == 1 else r for i, r in enumerate(rewards)]

    trainer = build(Watched, tmp_path, rewards=moody)
    trainer.train()
    logs = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["rlguard/unscored_share"] for row in logs] == [0.5, 0.5]
    for _, used, _ in trainer.seen:
        assert (used.view(-1, 4)[:, :2] == 0).all()
        assert torch.isfinite(used).all()


def test_offline_rates_reach_the_tracker(tmp_path):
    rows = [row | {"rlguard_id": row["prompt"], "rlguard_successes": 1, "rlguard_trials": 16} for row in PROBLEMS]
    trainer = build(GuardedGRPOTrainer, tmp_path, rows=rows, config={"max_steps": 1})
    trainer.train()
    seen = trainer.guard.luck.state_dict()["seen"]
    assert set(seen) <= {row["prompt"] for row in PROBLEMS}
    assert all(trials == pytest.approx(2 * 0.8 + 4) for _, trials, *_ in seen.values())


def test_a_row_without_a_gold_answer_costs_that_row(tmp_path):
    def judged(completions, answer, **_):
        rewards = correctness_reward(completions, [gold or "none" for gold in answer])
        return [reward if gold else None for reward, gold in zip(rewards, answer, strict=True)]

    rated = {"rlguard_successes": 1, "rlguard_trials": 16}
    blank = {"rlguard_successes": None, "rlguard_trials": None}
    rows = [row | rated if n % 4 else row | blank | {"answer": None} for n, row in enumerate(PROBLEMS)]
    trainer = build(GuardedGRPOTrainer, tmp_path, rows=rows, rewards=judged, config={"max_steps": 1})
    trainer.train()
    [log] = [row for row in trainer.state.log_history if "loss" in row]
    assert log["rlguard/unscored_share"] > 0
    assert math.isfinite(log["loss"])
    assert log["rlguard/faults"] == 0
    seen = trainer.guard.luck.state_dict()["seen"]
    assert seen
    assert all(math.isfinite(value) for row in seen.values() for value in row)


def test_evaluation_and_completions_table(tmp_path):
    config = {"log_completions": True, "eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 8}
    trainer = build(GuardedGRPOTrainer, tmp_path, config=config, eval_dataset=Dataset.from_list(PROBLEMS[:4]))
    trainer.train()
    tables = sorted((tmp_path / "completions").glob("*.parquet"))
    assert tables
    rows = [row for table in tables for row in read_rows(table)]
    assert all("rlguard_weight" in row for row in rows)
    assert any(row["rlguard_weight"] is not None and 0 <= row["rlguard_weight"] <= 1 for row in rows)


def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path):
    config = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    whole = build(GuardedGRPOTrainer, tmp_path, config=config)
    whole.train()
    resumed = build(GuardedGRPOTrainer, tmp_path, config=config)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert resumed.guard.state_dict() == whole.guard.state_dict()
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_chat_prompts(tmp_path):
    rows = [row | {"prompt": [{"role": "user", "content": row["prompt"]}]} for row in PROBLEMS]

    def reward(completions, answer, **_):
        return correctness_reward([c[0]["content"] for c in completions], answer)

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    trainer = GuardedGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(TINY),
        args=grpo_config(
            str(tmp_path), 1, max_steps=1, per_device_train_batch_size=16, num_generations=4, logging_steps=1
        ),
        processing_class=tokenizer,
        reward_funcs=reward,
        train_dataset=Dataset.from_list(rows),
    )
    trainer.train()
    assert "rlguard/chance_rate" in trainer.state.log_history[0]


def test_the_example_in_the_readme_runs(tmp_path, monkeypatch):
    readme = TINY.parents[2] / "README.md"
    code = readme.read_text().split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) < 10
    small = grpo_config(str(tmp_path), 1, max_steps=1, per_device_train_batch_size=16, num_generations=4)
    monkeypatch.setattr("trl.GRPOConfig", lambda output_dir: small)
    names = {"model": str(TINY), "correctness": correctness_reward, "dataset": Dataset.from_list(PROBLEMS)}
    exec(code, names)
    assert isinstance(names["trainer"], GuardedGRPOTrainer)
    assert names["trainer"].state.global_step == 1


def test_a_trl_that_changed_is_refused_with_advice():
    class Changed(GRPOTrainer):
        def _calculate_rewards(self, inputs, prompts, completions):
            return None

    check_signatures(GRPOTrainer)
    with pytest.raises(RuntimeError, match=r"_calculate_rewards.*pip install 'trl>=1.8,<1.17'"):
        check_signatures(Changed)


class Transforming(Watching, GRPOTrainer):
    """TRL as its pull request 7298 plans it: a hook on the gathered advantages, before they are logged and sliced."""

    calls = 0

    def _transform_advantages(self, advantages):
        return advantages

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            output["advantages"] = self._transform_advantages(output["advantages"])
            self.calls += 1
        return output


@pytest.mark.parametrize("mode", ["rewrite", "observe"])
def test_a_hook_of_trls_own_is_used_once(tmp_path, mode):
    """Advantages, state and weights are those that the wrapped method gives."""
    guard = GuardConfig(mode=mode)
    trainers = [build(Watched, tmp_path, guard=guard)]
    trainers[0].train()  # before the other is built: building a trainer seeds torch
    trainers.append(build(type("Hooked", (GuardMixin, Transforming), {}), tmp_path, guard=guard))
    trainers[1].train()
    assert trainers[1].calls == 2
    assert trainers[0].guard.state_dict() == trainers[1].guard.state_dict()
    assert torch.equal(*map(weights_of, trainers))
    assert list(trainers[0]._logs["advantages"]) == list(trainers[1]._logs["advantages"])


def test_unsloth_is_refused_by_name(tmp_path):
    """`import unsloth` puts a class of its own in the place of TRL's, of a module that it writes."""
    body = {"__module__": "UnslothGRPOTrainer"}
    inner = type("_UnslothGRPOTrainer", (GRPOTrainer,), body)
    fake = type("UnslothGRPOTrainer", (inner,), body)
    with pytest.raises(RuntimeError, match="does not guard Unsloth's GRPO: `import unsloth` replaces"):
        build(type("Mine", (GuardMixin, fake), {}), tmp_path)


def test_a_gold_column_of_another_name_is_said_at_construction(tmp_path, caplog):
    rows = [{"prompt": row["prompt"], "solution": row["answer"]} for row in PROBLEMS]
    build(GuardedGRPOTrainer, tmp_path, rows=rows)
    assert "no column 'answer'" in caplog.text
    assert "GuardConfig(answer_column='solution')" in caplog.text
    caplog.clear()
    build(GuardedGRPOTrainer, tmp_path, rows=rows, guard=GuardConfig(answer_column="solution"))
    assert "answer_column" not in caplog.text


@pytest.mark.parametrize("shift", [-1.0, -0.9])
def test_a_reward_that_never_passes_the_threshold_is_said_by_name(tmp_path, monkeypatch, caplog, shift):
    monkeypatch.setattr("rlguard.guard.guard.BARREN", 2)

    def shifted(completions, answer, **_):
        return [reward + shift for reward in correctness_reward(completions, answer)]

    build(GuardedGRPOTrainer, tmp_path, rewards=shifted).train()
    message = f"the reward 'shifted' lies in [{shift:g}, {1 + shift:g}], and a success is above success_threshold 0.5"
    assert caplog.text.count(message) == 1


def test_what_fails_in_reading_or_saving_does_not_end_training(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("rlguard.guard.reading.EvidenceReader.begin", lambda *_: 1 / 0)
    monkeypatch.setattr("rlguard.guard.guard.replace_file", full)
    trainer = build(GuardedGRPOTrainer, tmp_path, config={"save_strategy": "steps", "save_steps": 1})
    trainer.train()
    assert trainer.state.log_history[0]["rlguard/faults"] == 32
    assert caplog.text.count("no space left on device") == 1


def test_a_damaged_state_does_not_end_a_resume(tmp_path, caplog):
    config = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    build(GuardedGRPOTrainer, tmp_path, config=config).train()
    (tmp_path / "checkpoint-1" / STATE_FILE).write_bytes(b'{"tracker": {"seen": {"a": [1')
    trainer = build(GuardedGRPOTrainer, tmp_path, config=config)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert trainer.state.global_step == 2
    assert f"checkpoint-1/{STATE_FILE}" in caplog.text


def test_unknown_outcome_reward_lists_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"expected one of \['correctness_reward'\] or its position, got 'accuracy'"):
        build(GuardedGRPOTrainer, tmp_path, guard=GuardConfig(outcome_reward="accuracy"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("mode", "mask"), ("min_weight", 1.5), ("max_prompts", 0), ("workers", -1), ("decay", -1)],
)
def test_bad_settings_are_named(option, value):
    with pytest.raises(ValueError, match=f"GuardConfig.{option}: expected"):
        GuardConfig(**{option: value})


@pytest.mark.parametrize(("rated", "warns"), [("org/other-7B", True), (3, True), (str(TINY), False), (None, False)])
def test_pass_rates_of_another_model_are_pointed_out(tmp_path, caplog, rated, warns):
    rows = [row | {"rlguard_successes": 1, "rlguard_trials": 8, "rlguard_model": rated} for row in PROBLEMS]
    build(GuardedGRPOTrainer, tmp_path, rows=rows)
    assert ("a rate does not carry over" in caplog.text) == warns
