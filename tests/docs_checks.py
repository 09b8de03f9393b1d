"""What the pages of the documentation take for given, and how blocks are checked that cannot run here."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlguard import GuardConfig

ROOT = Path(__file__).parents[1]


# ---- what pages take for given


Given = Callable[[pytest.MonkeyPatch], dict[str, Any]]


def give_nothing(_: pytest.MonkeyPatch) -> dict[str, Any]:
    """A page that brings all it needs."""
    return {}


def give_training(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A model, a data set of one prompt and a reward function; TRL's defaults are what a CPU can do."""
    import trl
    from datasets import Dataset
    from tiny_reasoner.tasks import make_problems
    from tiny_reasoner.training import correctness_reward

    settings = {"bf16": False, "max_steps": 2, "max_completion_length": 40, "report_to": "none"}
    monkeypatch.setattr(trl, "GRPOConfig", functools.partial(trl.GRPOConfig, **settings))
    return {
        "model": "recipes/tiny_reasoner/model",
        "dataset": Dataset.from_list(make_problems(["add"], 1, seed=0)),
        "correctness": correctness_reward,
    }


def give_batch(_: pytest.MonkeyPatch) -> dict[str, Any]:
    """A batch of one group, as a trainer of one's own would have it."""
    return {
        "prompts": ["7+8 mod 10=?"] * 4,
        "completions": ["7+8=5;answer 5", "answer 5", "answer 4", "answer 3"],
        "rows": [{"answer": "5"}] * 4,
        "rewards": [1.0, 1.0, 0.0, 0.0],
        "advantages": [0.5, 0.5, -0.5, -0.5],
    }


def give_trainer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A TRL trainer, what it is made of, and questions for an audit."""
    import trl
    from tiny_reasoner.training import grpo_config

    from rlguard.integrations.trl import GuardedGRPOTrainer
    from rlguard.tables.write import write_rows

    given = give_training(monkeypatch)
    write_rows([{"prompt": f"7+{a} mod 10=?\n", "answer": f"{a - 3}", "domain": "sums"} for a in (7, 8)], "mine.jsonl")
    trainer = GuardedGRPOTrainer(
        model=given["model"],
        args=grpo_config("out", seed=0),
        reward_funcs=given["correctness"],
        train_dataset=given["dataset"],
    )
    return given | {"trainer": trainer, "args": trainer.args, "GRPOTrainer": trl.GRPOTrainer}


def give_run(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a guarded run takes, rows that are held out, and what a trainer of one's own logs."""
    from tiny_reasoner.training import grpo_config

    from rlguard.integrations.trl import GuardedGRPOTrainer

    return give_training(monkeypatch) | {
        "GuardedGRPOTrainer": GuardedGRPOTrainer,
        "args": grpo_config("out", seed=0),
        "held_out": [{"prompt": "7+8 mod 10=?\n", "answer": "5"}],
        "training": lambda: [(step, {"completions/mean_length": 20.0}) for step in range(4)],
    }


GIVEN: dict[str, Given] = {
    "README.md": give_training,
    "docs/trainers.md": give_batch,
    "docs/audit.md": give_trainer,
    "docs/monitor.md": give_run,
    "docs/sampling.md": give_training,
}


# ---- figures that pages quote


ARCHIVE = "archive/efficacy-2026-11-26"
QUOTED = [  # a page, what it says, and where in benchmarks/ which figure stands behind it
    ("README.md", "takes 11 ms of CPU time", "RESULTS", "11 of CPU time to judge 4,096 completions"),
    ("README.md", "a second for 6 MB (4 kB each", "RESULTS", "| 4 kB | rlguard, all detectors | 5.8 |"),
    ("README.md", "takes 1.5 to 1.7% of a step of one second", "RESULTS", "1.73, 1.51 and 1.63% of a step of 1.0 s"),
    (
        "README.md",
        "(`strings`) | +35 | +35",
        "RESULTS",
        "| strings, all learnable | 8 | 1.001 [0.990, 1.011] | 0.998 [0.989, 1.007] | 0.346",
    ),
    ("README.md", "+28 | +24, like GRPO at its mean rate", "RESULTS", "0.281 [0.255, 0.307] | 0.238 [0.210, 0.265]"),
    ("README.md", "`sampler=SamplerConfig()` +32", "RESULTS", "| rlguard_sampler | 8 | 0.844 [0.826, 0.861] | 0.939"),
    ("README.md", "the same sampler +33", "RESULTS", "| 0.990 [0.976, 1.004] | 0.328"),
    ("README.md", "keeps 83%, −21", "RESULTS", "| grpo | × 0.25 | 8 | 0.827 [0.745, 0.910]"),
    ("README.md", "keeps 113%, +6", "RESULTS", "| rlguard | × 0.5 | 8 | 1.128 [1.107, 1.148] | 0.059"),
    ("README.md", "keeps 104%, +13", "RESULTS", "| rlguard | × 0.25 | 8 | 1.044 [1.020, 1.068] | 0.134"),
    (
        "README.md",
        "mean rate +3, random weights +9",
        "RESULTS",
        "| random_weights | × 0.25 | 8 | 1.037 [1.025, 1.048] | 0.089",
    ),
    ("README.md", "six rivals 55 to", "RESULTS", "| dapo_filter | × 0.5 | 8 | 0.550 [0.467, 0.633]"),
    ("README.md", "to 84%", "RESULTS", "| dr_grpo | × 0.25 | 8 | 0.837 [0.729, 0.944]"),
    ("README.md", "one line of NumPy 95%", "RESULTS", "| threshold | × 0.5 | 8 | 0.952"),
    ("README.md", "**one line of NumPy**, +16", "RESULTS", "| threshold | × 0.25 | 8 | 1.031"),
    (
        "README.md",
        "keeps 88%, −21 | keeps 101%, −4",
        "RESULTS",
        "| logic, 75% mislabelled | 8 | 0.879 [0.754, 1.003] | 1.007",
    ),
    ("README.md", "keeps 35%, −33", "RESULTS", "| grpo | × 0.25 | 8 | 0.350 [0.315, 0.385] | -0.332"),
    ("README.md", "keeps 113%, +11", "RESULTS", "| rlguard | × 0.5 | 8 | 1.131 [1.105, 1.156] | 0.110"),
    ("README.md", "27 on `logic`", "RESULTS", "logic, 75% rare_valid: pass@1, less GRPO: -0.269"),
    ("docs/shaped.md", "Dr. GRPO 1.12", "RESULTS", "| dr_grpo | × 0.25 | 8 | 1.119 [1.097, 1.140]"),
    ("README.md", "mean rate keeps 73%", "RESULTS", "| mean_rate | × 0.5 | 8 | 0.729 [0.562, 0.896]"),
    ("README.md", "random weights 95%", "RESULTS", "| random_weights | × 0.5 | 8 | 0.949 [0.860, 1.039]"),
    ("README.md", "| +27 | +16 |", "RESULTS", "0.270 [0.248, 0.291] | 0.164 [0.090, 0.237]"),
    ("README.md", "77% of them in 64 tries | 35%", "RESULTS", "| 0.766 [0.709, 0.823] | 0.349 [0.318, 0.380]"),
    (
        "README.md",
        "(in one try 5 points on `strings`)",
        "RESULTS",
        "strings, 75% rare_valid: pass@1, less GRPO: -0.050 [-0.079, -0.021]",
    ),
    ("docs/limits.md", "and 42 to 47 in 64", "RESULTS", "50% rare_valid: pass@64, less GRPO: -0.474 [-0.611, -0.337]"),
    ("docs/limits.md", "rlguard keeps 1.13", "RESULTS", "| rlguard | × 0.5 | 8 | 1.128 [1.107, 1.148]"),
    ("docs/limits.md", "95% of bare answers", "RESULTS", 'bare "The answer is N.": found | 3737 | 65.8% | **95.3%**'),
    ("docs/limits.md", "91% of answers after", "RESULTS", "then the answer: found | 2739 | 65.0% | **91.5%**"),
    ("docs/limits.md", "0.4% of human solutions", "RESULTS", "human solutions: any finding | 3737 | 1.90% | **0.43%**"),
    ("docs/limits.md", "72% at 0.2% false", "RESULTS", "| any finding | 2577 | 71.9"),
    (
        "docs/limits.md",
        "lost 8% of the prior skills",
        ARCHIVE,
        "| strings, 100% mislabelled | rlguard_rewrite | 5 | 0.920",
    ),
    ("docs/limits.md", "kept 21% of the prior", ARCHIVE, "| sums, 100% unlearnable | grpo | 5 | 0.206"),
    ("docs/filtering.md", "kept 29% of the prior", ARCHIVE, "| sums, 100% unlearnable | rlguard_filter | 5 | 0.294"),
    ("docs/shaped.md", "(.97 paid at step 25, GRPO .99)", "RESULTS", "(.97 paid at step 25, GRPO .99, the gate .94)"),
    ("docs/sampling.md", ".39 of what can be learnt after half", "RESULTS", "| sums | 90% | rlguard | 5 | 0.392"),
    ("docs/sampling.md", ".28 with even sampling after all", "RESULTS", "| uniform | 5 | 0.363 ± 0.048 | 0.278"),
    ("docs/sampling.md", "(`logic`, 50%: .88 and .93)", "RESULTS", "| logic | 50% | rlguard | 3 | 0.878"),
    ("docs/sampling.md", "the sampler at .54", "RESULTS", "| 5 | 0.526 ± 0.019 | 0.538"),
]


# ---- checks; each takes the code of a block


def commands(code: str) -> list[list[str]]:
    """The words of each command, without comments."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def command_line(code: str) -> None:
    """Every line is a command of rlguard that takes these arguments; only files and models are missing."""
    for program, name, *arguments in commands(code):
        assert program == "rlguard", program
        find_commands()[name].make_context(name, arguments)


def find_commands() -> dict[str, Any]:
    """Every command of the command line, by its name."""
    import typer

    from rlguard.cli.main import app

    for path in (ROOT / "rlguard").glob("cli*.py"):
        importlib.import_module(f"rlguard.{path.stem}")
    return typer.main.get_command(app).commands


def check_options(command: str) -> None:
    """A command in running text, where arguments may be left out: it and its options exist."""
    _, name, *rest = command.split()
    if name.isupper():  # `rlguard COMMAND --help`
        return
    known = {option for each in find_commands()[name].params for option in (*each.opts, *each.secondary_opts)}
    for option in (word.strip("[]") for word in rest if word.strip("[").startswith("--")):
        assert option in known | {"--help"}, f"{command}: no option {option}"


def make_targets(code: str) -> None:
    """make knows what to do for each target, and the comment says nothing else."""
    for program, *targets in commands(code):
        assert program == "make", program
        subprocess.run(["make", "-n", *targets], cwd=ROOT, check=True, capture_output=True)


SLICE = {  # a slice for a laptop, in the place of a hub's model on a GPU
    "Qwen/Qwen2.5-0.5B-Instruct": "model",
    "--engine vllm": "--engine transformers",
    "max-tokens 512": "max-tokens 40",
    "max_completion_length=512,": "max_completion_length=40, max_steps=2, per_device_train_batch_size=32,",
    'output_dir="out/gsm8k",': 'output_dir="out/gsm8k", report_to="none", bf16=False,',
    "use_vllm=True,": "",
    'vllm_mode="colocate",': "",
}


def gsm8k_slice(code: str) -> None:
    """Writes problems in GSM8K's shape that the tiny reasoner can attempt, and the model with a chat template."""
    from conftest import TINY
    from transformers import AutoTokenizer

    from rlguard.tables.write import write_rows

    compile(code, "block", "exec")
    pairs = [(a, b) for a in range(2, 6) for b in range(2, 6)]
    sums = [(f"{a}*{b}+{a} mod 10=?\n", (a * b + a) % 10) for a, b in pairs]
    chats = [[{"role": "user", "content": question}] for question, _ in sums]
    answers = [f"First <<{total}={total}>>.\n#### {total}" for _, total in sums]
    write_rows([{"prompt": chat, "answer": answer} for chat, answer in zip(chats, answers, strict=True)], "gsm8k.jsonl")
    shutil.copytree(TINY, "model")
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained("model")


def on_a_slice(code: str) -> None:
    """Runs a block on the slice: shorter, with the model that lies there."""
    for there, here in SLICE.items():
        code = code.replace(there, here)
    if not code.startswith("rlguard "):
        exec(compile(code, "block on a slice", "exec"), {})
        return
    for words in commands(code):
        subprocess.run([sys.executable, "-m", *words], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def pip_extras(code: str) -> None:
    """The extras that are installed exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in commands(code):
        if words[:2] == ["pip", "install"]:
            wanted = re.search(r"\[([\w,]+)\]", words[-1])
            assert wanted is None or set(wanted[1].split(",")) <= set(extras), words


def verl_launch(code: str) -> None:
    """verl takes the configuration and makes a guarded trainer of it."""
    import verl
    from hydra import compose, initialize_config_dir
    from verl.trainer.ppo.v1 import get_trainer_cls

    launch = next(words for words in commands(code) if "verl.trainer.main_ppo" in words)
    overrides = [word for word in launch[launch.index("verl.trainer.main_ppo") + 1 :] if word != "..."]
    with initialize_config_dir(str(Path(verl.__file__).parent / "trainer" / "config"), version_base=None):
        config = compose("ppo_trainer", overrides=overrides)
    assert get_trainer_cls("sync")(config=config).guard is not None


def openrlhf_launch(code: str) -> None:
    """The module is there and the settings are the guard's."""
    words = commands(code)[0]
    assert importlib.util.find_spec(words[words.index("-m") + 1]) is not None
    GuardConfig.from_options(json.loads(words[words.index("--rlguard") + 1]))


def swift_flags(code: str) -> None:
    """Every flag is an argument of ms-swift, as far as its source was unpacked (`.ci/install.py`)."""
    source = Path(os.environ.get("RLGUARD_CONTRACTS", ROOT / ".venv" / "contracts")) / "ms_swift" / "swift"
    fields = {name for path in source.rglob("*.py") for name in re.findall(r"^    (\w+): ", path.read_text(), re.M)}
    flags = {word.removeprefix("--") for words in commands(code) for word in words if word.startswith("--")}
    assert not source.exists() or flags <= fields, flags - fields


def recipe_options(code: str) -> None:
    """The recipes are there and know these options."""
    for program, script, *arguments in commands(code):
        assert program == "python", program
        source = (ROOT / script).read_text()
        for option in (word for word in arguments if word.startswith("--")):
            assert f'"{option}"' in source, f"{script}: no option {option}"


def names_of(code: str) -> None:
    """Every module of rlguard that is named exists, and has the names that are taken from it.

    For hosts that cannot be imported here; tests/integrations/test_contracts_*.py test their adapters.
    """
    found = re.findall(r"from (rlguard[\w.]+) import (\w+)", code)
    found += re.findall(r"(rlguard\.integrations\.\w+)(?:\.(\w+))?", code)
    assert found, "nothing of rlguard in it"
    for module, name in found:
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        made = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        made |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        assert not name or name in made, f"{module}: no {name}"


def compare_settings(page: str) -> None:
    """The table of `GuardConfig` in a page has every setting, with its default."""
    told = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", page, re.MULTILINE))
    for field in dataclasses.fields(GuardConfig):
        default = f"{field.default:,}" if type(field.default) is int else str(field.default)
        if field.default_factory is not dataclasses.MISSING:
            default = f"{field.default_factory.__name__}()"
        assert told[field.name] in (default, default.lower()), f"{field.name}: {told[field.name]} for {default}"
