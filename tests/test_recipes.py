"""Every recipe runs: a few steps on the tiny model, or as far as a machine without a GPU goes.

train_guarded.py runs in test_tiny_reasoner.py, train_curriculum.py in test_trl_curriculum.py.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from rlguard.tables.read import read_problems, read_rows
from rlguard.tables.write import write_rows
from rlguard.verify.gold import check_gold
from rlguard.verify.verifiers import Auto

RECIPES = TINY.parents[1]
SCRIPTS = sorted(RECIPES.glob("*.py"))


def run(name, *arguments, code=0, **environment):
    """What a recipe prints."""
    command = [sys.executable, str(RECIPES / name), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(RECIPES.parent), "OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_problems_are_distinct_seeded_and_verifiable(tmp_path):
    pytest.importorskip("reasoning_gym")
    for name in ("a.jsonl", "b.jsonl"):
        run("make_problems.py", tmp_path / name)
    rows = read_rows(tmp_path / "a.jsonl")
    assert rows == read_rows(tmp_path / "b.jsonl")
    problems = read_problems(rows)
    assert len({problem.id for problem in problems}) == len(problems) >= 48
    assert len({row["task"] for row in rows}) > 10
    assert check_gold(problems, Auto()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_recipe_says_how_it_is_run(script):
    said = ast.get_docstring(ast.parse(script.read_text()))
    assert f"    python recipes/{script.name}" in said
    assert re.search(r"minute|second|\d s\b|GPU", said), "how long does it take, and on what?"
    assert f"python recipes/{script.name}" in run(script.name, "--help")


def test_the_list_of_recipes_is_complete():
    listed = re.findall(r"\]\((\w+\.py)\)", (RECIPES / "README.md").read_text())
    assert sorted(listed) == [script.name for script in SCRIPTS]


def test_estimate_and_filter(tmp_path):
    printed = run("estimate_and_filter.py", "--out", tmp_path, "--problems", 32)
    assert re.search(r"\d+ rollouts of 32 problems\npreflight: learnable \d+%", printed)
    kept, dropped = read_rows(tmp_path / "kept.jsonl"), read_rows(tmp_path / "kept.dropped.jsonl")
    assert len(kept) + len(dropped) == 32
    assert {row["family"] for row in kept} <= {"add", "mul", "rare_valid"}  # what has no method is never worth it
    assert all(row["rlguard_drop_reason"] for row in dropped)
    assert (tmp_path / "kept.card.md").read_text().startswith("---\ntags:")


def test_a_run_is_trained_scanned_and_audited(tmp_path):
    pytest.importorskip("peft")
    printed = run("train_guarded_peft.py", "--out", tmp_path / "peft", "--steps", 2)
    assert "trainable params: 59,136" in printed
    assert "'rlguard/step_scale'" in printed
    printed = run("scan_run.py", tmp_path / "peft")
    assert "of 256 rollouts flagged (TRL completions)" in printed
    assert re.search(r"\n\w+: \d+, in steps 1 to 2\n  .+\n  '", printed)
    models = ["--before", TINY, "--after", tmp_path / "peft" / "merged"]
    printed = run("audit_checkpoints.py", *models, "--out", tmp_path / "audit", "--questions", 3)
    assert re.search(r"\nmix +\d\.\d\d -> \d\.\d\d  \[[-+.\d]+, [-+.\d]+\]  too few\n", printed)
    assert (tmp_path / "audit" / "report.html").exists()


def test_order_domains(tmp_path):
    printed = run("order_domains.py", "--out", tmp_path, "--steps", 1, "--domains", "add", "mix", "sub")
    order = next(line for line in printed.splitlines() if " > " in line).split(" > ")
    assert sorted(order) == ["add", "mix", "sub"]
    families = [row["family"] for row in read_rows(tmp_path / "schedule.jsonl")]
    assert list(dict.fromkeys(families)) == order


VLLM = """
import sys
from pathlib import Path
from train_guarded_vllm import make_settings, make_trainer
from trl.generation.vllm_generation import VLLMGeneration

VLLMGeneration.sync_weights = lambda self: None  # vLLM's CPU build takes no new weights
trainer = make_trainer(make_settings(Path(sys.argv[1]), 1, use_cpu=True, vllm_gpu_memory_utilization=0.02))
trainer.train()
print(next(row["rlguard/lucky_share"] for row in trainer.state.log_history if "rlguard/lucky_share" in row))
"""


def test_train_guarded_vllm(tmp_path):
    pytest.importorskip("vllm")
    environment = os.environ | {"PYTHONPATH": f"{RECIPES.parent}{os.pathsep}{RECIPES}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", VLLM, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment | {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCH_COMPILE_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 0 < float(done.stdout.splitlines()[-1]) < 1
    rows = read_rows(tmp_path / "completions" / "completions_00001.parquet")
    assert len(rows) == 128
    assert {"rlguard_weight", "rlguard_findings"} <= set(rows[0])


def test_vllm_server_is_asked_where_it_is():
    pytest.importorskip("trl")
    from train_guarded_vllm import make_settings

    settings = make_settings(Path("out"), 1, "http://localhost:8000", use_cpu=True)
    assert (settings.vllm_mode, settings.vllm_server_base_url) == ("server", "http://localhost:8000")


def test_verl_gets_its_data_reward_and_guard(tmp_path):
    verl = pytest.importorskip("verl")
    from hydra import compose, initialize_config_dir
    from transformers import AutoTokenizer
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.trainer.ppo.utils import need_critic
    from verl.trainer.ppo.v1 import get_trainer_cls
    from verl.utils.config import validate_config
    from verl.utils.dataset.rl_dataset import RLHFDataset

    sums = [{"prompt": "7+8 mod 10=?", "answer": 5, "rlguard_trials": 8, "rlguard_successes": 2}]
    write_rows(sums, tmp_path / "kept.jsonl")
    printed = run("train_guarded_verl.py", tmp_path / "kept.jsonl", "--model", TINY, "--out", tmp_path, "--dry-run")
    command = printed.split()
    assert command[1:4] == ["-m", "verl.trainer.main_ppo", "algorithm.adv_estimator=rlguard"]
    configs = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(str(configs), version_base=None):
        config = compose("ppo_trainer", overrides=command[3:])
    validate_config(config, use_reference_policy=False, use_critic=need_critic(config))
    score = get_custom_reward_fn(config)
    right, wrong = (score("rlguard", f"So \\boxed{{{answer}}}", "5", {}) for answer in (5, 6))
    assert (right, wrong) == (1.0, 0.0)

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    row = RLHFDataset(config.data.train_files, tokenizer, config.data)[0]
    assert row["reward_model"]["ground_truth"] == "5"
    assert row["extra_info"]["rlguard_successes"] == 2
    assert get_trainer_cls("sync")(config=config).guard is not None
