"""Imports between rooms point one way, no files go in circles, and `import rlguard` is light."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rlguard

PACKAGE = Path(rlguard.__file__).parent
ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "vllm", "trl", "verl", "ray", "accelerate", "datasets"}
FLOORS = [  # a room takes from the floors below its own, and from nothing beside it
    {"types", "version"},
    {"answers", "stats"},
    {"tables"},
    {"engines", "verify", "luck", "curriculum", "rollouts"},
    {"difficulty", "sampling"},
    {"shortcuts"},
    {"guard", "monitor"},
    {"report"},
    {"audit"},
    {"integrations"},
    {"order"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def read_imports(path: Path, top_level: bool = False) -> set[str]:
    """Dotted names that a file imports: at its top only, or lazy and type-only ones as well."""
    tree = ast.parse(path.read_text())
    nodes: Iterator[ast.AST] = ast.walk(tree)
    if top_level:
        blocks = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.Try))]
        nodes = (node for block in blocks for node in block)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def draw_house(folder: Path) -> dict[str, set[str]]:
    """Module -> modules of the same folder that it imports, whenever and for whatever; a package is its `__init__`."""
    prefix = folder.relative_to(folder.parents[1] if folder.parent.name == "benchmarks" else folder.parent)
    modules = {}
    for path in folder.rglob("*.py"):
        parts = (*prefix.parts, *path.relative_to(folder).with_suffix("").parts)
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    named = {module: read_imports(path) for module, path in modules.items()}
    return {own: {find_module(name, modules) for name in names} - {None, own} for own, names in named.items()}


def find_module(name: str, modules: Collection[str]) -> str | None:
    """The module that an imported name is, or comes from: `rlguard.types` for `rlguard.types.Finding`."""
    return next((n for n in (name, name.rpartition(".")[0]) if n in modules), None)


HOUSE = draw_house(PACKAGE)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def find_room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_only_where_they_are_needed(path):
    found = {name.split(".")[0] for name in read_imports(path, top_level=True)} & HEAVY
    adapter = path.parent.name == "integrations" and path.stem != "__init__"  # each is imported by its trainer's user
    assert adapter or not found


@pytest.mark.parametrize("room", sorted({find_room(module) for module in HOUSE}))
def test_rooms_take_only_from_floors_below(room):
    taken = {find_room(other) for module, others in HOUSE.items() if find_room(module) == room for other in others}
    level = [other for other in taken - {room} if FLOOR[other] >= FLOOR[room]]
    assert not level


@pytest.mark.parametrize("folder", [PACKAGE, ROOT / "benchmarks" / "efficacy"], ids=["rlguard", "efficacy"])
def test_no_imports_go_in_a_circle(folder):
    try:
        list(TopologicalSorter(draw_house(folder)).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_plan_in_contributing_names_every_room():
    plan = (ROOT / "CONTRIBUTING.md").read_text()
    assert not [room for room in FLOOR if room not in plan]


def test_the_design_page_lists_the_rooms_of_today():
    table = (ROOT / "docs" / "design.md").read_text().split("| room |")[1].split("\n\n")[0]
    listed = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert listed == FLOOR.keys() - {"version", "__init__", "__main__"}


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
