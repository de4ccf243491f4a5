from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, ZeroBlob
from imgcore.errors import Cancelled
from imgcore.events import Control
from imgcore.model import (
    Change,
    Dir,
    Node,
    Tree,
    char_device,
    diff,
    directory,
    file,
    same_content,
    symlink,
    tree,
)
from imgcore.testing import trees
from imgcore.testing.strategies import HolesBlob


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (file(b"1"), file(b"2"), "content"),
        (file(b"1"), file(b"12"), "content"),
        (file(b"1"), symlink("x"), "type"),
        (symlink("x"), symlink("y"), "target"),
        (char_device(1, 3), char_device(1, 5), "device"),
        (file(mode=0o644), file(mode=0o600), "mode"),
        (file(uid=1), file(uid=2), "owner"),
        (file(gid=1), file(gid=2), "owner"),
        (file(mtime_ns=1), file(mtime_ns=2), "mtime"),
        (file(xattrs={b"user.a": b"1"}), file(xattrs={b"user.a": b"2"}), "xattrs"),
        (directory(), Dir(opaque=True), "opaque"),
    ],
)
def test_each_kind(old: Node, new: Node, kind: str) -> None:
    one, two = Tree(Dir(children={b"x": old})), Tree(Dir(children={b"x": new}))
    for a, b in ((one, two), (two, one)):
        (change,) = diff(a, b)
        assert (change.path, change.kind) == (b"/x", kind)


def test_presence() -> None:
    one, two = tree({"/a": b"", "/d/x": b""}), tree({"/a": b"", "/b": symlink("a")})
    assert list(diff(one, two)) == [
        Change(b"/b", "added", "", "symlink"),
        Change(b"/d", "removed", "dir", ""),
        Change(b"/d/x", "removed", "file", ""),
    ]


def test_links() -> None:
    twice = file(b"1")
    one, two = tree({"/a": twice, "/b": twice}), tree({"/a": b"1", "/b": b"1"})
    assert list(diff(one, two)) == [Change(b"/b", "link", "/a", "")]
    assert list(diff(two, one)) == [Change(b"/b", "link", "", "/a")]


def test_times_are_compared_at_the_coarser_resolution() -> None:
    fine, coarse = tree({"/a": file(mtime_ns=1_999_999_999)}), tree({"/a": file(mtime_ns=1_000_000_000)})
    assert len(list(diff(fine, coarse))) == 1
    coarse = Tree(coarse.root, time_step_ns=10**9)
    assert list(diff(fine, coarse)) == list(diff(coarse, fine)) == []


def test_without_contents_only_sizes_count() -> None:
    assert list(diff(tree({"/a": b"1"}), tree({"/a": b"2"}), contents=False)) == []


@settings(max_examples=50)
@given(trees(), trees())
def test_forth_and_back(one: Tree, two: Tree) -> None:
    forth, back = list(diff(one, two)), list(diff(two, one))
    assert [(change.path, change.old, change.new) for change in forth] == [(c.path, c.new, c.old) for c in back]
    assert [change.path for change in forth] == sorted(change.path for change in forth)


def test_cancelling() -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        list(diff(tree({}), tree({}), control))


def test_holes_are_compared_without_reading_them() -> None:
    class Watched(ZeroBlob):
        def read_at(self, at: int, size: int) -> bytes:
            raise AssertionError("a hole was read")

    assert same_content(Watched(1 << 40), Watched(1 << 40))


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=6), st.lists(st.integers(0, 239), max_size=2), st.data())
def test_content_does_not_depend_on_holes(runs: list[tuple[int, bool]], changes: list[int], data: st.DataObject) -> None:
    holed = HolesBlob([size if hole else bytes([data.draw(st.integers(0, 1))]) * size for size, hole in runs])
    other = bytearray(holed.read_at(0, 1 << 20))
    for at in changes:
        if at < len(other):
            other[at] ^= 1
    expected = bytes(other) == holed.read_at(0, 1 << 20)
    assert same_content(holed, BytesBlob(bytes(other))) is expected
    assert same_content(BytesBlob(bytes(other)), holed) is expected
    assert same_content(holed, HolesBlob([bytes(other)])) is expected
