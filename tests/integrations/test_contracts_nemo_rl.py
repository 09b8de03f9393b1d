"""The NeMo-RL adapter: checked against signatures by reading, commit 7ea279a (2026-08-22) and release 0.7.0.

NeMo-RL is on no package index (what is there under its name is a placeholder). So every test runs twice: *played*, on
a stand-in for its estimator, which is what CI runs; and *real*, on NeMo-RL's own `GRPOAdvantageEstimator`, where it can
be imported: put a clone into `$RLGUARD_CONTRACTS/nemo_rl` and install what it asks for. With a clone there that cannot
be imported, `READ` is compared with its source all the same. No training loop is run: they need a GPU.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from rlguard import GuardConfig  # noqa: E402

CONTRACTS = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts"))
SOURCE = CONTRACTS / "nemo_rl"
MODULE = "nemo_rl.algorithms.advantage_estimator"
READ = ["self", "prompt_ids", "rewards", "mask", "**kwargs"]
"""Arguments of `GRPOAdvantageEstimator.compute_advantage`."""
CALLED = {"prompt_ids", "rewards", "mask", "repeated_batch"}
"""Keywords with which every GRPO loop calls it."""
LOOPS = ("grpo.py", "grpo_sync.py", "single_controller.py")
PROMPT, PAD = "What is 3 + 4 + 5?", 0
GUESSED = ["The answer is 12."] + ["The answer is 9."] * 7
SOLVED = ["3 + 4 = 7, and 7 + 5 = 12.\nThe answer is 12."] * 6 + ["The answer is 9."] * 2
REWARDS = [1.0] + [0.0] * 7 + [1.0] * 6 + [0.0] * 2


class PlayedEstimator:
    """Group mean and standard deviation, spread over the tokens, with NeMo-RL's arguments."""

    def __init__(self, config, loss_config):
        pass

    def compute_advantage(self, prompt_ids, rewards, mask, **kwargs):
        same = (prompt_ids[:, None] == prompt_ids[None]).all(-1)
        mean = torch.stack([rewards[group].mean() for group in same])
        std = torch.stack([rewards[group].std() for group in same])
        return ((rewards - mean) / (std + 1e-6)).unsqueeze(-1).expand(mask.shape)


@pytest.fixture(params=["played", "real"])
def host(request, monkeypatch):
    """The adapter, and an estimator of the class that it is to guard."""
    if request.param == "played":
        for name in ("nemo_rl", "nemo_rl.algorithms", MODULE):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        estimator = type("GRPOAdvantageEstimator", (PlayedEstimator,), dict(vars(PlayedEstimator)))
        vars(sys.modules[MODULE])["GRPOAdvantageEstimator"] = estimator
    else:
        monkeypatch.setattr(sys, "path", [*sys.path, str(SOURCE)])
        try:
            estimator = importlib.import_module(MODULE).GRPOAdvantageEstimator
        except Exception as error:  # it also asserts the versions of packages
            pytest.skip(f"NeMo-RL cannot be imported here, see the module's docstring: {error}")
        monkeypatch.setattr(estimator, "compute_advantage", estimator.compute_advantage)
    monkeypatch.delitem(sys.modules, "rlguard.integrations.nemo_rl", raising=False)
    adapter = importlib.import_module("rlguard.integrations.nemo_rl")
    monkeypatch.delitem(sys.modules, "rlguard.integrations.nemo_rl")
    config = SimpleNamespace(use_leave_one_out_baseline=True, normalize_rewards=False)
    return SimpleNamespace(adapter=adapter, estimator=estimator(config, None), make=estimator)


def make_batch(texts=None, rewards=None, prompts=None, talk=True, pad=0):
    """The arguments of `compute_advantage`, as the GRPO loops give them; `talk` as in `grpo_train`."""
    texts, rewards = texts or GUESSED + SOLVED, torch.tensor(rewards or REWARDS)
    prompts = prompts or [PROMPT] * 8 + [PROMPT + " Again."] * 8
    width = max(map(len, prompts)) + pad
    prompt_ids = torch.tensor(
        [[ord(letter) for letter in prompt] + [PAD] * (width - len(prompt)) for prompt in prompts]
    )
    batch = {"total_reward": rewards}
    if talk:
        batch["length"] = torch.tensor([len(prompt) for prompt in prompts])
        batch["extra_env_info"] = [{"ground_truth": "12"} for _ in prompts]
        batch["message_log"] = [
            [
                {"role": "user", "content": prompt, "token_ids": torch.zeros(len(prompt))},
                {"role": "assistant", "content": text, "token_ids": torch.zeros(len(text))},
                {"role": "environment", "content": "Environment: correct", "token_ids": torch.zeros(3)},
            ]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
    mask = torch.ones(len(prompts), 5)
    return {"prompt_ids": prompt_ids, "rewards": rewards, "mask": mask, "repeated_batch": batch}


def run(host, epochs=6, **changes):
    for _ in range(epochs):
        advantages = host.estimator.compute_advantage(**make_batch(**changes), logprobs_policy=None)
    assert advantages.shape == (16, 5)
    assert (advantages == advantages[:, :1]).all()
    return advantages[:, 0].tolist()


@pytest.mark.parametrize("normalize", [False, True])
def test_the_estimator_gives_the_guards_advantages(host, normalize):
    host.estimator.normalize_rewards = normalize
    plain = run(host)
    guard = host.adapter.guard_estimator()
    guarded = run(host)
    assert plain[0] > 0
    assert guarded[:8] == [0.0] * 8
    assert guarded[8] == pytest.approx(plain[8], rel=0.1)
    assert guarded[-1] < 0
    assert host.estimator.last_metrics["rlguard/lucky_share"] > 0.05
    assert len(guard.luck) == 2


def test_prompts_golds_and_texts_reach_the_guard(host, monkeypatch):
    guard, seen = host.adapter.guard_estimator(), {}
    apply = guard.apply
    monkeypatch.setattr(guard, "apply", lambda *a, **k: seen.update(k) or apply(*a, **k))
    run(host, 1)
    assert seen["prompts_B"] == [PROMPT] * 8 + [PROMPT + " Again."] * 8
    assert seen["completions_B"] == GUESSED + SOLVED  # and not what the environment said
    assert {row["answer"] for row in seen["rows_B"]} == {"12"}
    assert len(set(seen["group_ids_B"].tolist()[:8])) == 1
    assert len(set(seen["group_ids_B"].tolist())) == 2


def test_without_texts_a_prompt_is_known_again_by_its_tokens(host):
    guard = host.adapter.guard_estimator(pad_token_id=PAD)
    run(host, 2, talk=False)
    run(host, 2, talk=False, pad=7)
    assert len(guard.luck) == 2
    assert host.estimator.last_metrics["rlguard/faults"] == 0
    assert host.estimator.last_metrics["rlguard/flagged_share"] == 0


def test_masking_is_refused_by_name(host):
    with pytest.raises(ValueError, match="mask_silent: NeMo-RL"):
        host.adapter.guard_estimator(GuardConfig(mask_silent=True))


def test_observe_changes_nothing(host):
    plain = run(host)
    host.adapter.guard_estimator(GuardConfig(mode="observe"))
    assert run(host) == plain
    assert host.estimator.last_metrics["rlguard/lucky_share"] > 0.05


def test_ragged_groups_and_nan(host):
    host.adapter.guard_estimator()
    prompts = [PROMPT] * 5 + [PROMPT + " Again."] * 11
    advantages = run(host, 1, prompts=prompts, rewards=[float("nan"), *REWARDS[1:]])
    assert all(abs(value) < 10 for value in advantages)
    assert advantages[:5] == [0.0] * 5
    assert advantages[8] > 0 > advantages[5]


def test_shaped_rewards_do_not_tell_the_outcome(host, monkeypatch):
    guard, seen = host.adapter.guard_estimator(), {}
    apply = guard.apply
    monkeypatch.setattr(guard, "apply", lambda *a, **k: seen.update(k) or apply(*a, **k))
    arguments = make_batch(rewards=[0.4 * reward for reward in REWARDS])
    arguments["repeated_batch"]["unshaped_total_reward"] = torch.tensor(REWARDS)
    host.estimator.compute_advantage(**arguments)
    assert seen["outcomes_B"].tolist() == REWARDS


def test_the_state_survives_a_restart(host, tmp_path, monkeypatch):
    plain = host.make.compute_advantage
    guard = host.adapter.guard_estimator(state_file=tmp_path / "state")
    run(host, 1)
    monkeypatch.setattr(host.make, "compute_advantage", plain)
    again = host.adapter.guard_estimator(state_file=tmp_path / "state")
    assert again.state_dict() == guard.state_dict()
    assert len(again.luck) == 2


def test_another_version_and_a_second_guard_are_refused(host):
    class Other:
        def compute_advantage(self, batch):
            """Another version's."""

    with pytest.raises(RuntimeError, match=r"Other.compute_advantage\(.* it is \(self, batch\). It knows NeMo-RL 0.7"):
        host.adapter.guard_estimator(estimator=Other)
    host.adapter.guard_estimator()
    with pytest.raises(RuntimeError, match="is guarded already"):
        host.adapter.guard_estimator()


def test_the_source_is_the_one_that_was_read():
    root = SOURCE / "nemo_rl" / "algorithms"
    if not root.is_dir():
        pytest.skip(f"no NeMo-RL in {SOURCE}: a clone of it goes there")
    tree = ast.parse((root / "advantage_estimator.py").read_text())
    estimator = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "GRPOAdvantageEstimator")
    method = next(n for n in estimator.body if isinstance(n, ast.FunctionDef) and n.name == "compute_advantage")
    assert ast.unparse(method.args).split(", ") == READ
    for loop in LOOPS:
        calls = [node for node in ast.walk(ast.parse((root / loop).read_text())) if isinstance(node, ast.Call)]
        calls = [call for call in calls if getattr(call.func, "attr", "") == "compute_advantage"]
        assert calls, loop
        assert all({word.arg for word in call.keywords} >= CALLED for call in calls), loop
    grpo = (root / "grpo.py").read_text()
    for field in ('repeated_batch["message_log"]', 'repeated_batch["length"]', '"unshaped_total_reward"'):
        assert field in grpo
    assert "rollout_metrics.update(adv_estimator.last_metrics)" in grpo
    assert "ground_truth" in (root.parent / "data" / "processors.py").read_text()


def test_without_nemo_rl_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nemo_rl", None)
    for name in [name for name in sys.modules if name.startswith("nemo_rl.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "rlguard.integrations.nemo_rl", raising=False)
    with pytest.raises(ImportError, match="needs NeMo-RL, which is installed from its repository"):
        importlib.import_module("rlguard.integrations.nemo_rl")
