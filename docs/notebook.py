"""Makes docs/start-trl.ipynb of docs/start-trl.md, and runs it.

    pip install nbclient ipykernel && python docs/notebook.py

The page is the source: text becomes text, blocks become cells, and what the page shows as output is left to the run.
A test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).with_name("start-trl.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
PART = re.compile(r"(?P<mark><!-- checked by .*?-->\n)?```(?P<language>\w+)\n(?P<code>.*?)```\n", re.DOTALL)


def split_page(text: str) -> Iterator[tuple[str, str]]:
    """The cells of a page: ("markdown" or "code", source). Blocks that cannot run stay text, shown output goes."""
    end = 0
    for part in PART.finditer(text):
        runs = not part["mark"] and part["language"] != "text"
        before = text[end : part.start()] + (part[0] if part["mark"] else "")
        if before.strip():
            yield "markdown", before.strip()
        if runs:
            yield "code", ("%%bash\n" if part["language"] == "bash" else "") + part["code"].rstrip()
        end = part.end()
    yield "markdown", text[end:].strip()


def main() -> None:
    import nbformat
    from nbclient import NotebookClient

    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    cells = [make[kind](source) for kind, source in split_page(PAGE.read_text())]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # else random, and every run a new file
    notebook = nbformat.v4.new_notebook(cells=cells)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "NO_COLOR": "1"}
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(PAGE.parents[1])}}).execute()
    for cell in cells:  # what a laptop without a GPU is warned of, and progress, is not the page's
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.metadata.clear()
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
