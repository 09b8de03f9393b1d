"""The pool on verifiers that hang, raise, return junk, die, print, and on good ones."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from rlguard.types import InputError, Problem
from rlguard.verify.gold import check_gold
from rlguard.verify.pool import CAUSES, VerifierPool
from rlguard.verify.verifiers import Auto, Exact, Math, Numeric

NAN = math.nan
PROBLEM = Problem("p", "2+2?", "4", {"level": 1}, number=7)


class Wild(Exact):
    """Does what the completion says; scores it otherwise."""

    name = "wild"

    def score(self, completion, problem):
        match completion.split(":"):
            case ["sleep"]:
                time.sleep(1000)
            case ["regex"]:
                re.match(r"(a+)+$", "a" * 60 + "b")  # in C, holding the GIL
            case ["nap", seconds, _]:
                time.sleep(float(seconds))
            case ["raise"]:
                raise RuntimeError("boom")
            case ["leave"]:
                sys.exit(3)
            case ["score", score]:
                return eval(score)
            case ["exit"]:
                os._exit(0)
            case ["segfault"]:
                ctypes.string_at(0)
            case ["child"]:  # a child of its own keeps the socket open
                if os.fork():
                    os._exit(0)
                time.sleep(1000)
            case ["print"]:
                print("noise", flush=True)
                os.write(1, b"noise\n" * 1000)
            case ["forge", message]:  # to whatever is open, its socket among that
                for fd in range(3, 64):
                    with suppress(OSError):
                        os.write(fd, message.encode() + b"\n")
            case ["memory"]:
                bytearray(3 << 30)
            case ["hoard"]:  # as native code that checks nothing
                ctypes.memset(ctypes.CDLL(None).malloc(3 << 30), 1, 3 << 30)
            case ["stop"]:
                os.kill(os.getpid(), signal.SIGSTOP)
            case ["input"]:
                raise InputError(f"row {problem.number}: expected a better column")
        return super().score(completion, problem)

    def extract(self, completion):
        if completion == "no extract":
            raise ValueError("nothing there")
        return super().extract(completion)


def judge(verifier, completions, **options):
    with VerifierPool(verifier, **{"workers": 1, "timeout_s": 0.4} | options) as pool:
        pool.submit("token", completions, PROBLEM)
        [(token, results)] = pool.collect(block=True)
        assert token == "token"
        assert pool.pending == 0
        return results, {cause: count for cause, count in pool.counts.items() if count}


def same(results, outcomes):
    return [outcome for outcome, _ in results] == pytest.approx(outcomes, nan_ok=True)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("sleep", "timeout"),
        ("regex", "timeout"),
        ("raise", "raised"),
        ("leave", "raised"),
        ("score:0.5", "junk"),
        ("score:None", "junk"),
        ("score:float('nan')", "nan"),
        ("exit", "died"),
        ("segfault", "died"),
        ("child", "died"),
        ("stop", "died"),
    ],
)
def test_what_cannot_be_judged_is_unscored_and_the_rest_goes_on(said, cause, caplog):
    with caplog.at_level(logging.WARNING):
        results, counts = judge(Wild(), ["answer 4", said, "answer 5", said, "answer 4"])
    assert same(results, [1, NAN, 0, NAN, 1])
    assert counts == {cause: 2}
    assert [answer for _, answer in results][::2] == ["4", "5", "4"]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (cause != "nan")  # once per kind
    assert all(f"verifier wild, row 7: unscored, {cause} (" in line for line in lines)


def test_no_limit_is_no_limit_and_an_extract_that_raises_gives_no_answer():
    results, counts = judge(Wild(), ["answer 4", "nap:0.6:answer 4", "no extract"], timeout_s=None)
    assert results[:2] == [(1.0, "4")] * 2
    assert results[2][1] is None
    assert counts == {"raised": 1}  # Exact's score extracts as well


@pytest.mark.parametrize(
    "message",
    [
        '[null, 1.0, "4", ""]',
        '["ready", 0.0, null, ""]',
        '["input", 0.0, null, "your run ends here"]',
        "null",
        "[[]]",
        "[" * 100_000,
        '{"a"',
        "\\ud800",
    ],
)
def test_a_forged_message_ends_neither_the_pool_nor_the_run(message):
    completions = ["answer 4", "forge:" + message.replace(":", ""), "answer 5"]
    results, counts = judge(Wild(), completions, timeout_s=None)
    assert same(results, [1, NAN, 0])
    assert counts == {"junk": 1}


class Endless(Exact):
    """Writes a message without an end."""

    def score(self, completion, problem):
        for fd in range(3, 64):
            with suppress(OSError):
                while True:
                    os.write(fd, b"x" * (1 << 20))
        return 1.0


def test_a_message_without_an_end_takes_no_memory():
    assert judge(Endless(), ["answer 4"], timeout_s=None)[1] == {"junk": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_what_takes_too_much_memory_is_unscored():
    said = ["answer 4", "memory", "hoard", "answer 5"]
    results, counts = judge(Wild(), said, timeout_s=20.0, memory_gb=1.0)
    assert same(results, [1, NAN, NAN, 0])
    assert counts == {"raised": 1, "died": 1}
    assert same(judge(Wild(), ["answer 4"], memory_gb=None)[0], [1])


def test_a_process_that_is_stopped_while_it_waits_is_replaced():
    with VerifierPool(Wild(), workers=1, timeout_s=None) as pool:
        for token in (0, 1):
            pool.submit(token, ["answer 4"] * 2, PROBLEM)
            assert pool.collect(block=True) == [(token, [(1.0, "4")] * 2)]
            if token == 0:
                first = pool._staff[0].process.pid
                os.kill(first, signal.SIGSTOP)
                deadline = time.monotonic() + 20
                while pool._staff and time.monotonic() < deadline:
                    time.sleep(0.05)
        assert not alive(first)
        assert sum(pool.counts.values()) == 0


def test_the_limit_is_for_one_completion_not_for_the_job():
    results, counts = judge(Wild(), ["nap:0.2:answer 4"] * 4)
    assert results == [(1.0, "4")] * 4
    assert counts == {}


def test_what_verifiers_print_harms_nothing(capfd):
    assert same(judge(Wild(), ["print", "answer 4"])[0], [0, 1])
    assert capfd.readouterr().out == ""


def test_an_input_error_is_the_users_to_fix_but_what_was_finished_is_not_lost():
    with VerifierPool(Wild(), workers=1) as pool:
        pool.submit(0, ["answer 4"], PROBLEM)
        pool.submit(1, ["input"], PROBLEM)
        assert pool.collect(block=True) == [(0, [(1.0, "4")])]
        for _ in range(2):
            with pytest.raises(InputError, match="row 7: expected a better column"):
                pool.collect(block=True)


def test_a_random_mix_over_several_workers_loses_and_mixes_up_nothing():
    draw = random.Random(1)
    say = {"answer 4": 1.0, "answer 5": 0.0, "raise": NAN, "score:7": NAN, "print": 0.0, "nap:0.01:answer 4": 1.0}
    jobs = [draw.choices(list(say), k=draw.randrange(12)) for _ in range(200)]
    jobs[50].insert(1, "exit")
    jobs[90].insert(0, "exit")
    found = {}
    with VerifierPool(Wild(), workers=3, timeout_s=30.0) as pool:
        assert pool.collect(block=True) == []
        for number, completions in enumerate(jobs):
            pool.submit(number, completions, PROBLEM)
            found |= dict(pool.collect(block=False))
        assert pool.pending == len(jobs) - len(found)
        while pool.pending:
            found |= dict(pool.collect(block=True))
        counts = pool.counts
    assert sorted(found) == list(range(200))
    for number, completions in enumerate(jobs):
        assert same(found[number], [say.get(said, NAN) for said in completions])
    words = [said for completions in jobs for said in completions]
    assert counts == dict.fromkeys(CAUSES, 0) | {
        "raised": words.count("raise"),
        "junk": words.count("score:7"),
        "died": 2,
    }


def test_only_as_many_processes_as_there_are_jobs():
    with VerifierPool(Wild(), workers=2) as pool:
        assert pool._staff == []
        pool.submit(0, ["answer 4"], PROBLEM)
        pool.collect(block=True)
        assert len(pool._staff) == 1
        for number in range(6):
            pool.submit(number, ["nap:0.1:answer 4"], PROBLEM)
        while pool.pending:
            pool.collect(block=True)
        assert len(pool._staff) == 2
        pids = [worker.process.pid for worker in pool._staff]
    assert not any(map(alive, pids))


SCRIPT = """
import time
from rlguard.types import Problem
from rlguard.verify.verifiers import Exact
from rlguard.verify.pool import VerifierPool

class Own(Exact):
    def score(self, completion, problem):
        if completion.startswith("nap"):
            time.sleep(float(completion.split(":")[1]))
        return super().score(completion, problem)

with VerifierPool(Own(), workers=2, timeout_s={limit}) as pool:
    pool.submit(0, ["answer 4"], Problem("p", "2+2?", "4"))
    pool.collect(block=True)
    print("ready", flush=True)
    pool.submit(1, {completions!r}, Problem("p", "2+2?", "4"))
    print(*[worker.process.pid for worker in pool._staff], flush=True)
    [(_, results)] = pool.collect(block=True)
    print([outcome for outcome, _ in results], sum(pool.counts.values()), flush=True)
"""


def start(script):
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_verifier_in_a_script_without_a_main_guard(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(limit=0.5, completions=["nap:9", "answer 5"]))
    said = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "ready"
    assert said[2:] == ["[nan, 0.0] 1"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_go_when_the_parent_goes(how):
    with start(SCRIPT.format(limit=None, completions=["nap:1000"])) as process:
        assert process.stdout.readline() == "ready\n"
        pid = int(process.stdout.readline())
        assert alive(pid)
        os.kill(pid, signal.SIGINT)  # a Ctrl-C that reaches the worker is not its business
        time.sleep(0.2)
        assert alive(pid)
        process.send_signal(how)
        process.wait(10)
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def test_a_result_that_came_while_the_parent_stood_still_is_in_time():
    with start(SCRIPT.format(limit=4.0, completions=["nap:0.5:answer 4"])) as process:
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(signal.SIGSTOP)  # the worker is in a group of its own and goes on
        time.sleep(6.0)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "[1.0] 0\n"


def test_what_cannot_be_sent_says_so():
    class Locked(Exact):
        lock = threading.Lock()

    with pytest.raises(InputError, match=r"verifier 'exact' cannot be sent .* first use or in a method `prepare`"):
        VerifierPool(Locked())
    with (
        VerifierPool(Exact()) as pool,
        pytest.raises(InputError, match="row 7: cannot go to a verifier process"),
    ):
        pool.submit(0, ["x"], Problem("p", "?", "4", {"lock": threading.Lock()}, number=7))


@pytest.mark.parametrize("options", [{"workers": 0}, {"timeout_s": 0.0}, {"timeout_s": NAN}, {"memory_gb": 0.0}])
def test_limits_that_are_none(options):
    with pytest.raises(InputError, match="expected"):
        VerifierPool(Exact(), **options)


class Unprepared(Exact):
    def prepare(self):
        raise OSError("no such model")


class Doomed(Exact):
    def prepare(self):
        os._exit(5)


@pytest.mark.parametrize(("verifier", "words"), [(Unprepared(), "OSError: no such model"), (Doomed(), "status 5")])
def test_a_verifier_that_does_not_load_is_an_error_not_a_heap_of_unscored_rollouts(verifier, words):
    with pytest.raises(InputError, match=f"does not load in a process of its own .*{words}"):
        judge(verifier, ["answer 4"])


def test_the_pool_keeps_the_time_of_math():
    results, counts = judge(Auto(), [r"\boxed{\frac{8}{2}}", r"\boxed{9^{9^{9^{9}}}}", r"\boxed{5}"], timeout_s=1.0)
    assert same(results, [1, NAN, 0])
    assert counts == {"timeout": 1}
    assert Math().timeout_s == 5


class Stuck(Numeric):
    def score(self, completion, problem):
        if problem.answer == "stuck":
            time.sleep(1000)
        return super().score(completion, problem)


def test_gold_answers_through_the_pool():
    answers = ["5", "stuck", "a few", *map(str, range(1200))]
    problems = [Problem(f"p{number}", "?", answer) for number, answer in enumerate(answers)]
    with VerifierPool(Stuck(), workers=2, timeout_s=0.5) as pool:
        assert check_gold(problems, pool) == problems[1:3]
        assert pool.pending == 0
        assert check_gold([], pool) == []


def test_a_closed_pool_takes_nothing():
    pool = VerifierPool(Exact())
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        pool.submit(0, ["x"], PROBLEM)
