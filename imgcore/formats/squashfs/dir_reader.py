"""Directory listings from bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imgcore.errors import Corrupt
from imgcore.formats.squashfs.inode_reader import Inode
from imgcore.formats.squashfs.layout import LISTING_EXTRA, MAX_NAME, DirEntry, DirHeader
from imgcore.formats.squashfs.metadata import MetadataReader

__all__ = ["DirItem", "bad_name", "read_listing"]


class DirItem(NamedTuple):
    """One entry of a listing: its name, the reference and number of its inode, the type it says, and where it stands.

    `block` is the metadata block in the image that the entry begins in; `header` is the offset of its header in the
    listing, `header_place` where that header stands (metadata block in the image, offset in its payload).
    """

    name: bytes
    reference: int
    number: int
    kind: int
    block: int
    header: int
    header_place: tuple[int, int]


def bad_name(name: bytes) -> bool:
    """Return whether no file system object can have this name."""
    return name in (b"", b".", b"..") or b"/" in name or b"\0" in name


def read_listing(reader: MetadataReader, inode: Inode) -> Iterator[DirItem]:
    """Yield the entries of a directory in their order on disk; names are not judged. Raises Corrupt.

    The order and the names are the caller's to check: Linux reads an unsorted listing in part.
    """
    size = inode.size - LISTING_EXTRA
    if size <= 0:
        return
    cursor = reader.cursor(inode.start, inode.offset)
    done = 0
    while done < size:
        at = done
        place = cursor.place
        head = DirHeader.unpack_from(cursor.read(DirHeader.SIZE, "DirHeader"), base=place[0])
        done += DirHeader.SIZE
        for _ in range(head.count + 1):
            block, _ = cursor.place
            entry = DirEntry.unpack_from(cursor.read(DirEntry.SIZE, "DirEntry"), base=block)
            length = entry.size + 1
            if length > MAX_NAME:
                raise Corrupt(
                    "impossible length of a name",
                    offset=block,
                    structure="DirEntry",
                    field="size",
                    found=length,
                    allowed="1 to 256",
                )
            name = cursor.read(length, "name")
            done += DirEntry.SIZE + length
            if done > size:
                raise Corrupt(
                    "listing is longer than its directory says",
                    offset=block,
                    structure="DirEntry",
                    found=f"more than {size} bytes",
                    allowed=f"{size} bytes",
                )
            number = (head.inode_number + entry.inode_number) & 0xFFFFFFFF
            yield DirItem(name, head.start_block << 16 | entry.offset, number, entry.type, block, at, place)
