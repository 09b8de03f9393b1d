from __future__ import annotations

import json
import math
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlguard.difficulty.stopping import Plan, read_plans
from rlguard.rollouts.segments import ROLLOUTS, Tally, group_rollouts, is_store, read_rollouts, to_line
from rlguard.rollouts.store import RolloutStore
from rlguard.types import InputError, Rollout

KEY = {"model": "m", "sampling": {"seed": 0}}


def rollout(prompt_id, index, text="x", outcome=1.0):
    return Rollout(prompt_id, index, text, outcome, "x", 3, "stop")


def test_what_is_appended_is_read_back(tmp_path):
    odd = 'quote " newline \n line separator \u2028 emoji \U0001f600 lone surrogate \ud800 null \x00'
    written = [rollout("a", 0, odd), rollout("a", 1, outcome=0.0), rollout("b", 0, outcome=math.nan)]
    with RolloutStore(tmp_path, KEY) as store:
        store.append(written[:2])
        store.append(written[2:])
        assert {name: tally.drawn for name, tally in store.tallies.items()} == {"a": 2, "b": 1}
    read = list(read_rollouts(tmp_path))
    assert read[0].completion == odd.replace("\ud800", "?")  # no UTF-8 file can hold it
    assert read[1] == written[1]
    assert math.isnan(read[2].outcome)


def test_half_written_line_is_cut_and_the_rest_kept(tmp_path):
    with RolloutStore(tmp_path, KEY) as store:
        store.append([rollout("a", 0), rollout("a", 1)])
    path = tmp_path / ROLLOUTS
    whole = path.read_bytes()
    for cut in (1, 5, len(whole) // 2 - 1):
        path.write_bytes(whole[: len(whole) - cut])
        assert [r.index for r in read_rollouts(tmp_path)] == ([0, 1] if cut == 1 else [0])  # never the half line
        with RolloutStore(tmp_path, KEY) as store:
            assert store.tallies["a"].drawn == 1
            store.append([rollout("a", 1)])
        assert path.read_bytes() == whole


def test_another_key_is_refused_by_name(tmp_path):
    with RolloutStore(tmp_path, KEY):
        pass
    with pytest.raises(InputError, match=r"sampling\.seed: the store has 0, this run 1"):
        RolloutStore(tmp_path, {"model": "m", "sampling": {"seed": 1}})
    with RolloutStore(tmp_path, KEY):  # the refusal left it usable
        pass


def test_two_writers_are_refused(tmp_path):
    with RolloutStore(tmp_path, KEY), pytest.raises(InputError, match="another process is writing"):
        RolloutStore(tmp_path, KEY)


@pytest.mark.parametrize("name", ["rollouts.jsonl", "received.jsonl", "rollouts-00000.parquet"])
def test_rollouts_without_their_key_are_refused(tmp_path, name):
    store = RolloutStore(tmp_path, KEY, segment_bytes=1 if name.endswith("parquet") else 1 << 20)
    store.receive([rollout("a", 0)])
    if name != "received.jsonl":
        store.append([rollout("a", 0)])
        store.close()
    store._lock.close()
    assert (tmp_path / name).exists()
    meta = (tmp_path / "meta.json").rename(tmp_path / "kept")
    for key in (KEY, {"model": "other"}):
        with pytest.raises(InputError, match=r"holds rollouts, but meta\.json, .* is missing\. Put it back"):
            RolloutStore(tmp_path, key)
    assert not (tmp_path / "meta.json").exists()
    meta.rename(tmp_path / "meta.json")
    with RolloutStore(tmp_path, KEY):
        pass


@pytest.mark.parametrize("segment_bytes", [1, 1 << 20], ids=["sealed", "log"])
def test_what_stands_there_twice_counts_once_and_the_first_counts(tmp_path, segment_bytes):
    with RolloutStore(tmp_path, KEY, segment_bytes) as store:
        store.append([rollout("a", index, outcome=float(index == 0)) for index in range(4)])
    if segment_bytes == 1:
        copy = (tmp_path / "rollouts-00000.parquet").read_bytes()
        (tmp_path / "rollouts-00001.parquet").write_bytes(copy)
    else:
        log = (tmp_path / ROLLOUTS).read_text()
        (tmp_path / ROLLOUTS).write_text(log + log.splitlines(True)[0])
    with (tmp_path / ROLLOUTS).open("a") as file:
        file.write(to_line(Rollout("a", 1, "x", 1.0, "8", 3, "length")))
    once = [("a", Tally(successes=1, trials=4, drawn=4, truncated=0), {"x": (4, 1)})]
    assert list(group_rollouts(tmp_path)) == once
    with RolloutStore(tmp_path, KEY) as store:
        assert store.tallies == {"a": once[0][1]}


@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b[:-50], lambda b: b[: len(b) // 2], lambda b: b[:4] + b"\xff" * (len(b) - 12) + b[-8:]],
    ids=["empty", "end", "half", "pages"],
)
def test_a_damaged_segment_is_named_and_the_others_go_on_without_it(tmp_path, damage):
    written = [rollout("a", index, f"text {index}") for index in range(30)]
    with RolloutStore(tmp_path, KEY, segment_bytes=1) as store:
        for start in (0, 10, 20):
            store.append(written[start : start + 10])
    path = tmp_path / "rollouts-00001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    for read in (lambda: RolloutStore(tmp_path, KEY), lambda: list(read_rollouts(tmp_path))):
        with pytest.raises(InputError, match=r"(?s)rollouts-00001\.parquet.*; move that file away"):
            read()
    path.unlink()
    with RolloutStore(tmp_path, KEY, segment_bytes=1) as store:
        assert store.tallies["a"] == Tally(successes=20, trials=20, drawn=30, truncated=0)
        store.append([rollout("a", 30)])
    assert [r.index for r in read_rollouts(tmp_path)] == [*range(10), *range(20, 31)]


@pytest.mark.parametrize("name", ["a\\b", "a'b", 'a"b', "a[x]", "a*?", "a\nb", "%20", "é\u2028"])
def test_any_name_of_a_folder_will_do(tmp_path, name):
    for first in (0, 5):
        with RolloutStore(tmp_path / name, KEY, segment_bytes=1) as store:
            store.append([rollout("a", first + index) for index in range(5)])
    assert [tally.drawn for _, tally, _ in group_rollouts(tmp_path / name)] == [10]
    assert len(list(read_rollouts(tmp_path / name))) == 10


def test_a_signal_while_duckdb_works_is_a_signal(tmp_path, monkeypatch):
    """DuckDB makes a RuntimeError of it; Ctrl-C and SIGTERM must end a run as such wherever they come."""
    from rlguard.rollouts import segments

    def interrupt(rows):
        raise RuntimeError("Query interrupted")

    with RolloutStore(tmp_path, KEY) as store:
        store.append([rollout("a", 0)])
    monkeypatch.setattr(segments, "_by_prompt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(group_rollouts(tmp_path))


FULL = """
import resource, sys
from rlguard.rollouts.store import RolloutStore
from rlguard.types import InputError, Rollout
try:
    with RolloutStore(sys.argv[1], {"model": "m"}, segment_bytes=int(sys.argv[2])) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        for index in range(100):
            store.receive([Rollout("a", index, "text " * 100)])
            store.append([Rollout("a", index, "text " * 100, 1.0)])
            print(index, flush=True)
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("segment_bytes", [5_000, 1 << 20])
def test_a_full_disk_is_said_and_what_was_written_is_kept(tmp_path, segment_bytes):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(segment_bytes)], capture_output=True, text=True
    )
    kept = len(done.stdout.splitlines())
    if segment_bytes > 20_000:
        assert done.returncode == 1
        assert "expected a path that can be written" in done.stderr
        assert "Traceback" not in done.stderr
    assert [r.index for r in read_rollouts(tmp_path)][:kept] == list(range(kept))
    with RolloutStore(tmp_path, {"model": "m"}) as store:
        assert store.tallies["a"].drawn >= kept > 20
        store.append([rollout("a", store.tallies["a"].drawn)])
    found = [r.index for r in read_rollouts(tmp_path)]
    assert found == list(range(len(found)))


def test_duplicates_count_once(tmp_path):
    with RolloutStore(tmp_path, KEY) as store:
        store.append([rollout("a", 0), rollout("a", 0, "again"), rollout("a", 1)])
    assert [(r.index, r.completion) for r in read_rollouts(tmp_path)] == [(0, "x"), (1, "x")]


@pytest.mark.parametrize("line", ['{"prompt_id": "a"}', "nonsense", "[1]", '{"prompt_id": "a", "outcome": "x"}'])
def test_a_broken_line_is_named(tmp_path, line):
    with RolloutStore(tmp_path, KEY) as store:
        store.append([rollout("a", 0)])
    with (tmp_path / ROLLOUTS).open("a") as file:
        file.write(line + "\n" + json.dumps({}) + "\n")
    with pytest.raises(InputError, match=r"rollouts\.jsonl, line 2: expected"):
        list(read_rollouts(tmp_path))


def test_not_a_store(tmp_path):
    with pytest.raises(InputError, match="not a rollout store"):
        list(read_rollouts(tmp_path))


def test_full_logs_are_sealed_and_read_in_order(tmp_path):
    written = [
        rollout(f"p{number % 7}", number // 7, f"text {number} \u00e9", float(number % 2)) for number in range(700)
    ]
    with RolloutStore(tmp_path, KEY, segment_bytes=9000) as store:
        for one in written:
            store.append([one])
    assert len(list(tmp_path.glob("rollouts-*.parquet"))) > 5
    assert list(read_rollouts(tmp_path)) == written
    with RolloutStore(tmp_path, KEY) as store:
        assert {name: (t.successes, t.trials, t.drawn) for name, t in store.tallies.items()} == {
            f"p{n}": (50, 100, 100) for n in range(7)
        }


def test_sealing_may_be_cut_short_anywhere(tmp_path):
    written = [rollout("a", index) for index in range(30)]
    with RolloutStore(tmp_path, KEY, segment_bytes=1) as store:
        store.append(written[:10])
        store.append(written[10:20])
    sealed = tmp_path / "rollouts-00001.parquet"
    (tmp_path / "rollouts-00001.jsonl").write_text("".join(map(to_line, written[10:20])))  # not yet removed
    assert list(read_rollouts(tmp_path)) == written[:20]
    sealed.unlink()  # or not yet written
    sealed.with_suffix(".partial").write_text("half")
    assert list(read_rollouts(tmp_path)) == written[:20]
    with RolloutStore(tmp_path, KEY) as store:
        assert store.tallies["a"].drawn == 20
        store.append(written[20:])
    assert sealed.exists()
    assert list(read_rollouts(tmp_path)) == written


def test_prompts_are_grouped_whichever_file_holds_them(tmp_path):
    with RolloutStore(tmp_path, KEY, segment_bytes=1) as store:
        store.append([rollout("b", 0), Rollout("a", 0, "x", 0.0, "7", 3, "length")])
    with RolloutStore(tmp_path, KEY) as store:
        store.append([Rollout("a", 1, "x", math.nan, None, 3, "stop"), Rollout("a", 2, "x", 1.0, "7", 3, "stop")])
    assert list(group_rollouts(tmp_path)) == [
        ("a", Tally(successes=1, trials=2, drawn=3, truncated=1), {"7": (2, 1), None: (1, 0)}),
        ("b", Tally(successes=1, trials=1, drawn=1, truncated=0), {"x": (1, 1)}),
    ]


def test_received_rollouts_wait_for_their_score_through_a_kill(tmp_path):
    store = RolloutStore(tmp_path, KEY)
    store.receive([rollout("a", 0), rollout("a", 1), rollout("b", 0)])
    store.append([rollout("a", 0)])
    store._lock.close()  # killed: nothing else is closed
    with RolloutStore(tmp_path, KEY) as again:
        assert [(r.prompt_id, r.index) for r in again.received] == [("a", 1), ("b", 0)]
        again.append(again.received)
        assert again.received == []
    assert not (tmp_path / "received.jsonl").exists()


def test_received_rollouts_do_not_pile_up(tmp_path):
    with RolloutStore(tmp_path, KEY, segment_bytes=2000) as store:
        for index in range(100):
            store.receive([rollout("a", index)])
            assert (tmp_path / "received.jsonl").stat().st_size < 3000
            store.append([rollout("a", index)])


def test_the_plans_of_all_runs_are_kept(tmp_path):
    refined = Plan(error_rate=0.1, population=(0.5, 0.5))
    with RolloutStore(tmp_path, KEY) as store:
        for plan in (Plan(4, 4), refined, Plan(4, 4)):
            store.add_plan(asdict(plan))
    assert read_plans(tmp_path) == [Plan(4, 4), refined]
    (tmp_path / "design.json").write_text('[{"nonsense": 1}]')
    with pytest.raises(InputError, match="not a sampling design"):
        read_plans(tmp_path)


def test_rollouts_that_come_back_out_of_order_are_all_kept(tmp_path):
    """As where the log lost its last line, whose rollout waits for its verifier again beside later ones."""
    with RolloutStore(tmp_path, KEY) as store:
        store.append([rollout("a", index, f"a{index}", 1.0) for index in (2, 0, 1)])
        assert store.tallies["a"].drawn == 3
    assert sorted(r.index for r in read_rollouts(tmp_path)) == [0, 1, 2]


STEPS = st.lists(
    st.sampled_from(["draw", "score", "close", "kill", "tear", "line twice", "segment twice"]), max_size=25
)


@settings(max_examples=30, deadline=None)
@example(steps=["draw", "score", "draw", "tear", "score"], segment_bytes=400, seed=3)
@given(steps=STEPS, segment_bytes=st.sampled_from([1, 400, 1 << 20]), seed=st.integers(0, 99))
def test_whatever_happens_to_a_store_each_rollout_counts_once(steps, segment_bytes, seed):
    """Against a model of two dicts: what was drawn and what was scored. Only a torn line may be missing."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder, drawn, scored = Path(name), {}, {}
        store = RolloutStore(folder, KEY, segment_bytes)
        for step in [*steps, "close"]:
            if step == "draw":
                prompt = draw.choice("ab")
                first = max([index + 1 for at, index in [*drawn, *scored] if at == prompt], default=0)
                new = [
                    rollout(prompt, first + i, f"{prompt}{first + i}", math.nan) for i in range(draw.randrange(1, 4))
                ]
                store.receive(new)
                drawn |= {(r.prompt_id, r.index): r for r in new}
            elif step == "score" and drawn:
                prompt = next(iter(drawn))[0]
                new = [replace(r, outcome=float(r.index % 2)) for (at, _), r in drawn.items() if at == prompt]
                store.append(new)
                for r in new:
                    scored[r.prompt_id, r.index] = drawn.pop((r.prompt_id, r.index))
            else:
                store._opened.close() if step == "kill" else store.close()
                logs = [path for path in folder.glob("r*.jsonl") if path.stat().st_size]
                if step == "tear" and logs:
                    path = draw.choice(logs)
                    last = path.read_bytes().splitlines(True)[-1]
                    path.write_bytes(path.read_bytes()[: -draw.randrange(1, len(last))])
                    torn = json.loads(last)["prompt_id"], json.loads(last)["index"]
                    if path.name == "received.jsonl":
                        drawn.pop(torn, None)
                    elif torn not in {(r.prompt_id, r.index) for r in read_rollouts(folder)}:  # it stood there once
                        lost = scored.pop(torn)
                        waiting = folder / "received.jsonl"  # from which it comes back
                        if (
                            waiting.exists()
                            and f'"index": {torn[1]}, "completion": "{lost.completion}"' in waiting.read_text()
                        ):
                            drawn[torn] = replace(lost, outcome=math.nan)
                sealed = sorted(folder.glob("*.parquet"))
                if step == "segment twice" and sealed:
                    shutil.copy(draw.choice(sealed), folder / f"rollouts-{len(sealed):05d}.parquet")
                log = folder / "rollouts.jsonl"
                if step == "line twice" and log.stat().st_size:
                    log.write_bytes(log.read_bytes() + draw.choice(log.read_bytes().splitlines(True)))
                store = RolloutStore(folder, KEY, segment_bytes)
                assert {(r.prompt_id, r.index) for r in store.received} == set(drawn)
                assert {r.completion for r in read_rollouts(folder)} == {f"{at}{index}" for at, index in scored}
                assert {at: (t.trials, t.successes) for at, t in store.tallies.items()} == {
                    at: (sum(key[0] == at for key in scored), sum(key[0] == at and key[1] % 2 for key in scored))
                    for at in {key[0] for key in scored}
                }
        store.close()


KILLED = """
import sys
from rlguard.rollouts.store import RolloutStore
from rlguard.types import Rollout
with RolloutStore(sys.argv[1], {"model": "m"}, segment_bytes=200_000) as store:
    for index in range(store.tallies["a"].drawn if "a" in store.tallies else 0, 10**6):
        store.append([Rollout("a", index, "text " * 200, 1.0)])
"""


def test_killed_at_any_instant_nothing_is_lost_or_doubled(tmp_path):
    kept = 0
    for delay in (0.3, 0.45, 0.6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
        for _ in range(400):
            if process.poll() is not None or (is_store(tmp_path) and len(list(read_rollouts(tmp_path))) > kept):
                break
            time.sleep(0.05)
        assert process.poll() is None
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = [r.index for r in read_rollouts(tmp_path)]
        assert found == list(range(len(found)))
        assert len(found) > kept
        kept = len(found)
