"""Directories that are being changed: their records as bytes, and where they are or will be."""

from __future__ import annotations

import struct

from imgcore.formats.iso9660.layout import BLOCK, DirRecord, both32

__all__ = ["EditedDirectory", "EditedRecord"]

_IDENTIFIER = DirRecord.SIZE  # where the identifier begins; the byte before it is its length


class EditedRecord:
    """A name: the bytes of its records, one for each section."""

    __slots__ = ("identifier", "is_dir", "name", "parts")

    def __init__(self, identifier: bytes, name: bytes, is_dir: bool, parts: list[bytearray]) -> None:
        self.identifier, self.name, self.is_dir, self.parts = identifier, name, is_dir, parts

    @property
    def block(self) -> int:
        return int.from_bytes(self.parts[0][2:6], "little")

    @property
    def size(self) -> int:
        return int.from_bytes(self.parts[0][10:14], "little")

    def set_place(self, block: int, size: int) -> None:
        struct.pack_into("<QQ", self.parts[0], 2, both32(block), both32(size))

    def add_links(self, count: int, skip: int) -> None:
        """Add to the links in the PX entry, where that is in the record; `skip` bytes of system use come before all entries."""
        data = self.parts[0]
        length = data[_IDENTIFIER - 1]
        at = _IDENTIFIER + length + (~length & 1) + skip
        while at + 4 <= len(data) and data[at + 2] >= 4:
            if data[at : at + 2] == b"PX" and at + 20 <= len(data):
                links = max(int.from_bytes(data[at + 12 : at + 16], "little") + count, 1)
                struct.pack_into("<Q", data, at + 12, both32(links))
                return
            at += data[at + 2]


class EditedDirectory:
    """A directory that was looked at; `block` and `size` are where it is, or will be."""

    __slots__ = ("block", "changed", "is_new", "new_links", "old_block", "parent", "path", "records", "size")

    def __init__(self, path: bytes, parent: EditedDirectory | None, block: int, size: int, *, is_new: bool) -> None:
        self.path, self.block, self.size, self.is_new = path, block, size, is_new
        self.parent = parent if parent is not None else self
        self.old_block = block
        self.records: list[EditedRecord] = []
        self.changed = is_new
        self.new_links = 0

    def find(self, name: bytes) -> EditedRecord | None:
        return next((one for one in self.records[2:] if one.name == name), None)

    def needed(self) -> int:
        """Return the bytes that its records take, a multiple of blocks."""
        at = 0
        for record in self.records:
            for part in record.parts:
                if at % BLOCK + len(part) > BLOCK:
                    at += -at % BLOCK
                at += len(part)
        return at + -at % BLOCK

    def encode(self) -> bytes:
        out = bytearray()
        for record in self.records:
            for part in record.parts:
                if len(out) % BLOCK + len(part) > BLOCK:
                    out += bytes(-len(out) % BLOCK)
                out += part
        return bytes(out.ljust(self.size, b"\0"))
