"""Each arm of the efficacy benchmark is what it says: formulas by hand, trainers in TRL's own loop."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from tiny_trl import PROBLEMS, build, weights_of  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from benchmarks.efficacy.arms import ARMS, DealtGuard, mean_rate  # noqa: E402
from benchmarks.methods import (  # noqa: E402
    dr_grpo,
    grpo,
    make_ha_dw,
    make_shuffled,
    max_rl,
    noise_corrected,
    s_grpo,
    threshold,
)
from rlguard.guard import GuardConfig  # noqa: E402
from rlguard.integrations.trl import GuardedGRPOTrainer  # noqa: E402
from rlguard.luck.evidence import Evidence  # noqa: E402

GROUPS = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], [0] * 8, [1] * 8], float)
ROWS = [row | {"chance": 0.1} for row in PROBLEMS]
SCALES = [0.25, 0.75]


def make(arm, folder, wrap=lambda trainer: trainer, steps=1):
    """An arm's trainer on the tiny model."""
    chosen = ARMS[arm]
    trainer, factor = (chosen.make(1), 1.0) if chosen.follows is None else chosen.follows(SCALES, 1)
    config = {"max_steps": steps, "learning_rate": 2e-4 * factor, **chosen.settings}
    return build(wrap(trainer), folder, rows=ROWS, config=config, **chosen.options)


def test_methods_by_hand():
    assert grpo(GROUPS)[0, 0] == pytest.approx(7 / np.sqrt(8), rel=1e-3)
    assert dr_grpo(GROUPS)[1].tolist() == [0.5] * 4 + [-0.5] * 4
    assert max_rl(GROUPS)[0].tolist() == [7.0] + [-1.0] * 7  # MaxRL gives 7.0 to 1 success in 8
    assert (threshold(GROUPS)[0] == 0).all()
    np.testing.assert_array_equal(threshold(GROUPS)[1], grpo(GROUPS)[1])
    assert (s_grpo(GROUPS)[0] == 0).all()  # at p = 0.15 a lone success in 8 gets nothing
    assert s_grpo(GROUPS)[1, 0] == pytest.approx(0.7 * grpo(GROUPS)[1, 0])
    for method in (grpo, dr_grpo, max_rl, s_grpo, threshold, make_ha_dw(), make_shuffled(0)):
        assert (method(GROUPS)[2:] == 0).all()


def test_noise_correction_by_hand_and_why_it_is_not_normalised():
    found = noise_corrected(GROUPS[:2], np.array([0.125, 0.5]))
    assert found[0].tolist() == [1.0] + [-1 / 7] * 7  # as many pass as by chance: on average 0
    assert found[1].tolist() == [1.0] * 4 + [-1.0] * 4
    assert found.sum(axis=1) == pytest.approx([0, 0])
    # The std of a group undoes it, but for the 1e-4 that TRL adds.
    np.testing.assert_allclose(grpo(noise_corrected(GROUPS[:2], np.array([0.3, 0.6]))), grpo(GROUPS[:2]), rtol=1e-3)


def test_history_aware_weights_by_hand():
    rule = make_ha_dw(rate=0.1, scale=1.3)
    first = rule(GROUPS[:2])  # the anchor is the first batch's mean, 5/16
    plain, gaps = grpo(GROUPS[:2]), np.array([1 / 8, 1 / 2]) - 5 / 16
    assert first[0, 0] == pytest.approx(plain[0, 0] * 1.3 * np.exp(-gaps[0]))  # a hard group's success counts for more
    assert first[0, 1] == pytest.approx(plain[0, 1] * 1.3 * np.exp(gaps[0]))
    assert first[1, 0] == pytest.approx(plain[1, 0] * 1.3 * np.exp(-gaps[1]))
    second = rule(GROUPS[1:3])  # one anchor so far, so σ is 1: it moves by 0.1 towards the mean 1/4
    gap = 1 / 2 - (0.9 * 5 / 16 + 0.1 / 4)
    assert second[0, 0] == pytest.approx(plain[1, 0] * 1.3 * np.exp(-gap))


def test_shuffled_rewards_keep_each_groups_count_and_know_nothing():
    rule = make_shuffled(3)
    batches = np.array([rule(GROUPS[:2]) for _ in range(400)])
    np.testing.assert_allclose(np.sort(batches[0]), np.sort(grpo(GROUPS[:2])))
    assert np.abs(batches.mean(axis=0)).max() < 0.25


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains_a_step(tmp_path, arm):
    trainer = make(arm, tmp_path)
    before = weights_of(trainer)
    trainer.train()
    assert not torch.equal(before, weights_of(trainer))


@pytest.mark.parametrize(
    ("arm", "rule"),
    [("max_rl", max_rl), ("s_grpo", s_grpo), ("ha_dw", make_ha_dw()),
     ("noise_corrected", lambda rewards: noise_corrected(rewards, np.full(len(rewards), 0.1)))],
)  # fmt: skip
def test_a_ruled_arm_uses_its_own_advantages(tmp_path, arm, rule):
    def wrap(trainer):
        class Seen(trainer):
            def _generate_and_score_completions(self, inputs):
                output = super()._generate_and_score_completions(inputs)
                self.seen = self._rewards.numpy().reshape(-1, 4), output["advantages"].numpy().reshape(-1, 4)
                return output

        return Seen

    trainer = make(arm, tmp_path, wrap)
    trainer.train()
    rewards, used = trainer.seen
    assert 0 < rewards.mean() < 1
    np.testing.assert_allclose(used, rule(rewards), rtol=1e-5, atol=1e-6)


def test_masking_flat_groups_leaves_only_the_others_in_the_token_count(tmp_path):
    def wrap(trainer):
        class Seen(trainer):
            def _generate_and_score_completions(self, inputs):
                self.seen = super()._generate_and_score_completions(inputs)
                return self.seen

        return Seen

    trainer = make("dapo_filter", tmp_path, wrap)
    trainer.train()
    mixed = (trainer.seen["advantages"].view(-1, 4) != 0).any(dim=1).repeat_interleave(4)
    assert 0 < mixed.sum() < len(mixed)
    assert (trainer.seen["completion_mask"].sum(dim=1) > 0).equal(mixed)
    assert trainer.seen["num_items_in_batch"] == trainer.seen["completion_mask"].sum()


def test_the_mean_rate_is_that_of_the_trace():
    assert mean_rate(SCALES, 1) == (GRPOTrainer, 0.5)


def test_dealt_weights_are_the_guards_own_but_not_in_their_places():
    groups = np.arange(80) // 8
    outcomes = np.array([float(i < k) for k in (1, 1, 7, 1, 6, 1, 7, 1, 8, 0) for i in range(8)])
    evidence = [Evidence(str(group), chance_rate=0.12) for group in groups]
    host = torch.tensor(grpo(outcomes.reshape(-1, 8)).ravel())
    plain, dealt = (
        guard.judge(evidence, host, outcomes, outcomes, groups)
        for guard in (DealtGuard.__base__(GuardConfig()), DealtGuard(GuardConfig(), SCALES, 5))
    )
    success = outcomes > 0
    assert len(set(plain.weights_B[success].round(6))) > 1
    np.testing.assert_allclose(np.sort(dealt.weights_B), np.sort(plain.weights_B))
    assert not np.allclose(dealt.weights_B, plain.weights_B)
    assert dealt.step_scale == SCALES[0] != plain.step_scale
    sizes = [float((one.advantages_B**2).mean()) for one in (plain, dealt)]
    assert sizes[0] == pytest.approx(sizes[1])


def test_a_constant_rate_keeps_the_weights_and_not_the_scale(tmp_path):
    trainer = make("constant_rate", tmp_path)
    assert trainer.guard.min_weight == 0
    assert not trainer.guard.scales_steps
    assert isinstance(trainer, GuardedGRPOTrainer)


def test_arms_are_one_change_apart():
    for name, arm in ARMS.items():
        changes = [arm.make(1) is not GRPOTrainer, bool(arm.settings), arm.follows is not None]
        assert sum(changes) == (name != "grpo"), name
    assert {name for name, arm in ARMS.items() if arm.options} == {"constant_rate", "rlguard_sampler", "sampler_alone"}
