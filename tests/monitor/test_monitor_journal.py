"""What the monitor leaves on disk, and `rlguard watch`, which reads it."""

from __future__ import annotations

import gzip
import http.server
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np
import pytest
from typer.testing import CliRunner

from rlguard.cli.main import app
from rlguard.cli.watch import PATIENCE
from rlguard.monitor import Monitor
from rlguard.monitor.alerts import Webhook
from rlguard.monitor.journal import EVENTS, FIGURES, Journal, read_events, read_figures, replay
from rlguard.monitor.logs import find_log, find_state, read_log
from rlguard.monitor.view import write_line
from rlguard.report.serve import serve_report
from rlguard.types import InputError

RUNNER = CliRunner()


def keep(folder, count=90, fall=80, start=1):
    journal = Journal(folder)
    events = []
    for step in range(start, start + count):
        logs = {"completions/mean_length": 100 + step % 3 if step < fall else 20, "loss": 0.1, "lr": float("nan")}
        events += journal.see(step, logs)
    return journal, events


def test_a_journal_holds_what_was_seen_and_said(tmp_path):
    _, events = keep(tmp_path / "run")
    rows = read_figures(tmp_path / "run" / FIGURES)
    assert rows[0] == (1, {"length": 101.0})
    assert len(rows) == 90
    assert read_events(tmp_path / "run" / EVENTS) == events
    assert [event.severity for event in events] == ["note", "critical"]
    assert replay(rows) == events


def test_a_new_run_puts_the_old_files_aside(tmp_path):
    keep(tmp_path)
    keep(tmp_path, count=3)
    assert len(read_figures(tmp_path / FIGURES)) == 3
    assert not (tmp_path / EVENTS).exists()
    assert len(read_figures(tmp_path / f"{FIGURES}.old")) == 90


@pytest.mark.parametrize("saved", [True, False])
def test_a_resumed_run_takes_back_what_lies_beyond_its_checkpoint(tmp_path, saved):
    _, whole = keep(tmp_path / "whole", count=100)
    early, _ = keep(tmp_path / "run", count=60)
    state = early.monitor.state_dict()
    _, _ = keep_on(early, 61, 70)
    monitor = Monitor()
    if saved:
        monitor.load_state_dict(state)
    later = Journal(tmp_path / "run", monitor)
    later.resume(60)
    keep_on(later, 61, 100)
    assert read_figures(tmp_path / "run" / FIGURES) == read_figures(tmp_path / "whole" / FIGURES)
    assert read_events(tmp_path / "run" / EVENTS) == whole


def keep_on(journal, first, last):
    events = []
    for step in range(first, last + 1):
        events += journal.see(step, {"length": 100 + step % 3 if step < 80 else 20})
    return journal, events


def test_half_written_lines_are_left_out_and_wrong_ones_named(tmp_path):
    journal, _ = keep(tmp_path, count=5)
    path = tmp_path / FIGURES
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 6, "len')
    assert len(read_figures(path)) == 5
    journal.see(6, {"length": 100})
    assert [step for step, _ in read_figures(path)] == [1, 2, 3, 4, 5, 6]
    for line, what in (
        (b"nonsense\n", "expected one JSON object, got 'nonsense'"),
        (b"[1]\n", "expected one JSON object, got list"), (b'{"length": 3}\n', "expected a step"),
        (b'{"step": 7, "length": "x"}\n', "expected a step and figures"),
        (b'{"step": 7.5, "length": 1}\n', "expected a step and figures"),
        (b'{"step": 7, "length": 1%b}\n' % (b"0" * 400), "expected a step and figures"),
        (b'{"step": 1%b, "length": 1}\n' % (b"0" * 400), "expected a step and figures"),
    ):  # fmt: skip
        path.write_bytes(whole + line)
        with pytest.raises(InputError, match=f"line 6: {what}"):
            read_figures(path)
    (tmp_path / EVENTS).write_text('{"step": 1}\n')
    with pytest.raises(InputError, match="line 1: expected an event"):
        read_events(tmp_path / EVENTS)


def trainer_state(folder, steps):
    folder.mkdir(parents=True)
    history = [{"step": step, "loss": 0.1, "completions/mean_length": 100.0 if step < 80 else 20.0} for step in steps]
    history += [{"step": steps[-1], "eval_loss": 0.2, "note": "text", "entropy": float("nan")}]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))


def test_the_newest_checkpoint_of_a_plain_trainer(tmp_path):
    trainer_state(tmp_path / "checkpoint-9", range(1, 10))
    trainer_state(tmp_path / "checkpoint-100", range(1, 101))
    state = find_state(tmp_path)
    assert state.parent.name == "checkpoint-100"
    rows = read_log(state)
    figures = {
        "loss": 0.1,
        "completions/mean_length": 20.0,
        "eval_loss": 0.2,
        "entropy": pytest.approx(math.nan, nan_ok=True),
    }
    assert rows[-1] == (100, figures)
    assert [event.severity for event in replay(rows)] == ["note", "critical"]
    assert find_state(tmp_path / "checkpoint-9").parent.name == "checkpoint-9"
    (tmp_path / "trainer_state.json").write_text("{}")
    with pytest.raises(InputError, match="expected a trainer's state"):
        read_log(tmp_path / "trainer_state.json")


def test_watch_once(tmp_path):
    keep(tmp_path / "run", count=85, fall=200)
    calm = RUNNER.invoke(app, ["watch", str(tmp_path / "run"), "--once", "--fail-on", "warning"])
    assert calm.exit_code == 0
    assert "no alarm" in calm.output
    assert "length" in calm.output
    keep(tmp_path / "run")
    seen = RUNNER.invoke(app, ["watch", str(tmp_path / "run"), "--once"])
    assert seen.exit_code == 0
    assert "critical: length fell to 40.2" in " ".join(seen.output.split())
    assert "step 90" in " ".join(seen.output.split())
    assert RUNNER.invoke(app, ["watch", str(tmp_path / "run"), "--once", "--fail-on", "critical"]).exit_code == 1


def test_watch_of_a_plain_trainer_and_of_nothing(tmp_path):
    trainer_state(tmp_path / "run" / "checkpoint-100", range(1, 101))
    found = RUNNER.invoke(app, ["watch", str(tmp_path / "run"), "--once", "--fail-on", "critical"])
    assert found.exit_code == 1
    with pytest.raises(InputError, match=r"expected figures.jsonl of a monitor, a checkpoint with"):
        RUNNER.invoke(app, ["watch", str(tmp_path), "--once"], catch_exceptions=False)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_watch_waits_for_a_run_follows_it_and_leaves_on_ctrl_c(tmp_path, options):
    command = [sys.executable, "-m", "rlguard", "watch", str(tmp_path / "run"), "--every", "0.1",
               "--fail-on", "critical", *options]  # fmt: skip
    path = tmp_path / "shown"
    with path.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | {"COLUMNS": "100"})
        try:
            deadline = time.monotonic() + 60
            while not options and "waiting: " not in path.read_text() and time.monotonic() < deadline:
                time.sleep(0.1)
            keep(tmp_path / "run")
            while "fell to" not in path.read_text() and time.monotonic() < deadline:
                time.sleep(0.1)
            while process.poll() is None and time.monotonic() < deadline:
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):  # a second one while it leaves would end it otherwise
                    process.wait(5)
        finally:
            process.kill()
    assert process.wait() == 1
    shown = path.read_text()
    lines = [line for line in shown.splitlines() if "length fell to 40.2" in line]
    if options:
        assert [json.loads(line)["severity"] for line in lines] == ["critical"]
    else:
        assert lines[0].startswith("step 82: critical: length fell to 40.2")  # as it comes, and in the table at the end
        assert shown.index("waiting: ") < shown.index(lines[0]) < shown.index("┃ figure")


def test_the_line_puts_alarms_first_and_leaves_calm_kinds_out():
    line = write_line(7, {"length": 31.25, "entropy": 0.5, "findings/loop": 0.1, "findings/copy": 0.9},
                      {"entropy": "warning", "findings/copy": "critical"})  # fmt: skip
    assert line.plain == "rlguard     7  ! entropy 0.5  ‼ findings/copy 0.9  length 31.2"


def watch(path, *options):
    result = RUNNER.invoke(app, ["watch", str(path), "--once", *options], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


PRINTED = (
    "\r  1%| | 1/90 [00:02<03:00]{'loss': 0.1, 'completions/mean_length': 100.0, 'reward': 0.5, 'epoch': 0.1}\n",
    "{'loss': '0.1', 'completions/mean_length': '100.0', 'reward': '0.5', 'clip_ratio/low_mean': nan}\n",
)
LOGS = {
    "metrics.jsonl": [json.dumps({"step": i, "data": {"response_length/mean": 100, "critic/score/mean": 0.5}}) + "\n"
                      for i in range(2)],
    "metrics.csv": ["update,reward_mean,completion_length_mean,all_equal_group_count\n", "1,.5,100,1\n2,.5,100,1\n"],
    "train.log": PRINTED,
    "verl.log": [f"\x1b[36m(Task pid=1)\x1b[0m step:{i} - response_length/mean:100.000 - critic/score/mean:0.500 - "
                 "actor/lr:0.000\n" for i in (1, 2)],
    "loop.log": [f"12:00:0{i} INFO iter {i} | reward: 0.5 | resp_len = 100.0 | eta: 01:20\n" for i in (1, 2)],
    "bars.log": ["\rEpoch:   0%|  | 0/2 [00:00<?, ?it/s]\r", "inner: 1/1 [00:01<00:00, 1.0it/s]\r",
                 *[f"Epoch: 1%|# | {i}/2 [00:01<00:01, 1.0s/it, reward=0.5, resp_len=100]\r" for i in (1, 1)],
                 "Epoch: 2%|##| 2/2 [00:02<00:00,  1.0s/it, reward=0.5, resp_len=100]\n"],
    "notebook.txt": ["epoch 1\n", "Step\tTraining Loss\treward\tlength\n", "1\t0.1\t0.5\t100\n", "2\tNo log\t\t\n",
                     "2\t0.1\t0.5\t100\n"],
    "loop.out": [f"iter {i}: loss 0.1, reward 0.5, length 100.0, time 12.5ms\n" for i in (1, 2)],
    "table.log": [f"Epoch 1/1 Step {i}/2 done.\n│ grpo_actor/seq_len/avg │ 1.0e+02 │ rollout/reward │ 5.0e-01 │\n"
                  for i in (1, 2)],
    "finished.log": [f'step {i} finished, metrics: {{"critic/score/mean": 0.5, "response_length/mean": 100}}\n'
                     for i in (1, 2)],
    "blanks.csv": ["step , reward ,\tlength\n", "1, 50%, 100\n2, 50%, 100\n"],
    "mlflow.csv": ["run_id,key,value,step\n", *[f"a,{name},{value},{step}\n" for name, value in
                                                (("reward", 0.5), ("length", 100)) for step in (1, 2)]],
    "wandb_export.csv": ["Step,tiny run - train/reward,tiny run - train/reward__MAX,tiny run - train/gen_len\n",
                         "1,0.5,0.9,100\n2,0.5,0.9,100\n"],
    "trainer_state.json": [json.dumps({"log_history": [{"step": i, "completion_length": 100.0, "reward": 0.5}
                                                       for i in (1, 2)] + [{"train_runtime": 5.0}]})],
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_logs_of_every_trainer_are_read(tmp_path, name):
    (tmp_path / name).write_text("".join(LOGS[name]))
    rows = read_log(find_log(tmp_path))
    assert [Monitor().read(row) for _, row in rows] == [{"length": 100.0, "reward": 0.5}] * 2
    for path in (tmp_path, tmp_path / name):
        code, told = watch(path)
        assert code == 0
        assert "no alarm in 2 figures; too early to compare" in told
    assert ("not watched: all_equal_group_count" in told) == (name == "metrics.csv")


def test_a_log_of_which_nothing_is_known_is_never_calm(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "my_figure": 3.5, "loss": 1}) + "\n")
    _, told = watch(tmp_path)
    assert "NOTHING IS WATCHED" in told
    assert "not watched: my_figure" in told
    assert "no alarm" not in told
    found = json.loads(RUNNER.invoke(app, ["watch", str(tmp_path), "--once", "--json"]).output)
    assert (found["figures"], found["unread"], found["events"]) == ([], ["my_figure"], [])
    with pytest.raises(InputError, match="--fail-on warning: no figure of the log is known"):
        RUNNER.invoke(app, ["watch", str(tmp_path), "--once", "--fail-on", "warning"], catch_exceptions=False)


def test_a_figure_that_stays_has_no_change(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "kl": 0.01}}\n' for step in range(60)))
    assert "+0" in next(line for line in watch(tmp_path)[1].splitlines() if "kl" in line).split()


def test_a_user_names_the_figures_of_a_log(tmp_path):
    log = tmp_path / "own.jsonl"
    log.write_text("".join(json.dumps({"at": step, "net": {"h": 2.0 - step / 40}}) + "\n" for step in range(40)))
    named = ["watch", str(log), "--once", "--json", "--column"]
    found = json.loads(RUNNER.invoke(app, [*named, "entropy=h", "--column", "step=at"]).output)
    assert (found["step"], found["figures"], found["unread"]) == (39, ["entropy"], [])
    with pytest.raises(InputError, match=r"own\.jsonl: column 'hh' is missing: is it 'h'\?"):
        RUNNER.invoke(app, [*named, "entropy=hh"], catch_exceptions=False)
    with pytest.raises(InputError, match="PART=NAME with a part of step, reward, accuracy"):
        RUNNER.invoke(app, [*named, "entropi=h"], catch_exceptions=False)


def test_a_number_too_large_for_one_is_no_figure(tmp_path):
    lines = ('{"step": 1, "reward": 0.5}\n', '{"step": 2, "reward": 1' + "0" * 400 + "}\n")
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    assert watch(tmp_path)[0] == 0


def test_a_restarted_log_is_followed_to_its_end(tmp_path):
    rows = [{"step": step, "entropy": 2.0 + step % 3 / 10} for _ in range(3) for step in range(30)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = json.loads(RUNNER.invoke(app, ["watch", str(tmp_path), "--once", "--json"]).output)
    assert [event["rule"] for event in found["events"]] == ["restart", "restart", "reference"]
    assert found["step"] == 29


@pytest.fixture
def chat():
    """A webhook on this machine: its address, and what was posted there."""
    posted = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/hook" else 403)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()


def test_alarms_are_posted_to_a_chat(tmp_path, chat):
    address, posted = chat
    _, events = keep(tmp_path / "run")
    hook = Webhook(f"{address}/hook", run="mine")
    for event in events:
        hook(event)
    (message,) = posted  # a note is no alarm
    assert message["text"].startswith("rlguard, mine: step 82: critical: length fell to 40.2")
    assert "since step 80" in message["text"]
    assert "\nUsual cause: " in message["text"]
    assert " Do: " in message["text"]
    with pytest.raises(OSError, match="the webhook answered 403"):
        Webhook(f"{address}/other")(events[-1])
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        Webhook("http://127.0.0.1:1/hook", timeout_s=1)(events[-1])
    for bad in ({"url": "ftp://x"}, {"url": "http://x", "least": "loud"}):
        with pytest.raises(InputError, match=r"Webhook\.(url|least): expected"):
            Webhook(**bad)
    assert watch(tmp_path / "run", "--webhook", f"{address}/hook")[0] == 0
    assert posted[-1]["text"].startswith("rlguard, run: step 82")


def test_the_report_of_a_run_that_goes_on_is_served(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    server = serve_report(run, every=1)

    def load(path="/", **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers, answer.read().decode()

    try:
        assert "Waiting: " in load()[1]
        keep(run)
        headers, page = load()
        assert headers["Refresh"] == "5"
        assert "length fell to 40.2" in page
        assert load()[1] == page  # as long as nothing changes
        for path, host in (("/etc/passwd", "127.0.0.1"), ("/", "evil.example")):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                load(path, Host=host)
        with pytest.raises(InputError, match="expected a free port"):
            serve_report(run, server.server_port)
    finally:
        server.shutdown()
        server.server_close()


ODD = {  # what loggers print beside plain numbers, each with the figures of its last step
    "sets.log": ("{['a']: 1} {'a', 'b'}\n{'step': 1, 'reward': 0.5}\n", 1, {"reward": 0.5}),
    "json.log": ('INFO {"step": 1, "reward": 0.5}\nINFO {"answer": 7}\nINFO {"step": 2, "reward": 0.25, "kl": null}\n',
                 2, {"reward": 0.25}),
    "numpy.log": ("{'step': 3, 'reward': np.float64(0.5), 'kl': tensor(0.1, device='cuda:0')}\n",
                  3, {"reward": 0.5, "kl": 0.1}),
    "thousands.log": ("step: 1,001 | tokens: 2,000,000 | reward: 0.5\nstep: 1,002 | reward: 0.25\n",
                      1002, {"reward": 0.25}),
    "qualified.log": ("train step=4 reward=0.5 Max Length: 900\neval step=4 reward=0.1\n"
                      "Step 5 | Entropy: 0.4 | Grad. Norm: 0.2\n", 5, {"entropy": 0.4, "grad_norm": 0.2}),
    "listed.log": ("===== Step 7/90 =====\n  • Loss: 0.1\n  • Avg Reward: 0.5\n  • Mean Generation Length: 80.5\n",
                   7, {"reward": 0.5, "length": 80.5}),
    "openrlhf.log": ("(P pid=7) INFO ✨ Global step 41: {'reward': 0.5, 'kl': 0.1}\n"
                     "Train epoch [1/1]:  50%|█  | 4/8 [00:10<00:10, 2.5s/it, act_loss=0.01, reward=0.4]\n"
                     "✨ Global step 42 [again]: {'reward': 0.25, 'kl': 0.2}\n", 42, {"reward": 0.25, "kl": 0.2}),
    "slime.log": ("rollout 0: {'rollout/raw_reward': 0.5}\nperf 0: {'perf/time': 3.0}\n"
                  "step 0: {'train/entropy_loss': 0.9}\nstep 1: {'train/entropy_loss': 0.8}\n"
                  "rollout 1: {'rollout/raw_reward': 0.25}\nstep 2: {'train/entropy_loss': 0.7}\n"
                  "step 3: {'train/entropy_loss': 0.6}\n", 3, {"entropy": 0.6}),
    "pprint.log": ("{'lr': 0.1,\n 'clip': 0.2}\nINFO step 8\n{'kl': 0.1,\n 'reward': 0.5}\n"
                   "INFO step 9\n{'kl': 0.2,\n 'reward': 0.25}\n",
                   9, {"reward": 0.25, "kl": 0.2}),
    "indented.log": ('{\n  "step": 8,\n  "reward": 0.5\n}\nsaid: {"\nstep:9 - reward:0.4\n'
                     '{\n  "step": 10,\n  "reward": 0.25\n}\n',
                     10, {"reward": 0.25}),
    "lightning.csv": ("trainer/global_step,reward\n30,0.5\n", 30, {"reward": 0.5}),
    "trainer_log.jsonl": ('{"current_steps": 5, "total_steps": 90, "reward": 0.5}\n', 5, {"reward": 0.5}),
    "history.jsonl": ('{"_step": 1, "reward": 0.5, "completions": {"_type": "table-file"}}\n', 1, {"reward": 0.5}),
    "steps.json": ('[{"step": 1, "reward": 0.5}, {"step": 2, "reward": 0.25}]', 2, {"reward": 0.25}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_loggers_print_beside_plain_numbers(tmp_path, name):
    text, step, figures = ODD[name]
    (tmp_path / name).write_text(text)
    last, logged = read_log(tmp_path / name)[-1]
    assert (last, Monitor().read(logged)) == (step, figures)


def test_a_short_log_that_starts_over_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("step,reward\n10,0.5\n20,0.6\n5,0.4\n")
    assert [step for step, _ in read_log(tmp_path / "a.csv")] == [10, 20, 5]


def test_a_dictionary_that_never_closes_hides_no_line_after_it(tmp_path):
    (tmp_path / "a.log").write_text("{'lr': 0.1,\n 'clip': 0.2,\nstep:1 - reward:0.5\n{\n step:2 - reward:0.4\n")
    assert [step for step, _ in read_log(tmp_path / "a.log")] == [1, 2]


def test_a_printed_log_may_be_packed_or_of_powershell(tmp_path):
    text = "step:1 - critic/score/mean:0.5\nstep:2 - critic/score/mean:0.25\n"
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "b.log").write_bytes(text.encode("utf-16"))
    for path in tmp_path.iterdir():
        assert read_log(path) == [(1, {"critic/score/mean": 0.5}), (2, {"critic/score/mean": 0.25})]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("ui.csv", "Step,a - reward,b - reward\n1,0.5,0.1\n2,0.5,0.1\n", "expected one run, found 'b' beside 'a'"),
    ("long.csv", "run,step,reward\na,1,0.5\nb,1,0.1\na,2,0.5\n", "expected one run, found 'b' beside 'a'"),
    ("newest.csv", "step,reward\n3,0.5\n2,0.5\n1,0.5\n", r"the newest step comes first \(3, 2, …\)"),
    ("random.csv", "step,reward\n3,0.5\n1,0.5\n4,0.5\n2,0.5\n", r"steps are in no order \(3, 1, …\)"),
    ("mlflow.csv", "run_id,key,value,step\na,reward,.5,1\nb,reward,.1,1\na,reward,.5,2\n", "expected one run, found"),
    ("nowhere.csv", "key,value,step\nreward,.5,1\nreward,.5,\n", "row 1: expected a step, got ''"),
    ("excel.csv", "step;reward\n1;0,5\n", "expected commas between cells, got semicolons: 'step;reward'"),
    ("summary.json", '{"reward": 0.5}', "or a list of steps, got an object with reward"),
])  # fmt: skip
def test_a_log_that_cannot_be_one_run_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_log(tmp_path / name)


def test_a_run_whose_loss_is_nan_alarms_from_its_log_and_from_its_journal(tmp_path):
    logged = [{"loss": 0.1, "reward": 0.5} for _ in range(6)] + [{"loss": math.nan, "reward": 0.5} for _ in range(3)]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps({'step': i} | row)}\n" for i, row in enumerate(logged)))
    journal = Journal(tmp_path / "run")
    for events in (
        replay(read_log(tmp_path / "m.jsonl")),
        [event for step, row in enumerate(logged) for event in journal.see(step, row)],
        read_events(tmp_path / "run" / "events.jsonl"),
    ):
        assert [str(event) for event in events] == ["step 8: critical: nan/loss stands at 1, above 0.5, since step 6"]
    assert read_figures(tmp_path / "run" / "figures.jsonl")[-1] == (8, {"reward": 0.5, "nan/loss": 1.0})


def test_runs_after_each_other_go_on(tmp_path):
    (tmp_path / "m.csv").write_text("run_id,run_name,step,reward\na,x,1,0.5\na,x,2,0.5\nb,x,1,0.5\n")
    assert [step for step, _ in read_log(tmp_path / "m.csv")] == [1, 2, 1]


@pytest.mark.parametrize(("name", "text", "notes"), [
    ("m.jsonl", '{"step": 1, "reward": 0.5, "kl": 0}\n{"step": 2, "reward": NaN, "kl": 0, "eta": "3 s"}\n',
     ["reward is no number at 1 of the steps, the last of them 2"]),
    ("m.csv", "step,reward,kl\n1,45 of 100,0\n2,,0\n3,high,0\n",
     ["reward is no number at 2 of the steps, the last of them 3"]),
    ("m.log", "step:1 - critic/score/mean:nan - actor/kl_loss:0.1\n",
     ["critic/score/mean is no number at 1 of the steps, the last of them 1"]),
    ("t.log", "{'reward': nan, 'kl': -inf, 'entropy': '0.5'}\n",
     ["reward is no number at 1 of the steps, the last of them 0",
      "kl is no number at 1 of the steps, the last of them 0"]),
    ("torn.csv", "step,reward\n1,0.5\n2", ["line 3 is half-written and was left out"]),
    ("torn.log", "step:1 - kl:0.5\nstep:2 - kl:0.", ["line 2 is half-written and was left out"]),
    ("none.log", "Loading model\n", ["no step with a number in it was found"]),
])  # fmt: skip
def test_what_a_log_holds_and_cannot_be_read_is_told(tmp_path, name, text, notes):
    (tmp_path / name).write_text(text)
    code, told = watch(tmp_path / name)
    assert code == 0
    assert all(note in told for note in notes)
    assert json.loads(RUNNER.invoke(app, ["watch", str(tmp_path / name), "--once", "--json"]).output)["notes"] == notes


def test_a_broken_log_is_not_passed_over_for_another(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1\n{"step": 2, "reward": 0.5}\n')
    (tmp_path / "old.log").write_text("step:1 - critic/score/mean:0.5\n")
    with pytest.raises(InputError, match=r"metrics.jsonl, line 1: expected one JSON object"):
        RUNNER.invoke(app, ["watch", str(tmp_path), "--once"], catch_exceptions=False)
    with pytest.raises(InputError, match="gone: no such file or folder"):
        RUNNER.invoke(app, ["watch", str(tmp_path / "gone"), "--once"], catch_exceptions=False)


def test_a_log_caught_in_writing_is_read_again_and_one_that_stays_broken_ends_the_watching(tmp_path, monkeypatch):
    log = tmp_path / "trainer_state.json"
    whole = json.dumps({"log_history": [{"step": step, "reward": 0.5} for step in range(30)]})
    writes = iter([whole[:-9], whole, *[whole[:-9]] * (PATIENCE + 1)])
    log.write_text(whole)
    monkeypatch.setattr(time, "sleep", lambda _: log.write_text(next(writes)))
    with pytest.raises(InputError, match="expected JSON"):
        RUNNER.invoke(app, ["watch", str(log)], catch_exceptions=False)
    assert next(writes, None) is None


def test_a_step_of_another_type_is_written_as_it_can_be_read(tmp_path):
    journal = Journal(tmp_path / "run")
    for step in (np.int64(1), 2.0):
        journal.see(step, {"reward": np.float32(0.5)})
    assert read_figures(tmp_path / "run" / FIGURES) == [(1, {"reward": 0.5}), (2, {"reward": 0.5})]
    with pytest.raises(InputError, match=r"step: expected a whole number, got 2\.5"):
        journal.see(2.5, {"reward": 0.5})
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a path that can be written"):
        Journal(tmp_path / "file").see(1, {"reward": 0.5})
