"""The site is built without a warning, is complete, and loads nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import docs_checks
import pytest
import yaml

from rlguard import GuardConfig

ROOT = Path(__file__).parents[1]
pytest.importorskip("zensical")


def load_builder():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    return builder


@pytest.fixture(scope="module")
def site():
    done = subprocess.run([sys.executable, "docs/build.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "out" / "site"


def read_text(page):
    """What a page shows."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_page_is_in_the_navigation(site):
    def paths(entries):
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else paths(value)

    listed = list(paths(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= set(listed)
    assert all((site / path).with_suffix(".html").exists() for path in listed if not path.endswith("README.md"))
    assert (site / "recipes" / "index.html").exists()


def test_every_option_and_setting_is_on_its_page(site):
    text = read_text(site / "docs" / "options.html")
    commands = docs_checks.find_commands()
    assert {"estimate", "filter", "scan", "truncate", "audit", "order", "report"} <= set(commands)
    for name, command in commands.items():
        part = text.split(f"\nrlguard {name}")[1].split("\nrlguard ")[0]
        options = [option for each in command.params for option in (*each.opts, *each.secondary_opts)]
        assert [option for option in options if option not in part] == [], name
    assert [field.name for field in dataclasses.fields(GuardConfig) if field.name not in text] == []


def test_the_reference_has_what_is_public(site):
    import rlguard

    text = read_text(site / "docs" / "reference.html")
    assert [name for name in rlguard.__all__ if f"rlguard.{name}" not in text] == []


def test_nothing_is_loaded_from_elsewhere(site):
    loaded = re.compile(r"<(?:script|img|iframe)[^>]+src=[\"']?(?:https?:)?//|<link[^>]+stylesheet[^>]+(?:https?:)?//")
    assert [page for page in site.rglob("*.html") if loaded.search(page.read_text())] == []
    assert not re.search(r"@import|url\([\"']?https?:", "".join(css.read_text() for css in site.rglob("*.css")))


@pytest.mark.parametrize("link", ["nowhere.md", "../rlguard/nowhere.py", "nowhere.png"])
def test_a_broken_link_is_named(link, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[start](docs/start.md)")
    (tmp_path / "docs" / "start.md").write_text(f"See [this]({link}).")
    (tmp_path / "docs" / "site.css").touch()
    with pytest.raises(SystemExit, match=rf"docs/start.md: expected a file behind the link '{re.escape(link)}'"):
        load_builder().collect_pages(tmp_path)


def test_sources_become_pages(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[code](docs/a.py#x) and [text](LICENSE.md), [elsewhere](https://semver.org)")
    (tmp_path / "LICENSE.md").write_text("# L")
    (tmp_path / "docs" / "a.py").write_text("x = 1\n")
    (tmp_path / "docs" / "site.css").touch()
    pages = load_builder().collect_pages(tmp_path)
    assert pages[Path("README.md")].startswith("[code](docs/a.py.md#x) and [text](LICENSE.md), [elsewhere](https")
    assert pages[Path("docs/a.py")] == "# docs/a.py\n\n````python\nx = 1\n````\n"
    assert pages[Path("docs/site.css")] is None
