"""The tiny reasoning model and its problems: the truth that everything else is measured against."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import TINY
from tiny_reasoner.tasks import KINDS, SKILLS, check_steps, is_held_out, make_problems, solve, write_completion


def test_it_is_small_and_has_a_card():
    assert (TINY / "model.safetensors").stat().st_size <= 3_000_000
    card = (TINY / "README.md").read_text()
    assert "build.py" in card
    assert "--seed 0" in card
    assert "| mix |" in card


@pytest.mark.parametrize("kind", KINDS)
def test_problems_are_seeded_and_distinct_and_held_out_ones_apart(kind):
    first, again = make_problems([kind], 40, 3), make_problems([kind], 40, 3)
    assert first == again
    assert len({row["prompt"] for row in first}) == 40
    assert not any(is_held_out(row["prompt"]) for row in first)
    assert all(is_held_out(row["prompt"]) for row in make_problems([kind], 10, 3, held_out=True))
    wrong_gold = kind == "mislabelled"
    assert all((row["answer"] != solve(row["prompt"])) == wrong_gold for row in first)


@pytest.mark.parametrize("kind", SKILLS)
def test_written_solutions_are_computed_and_corruptions_are_not(kind):
    for row in make_problems([kind], 30, 1):
        honest = write_completion(row["prompt"])
        assert honest.endswith(f"answer {row['answer']}")
        assert check_steps(row["prompt"], honest) == "computed"
        assert check_steps(row["prompt"], write_completion(row["prompt"], bare=True)) == "bare"
        assert check_steps(row["prompt"], honest[: honest.index(";")]) == "unanswered"


def test_luck_on_a_hash_chain_is_never_called_computed():
    for row in make_problems(["unlearnable"], 30, 1):
        assert check_steps(row["prompt"], f"1#2=3;3#4={row['answer']};answer {row['answer']}") == "false_steps"


def test_the_model_has_its_skills_and_both_habits():
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from tiny_reasoner.training import evaluate_skills
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(TINY), AutoTokenizer.from_pretrained(TINY)
    problems = make_problems(SKILLS, 120, 9, held_out=True)
    assert evaluate_skills(model, tokenizer, problems)["accuracy"] > 0.95
    torch.manual_seed(0)
    sampled = evaluate_skills(model, tokenizer, problems, temperature=1.0)
    assert 0.7 < sampled["accuracy"] < 0.95
    assert 0.05 < sampled["share_bare"] < 0.35


@pytest.mark.parametrize("unguarded", [False, True])
def test_the_training_recipe_runs(tmp_path, monkeypatch, unguarded):
    pytest.importorskip("trl")
    import train_guarded

    arguments = ["--steps", "2", "--evaluate-every", "1", "--evaluate-on", "16", "--problems", "32"]
    command = [train_guarded.__file__, "--out", str(tmp_path), *arguments, *["--unguarded"] * unguarded]
    if unguarded:  # in this process: what takes longest to import is there
        monkeypatch.setattr(sys, "argv", command)
        train_guarded.main()
    else:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert "rlguard/flagged_share" in rows[-1]  # of the unguarded one too: its guard observes
    assert json.loads((tmp_path / "config.json").read_text())["unguarded"] == unguarded
