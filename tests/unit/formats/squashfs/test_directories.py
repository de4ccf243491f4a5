"""Large directories: headers and index entries at every alignment to the metadata blocks of their listing."""

from __future__ import annotations

import random

import pytest

from imgcore.blob import BytesBlob
from imgcore.events import Control
from imgcore.formats.squashfs import Options
from imgcore.formats.squashfs.check import check_blob
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Tree, manifest_lines
from tests.kit.squashfs_io import read, write


def directory(count: int, length: int, seed: int) -> Dir:
    """Return a directory of `count` names of about `length` bytes."""
    chance = random.Random(seed)
    names = (b"%05d" % number + b"n" * chance.randrange(length) for number in range(count))
    children: dict[bytes, Node] = {name: File(Meta()) for name in names}
    return Dir(Meta(), children)


@pytest.mark.parametrize("compression", ["none", "lz4"])
@pytest.mark.parametrize("seed", range(30))
def test_check_agrees_with_the_writer(seed: int, compression: str) -> None:
    chance = random.Random(seed)
    made = {
        b"d%d" % number: directory(chance.randrange(200, 3000), chance.choice([1, 4, 40, 200]), seed) for number in range(3)
    }
    what = Tree(Dir(Meta(), dict(made)))
    image = write(what, Options(compression=compression))
    assert list(check_blob(BytesBlob(image), Limits.default(), Control())) == []
    if seed < 3:
        assert list(manifest_lines(read(image))) == list(manifest_lines(what))


def test_header_exactly_at_the_beginning_of_a_block() -> None:
    """256 entries of 8 + 23 bytes and a header are 7948; one header and eight entries of 21 bytes more fill the block."""
    for extra in range(60):
        names: dict[bytes, Node] = {b"%03d" % number + b"n" * 20: File(Meta()) for number in range(256)}
        names |= {b"9%02d" % number + b"n" * (extra % 30): File(Meta()) for number in range(500 + extra)}
        image = write(Tree(Dir(Meta(), names)), Options(compression="none"))
        assert list(check_blob(BytesBlob(image), Limits.default(), Control())) == [], extra
