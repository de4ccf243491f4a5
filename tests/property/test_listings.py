"""Manifest and back, for any tree."""

from __future__ import annotations

import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.listings import read_manifest, read_pseudo_file
from imgcore.listings.text import split_words, unescaped
from imgcore.model import Tree, diff, manifest_lines
from imgcore.testing import names, trees


@settings(max_examples=100)
@given(trees(lossy=True), st.integers(0, 1 << 30))
def test_a_manifest_is_its_tree_in_any_order(drawn: Tree, seed: int) -> None:
    lines = list(manifest_lines(drawn))
    again = read_manifest(BytesBlob("\n".join(lines).encode()), contents=drawn)
    assert list(manifest_lines(again)) == lines
    assert list(diff(drawn, again)) == []
    random.Random(seed).shuffle(lines)
    shuffled = read_manifest(BytesBlob("\n".join(lines).encode()), contents=drawn)
    assert list(manifest_lines(shuffled)) == list(manifest_lines(drawn))


@given(st.binary(max_size=200))
def test_any_text_is_a_listing_or_an_error_of_ours(text: bytes) -> None:
    from imgcore.errors import ImgcoreError
    from imgcore.listings import apply_pseudo, read_pack_file, read_xattr_dump
    from tests.kit.files import TreeFiles

    blob = BytesBlob(text)
    for call in (
        lambda: read_manifest(blob),
        lambda: apply_pseudo(None, read_pseudo_file(blob)),
        lambda: read_pack_file(blob, TreeFiles()),
        lambda: read_xattr_dump(blob),
    ):
        with contextlib.suppress(ImgcoreError):
            call()


_WORDS = (
    b"a",
    b"d",
    b"D",
    b"m",
    b"x",
    b"s",
    b"c",
    b"L",
    b"R",
    b"755",
    b"0",
    b"1",
    b" ",
    b" ",
    b" ",
    b"\\",
    b'"',
    b"\n",
    b"/",
    b"#",
)
_PACK = (
    b"dir",
    b"glob",
    b"file",
    b"nod",
    b"-type",
    b"-name",
    b"--",
    b"/a",
    b"*",
    b"0755",
    b"0",
    b" ",
    b" ",
    b'"',
    b"'",
    b"\n",
    b"sub",
)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(_WORDS), max_size=30), st.lists(st.sampled_from(_PACK), max_size=30))
def test_almost_right_text_is_a_listing_or_an_error_of_ours(pseudo: list[bytes], pack: list[bytes]) -> None:
    from imgcore.errors import ImgcoreError
    from imgcore.listings import apply_pseudo, read_pack_file
    from tests.kit.files import TreeFiles

    for call in (
        lambda: apply_pseudo(None, read_pseudo_file(BytesBlob(b"".join(pseudo)))),
        lambda: read_pack_file(BytesBlob(b"".join(pack)), TreeFiles()),
    ):
        with contextlib.suppress(ImgcoreError):
            call()


def escaped(name: bytes) -> bytes:
    """Return a name as `unsquashfs -pf` writes it."""
    return b"".join(b"\\" + bytes([byte]) if byte in b' \t\n\v\f\r\\"' else bytes([byte]) for byte in name)


@given(names())
def test_an_escaped_name_comes_back(name: bytes) -> None:
    line = escaped(name) + b" d 755 0 0"
    if not name.startswith(b"#"):
        (entry,) = read_pseudo_file(BytesBlob(line))
        assert entry.path == b"/" + name
    if not name.startswith(b"\n"):  # between two words, an escaped newline joins lines
        assert split_words(b"x " + escaped(name))[1] == name
    assert unescaped(b"".join(b"\\%03o" % byte for byte in name)) == name
