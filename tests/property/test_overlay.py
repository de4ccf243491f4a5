"""Merges of any trees: nothing over a tree is the tree; two steps are one; images are layers like directories."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, MemorySink
from imgcore.engine import get_engine
from imgcore.errors import MergeConflict
from imgcore.events import Control
from imgcore.formats import FORMATS
from imgcore.limits import Limits
from imgcore.model import Device, Dir, Tree, diff, manifest_lines
from imgcore.testing import trees
from imgcore.transforms import oci_to_overlay, subtract
from imgcore.transforms.overlay import Dialect, OverlayOptions, layer_between, merge, overlay_to_oci

COMMON = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
SQUASHFS = FORMATS[0]


def plain(tree: Tree) -> bool:
    """Whether no node means anything to overlayfs."""
    return not any(
        any(name.startswith((b"trusted.overlay.", b"user.overlay.")) for name in node.meta.xattrs)
        or (isinstance(node, Device) and not node.major and not node.minor)
        or (isinstance(node, Dir) and node.opaque)
        for _, node in tree.walk()
    )


def same(one: Tree, other: Tree) -> bool:
    return list(manifest_lines(one)) == list(manifest_lines(other))


LAYERS = trees(caps=SQUASHFS.capabilities).filter(plain)


@COMMON
@given(LAYERS)
def test_nothing_over_a_tree_is_the_tree(tree: Tree) -> None:
    assert same(merge([tree]).tree, tree)
    merged = merge([Tree(Dir(tree.root.meta)), tree]).tree
    assert not list(diff(merged, tree))


@COMMON
@given(st.lists(LAYERS, min_size=3, max_size=3))
def test_layers_can_be_merged_in_two_steps(layers: list[Tree]) -> None:
    top, middle, low = layers
    at_once = merge([top, middle, low]).tree
    assert same(merge([merge([top, middle]).tree, low]).tree, at_once) or _is_cut(top, middle)
    assert same(merge([top, merge([middle, low]).tree]).tree, at_once)


def _is_cut(top: Tree, middle: Tree) -> bool:
    """Whether a directory of the uppermost layer lies over something else in the middle one, which ends the merging there.

    Merged first, the two are a directory that nothing ends at: what the middle layer hid is then merged with it.
    """
    stack = [(top.root, middle.root)]
    while stack:
        above, below = stack.pop()
        for name, node in above.children.items():
            other = below.children.get(name)
            if isinstance(node, Dir) and isinstance(other, Dir):
                stack.append((node, other))
            elif isinstance(node, Dir) and other is not None:
                return True
    return False


@settings(COMMON, max_examples=25)
@given(st.lists(LAYERS, min_size=2, max_size=2))
def test_images_are_layers_like_directories(layers: list[Tree]) -> None:
    images = []
    for tree in layers:
        sink = MemorySink()
        SQUASHFS.write(tree, sink, SQUASHFS.default_options, Control(), get_engine())
        images.append(SQUASHFS.open(BytesBlob(sink.value()), Limits.default()).tree)
    assert same(merge(images).tree, merge([Tree(one.root, time_step_ns=1) for one in map(_whole_seconds, layers)]).tree)


def _whole_seconds(tree: Tree) -> Tree:
    from imgcore.model import project

    return project(tree, SQUASHFS.capabilities)


@COMMON
@given(LAYERS, LAYERS, st.sampled_from(["trusted", "user"]))
def test_a_layer_between_two_trees_shows_the_second_over_the_first(base: Tree, tree: Tree, dialect: Dialect) -> None:
    options = OverlayOptions.USERXATTR if dialect == "user" else OverlayOptions.KERNEL
    layer = layer_between(base, tree, dialect=dialect)
    assert same(merge([layer, base], options=options).tree, tree)
    assert same(merge([layer_between(base, base, dialect=dialect), base], options=options).tree, base)
    assert sum(1 for _ in layer_between(tree, tree, dialect=dialect).walk()) == 1


MARKED = trees(caps=SQUASHFS.capabilities).filter(
    lambda tree: all(
        not (isinstance(node, Dir) and node.opaque)
        and not (isinstance(node, Device) and node.kind == "char" and not node.major and not node.minor)
        for _, node in tree.walk()
    )
)


@COMMON
@given(MARKED, MARKED, st.sampled_from(["trusted", "user"]))
def test_marks_in_trees_are_attributes_as_others(base: Tree, tree: Tree, dialect: Dialect) -> None:
    options = OverlayOptions.USERXATTR if dialect == "user" else OverlayOptions.KERNEL
    for below in (base, tree):
        assert same(merge([layer_between(below, tree, dialect=dialect), below], options=options).tree, tree)


@COMMON
@given(LAYERS, LAYERS, LAYERS)
def test_what_is_left_over_bases(one: Tree, two: Tree, tree: Tree) -> None:
    layer = subtract(tree, [one, two], "overlay")
    assert same(merge([layer, one, two]).tree, tree)
    below = merge([one, two]).tree
    left = subtract(tree, [one, two], "identical")
    assert sum(1 for _ in subtract(below, [one, two], "identical").walk()) == 1
    assert all(path in tree for path, _ in left.walk())
    assert all(path in below for path, node in tree.walk() if path not in left and not isinstance(node, Dir))
    try:
        added = subtract(tree, [one, two], hierarchies=None)
    except MergeConflict:
        return
    assert all(path not in below for path, node in added.walk() if not isinstance(node, Dir))
    assert all(node.children for path, node in added.walk() if isinstance(node, Dir) and path != b"/")
    new = {path for path, node in tree.walk() if path not in below and not isinstance(node, Dir)}
    assert {path for path, node in added.walk() if not isinstance(node, Dir)} == new


@COMMON
@given(LAYERS, LAYERS)
def test_layers_of_oci_and_overlayfs_say_the_same(base: Tree, tree: Tree) -> None:
    layer = layer_between(base, tree, dialect="oci")
    back = oci_to_overlay(layer)
    assert same(overlay_to_oci(back), layer)
    assert same(merge([back, base]).tree, tree)
