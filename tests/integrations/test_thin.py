"""Adapters stay thin: read the host's batch, call the guard once, write back. Lines of code, without docstrings."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

import rlguard

FOLDER = Path(rlguard.__file__).parent / "integrations"
MOST = {  # what they have now: to be lowered, not raised
    "slime": 34, "ms_swift": 42, "nemo_rl": 50, "prime_rl": 57, "openrlhf": 67, "skyrl": 104, "trl": 85,
    "verl": 24, "verl_trainer": 122, "tinker": 81, "trl_async": 159, "hf_trainer": 88, "seams": 81,
}  # fmt: skip


def count_code(source: str) -> int:
    """Lines of code: no docstrings, comments or blank lines.

    >>> count_code('"A docstring."\\nx = 1  # one\\n\\n# none\\ny = (\\n    2\\n)\\n')
    4
    """
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    strings = {line for node in nodes for line in range(node.lineno, node.end_lineno + 1)}
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in silent]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - strings)


@pytest.mark.parametrize("name", MOST)
def test_an_adapter_is_no_longer_than_it_was(name):
    assert count_code((FOLDER / f"{name}.py").read_text()) <= MOST[name]


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.py")):
        print(f"{path.stem:15} {count_code(path.read_text()):4} of {len(path.read_text().splitlines()):4}")
