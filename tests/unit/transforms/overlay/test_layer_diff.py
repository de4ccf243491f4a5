"""Layers between two trees: what is in them, and what is not; the rules that take a base away."""

from __future__ import annotations

import pytest

from imgcore.errors import NotRepresentable, OverlayError
from imgcore.model import Device, Dir, File, Meta, Node, Tree, file, manifest_lines
from imgcore.transforms.overlay import Dialect, OverlayOptions, layer_between, merge, overlay_to_oci
from imgcore.transforms.subtract import subtract
from tests.unit.transforms.overlay.test_merge import Entries, nest

BASE: Entries = {
    "a": {"x": b"1", "y": b"2", "z": {"q": b""}},
    "gone": {"k": b""},
    "same": b"s",
    "kind": b"f",
    "all": {"o": b"", "p": b""},
}


def names(tree: Tree) -> list[str]:
    """Return paths, with the type of what is no file or directory, `!` for an opaque directory."""
    made = []
    for path, node in tree.walk():
        mark = "" if isinstance(node, (File, Dir)) else " whiteout" if isinstance(node, Device) else " other"
        mark += "!" if b"trusted.overlay.opaque" in node.meta.xattrs else ""
        made.append(path.decode() + mark)
    return made


def shown(layer: Tree, base: Tree) -> list[str]:
    return list(manifest_lines(merge([layer, base]).tree))


def test_only_what_changes_is_in_the_layer() -> None:
    tree: Entries = {
        "a": {"x": b"1", "y": b"changed", "z": {"q": b""}},
        "same": b"s",
        "kind": {"d": b""},
        "new": {"n": b""},
        "all": {"r": b""},
    }
    base, wanted = Tree(nest(BASE)), Tree(nest(tree))
    layer = layer_between(base, wanted)
    assert names(layer) == ["/", "/a", "/a/y", "/all!", "/all/r", "/gone whiteout", "/kind", "/kind/d", "/new", "/new/n"]
    assert shown(layer, base) == list(manifest_lines(wanted))
    oci = layer_between(base, wanted, dialect="oci")
    assert "/.wh.gone" in names(oci) and "/all/.wh..wh..opq" in names(oci)


def test_metadata_of_a_directory_alone_is_a_directory_without_content() -> None:
    changed = nest(BASE)
    inner = changed.children[b"a"]
    assert isinstance(inner, Dir)
    tree = Tree(Dir(children={**changed.children, b"a": Dir(Meta(0o700), inner.children)}))
    base = Tree(changed)
    layer = layer_between(base, tree)
    assert names(layer) == ["/", "/a"] and shown(layer, base) == list(manifest_lines(tree))


def test_hard_links_come_together() -> None:
    shared, other = file(b"x"), file(b"x")
    base = Tree(Dir(children={b"a": shared, b"b": shared, b"c": other}))
    tree = Tree(Dir(children={b"a": shared, b"b": shared, b"c": shared}))
    assert names(layer_between(base, tree)) == ["/", "/a", "/b", "/c"]
    assert names(layer_between(tree, base)) == ["/", "/a", "/b", "/c"]
    assert names(layer_between(base, base)) == ["/"]


def test_what_no_layer_can_say_is_refused() -> None:
    ghost: dict[bytes, Node] = {b"g": Device(Meta(0), "char", 0, 0)}
    with pytest.raises(NotRepresentable, match="0:0"):
        layer_between(Tree(Dir()), Tree(Dir(children=ghost)))
    with pytest.raises(NotRepresentable, match="whiteout"):
        layer_between(Tree(Dir()), Tree(Dir(children={b".wh.x": file(b"")})), dialect="oci")
    moved = Dir(Meta(0o755, xattrs={b"trusted.overlay.redirect": b"/x"}))
    with pytest.raises(OverlayError, match="redirect"):
        overlay_to_oci(Tree(Dir(children={b"m": moved})))


def test_attributes_of_overlayfs_are_escaped_and_seen_again() -> None:
    tree = Tree(Dir(children={b"f": File(Meta(xattrs={b"trusted.overlay.opaque": b"y", b"user.k": b"v"}))}))
    layer = layer_between(Tree(Dir()), tree)
    assert layer.lookup("/f").meta.xattrs == {b"trusted.overlay.overlay.opaque": b"y", b"user.k": b"v"}
    assert shown(layer, Tree(Dir())) == list(manifest_lines(tree))


@pytest.mark.parametrize("dialect", ["trusted", "user"])
@pytest.mark.parametrize("mark", [b"opaque", b"redirect", b"overlay.k", b"origin", b"metacopy", b"whiteout"])
def test_a_mark_that_is_in_both_trees_is_escaped_too(mark: bytes, dialect: Dialect) -> None:
    prefix = f"{dialect}.overlay.".encode()
    marked, plain = Meta(0o755, xattrs={prefix + mark: b"y"}), Meta(0o755)
    options = OverlayOptions.USERXATTR if dialect == "user" else OverlayOptions.KERNEL
    inner: Node = Dir(marked, {b"f": file(b"f")}) if mark not in (b"metacopy", b"whiteout") else File(marked)
    trees = {
        meta: Tree(Dir(children={b"x": Dir(plain, {b"d": node, b"k": file(b"k")})}))
        for meta, node in (
            ("marked", inner),
            ("plain", Dir(plain, {b"f": file(b"f")}) if isinstance(inner, Dir) else File(plain)),
        )
    }
    for base in trees.values():
        for tree in trees.values():
            layer = layer_between(base, tree, dialect=dialect)
            assert list(manifest_lines(merge([layer, base], options=options).tree)) == list(manifest_lines(tree))
    layer = layer_between(trees["marked"], trees["marked"], dialect=dialect)
    assert layer.lookup("/x/d").meta.xattrs == {prefix + b"overlay." + mark: b"y"}
    assert list(manifest_lines(subtract(trees["marked"], [trees["marked"]], "identical"))) == list(manifest_lines(Tree(Dir())))


def test_a_device_that_no_mount_shows_is_refused_in_both_trees_too() -> None:
    tree = Tree(Dir(children={b"g": Device(Meta(0), "char", 0, 0)}))
    with pytest.raises(NotRepresentable, match=r"0:0.*`/g`"):
        layer_between(tree, tree)
