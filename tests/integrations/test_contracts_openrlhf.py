"""The OpenRLHF adapter in OpenRLHF's own classes: `RemoteExperienceMaker`, `Experience`, the trainer that makes them.

They are imported from `$RLGUARD_CONTRACTS/openrlhf` (`pip install --no-deps --target`; without it the tests are
skipped). Packages that OpenRLHF imports, but that the seam does not use and that need a GPU, are replaced by stubs; the
code that makes experiences, the constructor of the trainer, the command's parser and Ray are the real ones.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest

torch = pytest.importorskip("torch")

from rlguard import GuardConfig  # noqa: E402
from rlguard.integrations.openrlhf import ESTIMATORS, guarded  # noqa: E402
from rlguard.integrations.seams import STATE_FILE  # noqa: E402

CONTRACTS = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts"))
SOURCE = CONTRACTS / "openrlhf"
STUBS = (  # for processes of their own
    "deepspeed.runtime.zero.partition_parameters",
    "flash_attn.bert_padding",
    "flash_attn.utils.distributed",
    "peft.tuners.lora",
    "pylatexenc",
    "torchdata.stateful_dataloader",
    "vllm.inputs",
    "vllm.utils",
)
STUB = """from unittest.mock import MagicMock

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return MagicMock()
"""
PROMPTS = ["prompt 0"] * 4 + ["prompt 1"] * 4
SAID = ["7", "3", "3", "3", "3", "7", "7", "7"]
GOLD = ["7"] * 4 + ["3"] * 4
CORRECT = [1.0, 0, 0, 0, 1, 0, 0, 0]


@pytest.fixture(scope="module")
def host():
    """OpenRLHF's own modules, without the packages around them whose `__init__` wants GPU libraries."""
    if not (SOURCE / "openrlhf").is_dir():
        pytest.skip(f"no OpenRLHF in {SOURCE}: pip install --no-deps --target {SOURCE} openrlhf==0.11.2")
    pytest.importorskip("ray")
    assert pytest.importorskip("transformers").AutoTokenizer  # before the stubs: it looks which packages there are
    before = set(sys.modules)
    for name in ("openrlhf.models", "openrlhf.trainer.ray"):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(SOURCE / name.replace(".", "/"))]
    for name in ("deepspeed", "pylatexenc", "openrlhf.trainer.ray.launcher"):
        sys.modules[name] = MagicMock()
    sys.path.insert(0, str(SOURCE))
    try:
        names = ("experience_maker", "experience")
        found = {name: importlib.import_module(f"openrlhf.trainer.ppo_utils.{name}") for name in names}
    finally:
        sys.path.remove(str(SOURCE))
        for name in set(sys.modules) - before:
            if name.split(".")[0] in {"openrlhf", "deepspeed", "pylatexenc"}:
                del sys.modules[name]
    return SimpleNamespace(**found)


class Words:
    """A tokenizer: a token's text is its number; 8 is silent, 0 pads."""

    pad_token_id = 0

    def decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return f"Hm. The answer is {''.join(str(int(token)) for token in ids if token != 8)}."


def make_args(estimator="group_norm", folder="ckpt", **changes):
    args = {
        "algo": {"advantage": {"estimator": estimator, "gamma": 1.0, "lambd": 1.0, "no_std_norm": False}},
        "rollout": {"n_samples_per_prompt": 4, "micro_batch_size": 3},
        "reward": {"clip_range": (-10.0, 10.0)},
        "ckpt": {"path": str(folder), "load_enable": False, "save_steps": -1},
        "train": {"dynamic_batch_enable": False},
        **changes,
    }
    return json.loads(json.dumps(args), object_hook=lambda section: SimpleNamespace(**section))


def make_maker(maker_class, kl_coef=0.0, **options):
    strategy = SimpleNamespace(args=make_args(**options))
    return maker_class(None, None, None, None, SimpleNamespace(value=kl_coef), strategy, Words())


def make_rollouts(host, rewards=CORRECT, scores=None):
    """Single rollouts as SamplesGenerator makes them; the gold answer of each prompt is what the other's say most."""
    rollouts = []
    for row, (prompt, said, gold) in enumerate(zip(PROMPTS, SAID, GOLD, strict=True)):
        padding = [0] * (row % 3)  # responses of different lengths
        sequence = [9, 9, 8, int(said), *padding]
        rollouts.append(
            host.experience.Experience(
                sequences=torch.tensor([sequence]),
                attention_mask=torch.tensor([[1, 1, 1, 1, *padding]]),
                action_mask=torch.tensor([[0, 1, 1, *padding]]),
                prompts=[prompt],
                labels=[gold],
                rewards=torch.tensor([rewards[row]]),
                scores=None if scores is None else torch.tensor([scores[row]]),
                response_length=torch.tensor([2]),
                truncated=torch.tensor([False]),
                total_length=torch.tensor([4.0]),
                info={"reward": torch.tensor([rewards[row]])},
            )
        )
    return rollouts


def run(maker, host, kl=0.0, **options):
    """What the maker makes of the rollouts between generation and training, but for the models' forward passes."""
    experiences = maker.split_rollout_samples(make_rollouts(host, **options))
    for experience in experiences:
        experience.kl = torch.full(experience.action_mask.shape, kl)
    return maker.compute_advantages_and_returns(experiences)


def actions(experiences):
    """(B, 2): the advantages of each rollout's two actions."""
    return torch.cat([e.advantages[e.action_mask.bool()].reshape(-1, 2) for e in experiences])


def test_openrlhf_has_the_fields_and_the_seam(host):
    used = {"sequences", "action_mask", "advantages", "rewards", "scores", "index", "prompts", "labels", "info"}
    assert used <= set(host.experience.Experience.__dataclass_fields__)
    source = (SOURCE / "openrlhf" / "trainer" / "ppo_utils" / "experience_maker.py").read_text()
    assert "self.compute_advantages_and_returns(experiences)" in source
    for estimator in ESTIMATORS:
        assert f'"{estimator}"' in source
    trainer = (SOURCE / "openrlhf" / "trainer" / "ppo_trainer.py").read_text()
    assert "self.experience_maker = RemoteExperienceMaker(" in trainer
    assert "self.experience_maker.make_experience_batch(rollout_samples)" in trainer
    command = (SOURCE / "openrlhf" / "cli" / "train_ppo_ray.py").read_text()
    assert "from openrlhf.trainer.ppo_trainer import PPOTrainer" in command
    for flag in ("algo.advantage.estimator", "rollout.n_samples_per_prompt", "ckpt.path", "ckpt.load_enable"):
        assert f'"--{flag}"' in command


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_observe_leaves_every_advantage_as_it_is(host, estimator):
    plain = host.experience_maker.RemoteExperienceMaker
    expected = run(make_maker(plain, estimator=estimator), host)
    found = run(make_maker(guarded(plain, GuardConfig(mode="observe")), estimator=estimator), host)
    for own, others in zip(found, expected, strict=True):
        assert torch.equal(own.advantages, others.advantages)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_lucky_successes_end_without_advantage(host, estimator):
    maker = make_maker(guarded(host.experience_maker.RemoteExperienceMaker), estimator=estimator)
    for _ in range(6):  # until it is known that these prompts pass no more often than by chance
        found = run(maker, host)
    assert torch.equal(actions(found), torch.zeros(8, 2))


def test_silent_groups_are_masked(host):
    config = GuardConfig(mask_silent=True, min_weight=0.0)
    maker = make_maker(guarded(host.experience_maker.RemoteExperienceMaker, config))
    found = run(maker, host, rewards=[*CORRECT[:4], 0, 0, 0, 0])  # the second prompt is all wrong
    assert torch.cat([e.action_mask.any(1) for e in found]).tolist() == [True] * 4 + [False] * 4


def test_a_kl_penalty_in_the_reward_stays(host):
    plain = host.experience_maker.RemoteExperienceMaker
    maker = make_maker(guarded(plain), kl_coef=0.1, estimator="dr_grpo")
    for _ in range(6):
        found = run(maker, host, kl=0.5)
    expected = run(make_maker(plain, kl_coef=0.1, estimator="dr_grpo"), host, kl=0.5)
    assert actions(expected)[0].tolist() == pytest.approx([0.65, 0.7])
    assert torch.allclose(actions(found), torch.tensor([-0.05, 0.0]).expand(8, 2))
    for own, others in zip(found, expected, strict=True):  # what is no action is left alone
        assert torch.equal(own.advantages[~own.action_mask.bool()], others.advantages[~own.action_mask.bool()])


def test_scores_say_what_is_correct_where_there_are_any(host):
    maker = make_maker(guarded(host.experience_maker.RemoteExperienceMaker))
    for _ in range(6):
        found = run(maker, host, scores=[0.0] * 8)
    assert actions(found)[0, 0] > 1  # paid, but not for being correct


def test_the_order_of_rollouts_in_batches_does_not_matter(host):
    """With dynamic batches OpenRLHF deals rollouts out by length."""
    maker_class = guarded(host.experience_maker.RemoteExperienceMaker, GuardConfig(min_weight=0.0))
    maker, shuffled = make_maker(maker_class), make_maker(maker_class)
    order = [5, 0, 3, 6, 1, 7, 2, 4]
    rewards = [*CORRECT[:5], *CORRECT[:1] * 2, CORRECT[7]]  # the second prompt is solved, the first is not
    rollouts = make_rollouts(host, rewards)
    for row, rollout in enumerate(rollouts):
        rollout.index = [row]
    single = [rollouts[row] for row in order]
    for _ in range(3):
        expected = actions(run(maker, host, rewards=rewards))
        for experience in single:
            experience.kl = torch.zeros(experience.action_mask.shape)
        found = actions(shuffled.compute_advantages_and_returns(single))
    assert torch.allclose(found, expected[order])
    assert 0 < expected[0, 0] < 1.4  # discounted, not emptied


def test_metrics_travel_with_the_batch(host):
    maker = make_maker(guarded(host.experience_maker.RemoteExperienceMaker), kl_coef=0.1)
    for _ in range(6):
        found = run(maker, host, kl=0.5)
    for experience in found:
        assert experience.info["rlguard/lucky_share"].shape == experience.rewards.shape
        assert experience.info["rlguard/lucky_share"][0] > 0.5
    items = [item for experience in found for item in host.experience.split_experience_batch(experience)]
    assert len(host.experience.make_experience_batch(items).info["rlguard/lucky_share"]) == 8


def test_the_state_is_saved_beside_the_checkpoints_and_comes_back(host, tmp_path, monkeypatch):
    maker_class = guarded(host.experience_maker.RemoteExperienceMaker)
    checkpoints = {"path": str(tmp_path), "load_enable": True, "save_steps": 5}
    run(make_maker(maker_class, ckpt=checkpoints), host)
    loaded = []
    monkeypatch.setattr("rlguard.guard.Guard.load", lambda guard, path: loaded.append(path))
    make_maker(maker_class, ckpt=checkpoints)
    make_maker(maker_class, ckpt=checkpoints | {"load_enable": False})
    assert loaded == [tmp_path / STATE_FILE]


def test_refuses_what_has_no_group(host):
    maker_class = guarded(host.experience_maker.RemoteExperienceMaker)
    with pytest.raises(
        RuntimeError, match=r"its prompt: set --algo\.advantage\.estimator to one of .* \(it is 'gae'\)"
    ):
        make_maker(maker_class, estimator="gae")
    with pytest.raises(RuntimeError, match=r"of its prompt: set --rollout\.n_samples_per_prompt above 1"):
        make_maker(maker_class, estimator="flash_reinforce", rollout={"n_samples_per_prompt": 1})


def test_another_version_is_named():
    class Other:
        def compute_advantages_and_returns(self, experiences, step):
            return experiences

    with pytest.raises(RuntimeError, match=r"here it is \(self, experiences, step\).*openrlhf>=0.11"):
        guarded(Other)
    with pytest.raises(RuntimeError, match="here it is missing"):
        guarded(object)


ACTOR = """
import ray, sys
from types import SimpleNamespace
from rlguard import GuardConfig
from rlguard.integrations.openrlhf import install

install(GuardConfig(mode="observe"))
from openrlhf.trainer.ppo_trainer import BasePPOTrainer
from test_contracts_openrlhf import Words, make_args


@ray.remote
class Trainer(BasePPOTrainer):
    def describe(self):
        return [c.__name__ for c in type(self.experience_maker).__mro__], self.experience_maker.guard.config.mode


args = make_args(logger={"wandb": {"key": None}, "tensorboard_dir": None})
args.algo.kl = SimpleNamespace(target=None, init_coef=0.0)
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
print(ray.get(Trainer.remote(SimpleNamespace(args=args), None, None, None, None, None, Words()).describe.remote()))
"""


@pytest.fixture(scope="module")
def run_python(host, tmp_path_factory):
    """Runs a Python process in which all of OpenRLHF can be imported."""
    root = tmp_path_factory.mktemp("stubs")
    for name in STUBS:
        folder = root
        for part in name.split("."):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").write_text(STUB)
    folders = [root, SOURCE, Path(__file__).parents[2], Path(__file__).parent]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "RAY_USAGE_STATS_ENABLED": "0"}
    options = {"env": env, "capture_output": True, "text": True, "timeout": 240}
    return lambda *arguments: subprocess.run([sys.executable, *arguments], **options)


def test_the_guard_travels_into_the_trainers_ray_actor(run_python, tmp_path):
    (tmp_path / "actor.py").write_text(ACTOR)
    done = run_python(str(tmp_path / "actor.py"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "['GuardedRemoteExperienceMaker', 'GuardMixin', 'RemoteExperienceMaker', 'object'], 'observe'" in done.stdout


def test_the_command_takes_its_settings_and_leaves_the_rest_to_openrlhf(run_python):
    done = run_python("-m", "rlguard.integrations.openrlhf", "--rlguard", '{"mode": "observe"}', "--help")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "--algo.advantage.estimator" in done.stdout
