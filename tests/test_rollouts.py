from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from rlguard.rollouts import ROLLOUTS, RolloutStore, read_rollouts
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
        assert store.counts == {"a": 2, "b": 1}
    read = list(read_rollouts(tmp_path))
    assert read[:2] == written[:2]
    assert math.isnan(read[2].outcome)


def test_half_written_line_is_cut_and_the_rest_kept(tmp_path):
    with RolloutStore(tmp_path, KEY) as store:
        store.append([rollout("a", 0), rollout("a", 1)])
    path = tmp_path / ROLLOUTS
    whole = path.read_bytes()
    for cut in (1, 5, len(whole) // 2 - 1):
        path.write_bytes(whole[: len(whole) - cut])
        assert [r.index for r in read_rollouts(tmp_path)] == [0]  # a reader never sees the half line
        with RolloutStore(tmp_path, KEY) as store:
            assert store.dropped_tail
            assert store.counts == {"a": 1}
            store.append([rollout("a", 1)])
        assert path.read_bytes() == whole


def test_another_key_is_refused_by_name(tmp_path):
    with RolloutStore(tmp_path, KEY):
        pass
    with pytest.raises(InputError, match=r"sampling: the store has \{'seed': 0\}, this run \{'seed': 1\}"):
        RolloutStore(tmp_path, {"model": "m", "sampling": {"seed": 1}})
    with RolloutStore(tmp_path, KEY):  # the refusal left it usable
        pass


def test_two_writers_are_refused(tmp_path):
    with RolloutStore(tmp_path, KEY), pytest.raises(InputError, match="another process is writing"):
        RolloutStore(tmp_path, KEY)


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
    with pytest.raises(InputError, match=r"rollouts\.jsonl:2: not a rollout"):
        list(read_rollouts(tmp_path))


def test_not_a_store(tmp_path):
    with pytest.raises(InputError, match="not a rollout store"):
        list(read_rollouts(tmp_path))


KILLED = """
import sys
from rlguard.rollouts import RolloutStore
from rlguard.types import Rollout
with RolloutStore(sys.argv[1], {"model": "m"}) as store:
    for index in range(store.counts.get("a", 0), 10**6):
        store.append([Rollout("a", index, "text " * 200, 1.0)])
"""


def test_killed_at_any_instant_nothing_is_lost_or_doubled(tmp_path):
    kept = 0
    for delay in (0.4, 0.55, 0.7):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
        time.sleep(delay)
        while not (tmp_path / ROLLOUTS).exists() or os.path.getsize(tmp_path / ROLLOUTS) == 0:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = [r.index for r in read_rollouts(tmp_path)]
        assert found == list(range(len(found)))
        assert len(found) >= kept
        kept = len(found)
    assert kept > 0
