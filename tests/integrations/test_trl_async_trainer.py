"""The guard in TRL's own asynchronous GRPO: its loop, its worker process and its trainer, on one CPU core.

Two things stand in: an HTTP server that answers `/v1/completions` from a script where vLLM would, and plain attention
where TRL's packing calls a GPU kernel. Weights go nowhere, for there is no server that would take them.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("aiohttp")

from async_trl import GOLD, PROBLEMS, ROWS, correct, tiny_tokenizer  # noqa: E402
from conftest import TINY, set_weight  # noqa: E402
from trl.experimental.async_grpo import (  # noqa: E402
    AsyncGRPOConfig,
    AsyncGRPOTrainer,
    async_grpo_trainer,
    async_rollout_worker,
    packing,
)
from trl.experimental.async_grpo.async_rollout_worker import (  # noqa: E402
    AsyncRolloutWorker,
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


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


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
    with pytest.raises(RuntimeError, match=rf"{says}.*pip install 'trl>=1\.10,<1\.17'"):
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
