"""The file allocation table: for each cluster the one that follows it, in 12, 16 or 28 bits."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from imgcore.formats.fat.geometry import Geometry

__all__ = ["BAD", "END", "decode_table", "encode_entries", "encode_table", "ends"]

END: Final = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}
BAD: Final = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}


def ends(kind: int, value: int) -> bool:
    """Return whether an entry says that nothing follows."""
    return value > BAD[kind]


def encode_table(geometry: Geometry, runs: Iterable[tuple[int, int]]) -> bytes:
    """Return a table in which these runs (first cluster, clusters) are files."""
    values = array("I", bytes(4 * (geometry.clusters + 2)))
    end = END[geometry.kind]
    values[0] = end & ~0xFF | 0xF8
    values[1] = end
    for first, count in runs:
        for cluster in range(first, first + count - 1):
            values[cluster] = cluster + 1
        values[first + count - 1] = end
    return encode_entries(geometry, values)


def encode_entries(geometry: Geometry, values: Sequence[int]) -> bytes:
    """Return the bytes of a whole table."""
    size = geometry.fat_sectors * geometry.sector
    if geometry.kind == 32:
        return struct.pack(f"<{len(values)}I", *values).ljust(size, b"\0")
    if geometry.kind == 16:
        return struct.pack(f"<{len(values)}H", *values).ljust(size, b"\0")
    out = bytearray()
    for at in range(0, len(values), 2):
        pair = values[at] | (values[at + 1] if at + 1 < len(values) else 0) << 12
        out += pair.to_bytes(3, "little")
    return bytes(out[:size]).ljust(size, b"\0")


def decode_table(geometry: Geometry, data: bytes) -> array[int]:
    """Return the entries of a whole table, the first two among them."""
    count = geometry.clusters + 2
    if geometry.kind == 32:
        return array("I", [value & 0x0FFFFFFF for value in struct.unpack_from(f"<{count}I", data)])
    if geometry.kind == 16:
        return array("I", struct.unpack_from(f"<{count}H", data))
    values = array("I")
    for at in range(0, count, 2):
        place = at * 3 // 2
        pair = int.from_bytes(data[place : place + 3], "little")
        values.append(pair & 0xFFF)
        values.append(pair >> 12)
    return values[:count]
