"""Directory records from bytes, tolerant of what real images have: one item for each name, however many extents it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from imgcore.errors import Corrupt
from imgcore.formats.iso9660.layout import BLOCK, DIRECTORY, MORE_EXTENTS, DirRecord, low32

__all__ = ["Item", "Read", "bad_name", "read_records"]

_MOST_SECTIONS = 8192

Read = Callable[[int, int], bytes]
"""Returns bytes of the image: (offset, size). Raises Corrupt where they are not all there."""


class Item(NamedTuple):
    """One name of a directory: `sections` are (block, bytes), `use` stands behind the name, `at` is the record's place."""

    identifier: bytes
    sections: tuple[tuple[int, int], ...]
    date: bytes
    flags: int
    use: bytes
    at: int

    @property
    def is_dir(self) -> bool:
        """Whether the record says that it is a directory."""
        return bool(self.flags & DIRECTORY)

    @property
    def size(self) -> int:
        """Bytes of all sections."""
        return sum(size for _, size in self.sections)


def read_records(read: Read, block: int, size: int) -> Iterator[Item]:
    """Yield what a directory of `size` bytes at `block` holds, `.` and `..` among it. Raises Corrupt."""
    pending: Item | None = None
    for at in range(block * BLOCK, block * BLOCK + size, BLOCK):
        data = read(at, min(BLOCK, block * BLOCK + size - at))
        place = 0
        while place < len(data) and data[place]:
            item, place = _record(data, place, at), place + data[place]
            if pending is not None:
                if pending.identifier != item.identifier:
                    raise Corrupt("a file section without the next one", offset=pending.at, structure="DirRecord")
                if len(pending.sections) >= _MOST_SECTIONS:
                    raise Corrupt("a file of too many sections", offset=pending.at, structure="DirRecord")
                item = pending._replace(sections=pending.sections + item.sections, flags=item.flags)
            if item.flags & MORE_EXTENTS:
                pending = item
            else:
                pending = None
                yield item
    if pending is not None:
        raise Corrupt("a file section without the next one", offset=pending.at, structure="DirRecord")


def _record(data: bytes, place: int, base: int) -> Item:
    length = data[place]
    if length < DirRecord.SIZE + 1 or place + length > len(data):
        raise Corrupt(
            "a directory record of impossible length",
            offset=base + place,
            structure="DirRecord",
            field="length",
            found=length,
            allowed=f"34 to {len(data) - place}",
        )
    head = DirRecord.unpack_from(data, place, base=base)
    end = DirRecord.SIZE + head.name_length
    if end > length:
        raise Corrupt(
            "a name beyond its record",
            offset=base + place,
            structure="DirRecord",
            field="name_length",
            found=head.name_length,
            allowed=f"at most {length - DirRecord.SIZE}",
        )
    if head.unit or head.gap:
        raise Corrupt("an interleaved file, which no reader takes", offset=base + place, structure="DirRecord", field="unit")
    identifier = data[place + DirRecord.SIZE : place + end]
    use = data[place + end + (~head.name_length & 1) : place + length]
    section = low32(head.extent) + head.attribute_length, low32(head.size)
    return Item(identifier, (section,), head.date, head.flags, use, base + place)


def bad_name(name: bytes) -> bool:
    """Return whether a name cannot be one of a directory."""
    return name in (b"", b".", b"..") or b"/" in name or b"\0" in name
