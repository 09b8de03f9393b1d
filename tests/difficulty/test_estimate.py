"""The estimator on a scripted engine, and on the real one."""

from __future__ import annotations

import json
import logging
import math
import random
import signal
from contextlib import suppress

import pytest
from conftest import FakeEngine

from rlguard.difficulty.estimate import count_store, estimate_pass_rates
from rlguard.difficulty.preflight import check_preflight
from rlguard.difficulty.rates import read_rates
from rlguard.difficulty.stopping import Plan
from rlguard.rollouts.segments import read_rollouts
from rlguard.tables.read import read_rows
from rlguard.types import Generation, InputError, Sampling
from rlguard.verify.verifiers import Exact

ROWS = [{"prompt": "2+2?", "answer": "4"}, {"prompt": "3+3?", "answer": "6"}, {"prompt": "hash?", "answer": "9"}]


def script(prompt, index):
    """Always right on 2+2, right on every fourth rollout of 3+3, never on hash; every fifth rollout is truncated."""
    if index % 5 == 4:
        return Generation("let me think", 3, "length")
    right = {"2+2?": "4", "3+3?": "6" if index % 4 == 0 else "7", "hash?": "1"}[prompt]
    return f"answer {right}"


def estimate(tmp_path, engine, rows=ROWS, **options):
    return estimate_pass_rates(rows, out=tmp_path / "rates", engine=engine, verifier="exact", **options)


def test_counts_of_a_scripted_model(tmp_path):
    rates = estimate(tmp_path, FakeEngine(script), n=10)
    assert [(r.successes, r.trials, r.truncated, r.unscored) for r in rates] == [
        (8, 10, 2, 0),
        (2, 10, 2, 0),  # rollouts 0 and 8; 4 was truncated
        (0, 10, 2, 0),
    ]
    assert [r.band for r in rates] == ["learnable", "learnable", "impossible"]
    assert rates[2].low == 0.0
    assert rates[2].high == pytest.approx(0.3085, abs=1e-4)  # Clopper–Pearson for 0 of 10
    assert repr(dict(read_rates(tmp_path / "rates"))) == repr({r.prompt_id: r for r in rates})
    assert len(list(read_rollouts(tmp_path / "rates"))) == 30


def test_interrupted_run_goes_on_where_it_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        estimate(tmp_path, FakeEngine(script, stop_after=1), n=4)
    engine = FakeEngine(script)
    rates = estimate(tmp_path, engine, n=4)
    assert {prompt for prompt, _ in engine.asked} == {"3+3?", "hash?"}
    assert [r.trials for r in rates] == [4, 4, 4]
    whole = estimate_pass_rates(ROWS, out=tmp_path / "whole", engine=FakeEngine(script), verifier="exact", n=4)
    assert whole == rates


def test_an_adaptive_run_that_is_repeated_or_interrupted_draws_nothing_twice(tmp_path, caplog):
    rows = [{"prompt": f"q{i}", "answer": "4"} for i in range(18)]

    def say(prompt, index):
        rate = (0.0, 0.02, 0.1, 0.1, 0.9, 0.12)[int(prompt[1:]) % 6]
        return "answer 4" if random.Random(f"0 {prompt} {index}").random() < rate else "answer 5"

    def run(out, **options):
        engine = FakeEngine(say, **options)
        rates = estimate_pass_rates(rows, out=out, engine=engine, verifier="exact", plan=Plan(4, 128))
        return repr(list(rates)), len(engine.asked)

    rates, asked = run(tmp_path / "whole")
    assert len(json.loads((tmp_path / "whole" / "design.json").read_text())) == 3  # the plan was refined
    assert run(tmp_path / "whole") == (rates, 0)
    counts = []
    for stop_after in (3, 40, 110):  # answered requests: of the first plan, of a finer one
        with suppress(KeyboardInterrupt):
            run(tmp_path / str(stop_after), stop_after=stop_after)
        again, _ = run(tmp_path / str(stop_after))
        assert again == rates
        counts.append(len(list(read_rollouts(tmp_path / str(stop_after)))))
    assert counts == [asked] * 3


def test_an_interrupt_while_it_counts_writes_the_rates_first(tmp_path, monkeypatch):
    def count(*args, **options):
        signal.raise_signal(signal.SIGINT)
        return count_store(*args, **options)

    monkeypatch.setattr("rlguard.difficulty.estimate.count_store", count)
    with pytest.raises(KeyboardInterrupt):
        estimate(tmp_path, FakeEngine(script), n=4)
    assert [rate.trials for rate in read_rates(tmp_path / "rates").values()] == [4, 4, 4]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_more_rollouts_add_to_those_there_are(tmp_path):
    estimate(tmp_path, FakeEngine(script), n=4)
    engine = FakeEngine(script)
    rates = estimate(tmp_path, engine, n=6)
    assert sorted({index for _, index in engine.asked}) == [4, 5]
    assert [r.trials for r in rates] == [6, 6, 6]


@pytest.mark.parametrize(
    ("options", "differs"),
    [({"sampling": Sampling(temperature=0.5)}, "sampling.temperature"), ({"verifier": "numeric"}, "verifier.name")],
)
def test_another_way_of_drawing_or_judging_does_not_mix(tmp_path, options, differs):
    estimate(tmp_path, FakeEngine(script), n=1)
    arguments = {"out": tmp_path / "rates", "engine": FakeEngine(script), "verifier": "exact", "n": 1} | options
    with pytest.raises(InputError, match=f"{differs}: the store has"):
        estimate_pass_rates(ROWS, **arguments)


def test_a_refused_run_leaves_the_rates_alone(tmp_path):
    estimate(tmp_path, FakeEngine(script), n=1)
    before = (tmp_path / "rates" / "rates.parquet").read_bytes()
    with pytest.raises(InputError, match="do not mix"):
        estimate(tmp_path, FakeEngine(script), n=1, sampling=Sampling(top_p=0.9), rows=ROWS[:1])
    assert (tmp_path / "rates" / "rates.parquet").read_bytes() == before


def test_another_model_in_an_engine_of_ones_own_does_not_mix(tmp_path):
    class Other(FakeEngine):
        def describe(self):
            return super().describe() | {"model": "other"}

    estimate(tmp_path, FakeEngine(script), n=1)
    with pytest.raises(InputError, match=r"engine\.model: the store has 'script', this run 'other'"):
        estimate(tmp_path, Other(script), n=1)


def test_gold_answers_that_fail_are_named_and_not_sampled(tmp_path, caplog):
    rows = [*ROWS, {"prompt": "five?", "answer": "a few"}]
    engine = FakeEngine(lambda prompt, index: "answer 4")
    with caplog.at_level(logging.WARNING):
        rates = estimate_pass_rates(rows, out=tmp_path, engine=engine, verifier="numeric", n=2)
    assert "1 gold answers fail their own verifier and are not sampled: row 3 ('a few')" in caplog.text
    assert rates[3].status == "gold_rejected"
    assert "five?" not in {prompt for prompt, _ in engine.asked}


@pytest.mark.parametrize("gold", [None, math.nan, "", [], {"value": 4}, {"ground_truth": None}])
def test_a_row_without_a_gold_answer_costs_that_row(tmp_path, caplog, gold):
    rows = [*ROWS, {"prompt": "2+2?", "answer": gold}]
    rates = estimate(tmp_path, engine := FakeEngine(script), rows, n=4)
    assert [rate.status for rate in rates] == ["ok", "ok", "ok", "gold_rejected"]
    assert len(engine.asked) == 12
    assert "1 gold answers fail their own verifier and are not sampled: row 3" in caplog.text
    assert "different gold answers" not in caplog.text


def test_every_gold_answer_failing_is_an_error(tmp_path):
    with pytest.raises(InputError, match="rejects every gold answer; row 0 has 'a few'"):
        estimate_pass_rates(
            [{"prompt": "?", "answer": "a few"}], out=tmp_path, engine=FakeEngine(script), verifier="numeric"
        )
    assert not list(tmp_path.iterdir())  # nothing half-made


def test_duplicates_are_sampled_once_and_contradictions_said(tmp_path, caplog):
    rows = [*ROWS, ROWS[0], {"prompt": "3+3?", "answer": "5"}]
    engine = FakeEngine(script)
    with caplog.at_level(logging.WARNING):
        rates = estimate(tmp_path, engine, rows=rows, n=2)
    assert len(rates) == 4
    assert sum(prompt == "2+2?" for prompt, _ in engine.asked) == 2
    assert "1 duplicate rows" in caplog.text
    assert "1 prompts stand with different gold answers" in caplog.text


class Moody(Exact):
    """Raises on every second completion, as a verifier with a fault does."""

    calls = 0

    def score(self, completion, problem):
        if "boxed" in completion:  # the gold check
            return 1.0
        self.calls += 1
        if self.calls % 2:
            raise RuntimeError("parser died")
        return super().score(completion, problem)


def test_a_failing_verifier_leaves_rollouts_unscored_not_wrong(tmp_path):
    rates = estimate_pass_rates(ROWS[:1], out=tmp_path, engine=FakeEngine(lambda *_: "answer 4"), verifier=Moody(), n=8)
    assert (rates[0].successes, rates[0].trials, rates[0].unscored) == (4, 4, 4)
    assert [r.outcome for r in read_rollouts(tmp_path)][1] == 1.0


def test_prompts_that_could_not_be_sampled_say_so(tmp_path):
    class Short(FakeEngine):
        def generate(self, requests, sampling):
            for request, generations in super().generate(requests, sampling):
                yield request, [] if request.problem.text == "hash?" else generations

    rates = estimate(tmp_path, Short(script), n=2)
    assert rates[2].status == "not_sampled"
    assert math.isnan(rates[2].rate)


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match="expected 1 <= min <= max <= 1024, got 0 to 0"):
        estimate(tmp_path, FakeEngine(script), n=0)
    with pytest.raises(InputError, match="temperature 0 draws the same completion 4 times"):
        estimate(tmp_path, FakeEngine(script), n=4, sampling=Sampling(temperature=0))
    with pytest.raises(InputError, match="engine 'sglang' is unknown, expected one of: vllm, transformers"):
        estimate_pass_rates(ROWS, "m", out=tmp_path, engine="sglang")
    with pytest.raises(InputError, match="model: expected a folder or a hub name"):
        estimate_pass_rates(ROWS, out=tmp_path, engine="vllm")
    with pytest.raises(InputError, match="no pass rates here"):
        read_rates(tmp_path)
    (tmp_path / "rates.jsonl").write_text('{"prompt_id": "a"}\n')
    with pytest.raises(InputError, match="row 0: columns successes"):
        read_rates(tmp_path / "rates.jsonl")
    assert read_rows(tmp_path / "rates.jsonl") == [{"prompt_id": "a"}]


@pytest.mark.parametrize(
    ("how", "times"),
    [({"plan": Plan(3, 3)}, 1), ({"plan": Plan(2, 3)}, 1), ({"n": 3}, 0), ({"plan": Plan(3, 3, error_rate=1)}, 0)],
)
def test_wrong_bands_are_said_once_unless_none_were_promised(tmp_path, caplog, how, times):
    """The same rollouts either way: one prompt in two passes once in three times."""
    rows = [{"prompt": f"{i:02}+{i}?", "answer": str(2 * i)} for i in range(10, 20)]
    engine = FakeEngine(lambda prompt, index: f"answer {2 * int(prompt[:2]) + (index > 0 or int(prompt[1]) % 2)}")
    estimate_pass_rates(rows, out=tmp_path, engine=engine, **how)
    assert caplog.text.count("expected in a wrong band, more than the 5% that were asked for: at most 3") == times


def test_empty_completions_and_too_many_wrong_bands_are_said(tmp_path, caplog):
    rows = [{"prompt": f"{i:02}+{i}?", "answer": str(2 * i)} for i in range(4, 16)]
    engine = FakeEngine(lambda prompt, index: "" if len(prompt) % 2 or index else f"answer {2 * int(prompt[:2])}")
    engine.describe = lambda: {"model": "m", "name": "fake", "chat_template": "some"}
    rates = estimate_pass_rates(rows, out=tmp_path, engine=engine, plan=Plan(2, 3, error_rate=0.01))
    assert {rate.unanswered / rate.trials for rate in rates} == {1 / 2, 1}
    assert "of the rollouts are empty" in check_preflight(rates).verdict
    assert "prompts are plain text: they are asked as they stand" in caplog.text
    assert "expected in a wrong band, more than the 1% that were asked for" in caplog.text
    assert repr(rates).startswith("PassRates(12 prompts: ")
    assert len(rates.to_pandas()) == 12
    assert "<th>prompt_id</th>" in rates._repr_html_()
