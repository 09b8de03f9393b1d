"""The command line as a user runs it: a subprocess, files in and out, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rlguard.data import read_rows, write_rows

SUMS = [{"q": f"{a}+{a}+1 mod 10=?\n", "gold": str((2 * a + 1) % 10), "note": a} for a in range(4)]


def rlguard(*arguments, code=0):
    done = subprocess.run([sys.executable, "-m", "rlguard", *map(str, arguments)], capture_output=True, text=True)
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
        "--n", 8, "--max-tokens", 40, "--prompt-column", "q", "--answer-column", "gold", "--verifier", "numeric",
    )  # fmt: skip
    return folder, done


def test_estimate(run):
    folder, done = run
    assert "row 4 ('x')" in one_line(done.stderr)
    assert "32 rollouts correct" in done.stdout or "of 32 rollouts correct" in done.stdout
    rates = read_rows(folder / "rates" / "rates.parquet")
    assert [row["trials"] for row in rates] == [8, 8, 8, 8, 0]
    assert sum(row["successes"] for row in rates) > 16  # the model knows these
    assert rates[4]["status"] == "gold_rejected"


def test_estimate_again_samples_nothing(run):
    folder, _ = run
    before = (folder / "rates" / "rollouts.jsonl").read_bytes()
    from conftest import TINY

    rlguard(
        "estimate", folder / "data.jsonl", "--model", TINY, "--engine", "transformers", "--out", folder / "rates",
        "--n", 8, "--max-tokens", 40, "--prompt-column", "q", "--answer-column", "gold", "--verifier", "numeric",
    )  # fmt: skip
    assert (folder / "rates" / "rollouts.jsonl").read_bytes() == before


def test_filter_scan_report(run):
    folder, _ = run
    columns = "--prompt-column", "q", "--answer-column", "gold"
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
    assert "gold_rejected" in page


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
        (["filter", "no.jsonl", "--rates", "r", "--out", "o.jsonl"], "no.jsonl: no such file"),
        (["filter", "DATA", "--rates", "r", "--out", "o.jsonl"], "no pass rates here"),
        (["filter", "DATA", "--rates", "r", "--out", "o.jsonl", "--keep", "0.5"], "--keep: expected LOW..HIGH"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--answer-column", "label"], "column 'label' is missing"),
        (["estimate", "DATA", "--model", "m", "--out", "o", "--verifier", "llm"], "verifier 'llm' is unknown"),
        (["estimate", "DATA", "--out", "o"], "--model"),
        (["estimate", "EMPTY", "--model", "m", "--out", "o"], "the data set is empty"),
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
    }
    done = rlguard(*(names.get(a, a) for a in arguments), code=2)
    assert message in one_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_help_of_every_command():
    for command in ("estimate", "filter", "scan", "report"):
        assert "--" in rlguard(command, "--help").stdout
    assert "Exit codes" in rlguard("--help").stdout


def test_missing_engine_says_how_to_install_it():
    hide = (
        "import sys; sys.modules['vllm'] = None; sys.modules['torch'] = None; from rlguard.engines import load_engine;"
    )
    for engine, install in (("vllm", "rlguard[vllm]"), ("transformers", "rlguard[transformers]")):
        script = f"{hide} load_engine('{engine}', 'm')"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert f"pip install '{install}'" in done.stderr
