"""The xattr table: sets of extended attributes, each stored once, and inodes that name a set.

A set is a run of (type, name without prefix, value) in a metadata stream; equal sets share one id. A value that occurred
before, and is longer than the reference to it, is stored *out of line*: a reference to the place where the value stands
first, which may be inside another set.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from imgcore.blob import Sink
from imgcore.codec import Codec
from imgcore.engine import Engine
from imgcore.errors import Corrupt, context
from imgcore.formats.squashfs.layout import (
    METADATA_SIZE,
    NO_TABLE,
    NO_XATTR,
    XATTR_OUT_OF_LINE,
    XATTR_PREFIXES,
    XattrEntry,
    XattrId,
    XattrTable,
)
from imgcore.formats.squashfs.metadata import Cursor, MetadataReader, MetadataWriter
from imgcore.limits import Limits

__all__ = ["XattrWriter", "read_set", "split_name"]

_REFERENCE_SIZE: Final = 8


def split_name(name: bytes) -> tuple[int, bytes]:
    """Return (type, name without prefix); raises KeyError for a prefix that squashfs does not know."""
    for number, prefix in XATTR_PREFIXES.items():
        if name.startswith(prefix):
            return number, name[len(prefix) :]
    raise KeyError(name)


class XattrWriter:
    """Numbers sets as they are first met, then writes the table."""

    def __init__(self, engine: Engine, codec: Codec | None, jobs: int) -> None:
        self._engine, self._codec, self._jobs = engine, codec, jobs
        self._stream = MetadataWriter(engine, codec, jobs)
        self._sets: dict[tuple[tuple[bytes, bytes], ...], int] = {}
        self._values: dict[bytes, int] = {}
        self._ids: list[XattrId] = []

    def add(self, xattrs: Mapping[bytes, bytes]) -> int:
        """Return the id of a set, NO_XATTR for the empty one."""
        if not xattrs:
            return NO_XATTR
        key = tuple(sorted(xattrs.items()))
        number = self._sets.get(key)
        if number is None:
            number = self._sets[key] = len(self._ids)
            self._ids.append(self._write_set(key))
        return number

    def _write_set(self, items: tuple[tuple[bytes, bytes], ...]) -> XattrId:
        start = len(self._stream)
        for name, value in items:
            kind, rest = split_name(name)
            known = self._values.get(value) if len(value) > _REFERENCE_SIZE else None
            if known is None:
                self._stream.append(XattrEntry(kind, len(rest)).pack() + rest)
                self._values[value] = self._stream.append(struct.pack("<I", len(value)) + value)
            else:
                self._stream.append(XattrEntry(kind | XATTR_OUT_OF_LINE, len(rest)).pack() + rest)
                self._stream.append(struct.pack("<IQ", _REFERENCE_SIZE, self._stream.reference(known)))
        size = sum(len(name) + 1 + len(value) for name, value in items)  # what listxattr and getxattr return together
        return XattrId(self._stream.reference(start), len(items), size)

    def write(self, sink: Sink) -> int:
        """Write the table; return its position for the superblock."""
        if not self._ids:
            return NO_TABLE
        stream = self._stream.write_to(sink)
        ids = MetadataWriter(self._engine, self._codec, self._jobs)
        ids.append(b"".join(entry.pack() for entry in self._ids))
        positions = ids.write_to(sink)
        start = sink.append(XattrTable(stream[0], len(self._ids), 0).pack())
        sink.append(struct.pack(f"<{len(positions)}Q", *positions))
        return start


def read_set(reader: MetadataReader, entry: XattrId, limits: Limits) -> dict[bytes, bytes]:
    """Return the attributes of one set. Raises Corrupt, LimitExceeded.

    Attributes with a prefix that is not known are skipped, as Linux does; `check` reports them.
    """
    cursor = reader.cursor(entry.xattr >> 16, entry.xattr & 0xFFFF)
    found: dict[bytes, bytes] = {}
    spent = 0
    for _ in range(entry.count):
        block, _offset = cursor.place
        head = XattrEntry.unpack_from(cursor.read(XattrEntry.SIZE, "XattrEntry"), base=block)
        name = cursor.read(head.size, "xattr name")
        (size,) = struct.unpack("<I", cursor.read(4, "xattr value size"))
        spent += len(name) + XattrEntry.SIZE
        source = cursor
        if head.type & XATTR_OUT_OF_LINE:
            if size != _REFERENCE_SIZE:
                raise Corrupt(
                    "out-of-line value that is no reference", offset=block, structure="xattr value", found=size, allowed=8
                )
            (reference,) = struct.unpack("<Q", cursor.read(8, "xattr reference"))
            with context(offset=block, structure="xattr reference"):
                source = reader.cursor(reference >> 16, reference & 0xFFFF)
            (size,) = struct.unpack("<I", source.read(4, "xattr value size"))
        value = _read_value(source, size, spent, limits)
        spent += size
        prefix = XATTR_PREFIXES.get(head.type & ~XATTR_OUT_OF_LINE)  # with any other bit Linux ignores the entry
        if prefix is not None:
            found[prefix + name] = value
    return found


def _read_value(cursor: Cursor, size: int, spent: int, limits: Limits) -> bytes:
    """Return `size` bytes, in steps, so that an impossible size meets the table's end, or the limit, before it costs memory."""
    parts = []
    done = 0
    while done < size:
        parts.append(cursor.read(min(size - done, METADATA_SIZE), "xattr value"))
        done += len(parts[-1])
        limits.require("max_xattrs", spent + done)
    return b"".join(parts)
