"""The guard's core, without any trainer."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from rlguard.guard import Guard, GuardConfig, Judged
from rlguard.guard.reading import read_evidence
from rlguard.luck.evidence import Evidence

GROUPS = np.repeat(np.arange(16), 8)


def guess_batch(rng, step, digits=10):
    """16 prompts whose gold answers are random digits, 8 rollouts each that answer a random digit, bare."""
    golds = rng.integers(digits, size=16)
    answers = rng.integers(digits, size=128)
    outcomes = (answers == golds[GROUPS]).astype(float)
    evidence = [
        Evidence(f"{step}-{group}", gold=str(golds[group]), answer=str(answer), likelihood_ratio=1.0)
        for group, answer in zip(GROUPS, answers, strict=True)
    ]
    return evidence, outcomes


def host(outcomes):
    grouped = outcomes.reshape(-1, 8)
    return ((grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, ddof=1, keepdims=True) + 1e-4)).ravel()


def test_pure_guessing_is_silenced():
    rng, guard = np.random.default_rng(0), Guard()
    live = []
    for step in range(12):
        evidence, outcomes = guess_batch(rng, step)
        judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
        live.append(np.abs(judged.advantages_B).max() > 0)
    assert not any(live[4:])
    assert judged.metrics["rlguard/chance_rate"] == pytest.approx(0.1, abs=0.03)
    assert judged.metrics["rlguard/lucky_share"] > 0.7
    assert judged.metrics["rlguard/weight_mean"] == 0.0


def test_rare_success_with_shown_computation_keeps_its_weight_where_a_bare_one_loses_it():
    rng, guard = np.random.default_rng(1), Guard()
    for step in range(6):
        evidence, outcomes = guess_batch(rng, step)
        guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    evidence, outcomes = guess_batch(rng, 99)
    outcomes[:16] = 0
    outcomes[[0, 8]] = 1
    evidence[0] = Evidence("99-0", gold="3", answer="3", likelihood_ratio=50.0)
    evidence[8] = Evidence("99-1", gold="4", answer="4", likelihood_ratio=0.1)
    judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert judged.weights_B[0] > 0.7
    assert judged.weights_B[8] == 0.0
    assert judged.advantages_B[0] > 1.5
    assert (judged.advantages_B[8:16] == 0).all()


def test_a_model_that_solves_is_left_alone():
    rng, guard = np.random.default_rng(2), Guard()
    for step in range(4):
        golds = rng.integers(10, size=16)
        solved = rng.random(128) < 0.7
        answers = np.where(solved, golds[GROUPS], rng.integers(10, size=128))
        outcomes = (answers == golds[GROUPS]).astype(float)
        evidence = [Evidence(f"{step}-{g}", str(golds[g]), str(a)) for g, a in zip(GROUPS, answers, strict=True)]
        judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert judged.weights_B.min() > 0.85
    np.testing.assert_allclose(judged.advantages_B, host(outcomes), atol=0.2)


def test_observe_returns_the_host_and_learns_all_the_same():
    rng = np.random.default_rng(3)
    evidence, outcomes = guess_batch(rng, 0)
    advantages = host(outcomes)
    watcher, actor = Guard(GuardConfig(mode="observe")), Guard()
    seen = watcher.judge(evidence, advantages, outcomes, outcomes, GROUPS)
    done = actor.judge(evidence, advantages, outcomes, outcomes, GROUPS)
    assert seen.advantages_B is advantages
    assert seen.metrics == done.metrics
    assert (seen.step_scale, actor.config.scale_steps) == (1.0, True)
    assert done.step_scale == done.metrics["rlguard/step_scale"] < 1.0
    assert watcher.state_dict() == actor.state_dict()


def test_state_survives_json():
    rng, guard, twin = np.random.default_rng(4), Guard(), Guard()
    evidence, outcomes = guess_batch(rng, 0)
    guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    twin.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    evidence, outcomes = guess_batch(rng, 1)
    both = [g.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS) for g in (guard, twin)]
    np.testing.assert_array_equal(both[0].weights_B, both[1].weights_B)


def test_evidence_is_read_from_row_and_text():
    row = {"answer": "0", "rlguard_id": "x", "rlguard_successes": 3, "rlguard_trials": 16, "rlguard_chance_rate": 0.1}
    computed = read_evidence("7+8+5 mod 10=?", "7+8=5;5+5=0;answer 0", row)
    assert (computed.prompt_id, computed.gold, computed.answer) == ("x", "0", "0")
    assert (computed.offline_successes, computed.offline_trials, computed.chance_rate) == (3, 16, 0.1)
    assert computed.likelihood_ratio > 1
    assert computed.kinds == ()
    chat = [{"role": "user", "content": "7+8+5 mod 10=?"}]
    bare = read_evidence(chat, [{"role": "assistant", "content": "answer 0"}], {"answer": "0"})
    assert bare.likelihood_ratio < 1
    assert bare.kinds == ("skipped_computation",)
    assert math.isnan(bare.offline_trials)
    blind = read_evidence(chat, "answer 0", {}, detectors=False)
    assert (blind.likelihood_ratio, blind.kinds, blind.gold) == (1.0, (), None)


@pytest.mark.parametrize("detectors", [True, False])
def test_what_a_prompt_offers_is_seen_in_it(detectors):
    asked = "Who is taller, Ann or Bob?"

    def offers(prompt, completion, gold):
        return read_evidence(prompt, completion, {"answer": gold}, detectors=detectors).offered

    assert offers(asked, "The answer is Bob", "Ann")
    assert offers([{"role": "user", "content": asked}], "The answer is bob", "Cy")
    assert offers(asked, "The answer is Cy", "ann")  # its rival is
    assert not offers(asked, "The answer is Bo", "Cy")
    assert not offers("Who is taller?", "The answer is Bob", "Ann")
    assert not offers(asked, "I do not know", None)


def test_guesses_between_options_are_lucky_and_a_problem_that_is_learnt_is_not():
    rng, lucky = np.random.default_rng(0), {}
    for offered in (True, False):  # half of the rollouts right, the others alike: a coin, or a usual mistake
        guard = Guard()
        for step in range(12):
            pairs = [(f"w{step}x{group}", f"v{step}x{group}") for group in range(16)]
            answers = [str(rng.choice(pairs[group])) for group in GROUPS]
            outcomes = np.array([float(a == pairs[g][0]) for g, a in zip(GROUPS, answers, strict=True)])
            evidence = [
                Evidence(pairs[g][0], pairs[g][0], a, offered=offered) for g, a in zip(GROUPS, answers, strict=True)
            ]
            judged = guard.judge(evidence, outcomes - outcomes.mean(), outcomes, outcomes, GROUPS)
        lucky[offered] = judged.metrics["rlguard/lucky_share"]
    assert lucky[True] > 0.6
    assert lucky[False] < 0.2


# --- modes ----------------------------------------------------------------------------------------------------------


def seasoned(config=None, seed=0):
    """A guard that has seen six batches of pure guessing, and the next batch."""
    rng, guard = np.random.default_rng(seed), Guard(config)
    for step in range(6):
        evidence, outcomes = guess_batch(rng, step)
        guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    return guard, *guess_batch(rng, 99)


def test_strength_is_the_share_of_the_discount_that_is_applied():
    used = {}
    for strength in (0.0, 0.25, 1.0):
        guard, evidence, outcomes = seasoned(GuardConfig(strength=strength))
        used[strength] = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    original = host(outcomes)
    assert (used[0.0].advantages_B == original).all()
    assert used[0.0].step_scale == 1.0
    assert (used[1.0].advantages_B == 0).all()
    np.testing.assert_allclose(used[0.25].advantages_B, 0.75 * original, rtol=1e-9)
    assert used[0.25].step_scale == pytest.approx(0.75)
    assert (used[0.25].weights_B == used[1.0].weights_B).all()


def test_drop_masks_groups_of_lucky_successes_and_leaves_advantages_alone():
    guard, evidence, outcomes = seasoned(GuardConfig(mode="drop"))
    outcomes[:8] = 0
    outcomes[8:12] = 1
    for row in range(8, 12):
        evidence[row] = Evidence("99-1", gold="7", answer="7", likelihood_ratio=50.0)
    advantages = host(outcomes)
    judged = guard.judge(evidence, advantages, outcomes, outcomes, GROUPS)
    assert judged.advantages_B is advantages
    assert judged.kept_B[:16].all()  # nothing passed; shown computations
    lucky = np.array([outcomes[group == GROUPS].any() for group in range(16)])[GROUPS] & (GROUPS != 1)
    assert lucky.any()
    assert (judged.kept_B == ~lucky).all()
    assert judged.metrics["rlguard/dropped_share"] == pytest.approx(lucky.mean())
    assert judged.step_scale == pytest.approx(math.sqrt((advantages[~lucky] ** 2).sum() / (advantages**2).sum()))


def test_settings_from_a_trainers_own_configuration():
    assert GuardConfig.from_options(None) == GuardConfig.from_options({}) == GuardConfig()
    assert GuardConfig.from_options({"mode": "observe", "decay": 0.5}) == GuardConfig(mode="observe", decay=0.5)
    with pytest.raises(ValueError, match=r"expected mode, strength, .*, got 'treshold'"):
        GuardConfig.from_options({"treshold": 1})
    with pytest.raises(ValueError, match=r"GuardConfig\.strength: expected a number in"):
        GuardConfig.from_options({"strength": 1.5})


# --- texts in -------------------------------------------------------------------------------------------------------


def texts(rows=16):
    prompts = [f"{group}+8+5 mod 10=?" for group in range(rows // 4) for _ in range(4)]
    completions = [["answer 0", "7+8=5;5+5=0;answer 0", "answer 3", "answer 4"][row % 4] for row in range(rows)]
    return prompts, completions, [{"answer": "0"}] * rows


def test_apply_reads_texts_outcomes_and_groups_by_itself():
    prompts, completions, rows = texts()
    rewards = [1.0, 1.0, 0.0, None] * 4
    order = np.random.default_rng(0).permutation(16)  # groups are found wherever their rollouts stand
    advantages = np.tile([0.5, 0.5, -1.0, 0.0], 4)
    judged = Guard().apply(
        advantages[order],
        [rewards[i] for i in order],
        prompts_B=[prompts[i] for i in order],
        completions_B=[completions[i] for i in order],
        rows_B=[rows[i] for i in order],
    )
    evidence = [read_evidence(*row) for row in zip(prompts, completions, rows, strict=True)]
    outcomes = np.array([1, 1, 0, math.nan] * 4)
    expected = Guard().judge(evidence, advantages, rewards, outcomes, np.arange(16) // 4)
    np.testing.assert_allclose(judged.advantages_B, expected.advantages_B[order], atol=1e-12)
    assert [judged.kinds_B[i] for i in np.argsort(order)][:4] == expected.kinds_B[:4]
    assert "skipped_computation" in expected.kinds_B[0]
    assert judged.metrics["rlguard/faults"] == 0


def test_apply_without_rows_and_texts_goes_by_pass_rates_alone():
    guard = Guard()
    for _ in range(6):
        judged = guard.apply([0.5, -0.5] * 4, [1, 0] * 4, prompts_B=["a"] * 8, completions_B=[None] * 8)
    assert judged.metrics["rlguard/faults"] == 0
    assert judged.weights_B[0] > 0.9  # half of them pass, and guesses hardly ever do
    assert "rlguard/chance_rate" not in judged.metrics


def test_state_is_saved_whole_and_a_missing_file_is_said(tmp_path, caplog):
    guard, *_ = seasoned()
    guard.save(tmp_path / "new" / "state.json")
    twin = Guard()
    twin.load(tmp_path / "new" / "state.json")
    assert twin.state_dict() == guard.state_dict()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.json"]
    twin.load(tmp_path / "nowhere.json")
    assert "resumes knowing nothing" in caplog.text


# --- training that must not die -------------------------------------------------------------------------------------


def plain(rows, outcomes=None):
    return [Evidence(str(row // 4)) for row in range(rows)]


def test_a_detector_that_raises_is_logged_once_and_counted(monkeypatch, caplog):
    def fail(*_):
        raise RecursionError("too deep")

    monkeypatch.setattr("rlguard.guard.reading.judge_completion", fail)
    prompts, completions, rows = texts()
    completions = [f"{text} " for text in completions]  # not among those read before
    guard = Guard()
    for _ in range(2):
        judged = guard.apply(
            np.tile([0.5, 0.5, -0.5, -0.5], 4),
            [1, 1, 0, 0] * 4,
            prompts_B=prompts,
            completions_B=completions,
            rows_B=rows,
        )
        assert judged.metrics["rlguard/faults"] == 16
        assert (judged.advantages_B == np.tile([0.5, 0.5, -0.5, -0.5], 4)).all()
    assert caplog.text.count("a completion could not be read") == 1
    assert "RecursionError: too deep" in caplog.text


def test_a_fault_of_the_guard_gives_the_hosts_advantages_back(monkeypatch, caplog):
    guard = Guard()
    monkeypatch.setattr(guard.tracker, "judge", lambda *_: 1 / 0)
    advantages = np.array([1.5, -0.5, -0.5, -0.5])
    for _ in range(2):
        judged = guard.judge(plain(4), advantages, [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4)
        assert judged.advantages_B is advantages
        assert judged.metrics == {"rlguard/faults": 4.0}
        assert judged.step_scale == 1.0
        assert judged.kept_B.all()
    assert caplog.text.count("the guard failed") == 1
    assert "ZeroDivisionError" in caplog.text
    assert "Traceback" in caplog.text


def test_input_of_the_wrong_length_does_not_end_training_either(caplog):
    advantages = [1.5, -0.5, -0.5, -0.5]
    judged = Guard().apply(advantages, [1, 0, 0, 0], prompts_B=["a"] * 4, completions_B=["x"] * 3)
    assert judged.advantages_B is advantages
    assert "the guard failed" in caplog.text


def test_a_verifier_that_judges_nothing(caplog):
    guard, advantages = Guard(), np.array([1.5, -0.5, -0.5, -0.5] * 2)
    for _ in range(2):
        judged = guard.judge(plain(8), advantages, [None] * 8, np.full(8, np.nan), np.arange(8) // 4)
        assert (judged.advantages_B == advantages).all()  # paid for something else: the host's own
    assert judged.metrics["rlguard/unscored_share"] == 1.0
    assert caplog.text.count("no rollout of a batch could be judged") == 1


@pytest.mark.parametrize(
    ("outcomes", "groups"), [([1, 0, 1, 0], [0, 1, 2, 3]), ([1, 1, 1, 1], [0] * 4), ([0, 0, 0, 0], [0] * 4)]
)
def test_groups_of_one_and_equal_rewards_stay_the_hosts(outcomes, groups, caplog):
    advantages, guard = np.array(outcomes, float), Guard()  # verl gives a group of one its reward
    for _ in range(2):
        judged = guard.judge(plain(4), advantages, outcomes, outcomes, groups)
        assert (judged.advantages_B == advantages).all()
    assert judged.metrics["rlguard/flat_groups"] == 1.0
    assert caplog.text.count("no group of a batch has both right and wrong rollouts") == 1


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_infinite_rewards_are_counted_and_take_nobody_along(bad, caplog):
    rewards = np.array([1.0, 0, 0, bad, 1, 0, 0, 0])
    grouped = rewards.reshape(2, 4)
    with np.errstate(invalid="ignore"):
        advantages = ((grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, keepdims=True) + 1e-4)).ravel()
    assert np.isnan(advantages[:4]).any()  # what it does to a trainer
    guard = Guard()
    for _ in range(2):
        judged = guard.judge(plain(8), advantages, rewards, guard.read_outcomes(rewards), np.arange(8) // 4)
    assert judged.metrics["rlguard/faults"] == 1
    assert np.isfinite(judged.advantages_B).all()
    assert judged.advantages_B[4] > 0.5
    assert caplog.text.count("a reward is infinite") == 1


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    guard, evidence, outcomes = seasoned()
    twin = Guard()
    twin.load_state_dict(guard.state_dict())
    advantages = torch.tensor(host(outcomes), dtype=torch.float32)
    rewards, groups = torch.tensor(outcomes), torch.tensor(GROUPS)
    found = guard.judge(evidence, advantages, rewards, rewards, groups)
    expected = twin.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert found.metrics["rlguard/faults"] == 0
    assert found.advantages_B.dtype == torch.float32
    np.testing.assert_allclose(found.advantages_B.numpy(), expected.advantages_B, atol=1e-6)


def test_advantages_of_the_hosts_size_for_a_learning_rate_that_carries_the_scale():
    judged = Judged(np.array([0.6, -0.2]), np.ones(2), np.ones(2, bool), 0.5, ["", ""], {})
    assert judged.step_advantages_B.tolist() == [1.2, -0.4]
    for scale in (0.0, 1.0):
        assert replace(judged, step_scale=scale).step_advantages_B is judged.advantages_B
    dropped = replace(judged, kept_B=np.array([True, False]))
    assert dropped.step_advantages_B is judged.advantages_B


def test_texts_that_failures_show_too_speak_no_louder_than_the_failures_allow():
    def judge(guard, clean_failures):
        evidence, outcomes, groups = [], [], []
        for group in range(8):
            for row in range(8):
                lucky = row == 0
                clean = lucky or row <= clean_failures
                evidence.append(Evidence(f"p{group}", str(group), "9", likelihood_ratio=18.75 if clean else 0.05))
                outcomes.append(float(lucky))
                groups.append(group)
        rewards = np.array(outcomes)
        return guard.judge(evidence, rewards - 1 / 8, rewards, rewards, groups).weights_B[rewards > 0]

    honest, fooled = Guard(GuardConfig(min_weight=0.0)), Guard(GuardConfig(min_weight=0.0))
    for _ in range(4):
        clear, blurred = judge(honest, 0), judge(fooled, 6)
    assert clear.min() > 0.95 > 0.7 > blurred.max()
    resumed = Guard(GuardConfig(min_weight=0.0))
    resumed.load_state_dict(json.loads(json.dumps(fooled.state_dict())))
    np.testing.assert_array_equal(judge(resumed, 6), judge(fooled, 6))


def test_a_groups_own_failures_do_not_limit_its_text():
    found = []
    for own, others in ((0, 0.05), (7, 0.05), (0, 18.75)):
        evidence = [Evidence("a", "1", "1" if row == 0 else "9", 18.75 if row <= own else 0.05) for row in range(8)]
        evidence += [Evidence("b", "2", "9", others) for _ in range(8)]
        rewards = np.array([1.0] + [0.0] * 15)
        judged = Guard(GuardConfig(min_weight=0.0)).judge(evidence, rewards, rewards, rewards, [0] * 8 + [1] * 8)
        found.append(judged.weights_B[0])
    assert found[0] == found[1] > found[2]


@pytest.mark.parametrize(
    ("config", "scales_steps", "least"),
    [
        (GuardConfig(), True, 0.25),
        (GuardConfig(), False, 0.5),  # nothing but the weights can hold a step back
        (GuardConfig(scale_steps=False), True, 0.5),
        (GuardConfig(min_weight=0.1), False, 0.1),
        (GuardConfig(min_weight=0.0), True, 0.0),
    ],
)
def test_the_smallest_weight_depends_on_what_carries_the_discount(config, scales_steps, least):
    assert Guard(config, scales_steps=scales_steps).min_weight == least


def test_a_batchs_answers_without_computation_speak_from_the_next_batch_on():
    def judge(own):
        guard, groups = Guard(GuardConfig(min_weight=0.0)), np.repeat(np.arange(9), 8)
        evidence = [Evidence(f"p{group}", f"word {group}", "other", bare=True) for group in groups]
        outcomes = (np.arange(72) % 16 == 0).astype(float)
        outcomes[64:] = [float(row < own) for row in range(8)]
        weights = [guard.judge(evidence, outcomes, outcomes, outcomes, groups).weights_B[64] for _ in range(2)]
        return weights, guard.chance.bare_rate("word")

    (first, second), rate = judge(1)
    assert first == judge(4)[0][0]  # its own outcomes do not enter
    assert second < first
    assert rate == pytest.approx(0.07, abs=0.03)


def test_problems_that_can_be_done_in_the_head_are_left_out():
    guard, groups = Guard(GuardConfig(min_weight=0.0)), np.repeat(np.arange(16), 8)
    evidence = [Evidence(f"p{group}", f"word {group}", "other", bare=True) for group in groups]
    outcomes = (np.arange(128) % 8 < 7).astype(float)
    guard.judge(evidence, outcomes, outcomes, outcomes, groups)
    assert guard.chance.bare_rate("word") == 0
