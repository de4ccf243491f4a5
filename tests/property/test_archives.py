"""Laws of the writers and readers of archives, over random trees."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.build.source import open_source
from imgcore.events import Control
from imgcore.formats import cpio, tar
from imgcore.formats.base import Format
from imgcore.limits import Limits
from imgcore.model import Tree, diff, manifest_lines, project
from imgcore.testing.strategies import trees
from tests.kit.archives import read, written
from tests.property.test_squashfs import shuffled

FORMS = pytest.mark.parametrize("form", [tar.FORMAT, cpio.FORMAT], ids=["tar", "cpio"])


@FORMS
@settings(max_examples=150)
@given(data=st.data())
def test_what_is_written_is_read(form: Format, data: st.DataObject) -> None:
    tree = data.draw(trees(form.capabilities, block_size=data.draw(st.sampled_from([4096, 64 << 10]))))
    found = read(form, written(form, tree))
    assert list(manifest_lines(found)) == list(manifest_lines(project(tree, form.capabilities)))
    assert list(diff(tree, found)) == []


@FORMS
@settings(max_examples=40)
@given(data=st.data())
def test_check_finds_nothing_and_layouts_cover_all(form: Format, data: st.DataObject) -> None:
    image = written(form, data.draw(trees(form.capabilities)))
    assert list(form.check_blob(BytesBlob(image), Limits.default(), Control())) == []
    at = 0
    for item in form.open(BytesBlob(image), Limits.default()).layout():
        assert at <= item.offset < at + 512 and item.size > 0
        assert image[at : item.offset].count(0) == item.offset - at
        at = item.offset + item.size
    assert at == len(image)


@FORMS
@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 1 << 32), name=st.sampled_from(["none", "gzip", "bzip2", "xz", "zstd"]))
def test_compressed_ones_and_order_and_jobs(form: Format, data: st.DataObject, seed: int, name: str) -> None:
    tree = data.draw(trees(form.capabilities, max_entries=10))
    settings = {"compression": name} | ({"level": "1"} if name != "none" else {})
    options = form.default_options.with_settings(settings)
    image = written(form, tree, options)
    assert written(form, shuffled(tree, seed), dataclasses.replace(options, jobs=3)) == image  # type: ignore[type-var]
    with open_source(BytesBlob(image)) as source:
        assert source.stream == (None if name == "none" else name)
        assert list(diff(tree, source.tree)) == []


@FORMS
@settings(max_examples=30)
@given(data=st.data())
def test_an_archive_of_an_archive_is_the_same(form: Format, data: st.DataObject) -> None:
    first = written(form, data.draw(trees(form.capabilities, block_size=64 << 10)))
    assert written(form, read(form, first)) == first


@settings(max_examples=40)
@given(tree=trees(tar.CAPABILITIES, block_size=64 << 10), data=st.data())
def test_random_access_equals_sequential(tree: Tree, data: st.DataObject) -> None:
    found = read(tar.FORMAT, written(tar.FORMAT, tree))
    for path, node in tree.walk():
        content = getattr(node, "content", None)
        if content is not None and content.size:
            at = data.draw(st.integers(0, content.size))
            size = data.draw(st.integers(0, 200_000))
            assert found[path].content.read_at(at, size) == content.read_at(at, size)  # type: ignore[union-attr]
