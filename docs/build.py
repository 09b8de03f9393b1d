"""Builds the site: `make docs`, then open out/site/index.html.

    python docs/build.py

The pages are the Markdown files of the repository as they stand. From README.md and those in docs/ all links are
followed, and what they lead to is put into out/site-pages at the same place, so that every link stays as it is; a
source file becomes a page that shows it. Nothing is written twice: `<!-- commands -->` becomes a table of each
command's options and `<!-- settings of NAME -->` one of a class's or function's settings, both read from the code.
Zensical then makes the site and fails on any warning. It is what Material for MkDocs, which is only maintained any
more, is continued as; mkdocs.yml is read by both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "out" / "site-pages"
LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
PICTURE = re.compile(r'(?:src|srcset)="([^":]+)"')
MARK = re.compile(r"<!-- (commands|settings of ([\w.]+)) -->")
LOADED = re.compile(r"<(?:script|img|link rel=.stylesheet.)[^>]+(?:src|href)=.?(?:https?:)?//[^>]*>")
WORKER = "iframe-worker.js"
LANGUAGES = {".py": "python", ".jsonl": "json", ".toml": "toml", ".cff": "yaml"}


def collect_pages(root: Path = ROOT) -> dict[Path, str | None]:
    """What the site is made of, by its path in the repository: the text of pages, None for a file to copy.

    Raises:
        SystemExit: A link leads nowhere.
    """
    pages: dict[Path, str | None] = {}
    waiting = [
        Path("README.md"),
        Path("docs/site.css"),
        Path("llms.txt"),
        *(path.relative_to(root) for path in sorted((root / "docs").glob("*.md"))),
    ]
    while waiting:
        path = waiting.pop()
        if path in pages:
            continue
        if path.suffix != ".md":
            is_source = path.suffix in LANGUAGES
            pages[path] = show_source(root / path, path) if is_source else None
            continue
        text = (root / path).read_text()
        for link in LINK.findall(text) + PICTURE.findall(text):
            target = (root / path.parent / link).resolve()
            if not target.is_file():
                raise SystemExit(f"{path}: expected a file behind the link {link!r}, found none")
            waiting.append(target.relative_to(root))
        text = LINK.sub(lambda found: found[1] + ".md" * (Path(found[1]).suffix in LANGUAGES), text)
        pages[path] = MARK.sub(fill_mark, text)
    return pages


def show_source(file: Path, path: Path) -> str:
    """A page with a source file on it."""
    return f"# {path}\n\n````{LANGUAGES[path.suffix]}\n{file.read_text()}````\n"


def fill_mark(mark: re.Match[str]) -> str:
    """The tables for a mark in a page."""
    return "\n".join(list_settings(mark[2]) if mark[2] else list_commands())


def list_commands() -> Iterator[str]:
    """A section for each command, with its arguments and options in the words of its `--help`."""
    import typer

    from rlguard.cli.main import app

    for name, command in sorted(typer.main.get_command(app).commands.items()):  # type: ignore[attr-defined]
        yield f"### rlguard {name}\n\n{_one_line(command.help)}\n\n| option | |\n|---|---|"
        context = typer.Context(command, info_name=name)
        for names, text in filter(None, (option.get_help_record(context) for option in command.params)):
            yield f"| `{names}` | {_one_line(text)} |"
        yield ""


def list_settings(name: str) -> Iterator[str]:
    """A row for each field of a dataclass, or each parameter of a function or class."""
    import griffe

    module, _, attribute = name.rpartition(".")
    found = griffe.load(module, search_paths=[ROOT], docstring_parser="google")[attribute]
    if found.is_class and "dataclass" not in found.labels:
        found = found["__init__"]
    yield "| setting | | default |\n|---|---|---|"
    if found.is_class:
        fields = [each for each in found.attributes.values() if each.annotation and "class-attribute" in each.labels]
        rows = [(each.name, each.docstring.value if each.docstring else "", each.value) for each in fields]
    else:
        sections = [part for part in found.docstring.parsed if part.kind is griffe.DocstringSectionKind.parameters]
        said = {each.name: each.description for part in sections for each in part.value}
        rows = [(each.name, said.get(each.name, ""), each.default) for each in found.parameters if each.name != "self"]
    for field, text, default in rows:
        yield f"| `{field}` | {_one_line(text)} | {f'`{default}`' if default is not None else '**required**'} |"


def _one_line(text: str) -> str:
    """As a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def bundle_worker(site: Path = ROOT / "out" / "site") -> None:
    """Puts the one script that Zensical's pages load from elsewhere beside them.

    Raises:
        SystemExit: A page still loads something from elsewhere.
    """
    shutil.copyfile(ROOT / "docs" / "vendor" / WORKER, site / "assets" / WORKER)
    for page in site.rglob("*.html"):
        beside = f"{'../' * (len(page.relative_to(site).parts) - 1)}assets/{WORKER}"
        text = page.read_text().replace("https://unpkg.com/iframe-worker/shim", beside)
        if loaded := LOADED.findall(text):
            raise SystemExit(f"{page}: expected nothing from elsewhere, found {loaded[0]}")
        page.write_text(text)


def main() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)
    for path, text in collect_pages().items():
        target = PAGES / ("index.md" if path == Path("README.md") else path)
        target = target if text is None or target.suffix == ".md" else target.with_name(target.name + ".md")
        target.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            shutil.copyfile(ROOT / path, target)
        else:
            target.write_text(text)
    zensical = Path(sys.executable).parent / "zensical"
    if subprocess.run([zensical, "build", "--strict", "--clean"], cwd=ROOT).returncode:
        raise SystemExit(1)
    bundle_worker()


if __name__ == "__main__":
    main()
