"""The monitor in TRL's own trainers on the tiny model, and its callback without one."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from tiny_reasoner.tasks import make_problems  # noqa: E402
from tiny_trl import build, weights_of  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from rlguard.integrations.trl import GuardedGRPOTrainer  # noqa: E402
from rlguard.integrations.trl_monitor import STATE, Canary, MonitorCallback  # noqa: E402
from rlguard.monitor import MonitorConfig  # noqa: E402
from rlguard.monitor.journal import EVENTS, FIGURES, read_events, read_figures, replay  # noqa: E402
from rlguard.monitor.logs import find_state, read_log  # noqa: E402
from rlguard.monitor.watches import WATCHES, Watch  # noqa: E402
from rlguard.types import InputError, Sampling  # noqa: E402

ROWS = make_problems(["add", "sub"], 16, 9, held_out=True)
SMALL = {"per_device_train_batch_size": 8, "num_generations": 4, "logging_steps": 1}
ALWAYS = MonitorConfig(
    watches=(*(w for w in WATCHES if w.figure != "reward"), Watch("reward", (), True, limit=(-1.0, -1.0), window=2))
)
"""Alarms at the second step."""


def canary(**options):
    return Canary(ROWS, **({"every": 2, "n": 2, "sampling": Sampling(max_tokens=40), "verifier": "exact"} | options))


def train(trainer_class, folder, callback, steps=4, config=None, resume=None, **options):
    settings = {"max_steps": steps} | SMALL | (config or {})
    trainer = build(trainer_class, folder, config=settings, callbacks=[callback] if callback else [], **options)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_a_guarded_run_with_a_canary_is_watched_and_left_as_it_was(tmp_path, capfd):
    plain = weights_of(train(GuardedGRPOTrainer, tmp_path / "plain", None))
    callback = MonitorCallback(canary=canary())
    watched = weights_of(train(GuardedGRPOTrainer, tmp_path / "run", callback))
    assert torch.equal(plain, watched)
    rows = read_figures(tmp_path / "run" / FIGURES)
    assert [step for step, _ in rows] == [1, 2, 3, 4]
    names = {"length", "entropy", "flat_groups", "unsolved_groups", "findings"}
    assert all(names <= row.keys() for _, row in rows)
    assert ["canary" in row for _, row in rows] == [True, True, False, True]  # the first look goes to step 1
    assert 0.3 < rows[0][1]["canary"] <= 1
    assert callback.monitor.tracks["canary"].reference.known
    assert callback.faults == 0
    assert "rlguard     4" in capfd.readouterr().err


def test_a_plain_run_is_watched_by_what_trl_logs(tmp_path, capfd):
    callback = MonitorCallback(folder=tmp_path / "watched", show=False)
    train(GRPOTrainer, tmp_path / "run", callback, steps=2)
    rows = read_figures(tmp_path / "watched" / FIGURES)
    names = {"reward", "length", "truncated", "entropy", "flat_groups", "grad_norm", "clip_fraction"}
    assert [names - set(row) for _, row in rows] == [set()] * 2
    assert any(name.startswith("rewards/") for name in rows[0][1])
    assert callback.monitor.unread == {}
    assert "rlguard  " not in capfd.readouterr().err


def test_halt_ends_training_and_the_user_is_told(tmp_path):
    told = []
    callback = MonitorCallback(ALWAYS, on_event=told.append, halt="critical", show=False)
    trainer = train(GRPOTrainer, tmp_path, callback)
    assert trainer.state.global_step == 2
    assert [(event.figure, event.severity, event.step) for event in told] == [("reward", "critical", 2)]
    assert read_events(tmp_path / EVENTS) == told == callback.events


def test_alarms_stand_in_the_trainers_log_and_above_its_progress_bar(tmp_path, capfd, monkeypatch):
    told, alerts = [], []
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=SimpleNamespace(alert=lambda **a: alerts.append(a))))
    callback = MonitorCallback(ALWAYS, on_event=[told.append, told.append], show=True)
    trainer = train(GRPOTrainer, tmp_path, callback, steps=3, config={"disable_tqdm": False})
    assert len(told) == 2 * len(callback.events) > 0
    rows = {row["step"]: row for row in trainer.state.log_history if "loss" in row}
    assert [rows[step]["rlguard/alarms"] for step in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert rows[2]["rlguard/alarm/reward"] == 2.0
    assert [alert["title"] for alert in alerts] == ["rlguard: reward"]
    lines = capfd.readouterr().err.replace("\r", "\n").splitlines()
    assert any(line.startswith("step 2: critical: reward stands at") for line in lines)  # on a line of its own
    assert not any("rlguard     " in line and "it/s" in line for line in lines)


def test_a_fault_does_not_end_training(tmp_path, caplog):
    def fail(event):
        raise RuntimeError("of the user's")

    (tmp_path / "file").write_text("")
    callback = MonitorCallback(ALWAYS, on_event=fail, show=False)
    with caplog.at_level(logging.ERROR):
        trainer = train(GRPOTrainer, tmp_path / "run", callback, steps=3)
        nowhere = MonitorCallback(ALWAYS, folder=tmp_path / "file", halt="critical", show=False)
        halted = train(GRPOTrainer, tmp_path / "other", nowhere, steps=3)
    assert trainer.state.global_step == 3
    assert callback.faults == 1
    assert nowhere.faults == 2  # nothing could be written, and it halts all the same
    assert halted.state.global_step == 2
    assert caplog.text.count("the monitor failed, training goes on") == 2


def test_a_canary_that_cannot_be_judged_is_a_fault(tmp_path):
    class Never:
        name, version = "never", "1"

        def extract(self, completion):
            return None

        def score(self, completion, problem):
            raise ValueError("no")

    callback = MonitorCallback(canary=canary(verifier=Never()), show=False)
    train(GRPOTrainer, tmp_path, callback, steps=2)
    assert callback.faults == 2
    assert all("canary" not in row for _, row in read_figures(tmp_path / FIGURES))


def test_a_resumed_run_goes_on_from_its_checkpoint(tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 2}
    whole = MonitorCallback(ALWAYS, canary=canary(), show=False)
    train(GRPOTrainer, tmp_path / "run", whole, config=saving)
    expected = whole.monitor.state_dict()
    rows, events = read_figures(tmp_path / "run" / FIGURES), read_events(tmp_path / "run" / EVENTS)
    saved = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())
    assert saved["stateful_callbacks"][STATE]["attributes"]["step"] == 2
    resumed = MonitorCallback(ALWAYS, canary=canary(), show=False)
    train(GRPOTrainer, tmp_path / "run", resumed, config=saving, resume=str(tmp_path / "run" / "checkpoint-2"))
    assert [step for step, _ in read_figures(tmp_path / "run" / FIGURES)] == [1, 2, 3, 4]
    assert read_figures(tmp_path / "run" / FIGURES)[:2] == rows[:2]
    assert read_events(tmp_path / "run" / EVENTS) == events
    base = expected["tracks"]["canary"]["reference"]
    assert resumed.monitor.state_dict()["tracks"]["canary"]["reference"] == base
    assert replay(read_log(find_state(tmp_path / "run"))) == []


def test_rows_of_others_wait_for_the_step_they_belong_to(tmp_path):
    callback = MonitorCallback(folder=tmp_path, show=False)
    state = SimpleNamespace(global_step=0, is_world_process_zero=True, stateful_callbacks={})
    arguments = SimpleNamespace(output_dir=str(tmp_path))
    callback.on_train_begin(arguments, state, None)
    state.global_step = 1
    callback.on_log(None, state, None, logs={"audit/all/accuracy": 0.75})
    callback.on_log(None, state, None, logs={"eval_loss": 1.0, "eval_entropy": 3.0})
    callback.on_log(None, state, None, logs={"loss": 1.0, "entropy": 0.5})
    callback.on_log(None, state, None, logs={"loss": 1.0, "entropy": 0.7})  # the same step once more
    callback.on_log(None, state, None, logs={"train_loss": 1.0})
    assert read_figures(tmp_path / FIGURES) == [(1, {"entropy": 0.5, "canary": 0.75})]
    other = SimpleNamespace(global_step=2, is_world_process_zero=False, stateful_callbacks={})
    callback.on_log(None, other, None, logs={"loss": 1.0, "entropy": 0.5})
    assert len(read_figures(tmp_path / FIGURES)) == 1


def train_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    callback = MonitorCallback(ALWAYS, halt="critical", canary=canary(every=1), show=False)
    trainer = train(GuardedGRPOTrainer, folder, callback, config={"per_device_train_batch_size": 4})
    torch.save([trainer.state.global_step, len(callback.events), callback.faults], f"{folder}/{rank}.pt")


def test_two_ranks_stop_together_and_one_of_them_writes(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(train_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert (first, second) == ([2, 2, 0], [2, 0, 0])  # the canary's reference, and the alarm
    assert [step for step, _ in read_figures(tmp_path / FIGURES)] == [1, 2]


def test_settings_are_checked():
    with pytest.raises(InputError, match="halt: expected"):
        MonitorCallback(halt="note")
    with pytest.raises(InputError, match="every and n of at least 1"):
        canary(every=0)
    with pytest.raises(InputError, match="row 1: expected a prompt and an answer"):
        Canary([ROWS[0], {"prompt": "1+1=?"}])
    with pytest.raises(InputError, match="at least one row"):
        Canary([])
