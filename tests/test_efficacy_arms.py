"""Each arm of the efficacy benchmark is what it says, in TRL's own trainer."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from test_trl import PROBLEMS, build, weights_of  # noqa: E402
from tiny_reasoner.training import correctness_reward  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from benchmarks.efficacy.arms import ARMS, make_coin  # noqa: E402
from benchmarks.methods import dr_grpo, grpo, max_rl, s_grpo, threshold  # noqa: E402

GROUPS = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], [0] * 8, [1] * 8], float)


def test_methods_by_hand():
    assert grpo(GROUPS)[0, 0] == pytest.approx(7 / np.sqrt(8), rel=1e-3)
    assert dr_grpo(GROUPS)[1].tolist() == [0.5] * 4 + [-0.5] * 4
    assert max_rl(GROUPS)[0].tolist() == [7.0] + [-1.0] * 7  # research/literature.md: 7.0 for 1 in 8
    assert (threshold(GROUPS)[0] == 0).all()
    np.testing.assert_array_equal(threshold(GROUPS)[1], grpo(GROUPS)[1])
    assert (s_grpo(GROUPS)[0] == 0).all()  # at p = 0.15 a lone success in 8 gets nothing
    assert s_grpo(GROUPS)[1, 0] == pytest.approx(0.7 * grpo(GROUPS)[1, 0])
    for method in (grpo, dr_grpo, max_rl, s_grpo, threshold):
        assert (method(GROUPS)[2:] == 0).all()


@pytest.mark.parametrize("arm", list(ARMS))
def test_every_arm_trains_a_step(tmp_path, arm):
    chosen = ARMS[arm]
    reward = make_coin(0.3, 1) if chosen.random_reward else correctness_reward
    trainer = build(chosen.trainer, tmp_path, rewards=reward, config={"max_steps": 1, **chosen.settings})
    before = weights_of(trainer)
    trainer.train()
    assert not torch.equal(before, weights_of(trainer))


def test_a_ruled_arm_uses_its_own_advantages(tmp_path):
    class Seen(ARMS["max_rl"].trainer):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            self.seen = self._rewards.numpy().reshape(-1, 4), output["advantages"].numpy().reshape(-1, 4)
            return output

    trainer = build(Seen, tmp_path, config={"max_steps": 1})
    trainer.train()
    rewards, used = trainer.seen
    assert 0 < rewards.mean() < 1
    np.testing.assert_allclose(used, max_rl(rewards), rtol=1e-6)


def test_masking_flat_groups_leaves_only_the_others_in_the_token_count(tmp_path):
    class Seen(ARMS["dapo_filter"].trainer):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            self.seen = output
            return output

    trainer = build(Seen, tmp_path, config={"max_steps": 1})
    trainer.train()
    mixed = (trainer.seen["advantages"].view(-1, 4) != 0).any(dim=1).repeat_interleave(4)
    assert 0 < mixed.sum() < len(mixed)
    assert (trainer.seen["completion_mask"].sum(dim=1) > 0).equal(mixed)
    assert trainer.seen["num_items_in_batch"] == trainer.seen["completion_mask"].sum()


def test_coins_have_their_rate_and_do_not_look_at_the_text():
    coin = make_coin(0.2, 7)
    flips = [flip for _ in range(50) for flip in coin(["x"] * 100)]
    assert np.mean(flips) == pytest.approx(0.2, abs=0.03)
    again = make_coin(0.2, 7)
    assert [flip for _ in range(50) for flip in again(["y"] * 100)] == flips


def test_arms_are_one_change_apart():
    for name, arm in ARMS.items():
        changes = [arm.trainer is not GRPOTrainer, bool(arm.settings), arm.keep is not None, arm.random_reward]
        assert sum(changes) == {"grpo": 0, "rlguard": 2}.get(name, 1), name
    assert PROBLEMS
