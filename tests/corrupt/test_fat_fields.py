"""Hostile FAT volumes of each kind: every field of every record and entry of the table set to every kind of value.

Whatever the bytes are, reading, checking and changing them ends soon, with a result or with an ImgcoreError.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from unittest import mock

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import ImgcoreError
from imgcore.events import Control
from imgcore.formats import fat
from imgcore.formats.fat import writer
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.fat.geometry import BITS, Geometry
from imgcore.formats.fat.layout import ENTRY, BootSector, DirEntry, FsInfo, LongEntry
from imgcore.formats.fat.reader import FatImage
from imgcore.limits import Limits
from imgcore.model import File, Tree
from tests.kit.archives import written
from tests.kit.fat_volumes import applied, file, folder

LIMITS = Limits(max_entries=5000, max_metadata=4 << 20, max_depth=64, max_file_size=1 << 30)
SHAPES = {
    12: Geometry(12, 512, 1, 1, 2, 32, 1, 150),
    16: Geometry(16, 512, 1, 1, 2, 32, 17, 4300),
    32: Geometry(32, 512, 1, 32, 2, 0, 2, 180),  # fewer clusters than we write; Linux reads it
}
TREE = Tree(
    folder(
        {
            b"A long name of two entries.txt": file(b"x" * 3000),
            b"OTHER.TXT": file(b"y" * 700),
            b"dir": folder({b"below": file(b"z"), b"Sub": folder({b"deep": file(b"1" * 600)})}),
        }
    )
)


def volume(kind: int) -> bytes:
    """Return a volume of few sectors."""
    with mock.patch.object(writer, "choose", lambda *_: SHAPES[kind]):
        return written(fat.FORMAT, TREE, fat.Options(size=SHAPES[kind].sectors * 512, label="L"))


def spots(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield (name, byte, width) of every field of the boot sector, FSInfo and directories, and the first table's entries."""
    image = FatImage(BytesBlob(data), Limits.default())
    geometry = image.geometry
    records = [(BootSector, 0), (type(image.extension), BootSector.SIZE)]
    if geometry.kind == 32:
        records.append((FsInfo, 512))
    for record, at in records:
        for place in record.LAYOUT:
            if place.width <= 11:
                yield f"{record.__name__}.{place.name}", at + place.offset, place.width
    todo = [0]
    while todo:
        cluster = todo.pop()
        base = geometry.at(cluster or 2) if cluster or geometry.kind == 32 else geometry.root_at
        listing = image.listing(cluster)
        for at in range(0, len(listing), ENTRY):
            if not listing[at]:
                break
            kind = LongEntry if listing[at + 11] == 0x0F else DirEntry
            for place in kind.LAYOUT:
                yield f"{kind.__name__}.{place.name}", base + at + place.offset, place.width
        todo += [one.cluster for name, one in image.names(cluster, b"/").items() if one.is_dir]
    for cluster in range(20):
        yield f"table[{cluster}]", geometry.fat_at + cluster * BITS[geometry.kind] // 8, -(-BITS[geometry.kind] // 8)


def values(old: bytes, chance: random.Random) -> set[bytes]:
    """Return what a field is set to."""
    size = len(old)
    number, top = int.from_bytes(old, "little"), (1 << 8 * size) - 1
    tries = {0, 1, 2, top, top >> 1, (number + 1) & top, (number - 1) & top, chance.randrange(top + 1)}
    tries |= {chance.randrange(60) & top, number ^ 1 << chance.randrange(8 * size)}
    return {value.to_bytes(size, "little") for value in tries - {number}}


def exercise(data: bytes) -> int:
    """Do everything that can be done with a volume; return how many of the three ways ended with an error."""
    refused = 3
    for work in (_walk, _check, _change):
        with contextlib.suppress(ImgcoreError):
            work(data)
            refused -= 1
    return refused


def _walk(data: bytes) -> None:
    image = fat.open_image(BytesBlob(data), LIMITS)
    image.info()
    list(image.layout())
    for _, node in image.tree.walk():
        if isinstance(node, File):
            read_all(node.content)


def _check(data: bytes) -> None:
    list(fat.FORMAT.check_blob(BytesBlob(data), LIMITS, Control()))


def _change(data: bytes) -> None:
    """Change a volume; where an editor takes it, what comes out has no errors that were not there before."""
    edit = FatEditor(BytesBlob(data), limits=LIMITS)
    before = _errors(data)
    with contextlib.suppress(ImgcoreError):
        edit.remove(b"/A long name of two entries.txt")
    with contextlib.suppress(ImgcoreError):
        edit.add(b"/dir/another long name", BytesBlob(b"z" * 4000))
    with contextlib.suppress(ImgcoreError):
        edit.remove(b"/dir/Sub")
    assert all(patch.at + patch.content.size <= len(data) for patch in edit.patches())
    assert _errors(applied(data, edit)) <= before


def _errors(data: bytes) -> set[str]:
    return {one.rule for one in fat.FORMAT.check_blob(BytesBlob(data), LIMITS, Control()) if one.severity == "error"}


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_every_field(kind: int) -> None:
    data, chance = volume(kind), random.Random(kind)
    assert exercise(data) == 0
    count = refused = 0
    for _, at, width in spots(data):
        for value in values(data[at : at + width], chance):
            changed = bytearray(data)
            changed[at : at + width] = value
            refused += exercise(bytes(changed)) > 0
            count += 1
    assert count > 900 and 100 < refused < count


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_several_at_once(kind: int) -> None:
    data, chance = volume(kind), random.Random(kind)
    places = list(spots(data))
    for _ in range(300):
        changed = bytearray(data)
        for _, at, width in chance.sample(places, chance.randrange(2, 7)):
            changed[at : at + width] = chance.choice(sorted(values(data[at : at + width], chance)))
        exercise(bytes(changed))


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_every_cut(kind: int) -> None:
    data = volume(kind)
    for size in (*range(0, 2048, 37), *range(2048, len(data), 4099)):
        exercise(data[:size])
