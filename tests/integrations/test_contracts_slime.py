"""The slime adapter.

slime is on PyPI in no form (a package of that name is another project), so what follows was checked against signatures
by reading, at commit 624b824 (2026-08-21, after version 0.3.1): the flags and the fields in `SAMPLE` and `ARGS`. The
tests without `slime_source` run the adapter on stand-ins with those fields. The others run it in slime's own
`RolloutManager`, if a checkout lies in `$RLGUARD_CONTRACTS/slime` (without it they are skipped); of what it imports,
only SGLang and wandb are replaced by stubs.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from dataclasses import field, make_dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rlguard.integrations.seams import STATE_FILE, center_groups
from rlguard.integrations.slime import PostProcessRewards, post_process_rewards

SOURCE = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts")) / "slime"
SAMPLE = {"group_index": None, "prompt": "", "response": "", "label": None, "reward": None, "remove_sample": False}
ARGS = {
    "advantage_estimator": "grpo",
    "rewards_normalization": True,
    "grpo_std_normalization": True,
    "n_samples_per_prompt": 4,
    "rollout_batch_size": 2,
    "reward_key": None,
    "use_wandb": False,
    "save": None,
    "load": None,
}
STUBS = ("sglang.srt.constants", "sglang.srt.server_args", "sglang.srt.utils", "sglang_router", "wandb")
STUB = """from unittest.mock import MagicMock

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return MagicMock()
"""


def reward_value(sample, args):
    return sample.reward[args.reward_key] if args.reward_key else sample.reward


StandIn = make_dataclass(
    "Sample",
    [*((name, object, value) for name, value in SAMPLE.items()), ("metadata", dict, field(default_factory=dict))],
    namespace={"get_reward_value": reward_value},
)


def make_args(**changes):
    return SimpleNamespace(**{**ARGS, **changes})


def lucky_batch(sample=StandIn, reward=lambda right: float(right)):
    """Two prompts; the gold answer of each is what the other's rollouts say most: no success of theirs is earned."""
    said = {0: ["7", "3", "3", "3"], 1: ["3", "7", "7", "7"]}
    return [
        sample(
            group_index=group,
            prompt=f"prompt {group}",
            response=f"Hm. The answer is {answer}.",
            label=said[group][0],
            reward=reward(answer == said[group][0]),
        )
        for group, answers in said.items()
        for answer in answers
    ]


@pytest.mark.parametrize("divide", [True, False])
def test_normalises_by_group_wherever_the_rows_stand(divide):
    rewards, groups = np.array([1.0, 5.0, 0.0, 2.0, 3.0]), np.array([0, 1, 0, 1, 1])
    found = center_groups(rewards, groups, divide)
    for group in (0, 1):
        own = rewards[groups == group]
        expected = (own - own.mean()) / (own.std(ddof=1) + 1e-6 if divide else 1)
        np.testing.assert_allclose(found[groups == group], expected)


def test_an_unscored_reward_does_not_vote_and_a_lone_one_earns_nothing():
    found = center_groups(np.array([1.0, 0.0, np.nan, 1.0, np.nan]), np.array([0, 0, 0, 1, 2]), False)
    assert found.tolist() == [0.5, -0.5, 0, 0, 0]


def test_lucky_successes_get_no_advantage_and_the_raw_rewards_stay():
    samples = lucky_batch()
    raw, advantages = PostProcessRewards()(make_args(), samples)
    assert raw == [1, 0, 0, 0, 1, 0, 0, 0]
    assert advantages == [0.0] * 8


def test_silent_groups_are_left_out_of_the_loss_by_slimes_own_mark():
    samples = [*lucky_batch()[:4], *lucky_batch()[5:], lucky_batch()[5]]  # the second prompt is all wrong
    PostProcessRewards()(make_args(rlguard={"mask_silent": True, "min_weight": 0.0}), samples)
    assert [sample.remove_sample for sample in samples] == [False] * 4 + [True] * 4


def test_observe_changes_nothing():
    samples = [lucky_batch()[row] for row in (0, 4, 5, 1, 2, 6, 7, 3)]
    raw, advantages = PostProcessRewards()(make_args(rlguard={"mode": "observe"}), samples)
    groups = np.array([sample.group_index for sample in samples])
    np.testing.assert_allclose(advantages, center_groups(np.array(raw), groups, True))


def test_the_data_sets_columns_are_read_from_the_metadata():
    samples = lucky_batch()[:4]
    for sample in samples:
        sample.label = None
        sample.metadata = {"rlguard_successes": 0, "rlguard_trials": 64, "rlguard_chance_rate": 0.25}
    assert PostProcessRewards()(make_args(), samples)[1] == [0.0] * 4


def test_the_outcome_can_be_one_value_of_a_reward_that_is_a_dict():
    samples = lucky_batch(reward=lambda right: {"score": 2.0 * right, "acc": 0.0})
    process = PostProcessRewards()
    _, advantages = process(make_args(reward_key="score", rlguard={"outcome_reward": "acc"}), samples)
    np.testing.assert_allclose(advantages[:4], [1.5, -0.5, -0.5, -0.5], atol=1e-5)  # nothing correct, nothing lucky


def test_groups_by_position_where_slime_gives_no_index():
    samples = lucky_batch()
    for sample in samples:
        sample.group_index = None
    assert PostProcessRewards()(make_args(), samples)[1] == [0.0] * 8


def test_the_state_is_saved_where_slime_saves_and_loaded_whence_it_resumes(tmp_path, monkeypatch):
    PostProcessRewards()(make_args(save=str(tmp_path), load=str(tmp_path)), lucky_batch())  # a first run: nothing there
    loaded = []
    monkeypatch.setattr("rlguard.guard.Guard.load", lambda guard, path: loaded.append(path))
    PostProcessRewards()(make_args(load=str(tmp_path)), lucky_batch())
    assert loaded == [tmp_path / STATE_FILE]
    assert loaded[0].is_file()


@pytest.mark.parametrize("changes", [{"advantage_estimator": "ppo"}, {"rewards_normalization": False}])
def test_refuses_rewards_that_slime_would_not_normalise_by_group(changes):
    with pytest.raises(RuntimeError, match="compare a rollout with the other rollouts of its prompt: set"):
        PostProcessRewards()(make_args(**changes), lucky_batch())


def test_a_wrong_setting_is_named():
    with pytest.raises(ValueError, match="strenght"):
        PostProcessRewards()(make_args(rlguard={"strenght": 1}), lucky_batch())


@pytest.fixture(scope="module")
def slime_source(tmp_path_factory):
    """slime's own modules: `slime.ray.rollout` and `slime.utils.types`."""
    if not (SOURCE / "slime").is_dir():
        pytest.skip(f"no checkout of slime in {SOURCE} (it is not on PyPI)")
    pytest.importorskip("ray")
    stubs = tmp_path_factory.mktemp("stubs")
    for name in STUBS:
        folder = stubs
        for part in name.split("."):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").write_text(STUB)
    before = set(sys.modules)
    sys.path[:0] = [str(SOURCE), str(stubs)]
    try:
        rollout = importlib.import_module("slime.ray.rollout")
        return SimpleNamespace(rollout=rollout, types=sys.modules["slime.utils.types"])
    finally:
        del sys.path[:2]
        for name in set(sys.modules) - before:
            if name.split(".")[0] in {"slime", *(stub.split(".")[0] for stub in STUBS)}:
                del sys.modules[name]


@pytest.fixture
def manager(slime_source):
    """slime's RolloutManager as it is, but for its constructor, which starts servers."""
    manager_class = slime_source.rollout.RolloutManager.__ray_metadata__.modified_class
    manager = manager_class.__new__(manager_class)
    manager.args = make_args()
    manager.custom_reward_post_process_func = None
    manager.custom_convert_samples_to_train_data_func = None
    return manager


def test_slime_has_the_fields_and_the_seam(slime_source):
    sample_class = slime_source.types.Sample
    assert {*SAMPLE, "metadata"} <= set(sample_class.__dataclass_fields__)
    assert list(inspect.signature(sample_class.get_reward_value).parameters) == ["self", "args"]
    source = (SOURCE / "slime" / "ray" / "rollout.py").read_text()
    assert "return self.custom_reward_post_process_func(self.args, samples)" in source
    assert "load_function(self.args.custom_reward_post_process_path)" in source
    flags = (SOURCE / "slime" / "utils" / "arguments.py").read_text()
    assert '"--custom-reward-post-process-path"' in flags
    assert '"--custom-config-path"' in flags
    for name in ("rewards_normalization", "grpo_std_normalization", "advantage_estimator", "n_samples_per_prompt"):
        assert f"args.{name}" in source


def test_slime_finds_the_function(slime_source):
    found = slime_source.rollout.load_function("rlguard.integrations.slime.post_process_rewards")
    assert found is post_process_rewards


@pytest.mark.parametrize("estimator", ["grpo", "reinforce_plus_plus_baseline"])
def test_slime_normalises_full_batches_as_the_adapter_does(manager, slime_source, estimator):
    manager.args.advantage_estimator = estimator
    samples = lucky_batch(slime_source.types.Sample)
    raw, advantages = manager._post_process_rewards(samples)
    own_raw, own = PostProcessRewards()(make_args(advantage_estimator=estimator, rlguard={"mode": "observe"}), samples)
    assert own_raw == raw
    np.testing.assert_allclose(own, advantages, atol=1e-6)


def test_slime_trains_on_what_the_guard_made(manager, slime_source):
    samples = lucky_batch(slime_source.types.Sample)
    for index, sample in enumerate(samples):
        sample.index, sample.rollout_id, sample.tokens, sample.response_length = index, index, [1, 2, 3], 2
    manager.custom_reward_post_process_func = PostProcessRewards()
    data = manager._convert_samples_to_train_data(samples)
    assert data["raw_reward"] == [1, 0, 0, 0, 1, 0, 0, 0]
    assert data["loss_masks"] == [[1, 1]] * 8
    assert data["rewards"] == [0.0] * 8
