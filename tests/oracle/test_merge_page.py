"""The page of a merge in a real browser: search, click, keys, filter, and no error in the console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgcore.build.merge_page import page
from imgcore.model import Dir, Node, Tree, file
from imgcore.transforms.overlay import Layer, merge
from tests.kit.oracles import missing

PATHS = 100_000


def big(tag: str, directories: int, files: int) -> Tree:
    top: dict[bytes, Node] = {}
    for number in range(directories):
        names: dict[bytes, Node] = {b"%s%d" % (tag.encode(), one): file(b"x" * (one % 7)) for one in range(files)}
        names[b"shared"] = file(tag.encode())
        top[b"d%d" % number] = Dir(children=names)
    top[b"<script>alert(1)<!--&\xff"] = file(tag.encode())
    return Tree(Dir(children=top))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[tuple[Any, list[str]]]:
    merged = merge([Layer("extension", big("e", 20, 50)), Layer("host", big("h", 1000, PATHS // 1000))])
    path = tmp_path / "report.html"
    path.write_text(page(merged.tree, [(b"/", merged)], None))
    shown = browser.new_page()
    said: list[str] = []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    shown.goto(path.as_uri(), wait_until="load")
    shown.wait_for_selector("#tree [role=treeitem]")
    yield shown, said
    shown.close()


def test_the_page_shows_searches_and_tells(opened: tuple[Any, list[str]]) -> None:
    shown, said = opened
    assert shown.locator("#summary").inner_text().startswith("1")
    assert set(shown.locator("#legend li").all_inner_texts()) == {"extension", "host"}
    assert shown.locator("#tree [role=treeitem]").count() < 100  # of a hundred thousand

    shown.fill("#search", "shared")
    shown.wait_for_function("document.querySelectorAll('#tree .conflict').length > 1")
    shown.locator("#tree .conflict").first.click()
    story = shown.locator("#story").inner_text()
    assert "of extension" in story and "host: file, hidden" in story and "is a file there (in extension)" in story

    shown.fill("#search", "")
    shown.wait_for_function("document.querySelectorAll('#tree [role=treeitem]').length > 20")
    shown.select_option("#layer", label="extension")
    rows = shown.locator("#tree [role=treeitem]").all_inner_texts()
    assert rows and not any("h1" in row for row in rows[1:])
    shown.select_option("#layer", value="")
    shown.check("#conflicts")
    assert shown.locator("#tree .conflict").count() > 1
    shown.uncheck("#conflicts")
    assert said == []


def test_the_tree_goes_by_keys_and_the_map_goes_down(opened: tuple[Any, list[str]]) -> None:
    shown, said = opened
    shown.focus("#tree")
    shown.keyboard.press("ArrowDown")
    assert "<script>" in shown.locator("#tree [aria-selected=true]").inner_text()
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowRight")
    chosen = shown.locator("#tree [aria-selected=true]")
    assert chosen.get_attribute("aria-expanded") == "true" and chosen.get_attribute("aria-level") == "2"
    shown.keyboard.press("ArrowLeft")
    shown.keyboard.press("ArrowLeft")
    assert shown.locator("#tree [aria-selected=true]").get_attribute("aria-level") == "1"
    shown.keyboard.press("End")
    assert "d999" in shown.locator("#tree [aria-selected=true]").inner_text()
    shown.locator("#map button").first.click()
    assert shown.locator("#where").inner_text() != "/"
    shown.click("#up")
    assert shown.locator("#where").inner_text() == "/"
    assert shown.evaluate("document.title") == "Merged tree" and said == []


def test_a_hundred_thousand_paths_open_soon(opened: tuple[Any, list[str]]) -> None:
    shown, _ = opened
    count = shown.evaluate("JSON.parse(document.getElementById('data').textContent).parent.length")
    assert count > PATHS
    took = shown.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert took > 0
    print(f"{count} paths were loaded in {took:.0f} ms")
