"""Each arm of the efficacy benchmark is what it says, in TRL's own trainer."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from tiny_reasoner.training import correctness_reward  # noqa: E402
from tiny_trl import PROBLEMS, build, weights_of  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from benchmarks.efficacy.arms import ABLATED, ABLATIONS, ARMS, COMPARED, make_coin, make_guard  # noqa: E402
from benchmarks.methods import dr_grpo, grpo, max_rl, s_grpo, threshold  # noqa: E402
from rlguard.guard.settings import GuardConfig  # noqa: E402
from rlguard.luck.evidence import Evidence  # noqa: E402

GROUPS = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], [0] * 8, [1] * 8], float)


def test_methods_by_hand():
    assert grpo(GROUPS)[0, 0] == pytest.approx(7 / np.sqrt(8), rel=1e-3)
    assert dr_grpo(GROUPS)[1].tolist() == [0.5] * 4 + [-0.5] * 4
    assert max_rl(GROUPS)[0].tolist() == [7.0] + [-1.0] * 7  # MaxRL gives 7.0 to 1 success in 8
    assert (threshold(GROUPS)[0] == 0).all()
    np.testing.assert_array_equal(threshold(GROUPS)[1], grpo(GROUPS)[1])
    assert (s_grpo(GROUPS)[0] == 0).all()  # at p = 0.15 a lone success in 8 gets nothing
    assert s_grpo(GROUPS)[1, 0] == pytest.approx(0.7 * grpo(GROUPS)[1, 0])
    for method in (grpo, dr_grpo, max_rl, s_grpo, threshold):
        assert (method(GROUPS)[2:] == 0).all()


@pytest.mark.parametrize("arm", [*COMPARED, "weight_before", "no_size"])
def test_every_arm_trains_a_step(tmp_path, arm):
    chosen = ARMS[arm]
    reward = make_coin(0.3, 1) if chosen.random_reward else correctness_reward
    config = {"max_steps": 1, **chosen.settings}
    trainer = build(chosen.trainer, tmp_path, rewards=reward, config=config, **chosen.options)
    before = weights_of(trainer)
    trainer.train()
    assert not torch.equal(before, weights_of(trainer))


def test_grpo_with_the_guard_looking_on_is_grpo(tmp_path):
    plain = build(GRPOTrainer, tmp_path / "plain", config={"max_steps": 2})
    plain.train()
    arm = ARMS["grpo"]
    watched = build(arm.trainer, tmp_path / "arm", config={"max_steps": 2, **arm.settings}, **arm.options)
    watched.train()
    assert torch.equal(weights_of(plain), weights_of(watched))
    assert "rlguard/lucky_share" in watched.state.log_history[0]


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
    for name, arm in COMPARED.items():
        observed = arm.trainer is COMPARED["grpo"].trainer and bool(arm.options)
        other = arm.trainer is not GRPOTrainer and not observed
        changes = [other, bool(arm.settings), arm.keep is not None, arm.random_reward]
        assert sum(changes) == {"grpo": 0, "rlguard": 2}.get(name, 1), name
    assert list(ABLATIONS) == list(ABLATED)
    assert all(not arm.settings and arm.keep is None for arm in ABLATIONS.values())
    assert PROBLEMS


SOFT = {"config": GuardConfig(min_weight=0.0)}
LUCKY = {str(prompt): 1 for prompt in range(10)}
MIXED = {str(prompt): 1 if prompt % 2 else 6 for prompt in range(10)}
SUM = "7+8+5 mod 10=?\n"


def judge_twice(parts, counts, prompt="?", said="answer ", alike=False):
    """The second judgement of the same groups of 8: one for each gold answer in `counts`, with so many successes.

    The wrong answers of a group are `alike`, or all different.
    """
    guard = make_guard(**parts)
    rewards = np.array([float(i < k) for k in counts.values() for i in range(8)])
    host, groups = torch.tensor(grpo(rewards.reshape(-1, 8)).ravel()), np.arange(len(rewards)) // 8
    golds = [gold for gold in counts for _ in range(8)]
    wrong = [str((int(gold) + 1 + (0 if alike else i % 8)) % 10) for i, gold in enumerate(golds)]
    answers = [gold if ok else other for gold, ok, other in zip(golds, rewards, wrong, strict=True)]
    texts, rows = [said + answer for answer in answers], [{"answer": gold, "rlguard_id": gold} for gold in golds]
    for _ in range(2):
        judged = guard.judge(guard.reader.read([prompt] * len(rows), texts, rows), host, rewards, rewards, groups)
    return judged, host.numpy()


def compare(name, counts, base=None, **options):
    """Full and ablated judgement, and where the first success of each group stands."""
    base = SOFT if base is None else base
    full, ablated = (judge_twice(parts, counts, **options)[0] for parts in (base, base | ABLATED[name]))
    return full, ablated, np.arange(len(full.weights_B)) % 8 == 0


def test_without_chance_rates_luck_looks_genuine():
    full, ablated, first = compare("no_chance", MIXED)
    assert ablated.genuine_B[first][1] > full.genuine_B[first][1] + 0.05


def test_without_levels_answers_have_the_last_word():
    """Wrong answers say that four in ten guesses pass, and most prompts never do."""
    full, ablated, _ = compare("no_levels", {str(p): 1 if p == 3 else 0 for p in range(10)}, alike=True)
    assert ablated.metrics["rlguard/chance_rate"] != full.metrics["rlguard/chance_rate"]


def test_without_the_tracker_a_prompts_past_does_not_count():
    full, ablated = (make_guard(**parts) for parts in ({}, ABLATED["no_tracker"]))
    for guard in (full, ablated):
        for outcomes in (np.zeros(8), np.eye(8)[0]):
            evidence = [Evidence("a", chance_rate=0.1)] * 8
            guard.judge(evidence, outcomes, outcomes, outcomes, np.zeros(8, int))
    assert full.luck.counts("a")[1] > 8
    assert ablated.luck.counts("2 a")[1] == 8


def test_without_detectors_the_text_does_not_count():
    found = {
        (name, said): judge_twice(parts, MIXED, SUM, said)[0].weights_B
        for name, parts in (("full", {}), ("ablated", ABLATED["no_detectors"]))
        for said in ("answer ", "7+8=5;5+5=0;answer ")
    }
    np.testing.assert_array_equal(found["ablated", "answer "], found["ablated", "7+8=5;5+5=0;answer "])
    assert not np.array_equal(found["full", "answer "], found["full", "7+8=5;5+5=0;answer "])


def test_a_weight_before_normalisation_is_undone_by_it():
    full, ablated, first = compare("weight_before", LUCKY)
    np.testing.assert_array_equal(full.weights_B, ablated.weights_B)
    host = judge_twice(SOFT, LUCKY)[1]
    np.testing.assert_allclose(ablated.advantages_B[first], host[first], rtol=0.02)


def test_without_step_scale_the_steps_are_full():
    full, ablated, _ = compare("no_step_scale", MIXED, base={})
    assert full.step_scale < 1 == ablated.step_scale
    np.testing.assert_array_equal(full.weights_B, ablated.weights_B)


def test_without_size_only_the_weights_shrink_a_step():
    full, ablated, _ = compare("no_size", LUCKY)
    assert full.metrics["rlguard/size"] < 0.5 < ablated.metrics["rlguard/size"] == 1


def test_luck_taken_as_independent_believes_a_repeated_guess():
    """Right in all 8 or in none: one guess a prompt."""
    _, ablated, _ = compare("independent_luck", {str(p): 8 if p < 2 else 0 for p in range(10)}, alike=True)
    full = judge_twice({}, {str(p): 8 if p < 2 else 0 for p in range(10)}, alike=True)[0]
    assert ablated.genuine_B[0] >= full.genuine_B[0]
    assert ablated.metrics["rlguard/chance_correlation"] == 0 < full.metrics["rlguard/chance_correlation"]
