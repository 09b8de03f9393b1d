"""The page says what `make versions` found, and its two ends run here where their environments are ready."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.versions.run import ENDS, FOLDER, PAGE, find_python, put_table, read_results, run, train

ROOT = Path(__file__).parents[2]


def test_the_page_is_made_of_the_results():
    assert PAGE.read_text() == put_table(PAGE.read_text(), read_results())
    rows = {(row["trl"], row["transformers"]): row for row in read_results()}
    for _, trl, transformers in ENDS:
        assert rows[trl, transformers]["result"] == "passed"


def test_the_extras_allow_what_was_run():
    extras = (ROOT / "pyproject.toml").read_text()
    lowest, highest = (tuple(map(int, trl.split(".")[:2])) for _, trl, _ in ENDS)
    assert f'"trl>={lowest[0]}.{lowest[1]},<{highest[0]}.{highest[1] + 1}"' in extras


def test_a_table_takes_the_place_of_the_one_before():
    row = {"python": "3.11.7", "trl": "1.8.0", "transformers": "5.5.0", "result": "failed: no output"}
    page = put_table("# Page\n<!-- made by make versions -->\nold\n<!-- end -->\nrest\n", [row])
    assert "old" not in page
    assert re.search(r"\n\| 3.11.7 \| 1.8.0 \| 5.5.0 \|  \|  \| failed: no output \|\n<!-- end -->\nrest\n$", page)


def test_a_python_that_is_not_there_is_named():
    with pytest.raises(SystemExit, match=r"no python9\.9 on the path"):
        find_python("9.9")


def test_what_the_job_checks_holds_here():
    """Else the job fails where nobody looks, for a change of the guard's that no version is to blame for."""
    pytest.importorskip("trl")
    assert train(Path(sys.executable))["result"] == "passed"


@pytest.mark.parametrize("versions", ENDS, ids=str)
def test_two_guarded_steps_at_both_ends_of_the_range(versions):
    folder = FOLDER / "py{}-trl{}-transformers{}".format(*versions)
    if not (folder / ".ready").exists():
        pytest.skip(f"no environment in {folder.name}: `make versions` makes it")
    assert run(*versions)["result"] == "passed"
