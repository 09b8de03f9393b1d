"""The guard in the loop of TRL's asynchronous GRPO, which scores groups."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import queue
from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("aiohttp")

from accelerate import PartialState  # noqa: E402
from async_trl import ROWS, brief, correct, tiny_tokenizer  # noqa: E402
from conftest import set_weight  # noqa: E402
from trl.experimental.async_grpo.async_rollout_worker import (  # noqa: E402
    RolloutGroup,
    TrainingSequence,
    _AsyncRolloutLoop,
)

from rlguard.guard import Guard, GuardConfig  # noqa: E402
from rlguard.integrations import trl_async  # noqa: E402
from rlguard.integrations.trl import STATE_FILE  # noqa: E402
from rlguard.integrations.trl_async import (  # noqa: E402
    GuardLoopMixin,
)

TEXTS = ["answer 5", "1+4=5;answer 5", "answer 6", "answer 7"]
"""Completions of a group whose gold answer is 5: two successes, two failures."""


class GuardedLoop(GuardLoopMixin, _AsyncRolloutLoop):
    pass


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make_loop(loop_class, tokenizer, rewards=(correct,), **options):
    """TRL's own loop, outside of a worker: nothing but its scoring runs."""
    PartialState()  # accelerate's logger wants it; the worker's process does the same
    return loop_class(
        model_name="tiny",
        dataset=ROWS,
        reward_funcs=list(rewards),
        processing_class=tokenizer,
        eos_token_ids=[1],
        rollout_buffer=queue.Queue(),
        model_version_value=SimpleNamespace(value=0),
        heartbeat_value=SimpleNamespace(value=0.0),
        failed_event=None,
        exception_info_queue=None,
        metrics_queue=queue.Queue(),
        num_generations=4,
        **options,
    )


def make_group(tokenizer, texts=TEXTS, rows=(1, 1, 1, 1), **columns):
    """A group as `_generate_loop` hands it over; `rows` says how many training rows each rollout has."""
    prompt = [{"role": "user", "content": "1+4 mod 10=?\n"}]
    head = tokenizer("1+4 mod 10=?\n")["input_ids"]
    sequences = []
    for text, count in zip(texts, rows, strict=True):
        tail = [*tokenizer(text)["input_ids"], 1]
        mask, logps = [0] * len(head) + [1] * len(tail), [0.0] * len(head) + [-1.0] * len(tail)
        sequences.append([TrainingSequence(head + tail, mask, logps, "r")] * count)
    return RolloutGroup(
        prompts=[prompt] * len(texts),
        reward_kwargs={name: [value] * len(texts) for name, value in ({"answer": "5"} | columns).items()},
        completions=[[{"role": "assistant", "content": text}] for text in texts],
        completions_ids=[[1]] * len(texts),
        completions_sequences=sequences,
        tool_call_counts=[0] * len(texts),
        tool_failure_counts=[0] * len(texts),
        model_version=3,
        group_id=7,
        env_rewards=[None] * len(texts),
        rollout_rewards=[None] * len(texts),
    )


def score(loop, group):
    return asyncio.run(loop._score_group(group))


def without_guard(sample):
    """Everything that TRL reads of a sample, the guard's metrics left out."""
    fields = dataclasses.asdict(sample)
    fields["metrics"] = {name: value for name, value in fields["metrics"].items() if "rlguard" not in name}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
def test_a_scored_group_is_rewritten_before_it_is_queued(tokenizer, monkeypatch, weight):
    set_weight(monkeypatch, weight)
    host = score(make_loop(_AsyncRolloutLoop, tokenizer), make_group(tokenizer))
    used = score(make_loop(GuardedLoop, tokenizer), make_group(tokenizer))
    assert [s.advantage for s in host] == pytest.approx([1, 1, -1, -1])
    assert [s.advantage for s in used] == pytest.approx([weight * s.advantage for s in host])
    assert [s.metrics["rlguard/weight"] for s in used] == [weight, weight, 1, 1]
    for before, after in zip(host, used, strict=True):
        assert without_guard(after) == without_guard(before) | {"advantage": after.advantage}
    if weight == 1:
        assert [s.advantage for s in used] == [s.advantage for s in host]


@pytest.mark.parametrize("masks", [True, False])
def test_a_silent_groups_tokens_are_masked(tokenizer, masks):
    loop = make_loop(GuardedLoop, tokenizer, guard=GuardConfig(mask_silent=masks))
    for texts, silent in ((TEXTS, False), (TEXTS[2:] * 2, True)):
        trained = [int(sample.completion_mask.sum()) for sample in score(loop, make_group(tokenizer, texts))]
        assert all(trained) if not (masks and silent) else trained == [0] * 4


def test_the_guard_sees_texts_and_the_data_row(tokenizer):
    """The real guard, twice: what the loop queues is what `Guard.apply` says of the same group."""
    row = {"rlguard_id": "p7", "rlguard_successes": 1, "rlguard_trials": 64, "rlguard_chance_rate": 0.1}
    loop, group = make_loop(GuardedLoop, tokenizer), make_group(tokenizer, **row)
    host = score(make_loop(_AsyncRolloutLoop, tokenizer), group)
    alone = Guard()
    for _ in range(2):
        used = score(loop, group)
        judged = alone.apply(
            np.array([s.advantage for s in host]), np.array([1.0, 1, 0, 0]),
            prompts_B=group.prompts, completions_B=group.completions,
            rows_B=[row | {"answer": "5"}] * 4, group_ids_B=np.zeros(4),
        )  # fmt: skip
        assert [s.advantage for s in used] == (judged.advantages_B * judged.step_scale).tolist()
        assert [s.metrics["rlguard/weight"] for s in used] == judged.weights_B.tolist()
        assert used[0].metrics["rlguard/weight"] < used[1].metrics["rlguard/weight"]  # a bare answer, a computed one
        assert [s.metrics[trl_async.KEPT_SQUARE] for s in used] == [s.advantage**2 for s in used]
    assert loop.guard.state_dict() == alone.state_dict()
    assert "p7" in json.dumps(loop.guard.state_dict())


def test_rows_of_one_rollout_share_its_advantage_and_a_rollout_without_rows_still_votes(tokenizer, monkeypatch):
    set_weight(monkeypatch, 0.5)
    texts = [TEXTS[0], TEXTS[2], TEXTS[3], TEXTS[2]]  # the one success has no row
    full = score(make_loop(GuardedLoop, tokenizer), make_group(tokenizer, texts))
    forked = score(make_loop(GuardedLoop, tokenizer), make_group(tokenizer, texts, rows=(0, 2, 1, 3)))
    assert full[0].advantage > 0 > full[1].advantage
    assert [s.advantage for s in forked] == [full[i].advantage for i in (1, 1, 2, 3, 3, 3)]
    assert all(len(s.input_ids) for s in forked)
    nothing = score(make_loop(GuardedLoop, tokenizer), make_group(tokenizer, rows=(0, 0, 0, 0)))
    assert nothing == []


def test_observe_queues_what_the_host_would(tokenizer, monkeypatch):
    set_weight(monkeypatch, 0.5)
    host = score(make_loop(_AsyncRolloutLoop, tokenizer), make_group(tokenizer))
    seen = score(make_loop(GuardedLoop, tokenizer, guard=GuardConfig(mode="observe")), make_group(tokenizer))
    assert [without_guard(s) for s in seen] == [without_guard(s) for s in host]
    squares = [[s.metrics[name] for s in seen] for name in (trl_async.HOST_SQUARE, trl_async.KEPT_SQUARE)]
    assert sum(squares[1]) == pytest.approx(0.25 * sum(squares[0]))  # the log knows what would have been left


def test_unscored_rollouts_get_nothing(tokenizer):
    def moody(completions, answer, **_):
        return [None, *correct(completions, answer)[1:]]

    used = score(make_loop(GuardedLoop, tokenizer, [moody]), make_group(tokenizer))
    assert used[0].advantage == 0
    assert used[0].metrics["rlguard/unscored_share"] == 0.25
    assert sum(s.advantage for s in used) == pytest.approx(0, abs=1e-6)


def test_an_infinite_reward_silences_its_group(tokenizer):
    """TRL's advantages of the group are NaN, which would end the policy."""

    def broken(completions, answer, **_):
        return [float("inf"), *correct(completions, answer)[1:]]

    with np.errstate(invalid="ignore"):
        host = score(make_loop(_AsyncRolloutLoop, tokenizer, [broken]), make_group(tokenizer))
        used = score(make_loop(GuardedLoop, tokenizer, [broken]), make_group(tokenizer))
    assert np.isnan([s.advantage for s in host]).any()
    assert [s.advantage for s in used] == [0, 0, 0, 0]
    assert [s.metrics[trl_async.HOST_SQUARE] for s in used] == [0, 0, 0, 0]


def test_the_outcome_is_the_reward_that_was_named(tokenizer, monkeypatch):
    set_weight(monkeypatch, 0.0)
    rewards = [brief, correct]
    guard = GuardConfig(outcome_reward="correct")
    used = score(make_loop(GuardedLoop, tokenizer, rewards, guard=guard), make_group(tokenizer))
    host = score(make_loop(_AsyncRolloutLoop, tokenizer, rewards), make_group(tokenizer))
    assert [s.metrics["rlguard/weight"] for s in used] == [0, 0, 1, 1]
    short, long = len(TEXTS[0]) / 40, len(TEXTS[1]) / 40
    left = np.array([short, long, short, short])  # the reward for length stays, at the host's own scale
    scale = np.std(left + np.array([1, 1, 0, 0]))
    np.testing.assert_allclose([s.advantage for s in used], (left - left.mean()) / scale, atol=1e-6)
    assert [s.metrics["reward"] for s in used] == [s.metrics["reward"] for s in host]
    with pytest.raises(ValueError, match=r"expected one of \['brief', 'correct'\]"):
        make_loop(GuardedLoop, tokenizer, rewards, guard=GuardConfig(outcome_reward="accuracy"))


def test_a_fault_of_the_guard_leaves_the_host_as_it_is(tokenizer, monkeypatch, caplog):
    host = score(make_loop(_AsyncRolloutLoop, tokenizer), make_group(tokenizer, rows=(2, 1, 1, 0)))
    loop = make_loop(GuardedLoop, tokenizer)
    monkeypatch.setattr(loop.guard, "apply", lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.ERROR):
        used = score(loop, make_group(tokenizer, rows=(2, 1, 1, 0)))
        score(loop, make_group(tokenizer))
    assert [without_guard(s) for s in used] == [without_guard(s) for s in host]
    assert caplog.text.count("failed at group 7, which is trained on as it is") == 1  # said once


def test_the_state_survives_in_its_file(tokenizer, tmp_path):
    first = make_loop(GuardedLoop, tokenizer, guard_state=tmp_path / STATE_FILE)
    score(first, make_group(tokenizer))
    second = make_loop(GuardedLoop, tokenizer, guard_state=tmp_path / STATE_FILE)
    assert second.guard.state_dict() == first.guard.state_dict() != Guard().state_dict()
