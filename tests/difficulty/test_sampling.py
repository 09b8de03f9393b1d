"""The sampler between a scripted engine and real verifier processes: who is asked, when, and what survives a kill."""

from __future__ import annotations

import collections
import itertools
import json
import random
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import FakeEngine

from rlguard.answers import begin_answer
from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.difficulty.rates import read_rates
from rlguard.difficulty.sampling import AnswerOnly
from rlguard.difficulty.stopping import Plan
from rlguard.rollouts.segments import read_rollouts
from rlguard.tables.read import read_problems
from rlguard.types import Generation, InputError, Request, Sampling
from rlguard.verify.verifiers import Exact


def flip(rate, prompt, index):
    """A coin that falls the same way in every run."""
    return "answer 1" if random.Random(zlib.crc32(f"{prompt}/{index}".encode())).random() < rate else "answer 0"


def coins(rates):
    rows = [{"prompt": f"coin {i}?", "answer": "1"} for i in range(len(rates))]
    by_prompt = {row["prompt"]: rate for row, rate in zip(rows, rates, strict=True)}
    return rows, FakeEngine(lambda prompt, index: flip(by_prompt[prompt], prompt, index))


def test_adaptive_sampling_covers_is_unbiased_and_saves(tmp_path):
    """The whole estimator on prompts of known rates: many at 0 and 1, and a Beta middle."""
    rng = np.random.default_rng(5)
    u = rng.random(600)
    true = np.where(u < 0.4, 0.0, np.where(u < 0.65, 1.0, rng.beta(1, 1, 600)))
    rows, engine = coins(true)
    found = estimate_pass_rates(rows, out=tmp_path, engine=engine, verifier="exact")
    rates = np.array([rate.rate for rate in found])
    errors = rates - true
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))
    assert np.mean([r.low <= p <= r.high for r, p in zip(found, true, strict=True) if 0 < p < 1]) >= 0.95
    trials = np.array([rate.trials for rate in found])
    assert trials.mean() < 30  # at most 128 each
    assert trials.min() == 4
    assert len(engine.asked) == len(set(engine.asked)) == trials.sum()  # nothing twice
    expected_wrong = np.mean([rate.band_error for rate in found])
    assert expected_wrong < 0.06


def test_follow_ups_are_numbered_and_stop_at_the_looks(tmp_path):
    rows, engine = coins([0.0, 1.0])
    requests = []
    whole = engine.generate

    def generate(source, sampling):
        for request, generations in whole(source, sampling):
            requests.append((request.problem.number, request.first, request.n))
            yield request, generations

    engine.generate = generate
    found = estimate_pass_rates(rows, out=tmp_path, engine=engine, verifier="exact", plan=Plan(max_n=16))
    for number in (0, 1):
        firsts = [(first, n) for row, first, n in requests if row == number]
        assert firsts[:2] == [(0, 4), (4, 2)]
        assert sum(n for _, n in firsts) == found[number].trials


def test_progress_counts_what_is_saved(tmp_path):
    rows, engine = coins([0.0, 0.5, 1.0, 0.1])
    seen = []
    found = estimate_pass_rates(rows, out=tmp_path, engine=engine, verifier="exact", on_progress=seen.append)
    last = seen[-1]
    assert (last.prompts, last.decided, last.to_come) == (4, 4, pytest.approx(0, abs=1e-9))
    assert last.rollouts == last.drawn == sum(rate.trials for rate in found)
    assert last.saved == last.decided * last.most - last.rollouts == 4 * 128 - last.rollouts
    assert seen[0].to_come > 4 * 4
    assert all(a.decided <= b.decided for a, b in itertools.pairwise(seen))


class HangsOn(Exact):
    """Never comes back for one answer."""

    version = "hangs"

    def judge(self, answer, problem):
        while answer == "0" and problem.text == "coin 0?":
            time.sleep(1)
        return super().judge(answer, problem)


def test_a_hanging_verifier_leaves_rollouts_unscored_and_the_prompt_ends(tmp_path):
    rows, engine = coins([0.0, 0.5])
    found = estimate_pass_rates(
        rows, out=tmp_path, engine=engine, verifier=HangsOn(), timeout_s=0.2, plan=Plan(4, 8), sampling=Sampling()
    )
    assert (found[0].trials, found[0].unscored, found[0].band) == (0, 8, "unscored")
    assert found[1].unscored == 0


def test_interrupted_sampling_writes_the_rates_there_are(tmp_path):
    class Interrupted(FakeEngine):
        def generate(self, requests, sampling):
            for pair in super().generate(requests, sampling):
                yield pair
                time.sleep(0.02)
                if (tmp_path / "rollouts.jsonl").stat().st_size:
                    raise KeyboardInterrupt

    rows, engine = coins([0.5] * 1000)
    with pytest.raises(KeyboardInterrupt):
        estimate_pass_rates(rows, out=tmp_path, engine=Interrupted(engine.script), verifier="exact", n=4)
    rates = read_rates(tmp_path)
    assert len(rates) == 1000
    assert 0 < sum(rate.trials for rate in rates.values()) < 4000
    assert {rate.status for rate in rates.values()} == {"ok", "not_sampled"}


def test_an_engine_that_loses_requests_is_found_out(tmp_path):
    class Loses(FakeEngine):
        def generate(self, requests, sampling):
            for number, pair in enumerate(super().generate(requests, sampling)):
                if number != 1:
                    yield pair

    rows, engine = coins([0.5] * 3)
    with pytest.raises(InputError, match="engine 'fake' left 1 requests unanswered"):
        estimate_pass_rates(rows, out=tmp_path, engine=Loses(engine.script), verifier="exact", n=4)


def test_answer_only_rollouts_give_the_chance_rate(tmp_path):
    """A model that always solves with room to reason, and guesses right every fourth time without."""
    asked = []

    def script(prompt, index):
        asked.append(prompt)
        if prompt.endswith("The answer is"):
            return Generation(f" {int(index % 4 == 0)}.\nBecause 2+2=4", 9, "stop")
        return "let me see. answer 1"

    rows = [{"prompt": "sum?", "answer": "1"}]
    found = estimate_pass_rates(rows, out=tmp_path, engine=FakeEngine(script), verifier="exact", n=8, answer_only=16)
    assert (found[0].successes, found[0].trials, found[0].chance_rate) == (8, 8, 0.25)
    assert found[0].chance_low < 0.25 < found[0].chance_high
    assert found[0].above_chance > 0.99
    assert asked.count("sum?\nThe answer is") == 16
    texts = {rollout.completion for rollout in read_rollouts(tmp_path / "answer_only")}
    assert texts == {"The answer is 0.", "The answer is 1."}
    assert len(list(read_rollouts(tmp_path))) == 8


def test_answers_are_begun_for_text_and_chat():
    assert begin_answer("2+2?\n", "answer") == "2+2?\nanswer"
    chat = [{"role": "user", "content": "2+2?"}]
    assert begin_answer(chat, "answer") == [*chat, {"role": "assistant", "content": "answer"}]
    begun = [*chat, {"role": "assistant", "content": "<think>"}]
    assert begin_answer(begun, "</think>answer") == [*chat, {"role": "assistant", "content": "<think></think>answer"}]
    engine = AnswerOnly(FakeEngine(lambda prompt, index: prompt), "answer")
    problem = read_problems([{"prompt": "2+2?", "answer": 4}])[0]
    request, generations = next(engine.generate([Request(problem, 1)], Sampling()))
    assert request.problem is problem
    assert generations[0].text == "answer2+2?"
    assert engine.describe()["answer_cue"] == "answer"


KILLED = """
import json, sys, time
sys.path[:0] = sys.argv[3:]
from conftest import FakeEngine
from test_sampling import SlowExact, coins
from rlguard.difficulty.estimate import estimate_pass_rates

class Noting(FakeEngine):
    def generate(self, requests, sampling):
        with open(sys.argv[2], "a") as notes:
            for request, generations in super().generate(requests, sampling):
                time.sleep(0.004)
                yield request, generations  # when it is asked for more, the store has this
                for index in range(request.first, request.first + request.n):
                    notes.write(json.dumps([request.problem.id, index]) + "\\n")
                notes.flush()

rows, engine = coins([i / 60 for i in range(60)])
estimate_pass_rates(rows, out=sys.argv[1], engine=Noting(engine.script), verifier=SlowExact(), n=6)
"""


class SlowExact(Exact):
    """Takes so long that a kill finds rollouts that wait for their score."""

    version = "slow"

    def judge(self, answer, problem):
        time.sleep(0.004)
        return super().judge(answer, problem)


def test_killed_runs_generate_nothing_twice_and_end_like_a_whole_one(tmp_path):
    notes = tmp_path / "notes.jsonl"
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(tmp_path / "killed"),
        str(notes),
        *map(str, Path(__file__).parents[:2]),
    ]
    waited_for_score = 0
    for wait in (10, 30):
        process = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if notes.exists() and notes.read_text().count("\n") > wait * 6:
                break
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        scored = sum(1 for _ in read_rollouts(tmp_path / "killed"))
        waited_for_score += notes.read_text().count("\n") - scored
    assert waited_for_score > 0  # the kill did find some
    subprocess.run(command, check=True, timeout=120)
    generated = collections.Counter(
        tuple(json.loads(line)) for line in notes.read_text().splitlines() if line.endswith("]")
    )
    assert max(generated.values()) == 1
    rows, engine = coins([i / 60 for i in range(60)])
    whole = estimate_pass_rates(rows, out=tmp_path / "whole", engine=engine, verifier=SlowExact(), n=6)
    assert repr(list(read_rates(tmp_path / "killed").values())) == repr(list(whole))
    keys = [(rollout.prompt_id, rollout.index) for rollout in read_rollouts(tmp_path / "killed")]
    assert sorted(keys) == sorted((problem.id, index) for problem in read_problems(rows) for index in range(6))
    assert len(set(keys)) == len(keys)
