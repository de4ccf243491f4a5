from __future__ import annotations

import pytest
from hypothesis import given, settings

from imgcore.model import Tree, diff, directory, file, tree
from imgcore.testing import trees
from imgcore.transforms import Clock, Owners, Policy

OVERLAY = {b"user.overlay.opaque": b"y", b"trusted.overlay.redirect": b"r", b"user.x": b"1", b"security.overlay.x": b"2"}


def sample() -> Tree:
    twice = file(b"x", uid=5, gid=6, mtime_ns=900)
    return tree({"/a": twice, "/d/b": twice, "/x": file(b"", xattrs=OVERLAY), "/e": directory(uid=1, mtime_ns=2000)})


def test_owners() -> None:
    for owners, ids in ((Owners.root(), (0, 0)), (Owners.fixed(7, 8), (7, 8))):
        changed = Policy(owners=owners).apply(sample())
        assert {(node.meta.uid, node.meta.gid) for _, node in changed.walk()} == {ids}
    with pytest.raises(ValueError, match="32 bits"):
        Owners.fixed(1 << 32, 0)


def test_clocks() -> None:
    def times(clock: Clock) -> list[int]:
        changed = Policy(clock=clock).apply(sample())
        return [changed[path].meta.mtime_ns for path in ("/a", "/e")]

    assert times(Clock.keep()) == [900, 2000]
    assert times(Clock.clamp(1000)) == [900, 1000]
    assert times(Clock.fixed(-5)) == [-5, -5]


@pytest.mark.parametrize(
    ("rule", "stay"),
    [
        ("keep", {b"user.x", b"security.overlay.x"}),
        ("all", set(OVERLAY)),
        ("none", set()),
        ("user.*", {b"user.x", b"user.overlay.opaque"}),
        ("*.overlay.*", {b"user.overlay.opaque", b"trusted.overlay.redirect", b"security.overlay.x"}),
    ],
)
def test_xattrs(rule: str, stay: set[bytes]) -> None:
    assert set(Policy(xattrs=rule).apply(sample())["/x"].meta.xattrs) == stay


def test_hard_links_survive() -> None:
    changed = Policy(owners=Owners.root(), clock=Clock.fixed(0), xattrs="none").apply(sample())
    assert changed["/a"] is changed["/d/b"]


def test_nothing_to_do_gives_the_same_tree() -> None:
    plain = tree({"/a": b"1"})
    assert Policy().apply(plain) is plain
    assert Policy(Owners.root(), Clock.clamp(0)).apply(plain) is plain


@settings(max_examples=50)
@given(trees())
def test_applying_twice_is_applying_once(drawn: Tree) -> None:
    policy = Policy(Owners.fixed(1, 2), Clock.clamp(10**18))
    once = policy.apply(drawn)
    assert policy.apply(once) is once
    assert {change.kind for change in diff(drawn, once)} <= {"owner", "mtime", "xattrs"}
    assert sorted(drawn.links().values()) == sorted(once.links().values())
