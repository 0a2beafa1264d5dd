"""The documentation as a site in a real browser, opened from its folder, without a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="needs mkdocs-material: pip install '.[docs]'")
pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=120)
    return folder


@pytest.fixture
def opened(browser, site):
    """A function that opens a page of the site at a size; nothing may fail or be fetched."""
    troubles, context = [], None

    def open_page(name, size):
        nonlocal context
        context = browser.new_context(viewport=size, has_touch=size is PHONE)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:")) or troubles.append(request.url)
            ),
        )
        page.goto((site / name).as_uri())
        return page

    yield open_page
    context.close()
    assert troubles == []


def test_a_word_is_found_from_a_folder_and_its_page_opened(opened):
    page = opened("index.html", WIDE)
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially("Rademacher")
    link = page.locator("a.md-search-result__link").first
    link.wait_for()
    link.click()
    page.wait_for_url("**/directions.html*")


def test_on_a_phone_the_menu_leads_to_a_page_of_another_section(opened):
    page = opened("index.html", PHONE)
    page.locator("label.md-header__button[for=__drawer]").tap()
    page.locator(".md-nav--primary label.md-nav__link", has_text="Reference").first.tap()
    page.locator(".md-nav--primary a", has_text="The study file").first.tap()
    page.wait_for_url("**/study.html")
    assert page.locator("h1").inner_text().startswith("The study file")


@pytest.mark.parametrize("name", ["index", "study", "promises", "theory", "tutorial/checkpoint"])
def test_on_a_phone_no_page_is_wider_than_the_screen(opened, name):
    page = opened(f"{name}.html", PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
