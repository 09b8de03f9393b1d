"""The tinker-cookbook adapter in the cookbook's own training step: `rl/train.py` is run for real, on CPU.

It is imported from `$RLGUARD_CONTRACTS/tinker` (`pip install --no-deps --target`); without it the tests are skipped.
Only Tinker's service is played, by a training client that records what it is sent, and no checkpoint is written.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rlguard import GuardConfig  # noqa: E402

CONTRACTS = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts"))
SOURCE = CONTRACTS / "tinker"
PACKAGES = (
    "tinker==0.38.0 tinker-cookbook==0.6.1 chz==0.4.0 blobfile==3.3.0 termcolor==3.3.0 distro==1.9.0 lxml==6.1.3 "
    "orjson==3.13.0"
)
NAMES = ("prepare_minibatch", "compute_advantages", "train_step")
SOLVED = "3 + 4 = 7, and 7 + 5 = 12.\nThe answer is 12."


class Tokenizer:
    """One token a character."""

    def encode(self, text):
        return [ord(character) for character in text]

    def decode(self, tokens):
        return "".join(chr(token) for token in tokens)


class Problem:
    def __init__(self, question, answer):
        self.question, self.answer = question, answer

    def get_question(self):
        return self.question

    def get_reference_answer(self):
        return self.answer


class Client:
    """Tinker's training client, as far as `train_step` uses it."""

    def __init__(self):
        self.data, self.rates = [], []

    def forward_backward(self, data, loss_fn, loss_fn_config=None):
        self.data.extend(data)
        tensor = SimpleNamespace(to_torch=lambda: torch.zeros(1))
        return done(SimpleNamespace(loss_fn_outputs=[{"logprobs": tensor} for _ in data]))

    def optim_step(self, adam):
        self.rates.append(adam.learning_rate)
        return done(SimpleNamespace(metrics={}))


async def done(value):
    return value


@pytest.fixture
def train(monkeypatch):
    """The cookbook's real module, its functions put back after the test."""
    if not (SOURCE / "tinker_cookbook").is_dir():
        pytest.skip(f"no tinker-cookbook in {SOURCE}: pip install --no-deps --target {SOURCE} {PACKAGES}")
    monkeypatch.setattr(sys, "path", [*sys.path, str(SOURCE)])
    module = pytest.importorskip("tinker_cookbook.rl.train", exc_type=ImportError)
    for name in NAMES:
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(module, "compute_full_batch_metrics_and_get_sampling_client", give_back_data)
    return module


@pytest.fixture
def adapter(train):
    import rlguard.integrations.tinker as module

    return module


def make_group(texts, corrects, prompt="What is 3 + 4 + 5?"):
    """A group as the cookbook's rollouts give it: one turn, 0.1 less for bad format, `correct` among the metrics."""
    import tinker
    from tinker_cookbook.completers import TokensWithLogprobs
    from tinker_cookbook.rl.types import Trajectory, TrajectoryGroup, Transition

    def rollout(text, correct):
        action = TokensWithLogprobs(Tokenizer().encode(text), [-0.1] * len(text))
        observation = tinker.ModelInput.from_ints(Tokenizer().encode(prompt))
        metrics = {} if correct is None else {"correct": correct, "format": 1.0}
        reward = 0.0 if correct is None else float(correct)
        return Trajectory([Transition(observation, action, reward, True, metrics)], tinker.ModelInput.empty())

    rollouts = [rollout(*pair) for pair in zip(texts, corrects, strict=True)]
    return TrajectoryGroup(rollouts, [0.0] * len(rollouts), [{} for _ in rollouts])


def make_builder(question="What is 3 + 4 + 5?", answer="12"):
    from tinker_cookbook.rl.problem_env import ProblemGroupBuilder

    return ProblemGroupBuilder(env_thunk=lambda: Problem(question, answer), num_envs=4)


def step(train, builders, groups, client=None):
    """One training step of the cookbook's synchronous and asynchronous loops: the data sent, and the metrics."""
    config = SimpleNamespace(
        kl_penalty_coef=0.0,
        kl_discount_factor=0.0,
        learning_rate=1e-5,
        num_substeps=1,
        loss_fn_config=None,
        compute_post_kl=False,
        training_loss_fn=lambda: "importance_sampling",
        records_stability_info=lambda: False,
    )
    arguments = config, 0, client or Client(), None, None, Tokenizer(), builders, groups
    return asyncio.run(train.do_train_step_and_get_sampling_client(*arguments))


async def give_back_data(client, checkpoints, batch, data, *_, **__):
    """In the place of the cookbook's checkpoint at the end of a step: gives the step's data back."""
    return data, {}


def advantages_of(data):
    """The advantage of each rollout, from the datums that go to Tinker."""
    tensors = [datum.loss_fn_inputs for datum in data]
    return [float(fields["advantages"].to_torch()[fields["mask"].to_torch() > 0][0]) for fields in tensors]


def guess_and_solve():
    """A group whose success is a bare number, and one whose success is computed; the first is repeated until the guard
    knows that its prompt is hardly ever solved."""
    bare = make_group(["The answer is 12."] + ["The answer is 9."] * 7, [1.0] + [0.0] * 7)
    solved = make_group([SOLVED] * 6 + ["The answer is 9."] * 2, [1.0] * 6 + [0.0] * 2, "What is 3 + 4 + 5? Again.")
    return [make_builder(), make_builder("What is 3 + 4 + 5? Again.")], [bare, solved]


def test_the_real_loop_trains_on_the_guards_advantages_and_logs_its_metrics(train, adapter):
    builders, groups = guess_and_solve()
    plain, _ = step(train, builders, groups)
    guard = adapter.guard_training(GuardConfig(min_weight=0.5))
    client = Client()
    for _ in range(6):
        data, metrics = step(train, builders, groups, client)
    host, guarded = advantages_of(plain), advantages_of(data)
    assert host[0] == pytest.approx(7 / 8)
    assert guarded[:8] == [0.0] * 8
    scale = metrics["rlguard/step_scale"]  # in the learning rate; the advantages stand at the host's size
    assert guarded[8] * scale == pytest.approx(host[8], rel=0.1)
    assert metrics["rlguard/lucky_share"] > 0.05
    assert "env/all/reward/total" in metrics
    assert len(guard.luck) == 2
    assert client.rates[-1] == pytest.approx(1e-5 * metrics["rlguard/step_scale"])
    assert client.rates[-1] < 1e-5


def test_prompts_golds_and_texts_reach_the_guard(train, adapter, monkeypatch):
    guard, seen = adapter.guard_training(), {}
    apply = guard.apply
    monkeypatch.setattr(guard, "apply", lambda *a, **k: seen.update(k) or apply(*a, **k))
    builders, groups = guess_and_solve()
    step(train, builders, groups)
    assert seen["prompts_B"][0] == "What is 3 + 4 + 5?"
    assert seen["completions_B"][0] == "The answer is 12."
    assert seen["rows_B"][0]["answer"] == "12"
    assert seen["group_ids_B"].tolist() == [0] * 8 + [1] * 8
    assert seen["outcomes_B"].tolist() == [1.0] + [0.0] * 7 + [1.0] * 6 + [0.0] * 2


def test_observe_changes_nothing(train, adapter):
    builders, groups = guess_and_solve()
    plain, _ = step(train, builders, groups)
    adapter.guard_training(GuardConfig(mode="observe"))
    client = Client()
    for _ in range(6):
        data, metrics = step(train, builders, groups, client)
    assert advantages_of(data) == advantages_of(plain)
    assert set(client.rates) == {1e-5}
    assert metrics["rlguard/lucky_share"] > 0.05


def test_the_cookbooks_printing_is_not_a_batch(train, adapter):
    """`print_group` calls `compute_advantages` too, with up to four rollouts of a group."""
    guard = adapter.guard_training()
    builders, groups = guess_and_solve()
    step(train, builders, groups)
    once = guard.state_dict()
    train.print_group(groups[0], Tokenizer())
    assert guard.state_dict() == once
    assert train.compute_advantages([make_group(["1", "2"], [1.0, 0.0])])[0].tolist() == [0.5, -0.5]


def test_ragged_groups_and_rollouts_without_a_verdict(train, adapter):
    adapter.guard_training(GuardConfig(min_weight=0.0))
    groups = [make_group([SOLVED, "9", "8"], [1.0, 0.0, np.nan]), make_group(["The answer is 12.", "9"], [None, None])]
    data, metrics = step(train, [make_builder(), make_builder("Other?")], groups)
    advantages = advantages_of(data)
    assert len(advantages) == 5
    assert advantages[2] == 0.0
    assert np.isfinite(advantages).all()
    assert advantages[0] > 0 > advantages[1]
    assert advantages[0] == pytest.approx(-advantages[1], rel=1e-4)
    assert metrics["rlguard/unscored_share"] == pytest.approx(0.2)


def test_more_builders_than_groups_cost_the_golds_and_nothing_else(train, adapter, monkeypatch):
    """What `remove_constant_reward_groups` leaves in the synchronous loop of 0.6.1."""
    guard, seen = adapter.guard_training(), {}
    apply = guard.apply
    monkeypatch.setattr(guard, "apply", lambda *a, **k: seen.update(k) or apply(*a, **k))
    builders, groups = guess_and_solve()
    step(train, builders, groups[1:])
    assert seen["rows_B"] == [{}] * 8
    assert seen["prompts_B"][0] == "What is 3 + 4 + 5? Again."


def test_the_state_survives_a_restart(train, adapter, tmp_path, monkeypatch):
    builders, groups = guess_and_solve()
    host = {name: getattr(train, name) for name in NAMES}
    guard = adapter.guard_training(state_file=tmp_path / "state")
    step(train, builders, groups)
    for name, function in host.items():
        monkeypatch.setattr(train, name, function)
    again = adapter.guard_training(state_file=tmp_path / "state")
    assert again.state_dict() == guard.state_dict()
    assert len(again.luck) == 2


def test_another_version_and_a_second_guard_are_refused(train, adapter, monkeypatch):
    def train_step(data_D, training_client, adam_params):
        """Another version's."""

    monkeypatch.setattr(train, "train_step", train_step)
    message = "train_step(data_D, training_client, learning_rate, num_substeps, ...), but here it is"
    with pytest.raises(RuntimeError, match=re.escape(message)):
        adapter.guard_training()


def test_masking_is_refused_by_name(train, adapter):
    with pytest.raises(ValueError, match="mask_silent: the cookbook"):
        adapter.guard_training(GuardConfig(mask_silent=True))


def test_guarding_twice_is_refused(train, adapter):
    adapter.guard_training()
    with pytest.raises(RuntimeError, match="guarded already"):
        adapter.guard_training()


def test_without_the_cookbook_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinker_cookbook", None)
    monkeypatch.setitem(sys.modules, "tinker_cookbook.rl", None)
    monkeypatch.delitem(sys.modules, "rlguard.integrations.tinker", raising=False)
    with pytest.raises(ImportError, match="pip install 'tinker-cookbook"):
        import rlguard.integrations.tinker  # noqa: F401
