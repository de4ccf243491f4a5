from __future__ import annotations

import pytest
from hypothesis import given, settings

from imgcore.blob import ZeroBlob
from imgcore.errors import NotRepresentable
from imgcore.model import (
    LOSS_KINDS,
    Capabilities,
    Dir,
    Node,
    Tree,
    Whiteout,
    char_device,
    checked,
    diff,
    file,
    find_losses,
    project,
    symlink,
    tree,
)
from imgcore.testing import trees

SMALL = Capabilities(
    types=frozenset(("dir", "file", "symlink", "char")),
    hardlinks=False,
    xattr_prefixes=(b"user.",),
    max_xattrs=64,
    time_step_ns=10**9,
    min_time_ns=0,
    max_time_ns=10**18,
    max_name=10,
    max_target=5,
    max_file_size=100,
    max_ids=3,
    max_major=9,
    max_minor=9,
)


def one(node: Node, name: bytes = b"x") -> Tree:
    return Tree(Dir(children={name: node}))


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (one(char_device(10, 1)), "device"),
        (one(Whiteout()), "tree"),
        (one(file(xattrs={b"trusted.x": b"1"})), "xattr"),
        (one(file(xattrs={b"user.": b"1"})), "xattr"),
        (one(file(xattrs={b"user.x": b"1" * 100})), "xattr"),
        (one(file(xattrs={b"system.posix_acl_access": b"1"})), "acl"),
        (one(file(mtime_ns=-1)), "time"),
        (one(file(mtime_ns=10**18 + 1)), "time"),
        (one(file(mtime_ns=5)), "fraction"),
        (one(file(), b"n" * 11), "tree"),
        (one(symlink("123456")), "tree"),
        (one(symlink("")), "tree"),
        (one(symlink("a\0b")), "tree"),
        (one(file(ZeroBlob(101))), "tree"),
        (one(file(mode=0o10000)), "tree"),
        (one(file(uid=1 << 32)), "tree"),
        (one(Dir(opaque=True)), "tree"),
        (Tree(Dir(children={bytes([letter]): file(uid=letter) for letter in b"abcd"})), "tree"),
        (one(Dir(children={b"..": file()})), "tree"),
    ],
)
def test_each_loss(sample: Tree, kind: str) -> None:
    losses = list(find_losses(sample, SMALL))
    assert [loss.kind for loss in losses] == [kind]
    assert str(losses[0])
    if kind in ("acl", "fraction"):
        assert checked(sample, SMALL, format_name="small")[1] == losses
        return
    with pytest.raises(NotRepresentable) as caught:
        checked(sample, SMALL, format_name="small")
    assert list(caught.value.losses) == losses
    if kind in LOSS_KINDS:
        assert caught.value.hint is not None and f"--allow-loss {kind}" in caught.value.hint
        written, allowed = checked(sample, SMALL, allow=(kind,), format_name="small")
        assert allowed == losses and list(find_losses(written, SMALL)) == []
    else:
        with pytest.raises(NotRepresentable):
            checked(sample, SMALL, allow=("tree", kind), format_name="small")


def test_links_are_a_loss_where_there_are_none() -> None:
    twice = file(b"1")
    losses = list(find_losses(tree({"/a": twice, "/b": twice}), SMALL))
    assert [(loss.kind, loss.path) for loss in losses] == [("link", b"/b")]


@settings(max_examples=50)
@given(trees(lossy=True))
def test_projection_is_idempotent_and_keeps_links(drawn: Tree) -> None:
    caps = Capabilities(xattr_prefixes=(b"user.",), time_step_ns=10**9, min_time_ns=0, max_time_ns=(1 << 32) * 10**9 - 1)
    once = project(drawn, caps)
    assert list(diff(once, project(once, caps))) == []
    assert not {loss.kind for loss in find_losses(once, caps)} & {"time", "fraction", "xattr", "acl"}
    assert sorted(once.links().values()) == sorted(drawn.links().values())


@settings(max_examples=50)
@given(trees(SMALL_TREES := Capabilities(xattr_prefixes=(b"user.",), time_step_ns=100, max_name=20, max_target=100)))
def test_strategies_draw_what_the_capabilities_hold(drawn: Tree) -> None:
    assert list(find_losses(drawn, SMALL_TREES)) == []
    assert checked(drawn, SMALL_TREES, format_name="x")[1] == []
