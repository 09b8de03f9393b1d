"""The SkyRL adapter in SkyRL's own trainer: rewards, batch, advantages and training step are `RayPPOTrainer`'s, on CPU.

It is imported from `$RLGUARD_CONTRACTS/skyrl` (`pip install --no-deps --target`); without it the tests are skipped.
Ray is not started, and the workers are played: a dispatch that records the steps it is asked for. What a full run would
add, the entry point `main` with Ray, vLLM and a GPU, is only checked against signatures.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import typing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rlguard import GuardConfig  # noqa: E402
from rlguard.sampling import SamplerConfig  # noqa: E402

CONTRACTS = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts"))
SOURCE = CONTRACTS / "skyrl"
PACKAGES = "skyrl==0.3.0 skyrl-gym==0.4.0 jaxtyping==0.3.11 omegaconf==2.4.0 torchdata==0.11.0"
GUESSED = ["The answer is 12."] + ["The answer is 9."] * 7
SOLVED = ["3 + 4 = 7, and 7 + 5 = 12.\nThe answer is 12."] * 6 + ["The answer is 9."] * 2
REWARDS = [1.0] + [0.0] * 7 + [1.0] * 6 + [0.0] * 2


class Tokenizer:
    """One token a character."""

    pad_token_id, eos_token_id = 0, 1

    def decode(self, tokens, skip_special_tokens=False):
        return "".join(chr(token) for token in tokens)


class Prompts:
    """SkyRL's `PromptDataset`, as far as the trainer reads it."""

    def __len__(self):
        return 8

    def __getitem__(self, number):
        extras = {"reward_spec": {"method": "rule", "ground_truth": "12"}}
        return [{"role": "user", "content": f"What is 3 + 4 + 5? ({number})"}], "math", extras, str(number)

    def collate_fn(self, rows):
        return rows


class Dispatch:
    """The workers: a scheduler that warms up by 1e-6 a step, an optimiser that takes the rate it finds."""

    def __init__(self):
        self.rates, self.batches, self._rate = [], [], 1e-6

    def get_lcm_dp_size(self):
        return 3

    def stage_data(self, model, data, boundaries):
        self.batches.append(data)
        return [None] * 2

    def forward_backward_from_staged(self, model, chunk_refs):
        return SimpleNamespace(metrics={f"{model}_lr": self._rate})

    def set_lr(self, model, learning_rate):
        self._rate = learning_rate

    def optim_step(self, model):
        self.rates.append(self._rate)
        self._rate = 1e-6 * (1 + len(self.rates))


@pytest.fixture(scope="module")
def adapter():
    """The adapter on the real SkyRL."""
    if not (SOURCE / "skyrl").is_dir():
        pytest.skip(f"no SkyRL in {SOURCE}: pip install --no-deps --target {SOURCE} {PACKAGES}")
    pytest.importorskip("ray")
    typing_extensions = pytest.importorskip("typing_extensions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(SOURCE)])
        if sys.version_info < (3, 12):  # pydantic wants this one there, and SkyRL takes typing's
            patch.setattr(typing, "TypedDict", typing_extensions.TypedDict)
        pytest.importorskip("skyrl.train.trainer", exc_type=ImportError)
        import rlguard.integrations.skyrl as module

        yield module


def make_trainer(adapter, tmp_path, config=None, trainer_class=None, sampler=None, **algorithm):
    from skyrl.train.config import SkyRLTrainConfig

    cfg = SkyRLTrainConfig()
    cfg.trainer.train_batch_size = cfg.trainer.policy_mini_batch_size = 2
    cfg.trainer.ckpt_path = str(tmp_path)
    cfg.trainer.enable_ray_gpu_monitor = cfg.generator.inference_engine.enable_ray_prometheus_stats = False
    cfg.generator.n_samples_per_prompt = 8
    cfg.data.dataloader.num_workers, cfg.data.dataloader.persistent_workers = 0, False
    for name, value in algorithm.items():
        setattr(cfg.trainer.algorithm, name, value)
    settings = {"guard_config": config, "sampler_config": sampler}
    configured = type("Configured", (trainer_class or adapter.GuardedPPOTrainer,), settings)
    trainer = configured(
        cfg=cfg,
        tracker=None,
        tokenizer=Tokenizer(),
        train_dataset=Prompts(),
        inference_engine_client=None,
        generator=None,
    )
    trainer.dispatch = Dispatch()
    return trainer


def run_batch(trainer, texts=None, rewards=None, uids=None):
    """What `train` does with the generator's output, up to the training step."""
    texts, uids = texts or GUESSED + SOLVED, uids or ["0"] * 8 + ["1"] * 8
    output = {
        "prompt_token_ids": [[ord(character) for character in f"Question {uid}?"] for uid in uids],
        "response_ids": [[ord(character) for character in text] for text in texts],
        "rewards": list(rewards or REWARDS),
        "loss_masks": [[1] * len(text) for text in texts],
        "rollout_logprobs": None,
    }
    output, uids = trainer.postprocess_generator_output(output, uids)
    data = trainer.convert_to_training_input(output, uids)
    data["values"] = None
    return trainer.compute_advantages_and_returns(data)


def advantages_of(data):
    rows = zip(data["advantages"], data["response_mask"].bool(), strict=True)
    return [round(float(row[mask][-1]), 5) for row, mask in rows][: len(REWARDS)]


@pytest.mark.parametrize("estimator", ["grpo", "rloo", "maxrl"])
def test_the_real_trainer_gets_the_guards_advantages(adapter, tmp_path, estimator):
    host = make_trainer(adapter, tmp_path, trainer_class=adapter.RayPPOTrainer, advantage_estimator=estimator)
    plain = advantages_of(run_batch(host))
    trainer = make_trainer(adapter, tmp_path, GuardConfig(min_weight=0.5), advantage_estimator=estimator)
    for _ in range(6):
        data = run_batch(trainer)
    guarded = advantages_of(data)
    assert plain[0] > 0
    assert guarded[:8] == [0.0] * 8
    scale = trainer.all_metrics["rlguard/step_scale"]  # in the learning rate; the advantages stand at the host's size
    assert guarded[8] * scale == pytest.approx(plain[8], rel=0.1)
    assert guarded[14] < 0
    assert trainer.all_metrics["rlguard/lucky_share"] > 0.05
    assert len(trainer.guard.luck) == 2
    assert data["advantages"].shape == data["response_mask"].shape == data["loss_mask"].shape
    assert not data["advantages"][data["response_mask"] == 0].any()
    assert data.metadata["pad_size"] == 2
    assert data["returns"][0].any()


def test_prompts_golds_and_texts_reach_the_guard(adapter, tmp_path, monkeypatch):
    trainer, seen = make_trainer(adapter, tmp_path), {}
    apply = trainer.guard.apply
    monkeypatch.setattr(trainer.guard, "apply", lambda *a, **k: seen.update(k) or apply(*a, **k))
    run_batch(trainer)
    assert seen["prompts_B"][0] == [{"role": "user", "content": "What is 3 + 4 + 5? (0)"}]
    assert seen["completions_B"] == GUESSED + SOLVED
    assert {row["answer"] for row in seen["rows_B"]} == {"12"}
    assert len(seen["rows_B"]) == 16


def test_a_data_set_of_another_kind_costs_golds_and_prompts_and_nothing_else(adapter, tmp_path):
    trainer = make_trainer(adapter, tmp_path)
    data = run_batch(trainer, uids=["a"] * 8 + ["b"] * 8)
    assert np.isfinite(advantages_of(data)).all()
    assert trainer.all_metrics["rlguard/faults"] == 0
    assert len(trainer.guard.luck) == 2


def test_silent_groups_are_masked(adapter, tmp_path):
    trainer = make_trainer(adapter, tmp_path, GuardConfig(mask_silent=True))
    data = run_batch(trainer, rewards=[*REWARDS[:8], *[0.0] * 8])  # the second prompt is all wrong
    assert data["loss_mask"].any(1).tolist()[:16] == [True] * 8 + [False] * 8
    assert data["response_mask"].any(1)[:16].all()


def test_observe_changes_nothing(adapter, tmp_path):
    host = make_trainer(adapter, tmp_path, trainer_class=adapter.RayPPOTrainer)
    trainer = make_trainer(adapter, tmp_path, GuardConfig(mode="observe"))
    for _ in range(6):
        plain, data = run_batch(host), run_batch(trainer)
    assert torch.equal(plain["advantages"], data["advantages"])
    assert torch.equal(plain["loss_mask"], data["loss_mask"])
    assert trainer.all_metrics["rlguard/lucky_share"] > 0.05
    trainer._execute_training_step("policy", data)
    assert trainer.dispatch.rates[0] == 1e-6


def test_ragged_groups_and_a_reward_that_is_nan(adapter, tmp_path):
    trainer = make_trainer(adapter, tmp_path)
    data = run_batch(trainer, uids=["0"] * 5 + ["1"] * 11, rewards=[np.nan, *REWARDS[1:]])
    advantages = advantages_of(data)
    assert np.isfinite(advantages).all()
    assert advantages[:5] == [0.0] * 5
    assert advantages[8] > 0 > advantages[5]
    assert trainer.all_metrics["rlguard/unscored_share"] == pytest.approx(1 / 16)


def test_each_policy_step_is_scaled_from_the_schedulers_rate(adapter, tmp_path):
    trainer = make_trainer(adapter, tmp_path, GuardConfig(min_weight=0.5))
    for _ in range(6):
        data = run_batch(trainer)
    dispatch, scale = trainer.dispatch, trainer.all_metrics["rlguard/step_scale"]
    trainer._execute_training_step("policy", data)
    assert 0 < scale < 1
    assert dispatch.rates == pytest.approx([1e-6 * scale, 2e-6 * scale])
    assert trainer.dispatch is dispatch
    assert not dispatch.batches[0]["advantages"][:8].any()


def test_the_state_travels_with_the_checkpoint(adapter, tmp_path, monkeypatch):
    trainer = make_trainer(adapter, tmp_path)
    run_batch(trainer)
    monkeypatch.setattr(adapter.RayPPOTrainer, "save_checkpoints", lambda self: str(tmp_path))
    monkeypatch.setattr(adapter.RayPPOTrainer, "load_checkpoints", lambda self: (1, str(tmp_path)))
    assert trainer.save_checkpoints() == str(tmp_path)
    again = make_trainer(adapter, tmp_path)
    assert again.load_checkpoints() == (1, str(tmp_path))
    assert again.guard.state_dict() == trainer.guard.state_dict()
    assert len(again.guard.luck) == 2


@pytest.mark.parametrize("estimator", ["gae", "reinforce++"])
def test_estimators_without_one_advantage_per_rollout_are_refused(adapter, tmp_path, estimator):
    with pytest.raises(RuntimeError, match=re.escape(repr(estimator))):
        make_trainer(adapter, tmp_path, advantage_estimator=estimator)


def test_another_version_is_refused(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(adapter.RayPPOTrainer, "save_checkpoints", lambda self, folder: None)
    with pytest.raises(RuntimeError, match=r"save_checkpoints\(self\), but here it is \(self, folder\)"):
        make_trainer(adapter, tmp_path)


def test_the_entry_point_has_what_it_calls(adapter):
    """Not run: it starts Ray and a GPU's workers. These are the names and arguments that it relies on."""
    from skyrl.backends.skyrl_train.workers.worker_dispatch import WorkerDispatch
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.utils import validate_cfg
    from skyrl.train.utils.utils import initialize_ray

    assert list(inspect.signature(WorkerDispatch.set_lr).parameters)[:3] == ["self", "model", "learning_rate"]
    assert list(inspect.signature(WorkerDispatch.optim_step).parameters)[:2] == ["self", "model"]
    assert callable(validate_cfg)
    assert callable(initialize_ray)
    entry = (SOURCE / "skyrl" / "train" / "entrypoints" / "main_base.py").read_text()
    assert 'startswith("trainer.override_entrypoint=")' in entry
    assert "import_module(override_entrypoint).main()" in entry
    assert "trainer = self.get_trainer(\n            cfg=self.cfg," in entry
    worker = (SOURCE / "skyrl" / "backends" / "skyrl_train" / "workers" / "worker.py").read_text()
    assert '"policy_lr": self.scheduler.get_last_lr()[0]' in worker
    options = ["rlguard.mode=observe", "trainer.epochs=3", "trainer.override_entrypoint=rlguard.integrations.skyrl"]
    own, rest = adapter._split_options([*options, "rlguard.decay=0.5"])
    assert GuardConfig.from_options(own) == GuardConfig(mode="observe", decay=0.5)
    assert SkyRLTrainConfig.from_cli_overrides(rest).trainer.epochs == 3


def test_without_skyrl_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skyrl.train.trainer", None)
    monkeypatch.setitem(sys.modules, "skyrl", None)
    monkeypatch.delitem(sys.modules, "rlguard.integrations.skyrl", raising=False)
    with pytest.raises(ImportError, match="pip install 'skyrl"):
        import rlguard.integrations.skyrl  # noqa: F401


def test_prompts_are_chosen_by_what_they_are_expected_to_teach(adapter, tmp_path):
    def step(trainer, batches):
        """A batch of SkyRL's loader, every second prompt of which is half solved and no other ever; its prompts."""
        uids = [row[3] for row in next(batches)]
        solved = [float(int(uid) % 2 and i < 4) for uid in uids for i in range(8)]
        texts = [SOLVED[0] if right else GUESSED[-1] for right in solved]
        run_batch(trainer, texts, solved, [uid for uid in uids for _ in range(8)])
        return uids

    def endless(trainer):
        while True:
            yield from trainer.train_dataloader

    trainer = make_trainer(adapter, tmp_path, sampler=SamplerConfig())
    assert len(trainer.train_dataloader) == 4
    batches = endless(trainer)
    seen = [step(trainer, batches) for _ in range(22)]
    assert all(len(set(uids)) == 2 for uids in seen)
    assert sum(int(uid) % 2 for uids in seen[12:] for uid in uids) > 14  # of 20
    assert trainer.guard.chooser.sampler.luck is trainer.guard.luck
    assert "rlguard/sampling/spearman" in trainer.all_metrics
    state, luck = trainer.train_dataloader.state_dict(), trainer.guard.luck.state_dict()
    expected = [step(trainer, batches) for _ in range(4)]
    twin = make_trainer(adapter, tmp_path, sampler=SamplerConfig())
    twin.train_dataloader.load_state_dict(state)
    twin.guard.luck.load_state_dict(luck)
    batches = endless(twin)
    assert [step(twin, batches) for _ in range(4)] == expected


def test_without_a_sampler_the_loader_is_skyrls(adapter, tmp_path):
    trainer = make_trainer(adapter, tmp_path)
    assert trainer.guard.chooser is None
    assert type(trainer.train_dataloader.sampler).__name__ == "RandomSampler"
