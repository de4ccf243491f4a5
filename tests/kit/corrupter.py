"""Finds every structure that a reader looks at in an image, and breaks it field by field.

The places come from the reader itself: while an image with raw metadata is read, each `Cursor.read` tells where its
bytes stand and what they are called. A structure's fields come from its record's declaration.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from imgcore.blob import BytesBlob, read_chunks
from imgcore.errors import ImgcoreError
from imgcore.events import Control
from imgcore.formats.squashfs import layout, open_image
from imgcore.formats.squashfs.check import check_blob
from imgcore.formats.squashfs.layout import FragmentEntry, Superblock, XattrId, XattrTable
from imgcore.formats.squashfs.metadata import Cursor
from imgcore.limits import Limits
from imgcore.model import File, Tree
from imgcore.wire import Record

LIMITS = Limits(max_entries=20_000, max_depth=64, max_metadata=32 << 20, max_file_size=1 << 33, max_xattrs=1 << 20)
_MOST_READ = 8 << 20  # bytes of one file's content that are read, holes included


@dataclass(frozen=True)
class Spot:
    """Bytes of an image that are one structure or one number."""

    at: int
    size: int
    what: str


def spots(image: bytes) -> list[Spot]:
    """Return every structure that is read in `image`, whose metadata is raw."""
    found: set[Spot] = set()
    plain = Cursor.read

    def spy(cursor: Cursor, size: int, what: str) -> bytes:
        block, offset = cursor.place
        if offset + size <= 8192:
            found.add(Spot(block + 2 + offset, size, what))
        return plain(cursor, size, what)

    with mock.patch.object(Cursor, "read", spy):
        exercise(image)
    sb = Superblock.unpack_from(image)
    found.add(Spot(0, Superblock.SIZE, "Superblock"))
    for start, name in (
        (sb.id_table_start, "id table"),
        (sb.fragment_table_start, "fragment table"),
        (sb.lookup_table_start, "export table"),
    ):
        if start != layout.NO_TABLE:
            found.add(Spot(start, 8, f"{name} position"))
            block = int.from_bytes(image[start : start + 8], "little")
            found.add(Spot(block, 2, f"{name} header"))
            found.add(
                Spot(
                    block + 2,
                    FragmentEntry.SIZE if name == "fragment table" else 8,
                    "FragmentEntry" if name == "fragment table" else name,
                )
            )
    if sb.xattr_id_table_start != layout.NO_TABLE:
        found.add(Spot(sb.xattr_id_table_start, XattrTable.SIZE, "XattrTable"))
        found.add(Spot(sb.xattr_id_table_start + XattrTable.SIZE, 8, "xattr position"))
        block = int.from_bytes(image[sb.xattr_id_table_start + XattrTable.SIZE :][:8], "little")
        found.add(Spot(block + 2, XattrId.SIZE, "XattrId"))
    for start in (sb.inode_table_start, sb.directory_table_start):
        found.add(Spot(start, 2, "metadata header"))
    return sorted(found, key=lambda spot: (spot.at, spot.size, spot.what))


def fields(spot: Spot) -> Iterator[tuple[str, int, int]]:
    """Yield (name, offset in the image, width) of each number of a structure."""
    records: dict[str, type[Record]] = {kind.__name__: kind for kind in layout.RECORDS}
    kind = records.get("InodeBase" if spot.what == "inode" else spot.what)
    if kind is not None:
        for field in kind.LAYOUT:
            yield f"{kind.__name__}.{field.name}", spot.at + field.offset, field.width
    elif spot.what == "size words":
        for at in range(0, spot.size, 4):
            yield spot.what, spot.at + at, 4
    elif spot.size <= 8:
        yield spot.what, spot.at, spot.size


def broken(image: bytes, spot: Spot, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (what was done, the image with it) for each field and value: 0, all ones, one more, one less, random."""
    chance = random.Random(spot.at * 31 + seed)
    for name, at, width in fields(spot):
        value = int.from_bytes(image[at : at + width], "little")
        most = (1 << 8 * width) - 1
        tries = {
            0,
            most,
            most >> 1,
            (value + 1) & most,
            (value - 1) & most,
            chance.randrange(most + 1),
            value ^ 1 << chance.randrange(8 * width),
        }
        for other in sorted(tries - {value}):
            changed = bytearray(image)
            changed[at : at + width] = other.to_bytes(width, "little")
            yield f"{name} at {at:#x}: {value:#x} -> {other:#x}", bytes(changed)


def largest(image: bytes, spot: Spot) -> Iterator[tuple[str, bytes]]:
    """Yield (what was done, the image with it) for each field at its largest value: the one that asks for most memory."""
    for name, at, width in fields(spot):
        changed = bytearray(image)
        changed[at : at + width] = b"\xff" * width
        yield f"{name} at {at:#x}: all ones", bytes(changed)


def _require_same_columns(tree: Tree) -> None:
    """Compare a tree by the column, where it can be read so, with the one by nodes; which says what is wrong with both."""
    table = tree.columns()
    if table is None:
        return
    by_node, by_column = ([(path, node.meta, type(node)) for path, node in one.walk()] for one in (tree, Tree.of_table(table)))
    assert by_node == by_column


def exercise(image: bytes) -> list[str]:
    """Read everything in `image`, then check it; return what was raised. Anything but ImgcoreError passes through."""
    raised: list[str] = []
    try:
        with open_image(BytesBlob(image), LIMITS) as opened:
            opened.info()
            list(opened.layout())
            _require_same_columns(opened.tree)
            for _path, node in opened.tree.walk():
                if isinstance(node, File):
                    try:
                        list(zip(range(64), node.content.segments(), strict=False))
                        read = 0
                        for chunk in read_chunks(node.content, 1 << 16):
                            read += len(chunk)
                            if read > _MOST_READ:
                                break
                    except ImgcoreError as error:
                        raised.append(str(error))
    except ImgcoreError as error:
        raised.append(str(error))
    try:
        raised += [finding.message for finding in check_blob(BytesBlob(image), LIMITS, Control())]
    except ImgcoreError as error:
        raised.append(str(error))
    return raised
