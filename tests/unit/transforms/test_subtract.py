"""What is left of a tree when others are taken away, by each rule."""

from __future__ import annotations

import pytest

from imgcore.errors import MergeConflict
from imgcore.model import Device, Dir, File, Meta, Node, Tree, Whiteout, char_device, directory, file, symlink, tree
from imgcore.transforms import subtract
from imgcore.transforms.overlay import merge

BASE = tree(
    {
        "/usr/bin/kept": "base",
        "/usr/bin/changed": "base",
        "/usr/bin/gone": "base",
        "/usr/lib": directory(mode=0o711, mtime_ns=5, uid=7, xattrs={b"user.base": b"1"}),
        "/usr/lib/a": "base",
        "/etc/same": "base",
        "/etc/other": "base",
    }
)
TREE = tree(
    {
        "/usr/bin/kept": "base",
        "/usr/bin/changed": file("tree", mode=0o755),
        "/usr/bin/new": "tree",
        "/usr/lib": directory(mode=0o755, mtime_ns=9, xattrs={b"user.tree": b"2", b"user.overlay.origin": b"x"}),
        "/usr/lib/b": "tree",
        "/usr/share/empty": directory(),
        "/opt/x": symlink("y"),
        "/etc/same": "base",
        "/etc/other": "tree",
    }
)


def paths(one: Tree) -> list[str]:
    return [path.decode() for path, node in one.walk() if not isinstance(node, Dir)]


def test_mkosi() -> None:
    left = subtract(TREE, [BASE])
    assert paths(left) == ["/etc/other", "/opt/x", "/usr/bin/new", "/usr/lib/b"]
    assert "/usr/share" not in left
    assert left["/usr/lib"].meta == Meta(0o711, 0, 0, 5, {b"user.tree": b"2", b"user.base": b"1"})


def test_mkosi_everywhere() -> None:
    left = subtract(TREE, [BASE], hierarchies=None, prune=False)
    assert paths(left) == ["/opt/x", "/usr/bin/new", "/usr/lib/b"]
    assert isinstance(left["/usr/share/empty"], Dir)


def test_mkosi_of_a_confext() -> None:
    left = subtract(TREE, [BASE], hierarchies=[b"/etc"])
    assert paths(left) == ["/opt/x", "/usr/bin/changed", "/usr/bin/new", "/usr/lib/b"]


def test_identical() -> None:
    left = subtract(TREE, [BASE], "identical")
    assert paths(left) == ["/etc/other", "/opt/x", "/usr/bin/changed", "/usr/bin/new", "/usr/lib/b"]
    assert left["/usr/lib"].meta == TREE["/usr/lib"].meta


def test_overlay() -> None:
    left = subtract(TREE, [BASE], "overlay")
    assert left.is_layer
    assert isinstance(left["/usr/bin/gone"], Device)
    assert paths(merge([left, BASE]).tree) == paths(TREE)


@pytest.mark.parametrize("mark", [char_device(0, 0), Whiteout()])
def test_marks_of_overlayfs_go(mark: Node) -> None:
    usr = Dir(Meta(0o755, xattrs={b"trusted.overlay.opaque": b"y"}), {b"gone": mark, b"new": file("x")}, opaque=True)
    left = subtract(Tree(Dir(children={b"usr": usr})), [BASE])
    assert paths(left) == ["/usr/new"]
    found = left["/usr"]
    assert isinstance(found, Dir)
    assert not found.opaque
    assert not found.meta.xattrs


def test_several_bases() -> None:
    above = tree({"/usr/bin/new": "x"})
    assert paths(subtract(TREE, [above, BASE])) == ["/etc/other", "/opt/x", "/usr/lib/b"]
    hidden = Tree(Dir(children={b"usr": Dir(children={b"lib": char_device(0, 0)})}))
    assert paths(subtract(tree({"/usr/lib/a": "x"}), [hidden, BASE])) == ["/usr/lib/a"]


def test_a_directory_in_place_of_a_file() -> None:
    with pytest.raises(MergeConflict) as found:
        subtract(tree({"/usr/bin/kept/x": "x"}), [BASE])
    assert found.value.path == b"/usr/bin/kept"
    assert paths(subtract(tree({"/usr/bin/kept/x": "x"}), [BASE], "identical")) == ["/usr/bin/kept/x"]
    assert paths(subtract(tree({"/usr/bin": "x"}), [BASE])) == []


def test_hard_links_stay() -> None:
    one = file("x")
    left = subtract(Tree(Dir(children={b"usr": Dir(children={b"a": one, b"b": one})})), [BASE])
    assert isinstance(left["/usr/a"], File)
    assert left["/usr/a"] is left["/usr/b"]


def test_nothing_to_subtract() -> None:
    with pytest.raises(ValueError, match="nothing to subtract"):
        subtract(TREE, [])
