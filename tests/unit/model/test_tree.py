from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings

from imgcore.errors import LimitExceeded, PathError
from imgcore.limits import Limits
from imgcore.model import (
    Dir,
    File,
    Meta,
    Node,
    Tree,
    Whiteout,
    diff,
    directory,
    file,
    join,
    manifest_lines,
    normalize,
    split,
    symlink,
    tree,
    type_name,
)
from imgcore.testing import trees


def test_walks() -> None:
    sample = tree({"/a/b": b"", "/a.b": b"", "/a-": b"", "/a/": b"", "/b": b""})
    assert [path for path, _ in sample.walk()] == [b"/", b"/a", b"/a/b", b"/a-", b"/a.b", b"/b"]
    assert [path for path, _ in sample.sorted_entries()] == [b"/", b"/a", b"/a-", b"/a.b", b"/a/b", b"/b"]


@settings(max_examples=50)
@given(trees())
def test_both_walks_see_the_same_and_sorted_is_sorted(drawn: Tree) -> None:
    walked = list(drawn.walk())
    ordered = [path for path, _ in drawn.sorted_entries()]
    assert sorted(path for path, _ in walked) == ordered
    seen: set[bytes] = set()
    for path, node in walked:
        assert path == b"/" or path[: path.rfind(b"/")] or b"/" in seen
        seen.add(path)
        assert drawn[path] is node


def test_paths() -> None:
    assert normalize("a//b/./c/") == normalize(b"/a/b/c") == normalize(PurePosixPath("/a/b/c")) == b"/a/b/c"
    assert (normalize(""), split("/"), split("/a/b"), join(b"/", b"x"), join(b"/a", b"x")) == (
        b"/",
        [],
        [b"a", b"b"],
        b"/x",
        b"/a/x",
    )
    with pytest.raises(PathError):
        normalize("/a/../b")


def test_lookup() -> None:
    sample = tree(
        {
            "/usr/bin/sh": b"1",
            "/bin": symlink("usr/bin"),
            "/abs": symlink("/usr"),
            "/up": symlink("../../../usr/./bin/"),
            "/loop": symlink("loop"),
            "/dangling": symlink("none"),
        }
    )
    found = sample["/usr/bin/sh"]
    for path in ("/bin/sh", "/abs/bin/sh", "/up/sh"):
        assert sample.lookup(path, follow=True) is found
        with pytest.raises(PathError):
            sample.lookup(path)
    for path in ("/loop", "/dangling", "/usr/bin/sh/x", "/none"):
        with pytest.raises(PathError):
            sample.lookup(path, follow=True)
    assert "/usr" in sample and b"/usr/bin" in sample
    assert "/none" not in sample and "/a/.." not in sample and 5 not in sample
    assert sample.subtree("/abs")["/bin/sh"] is found
    with pytest.raises(PathError):
        sample.subtree("/bin/sh")


def test_a_whiteout_is_no_path() -> None:
    with pytest.raises(PathError):
        Tree(Dir(children={b"w": Whiteout()})).lookup("/w")


def test_links() -> None:
    twice = file(b"1")
    sample = tree({"/z": twice, "/a/b": twice, "/c": b"1"})
    assert list(sample.links().values()) == [[b"/a/b", b"/z"]]
    assert sample.file_bytes() == (2, 2)


@settings(max_examples=50)
@given(trees())
def test_map_keeps_links_and_changes_each_node_once(drawn: Tree) -> None:
    calls: list[bytes] = []

    def change(path: bytes, node: Node) -> Node:
        calls.append(path)
        return dataclasses.replace(node, meta=dataclasses.replace(node.meta, uid=4242))

    mapped = drawn.map(change)
    assert sorted(mapped.links().values()) == sorted(drawn.links().values())
    assert {node.meta.uid for _, node in mapped.walk()} == {4242}
    assert len(calls) == len(set(calls)) == len({id(node) for _, node in drawn.walk()})
    assert {change.kind for change in diff(drawn, mapped)} <= {"owner"}
    assert list(diff(drawn, drawn.map(lambda path, node: node))) == []


def test_map_removes_what_is_below() -> None:
    sample = tree({"/a/b/c": b"", "/d": b""})
    kept = sample.map(lambda path, node: None if path == b"/a/b" else node)
    assert [path for path, _ in kept.walk()] == [b"/", b"/a", b"/d"]
    with pytest.raises(TypeError):
        sample.map(lambda path, node: file() if path == b"/" else node)


def deep(levels: int) -> Tree:
    node = Dir()
    for _ in range(levels):
        node = Dir(children={b"d": node})
    return Tree(node)


def test_depth_costs_no_recursion() -> None:
    sample = deep(20_000)
    assert sum(1 for _ in sample.walk()) == 20_001
    assert sum(1 for _ in sample.map(lambda path, node: node).walk()) == 20_001


@pytest.mark.parametrize(
    ("limits", "field"),
    [(Limits(max_entries=5), "max_entries"), (Limits(max_depth=3), "max_depth"), (Limits(max_path=7), "max_path")],
)
def test_limits_bound_every_walk(limits: Limits, field: str) -> None:
    sample = Tree(deep(10).root, limits)
    for walk in (sample.walk, sample.sorted_entries):
        with pytest.raises(LimitExceeded) as caught:
            list(walk())
        assert caught.value.field == field
        assert caught.value.hint is not None and f"--limits {field}=" in caught.value.hint


def test_trees_made_by_hand() -> None:
    sample = tree({b"/\xff": b"raw", "/d": directory({b"x": file()}, mode=0o700), "/d/y": "text"})  # type: ignore[dict-item]
    node = sample["/d/y"]
    assert isinstance(node, File) and node.content.read_at(0, 9) == b"text"
    assert sample["/d"].meta.mode == 0o700 and b"x" in sample.subtree("/d").root.children
    assert type_name(sample[b"/\xff"]) == "file"
    with pytest.raises(PathError):
        tree({"/a": b"", "/a/b": b""})
    with pytest.raises(PathError):
        tree({"/a": b"", "a": b""})


def test_metadata_is_a_value() -> None:
    assert Meta(0o644, 1, 2, 3, {b"user.x": b"1"}) == Meta(0o644, 1, 2, 3, {b"user.x": b"1"})
    assert file() != file()
    assert len(list(manifest_lines(tree({})))) == 1


def test_what_is_no_content_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="`'a'` is a object, where a node, bytes, text or a blob is needed"):
        tree({"a": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="`b'/d/n'` is a int"):
        tree({b"/d/n": 5})  # type: ignore[dict-item]
