"""The page of a merge in a real browser: search, click, keys, filter, and no error in the console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgcore.build.merge_page import page
from imgcore.hosts import scan
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
    top[b"turned\xe2\x80\xae\nname"] = file(b"x")
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
    shown.fill("#search", "no such name")
    shown.wait_for_function("document.getElementById('found').textContent === 'no paths found'")
    assert shown.locator("#tree [role=treeitem]").count() == 1
    assert said == []


def test_names_are_inert_and_roles_are_right(opened: tuple[Any, list[str]]) -> None:
    shown, said = opened
    shown.fill("#search", "turned")
    shown.wait_for_function("document.getElementById('found').textContent === '1 path found'")
    row = shown.locator("#tree [role=treeitem]").nth(1)
    assert row.inner_text().strip() == r"turned\u202e\u000aname" and row.get_attribute("title").startswith("/turned\\u202e")
    assert (row.get_attribute("aria-posinset"), row.get_attribute("aria-setsize")) == ("1", "1")
    shown.fill("#search", "")
    shown.wait_for_function("document.querySelectorAll('#tree [role=treeitem]').length > 20")
    last = shown.locator("#tree [role=treeitem]").nth(3)
    assert last.get_attribute("aria-setsize") == "1002" and last.get_attribute("aria-posinset") == "3"
    assert shown.locator("#map > [role=listitem] > button").count() > 10
    assert shown.locator("#map button[role]").count() == 0 and not shown.locator("#blocked").is_visible()
    assert said == []


def test_a_page_of_what_is_blocked(browser: Any, tmp_path: Path) -> None:
    from imgcore.sysext.plan import plan

    (tmp_path / "root/usr/lib").mkdir(parents=True)
    (tmp_path / "root/usr/lib/os-release").write_text("ID=x\n")
    for name in ("bad.raw", "na:me.raw"):
        (tmp_path / "root/var/lib/extensions").mkdir(parents=True, exist_ok=True)
        (tmp_path / "root/var/lib/extensions" / name).write_text("no image")
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "root/etc/extensions").write_text("no directory")
    with plan(scan(tmp_path / "root")) as made:
        (tmp_path / "page.html").write_text(page(made.root, [], made))
    shown = browser.new_page()
    shown.goto((tmp_path / "page.html").as_uri(), wait_until="load")
    assert shown.locator("#blocked").is_visible()
    rows = shown.locator("#extensions tr.refused").all_inner_texts()
    assert [row.split("\t")[:3] for row in rows] == [
        ["bad", "fatal", "image"],
        ["na:me", "fatal", "image"],
        ["/etc/extensions", "fatal", "search"],
    ]
    shown.close()


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
    assert "turned" in shown.locator("#tree [aria-selected=true]").inner_text()
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
