"""Every code block of README.md and docs/ is run, page by page, in a folder of its own.

The blocks of a page run from top to bottom: Python blocks in one namespace, Bash blocks in the same folder, where
`recipes` is the repository's. What a page takes for given is put there by `GIVEN`. A block that cannot run here stands
below a comment which says why, and by which function of `docs_checks.py` it is checked instead:

    <!-- checked by verl_launch: needs GPUs -->
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docs_checks
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARK = re.compile(r"<!-- checked by (\w+): .{8,} -->")
PROSE = {"text"}
"""What a block shows that is no code: output, a layout."""


@dataclass
class Block:
    """A fenced block."""

    where: str
    language: str
    code: str
    check: str | None
    """Function that checks it, where it cannot run."""
    below: bool
    """Whether it stands right below another block."""


def read_blocks(text: str, name: str) -> Iterator[Block]:
    before, last = "", ""
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block"):
            mark = MARK.fullmatch(before.strip())
            language = token.info.split()[0] if token.info.strip() else ""
            yield Block(
                f"{name}:{token.map[0] + 1}", language, token.content, mark[1] if mark else None, last == "fence"
            )
        before, last = token.content if token.type == "html_block" else "", token.type


def run_block(block: Block, folder: Path, namespace: dict, printed: str = "") -> str:
    """Runs a block, or checks it as its mark says; raises where neither is possible, or where the page shows below
    another output than what was `printed` by the block before.

    Returns:
        What a Python block printed.
    """
    if block.check:
        getattr(docs_checks, block.check)(block.code)
    elif block.language == "python":
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block.code, block.where, "exec"), namespace)
        return out.getvalue()
    elif block.language == "bash":
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'recipes'}",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.code], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block.where}: {done.stdout}{done.stderr}"
    else:
        assert block.language in PROSE, f"{block.where}: nobody runs a block of {block.language or 'no language'}"
        shown, told = ([line.rstrip() for line in text.strip().splitlines()] for text in (block.code, printed))
        assert shown == told or not (printed and block.below), f"{block.where}: another output: {printed}"
    return ""


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_blocks_run(page, tmp_path, monkeypatch):
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    blocks = list(read_blocks(page.read_text(), page_name(page)))
    namespace = docs_checks.GIVEN.get(page_name(page), docs_checks.give_nothing)(monkeypatch)
    printed = ""
    for block in blocks:
        printed = run_block(block, tmp_path, namespace, printed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```\nx = 1\n```", "nobody runs a block of no language"),
        ("```yaml\nx: 1\n```", "nobody runs a block of yaml"),
        ("```python\nprint(7)\n```\n\n```text\n8\n```", "another output: 7"),
        ("    x = 1", "nobody runs a block of no language"),
        ("```python\nx = 1 / 0\n```", "division by zero"),
        ("```bash\nfalse\n```", "page:1"),
        ("<!-- checked by command_line: a model of yours -->\n```bash\nrlguard filter --nonsense\n```", "nonsense"),
        ("<!-- checked by nobody: needs a GPU -->\n```bash\ntrue\n```", "nobody"),
    ],
)
def test_a_wrong_block_is_found(text, message, tmp_path):
    with pytest.raises(Exception, match=message):  # noqa: PT012 - whatever it is
        printed = ""
        for block in read_blocks(text, "page"):
            printed = run_block(block, tmp_path, {}, printed)


def test_a_mark_counts_for_its_block_only():
    text = "<!-- checked by command_line: a model of yours -->\n```bash\ntrue\n```\n\n```bash\nfalse\n```"
    assert [block.check for block in read_blocks(text, "page")] == ["command_line", None]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "recipes" / "README.md"], ids=page_name)
def test_commands_in_the_text_exist(page):
    for command in re.findall(r"`(rlguard [a-z][^`]*)`", page.read_text()):
        docs_checks.check_options(command)


def test_settings_in_the_table_for_trainers_are_those_of_the_code():
    docs_checks.compare_settings((ROOT / "docs" / "trainers.md").read_text())


def test_the_notebook_is_the_page():
    sys.path.insert(0, str(ROOT / "docs"))
    from notebook import NOTEBOOK, PAGE, split_page

    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(NOTEBOOK.read_text())["cells"]]
    assert cells == list(split_page(PAGE.read_text())), "run docs/notebook.py"


def test_the_index_for_language_models_lists_every_page():
    listed = set(re.findall(r"\]\(([^)]+)\)", (ROOT / "llms.txt").read_text()))
    assert {path for path in listed if not (ROOT / path).is_file()} == set()
    assert {page_name(page) for page in PAGES} - {"README.md"} <= listed


def test_the_figures_below_the_picture_are_those_of_its_rows():
    from benchmarks.readme.run import ARMS, PANELS, ends, read_rows

    caption = (ROOT / "README.md").read_text().split("</picture>")[1].split("## ")[0]
    told = [float(number) for number in re.findall(r"(?<![\d.])0\.\d\d\b", caption)]
    rows, wanted = read_rows(), []
    for panel in PANELS:
        first, *_ = ends(rows, "GRPO", panel)
        wanted += [first, *(ends(rows, arm, panel)[1] for arm in ("GRPO", "GRPO, slower", "rlguard"))]
    assert set(ARMS) == {"GRPO", "GRPO, slower", "rlguard"}
    assert told == [round(sum(values) / len(values), 2) for values in wanted]


def read_tables(folder: Path) -> Iterator[tuple[str, str]]:
    """Pages, and what scripts make of committed rows for them; the archive is unpacked in the folder."""
    from benchmarks.curriculum import sweep
    from benchmarks.order import summary
    from benchmarks.sampling import run as sampling
    from benchmarks.shaped import run as shaped
    from benchmarks.streams import run as streams

    results, rows = "benchmarks/RESULTS.md", streams.read_csv()
    yield results, streams.write_table(rows)
    yield "docs/rewrite.md", streams.write_short(rows)
    rows = map(json.loads, sampling.ROWS.read_text().splitlines())
    yield results, sampling.write_table([row for row in rows if row["seed"] < 1000])
    yield results, shaped.write_table([json.loads(line) for line in shaped.ROWS.read_text().splitlines()])
    with tarfile.open(ROOT / "benchmarks" / "archive" / "rows.tar.xz") as archive:
        wanted = [member for member in archive if member.name.removeprefix("./").startswith(("order", "curriculum"))]
        archive.extractall(folder, wanted, filter="data")
    yield results, summary.write_summary(folder / "order", range(1, 6))
    yield results, sweep.write_summary(sweep.read_runs(folder / "curriculum", range(1, 4)))


def test_tables_are_those_of_their_rows(tmp_path):
    for page, table in read_tables(tmp_path):
        lines = {line for line in table.splitlines() if line.startswith("|")}
        assert len(lines) > 5
        assert lines - set((ROOT / page).read_text().splitlines()) == set(), page


def test_the_lucky_share_in_the_readme_is_that_of_the_streams():
    from benchmarks.streams.run import read_csv

    def span(method: str, figure: str) -> str:
        found = [row[figure] for row in read_csv() if row["method"] == method and re.fullmatch(shown, row["stream"])]
        assert len(found) == 3
        return f"{min(found):.2f} to {max(found):.2f}".replace("0.", ".")

    shown = "(GSM8K|integers|code), half impossible, 1 visit"
    told = f"{span('GRPO', 'lucky')} of GRPO's push and {span('guard', 'lucky')} of the guarded one, which keeps "
    assert told + span("guard", "kept") in " ".join((ROOT / "README.md").read_text().split())


@pytest.mark.parametrize(("page", "quoted", "source", "figure"), docs_checks.QUOTED)
def test_a_quoted_figure_stands_in_its_source(page, quoted, source, figure):
    for path, words in ((page, quoted), (f"benchmarks/{source}.md", figure)):
        assert words in " ".join((ROOT / path).read_text().split()), f"{path} does not say {words!r}; see QUOTED"
