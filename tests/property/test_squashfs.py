"""Laws of the squashfs writer and reader, over random trees."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.errors import NotRepresentable
from imgcore.events import Control, Event, Warned
from imgcore.formats.squashfs import CAPABILITIES, Options
from imgcore.formats.squashfs.check import check_blob
from imgcore.limits import Limits
from imgcore.model import Dir, Node, Tree, diff, find_losses, manifest_lines, project
from imgcore.testing.strategies import trees
from tests.kit.squashfs_io import ENGINES, read, write

OPTIONS = st.builds(
    Options,
    compression=st.sampled_from(["gzip", "zstd", "xz", "lz4", "none"]),
    block_size=st.sampled_from([4096, 8192]),
    fragments=st.sampled_from(["all", "small", "none"]),
    export=st.booleans(),
    dedup=st.booleans(),
    jobs=st.sampled_from([1, 2, 4]),
)
TREES = trees(CAPABILITIES, block_size=4096)


def shuffled(tree: Tree, seed: int) -> Tree:
    """Return the same tree with the names of every directory in another order."""
    chance = random.Random(seed)

    def again(node: Node) -> Node:
        if not isinstance(node, Dir):
            return node
        names = list(node.children)
        chance.shuffle(names)
        return Dir(node.meta, {name: again(node.children[name]) for name in names}, node.opaque)

    root = again(tree.root)
    assert isinstance(root, Dir)
    return Tree(root)


@settings(max_examples=150)
@given(tree=TREES, options=OPTIONS)
def test_what_is_written_is_read(tree: Tree, options: Options) -> None:
    found = read(write(tree, options))
    assert list(manifest_lines(found)) == list(manifest_lines(project(tree, CAPABILITIES)))
    assert list(diff(tree, found)) == []


@settings(max_examples=60)
@given(tree=TREES, options=OPTIONS)
def test_check_finds_nothing(tree: Tree, options: Options) -> None:
    assert list(check_blob(BytesBlob(write(tree, options)), Limits.default(), Control())) == []


@pytest.mark.skipif(len(ENGINES) < 2, reason="the native engine was not built")
@settings(max_examples=80)
@given(tree=TREES, options=OPTIONS)
def test_engines_write_the_same_bytes(tree: Tree, options: Options) -> None:
    assert write(tree, options, "pure") == write(tree, options, "native")


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40)
@given(tree=TREES, seed=st.integers(0, 1 << 32))
def test_order_and_jobs_change_nothing(engine: str, tree: Tree, seed: int) -> None:
    one = write(tree, Options(block_size=4096, compression="gzip", jobs=1), engine)  # type: ignore[arg-type]
    assert write(shuffled(tree, seed), Options(block_size=4096, compression="gzip", jobs=4), engine) == one  # type: ignore[arg-type]


@settings(max_examples=30)
@given(tree=TREES)
def test_an_image_of_an_image_is_the_same(tree: Tree) -> None:
    first = write(tree)
    assert write(read(first)) == first


@settings(max_examples=80)
@given(tree=trees(CAPABILITIES, block_size=4096, max_entries=8, lossy=True))
def test_losses_are_reported_and_allowed_ones_are_lost(tree: Tree) -> None:
    losses = list(find_losses(tree, CAPABILITIES))
    serious = {loss.kind for loss in losses} - {"acl", "fraction"}
    if serious:
        with pytest.raises(NotRepresentable) as caught:
            write(tree)
        assert {loss.kind for loss in caught.value.losses} == serious  # type: ignore[attr-defined]
    events: list[Event] = []
    allowed = Options(block_size=4096, allow_loss=("time", "xattr"))
    found = read(write(tree, allowed, control=Control(events.append)))
    assert list(manifest_lines(found)) == list(manifest_lines(project(tree, CAPABILITIES)))
    assert len([event for event in events if isinstance(event, Warned)]) == len(losses)


@settings(max_examples=40)
@given(tree=TREES, data=st.data())
def test_random_access_equals_sequential(tree: Tree, data: st.DataObject) -> None:
    found = read(write(tree))
    for path, node in tree.walk():
        content = getattr(node, "content", None)
        if content is not None and content.size:
            at = data.draw(st.integers(0, content.size))
            size = data.draw(st.integers(0, 9000))
            assert found[path].content.read_at(at, size) == content.read_at(at, size)  # type: ignore[union-attr]
