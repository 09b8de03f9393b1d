"""`rlguard order`: what it writes and says, with a matrix that is there and with trainings."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import rlguard.cli.main
import rlguard.cli.order  # noqa: F401 - adds its command
from rlguard.cli.main import app
from rlguard.order.transfer import Transfer, read_transfer, write_transfer
from rlguard.tables.read import read_rows
from rlguard.tables.write import write_rows
from rlguard.types import InputError

ROWS = [{"prompt": f"{d} {i}?", "answer": str(i), "domain": d} for d in ("sums", "tales[b]") for i in range(12)]
HALF = np.tile([0.25, 0.75], 20)


def transfer_of(*domains, lost=0.2):
    """Training on the last of two domains takes `lost` from the first."""
    first = np.stack([HALF, HALF - lost])[None]
    return Transfer(domains, (HALF, HALF), (first, np.stack([HALF, HALF])[None]), np.array([-0.1, 0.2]))


@pytest.fixture
def data(tmp_path):
    write_rows(ROWS, tmp_path / "d.jsonl")
    return tmp_path


def order(*arguments):
    done = CliRunner().invoke(app, ["order", *map(str, arguments)], env={"COLUMNS": "200"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_from_a_matrix_that_is_there_nothing_is_run_and_all_rows_are_scheduled(data):
    write_transfer(transfer_of("sums", "tales[b]"), data / "t.json")
    said = order(data / "d.jsonl", "--transfer", data / "t.json", "--out", data / "out")
    assert "order: tales[b] > sums" in said
    assert "This order loses less than its reversal with probability" in said
    assert "0.30 -0.20" in said
    assert "[-0.20, -0.20]" in said
    rows = read_rows(data / "out" / "schedule.jsonl")
    assert [row["domain"] for row in rows] == ["tales[b]"] * 12 + ["sums"] * 12
    plan = json.loads((data / "out" / "order.json").read_text())
    assert plan["order"] == ["tales[b]", "sums"]
    assert plan["separates"] is True
    assert sorted(path.name for path in (data / "out").iterdir()) == [
        "order.json", "schedule.jsonl", "schedule.jsonl.card.json", "transfer.json",
    ]  # fmt: skip


def test_no_difference_is_said_and_structure_comes_first(data):
    write_transfer(transfer_of("sums", "tales[b]", lost=0.0), data / "t.json")
    said = order(data / "d.jsonl", "--transfer", data / "t.json", "--out", data / "out")
    assert "order: sums > tales[b] Nothing separates the orders" in said


def test_with_a_model_the_domains_are_probed_and_held_out_rows_stay_out(data, monkeypatch):
    seen = {}

    def probe(model, training, held_out, out, settings, verifier, on_progress):
        seen.update(model=model, settings=settings, verifier=verifier, out=out)
        on_progress("training on tales[b]", 1, 2)
        seen["sizes"] = [len(training["sums"]), len(held_out["sums"])]
        return transfer_of(*training)

    monkeypatch.setattr("rlguard.order.probe.probe", probe)
    said = order(
        data / "d.jsonl", "--model", "m", "--out", data / "out", "--held-out", 4, "--steps", 7, "--n", 2, "--seed", 3,
        "--learning-rate", 1e-4, "--verifier", "suite", "--trainer", '{"beta": 0.1}', "--trainings", 2, "--epochs", 2,
    )  # fmt: skip
    assert "order: tales[b] > sums" in said
    assert seen["sizes"] == [8, 4]
    settings = seen["settings"]
    assert (settings.steps, settings.n, settings.seed, settings.trainings) == (7, 2, 3, 2)
    assert (settings.learning_rate, settings.trainer) == (1e-4, {"beta": 0.1})
    assert seen["verifier"].name == "suite"
    scheduled, held_out = (read_rows(data / "out" / name) for name in ("schedule.jsonl", "held_out.jsonl"))
    assert len(scheduled) == 2 * 16
    assert len(held_out) == 8
    assert not {row["prompt"] for row in scheduled} & {row["prompt"] for row in held_out}
    assert read_transfer(data / "out" / "transfer.json").domains == ("sums", "tales[b]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected --model"),
        (["--model", "m", "--transfer", "t.json"], "expected --model"),
        (["--transfer", "absent.json"], "absent.json"),
        (["--model", "m", "--trainer", "beta=1"], "--trainer: expected a JSON object, got 'beta=1'"),
        (["--model", "m", "--trainer", "[1]"], "--trainer: expected a JSON object"),
        (["--model", "m", "--held-out", "12"], "domain 'sums': expected more than 12 distinct prompts"),
        (["--model", "m", "--domain-column", "kind"], "row 0: expected the name of a domain in 'kind', got None"),
        (["--model", "m", "--domain-column", "domian"], "got None; it has 'prompt'"),
        (["--model", "m", "--epochs", "0"], "epochs: expected at least 1, got 0"),  # before hours of training
        (["--model", "m", "--steps", "0"], "steps: expected at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(data, arguments, words):
    with pytest.raises(InputError) as error:
        order(data / "d.jsonl", "--out", data / "out", *arguments)
    assert words in str(error.value)
    assert not (data / "out").exists()


def test_a_matrix_of_other_domains_is_refused(data):
    write_transfer(transfer_of("sums", "poems"), data / "t.json")
    with pytest.raises(InputError, match=r"t.json: is of sums, poems; .*d.jsonl has sums, tales\[b\]"):
        order(data / "d.jsonl", "--transfer", data / "t.json", "--out", data / "out")


def test_an_unknown_entropy_is_shown_as_a_dash(data):
    found = transfer_of("sums", "tales[b]")
    found.entropy_change_D[0] = math.nan
    write_transfer(found, data / "t.json")
    said = order(data / "d.jsonl", "--transfer", data / "t.json", "--out", data / "out")
    assert "own entropy, nats │ │ – │ +0.200" in said
    assert "nan" not in said
