"""The command line as a user runs it: a subprocess, files in and out, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from rlguard.cli.main import COMMANDS
from rlguard.tables.read import read_rows
from rlguard.tables.write import write_rows

SUMS = [{"q": f"{a}+{a}+1 mod 10=?\n", "gold": str((2 * a + 1) % 10), "note": a} for a in range(4)]


def rlguard(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "rlguard", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},  # names that are no files are looked for on the hub
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def one_line(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory with rates of the tiny model, by the real transformers engine through the command line."""
    from conftest import TINY

    folder = tmp_path_factory.mktemp("run")
    hash_prompt = {"q": "3#4#5 mod 10=?\n", "gold": "x", "note": 9}  # a gold answer that is no number
    write_rows([*SUMS, hash_prompt], folder / "data.jsonl")
    done = rlguard(
        "estimate", folder / "data.jsonl", "--model", TINY, "--engine", "transformers", "--out", folder / "rates",
        "--n", 8, "--max-tokens", 40, "--column", "prompt=q", "--column", "answer=gold", "--verifier", "numeric",
    )  # fmt: skip
    return folder, done


def test_estimate(run):
    folder, done = run
    assert "row 4 ('x')" in one_line(done.stderr)
    assert "more than the" not in done.stderr  # a fixed number promises no share of wrong bands
    assert "of 32 rollouts correct" in done.stdout
    rates = read_rows(folder / "rates" / "rates.parquet")
    assert [row["trials"] for row in rates] == [8, 8, 8, 8, 0]
    assert sum(row["successes"] for row in rates) > 16  # the model knows these
    assert rates[4]["status"] == "gold_rejected"


def test_adaptive_estimate_with_guesses_says_whether_rl_is_worth_starting(tmp_path):
    from conftest import TINY

    write_rows([*SUMS, {"q": "3#4#5 mod 10=?\n", "gold": "7"}], tmp_path / "data.jsonl")
    done = rlguard(
        "estimate", tmp_path / "data.jsonl", "--model", TINY, "--engine", "transformers", "--out", tmp_path / "rates",
        "--max-n", 24, "--error-rate", 0.1, "--max-tokens", 40, "--column", "prompt=q", "--column", "answer=gold",
        "--verifier", "numeric", "--answer-only", 4, "--answer-cue", "answer ", "--group-size", 16,
    )  # fmt: skip
    for words in ("Histogram", "Chance rates", "expected in a wrong band", "preflight: learnable", "pass@16", "saved"):
        assert words in done.stdout
    rates = read_rows(tmp_path / "rates" / "rates.parquet")
    assert all(4 <= row["trials"] <= 24 for row in rates)
    assert all(row["chance_rate"] is not None for row in rates)


def test_most_rollouts_that_are_the_fewest_still_owe_their_share_of_wrong_bands(tmp_path):
    from conftest import TINY

    write_rows([{"q": f"{a}#{b}#1 mod 10=?\n", "gold": "3"} for a in (3, 4, 5) for b in (1, 2)], tmp_path / "d.jsonl")
    done = rlguard(
        "estimate", tmp_path / "d.jsonl", "--model", TINY, "--engine", "transformers", "--out", tmp_path / "rates",
        "--max-n", 4, "--max-tokens", 40, "--column", "prompt=q", "--column", "answer=gold", "--verifier", "numeric",
    )  # fmt: skip
    assert one_line(done.stderr).count("more than the 5% that were asked for: at most 4 rollouts per prompt") == 1
    assert "saved" not in done.stdout  # four each is what they got


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_with_what_was_decided(tmp_path, how):
    from conftest import TINY

    sums = [{"prompt": f"{a}+{b}+1 mod 10=?\n", "answer": "1"} for a in range(9) for b in range(9)]
    write_rows(sums, tmp_path / "d.jsonl")
    command = f"estimate d.jsonl --model {TINY} --engine transformers --out rates --n 64 --max-tokens 100".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "rlguard", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "rates" / "rollouts.jsonl"
    for _ in range(600):
        if log.exists() and log.stat().st_size > 0:
            break
        time.sleep(0.1)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "the same command goes on from there" in one_line(err)
    assert "Traceback" not in err
    assert "preflight:" in out
    assert 0 < sum(row["trials"] > 0 for row in read_rows(tmp_path / "rates" / "rates.parquet")) < 81


def test_truncate(run):
    from conftest import TINY

    folder, _ = run
    done = rlguard(
        "truncate", folder / "rates", "--model", TINY, "--engine", "transformers", "--verifier", "numeric",
        "--answer-cue", "answer ", "--rollouts", 6, "--out", folder / "curves.jsonl",
    )  # fmt: skip
    assert "Reward" in done.stdout
    curves = read_rows(folder / "curves.jsonl")
    assert len({curve["prompt_id"] for curve in curves[:4]}) == 4  # one a prompt before a second
    assert len(curves) == 6
    assert all(curve["rewards"][-1] > 0.5 for curve in curves if curve["skipped"] is None)
    rlguard("truncate", folder, "--model", TINY, "--out", folder / "no.jsonl", code=2)


def test_estimate_again_samples_nothing(run):
    folder, _ = run
    before = (folder / "rates" / "rollouts.jsonl").read_bytes()
    from conftest import TINY

    rlguard(
        "estimate", folder / "data.jsonl", "--model", TINY, "--engine", "transformers", "--out", folder / "rates",
        "--n", 8, "--max-tokens", 40, "--column", "prompt=q", "--column", "answer=gold", "--verifier", "numeric",
    )  # fmt: skip
    assert (folder / "rates" / "rollouts.jsonl").read_bytes() == before


def test_filter_scan_report(run):
    folder, _ = run
    columns = "--column", "prompt=q", "--column", "answer=gold"
    done = rlguard(
        "filter", folder / "data.jsonl", "--rates", folder / "rates", "--keep", "0.0..1.0",
        "--out", folder / "kept.jsonl", *columns,
    )  # fmt: skip
    assert "dropped: gold_rejected" in done.stdout
    assert [row["note"] for row in read_rows(folder / "kept.jsonl")] == [0, 1, 2, 3]
    assert read_rows(folder / "kept.dropped.jsonl")[0]["rlguard_drop_reason"] == "gold_rejected"

    scanned = rlguard("scan", folder / "rates", "--json", "--out", folder / "findings.jsonl")
    found = json.loads(scanned.stdout)
    assert found["rollouts"] == 32
    assert found["schema"] == "rlguard store"
    for finding in found["findings"]:
        assert finding["completion"][finding["start"] : finding["end"]]

    rlguard("report", folder, "--out", folder / "report.html")
    page = (folder / "report.html").read_text()
    assert "gold rejected" in page  # in the verdict


def test_filter_by_published_rates(tmp_path):
    from conftest import FIXTURES

    rows = [{"prompt": f"{i}?", "answer": str(i), "hard": hard} for i, hard in enumerate((0.0, 50.0, 100.0, None))]
    write_rows(rows, tmp_path / "data.jsonl")
    done = rlguard(
        "filter", tmp_path / "data.jsonl", "--rate-column", "hard", "--scale", "percent_hard", "--rate-model", "org/A",
        "--model", "org/B", "--out", tmp_path / "kept.parquet",
    )  # fmt: skip
    assert "a rate does not carry over to 'org/B'" in one_line(done.stderr)
    assert [row["answer"] for row in read_rows(tmp_path / "kept.parquet")] == ["1"]
    reasons = {row["answer"]: row["rlguard_drop_reason"] for row in read_rows(tmp_path / "kept.dropped.parquet")}
    assert reasons == {"0": "mastered", "2": "impossible", "3": "not_estimated"}
    assert "percent" not in (tmp_path / "kept.card.md").read_text()
    polaris = FIXTURES / "published" / "polaris.jsonl"
    rlguard("filter", polaris, "--known", "POLARIS-Project/Polaris-Dataset-53K", "--out", tmp_path / "polaris.jsonl")
    assert all(0.1 <= row["rlguard_pass_rate"] <= 0.9 for row in read_rows(tmp_path / "polaris.jsonl"))


def test_scan_exit_codes(tmp_path):
    write_rows([{"prompt": "7+8+5 mod 10=?", "completion": "7+8=5;5+5=0;answer 0"}], tmp_path / "honest.jsonl")
    loop = "answer 7 " * 40
    write_rows([{"prompt": "7+8+5 mod 10=?", "completion": loop}], tmp_path / "looping.jsonl")
    rlguard("scan", tmp_path / "honest.jsonl", "--fail-on", "warn")
    rlguard("scan", tmp_path / "looping.jsonl")
    rlguard("scan", tmp_path / "looping.jsonl", "--fail-on", "warn", code=1)
    rlguard("scan", tmp_path / "looping.jsonl", "--fail-on", "error", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["estimate", "no.jsonl", "--model", "m", "--out", "o"], "no.jsonl: no such file"),
        (["filter", "DATA", "--rates", "r", "--out", "o.jsonl"], "no pass rates here"),
        (["filter", "DATA", "--rates", "r", "--out", "o.jsonl", "--keep", "0.5"], "--keep: expected LOW..HIGH"),
        (["filter", "DATA", "--out", "o.jsonl"], "where do the pass rates come from?"),
        (["filter", "DATA", "--rate-column", "x", "--out", "o.jsonl"], "--scale: expected one of pass_rate"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--bounds", "0.1"], "--bounds: expected three rates"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--n", "0"], "expected 1 <= min <= max"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--column", "answer=label"], "column 'label' is missing"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--verifier", "llm"], "verifier 'llm' is unknown"),
        (["estimate", "DATA", "--out", "o"], "--model"),
        (["estimate", "EMPTY", "--model", "m", "--out", "o"], "the data set is empty"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--column", "label"], "expected PART=NAME"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--column", "answer=anser"], "is it 'answer'?"),
        (["estimate", "DATA", "--model", "m", "--engine", "server", "--out", "o"], "needs the address of a server"),
        (
            ["estimate", "DATA", "--model", "./nodel", "--engine", "transformers", "--out", "new"],
            "no such file or folder",
        ),
        (["estimate", "DATA", "--model", "m", "--out", "DATA"], "is a file"),
        (["filter", "DATA", "--rate-column", "answer", "--scale", "percent_easy", "--out", "DATA"], "would replace"),
        (["filter", "DATA", "--rate-column", "answer", "--scale", "percent_easy", "--out", "k.txt"], "name ending in"),
        (["scan", "DATA", "--out", "DATA"], "would replace"),
        (["verifier", "DATA", "--verifier", "math:pi"], "expected a function or a verifier, got 3.14"),
        (["verifier", "DATA", "--verifier", "antigravityy:f"], "expected MODULE:FUNCTION that can be imported here"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--top-p", "0"], "--top-p"),
        (["truncate", "DATA", "--model", "m", "--out", "DATA"], "would replace"),
        (["report", "DATA", "--column", "completion=answer", "--out", "DATA"], "is no page and would be replaced"),
        (["order", "DATA", "--model", "m", "--out", "FOLDER"], "would replace"),
        (["scan", "a/b/c"], "a/b/c: no such file or folder"),
        (["scan", "DATA", "--column", "reward=x"], "column 'x' is missing"),
        (["scan", "DATA", "--column", "answer=a", "--column", "answer=b"], "answer is named twice, as 'a' and as 'b'"),
        (["watch", "FOLDER", "--column", "step=a", "--column", "step=b"], "step is named twice"),
        (["watch", "FOLDER", "--serve", "99999"], "--serve"),
        (["filter", "DATA", "--rates", "r", "--trials", "8", "--out", "o.jsonl"], "say what --rate-column holds"),
        (["filter", "DATA", "--known", "x", "--scale", "percent_easy", "--out", "o.jsonl"], "--rate-column holds"),
        (["scan", "DATA"], "--column completion=NAME"),
        (["audit", "FOLDER", "FOLDER", "--trained", "sumz", "--out", "o"], "domains of the suite (arithmetic, algebra"),
        (["audit", "FOLDER", "FOLDER", "--out", "o"], "expected a model (config.json"),
        (["audit", "DATA", "./nodel", "--no-chat", "--out", "o"], "nodel: no such file or folder"),
        (["scan", "no"], "no"),
        (["report", "no"], "no"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_exit_code_2_with_a_reason(tmp_path, arguments, message):
    write_rows([{"prompt": "2+2?", "answer": "4"}], tmp_path / "data.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    names = {
        "DATA": tmp_path / "data.jsonl",
        "EMPTY": tmp_path / "empty.jsonl",
        "o": tmp_path / "o",
        "r": tmp_path / "r",
        "FOLDER": tmp_path / "folder",
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "schedule.jsonl").symlink_to(tmp_path / "data.jsonl")
    before = (tmp_path / "data.jsonl").read_bytes()
    done = rlguard(*(names.get(a, a) for a in arguments), code=2)
    assert message in one_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "data.jsonl").read_bytes() == before
    assert not (tmp_path / "o").exists()


def test_help_of_every_command():
    listed = rlguard("--help").stdout
    assert "Exit codes" in listed
    assert len(listed.splitlines()) <= 24  # a screen
    places = [listed.index(f"\n  {command} ") for command in COMMANDS]
    assert places == sorted(places)  # in the order of the work
    assert COMMANDS.index("verifier") < COMMANDS.index("estimate") < COMMANDS.index("filter") < COMMANDS.index("watch")
    for command in COMMANDS:
        told = rlguard(command, "-h").stdout
        assert "--json" in told
        first = told.partition("\n\n")[2].splitlines()[0].strip()
        assert f"  {first}\n" in listed, command  # the whole of its first sentence, in one line
        assert len(told.splitlines()) <= 55
    assert rlguard("--version").stdout.startswith("rlguard ")
    shell = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # where none is around it
    told = subprocess.run(
        [sys.executable, "-m", "rlguard", "--show-completion", "bash"], env=shell, capture_output=True
    )
    assert b"complete" in told.stdout


def test_a_fault_of_our_own_is_no_finding():
    script = "import sys, rlguard.cli; m = sys.modules['rlguard.cli.main']; m.app = lambda: [][1]; m.main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 70
    assert "IndexError" in done.stderr
    assert "Please open an issue" in done.stderr
    script = script.replace("[][1]", "open('/dev/null/x')")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: [Errno 20]")


def test_whoever_stops_reading_is_no_finding(tmp_path):
    write_rows([{"prompt": "q", "completion": "answer 7 " * 40}] * 3000, tmp_path / "a.jsonl")
    command = f"{sys.executable} -m rlguard scan {tmp_path / 'a.jsonl'} --json | head -c 9; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", command], capture_output=True).returncode == 141


def test_the_terminal_obeys_no_text(tmp_path):
    looping = "\x1b[2J\x9b31m\u202e [red] answer 7 " * 40 + "\ud83d"
    write_rows([{"prompt": "q", "completion": looping}], tmp_path / "\x1b[2J.jsonl")
    done = rlguard("scan", tmp_path / "\x1b[2J.jsonl")
    for text in (done.stdout, done.stderr):
        assert not set(text) & {"\x1b", "\x9b", "\u202e"}
    assert "[red]" in done.stdout
    write_rows([{"prompt": "\x1b[2J"}], tmp_path / "\x1b[2J.jsonl")
    assert "\x1b" not in rlguard("scan", tmp_path / "\x1b[2J.jsonl", code=2).stderr


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch, capsys):
    from rlguard.cli import console

    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    bar = console.Bar("loading", "prompts")
    for second in range(150):
        now[0] = float(second)
        bar.show("sampling", second, 150, "rollouts")
    assert capsys.readouterr().err.splitlines() == [
        "sampling: 60 of 150 prompts rollouts", "sampling: 120 of 150 prompts rollouts",
    ]  # fmt: skip


def test_work_of_unknown_length_says_that_it_goes_on(monkeypatch, capsys):
    from rlguard.cli import console

    monkeypatch.setattr(console, "MINUTE", 0.01)
    with console.working("scanning"):
        console.time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert {line.split(": ")[1] for line in lines} == {"0 s so far"}


def test_filter_says_it_in_json(tmp_path):
    write_rows(
        [{"prompt": "2+2?", "answer": "4", "r": "50%"}, {"prompt": "3+3?", "answer": "6", "r": 1}], tmp_path / "d.jsonl"
    )
    done = rlguard("filter", tmp_path / "d.jsonl", "--rate-column", "r", "--scale", "pass_rate", "--json",
                   "--out", tmp_path / "k.jsonl")  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["rows"], found["kept"], found["dropped"]) == (2, 1, {"mastered": 1})
    assert found["paths"]["kept"] == str(tmp_path / "k.jsonl")


def test_missing_engine_says_how_to_install_it():
    hide = (
        "import sys; sys.modules['vllm'] = None; sys.modules['torch'] = None; from rlguard.engines import load_engine;"
    )
    for engine, install in (("vllm", "vllm"), ("transformers", "transformers")):
        script = f"{hide} load_engine('{engine}', 'm')"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert f"pip install '{install}" in done.stderr
    hide = "import sys; sys.modules['transformers'] = None; from rlguard.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", hide, "audit", "a", "b", "--out", "o"], capture_output=True, text=True)
    assert (done.returncode, "pip install 'vllm" in done.stderr) == (2, True), done.stderr
