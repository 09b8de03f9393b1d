"""The Ray engine for real: one worker, the tiny model, on this machine."""

from __future__ import annotations

import pytest
from test_engines import GREEDY, ONCE, PROMPTS, follow_up, rollouts, split, texts

from rlguard.engines import load_engine
from rlguard.types import InputError, Problem, Request, Sampling

pytest.importorskip("vllm")
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def engine():
    from conftest import TINY

    found = load_engine("ray", str(TINY), dtype="float32")
    yield found
    found.close()
    assert not ray.is_initialized()  # Ray was started for the engine, and ends with it


def test_a_follow_up_comes_through_while_the_source_is_open(engine):
    assert follow_up(engine) == ["7+8=5;5+5=0;answer 0", *follow_up(engine)[1:]]


def test_rollouts_are_those_of_vllm(engine):
    origin = engine.describe()
    assert (origin["name"], origin["options"]) == ("vllm", {"dtype": "float32"})
    whole = rollouts(engine, split(8))
    assert len(whole) == 24
    assert whole == rollouts(engine, split(4))


def test_prompt_that_does_not_fit_yields_nothing(engine, caplog):
    long = Request(Problem("long", "1+" * 200, number=17), 2)
    assert texts(engine, [long, *ONCE], GREEDY)["long"] == []
    assert "row 17: the prompt is too long" in caplog.text


def test_a_refused_request_is_told_and_the_worker_goes_on(engine):
    with pytest.raises(InputError, match=r"a Ray worker failed: row 0: vLLM refuses .*temperature.* run again"):
        texts(engine, ONCE, Sampling(temperature=-1.0))
    assert [len(found) for found in texts(engine, ONCE, GREEDY).values()] == [1, 1, 1]


def test_a_call_that_was_stopped_leaves_nothing(engine):
    many = [Request(Problem(f"m{i}", PROMPTS[i % 3], number=i), 4) for i in range(60)]
    generator = engine.generate(many, Sampling(max_tokens=40))
    next(generator)
    generator.close()
    assert [len(found) for found in texts(engine, ONCE, GREEDY).values()] == [1, 1, 1]


def test_a_model_that_is_not_there_is_bad_input(engine, tmp_path):
    with pytest.raises(InputError, match="a Ray worker cannot start: vLLM cannot load the model"):
        load_engine("ray", str(tmp_path))
    assert ray.is_initialized()  # the other engine still needs it


def test_a_lost_worker_ends_the_run(engine):  # the last test: the engine is of no use after it
    [worker] = ray.get(engine._desk.tell_workers.remote())
    many = [Request(Problem(f"m{i}", PROMPTS[i % 3], number=i), 16) for i in range(600)]
    with pytest.raises(InputError, match=r"a Ray worker was lost: .*run again"):  # noqa: PT012
        for number, _ in enumerate(engine.generate(many, Sampling(max_tokens=100))):
            if number == 3:
                ray.kill(worker)
