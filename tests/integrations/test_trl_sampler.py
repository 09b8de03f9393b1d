"""Prompts chosen while training, in TRL."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from tiny_trl import PROBLEMS, build, weights_of
from transformers import set_seed
from trl import GRPOTrainer

from rlguard import InputError
from rlguard.integrations.trl import GuardedGRPOTrainer, GuardMixin
from rlguard.integrations.trl_sampler import ROW, LiveSampler, make_sampler, replace_rows
from rlguard.sampling import BatchChooser, PromptSampler, SamplerConfig

EIGHT = {"per_device_train_batch_size": 8, "num_generations": 4}


def spy(trainer):
    """The places of every batch that is generated."""
    seen, generate = [], trainer._generate_and_score_completions

    def spied(inputs):
        seen.append([row[ROW] for row in inputs])
        return generate(inputs)

    trainer._generate_and_score_completions = spied
    return seen


def test_a_batch_holds_whole_groups_of_chosen_prompts_and_is_learnt(tmp_path):
    trainer = build(GuardedGRPOTrainer, tmp_path, config=EIGHT | {"max_steps": 4}, sampler=SamplerConfig())
    seen = spy(trainer)
    trainer.train()
    assert [len(set(places)) for places in seen] == [2] * 4
    assert all(places[0::4][i] == place for places in seen for i, place in enumerate(places[3::4]))
    visited = {place for places in seen for place in places}
    assert set(trainer._live.chooser.sampler._ids) == visited
    logged = [log for log in trainer.state.log_history if "rlguard/sampling/signal_share" in log]
    assert len(logged) == 4


def test_a_batch_that_is_reused_is_generated_once(tmp_path):
    config = EIGHT | {"max_steps": 8, "steps_per_generation": 2, "num_iterations": 2}
    trainer = build(GuardedGRPOTrainer, tmp_path, config=config, sampler=SamplerConfig())
    seen = spy(trainer)
    trainer.train()
    assert [len(set(places)) for places in seen] == [4, 4]


def test_off_is_the_trainers_own_order(tmp_path):
    def run(name, **more):
        set_seed(0)
        trainer = build(GuardedGRPOTrainer, tmp_path / name, config=EIGHT, **more)
        set_seed(0)  # noise of dropout and generation
        trainer.train()
        return trainer

    first, second = run("a"), run("b", sampler=None)
    assert first._live is None
    assert list(first._get_train_sampler()) == list(GRPOTrainer._get_train_sampler(first))
    assert (weights_of(first) == weights_of(second)).all()


@pytest.mark.parametrize("more", [{}, {"steps_per_generation": 2}], ids=["a step", "two steps a batch"])
def test_a_resumed_run_chooses_what_the_interrupted_one_would_have(tmp_path, more):
    rows = PROBLEMS[:12]  # epochs of six batches: 9 steps end within the second
    config = EIGHT | {"max_steps": 9, "save_strategy": "steps", "save_steps": 4} | more
    whole = build(GuardedGRPOTrainer, tmp_path, rows, config=config, sampler=SamplerConfig())
    all_seen = spy(whole)
    whole.train()
    for step in (4, 8):
        resumed = build(GuardedGRPOTrainer, tmp_path, rows, config=config, sampler=SamplerConfig())
        seen = spy(resumed)
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert len(seen) >= 1
        assert seen == all_seen[-len(seen) :]


def test_offline_counts_are_the_first_evidence(tmp_path):
    rows = [
        {**row, "rlguard_successes": 8 * (i % 2), "rlguard_trials": 16, "rlguard_chance_rate": 0.1}
        for i, row in enumerate(PROBLEMS)
    ]
    trainer = build(GuardedGRPOTrainer, tmp_path, rows, config=EIGHT, sampler=SamplerConfig())
    value = np.mean([trainer._live.chooser.sampler.value(range(len(rows))) for _ in range(50)], axis=0)
    assert value[1::2].mean() > 1.5 * value[0::2].mean()


def test_silent_groups_are_replaced_within_a_bound(tmp_path):
    rows = [row for row in PROBLEMS if row["family"] == "unlearnable"] + PROBLEMS
    config = {"per_device_train_batch_size": 16, "num_generations": 4, "max_steps": 6}
    trainer = build(GuardedGRPOTrainer, tmp_path, rows, config=config, sampler=SamplerConfig(replace=2))
    generated, trained = spy_generated(trainer), []
    inner = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: trained.append(inputs) or inner(model, inputs)
    trainer.train()
    logs = [log for log in trainer.state.log_history if "rlguard/sampling/extra_rollouts" in log]
    assert len(logs) == len(trained) == 6
    assert sum(log["rlguard/sampling/extra_rollouts"] for log in logs) == sum(map(len, generated)) - 6 * 16 > 0
    assert max(log["rlguard/sampling/extra_rollouts"] for log in logs) <= 2 * 16
    for log, inputs in zip(logs, trained, strict=True):
        assert inputs["num_items_in_batch"] == inputs["completion_mask"].sum()
        silent = 4 * log["rlguard/sampling/silent_left"]
        assert (inputs["advantages"] == 0).sum() == 4 * silent  # lucky ones aside, a replaced group has a signal
        width = inputs["completion_ids"].shape[1]
        assert inputs["completion_mask"].shape == (16, width)
        ended = (inputs["completion_ids"] == trainer.processing_class.eos_token_id).any(dim=1)
        assert (ended | (inputs["completion_mask"].sum(dim=1) == width)).all()


def spy_generated(trainer):
    seen, generate = [], trainer._generate_guarded

    def spied(inputs):
        seen.append([row[ROW] for row in inputs])
        return generate(inputs)

    trainer._generate_guarded = spied
    return seen


def test_rows_of_two_batches_are_put_together_whatever_their_length():
    old, left, right = torch.tensor([[0, 5], [6, 7]]), torch.tensor([1, 2, 3]), torch.tensor([4])
    assert replace_rows(old, {0: left}, -1, 9).tolist() == [[1, 2, 3], [9, 6, 7]]
    assert replace_rows(old, {0: left, 1: right}, 1, 9).tolist() == [[1, 2, 3], [4, 9, 9]]
    assert replace_rows(torch.tensor([1.0, 2.0]), {1: torch.tensor(3.0)}, 1, 0).tolist() == [1, 3]


def test_a_fault_ends_no_run_and_is_said_once(tmp_path, caplog, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(PromptSampler, "posterior", fail)
    trainer = build(GuardedGRPOTrainer, tmp_path, config=EIGHT | {"max_steps": 4}, sampler=SamplerConfig(replace=1))
    seen = spy(trainer)
    trainer.train()
    assert [len(set(places)) for places in seen] == [2] * 4
    assert caplog.text.count("the sampler failed, prompts are drawn evenly") == 1


class OwnOrder(GuardedGRPOTrainer):
    def _get_train_sampler(self, dataset=None):
        return None


class OwnOrderBelow(GRPOTrainer):
    def _get_train_sampler(self, dataset=None):
        return None


class Mixed(GuardMixin, OwnOrderBelow):
    pass


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (GuardedGRPOTrainer, {"config": {"shuffle_dataset": False}}, "shuffle_dataset"),
        (GuardedGRPOTrainer, {"rows": PROBLEMS[:3]}, "3 rows, expected at least the 8"),
        (OwnOrder, {}, "OwnOrder._get_train_sampler"),
        (Mixed, {}, "OwnOrderBelow._get_train_sampler"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(tmp_path, made, options, message):
    with pytest.raises(InputError, match=message):
        build(made, tmp_path, sampler=SamplerConfig(), **options)


def test_a_stream_and_a_transform_are_refused(tmp_path):
    trainer = build(GuardedGRPOTrainer, tmp_path)
    for data in (
        IterableDataset.from_generator(lambda: iter(PROBLEMS)),
        Dataset.from_list(PROBLEMS).with_transform(lambda rows: rows),
    ):
        trainer.train_dataset = data
        with pytest.raises(InputError, match="sampler"):
            make_sampler(trainer, SamplerConfig())


def test_a_damaged_state_starts_anew(tmp_path, caplog):
    live = LiveSampler(BatchChooser(PromptSampler(8, 4)), 2, 1, lambda: 0.0)
    (tmp_path / "state.json").write_bytes(b"{torn")
    live.load(tmp_path / "state.json")
    live.load(tmp_path / "missing.json")
    assert caplog.text.count("starts anew") == 2
