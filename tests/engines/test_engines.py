"""The engines in this process for real, on the tiny model; those behind a server and on Ray have files of their own."""

from __future__ import annotations

import itertools
import logging

import pytest

from rlguard.engines import load_engine
from rlguard.engines.origin import describe_origin, fingerprint_model
from rlguard.engines.requests import SEEDS, encode_prompt, request_seed
from rlguard.types import InputError, Problem, Request, Sampling

PROMPTS = ["7+8+5 mod 10=?\n", "3-5 mod 7=?\n", "2*3*4 mod 10=?\n"]
REQUESTS = [Request(Problem(f"p{i}", prompt, number=i), 4) for i, prompt in enumerate(PROMPTS)]
ONCE = [Request(request.problem, 1) for request in REQUESTS]
GREEDY, SAMPLED = Sampling(max_tokens=40, temperature=0), Sampling(max_tokens=40, seed=3)


def texts(engine, requests, sampling):
    found = {request.problem.id: [g.text for g in gs] for request, gs in engine.generate(requests, sampling)}
    assert found.keys() == {request.problem.id for request in requests}
    return found


def follow_up(engine):
    """Feeds one request, and each further one only when the one before has come out; returns the texts."""
    waiting, found = list(ONCE[:1]), []

    def draw():
        while True:
            yield waiting.pop() if waiting else None

    for _, generations in engine.generate(draw(), GREEDY):
        found.append(generations[0].text)
        waiting += ONCE[len(found) : len(found) + 1]
    return found


def rollouts(engine, requests, sampling=SAMPLED):
    """Texts by prompt and rollout number."""
    pairs = engine.generate(requests, sampling)
    return {(r.problem.id, r.first + i): g.text for r, gs in pairs for i, g in enumerate(gs)}


def split(n, prompts=PROMPTS):
    """Eight rollouts of each prompt, in requests of n."""
    problems = [Problem(f"s{i}", prompt, number=i) for i, prompt in enumerate(prompts)]
    return [Request(problem, n, first) for first in range(0, 8, n) for problem in problems]


@pytest.fixture(scope="module")
def transformers_engine():
    pytest.importorskip("transformers")
    from conftest import TINY

    return load_engine("transformers", str(TINY), batch_size=8)


@pytest.fixture(scope="module")
def vllm_engine():
    pytest.importorskip("vllm")
    from conftest import TINY

    return load_engine("vllm", str(TINY), dtype="float32")


def test_transformers_generates(transformers_engine):
    found = {r.problem.id: gs for r, gs in transformers_engine.generate(ONCE, GREEDY)}
    assert found["p0"][0].text == "7+8=5;5+5=0;answer 0"
    assert found["p0"][0].finish_reason == "stop"
    assert found["p0"][0].tokens == len("7+8=5;5+5=0;answer 0") + 1
    short = next(gs for _, gs in transformers_engine.generate(ONCE[:1], Sampling(max_tokens=3, temperature=0)))
    assert (short[0].text, short[0].finish_reason, short[0].tokens) == ("7+8", "length", 3)


def test_transformers_repeats_itself_for_a_seed(transformers_engine):
    first = texts(transformers_engine, REQUESTS, SAMPLED)
    assert first == texts(transformers_engine, REQUESTS, SAMPLED)
    other = texts(transformers_engine, REQUESTS, Sampling(max_tokens=40, seed=4))
    assert other != first


def by_number(engine, requests, sampling):
    found = engine.generate(requests, sampling)
    return {(request.problem.id, request.first + i): g.text for request, gs in found for i, g in enumerate(gs)}


def test_a_rollout_is_the_same_in_any_company(transformers_engine):
    """However its prompt's rollouts are split over requests, and whatever shares its batch."""
    sampling = Sampling(max_tokens=40, temperature=1.2, top_p=0.95, seed=3)
    problems = [Problem(f"p{i}", f"{i}+{i}+1 mod 10=?\n") for i in range(6)]
    whole = by_number(transformers_engine, [Request(problem, 5) for problem in problems], sampling)
    split = [Request(p, 2) for p in reversed(problems)] + [Request(p, 3, 2) for p in problems]
    assert by_number(transformers_engine, split, sampling) == whole
    assert len(set(whole.values())) > 6


def test_prompt_that_does_not_fit_yields_nothing(transformers_engine, caplog):
    long = Request(Problem("long", "1+" * 200, number=17), 2)
    with caplog.at_level(logging.WARNING):
        found = texts(transformers_engine, [long, ONCE[0]], GREEDY)
    assert found["long"] == []
    assert "row 17: the prompt has 400 tokens" in caplog.text


def test_vllm_agrees_with_transformers_and_repeats_itself(vllm_engine, transformers_engine, caplog):
    long = Request(Problem("long", "1+" * 200, number=17), 2)
    with caplog.at_level(logging.WARNING):
        greedy = texts(vllm_engine, [long, *ONCE], GREEDY)
    assert "row 17: the prompt has 400 tokens" in caplog.text
    assert greedy.pop("long") == []
    assert greedy == texts(transformers_engine, ONCE, GREEDY)
    many = [Request(Problem(f"q{i}", PROMPTS[i % 3], number=i), 16) for i in range(12)]
    first = texts(vllm_engine, many, SAMPLED)
    assert all(len(found) == 16 for found in first.values())
    assert len(set(first["q0"])) > 1
    assert first == texts(vllm_engine, many, SAMPLED)
    alone = texts(vllm_engine, many[5:6], SAMPLED)
    assert alone["q5"] == first["q5"]  # a prompt's rollouts do not depend on its company


def test_vllm_rollouts_do_not_depend_on_how_they_were_split(vllm_engine):
    whole = rollouts(vllm_engine, split(8))
    assert len(whole) == 24
    assert len(set(whole.values())) > 3
    assert whole == rollouts(vllm_engine, split(4)) == rollouts(vllm_engine, split(1)[::-1])


@pytest.mark.parametrize("name", ["transformers", "vllm"])
def test_a_follow_up_comes_through(name, request):
    engine = request.getfixturevalue(f"{name}_engine")
    found = texts(engine, ONCE, GREEDY)
    assert follow_up(engine) == [found[request.problem.id][0] for request in ONCE]


@pytest.mark.parametrize("name", ["transformers", "vllm"])
def test_requests_are_drawn_when_there_is_room(name, request):
    engine, drawn = request.getfixturevalue(f"{name}_engine"), []

    def draw():
        for number in itertools.count():
            drawn.append(number)
            yield Request(Problem(f"p{number}", PROMPTS[number % 3], number=number), 4)

    first = list(itertools.islice(engine.generate(draw(), SAMPLED), 5))
    assert all(len(generations) == 4 for _, generations in first)
    assert 5 <= len(drawn) <= 100
    again = texts(engine, ONCE, GREEDY)  # of the call that was stopped nothing is left
    assert [len(found) for found in again.values()] == [1, 1, 1]


def test_vllm_tells_what_it_refuses(vllm_engine):
    with pytest.raises(InputError, match=r"row 0: vLLM refuses the request: .*temperature"):
        texts(vllm_engine, ONCE, Sampling(temperature=-1.0))
    with pytest.raises(InputError, match="row 4: the model's chat template does not take the messages"):
        texts(vllm_engine, [Request(Problem("c", [{"role": "user", "content": "x"}], number=4), 1)], SAMPLED)


def test_vllm_estimates_end_to_end(vllm_engine, tmp_path):
    from rlguard import estimate_pass_rates

    rows = [{"prompt": PROMPTS[0], "answer": "0"}, {"prompt": "3#4#5 mod 10=?\n", "answer": "7"}]
    rates = estimate_pass_rates(rows, out=tmp_path, engine=vllm_engine, n=16, sampling=SAMPLED)
    assert rates[0].successes > 8 > rates[1].successes
    assert [rate.trials for rate in rates] == [16, 16]


def test_chat_prompts_go_through_the_template():
    class Tokenizer:
        def __call__(self, text):
            return {"input_ids": [len(text)]}

        def apply_chat_template(self, messages, **options):
            assert options["add_generation_prompt"] is not options["continue_final_message"]
            assert options["continue_final_message"] is (messages[-1]["role"] == "assistant")
            return {"input_ids": [len(messages), 0]}

    assert encode_prompt(Tokenizer(), Request(Problem("a", "four"), 1), 9) == [4]
    assert encode_prompt(Tokenizer(), Request(Problem("a", [{"role": "user", "content": "x"}]), 1), 9) == [1, 0]
    prefill = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "<think>"}]
    assert encode_prompt(Tokenizer(), Request(Problem("a", prefill), 1), 9) == [2, 0]


def test_seeds_differ_by_prompt_and_number_not_by_run():
    seeds = {request_seed(0, Request(Problem(p, "?"), 4, first)) for p in "ab" for first in (0, 4)}
    assert len(seeds) == 4
    assert request_seed(1, REQUESTS[0]) != request_seed(0, REQUESTS[0])
    assert request_seed(0, Request(REQUESTS[0].problem, 4, first=4)) == request_seed(0, REQUESTS[0]) + 4
    assert SEEDS + 10**9 < 1 << 31  # the largest seed, with any number of rollouts that one may want


def test_origin_is_what_changes_the_distribution(tmp_path):
    class Tokenizer:
        chat_template = "{{ messages }}"

    def describe(tokenizer=None, **options):
        return describe_origin("vllm", "1", str(tmp_path), options, tokenizer)

    elsewhere = {"gpu_memory_utilization": 0.5, "tensor_parallel_size": 8, "max_num_seqs": 4, "token": "secret"}
    assert describe(**elsewhere) == describe()
    assert describe(dtype="float16", **elsewhere)["options"] == {"dtype": "float16"}
    assert describe()["chat_template"] is None
    assert len(describe(Tokenizer())["chat_template"]) == 16


def test_revision_of_a_hub_name_is_the_commit_in_the_cache(tmp_path):
    pytest.importorskip("huggingface_hub")
    assert fingerprint_model("org/name", cache=str(tmp_path)) is None
    folder = tmp_path / "models--org--name"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    assert fingerprint_model("org/name", cache=str(tmp_path)) == "abc"


def test_fingerprint_sees_a_change_in_the_middle_of_a_large_file(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(3 << 20))
    before = fingerprint_model(str(tmp_path))
    with weights.open("r+b") as file:
        file.seek(3 << 19)
        file.write(b"trained")
    assert fingerprint_model(str(tmp_path)) != before


def test_fingerprint_changes_with_the_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"a" * 100)
    before = fingerprint_model(str(tmp_path))
    (tmp_path / "README.md").write_text("notes do not count")
    assert fingerprint_model(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"a" * 99 + b"b")
    assert fingerprint_model(str(tmp_path)) != before
    assert fingerprint_model("no/such-model") is None


def test_a_model_that_is_not_there_is_bad_input(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="cannot load the model"):
        load_engine("transformers", str(tmp_path))
