"""The guard in TRL's own asynchronous GRPO: its loop, its worker process and its trainer, on one CPU core.

Two things stand in: an HTTP server that answers `/v1/completions` from a script where vLLM would, and plain attention
where TRL's packing calls a GPU kernel. Weights go nowhere, for there is no server that would take them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import queue
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("aiohttp")

from accelerate import PartialState  # noqa: E402
from conftest import TINY  # noqa: E402
from datasets import Dataset  # noqa: E402
from tiny_reasoner.tasks import find_answer, make_problems  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402
from trl.experimental.async_grpo import (  # noqa: E402
    AsyncGRPOConfig,
    AsyncGRPOTrainer,
    async_grpo_trainer,
    async_rollout_worker,
    packing,
)
from trl.experimental.async_grpo.async_rollout_worker import (  # noqa: E402
    AsyncRolloutWorker,
    RolloutGroup,
    TrainingSequence,
    _AsyncRolloutLoop,
)

from rlguard.guard import Guard, GuardConfig  # noqa: E402
from rlguard.integrations import trl_async  # noqa: E402
from rlguard.integrations.trl import STATE_FILE  # noqa: E402
from rlguard.integrations.trl_async import (  # noqa: E402
    GuardAsyncMixin,
    GuardedAsyncGRPOTrainer,
    GuardLoopMixin,
    SampleScaler,
    check_signatures,
)

PROBLEMS = make_problems({"add": 1, "unlearnable": 1}, 8, 5)
GOLD = {row["prompt"]: row["answer"] for row in PROBLEMS}
ROWS = Dataset.from_list(
    [
        {"prompt": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"], "rlguard_id": row["prompt"]}
        for row in PROBLEMS
    ]
)
TEXTS = ["answer 5", "1+4=5;answer 5", "answer 6", "answer 7"]
"""Completions of a group whose gold answer is 5: two successes, two failures."""


def correct(completions, answer, **_):
    return [float(find_answer(c[0]["content"]) == gold) for c, gold in zip(completions, answer, strict=True)]


def brief(completions, **_):
    return [len(c[0]["content"]) / 40 for c in completions]


def tiny_tokenizer():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    # TRL knows neither of these for this chat template; the first is for transformers from 5.13 on.
    tokenizer.response_template = {"defaults": {"role": "assistant"}}
    content = {"type": "string", "x-regex": r"^(.*?)(?:<eos>|$)"}
    tokenizer.response_schema = {"type": "object", "properties": {"role": {"const": "assistant"}, "content": content}}
    return tokenizer


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


def set_weight(monkeypatch, weight):
    monkeypatch.setattr("rlguard.guard.success_weights", lambda g, *_, w=weight: np.full(len(g), w))


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
        assert [s.advantage for s in used] == judged.advantages_B.tolist()
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


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_drop_leaves_one_token_without_advantage(tokenizer, monkeypatch, weight):
    set_weight(monkeypatch, weight)
    host = score(make_loop(_AsyncRolloutLoop, tokenizer), make_group(tokenizer))
    used = score(make_loop(GuardedLoop, tokenizer, guard=GuardConfig(mode="drop")), make_group(tokenizer))
    if weight:
        assert [without_guard(s) for s in used] == [without_guard(s) for s in host]
        return
    assert [s.advantage for s in used] == [0, 0, 0, 0]
    for before, after in zip(host, used, strict=True):
        assert after.completion_mask.sum() == 1
        assert after.completion_mask.argmax() == before.completion_mask.argmax()
        assert after.input_ids.tolist() == before.input_ids.tolist()


def test_unscored_rollouts_get_nothing(tokenizer):
    def moody(completions, answer, **_):
        return [None, *correct(completions, answer)[1:]]

    used = score(make_loop(GuardedLoop, tokenizer, [moody]), make_group(tokenizer))
    assert used[0].advantage == 0
    assert used[0].metrics["rlguard/unscored_share"] == 0.25
    assert sum(s.advantage for s in used) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mode", ["rewrite", "drop"])
def test_an_infinite_reward_silences_its_group(tokenizer, mode):
    """TRL's advantages of the group are NaN, which would end the policy."""

    def broken(completions, answer, **_):
        return [float("inf"), *correct(completions, answer)[1:]]

    with np.errstate(invalid="ignore"):
        host = score(make_loop(_AsyncRolloutLoop, tokenizer, [broken]), make_group(tokenizer))
        used = score(make_loop(GuardedLoop, tokenizer, [broken], guard=GuardConfig(mode=mode)), make_group(tokenizer))
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


def test_a_slow_disk_is_written_to_rarely(tokenizer, tmp_path, monkeypatch):
    loop = make_loop(GuardedLoop, tokenizer, guard_state=tmp_path / STATE_FILE)
    now, written = [100.0], []
    monkeypatch.setattr(trl_async.time, "monotonic", lambda: now[0])

    def save(_):
        written.append(now[0])
        now[0] += 1.0  # a write takes a second

    monkeypatch.setattr(loop.guard, "save", save)
    for _ in range(100):
        loop._save_guard()
        now[0] += 1.0
    assert written == [100.0, 121.0, 142.0, 163.0, 184.0]


# --- the trainer ---


class Handler(BaseHTTPRequestHandler):
    """Answers as vLLM would: of each four rollouts of a prompt, a right answer stated barely, and three wrong ones."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        prompt = server.tokenizer.decode(asked["prompt"])
        number = server.asked[prompt]
        server.asked[prompt] += 1
        text = f"answer {int(GOLD[prompt]) + number % 4}"
        ids = [*server.tokenizer(text)["input_ids"], 1]
        body = json.dumps({"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": [-1.0] * len(ids)}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tokenizer, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.tokenizer, server.asked = tokenizer, Counter()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(packing, "_flash_attn", lambda: SimpleNamespace(flash_attn_varlen_func=attend))
    monkeypatch.setattr(async_rollout_worker, "is_vllm_available", lambda: True)
    monkeypatch.setattr(async_grpo_trainer, "get_peak_flops_per_device", lambda *_: None)  # asks CUDA for its name
    yield server
    server.shutdown()
    server.server_close()


def attend(query, key, value, starts_q, starts_k, _longest_q, _longest_k, softmax_scale, causal, **_):
    """What the kernel computes, segment by segment: each query sees the keys up to its own place from the end."""
    assert causal
    out = torch.empty_like(query)
    for (q0, q1), (k0, k1) in zip(pairwise(starts_q), pairwise(starts_k), strict=True):
        seen = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool).tril(diagonal=int((k1 - k0) - (q1 - q0)))
        parts = (x.transpose(0, 1) for x in (query[q0:q1], key[k0:k1], value[k0:k1]))
        mixed = torch.nn.functional.scaled_dot_product_attention(*parts, attn_mask=seen, scale=softmax_scale)
        out[q0:q1] = mixed.transpose(0, 1)
    return out


class ThreadWorker(AsyncRolloutWorker):
    """TRL's worker with its loop in a thread of this process: no new interpreter, and monkeypatches reach it."""

    def start(self):
        for waiting in (self.rollout_buffer, self.metrics_queue):
            waiting.cancel_join_thread()  # at exit nobody reads what is left in them
        self._heartbeat_value.value = time.time()
        self.loop = self._loop_cls(
            **self._loop_kwargs,
            rollout_buffer=self.rollout_buffer,
            model_version_value=self._model_version_value,
            heartbeat_value=self._heartbeat_value,
            failed_event=self._failed_event,
            exception_info_queue=self._exception_info_queue,
            metrics_queue=self.metrics_queue,
        )
        if isinstance(self.loop, GuardLoopMixin):
            self.loaded = json.dumps(self.loop.guard.state_dict())
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.loop._loop.call_soon_threadsafe(self.loop._stop_event.set)
        self.thread.join(20)
        assert not self.thread.is_alive()


class NoTransfer:
    def init_weight_transfer(self): ...

    def pause(self): ...

    def send_weights(self, iterator): ...

    def resume(self): ...

    def destroy(self): ...


def build(trainer_class, folder, server, monkeypatch=None, config=None, **options):
    """A trainer whose worker is a thread; without `monkeypatch` it is TRL's own process."""
    server.asked.clear()  # every run is answered alike
    if monkeypatch is not None:
        monkeypatch.setattr(async_grpo_trainer, "AsyncRolloutWorker", ThreadWorker)
    settings = {
        "output_dir": str(folder), "max_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4,
        "max_completion_length": 20, "token_budget": 0, "learning_rate": 1e-3, "max_inflight_tasks": 1,
        "max_staleness": 1000, "vllm_server_base_url": f"http://127.0.0.1:{server.server_port}", "report_to": "none",
        "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "save_strategy": "no", "disable_tqdm": True,
    }  # fmt: skip
    return trainer_class(
        model=str(TINY),
        reward_funcs=correct,
        args=AsyncGRPOConfig(**(settings | (config or {}))),
        train_dataset=ROWS,
        processing_class=tiny_tokenizer(),
        weight_transfer=NoTransfer(),
        **options,
    )


def weights_of(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def logged(trainer):
    return [row for row in trainer.state.log_history if "loss" in row]


def test_steps_are_guarded_logged_and_checkpointed(tmp_path, server, monkeypatch):
    config = {"save_strategy": "steps", "save_steps": 1, "weight_decay": 0.0}
    trainer = build(GuardedAsyncGRPOTrainer, tmp_path, server, monkeypatch, config)
    before = weights_of(trainer)
    trainer.train()
    assert not torch.equal(before, weights_of(trainer))
    for row in logged(trainer):
        for name in ("lucky_share", "weight", "flagged_share", "chance_rate", "step_scale"):
            assert 0 <= row[f"rlguard/{name}"] <= 1, name
        assert row["reward"] == pytest.approx(0.25)
        assert not any("square" in name for name in row)
    state = Guard()
    state.load(tmp_path / "checkpoint-2" / STATE_FILE)
    assert PROBLEMS[0]["prompt"].strip() in json.dumps(state.state_dict())

    resumed = build(GuardedAsyncGRPOTrainer, tmp_path, server, monkeypatch, config | {"max_steps": 3})
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.state.global_step == 3
    again = Guard()
    again.load(tmp_path / "checkpoint-3" / STATE_FILE)
    assert json.loads(resumed.rollout_worker.loaded) == state.state_dict() != again.state_dict()


def test_observe_trains_bit_identically_and_weight_zero_not_at_all(tmp_path, server, monkeypatch, tokenizer):
    ends = {}
    for name, trainer_class, guard in (
        ("plain", AsyncGRPOTrainer, {}),
        ("observe", GuardedAsyncGRPOTrainer, {"guard": GuardConfig(mode="observe")}),
        ("lucky", GuardedAsyncGRPOTrainer, {}),
    ):
        if name == "lucky":
            set_weight(monkeypatch, 0.0)
        trainer = build(trainer_class, tmp_path / name, server, monkeypatch, **guard)
        start = weights_of(trainer)
        trainer.train()
        ends[name] = weights_of(trainer)
        assert trainer.optimizer.param_groups[0]["lr"] == 1e-3
    assert torch.equal(ends["plain"], ends["observe"])
    assert torch.equal(ends["lucky"], start)
    assert not torch.equal(ends["plain"], start)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_step_shrinks_with_the_rows_that_feed_it(tmp_path, server, monkeypatch, accumulate):
    moved = {}
    config = {"max_steps": 1, "per_device_train_batch_size": 8, "gradient_accumulation_steps": accumulate}
    for weight, scale_steps in ((1.0, True), (0.5, True), (0.5, False)):
        set_weight(monkeypatch, weight)
        guard = GuardConfig(scale_steps=scale_steps)
        trainer = build(GuardedAsyncGRPOTrainer, tmp_path, server, monkeypatch, config, guard=guard)
        before = weights_of(trainer)
        trainer.train()
        moved[weight, scale_steps] = float((weights_of(trainer) - before).norm())
        assert logged(trainer)[0]["rlguard/step_scale"] == pytest.approx(weight)
    assert moved[0.5, True] == pytest.approx(0.5 * moved[1.0, True], rel=0.02)
    assert moved[0.5, False] == pytest.approx(moved[1.0, True], rel=0.02)


def test_drop_takes_the_lucky_groups_out_of_the_loss(tmp_path, server, monkeypatch):
    """Every group is lucky: one token a row stays in the denominator and nothing moves."""
    set_weight(monkeypatch, 0.0)
    trainer = build(GuardedAsyncGRPOTrainer, tmp_path, server, monkeypatch, guard=GuardConfig(mode="drop"))
    before = weights_of(trainer)
    trainer.train()
    assert torch.equal(before, weights_of(trainer))
    assert [row["batch/trained_tokens_per_step"] for row in logged(trainer)] == [8, 8]
    assert {0, 1, 2, 3} <= trainer._trained_groups  # epochs and resuming count them as trained


def test_the_worker_process_is_guarded(tmp_path, server):
    """TRL's own worker in its own interpreter, which finds the guard by itself."""
    trainer = build(GuardedAsyncGRPOTrainer, tmp_path, server, config={"save_strategy": "steps", "save_steps": 2})
    trainer.train()
    assert len(logged(trainer)) == 2
    assert all("rlguard/weight" in row for row in logged(trainer))
    state = Guard()
    state.load(tmp_path / "checkpoint-2" / STATE_FILE)
    assert PROBLEMS[0]["prompt"].strip() in json.dumps(state.state_dict())


def test_a_step_takes_its_own_rows_alone():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    told, seen = defaultdict(list), []
    scaler = SampleScaler(True, told)

    def step(*batches):
        for squares in batches:
            scaler.add_rows(squares)
        scaler.on_pre_optimizer_step(None, None, None, optimizer=optimizer)
        seen.append(optimizer.param_groups[0]["lr"])
        scaler.on_optimizer_step(None, None, None, optimizer=optimizer)

    step([4, 1])
    step([3, 1], [1, 0])  # two micro-batches, one step
    step([0, 0])  # groups that all pass or all fail: nothing was taken
    step([4, 0])
    assert seen == told["rlguard/step_scale"] == pytest.approx([0.5, 0.5, 1.0, 0.0])
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_rows_that_no_guard_saw_count_as_unchanged():
    marked = {"advantage": 0.5, "metrics": {trl_async.HOST_SQUARE: 1.0, trl_async.KEPT_SQUARE: 0.25, "reward": 1.0}}
    bare = {"advantage": -2.0, "metrics": {"reward": 0.0}}
    rows = [SimpleNamespace(samples=[marked, bare]), SimpleNamespace(samples=[bare])]
    batch = trl_async.collate(lambda examples: {"rows": len(examples[0])}, [rows])
    assert batch["rows"] == 2
    assert batch[trl_async.SQUARES].tolist() == [[9.0, 8.25]] * 2  # one row for each rank, the same on all
    assert marked["metrics"] == {"reward": 1.0}


def test_a_worker_of_another_kind_is_refused_with_advice(tmp_path, server):
    class Foreign:
        rollout_buffer = metrics_queue = queue.Queue()

    with pytest.raises(TypeError, match=r"expected TRL's AsyncRolloutWorker .*, got Foreign.*GuardLoopMixin"):
        build(GuardedAsyncGRPOTrainer, tmp_path, server, rollout_worker=Foreign())


@pytest.mark.parametrize(
    ("owner", "name", "says"),
    [
        (
            _AsyncRolloutLoop,
            "_score_group",
            r"_score_group\(self, group\), but here it is \(self, other\)",
        ),
        (AsyncGRPOTrainer, "training_step", r"AsyncGRPOTrainer\.training_step"),
        (async_grpo_trainer.DataCollatorForRollout, "torch_call", "DataCollatorForRollout"),
    ],
)
def test_a_trl_that_changed_is_refused_with_advice(monkeypatch, owner, name, says):
    check_signatures()
    monkeypatch.setattr(owner, name, lambda self, other: None)
    with pytest.raises(RuntimeError, match=rf"{says}.*pip install 'trl>=1\.16,<1\.17'"):
        check_signatures()


def test_a_worker_that_lost_its_seam_is_refused(monkeypatch):
    monkeypatch.delattr(AsyncRolloutWorker, "_loop_cls")
    with pytest.raises(RuntimeError, match="does not start its `_loop_cls`"):
        check_signatures()


def test_the_mixin_stands_in_front_of_a_trainer_of_ones_own():
    class Mine(AsyncGRPOTrainer):
        pass

    class Guarded(GuardAsyncMixin, Mine):
        pass

    assert Guarded.__mro__.index(GuardAsyncMixin) < Guarded.__mro__.index(Mine)
