"""The order benchmark: its tasks are judged by their rules, its questions are new, its table says what the runs say."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")

from benchmarks.order.domains import DOMAINS, DomainVerifier, make_rows
from benchmarks.order.run import ARMS, Run, check_rows, list_runs, make_questions, probe_questions
from benchmarks.order.summary import draw_figure, final, transfer_back, write_summary
from rlguard.order.plan import plan_order
from rlguard.order.transfer import Transfer, write_transfer
from rlguard.tables.read import read_problems
from rlguard.types import InputError
from rlguard.verify.gold import check_gold

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", DOMAINS)
def test_right_completions_pass_and_other_problems_answers_do_not(name):
    verifier, rng = DomainVerifier(), random.Random(0)
    rows = make_rows(name, 60, 1)
    problems = read_problems(rows)
    assert check_gold(problems, verifier) == []
    assert all(verifier.score(f"answer {row['answer']}", p) == 1.0 for row, p in zip(rows, problems, strict=True))
    moved = [
        verifier.score(f"answer {row['answer']}", p) for row, p in zip(rows, problems[1:] + problems[:1], strict=True)
    ]
    assert np.mean(moved) < 0.35
    for text in ("", "answer", "answer ", "no idea", "answer 0"):
        assert verifier.score(text, problems[0]) == float(text == "answer 0" and rows[0]["answer"] == "0")
    prompt, completion = DOMAINS[name].make_example(rng)
    assert prompt.endswith("\n")
    assert len(completion) < 40  # fits the tokens of a completion


@pytest.mark.parametrize("name", ["parts", "words"])
def test_open_ended_problems_have_many_right_answers(name):
    rng, verifier = random.Random(1), DomainVerifier()
    problem = next(
        p for p in read_problems(make_rows(name, 200, 2)) if p.text.startswith("27 in" if name == "parts" else "")
    )
    letters = "123456789+" if name == "parts" else "abcdefghijklmnopqrstuvwxyz"
    found = set()
    for _ in range(40_000):
        own = str(problem.answer)
        i, j = rng.randrange(len(own)), rng.randrange(len(own))
        changed = list(own)
        changed[i], changed[j] = rng.choice(letters), rng.choice(letters)
        if verifier.score(f"answer {''.join(changed)}", problem):
            found.add("".join(changed))
    assert len(found) > 3
    assert DOMAINS[name].open_ended


def test_reported_questions_are_not_those_of_the_probes_nor_trained_on():
    asked = {problem.text for problems in probe_questions().values() for problem in problems}
    questions = make_questions(20, seed=1)
    assert [p.row["domain"] for p in questions] == [name for name in DOMAINS for _ in range(20)]
    assert not asked & {problem.text for problem in questions}
    trained = {row["prompt"] for name in DOMAINS for row in make_rows(name, 300, 1)}
    assert not trained & (asked | {problem.text for problem in questions})


def fake_transfer():
    half = np.tile([0.25, 0.75], 30)
    damage = {("sums", "words"): 0.2}
    after = tuple(np.stack([half - damage.get((i, j), 0.0) for j in DOMAINS])[None] for i in DOMAINS)
    return Transfer(tuple(DOMAINS), (half,) * 4, after, np.array([-0.2, -0.1, 0.1, 0.2]))


def fake_runs(out, seeds):
    write_transfer(fake_transfer(), out / "transfer.json")
    (out / "runs").mkdir()
    runs = list_runs(plan_order(fake_transfer()), seeds)
    for run in runs:
        bonus = 0.1 * (run.arm == "planned") + 0.01 * run.seed
        accuracy = [[0.4] * 4, [0.5] * 4, [0.6] * 4, [0.6] * 4, [0.5 + bonus] * 4]
        row = asdict(run) | {"domains": list(DOMAINS), "accuracy": accuracy, "seconds": 1.0}
        (out / "runs" / f"{run.name}.json").write_text(json.dumps(row))
    return runs


def test_the_table_says_what_the_runs_say(tmp_path):
    runs = fake_runs(tmp_path, (1, 2))
    text = write_summary(tmp_path, (1, 2, 3))  # seed 3 was not run
    assert "Seeds 1, 2;" in text
    assert "| final accuracy | 0.615 [0.551, 0.679] | 0.515 [0.451, 0.579] |" in text
    assert "| final accuracy | +0.100 [+0.100, +0.100] | +0.100 [+0.100, +0.100] |" in text
    assert "| backward transfer | 0.048 [" in text  # ((0.615 - 0.5) + 2 * (0.615 - 0.6)) / 3
    assert "words before sums" in text
    assert {run.arm for run in runs} == set(ARMS)
    draw_figure(tmp_path, (1, 2), tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_backward_transfer_follows_the_order_of_the_run():
    row = {"arm": "planned", "order": ["words", "sums"], "domains": ["sums", "words"]}
    row["accuracy"] = [[0.1, 0.1], [0.2, 0.9], [0.8, 0.6]]
    assert transfer_back(row) == pytest.approx(0.6 - 0.9)
    assert final(row) == pytest.approx(0.7)
    assert np.isnan(transfer_back(row | {"arm": "joint"}))


def test_rows_of_another_plan_are_not_taken_for_this_one(tmp_path):
    (run, *others) = fake_runs(tmp_path, (1,))
    check_rows([run, *others, Run(run.arm, 2, run.order)], tmp_path)  # seed 2 was not run
    with pytest.raises(InputError, match=rf"{run.name}.json was run with order .*'{run.order[0]}'.*, now"):
        check_rows([Run(run.arm, 1, run.order[::-1])], tmp_path)


@pytest.mark.parametrize("script", ["recipes/order_domains.py", "benchmarks/order/run.py"])
def test_the_scripts_say_what_they_do(script):
    done = subprocess.run([sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python {script}" in done.stdout
