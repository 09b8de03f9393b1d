"""The guard in the real verl, on CPU: its plugin loader, registry, configuration, queue, trainers and worker groups."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
verl = pytest.importorskip("verl")
pytest.importorskip("transfer_queue")

import ray  # noqa: E402
import transfer_queue as tq  # noqa: E402
from conftest import TINY, set_weight  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from tensordict import TensorDict  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402
from verl import DataProto  # noqa: E402
from verl.single_controller.base import Worker  # noqa: E402
from verl.single_controller.ray import (  # noqa: E402
    RayClassWithInitArgs,
    RayResourcePool,
    RayWorkerGroup,
    create_colocated_worker_cls,
)
from verl.trainer.ppo.core_algos import register_adv_est  # noqa: E402
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size  # noqa: E402
from verl.trainer.ppo.ray_trainer import compute_advantage  # noqa: E402
from verl.trainer.ppo.v1 import PPOTrainerSync, get_trainer_cls  # noqa: E402
from verl.utils.tensordict_utils import list_of_dict_to_tensordict  # noqa: E402

import rlguard.integrations.verl as plugin  # noqa: E402
from rlguard import Guard  # noqa: E402
from rlguard.integrations.verl_trainer import STATE_FILE, GuardMixin, scale_rate  # noqa: E402

CONFIGS = Path(verl.__file__).parent / "trainer" / "config"
LUCKY = {"rlguard_id": "lucky", "rlguard_successes": 2, "rlguard_trials": 32, "rlguard_chance_rate": 0.3}
SOLVED = {"rlguard_id": "solved", "rlguard_successes": 30, "rlguard_trials": 32, "rlguard_chance_rate": 0.1}


def configure(*flags):
    """verl's own configuration, as its command line makes it."""
    with initialize_config_dir(str(CONFIGS), version_base=None):
        return compose("ppo_trainer", overrides=["algorithm.adv_estimator=rlguard", *flags])


# ---- the plugin and the registry


LOAD = """
import sys, verl
assert "rlguard.integrations.verl" in sys.modules, "the plugin was not loaded"
assert "verl.trainer.ppo.core_algos" not in sys.modules, "import verl became heavier"
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
assert get_adv_estimator_fn("rlguard").__module__ == "rlguard.integrations.verl"
from verl.trainer.ppo.v1 import get_trainer_cls
print([get_trainer_cls(name).__name__ for name in ("sync", "colocate_async", "separate_async")])
"""


def test_verls_plugin_loader_finds_the_guard(tmp_path):
    info = tmp_path / "rlguard_entry-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rlguard-entry\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[verl.plugins]\nrlguard = rlguard.integrations.verl\n")
    path = os.pathsep.join([str(tmp_path), str(Path(plugin.__file__).parents[2])])
    out = subprocess.check_output([sys.executable, "-c", LOAD], text=True, env={**os.environ, "PYTHONPATH": path})
    assert "['GuardedPPOTrainerSync', 'GuardedPPOTrainerColocateAsync', 'GuardedPPOTrainerSeparateAsync']" in out


def test_a_run_with_another_estimator_is_as_it_was():
    config = configure("algorithm.adv_estimator=grpo")
    before = OmegaConf.to_container(config)
    trainer = get_trainer_cls("sync")(config=config)
    assert isinstance(trainer, PPOTrainerSync)
    assert trainer.guard is None
    assert OmegaConf.to_container(trainer.config) == before


def test_a_guarded_run_takes_its_settings_from_the_command_line():
    flags = ["+algorithm.rlguard.host=rloo", "+algorithm.rlguard.mode=observe", "+algorithm.rlguard.min_weight=0.1"]
    trainer = get_trainer_cls("sync")(config=configure(*flags))
    assert (trainer.guard.config.mode, trainer.guard.config.min_weight) == ("observe", 0.1)
    assert trainer.config.algorithm.adv_estimator == "rloo"
    assert trainer.config.algorithm.rlguard.mode == "observe"  # what experiment trackers log


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("host=gae", r"one of grpo, rloo.* \(it is 'gae'\)"),
        ("host=grpo_passk", r"\(it is 'grpo_passk'\)"),
        ("modus=observe", "got 'modus'"),
        ("mode=drop", "'drop' was removed"),
        ("strength=1", "got 'strength'"),
    ],
)
def test_wrong_settings_are_named(flag, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        get_trainer_cls("sync")(config=configure(f"+algorithm.rlguard.{flag}"))


def test_a_verl_that_rlguard_does_not_know_is_named():
    class Changed(PPOTrainerSync):
        def _compute_advantage(self, data):
            return data

    message = r"_compute_advantage\(self, batch, metrics\), but here it is \(self, data\). This is verl 0\.9\.\d+.*pip"
    with pytest.raises(RuntimeError, match=message):
        type("Mine", (GuardMixin, Changed), {})(config=configure())


# ---- trainers without the guard


def test_the_registered_name_says_what_to_do_where_no_guard_stands():
    rewards = torch.zeros(8, 6)
    tensors = {"token_level_rewards": rewards, "token_level_scores": rewards, "response_mask": torch.ones(8, 6).long()}
    data = DataProto.from_dict(tensors, {"uid": np.array(["a"] * 8, dtype=object)})
    with pytest.raises(
        RuntimeError, match=r"trainer\.use_v1=True, or put rlguard\.integrations\.verl_trainer\.GuardMixin"
    ):
        compute_advantage(data, "rlguard", config=configure().algorithm)


# ---- verl's trainer


@pytest.fixture(scope="module")
def queue():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    settings = OmegaConf.load(CONFIGS / "transfer_queue" / "transfer_queue.yaml")
    settings.enable = True
    settings.backend.SimpleStorage.update(num_data_storage_units=1, total_storage_size=10_000)
    tq.init(settings)
    yield
    tq.close()
    ray.shutdown()


TOKENIZER = AutoTokenizer.from_pretrained(TINY)


def rollout(text, score, prompt="7+8+5 mod 10=?", gold="0", info=None, reported=None, **columns):
    """One rollout, as verl's agent loop would put it into the queue."""
    ids = TOKENIZER(text)["input_ids"]
    scores = torch.zeros(len(ids))
    scores[-1] = score
    return {
        "prompts": torch.tensor(TOKENIZER(prompt)["input_ids"]),
        "responses": torch.tensor(ids),
        "response_mask": torch.ones(len(ids), dtype=torch.int64),
        "loss_mask": torch.ones(len(ids), dtype=torch.int64),
        "rm_scores": scores,
        "raw_prompt": [{"role": "user", "content": prompt}],
        "reward_model": {"style": "rule", "ground_truth": gold},
        "extra_info": {"index": 1, "answer": "a whole solution", **(info or {})},
        "extra_fields": {} if reported is None else {"reward_extra_info": reported},
        **columns,
    }


def put(groups, pad_to=1):
    """Puts groups of rollouts (or of sessions: lists of rollouts) into the queue, each with a fresh uid."""
    keys, fields = [], []
    for group in groups:
        uid = str(uuid.uuid4())
        for session, outputs in enumerate(group):
            for number, output in enumerate(outputs if isinstance(outputs, list) else [outputs]):
                keys.append(f"{uid}_{session}_{number}")
                fields.append({"uid": uid, **output})
    tags = [{"status": "success"} for _ in keys]
    batch = tq.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(fields), tags=tags)
    return upsample_batch_to_divisible_size(batch, pad_to, TOKENIZER.eos_token_id)


def read(batch, name):
    data = tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=[name])
    return data[name].to_padded_tensor(0)


def make_trainer(*flags, trainer_class=None):
    trainer = (trainer_class or get_trainer_cls("sync"))(config=configure(*flags))
    trainer.tokenizer = TOKENIZER
    return trainer


def step(trainer, batch):
    metrics = {}
    trainer._compute_advantage(batch, metrics)
    return read(batch, "advantages"), metrics


SHOWN, BARE, WRONG = "7+8=5;5+5=0;answer 0", "answer 0", "7+8=5;5+5=1;answer 1"


def group(good=1, info=None, text=SHOWN, **known):
    return [rollout(text if row < good else WRONG + ";" * row, row < good, info=info, **known) for row in range(4)]


@pytest.mark.parametrize("flags", [[], ["algorithm.norm_adv_by_std_in_grpo=False"]])
def test_without_a_discount_the_trainer_is_verls_to_the_last_bit(queue, monkeypatch, flags):
    set_weight(monkeypatch, 1.0)
    sessions = [[rollout("7+8=", score), rollout(text, score)] for text, score in [(SHOWN, 1), (BARE, 1), (WRONG, 0)]]
    batch = put([group(1, LUCKY), group(3), group(0), sessions], pad_to=8)
    assert len(batch) == 24
    own, _ = step(make_trainer("algorithm.adv_estimator=grpo", *flags, trainer_class=PPOTrainerSync), batch)
    guarded, _ = step(make_trainer(*flags), batch)
    assert own.abs().sum() > 0
    assert torch.equal(own, guarded)


def test_offline_rates_discount_a_lucky_group_and_leave_a_solved_one(queue):
    lucky = put([group(1, LUCKY), group(3, SOLVED)])
    trainer = make_trainer("+algorithm.rlguard.detectors=False", "+algorithm.rlguard.min_weight=0.5")
    advantages, metrics = step(trainer, lucky)
    assert advantages[0, 0] == 0  # 1.5 in the host
    assert advantages[4, 0] > 0.5 > 0 > advantages[7, 0]
    assert torch.equal(read(lucky, "returns"), advantages)
    assert 0 < metrics["rlguard/lucky_share"] < 1
    assert trainer.guard.step_scale == metrics["rlguard/step_scale"] < 1


def test_rates_may_stand_in_columns_of_their_own(queue):
    columns = [rollout(SHOWN, row < 1, **LUCKY | {"rlguard_id": "mine"}) for row in range(4)]
    trainer = make_trainer("+algorithm.rlguard.detectors=False", "+algorithm.rlguard.min_weight=0.5")
    assert (step(trainer, put([columns]))[0] == 0).all()
    assert trainer.guard.luck.state_dict()["seen"]["mine"][1] > 4


def test_silent_groups_are_masked_where_verls_losses_look(queue):
    batch = put([group(1), group(0)])
    step(make_trainer("+algorithm.rlguard.mask_silent=True"), batch)
    for name in ("response_mask", "loss_mask"):
        assert read(batch, name).any(1).tolist() == [True] * 4 + [False] * 4


def test_observe_logs_and_changes_nothing(queue):
    batch = put([group(1, LUCKY), group(3, SOLVED)])
    own, _ = step(make_trainer("algorithm.adv_estimator=grpo", trainer_class=PPOTrainerSync), batch)
    trainer = make_trainer("+algorithm.rlguard.mode=observe", "+algorithm.rlguard.detectors=False")
    seen, metrics = step(trainer, batch)
    assert torch.equal(seen, own)
    assert trainer.guard.step_scale == 1.0
    assert metrics["rlguard/weight_mean"] < 1


def test_the_text_reaches_the_detectors(queue):
    groups = [group(1, text=SHOWN), group(1, text=BARE)]
    blind, silent = step(make_trainer("+algorithm.rlguard.detectors=False"), put(groups))
    advantages, metrics = step(make_trainer(), put(groups))
    assert blind[0, 0] == blind[4, 0] > advantages[4, 0]
    assert advantages[0, 0] > advantages[4, 0]
    assert metrics["rlguard/flagged_share"] > silent["rlguard/flagged_share"] == 0


def test_accuracy_speaks_before_the_score_and_none_is_unscored(queue):
    rows = [rollout(SHOWN, 2.0, reported={"acc": acc, "length": 1.0}) for acc in (True, 0, None, float("nan"))]
    trainer = make_trainer("+algorithm.rlguard.detectors=False")
    _, metrics = step(trainer, put([rows]))
    assert metrics["rlguard/unscored_share"] == 0.5
    (counted,) = trainer.guard.luck.state_dict()["seen"].values()
    assert tuple(counted[:2]) == (1, 2)
    with pytest.raises(
        ValueError, match=r"outcome_reward: expected one of \['acc', 'length'\] \(reported\), got 'akk'"
    ):
        step(make_trainer("+algorithm.rlguard.outcome_reward=akk"), put([rows]))


def test_prompt_gold_answer_and_text_are_those_of_the_row(queue):
    trainer, seen = make_trainer(), {}
    judge = trainer.guard.apply
    trainer.guard.apply = lambda *args, **known: seen.update(known) or judge(*args, **known)
    step(trainer, put([group(2), [rollout(BARE, 1, gold=None, info={"answer": "5"})]]))
    assert seen["prompts_B"][0] == [{"role": "user", "content": "7+8+5 mod 10=?"}]
    assert seen["completions_B"][0] == SHOWN
    assert [row["answer"] for row in seen["rows_B"]] == ["0"] * 4 + ["5"]  # a whole solution is no answer
    assert seen["outcomes_B"].tolist() == [1, 1, 0, 0, 1]
    assert seen["group_ids_B"][0] == seen["group_ids_B"][3] != seen["group_ids_B"][4]


def test_a_penalty_in_the_reward_does_not_make_a_success_a_failure(queue):
    rows = group(2)
    for row in rows:
        size = len(row["responses"])
        row |= {"old_log_probs": torch.full((size,), -0.1), "ref_log_prob": torch.full((size,), -1.1)}
    trainer = make_trainer("algorithm.use_kl_in_reward=True", "algorithm.kl_ctrl.kl_coef=0.5")
    batch = put([rows])
    step(trainer, batch)
    assert (read(batch, "token_level_rewards").sum(1) < 0.5).all()
    assert trainer.guard.luck.state_dict() == state_after(group(2))


def state_after(rows):
    trainer = make_trainer()
    step(trainer, put([rows]))
    return trainer.guard.luck.state_dict()


def test_a_session_of_several_outputs_is_judged_by_its_last_and_counted_once(queue):
    sessions = [[rollout("7+8=", score), rollout(SHOWN, score)] for score in (1, 0, 0)]
    trainer = make_trainer("+algorithm.rlguard.min_weight=0")
    advantages, _ = step(trainer, put([sessions]))
    assert advantages[0, 0] == advantages[1, 0] > 0
    assert advantages[2, 0] == advantages[3, 0] < 0
    (counted,) = trainer.guard.luck.state_dict()["seen"].values()
    assert tuple(counted[:2]) == (1, 3)


def test_padding_is_not_counted(queue):
    batch = put([group(1, LUCKY)], pad_to=8)
    trainer = make_trainer()
    _, metrics = step(trainer, batch)
    assert metrics["rlguard/flat_groups"] == 0
    assert len(trainer.guard.luck) == 1


def test_a_prompt_is_known_again_under_another_uid(queue):
    trainer = make_trainer()
    weights = [step(trainer, put([group(1, {"rlguard_chance_rate": 0.5})]))[1]["rlguard/lucky_share"] for _ in range(3)]
    assert len(trainer.guard.luck) == 1
    assert weights[2] != weights[0]  # what was seen of it is remembered


class NoWorkers:
    """Saves and loads nothing; what it is asked for is verl's business."""

    def save_checkpoint(self, *args, **kwargs):
        pass

    load_checkpoint = save_checkpoint


def test_the_guards_state_is_saved_and_restored_with_verls_checkpoint(queue, tmp_path):
    from torchdata.stateful_dataloader import StatefulDataLoader

    trainers = [make_trainer(f"trainer.default_local_dir={tmp_path}") for _ in range(3)]
    for trainer in trainers:
        trainer.actor_rollout_wg = NoWorkers()
        trainer.train_dataloader = StatefulDataLoader([1, 2, 3])
    first, second, third = trainers
    step(first, put([group(1, LUCKY), group(3)]))
    first.global_steps = 7
    first._save_checkpoint()
    assert json.loads((tmp_path / "global_step_7" / STATE_FILE).read_text()) == first.guard.state_dict()
    second._load_checkpoint()
    assert second.global_steps == 7
    third.config.trainer.resume_mode = "resume_path"
    third.config.trainer.resume_from_path = str(tmp_path / "global_step_7")
    third._load_checkpoint()
    assert first.guard.state_dict() == second.guard.state_dict() == third.guard.state_dict()


def test_an_advantage_that_differs_between_tokens_is_refused(queue):
    @register_adv_est("ramp")
    def ramp(token_level_rewards, response_mask, **kwargs):
        return (token_level_rewards.cumsum(1) + response_mask.cumsum(1)) * response_mask, token_level_rewards

    with pytest.raises(ValueError, match="one advantage for all tokens"):
        step(make_trainer("+algorithm.rlguard.host=ramp"), put([group(1)]))


@pytest.mark.parametrize("host", ["grpo_vectorized", "rloo", "opo", "gpg", "reinforce_plus_plus_baseline"])
def test_without_a_discount_each_host_is_itself_to_the_last_bit(queue, monkeypatch, host):
    set_weight(monkeypatch, 1.0)
    batch = put([group(1, LUCKY), group(3), group(0)])
    own, _ = step(make_trainer(f"algorithm.adv_estimator={host}", trainer_class=PPOTrainerSync), batch)
    guarded, _ = step(make_trainer(f"+algorithm.rlguard.host={host}"), batch)
    assert own.abs().sum() > 0
    assert torch.equal(own, guarded)


# ---- the learning rate, in verl's workers


class Optimising(Worker):
    """An actor's worker whose engine is an optimiser and its schedule."""

    def __init__(self):
        super().__init__()
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.AdamW([parameter], lr=0.5)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        self.engine = type("Engine", (), {"optimizer": optimizer, "schedule": schedule})()
        self.actor = self


def read_rate(worker):
    rate = worker.engine.optimizer.param_groups[0]["lr"]
    return DataProto(batch=TensorDict({"lr": torch.tensor([rate])}, batch_size=1))


def end_update(worker):
    worker.engine.optimizer.step()
    worker.engine.schedule.step()
    return read_rate(worker)


def test_the_learning_rate_of_all_workers_shrinks_for_one_update(queue):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file
    together = create_colocated_worker_cls({"actor": RayClassWithInitArgs(ray.remote(Optimising))})
    pool = RayResourcePool([2], use_gpu=False, max_colocate_count=1)
    workers = RayWorkerGroup(resource_pool=pool, ray_cls_with_init=together, device_name="cpu").spawn({"actor"})[
        "actor"
    ]

    class Recording:
        def _update_actor(self, batch, metrics):
            metrics["during"] = self.actor_rollout_wg.execute_with_func_generator(read_rate).batch["lr"].tolist()
            metrics["after"] = self.actor_rollout_wg.execute_with_func_generator(end_update).batch["lr"].tolist()

    trainer, metrics = type("Trainer", (GuardMixin, Recording), {"__init__": lambda self: None})(), {}
    trainer.actor_rollout_wg, trainer.guard = workers, Guard()
    trainer.guard.step_scale = 0.25
    trainer._update_actor(None, metrics)
    assert metrics == {"during": [0.125, 0.125], "after": [0.5, 0.5]}


def test_a_learning_rate_out_of_reach_is_said_and_the_update_goes_on(caplog):
    class Recording:
        def _update_actor(self, batch, metrics):
            return "updated"

    trainer = type("Trainer", (GuardMixin, Recording), {"__init__": lambda self: None})()
    trainer.actor_rollout_wg, trainer.guard = object(), Guard()
    trainer.guard.step_scale = 0.5
    assert trainer._update_actor(None, {}) == "updated"
    assert "learning rate in the workers is out of reach" in caplog.text
    assert callable(scale_rate)
