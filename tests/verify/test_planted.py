"""Planted completions: each kind is what it says, and a wrong verifier is found out."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rlguard.cli.main import app
from rlguard.types import InputError, Problem
from rlguard.verify.planted import FORMS, examine_verifier, plant
from rlguard.verify.verifiers import Exact, Math, Numeric

GOLDS = ["1250", "-7", "0", "3/4", "2.5", "B", "Paris", "25 cm", "x + 1", "red", "12"]
PROBLEMS = [Problem(f"p{n}", f"question {n}", gold, number=n) for n, gold in enumerate(GOLDS)]


class Says:
    """A verifier that is a function."""

    name, version = "says", "1"

    def __init__(self, score):
        self._score = score

    def extract(self, completion):
        return completion

    def score(self, completion, problem):
        return self._score(completion, str(problem.answer))


def examine(verifier):
    return {one.kind: one for one in examine_verifier(PROBLEMS, verifier)}


@pytest.mark.parametrize("problem", PROBLEMS, ids=GOLDS)
def test_every_gold_gives_every_kind(problem):
    found = list(plant(problem, [gold for gold in GOLDS if gold != problem.answer]))
    kinds = {one.kind for one in found}
    assert {f"gold, {form}" for form in FORMS} <= kinds
    assert {"near miss", "empty", "all options", "prompt injection", "gold in a wrong sentence"} <= kinds
    assert len({one.text for one in found if not one.right} & {one.text for one in found if one.right}) == 0


def test_a_verifier_that_looks_for_the_gold_anywhere_is_found_out():
    found = examine(Says(lambda completion, gold: float(gold in completion)))
    assert found["gold in a wrong sentence"].wrong == found["gold in a wrong sentence"].judged
    assert found["all options"].wrong == found["all options"].judged
    assert found["empty"].wrong == 0
    assert found["gold in a wrong sentence"].low > 0.85
    assert found["gold in a wrong sentence"].examples[0] == (0, "One could think of 1250, but no: \\boxed{1251}.")


def test_verifiers_that_pass_all_or_nothing_err_on_one_side():
    passes = examine_verifier(PROBLEMS, Says(lambda *_: 1.0))
    fails = examine_verifier(PROBLEMS, Says(lambda *_: 0.0))
    assert all(one.wrong == (0 if one.right else one.judged) for one in passes)
    assert all(one.wrong == (one.judged if one.right else 0) for one in fails)
    assert [one.right for one in passes] == sorted(one.right for one in passes)  # false passes come first


def test_what_cannot_be_judged_is_no_error():
    def never(completion, gold):
        raise ValueError("no")

    assert {(one.judged, one.wrong, one.low, one.high) for one in examine(Says(never)).values()} == {(0, 0, 0.0, 1.0)}
    assert all(one.unscored > 0 for one in examine(Says(never)).values())
    with pytest.raises(InputError, match="expected problems with gold answers"):
        examine_verifier([Problem("p", "?", None)], Exact())


@pytest.mark.parametrize("verifier", [Math(), Exact(), Numeric()], ids=lambda verifier: verifier.name)
def test_the_librarys_own_verifiers_pass_nothing_that_is_wrong(verifier):
    found = examine(verifier)
    assert {kind: one.examples for kind, one in found.items() if not one.right and one.wrong} == {}
    assert found["gold, boxed"].wrong == found["gold, answer tag"].wrong == 0


def test_the_command(tmp_path, monkeypatch):
    (tmp_path / "data.jsonl").write_text(
        "".join(json.dumps({"prompt": p.prompt, "answer": p.answer}) + "\n" for p in PROBLEMS)
    )
    (tmp_path / "mine_to_test.py").write_text(
        "def reward(completion, answer):\n    return float(answer in completion)\n"
    )
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert run(app, ["verifier", "data.jsonl", "--fail-over", "0.2", "--verifier", "exact"]).exit_code == 0
    found = run(app, ["verifier", "data.jsonl", "--verifier", "mine_to_test:reward", "--fail-over", "0.2", "--json"])
    assert found.exit_code == 1
    rows = {row["kind"]: row for row in json.loads(found.output)}
    assert rows["gold in a wrong sentence"]["wrong"] == rows["gold in a wrong sentence"]["judged"] > 0
    with pytest.raises(InputError, match="expected MODULE:FUNCTION"):
        run(app, ["verifier", "data.jsonl", "--verifier", "mine_to_test:none"], catch_exceptions=False)
    told = run(app, ["verifier", "data.jsonl", "--verifier", "mine_to_test:reward", "--rows", "2"]).output
    assert "on 2 rows" in told
