from __future__ import annotations

import pytest
from hypothesis import given, settings

from imgcore.formats import squashfs
from imgcore.model import Table, Tree, diff, directory, file, project, tree
from imgcore.testing import trees
from imgcore.transforms import (
    Clock,
    Owners,
    Policy,
    change_root,
    dereference,
    exclude,
    join_trees,
    oci_to_overlay,
    only,
    place_tree,
    prune_empty,
    set_xattrs,
)

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


MARKS = {b"trusted.overlay.origin": b"", b"user.overlay.impure": b"y", b"trusted.overlay.uuid": b"", **OVERLAY}


@pytest.mark.parametrize("in_columns", [False, True])
def test_marks_that_had_a_meaning_are_not_taken_in_silence(in_columns: bool) -> None:
    linked = file(b"", xattrs=MARKS)
    made = tree({"/d": directory(xattrs={b"trusted.overlay.overlay.k": b""}), "/f": linked, "/g": linked})
    if in_columns:
        made = Tree.of_table(Table.of(made))
    lost = [(loss.kind, loss.path, loss.message.split()[3]) for loss in Policy(owners=Owners.root()).lost(made)]
    assert sorted(lost) == [
        ("mark", b"/d", "trusted.overlay.overlay.k"),
        ("mark", b"/f", "trusted.overlay.redirect"),
        ("mark", b"/f", "user.overlay.opaque"),
    ]
    for rule in ("all", "none", "user.*"):
        assert not list(Policy(xattrs=rule).lost(made)), "what was asked for is no loss"


def test_a_layer_keeps_its_marks_unless_a_rule_says_else() -> None:
    layer = Tree(sample().root, is_layer=True)
    for policy in (Policy(), Policy(owners=Owners.root()), Policy(clock=Clock.fixed(3))):
        kept = policy.apply(layer)
        assert dict(kept["/x"].meta.xattrs) == OVERLAY and kept.is_layer and not list(policy.lost(layer))
    assert Policy(xattrs="none").apply(layer)["/x"].meta.xattrs == {}
    columns = Tree.of_table(Table.of(layer), is_layer=True)
    assert dict(Policy(owners=Owners.root()).apply(columns)["/x"].meta.xattrs) == OVERLAY


def test_what_is_made_of_a_layer_is_one() -> None:
    layer = Tree(sample().root, is_layer=True)
    made = [
        exclude(layer, ["/e"]),
        only(layer, ["/x"]),
        prune_empty(layer),
        dereference(layer),
        place_tree(layer, "/p"),
        join_trees([tree({"/new": b""}), layer]),
        change_root(layer, lambda meta: meta),
        set_xattrs(layer, {b"user.k": b""}),
        layer.subtree("/d"),
        project(layer, squashfs.CAPABILITIES),
        oci_to_overlay(tree({"/d/.wh..wh..opq": b""})),
    ]
    assert [one.is_layer for one in made] == [True] * len(made)
    assert not sample().is_layer and not join_trees([sample(), tree({"/new": b""})]).is_layer


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
