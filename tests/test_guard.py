"""The guard's core, without any trainer."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rlguard.evidence import Evidence, read_evidence
from rlguard.guard import Guard, GuardConfig

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
