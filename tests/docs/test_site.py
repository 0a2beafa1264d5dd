"""The documentation as a site: it builds without a warning, no link in it is dead."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("material", reason="needs mkdocs-material: pip install '.[docs]'")
REPOSITORY = Path(__file__).resolve().parents[2]
# What a browser fetches by itself, as opposed to what a reader may follow.
FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


class Page(HTMLParser):
    """The links of a page, what it fetches, and the places in it that a link may name."""

    def __init__(self, path):
        super().__init__()
        self.links, self.fetched, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.places |= {given[key] for key in ("id", "name") if given.get(key)}
        self.links += [given["href"]] if tag == "a" and given.get("href") else []
        self.fetched += [given[key] for name, key in FETCHED if name == tag and given.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A built site, what mkdocs printed, and its pages by path."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = {path: Page(path) for path in folder.rglob("*.html")}
    return folder, done.stderr, pages


def test_it_builds_without_a_warning(site):
    _, printed, pages = site
    assert re.findall(r"WARNING|ERROR", printed) == []
    assert len(pages) > 20


def test_no_link_is_dead(site):
    folder, _, pages = site
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.is_file() or (
                place and target in pages and place not in pages[target].places
            ):
                dead.append(f"{path.relative_to(folder)}: {link}")
    # The page for addresses that do not exist is made for a site at the root of a server.
    assert [entry for entry in dead if not entry.startswith("404.html")] == []


def test_nothing_is_fetched_from_a_network(site):
    folder, _, pages = site
    for path, page in pages.items():
        for address in page.fetched:
            assert not urlsplit(address).netloc, f"{path}: {address}"
            if path.name != "404.html":
                assert (path.parent / unquote(urlsplit(address).path)).is_file(), address
    for sheet in folder.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?:https?:)?//", sheet.read_text()) == [], sheet


def test_every_page_of_docs_is_part_of_it_and_no_script_is(site):
    folder, _, pages = site
    sources = {p.relative_to(REPOSITORY / "docs") for p in (REPOSITORY / "docs").rglob("*.md")}
    built = {path.relative_to(folder).with_suffix(".md") for path in pages}
    assert built - {Path("404.md")} == sources
    assert sorted(path.name for path in folder.glob("*.py")) == []


def test_every_table_is_one(site):
    # A blank line in a table, or a row of another number of cells, leaves bars in the text.
    _, _, pages = site
    broken = [path.name for path in pages if re.search(r"<p>\s*\|", path.read_text("utf-8"))]
    assert broken == []
