"""Path tables that change: directories added, moved and removed, and all numbered anew in the order that ECMA-119 has."""

from __future__ import annotations

import struct
from typing import Final

from imgcore.errors import Corrupt, NotRepresentable

__all__ = ["PathTable"]

_MOST: Final = 0xFFFF


class _Entry:
    __slots__ = ("block", "children", "identifier")

    def __init__(self, identifier: bytes, block: int) -> None:
        self.identifier, self.block = identifier, block
        self.children: list[_Entry] = []


class PathTable:
    """The directories of a tree, as a path table has them."""

    def __init__(self, root: _Entry) -> None:
        self._root = root

    @classmethod
    def decode(cls, data: bytes) -> PathTable:
        """Return a little-endian table. Raises Corrupt."""
        found: list[_Entry] = []
        at = 0
        while at + 8 <= len(data) and data[at]:
            length = data[at]
            block, parent = struct.unpack_from("<IH", data, at + 2)
            entry = _Entry(data[at + 8 : at + 8 + length], block)
            if found:
                if not 1 <= parent <= len(found):
                    raise Corrupt("a path table whose parents come later", structure="PathRecord", field="parent", found=parent)
                found[parent - 1].children.append(entry)
            found.append(entry)
            at += 8 + length + (length & 1)
        if not found:
            raise Corrupt("an empty path table", structure="PathRecord")
        return cls(found[0])

    def _find(self, block: int) -> tuple[_Entry | None, _Entry]:
        """Return the parent of the directory at a block, None for the root, and itself. Raises Corrupt."""
        todo: list[tuple[_Entry | None, _Entry]] = [(None, self._root)]
        while todo:
            parent, entry = todo.pop()
            if entry.block == block:
                return parent, entry
            todo += [(entry, child) for child in entry.children]
        raise Corrupt("a path table without a directory of the tree", structure="PathRecord", found=f"block {block}")

    def add(self, identifier: bytes, block: int, parent: int) -> None:
        """Add a directory below the one at block `parent`."""
        above = self._find(parent)[1]
        place = next((number for number, one in enumerate(above.children) if one.identifier > identifier), len(above.children))
        above.children.insert(place, _Entry(identifier, block))

    def move(self, old: int, new: int) -> None:
        """Give the directory at a block another one."""
        self._find(old)[1].block = new

    def remove(self, block: int) -> None:
        """Remove a directory and all below it."""
        parent, entry = self._find(block)
        assert parent is not None
        parent.children.remove(entry)

    def encode(self) -> tuple[bytes, bytes]:
        """Return the little-endian and the big-endian table. Raises NotRepresentable for more than 65535 directories."""
        little, big = bytearray(), bytearray()
        level: list[tuple[_Entry, int]] = [(self._root, 1)]
        number = 0
        while level:
            below: list[tuple[_Entry, int]] = []
            for entry, parent in level:
                number += 1
                if number > _MOST:
                    raise NotRepresentable(f"iso9660 has numbers for {_MOST} directories only")
                tail = entry.identifier + b"\0" * (len(entry.identifier) & 1)
                little += struct.pack("<BBIH", len(entry.identifier), 0, entry.block, parent) + tail
                big += struct.pack(">BBIH", len(entry.identifier), 0, entry.block, parent) + tail
                below += [(child, number) for child in entry.children]
            level = below
        return bytes(little), bytes(big)
