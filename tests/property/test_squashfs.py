"""Laws of the squashfs writer and reader, over random trees."""

from __future__ import annotations

import dataclasses
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
from imgcore.model import Dir, File, FileHints, Node, Tree, diff, find_losses, manifest_lines, project
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


HINTS = st.builds(
    FileHints,
    priority=st.integers(-2, 2),
    compress=st.booleans(),
    fragment=st.booleans(),
    dedup=st.booleans(),
    holes=st.booleans(),
    align=st.sampled_from([1, 1, 512, 4096, 32768]),
)
CONTROLLED = st.builds(
    Options,
    compression=st.sampled_from(["gzip", "zstd", "lz4", "none"]),
    block_size=st.just(4096),
    fragments=st.sampled_from(["all", "small", "none"]),
    dedup=st.booleans(),
    order=st.sampled_from(["path", "suffix"]),
    align=st.sampled_from([1, 1, 4096, 8192]),
    uncompressed=st.lists(st.sampled_from(["inodes", "data", "fragments", "xattrs", "ids"]), unique=True).map(tuple),
    holes=st.booleans(),
    hardlinks=st.booleans(),
)


def with_hints(options: Options, chosen: list[FileHints | None]) -> Options:
    """Return the options with one of `chosen` for each path."""

    def hints(path: bytes, node: File) -> FileHints | None:
        return chosen[sum(path) % len(chosen)] if chosen else None

    return dataclasses.replace(options, hints=hints)


@settings(max_examples=120)
@given(tree=TREES, options=CONTROLLED, chosen=st.lists(st.one_of(st.none(), HINTS), max_size=5))
def test_hints_change_where_and_not_what(tree: Tree, options: Options, chosen: list[FileHints | None]) -> None:
    options = with_hints(options, chosen)
    image = write(tree, options, ENGINES[-1])
    assert image == write(tree, dataclasses.replace(options, jobs=3))
    found = read(image)
    if options.hardlinks:
        assert list(manifest_lines(found)) == list(manifest_lines(project(tree, CAPABILITIES)))
    else:
        assert not found.links()
        same = {path: (node.meta, getattr(node, "content", None)) for path, node in project(tree, CAPABILITIES).walk()}
        for path, node in found.walk():
            meta, content = same.pop(path)
            assert node.meta == meta
            if content is not None:
                assert node.content.read_at(0, content.size) == content.read_at(0, content.size)  # type: ignore[union-attr]
        assert not same
    linked = {path for paths in tree.links().values() for path in paths}
    for path, node in found.walk():
        if isinstance(node, File) and any(node.content.words()):  # type: ignore[attr-defined]
            asked = options.hints(path, node) if options.hints is not None and path not in linked else None
            align = max(options.align, asked.align if asked else 1)
            assert node.content._inode.start % align == 0  # type: ignore[attr-defined]
    assert list(check_blob(BytesBlob(image), Limits.default(), Control())) == []


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
