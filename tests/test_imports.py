"""Imports point one way, and `import rlguard` is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import rlguard

PACKAGE = Path(rlguard.__file__).parent
HEAVY = {"torch", "transformers", "vllm", "trl", "verl", "ray", "accelerate", "datasets"}
LAYERS = [  # a module imports only from rows above its own, or from its own row
    {"types", "answers"},
    {"stats", "data", "writing", "spooling", "rates", "shortcuts", "verifiers", "verifier_process", "workers"},
    {"advantage", "chance", "sequential", "evidence"},
    {"segments", "rollouts", "counting", "preflight", "cards", "verdicts", "luck"},
    {"monitor"},
    {"sampling", "tracker", "engines", "config", "reading"},
    {"difficulty", "truncating", "filtering", "published", "labelled", "scan", "guard", "report"},
    {"audit", "curriculum"},
    {"integrations"},
    {"order"},
    {"cli", "cli_shared", "cli_sampling", "cli_audit", "cli_order", "cli_watch", "console", "__main__"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def imported(path: Path, top_level: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree)
    if top_level:
        blocks = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.Try))]
        nodes = [node for block in blocks for node in block]
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_only_where_they_are_needed(path):
    found = {name.split(".")[0] for name in imported(path, top_level=True)} & HEAVY
    adapter = path.parent.name == "integrations" and path.stem != "__init__"  # each is imported by its trainer's user
    assert adapter or not found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path, top_level=False):
        if name.startswith("rlguard."):
            other = name.split(".")[1]
            assert other == own or LAYER[other] <= LAYER[own], f"{own} imports {other}"


def test_import_rlguard_pulls_in_nothing_heavy_and_is_fast():
    script = (
        "import time, sys, json; start = time.perf_counter(); import rlguard; seconds = time.perf_counter() - start;"
        f"print(json.dumps([seconds, sorted(set(sys.modules) & {HEAVY | {'numpy', 'scipy', 'pyarrow'}})]))"
    )
    runs = []
    for _ in range(3):  # the fastest of three: the machine may be busy
        runs.append(json.loads(subprocess.check_output([sys.executable, "-c", script])))
    assert runs[0][1] == []
    assert min(seconds for seconds, _ in runs) < 0.3


def test_public_names_resolve():
    for name in rlguard.__all__:
        assert getattr(rlguard, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rlguard.nonsense  # noqa: B018


def test_library_calls_do_not_pull_in_torch():
    script = (
        "import sys, rlguard; rlguard.rewrite_advantages([1.0], [1], [1], [0], [1]);"
        "rlguard.detect_shortcuts('x'); rlguard.filter_dataset; rlguard.estimate_pass_rates; rlguard.GuardConfig();"
        f"assert not set(sys.modules) & {HEAVY}, set(sys.modules) & {HEAVY}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
