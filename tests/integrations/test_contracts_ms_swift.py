"""The ms-swift adapter.

ms-swift pins trl<1.0, which is not the TRL of rlguard's environment, so its trainer cannot be imported beside it. Here
run, out of the source in `$RLGUARD_CONTRACTS/ms_swift` (`pip install --no-deps --target`; without it the tests are
skipped), its own `_compute_advantages`, `rl_core/advantage.py` and `TrainerFactory`, in a class that has nothing else
of the trainer; what the adapter needs beside them is checked in the source's syntax tree.

`test_swift_trains_guarded` is the whole of it, `swift rlhf` on the tiny model. It runs where ms-swift itself is
installed: in an environment of its own, `pip install ms-swift==4.6.0 msgspec pytest -e .`.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import TINY  # noqa: E402

from rlguard import GuardConfig  # noqa: E402

CONTRACTS = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts"))
SOURCE = CONTRACTS / "ms_swift" / "swift"
INSTALLED = importlib.util.find_spec("swift") is not None
SAID = ["7", "3", "3", "3", "3", "7", "7", "7"]
GOLD = ["7"] * 4 + ["3"] * 4
CORRECT = [[1.0], [0], [0], [0], [1], [0], [0], [0]]


def read_class(file, name):
    body = ast.parse((SOURCE / file).read_text()).body
    return next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)


def read_method(file, class_name, name):
    return next(n for n in read_class(file, class_name).body if isinstance(n, ast.FunctionDef) and n.name == name)


def load_file(file, name):
    spec = importlib.util.spec_from_file_location(name, SOURCE / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def make_trainer_class(advantage):
    """A class with ms-swift's own `_compute_advantages`, and as much state as that and the adapter use."""
    methods = [read_method("rlhf_trainers/grpo_trainer.py", "GRPOTrainer", "_compute_advantages")]
    methods.append(read_method("rlhf_trainers/grpo_trainer.py", "GRPOTrainer", "_get_last_indices"))
    tree = ast.fix_missing_locations(ast.Module([ast.ClassDef("Host", [], [], methods, [])], []))
    names = vars(advantage) | {"torch": torch, "gather": lambda tensor: tensor, "gather_object": lambda values: values}
    exec(compile(tree, "grpo_trainer.py", "exec", annotations.compiler_flag), names)  # its type hints stay words

    class GRPOTrainer(names["Host"]):
        kl_in_reward, beta, dynamic_num_samples = False, 0.0, False
        num_generations = num_generations_eval = 4
        advantage_estimator, scale_rewards = "grpo", "group"

        def __init__(self, **state):
            self.__dict__ |= {"reward_func_names": ["exact"], "reward_weights": torch.ones(1)} | state
            self.model = SimpleNamespace(training=True)
            self.accelerator = SimpleNamespace(device="cpu")
            self.processing_class = SimpleNamespace(decode=decode)
            self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
            self._logs = {"rewards": defaultdict(list)}
            self.callbacks = []
            self.add_callback = self.callbacks.append

    return GRPOTrainer


def decode(ids, skip_special_tokens):
    assert skip_special_tokens
    return f"Hm. The answer is {''.join(map(str, ids))}."


@pytest.fixture(scope="module")
def swift():
    """ms-swift as far as it can be had here, under the names by which the adapter imports it, and the adapter."""
    if not SOURCE.is_dir():
        pytest.skip(f"no ms-swift in {SOURCE.parent}: pip install --no-deps --target {SOURCE.parent} ms-swift==4.6.0")
    before = dict(sys.modules)
    for name in [*sys.modules]:
        if name.split(".")[0] == "swift":
            del sys.modules[name]
    for name in ("swift", "swift.utils", "swift.rlhf_trainers", "swift.trainers"):
        sys.modules[name] = ModuleType(name)
    sys.modules["swift"].__version__ = "4.6.0"
    sys.modules["swift.utils"].__dict__.update(nanstd=None, get_logger=lambda: None)
    advantage = load_file("rl_core/advantage.py", "swift.rl_core.advantage")
    trainer_class = sys.modules["swift.rlhf_trainers"].GRPOTrainer = make_trainer_class(advantage)
    factory = load_file("trainers/trainer_factory.py", "swift.trainers.trainer_factory").TrainerFactory
    adapter = importlib.import_module("rlguard.integrations.ms_swift")
    yield SimpleNamespace(host=trainer_class, factory=factory, adapter=adapter)
    for name in [*sys.modules]:
        if name.split(".")[0] == "swift" or name == adapter.__name__:
            del sys.modules[name]
    sys.modules.update({name: module for name, module in before.items() if name.split(".")[0] == "swift"})


def make_guarded(swift, config=None, **state):
    trainer_class = type("Guarded", (swift.adapter.GuardedGRPOTrainer,), {})
    if config is not None:
        trainer_class.guard_config = config
    return trainer_class(**state)


def make_samples(content=lambda said: [int(said)]):
    return [
        SimpleNamespace(
            messages=[{"content": f"prompt {row // 4}"}, {"content": content(said)}],
            extra={"solution": GOLD[row]},
            prompt_id=f"prompt {row // 4}",
            request_id=f"request {row}",
        )
        for row, said in enumerate(SAID)
    ]


def compute(trainer, rewards=CORRECT, visits=2, content=lambda said: [int(said)]):
    for _ in range(visits):  # the second time the guard knows these prompts
        advantages = trainer._compute_advantages(make_samples(content), torch.tensor(rewards), [])
    return advantages


def test_ms_swift_has_the_seam_and_what_the_adapter_uses(swift):
    trainer = "rlhf_trainers/grpo_trainer.py"
    arguments = [a.arg for a in read_method(trainer, "GRPOTrainer", "_compute_advantages").args.args]
    method = swift.adapter.GuardedGRPOTrainer._compute_advantages
    assert arguments == list(inspect.signature(method).parameters)
    source = (SOURCE / trainer).read_text()
    assert "self._compute_advantages(samples, self._rewards_per_func, batch_encoded_inputs)" in source
    assert "class GRPOTrainer(RolloutTrainerMixin, SwiftMixin, HFGRPOTrainer)" in source
    for use in ("self._metrics[mode]['reward'].append(", "self.processing_class.decode(", "completion['token_ids']"):
        assert use in source
    for name in ("num_generations", "dynamic_num_samples", "scale_rewards", "reward_weights", "reward_func_names"):
        assert f"self.{name}" in source
    fields = {n.target.id for n in read_class("rl_core/data.py", "OnPolicySample").body if isinstance(n, ast.AnnAssign)}
    assert {"messages", "extra", "prompt_id", "request_id"} <= fields
    assert "checkpoint-{self.state.global_step}" in (SOURCE / "trainers/mixin.py").read_text()
    assert "external_plugins: List[str]" in (SOURCE / "arguments/base_args/base_args.py").read_text()


def test_register_makes_ms_swift_choose_the_guarded_trainer(swift, monkeypatch):
    monkeypatch.setattr(swift.factory, "TRAINER_MAPPING", dict(swift.factory.TRAINER_MAPPING))
    monkeypatch.setattr(swift.adapter.GuardedGRPOTrainer, "guard_config", GuardConfig())
    swift.adapter.register(GuardConfig(mode="observe"))
    chosen = swift.factory.get_trainer_cls(SimpleNamespace(rlhf_type="grpo"))
    assert chosen is swift.adapter.GuardedGRPOTrainer
    assert chosen(reward_func_names=["exact"]).guard.config.mode == "observe"


@pytest.mark.parametrize("estimator", ["grpo", "rloo", "reinforce_plus_plus"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_observe_changes_nothing_and_rewrite_takes_the_luck(swift, estimator, scale):
    state = {"advantage_estimator": estimator, "scale_rewards": scale}
    host = swift.host(**state)._compute_advantages(make_samples(), torch.tensor(CORRECT), [])
    observed = compute(make_guarded(swift, GuardConfig(mode="observe", answer_column="solution"), **state))
    assert torch.equal(observed, host)
    cut = GuardConfig(answer_column="solution", min_weight=0.5)
    assert torch.equal(compute(make_guarded(swift, cut, **state)), torch.zeros(8))


def test_metrics_and_the_step_scale_are_handed_on(swift):
    trainer = make_guarded(swift, GuardConfig(answer_column="solution", min_weight=0.5))
    compute(trainer)
    assert trainer._metrics["train"]["rlguard/lucky_share"][-1] > 0.5
    assert len(trainer._metrics["train"]["rlguard/faults"]) == 2
    assert max(trainer._metrics["train"]["rlguard/faults"]) == 0
    (scaler,) = trainer.callbacks
    assert scaler._scale == 0


def test_token_ids_with_a_loss_mask_and_plain_text_are_read_alike(swift):
    expected = compute(make_guarded(swift))
    for content in (lambda said: {"token_ids": [int(said)], "loss_scale": [1]}, lambda said: decode([said], True)):
        assert torch.equal(compute(make_guarded(swift), content=content), expected)


def test_masking_is_refused_by_name(swift):
    with pytest.raises(ValueError, match="mask_silent: ms-swift"):
        make_guarded(swift, GuardConfig(mask_silent=True))


def test_only_training_is_guarded(swift):
    trainer = make_guarded(swift)
    trainer.model.training = False
    host = swift.host()._compute_advantages(make_samples(), torch.tensor(CORRECT), [])
    assert torch.equal(compute(trainer), host)
    assert not trainer._metrics["train"]


def test_a_rollout_cut_into_several_samples_counts_once(swift):
    """In request-aware mode the numbers of samples differ; the samples of one request get one advantage."""
    config = GuardConfig(min_weight=0.0, answer_column="solution", scale_steps=False)
    rewards = [*CORRECT[:5], *CORRECT[:1] * 2, CORRECT[7]]  # the second prompt is solved, the first is not
    expected = compute(make_guarded(swift, config), rewards, visits=1)
    order = [7, 0, 1, 1, 2, 3, 4, 4, 4, 5, 6]
    samples, rewards = [make_samples()[row] for row in order], torch.tensor(rewards)[order]
    found = make_guarded(swift, config, dynamic_num_samples=True)._compute_advantages(samples, rewards, [])
    assert torch.allclose(found, expected[order])
    assert 0 < expected[0] < 1.4  # discounted, not emptied


def test_an_unscored_rollout_does_not_vote(swift):
    found = compute(make_guarded(swift, scale_rewards="none"), rewards=[[1.0], [1], [0], [float("nan")]] * 2, visits=1)
    assert found[3] == 0
    assert found[:4].sum().abs() < 1e-6


def test_other_versions_and_settings_are_named(swift, monkeypatch):
    class Other:
        def _compute_advantages(self, samples, rewards):
            return rewards

    message = r"here it is \(self, samples, rewards\). This is ms-swift 4.6.0; .*>=4.6,<4.7"
    with monkeypatch.context() as patch:
        patch.setattr(swift.adapter.GRPOTrainer, "_compute_advantages", Other._compute_advantages)
        with pytest.raises(RuntimeError, match=message):
            make_guarded(swift)
    with pytest.raises(RuntimeError, match="gdpo"):
        make_guarded(swift, scale_rewards="gdpo", reward_func_names=["exact", "format"], reward_weights=torch.ones(2))
    with pytest.raises(ValueError, match="exact"):
        make_guarded(swift, GuardConfig(outcome_reward="acc"))


@pytest.mark.skipif(INSTALLED, reason="ms-swift is installed")
def test_without_ms_swift_the_import_says_what_to_install():
    command = [sys.executable, "-c", "import rlguard.integrations.ms_swift"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "needs ms-swift: pip install 'ms-swift>=4.6,<4.7'" in done.stderr


PLUGIN = """
import re
from rlguard.integrations.ms_swift import register
from swift.rewards import ORM, orms

register()


class Exact(ORM):
    def __call__(self, completions, solution, **kwargs):
        found = [re.findall(r"answer (\\d+)", completion) for completion in completions]
        return [float(answers[-1:] == [gold]) for answers, gold in zip(found, solution)]


orms["exact"] = Exact
"""
OPTIONS = (
    "--rlhf_type grpo --model_type llama --template dummy --reward_funcs exact --tuner_type full --torch_dtype float32 "
    "--use_vllm false --num_generations 4 --per_device_train_batch_size 16 --max_completion_length 48 --max_steps 2 "
    "--logging_steps 1 --save_steps 2 --report_to none --gradient_checkpointing false --add_version false "
    "--split_dataset_ratio 0 --use_cpu true"
)


@pytest.mark.skipif(not INSTALLED, reason="ms-swift is not installed (it pins trl<1.0: it needs its own environment)")
def test_swift_trains_guarded(tmp_path):
    from tiny_reasoner.tasks import make_problems

    model = shutil.copytree(TINY, tmp_path / "model")
    settings = json.loads((model / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    rows = [
        {"messages": [{"role": "user", "content": problem["prompt"]}], "solution": problem["answer"]}
        for problem in make_problems({"add": 1, "unlearnable": 1}, 16, 5)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "plugin.py").write_text(PLUGIN)
    files = {"model": "model", "dataset": "rows.jsonl", "external_plugins": "plugin.py", "output_dir": "out"}
    options = [word for name, path in files.items() for word in (f"--{name}", str(tmp_path / path))]
    command = [sys.executable, "-m", "swift.cli.rlhf", *OPTIONS.split(), *options]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    logs = [json.loads(line) for line in (tmp_path / "out" / "logging.jsonl").read_text().splitlines()]
    guarded = [row for row in logs if "rlguard/lucky_share" in row]
    assert len(guarded) == 2
    assert all(float(row["rlguard/faults"]) == 0 for row in guarded)
    assert (tmp_path / "out" / "checkpoint-2" / "rlguard_state.json").is_file()
