"""`info` and `info --layout`: an image's own parameters, and what every byte outside of its content is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imgcore.formats.base import LayoutItem
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.layout import (
    METADATA_RAW,
    NO_TABLE,
    SUPERBLOCK_SIZE,
    FragmentEntry,
    Superblock,
    XattrId,
    XattrTable,
)

if TYPE_CHECKING:
    from imgcore.formats.squashfs.reader import SquashfsImage

__all__ = ["describe_image", "describe_layout"]


def recorded_settings(image: SquashfsImage) -> bytes:
    """Return the compressor options, b"" without any."""
    if not image.superblock.flags & layout.FLAG_COMPRESSOR_OPTIONS:
        return b""
    length = int.from_bytes(image.blob.read_at(SUPERBLOCK_SIZE, 2), "little") & ~METADATA_RAW
    return image.blob.read_at(SUPERBLOCK_SIZE + 2, min(length, layout.METADATA_SIZE))


def _settings_values(compression: str, data: bytes) -> dict[str, int]:
    """Return the compressor options by name."""
    names, code = {
        "gzip": (("level", "window", "strategies"), "<ihh"),
        "lzo": (("algorithm", "level"), "<ii"),
        "xz": (("dictionary", "filters"), "<II"),
        "lz4": (("version", "flags"), "<ii"),
        "zstd": (("level",), "<i"),
    }.get(compression, ((), "<"))
    if len(data) < struct.calcsize(code):
        return {}
    return dict(zip(names, struct.unpack_from(code, data), strict=True))


def describe_image(image: SquashfsImage) -> dict[str, object]:
    """Return the superblock as plain values, with names that say what they are."""
    sb = image.superblock
    compression = layout.COMPRESSIONS[sb.compression]
    xattrs = image.xattr_head()
    return {
        "format": "squashfs",
        "version": f"{sb.s_major}.{sb.s_minor}",
        "compression": compression,
        "compression_options": _settings_values(compression, recorded_settings(image)),
        "block_size": sb.block_size,
        "flags": [name for bit, name in layout.FLAG_NAMES.items() if sb.flags & bit],
        "time": sb.mkfs_time,
        "inodes": sb.inodes,
        "fragments": sb.fragments,
        "ids": sb.no_ids,
        "xattr_sets": 0 if xattrs is None else xattrs.xattr_ids,
        "export_table": sb.lookup_table_start != NO_TABLE,
        "bytes_used": sb.bytes_used,
        "file_size": image.blob.size,
        "inode_table_bytes": sb.directory_table_start - sb.inode_table_start,
    }


def describe_layout(image: SquashfsImage) -> Iterator[LayoutItem]:
    """Yield the superblock field by field, then the tables block by block, in order of their offsets."""
    sb = image.superblock
    for place in Superblock.LAYOUT:
        value = getattr(sb, place.name)
        yield LayoutItem(
            place.offset, place.width, f"Superblock.{place.name}", f"{value:#x}" if place.width == 8 else str(value)
        )
    settings = recorded_settings(image)
    begin = SUPERBLOCK_SIZE
    if settings:
        text = " ".join(
            f"{key}={value}" for key, value in _settings_values(layout.COMPRESSIONS[sb.compression], settings).items()
        )
        yield LayoutItem(begin, 2 + len(settings), "compressor options", text or settings.hex())
        begin += 2 + len(settings)
    if sb.inode_table_start > begin:
        yield LayoutItem(begin, sb.inode_table_start - begin, "data and fragment blocks", "")
    yield from _blocks(image, sb.inode_table_start, sb.directory_table_start, "inode table")
    lookups = list(_lookups(image))
    firsts = [first for _, _, first, _ in lookups]
    head = image.xattr_head()
    if head is not None:
        firsts.append(head.xattr_table_start)
    yield from _blocks(image, sb.directory_table_start, min(firsts, default=sb.bytes_used), "directory table")
    for name, start, first, count in lookups:
        if name == "xattr id table":
            assert head is not None
            yield from _blocks(image, head.xattr_table_start, first, "xattr table")
            yield from _blocks(image, first, start - XattrTable.SIZE, name)
            yield LayoutItem(start - XattrTable.SIZE, XattrTable.SIZE, "XattrTable", f"xattr_ids={head.xattr_ids}")
        else:
            yield from _blocks(image, first, start, name)
        yield LayoutItem(start, 8 * count, f"{name}: positions", f"{count} blocks")
    if image.blob.size > sb.bytes_used:
        yield LayoutItem(sb.bytes_used, image.blob.size - sb.bytes_used, "padding", "")


def _lookups(image: SquashfsImage) -> Iterator[tuple[str, int, int, int]]:
    """Yield (name, position of the list, position of the first block, blocks) of each lookup table, in order."""
    sb = image.superblock
    head = image.xattr_head()
    tables = [
        ("fragment table", sb.fragment_table_start, sb.fragments, FragmentEntry.SIZE),
        ("export table", sb.lookup_table_start, sb.inodes, 8),
        ("id table", sb.id_table_start, sb.no_ids, 4),
    ]
    if head is not None:
        tables.append(("xattr id table", sb.xattr_id_table_start + XattrTable.SIZE, head.xattr_ids, XattrId.SIZE))
    for name, start, count, size in sorted(tables, key=lambda table: table[1]):
        if start != NO_TABLE and count:
            positions = image.table_index(start, count, layout.METADATA_SIZE // size, name)
            yield name, start, positions[0], len(positions)


def _blocks(image: SquashfsImage, start: int, end: int, name: str) -> Iterator[LayoutItem]:
    """Yield the metadata blocks from `start` to `end`."""
    number = 0
    while start + 2 < end:
        header = int.from_bytes(image.blob.read_at(start, 2), "little")
        length = header & ~METADATA_RAW
        if not 0 < length <= end - start - 2:
            return
        how = "stored" if header & METADATA_RAW else "compressed"
        yield LayoutItem(start, 2 + length, f"{name}: block {number}", f"{length} bytes {how}")
        start += 2 + length
        number += 1
